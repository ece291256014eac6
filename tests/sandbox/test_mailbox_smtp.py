import random
import smtplib
import socket
import threading
import time
from email.message import EmailMessage

import pytest

from madoguchi.sandbox.mailbox_server import running_mailbox
from madoguchi.sandbox.mailbox_smtp import MAX_SIZE
from tests.sandbox.mailbox_help import CLOSED, JIRO, MIKA, SENDER, Client, envelope, mail


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with running_mailbox(tmp_path_factory.mktemp("mailbox")) as mailbox:
        yield mailbox


@pytest.fixture
def mailbox(running):
    running.state.clear()
    return running


def contents(mailbox):
    return [stored.content for stored in mailbox.state.mails()]


def test_smtplib_delivers_several_mails_on_one_connection(mailbox):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, MIKA, "予約のお知らせ"
    message.set_content("一行目\n.点で始まる行\n..点が二つ\n")
    with smtplib.SMTP(mailbox.host, mailbox.port, timeout=3) as smtp:
        for _ in range(3):
            assert smtp.send_message(message) == {}
        assert smtp.has_extn("pipelining")
        assert smtp.has_extn("8bitmime")
        assert int(smtp.esmtp_features["size"]) == MAX_SIZE
    assert len(contents(mailbox)) == 3
    assert [stored.recipient for stored in mailbox.state.mails()] == [MIKA] * 3


@pytest.mark.parametrize("cut", ["whole", "bytewise", "random"])
def test_pipelined_groups_are_answered_in_order_however_they_are_cut(mailbox, cut):
    seed = random.randrange(10**6)
    print("seed", seed)  # noqa: T201 — a failure must be repeatable
    dice = random.Random(seed)
    stream = envelope() + mail(1) + b".\r\n" + envelope(JIRO) + mail(2) + b".\r\nNOOP\r\nRSET\r\nQUIT\r\n"
    with Client(mailbox) as client:
        while stream:
            size = {"whole": len(stream), "bytewise": 1, "random": dice.randint(1, 40)}[cut]
            client.send(stream[:size])
            stream = stream[size:]
        assert client.codes(12) == [250, 250, 354, 250, 250, 250, 354, 250, 250, 250, 221, CLOSED]
    assert contents(mailbox) == [mail(1), mail(2)]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"..a\r\n...\r\nb\r\n.\r\n", b".a\r\n..\r\nb\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"a.\r\nb\r\n..\r\n..\r\n.\r\n", b"a.\r\nb\r\n.\r\n.\r\n"),
        ("本文\r\n.\r\n".encode(), "本文\r\n".encode()),
    ],
)
def test_leading_dots_are_taken_off_and_nothing_else_is_changed(mailbox, sent, stored):
    with Client(mailbox) as client:
        client.send(envelope() + sent)
        assert client.codes(4) == [250, 250, 354, 250]
    assert contents(mailbox) == [stored]


@pytest.mark.parametrize("smuggled", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n"])
def test_a_dot_between_bare_line_ends_neither_ends_a_mail_nor_is_stored(mailbox, smuggled):
    with Client(mailbox) as client:
        client.send(envelope() + b"Subject: a\r\n\r\nb" + smuggled + envelope(JIRO) + b"c\r\n.\r\n")
        assert client.codes(4) == [250, 250, 354, 550]
        assert client.ask(b"NOOP") == 250
    assert contents(mailbox) == []


@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        ([b"MAIL FROM:<a@example.jp>"], [503]),
        ([b"EHLO"], [501]),
        ([b"HELO x", b"RCPT TO:<a@example.jp>"], [250, 503]),
        ([b"HELO x", b"DATA"], [250, 503]),
        ([b"HELO x", b"mail from:<a@example.jp>", b"MAIL FROM:<a@example.jp>"], [250, 250, 503]),
        ([b"HELO x", b"MAIL FROM:<>", b"DATA"], [250, 250, 554]),
        ([b"HELO x", b"MAIL FROM:a@example.jp"], [250, 501]),
        ([b"HELO x", b"MAIL FROM:<a@example.jp> BODY=8BITMIME SIZE=1000"], [250, 250]),
        ([b"HELO x", b"MAIL FROM:<a@example.jp> SIZE=99999999999"], [250, 552]),
        ([b"HELO x", b"MAIL FROM:<a@example.jp> SMTPUTF8"], [250, 555]),
        ([b"HELO x", "MAIL FROM:<窓口@example.jp>".encode()], [250, 553]),
        ([b"HELO x", b"MAIL FROM:<>", b"RCPT TO:<nobody>"], [250, 250, 501]),
        ([b"HELO x", b"MAIL FROM:<>", b"RCPT TO:<a@example.jp> NOTIFY=NEVER"], [250, 250, 555]),
        ([b"HELO x", b"MAIL FROM:<>", b'RCPT TO:<"a..b"@example.jp>', b"RSET", b"DATA"], [250, 250, 250, 250, 503]),
        ([b"NOOP", b"VRFY a", b"STARTTLS", b"AUTH PLAIN x", b"\x16\x03\x01"], [250, 252, 502, 502, 500]),
    ],
)
def test_commands_out_of_order_or_out_of_shape_are_refused_and_the_connection_stays(mailbox, lines, codes):
    with Client(mailbox, hello=False) as client:
        assert [client.ask(line) for line in lines] == codes
        assert client.ask(b"NOOP") == 250


def test_a_pipelined_group_without_a_taken_recipient_gets_no_354(mailbox):
    with Client(mailbox) as client:
        client.send(
            b"MAIL FROM:<a@example.jp>\r\nRCPT TO:<nobody>\r\nDATA\r\nRSET\r\n" + envelope() + mail() + b".\r\n"
        )
        assert client.codes(8) == [250, 501, 554, 250, 250, 250, 354, 250]
    assert contents(mailbox) == [mail()]


def test_each_recipient_gets_a_copy_and_the_hundred_and_first_is_refused(mailbox):
    with Client(mailbox) as client:
        client.ask(b"MAIL FROM:<a@example.jp>")
        codes = [client.ask(b"RCPT TO:<p%d@example.com>" % number) for number in range(101)]
        assert codes == [250] * 100 + [452]
        client.send(b"DATA\r\n" + mail() + b".\r\n")
        assert client.codes(2) == [354, 250]
    assert len({stored.recipient for stored in mailbox.state.mails()}) == 100


def test_a_mail_above_the_size_is_read_to_its_end_and_refused(mailbox):
    with Client(mailbox, timeout=20) as client:
        client.send(envelope())
        assert client.codes(3) == [250, 250, 354]
        for _ in range(MAX_SIZE // 1_000_000 + 2):
            client.send((b"." + b"x" * 97 + b"\r\n") * 10_000)
        assert client.ask(b".") == 552
        assert client.deliver() == [250, 250, 354, 250]
    assert contents(mailbox) == [mail()]


def test_an_endless_command_line_is_refused_and_cut(mailbox):
    with Client(mailbox) as client:
        client.send(b"NOOP " + b"x" * 5000)
        assert client.codes(2) == [500, CLOSED]


def test_what_has_no_dot_yet_is_no_mail(mailbox):
    with Client(mailbox) as client:
        client.send(envelope() + mail())
        assert client.codes(3) == [250, 250, 354]
    with Client(mailbox) as client:
        assert client.deliver(mail(2)) == [250, 250, 354, 250]
    assert contents(mailbox) == [mail(2)]


def test_two_connections_at_once_do_not_mix(mailbox):
    with Client(mailbox) as first, Client(mailbox) as second:
        first.send(envelope(MIKA) + b"Subject: first\r\n\r\n")
        second.send(envelope(JIRO) + b"Subject: second\r\n\r\n.\r\n")
        assert second.codes(4) == [250, 250, 354, 250]
        first.send(b".\r\n")
        assert first.codes(4) == [250, 250, 354, 250]
    assert [(m.recipient, m.content) for m in mailbox.state.mails()] == [
        (JIRO, b"Subject: second\r\n\r\n"),
        (MIKA, b"Subject: first\r\n\r\n"),
    ]


def test_many_threads_lose_nothing(mailbox):
    def work(start):
        with Client(mailbox, timeout=20) as client:
            for number in range(start, start + 50):
                assert client.deliver(mail(number))[-1] == 250

    threads = [threading.Thread(target=work, args=(start,)) for start in range(0, 400, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry.message_id for entry in mailbox.state.entries()} == {f"<{n}@example.jp>" for n in range(400)}
    assert len(mailbox.state.entries()) == 400


def test_a_step_by_step_mail_takes_no_delayed_acknowledgement(mailbox):
    with Client(mailbox) as client:
        started = time.perf_counter()
        for number in range(50):
            client.deliver(mail(number))
        # Four answers a mail: 40 ms each, as with Nagle's algorithm, would be 8 s.
        assert time.perf_counter() - started < 4


def test_a_disk_that_refuses_is_a_temporary_answer(tmp_path, caplog):
    with running_mailbox(tmp_path) as mailbox:
        (tmp_path / "mails").rmdir()
        with Client(mailbox) as client:
            assert client.deliver()[-1] == 452
    assert "errno" in caplog.text
    assert MIKA not in caplog.text


def test_open_connections_do_not_keep_it_from_ending(tmp_path):
    with running_mailbox(tmp_path) as mailbox:
        client = Client(mailbox)
        started = time.monotonic()
    assert time.monotonic() - started < 3
    assert client.code() == CLOSED
    client.__exit__()


def test_ports_are_taken_as_asked_and_a_taken_one_is_an_error(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        with pytest.raises(OSError), running_mailbox(tmp_path, smtp_port=port):
            pass
    with running_mailbox(tmp_path, smtp_port=port) as mailbox:
        assert (mailbox.host, mailbox.port) == ("127.0.0.1", port)
