"""Notifications in the shapes of Postfix, Exchange, Gmail, carriers and older systems; addresses are fictional."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madoguchi.adapters.delivery_status import MAX_BYTES, NotAMailError, ReadMail, Sort, read_notification
from madoguchi.domain.bounce import BounceKind, kind_of, normalised_address

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "dsn"
OURS = "0190f3a1b2c3d4e5f60718293a4b5c6d"
DOMAIN = "madoguchi.example.jp"
SAMPLES = {path.name: path.read_bytes() for path in sorted(FOLDER.glob("*.eml"))}


def read(name: str) -> ReadMail:
    return read_notification(SAMPLES[name], DOMAIN)


def read_or_code(content: bytes) -> str | None:
    """The code with which bytes are refused, or None where they are read."""
    try:
        read_notification(content, DOMAIN)
    except NotAMailError as wrong:
        return str(wrong)
    return None


@pytest.mark.parametrize(
    ("name", "action", "status", "kind"),
    [
        ("postfix_unknown_user.eml", "failed", "5.1.1", "hard"),
        ("postfix_headers_only.eml", "failed", "5.4.4", "hard"),
        ("postfix_delayed.eml", "delayed", "4.4.1", "soft"),
        ("postfix_expired.eml", "failed", "4.4.1", "soft"),
        ("postfix_mailbox_full.eml", "failed", "5.2.2", "soft"),
        ("postfix_spam_refused.eml", "failed", "5.7.1", "policy"),
        ("postfix_delivered.eml", "delivered", "2.1.5", "told"),
        ("exchange_unknown_user.eml", "failed", "5.1.10", "hard"),
        ("gmail_unknown_user.eml", "failed", "5.1.1", "hard"),
        ("carrier_unknown_user.eml", "failed", "5.0.0", "hard"),
        ("carrier_blocked_sender.eml", "failed", "5.0.0", "policy"),
        ("base64_fields.eml", "failed", "5.1.1", "hard"),
        ("text_only_return.eml", "unknown", "", "unknown"),
        ("report_without_fields.eml", "unknown", "", "unknown"),
    ],
)
def test_a_notification_names_our_message_the_recipient_and_what_happened(name, action, status, kind):
    mail = read(name)
    [said] = mail.said
    assert (mail.original, said.action, said.status, kind_of(said)) == (OURS, action, status, BounceKind(kind))
    if said.recipient:
        assert normalised_address(said.recipient) == "mihon1@example.com"


def test_several_recipients_in_one_notification_are_several_matters():
    first, second = read("postfix_two_recipients.eml").said
    assert [normalised_address(said.recipient) for said in (first, second)] == [
        "mihon1@example.com",
        "somebody@example.org",
    ]
    assert (first.status, second.status) == ("5.1.1", "5.2.1")


def test_an_address_that_breaks_the_rule_on_dots_is_recognised_in_quotes():
    [said] = read("carrier_quoted_local.eml").said
    assert normalised_address(said.recipient) == normalised_address("mihon..1.@example.com")


def test_a_forwarded_recipient_stands_beside_the_one_that_was_written_to():
    [said] = read("postfix_forwarded_elsewhere.eml").said
    assert (said.recipient, said.original) == ("elsewhere@example.org", "mihon1@example.com")


def test_a_report_that_does_not_give_our_mail_back_names_no_message():
    assert read("carrier_no_original.eml").original is None


@pytest.mark.parametrize(
    ("name", "sort"),
    [
        ("auto_reply.eml", Sort.AUTO_REPLY),
        ("ordinary_mail.eml", Sort.OTHER),
        ("read_receipt.eml", Sort.OTHER),
        ("text_only_return.eml", Sort.RETURNED),
        ("postfix_delivered.eml", Sort.REPORT),
    ],
)
def test_what_is_no_bounce_is_told_apart(name, sort):
    mail = read(name)
    assert mail.sort is sort
    assert bool(mail.said) == (sort in {Sort.REPORT, Sort.RETURNED})


def test_somebody_elses_message_id_is_none_of_ours():
    assert read_notification(SAMPLES["postfix_unknown_user.eml"], "other.example.jp").original is None


def test_a_message_id_that_our_mail_merely_quotes_is_not_taken_for_the_one_that_came_back():
    inner = SAMPLES["postfix_unknown_user.eml"]
    other = inner.replace(f"Message-ID: <{OURS}@{DOMAIN}>".encode(), b"Message-ID: <stranger@example.org>")
    quoted = other.replace(b"Auto-Submitted: auto-generated", f"X-Quoted: <{OURS}@{DOMAIN}>".encode())
    assert read_notification(quoted, DOMAIN).original is None


def test_the_same_bytes_are_the_same_notification_and_without_an_id_the_content_says_so():
    assert read("gmail_unknown_user.eml").identity == read("gmail_unknown_user.eml").identity
    nameless = SAMPLES["postfix_unknown_user.eml"].replace(b"Message-Id:", b"X-No-Id:")
    assert read_notification(nameless, DOMAIN).identity.startswith("sha256:")


def test_a_notification_without_its_end_says_so():
    cut = SAMPLES["postfix_unknown_user.eml"][:-400]
    assert not read_notification(cut, DOMAIN).is_whole
    assert all(read(name).is_whole for name in SAMPLES)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "NO_MAIL"),
        (b"\x00\xff" * 100, "NO_MAIL"),
        (b"From: a@example.jp\r\n\r\n" + b"x" * MAX_BYTES, "TOO_BIG"),
        (
            SAMPLES["postfix_unknown_user.eml"].replace(
                b"Final-Recipient:", b"Final-Recipient: rfc822; a@example.org\r\n\r\n" * 300 + b"Final-Recipient:"
            ),
            "TOO_MANY_RECIPIENTS",
        ),
    ],
)
def test_what_cannot_be_read_is_named_by_a_code(content, code):
    with pytest.raises(NotAMailError) as wrong:
        read_notification(content, DOMAIN)
    assert str(wrong.value) == code


def test_a_mail_nested_without_end_does_not_break_the_reader():
    nested = b"From: mailer-daemon@example.jp\r\n" + b"".join(
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="b{n}"\r\n\r\n--b{n}\r\n'.encode()
        for n in range(3000)
    )
    assert read_or_code(nested) in {"NOT_READABLE", None}


@given(st.sampled_from(sorted(SAMPLES)), st.integers(0, 2**32))
def test_a_damaged_notification_never_raises_anything_but_a_code(name, seed):
    chance = random.Random(seed)
    content = bytearray(SAMPLES[name])
    for _ in range(chance.randrange(1, 30)):
        at = chance.randrange(len(content))
        match chance.randrange(3):
            case 0:
                content[at] = chance.randrange(256)
            case 1:
                del content[at : at + chance.randrange(1, 60)]
            case _:
                content[at:at] = bytes(chance.choices(b'\r\n:;<>@"= \xe3\x81', k=chance.randrange(1, 20)))
        if not content:
            break
    found = read_or_code(bytes(content))
    assert found is None or found.replace("_", "").isupper(), f"seed {seed}"


def test_addresses_stay_out_of_what_a_log_would_show():
    assert "mihon1" not in repr(read("gmail_unknown_user.eml"))
