import base64
import logging
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madoguchi.adapters import log_redaction
from madoguchi.adapters.log_redaction import RedactionFilter, install, redact, register_secret

MASKED = [
    ("mail to taro.yamada@example.jp failed", "mail to [mail] failed"),
    ("rejected: <a..b.@docomo.example.jp>", "rejected: <[mail]>"),
    ('"two words"@example.jp', "[mail]"),
    ("ｔａｒｏ＠example.jp", "[mail]"),
    ("https://api.zoom.us/v2/users/host-1%40example.jp/meetings", "https://api.zoom.us/v2/users/[mail]/meetings"),
    ("tel 090-1234-5678", "tel [tel]"),
    ("０９０－１２３４－５６７８", "[tel]"),
    ("090ー1234ー5678", "[tel]"),
    ("09012345678", "[tel]"),
    ("(047)367-0000", "[tel]"),
    ("047(367)0000", "[tel]"),
    ("０４７（３６７）００００", "[tel]"),
    ("03 1234 5678", "[tel]"),
    ("+81 90-1234-5678", "[tel]"),
    ("+81(0)90-1234-5678", "[tel]"),
    ("9012345678", "[tel]"),
    ("12010-1234567", "[number]"),
    ("１２０１０－１２３４５６７８", "[number]"),
    ("1201012345678", "[number]"),
    ("https://us02web.zoom.us/j/85746065432?pwd=abc.1 for you", "[join-url] for you"),
    ("http://127.0.0.1:4281/j/123?pwd=abc", "[join-url]"),
    ("zoommtg://zoom.us/join?confno=1&pwd=2", "[join-url]"),
    ("{'passcode': '123 456', 'id': 1}", "{'passcode': [secret], 'id': 1}"),
    ("パスコード：a1B2c3", "パスコード：[secret]"),
    ("?pwd=abc&x=1", "?pwd=[secret]&x=1"),
    ("Authorization: Bearer abc.def-ghi", "[secret]"),
    ("'authorization': 'Basic YWJjOmRlZg=='", "'[secret]'"),
    ("sent Bearer abcdefgh", "sent [secret]"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "[secret]"),
    ("postgresql://u:p@host/db", "postgresql://[login]@host/db"),
]

KEPT = [
    "M-7K2Q9F confirmed, revision 2",
    "2026-11-22T09:00:00.123456+09:00",
    "2026-11-22 09:00:00,123",
    "20261122T090000Z",
    "took 0:00:01.234567",
    "created 12 of 30, 0 rejected",
    "http://127.0.0.1:4200/api",
    "https://api.zoom.us/v2/meetings/85746065432",
    "flow run 01234567-0901-2345-6789-090123456789",
    "terms a0901234567890123456789012345678901234567890123456789012345678f",
    "reception 08:30-17:15",
    "Basic authentication is not used",
    'File "/srv/madoguchi/x.py", line 12, in run',
    "port 4281 is taken, using 35421",
    "in 0.25 s at 20 per second",
]


@pytest.mark.parametrize(("text", "expected"), MASKED)
def test_what_is_personal_or_secret_is_masked(text, expected):
    assert redact(text) == expected


@pytest.mark.parametrize("text", KEPT)
def test_what_staff_need_to_follow_a_case_is_kept(text):
    assert redact(text) == text


@pytest.mark.parametrize("text", [text for text, _ in MASKED] + KEPT)
def test_masking_twice_changes_nothing_more(text):
    assert redact(redact(text)) == redact(text)


def wide(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


local = st.from_regex(r"[a-z0-9][a-z0-9._+\-]{0,20}[a-z0-9.]", fullmatch=True)
mails = st.builds(lambda name, host: f"{name}@{host}", local, st.sampled_from(["example.jp", "mail.example.com"]))
digits = st.integers(0, 9).map(str)
hyphens = st.sampled_from(["-", "－", "ー", "‐", "−", " ", "　", "."])


def grouped(sizes, head):
    """A number in groups of these sizes, joined by one kind of hyphen, perhaps all in full width."""
    body = st.lists(digits, min_size=sum(sizes), max_size=sum(sizes)).map("".join)

    def build(number, gap, is_wide):
        number = head + number[len(head) :]
        parts, at = [], 0
        for size in sizes:
            parts.append(number[at : at + size])
            at += size
        text = gap.join(parts)
        return wide(text) if is_wide else text

    return st.builds(build, body, hyphens | st.just(""), st.booleans())


phones = st.one_of(
    grouped((3, 4, 4), "090"), grouped((3, 4, 4), "080"), grouped((3, 4, 4), "050"), grouped((3, 3, 4), "047"),
    grouped((2, 4, 4), "03"), grouped((4, 2, 4), "0470"), grouped((5, 1, 4), "04998"), grouped((4, 3, 3), "0120"),
)  # fmt: skip
numbers = st.builds(
    lambda left, gap, right: f"{left}{gap}{right}",
    st.from_regex(r"[0-9]{5}", fullmatch=True),
    st.sampled_from(["-", "－", "ー"]),
    st.from_regex(r"[0-9]{1,8}", fullmatch=True),
)
before = st.sampled_from(["", "to ", "連絡先は", "（", "{'value': '", "tel:", "\n", "番号＝", "x="])
after = st.sampled_from(["", " failed", "です。", "）", "'}", "\n", "、", ";"])


def plain(text: str) -> str:
    return re.sub(r"\D", "", unicodedata.normalize("NFKC", text))


@given(before, mails, after)
def test_no_mail_address_survives(head, mail, tail):
    masked = redact(head + mail + tail)
    assert mail.split("@")[0] not in masked.replace("mail", "").replace(head, "", 1) or len(mail.split("@")[0]) < 3
    assert "@" not in masked
    assert "example" not in masked


@given(before, phones | numbers, after)
def test_no_telephone_or_job_seeker_number_survives(head, number, tail):
    masked = redact(head + number + tail)
    assert plain(masked) == "", (head + number + tail, masked)


@given(before, phones | numbers | mails, after)
def test_nothing_survives_in_a_record_wherever_it_stands(head, value, tail):
    try:
        int(head + value + tail + "!")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "step %s of %r", (value, [value]), info)
    assert RedactionFilter().filter(record) is True
    text = logging.Formatter("%(message)s").format(record)
    assert value not in text
    assert "Traceback" in text
    assert record.args is None
    assert record.exc_info is None


@given(st.text(max_size=300))
def test_any_text_can_be_masked(text):
    redact(text)


@pytest.mark.slow
def test_a_long_line_without_blanks_costs_little():
    redact("a" * 200_000)
    redact("0" * 200_000)
    redact("0-" * 100_000)


def test_a_wrong_placeholder_loses_neither_the_line_nor_its_arguments_to_the_reader():
    record = logging.LogRecord("x", logging.INFO, __file__, 7, "%d done", ("taro@example.jp",), None)
    assert RedactionFilter().filter(record) is True
    assert record.getMessage() == "a log line of x, line 7, could not be formatted"


@pytest.fixture
def no_registered_secrets(monkeypatch):
    monkeypatch.setattr(log_redaction, "_registered", frozenset())


@pytest.mark.usefixtures("no_registered_secrets")
def test_a_registered_secret_is_masked_in_every_form_it_travels_in():
    register_secret("pa ss/wörd")
    for form in (
        "pa ss/wörd",
        "pa%20ss%2Fw%C3%B6rd",
        "pa+ss%2Fw%C3%B6rd",
        base64.b64encode("pa ss/wörd".encode()).decode(),
    ):
        assert redact(f"<{form}>") == "<[secret]>"


@pytest.mark.usefixtures("no_registered_secrets")
def test_a_short_secret_is_not_registered_because_it_would_mask_everything():
    register_secret("a")
    register_secret("")
    assert redact("a banana") == "a banana"


def test_installing_twice_puts_one_filter_on_each_root_handler():
    root = logging.getLogger()
    present = root.handlers[:]
    handler = logging.StreamHandler()
    root.handlers[:] = [handler]
    try:
        install()
        install()
        assert [type(each) for each in handler.filters] == [RedactionFilter]
        root.handlers[:] = []
        install()
        assert len(root.handlers) == 1
        assert [type(each) for each in root.handlers[0].filters] == [RedactionFilter]
    finally:
        root.handlers[:] = present
