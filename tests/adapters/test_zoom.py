"""The client against the stand-in, over real connections."""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from madoguchi.adapters.zoom import ZoomClient, ensure_meeting
from madoguchi.adapters.zoom_errors import (
    ZoomAmbiguous,
    ZoomBudgetSpent,
    ZoomConfigError,
    ZoomError,
    ZoomHostBudgetSpent,
    ZoomMeetingGone,
    ZoomRejected,
    ZoomRetryable,
    ZoomTokenRefused,
    ZoomTooFast,
)
from madoguchi.adapters.zoom_pace import Pace
from madoguchi.adapters.zoom_read import read_instant, read_meeting, write_plan
from madoguchi.domain.meeting import PRIVACY_SETTINGS, check_meeting
from madoguchi.domain.office import JST
from madoguchi.sandbox.zoom_server import SandboxZoom, running_zoom
from tests.sandbox.zoom_help import SANDBOX_LINKS, START, Waits, all_meetings, client_of, new_host, order, plan


@pytest.fixture(scope="module")
def _server(tmp_path_factory):
    with running_zoom(tmp_path_factory.mktemp("zoom") / "zoom.db") as running:
        yield running


@pytest.fixture
def zoom(_server):
    _server.state.faults.clear()
    _server.state.latency_seconds = 0.0
    _server.state.requests.clear()
    return _server


@pytest.fixture
def client(zoom):
    with client_of(zoom) as made:
        yield made


def patience(fault):
    """Short only where a time-out is the point: a busy machine must not make the others time out too."""
    return 0.4 if "timeout" in fault["kind"] else 5.0


def alive(zoom, token):
    return [m["id"] for m in all_meetings(zoom) if m["token"] == token and not m["deleted"]]


def test_a_created_meeting_reads_back_as_planned(client):
    wanted = plan(start=datetime(2031, 3, 4, 11, 0, tzinfo=JST))
    made = client.create_meeting(new_host(), wanted)
    read = client.get_meeting(made.meeting_id)
    assert check_meeting(wanted, read, allowed_join_hosts=SANDBOX_LINKS) == ()
    assert read.start == START
    assert len(read.meeting_id) == 11
    assert check_meeting(wanted, made, allowed_join_hosts=SANDBOX_LINKS) == ()


def test_the_start_link_gets_no_further_than_the_door(client):
    made = client.create_meeting(new_host(), plan())
    assert "zak=" not in repr([getattr(made, name) for name in made.__slots__])
    assert "start_url" not in str(made.settings)


def test_a_changed_meeting_has_the_new_start_and_still_every_privacy_setting(client):
    first = plan()
    made = client.create_meeting(new_host(), first)
    moved = replace(first, start=START + timedelta(days=1))
    client.update_meeting(made.meeting_id, moved)
    assert check_meeting(moved, client.get_meeting(made.meeting_id), allowed_join_hosts=SANDBOX_LINKS) == ()


def test_deleting_twice_is_true_then_false_and_the_meeting_is_none(client):
    made = client.create_meeting(new_host(), plan())
    assert client.delete_meeting(made.meeting_id) is True
    assert client.delete_meeting(made.meeting_id) is False
    assert client.get_meeting(made.meeting_id) is None
    assert client.meeting_status(made.meeting_id) is None
    assert client.end_meeting(made.meeting_id) is False
    with pytest.raises(ZoomMeetingGone):
        client.update_meeting(made.meeting_id, plan())


def test_deleting_again_after_a_lost_answer_still_says_that_we_removed_it(zoom, client):
    made = client.create_meeting(new_host(), plan())
    order(zoom, "delete", "drop_after")
    assert client.delete_meeting(made.meeting_id) is True
    assert zoom.state.requests["delete"] == 2


def test_a_running_meeting_is_not_deleted_before_it_is_ended(zoom, client):
    made = client.create_meeting(new_host(), plan())
    zoom.state.set_status(int(made.meeting_id), "started")
    assert client.meeting_status(made.meeting_id) == "started"
    with pytest.raises(ZoomRejected, match="ZOOM_MEETING_RUNNING"):
        client.delete_meeting(made.meeting_id)
    assert client.end_meeting(made.meeting_id) is True
    assert client.meeting_status(made.meeting_id) == "waiting"
    assert client.delete_meeting(made.meeting_id) is True


@pytest.mark.parametrize(
    ("op", "fault", "error", "code", "made"),
    [
        ("create", {"kind": "500"}, ZoomAmbiguous, "ZOOM_HTTP_500", 0),
        ("create", {"kind": "500_after_act"}, ZoomAmbiguous, "ZOOM_HTTP_500", 1),
        ("create", {"kind": "503"}, ZoomAmbiguous, "ZOOM_HTTP_503", 0),
        ("create", {"kind": "timeout_after_act", "seconds": 1.5}, ZoomAmbiguous, "ZOOM_TIMEOUT", 1),
        ("create", {"kind": "drop_before"}, ZoomAmbiguous, "ZOOM_CONNECTION_LOST", 0),
        ("create", {"kind": "drop_after"}, ZoomAmbiguous, "ZOOM_CONNECTION_LOST", 1),
        ("create", {"kind": "bad_json"}, ZoomAmbiguous, "ZOOM_UNREADABLE_ANSWER", 1),
        ("create", {"kind": "429_second", "times": 4}, ZoomTooFast, "ZOOM_TOO_FAST", 0),
        ("create", {"kind": "429_host_day"}, ZoomHostBudgetSpent, "ZOOM_HOST_BUDGET", 0),
        ("create", {"kind": "429_daily"}, ZoomBudgetSpent, "ZOOM_DAILY_LIMIT", 0),
        ("create", {"kind": "401_expired", "times": 2}, ZoomRetryable, "ZOOM_TOKEN_REFUSED", 0),
        ("token", {"kind": "500", "times": 3}, ZoomRetryable, "ZOOM_HTTP_500", 0),
        ("token", {"kind": "drop_before", "times": 3}, ZoomRetryable, "ZOOM_CONNECTION_LOST", 0),
        ("token", {"kind": "bad_json", "times": 3}, ZoomRetryable, "ZOOM_UNREADABLE_ANSWER", 0),
    ],
)
def test_every_fault_that_ends_a_creation_is_sorted_and_known_to_have_made_a_meeting_or_not(
    zoom, op, fault, error, code, made
):
    wanted, host = plan(), new_host()
    order(zoom, op, **fault)
    with client_of(zoom, timeout_seconds=patience(fault)) as client, pytest.raises(ZoomError) as caught:
        client.create_meeting(host, wanted)
    assert isinstance(caught.value, error)
    assert caught.value.code == code
    assert len(alive(zoom, wanted.token)) == made


@pytest.mark.parametrize(
    ("op", "fault"),
    [
        ("create", {"kind": "429_second", "times": 3}),
        ("create", {"kind": "401_expired"}),
        ("create", {"kind": "latency", "seconds": 0.05}),
        ("token", {"kind": "500", "times": 2}),
        ("token", {"kind": "503"}),
        ("*", {"kind": "401_expired", "after": 1}),
    ],
)
def test_every_fault_that_is_safe_to_outlast_is_outlasted_by_a_creation(zoom, client, op, fault):
    wanted = plan()
    order(zoom, op, **fault)
    client.create_meeting(new_host(), wanted)
    assert len(alive(zoom, wanted.token)) == 1


@pytest.mark.parametrize("kind", ["500", "503", "drop_before", "drop_after", "bad_json", "500_after_act"])
def test_reads_outlast_two_failures_in_a_row(zoom, client, kind):
    host = new_host()
    made = client.create_meeting(host, plan())
    order(zoom, "get", kind, times=2)
    assert client.get_meeting(made.meeting_id).meeting_id == made.meeting_id
    order(zoom, "list", kind, times=2)
    assert [m.meeting_id for m in client.list_meetings(host)] == [made.meeting_id]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "timeout_after_act", "seconds": 1.5},
        {"kind": "drop_after"},
        {"kind": "500_after_act"},
        {"kind": "bad_json"},
    ],
)
def test_a_meeting_whose_answer_was_lost_is_adopted_and_not_made_again(zoom, fault):
    wanted, host = plan(), new_host()
    order(zoom, "create", **fault)
    with client_of(zoom, timeout_seconds=patience(fault)) as client:
        with pytest.raises(ZoomAmbiguous):
            ensure_meeting(client, host, wanted, look_first=False)
        result = ensure_meeting(client, host, wanted, look_first=True, allowed_join_hosts=SANDBOX_LINKS)
    assert result.adopted
    assert result.deleted_extras == 0
    assert result.meeting.passcode
    assert zoom.state.requests["create"] == 1
    assert alive(zoom, wanted.token) == [result.meeting.meeting_id]


@pytest.mark.parametrize("fault", [{"kind": "drop_before"}, {"kind": "500"}])
def test_a_meeting_that_was_not_made_after_all_is_made(zoom, client, fault):
    wanted, host = plan(), new_host()
    order(zoom, "create", **fault)
    with pytest.raises(ZoomAmbiguous):
        ensure_meeting(client, host, wanted, look_first=False)
    result = ensure_meeting(client, host, wanted, look_first=True, allowed_join_hosts=SANDBOX_LINKS)
    assert not result.adopted
    assert alive(zoom, wanted.token) == [result.meeting.meeting_id]


def test_of_several_meetings_with_one_token_the_oldest_good_one_stays(zoom, client):
    wanted, host = plan(), new_host()
    client.create_meeting(host, replace(wanted, start=START + timedelta(days=40)))
    good = client.create_meeting(host, wanted)
    client.create_meeting(host, wanted)
    other = client.create_meeting(host, plan(f"{wanted.token}-2"))
    zoom.state.change(zoom.state.meeting(int(good.meeting_id)) | {"created_at": "2026-01-01T00:00:00Z"})
    result = ensure_meeting(client, host, wanted, look_first=True, allowed_join_hosts=SANDBOX_LINKS)
    assert (result.meeting.meeting_id, result.adopted, result.deleted_extras) == (good.meeting_id, True, 2)
    assert alive(zoom, wanted.token) == [good.meeting_id]
    assert alive(zoom, f"{wanted.token}-2") == [other.meeting_id]


def test_a_meeting_that_drifted_is_replaced_and_a_running_one_is_left_alone(zoom, client):
    wanted, host = plan(), new_host()
    drifted = client.create_meeting(host, wanted)
    running = client.create_meeting(host, replace(wanted, duration_minutes=45))
    doc = zoom.state.meeting(int(drifted.meeting_id))
    zoom.state.change(doc | {"settings": {**doc["settings"], "auto_recording": "cloud"}})
    zoom.state.set_status(int(running.meeting_id), "started")
    result = ensure_meeting(client, host, wanted, look_first=True, allowed_join_hosts=SANDBOX_LINKS)
    assert (result.adopted, result.deleted_extras) == (False, 1)
    assert set(alive(zoom, wanted.token)) == {running.meeting_id, result.meeting.meeting_id}


def test_a_list_that_lags_is_looked_at_again_after_the_settling_time(zoom):
    wanted, host = plan(), new_host()
    order(zoom, "create", "drop_after")
    order(zoom, "list", "list_lag", seconds=0.3, times=None)
    with client_of(zoom, sleep=time.sleep) as client:
        with pytest.raises(ZoomAmbiguous):
            client.create_meeting(host, wanted)
        assert client.find_by_token(host, wanted.token, START) == []
        result = ensure_meeting(
            client, host, wanted, look_first=True, settle_seconds=0.35, allowed_join_hosts=SANDBOX_LINKS
        )
    assert result.adopted
    assert len(alive(zoom, wanted.token)) == 1


def test_the_token_is_found_whatever_the_start_became_and_on_the_last_of_several_pages(tmp_path):
    with (
        running_zoom(tmp_path / "zoom.db", SandboxZoom(daily_changes_per_host=1000)) as zoom,
        client_of(zoom) as client,
    ):
        host = new_host()
        with ThreadPoolExecutor(8) as pool:
            list(
                pool.map(lambda n: client.create_meeting(host, plan(f"P-{n}", START + timedelta(hours=n))), range(320))
            )
        zoom.state.requests.clear()
        assert len(list(client.list_meetings(host))) == 320
        assert zoom.state.requests["list"] == 2
        last = START + timedelta(hours=319)
        assert [m.start for m in client.find_by_token(host, "P-319", None)] == [last]
        assert [m.start for m in client.find_by_token(host, "P-319", last)] == [last]
        assert client.find_by_token(host, "P-319", START) == []
        assert client.find_by_token(host, "P-31", START)[0].agenda == "ref:P-31"


def test_an_endless_list_is_an_error_and_not_an_empty_one():
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            return httpx.Response(200, json={"access_token": "t", "token_type": "bearer", "expires_in": 3599})
        return httpx.Response(200, json={"next_page_token": "again", "meetings": []})

    client = ZoomClient(
        "https://zoom.us/oauth/token", "https://api.zoom.us/v2", "a", "c", "s",
        http=httpx.Client(transport=httpx.MockTransport(answer)), clock=lambda: START, sleep=Waits(),
        read_per_second=1e6,
    )  # fmt: skip
    with pytest.raises(ZoomRetryable, match="ZOOM_ENDLESS_LIST"):
        client.find_by_token("h", "T-1", None)


def test_twenty_threads_at_the_end_of_a_token_fetch_one_new_one(zoom):
    time_now = [datetime(2026, 11, 22, tzinfo=UTC)]
    with client_of(zoom, clock=lambda: time_now[0], concurrency=20) as client:
        made = client.create_meeting(new_host(), plan())
        assert zoom.state.requests["token"] == 1
        for wait, fetched in ((3530, 1), (20, 2), (10, 2), (4000, 3)):
            time_now[0] += timedelta(seconds=wait)
            with ThreadPoolExecutor(20) as pool:
                list(pool.map(lambda _: client.get_meeting(made.meeting_id), range(40)))
            assert zoom.state.requests["token"] == fetched, wait


def test_twenty_threads_with_a_refused_token_fetch_few_new_ones_and_all_succeed(zoom):
    with client_of(zoom, concurrency=20) as client:
        made = client.create_meeting(new_host(), plan())
        order(zoom, "get", "401_expired", times=20)
        barrier = threading.Barrier(20)

        def read(_: int) -> str:
            barrier.wait()
            return client.get_meeting(made.meeting_id).meeting_id

        with ThreadPoolExecutor(20) as pool:
            jobs = [pool.submit(read, n) for n in range(20)]
        failures = [job.exception() for job in jobs if job.exception()]
        # A thread that is quick enough meets two of the faults; it is told to come again, and nothing worse.
        assert {type(failure) for failure in failures} <= {ZoomTokenRefused}
        assert len(failures) < 10
        assert {job.result() for job in jobs if not job.exception()} == {made.meeting_id}
        assert zoom.state.requests["token"] < 20


def test_one_failure_to_get_a_token_is_shared_by_those_who_waited_for_it(zoom):
    order(zoom, "token", "503", times=None)
    with client_of(zoom, concurrency=10) as client, ThreadPoolExecutor(10) as pool:
        jobs = [pool.submit(client.get_meeting, "81234567890") for _ in range(10)]
        assert {type(job.exception()) for job in jobs} == {ZoomRetryable}
    assert zoom.state.requests["token"] <= 9


def test_the_hundred_and_first_change_of_a_host_is_refused_until_midnight_utc_and_another_host_goes_on(tmp_path):
    with running_zoom(tmp_path / "zoom.db", SandboxZoom(daily_changes_per_host=3)) as zoom, client_of(zoom) as client:
        host = new_host()
        made = [client.create_meeting(host, plan()) for _ in range(2)]
        client.update_meeting(made[0].meeting_id, plan())
        with pytest.raises(ZoomHostBudgetSpent) as caught:
            client.create_meeting(host, plan())
        assert caught.value.until.astimezone(UTC).time().isoformat() == "00:00:00"
        assert timedelta(0) < caught.value.until - datetime.now(UTC) <= timedelta(days=1)
        with pytest.raises(ZoomHostBudgetSpent):
            client.update_meeting(made[0].meeting_id, plan())
        assert client.delete_meeting(made[1].meeting_id)
        client.create_meeting(new_host(), plan())
        zoom.state.set_now(caught.value.until)
        client.create_meeting(host, plan())


# Registration is off unless asked for; no account default switches it on.
@pytest.mark.parametrize("name", [name for name in PRIVACY_SETTINGS if name != "approval_type"])
def test_a_privacy_setting_that_is_not_sent_is_caught_by_reading_back(zoom, client, name):
    wanted, host = plan(), new_host()
    body = write_plan(wanted)
    del body["settings"][name]
    token = client._caller.tokens.get().value
    sent = httpx.post(
        f"{zoom.api_url}/users/{host}/meetings",
        json=body,
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
    )
    read = client.get_meeting(str(sent.json()["id"]))
    found = check_meeting(wanted, read, allowed_join_hosts=SANDBOX_LINKS)
    # A waiting room switches joining before the host off by itself.
    assert found == (() if name == "join_before_host" else (f"SETTING_DRIFT:{name}",))


def test_a_start_in_the_past_silently_becomes_now_and_is_caught_by_reading_back(client):
    wanted = plan(start=datetime(2020, 1, 6, 2, tzinfo=UTC))
    made = client.create_meeting(new_host(), wanted)
    read = client.get_meeting(made.meeting_id)
    assert check_meeting(wanted, read, allowed_join_hosts=SANDBOX_LINKS) == ("WRONG_START",)


def test_an_unknown_host_and_a_missing_scope_are_matters_for_a_person(tmp_path):
    settings = SandboxZoom(
        create_unknown_users=False,
        users=("host-1@example.jp",),
        scopes=("meeting:write:meeting:admin", "user:read:admin"),
    )
    with running_zoom(tmp_path / "zoom.db", settings) as zoom, client_of(zoom) as client:
        with pytest.raises(ZoomConfigError, match="ZOOM_HOST_UNKNOWN"):
            client.create_meeting("nobody@example.jp", plan())
        made = client.create_meeting("host-1@example.jp", plan())
        with pytest.raises(ZoomConfigError, match="ZOOM_SCOPE_MISSING"):
            client.delete_meeting(made.meeting_id)
        lines = client.check_access(["host-1@example.jp", "nobody@example.jp"])
    wrong = {line.item: line.remedy for line in lines if not line.ok}
    assert set(wrong) == {
        "Zoom scope: change meetings",
        "Zoom scope: delete meetings",
        "Zoom scope: end meetings",
        "Zoom scope: read a meeting",
        "Zoom scope: list meetings",
        "Zoom scope: read past meetings",
        "Zoom scope: read who was there",
        "Zoom host nobody@example.jp",
    }
    assert all(wrong.values())
    assert "meeting:delete:meeting:admin" in wrong["Zoom scope: delete meetings"]


def test_wrong_credentials_are_said_by_the_check_and_everything_right_needs_no_remedy(zoom, client):
    assert all(line.ok and not line.remedy for line in client.check_access([new_host()]))
    with client_of(zoom, client_secret="wrong") as other:
        (line,) = other.check_access()
    assert not line.ok
    assert "ZOOM_CREDENTIALS_REFUSED" in line.remedy
    assert "wrong" not in line.remedy


def test_a_server_that_is_not_there_means_that_nothing_was_done():
    with (
        ZoomClient(
            "http://127.0.0.1:9/oauth/token", "http://127.0.0.1:9/v2", "a", "c", "s",
            clock=lambda: START, sleep=Waits(),
        ) as client,
        pytest.raises(ZoomRetryable, match="ZOOM_UNREACHABLE"),
    ):  # fmt: skip
        client.create_meeting("h", plan())


def test_neither_addresses_nor_ids_nor_passcodes_reach_the_log(zoom, client, caplog):
    caplog.set_level(logging.INFO)
    host = new_host()
    made = client.create_meeting(host, plan())
    client.find_by_token(host, "T-0", None)
    text = caplog.text
    assert made.meeting_id not in text
    assert host not in text
    assert "abcd2345" not in text


def test_a_meeting_id_that_is_none_never_becomes_a_path(client):
    with pytest.raises(ZoomRejected, match="ZOOM_MEETING_ID"):
        client.get_meeting("../users")


def test_a_host_name_with_odd_characters_stays_one_part_of_the_path(client):
    assert list(client.list_meetings("a?b#c d%2F@example.jp")) == []


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-12-01T02:00:00Z", datetime(2026, 12, 1, 2, tzinfo=UTC)),
        ("2026-12-01T11:00:00+09:00", datetime(2026, 12, 1, 2, tzinfo=UTC)),
        ("2026-12-01T02:00:00", None),
        ("soon", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_a_time_without_a_zone_is_not_guessed_at(text, instant):
    assert read_instant(text) == instant


def test_an_answer_with_nothing_but_an_id_is_readable_and_checks_out_as_nothing():
    read = read_meeting({"id": "81234567890", "duration": True, "settings": [], "start_url": "https://x/?zak=1"})
    assert read.meeting_id == "81234567890"
    assert {"WRONG_START", "WRONG_DURATION", "NO_JOIN_URL", "NO_PASSCODE", "WRONG_TOKEN"} < set(
        check_meeting(plan(), read)
    )


def test_the_pace_is_even_for_all_threads_together():
    now, slept = [100.0], []
    pace = Pace(10, monotonic=lambda: now[0], sleep=slept.append)
    for _ in range(5):
        pace.wait()
    assert slept == pytest.approx([0.1, 0.2, 0.3, 0.4])
    now[0] += 60
    pace.wait()
    pace.wait()
    assert slept[4:] == pytest.approx([0.1])
    with pytest.raises(ValueError, match="per_second"):
        Pace(0, monotonic=lambda: 0.0, sleep=slept.append)


def test_creations_and_reads_keep_their_own_pace(zoom):
    waits = Waits()
    with client_of(zoom, sleep=waits, create_per_second=0.1, read_per_second=1e6) as client:
        host = new_host()
        made = client.create_meeting(host, plan())
        for _ in range(5):
            client.get_meeting(made.meeting_id)
        assert not [w for w in waits if w > 1]
        client.create_meeting(host, plan())
        assert [w for w in waits if w > 9]
