"""The stand-in relay sends back what goes to addresses that ask for it, in a form that our reader understands."""

import smtplib
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from madoguchi.adapters.bounce_folder import waiting_files
from madoguchi.adapters.delivery_status import Sort, read_notification
from madoguchi.domain.bounce import kind_of
from madoguchi.sandbox.mailbox_bounces import fate_of, write_notification
from madoguchi.sandbox.mailbox_server import running_mailbox

ID = "0190f3a1b2c3d4e5f60718293a4b5c6d"
MAIL = f"From: a@example.jp\r\nMessage-ID: <{ID}@madoguchi.example.jp>\r\nSubject: x\r\n\r\nbody\r\n".encode()
NOON = datetime(2026, 9, 14, 12, tzinfo=ZoneInfo("Asia/Tokyo"))


@pytest.mark.parametrize(
    ("word", "kind", "action"),
    [
        ("hard", "hard", "failed"),
        ("soft", "soft", "failed"),
        ("full", "soft", "failed"),
        ("policy", "policy", "failed"),
        ("delay", "soft", "delayed"),
        ("text", "unknown", "unknown"),
    ],
)
@pytest.mark.parametrize("suffix", ["", "-12", "-x.y"])
def test_an_address_gets_the_notification_that_it_asks_for(tmp_path, word, kind, action, suffix):
    address = f"bounce-{word}{suffix}@example.jp"
    write_notification(tmp_path, fate_of(address), address, MAIL, NOON)
    [file] = waiting_files(tmp_path)
    mail = read_notification(*file.mails(), "madoguchi.example.jp")
    [said] = mail.said
    assert (mail.original, kind_of(said), said.action, mail.sent_at) == (ID, kind, action, NOON)
    assert said.recipient == (address if word != "text" else "")
    assert mail.sort is (Sort.REPORT if word != "text" else Sort.RETURNED)
    assert mail.is_whole


@pytest.mark.parametrize(
    "address", ["hanako@example.jp", "bounce@example.jp", "bounce-hardly@x.jp", "x-bounce-hard@x.jp"]
)
def test_any_other_address_gets_its_mail(address):
    assert fate_of(address) is None


def test_a_mail_taken_by_smtp_comes_back_through_the_folder_and_a_maildir_gets_it_in_new(tmp_path):
    folder = tmp_path / "bounces"
    for part in ("new", "cur"):
        (folder / part).mkdir(parents=True)
    with (
        running_mailbox(tmp_path / "mailbox", bounces=folder) as mailbox,
        smtplib.SMTP(mailbox.host, mailbox.smtp_port) as relay,
    ):
        relay.sendmail("a@example.jp", ["bounce-hard@example.jp"], MAIL)
        relay.sendmail("a@example.jp", ["hanako@example.jp"], MAIL)
        assert len(mailbox.state.entries()) == 2, "both were taken"
    [path] = (folder / "new").iterdir()
    assert read_notification(path.read_bytes(), "madoguchi.example.jp").original == ID


def test_without_a_folder_nothing_comes_back(tmp_path):
    with running_mailbox(tmp_path) as mailbox:
        mailbox.state.store("a@example.jp", ["bounce-hard@example.jp"], MAIL)
    assert {path.name for path in tmp_path.iterdir()} == {"mails", "index.jsonl"}
