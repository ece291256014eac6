"""What yagmail 0.16.0 does by itself, each beside what leaves here instead.

An upgrade that changes one of these is seen here first. Not tried: its OAuth2 login and its asynchronous client,
neither of which is ever used.
"""

import email
import gc
import inspect
import logging
import ssl
import threading
from email import policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from types import SimpleNamespace

import pytest
import yagmail
import yagmail.sender
from yagmail.validate import validate_email_with_regex

from madoguchi.adapters import mail_message, smtp
from madoguchi.adapters.mail_message import MailBuildError, build_mail
from madoguchi.adapters.smtp import MailConfigError, Mailer, MailUncertain
from tests.adapters.mail_help import MESSAGE_ID, STAMP, rendered
from tests.adapters.relay_help import CLOSE, Relay, certificate

# yagmail leaves sockets for the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SENDER, MIKA, JIRO = "madoguchi@example.jp", "mika@example.com", "jiro@example.com"


def bare(relay=None, **more):
    settings = {"smtp_ssl": False, "smtp_starttls": False, "smtp_skip_login": True} | more
    return yagmail.SMTP(SENDER, host="127.0.0.1", port=relay.port if relay else 1, **settings)


def prepared(contents="本文", subject="予約", to=MIKA, **more):
    client = bare()
    client.is_closed = True  # or it says QUIT when it is collected
    recipients, text = client.prepare_send(to=to, subject=subject, contents=contents, **more)
    return recipients, text, email.message_from_string(text)


def ours(**changes):
    values = {
        "rendered": rendered(),
        "sender": SENDER,
        "sender_name": "窓口",
        "recipient": MIKA,
        "message_id": MESSAGE_ID,
        "date": STAMP,
    }
    return build_mail(**(values | changes))


def read(data):
    return email.message_from_bytes(data, policy=policy.default)


def test_this_is_the_version_that_was_examined():
    assert version("yagmail") == "0.16.0", "go through this file before allowing another one"


def test_every_way_to_send_is_refused_by_our_connection():
    ways = [
        name for name, _ in inspect.getmembers(yagmail.SMTP, inspect.isfunction) if "send" in name or name == "feedback"
    ]
    assert {"send", "prepare_send", "_attempt_send", "send_unsent", "feedback"} <= set(ways)
    connection = Mailer("127.0.0.1", 1, "", "", "none")._holder()
    for name in ways:
        with pytest.raises(NotImplementedError):
            getattr(connection, name)()


def test_a_new_connection_for_every_mail():
    with Relay().running() as relay:
        with bare(relay) as client:
            for _ in range(3):
                client.send(MIKA, "予約", "本文", prettify_html=False)
        assert relay.connections == 3
    with Relay().running() as relay, Mailer("127.0.0.1", relay.port, "", "", "none").session() as session:
        for _ in range(3):
            session.begin(SENDER, MIKA)
            session.finish(ours())
        assert relay.connections == 1


def test_the_same_mail_three_times_when_the_answer_to_the_dot_is_lost(monkeypatch):
    slept = []
    monkeypatch.setattr(yagmail.sender, "time", SimpleNamespace(sleep=slept.append))
    with Relay({"dot": CLOSE}).running() as relay:
        client = bare(relay)
        assert client.send(MIKA, "予約", "本文", prettify_html=False) is False  # and no exception
        assert len(relay.bodies) == 3
        assert slept == [3, 6, 9]
        client.is_closed = True
    with Relay({"dot": CLOSE}).running() as relay, Mailer("127.0.0.1", relay.port, "", "", "none").session() as session:
        session.begin(SENDER, MIKA)
        with pytest.raises(MailUncertain):
            session.finish(ours())
        assert len(relay.bodies) == 1


def test_the_list_of_unsent_mails_breaks_while_it_is_read():
    class Sends(yagmail.SMTP):
        def _attempt_send(self, recipients, msg_strings):
            return {}

    client = Sends(SENDER, host="127.0.0.1", smtp_skip_login=True)
    client.is_closed = True
    client.unsent = [([MIKA], "1"), ([JIRO], "2")]
    with pytest.raises(IndexError):
        client.send_unsent()


def test_a_refused_recipient_beside_an_accepted_one_is_no_exception():
    with Relay({"RCPT": ["250 ok", "550 no"]}).running() as relay, bare(relay) as client:
        assert client.send([MIKA, JIRO], "予約", "本文", prettify_html=False) == {JIRO: (550, b"no")}
    with pytest.raises(MailBuildError, match="recipient"):
        ours(recipient=f"{MIKA}, {JIRO}")


def test_certificates_are_not_looked_at(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path, "elsewhere.example"))
    with Relay(starttls=context, extensions=("STARTTLS",)).running() as relay:
        client = yagmail.SMTP(SENDER, "s3cret", host="127.0.0.1", port=relay.port, smtp_ssl=False)
        client.send(MIKA, "予約", "本文", prettify_html=False)
        client.close()
        assert any(line.startswith("AUTH") for line in relay.heard)
    with Relay(starttls=context, extensions=("STARTTLS",)).running() as relay:
        with pytest.raises(MailConfigError, match="SMTP_TLS_UNVERIFIED"):
            Mailer("127.0.0.1", relay.port, SENDER, "s3cret", "starttls").probe()
        assert not any(line.startswith("AUTH") for line in relay.heard)


def test_no_time_limit():
    with Relay().running() as relay:
        client = bare(relay)
        client.login()
        assert client.smtp.sock.gettimeout() is None
        client.close()
        with Mailer("127.0.0.1", relay.port, "", "", "none", timeout=7).session() as session:
            assert session._smtp.sock.gettimeout() == 7


def test_what_is_not_set_goes_to_gmail():
    client = yagmail.SMTP("office", "s3cret")
    client.is_closed = True
    assert (client.host, client.user) == ("smtp.gmail.com", "office@gmail.com")
    with pytest.raises(MailConfigError, match="SMTP_NO_HOST"):
        Mailer("", 587, "office", "s3cret", "starttls")
    holder = Mailer("relay.example.jp", 587, "office", "s3cret", "starttls")._holder()
    assert (holder.host, holder.port, holder.user) == ("relay.example.jp", "587", "office")


def test_a_missing_user_is_read_from_the_home_directory_and_a_missing_password_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".yagmail").write_text("somebody@example.jp")
    client = yagmail.SMTP(host="127.0.0.1")
    client.is_closed = True
    assert client.user == "somebody@example.jp"
    assert Mailer("127.0.0.1", 1, "", "", "none")._holder().user == ""
    with pytest.raises(MailConfigError, match="SMTP_NO_PASSWORD"):
        smtp._Connection.handle_password("office", None)


def test_text_that_is_the_name_of_a_file_becomes_that_file(tmp_path):
    path = tmp_path / "よろしく"
    path.write_text("secret")
    leaked = prepared(contents=str(path))[2]
    assert any(b"secret" in (part.get_payload(decode=True) or b"") for part in leaked.walk())
    mail = read(ours(rendered=rendered(text=str(path), html=str(path))))
    assert not any(b"secret" in (part.get_payload(decode=True) or b"") for part in mail.walk())


def test_the_plain_part_holds_html_and_text_is_not_escaped():
    bodies = [
        part.get_payload(decode=True).decode()
        for part in prepared(contents=["一行目\n二行目", "<b>"])[2].walk()
        if part.get_content_maintype() == "text"
    ]
    assert any("一行目<br>二行目" in body and "<b>" in body for body in bodies if "<div>" not in body)
    mail = read(ours(rendered=rendered(text="一行目\n二行目\n", html="<p>一行目</p>\n")))
    assert mail.get_body(("plain",)).get_content() == "一行目\r\n二行目\r\n"
    assert mail.get_body(("html",)).get_content() == "<p>一行目</p>\r\n"


def test_style_sheets_in_a_mail_are_fetched_from_wherever_they_lie():
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        html = f'<link rel="stylesheet" href="http://127.0.0.1:{server.server_port}/x.css"><p>a</p>'
        prepared(contents=html)
        theirs = len(asked)
        ours(rendered=rendered(html=html))
        server.shutdown()
        thread.join()
    assert theirs == 1
    assert len(asked) == theirs


def test_two_mails_with_the_same_subject_share_a_message_id():
    one, two = prepared(contents="1")[2], prepared(contents="2")[2]
    assert one["Message-ID"] == two["Message-ID"]
    other = "<fedcba9876543210fedcba9876543210@madoguchi.example.jp>"
    assert read(ours())["Message-ID"] != read(ours(message_id=other))["Message-ID"]


def test_extra_headers_stand_twice():
    assert len(prepared(headers={"Subject": "x"})[2].get_all("Subject")) == 2
    names = [name.lower() for name in read(ours())]
    assert len(names) == len(set(names))


def test_a_recipient_with_a_name_loses_the_address():
    assert prepared(to={MIKA: "Mika"})[2]["To"] == "Mika"
    assert read(ours())["To"] == MIKA


def test_a_long_subject_is_one_long_line():
    subject = "オンライン職業相談の予約が決まりました" * 4
    assert max(map(len, prepared(subject=subject)[1].splitlines())) > 200
    data = ours(rendered=rendered(subject=subject))
    assert max(map(len, data.split(b"\r\n"))) <= 78
    assert read(data)["Subject"] == subject


def test_a_subject_can_add_lines_to_the_header_block():
    text = prepared(subject="a\n Injected: yes")[1]
    assert "\n Injected: yes" in text.partition("\n\n")[0]
    with pytest.raises(MailBuildError, match="subject"):
        ours(rendered=rendered(subject="a\n Injected: yes"))


def test_nobody_to_send_to_means_oneself():
    assert prepared(to=None)[0] == [SENDER]
    with pytest.raises(MailBuildError, match="recipient"):
        ours(recipient="")


@pytest.mark.parametrize(
    "address", ["mika@example.com\n", "ＭＩＫＡ@example.com", "(c)mika@example.com", "mika@[192.0.2.1]"]
)
def test_addresses_that_cannot_be_are_accepted(address):
    validate_email_with_regex(address)
    with pytest.raises(MailBuildError, match="recipient"):
        ours(recipient=address)


@pytest.mark.parametrize("address", ["a..b@docomo.ne.jp", "a.@ezweb.ne.jp"])
def test_addresses_that_exist_are_refused(address):
    with pytest.raises(yagmail.error.YagInvalidEmailAddress):
        validate_email_with_regex(address)
    assert read(ours(recipient=address))["To"].addresses[0].username == address.partition("@")[0]


def test_a_calendar_file_has_neither_method_nor_name_for_saving(tmp_path):
    path = tmp_path / "invite.ics"
    path.write_text("BEGIN:VCALENDAR")
    (theirs,) = [part for part in prepared(attachments=str(path))[2].walk() if part.get_content_subtype() == "calendar"]
    assert (theirs["Content-Disposition"], theirs.get_param("method")) == (None, None)
    parts = {part.get_content_type(): part for part in read(ours(calendar=b"BEGIN:VCALENDAR")).walk()}
    assert parts["text/calendar"].get_param("method") == "PUBLISH"
    assert parts["application/ics"].get_filename() == "invite.ics"


def test_an_open_file_is_empty_the_second_time(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"12345")
    with path.open("rb") as handle:
        sizes = [
            max(len(part.get_payload(decode=True) or b"") for part in prepared(contents=[handle])[2].walk())
            for _ in range(2)
        ]
    assert sizes[0] >= 5 > sizes[1]
    assert ours(calendar=b"12345") == ours(calendar=b"12345")


def test_its_logger_takes_over_and_cannot_be_set():
    logger = logging.getLogger("yagmail.log")
    logger.setLevel(logging.DEBUG)
    client = bare()
    client.is_closed = True
    assert logger.level == logging.ERROR
    assert Mailer("127.0.0.1", 1, "", "", "none")._holder().log is smtp._SILENT
    assert not smtp._SILENT.isEnabledFor(logging.CRITICAL)


def test_dates_claim_no_zone():
    assert prepared()[2]["Date"].endswith("-0000")
    assert read(ours())["Date"].endswith("+0900")


def test_collecting_a_client_talks_to_the_relay():
    with Relay().running() as relay:
        client = bare(relay)
        client.login()
        del client
        gc.collect()
        relay.threads[0].join(3)
        assert relay.heard[-1].upper() == "QUIT"
    with Relay().running() as relay:
        holder = Mailer("127.0.0.1", relay.port, "", "", "none")._holder()
        holder.login()
        connection = holder.smtp
        del holder
        gc.collect()
        connection.close()
        relay.threads[0].join(3)
        assert not any(line.upper() == "QUIT" for line in relay.heard)


def test_nothing_here_uses_what_was_not_tried():
    source = inspect.getsource(smtp) + inspect.getsource(mail_message)
    for word in ("oauth", "async", "aio"):
        assert word not in source.lower()
