import logging
import ssl

import pytest

from madoguchi.adapters.smtp import MailConfigError, Mailer, MailRetryable
from tests.adapters.relay_help import CLOSE, SILENCE, Relay, certificate

# base64 of "\0office\0s3cret"
PLAIN_LOGIN = "AUTH PLAIN AG9mZmljZQBzM2NyZXQ="


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    return {name: certificate(folder, name) for name in ("127.0.0.1", "elsewhere.example")}


def server_context(path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def starttls_relay(path, **more):
    return Relay(starttls=server_context(path), extensions=("STARTTLS",), **more)


def deliver(mailer):
    with mailer.session() as session:
        session.begin("madoguchi@example.jp", "mika@example.com")
        return session.finish(b"Subject: 1\r\n\r\nbody\r\n", None)


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_verified_relay_gets_the_login_inside_tls_and_mail_after_mail(certificates, security):
    path = certificates["127.0.0.1"]
    if security == "tls":
        relay = Relay(context=server_context(path), extensions=("PIPELINING", "AUTH PLAIN"))
    else:
        relay = starttls_relay(path)
    with relay.running():
        mailer = Mailer("127.0.0.1", relay.port, "office", "s3cret", security, path, timeout=3)
        with mailer.session() as session:
            for _ in range(3):
                session.begin("madoguchi@example.jp", "mika@example.com")
                assert session.finish(b"Subject: 1\r\n\r\n" + b"x" * 70 * 1000 + b"\r\n") == "250"
        assert relay.connections == 1
        assert len(relay.bodies) == 3
        assert relay.heard.count(PLAIN_LOGIN) == 1
        if security == "starttls":
            assert relay.heard.index("STARTTLS") < relay.heard.index(PLAIN_LOGIN)


@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.parametrize(
    ("presented", "trusted"),
    [("127.0.0.1", None), ("elsewhere.example", "elsewhere.example"), ("127.0.0.1", "elsewhere.example")],
    ids=["self-signed", "another name", "another authority"],
)
def test_an_unverified_relay_gets_neither_login_nor_mail(certificates, security, presented, trusted):
    path = certificates[presented]
    relay = Relay(context=server_context(path)) if security == "tls" else starttls_relay(path)
    with relay.running():
        authority = certificates[trusted] if trusted else None
        with pytest.raises(MailConfigError) as caught:
            deliver(Mailer("127.0.0.1", relay.port, "office", "s3cret", security, authority, timeout=3))
        assert caught.value.code == "SMTP_TLS_UNVERIFIED"
        assert "MADOGUCHI_SMTP__CA_FILE" in caught.value.remedy
        assert not any(line.startswith(("AUTH", "MAIL")) for line in relay.heard)


def test_a_relay_without_starttls_gets_no_login_in_clear():
    with Relay(extensions=("AUTH PLAIN",)).running() as relay:
        with pytest.raises(MailConfigError, match="SMTP_NO_STARTTLS"):
            deliver(Mailer("127.0.0.1", relay.port, "office", "s3cret", "starttls", timeout=3))
        assert not any(line.startswith(("AUTH", "MAIL")) for line in relay.heard)


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        ("535 5.7.8 bad credentials for office", MailConfigError, "SMTP_AUTH"),
        ("534 5.7.9 application password needed", MailConfigError, "SMTP_AUTH"),
        ("454 4.7.0 try later", MailRetryable, "SMTP_AUTH_BUSY"),
        (CLOSE, MailRetryable, "SMTP_CONNECT"),
    ],
)
def test_a_refused_login_is_for_a_person_and_a_busy_one_for_later(certificates, answer, error, code):
    path = certificates["127.0.0.1"]
    with starttls_relay(path, steps={"AUTH": answer}).running() as relay, pytest.raises(error) as caught:
        deliver(Mailer("127.0.0.1", relay.port, "office", "s3cret", "starttls", path, timeout=3))
    assert caught.value.code == code
    assert "office" not in str(caught.value)
    assert "s3cret" not in repr(vars(caught.value))


@pytest.mark.parametrize("offered", [(), ("AUTH XOAUTH2",)])
def test_a_relay_whose_logins_we_do_not_know_is_for_a_person(certificates, offered):
    path = certificates["127.0.0.1"]
    relay = starttls_relay(path)
    relay.inside = offered
    with relay.running(), pytest.raises(MailConfigError, match="SMTP_NO_AUTH"):
        deliver(Mailer("127.0.0.1", relay.port, "office", "s3cret", "starttls", path, timeout=3))


def test_tls_towards_a_port_that_speaks_none_is_for_a_person(certificates):
    with Relay().running() as relay, pytest.raises(MailConfigError, match="SMTP_TLS_FAILED"):
        deliver(Mailer("127.0.0.1", relay.port, "office", "s3cret", "tls", certificates["127.0.0.1"], timeout=3))


@pytest.mark.parametrize("step", ["greeting", "EHLO"])
@pytest.mark.parametrize("says", [CLOSE, SILENCE, "421 busy", "554 go away"])
def test_a_relay_that_does_not_greet_is_tried_later(step, says):
    with Relay({step: says, "HELO": says}).running() as relay, pytest.raises(MailRetryable):
        deliver(Mailer("127.0.0.1", relay.port, "", "", "none", timeout=0.2))


def test_a_relay_that_is_not_there_is_tried_later():
    with Relay().running() as relay:
        port = relay.port
    with pytest.raises(MailRetryable, match="SMTP_CONNECT"):
        deliver(Mailer("127.0.0.1", port, "", "", "none", timeout=1))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("", 587, "office", "s3cret", "starttls"), "SMTP_NO_HOST"),
        (("relay.example.jp", 0, "office", "s3cret", "starttls"), "SMTP_NO_HOST"),
        (("relay.example.jp", 25, "office", "s3cret", "none"), "SMTP_UNPROTECTED"),
        (("192.0.2.1", 25, "", "", "none"), "SMTP_UNPROTECTED"),
        (("localhost.example.jp", 25, "", "", "none"), "SMTP_UNPROTECTED"),
        (("relay.example.jp", 587, "", "", "starttls"), "SMTP_NO_USER"),
        (("relay.example.jp", 587, "office", "", "starttls"), "SMTP_NO_PASSWORD"),
        (("127.0.0.1", 587, "office", "", "none"), "SMTP_NO_PASSWORD"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_before_any_connection(arguments, code):
    with pytest.raises(MailConfigError) as caught:
        Mailer(*arguments)
    assert caught.value.code == code
    assert "MADOGUCHI_SMTP__" in caught.value.remedy or code == "SMTP_UNPROTECTED"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_authority_file_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "ca.pem"
    if content:
        path.write_text(content)
    with pytest.raises(MailConfigError, match="SMTP_CA_FILE"):
        deliver(Mailer("127.0.0.1", 9, "office", "s3cret", "tls", path))


def test_the_probe_logs_in_and_sends_nothing(certificates):
    path = certificates["127.0.0.1"]
    with starttls_relay(path).running() as relay:
        Mailer("127.0.0.1", relay.port, "office", "s3cret", "starttls", path, timeout=3).probe()
        assert [line.split()[0].upper() for line in relay.heard][-3:] == ["AUTH", "NOOP", "QUIT"]
        assert relay.bodies == []


def test_neither_login_nor_recipient_reaches_a_log(certificates, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    path = certificates["127.0.0.1"]
    with starttls_relay(path).running() as relay:
        deliver(Mailer("127.0.0.1", relay.port, "office", "s3cret", "starttls", path, timeout=3))
    said = caplog.text + "".join(capfd.readouterr())
    for secret in ("s3cret", "office", "mika", "AG9mZmljZQ"):
        assert secret not in said
