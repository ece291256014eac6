"""Evidence is added once, by one of however many runners, and read in bulk."""

import threading
from datetime import timedelta

from madoguchi.domain.evidence import EvidenceKind, EvidenceSource
from madoguchi.store import evidence as store
from madoguchi.store.models import Audit, Booking, Evidence, Meeting
from madoguchi.store.types import new_id
from tests.world import AS_OF, World

SOON = AS_OF + timedelta(minutes=3)


def booking_id(world, reference):
    return next(b.id for b in world.bookings() if b.reference == reference)


def piece(booking, key, revision=1, kind=EvidenceKind.GUEST_JOINED, at=SOON, **more):
    return store.NewEvidence(booking, revision, kind, EvidenceSource.WEBHOOK, at, key, **more)


def act(world):
    return world.run().act(world.services)


def add(world, *items):
    with world.database.write() as session:
        return store.add_evidence(session, act(world), items)


def test_the_same_key_is_never_added_twice_and_each_new_row_has_one_audit_row(database):
    world = World(database)
    booking = booking_id(world, world.occupy("2026-09-24 11:00"))
    first = add(world, piece(booking, "a"), piece(booking, "b"), piece(booking, "a"))
    again = add(world, piece(booking, "b"), piece(booking, "c", id="f" * 32, details={"code": "X"}))
    assert len(first) == 2
    assert again == ["f" * 32]
    assert world.count(Evidence) == 3
    rows = [row for row in world.rows(Audit) if row.action == "evidence"]
    assert [row.details["id"] for row in rows] == [*first, *again]
    assert {(row.subject_kind, row.subject, row.new) for row in rows} == {("booking", "M-000001", "guest_joined")}


def test_runners_that_add_the_same_at_once_add_it_once(database):
    world = World(database)
    booking = booking_id(world, world.occupy("2026-09-24 11:00"))
    barrier, found = threading.Barrier(4), []
    keys = [f"key-{n}" for n in range(20)]

    def work(turn):
        barrier.wait()
        order = keys if turn % 2 else keys[::-1]
        found.extend(add(world, *(piece(booking, key) for key in order)))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(set(found)) == world.count(Evidence) == 20


def test_evidence_is_read_for_one_revision_earliest_first_and_nothing_known_is_an_empty_list(database):
    world = World(database, None)
    one = booking_id(world, world.occupy("2026-09-24 11:00"))
    two = booking_id(world, world.occupy("2026-09-24 13:00"))
    late = SOON + timedelta(minutes=5)
    add(world, piece(one, "late", at=late), piece(one, "early"), piece(one, "other", revision=2))
    with database.read() as session:
        found = store.evidence_of(session, [(one, 1), (two, 1)])
    assert [e.happened_at for e in found[one]] == [SOON, late]
    assert found[one][0].recorded_at == world.clock.now
    assert found[two] == []


def test_hundreds_of_bookings_are_read_and_written_in_few_statements(database):
    world = World(database)
    booking = booking_id(world, world.occupy("2026-09-24 11:00"))
    assert len(add(world, *(piece(booking, f"k{n}") for n in range(1201)))) == 1201
    with database.read() as session:
        found = store.evidence_of(session, [(booking, 1), *((new_id(), 1) for _ in range(1200))])
    assert len(found) == 1201
    assert len(found[booking]) == 1201


def test_a_meeting_that_was_given_up_belongs_to_its_own_revision(database):
    world = World(database)
    booking = booking_id(world, world.occupy("2026-09-24 11:00"))
    with database.write() as session:
        session.get_one(Booking, booking).revision = 2
        for revision, status in ((1, "deleted"), (2, "verified")):
            session.add(
                Meeting(
                    office=world.office.code, booking_id=booking, revision=revision, token=f"t{revision}",
                    host="host-1", status=status, meeting_id=f"8{revision}", start_at=AS_OF, changed_at=AS_OF,
                )
            )  # fmt: skip
    with database.read() as session:
        old = store.booking_of_meeting(session, world.office.code, "81")
        assert (old.booking_id, old.reference, old.revision, old.status) == (booking, "M-000001", 1, "confirmed")
        assert store.booking_of_meeting(session, world.office.code, "82").revision == 2
        assert store.booking_of_meeting(session, world.office.code, "99") is None
        assert store.newest_event_at(session, world.office.code) is None
