import pytest

from madoguchi.adapters.smtp import MailConfigError, Mailer, MailError, MailRejected, MailRetryable, MailUncertain
from tests.adapters.relay_help import CLOSE, RESET, SILENCE, Relay

SENDER, MIKA, JIRO = "madoguchi@example.jp", "mika@example.com", "jiro@example.com"
BODY = b"Subject: 1\r\n\r\nbody\r\n"


def mailer(relay, timeout=3.0):
    return Mailer("127.0.0.1", relay.port, "", "", "none", timeout=timeout)


def deliver(session, recipient=MIKA, body=BODY):
    session.begin(SENDER, recipient)
    return session.finish(body)


def test_one_connection_carries_mail_after_mail():
    with Relay().running() as relay:
        with mailer(relay).session() as session:
            for number in range(5):
                deliver(session, body=b"Subject: %d\r\n\r\n" % number)
        assert relay.connections == 1
        assert relay.bodies == [b"Subject: %d\r\n\r\n" % number for number in range(5)]
        assert relay.heard[-1].upper() == "QUIT"


@pytest.mark.parametrize(("extensions", "most_at_once"), [(("PIPELINING",), 3), ((), 1)])
def test_an_envelope_is_one_write_only_where_the_relay_allows_it(extensions, most_at_once):
    with Relay(extensions=extensions).running() as relay, mailer(relay).session() as session:
        relay.group_sizes.clear()
        session.begin(SENDER, MIKA)
        assert max(relay.group_sizes) == most_at_once
        assert relay.heard[-3:] == [f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{MIKA}>", "DATA"]
        session.finish(BODY)


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()])
def test_the_next_envelope_travels_with_a_body_and_keeps_its_order(extensions):
    with Relay(extensions=extensions).running() as relay, mailer(relay).session() as session:
        session.begin(SENDER, MIKA)
        session.finish(b"first\r\n", (SENDER, JIRO))
        session.begin_following()
        session.finish(b"second\r\n")
        assert relay.bodies == [b"first\r\n", b"second\r\n"]
        assert [line for line in relay.heard if line.startswith("RCPT")] == [f"RCPT TO:<{MIKA}>", f"RCPT TO:<{JIRO}>"]


@pytest.mark.parametrize(
    ("body", "arrives"),
    [
        (b".\r\n", b".\r\n"),
        (b"a\r\n.\r\nMAIL FROM:<x@example.jp>\r\n", b"a\r\n.\r\nMAIL FROM:<x@example.jp>\r\n"),
        (b".a\r\n..b\r\nc.d\r\n", b".a\r\n..b\r\nc.d\r\n"),
        (b"no end of line", b"no end of line\r\n"),
        (b"", b"\r\n"),
    ],
)
def test_dots_neither_end_a_mail_nor_get_lost(body, arrives):
    with Relay().running() as relay, mailer(relay).session() as session:
        deliver(session, body=body)
        deliver(session)
        assert relay.bodies == [arrives, BODY]


# step that goes wrong, what the relay says, what is raised, with which code; afterwards the connection is used again
REFUSALS = [
    ("MAIL", "451 later", MailRetryable, "SMTP_451"),
    ("RCPT", "450 4.2.0 greylisted", MailRetryable, "SMTP_450"),
    ("RCPT", "452 too many", MailRetryable, "SMTP_452"),
    ("RCPT", "550 5.1.1 no such user", MailRejected, "SMTP_550"),
    ("RCPT", "552 full", MailRejected, "SMTP_552"),
    ("DATA", "451 later", MailRetryable, "SMTP_451"),
    ("DATA", "554 no", MailRejected, "SMTP_554"),
    ("dot", "451 later", MailRetryable, "SMTP_451"),
    ("dot", "554 5.7.1 spam", MailRejected, "SMTP_554"),
    # Our own login or sender: the same for every mail that waits, so none of them may fail by it.
    ("MAIL", "550 5.7.1 sender not allowed", MailConfigError, "SMTP_SENDER_REFUSED"),
    ("MAIL", "530 5.7.0 authentication required", MailConfigError, "SMTP_SENDER_REFUSED"),
    ("RCPT", "530 5.7.0 authentication required", MailConfigError, "SMTP_SENDER_REFUSED"),
]


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()], ids=["pipelined", "in turn"])
@pytest.mark.parametrize(("step", "says", "error", "code"), REFUSALS)
def test_a_refusal_is_sorted_and_the_connection_serves_the_next_mail(step, says, error, code, extensions):
    answers = {step: [says, {"DATA": "354 go on"}.get(step, "250 ok")]}
    if step in {"MAIL", "RCPT"} and extensions:
        answers["DATA"] = ["503 no recipient", "354 go on"]
    if step == "MAIL" and extensions:
        answers["RCPT"] = ["503 no sender", "250 ok"]
    with Relay(answers, extensions).running() as relay, mailer(relay).session() as session:
        with pytest.raises(error) as caught:
            deliver(session)
        assert (caught.value.code, caught.value.smtp_code) == (code, int(says[:3]))
        assert type(caught.value) is error
        assert session.is_usable
        deliver(session, body=b"next\r\n")
        assert relay.bodies[-1] == b"next\r\n"
        assert relay.connections == 1


def test_a_relay_that_wants_a_body_for_nobody_gets_an_empty_one():
    """RFC 2920: DATA may be answered 354 although every recipient was refused; the body must not be given then."""
    with Relay({"RCPT": ["550 no", "250 ok"], "dot": ["554 nobody", "250 ok"]}).running() as relay:
        with mailer(relay).session() as session:
            with pytest.raises(MailRejected):
                session.begin(SENDER, MIKA)
            deliver(session, body=b"next\r\n")
        assert relay.bodies == [b"", b"next\r\n"]


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "dot"])
def test_421_is_tried_later_over_a_new_connection(step):
    with Relay({step: ["421 too many connections", "354 ok" if step == "DATA" else "250 ok"]}).running() as relay:
        with mailer(relay).session() as session:
            with pytest.raises(MailRetryable) as caught:
                deliver(session)
            assert caught.value.code == "SMTP_421"
            assert not session.is_usable
            session.reconnect()
            deliver(session)
        assert relay.connections == 2


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()], ids=["pipelined", "in turn"])
@pytest.mark.parametrize("how", [CLOSE, RESET, SILENCE])
@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
def test_a_connection_lost_before_the_body_is_surely_undelivered(step, how, extensions):
    with Relay({step: how}, extensions).running() as relay, mailer(relay, timeout=0.2).session() as session:
        with pytest.raises(MailRetryable, match="SMTP_DROPPED_BEFORE_DOT"):
            session.begin(SENDER, MIKA)
        assert not session.is_usable
        assert relay.bodies == []


def test_a_relay_that_left_after_354_is_noticed_before_the_body():

    class Leaver(Relay):
        def _body(self, connection, pending):
            raise EOFError

    with Leaver().running() as relay, mailer(relay).session() as session:
        session.begin(SENDER, MIKA)
        relay.threads[0].join(3)
        with pytest.raises(MailRetryable, match="SMTP_DROPPED_BEFORE_DOT"):
            session.finish(BODY)
        assert not session.is_usable


def test_a_body_that_the_kernel_did_not_take_whole_is_surely_undelivered():
    """The relay reads nothing after 354: buffers fill up, and the dot stays here."""

    class Deaf(Relay):
        def _body(self, connection, pending):
            self.over.wait(5)
            raise EOFError

    with Deaf().running() as relay, mailer(relay, timeout=0.2).session() as session:
        session.begin(SENDER, MIKA)
        with pytest.raises(MailRetryable, match="SMTP_DROPPED_BEFORE_DOT"):
            session.finish(b"x" * 76 * 400_000 + b"\r\n")


@pytest.mark.parametrize("how", [CLOSE, RESET, SILENCE, "nonsense", "354 what?", "150 well"])
def test_no_clear_answer_to_the_dot_is_uncertain_and_never_repeated(how):
    with Relay({"dot": how}).running() as relay, mailer(relay, timeout=0.05).session() as session:
        with pytest.raises(MailUncertain) as caught:
            deliver(session)
        assert caught.value.code in {"SMTP_NO_ANSWER_AFTER_DOT", "SMTP_ODD_ANSWER_AFTER_DOT"}
        assert not session.is_usable
        assert (relay.connections, len(relay.bodies)) == (1, 1)


@pytest.mark.parametrize("says", ["250 ok", "250-first\r\n250 second", "251 will forward", "250"])
def test_every_success_after_the_dot_is_success(says):
    """Asking again after an odd success would send the mail twice."""
    with Relay({"dot": says}).running() as relay, mailer(relay).session() as session:
        assert deliver(session) == says[:3]
        assert deliver(session)
        assert len(relay.bodies) == 2


def test_a_slow_answer_to_the_dot_is_waited_for_longer_than_any_other():
    """RFC 5321 asks for ten minutes there: relays look for viruses before they say yes."""

    class Slow(Relay):
        def _answer(self, connection, step, default):
            if step == "dot":
                self.over.wait(0.4)
            return super()._answer(connection, step, default)

    with Slow().running() as relay, mailer(relay, timeout=0.1).session() as session:
        assert deliver(session) == "250"
        assert deliver(session) == "250"


def test_a_mail_that_was_begun_is_left_by_dropping_the_connection():
    with Relay().running() as relay:
        with mailer(relay).session() as session:
            session.begin(SENDER, MIKA)
            session.abort()
            assert not session.is_usable
            with pytest.raises(MailRetryable, match="SMTP_NOT_CONNECTED"):
                session.begin(SENDER, MIKA)
            session.reconnect()
            deliver(session)
        assert relay.bodies == [BODY]


@pytest.mark.parametrize("is_ahead", [False, True])
def test_a_relay_that_waits_for_a_body_is_not_told_goodbye(is_ahead):
    """It would take the word for the body and both would wait for the other."""
    with Relay().running() as relay:
        with mailer(relay).session() as session:
            session.begin(SENDER, MIKA)
            if is_ahead:
                session.finish(BODY, (SENDER, JIRO))
        assert relay.bodies == ([BODY] if is_ahead else [])
        relay.threads[0].join(1)
        assert not relay.threads[0].is_alive()


@pytest.mark.parametrize(
    ("address", "written"),
    [("mika@example.com", "mika@example.com"), ("a..b@docomo.ne.jp", '"a..b"@docomo.ne.jp'),
     ("a.@ezweb.ne.jp", '"a."@ezweb.ne.jp')],
)  # fmt: skip
def test_the_envelope_quotes_what_breaks_the_rule_on_dots(address, written):
    with Relay().running() as relay, mailer(relay).session() as session:
        deliver(session, address)
        assert f"RCPT TO:<{written}>" in relay.heard


@pytest.mark.parametrize(
    "address",
    [
        "",
        "mika",
        "@example.com",
        "mika@",
        "a@example.com> SIZE=1",
        "a@example.com\r\nRCPT TO:<b@example.com>",
        "a b@c.jp",
        "花@example.com",
        "a@例.jp",
        "a\x00@example.com",
        "a\t@example.com",
        "<a@example.com>",
        '"a"@example.com',
        "a\\@b.jp",
    ],
)
def test_no_address_adds_a_command(address):
    with Relay().running() as relay, mailer(relay).session() as session:
        for envelope in ((SENDER, address), (address, MIKA)):
            with pytest.raises(ValueError) as caught:
                session.begin(*envelope)
            assert "example" not in str(caught.value)
        assert not any(line.startswith(("MAIL", "RCPT")) for line in relay.heard)
        deliver(session)


def test_errors_hold_codes_and_nothing_that_the_relay_or_the_applicant_said():
    with Relay({"RCPT": f"550 5.1.1 <{MIKA}> unknown"}).running() as relay, mailer(relay).session() as session:  # noqa: SIM117 — the relay outlives the session
        with pytest.raises(MailError) as caught:
            session.begin(SENDER, MIKA)
    assert caught.value.args == ("SMTP_550",)
    assert vars(caught.value) == {"code": "SMTP_550", "smtp_code": 550}
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("kind", [MailRetryable, MailRejected, MailUncertain])
def test_no_failure_is_a_kind_of_another(kind):
    others = {MailRetryable, MailRejected, MailUncertain, MailConfigError} - {kind}
    assert not issubclass(kind, tuple(others))
