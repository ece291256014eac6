"""Zoom's webhooks as they come: late, twice, out of order, unknown, torn. Kept all, and evidence once."""

import random
import threading

import pytest
from sqlalchemy.exc import OperationalError

from madoguchi.domain.evidence import EvidenceKind
from madoguchi.store.evidence import evidence_of, newest_event_at
from madoguchi.store.models import Audit, Evidence, ZoomEventRecord
from tasks.evidence import drain
from tests.webhook_help import JOINED, MEETING, START, add_meeting, event, minutes, put, world_with_meeting
from tests.world import AS_OF

PERSONAL = ("架空", "nanami", "example.jp", "オンライン相談")


def kinds(world):
    return sorted(row.kind for row in world.rows(Evidence))


def outcomes(world):
    return sorted((row.event, row.outcome) for row in world.rows(ZoomEventRecord))


def test_an_event_becomes_evidence_of_its_booking_and_its_body_is_kept_sealed(database, tmp_path):
    world, reference, spool = world_with_meeting(database, tmp_path)
    raw = event(at=minutes(2))
    put(world, spool, raw)
    assert drain(world.services, world.run(), spool).references == [reference]
    [piece], [kept] = world.rows(Evidence), world.rows(ZoomEventRecord)
    assert (piece.kind, piece.source, piece.revision) == ("guest_joined", "webhook", 1)
    assert (piece.happened_at, piece.recorded_at, piece.actor) == (minutes(2), world.clock.now, "test")
    assert (kept.event, kept.meeting_id, kept.outcome, kept.received_at) == (JOINED, MEETING, "evidence", AS_OF)
    assert world.services.vault.open(kept.sealed_body, f"zoom_event.sealed_body.{kept.id}") == raw
    with database.read() as session:
        assert newest_event_at(session, world.office.code) == AS_OF
        [known] = evidence_of(session, [(piece.booking_id, 1)])[piece.booking_id]
    assert known.kind is EvidenceKind.GUEST_JOINED
    assert spool.waiting(10) == []
    assert drain(world.services, world.run(), spool).references == []


def test_no_name_and_no_address_leaves_the_sealed_body(database, tmp_path):
    world, _, spool = world_with_meeting(database, tmp_path)
    [name] = put(world, spool, event())
    sealed = spool.read(name)
    drain(world.services, world.run(), spool)
    plain = [str(vars(row)) for table in (Evidence, Audit) for row in world.rows(table)]
    for word in PERSONAL:
        assert word.encode() not in sealed
        assert not any(word in text for text in plain)


@pytest.mark.parametrize("seed", [1, 2])
def test_twice_and_out_of_order_is_the_same_as_once_and_in_order(database, tmp_path, seed):
    world, _, spool = world_with_meeting(database, tmp_path)
    bodies = [
        event("meeting.started", at=minutes(0)),
        event(guest=None, at=minutes(0)),
        event(guest="1001", at=minutes(2)),
        event("meeting.participant_left", guest="1001", at=minutes(3)),
        event(guest="1002", at=minutes(4)),
    ] * 2
    random.Random(seed).shuffle(bodies)
    put(world, spool, *bodies)
    report = drain(world.services, world.run(), spool)
    assert (report.taken, report.new) == (10, 5)
    assert kinds(world) == ["guest_joined", "guest_joined", "guest_left", "host_joined", "meeting_started"]
    assert len([row for row in world.rows(Audit) if row.action == "evidence"]) == 5
    put(world, spool, *bodies)
    assert drain(world.services, world.run(), spool).new == 0
    assert world.count(Evidence) == world.count(ZoomEventRecord) == 5


@pytest.mark.parametrize(
    ("raw", "outcome"),
    [
        (event("meeting.summary_completed"), ("meeting.summary_completed", "unknown_event")),
        (event("user.created", meeting="KdYKjnimT4KPd8FFgQt9FQ"), ("user.created", "unknown_event")),
        (event("x" * 90), ("x" * 80, "unknown_event")),
        (event(meeting="99999999999"), (JOINED, "unknown_meeting")),
        (b"\xff not json", ("?", "unreadable")),
        (b"[1]", ("?", "unreadable")),
        (b'{"event": "a\\u0000b\\ud800", "payload": null}', ("a?b?", "unknown_event")),
        (b"[" * 200_000, ("?", "unreadable")),
    ],
)
def test_what_is_not_understood_is_kept_and_stops_nothing(database, tmp_path, raw, outcome):
    world, reference, spool = world_with_meeting(database, tmp_path)
    put(world, spool, raw, event(at=minutes(1)))
    report = drain(world.services, world.run(), spool)
    assert (report.taken, report.references, report.aside) == (2, [reference], [])
    assert outcomes(world) == sorted([outcome, (JOINED, "evidence")])
    assert spool.waiting(10) == []


def test_an_event_of_a_meeting_that_was_given_up_says_nothing_about_the_new_one(database, tmp_path):
    world, reference, spool = world_with_meeting(database, tmp_path)
    add_meeting(world, reference, "85000000002", revision=2)
    put(world, spool, event(meeting="85000000002"), event(meeting=MEETING, at=minutes(1)))
    drain(world.services, world.run(), spool)
    assert sorted((row.revision, row.happened_at) for row in world.rows(Evidence)) == [(1, minutes(1)), (2, START)]


def test_a_torn_file_and_one_of_another_key_are_set_aside_and_said(database, tmp_path, caplog):
    world, _, spool = world_with_meeting(database, tmp_path)
    [torn, moved, good] = put(world, spool, event(guest="1"), event(guest="2"), event(guest="3"))
    (spool.folder / torn).write_bytes((spool.folder / torn).read_bytes()[:40])
    (spool.folder / moved).write_bytes(spool.read(good))
    stranger = spool.new_name()
    spool.put(stranger, b"")
    report = drain(world.services, world.run(), spool)
    assert sorted(report.aside) == sorted([torn, moved, stranger])
    assert report.taken == 1
    assert spool.waiting(10) == []
    assert spool.count_aside() == 3
    assert "set aside: VaultError" in caplog.text
    assert not any(word in caplog.text for word in PERSONAL)


def test_a_process_that_dies_while_it_judges_leaves_the_events_and_the_next_one_tells_them_again(database, tmp_path):
    world, reference, spool = world_with_meeting(database, tmp_path)
    put(world, spool, event())

    def die(_references):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drain(world.services, world.run(), spool, die)
    assert len(spool.waiting(10)) == 1
    told = []
    report = drain(world.services, world.run(), spool, told.extend)
    assert told == report.references == [reference]
    assert report.new == 0
    assert world.count(Evidence) == 1
    assert spool.waiting(10) == []


def test_a_record_that_cannot_be_written_loses_nothing(database, tmp_path, monkeypatch):
    world, _, spool = world_with_meeting(database, tmp_path)
    put(world, spool, event())

    def locked():
        raise OperationalError("BEGIN", {}, Exception("locked"))

    monkeypatch.setattr(world.database, "write", locked)
    with pytest.raises(OperationalError):
        drain(world.services, world.run(), spool)
    monkeypatch.undo()
    assert drain(world.services, world.run(), spool).new == 1


def test_two_that_take_in_at_once_do_no_harm(database, tmp_path):
    world, _, spool = world_with_meeting(database, tmp_path)
    put(world, spool, *(event(guest=str(n), at=minutes(n % 7)) for n in range(450)))
    reports, barrier = [], threading.Barrier(2)

    def work():
        barrier.wait()
        reports.append(drain(world.services, world.run(), spool))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(report.new for report in reports) == world.count(Evidence) == world.count(ZoomEventRecord) == 450
    assert spool.waiting(10) == []
    assert spool.count_aside() == 0
