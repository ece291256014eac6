"""The day of a session at the stand-in: people come, wait, are let in and go, and Zoom tells of it in events.

The rules: docs/zoom.md. Every act happens at an instant of the stand-in's time and returns the events it causes.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from madoguchi.sandbox.zoom_events import Event, meeting_event, person_event, stamp
from madoguchi.sandbox.zoom_people import Place, Stay
from madoguchi.sandbox.zoom_state import ZoomState

ENDED_BY_HOST = "Host ended the meeting."
_WHO = re.compile(r"(host|guest)(-[1-9]\d?)?")
_LEAVING: Mapping[Place, str] = {
    "outside": "meeting.participant_jbh_waiting_left",
    "waiting": "meeting.participant_left_waiting_room",
    "meeting": "meeting.participant_left",
}


@dataclass(frozen=True, slots=True)
class Act:
    """One line of a script. `at`: aware; None is the stand-in's now. `who`: host, host-2, guest, guest-2 ..."""

    who: str
    act: str
    at: datetime | None = None


def read_act(item: object, place: str = "acts") -> Act:
    """Return one line of a script; ValueError names what is wrong with it, with `place` before it."""
    if not isinstance(item, Mapping):
        raise ValueError(f"{place}: an object is needed")  # noqa: TRY004 — one error type for what the caller sent
    unknown = set(item) - {"at", "who", "act"}
    if unknown:
        raise ValueError(f"{place}: unknown field {min(map(str, unknown))!r}")
    who, act, at = item.get("who"), item.get("act"), item.get("at")
    if not (isinstance(who, str) and _WHO.fullmatch(who)):
        raise ValueError(f"{place}.who: host, host-2, guest, guest-2 and so on are known")
    allowed = _HOST_ACTS if who.startswith("host") else _GUEST_ACTS
    if not isinstance(act, str) or act not in allowed:
        raise ValueError(f"{place}.act: a {who.partition('-')[0]} can {', '.join(sorted(allowed))}")
    if at is None:
        return Act(who, act)
    try:
        instant = datetime.fromisoformat(at)
    except (TypeError, ValueError):
        raise ValueError(f"{place}.at: an ISO 8601 instant is needed") from None
    if instant.tzinfo is None:
        raise ValueError(f"{place}.at: a time zone is needed")
    return Act(who, act, instant)


class ActRefusedError(ValueError):
    """An act that cannot happen as things stand. `events`: what the acts before it caused; they have happened."""

    def __init__(self, text: str, events: list[Event]) -> None:
        super().__init__(text)
        self.events = events


def play(state: ZoomState, meeting_id: int, acts: list[Act]) -> list[Event]:
    """Let the acts happen, one after the other; ActRefusedError names the first that cannot."""
    events: list[Event] = []
    for number, act in enumerate(acts, start=1):
        doc = state.meeting(meeting_id)
        if doc is None:
            raise ActRefusedError("meeting_id: there is no such meeting", events)
        scene = _Scene(state, doc, (act.at or state.now()).astimezone(UTC))
        table = _HOST_ACTS if act.who.startswith("host") else _GUEST_ACTS
        try:
            table[act.act](scene, act.who)
        except ValueError as wrong:
            raise ActRefusedError(f"acts {number}: {wrong}", events) from None
        events += scene.events
    return events


def plan(state: ZoomState, meeting_id: int, acts: list[Act]) -> None:
    """Keep the acts until the stand-in's clock comes to them; one without `at` is due at once. See `catch_up`."""
    now = state.now()
    state.script += [(act.at or now, meeting_id, act) for act in acts]
    state.script.sort(key=lambda line: line[0])


def catch_up(state: ZoomState) -> None:
    """Play what the script has for now or earlier, each at its own time, and send its events.

    What cannot happen is noted in `state.script_errors` and passed over: nobody is there to be told.
    """
    now = state.now()
    events: list[Event] = []
    while state.script and state.script[0][0] <= now:
        at, meeting_id, act = state.script.pop(0)
        try:
            events += play(state, meeting_id, [Act(act.who, act.act, at)])
        except ActRefusedError as refused:
            events += refused.events
            state.script_errors.append(f"{meeting_id} {act.who} {act.act}: {refused}")
    state.webhooks.emit(events)


def end(state: ZoomState, meeting_id: int, at: datetime) -> list[Event]:
    """End a running meeting for everybody in it; nothing happens when it does not run."""
    doc = state.meeting(meeting_id)
    if doc is None or doc["status"] != "started":
        return []
    scene = _Scene(state, doc, at.astimezone(UTC))
    scene.end()
    return scene.events


class _Scene:
    """One meeting at one instant; collects the events."""

    def __init__(self, state: ZoomState, doc: dict[str, Any], at: datetime) -> None:
        self.state, self.doc, self.at = state, doc, at
        self.people = state.people
        self.events: list[Event] = []

    @property
    def is_running(self) -> bool:
        return bool(self.doc["status"] == "started")

    @property
    def has_waiting_room(self) -> bool:
        return bool(self.doc["settings"].get("waiting_room"))

    @property
    def meeting_id(self) -> int:
        return int(self.doc["id"])

    def tell(self, name: str, stay: Stay) -> None:
        self.events.append(person_event(name, self.doc, self.at, stay))

    def find(self, who: str, *places: Place) -> Stay | None:
        return next((stay for stay in self.people.present(self.meeting_id, *places) if stay.who == who), None)

    def must_be_away(self, who: str) -> None:
        if self.find(who, "outside", "waiting", "meeting") is not None:
            raise ValueError(f"{who} is there already; another person or device has a number, as in guest-2")

    def start(self) -> None:
        self.begin(stamp(self.at))
        self.state.set_status(self.meeting_id, "started")
        self.doc["status"] = "started"
        self.events.append(meeting_event("meeting.started", self.doc, self.at, start_time=stamp(self.at)))

    def begin(self, started: str) -> None:
        # A new name each time that it runs; only the first time has the one it was made with.
        if self.people.runs(self.meeting_id):
            self.doc["uuid"] = base64.b64encode(secrets.token_bytes(16)).decode()
        self.doc.pop("ended_at", None)
        self.people.begin(self.meeting_id, str(self.doc["uuid"]), started)
        self.state.change(self.doc)

    def enter(self, who: str, place: Place) -> Stay:
        stay = self.people.come(self.meeting_id, str(self.doc["uuid"]), who, place, stamp(self.at))
        names: Mapping[Place, str] = {
            "outside": "meeting.participant_jbh_waiting",
            "waiting": "meeting.participant_joined_waiting_room",
            "meeting": "meeting.participant_joined",
        }
        self.tell(names[place], stay)
        return stay

    def leave(self, stay: Stay, reason: str = "") -> None:
        self.people.go(stay, stamp(self.at), reason)
        self.tell(_LEAVING[stay.place], stay)

    def admit(self, stay: Stay) -> None:
        self.leave(stay)
        self.tell("meeting.participant_admitted", stay)
        self.enter(stay.who, "meeting")

    def end(self) -> None:
        for stay in self.people.present(self.meeting_id, "waiting", "meeting"):
            self.leave(stay, ENDED_BY_HOST)
        runs = [run for run in self.people.runs(self.meeting_id) if not run.ended]
        started = runs[-1].started if runs else str(self.doc["start_time"])
        if not runs:
            self.begin(started)
        self.people.finish(str(self.doc["uuid"]), stamp(self.at))
        self.state.set_status(self.meeting_id, "waiting")
        self.doc |= {"ended_at": stamp(self.at)}
        self.state.change(self.doc)
        more = {"start_time": started, "end_time": stamp(self.at)}
        self.events.append(meeting_event("meeting.ended", self.doc, self.at, **more))


def _host_joins(scene: _Scene, who: str) -> None:
    scene.must_be_away(who)
    is_first = not scene.is_running
    if is_first:
        scene.start()
    scene.enter(who, "meeting")
    if is_first:
        for stay in scene.people.present(scene.meeting_id, "outside"):
            scene.leave(stay)
            scene.enter(stay.who, "waiting" if scene.has_waiting_room else "meeting")


def _host_admits(scene: _Scene, _who: str) -> None:
    waiting = scene.people.present(scene.meeting_id, "waiting")
    if not waiting:
        raise ValueError("nobody is in the waiting room")
    for stay in waiting:
        scene.admit(stay)


def _host_ends(scene: _Scene, _who: str) -> None:
    if not scene.is_running:
        raise ValueError("the meeting does not run")
    scene.end()


def _leaves(scene: _Scene, who: str) -> None:
    stay = scene.find(who, "outside", "waiting", "meeting")
    if stay is None:
        raise ValueError(f"{who} is not there")
    scene.leave(stay)
    if stay.place == "meeting" and not scene.people.present(scene.meeting_id, "meeting"):
        scene.end()


def _guest_waits(scene: _Scene, who: str) -> None:
    scene.must_be_away(who)
    scene.enter(who, "waiting" if scene.is_running else "outside")


def _guest_joins(scene: _Scene, who: str) -> None:
    waiting = scene.find(who, "waiting")
    if waiting is not None:
        scene.admit(waiting)
        return
    scene.must_be_away(who)
    if not scene.is_running and not scene.doc["settings"].get("join_before_host"):
        scene.enter(who, "outside")
    elif not scene.is_running:
        scene.start()
        stay = scene.enter(who, "meeting")
        scene.tell("meeting.participant_jbh_joined", stay)
    elif scene.has_waiting_room:
        scene.admit(scene.enter(who, "waiting"))
    else:
        scene.enter(who, "meeting")


def _guest_is_admitted(scene: _Scene, who: str) -> None:
    stay = scene.find(who, "waiting")
    if stay is None:
        raise ValueError(f"{who} is not in the waiting room")
    scene.admit(stay)


def _guest_is_put_back(scene: _Scene, who: str) -> None:
    stay = scene.find(who, "meeting")
    if stay is None:
        raise ValueError(f"{who} is not in the meeting")
    scene.leave(stay)
    back = scene.people.come(scene.meeting_id, stay.run, who, "waiting", stamp(scene.at))
    scene.tell("meeting.participant_put_in_waiting_room", back)


_HOST_ACTS: Mapping[str, Callable[[_Scene, str], None]] = {
    "start": _host_joins,
    "join": _host_joins,
    "admit": _host_admits,
    "leave": _leaves,
    "end": _host_ends,
}
_GUEST_ACTS: Mapping[str, Callable[[_Scene, str], None]] = {
    "wait": _guest_waits,
    "join": _guest_joins,
    "admit": _guest_is_admitted,
    "put_back": _guest_is_put_back,
    "leave": _leaves,
}
