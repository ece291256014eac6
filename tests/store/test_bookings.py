from datetime import UTC, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from madoguchi.store.bookings import CELL, cells, change_host, free_hosts, fresh_references, open_requests, taken_cells
from madoguchi.store.models import Audit, Booking, Occupancy
from tests.world import AS_OF, World, jst, office


@pytest.mark.parametrize(
    ("start", "minutes", "found"),
    [
        ("11:00", 30, ["11:00", "11:15"]), ("11:15", 30, ["11:15", "11:30"]),
        ("11:10", 30, ["11:00", "11:15", "11:30"]), ("11:14", 1, ["11:00"]), ("11:00", 31, ["11:00", "11:15", "11:30"]),
    ],
)  # fmt: skip
def test_a_session_occupies_every_quarter_that_it_touches(start, minutes, found):
    at = jst(f"2026-09-24 {start}")
    assert cells(at, at + timedelta(minutes=minutes)) == tuple(
        jst(f"2026-09-24 {cell}").astimezone(UTC) for cell in found
    )


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 90), st.integers(1, 90))
def test_overlapping_sessions_share_a_quarter(first, second, long, length):
    base = jst("2026-09-24 11:00")
    one = (base + timedelta(minutes=first), base + timedelta(minutes=first + long))
    two = (base + timedelta(minutes=second), base + timedelta(minutes=second + length))
    if one[0] < two[1] and two[0] < one[1]:
        assert set(cells(*one)) & set(cells(*two))
    assert all(cell.minute % 15 == 0 for cell in cells(*one))
    assert cells(*one)[-1] < one[1] <= cells(*one)[-1] + CELL


@pytest.mark.parametrize(
    "changes", [{"host": "host-2"}, {"counsellor": "counsellor-2"}], ids=["same counsellor", "same host"]
)
@pytest.mark.parametrize("start", ["11:00", "11:15", "10:45"])
def test_the_record_itself_refuses_a_second_session_of_a_counsellor_or_a_host(database, changes, start):
    world = World(database)
    world.occupy("2026-09-24 11:00")
    with pytest.raises(IntegrityError):
        world.occupy(f"2026-09-24 {start}", **changes)
    world.occupy("2026-09-24 11:30")
    world.occupy("2026-09-24 11:00", counsellor="counsellor-2", host="host-2")


def test_open_requests_come_in_order_of_submission_and_only_of_this_office(database):
    world = World(database)
    late = world.ask("2026-09-24 11:00", submitted_at=AS_OF)
    early = world.ask("2026-09-24 11:00", submitted_at=AS_OF - timedelta(days=1), status="waiting")
    for status in ("staged", "booked", "in_review", "to_offer", "rejected", "replaced", "lapsed", "skipped"):
        world.ask("2026-09-24 11:00", status=status)
    world.ask("2026-09-24 11:00", office="elsewhere")
    with database.write() as session:
        assert [r.reference for r in open_requests(session, world.office.code)] == [early, late]


def test_a_host_is_free_when_none_of_the_quarters_is_taken(database):
    world = World(database, office(2, 3))
    world.occupy("2026-09-24 11:15", counsellor="counsellor-2", host="host-2")
    reference = world.occupy("2026-09-24 11:00")
    with database.write() as session:
        booking = session.scalars(select(Booking).where(Booking.reference == reference)).one()
        assert free_hosts(session, booking, ["host-1", "host-2", "host-3"]) == ["host-3"]
        change_host(session, booking, "host-3", world.run().act(world.services))
        assert free_hosts(session, booking, ["host-1", "host-2", "host-3"]) == ["host-1"]
    assert {
        row.resource for row in world.rows(Occupancy, booking_id=world.rows(Booking, reference=reference)[0].id)
    } == {
        "counsellor:counsellor-1",
        "host:host-3",
    }
    assert [(row.old, row.new) for row in world.rows(Audit, action="host")] == [("host-1", "host-3")]


def test_references_in_use_are_not_given_again(database):
    world = World(database)
    taken = world.occupy("2026-09-24 11:00")
    drawn = iter([taken, "M-A", "M-A", taken, "M-B"])
    with database.read() as session:
        assert fresh_references(session, world.office.code, 2, lambda: next(drawn)) == ["M-A", "M-B"]
        found = taken_cells(session, world.office.code, jst("2026-09-24 11:15"), jst("2026-09-25 00:00"))
    assert {name: len(times) for name, times in found.items()} == {"counsellor:counsellor-1": 1, "host:host-1": 1}
