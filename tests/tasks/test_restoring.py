"""A record that was restored: what may have happened to people since the backup is not done a second time."""

from datetime import timedelta

import pytest

from madoguchi.domain.lifecycle import RequestStatus
from madoguchi.sandbox.mailbox_server import running_mailbox
from madoguchi.sandbox.zoom_remote import ZoomRemote
from madoguchi.sandbox.zoom_server import running_zoom
from madoguchi.store.models import BookingRequest, OutboxMessage, StaffTask
from madoguchi.store.restoring import newest_loss
from tasks.delivery import deliver_messages
from tasks.meetings import create_meetings
from tasks.reconciliation import reconcile
from tasks.reminders import queue_reminders
from tasks.restored_doubt import RESTORED
from tasks.restoring import settle_restored
from tasks.scheduling import schedule_requests
from tasks.verdicts import judge_due
from tests.tasks.sweep_world import CAME, NOBODY, SweepWorld
from tests.tasks.test_reminders import book
from tests.world import World, answer, jst

MADE, LOST, THEN = jst("2026-09-18 14:00"), jst("2026-09-18 15:30"), jst("2026-09-18 16:00")
"""The reminder of the day before goes out at 15:00, between the backup and the loss."""
START = jst("2026-09-24 11:00")


@pytest.fixture(scope="module")
def mailbox(tmp_path_factory):
    with running_mailbox(tmp_path_factory.mktemp("mailbox")) as running:
        yield running


@pytest.fixture(scope="module")
def zoom(tmp_path_factory):
    with running_zoom(tmp_path_factory.mktemp("zoom") / "zoom.db") as running:
        yield running


@pytest.fixture
def world(database, mailbox):
    mailbox.state.clear()
    made = SweepWorld(database, mailbox=mailbox)
    made.clock.now = THEN
    return made


def restored(world):
    done = settle_restored(world.services, MADE, LOST)
    return done.uncertain


def test_reminders_that_the_lost_machine_may_have_sent_are_for_staff_and_never_sent_again(world, mailbox):
    book(world, START, START)
    assert restored(world) == 2
    run = world.run(THEN)
    queue_reminders(world.services, run)
    deliver_messages(world.services, run)
    assert list(mailbox.state.entries()) == []
    doubtful = [m for m in world.rows(OutboxMessage) if m.status == "uncertain"]
    assert {(m.kind, m.reason) for m in doubtful} == {("reminder_day", RESTORED)}
    assert {t.subject for t in world.rows(StaffTask) if t.closed_at is None} >= {m.id for m in doubtful}


def test_what_is_due_after_the_loss_is_sent_as_ever(world, mailbox):
    book(world, START, confirmed=LOST)
    world.clock.now = START - timedelta(minutes=55)
    restored(world)
    run = world.run(START - timedelta(minutes=55))
    queue_reminders(world.services, run)
    deliver_messages(world.services, run)
    assert [(m.kind, m.status) for m in world.messages()] == [("reminder_hour", "sent")]
    assert len(list(mailbox.state.entries())) == 1


def test_an_application_from_before_the_loss_that_is_read_only_now_goes_to_staff_and_a_later_one_does_not(
    world, tmp_path
):
    restored(world)
    early = answer(1, "2026/09/25", "11:00", stamp="2026/09/18 2:40:00 午後 GMT+9")
    late = answer(2, "2026/09/25", "11:30", stamp="2026/09/18 3:45:00 午後 GMT+9")
    world.read(tmp_path, early, late, as_of=THEN)
    found = {row.row_number: (row.status, row.reason) for row in world.rows(BookingRequest) if row.source == "google"}
    assert sorted(found.values(), key=str) == [
        (RequestStatus.IN_REVIEW.value, RESTORED), (RequestStatus.RECEIVED.value, None),
    ]  # fmt: skip


def test_the_next_sweep_judges_from_the_evidence_as_if_nothing_had_been(world):
    came, absent = world.session(*CAME), world.session(*NOBODY)
    world.clock.now = START + timedelta(minutes=11)
    settle_restored(world.services, MADE - timedelta(days=1), MADE)
    judge_due(world.services, world.run(START + timedelta(minutes=11)))
    stands = {row.reference: row.status for row in world.bookings()}
    assert (stands[came], stands[absent]) == ("attended", "no_show")


@pytest.mark.parametrize("state", ["received", "waiting", "to_offer"])
def test_who_waits_for_a_slot_may_have_got_one_and_is_given_none_by_the_machine(state, world):
    asked = world.ask("2026-09-25 11:00")
    with world.database.write() as session:
        session.query(BookingRequest).filter_by(reference=asked).one().status = state
    assert settle_restored(world.services, MADE, LOST).to_review == 1
    schedule_requests(world.services, world.run(THEN))
    assert (world.request(asked).status, world.request(asked).reason) == ("in_review", RESTORED)
    assert world.bookings() == []
    assert ("review-request", asked, RESTORED) in world.staff()


def test_a_row_that_would_be_answered_by_mail_is_answered_by_staff(world, tmp_path):
    restored(world)
    past = answer(1, "2026/09/01", "11:00", stamp="2026/09/18 2:40:00 午後 GMT+9")
    world.read(tmp_path, past, as_of=THEN)
    [row] = [row for row in world.rows(BookingRequest) if row.source == "google"]
    assert (row.status, row.reason) == ("in_review", RESTORED)
    assert world.messages() == []


def test_a_hold_of_the_backup_is_confirmed_and_its_mail_is_for_staff(database, zoom, mailbox):
    world = World(database, zoom=zoom, mailbox=mailbox)
    world.clock.now = MADE
    asked = world.ask("2026-09-25 11:00")
    schedule_requests(world.services, world.run(MADE))
    world.clock.now = THEN
    settle_restored(world.services, MADE, LOST)
    create_meetings(world.services, world.run(THEN))
    assert world.active(asked).status == "confirmed"
    [mail] = world.messages("confirmed")
    assert (mail.status, mail.reason) == ("uncertain", RESTORED)
    later = world.ask("2026-09-25 12:00")
    schedule_requests(world.services, world.run(THEN))
    create_meetings(world.services, world.run(THEN))
    assert {m.status for m in world.messages("confirmed") if m.id != mail.id} == {"queued"}, later


def test_a_session_that_staff_called_off_on_the_lost_day_gets_no_new_meeting(database, zoom, mailbox):
    world = World(database, zoom=zoom, mailbox=mailbox)
    world.clock.now = MADE
    asked = world.ask("2026-09-25 11:00")
    schedule_requests(world.services, world.run(MADE))
    create_meetings(world.services, world.run(MADE))
    [meeting] = world.meetings()
    world.clock.now = THEN
    settle_restored(world.services, MADE, LOST)
    with ZoomRemote(zoom.url) as remote:
        remote.vanish(meeting.meeting_id)
    found = reconcile(world.services, world.run(THEN))
    assert world.active(asked).status == "confirmed"
    assert len(world.meetings()) == 1
    assert world.messages("changed") == []
    assert any(subject == world.active(asked).reference for _, subject, _ in world.staff()), found


def test_the_loss_stands_on_record_and_a_record_that_was_never_lost_has_none(world):
    with world.database.read() as session:
        assert newest_loss(session, world.office.code) is None
    restored(world)
    with world.database.read() as session:
        assert newest_loss(session, world.office.code) == LOST
