"""The stand-in against the facts about Zoom, asked directly."""

import json
import multiprocessing
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from madoguchi.sandbox.faults import FaultStore
from madoguchi.sandbox.zoom_server import SandboxZoom, open_socket, running_zoom, serve
from tests.sandbox.zoom_help import new_host, order

HOST = "host-1@example.jp"
ACCOUNT = {"grant_type": "account_credentials", "account_id": "sandbox-account"}
BASIC = ("sandbox-client", "sandbox-secret")


class Asker(httpx.Client):
    """Asks the stand-in with a token of its own."""

    def __init__(self, url: str) -> None:
        super().__init__(base_url=f"{url}/v2", trust_env=False)
        answer = httpx.post(f"{url}/oauth/token", data=ACCOUNT, auth=BASIC, trust_env=False)
        token = answer.json()["access_token"]
        self.headers["Authorization"] = f"Bearer {token}"

    def create(self, host: str = HOST, **body: object) -> dict[str, object]:
        answer = self.post(f"/users/{host}/meetings", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())


@pytest.fixture(scope="module")
def zoom(tmp_path_factory):
    with running_zoom(tmp_path_factory.mktemp("zoom") / "zoom.db", SandboxZoom(daily_changes_per_host=999)) as running:
        yield running


@pytest.fixture
def ask(zoom):
    zoom.state.faults.clear()
    zoom.state.set_now(None)
    with Asker(zoom.url) as asker:
        yield asker


@pytest.mark.parametrize(
    ("start", "zone", "stored"),
    [
        ("2031-12-01T01:00:00Z", "Asia/Tokyo", "2031-12-01T01:00:00Z"),
        ("2031-12-01T10:00:00", "Asia/Tokyo", "2031-12-01T01:00:00Z"),
        ("2031-12-01T10:00:00", "Europe/Berlin", "2031-12-01T09:00:00Z"),
        ("2031-12-01T10:00:00", None, "2031-12-01T01:00:00Z"),
        ("2031-12-01T10:00:00Z", "Europe/Berlin", "2031-12-01T10:00:00Z"),
    ],
)
def test_a_z_is_utc_and_its_absence_is_wall_time_of_the_zone(ask, start, zone, stored):
    made = ask.create(start_time=start, **({"timezone": zone} if zone else {}))
    assert made["start_time"] == stored
    assert ask.get(f"/meetings/{made['id']}").json()["start_time"] == stored


@pytest.mark.parametrize("body", [{}, {"start_time": ""}, {"start_time": "2020-01-01T00:00:00Z"}])
def test_a_missing_or_past_start_becomes_now_without_a_word(ask, body):
    made = ask.create(**body)
    assert abs(datetime.fromisoformat(made["start_time"]) - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_past_start_in_a_change_is_ignored_without_a_word(ask):
    made = ask.create(start_time="2031-12-01T01:00:00Z")
    answer = ask.patch(f"/meetings/{made['id']}", json={"start_time": "2020-01-01T00:00:00Z", "duration": 45})
    assert (answer.status_code, answer.content) == (204, b"")
    read = ask.get(f"/meetings/{made['id']}").json()
    assert (read["start_time"], read["duration"]) == ("2031-12-01T01:00:00Z", 45)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"topic": "x" * 201}, "topic"),
        ({"topic": 5}, "topic"),
        ({"agenda": "x" * 2001}, "agenda"),
        ({"password": "x" * 11}, "password"),
        ({"password": "ひみつ"}, "password"),
        ({"duration": 0}, "duration"),
        ({"duration": 1441}, "duration"),
        ({"duration": "30"}, "duration"),
        ({"duration": True}, "duration"),
        ({"type": 8}, "type"),
        ({"start_time": "2031-12-01T10:00:00+09:00"}, "start_time"),
        ({"start_time": "2031-12-01T10:00:00.000Z"}, "start_time"),
        ({"start_time": "2031-13-01T10:00:00Z"}, "start_time"),
        ({"start_time": 5}, "start_time"),
        ({"timezone": "Asia/Matsudo"}, "timezone"),
        ({"timezone": 9}, "timezone"),
        ({"settings": []}, "settings"),
        ({"settings": {"waiting_room": "yes"}}, "settings.waiting_room"),
        ({"settings": {"auto_recording": "never"}}, "settings.auto_recording"),
        ({"settings": {"approval_type": 3}}, "settings.approval_type"),
        ({"settings": {"approval_type": True}}, "settings.approval_type"),
        ({"settings": {"alternative_hosts": 1}}, "settings.alternative_hosts"),
    ],
)
def test_a_wrong_field_is_named(ask, body, field):
    answer = ask.post(f"/users/{HOST}/meetings", json=body)
    assert answer.status_code == 400
    assert answer.json()["code"] == 300
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_object_is_refused(ask, content):
    answer = ask.post(f"/users/{HOST}/meetings", content=content)
    assert (answer.status_code, answer.json()["code"]) == (400, 300)


def test_what_a_request_leaves_out_turns_out_as_the_account_has_it_ai_summary_included(ask):
    made = ask.create()
    kept = {"auto_start_meeting_summary": True, "auto_recording": "cloud", "waiting_room": False, "use_pmi": True}
    assert {name: made["settings"][name] for name in kept} == kept
    assert ask.create(settings={"waiting_room": True})["settings"]["join_before_host"] is False


def test_a_passcode_is_made_up_unless_it_is_declined(ask):
    assert len(ask.create()["password"]) == 6
    assert "password" not in ask.create(default_password=False)


def test_ids_have_eleven_digits_and_links_lead_nowhere_real(ask):
    made = ask.create(password="abcd2345")
    assert len(str(made["id"])) == 11
    assert made["join_url"].startswith(f"https://zoom.example.jp/j/{made['id']}?pwd=")
    assert "abcd2345" not in made["join_url"]
    assert made["start_url"] != ask.get(f"/meetings/{made['id']}").json()["start_url"]


def test_a_list_cuts_agendas_and_shows_no_passcode_settings_or_status(ask):
    host = "list@example.jp"
    made = ask.create(host, agenda="x" * 246 + " ref:T-1", start_time="2031-12-01T01:00:00Z", password="abcd2345")
    (item,) = ask.get(f"/users/{host}/meetings").json()["meetings"]
    assert len(item["agenda"]) == 250
    assert item["id"] == made["id"]
    assert not {"password", "settings", "status", "start_url"} & set(item)


def test_lists_come_in_pages_and_a_page_token_is_not_to_be_made_up(ask):
    host = "pages@example.jp"
    made = {ask.create(host, start_time=f"2031-12-01T{hour:02}:00:00Z")["id"] for hour in range(7)}
    seen, token = [], ""
    for size in (3, 3, 1):
        page = ask.get(f"/users/{host}/meetings", params={"page_size": 3, "next_page_token": token}).json()
        assert (len(page["meetings"]), page["total_records"]) == (size, 7)
        seen += [item["id"] for item in page["meetings"]]
        token = page["next_page_token"]
    assert token == ""
    assert set(seen) == made
    assert len(seen) == 7
    for params in ({"next_page_token": "x"}, {"page_size": 301}, {"page_size": 0}, {"page_size": "x"}, {"type": "x"}):
        assert ask.get(f"/users/{host}/meetings", params=params).json()["code"] == 300, params


@pytest.mark.parametrize(
    ("params", "count"),
    [
        ({"type": "scheduled"}, 3),
        ({"type": "upcoming"}, 2),
        ({"type": "previous_meetings"}, 1),
        ({"type": "live"}, 1),
        ({"from": "2031-12-01", "to": "2031-12-01", "timezone": "UTC"}, 2),
        ({"from": "2031-12-02", "to": "2031-12-02", "timezone": "Asia/Tokyo"}, 1),
        ({"from": "2031-12-03"}, 1),
        ({"from": "2031-12-04"}, 0),
        ({"to": "2031-11-30"}, 0),
    ],
)
def test_a_list_is_by_kind_and_by_days(zoom, ask, params, count):
    host = new_host()
    zoom.state.set_now(datetime(2031, 11, 30, tzinfo=UTC))
    made = [ask.create(host, start_time=start, duration=30) for start in
            ("2031-12-01T01:00:00Z", "2031-12-01T15:00:00Z", "2031-12-02T15:00:00Z")]  # fmt: skip
    zoom.state.set_status(made[0]["id"], "started")
    zoom.state.set_now(datetime(2031, 12, 1, 2, tzinfo=UTC))
    assert len(ask.get(f"/users/{host}/meetings", params=params).json()["meetings"]) == count
    zoom.state.set_now(datetime(2032, 2, 1, tzinfo=UTC))
    assert ask.get(f"/users/{host}/meetings").json()["meetings"] == []


def test_a_deleted_meeting_is_gone_until_it_is_recovered(ask):
    made = ask.create()
    path = f"/meetings/{made['id']}"
    assert ask.delete(path).status_code == 204
    gone = ask.get(path)
    assert (gone.status_code, gone.json()) == (
        404,
        {"code": 3001, "message": f"Meeting does not exist: {made['id']}."},
    )
    assert ask.put(f"{path}/status", json={"action": "recover"}).status_code == 204
    assert ask.get(path).status_code == 200
    assert ask.put(f"{path}/status", json={"action": "begin"}).json()["code"] == 300
    assert ask.get("/meetings/x").json()["code"] == 300


def test_a_user_answers_to_address_and_id_and_an_id_nobody_has_is_1001(ask):
    user = ask.get("/users/Host-9@example.jp").json()
    assert ask.get(f"/users/{user['id']}").json()["email"] == "host-9@example.jp"
    assert ask.get("/users/nobody").json()["code"] == 1001


@pytest.mark.parametrize(
    ("data", "auth", "error"),
    [
        (ACCOUNT, ("sandbox-client", "wrong"), "invalid_client"),
        (ACCOUNT, None, "invalid_client"),
        ({**ACCOUNT, "grant_type": "password"}, BASIC, "unsupported_grant_type"),
        ({"grant_type": "account_credentials"}, BASIC, "invalid_request"),
    ],
)
def test_the_token_endpoint_refuses_in_its_own_envelope(zoom, data, auth, error):
    answer = httpx.post(f"{zoom.url}/oauth/token", data=data, auth=auth, trust_env=False)
    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert set(answer.json()) == {"error", "reason"}


def test_a_token_may_be_asked_for_in_the_query_and_several_live_at_once(zoom):
    url = f"{zoom.url}/oauth/token"
    first, second = (httpx.post(url, params=ACCOUNT, auth=BASIC, trust_env=False).json() for _ in range(2))
    assert first["access_token"] != second["access_token"]
    assert (first["expires_in"], first["api_url"]) == (3599, zoom.url)
    for answer in (first, second):
        headers = {"Authorization": f"Bearer {answer['access_token']}"}
        assert httpx.get(f"{zoom.api_url}/users", headers=headers, trust_env=False).status_code == 200


def test_no_token_a_wrong_one_a_foreign_one_and_an_old_one_are_124(zoom, tmp_path):
    with running_zoom(tmp_path / "other.db", SandboxZoom(token_seconds=0)) as other, Asker(other.url) as old:
        expired = old.get("/users")
        foreign = str(old.headers["Authorization"])
    answers = [expired] + [
        httpx.get(f"{zoom.api_url}/users", headers=headers, trust_env=False)
        for headers in (
            {},
            {"Authorization": "Bearer x.y"},
            {"Authorization": foreign},
            {"Authorization": "Basic eDp5"},
        )
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(401, 124)] * 5
    assert "expired" in expired.json()["message"]


def test_the_accounts_rate_a_second_holds_when_it_is_set(tmp_path):
    settings = SandboxZoom(light_per_second=3, medium_per_second=1)
    with running_zoom(tmp_path / "zoom.db", settings) as zoom, Asker(zoom.url) as ask:
        light = [ask.get(f"/users/{HOST}") for _ in range(5)]
        medium = [ask.get("/users") for _ in range(2)]
    assert [answer.status_code for answer in light + medium] == [200, 200, 200, 429, 429, 200, 429]
    assert light[-1].headers["x-ratelimit-type"] == "QPS"
    assert light[-1].headers["x-ratelimit-category"] == "Light"
    assert "retry-after" not in light[-1].headers


def test_the_hosts_daily_429_has_neither_retry_after_nor_a_type(zoom, ask):
    order(zoom, "create", "429_host_day")
    answer = ask.post(f"/users/{HOST}/meetings", json={})
    assert answer.status_code == 429
    assert not {"retry-after", "x-ratelimit-type"} & set(answer.headers)
    assert answer.headers["x-ratelimit-remaining"] == "5893"
    assert "particular user" in answer.json()["message"]


def test_the_control_side_tells_what_was_made_and_asked(tmp_path):
    with running_zoom(tmp_path / "zoom.db") as zoom, Asker(zoom.url) as ask:
        first = ask.create(agenda="ref:M-1", start_time="2031-12-01T01:00:00Z")
        ask.create(agenda="ref:M-1")
        ask.delete(f"/meetings/{first['id']}")
        told = httpx.get(f"{zoom.url}/sandbox/meetings", trust_env=False).json()
        counted = httpx.get(f"{zoom.url}/sandbox/requests", trust_env=False).json()
        identity = httpx.get(f"{zoom.url}/sandbox/identity", trust_env=False).json()
    assert told["creates"] == 2
    row = told["meetings"][0]
    assert (row["id"], row["host"], row["token"], row["start"], row["deleted"], row["creates"]) == (
        str(first["id"]), HOST, "M-1", "2031-12-01T01:00:00Z", True, 2,
    )  # fmt: skip
    assert "password" not in row
    assert "join_url" not in row
    assert counted == {"create": 2, "delete": 1, "token": 1}
    assert identity["product"] == "madoguchi-sandbox-zoom"


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("faults", [{"op": "create", "kind": "earthquake"}], "kind"),
        ("faults", [{"op": "fly", "kind": "500"}], "op"),
        ("faults", [{"op": "create", "kind": "500", "times": 0}], "times"),
        ("faults", [{"op": "create", "kind": "500", "after": -1}], "after"),
        ("faults", [{"op": "create", "kind": "500", "seconds": "1"}], "seconds"),
        ("faults", [{"op": "create", "kind": "500", "secs": 1}], "secs"),
        ("faults", ["500"], "fault 1"),
        ("latency", {"seconds": -1}, "seconds"),
        ("latency", {}, "seconds"),
        ("clock", {"now": "2031-12-01T00:00:00"}, "zone"),
        ("clock", {"now": 5}, "now"),
    ],
)
def test_a_wrong_order_to_the_control_side_names_its_mistake_and_changes_nothing(zoom, path, body, word):
    good = {"op": "create", "kind": "500"}
    sent = [good, *body] if isinstance(body, list) else body
    answer = httpx.post(f"{zoom.url}/sandbox/{path}", json=sent, trust_env=False)
    assert answer.status_code == 400
    assert word in answer.json()["error"].replace("fault 2", "fault 1")
    assert zoom.state.faults.waiting() == []


def test_the_control_side_is_for_this_machine_and_not_for_other_sites_pages(zoom):
    url = f"{zoom.url}/sandbox/faults"
    assert httpx.get(url, headers={"Host": "evil.example.com"}, trust_env=False).status_code == 403
    plain = httpx.post(url, content=b"[]", headers={"Content-Type": "text/plain"}, trust_env=False)
    assert plain.status_code == 400
    with pytest.raises(ValueError, match=r"127\.0\.0\.1 only"):
        open_socket(0, "0.0.0.0")


def test_latency_clock_and_faults_can_be_set_and_taken_back(zoom):
    client = httpx.Client(base_url=f"{zoom.url}/sandbox", trust_env=False)
    with client:
        assert client.post("/latency", json={"seconds": 0.05}).json() == {"seconds": 0.05}
        assert zoom.state.latency_seconds == 0.05
        client.post("/latency", json={"seconds": 0})
        client.post("/clock", json={"now": "2031-12-01T09:00:00+09:00"})
        assert abs(zoom.state.now() - datetime(2031, 12, 1, tzinfo=UTC)) < timedelta(seconds=5)
        client.delete("/clock")
        assert abs(zoom.state.now() - datetime.now(UTC)) < timedelta(seconds=5)
        client.post("/faults", json={"kind": "500", "times": None})
        assert client.get("/faults").json()["faults"][0]["op"] == "*"
        assert client.delete("/faults").json() == {"faults": []}


def test_faults_strike_in_order_after_what_they_let_pass_and_gentle_ones_beside_others():
    store = FaultStore(operations={"a", "b"}, kinds={"x", "y", "slow"}, gentle={"slow"})
    store.order([
        {"op": "a", "kind": "x", "after": 1, "times": 2},
        {"op": "*", "kind": "slow", "times": None},
        {"op": "a", "kind": "y"},
    ])  # fmt: skip
    struck = [[fault.kind for fault in store.strike(op)] for op in ("a", "b", "a", "a", "a")]
    assert struck == [["slow", "y"], ["slow"], ["x", "slow"], ["x", "slow"], ["slow"]]
    assert [fault["kind"] for fault in store.waiting()] == ["slow"]
    store.clear()
    assert store.strike("a") == []


def _serve(path: str, port: int) -> None:
    serve(Path(path), port, SandboxZoom(daily_changes_per_host=5))


def _free_port() -> int:
    listening = open_socket(0)
    with listening:
        return int(listening.getsockname()[1])


def _until_up(url: str) -> None:
    for _ in range(400):
        try:
            httpx.get(f"{url}/sandbox/identity", trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the stand-in did not start")


def test_meetings_budgets_tokens_and_the_shifted_clock_survive_a_kill(tmp_path):
    port = _free_port()
    url, context = f"http://127.0.0.1:{port}", multiprocessing.get_context("spawn")

    def start() -> multiprocessing.process.BaseProcess:
        process = context.Process(target=_serve, args=(str(tmp_path / "zoom.db"), port), daemon=True)
        process.start()
        _until_up(url)
        return process

    first = start()
    with Asker(url) as ask:
        httpx.post(f"{url}/sandbox/clock", json={"now": "2031-12-01T00:00:00+00:00"}, trust_env=False)
        made = [ask.create(agenda=f"ref:K-{number}")["id"] for number in range(5)]
        ask.delete(f"/meetings/{made[0]}")
        os.kill(first.pid, signal.SIGKILL)
        first.join()
        second = start()
        try:
            told = httpx.get(f"{url}/sandbox/meetings", trust_env=False).json()["meetings"]
            assert [(row["id"], row["deleted"]) for row in told] == [(str(n), n == made[0]) for n in made]
            assert ask.get(f"/meetings/{made[4]}").status_code == 200
            refused = ask.post(f"/users/{HOST}/meetings", content=json.dumps({}))
            assert refused.status_code == 429
            assert httpx.get(f"{url}/sandbox/identity", trust_env=False).json()["now"].startswith("2031-12-01")
        finally:
            second.terminate()
            second.join()
