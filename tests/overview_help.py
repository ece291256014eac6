"""Half a year of an office, straight into the record: applications, sessions, mails, what waits. Always the same."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta

from sqlalchemy import insert

from madoguchi.domain.calendar import SESSION
from madoguchi.domain.office import JST
from madoguchi.store.audit import Act
from madoguchi.store.models import Alarm, Booking, BookingRequest, Client, OutboxMessage, StaffTask
from madoguchi.store.runs import finish_run, start_run
from madoguchi.store.types import new_id
from tests.world import World, jst

NOW = jst("2026-09-24 10:40")
_ENDS = ("attended",) * 17 + ("no_show", "no_show", "cancelled", "cancelled", "contacted")


def half_a_year(world: World, a_day: float = 9, seed: int = 5, first: date = date(2026, 3, 2)) -> None:
    """Sessions from `first` on, with applications a week before each; what is ahead of `NOW` is confirmed."""
    draw = random.Random(seed)
    rows = {table: [] for table in (Client, BookingRequest, Booking, OutboxMessage)}
    with world.database.write() as session:
        file = world._file(session)
        day, number = first, 10_000
        while day < date(2026, 10, 9):
            for _ in range(round(draw.gauss(a_day, 2.5)) if world.services.calendar.is_working_day(day) else 0):
                number += 1
                _one(world, rows, number, draw, day, file)
            day += timedelta(days=1)
        for table, found in rows.items():
            for at in range(0, len(found), 2000):
                session.execute(insert(table), found[at : at + 2000])


def _one(world, rows, number, draw, day, file):
    office = world.office.code
    start = datetime(day.year, day.month, day.day, 11, tzinfo=JST) + timedelta(minutes=30 * draw.randrange(8))
    applied = start - timedelta(days=draw.randrange(3, 12), minutes=draw.randrange(900))
    client, request, booking = new_id(), new_id(), new_id()
    status = draw.choice(_ENDS) if start < NOW else "confirmed"
    rows[Client].append({"id": client, "office": office, "number_index": number.to_bytes(8, "big"),
                         "sealed_personal": b"", "created_at": applied})  # fmt: skip
    rejected = number % 11 == 0
    sealed = b""
    if day == NOW.date():
        # The day list opens these.
        wrote = {"application": {"name": "架空 七海"}, "findings": []}
        sealed = world.services.vault.seal_json(wrote, f"booking_request.sealed_values.{request}")
    rows[BookingRequest].append({
        "id": request, "reference": f"R-{number}", "office": office, "source": draw.choice(("google", "logo")),
        "form": "f", "file_id": file, "row_number": number, "row_key": str(number), "digest": number.to_bytes(8, "big"),
        "occurrence": 1, "outcome": "reject" if rejected else "accept", "flags": [], "wishes": [],
        "reason": draw.choice(("PAST_DATE", "MISSING_DATETIME", "NOT_REGISTERED")) if rejected else None,
        "status": "booked", "client_id": client, "values_digest": b"", "submitted_at": applied, "recorded_at": applied,
        "sealed_raw": b"", "sealed_values": sealed,
    })  # fmt: skip
    rows[Booking].append({
        "id": booking, "reference": f"M-{number}", "office": office, "request_id": request, "client_id": client,
        "start_at": start, "end_at": start + SESSION, "counsellor": f"c-{number}", "host": f"h-{number}",
        "status": status, "revision": 1, "held_at": applied, "confirmed_at": applied,
    })  # fmt: skip
    for kind, at in (("confirmed", applied + timedelta(minutes=draw.expovariate(1 / 300))),
                     ("reminder_day", start - timedelta(hours=20))):  # fmt: skip
        if at < NOW:
            rows[OutboxMessage].append({
                "id": new_id(), "office": office, "dedupe_key": f"{kind}:{number}", "kind": kind, "booking_id": booking,
                "revision": 1, "template_version": "t", "sealed_context": b"", "status": "sent", "due_at": at,
                "message_id": f"<{kind}.{number}@example.jp>", "sent_at": at, "queued_at": at, "changed_at": at,
            })  # fmt: skip


def a_busy_morning(world: World) -> dict[str, str]:
    """What waits for a person at `NOW`, runs and an alarm; return the references by what they stand for."""
    office = world.office.code
    near = world.occupy("2026-09-25 11:00", counsellor="c-a")
    review = world.ask("2026-09-28 13:00", status="in_review", recorded_at=NOW - timedelta(days=3))
    proposed = world.occupy("2026-09-18 11:00", counsellor="c-b", status="no_show_proposed")
    fresh = world.ask("2026-10-20 13:00", status="in_review", recorded_at=NOW - timedelta(hours=2))
    tasks = [
        ("call-applicant", near, "BOUNCED_HARD", NOW - timedelta(hours=1)),
        ("review-request", review, "REPEATED_NO_SHOW", NOW - timedelta(days=3)),
        ("confirm-no-show", proposed, None, NOW - timedelta(days=2)),
        ("review-request", fresh, "TIME_AMBIGUOUS", NOW - timedelta(hours=2)),
        ("switch-registration", near.replace("M", "R"), None, NOW - timedelta(hours=1)),
    ]
    with world.database.write() as session:
        for kind, subject, reason, at in tasks:
            session.add(StaffTask(office=office, kind=kind, subject=subject, reason=reason, opened_at=at))
        session.add(
            OutboxMessage(office=office, dedupe_key="x", kind="reminder_hour", revision=1, template_version="t",
                          sealed_context=b"", status="uncertain", due_at=NOW, message_id="<x@example.jp>",
                          queued_at=NOW - timedelta(hours=2), changed_at=NOW - timedelta(hours=2))
        )  # fmt: skip
        session.add(
            Alarm(office=office, code="NO_EXPORT", subject="google", severity="soon",
                  touched=[f"R-{number}" for number in range(1, 13)], details={},
                  first_seen_at=NOW - timedelta(hours=3), last_seen_at=NOW, told={})
        )  # fmt: skip
        for flow, state, at in (("process-requests", "completed", NOW - timedelta(minutes=5)),
                                ("deliver-messages", "completed", NOW - timedelta(minutes=35)),
                                ("deliver-messages", "failed", NOW - timedelta(minutes=5)),
                                ("reconcile-zoom", "completed", NOW - timedelta(hours=15))):  # fmt: skip
            run = start_run(session, office, flow, None, at, at)
            finish_run(session, run, state=state, message="", counts={}, incomplete=[], now=at + timedelta(seconds=20))
    return {"near": near, "review": review, "proposed": proposed, "fresh": fresh}


def act(world: World) -> Act:
    """The circumstances of a change at `NOW`."""
    return Act(world.office.code, "test", None, NOW, NOW)
