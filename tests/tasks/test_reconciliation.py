"""Zoom kept true, against the real stand-in on both databases; named after what broke elsewhere (reports 16 to 18)."""

import threading
from collections import Counter

import pytest
from sqlalchemy import update

from madoguchi.adapters.zoom import ZoomClient
from madoguchi.domain.meeting import MeetingPlan
from madoguchi.domain.office import ZoomLimits
from madoguchi.sandbox.zoom_remote import ZoomRemote
from madoguchi.sandbox.zoom_server import running_zoom
from madoguchi.sandbox.zoom_state import ALL_SCOPES, SandboxZoom
from madoguchi.store import meetings as meeting_store
from madoguchi.store.database import Database
from madoguchi.store.meeting_removal import mark_unwanted
from madoguchi.store.models import Audit, Booking, BookingRequest, HostBudget, Meeting, OutboxMessage
from madoguchi.store.transitions import move_booking
from tasks.meeting_removal import remove_meetings
from tasks.meetings import create_meetings
from tasks.reconciliation import reconcile
from tasks.scheduling import schedule_requests
from tests.sandbox.zoom_help import Waits, order
from tests.world import World, jst, office

THU = "2026-09-24"
CLOCKS = ("11:00", "11:30", "12:00", "12:30", "13:00", "13:30", "14:00", "14:30")


@pytest.fixture(scope="module")
def shared_zoom(tmp_path_factory):
    with running_zoom(tmp_path_factory.mktemp("zoom") / "zoom.db") as zoom:
        yield zoom


@pytest.fixture
def zoom(shared_zoom):
    yield shared_zoom
    shared_zoom.state.faults.clear()
    shared_zoom.state.locked = frozenset()


@pytest.fixture
def remote(zoom):
    with ZoomRemote(zoom.url) as remote:
        yield remote


def confirmed(world, count=1):
    asked = [world.ask(f"{THU} {clock}") for clock in CLOCKS[:count]]
    schedule_requests(world.services, world.run())
    assert create_meetings(world.services, world.run()).incomplete == []
    with world.database.write() as session:
        # Their confirmations have left: who was never told gets the whole confirmation, not a change.
        session.execute(update(OutboxMessage).values(status="sent", sent_at=world.clock.now))
    return [world.active(reference).reference for reference in asked]


def compare(world, as_of=None, **more):
    return reconcile(world.services, world.run(as_of), **more)


def finish(world, as_of=None):
    """The steps that follow in the flow."""
    made = create_meetings(world.services, world.run(as_of))
    removed = remove_meetings(world.services, world.run(as_of))
    assert (made.incomplete, removed.incomplete) == ([], [])


def booking(world, reference):
    return world.rows(Booking, reference=reference)[0]


def meeting(world, reference):
    return max(world.rows(Meeting, booking_id=booking(world, reference).id), key=lambda m: m.revision)


def number(world, reference):
    return meeting(world, reference).meeting_id


def kinds(report):
    return Counter((str(noted.finding.kind), noted.outcome) for noted in report.noted)


def at_zoom(world, meeting_id):
    return world.zoom.state.meeting(int(meeting_id))


def live(world):
    users = {host.user for host in world.office.hosts}
    return {str(doc["id"]) for host, _, deleted, doc in world.zoom.state.everything() if host in users and not deleted}


def assert_nothing_left(world, as_of=None):
    """A second run at once finds nothing to do, costs no change and tells nobody anything."""
    before = (len(world.messages()), world.count(Audit), sum(row.used for row in world.rows(HostBudget)))
    report = compare(world, as_of)
    finish(world, as_of)
    assert (report.noted, report.incomplete) == ([], [])
    assert (len(world.messages()), world.count(Audit), sum(row.used for row in world.rows(HostBudget))) == before


def test_where_both_agree_nothing_is_found_and_nothing_is_changed(database, zoom):
    world = World(database, office(hosts=2), zoom=zoom)
    confirmed(world, 4)
    report = compare(world)
    assert (report.listed, report.read, report.foreign) == (4, 4, 0)
    assert_nothing_left(world)


# --- 17: a meeting that is gone


def test_report_17_a_meeting_deleted_in_zoom_by_hand_is_made_anew_and_its_link_mailed_once(database, zoom, remote):
    world = World(database, zoom=zoom)
    one, other = confirmed(world, 2)
    old = number(world, one)
    remote.vanish(old)
    report = compare(world)
    assert kinds(report) == {("missing", "repaired"): 1}
    assert booking(world, one).status == "held"
    finish(world)
    assert (booking(world, one).status, booking(world, one).revision) == ("confirmed", 2)
    assert number(world, one) != old
    [changed] = world.messages("changed")
    told = world.context(changed)
    assert (told["meeting_id"], told["previous_start"]) == (number(world, one), None)
    assert (told["start"], changed.revision) == (f"{THU}T11:00:00+09:00", 2)
    assert sorted(m.status for m in world.meetings()) == ["deleted", "verified", "verified"]
    assert booking(world, other).revision == 1
    assert_nothing_left(world)
    assert live(world) == {number(world, one), number(world, other)}


def test_report_17_shortly_before_the_session_staff_telephone_the_new_link_too(database, zoom, remote):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    remote.vanish(number(world, reference))
    as_of = jst(f"{THU} 10:30")
    assert kinds(compare(world, as_of)) == {("missing", "repaired"): 1}
    finish(world, as_of)
    assert world.staff() == [("call-applicant", reference, "LINK_REPLACED_LATE")]
    assert len(world.messages("changed")) == 1
    compare(world, as_of)
    assert world.staff() == [("call-applicant", reference, "LINK_REPLACED_LATE")]


def test_a_session_that_has_begun_is_left_to_its_verdict(database, zoom, remote):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    remote.vanish(number(world, reference))
    assert compare(world, jst(f"{THU} 11:00")).noted == []
    assert booking(world, reference).status == "confirmed"


def test_many_missing_at_once_are_left_to_a_person_who_may_say_go_on(database, zoom, remote):
    world = World(database, zoom=zoom)
    references = confirmed(world, 8)
    for reference in references[:5]:
        remote.vanish(number(world, reference))
    assert kinds(compare(world)) == {("missing", "reported"): 5}
    assert world.staff() == sorted(("zoom-differs", r, "MISSING:TOO_MANY_GONE") for r in references[:5])
    assert {booking(world, reference).status for reference in references} == {"confirmed"}
    assert kinds(compare(world, repair_many=True)) == {("missing", "repaired"): 5}
    finish(world)
    assert len(world.messages("changed")) == 5
    assert_settled_tasks(world)


def assert_settled_tasks(world):
    compare(world)
    assert world.staff() == []


# --- settings


DRIFTS = [
    {"auto_recording": "cloud"},
    {"auto_recording": "local"},
    {"waiting_room": False, "join_before_host": True},
    {"auto_start_meeting_summary": True, "auto_start_ai_companion_questions": True},
    {"meeting_authentication": True},
]


@pytest.mark.parametrize("settings", DRIFTS, ids=str)
def test_somebody_switched_recording_on_or_the_waiting_room_off_and_it_is_put_right(database, zoom, remote, settings):
    world = World(database, zoom=zoom)
    one, _ = confirmed(world, 2)
    remote.drift(number(world, one), settings)
    report = compare(world)
    assert kinds(report) == {("settings_drifted", "repaired"): 1}
    assert set(report.noted[0].finding.names) == set(settings)
    after = at_zoom(world, number(world, one))["settings"]
    assert (after["auto_recording"], after["waiting_room"], after["join_before_host"]) == ("none", True, False)
    assert (after["auto_start_meeting_summary"], after["meeting_authentication"]) == (False, False)
    assert world.messages("changed") == [], "the link is the same, nobody needs to hear of it"
    assert world.used() == 3
    assert_nothing_left(world)


def test_a_setting_that_the_account_has_locked_goes_to_staff_and_the_run_says_so(database, zoom, remote):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    remote.drift(number(world, reference), {"auto_recording": "cloud"})
    remote.lock(["auto_recording"])
    report = compare(world)
    code = "SETTING_DRIFT:auto_recording"
    assert kinds(report) == {("settings_drifted", "undone"): 1}
    assert report.incomplete == [(reference, code)]
    assert world.staff() == [("zoom-drift", reference, code)]
    assert booking(world, reference).status == "confirmed"
    remote.lock([])
    assert kinds(compare(world)) == {("settings_drifted", "repaired"): 1}
    assert_settled_tasks(world)


def test_a_hidden_setting_is_not_taken_for_drift(database, zoom):
    hidden = "auto_start_ai_companion_questions"

    class Hiding(ZoomClient):
        def get_meeting(self, meeting_id):
            found = super().get_meeting(meeting_id)
            found.settings.pop(hidden)
            return found

    world = World(database, office(zoom=ZoomLimits(hidden_settings=frozenset({hidden}))), zoom=zoom, client=Hiding)
    confirmed(world)
    assert compare(world).noted == []


def test_a_meeting_that_runs_is_not_touched(database, zoom, remote):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    remote.drift(number(world, reference), {"auto_recording": "cloud"})
    remote.people(number(world, reference), [(None, "host", "start")])
    report = compare(world, jst(f"{THU} 10:50"))
    assert kinds(report) == {("settings_drifted", "reported"): 1}
    assert world.staff() == [("zoom-drift", reference, "SETTINGS_DRIFTED:RUNNING")]


def test_a_passcode_taken_away_is_set_again_and_the_link_that_results_is_told(database, zoom):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    doc = at_zoom(world, number(world, reference))
    zoom.state.change({**doc, "password": "", "join_url": f"https://zoom.example.jp/j/{doc['id']}"})
    assert kinds(compare(world)) == {("settings_drifted", "repaired"): 1}
    after = at_zoom(world, number(world, reference))
    [changed] = world.messages("changed")
    assert world.context(changed)["join_url"] == after["join_url"]
    assert after["password"] == world.context(changed)["passcode"] != ""
    assert_nothing_left(world)


# --- time


def test_a_meeting_moved_in_zoom_is_moved_back(database, zoom, remote):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    remote.shift(number(world, reference), jst(f"{THU} 15:00"))
    assert kinds(compare(world)) == {("wrong_time", "repaired"): 1}
    assert at_zoom(world, number(world, reference))["start_time"] == f"{THU}T02:00:00Z"
    assert world.messages("changed") == []
    assert_nothing_left(world)


@pytest.mark.parametrize(("clock", "outcome"), [("09:59", "repaired"), ("10:00", "reported")])
def test_within_the_last_hour_the_time_is_left_and_reported(database, zoom, remote, clock, outcome):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    remote.shift(number(world, reference), jst(f"{THU} 15:00"))
    remote.drift(number(world, reference), {"auto_recording": "cloud"})
    report = compare(world, jst(f"{THU} {clock}"))
    assert kinds(report) == {("wrong_time", outcome): 1, ("settings_drifted", "repaired"): 1}
    after = at_zoom(world, number(world, reference))
    assert after["settings"]["auto_recording"] == "none", "what would be recorded is put right all the same"
    assert after["start_time"] == (f"{THU}T02:00:00Z" if outcome == "repaired" else f"{THU}T06:00:00Z")
    waiting = [] if outcome == "repaired" else [("zoom-differs", reference, "WRONG_TIME:TOO_CLOSE")]
    assert world.staff() == waiting


# --- link, host


def test_report_16_a_link_changed_in_zoom_is_mailed_as_a_revision_once(database, zoom):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    doc = at_zoom(world, number(world, reference))
    zoom.state.change({**doc, "password": "other234", "join_url": f"https://zoom.example.jp/j/{doc['id']}?pwd=New"})
    assert kinds(compare(world)) == {("link_changed", "repaired"): 1}
    [changed] = world.messages("changed")
    told = world.context(changed)
    assert (told["passcode"], told["previous_start"], told["revision"]) == ("other234", None, 2)
    assert told["join_url"].endswith("?pwd=New")
    row = meeting(world, reference)
    assert (row.revision, row.status, booking(world, reference).revision) == (2, "verified", 2)
    access = meeting_store.meeting_access(world.services.vault, row)
    assert access == {"passcode": "other234", "join_url": told["join_url"]}
    assert world.used() == 1, "nothing was changed at Zoom"
    assert_nothing_left(world)


def test_without_a_usable_address_staff_telephone_the_changed_link(database, zoom):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    with database.write() as session:
        session.get_one(BookingRequest, booking(world, reference).request_id).flags = ["EMAIL_DOUBTFUL"]
    doc = at_zoom(world, number(world, reference))
    zoom.state.change({**doc, "password": "other234"})
    compare(world)
    assert world.staff() == [("call-applicant", reference, "CHANGED")]
    assert_nothing_left(world)


def test_a_link_that_leads_elsewhere_is_never_mailed(database, zoom):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    doc = at_zoom(world, number(world, reference))
    zoom.state.change({**doc, "join_url": "https://zoom.example.net/j/1"})
    assert kinds(compare(world)) == {("link_changed", "reported"): 1}
    assert world.staff() == [("zoom-differs", reference, "LINK_CHANGED:JOIN_URL_NOT_HTTPS_ZOOM")]
    assert world.messages("changed") == []


def test_a_meeting_given_to_another_host_is_reported(database, zoom, remote):
    world = World(database, office(hosts=2), zoom=zoom)
    references = confirmed(world, 4)
    moved = references[0]
    other = next(host.user for host in world.office.hosts if host.code != booking(world, moved).host)
    remote.hand_over(number(world, moved), other)
    assert kinds(compare(world)) == {("wrong_host", "reported"): 1}
    assert world.staff() == [("zoom-differs", moved, "WRONG_HOST:AT_ANOTHER_HOST")]
    assert number(world, moved) in {str(doc["id"]) for _, _, gone, doc in zoom.state.everything() if not gone}
    back = next(host.user for host in world.office.hosts if host.code == booking(world, moved).host)
    remote.hand_over(number(world, moved), back)
    assert_settled_tasks(world)


# --- 18: meetings that nobody needs


def cancel(world, reference):
    with world.database.write() as session:
        act = world.run().act(world.services)
        row = session.get_one(Booking, booking(world, reference).id)
        mark_unwanted(session, row, act, "CANCELLED")
        move_booking(session, row, "cancelled", act, "CANCELLED")


def test_report_18_a_cancelled_bookings_meeting_goes_also_when_the_first_delete_failed(database, zoom):
    world = World(database, zoom=zoom)
    one, other = confirmed(world, 2)
    cancel(world, one)
    order(zoom, "delete", "500", times=None)
    assert remove_meetings(world.services, world.run()).incomplete == [(one, "ZOOM_HTTP_500")]
    zoom.state.faults.clear()
    assert compare(world).noted == [], "it is on its way out"
    finish(world)
    assert live(world) == {number(world, other)}


def make_at_zoom(world, reference, token):
    world.zoom.state.set_now(world.clock.now)
    user = next(host.user for host in world.office.hosts if host.code == booking(world, reference).host)
    with world.services.make_zoom() as client:
        plan = MeetingPlan(token=token, start=jst(f"{THU} 11:00"), passcode="abcd2345")
        return client.create_meeting(user, plan).meeting_id


def test_report_18_a_creation_that_arrives_after_everything_was_removed_is_found_and_removed(database, zoom):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    cancel(world, reference)
    finish(world)
    late = make_at_zoom(world, reference, meeting(world, reference).token)
    assert late in live(world)
    assert kinds(compare(world)) == {("orphan", "repaired"): 1}
    assert live(world) == set()
    assert_nothing_left(world)


def test_report_18_a_deleted_meeting_that_somebody_brings_back_is_removed_again(database, zoom):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    cancel(world, reference)
    finish(world)
    zoom.state.set_deleted(int(number(world, reference)), deleted=False)
    assert kinds(compare(world)) == {("orphan", "repaired"): 1}
    assert live(world) == set()


def test_a_second_meeting_with_a_sessions_token_is_removed_and_the_mailed_one_stays(database, zoom):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    extra = make_at_zoom(world, reference, meeting(world, reference).token)
    assert kinds(compare(world)) == {("duplicate", "repaired"): 1}
    assert extra not in live(world)
    assert live(world) == {number(world, reference)}
    assert_nothing_left(world)


def test_a_duplicate_in_which_somebody_sits_is_reported_and_left(database, zoom, remote):
    world = World(database, zoom=zoom)
    [reference] = confirmed(world)
    extra = make_at_zoom(world, reference, meeting(world, reference).token)
    remote.people(extra, [(None, "host", "start")])
    report = compare(world)
    assert report.incomplete == [(reference, "ZOOM_MEETING_RUNNING")]
    assert world.staff() == [("zoom-differs", reference, "DUPLICATE:RUNNING")]
    assert extra in live(world)


def test_a_creation_that_is_under_way_is_not_taken_for_an_orphan(database, zoom):
    world = World(database, zoom=zoom)
    asked = world.ask(f"{THU} 11:00")
    schedule_requests(world.services, world.run())
    row = world.active(asked)
    with database.write() as session:
        claim = meeting_store.claim_meeting(
            session, world.services.vault, row.id, "runner-2", world.run().act(world.services),
            passcode="abcd2345", daily_limit=100,
        )  # fmt: skip
    made = make_at_zoom(world, row.reference, claim.token)
    report = compare(world)
    assert (report.noted, report.incomplete) == ([], [])
    assert live(world) == {made}


def test_a_foreign_meeting_is_counted_and_never_touched(database, zoom, remote):
    world = World(database, zoom=zoom)
    confirmed(world)
    user = world.office.hosts[0].user
    foreign = [
        remote.add_foreign(user, jst(f"{THU} 11:00")),
        remote.add_foreign(user, jst(f"{THU} 15:00"), agenda="ref:other-system"),
        remote.add_foreign(user, jst("2026-09-01 10:00"), topic="Online session"),
    ]
    before = {number: at_zoom(world, number) for number in foreign}
    report = compare(world)
    finish(world)
    assert (report.foreign, report.noted, report.incomplete) == (3, [], [])
    assert {number: at_zoom(world, number) for number in foreign} == before


def test_a_token_that_is_not_on_record_is_reported_and_never_deleted(database, zoom, remote):
    """Another installation's, or made after the backup that the record was restored from: somebody has its link."""
    world = World(database, zoom=zoom)
    user = world.office.hosts[0].user
    stranger = remote.add_foreign(user, jst(f"{THU} 11:00"), agenda="ref:M-7K2Q9F-0123456789")
    report = compare(world)
    assert kinds(report) == {("orphan", "reported"): 1}
    assert world.staff() == [("zoom-differs", "M-7K2Q9F", "ORPHAN:UNKNOWN_TOKEN")]
    assert stranger in live(world)
    remote.vanish(stranger)
    assert_settled_tasks(world)


# --- whatever fails leaves the rest done


def test_one_host_that_cannot_be_asked_leaves_the_others_done(database, tmp_path):
    shop = office(hosts=2)
    users = tuple(host.user for host in shop.hosts)
    with running_zoom(tmp_path / "zoom.db", SandboxZoom(users=users, create_unknown_users=False)) as zoom:
        world = World(database, shop, zoom=zoom)
        references = confirmed(world, 4)
        with ZoomRemote(zoom.url) as remote:
            for reference in references:
                remote.drift(number(world, reference), {"auto_recording": "cloud"})
            host = {r: booking(world, r).host for r in references}

            class Deaf(ZoomClient):
                def list_meetings(self, host_user, **more):
                    return super().list_meetings("nobody@example.jp" if host_user == users[0] else host_user, **more)

            half = World(database, shop, zoom=zoom, client=Deaf)
            gone = next(r for r in references if host[r] == "host-1")
            remote.vanish(number(world, gone))
            report = compare(half)
            assert report.incomplete == [("host-1", "ZOOM_HOST_UNKNOWN")]
            assert kinds(report) == {("settings_drifted", "repaired"): 3}
            assert booking(world, gone).status == "confirmed", "of a silent host nothing is held to be gone"
            assert kinds(compare(world)) == {("missing", "repaired"): 1}


def test_without_a_connection_everything_is_named_and_nothing_is_done(database, zoom):
    world = World(database, office(hosts=2), zoom=zoom)
    references = confirmed(world, 4)

    def make_zoom():
        return ZoomClient("http://127.0.0.1:9/oauth/token", "http://127.0.0.1:9/v2", "a", "c", "s",
                          clock=world.clock, sleep=Waits())  # fmt: skip

    offline = World(database, world.office, zoom=zoom, make_zoom=make_zoom)
    report = compare(offline)
    assert report.incomplete == sorted((name, "ZOOM_UNREACHABLE") for name in ["host-1", "host-2", *references])
    assert report.noted == []
    assert {booking(world, reference).status for reference in references} == {"confirmed"}


@pytest.mark.parametrize(
    ("op", "kind", "code"),
    [
        ("get", "500", "ZOOM_HTTP_500"),
        ("update", "500", "ZOOM_HTTP_500"),
        ("update", "drop_after", "ZOOM_CONNECTION_LOST"),
        ("update", "429_host_day", "ZOOM_HOST_BUDGET"),
        ("update", "429_daily", "ZOOM_DAILY_LIMIT"),
    ],
)
def test_what_zoom_refuses_today_is_named_and_done_by_the_next_run(database, zoom, remote, op, kind, code):
    world = World(database, zoom=zoom, timeout=0.3)
    [reference] = confirmed(world)
    remote.drift(number(world, reference), {"auto_recording": "cloud"})
    order(zoom, op, kind, times=None)
    assert compare(world).incomplete == [(reference, code)]
    zoom.state.faults.clear()
    world.clock.forward(days=1)
    done_already = kind == "drop_after"
    assert kinds(compare(world)) == ({} if done_already else {("settings_drifted", "repaired"): 1})
    assert at_zoom(world, number(world, reference))["settings"]["auto_recording"] == "none"


def test_repairs_leave_a_part_of_the_hosts_day_to_new_meetings(database, zoom, remote):
    world = World(database, office(zoom=ZoomLimits(daily_changes_per_host=10)), zoom=zoom)
    references = confirmed(world, 6)
    for reference in references:
        remote.drift(number(world, reference), {"auto_recording": "cloud"})
    report = compare(world)
    assert kinds(report) == {("settings_drifted", "repaired"): 2, ("settings_drifted", "undone"): 4}
    assert {code for _, code in report.incomplete} == {"ZOOM_HOST_BUDGET"}
    assert world.used() == 8
    world.clock.forward(days=1)
    assert kinds(compare(world)) == {("settings_drifted", "repaired"): 4}


def test_a_missing_scope_for_lists_is_a_matter_for_a_person(database, tmp_path):
    scopes = tuple(scope for scope in ALL_SCOPES if "list_meetings" not in scope)
    with running_zoom(tmp_path / "zoom.db", SandboxZoom(scopes=scopes)) as zoom:
        world = World(database, office(hosts=2), zoom=zoom)
        [reference] = confirmed(world)
        report = compare(world)
        names = {name for name, _ in report.incomplete}
        assert {code for _, code in report.incomplete} == {"ZOOM_SCOPE_MISSING"}
        assert names >= {"host-1", "host-2"}
        assert booking(world, reference).status == "confirmed"


# --- twice at once


def test_two_runs_at_once_repair_and_tell_everything_once(database, database_url, zoom, remote):
    first = World(database, office(hosts=2), zoom=zoom)
    references = confirmed(first, 8)
    for reference in references[:2]:
        remote.vanish(number(first, reference))
    remote.drift(number(first, references[2]), {"auto_recording": "cloud"})
    doc = at_zoom(first, number(first, references[3]))
    zoom.state.change({**doc, "password": "other234"})
    remote.shift(number(first, references[4]), jst(f"{THU} 16:00"))
    extra = make_at_zoom(first, references[5], meeting(first, references[5]).token)
    other = Database(database_url)
    try:
        worlds = [first, World(other, first.office, zoom=zoom, owner="runner-2")]
        gate = threading.Barrier(2)
        reports = []

        def go(world):
            gate.wait()
            report = compare(world)
            create_meetings(world.services, world.run())
            remove_meetings(world.services, world.run())
            reports.append(report)

        threads = [threading.Thread(target=go, args=(world,)) for world in worlds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sum((kinds(report) for report in reports), Counter()) == {
            ("missing", "repaired"): 2,
            ("settings_drifted", "repaired"): 1,
            ("link_changed", "repaired"): 1,
            ("wrong_time", "repaired"): 1,
            ("duplicate", "repaired"): 1,
        }
        assert [report.incomplete for report in reports] == [[], []]
        assert len(first.messages("changed")) == 3
        assert {booking(first, reference).status for reference in references} == {"confirmed"}
        assert extra not in live(first)
        assert live(first) == {number(first, reference) for reference in references}
        assert_nothing_left(first)
    finally:
        other.close()
