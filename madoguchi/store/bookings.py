"""Open requests, what is taken, and holding a slot for somebody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from madoguchi.domain.lifecycle import ACTIVE_BOOKINGS, BookingStatus, RequestStatus
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.meeting_removal import mark_unwanted
from madoguchi.store.models import Booking, BookingRequest, HostBudget, Occupancy
from madoguchi.store.transitions import move_booking, move_request

CELL = timedelta(minutes=15)
"""Occupancy is kept in quarters of an hour, so that sessions off the grid collide too."""


def cells(start: datetime, end: datetime) -> tuple[datetime, ...]:
    """Return the quarters of an hour that a session touches, in UTC."""
    first = start.astimezone(UTC)
    first -= timedelta(minutes=first.minute % 15, seconds=first.second, microseconds=first.microsecond)
    found = []
    while first < end:
        found.append(first)
        first += CELL
    return tuple(found)


def open_requests(session: Session, office: str) -> list[BookingRequest]:
    """Return requests that want a slot, in order of submission: those received, and those waiting for one.

    Locked until the transaction ends: another runner's stale look would tell somebody who has just got a slot that
    there is none.
    """
    return list(
        session.scalars(
            select(BookingRequest)
            .where(
                BookingRequest.office == office,
                BookingRequest.status.in_((RequestStatus.RECEIVED.value, RequestStatus.WAITING.value)),
            )
            .order_by(BookingRequest.submitted_at, BookingRequest.row_number, BookingRequest.id)
            .with_for_update()
        )
    )


def taken_cells(session: Session, office: str, after: datetime, before: datetime) -> dict[str, set[datetime]]:
    """Return the occupied quarters of an hour of each resource (`counsellor:…`, `host:…`)."""
    found: dict[str, set[datetime]] = defaultdict(set)
    for resource, cell in session.execute(
        select(Occupancy.resource, Occupancy.cell_at).where(
            Occupancy.office == office, Occupancy.cell_at >= after, Occupancy.cell_at <= before
        )
    ).tuples():
        found[resource].add(cell)
    return found


def host_budgets_used(session: Session, office: str, utc_day: date) -> dict[str, int]:
    """Return how many creations and changes each host has used in that UTC day."""
    return dict(
        session.execute(
            select(HostBudget.host, HostBudget.used).where(HostBudget.office == office, HostBudget.utc_day == utc_day)
        )
        .tuples()
        .all()
    )


def fresh_references(session: Session, office: str, count: int, make: Callable[[], str]) -> list[str]:
    """Return `count` booking references that nobody has."""
    found: set[str] = set()
    while len(found) < count:
        wanted = {make() for _ in range(count - len(found))} - found
        wanted -= set(
            session.scalars(select(Booking.reference).where(Booking.office == office, Booking.reference.in_(wanted)))
        )
        found |= wanted
    return sorted(found)


def hold_slots(
    session: Session, holds: Sequence[tuple[BookingRequest, str, datetime, datetime, str, str]], act: Act
) -> list[Booking]:
    """Take slots: (request, reference, start, end, counsellor, host) each; the requests become booked.

    Raises IntegrityError, and the transaction is lost as a whole, when another runner was faster.
    """
    bookings = []
    occupied = []
    for request, reference, start, end, counsellor, host in holds:
        booking = Booking(
            reference=reference,
            office=act.office,
            request_id=request.id,
            client_id=request.client_id,
            start_at=start,
            end_at=end,
            counsellor=counsellor,
            host=host,
            status=BookingStatus.HELD.value,
            revision=0,
            held_at=act.happened_at,
            confirmed_at=None,
        )
        bookings.append(booking)
    session.add_all(bookings)
    session.flush()
    for booking, (request, *_rest) in zip(bookings, holds, strict=True):
        for resource in (f"counsellor:{booking.counsellor}", f"host:{booking.host}"):
            occupied += [
                {"office": act.office, "resource": resource, "cell_at": cell, "booking_id": booking.id}
                for cell in cells(booking.start_at, booking.end_at)
            ]
        move_request(session, request, RequestStatus.BOOKED, act, booking=booking.reference)
    if occupied:
        session.execute(insert(Occupancy), occupied)
    write_audit(
        session, [audit_row(act, "booking", b.reference, "held", new=BookingStatus.HELD.value) for b in bookings]
    )
    session.flush()
    return bookings


def stale_holds(session: Session, office: str, as_of: datetime) -> list[Booking]:
    """Return holds whose start has passed without a verified meeting; locked, since one may just be confirmed."""
    return list(
        session.scalars(
            select(Booking)
            .where(
                Booking.office == office,
                Booking.status == BookingStatus.HELD.value,
                Booking.start_at <= as_of,
            )
            .order_by(Booking.id)
            .with_for_update()
        )
    )


def release_hold(session: Session, booking: Booking, act: Act, reason: str) -> BookingRequest:
    """Give a hold up: slot free, meeting unwanted; its request, which is returned, goes to a person."""
    mark_unwanted(session, booking, act, reason)
    move_booking(session, booking, BookingStatus.RELEASED, act, reason)
    request = session.get_one(BookingRequest, booking.request_id)
    move_request(session, request, RequestStatus.IN_REVIEW, act, reason)
    return request


def active_starts(session: Session, office: str, clients: set[str]) -> set[tuple[str | None, datetime]]:
    """Return (client, start in UTC) of every active booking of these people."""
    rows = session.execute(
        select(Booking.client_id, Booking.start_at).where(
            Booking.office == office, Booking.status.in_([s.value for s in ACTIVE_BOOKINGS])
        )
    ).tuples()
    return {(client, start) for client, start in rows if client in clients}


def requests_to_offer(session: Session, office: str) -> list[BookingRequest]:
    """Return rows that cannot be booked as wished and have not been offered other times yet; locked."""
    return list(
        session.scalars(
            select(BookingRequest)
            .where(BookingRequest.office == office, BookingRequest.status == RequestStatus.TO_OFFER.value)
            .order_by(BookingRequest.submitted_at, BookingRequest.id)
            .with_for_update()
        )
    )


def free_hosts(session: Session, booking: Booking, hosts: Sequence[str]) -> list[str]:
    """Return which hosts are free during a booking, in the given order."""
    taken = set(
        session.scalars(
            select(Occupancy.resource).where(
                Occupancy.office == booking.office, Occupancy.cell_at.in_(cells(booking.start_at, booking.end_at))
            )
        )
    )
    return [host for host in hosts if f"host:{host}" not in taken]


def change_host(session: Session, booking: Booking, host: str, act: Act) -> None:
    """Move a hold to another Zoom host; nobody has been told anything yet."""
    session.execute(
        update(Occupancy)
        .where(Occupancy.booking_id == booking.id, Occupancy.resource == f"host:{booking.host}")
        .values(resource=f"host:{host}")
        .execution_options(synchronize_session=False)
    )
    write_audit(session, [audit_row(act, "booking", booking.reference, "host", old=booking.host, new=host)])
    booking.host = host
    session.flush()
