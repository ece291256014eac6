import threading
from datetime import UTC, timedelta

import pytest

from madoguchi.store import meetings as store
from madoguchi.store.models import Booking, HostBudget, Meeting
from tests.world import World, jst


@pytest.fixture
def world(database):
    made = World(database)
    made.held = made.occupy("2026-09-24 11:00", status="held", confirmed_at=None, revision=0)
    return made


def act(world):
    return world.run().act(world.services)


def claim(world, owner="me", limit=100):
    with world.database.write() as session:
        return store.claim_meeting(
            session, world.services.vault, world.rows(Booking)[0].id, owner, act(world),
            passcode="abcd2345", daily_limit=limit,
        )  # fmt: skip


def test_a_first_claim_creates_and_a_later_one_looks_first(world):
    first = claim(world)
    assert (first.look_first, first.meeting_id, first.passcode) == (False, None, "abcd2345")
    assert first.counted_on == world.clock.now.astimezone(UTC).date()
    assert first.token.startswith(f"{world.held}-")
    with pytest.raises(store.ClaimedElsewhere):
        claim(world, "another")
    with world.database.write() as session:
        store.record_failure(session, first, "ZOOM_TIMEOUT")
    again = claim(world)
    assert (again.look_first, again.token, again.passcode) == (True, first.token, "abcd2345")
    assert world.used() == 2
    with world.database.write() as session:
        store.give_back(session, world.office.code, again)
    assert world.used() == 1


def test_a_failure_that_certainly_made_nothing_leaves_the_hold_untouched(world):
    booking = world.rows(Booking)[0].id
    first = claim(world)
    with world.database.read() as session:
        assert not store.is_untouched(session, booking)
    with world.database.write() as session:
        store.record_failure(session, first, "ZOOM_HOST_UNKNOWN", nothing_made=True)
    with world.database.read() as session:
        assert store.is_untouched(session, booking)
    assert not claim(world).look_first


def test_a_used_up_day_refuses_a_creation_but_not_a_search(world):
    with pytest.raises(store.BudgetSpent):
        claim(world, limit=0)
    assert world.count(Meeting) == 0
    first = claim(world, limit=1)
    with world.database.write() as session:
        store.record_failure(session, first, "ZOOM_TIMEOUT")
    again = claim(world, limit=1)
    assert (again.look_first, again.counted_on) == (True, None)
    with world.database.write() as session:
        store.give_back(session, world.office.code, again)
    assert world.used() == 1, "what was not counted is not given back"


def test_what_is_counted_on_one_day_is_given_back_to_that_day(world):
    first = claim(world)
    before = world.clock.now
    world.clock.forward(days=1)
    with world.database.write() as session:
        store.give_back(session, world.office.code, first)
    assert (world.used(day=before), world.count(HostBudget)) == (0, 1)


def test_the_first_creations_of_a_day_may_come_from_many_threads_at_once(world):
    gate = threading.Barrier(6)
    failures = []

    def spend():
        gate.wait()
        try:
            with world.database.write() as session:
                store.spend_change(session, "host-9", act(world), 100)
        except Exception as error:  # noqa: BLE001 — shown by the assertion
            failures.append(error)

    threads = [threading.Thread(target=spend) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert world.used("host-9") == 6


def test_claims_are_lifted_for_the_dead_and_after_the_lease(world):
    claim(world, "dead")
    with world.database.write() as session:
        assert store.owners_of_claims(session, world.office.code) == ["dead"]
        assert store.lift_claims(session, act(world), []) == 0
        assert store.lift_claims(session, act(world), ["dead"]) == 1
    claim(world, "slow")
    world.clock.forward(seconds=store.LEASE.total_seconds() + 1)
    with world.database.write() as session:
        assert store.lift_claims(session, act(world), []) == 1
        assert store.owners_of_claims(session, world.office.code) == []


def test_bookings_without_a_meeting_lie_ahead_and_are_held(world):
    with world.database.read() as session:
        start = jst("2026-09-24 11:00")
        for as_of, count in ((start - timedelta(seconds=1), 1), (start, 0)):
            assert len(store.bookings_without_meeting(session, world.office.code, as_of)) == count
        assert store.bookings_without_meeting(session, "elsewhere", start - timedelta(days=1)) == []
