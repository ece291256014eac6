"""The stand-in plays the day: what people do, what Zoom shows of it, and what it tells."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from madoguchi.domain.evidence import EvidenceKind
from madoguchi.domain.zoom_event import read_event
from madoguchi.sandbox.zoom_remote import ZoomRemote, ZoomRemoteError
from madoguchi.sandbox.zoom_server import SandboxZoom, running_zoom
from tests.sandbox.receiver import SECRET, receiver
from tests.sandbox.test_zoom_stand_in import Asker
from tests.sandbox.zoom_help import START, new_host

OURS = {"waiting_room": True, "join_before_host": False}


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


@pytest.fixture(scope="module")
def zoom(tmp_path_factory):
    settings = SandboxZoom(daily_changes_per_host=999, account_defaults=OURS)
    with running_zoom(tmp_path_factory.mktemp("zoom") / "zoom.db", settings) as running:
        yield running


@pytest.fixture
def remote(zoom):
    zoom.state.set_now(None)
    zoom.state.locked = frozenset()
    with ZoomRemote(zoom.url) as found:
        yield found


@pytest.fixture
def inbox(remote):
    with receiver() as found:
        remote.webhooks(found.url, SECRET)
        yield found
        remote.webhooks(mode="off")
        remote.forget()


@pytest.fixture
def meeting(remote) -> str:
    return remote.add_foreign(new_host(), START, agenda="ref:T-1")


WAIT, LEAVE_WAIT = "meeting.participant_joined_waiting_room", "meeting.participant_left_waiting_room"
JOIN, LEAVE, ADMIT = "meeting.participant_joined", "meeting.participant_left", "meeting.participant_admitted"
BEFORE, LEAVE_BEFORE = "meeting.participant_jbh_waiting", "meeting.participant_jbh_waiting_left"
BEGUN, ENDED = "meeting.started", "meeting.ended"


@pytest.mark.parametrize(
    ("acts", "events", "status", "present"),
    [
        ([("guest", "wait")], [BEFORE], "waiting", [("guest", "outside")]),
        ([("guest", "join")], [BEFORE], "waiting", [("guest", "outside")]),
        ([("guest", "wait"), ("guest", "leave")], [BEFORE, LEAVE_BEFORE], "waiting", []),
        ([("host", "start")], [BEGUN, JOIN], "started", [("host", "meeting")]),
        ([("host", "join"), ("host-2", "join")], [BEGUN, JOIN, JOIN], "started",
         [("host", "meeting"), ("host-2", "meeting")]),
        ([("guest", "wait"), ("host", "start")], [BEFORE, BEGUN, JOIN, LEAVE_BEFORE, WAIT], "started",
         [("host", "meeting"), ("guest", "waiting")]),
        ([("host", "start"), ("guest", "wait")], [BEGUN, JOIN, WAIT], "started",
         [("host", "meeting"), ("guest", "waiting")]),
        ([("host", "start"), ("guest", "wait"), ("guest", "leave")], [BEGUN, JOIN, WAIT, LEAVE_WAIT], "started",
         [("host", "meeting")]),
        ([("host", "start"), ("guest", "wait"), ("guest-2", "wait"), ("host", "admit")],
         [BEGUN, JOIN, WAIT, WAIT, LEAVE_WAIT, ADMIT, JOIN, LEAVE_WAIT, ADMIT, JOIN], "started",
         [("host", "meeting"), ("guest", "meeting"), ("guest-2", "meeting")]),
        ([("host", "start"), ("guest", "join")], [BEGUN, JOIN, WAIT, LEAVE_WAIT, ADMIT, JOIN], "started",
         [("host", "meeting"), ("guest", "meeting")]),
        ([("host", "start"), ("guest", "wait"), ("guest", "join")], [BEGUN, JOIN, WAIT, LEAVE_WAIT, ADMIT, JOIN],
         "started", [("host", "meeting"), ("guest", "meeting")]),
        ([("host", "start"), ("guest", "join"), ("guest", "put_back")],
         [BEGUN, JOIN, WAIT, LEAVE_WAIT, ADMIT, JOIN, LEAVE, "meeting.participant_put_in_waiting_room"], "started",
         [("host", "meeting"), ("guest", "waiting")]),
        ([("host", "start"), ("host", "leave")], [BEGUN, JOIN, LEAVE, ENDED], "waiting", []),
        ([("host", "start"), ("guest", "wait"), ("host", "end")], [BEGUN, JOIN, WAIT, LEAVE, LEAVE_WAIT, ENDED],
         "waiting", []),
        ([("host", "start"), ("guest", "join"), ("host", "leave"), ("guest", "leave")],
         [BEGUN, JOIN, WAIT, LEAVE_WAIT, ADMIT, JOIN, LEAVE, LEAVE, ENDED], "waiting", []),
    ],
)  # fmt: skip
def test_each_act_shows_in_status_places_and_events(remote, inbox, meeting, acts, events, status, present):
    shown = remote.people(meeting, [(at(n), who, act) for n, (who, act) in enumerate(acts)])
    assert sorted(inbox.names()) == sorted(events)
    if "admit" not in dict(acts).values() and not {LEAVE, ENDED} & set(events):
        assert inbox.names() == events
    assert shown["status"] == status
    assert sorted((one["who"], one["place"]) for one in shown["present"]) == sorted(present)


def test_what_the_events_say_is_what_happened_at_the_time_it_happened_and_who_is_only_host_or_guest(
    remote, inbox, meeting
):
    remote.people(meeting, [
        (at(-2), "guest", "wait"), (at(0), "host", "start"), (at(1), "guest", "admit"), (at(30), "host", "end"),
    ])  # fmt: skip
    read = [read_event(body) for body in inbox.bodies()]
    assert {(one.kind, one.event_at) for one in read} == {
        (EvidenceKind.GUEST_WAITING, at(-2)), (EvidenceKind.MEETING_STARTED, at(0)), (EvidenceKind.HOST_JOINED, at(0)),
        (EvidenceKind.GUEST_STOPPED_WAITING, at(0)), (EvidenceKind.GUEST_WAITING, at(0)),
        (EvidenceKind.GUEST_STOPPED_WAITING, at(1)), (EvidenceKind.GUEST_JOINED, at(1)),
        (EvidenceKind.HOST_LEFT, at(30)), (EvidenceKind.GUEST_LEFT, at(30)), (EvidenceKind.MEETING_ENDED, at(30)),
    }  # fmt: skip
    assert {one.meeting_id for one in read} == {meeting}
    assert len({one.key for one in read}) == len(read)


def test_a_guest_has_neither_name_nor_mail_nor_id_field_report_19(remote, inbox, meeting):
    remote.people(meeting, [(at(0), "host", "start"), (at(1), "guest", "join"), (at(2), "host", "end")])
    people = [body["payload"]["object"].get("participant") for body in inbox.bodies()]
    guests = [one for one in people if one and not one["id"]]
    assert guests
    for guest in guests:
        assert (guest["user_name"], guest["email"], guest["participant_user_id"]) == ("", "", "")


def test_with_joining_before_the_host_a_guest_starts_the_meeting(remote, inbox, meeting):
    remote.drift(meeting, {"waiting_room": False, "join_before_host": True})
    shown = remote.people(meeting, [(at(-5), "guest", "join")])
    assert shown["status"] == "started"
    assert inbox.names() == [BEGUN, JOIN, "meeting.participant_jbh_joined"]
    remote.people(meeting, [(at(0), "host", "join"), (at(1), "guest-2", "join")])
    assert inbox.names()[3:] == [JOIN, JOIN]


@pytest.mark.parametrize(
    ("acts", "says"),
    [
        ([("host", "wait")], "acts 1.act"),
        ([("guest", "start")], "acts 1.act"),
        ([("guest", ["join"])], "acts 1.act"),
        ([("cat", "join")], "acts 1.who"),
        ([("guest-0", "join")], "acts 1.who"),
        ([("guest", "admit")], "acts 1: guest is not in the waiting room"),
        ([("guest", "put_back")], "acts 1: guest is not in the meeting"),
        ([("guest", "leave")], "acts 1: guest is not there"),
        ([("host", "end")], "acts 1: the meeting does not run"),
        ([("host", "admit")], "acts 1: nobody is in the waiting room"),
        ([("host", "start"), ("host", "start")], "acts 2: host is there already"),
        ([("guest", "wait"), ("guest", "wait")], "acts 2: guest is there already"),
    ],
)
def test_an_act_that_cannot_be_says_which_and_why(remote, meeting, acts, says):
    with pytest.raises(ZoomRemoteError, match=says):
        remote.people(meeting, [(at(0), who, act) for who, act in acts])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"acts": []}, "meeting_id"),
        ({"meeting_id": "x", "acts": []}, "meeting_id"),
        ({"meeting_id": "1", "acts": [{"who": "host", "act": "start"}]}, "no such meeting"),
        ({"meeting_id": "1"}, "acts"),
        ({"meeting_id": "1", "acts": {}}, "acts"),
        ({"meeting_id": "1", "acts": ["join"]}, "acts 1"),
        ({"meeting_id": "1", "acts": [{"who": "host", "act": "start", "when": 1}]}, "when"),
        ({"meeting_id": "1", "acts": [{"who": "host", "act": "start", "at": "soon"}]}, "acts 1.at"),
        ({"meeting_id": "1", "acts": [{"who": "host", "act": "start", "at": "2031-03-04T11:00:00"}]}, "time zone"),
    ],
)
def test_a_script_with_a_mistake_names_its_place(zoom, remote, body, says):
    answer = httpx.post(f"{zoom.url}/sandbox/people", json=body, trust_env=False)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


def test_what_happened_before_a_refused_act_is_told(remote, inbox, meeting):
    with pytest.raises(ZoomRemoteError, match="acts 2"):
        remote.people(meeting, [(at(0), "host", "start"), (at(0), "guest", "leave")])
    assert inbox.names() == [BEGUN, JOIN]
    assert remote.present(meeting)["status"] == "started"


def test_a_script_waits_for_the_clock_and_each_act_has_its_own_time(zoom, remote, inbox, meeting):
    remote.clock(at(-10))
    script = [(at(0), "host", "start"), (at(5), "guest", "wait"), (at(6), "guest", "leave"), (at(40), "host", "end")]
    shown = remote.people(meeting, script, wait_for_clock=True)
    assert (shown["script"], shown["status"]) == (4, "waiting")
    remote.clock(at(10))
    read = [read_event(body) for body in inbox.bodies()]
    assert [one.event_at for one in read] == [at(0), at(0), at(5), at(6)]
    with Asker(zoom.url) as ask:
        zoom.state.set_now(at(41))
        assert ask.get(f"/meetings/{meeting}").json()["status"] == "waiting"
    assert remote.present(meeting)["script"] == 0
    assert inbox.names()[-1] == ENDED


def test_an_act_of_a_waiting_script_that_cannot_be_is_noted_and_the_rest_goes_on(remote, meeting):
    remote.clock(at(-10))
    remote.people(meeting, [(at(0), "guest", "leave"), (at(1), "host", "start")], wait_for_clock=True)
    remote.clock(at(2))
    shown = remote.present(meeting)
    assert shown["status"] == "started"
    assert f"{meeting} guest leave: acts 1: guest is not there" in shown["errors"]


def test_a_meeting_that_runs_is_neither_changed_nor_deleted_and_ending_it_tells_everybody(zoom, remote, inbox, meeting):
    remote.people(meeting, [(at(0), "host", "start"), (at(1), "guest", "join")])
    with Asker(zoom.url) as ask:
        assert ask.delete(f"/meetings/{meeting}").json()["code"] == 3002
        assert ask.patch(f"/meetings/{meeting}", json={"duration": 45}).json()["code"] == 3000
        assert ask.put(f"/meetings/{meeting}/status", json={"action": "end"}).status_code == 204
        assert zoom.state.webhooks.wait(10)
        assert inbox.names()[-3:] == [LEAVE, LEAVE, ENDED]
        assert ask.put(f"/meetings/{meeting}/status", json={"action": "end"}).status_code == 204
        assert ask.delete(f"/meetings/{meeting}").status_code == 204
        assert zoom.state.webhooks.wait(10)
    assert inbox.names()[-1] == "meeting.deleted"
    assert read_event(inbox.bodies()[-1]).meeting_id == meeting


def test_an_account_that_keeps_ended_meetings_refuses_to_delete_them(tmp_path):
    with (
        running_zoom(tmp_path / "zoom.db", SandboxZoom(keeps_ended_meetings=True)) as zoom,
        ZoomRemote(zoom.url) as remote,
        Asker(zoom.url) as ask,
    ):
        made = remote.add_foreign("host-1@example.jp", START)
        remote.people(made, [(at(0), "host", "start"), (at(1), "host", "end")])
        assert ask.delete(f"/meetings/{made}").json()["code"] == 3007
        remote.people(made, [(at(2), "host", "start")])
        assert ask.delete(f"/meetings/{made}").json()["code"] == 3002


def test_people_survive_a_restart_of_the_stand_in(tmp_path):
    with running_zoom(tmp_path / "zoom.db") as zoom, ZoomRemote(zoom.url) as remote:
        made = remote.add_foreign("host-1@example.jp", START)
        remote.people(made, [(at(0), "host", "start")])
    with running_zoom(tmp_path / "zoom.db") as zoom, ZoomRemote(zoom.url) as remote:
        assert remote.people(made, [(at(30), "host", "end")])["status"] == "waiting"
        with Asker(zoom.url) as ask:
            assert ask.get(f"/past_meetings/{made}").json()["total_minutes"] == 30


def test_settings_time_host_and_existence_can_change_in_zooms_own_pages_field_report_18(zoom, remote, inbox, meeting):
    other = new_host()
    remote.drift(meeting, {"auto_recording": "cloud", "waiting_room": False})
    remote.shift(meeting, START + timedelta(days=1))
    remote.hand_over(meeting, other)
    with Asker(zoom.url) as ask:
        read = ask.get(f"/meetings/{meeting}").json()
        assert (read["settings"]["auto_recording"], read["settings"]["waiting_room"]) == ("cloud", False)
        assert (read["start_time"], read["host_email"]) == ("2031-03-05T02:00:00Z", other)
        assert [item["id"] for item in ask.get(f"/users/{other}/meetings").json()["meetings"]] == [int(meeting)]
        remote.vanish(meeting)
        assert ask.get(f"/meetings/{meeting}").json()["code"] == 3001
    assert inbox.names() == ["meeting.deleted"]
    (row,) = [row for row in remote.meetings() if row["id"] == meeting]
    assert (row["deleted"], row["host"]) == (True, other)


def test_a_meeting_made_by_hand_has_what_it_was_given_even_in_the_past_and_costs_no_budget(tmp_path):
    settings = SandboxZoom(daily_changes_per_host=0)
    with running_zoom(tmp_path / "zoom.db", settings) as zoom, ZoomRemote(zoom.url) as remote, Asker(zoom.url) as ask:
        made = remote.add_foreign("host-1@example.jp", datetime(2020, 1, 1, tzinfo=UTC), agenda="x", topic="定例会")
        read = ask.get(f"/meetings/{made}").json()
    assert (read["topic"], read["agenda"], read["start_time"]) == ("定例会", "x", "2020-01-01T00:00:00Z")
    assert read["creation_source"] == "web_portal"


def test_a_locked_setting_is_left_as_it_is_without_a_word(zoom, remote):
    with Asker(zoom.url) as ask:
        remote.lock(["auto_recording", "waiting_room"])
        made = ask.create(new_host(), settings={"waiting_room": False, "mute_upon_entry": True})
        assert (made["settings"]["waiting_room"], made["settings"]["mute_upon_entry"]) == (True, True)
        remote.drift(str(made["id"]), {"auto_recording": "cloud"})
        answer = ask.patch(f"/meetings/{made['id']}", json={"settings": {"auto_recording": "none"}})
        assert answer.status_code == 204
        assert ask.get(f"/meetings/{made['id']}").json()["settings"]["auto_recording"] == "cloud"
        remote.lock([])
        ask.patch(f"/meetings/{made['id']}", json={"settings": {"auto_recording": "none"}})
        assert ask.get(f"/meetings/{made['id']}").json()["settings"]["auto_recording"] == "none"


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("meetings", {"start_time": "2031-03-04T11:00:00+09:00"}, "host"),
        ("meetings", {"host": "nobody", "start_time": "2031-03-04T11:00:00+09:00"}, "host"),
        ("meetings", {"host": "host-1@example.jp", "start_time": "2031-03-04T11:00:00"}, "start_time"),
        ("meetings", {"host": "host-1@example.jp", "start_time": "2031-03-04T11:00:00Z", "topic": 5}, "topic"),
        ("meetings/1/vanish", {}, "no such meeting"),
        ("meetings/{id}/drift", {}, "settings"),
        ("meetings/{id}/drift", {"settings": {"auto_recording": "always"}}, "auto_recording"),
        ("meetings/{id}/shift", {"start_time": "soon"}, "start_time"),
        ("meetings/{id}/hand_over", {"host": "nobody"}, "host"),
        ("locked", {"settings": "all"}, "settings"),
    ],
)
def test_a_wrong_order_about_a_meeting_names_its_mistake(zoom, remote, meeting, path, body, says):
    answer = httpx.post(f"{zoom.url}/sandbox/{path.format(id=meeting)}", json=body, trust_env=False)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
