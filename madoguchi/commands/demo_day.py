"""The second half of `make demo`: one day of sessions, played by the stand-in Zoom, handled by the ordinary flows."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import httpx

from madoguchi.commands.demo_story import Story, as_list, madoguchi
from madoguchi.commands.up import Background
from madoguchi.domain.office import JST
from madoguchi.sandbox.demo_exports import DemoExports
from madoguchi.sandbox.zoom_remote import ZoomRemote

_CLERK = "職員-7"
_LATE_EVENT_SECONDS = 20.0


def tell_the_day(story: Story, exports: DemoExports, up: Background) -> datetime:
    """Let the working day before and the day of the first sessions pass and return its end; every fact is checked."""
    with ZoomRemote(up.zoom_url) as zoom:
        return _Day(story, exports, up, zoom).pass_by()


class _Day:
    def __init__(self, story: Story, exports: DemoExports, up: Background, zoom: ZoomRemote) -> None:
        self._story, self._exports, self._up, self._zoom = story, exports, up, zoom
        starts = exports.starts
        self._start = dict(zip(("attended", "no_show", "late", "fault"), (*starts[:3], starts[4]), strict=True))
        self._now = starts[0]

    def pass_by(self) -> datetime:
        """Go through the day and return its end."""
        self._day_before()
        self._at(self._start["no_show"] - timedelta(minutes=55))
        self._reminders("within the hour")
        self._attended()
        self._at(self._start["late"] - timedelta(minutes=55))
        self._reminders("within the hour")
        self._no_show()
        self._late_event()
        self._office_fault()
        self._night()
        return self._now

    def _day_before(self) -> None:
        afternoon = datetime.combine(self._exports.day_before, datetime.min.time(), JST) + timedelta(hours=15)
        self._at(afternoon)
        self._reminders("for the next working day")
        self._at(afternoon + timedelta(minutes=25))
        first = self._bookings(self._start["attended"])[0]
        self._run("cancel-booking", reference=first["reference"], received_by=_CLERK, reason="ご本人の都合")
        there = self._bookings(self._start["attended"])
        self._expect("the cancelled booking", self._booking(first["reference"])["status"], "cancelled")
        taken = [b for b in there if b["counsellor"] == first["counsellor"] and b["status"] == "confirmed"]
        self._expect("bookings that took its place", len(taken), 1)
        self._say(
            f"{first['reference']} is cancelled by telephone; its slot goes to the person who waited for it: "
            f"{taken[0]['reference'] if taken else 'nobody'}."
        )

    def _attended(self) -> None:
        start = self._start["attended"]
        self._at(start)
        for booking in self._live(start):
            self._zoom.people(
                booking["meeting_id"],
                [
                    (start - timedelta(minutes=3), "guest", "wait"),
                    (start, "host", "start"),
                    (start + timedelta(minutes=1), "guest", "admit"),
                ],
            )
        self._at(start + timedelta(minutes=10))
        self._run("sweep-no-shows")
        self._expect_all("sessions at which both came", start, "attended")
        self._say("The tenth minute: host and client are there. Attended.")

    def _no_show(self) -> None:
        start = self._start["no_show"]
        self._at(start)
        for booking in self._live(start):
            self._zoom.people(booking["meeting_id"], [(start, "host", "start")])
        self._at(start + timedelta(minutes=10))
        self._run("sweep-no-shows")
        self._expect_all("sessions at which nobody came", start, "no_show")
        self._say("The tenth minute: the host waited, nobody came, nobody called. No-show: the mail of Art. 6(3) went.")

    def _late_event(self) -> None:
        start = self._start["late"]
        self._at(start)
        for booking in self._live(start):
            self._zoom.people(booking["meeting_id"], [(start, "host", "start")])
            self._zoom.webhooks(mode="hold")
            self._zoom.people(booking["meeting_id"], [(start + timedelta(minutes=2), "guest", "join")])
        self._at(start + timedelta(minutes=5))
        self._reminders("within the hour")
        self._at(start + timedelta(minutes=10))
        self._run("sweep-no-shows")
        self._expect_all("sessions whose guest is not known yet", start, "no_show")
        self._say("The tenth minute: Zoom has told of the host only. No-show …")
        self._at(start + timedelta(minutes=27))
        self._zoom.webhooks(mode="on")
        self._zoom.release()
        self._until_all(start, "attended")
        self._run("deliver-messages")
        self._expect_all("sessions after the late event", start, "attended")
        self._say(
            "… 25 minutes later Zoom tells that the client came in time. Corrected: the client is told, no count."
        )

    def _office_fault(self) -> None:
        start = self._start["fault"]
        self._at(start)
        for booking in self._live(start):
            self._zoom.people(booking["meeting_id"], [(start - timedelta(minutes=2), "guest", "wait")])
        self._at(start + timedelta(minutes=10))
        self._run("sweep-no-shows")
        self._expect_all("sessions that nobody opened", start, "office_fault")
        self._say("The tenth minute: the client waits, the host never opened the meeting. The office says sorry.")

    def _night(self) -> None:
        evening = self._start["attended"].replace(hour=19, minute=30)
        self._at(evening)
        self._run("reconcile-zoom")
        bookings = self._listed("bookings")
        ahead = sorted(b["meeting_id"] for b in bookings if b["status"] == "confirmed")
        live = sorted(str(m["id"]) for m in self._zoom.meetings() if not m.get("deleted"))
        self._expect("meetings left at the stand-in Zoom", live, ahead)
        self._messages()
        states = Counter(b["status"] for b in bookings)
        self._say("The night: Zoom and the record agree. " + ", ".join(f"{n} {s}" for s, n in sorted(states.items())))

    def _messages(self) -> None:
        messages = self._listed("messages")
        kinds = Counter(m["kind"] for m in messages)
        sent = sorted(m["message_id"] for m in messages if m["status"] == "sent")
        stored = as_list(httpx.get(f"{self._up.mailbox_url}/sandbox/messages", timeout=10).json())
        self._expect("mails in the mailbox", sorted(m["message_id"] for m in stored), sent)
        self._expect(
            "messages that are neither sent nor void",
            [m for m in messages if m["status"] not in {"sent", "suppressed"}],
            [],
        )
        for kind, wanted in (("cancelled", 1), ("no_show", 2), ("corrected", 1), ("office_fault", 1)):
            self._expect(f"mails of the kind {kind}", kinds[kind], wanted)

    # --- words

    def _at(self, now: datetime) -> None:
        self._now = self._zoom.clock(now)

    def _say(self, text: str) -> None:
        self._story.say(f"{self._now.astimezone(JST):%a %d %b %H:%M} | {text}")

    def _expect(self, what: str, found: object, wanted: object) -> None:
        self._story.expect(what, found, wanted)

    def _reminders(self, which: str) -> None:
        summary = self._run("send-reminders")
        count = summary["counts"].get("messages_sent", 0)
        self._say(f"{count} reminder{'' if count == 1 else 's'} {which}.")

    def _run(self, flow: str, **parameters: str) -> dict[str, Any]:
        sets = [part for name, value in parameters.items() for part in ("--set", f"{name}={value}")]
        code, output = madoguchi(["run", flow, "--as-of", self._now.isoformat(), "--json", *sets])
        summary: dict[str, Any] = json.loads(output)
        self._expect(f"exit code of {flow}", (code, summary["incomplete"]), (0, []))
        return summary

    def _listed(self, kind: str) -> list[dict[str, Any]]:
        return list(json.loads(madoguchi(["list", kind, "--json"])[1]))

    def _bookings(self, start: datetime) -> list[dict[str, Any]]:
        return [b for b in self._listed("bookings") if datetime.fromisoformat(b["start"]) == start]

    def _live(self, start: datetime) -> list[dict[str, Any]]:
        return [b for b in self._bookings(start) if b["status"] == "confirmed"]

    def _booking(self, reference: str) -> dict[str, Any]:
        return next(b for b in self._listed("bookings") if b["reference"] == reference)

    def _expect_all(self, what: str, start: datetime, status: str) -> None:
        states = {b["status"] for b in self._bookings(start)} - {"cancelled"}
        self._expect(what, states, {status})

    def _until_all(self, start: datetime, status: str) -> None:
        """Wait for the web part, which takes events in by itself."""
        until = time.monotonic() + _LATE_EVENT_SECONDS
        while {b["status"] for b in self._live_or_settled(start)} != {status} and time.monotonic() < until:
            time.sleep(0.5)

    def _live_or_settled(self, start: datetime) -> list[dict[str, Any]]:
        return [b for b in self._bookings(start) if b["status"] != "cancelled"]
