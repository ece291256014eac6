"""What yagmail 0.16.0 does by itself, trap by trap, and that our way of using it has none of it.

The first half of each test is yagmail alone: when it fails after an upgrade, the trap has moved, so look at it again.
"""

import email
import gc
import inspect
import io
import logging
import ssl
import threading
from email import policy
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yagmail
import yagmail.headers
import yagmail.password
import yagmail.sender
import yagmail.validate
from yagmail.error import YagInvalidEmailAddress

from madoguchi.adapters.mail_message import MailBuildError, build_mail
from madoguchi.adapters.smtp import MailConfigError, Mailer, MailRejected, MailSession, MailUncertain
from tests.adapters.mail_help import MESSAGE_ID, STAMP, rendered
from tests.adapters.relay_help import CLOSE, Relay, certificate

# yagmail leaves connections to the garbage collector, which says so.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

SENDER, MIKA, JIRO = "madoguchi@example.jp", "mika@example.com", "jiro@example.com"


@pytest.fixture(autouse=True)
def _collected():
    """Keep what yagmail leaves behind out of the next module's tests."""
    yield
    gc.collect()


def alone(relay=None, **more):
    """yagmail as it comes, towards a relay of ours."""
    settings = {"host": "127.0.0.1", "port": relay.port if relay else 9, "smtp_ssl": False, "smtp_starttls": False}
    made = yagmail.SMTP("madoguchi@example.jp", "s3cret", **(settings | {"smtp_skip_login": True} | more))
    made.log = logging.getLogger("tests.yagmail.alone")
    return made


def said(contents="x", subject="件名", **more):
    """What yagmail would send, parsed and as text."""
    _, text = alone().prepare_send(MIKA, subject, contents, **{"prettify_html": False} | more)
    return email.message_from_string(text, policy=policy.default), text


def ours(**changes):
    values = {
        "rendered": rendered(), "sender": SENDER, "sender_name": "窓口", "recipient": MIKA, "message_id": MESSAGE_ID,
        "date": STAMP,
    }  # fmt: skip
    return build_mail(**(values | changes))


def parsed(**changes):
    return email.message_from_bytes(ours(**changes), policy=policy.default)


def mailer(relay):
    return Mailer("127.0.0.1", relay.port, "", "", "none", timeout=3)


def test_this_is_the_version_whose_traps_are_known():
    assert yagmail.__version__ == "0.16.0"


def test_trap_1_a_connection_for_every_mail():
    with Relay().running() as relay:
        client = alone(relay)
        for _ in range(3):
            client.send(MIKA, "s", "x", prettify_html=False)
        client.close()
        assert relay.connections == 3
    with Relay().running() as relay:
        with mailer(relay).session() as session:
            for _ in range(3):
                session.begin(SENDER, MIKA)
                session.finish(ours())
        assert relay.connections == 1


def test_trap_2_a_mail_that_the_relay_took_is_sent_again_and_failure_is_no_error(monkeypatch):
    monkeypatch.setattr(yagmail.sender.time, "sleep", lambda _seconds: None)
    with Relay({"dot": CLOSE}).running() as relay:
        assert alone(relay).send(MIKA, "s", "x", prettify_html=False) is False
        assert len(relay.bodies) == 3
    with Relay({"dot": CLOSE}).running() as relay, mailer(relay).session() as session:
        session.begin(SENDER, MIKA)
        with pytest.raises(MailUncertain):
            session.finish(ours())
        assert len(relay.bodies) == 1


def test_trap_3_the_list_of_unsent_mails_breaks_while_it_is_sent():
    client = alone()
    client._attempt_send = lambda *_: None
    client.unsent = [([MIKA], "1"), ([JIRO], "2")]
    with pytest.raises(IndexError):
        client.send_unsent()
    with Relay().running() as relay:
        holder = mailer(relay)._holder()
        for sending in (holder.send, holder.send_unsent, holder.prepare_send, holder._attempt_send, holder.feedback):
            with pytest.raises(NotImplementedError):
                sending()


def test_trap_4_a_refused_recipient_among_others_is_no_error():
    with Relay({"RCPT": ["550 no", "250 ok"]}).running() as relay:
        client = alone(relay)
        assert client.send([MIKA, JIRO], "s", "x", prettify_html=False) == {MIKA: (550, b"no")}
        client.close()
    with pytest.raises(MailBuildError):
        ours(recipient=f"{MIKA},{JIRO}")
    with Relay({"RCPT": "550 no"}).running() as relay, mailer(relay).session() as session, pytest.raises(MailRejected):
        session.begin(SENDER, MIKA)


def test_trap_5_any_certificate_will_do(tmp_path):
    path = certificate(tmp_path, "elsewhere.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with Relay(context=context).running() as relay:
        client = alone(relay, smtp_ssl=True)
        assert client.send(MIKA, "s", "x", prettify_html=False) == {}
        client.close()
    with Relay(context=context, extensions=("AUTH PLAIN",)).running() as relay:
        with pytest.raises(MailConfigError, match="SMTP_TLS_UNVERIFIED"):
            Mailer("127.0.0.1", relay.port, "office", "s3cret", "tls", timeout=3).probe()
        assert relay.heard == []


def test_trap_6_no_time_out():
    assert "timeout" not in alone().kwargs
    with Relay().running() as relay, mailer(relay).session() as session:
        assert session._smtp.sock.gettimeout() == 3
    assert inspect.signature(Mailer).parameters["timeout"].default == 30


def test_trap_7_whatever_is_not_said_goes_to_google():
    assert inspect.signature(yagmail.SMTP).parameters["host"].default == "smtp.gmail.com"
    assert yagmail.headers.make_addr_alias_user("office")[0] == "office@gmail.com"
    with pytest.raises(MailConfigError, match="SMTP_NO_HOST"):
        Mailer("", 587, "office", "s3cret", "starttls")
    assert Mailer("127.0.0.1", 587, "office", "s3cret", "starttls")._holder().user == "office"


def test_trap_8_a_missing_password_is_asked_from_a_terminal(monkeypatch):
    asked = []
    monkeypatch.setattr(yagmail.sender, "handle_password", lambda *question: asked.append(question) or "typed")
    with Relay(extensions=("AUTH PLAIN",)).running() as relay:
        client = yagmail.SMTP(SENDER, None, "127.0.0.1", relay.port, False, smtp_ssl=False)
        client.login()
        client.close()
    assert asked == [(SENDER, None)]
    with pytest.raises(MailConfigError, match="SMTP_NO_PASSWORD"):
        Mailer("127.0.0.1", 587, "office", "", "starttls")
    with pytest.raises(MailConfigError, match="SMTP_NO_PASSWORD"):
        Mailer("127.0.0.1", 587, "office", "s3cret", "starttls")._holder().handle_password("office", None)
    assert len(asked) == 1


def test_trap_9_a_refused_login_by_token_is_overlooked():
    with Relay({"AUTH": "535 5.7.8 no"}).running() as relay:
        client = alone(relay)
        client.oauth2_file, client.credentials = "unused", {"google_client_id": "client.example"}
        client.get_oauth_string = lambda *_: "token"
        client.login()
        client.close()
    refusing = Relay({"AUTH": "535 5.7.8 no"}, extensions=("AUTH PLAIN",))
    with refusing.running() as relay, pytest.raises(MailConfigError, match="SMTP_AUTH"):
        Mailer("127.0.0.1", relay.port, "office", "s3cret", "none", timeout=3).probe()


def test_trap_10_a_text_that_names_a_file_becomes_that_file(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text("a secret of the server")
    message, _ = said(str(path))
    assert any(b"a secret" in (part.get_payload(decode=True) or b"") for part in message.walk())
    message = parsed(rendered=rendered(text=str(path)))
    assert message.get_body(("plain",)).get_content().strip() == str(path)
    assert not any(b"a secret" in (part.get_payload(decode=True) or b"") for part in message.walk())


def test_trap_11_the_text_part_is_html():
    message, _ = said("<p>本文</p>")
    assert "<p>" in message.get_body(("plain",)).get_content()
    message = parsed(rendered=rendered(text="本文 < 2\n次\n", html="<p>本文 &lt; 2<br>次</p>"))
    assert message.get_body(("plain",)).get_content().splitlines() == ["本文 < 2", "次"]
    assert message.get_body(("html",)).get_content().strip() == "<p>本文 &lt; 2<br>次</p>"


def test_trap_12_style_sheets_are_fetched_from_wherever_the_text_says():
    fetched = []

    class Style(BaseHTTPRequestHandler):
        def do_GET(self):
            fetched.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"p{color:red}")

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Style) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        html = f'<link rel="stylesheet" href="http://127.0.0.1:{server.server_port}/style.css"><p>x</p>'
        said(html, prettify_html=True)
        assert fetched == ["/style.css"]
        assert parsed(rendered=rendered(html=html)).get_body(("html",)).get_content().strip() == html
        assert fetched == ["/style.css"]
        server.shutdown()


def test_trap_13_two_mails_with_one_subject_have_one_message_id():
    assert said("one")[0]["Message-ID"] == said("two")[0]["Message-ID"]
    assert said()[0]["Message-ID"].endswith("@yagmail>")
    assert parsed()["Message-ID"] == MESSAGE_ID
    assert inspect.signature(build_mail).parameters["message_id"].default is inspect.Parameter.empty


def test_trap_14_headers_stand_twice():
    _, text = said(headers={"Subject": "other", "date": "today"})
    assert (text.count("\nSubject: "), text.lower().count("\ndate: ")) == (2, 2)
    names = [name.lower() for name in parsed()]
    assert len(names) == len(set(names))
    assert "headers" not in inspect.signature(build_mail).parameters


def test_trap_15_a_recipient_with_a_name_has_no_address():
    _, text = alone().prepare_send({MIKA: "山田"}, "s", "x", prettify_html=False)
    assert MIKA not in email.message_from_string(text)["To"]
    assert parsed()["To"] == MIKA


def test_trap_16_a_long_subject_is_one_line_longer_than_mail_allows():
    longest = max(map(len, said(subject="長い件名" * 80)[1].split("\n")))
    assert longest > 998
    assert max(map(len, ours(rendered=rendered(subject="長い件名" * 80)).split(b"\r\n"))) <= 78


def test_trap_17_a_subject_ends_the_headers():
    assert "\nInjected" in said(subject="s\n\nInjected")[1].partition("\nTo:")[0]
    for bad in ("s\n\nInjected", "s\n Injected", "s\r\nBcc: x@example.com"):
        with pytest.raises(MailBuildError):
            ours(rendered=rendered(subject=bad))


def test_trap_18_nobody_named_means_the_sender_himself():
    assert alone().prepare_send(None, "s", "x", prettify_html=False)[0] == [SENDER]
    for nobody in ("", " "):
        with pytest.raises(MailBuildError):
            ours(recipient=nobody)


@pytest.mark.parametrize(
    ("address", "is_good"),
    [
        ("mika@example.com\n", False),
        ("ｍｉｋａ@example.com", False),
        ("(c)mika@example.com", False),
        ("mika@[192.0.2.1]", False),
        ("mika..yamada@docomo.ne.jp", True),
        ("mika.@ezweb.ne.jp", True),
    ],
)
def test_trap_19_addresses_are_judged_the_wrong_way_round(address, is_good):
    def accepted(judge, error):
        try:
            judge()
        except error:
            return False
        return True

    theirs = accepted(lambda: yagmail.validate.validate_email_with_regex(address), YagInvalidEmailAddress)
    assert theirs is not is_good
    assert accepted(lambda: ours(recipient=address), MailBuildError) is is_good


def test_trap_20_a_calendar_file_is_no_invitation(tmp_path):
    path = tmp_path / "invite.ics"
    path.write_text("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")
    part = next(part for part in said(attachments=str(path))[0].walk() if part.get_content_type() == "text/calendar")
    assert part.get_content_disposition() is None
    assert "method" not in part["Content-Type"].params
    parts = {part.get_content_type(): part for part in parsed(calendar=path.read_bytes()).walk()}
    assert parts["text/calendar"]["Content-Type"].params["method"] == "PUBLISH"
    assert parts["application/ics"].get_content_disposition() == "attachment"


def test_trap_21_an_attachment_is_empty_the_second_time():
    handle = io.BytesIO(b"BEGIN:VCALENDAR")
    handle.name = "invite.pdf"
    first, second = (said(attachments=handle)[0] for _ in range(2))
    sizes = [
        max(len(part.get_payload(decode=True) or b"") for part in mail.iter_attachments()) for mail in (first, second)
    ]
    assert sizes == [15, 0]
    calendar = b"BEGIN:VCALENDAR"
    assert ours(calendar=calendar) == ours(calendar=calendar)


def test_trap_22_recipients_are_logged_and_handlers_replaced():
    logger = logging.getLogger("yagmail.log")
    kept = logging.NullHandler()
    logger.handlers = [kept]
    assert yagmail.SMTP(SENDER, "s3cret", smtp_skip_login=True).log is logger
    assert kept not in logger.handlers
    logger.handlers = []
    with Relay().running() as relay:
        assert not mailer(relay)._holder().log.isEnabledFor(logging.CRITICAL)


def test_trap_23_after_a_refused_recipient_every_later_mail_fails():
    """In yagmail's asynchronous client, which needs a package that is not installed: shown for ours only."""
    assert not hasattr(yagmail, "aiosmtplib")
    with Relay({"RCPT": ["550 no", "250 ok"], "DATA": ["503 nobody", "354 go on"]}).running() as relay:
        with mailer(relay).session() as session:
            with pytest.raises(MailRejected):
                session.begin(SENDER, MIKA)
            session.begin(SENDER, JIRO)
            session.finish(ours())
        assert len(relay.bodies) == 1
        assert "RSET" in relay.heard


def test_trap_24_the_date_has_no_zone():
    assert said()[0]["Date"].endswith("-0000")
    assert parsed()["Date"].endswith("+0900")


def test_trap_25_collecting_garbage_talks_to_the_relay():
    with Relay().running() as relay:
        client = alone(relay)
        client.login()
        del client
        gc.collect()
        assert wait_for(lambda: "quit" in relay.heard)
    with Relay().running() as relay:
        holder = mailer(relay)._holder()
        holder.login()
        connection = holder.smtp
        del holder
        gc.collect()
        assert connection.noop()[0] == 250
        connection.close()
        assert not any(line.upper() == "QUIT" for line in relay.heard)


def wait_for(happened):
    waiting = threading.Event()
    for _ in range(100):
        if happened():
            return True
        waiting.wait(0.02)
    return False


def test_a_session_offers_nothing_but_one_envelope_and_one_body_at_a_time():
    public = {name for name in vars(MailSession) if not name.startswith("_")}
    halves = {"give", "answer_to_dot"}  # of `finish`
    assert public - halves == {"is_usable", "reconnect", "noop", "begin", "finish", "begin_following", "abort", "close"}


def test_every_way_to_send_that_yagmail_has_is_refused_by_our_connection():
    """A version with one more of them is seen here."""
    ways = {name for name, _ in inspect.getmembers(yagmail.SMTP, inspect.isfunction) if "send" in name} | {"feedback"}
    assert {"send", "prepare_send", "_attempt_send", "send_unsent"} <= ways
    connection = Mailer("127.0.0.1", 9, "", "", "none")._holder()
    for name in ways:
        with pytest.raises(NotImplementedError):
            getattr(connection, name)()
