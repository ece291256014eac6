import itertools

import pytest
from sqlalchemy import select

from madoguchi.domain.lifecycle import (
    BOOKING_ARROWS,
    MEETING_ARROWS,
    REQUEST_ARROWS,
    BookingStatus,
    ForbiddenTransition,
    MeetingStatus,
    RequestStatus,
)
from madoguchi.store.models import Audit, Booking, BookingRequest, Meeting, Occupancy
from madoguchi.store.runs import close_staff_tasks, open_staff_task
from madoguchi.store.transitions import move_booking, move_meeting, move_request
from tests.world import AS_OF, World


@pytest.fixture
def world(database):
    made = World(database)
    made.clock.forward(hours=1)
    return made


def the(session, table):
    return session.scalars(select(table)).one()


def acting(world):
    return world.run(AS_OF).act(world.services)


def check_moves(world, subject, states, arrows, table, move):
    """Try every pair: a listed one leaves one audit row with both times, another one nothing at all."""
    for old, new in itertools.product(states, states):
        rows = world.count(Audit)
        with world.database.write() as session:
            the(session, table).status = old.value
        if new in arrows[old]:
            with world.database.write() as session:
                move(session, the(session, table), new, acting(world))
            assert world.count(Audit) == rows + 1
            last = max(world.rows(Audit, subject=subject), key=lambda row: row.id)
            assert (last.action, last.old, last.new, last.actor) == ("transition", old, new, "test")
            assert (last.happened_at, last.recorded_at) == (AS_OF, world.clock.now)
        else:
            with pytest.raises(ForbiddenTransition, match=subject), world.database.write() as session:
                move(session, the(session, table), new, acting(world))
            assert world.count(Audit) == rows
        assert world.rows(table)[0].status == (new if new in arrows[old] else old)


def test_every_move_of_a_request(world):
    reference = world.ask("2026-09-24 11:00")
    check_moves(world, reference, RequestStatus, REQUEST_ARROWS, BookingRequest, move_request)


def test_every_move_of_a_booking_and_its_quarters(world):
    reference = world.occupy("2026-09-24 11:00", status="held", confirmed_at=None)
    assert world.count(Occupancy) == 4
    check_moves(world, reference, BookingStatus, BOOKING_ARROWS, Booking, move_booking)
    assert world.count(Occupancy) == 0, "a release frees counsellor and host"
    assert world.rows(Booking)[0].confirmed_at == AS_OF


def test_every_move_of_a_meeting(world):
    reference = world.occupy("2026-09-24 11:00")
    with world.database.write() as session:
        booking = the(session, Booking)
        session.add(
            Meeting(office=world.office.code, booking_id=booking.id, revision=1, token="T-1", host="host-1",
                    status="claimed", start_at=booking.start_at, changed_at=AS_OF)
        )  # fmt: skip

    def move(session, meeting, new, act):
        move_meeting(session, meeting, reference, new, act)

    check_moves(world, reference, MeetingStatus, MEETING_ARROWS, Meeting, move)


def test_a_move_and_its_audit_row_are_one_transaction(world):
    reference = world.ask("2026-09-24 11:00")

    def break_off():
        with world.database.write() as session:
            move_request(session, the(session, BookingRequest), RequestStatus.BOOKED, acting(world))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert world.status(reference) == "received"
    assert world.count(Audit) == 0


def test_a_staff_task_is_opened_once_and_again_after_it_was_closed(world):
    act = acting(world)
    with world.database.write() as session:
        assert open_staff_task(session, act, "review-request", "R-1", "OFF_GRID")
        assert not open_staff_task(session, act, "review-request", "R-1", "SAME_DAY")
        close_staff_tasks(session, act, "R-1")
    assert world.staff() == []
    with world.database.write() as session:
        assert open_staff_task(session, act, "review-request", "R-1", "SAME_DAY")
    assert world.staff() == [("review-request", "R-1", "SAME_DAY")]
