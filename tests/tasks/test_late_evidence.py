"""Past participants as late truth, against the real stand-in on both databases; then the meetings go."""

import threading
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import update

from madoguchi.adapters.zoom import ZoomClient
from madoguchi.domain.participant import Participant
from madoguchi.sandbox.zoom_remote import ZoomRemote
from madoguchi.sandbox.zoom_server import running_zoom
from madoguchi.store.database import Database
from madoguchi.store.models import Booking, Evidence, Meeting, OutboxMessage, VerdictRecord
from tasks.late_evidence import evidence_of_stays, gather_late_evidence
from tasks.meeting_removal import remove_meetings
from tasks.meetings import create_meetings
from tasks.reminders import queue_reminders
from tasks.scheduling import schedule_requests
from tasks.verdicts import judge_due
from tests.sandbox.zoom_help import Waits, order
from tests.world import World, jst, office

THU = "2026-09-24"
START = jst(f"{THU} 11:00")
NIGHT = jst(f"{THU} 19:30")


@pytest.fixture(scope="module")
def shared_zoom(tmp_path_factory):
    with running_zoom(tmp_path_factory.mktemp("zoom") / "zoom.db") as zoom:
        yield zoom


@pytest.fixture
def zoom(shared_zoom):
    yield shared_zoom
    shared_zoom.state.faults.clear()


@pytest.fixture
def remote(zoom):
    with ZoomRemote(zoom.url) as remote:
        yield remote


def confirmed(world, *clocks):
    asked = [world.ask(f"{THU} {clock}") for clock in clocks or ("11:00",)]
    schedule_requests(world.services, world.run())
    assert create_meetings(world.services, world.run()).incomplete == []
    told(world)
    return [world.active(reference).reference for reference in asked]


def told(world):
    """The office has done its duties: confirmation and reminders have left in time."""
    for as_of in (world.clock.now, jst("2026-09-18 15:00"), jst(f"{THU} 10:00"), jst(f"{THU} 13:30")):
        queue_reminders(world.services, world.run(as_of))
        with world.database.write() as session:
            waiting = update(OutboxMessage).where(OutboxMessage.status == "queued")
            session.execute(waiting.values(status="sent", sent_at=as_of))


def booking(world, reference):
    return world.rows(Booking, reference=reference)[0]


def meeting(world, reference):
    return world.rows(Meeting, booking_id=booking(world, reference).id)[0]


def judge(world, as_of=START + timedelta(minutes=10)):
    judge_due(world.services, world.run(as_of))


def gather(world, as_of=NIGHT):
    return gather_late_evidence(world.services, world.run(as_of))


def act(remote, world, reference, *acts):
    """`11:02 guest join`"""
    script = [(jst(f"{THU} {clock}"), who, what) for clock, who, what in (line.split() for line in acts)]
    world.zoom.state.set_now(script[-1][0])
    remote.people(meeting(world, reference).meeting_id, script)


def past(world, reference):
    rows = world.rows(Evidence, booking_id=booking(world, reference).id, source="past")
    return sorted((row.happened_at.astimezone(START.tzinfo).strftime("%H:%M"), row.kind) for row in rows)


CAME = ("10:58 host start", "11:02 guest join", "11:28 guest leave", "11:29 host leave")


def test_report_12_webhooks_that_never_came_are_made_up_for_by_the_past_participants(database, zoom, remote):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    act(remote, world, reference, *CAME)
    judge(world)
    assert booking(world, reference).status == "undetermined"
    report = gather(world)
    assert report.changed == [(reference, "undetermined", "attended")]
    assert (report.asked, report.news, report.incomplete) == (1, [reference], [])
    assert past(world, reference) == [
        ("10:58", "host_joined"), ("11:02", "guest_joined"), ("11:02", "guest_stopped_waiting"),
        ("11:02", "guest_waiting"), ("11:28", "guest_left"), ("11:29", "host_left"),
    ]  # fmt: skip
    assert [v.verdict for v in world.rows(VerdictRecord)] == ["undetermined", "attended"]


def test_a_list_that_is_empty_proves_nothing(database, zoom, remote):
    """Zoom shows no rows when only one person was in the meeting: that is not "the host was alone"."""
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    act(remote, world, reference, "10:58 host start", "11:20 host leave")
    judge(world)
    report = gather(world)
    assert (report.asked, report.news, report.changed) == (1, [], [])
    assert past(world, reference) == []
    assert booking(world, reference).status == "undetermined"


def test_two_devices_of_the_host_and_nobody_else_are_a_host_alone(database, zoom, remote):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    act(remote, world, reference, "10:58 host start", "10:59 host-2 join", "11:19 host-2 leave", "11:20 host leave")
    judge(world)
    gather(world)
    assert ("11:20", "host_alone") in past(world, reference)


def test_a_second_run_reads_nothing_twice_and_changes_nothing(database, zoom, remote):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    act(remote, world, reference, *CAME)
    judge(world)
    noon = jst(f"{THU} 12:30")
    first, second = gather(world, noon), gather(world, noon)
    assert (first.news, second.news, second.changed) == ([reference], [], [])
    assert (first.retired, second.retired) == ([], [])
    assert len(past(world, reference)) == 6
    assert (gather(world).retired, gather(world).asked) == ([reference], 0)


def test_the_meeting_of_a_session_that_is_over_is_kept_for_the_day_and_removed_at_night(database, zoom, remote):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    act(remote, world, reference, *CAME)
    judge(world)
    for as_of, retired in ((jst(f"{THU} 17:14"), []), (jst(f"{THU} 17:15"), [reference])):
        assert gather(world, as_of).retired == retired
    assert meeting(world, reference).status == "unwanted"
    assert remove_meetings(world.services, world.run(NIGHT)).deleted == [reference]
    assert world.zoom.state.meeting(int(meeting(world, reference).meeting_id)) is None


def test_a_meeting_is_never_given_up_before_its_participants_were_read(database, zoom, remote):
    world = World(database, zoom=zoom)
    one, other = confirmed(world, "11:00", "11:30")
    act(remote, world, one, *CAME)
    judge(world, jst(f"{THU} 11:40"))
    order(zoom, "past", "500", times=None)
    report = gather(world)
    assert report.incomplete == sorted((reference, "ZOOM_HTTP_500") for reference in (one, other))
    assert report.retired == []
    zoom.state.faults.clear()
    assert gather(world).retired == sorted([one, other])
    assert booking(world, one).status == "attended"


def test_a_session_without_a_verdict_keeps_its_meeting_and_its_evidence_waits_for_the_sweep(database, zoom, remote):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    act(remote, world, reference, *CAME)
    report = gather(world)
    assert (report.news, report.changed, report.retired) == ([reference], [], [])
    assert booking(world, reference).status == "confirmed"
    judge(world, NIGHT)
    assert booking(world, reference).status == "attended"
    assert gather(world).retired == [reference]


def test_a_meeting_that_still_runs_is_not_given_up(database, zoom, remote):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world, "14:30")
    act(remote, world, reference, "14:29 host start", "14:31 guest join")
    judge(world, jst(f"{THU} 14:40"))
    assert gather(world, jst(f"{THU} 17:59")).retired == []
    assert gather(world, jst(f"{THU} 18:00")).retired == [reference], "three hours after its end nobody talks any more"


def test_what_is_just_over_is_not_asked_about_yet(database, zoom):
    world = World(database, zoom=zoom)
    confirmed(world)
    assert gather(world, jst(f"{THU} 11:59")).asked == 0
    assert gather(world, jst(f"{THU} 12:00")).asked == 1


def test_old_sessions_are_not_asked_about_but_their_meetings_go(database, zoom):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    judge(world)
    report = gather(world, START + timedelta(days=8))
    assert (report.asked, report.retired) == (0, [reference])


def test_without_a_connection_every_session_is_named_and_asked_about_the_next_time(database, zoom):
    world = World(database, office(hosts=2), zoom=zoom)
    references = confirmed(world, "11:00", "11:30", "12:00")

    def make_zoom():
        return ZoomClient("http://127.0.0.1:9/oauth/token", "http://127.0.0.1:9/v2", "a", "c", "s",
                          clock=world.clock, sleep=Waits())  # fmt: skip

    offline = World(database, world.office, zoom=zoom, make_zoom=make_zoom)
    assert gather(offline).incomplete == sorted((reference, "ZOOM_UNREACHABLE") for reference in references)
    assert gather(world).asked == 3


def test_two_runs_at_once_keep_each_fact_once_and_change_a_verdict_once(database, database_url, zoom, remote):
    first = World(database, zoom=zoom)
    [reference] = confirmed(first)
    act(remote, first, reference, *CAME)
    judge(first)
    other = Database(database_url)
    try:
        worlds = [first, World(other, first.office, zoom=zoom, owner="runner-2")]
        gate = threading.Barrier(2)
        reports = []

        def go(world):
            gate.wait()
            reports.append(gather(world))

        threads = [threading.Thread(target=go, args=(world,)) for world in worlds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(len(report.changed) for report in reports) == [0, 1]
        assert sorted(len(report.retired) for report in reports) == [0, 1]
        assert len(past(first, reference)) == 6
        assert len(first.rows(VerdictRecord)) == 2
    finally:
        other.close()


# --- what stays prove

ROW = SimpleNamespace(
    booking_id="b", revision=1, meeting_id="8", start_at=START, end_at=START + timedelta(minutes=30), booking="M-1"
)


def stay(came, went, is_host=False, is_waiting=False):
    return Participant(
        is_host, jst(f"{THU} {came}") if came else None, jst(f"{THU} {went}") if went else None, is_waiting
    )


@pytest.mark.parametrize(
    ("stays", "kinds"),
    [
        ([], []),
        ([stay("11:00", "11:30")], ["guest_joined", "guest_left"]),
        ([stay("11:00", None)], ["guest_joined"]),
        ([stay(None, "11:30")], ["guest_left"]),
        ([stay(None, None)], []),
        ([stay("10:55", "11:01", is_waiting=True)], ["guest_stopped_waiting", "guest_waiting"]),
        ([stay("11:00", "11:30", is_host=True)], ["host_alone", "host_joined", "host_left"]),
        (
            [stay("11:00", "11:30", is_host=True), stay("11:05", "11:30")],
            ["guest_joined", "guest_left", "host_joined", "host_left"],
        ),
        # Who may be the host or may not proves nothing, and that the host was alone least of all.
        ([stay("11:00", "11:30", is_host=None)], []),
        ([stay("11:00", "11:30", is_host=True), stay("11:05", "11:30", is_host=None)], ["host_joined", "host_left"]),
        # The room tried out in the morning, or used again in the evening.
        ([stay("09:00", "09:59", is_host=True), stay("09:30", "09:59")], []),
        ([stay("14:31", "15:00", is_host=True), stay("14:31", "15:00")], []),
        ([stay("09:00", "10:00")], ["guest_joined", "guest_left"]),
        ([stay("14:30", "15:00")], ["guest_joined", "guest_left"]),
    ],
)
def test_what_the_stays_of_past_participants_prove(stays, kinds):
    found = evidence_of_stays(ROW, stays)
    assert sorted(item.kind.value for item in found) == kinds
    assert {item.source.value for item in found} <= {"past"}
    assert max((len(item.dedupe_key) for item in found), default=0) <= 120
