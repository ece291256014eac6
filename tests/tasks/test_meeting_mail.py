"""What clients are told of their meeting: the first one confirms, every later revision says what has changed."""

import threading

import pytest
from sqlalchemy import update

from madoguchi.adapters.zoom import ZoomClient
from madoguchi.domain.lifecycle import BookingStatus
from madoguchi.domain.meeting import MeetingPlan
from madoguchi.sandbox.zoom_server import running_zoom
from madoguchi.store import meetings as store
from madoguchi.store.meeting_removal import mark_unwanted
from madoguchi.store.models import Booking, BookingRequest, Meeting, OutboxMessage
from madoguchi.store.transitions import move_booking
from tasks.meeting_removal import remove_meetings
from tasks.meetings import create_meetings
from tasks.scheduling import schedule_requests
from tests.world import World, jst

THU = "2026-09-24"


@pytest.fixture(scope="module")
def zoom(tmp_path_factory):
    with running_zoom(tmp_path_factory.mktemp("zoom") / "zoom.db") as zoom:
        yield zoom


def confirmed(world):
    asked = world.ask(f"{THU} 11:00")
    schedule_requests(world.services, world.run())
    [reference] = create_meetings(world.services, world.run()).confirmed
    with world.database.write() as session:
        # It has left: who was never told gets the whole confirmation, not a change.
        session.execute(update(OutboxMessage).values(status="sent", sent_at=world.clock.now))
    return asked, reference


def hold_again(world, reference, start):
    """What staff's move, or a meeting that is gone, leaves behind."""
    with world.database.write() as session:
        act = world.run().act(world.services)
        booking = session.get_one(Booking, world.rows(Booking, reference=reference)[0].id)
        mark_unwanted(session, booking, act, "MOVED")
        if booking.status == "confirmed":
            move_booking(session, booking, BookingStatus.HELD, act, "MOVED")
        booking.start_at = jst(start)


def test_report_16_a_moved_session_is_told_with_its_new_link_and_the_time_that_no_longer_holds(database, zoom):
    world = World(database, zoom=zoom)
    _, reference = confirmed(world)
    hold_again(world, reference, f"{THU} 13:00")
    assert create_meetings(world.services, world.run()).confirmed == [reference]
    [first], [changed] = world.messages("confirmed"), world.messages("changed")
    assert (first.revision, changed.revision) == (1, 2)
    told, before = world.context(changed), world.context(first)
    assert (told["start"], told["previous_start"]) == (f"{THU}T13:00:00+09:00", f"{THU}T11:00:00+09:00")
    assert told["meeting_id"] != before["meeting_id"]
    assert told["join_url"] != before["join_url"]
    assert changed.not_after == jst(f"{THU} 13:00")
    assert world.rows(Booking, reference=reference)[0].revision == 2
    assert remove_meetings(world.services, world.run()).deleted == [reference]
    assert create_meetings(world.services, world.run()).confirmed == []
    assert len(world.messages()) == 2


def test_a_new_meeting_at_the_same_time_is_told_as_a_change_of_the_link_only(database, zoom):
    world = World(database, zoom=zoom)
    _, reference = confirmed(world)
    hold_again(world, reference, f"{THU} 11:00")
    assert create_meetings(world.services, world.run()).confirmed == [reference]
    [changed] = world.messages("changed")
    assert world.context(changed)["previous_start"] is None


def test_a_session_moved_twice_is_told_once_against_the_time_that_the_client_knows(database, zoom):
    world = World(database, zoom=zoom)
    _, reference = confirmed(world)
    hold_again(world, reference, f"{THU} 13:00")
    with world.database.write() as session:
        booking = world.rows(Booking, reference=reference)[0]
        act = world.run().act(world.services)
        claim = store.claim_meeting(
            session, world.services.vault, booking.id, "dead", act, passcode="abcd2345", daily_limit=100
        )
        store.record_failure(session, claim, "ZOOM_TIMEOUT")
    hold_again(world, reference, f"{THU} 14:00")
    assert create_meetings(world.services, world.run()).confirmed == [reference]
    [changed] = world.messages("changed")
    told = world.context(changed)
    assert (told["start"], told["previous_start"]) == (f"{THU}T14:00:00+09:00", f"{THU}T11:00:00+09:00")
    assert (changed.revision, world.rows(Booking, reference=reference)[0].revision) == (3, 3)


def test_a_hold_that_was_moved_before_anybody_was_told_is_confirmed_and_not_changed(database, zoom):
    world = World(database, zoom=zoom)
    asked = world.ask(f"{THU} 11:00")
    schedule_requests(world.services, world.run())
    reference = world.active(asked).reference
    hold_again(world, reference, f"{THU} 13:00")
    assert create_meetings(world.services, world.run()).confirmed == [reference]
    assert [m.kind for m in world.messages()] == ["confirmed"]


def test_without_a_usable_address_staff_telephone_the_change(database, zoom):
    world = World(database, zoom=zoom)
    asked, reference = confirmed(world)
    hold_again(world, reference, f"{THU} 13:00")
    with world.database.write() as session:
        session.get_one(BookingRequest, world.request(asked).id).flags = ["EMAIL_DOUBTFUL"]
    create_meetings(world.services, world.run())
    assert world.messages("changed") == []
    assert world.staff() == [("call-applicant", reference, "CHANGED")]


def test_a_runner_frozen_after_its_creation_does_not_settle_its_successors_row(database, zoom):
    """The old runner wakes up when its claim has run out and another one has confirmed the booking."""
    second = World(database, zoom=zoom, owner="runner-2")

    class Freezing(ZoomClient):
        def create_meeting(self, host_user, plan: MeetingPlan):
            made = super().create_meeting(host_user, plan)
            second.clock.forward(minutes=5, seconds=1)
            done.append(create_meetings(second.services, second.run(as_of)))
            return made

    done: list = []
    first = World(database, second.office, zoom=zoom, client=Freezing)
    as_of = first.clock.now
    asked = first.ask(f"{THU} 11:00")
    schedule_requests(first.services, first.run())
    reference = first.active(asked).reference
    worker = threading.Thread(target=lambda: done.append(create_meetings(first.services, first.run())))
    worker.start()
    worker.join(30)
    assert [report.confirmed for report in done] == [[reference], []]
    assert [report.incomplete for report in done] == [[], []]
    [meeting] = first.rows(Meeting)
    assert (meeting.status, meeting.claim_owner, meeting.attempts) == ("verified", None, 2)
    assert len(first.messages("confirmed")) == 1
