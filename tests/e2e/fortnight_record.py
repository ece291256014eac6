"""What the fortnight asks of the record, read afresh each time."""

from contextlib import contextmanager
from datetime import UTC, timedelta

from sqlalchemy import select

from madoguchi.domain.office import JST
from madoguchi.store.database import Database
from madoguchi.store.models import Booking, BookingRequest, Meeting, OutboxMessage, StaffTask

TAKING = ("held", "confirmed")
SESSION = timedelta(minutes=30)


@contextmanager
def reading(record):
    database = Database(record)
    try:
        with database.read() as session:
            yield session
    finally:
        database.close()


def live_sessions(record, start):
    """Row and meeting of every confirmed session at that time: the counsellors' day list."""
    with reading(record) as session:
        found = session.execute(
            select(BookingRequest.row_number, Meeting.meeting_id)
            .join(Booking, Booking.request_id == BookingRequest.id)
            .join(Meeting, (Meeting.booking_id == Booking.id) & (Meeting.revision == Booking.revision))
            .where(Booking.status == "confirmed", Booking.start_at == start.astimezone(UTC))
            .where(Meeting.status == "verified")
        )
        return found.tuples().all()


def sessions_on(record, day):
    """Row and reference of every session of a day that is to be."""
    with reading(record) as session:
        found = session.execute(
            select(BookingRequest.row_number, Booking.reference, Booking.start_at)
            .join(Booking, Booking.request_id == BookingRequest.id)
            .where(Booking.status.in_(TAKING))
        ).tuples()
        return [(row, reference) for row, reference, start in found if start.astimezone(JST).date() == day]


def booking_of(record, row):
    """Reference and state of the person's latest booking, or nothing."""
    with reading(record) as session:
        found = session.execute(
            select(Booking.reference, Booking.status)
            .join(BookingRequest, Booking.request_id == BookingRequest.id)
            .where(BookingRequest.row_number == row)
            .order_by(Booking.held_at.desc())
        ).first()
        return tuple(found) if found else None


def rows_by_reference(record):
    """Row of the export by reference of application and booking."""
    with reading(record) as session:
        requests = dict(session.execute(select(BookingRequest.reference, BookingRequest.row_number)).tuples().all())
        bookings = session.execute(
            select(Booking.reference, BookingRequest.row_number).join(
                BookingRequest, Booking.request_id == BookingRequest.id
            )
        )
        return requests | dict(bookings.tuples().all())


def open_tasks(record):
    """Kind, subject, reason and time of opening of everything that waits for a person."""
    with reading(record) as session:
        found = session.scalars(select(StaffTask).where(StaffTask.closed_at.is_(None)).order_by(StaffTask.opened_at))
        return [(task.kind, task.subject, task.reason, task.opened_at) for task in found]


def message_id_of(record, message):
    with reading(record) as session:
        return session.scalars(select(OutboxMessage.message_id).where(OutboxMessage.id == message)).one()


def free_start(record, office, calendar_days, clocks):
    """A start at which a counsellor and a host are free; both are taken for half an hour."""
    with reading(record) as session:
        taken = session.execute(
            select(Booking.start_at, Booking.counsellor, Booking.host).where(
                Booking.status.not_in(("cancelled", "released"))
            )
        ).tuples()
        by_start = {}
        for start, counsellor, host in taken:
            by_start.setdefault(start, []).append((counsellor, host))
    for start in (moment for day in calendar_days for moment in clocks(day)):
        near = [pair for other, pairs in by_start.items() if abs(other - start) < SESSION for pair in pairs]
        there = {each.code for each in office.counsellors if start.astimezone(JST).weekday() in each.weekdays}
        hosts = {each.code for each in office.hosts}
        if there - {counsellor for counsellor, _ in near} and hosts - {host for _, host in near}:
            return start
    return None
