import hashlib
from email.message import EmailMessage
from html.parser import HTMLParser

import httpx
import pytest

from madoguchi.sandbox.mailbox_server import running_mailbox
from tests.sandbox.mailbox_help import JIRO, MIKA, SENDER, Client, mail

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7*7 }}"
CALENDAR = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with running_mailbox(tmp_path_factory.mktemp("mailbox")) as mailbox:
        yield mailbox


@pytest.fixture
def mailbox(running):
    running.state.clear()
    return running


# One for all: setting up TLS, which is never used, takes longer than the request.
http = httpx.Client(trust_env=False, headers={"Connection": "close"})


def get(mailbox, path, **more):
    return http.get(mailbox.url + path, **more)


def stored(mailbox, content, recipient=MIKA):
    return mailbox.state.store(SENDER, [recipient], content)[0].file


def booking_mail(
    subject="【確定】オンライン相談の予約", text="ご予約ありがとうございます。\nhttps://zoom.example.jp/j/1?pwd=a&x=1\n"
):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, MIKA, subject
    message["Message-ID"] = "<1@example.jp>"
    message.set_content(text)
    message.add_alternative("<p>ご予約<b>ありがとう</b>ございます。</p>" + ATTACK, subtype="html")
    message.add_attachment(CALENDAR.encode(), "text", "calendar", filename="../予約.ics", params={"method": "PUBLISH"})
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_list_shows_the_newest_first_and_pages(mailbox):
    for number in range(51):
        stored(mailbox, mail(number, subject=f"subject-{number:02d}"))
    first, second = get(mailbox, "/").text, get(mailbox, "/?page=2").text
    assert first.index("subject-50") < first.index("subject-49") < first.index("subject-01")
    assert "subject-00" not in first
    assert "subject-00" in second
    assert "51通" in first
    for odd in ("0", "-1", "x", "99", "²", "9" * 40):
        assert get(mailbox, f"/?page={odd}").status_code == 200


def test_an_empty_mailbox_says_so(mailbox):
    assert "まだ届いていません" in get(mailbox, "/").text


def test_a_mail_that_arrived_twice_is_marked(mailbox):
    stored(mailbox, mail(1))
    assert "通届いています" not in get(mailbox, "/").text
    stored(mailbox, mail(1), JIRO)
    assert "通届いています" not in get(mailbox, "/").text
    stored(mailbox, mail(1))
    assert get(mailbox, "/").text.count("同じメールが2通届いています") == 2


def test_a_mail_is_shown_with_headers_text_html_and_calendar(mailbox):
    file = stored(mailbox, booking_mail())
    page = get(mailbox, f"/mails/{file}")
    assert "【確定】オンライン相談の予約" in page.text
    assert "ご予約ありがとうございます。" in page.text
    assert MIKA in page.text
    assert "Message-ID" in page.text
    tags = Tags(page.text).found
    frames = [attributes for tag, attributes in tags if tag == "iframe"]
    assert [(f["sandbox"], f["src"]) for f in frames] == [(None, f"/mails/{file}/html")]
    links = [attributes["href"] for tag, attributes in tags if tag == "a"]
    assert "https://zoom.example.jp/j/1?pwd=a&x=1" in links
    calendar = get(mailbox, f"/mails/{file}/parts/1")
    assert calendar.content == CALENDAR.encode()
    assert calendar.headers["content-type"] == "text/calendar; charset=utf-8"
    assert calendar.headers["content-disposition"] == f'attachment; filename="{file[:-4]}-1.ics"'


def test_the_raw_download_is_what_came_in(mailbox):
    with Client(mailbox) as client:
        client.deliver(content := booking_mail())
    entry = mailbox.state.entries()[0]
    raw = get(mailbox, f"/mails/{entry.file}/raw")
    assert raw.content == content
    assert hashlib.sha256(raw.content).hexdigest() == entry.sha256
    assert raw.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize("where", ["subject", "text", "header", "filename", "recipient"])
def test_hostile_content_stays_text(mailbox, where):
    encoded = ATTACK.encode()
    head = b"Subject: " + (encoded if where == "subject" else b"x") + b"\r\n"
    if where == "header":
        head += b"X-" + ATTACK.replace(" ", "").encode() + b": " + encoded + b"\r\n"
    if where == "filename":
        head += b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=" + b"<script>.pdf\r\n"
    recipient = '"<script>"@example.com' if where == "recipient" else MIKA
    file = stored(mailbox, head + b"\r\n" + (encoded if where == "text" else b"y") + b"\r\n", recipient)
    for path in ("/", f"/mails/{file}"):
        page = get(mailbox, path).text
        tags = Tags(page).found
        assert not [tag for tag, _ in tags if tag in {"script", "img"}], path
        assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    assert where not in {"subject", "text"} or "{{ 7*7 }}" in get(mailbox, f"/mails/{file}").text


def test_pages_load_nothing_from_elsewhere_and_frames_run_nothing(mailbox):
    file = stored(mailbox, booking_mail())
    for path in ("/", f"/mails/{file}"):
        policy = get(mailbox, path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "frame-ancestors 'none'" in policy
    frame = get(mailbox, f"/mails/{file}/html")
    policy = [part.strip() for part in frame.headers["content-security-policy"].split(";")]
    assert "sandbox" in policy
    assert "default-src 'none'" in policy
    assert "img-src data:" in policy
    for path in ("/", f"/mails/{file}", f"/mails/{file}/html", f"/mails/{file}/raw", "/style.css"):
        assert get(mailbox, path).headers["x-content-type-options"] == "nosniff"
        assert get(mailbox, path).headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"no header at all",
        b"\xff\xfe\x00\r\n\r\n\x00\x01",
        b"Subject: =?utf-8?b?!!!?=\r\n\r\n",
        b"Subject: =?nonsense?q?a?=\r\n\r\n",
        b"Subject: =?utf-8?b?7aCA?=\r\n\r\n",
        b"Subject: \xe4\xba\x88\xe7\xb4\x84\r\n\r\n",
        b"Content-Type: text/plain; charset=nonsense\r\n\r\n\x93\xfa",
        b"Content-Type: text/html; charset=iso-2022-jp\r\n\r\n\x1b$B\xff",
        b'Content-Type: text/plain; charset="utf-8\0"\r\n\r\nx',
        b"Content-Type: text/plain; charset*=bad''%ff\r\n\r\nx",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!",
        b"Content-Type: text/plain; charset=base64\r\n\r\nx",
        b"Content-Type: multipart/mixed\r\n\r\n--x\r\n",
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n--a\r\n\r\n--a--\r\n",
        b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nx",
        b"Content-Disposition: attachment; filename*=utf-8''%ff%fe\r\n\r\nx",
        b"Content-Disposition: attachment; filename*0*=nonsense'ja'%81; filename*1=b\r\n\r\nx",
        b"Content-Type: text/plain; charset=idna\r\n\r\n" + b"\xc3" * 100,
    ],
)
def test_no_mail_is_too_odd_to_be_shown(mailbox, content):
    file = stored(mailbox, content)
    for path in ("/", f"/mails/{file}", f"/mails/{file}/raw", "/sandbox/messages"):
        assert get(mailbox, path).status_code == 200, path
    assert get(mailbox, f"/mails/{file}/html").status_code in {200, 404}


@pytest.mark.parametrize(
    "path", ["/mails/x", "/mails/..%2Findex.jsonl", "/mails/{file}/parts/9", "/mails/{file}/html", "/mails/x/raw", "/x"]
)
def test_what_is_not_there_is_not_found(mailbox, path):
    file = stored(mailbox, mail())
    assert get(mailbox, path.format(file=file)).status_code == 404


def test_messages_are_listed_and_deleted_by_program(mailbox):
    with Client(mailbox) as client:
        client.deliver(mail(1, subject="=?utf-8?b?5LqI57SE?="))
        client.deliver(mail(2), recipient=JIRO)
    listed = get(mailbox, "/sandbox/messages").json()
    assert [(m["message_id"], m["to"], m["subject"]) for m in listed] == [
        ("<1@example.jp>", MIKA, "予約"),
        ("<2@example.jp>", JIRO, "�" * 6),
    ]
    assert {"file", "received_at", "sha256"} < set(listed[0])
    assert http.delete(f"{mailbox.url}/sandbox/messages").json() == {"deleted": 2}
    assert get(mailbox, "/sandbox/messages").json() == []


def test_it_says_what_it_is_to_this_machine_only(mailbox):
    assert get(mailbox, "/sandbox/identity").json()["product"] == "madoguchi-sandbox-mailbox"
    for path in ("/", "/sandbox/messages", "/sandbox/faults", "/sandbox/identity"):
        assert get(mailbox, path, headers={"Host": "attacker.example.com"}).status_code == 400
