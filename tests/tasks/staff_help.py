"""What tests of the forms of staff share: an office whose sessions are confirmed at the stand-ins, and its forms."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.parser import BytesParser
from typing import Any

import pytest
from sqlalchemy import select

from madoguchi.domain.lifecycle import BookingStatus
from madoguchi.store.models import Audit, Booking, Occupancy, OutboxMessage
from madoguchi.store.transitions import move_booking as move_state
from tasks.delivery import DeliveryReport, deliver_messages
from tasks.meeting_removal import RemovalReport, remove_meetings
from tasks.meetings import MeetingsReport, create_meetings
from tasks.scheduling import ScheduleReport, schedule_requests
from tasks.staff import Done, Refused
from tasks.staff_bookings import Cancellation, Move, cancel_booking, move_booking
from tests.world import World

THU, FRI = "2026-09-24", "2026-09-25"


@dataclass
class After:
    """What the steps after a form did."""

    scheduled: ScheduleReport
    made: MeetingsReport
    removed: RemovalReport
    delivered: DeliveryReport


def after(world: World) -> After:
    """Do what the flows do after their form."""
    services, run = world.services, world.run()
    scheduled = schedule_requests(services, run)
    made = create_meetings(services, run)
    removed = remove_meetings(services, run)
    return After(scheduled, made, removed, deliver_messages(services, run))


def confirmed(world: World, *wishes: str, **changes: Any) -> list[str]:
    """Bring requests to confirmed sessions, mails sent, and return the bookings' references in that order."""
    asked = [world.ask(wish, **changes) for wish in wishes]
    after(world)
    return [world.active(reference).reference for reference in asked]


def cancel(world: World, reference: str, **changes: Any) -> Done:
    form = {"received_by": "松戸", "reason": "ご本人の都合"} | changes
    return cancel_booking(world.services, world.run(), Cancellation(reference, **form))


def move(world: World, reference: str, start: datetime, **changes: Any) -> Done:
    form = {"received_by": "松戸", "reason": "ご本人の希望"} | changes
    return move_booking(world.services, world.run(), Move(reference, start, **form))


def refusal(function: Any, *arguments: Any, **form: Any) -> str:
    """The sentence with which a form is refused."""
    with pytest.raises(Refused) as refused:
        function(*arguments, **form)
    return str(refused.value)


def booking(world: World, reference: str) -> Booking:
    [found] = world.rows(Booking, reference=reference)
    return found


def stands(world: World, reference: str, status: BookingStatus, *between: BookingStatus) -> None:
    """Let the tenth minute, or a person, have said so."""
    with world.database.write() as session:
        found = session.scalars(select(Booking).where(Booking.reference == reference)).one()
        for to in (*between, status):
            move_state(session, found, to, world.run().act(world.services), "TEST")


def occupied(world: World, reference: str) -> set[tuple[str, datetime]]:
    return {(row.resource, row.cell_at) for row in world.rows(Occupancy, booking_id=booking(world, reference).id)}


def live_at_zoom(world: World) -> list[str]:
    """Starts of the meetings that this office has at the stand-in."""
    users = {host.user for host in world.office.hosts}
    return sorted(
        doc["start_time"] for host, _, gone, doc in world.zoom.state.everything() if host in users and not gone
    )


def everything(world: World) -> dict[str, Any]:
    """The whole record but for its runs, to see that nothing has changed."""
    with world.database.read() as session:
        return {
            table.__tablename__: [
                tuple(getattr(row, column.name) for column in table.__table__.columns)
                for row in session.scalars(select(table).order_by(*table.__table__.primary_key.columns))
            ]
            for table in (Audit, Booking, Occupancy, OutboxMessage)
        }


def mails(world: World, kind: str) -> list[tuple[str, str]]:
    """Status and reason of every message of a kind."""
    return [(message.status, message.reason) for message in world.messages(kind)]


def calendar_methods(mailbox: Any) -> list[str]:
    """METHOD of the calendar part of every mail in the mailbox, oldest first."""
    letters = [BytesParser(policy=policy.default).parsebytes(mail.content) for mail in mailbox.state.mails()]
    parts = [part for letter in letters for part in letter.walk() if part.get_content_type() == "text/calendar"]
    return [str(part.get_param("method")) for part in parts]


def at_once(*acts: Callable[[], Done]) -> list[Any]:
    """Run all at the same moment; return what each gave, or its refusal."""
    barrier = threading.Barrier(len(acts))
    results: list[Any] = [None] * len(acts)

    def go(number: int, act: Callable[[], Done]) -> None:
        barrier.wait()
        try:
            results[number] = act()
        except Refused as refused:
            results[number] = refused

    threads = [threading.Thread(target=go, args=each) for each in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results
