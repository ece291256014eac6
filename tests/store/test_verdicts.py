"""The history of verdicts and the rows that they rest on, on both databases."""

import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from madoguchi.domain.message import MailKind, MessageStatus
from madoguchi.store import verdicts as store
from madoguchi.store.models import Booking, Meeting, OutboxMessage, StaffTask, VerdictRecord
from tests.tasks.sweep_world import NOBODY, TENTH, SweepWorld, minute, put_sessions


@pytest.fixture
def world(database):
    return SweepWorld(database)


def new(world, reference, number=1, verdict="undetermined"):
    return store.NewVerdict(world.booking(reference).id, number, verdict, ["NO_DATA"], "r", TENTH, ["e1"],
                            {"link": {"duty": "done"}}, by_person=False)  # fmt: skip


def add(world, *rows):
    with world.database.write() as session:
        store.add_verdicts(session, world.run(TENTH).act(world.services), rows)


def test_the_history_is_read_in_its_order_and_the_last_one_holds(world):
    one, other = (world.session() for _ in range(2))
    add(world, new(world, one, 2, "attended"), new(world, other), new(world, one))
    with world.database.read() as session:
        ids = [world.booking(reference).id for reference in (one, other)]
        assert [row.verdict for row in store.verdicts_of(session, ids[0])] == ["undetermined", "attended"]
        assert {key: row.number for key, row in store.last_verdicts(session, ids).items()} == {ids[0]: 2, ids[1]: 1}
        assert store.verdicts_of(session, "nobody") == []
        [row] = store.verdicts_of(session, ids[1])
    assert (row.evidence, row.duties, row.judged_for) == (["e1"], {"link": {"duty": "done"}}, TENTH)


def test_a_number_is_given_once(world):
    reference = world.session()
    add(world, new(world, reference))
    with pytest.raises(IntegrityError):
        add(world, new(world, reference, verdict="no_show"))
    assert [row.verdict for row in world.verdicts(reference)] == ["undetermined"]


@pytest.mark.parametrize(
    "change", [update(VerdictRecord).values(verdict="attended"), delete(VerdictRecord)], ids=["changed", "deleted"]
)
def test_history_cannot_be_changed_afterwards(world, change):
    reference = world.session()
    add(world, new(world, reference))
    with pytest.raises(DBAPIError), world.database.write() as session:
        session.execute(change)
    assert [row.verdict for row in world.verdicts(reference)] == ["undetermined"]


def test_only_confirmed_sessions_that_have_begun_are_due_and_the_earliest_comes_first(world):
    later, earlier = (put_sessions(world.services, 1, minute(after))[0] for after in (30, 0))
    put_sessions(world.services, 1, minute(31))
    gone = world.session()
    with world.database.write() as session:
        session.execute(update(Booking).where(Booking.reference == gone).values(status="cancelled"))
    with world.database.read() as session:
        due = store.due_sessions(session, world.office.code, minute(30))
        assert [row.reference for row in due] == [earlier, later]
        assert store.due_sessions(session, "another-office", minute(30)) == []
    with world.database.write() as session:
        ids = [world.booking(reference).id for reference in (later, gone, earlier)]
        assert [row.id for row in store.lock_due(session, ids, wait=False)] == sorted([ids[0], ids[2]])


def test_what_another_runner_holds_is_left_out_or_waited_for(world):
    if world.database.is_sqlite:
        pytest.skip("SQLite has one writer")
    one, other = (world.booking(world.session()).id for _ in range(2))
    with world.database.write() as first, world.database.write() as second:
        store.lock_due(first, [one], wait=True)
        assert [row.id for row in store.lock_due(second, [one, other], wait=False)] == [other]
        second.execute(text("SET LOCAL lock_timeout = '50ms'"))
        with pytest.raises(DBAPIError), second.begin_nested():
            store.lock_due(second, [one], wait=True)


def test_the_meeting_of_the_present_revision_is_the_one_that_is_asked_about(world):
    reference = world.session()
    booking = world.booking(reference)
    with world.database.read() as session:
        found = store.meetings_of(session, [(booking.id, 1)])
        assert found == {booking.id: (world.meeting(reference).meeting_id, booking.host)}
        assert store.meetings_of(session, [(booking.id, 2)]) == {}
    with world.database.write() as session:
        session.execute(update(Meeting).values(status="unwanted"))
    with world.database.read() as session:
        assert store.meetings_of(session, [(booking.id, 1)]) == {}


def test_the_facts_of_the_duties_hold_nothing_personal(world):
    reference = world.session()
    booking = world.booking(reference).id
    with world.database.read() as session:
        facts = store.told_so_far(session, [booking])[booking]
    assert sorted((fact.kind, fact.status) for fact in facts) == [
        (MailKind.CONFIRMED, MessageStatus.SENT), (MailKind.REMINDER_HOUR, MessageStatus.SENT)]  # fmt: skip
    assert "example.jp" not in str(facts)


@pytest.mark.parametrize("status", list(MessageStatus))
def test_a_mail_is_taken_back_only_while_it_certainly_has_not_left(world, status):
    reference = world.session(*NOBODY)
    world.sweep()
    with world.database.write() as session:
        session.execute(update(OutboxMessage).where(OutboxMessage.kind == "no_show").values(status=status))
    with world.database.write() as session:
        act = world.run(minute(20)).act(world.services)
        left = store.withdraw(session, act, world.booking(reference).id, MailKind.NO_SHOW, "VERDICT_CHANGED")
    assert left == (status in {MessageStatus.SENDING, MessageStatus.SENT, MessageStatus.UNCERTAIN})
    unsent = status in {MessageStatus.QUEUED, MessageStatus.RETRYING}
    assert world.messages("no_show")[0].status == ("suppressed" if unsent else status)


def test_a_task_of_one_reason_is_told_from_the_same_task_of_another(world):
    with world.database.write() as session:
        session.add(StaffTask(office=world.office.code, kind="call", subject="M-1", reason="A", opened_at=TENTH))
    with world.database.read() as session:
        asked = [store.task_stands(session, world.office.code, "call", "M-1", reason) for reason in ("A", "B")]
    assert asked == [True, None]


def test_days_are_days_in_japan_and_of_that_person_only(world):
    # 23:30 UTC of the 24th is the morning of the 25th in Japan.
    early = world.session(*NOBODY, start=minute(21.5 * 60))
    world.session(*NOBODY)
    world.sweep(minute(22 * 60))
    assert [str(day) for day in world.days(early)] == ["2026-09-25"]
