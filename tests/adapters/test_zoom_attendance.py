"""Asking who is and was there, against the stand-in playing the day."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from madoguchi.adapters.zoom_attendance import live_participants, past_meeting, past_participants, path_of
from madoguchi.adapters.zoom_errors import (
    ZoomAmbiguous,
    ZoomConfigError,
    ZoomMeetingGone,
    ZoomRejected,
    ZoomRetryable,
)
from madoguchi.adapters.zoom_http import Operation
from madoguchi.domain.participant import Participant
from madoguchi.sandbox.zoom_remote import ZoomRemote
from madoguchi.sandbox.zoom_server import RunningZoom, SandboxZoom, running_zoom
from tests.sandbox.zoom_help import START, client_of, new_host, order, plan


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


@pytest.fixture(scope="module")
def zoom(tmp_path_factory):
    with running_zoom(tmp_path_factory.mktemp("zoom") / "zoom.db", SandboxZoom(daily_changes_per_host=999)) as running:
        yield running


@pytest.fixture
def client(zoom: RunningZoom):
    zoom.state.faults.clear()
    with client_of(zoom) as found:
        yield found


@pytest.fixture
def remote(zoom: RunningZoom):
    with ZoomRemote(zoom.url) as found:
        yield found


@pytest.fixture
def meeting(client) -> str:
    return client.create_meeting(new_host(), plan()).meeting_id


def test_before_the_host_comes_the_meeting_waits_and_no_list_says_that_nobody_came_field_report_20(
    client, remote, meeting
):
    remote.people(meeting, [(at(-3), "guest", "wait")])
    assert client.meeting_status(meeting) == "waiting"
    assert client.live_participants(meeting) is None
    assert client.past_meeting(meeting) is None
    assert client.past_participants(meeting) is None


def test_while_it_runs_the_list_tells_host_and_guest_waiting_and_gone(client, remote, meeting):
    remote.people(meeting, [(at(0), "host", "start"), (at(1), "guest", "wait")])
    assert client.live_participants(meeting) == [
        Participant(True, at(0), None, is_waiting=False),
        Participant(False, at(1), None, is_waiting=True),
    ]
    remote.people(meeting, [(at(2), "guest", "admit"), (at(5), "guest", "leave")])
    assert client.live_participants(meeting) == [
        Participant(True, at(0), None, is_waiting=False),
        Participant(False, at(1), at(2), is_waiting=True),
        Participant(False, at(2), at(5), is_waiting=False),
    ]


def test_the_host_on_two_devices_is_no_guest_field_report_20(client, remote, meeting):
    remote.people(meeting, [(at(0), "host", "start"), (at(1), "host-2", "join")])
    live = client.live_participants(meeting)
    assert [person.is_host for person in live] == [True, True]
    remote.people(meeting, [(at(30), "host", "end")])
    assert client.past_participants(meeting) != []
    assert all(person.is_host for person in client.past_participants(meeting))


def test_after_the_end_the_rows_say_who_was_there_without_a_name_field_report_19(client, remote, meeting):
    remote.people(meeting, [(at(0), "host", "start"), (at(3), "guest", "join"), (at(30), "host", "end")])
    run = client.past_meeting(meeting)
    assert (run.started_at, run.ended_at, run.participants) == (at(0), at(30), 2)
    people = client.past_participants(meeting)
    assert {(person.is_host, person.is_waiting) for person in people} == {(True, False), (False, True), (False, False)}
    assert people[-1] == Participant(False, at(3), at(30), is_waiting=False)
    assert "Sandbox" not in repr((people, run))
    assert "example.jp" not in repr((people, run))


def test_a_host_alone_leaves_an_empty_list_even_when_somebody_waited_outside(client, remote, meeting):
    remote.people(meeting, [(at(0), "host", "start"), (at(1), "guest", "wait"), (at(20), "host", "end")])
    assert client.past_meeting(meeting).participants == 1
    assert client.past_participants(meeting) == []


def test_the_number_leads_to_the_last_run_and_the_uuid_to_its_own(client, remote, meeting):
    remote.people(meeting, [(at(0), "host", "start"), (at(1), "guest", "join"), (at(30), "host", "end")])
    session = client.past_meeting(meeting)
    remote.people(meeting, [(at(90), "host", "start")])
    assert client.past_meeting(meeting) is None
    remote.people(meeting, [(at(95), "host", "end")])
    assert client.past_meeting(meeting).started_at == at(90)
    assert client.past_participants(meeting) == []
    assert client.past_meeting(session.uuid) == session
    assert len(client.past_participants(session.uuid)) == 3


def test_what_a_run_left_behind_outlives_its_meeting_under_its_own_name(client, remote, meeting):
    remote.people(meeting, [(at(0), "host", "start"), (at(1), "guest", "join"), (at(30), "host", "end")])
    uuid = client.past_meeting(meeting).uuid
    assert client.delete_meeting(meeting) is True
    assert client.past_meeting(meeting) is None
    assert client.past_meeting(uuid).ended_at == at(30)


@pytest.mark.parametrize("uuid", ["/ab/cdefgh12==", "ab//cdefgh12==", "ab/cdefgh+12==", "abcdefgh=="])
def test_a_uuid_with_slashes_arrives_whole(zoom, client, remote, meeting, uuid):
    remote.people(meeting, [(at(0), "host", "start"), (at(1), "guest", "join"), (at(30), "host", "end")])
    uuid = uuid.replace("cdefgh", f"cdef{meeting}")
    zoom.state.people.begin(int(meeting), uuid, "2031-03-04T05:00:00Z")
    zoom.state.people.finish(uuid, "2031-03-04T05:10:00Z")
    assert client.past_meeting(uuid).uuid == uuid
    assert client.past_participants(uuid) == []


@pytest.mark.parametrize("wrong", ["", "../users", "a b", "8123%2F", "x", "あ" * 10, "?type=live&page=1"])
def test_no_other_path_can_be_asked_for_by_an_id(wrong):
    with pytest.raises(ZoomRejected, match="ZOOM_MEETING_ID"):
        path_of(wrong)


def test_the_list_of_what_runs_is_one_request_a_host(zoom, client, remote):
    host = new_host()
    made = [client.create_meeting(host, plan()).meeting_id for _ in range(3)]
    assert client.live_meeting_ids(host) == set()
    remote.people(made[1], [(at(0), "host", "start")])
    before = zoom.state.requests["list"]
    assert client.live_meeting_ids(host) == {made[1]}
    assert zoom.state.requests["list"] == before + 1


def test_rows_that_are_late_are_an_empty_list_and_not_proof(zoom, client, remote, meeting):
    remote.people(meeting, [(at(0), "host", "start"), (at(1), "guest", "join"), (at(30), "host", "end")])
    order(zoom, "past_people", "list_lag", seconds=60)
    assert client.past_participants(meeting) == []
    assert len(client.past_participants(meeting)) == 3


def test_a_plan_without_the_live_list_is_a_matter_for_a_person(tmp_path):
    with running_zoom(tmp_path / "zoom.db", SandboxZoom(has_dashboard=False)) as zoom, client_of(zoom) as client:
        made = client.create_meeting(new_host(), plan())
        with pytest.raises(ZoomConfigError, match="ZOOM_PLAN_OR_PERMISSION"):
            client.live_participants(made.meeting_id)


def test_an_app_without_the_scope_for_the_live_list_says_so(tmp_path):
    settings = SandboxZoom(scopes=("meeting:write:admin", "meeting:read:admin"))
    with running_zoom(tmp_path / "zoom.db", settings) as zoom, client_of(zoom) as client:
        made = client.create_meeting(new_host(), plan())
        with pytest.raises(ZoomConfigError, match="ZOOM_SCOPE_MISSING"):
            client.live_participants(made.meeting_id)


@pytest.mark.parametrize(
    ("kind", "code", "is_down"),
    [("503", "ZOOM_HTTP_503", True), ("500", "ZOOM_HTTP_500", True), ("drop_before", "ZOOM_CONNECTION_LOST", False),
     ("bad_json", "ZOOM_UNREADABLE_ANSWER", False)],
)  # fmt: skip
def test_zoom_being_down_is_told_from_zoom_not_being_heard(zoom, client, meeting, kind, code, is_down):
    order(zoom, "get", kind, times=3)
    with pytest.raises(ZoomRetryable) as caught:
        client.meeting_status(meeting)
    assert (caught.value.code, caught.value.is_zoom_down) == (code, is_down)


def test_an_unreachable_zoom_is_not_a_zoom_that_says_it_is_down():
    assert not ZoomRetryable("ZOOM_UNREACHABLE").is_zoom_down
    assert not ZoomRetryable("ZOOM_TIMEOUT").is_zoom_down
    assert not ZoomRejected("ZOOM_HTTP_403").is_zoom_down
    assert ZoomAmbiguous("ZOOM_HTTP_502").is_zoom_down


class Answers:
    """Stands for the caller: gives what was prepared, page by page."""

    def __init__(self, *bodies: Mapping[str, Any] | Exception) -> None:
        self.bodies, self.asked = list(bodies), []

    def call(self, operation: Operation, path: str, **more: Any) -> Mapping[str, Any]:
        self.asked.append((operation.name, path, dict(more.get("params") or {})))
        body = self.bodies.pop(0)
        if isinstance(body, Exception):
            raise body
        return body


def test_every_page_is_read():
    caller = Answers(
        {"participants": [{"role": "host"}], "next_page_token": "t1"}, {"participants": [{"role": "attendee"}]}
    )
    assert [person.is_host for person in live_participants(caller, "81234567890")] == [True, False]
    assert caller.asked[1][2] == {"type": "live", "page_size": 300, "next_page_token": "t1"}


def test_a_list_without_end_or_without_rows_is_an_error_and_never_an_empty_room():
    endless = Answers(*[{"participants": [], "next_page_token": "t"}] * 200)
    with pytest.raises(ZoomRetryable, match="ZOOM_ENDLESS_LIST"):
        live_participants(endless, "81234567890")
    for rows in ({}, {"participants": None}, {"participants": ["x"]}, {"participants": {}}):
        with pytest.raises(ZoomRetryable, match="ZOOM_UNREADABLE_ANSWER"):
            live_participants(Answers(rows), "81234567890")


@pytest.mark.parametrize(
    ("row", "host_id", "is_host"),
    [
        ({"id": "H"}, "H", True),
        ({"id": "X"}, "H", False),
        ({"id": ""}, "H", False),
        ({}, "", False),
        ({"id": "X"}, "", None),
        ({"id": "", "name": "Host Sandbox", "user_email": "host-1@example.jp"}, "H", False),
    ],
)
def test_the_host_is_known_by_the_id_and_by_nothing_else_field_report_19(row, host_id, is_host):
    caller = Answers({"uuid": "uuid1234", "host_id": host_id}, {"participants": [row]})
    assert [person.is_host for person in past_participants(caller, "81234567890")] == [is_host]


@pytest.mark.parametrize(("row", "is_host"), [({"role": "host"}, True), ({"role": "attendee"}, False), ({}, None)])
def test_an_odd_row_is_read_as_far_as_it_goes(row, is_host):
    odd = row | {"join_time": "soon", "leave_time": 5, "status": "elsewhere"}
    assert live_participants(Answers({"participants": [odd]}), "8") == [
        Participant(is_host, None, None, is_waiting=False)
    ]


def test_a_run_that_is_gone_between_the_two_questions_is_no_run():
    caller = Answers({"uuid": "uuid1234", "host_id": "H"}, ZoomMeetingGone("ZOOM_MEETING_GONE"))
    assert past_participants(caller, "81234567890") is None
    assert caller.asked[1][1] == "/past_meetings/uuid1234/participants"
    bare = past_meeting(Answers({"participants_count": True}), "81234567890")
    assert (bare.uuid, bare.participants, bare.started_at) == ("", None, None)


def test_the_meeting_that_was_started_last_week_says_so_in_utc():
    body = {"start_time": "2031-03-04T11:00:00+09:00", "end_time": "2031-03-04T02:30:00Z", "participants_count": 2}
    run = past_meeting(Answers(body), "81234567890")
    assert run.started_at == datetime(2031, 3, 4, 2, tzinfo=UTC)
