"""Failure reports of other systems that take several rooms: forms, slots, meetings, mail (docs/failures.md)."""

import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from email import policy
from email.parser import BytesParser

import pytest
from sqlalchemy import event

from madoguchi.domain.lifecycle import BookingStatus
from madoguchi.sandbox.mailbox_server import running_mailbox
from madoguchi.sandbox.zoom_server import running_zoom
from madoguchi.store.listing import listed
from madoguchi.store.meeting_removal import mark_unwanted
from madoguchi.store.models import Booking
from madoguchi.store.transitions import move_booking
from tasks.delivery import deliver_messages
from tasks.meetings import create_meetings
from tasks.reminders import queue_reminders
from tests.sandbox.zoom_help import order
from tests.tasks.staff_help import FRI, THU, after, booking, cancel, confirmed, live_at_zoom, mails, move
from tests.world import World, jst, nobody, office

REMINDED = jst("2026-09-18 15:00")
"""The last working day before the 24th."""


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stand-ins")
    with running_zoom(folder / "zoom.db") as zoom, running_mailbox(folder / "mailbox") as mailbox:
        yield zoom, mailbox


@pytest.fixture
def make_world(database, stand_ins):
    zoom, mailbox = stand_ins
    mailbox.state.clear()
    mailbox.state.faults.clear()
    zoom.state.faults.clear()
    yield lambda *places: World(database, office(*places), zoom=zoom, mailbox=mailbox)
    zoom.state.faults.clear()
    zoom.state.set_now(None)


@pytest.fixture
def world(make_world):
    return make_world()


def letters(mailbox):
    return [BytesParser(policy=policy.default).parsebytes(mail.content) for mail in mailbox.state.mails()]


def subjects(mailbox):
    return [str(letter["Subject"]) for letter in letters(mailbox)]


def without_anybody_outside(world):
    """The same office with neither Zoom nor a relay: whoever asks for one of them fails."""
    alone = replace(world.services, make_zoom=nobody, make_mailer=nobody)
    copy = object.__new__(World)
    copy.__dict__ |= world.__dict__ | {"services": alone}
    return copy


def test_reports_1_and_2_over_a_hundred_reminders_are_void_with_their_cancellation_and_nobody_is_asked(
    make_world, stand_ins
):
    """Elsewhere reminders lay with the mail provider, which took back a hundred of them at most."""
    world = make_world(13, 13)
    starts = [f"{THU} {hour}:{minute}" for hour in (11, 12, 13, 14) for minute in ("00", "30")]
    references = confirmed(world, *(start for start in starts for _ in range(13)))
    world.clock.now = REMINDED
    assert queue_reminders(world.services, world.run()).queued == {"reminder_day": 104}
    world.clock.forward(minutes=1)
    alone = without_anybody_outside(world)
    for reference in references:
        cancel(alone, reference)
    assert Counter(mails(world, "reminder_day")) == {("suppressed", "BOOKING_CANCELLED"): 104}
    stand_ins[1].state.clear()
    for later in (0, 10, 60 * 24 * 5 + 19 * 60):
        world.clock.now = REMINDED + timedelta(minutes=1 + later)
        assert queue_reminders(world.services, world.run()).queued == {}
        deliver_messages(world.services, world.run())
    assert Counter("キャンセル" in subject for subject in subjects(stand_ins[1])) == {True: 104}
    assert Counter(mails(world, "cancelled")) == {("sent", None): 104}


FRI_13 = jst(f"{FRI} 13:00")


def moved(world, reference, start=FRI_13):
    move(world, reference, start)
    assert create_meetings(world.services, world.run()).confirmed == [reference]


def moved_on(world, reference):
    moved(world, reference, jst(f"{FRI} 14:00"))


def link_lost(world, reference):
    """Zoom lost the meeting: the session is held again at its time until it has another one."""
    with world.database.write() as session:
        act, found = world.run().act(world.services), session.get_one(Booking, booking(world, reference).id)
        mark_unwanted(session, found, act, "GONE")
        move_booking(session, found, BookingStatus.HELD, act, "GONE")
    assert create_meetings(world.services, world.run()).confirmed == [reference]


def reminded(world, _):
    world.clock.now = REMINDED
    assert queue_reminders(world.services, world.run()).queued == {"reminder_day": 1}


def called_off(world, reference):
    cancel(world, reference)


def relay_out(world, _):
    world.faults.order([{"at": "MAIL", "kind": "4xx", "times": 1}])
    world.clock.forward(seconds=1)
    assert deliver_messages(world.services, world.run()).counts.keys() <= {"retrying"}


BEFORE_THE_MAIL_LEFT = [
    # what happens between two deliveries; the one kind that leaves; what it must say, and what not
    pytest.param([called_off], "cancelled", "9月24日", "9月25日", id="cancelled"),
    pytest.param([moved], "changed", "9月25日", None, id="moved"),
    pytest.param([moved, called_off], "cancelled", "9月24日", "zoom", id="moved, then cancelled"),
    pytest.param([moved, relay_out, called_off], "cancelled", "9月24日", "zoom", id="tried in vain, then cancelled"),
    pytest.param(
        [moved, moved_on],
        "changed",
        "午前11時00分からの予約は、なくなりました",
        "午後1時",
        id="moved twice",
    ),
    pytest.param(
        [moved, link_lost],
        "changed",
        "午前11時00分からの予約は、なくなりました",
        "日時は同じ",
        id="moved, new link",
    ),
    pytest.param([reminded, called_off], "cancelled", "9月24日", "zoom", id="reminded, then cancelled"),
    pytest.param([reminded, moved], "changed", "9月25日", None, id="reminded, then moved"),
]


@pytest.mark.parametrize(("acts", "kind", "says", "never"), BEFORE_THE_MAIL_LEFT)
def test_reports_8_and_9_whatever_happens_before_the_mail_leaves_one_mail_says_once_what_holds(
    world, stand_ins, acts, kind, says, never
):
    """Elsewhere one event sent two mails that contradicted each other, or the same one again and again."""
    mailbox = stand_ins[1]
    world.faults = mailbox.state.faults
    [reference] = confirmed(world, f"{THU} 11:00")
    mailbox.state.clear()
    for act in acts:
        act(world, reference)
    for _ in range(3):
        world.clock.forward(minutes=10)
        after(world)
    left = [(message.kind, message.revision) for message in world.messages() if message.status == "sent"]
    assert sorted(left) == sorted([("confirmed", 1), (kind, booking(world, reference).revision)])
    [letter] = letters(mailbox)
    text = letter.get_body(("plain",)).get_content()
    assert says in text
    assert never is None or never not in text
    assert len(live_at_zoom(world)) == (kind == "changed")


def test_report_12_one_question_to_the_record_says_who_got_what_and_when(world, stand_ins):
    """Elsewhere the list of who had been mailed twice had to be put together by hand."""
    told, unreachable = world.ask(f"{THU} 11:00", email="a@example.jp"), world.ask(f"{THU} 12:00", email="b@example.jp")
    stand_ins[1].state.faults.order([{"at": "RCPT", "kind": "5xx", "recipient_contains": "b@example.jp", "times": 1}])
    after(world)
    called = world.active(told).reference
    world.clock.forward(minutes=30)
    cancel(world, called)
    after(world)
    asked = []

    def note(_, __, statement, *___):
        asked.append(statement)

    event.listen(world.database.engine, "before_cursor_execute", note)
    try:
        with world.database.read() as session:
            found = [
                (row["booking"], row["kind"], row["status"], row["sent_at"])
                for row in listed(session, world.office.code, "messages")
            ]
    finally:
        event.remove(world.database.engine, "before_cursor_execute", note)
    assert sorted(found, key=str) == sorted(
        [
            (called, "confirmed", "sent", "2026-09-14T09:00:00+09:00"),
            (world.active(unreachable).reference, "confirmed", "failed", None),
            (called, "cancelled", "sent", "2026-09-14T09:30:00+09:00"),
        ],
        key=str,
    )
    assert len([statement for statement in asked if re.match(r"\s*select", statement, re.IGNORECASE)]) == 1


def test_report_14_the_same_person_at_the_same_time_after_a_cancellation_has_a_booking_and_mail_of_its_own(world):
    """Elsewhere a key made of slot and person took the second booking for the first."""
    [first] = confirmed(world, f"{THU} 11:00")
    client = booking(world, first).client_id
    cancel(world, first)
    after(world)
    [second] = confirmed(world, f"{THU} 11:00", client_id=client)
    assert second != first
    assert (booking(world, first).status, booking(world, second).status) == ("cancelled", "confirmed")
    assert mails(world, "confirmed") == [("sent", None)] * 2
    assert len({message.message_id for message in world.messages()}) == 3
    assert len({meeting.meeting_id for meeting in world.meetings()}) == 2
    assert len(live_at_zoom(world)) == 1


def test_report_14_a_place_that_changed_hands_keeps_the_meeting_and_the_mail_of_each_apart(world):
    """Elsewhere the booking that came later into a place was written over the one that had left it."""
    [leaves] = confirmed(world, f"{THU} 11:00")
    move(world, leaves, FRI_13)
    after(world)
    [comes] = confirmed(world, f"{THU} 11:00")
    assert {booking(world, reference).status for reference in (leaves, comes)} == {"confirmed"}
    assert live_at_zoom(world) == ["2026-09-24T02:00:00Z", "2026-09-25T04:00:00Z"]
    told = {message.booking_id: world.context(message) for message in world.messages() if message.status == "sent"}
    assert {said["reference"] for said in told.values()} == {leaves, comes}
    assert told[booking(world, leaves).id]["meeting_id"] != told[booking(world, comes).id]["meeting_id"]


def test_report_24_of_sixty_who_wait_one_gets_the_freed_place_and_nobody_else_hears_of_it(world, stand_ins):
    """Elsewhere one free place sent sixty vouchers."""
    [reference] = confirmed(world, f"{THU} 11:00")
    waiting = [world.ask(f"{THU} 11:00") for _ in range(60)]
    after(world)
    stand_ins[1].state.clear()
    cancel(world, reference)
    for _ in range(2):
        after(world)
        world.clock.forward(minutes=5)
    assert world.status(*waiting).split() == ["booked"] + ["waiting"] * 59
    assert len(letters(stand_ins[1])) == 2, "the receipt of the cancellation, and one confirmation"
    assert len(live_at_zoom(world)) == 1


def test_report_16_while_zoom_makes_no_meeting_no_mail_promises_one_and_the_run_names_the_session(world, stand_ins):
    """Elsewhere the confirmation went out with an empty link."""
    order(world.zoom, "create", "503", times=None)
    asked = world.ask(f"{THU} 11:00")
    for _ in range(3):
        made = after(world).made
        world.clock.forward(minutes=5)
    assert [name for name, _ in made.incomplete] == [world.active(asked).reference]
    assert letters(stand_ins[1]) == []
    world.zoom.state.faults.clear()
    after(world)
    [letter] = letters(stand_ins[1])
    assert "https://" in letter.get_body(("plain",)).get_content()
