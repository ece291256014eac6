import email
import re
from dataclasses import replace
from datetime import timedelta
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madoguchi.adapters.calendar_file import session_calendar
from madoguchi.adapters.mail_message import MailBuildError, MailToMany, build_mail, encode_words
from madoguchi.domain.message import KINDS, MailKind
from madoguchi.domain.wording import addressee
from tests.adapters.mail_help import CONTEXTS, FIXTURES, JOIN_URL, MESSAGE_ID, STAMP, START, office, rendered, store


def calendar(**changes):
    values = {
        "uid": "M-7K2Q9F@madoguchi.example.jp",
        "sequence": 0,
        "method": "PUBLISH",
        "start": START,
        "end": START + timedelta(minutes=30),
        "stamp": STAMP,
        "summary": "オンライン職業相談（Zoom）",
        "description": "お電話: 047-000-0000",
        "url": JOIN_URL,
    }
    return session_calendar(**(values | changes))


ICS = calendar()
TO_EVERYBODY = {MailKind.TERMS_AMENDED, MailKind.TERMS_WITHDRAWN}
ALWAYS = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Auto-Submitted", "Content-Language"]
LINES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=150)


def build(**changes):
    values = {
        "rendered": rendered(),
        "sender": "madoguchi@example.jp",
        "sender_name": "ハローワーク松戸 マザーズコーナー",
        "recipient": "hanako@example.com",
        "message_id": MESSAGE_ID,
        "date": STAMP,
    }
    return build_mail(**(values | changes))


def read(data):
    message = email.message_from_bytes(data, policy=policy.default)
    assert not any(part.defects for part in message.walk())
    return message


def content(message, kind):
    return message.get_body((kind,)).get_content().replace("\r\n", "\n")


def golden_mail(kind):
    context, method = CONTEXTS[kind](), KINDS[kind].calendar_method
    entry = None
    if method:
        of_cancelling = {"url": "", "sequence": context.revision}
        entry = calendar(method=method, **(of_cancelling if method == "CANCEL" else {"sequence": context.revision - 1}))
    mail = store().render(kind, context, office())
    return build(rendered=mail, calendar=entry, calendar_method=method, is_bulk=kind in TO_EVERYBODY)


@pytest.mark.parametrize("kind", list(MailKind))
def test_a_mail_is_byte_for_byte_the_one_that_was_looked_at(kind):
    """After a wanted change: look at the new mail, then `python -m tests.adapters.test_mail_message` writes it."""
    assert golden_mail(kind) == (FIXTURES / f"{kind}.eml").read_bytes()


@pytest.mark.parametrize("kind", list(MailKind))
def test_the_standard_library_reads_back_what_was_said(kind):
    said = store().render(kind, CONTEXTS[kind](), office())
    message = read(golden_mail(kind))
    assert message["Subject"] == said.subject
    assert content(message, "plain") == said.text
    assert content(message, "html") == said.html
    assert [address.addr_spec for address in message["To"].addresses] == ["hanako@example.com"]
    (sender,) = message["From"].addresses
    assert sender.addr_spec == "madoguchi@example.jp"
    # Python 3.11's reader of addresses keeps the blank between two encoded words; its older one does not.
    older = email.message_from_bytes(golden_mail(kind))["From"]
    assert str(make_header(decode_header(older))) == "ハローワーク松戸 マザーズコーナー <madoguchi@example.jp>"


def test_headers_stand_once_each_in_japanese_time_and_as_machine_mail():
    message = read(build())
    assert message.keys() == [*ALWAYS, "Content-Type"]
    assert message["Date"] == "Mon, 14 Sep 2026 09:00:05 +0900"
    assert parsedate_to_datetime(message["Date"]) == STAMP
    assert message["Message-ID"] == MESSAGE_ID
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == "ja"


def test_text_comes_first_and_the_calendar_is_inside_and_attached():
    assert [part.get_content_type() for part in read(build()).walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]
    message = read(build(calendar=ICS, calendar_method="PUBLISH"))
    parts = list(message.walk())
    assert [part.get_content_type() for part in parts] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "text/calendar",
        "application/ics",
    ]
    inside, attached = parts[-2:]
    assert inside["Content-Type"].params == {"method": "PUBLISH", "charset": "utf-8"}
    assert inside["Content-Disposition"] is None
    assert attached.get_filename() == "invite.ics"
    assert inside.get_payload(decode=True) == attached.get_payload(decode=True) == ICS


def test_no_boundary_begins_with_another():
    """Readers need only compare beginnings (RFC 2046, 5.1.2): the inner one would end the outer part."""
    message = read(build(calendar=ICS))
    boundaries = [part.get_boundary() for part in message.walk() if part.is_multipart()]
    assert len(boundaries) == 2
    assert not any(a != b and a.startswith(b) for a in boundaries for b in boundaries)
    assert all(len(boundary) <= 70 for boundary in boundaries)


@pytest.mark.parametrize("calendar", [None, ICS])
def test_lines_end_in_crlf_and_none_is_too_long(calendar):
    data = build(calendar=calendar, rendered=rendered(subject="長" * 90, text="長い行" * 500 + "\n", html="<p>" * 400))
    assert data.endswith(b"\r\n")
    assert data.count(b"\n") == data.count(b"\r") == data.count(b"\r\n")
    assert max(map(len, data.split(b"\r\n"))) <= 78
    assert data.isascii()
    assert b"\r\n." not in data


def test_it_says_what_the_standard_library_would_say():
    """The oracle: the same mail from EmailMessage, compared part by part."""
    said = rendered(subject="オンライン職業相談の予約が決まりました：9月24日（木）11時00分", text="一行目\n二行目\n")
    oracle = EmailMessage(policy=policy.SMTP)
    oracle["Subject"] = said.subject
    oracle["To"] = "hanako@example.com"
    oracle.set_content(said.text)
    oracle.add_alternative(said.html, subtype="html")
    theirs, ours = read(oracle.as_bytes()), read(build(rendered=said))
    assert ours["Subject"] == theirs["Subject"]
    assert ours["To"] == theirs["To"]
    for kind in ("plain", "html"):
        assert content(ours, kind) == content(theirs, kind)


@given(LINES, st.integers(min_value=0, max_value=30))
def test_encoded_words_are_whole_characters_within_the_limits_and_come_back(text, used):
    name = "X" * used
    header = f"{name}: {encode_words(text, used + 2)}"
    lines = header.split("\r\n")
    for line in lines:
        assert len(line) <= 76
        assert line.isascii()
    for word in re.findall(r"=\?utf-8\?B\?[^?]*\?=", header):
        assert len(word) <= 75
    if used:
        parsed = email.message_from_string(header + "\r\n\r\n", policy=policy.default)
        assert parsed[name] == text or parsed[name] == text.strip()


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("hanako@example.com", "hanako@example.com"),
        ("hana+tag_1@sub.example.co.jp", "hana+tag_1@sub.example.co.jp"),
        # Given out by docomo and ezweb until 2009, against the rule on dots.
        ("a..b@docomo.ne.jp", '"a..b"@docomo.ne.jp'),
        ("hanako.@ezweb.ne.jp", '"hanako."@ezweb.ne.jp'),
        (".hanako@docomo.ne.jp", '".hanako"@docomo.ne.jp'),
    ],
)
def test_old_mobile_addresses_are_quoted(address, written):
    data = build(recipient=address)
    assert f"\r\nTo: {written}\r\n".encode() in data
    (found,) = read(data)["To"].addresses
    assert f"{found.username}@{found.domain}" == address


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "hanako",
        "hanako@",
        "@example.com",
        "hanako@localhost",
        "hanako@example..com",
        "a@example.com,b@example.com",
        "a@example.com, b@example.com",
        "a@example.com; b@example.com",
        "a@example.com b@example.com",
        "花子 <hanako@example.com>",
        "<hanako@example.com>",
        "hanako@example.com\r\nBcc: all@example.com",
        "hanako@example.com\n",
        "hana\x00ko@example.com",
        "花子@example.com",
        "hanako@例え.jp",
        "ｈanako@example.com",
        "hanako@[127.0.0.1]",
        '"hanako"@example.com',
        "a" * 65 + "@example.com",
        "a@" + "b" * 250 + ".jp",
    ],
)
def test_anything_but_one_plain_address_is_refused_and_not_quoted(recipient):
    for field in ("recipient", "sender"):
        with pytest.raises(MailBuildError, match=field) as caught:
            build(**{field: recipient})
        assert len(recipient) < 5 or recipient not in str(caught.value)


@pytest.mark.parametrize(
    "bad", ["\r", "\n", "\r\n", "\r\nBcc: all@example.com", "\x00", "\x1f", "\x7f", "\x85", "\u2028"]
)
def test_no_text_adds_a_header(bad):
    with pytest.raises(MailBuildError, match="subject"):
        build(rendered=rendered(subject=f"予約{bad}"))
    with pytest.raises(MailBuildError, match="sender_name"):
        build(sender_name=f"窓口{bad}")


@pytest.mark.parametrize("message_id", ["", "a@b", "<a@b>\r\nX: 1", "<a b@c>", "<@b>", "<a>"])
def test_a_message_id_of_another_form_is_refused(message_id):
    with pytest.raises(MailBuildError, match="message_id"):
        build(message_id=message_id)


def test_only_notices_to_everybody_are_marked_as_bulk_and_none_offers_to_unsubscribe():
    for kind in MailKind:
        message = read(golden_mail(kind))
        assert (message["Precedence"] == "bulk") is (kind in TO_EVERYBODY)
        assert not [name for name in message if name.lower().startswith("list-")]


def mail_to_many(kind, salutation="宛名のところ 様"):
    context = replace(CONTEXTS[kind](), recipient_name=salutation.removesuffix(" 様"))
    said = store().render(kind, context, office())
    return MailToMany(said, salutation, sender="madoguchi@example.jp", sender_name="ハローワーク松戸 マザーズコーナー")


NAMES = st.one_of(
    st.text(max_size=60), st.sampled_from(["A&B <b>", "山田 花子", "", "'\"", "{{ x }}", "宛名のところ", "x" * 60])
)


@given(st.sampled_from(sorted(TO_EVERYBODY)), NAMES)
@settings(max_examples=60, deadline=None)
def test_a_mail_of_which_only_the_salutation_is_filled_in_says_what_a_whole_rendering_says(kind, name):
    whole = STORE.render(kind, replace(CONTEXTS[kind](), recipient_name=name), office())
    many = MANY[kind]
    assert many.said(addressee(name)) == (whole.text, whole.html)
    spliced = many.build(salutation=addressee(name), recipient="hanako@example.com", message_id=MESSAGE_ID, date=STAMP)
    normal = build(rendered=whole, is_bulk=True)
    ours, theirs = read(spliced), read(normal)
    assert ours.items() == theirs.items()
    for part, wanted in zip(ours.walk(), theirs.walk(), strict=True):
        assert part.items() == wanted.items()
        assert part.is_multipart() or part.get_payload(decode=True) == wanted.get_payload(decode=True)
    assert spliced.endswith(b"\r\n")
    assert max(map(len, spliced.split(b"\r\n"))) <= 78
    assert spliced.count(b"\n") == spliced.count(b"\r") == spliced.count(b"\r\n")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"text": "宛 様\n宛 様\n"}, "text"),
        ({"text": "本文\n"}, "text"),
        ({"html": "<p>宛 様</p><p>宛 様</p>"}, "html"),
        ({"subject": "宛 様へ"}, "subject"),
    ],
)
def test_a_mail_that_differs_in_more_than_one_salutation_is_not_sent_to_many(changes, part):
    said = rendered(**({"text": "宛 様\n", "html": "<p>宛 様</p>"} | changes))
    with pytest.raises(MailBuildError, match=part):
        MailToMany(said, "宛 様", sender="madoguchi@example.jp", sender_name="窓口")


@pytest.mark.parametrize("recipient", ["", "a@b.jp\r\nBcc: c@d.jp", "a@b.jp, c@d.jp"])
def test_a_mail_to_many_still_has_one_recipient_each(recipient):
    with pytest.raises(MailBuildError, match="recipient"):
        MANY[MailKind.TERMS_AMENDED].build(salutation="様", recipient=recipient, message_id=MESSAGE_ID, date=STAMP)


STORE = store()
MANY = {kind: mail_to_many(kind) for kind in TO_EVERYBODY}


def test_one_message_is_always_the_same_bytes():
    assert build(calendar=ICS) == build(calendar=ICS)


if __name__ == "__main__":
    FIXTURES.mkdir(exist_ok=True)
    for each in MailKind:
        (FIXTURES / f"{each}.eml").write_bytes(golden_mail(each))
