"""One small office for every flow, led to the point at which that flow has something to do; in this process.

`SCENES` names them all. What a scene looks like afterwards, without what is random or of the clock, is `Scene.outcome`.
"""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from madoguchi.domain.amendment import NoticeRoute
from madoguchi.domain.office import JST
from madoguchi.sandbox.zoom_remote import ZoomRemote
from madoguchi.store.audit import audit_row, write_audit
from madoguchi.store.database import Database
from madoguchi.store.models import (
    Amendment,
    BlockedAddress,
    Booking,
    BookingRequest,
    Bounce,
    Evidence,
    Meeting,
    Notice,
    NoticeSignOff,
    OutboxMessage,
    Restriction,
    RunRecord,
    StaffTask,
    VerdictRecord,
)
from madoguchi.store.models import Base as Tables
from madoguchi.store.runs import open_staff_task
from tasks.delivery import UNCERTAIN_MESSAGE, deliver_messages
from tasks.meeting_removal import remove_meetings
from tasks.meetings import create_meetings
from tasks.scheduling import schedule_requests
from tasks.settling import REVIEW_REQUEST
from tasks.wiring import Services
from tests.tasks import sweep_world
from tests.tasks.amendment_world import CODE, TermsWorld
from tests.tasks.delivery_world import AS_OF as NOTICE_TIME
from tests.tasks.desk_world import Desk
from tests.tasks.notice_world import NoticeWorld, sample
from tests.tasks.staff_help import THU, confirmed
from tests.tasks.sweep_world import CAME, NOBODY, NOTHING, TENTH, minute
from tests.world import AS_OF, HEADER, Clock, World, answer, jst, office

BY = {"received_by": "松戸"}


class FreeClock(Clock):
    """Stands still until a test moves it; never earlier than the notices of their own world."""

    def pass_by(self, span: timedelta) -> None:
        self.now += span


@dataclass
class Scene:
    """An office in which `flow` has something to do when it is given `form`."""

    flow: str
    services: Services
    clock: Any
    folder: Path
    zoom: Any
    mailbox: Any
    form: dict[str, Any] = field(default_factory=dict)
    pause: float = 7
    """Minutes until somebody reruns what broke."""

    @property
    def function(self) -> Any:
        name = self.flow.replace("-", "_")
        return getattr(import_module(f"flows.{name}"), name)

    def later(self, **span: float) -> None:
        """Time goes by."""
        self.clock.now += timedelta(**span)

    # --- what it looks like

    def untouched(self) -> dict[str, Any]:
        """Everything there is, byte for byte: rows, meetings at Zoom, mails, files of the folders."""
        with self.services.database.engine.connect() as connection:
            found: dict[str, Any] = {
                table.name: sorted(map(repr, connection.execute(select(table))))
                for table in Tables.metadata.sorted_tables
            }
        found["zoom"] = [repr(each) for each in self.zoom.state.everything()]
        found["mailbox"] = [mail.file for mail in self.mailbox.state.entries()]
        found["files"] = {
            str(path.relative_to(self.folder)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
            and "rehearsal" not in path.relative_to(self.folder).parts
            and "record.db" not in path.name
        }
        return found

    def outcome(self) -> dict[str, Any]:
        """What has become of everybody, in words that do not depend on chance or on the minute."""
        with self.services.database.read() as session:

            def rows(table: type) -> list[Any]:
                return list(session.scalars(select(table)))

            requests = {row.id: f"{row.source}:{row.row_number}" for row in rows(BookingRequest)}
            bookings = {row.id: f"{requests[row.request_id]}/{row.revision}" for row in rows(Booking)}
            by_reference = {row.reference: bookings[row.id] for row in rows(Booking)}
            by_reference |= {row.reference: requests[row.id] for row in rows(BookingRequest)}
            messages = {
                row.id: f"{row.kind}:{bookings.get(row.booking_id) or requests.get(row.request_id) or 'everybody'}"
                for row in rows(OutboxMessage)
            }
            sent = Counter(mail.message_id for mail in self.mailbox.state.entries())
            found = {
                "requests": [(requests[r.id], r.outcome, r.reason, r.status) for r in rows(BookingRequest)],
                "bookings": [(bookings[b.id], b.status, b.start_at, b.counsellor, b.host) for b in rows(Booking)],
                "meetings": [
                    (requests_of(session, m), m.revision, m.status, bool(m.claim_owner)) for m in rows(Meeting)
                ],
                "messages": [
                    (messages[m.id], m.revision, m.status, m.reason, bool(m.claim_owner), sent[m.message_id])
                    for m in rows(OutboxMessage)
                ],
                "tasks": [
                    (t.kind, (by_reference | messages).get(t.subject, t.subject), t.reason, bool(t.closed_at))
                    for t in rows(StaffTask)
                ],
                "evidence": [(bookings[e.booking_id], e.kind, e.source) for e in rows(Evidence)],
                "verdicts": [
                    (bookings[v.booking_id], v.number, v.verdict, v.reasons, v.by_person) for v in rows(VerdictRecord)
                ],
                "restrictions": [(r.ground, r.reason, r.until, bool(r.lifted_at)) for r in rows(Restriction)],
                "amendments": [(a.code, a.status) for a in rows(Amendment)],
                "notices": [(n.purpose, n.route, n.reason, n.told_how, bool(n.message_id)) for n in rows(Notice)],
                "signed": [sorted(s.totals.items()) for s in rows(NoticeSignOff)],
                "bounces": [(b.kind, b.status_code) for b in rows(Bounce)],
                "blocked": [(b.reason, bool(b.lifted_at)) for b in rows(BlockedAddress)],
            }  # fmt: skip
        hosts = {host.user for host in self.services.office.hosts}
        found["zoom"] = [
            (doc["start_time"], gone) for host, _, gone, doc in self.zoom.state.everything() if host in hosts
        ]
        found["site"] = sorted(
            str(path.relative_to(self.folder))
            for path in (self.folder / "site" / "current").rglob("*")
            if path.is_file()
        )  # fmt: skip
        found["files"] = sorted(path.parent.name for path in (self.folder / "bounces").rglob("*") if path.is_file())
        return {name: sorted(map(repr, values)) for name, values in found.items()}

    def runs(self) -> list[RunRecord]:
        with self.services.database.read() as session:
            return list(session.scalars(select(RunRecord).order_by(RunRecord.started_at)))


def requests_of(session: Any, meeting: Meeting) -> str:
    row = session.execute(
        select(BookingRequest.source, BookingRequest.row_number)
        .join(Booking, Booking.request_id == BookingRequest.id)
        .where(Booking.id == meeting.booking_id)
    ).one()
    return f"{row.source}:{row.row_number}"


@dataclass
class Ground:
    """What a scene is built on."""

    database: Database
    folder: Path
    zoom: Any
    mailbox: Any

    def world(self, now: datetime = AS_OF, **more: Any) -> Desk:
        return Desk(
            self.database, office(**more), zoom=self.zoom, mailbox=self.mailbox, clock=Clock(now),
            rehearsals=self.folder / "rehearsal", inbox=self.folder / "inbox", spool=self.folder / "spool",
            is_alive=lambda _: False,
        )  # fmt: skip

    def scene(self, flow: str, world: World, **form: Any) -> Scene:
        return Scene(flow, world.services, world.clock, self.folder, self.zoom, self.mailbox, form)

    def terms(self, **policy: Any) -> TermsWorld:
        world = TermsWorld(
            self.database, self.folder, mailbox=self.mailbox, other_per_second=500.0, approval_hours=0.05, **policy
        )
        world.world.services = replace(world.services, rehearsals=self.folder / "rehearsal", is_alive=lambda _: False)
        return world

    def notices(self) -> NoticeWorld:
        world = NoticeWorld(self.database, self.folder)
        clock = Clock(NOTICE_TIME)
        world.services = replace(
            world.services, clock=clock, rehearsals=self.folder / "rehearsal", site_dir=self.folder / "site"
        )
        world.standing = clock  # type: ignore[attr-defined] # of this scene
        return world

    def notice_scene(self, flow: str, world: NoticeWorld, **form: Any) -> Scene:
        return Scene(flow, world.services, world.standing, self.folder, self.zoom, self.mailbox, form)  # type: ignore[attr-defined] # see above


def _process_requests(ground: Ground) -> Scene:
    path = ground.folder / "answers.csv"
    wishes = (("2026/09/24", "11:00"), ("2026/09/24", "11:00"), ("2026/09/24", "14:00"))
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = [answer(number, day, clock) for number, (day, clock) in enumerate(wishes, start=1)]
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([HEADER, *rows, answer(9, "2026/09/24", "15:00", consent="")])
    return ground.scene("process-requests", ground.world(jst("2026-09-14 09:30")), path=str(path), source="google")


def _deliver_messages(ground: Ground) -> Scene:
    world = ground.world()
    for clock in ("11:00", "12:00"):
        world.ask(f"{THU} {clock}")
    schedule_requests(world.services, world.run())
    create_meetings(world.services, world.run())
    return ground.scene("deliver-messages", world)


def _send_reminders(ground: Ground) -> Scene:
    world = ground.world()
    confirmed(world, f"{THU} 11:00", f"{THU} 12:00")
    world.clock.now = jst("2026-09-18 15:05")
    return ground.scene("send-reminders", world)


def _sweep(ground: Ground) -> Scene:
    world = ground.world(TENTH)
    for pieces in (CAME, NOBODY, NOTHING):
        world.session(*pieces)
    made = ground.scene("sweep-no-shows", world)
    # Later Zoom is asked about another minute: what it says then is no evidence of the tenth.
    made.pause = 0
    return made


def _reconcile(ground: Ground) -> Scene:
    world = ground.world()
    first, _ = confirmed(world, f"{THU} 11:00", f"{THU} 12:00")
    with ZoomRemote(ground.zoom.url) as remote:
        remote.vanish(world.meeting(first).meeting_id)
    world.clock.now = jst("2026-09-15 19:30")
    return ground.scene("reconcile-zoom", world)


def _waiting_for_a_slot(ground: Ground) -> tuple[Desk, str]:
    world = ground.world()
    [reference] = confirmed(world, f"{THU} 11:00")
    world.ask(f"{THU} 11:00")
    schedule_requests(world.services, world.run())
    deliver_messages(world.services, world.run())
    return world, reference


def _cancel(ground: Ground) -> Scene:
    world, reference = _waiting_for_a_slot(ground)
    return ground.scene("cancel-booking", world, reference=reference, reason="ご本人の都合", **BY)


def _move(ground: Ground) -> Scene:
    world, reference = _waiting_for_a_slot(ground)
    start = jst(f"{THU} 14:00")
    return ground.scene("move-booking", world, reference=reference, start=start, reason="ご本人の希望", **BY)


def _decide(ground: Ground) -> Scene:
    world = ground.world()
    reference = "R-7K2Q9F"
    world.ask(f"{THU} 11:00", reference=reference, status="in_review", outcome="needs_review")
    with world.database.write() as session:
        open_staff_task(session, world.run().act(world.services), REVIEW_REQUEST, reference, "SAME_DAY")
    form = {"reference": reference, "decision": "承認する", "reason": "電話で内容を確かめた"}
    return ground.scene("decide-request", world, **form, **BY)


def _book_in_session(ground: Ground) -> Scene:
    world = ground.world()
    [reference] = confirmed(world, f"{THU} 11:00")
    world.clock.now = jst(f"{THU} 11:20")
    return ground.scene("book-in-session", world, reference=reference, start=jst("2026-10-01 11:00"), **BY)


def _judged(ground: Ground) -> tuple[Desk, str]:
    world = ground.world(TENTH)
    reference = world.session(*NOBODY)
    world.sweep()
    remove_meetings(world.services, world.run())
    deliver_messages(world.services, world.run())
    world.clock.now = minute(20)
    return world, reference


def _record_contact(ground: Ground) -> Scene:
    world, reference = _judged(ground)
    form = {"channel": "電話", "about": "遅れる", "received_at": minute(5)}
    return ground.scene("record-contact", world, reference=reference, **form, **BY)


def _check_in(ground: Ground) -> Scene:
    world, reference = _judged(ground)
    form = {"who": "来談者が参加した", "seen_at": minute(4)}
    return ground.scene("check-in", world, reference=reference, **form, **BY)


def _settle_attendance(ground: Ground) -> Scene:
    world = ground.world(TENTH)
    reference = world.session(*NOTHING)
    world.sweep()
    world.clock.now = minute(40)
    form = {"verdict": "窓口側の事情", "reason": "窓口の担当者や機器の都合"}
    return ground.scene("settle-attendance", world, reference=reference, **form, **BY)


def _set_restriction(ground: Ground) -> Scene:
    world, reference = _judged(ground)
    form = {"action": "制限する", "reason": "脅迫や暴言があった", "ground": "第12条(1)"}
    return ground.scene("set-restriction", world, reference=reference, **form, **BY)


def _settle_message(ground: Ground) -> Scene:
    world = ground.world()
    world.ask(f"{THU} 11:00")
    schedule_requests(world.services, world.run())
    create_meetings(world.services, world.run())
    [message] = world.rows(OutboxMessage)
    with world.database.write() as session:
        act = world.run().act(world.services)
        session.execute(update(OutboxMessage).values(status="uncertain"))
        write_audit(session, [audit_row(act, "message", message.id, "transition", old="queued", new="sending")])
        open_staff_task(session, act, UNCERTAIN_MESSAGE, message.id, "SMTP_LOST")
    return ground.scene("settle-message", world, message=message.id, outcome="もう一度送る", **BY)


def _read_bounces(ground: Ground) -> Scene:
    world = ground.notices()
    world.put(sample("postfix_unknown_user.eml", world.sent()))
    world.put(b"no mail at all", "broken.eml")
    return ground.notice_scene("read-bounces", world)


def _settle_bounce(ground: Ground) -> Scene:
    world = ground.notices()
    world.bounce(world.sent())
    [(_, subject, _)] = world.tasks()
    return ground.notice_scene("settle-bounce", world, reference=subject, outcome="アドレスは使える", **BY)


def _record_notice(ground: Ground) -> Scene:
    world = ground.notices()
    reference, _ = world.person(None, route=NoticeRoute.OTHER)
    return ground.notice_scene("record-notice", world, reference=reference, code=CODE, how="電話", **BY)


def _sign_off(ground: Ground) -> Scene:
    world = ground.notices()
    world.person()
    return ground.notice_scene("sign-off-notice", world, code=CODE, signed_by="松戸")


def _publish_terms(ground: Ground) -> Scene:
    terms = ground.terms()
    terms.had("2026-09-24 11:00", "confirmed")
    terms.announce()
    terms.waits()
    # The day of the effect has not come, the site is not there yet, and somebody has come since.
    return ground.scene("publish-terms", terms.world)


def _announce(ground: Ground) -> Scene:
    """Approved already: what stopped afterwards goes on without asking."""
    terms = ground.terms()
    terms.had("2026-09-24 11:00", "confirmed")
    terms.waits(email=None)
    form = terms.form()
    terms.approve(form)
    names = ("file", "ground", "reason", "effective_date", "approver")
    return ground.scene("announce-amendment", terms.world, **{name: getattr(form, name) for name in names})


def _withdraw(ground: Ground) -> Scene:
    """Withdrawn in the record, nobody told yet."""
    terms = ground.terms()
    terms.had("2026-09-24 11:00", "confirmed")
    terms.announce()
    terms.settle_mails(status="sent", sent_at=AS_OF, attempts=1)
    terms.clock.now += timedelta(days=1)
    terms.take_back()
    return ground.scene("withdraw-amendment", terms.world, code=CODE, reason="内容を見直すため", approver="松戸")


SCENES: dict[str, Callable[[Ground], Scene]] = {
    "process-requests": _process_requests,
    "deliver-messages": _deliver_messages,
    "send-reminders": _send_reminders,
    "sweep-no-shows": _sweep,
    "reconcile-zoom": _reconcile,
    "publish-terms": _publish_terms,
    "cancel-booking": _cancel,
    "move-booking": _move,
    "decide-request": _decide,
    "book-in-session": _book_in_session,
    "record-contact": _record_contact,
    "check-in": _check_in,
    "settle-attendance": _settle_attendance,
    "set-restriction": _set_restriction,
    "settle-message": _settle_message,
    "read-bounces": _read_bounces,
    "settle-bounce": _settle_bounce,
    "record-notice": _record_notice,
    "sign-off-notice": _sign_off,
    "announce-amendment": _announce,
    "withdraw-amendment": _withdraw,
}


@contextmanager
def scene(name: str, database: Database, folder: Path, stand_ins: tuple[Any, Any]) -> Iterator[Scene]:
    """Build a scene on stand-ins that others have used before."""
    zoom, mailbox = stand_ins
    mailbox.state.clear()
    mailbox.state.faults.clear()
    zoom.state.faults.clear()
    # The same names in every scene, so that two of them can be compared.
    sweep_world._numbers = itertools.count(1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "inbox").mkdir(exist_ok=True)
    yield SCENES[name](Ground(database, folder, zoom, mailbox))


def strings_of(form: dict[str, Any]) -> dict[str, str]:
    """The form as somebody types it after `--set`."""
    return {
        name: value.astimezone(JST).isoformat() if isinstance(value, datetime) else str(value)
        for name, value in form.items()
    }
