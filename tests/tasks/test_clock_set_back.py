"""A clock that is set back: what was done at a later business time is not done again at an earlier one."""

from datetime import timedelta

import pytest

from madoguchi.sandbox.mailbox_server import running_mailbox
from madoguchi.store.models import Audit, Booking, OutboxMessage, StaffTask, VerdictRecord
from tasks.delivery import deliver_messages
from tasks.reminders import queue_reminders
from tasks.scheduling import schedule_requests
from tasks.verdicts import judge_due
from tests.tasks.sweep_world import CAME, NOBODY, NOTHING, START, SweepWorld
from tests.tasks.test_reminders import book
from tests.world import answer, jst


@pytest.fixture(scope="module")
def mailbox(tmp_path_factory):
    with running_mailbox(tmp_path_factory.mktemp("mailbox")) as running:
        yield running


def stands(world):
    return {t.__name__: world.count(t) for t in (OutboxMessage, StaffTask, VerdictRecord, Audit, Booking)}


def everything(world):
    """The steps of the day, as its flows take them."""
    world.clock.forward(seconds=1)
    run = world.run()
    schedule_requests(world.services, run)
    queue_reminders(world.services, run)
    judge_due(world.services, run)
    return deliver_messages(world.services, run)


@pytest.mark.parametrize("back", [timedelta(minutes=1), timedelta(hours=2), timedelta(days=8)])
def test_a_clock_set_back_repeats_no_mail_no_verdict_and_no_booking(database, mailbox, tmp_path, back):
    mailbox.state.clear()
    world = SweepWorld(database, mailbox=mailbox)
    rows = [answer(1, "2026-09-25", "11:00", email="tada1@example.jp"), answer(2, "", "", email="kara2@example.jp")]
    # One still to come, three whose tenth minute has passed.
    *sessions, _ = book(world, START, START, START, jst("2026-09-24 14:00"))
    for reference, pieces in zip(sessions, (CAME, NOBODY, NOTHING), strict=True):
        world.learn(reference, *pieces)
    world.clock.now = START + timedelta(hours=2, minutes=1)
    world.read(tmp_path, *rows)
    everything(world)
    before, mails = stands(world), len(list(mailbox.state.mails()))
    verdicts = [world.state(reference) for reference in sessions]
    assert mails
    world.clock.now -= back
    world.read(tmp_path, *rows)
    everything(world)
    assert (stands(world), len(list(mailbox.state.mails()))) == (before, mails)
    assert [world.state(reference) for reference in sessions] == verdicts
    # And when the clock is right again.
    world.clock.now += back + timedelta(minutes=1)
    everything(world)
    assert (stands(world), len(list(mailbox.state.mails()))) == (before, mails)
