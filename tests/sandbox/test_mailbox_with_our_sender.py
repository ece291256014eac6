"""Our own SMTP side against the stand-in mailbox: what each fault is taken for, and what the mailbox then holds."""

import email
from email import policy

import httpx
import pytest

from madoguchi.adapters.smtp import MailConfigError, Mailer, MailRejected, MailRetryable, MailUncertain
from madoguchi.sandbox.mailbox_server import running_mailbox

SENDER, MIKA = "madoguchi@example.jp", "mika@example.com"
CASES = [
    # fault, what is raised, with which code, mails that the mailbox holds
    ({"at": "MAIL", "kind": "4xx"}, MailRetryable, "SMTP_451", 0),
    ({"at": "MAIL", "kind": "5xx"}, MailConfigError, "SMTP_SENDER_REFUSED", 0),
    ({"at": "RCPT", "kind": "4xx"}, MailRetryable, "SMTP_450", 0),
    ({"at": "RCPT", "kind": "5xx"}, MailRejected, "SMTP_550", 0),
    ({"at": "DATA", "kind": "4xx"}, MailRetryable, "SMTP_451", 0),
    ({"at": "DATA", "kind": "5xx"}, MailRejected, "SMTP_554", 0),
    ({"at": "dot", "kind": "4xx"}, MailRetryable, "SMTP_451", 0),
    ({"at": "dot", "kind": "5xx"}, MailRejected, "SMTP_554", 0),
    *[({"at": step, "kind": "421"}, MailRetryable, "SMTP_421", 0) for step in ("MAIL", "RCPT", "DATA", "dot")],
    *[({"at": step, "kind": "hang"}, MailRetryable, "SMTP_DROPPED_BEFORE_DOT", 0) for step in ("MAIL", "RCPT", "DATA")],
    ({"at": "dot", "kind": "hang"}, MailUncertain, "SMTP_NO_ANSWER_AFTER_DOT", None),
    ({"at": "RCPT", "kind": "drop_before_dot"}, MailRetryable, "SMTP_DROPPED_BEFORE_DOT", 0),
    # One of the two uncertain mails has arrived: that is what uncertain means.
    ({"kind": "drop_before_store"}, MailUncertain, "SMTP_NO_ANSWER_AFTER_DOT", 0),
    ({"kind": "drop_after_dot"}, MailUncertain, "SMTP_NO_ANSWER_AFTER_DOT", 1),
]


@pytest.fixture
def mailbox(tmp_path):
    with running_mailbox(tmp_path) as running:
        yield running


def mail(number):
    return f"Message-ID: <{number}@example.jp>\r\nTo: {MIKA}\r\nSubject: {number}\r\n\r\n{number}\r\n".encode()


def deliver(session, number):
    session.begin(SENDER, MIKA)
    return session.finish(mail(number))


def held(mailbox):
    return [item["message_id"] for item in httpx.get(f"{mailbox.url}/sandbox/messages").json()]


@pytest.mark.parametrize(("fault", "error", "code", "arrived"), CASES)
def test_each_fault_is_taken_for_what_it_is_and_the_next_mail_arrives_once(mailbox, fault, error, code, arrived):
    httpx.post(f"{mailbox.url}/sandbox/faults", json=fault).raise_for_status()
    with Mailer("127.0.0.1", mailbox.smtp_port, "", "", "none", timeout=0.2).session() as session:
        with pytest.raises(error) as caught:
            deliver(session, 1)
        assert caught.value.code == code
        if not session.is_usable:
            session.reconnect()
        deliver(session, 2)
    assert held(mailbox).count("<2@example.jp>") == 1
    if arrived is not None:
        assert held(mailbox).count("<1@example.jp>") == arrived


def test_pipelined_mails_arrive_in_order_and_whole(mailbox):
    with Mailer("127.0.0.1", mailbox.smtp_port, "", "", "none", timeout=3).session() as session:
        session.begin(SENDER, MIKA)
        for number in range(50):
            session.finish(mail(number), (SENDER, MIKA) if number < 49 else None)
            if number < 49:
                session.begin_following()
    assert held(mailbox) == [f"<{number}@example.jp>" for number in range(50)]
    for number, entry in enumerate(mailbox.state.entries()):
        stored = mailbox.state.read(entry)
        assert email.message_from_bytes(stored.content, policy=policy.default)["Subject"] == str(number)
        assert stored.content.endswith(mail(number))
