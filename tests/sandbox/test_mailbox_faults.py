import time

import httpx
import pytest

from madoguchi.sandbox.mailbox_faults import STAGES
from madoguchi.sandbox.mailbox_server import running_mailbox
from tests.sandbox.mailbox_help import CLOSED, JIRO, MIKA, Client, envelope, mail

# One for all: setting up TLS, which is never used, takes longer than the request.
http = httpx.Client(trust_env=False, headers={"Connection": "close"})
GOOD = [250, 250, 354, 250]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with running_mailbox(tmp_path_factory.mktemp("mailbox")) as mailbox:
        yield mailbox


@pytest.fixture
def mailbox(running):
    yield running
    running.state.clear()
    running.state.faults.clear()


def order(mailbox, *faults):
    answer = http.post(f"{mailbox.url}/sandbox/faults", json=list(faults))
    assert answer.status_code == 200, answer.text


def stored(mailbox):
    return [entry.message_id for entry in mailbox.state.entries()]


def until(step, last):
    return [*GOOD[: STAGES.index(step)], last]


@pytest.mark.parametrize("step", STAGES)
@pytest.mark.parametrize(
    ("kind", "code", "answers"),
    [
        ("4xx", None, {"MAIL": 451, "RCPT": 450, "DATA": 451, "dot": 451}),
        ("4xx", 452, dict.fromkeys(STAGES, 452)),
        ("5xx", None, {"MAIL": 550, "RCPT": 550, "DATA": 554, "dot": 554}),
        ("5xx", 552, dict.fromkeys(STAGES, 552)),
    ],
)
def test_a_refusal_strikes_its_step_once_and_the_connection_stays(mailbox, step, kind, code, answers):
    order(mailbox, {"at": step, "kind": kind} | ({"code": code} if code else {}))
    with Client(mailbox) as client:
        assert client.deliver() == until(step, answers[step])
        assert stored(mailbox) == []
        assert client.ask(b"RSET") == 250
        assert client.deliver() == GOOD
    assert stored(mailbox) == ["<1@example.jp>"]
    assert mailbox.state.faults.waiting() == []


@pytest.mark.parametrize("step", STAGES)
def test_421_is_said_and_the_connection_closed(mailbox, step):
    order(mailbox, {"at": step, "kind": "421"})
    with Client(mailbox) as client:
        assert client.deliver() == until(step, 421)
        assert client.code() == CLOSED
    assert stored(mailbox) == []


@pytest.mark.parametrize(
    ("step", "kind", "seen", "kept"),
    [
        ("MAIL", "drop_before_dot", [CLOSED], 0),
        ("RCPT", "drop_before_dot", [250, CLOSED], 0),
        ("DATA", "drop_before_dot", [250, 250, 354, CLOSED], 0),
        ("dot", "drop_before_dot", [250, 250, 354, CLOSED], 0),
        ("dot", "drop_before_store", [250, 250, 354, CLOSED], 0),
        ("dot", "drop_after_dot", [250, 250, 354, CLOSED], 1),
    ],
)
def test_a_cut_connection_leaves_a_mail_only_after_the_dot(mailbox, step, kind, seen, kept):
    order(mailbox, {"at": step, "kind": kind})
    with Client(mailbox) as client:
        assert client.deliver() == seen
    assert len(stored(mailbox)) == kept
    with Client(mailbox) as client:
        assert client.deliver(mail(2)) == GOOD


def test_before_the_dot_means_that_the_content_was_begun(mailbox):
    order(mailbox, {"kind": "drop_before_dot"})
    with Client(mailbox) as client:
        client.send(envelope())
        assert client.codes(3) == [250, 250, 354]
        client.send(b"Subject: half")
        assert client.code() == CLOSED


@pytest.mark.parametrize("kind", ["drop_after_dot", "drop_before_store", "421"])
def test_in_a_pipelined_stream_what_came_before_the_fault_is_answered(mailbox, kind):
    order(mailbox, {"at": "dot", "kind": kind, "after": 1})
    one = envelope() + mail() + b".\r\n"
    with Client(mailbox) as client:
        client.send(one + one + one)
        answers = [250, 250, 354, 250, 250, 250, 354] + ([421] if kind == "421" else [])
        assert client.codes(len(answers) + 1) == [*answers, CLOSED]
    assert len(stored(mailbox)) == (2 if kind == "drop_after_dot" else 1)


@pytest.mark.parametrize("step", STAGES)
def test_hanging_is_silence_until_the_client_gives_up(mailbox, step):
    order(mailbox, {"at": step, "kind": "hang"})
    with Client(mailbox, timeout=0.2) as client, pytest.raises(TimeoutError):
        client.deliver()
    with Client(mailbox) as client:
        assert client.deliver(mail(2)) == GOOD
    assert stored(mailbox) == ["<2@example.jp>"]


def test_hanging_for_some_seconds_ends_with_a_cut(mailbox):
    order(mailbox, {"at": "dot", "kind": "hang", "seconds": 0.15})
    with Client(mailbox) as client:
        started = time.monotonic()
        assert client.deliver() == [250, 250, 354, CLOSED]
        assert time.monotonic() - started > 0.14
    assert stored(mailbox) == []


@pytest.mark.parametrize("step", STAGES)
def test_latency_delays_the_answer_and_nothing_else(mailbox, step):
    order(mailbox, {"at": step, "kind": "latency", "seconds": 0.15})
    with Client(mailbox) as client:
        started = time.monotonic()
        client.send(envelope() + mail(1) + b".\r\n" + envelope() + mail(2) + b".\r\n")
        assert client.codes(8) == GOOD * 2
        assert 0.14 < time.monotonic() - started < 1
    assert stored(mailbox) == ["<1@example.jp>", "<2@example.jp>"]


def test_who_does_not_wait_for_a_late_answer_has_delivered_all_the_same(mailbox):
    order(mailbox, {"at": "dot", "kind": "latency", "seconds": 0.4})
    with Client(mailbox, timeout=0.1) as client, pytest.raises(TimeoutError):
        client.deliver()
    assert stored(mailbox) == ["<1@example.jp>"]
    with Client(mailbox) as client:
        assert client.deliver(mail(2)) == GOOD


def test_latency_strikes_beside_another_fault(mailbox):
    order(
        mailbox,
        {"at": "dot", "kind": "latency", "seconds": 0.1, "times": None},
        {"at": "dot", "kind": "drop_after_dot"},
    )
    with Client(mailbox) as client:
        started = time.monotonic()
        assert client.deliver() == [250, 250, 354, CLOSED]
        assert time.monotonic() - started > 0.09
    assert len(stored(mailbox)) == 1
    assert [fault["kind"] for fault in mailbox.state.faults.waiting()] == ["latency"]


def test_times_and_after_count_the_steps(mailbox):
    order(mailbox, {"at": "MAIL", "kind": "421", "after": 2, "times": 3})
    seen = []
    for number in range(7):
        with Client(mailbox) as client:
            seen.append(client.deliver(mail(number))[-1])
    assert seen == [250, 250, 421, 421, 421, 250, 250]


def test_times_null_lasts_until_cleared(mailbox):
    order(mailbox, {"at": "RCPT", "kind": "4xx", "times": None})
    with Client(mailbox) as client:
        for _ in range(5):
            assert client.deliver() == [250, 450]
            client.ask(b"RSET")
        http.delete(f"{mailbox.url}/sandbox/faults").raise_for_status()
        assert client.deliver() == GOOD


@pytest.mark.parametrize("step", ["RCPT", "DATA", "dot"])
def test_a_fault_for_one_recipient_neither_strikes_nor_counts_others(mailbox, step):
    order(mailbox, {"at": step, "kind": "5xx", "recipient_contains": "JIRO", "after": 1})
    with Client(mailbox) as client:
        assert client.deliver(recipient=MIKA) == GOOD
        assert client.deliver(recipient=JIRO) == GOOD
        assert client.deliver(recipient=MIKA) == GOOD
        assert client.deliver(recipient=JIRO)[-1] >= 500


def test_one_object_is_a_list_of_one_and_the_waiting_are_shown(mailbox):
    url = f"{mailbox.url}/sandbox/faults"
    answer = http.post(url, json={"at": "MAIL", "kind": "421", "times": 1000, "after": 5})
    assert answer.json() == http.get(url).json()
    assert answer.json()["faults"] == [
        {"at": "MAIL", "kind": "421", "code": 421, "seconds": 0, "times": 1000, "after": 5, "recipient_contains": ""}
    ]
    assert http.delete(url).json() == {"faults": []}


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (7, "object"),
        ([7], "object"),
        ({"kind": "4xx"}, "at must be"),
        ({"at": "EHLO", "kind": "4xx"}, "at must be"),
        ({"at": ["dot"], "kind": "4xx"}, "at must be"),
        ({"at": "dot", "kind": "fire"}, "kind must be"),
        ({"at": "dot", "kind": []}, "kind must be"),
        ({"at": "dot"}, "kind must be"),
        ({"at": "dot", "kind": "4xx", "code": 550}, "code"),
        ({"at": "dot", "kind": "4xx", "code": 421}, "code"),
        ({"at": "dot", "kind": "5xx", "code": "550"}, "code"),
        ({"at": "dot", "kind": "hang", "code": 450}, "code"),
        ({"at": "MAIL", "kind": "drop_after_dot"}, "dot only"),
        ({"at": "dot", "kind": "4xx", "times": 0}, "times"),
        ({"at": "dot", "kind": "4xx", "times": True}, "times"),
        ({"at": "dot", "kind": "4xx", "after": -1}, "after"),
        ({"at": "dot", "kind": "latency"}, "seconds"),
        ({"at": "dot", "kind": "hang", "seconds": 1e9}, "seconds"),
        ({"at": "dot", "kind": "4xx", "recipient_contains": 3}, "recipient_contains"),
        ({"at": "MAIL", "kind": "4xx", "recipient_contains": "jiro"}, "recipient_contains"),
        ({"at": "dot", "kind": "4xx", "op": "x"}, "unknown field 'op'"),
        ([{"at": "dot", "kind": "4xx"}, {"at": "dot", "kind": "no"}], "fault 2"),
    ],
)
def test_a_wrong_order_gets_a_sentence_and_changes_nothing(mailbox, fault, word):
    answer = http.post(f"{mailbox.url}/sandbox/faults", json=fault)
    assert answer.status_code == 400
    assert word in answer.json()["error"]
    assert mailbox.state.faults.waiting() == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("{", "application/json"),
        ("{}", "text/plain"),
        ("[" * 100_000, "application/json"),
        ("\xff", "application/json"),
    ],
)
def test_what_is_not_json_is_refused(mailbox, body, kind):
    answer = http.post(f"{mailbox.url}/sandbox/faults", content=body.encode("latin-1"), headers={"content-type": kind})
    assert answer.status_code == 400
    assert answer.json()["error"]
