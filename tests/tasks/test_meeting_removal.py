"""Removal against the real stand-in, on both databases: Zoom loses what it must lose, and nothing else."""

import threading

import httpx
import pytest

from madoguchi.adapters.zoom import ZoomClient
from madoguchi.domain.meeting import MeetingPlan
from madoguchi.sandbox.zoom_server import running_zoom
from madoguchi.sandbox.zoom_state import ALL_SCOPES, SandboxZoom
from madoguchi.store import meeting_removal as store
from madoguchi.store import meetings as meeting_store
from madoguchi.store.database import Database
from madoguchi.store.models import Audit, Booking, Meeting
from madoguchi.store.transitions import move_booking
from tasks.meeting_removal import SETTLE_SECONDS, remove_meetings
from tasks.meetings import create_meetings
from tasks.scheduling import schedule_requests
from tests.sandbox.zoom_help import Waits, order
from tests.world import World, office

THU = "2026-09-24"
CLOCKS = ("11:00", "11:30", "12:00", "12:30", "13:00", "13:30", "14:00", "14:30")


@pytest.fixture(scope="module")
def shared_zoom(tmp_path_factory):
    with running_zoom(tmp_path_factory.mktemp("zoom") / "zoom.db") as zoom:
        yield zoom


@pytest.fixture
def zoom(shared_zoom):
    shared_zoom.state.faults.clear()
    yield shared_zoom
    shared_zoom.state.faults.clear()


def confirmed(world, count=1):
    asked = [world.ask(f"{THU} {clock}") for clock in CLOCKS[:count]]
    schedule_requests(world.services, world.run())
    assert create_meetings(world.services, world.run()).incomplete == []
    return [world.active(reference).reference for reference in asked]


def booking(world, reference):
    return world.rows(Booking, reference=reference)[0]


def meeting(world, reference):
    return world.rows(Meeting, booking_id=booking(world, reference).id)[0]


def call_off(world, *references):
    """What a cancellation by telephone does to the meetings."""
    for reference in references:
        with world.database.write() as session:
            act = world.run().act(world.services)
            row = session.get_one(Booking, booking(world, reference).id)
            store.mark_unwanted(session, row, act, "CANCELLED")
            move_booking(session, row, "cancelled" if row.status == "confirmed" else "released", act, "CANCELLED")


def remove(world):
    return remove_meetings(world.services, world.run())


def live(world):
    users = {host.user for host in world.office.hosts}
    return [str(doc["id"]) for host, _, deleted, doc in world.zoom.state.everything() if host in users and not deleted]


def claimed(world, owner="runner-1"):
    """A hold whose creation is under way."""
    reference = world.ask(f"{THU} 11:00")
    schedule_requests(world.services, world.run())
    row = world.active(reference)
    with world.database.write() as session:
        claim = meeting_store.claim_meeting(
            session, world.services.vault, row.id, owner, world.run().act(world.services),
            passcode="abcd2345", daily_limit=100,
        )  # fmt: skip
    return row.reference, claim


def create(world, claim):
    world.zoom.state.set_now(world.clock.now)
    with world.services.make_zoom() as client:
        plan = MeetingPlan(token=claim.token, start=claim.start, passcode=claim.passcode)
        return client.create_meeting(world.office.hosts[0].user, plan).meeting_id


def test_report_18_the_meeting_of_a_cancelled_session_is_removed(database, zoom):
    world = World(database, office(hosts=2), zoom=zoom)
    references = confirmed(world, 6)
    call_off(world, *references[:4])
    done = remove(world)
    assert (done.deleted, done.incomplete) == (sorted(references[:4]), [])
    assert sorted(live(world)) == sorted(meeting(world, reference).meeting_id for reference in references[4:])
    assert {meeting(world, r).status for r in references[:4]} == {"deleted"}
    for reference in references[:4]:
        assert [row.reason for row in world.rows(Audit, subject=reference, new="deleted")] == ["REMOVED"]
    again = remove(world)
    assert (again.deleted, again.incomplete) == ([], [])


FAILURES = [
    # what happens to the first DELETE (for good), what the first run says, what the second one finds at Zoom
    ("500", "ZOOM_HTTP_500", "REMOVED"),
    ("503", "ZOOM_HTTP_503", "REMOVED"),
    ("drop_before", "ZOOM_CONNECTION_LOST", "REMOVED"),
    ("drop_after", None, None),
    ("429_second", "ZOOM_TOO_FAST", "REMOVED"),
    ("429_daily", "ZOOM_DAILY_LIMIT", "REMOVED"),
    ("401_expired", "ZOOM_TOKEN_REFUSED", "REMOVED"),
]


@pytest.mark.parametrize(("fault", "code", "then"), FAILURES)
def test_report_18_the_meeting_is_removed_also_when_the_first_delete_failed(database, zoom, fault, code, then):
    world = World(database, zoom=zoom, timeout=0.3)
    [reference] = confirmed(world)
    call_off(world, reference)
    order(zoom, "delete", fault, times=None)
    first = remove(world)
    zoom.state.faults.clear()
    if code is None:
        # The client itself finds out that the lost answer was a removal.
        assert (first.deleted, first.incomplete) == ([reference], [])
        return
    assert (first.deleted, first.incomplete) == ([], [(reference, code)])
    assert meeting(world, reference).status == "unwanted"
    second = remove(world)
    assert (second.deleted, second.incomplete, live(world)) == ([reference], [], [])
    assert [row.reason for row in world.rows(Audit, subject=reference, new="deleted")] == [then]


def test_report_18_a_missing_scope_is_named_until_somebody_grants_it(database, tmp_path):
    shop = office()
    scopes = tuple(scope for scope in ALL_SCOPES if scope != "meeting:delete:meeting:admin")
    with running_zoom(tmp_path / "zoom.db", SandboxZoom(scopes=scopes)) as zoom:
        world = World(database, shop, zoom=zoom)
        references = confirmed(world, 2)
        call_off(world, *references)
        assert remove(world).incomplete == sorted((reference, "ZOOM_SCOPE_MISSING") for reference in references)
    with running_zoom(tmp_path / "zoom.db") as zoom:
        world = World(database, shop, zoom=zoom)
        assert remove(world).deleted == sorted(references)
        assert live(world) == []


def test_a_meeting_that_somebody_has_deleted_already_is_done_with(database, zoom):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    call_off(world, reference)
    httpx.post(f"{zoom.url}/sandbox/meetings/{meeting(world, reference).meeting_id}/vanish", trust_env=False)
    assert remove(world).deleted == [reference]
    assert [row.reason for row in world.rows(Audit, subject=reference, new="deleted")] == ["GONE_ALREADY"]


def test_a_no_shows_meeting_in_which_the_host_sits_is_ended_and_removed(database, zoom):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    number = meeting(world, reference).meeting_id
    said = {"meeting_id": number, "acts": [{"who": "host", "act": "start"}]}
    answer = httpx.post(f"{zoom.url}/sandbox/people", json=said, trust_env=False)
    assert answer.status_code == 200, answer.text
    call_off(world, reference)
    assert remove(world).deleted == [reference]
    assert live(world) == []


def test_report_18_a_creation_whose_answer_was_lost_is_found_and_removed(database, zoom):
    world = World(database, zoom=zoom)
    reference, claim = claimed(world)
    create(world, claim)
    create(world, claim)
    call_off(world, reference)
    assert remove(world).deleted == [reference]
    assert live(world) == []


def test_a_creation_that_a_list_does_not_show_yet_is_looked_for_twice(database, zoom):
    class Slower(Waits):
        def __call__(self, seconds):
            self.append(seconds)
            threading.Event().wait(min(seconds, 2.0) / 4)

    world = World(database, zoom=zoom)
    world.waits = Slower()
    reference, claim = claimed(world)
    create(world, claim)
    call_off(world, reference)
    # Long enough for a slow machine, shorter than the second look.
    order(zoom, "list", "list_lag", times=None, seconds=0.45)
    assert remove(world).deleted == [reference]
    assert live(world) == []
    assert SETTLE_SECONDS in world.waits


def test_report_18_a_creation_that_arrives_after_the_removal_is_removed_by_the_next_run(database, zoom):
    world = World(database, zoom=zoom)
    reference, claim = claimed(world)
    call_off(world, reference)
    assert remove(world).deleted == [reference]
    assert [row.reason for row in world.rows(Audit, subject=reference, new="deleted")] == ["NEVER_MADE"]
    number = create(world, claim)
    with database.write() as session:
        meeting_store.record_created(session, claim, number, world.run().act(world.services), adopted=False)
    assert meeting(world, reference).status == "unwanted"
    assert remove(world).deleted == [reference]
    assert live(world) == []


def test_a_host_that_left_the_office_and_an_unanswered_creation_go_to_a_person(database, zoom):
    world = World(database, office(hosts=1), zoom=zoom)
    reference, claim = claimed(world)
    create(world, claim)
    call_off(world, reference)
    later = World(database, office(hosts=1), zoom=zoom)
    with database.write() as session:
        session.get_one(Meeting, claim.row_id).host = "host-9"
    done = remove(later)
    assert (done.deleted, done.incomplete) == ([], [])
    assert later.staff() == [("zoom-differs", reference, "HOST_NOT_IN_OFFICE")]
    assert remove(later).incomplete == []


def test_without_a_connection_every_meeting_is_named_and_few_are_tried(database, zoom):
    world = World(database, office(hosts=2), zoom=zoom)
    references = confirmed(world, 8)
    call_off(world, *references)
    asked = []

    class Gone(ZoomClient):
        def delete_meeting(self, meeting_id):
            asked.append(meeting_id)
            return super().delete_meeting(meeting_id)

    def make_zoom():
        return Gone("http://127.0.0.1:9/oauth/token", "http://127.0.0.1:9/v2", "a", "c", "s", clock=world.clock,
                    sleep=Waits())  # fmt: skip

    offline = World(database, world.office, zoom=zoom, make_zoom=make_zoom)
    assert remove(offline).incomplete == sorted((reference, "ZOOM_UNREACHABLE") for reference in references)
    assert len(asked) <= 2, "one a host at most"
    assert remove(world).deleted == sorted(references)


def test_nothing_to_remove_asks_zoom_nothing(database):
    assert remove(World(database)).deleted == []


def test_two_runners_at_once_remove_each_meeting_once(database, database_url, zoom):
    first = World(database, office(hosts=2), zoom=zoom)
    references = confirmed(first, 8)
    call_off(first, *references)
    other = Database(database_url)
    try:
        worlds = [first, World(other, first.office, zoom=zoom, owner="runner-2")]
        gate = threading.Barrier(2)
        reports = []

        def go(world):
            gate.wait()
            reports.append(remove(world))

        threads = [threading.Thread(target=go, args=(world,)) for world in worlds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(ref for report in reports for ref in report.deleted) == sorted(references)
        assert [report.incomplete for report in reports] == [[], []]
        assert live(first) == []
        for reference in references:
            assert len(first.rows(Audit, subject=reference, new="deleted")) == 1
    finally:
        other.close()


def test_one_host_never_sees_two_removals_at_once(database, zoom):
    world = World(database, office(hosts=2), zoom=zoom)
    references = confirmed(world, 8)
    call_off(world, *references)
    of = {meeting(world, reference).meeting_id: meeting(world, reference).host for reference in references}
    busy, clashes = set(), []

    class Watching(ZoomClient):
        def delete_meeting(self, meeting_id):
            if of[meeting_id] in busy:
                clashes.append(meeting_id)
            busy.add(of[meeting_id])
            try:
                return super().delete_meeting(meeting_id)
            finally:
                busy.discard(of[meeting_id])

    assert remove(World(database, world.office, zoom=zoom, client=Watching)).deleted == sorted(references)
    assert clashes == []
