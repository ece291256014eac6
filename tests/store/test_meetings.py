import threading
from datetime import UTC, timedelta

import pytest

from madoguchi.domain.lifecycle import BookingStatus
from madoguchi.store import meetings as store
from madoguchi.store.meeting_removal import mark_unwanted
from madoguchi.store.models import Booking, HostBudget, Meeting
from madoguchi.store.transitions import move_booking
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


# --- a claim that ran out


def freeze_and_lift(world):
    """A runner claims, freezes for longer than its lease, and another one's round lifts its claim."""
    frozen = claim(world, "frozen")
    world.clock.forward(seconds=store.LEASE.total_seconds() + 1)
    with world.database.write() as session:
        assert store.lift_claims(session, act(world), []) == 1
    return frozen


def settle(world, name, claimed):
    with world.database.write() as session:
        if name == "record_created":
            store.record_created(session, claimed, "80000000001", act(world), adopted=False)
        elif name == "forget_created":
            store.forget_created(session, claimed, act(world), "MEETING_GONE")
        else:
            link = "https://zoom.example.jp/j/1"
            store.confirm_booking(session, world.services.vault, claimed, link, "abcd2345", act(world))


SETTLINGS = ["record_created", "forget_created", "confirm_booking"]


@pytest.mark.parametrize("name", SETTLINGS)
@pytest.mark.parametrize("successor", ["successor", "frozen", None], ids=["another", "same process", "nobody yet"])
def test_a_runner_that_was_frozen_does_not_settle_its_successors_meeting(world, name, successor):
    frozen = freeze_and_lift(world)
    later = None
    if successor:
        later = claim(world, successor)
        with world.database.write() as session:
            store.record_created(session, later, "80000000002", act(world), adopted=True)
    with pytest.raises(store.ClaimedElsewhere):
        settle(world, name, frozen)
    with world.database.write() as session:
        assert store.record_failure(session, frozen, "ZOOM_TIMEOUT", nothing_made=True) is False
    [meeting] = world.meetings()
    if later is None:
        assert (meeting.status, meeting.meeting_id, meeting.claim_owner) == ("claimed", None, None)
        return
    assert (meeting.status, meeting.meeting_id, meeting.claim_owner) == ("created", "80000000002", successor)
    assert (meeting.last_code, meeting.attempts) == (None, 2)
    settle(world, "confirm_booking", later)
    assert world.rows(Booking)[0].status == "confirmed"


def test_what_a_frozen_runner_made_for_a_session_that_was_called_off_is_kept_for_removal_once(world):
    frozen = freeze_and_lift(world)
    with world.database.write() as session:
        mark_unwanted(session, session.get_one(Booking, frozen.booking_id), act(world), "CANCELLED")
    settle(world, "record_created", frozen)
    with world.database.write() as session:
        store.record_created(session, frozen, "80000000009", act(world), adopted=False)
    [meeting] = world.meetings()
    assert (meeting.status, meeting.meeting_id) == ("unwanted", "80000000001"), "the first id is not lost"


# --- revisions


def test_a_session_that_moves_again_before_its_meeting_is_verified_gets_a_revision_of_its_own(world):
    first = claim(world)
    with world.database.write() as session:
        booking = session.get_one(Booking, first.booking_id)
        mark_unwanted(session, booking, act(world), "MOVED")
        booking.start_at = jst("2026-09-24 13:00")
    second = claim(world)
    assert second.row_id != first.row_id
    assert (second.look_first, second.start) == (False, jst("2026-09-24 13:00"))
    settle(world, "record_created", second)
    with world.database.write() as session:
        link = "https://zoom.example.jp/j/1"
        done = store.confirm_booking(session, world.services.vault, second, link, "abcd2345", act(world))
        assert (done.is_first, done.booking.revision) == (True, 2)
    assert sorted((m.revision, m.status) for m in world.meetings()) == [(1, "unwanted"), (2, "verified")]


def test_a_later_revision_knows_what_the_client_was_told_before(world):
    first = claim(world)
    settle(world, "record_created", first)
    settle(world, "confirm_booking", first)
    with world.database.write() as session:
        booking = session.get_one(Booking, first.booking_id)
        mark_unwanted(session, booking, act(world), "MOVED")
        move_booking(session, booking, BookingStatus.HELD, act(world), "MOVED")
        booking.start_at = jst("2026-09-24 13:00")
    second = claim(world)
    with world.database.write() as session:
        store.record_created(session, second, "80000000002", act(world), adopted=False)
        link = "https://zoom.example.jp/j/2"
        done = store.confirm_booking(session, world.services.vault, second, link, "abcd2345", act(world))
        assert (done.is_first, done.booking.revision) == (False, 2)
