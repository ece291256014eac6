"""The stand-in's webhooks, taken by a receiver that checks them as the office does."""

import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from madoguchi.adapters.zoom_webhook import WebhookRefused, verify
from madoguchi.domain.zoom_event import read_event
from madoguchi.domain.zoom_signature import TIMESTAMP_HEADER
from madoguchi.sandbox.zoom_remote import ZoomRemote, ZoomRemoteError
from madoguchi.sandbox.zoom_server import SandboxZoom, running_zoom
from tests.sandbox.receiver import SECRET, receiver
from tests.sandbox.zoom_help import START, new_host

DAY = [(START, "host", "start"), (START + timedelta(minutes=1), "guest", "wait"),
       (START + timedelta(minutes=2), "guest", "leave"), (START + timedelta(minutes=30), "host", "end")]  # fmt: skip
TOLD = ["meeting.started", "meeting.participant_joined", "meeting.participant_joined_waiting_room",
        "meeting.participant_left_waiting_room", "meeting.participant_left", "meeting.ended"]  # fmt: skip


@pytest.fixture(scope="module")
def zoom(tmp_path_factory):
    settings = SandboxZoom(account_defaults={"waiting_room": True, "join_before_host": False})
    with running_zoom(tmp_path_factory.mktemp("zoom") / "zoom.db", settings) as running:
        yield running


@pytest.fixture
def remote(zoom):
    with ZoomRemote(zoom.url) as found:
        yield found
        found.webhooks(mode="off")
        found.forget()
        found.clock(None)


@pytest.fixture
def inbox():
    with receiver() as found:
        yield found


def a_day(remote: ZoomRemote, topic: str = "Team meeting") -> str:
    made = remote.add_foreign(new_host(), START, topic=topic)
    remote.people(made, DAY)
    return made


def test_on_every_event_arrives_once_in_order_signed_and_is_there_when_the_order_returns(remote, inbox):
    remote.webhooks(inbox.url, SECRET)
    made = a_day(remote)
    assert inbox.names() == TOLD
    report = remote.sent()
    assert [(one["event"], one["meeting_id"], one["code"], one["attempt"]) for one in report["sent"]] == [
        (name, made, 204, 1) for name in TOLD
    ]
    assert all(0 <= one["seconds"] < 3 for one in report["sent"])
    assert SECRET not in json.dumps(report)


def test_a_japanese_topic_is_sent_unescaped_and_compact_and_the_signature_holds_over_those_bytes(remote, inbox):
    remote.webhooks(inbox.url, SECRET)
    a_day(remote, "オンライン就職相談 𠮷野")
    raw, headers, code = inbox.got[0]
    assert code == ""
    assert "オンライン就職相談 𠮷野".encode() in raw
    assert b'": ' not in raw
    body = json.loads(raw)
    with pytest.raises(WebhookRefused, match="BAD_SIGNATURE"):
        verify(SECRET, json.dumps(body).encode(), headers, datetime.now(UTC))


def test_the_headers_have_real_time_and_the_event_the_time_that_is_played(remote, inbox):
    remote.webhooks(inbox.url, SECRET)
    a_day(remote)
    for (_, headers, _), body in zip(inbox.got, inbox.bodies(), strict=True):
        named = {name.lower(): value for name, value in headers.items()}
        assert abs(int(named[TIMESTAMP_HEADER]) - time.time()) < 60
        assert named["x-zm-trackingid"]
        assert datetime.fromtimestamp(body["event_ts"] / 1000, UTC).date() == START.date()


def test_off_nothing_is_sent_and_it_is_lost_field_report_20(remote, inbox):
    remote.webhooks(inbox.url, SECRET, mode="off")
    a_day(remote)
    remote.webhooks(mode="on")
    assert inbox.got == []
    report = remote.sent()
    assert (report["lost"], report["sent"]) == (len(TOLD), [])


def test_twice_every_event_comes_again_with_the_same_key(remote, inbox):
    remote.webhooks(inbox.url, SECRET, mode="twice")
    a_day(remote)
    keys = Counter(read_event(body).key for body in inbox.bodies())
    assert set(keys.values()) == {2}
    assert len(keys) == len(TOLD)
    assert len({headers["x-zm-trackingid"] for _, headers, _ in inbox.got}) == 2 * len(TOLD)


def test_shuffled_every_event_comes_once_in_a_disorder_that_can_be_repeated(remote, inbox):
    orders = []
    for _ in range(2):
        remote.webhooks(inbox.url, SECRET, mode="shuffled", seed=7)
        a_day(remote)
        orders.append(inbox.names())
        inbox.got.clear()
    assert orders[0] == orders[1]
    assert orders[0] != TOLD
    assert sorted(orders[0]) == sorted(TOLD)


@pytest.mark.parametrize(("order", "names"), [("as_is", TOLD), ("reversed", TOLD[::-1])])
def test_hold_keeps_every_event_until_it_is_released_all_or_some_in_order_or_reversed(remote, inbox, order, names):
    remote.webhooks(inbox.url, SECRET, mode="hold")
    a_day(remote)
    assert inbox.got == []
    assert [one["event"] for one in remote.sent()["held"]] == TOLD
    assert remote.release(2, order) == 2
    assert inbox.names() == names[:2]
    assert remote.release(0) == 0
    assert remote.release(order=order) == len(TOLD) - 2
    assert inbox.names() == names
    assert remote.release() == 0


def test_forged_every_event_is_refused_at_the_door_and_not_tried_again(remote, inbox):
    remote.webhooks(inbox.url, SECRET, mode="forged")
    a_day(remote)
    assert [code for _, _, code in inbox.got] == ["BAD_SIGNATURE"] * len(TOLD)
    assert {one["code"] for one in remote.sent()["sent"]} == {401}
    assert remote.retry(datetime(2099, 1, 1, tzinfo=UTC)) == 0


def test_what_is_not_taken_comes_again_5_25_and_85_minutes_after_the_first_try_and_then_never(remote, inbox):
    remote.webhooks(inbox.url, SECRET)
    inbox.answer = 503
    remote.clock(START)
    made = remote.add_foreign(new_host(), START)
    remote.people(made, [(START, "host", "start")])
    first = datetime.fromisoformat(remote.sent()["retries"][0]["due"]) - timedelta(minutes=5)
    assert abs(first - START) < timedelta(seconds=30)

    def tried(minute: int) -> int:
        return remote.retry(first + timedelta(minutes=minute, seconds=2))

    assert [tried(minute) for minute in (4, 5, 5, 24, 25, 84)] == [0, 2, 0, 0, 2, 0]
    inbox.answer = 204
    inbox.got.clear()
    assert tried(85) == 2
    assert inbox.names() == TOLD[:2]
    assert [one["attempt"] for one in remote.sent()["sent"]] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert (remote.sent()["retries"], tried(999)) == ([], 0)


def test_after_the_fourth_try_zoom_gives_up(remote, inbox):
    remote.webhooks(inbox.url, SECRET)
    inbox.answer = 500
    made = remote.add_foreign(new_host(), START)
    remote.people(made, [(None, "guest", "wait")])
    late = datetime.now(UTC)
    counts = []
    for _ in range(5):
        late += timedelta(hours=2)
        counts.append(remote.retry(late))
    assert counts == [1, 1, 1, 0, 0]
    assert remote.sent()["retries"] == []


def test_a_retry_has_a_fresh_timestamp_the_old_event_time_and_the_same_key(remote, inbox, monkeypatch):
    remote.webhooks(inbox.url, SECRET)
    inbox.answer = 500
    made = remote.add_foreign(new_host(), START)
    remote.people(made, [(START, "guest", "wait")])
    clock = time.time() + 90
    monkeypatch.setattr(time, "time", lambda: clock)
    assert remote.retry(datetime(2099, 1, 1, tzinfo=UTC)) == 1
    (first, old, _), (again, new, _) = inbox.got
    stamps = [int({k.lower(): v for k, v in headers.items()}[TIMESTAMP_HEADER]) for headers in (old, new)]
    assert stamps[1] - stamps[0] >= 89
    assert first == again
    assert read_event(json.loads(first)).key == read_event(json.loads(again)).key


def test_a_closed_door_is_no_answer_and_comes_up_for_a_retry(remote):
    made = remote.add_foreign(new_host(), START)
    remote.webhooks("http://127.0.0.1:1/", SECRET)
    remote.people(made, [(START, "guest", "wait")])
    assert remote.sent()["sent"][-1]["code"] is None
    assert len(remote.sent()["retries"]) == 1


def test_a_slow_answer_is_no_answer(tmp_path, inbox, monkeypatch):
    monkeypatch.setattr("madoguchi.sandbox.zoom_webhooks.ANSWER_SECONDS", 0.1)
    inbox.seconds = 0.4
    with running_zoom(tmp_path / "zoom.db") as zoom, ZoomRemote(zoom.url) as remote:
        remote.webhooks(inbox.url, SECRET)
        made = remote.add_foreign(new_host(), START)
        remote.people(made, [(START, "guest", "wait")])
        (one,) = remote.sent()["sent"]
        assert one["code"] is None
        assert one["seconds"] >= 0.1
        assert remote.validate()["reason"] == "no answer within three seconds"


def test_the_address_check_says_whether_the_answer_is_right(remote, inbox):
    with pytest.raises(ZoomRemoteError, match="nobody has subscribed"):
        remote.validate()
    remote.webhooks(inbox.url, SECRET)
    inbox.answer = 200
    checked = remote.validate()
    assert (checked["ok"], checked["code"], checked["reason"]) == (True, 200, "")
    inbox.answer = 204
    assert remote.validate()["reason"] == "200 is needed"
    inbox.secret = "another"
    checked = remote.validate()
    assert (checked["ok"], checked["code"]) == (False, 401)


def test_a_right_status_with_a_wrong_token_does_not_pass(remote, inbox, monkeypatch):
    remote.webhooks(inbox.url, SECRET)
    inbox.answer = 200
    monkeypatch.setattr("tests.sandbox.receiver.validation_answer", lambda _secret, plain: {"plainToken": plain})
    assert remote.validate()["reason"] == "the encrypted token is wrong"


def test_a_receiver_that_asks_zoom_back_before_it_answers_is_not_in_the_way(zoom, remote, inbox):
    def ask_back(raw: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        answer = httpx.get(f"{zoom.url}/sandbox/identity", trust_env=False, timeout=2)
        inbox.got.append((raw, headers, ""))
        return answer.status_code, b""

    inbox.take = ask_back
    remote.webhooks(inbox.url, SECRET)
    a_day(remote)
    assert inbox.names() == TOLD


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"mode": "loud"}, "mode"),
        ({"mode": "on", "url": "https://office.example.jp/zoom", "secret": "s"}, "url"),
        ({"mode": "on", "url": "http://192.0.2.1/", "secret": "s"}, "url"),
        ({"mode": "on", "url": "http://[::1", "secret": "s"}, "url"),
        ({"mode": "on", "url": 5, "secret": "s"}, "url"),
        ({"mode": "on", "url": "http://127.0.0.1:1/", "secret": ""}, "secret"),
        ({"seed": "x"}, "seed"),
        ({"colour": "red"}, "colour"),
        ([], "object"),
    ],
)
def test_a_wrong_subscription_names_its_mistake_and_changes_nothing(zoom, remote, body, says):
    answer = httpx.post(f"{zoom.url}/sandbox/webhooks", json=body, trust_env=False)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert remote.sent()["mode"] == "off"


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("release", {"limit": -1}, "limit"),
        ("release", {"limit": True}, "limit"),
        ("release", {"order": "random"}, "order"),
        ("release", [], "object"),
        ("retry", {"as_of": "soon"}, "as_of"),
        ("retry", {"as_of": "2031-03-04T11:00:00"}, "as_of"),
    ],
)
def test_a_wrong_order_about_webhooks_names_its_mistake(zoom, path, body, says):
    answer = httpx.post(f"{zoom.url}/sandbox/webhooks/{path}", json=body, trust_env=False)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


def test_forgetting_drops_what_is_held_and_the_log(remote, inbox):
    remote.webhooks(inbox.url, SECRET, mode="hold")
    a_day(remote)
    remote.forget()
    assert remote.release() == 0
    assert (remote.sent()["held"], remote.sent()["sent"], remote.sent()["mode"]) == ([], [], "hold")
