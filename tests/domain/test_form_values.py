"""Single cells, as people type them and as spreadsheets turn them."""
# ruff: noqa: DTZ001 — cells of a spreadsheet have no zone

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from madoguchi.domain.form_values.choices import read_companion, read_consent, read_registration, read_topics
from madoguchi.domain.form_values.dates import read_date
from madoguchi.domain.form_values.job_seeker_number import masked, read_job_seeker_number
from madoguchi.domain.form_values.mail_address import read_mail_address
from madoguchi.domain.form_values.names import read_name
from madoguchi.domain.form_values.submission import read_submitted_at
from madoguchi.domain.form_values.telephone import read_telephone
from madoguchi.domain.form_values.text import is_blank, is_formula_start, katakana, list_items
from madoguchi.domain.form_values.times import read_time
from madoguchi.domain.form_values.wishes import read_wishes
from madoguchi.domain.office import JST

SUBMITTED = date(2026, 9, 10)
KNOWN = frozenset({"gmail.com", "yahoo.co.jp", "docomo.ne.jp", "au.com", "softbank.ne.jp", "icloud.com", "outlook.jp"})


def told(reading):
    return (reading.reasons or (reading.value,))[0]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (9999990000001, "99999-90000001"),
        (9999990000001.0, "99999-90000001"),
        (99999.5, "NUMBER_AMBIGUOUS"),
        (True, "NUMBER_INVALID"),
        (None, "MISSING_NUMBER"),
        ("－", "MISSING_NUMBER"),
        ("なし", "MISSING_NUMBER"),
        ("わかりません", "NUMBER_INVALID"),
        ("ハローワークカードの99999ｰ90000031です", "99999-90000031"),
        ("99999 - 90000031", "99999-90000031"),
        ("99999 90000031", "99999-90000031"),
        ("99999-9000-0031", "NUMBER_AMBIGUOUS"),
        ("99999-90000031、99999-90000032", "NUMBER_AMBIGUOUS"),
        ("99999--90000031", "NUMBER_AMBIGUOUS"),
        ("１.0E+13", "NUMBER_PRECISION_LOST"),
        ("12345", "NUMBER_INVALID"),
        ("12345678901234", "NUMBER_INVALID"),
        pytest.param(10**5000, "NUMBER_INVALID", id="a number too long to print"),
        (float("inf"), "NUMBER_INVALID"),
    ],
)
def test_a_number_is_read_or_goes_to_a_person(cell, expected):
    assert told(read_job_seeker_number(cell)) == expected


def test_a_short_number_is_kept_and_remarked():
    reading = read_job_seeker_number("99999-12")
    assert (reading.value, reading.flags) == ("99999-12", ("NUMBER_SHORT",))


def test_a_masked_number_does_not_tell_whose_it_is():
    assert masked("99999-90000001") == "99999-****0001"
    assert masked("99999-4567") == "99999-****"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2026-09-24", "2026-09-24"),
        ("2026年 9月 24日 木曜日", "2026-09-24"),
        ("2026/9/24(Thu)", "2026-09-24"),
        ("2026/9/24 (木)", "2026-09-24"),
        ("2026/9/21(月・祝)", "2026-09-21"),
        ("9－24", "2026-09-24"),
        ("令8年9月24日", "DATE_INCOMPLETE"),
        ("平成31年4月30日", "2019-04-30"),
        ("平成38年9月24日", "DATE_AMBIGUOUS"),
        ("令和0年9月24日", "INVALID_DATE"),
        ("8年9月24日", "DATE_AMBIGUOUS"),
        ("26/9/24", "DATE_AMBIGUOUS"),
        ("9.24", "DATE_AMBIGUOUS"),
        ("0924", "DATE_AMBIGUOUS"),
        ("9/24か9/25", "DATE_AMBIGUOUS"),
        ("9/24〜9/26", "DATE_AMBIGUOUS"),
        ("2026/02/30", "INVALID_DATE"),
        ("2/29", "YEAR_AMBIGUOUS"),
        ("9/10", "2026-09-10"),
        ("9/9", "YEAR_AMBIGUOUS"),
        ("0001/01/01", "INVALID_DATE"),
        ("9月中", "DATE_INCOMPLETE"),
        ("いつでも", "DATE_INCOMPLETE"),
        ("12345", "DATE_AMBIGUOUS"),
        (46289, "2026-09-24"),
        (46289.0, "2026-09-24"),
        (20260924, "2026-09-24"),
        (date(2026, 9, 24), "2026-09-24"),
        (datetime(2026, 9, 24, 11, 0), "2026-09-24"),
        (datetime(2026, 9, 23, 16, 0, tzinfo=UTC), "2026-09-24"),
        (datetime(1, 1, 1, tzinfo=UTC), "INVALID_DATE"),
        (time(11), "DATE_INCOMPLETE"),
        (True, "DATE_INCOMPLETE"),
        (float("nan"), "DATE_INCOMPLETE"),
    ],
)
def test_a_date_is_read_or_goes_to_a_person(cell, expected):
    reading = read_date(cell, reference=SUBMITTED, year_guess_days=92)
    assert (reading.reasons or (str(reading.day),))[0] == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("正午", "12:00"),
        ("午後13時", "13:00"),
        ("午前13時", "TIME_AMBIGUOUS"),
        ("午前12時", "TIME_AMBIGUOUS"),
        ("午後12時30分", "TIME_AMBIGUOUS"),
        ("午後0時30分", "12:30"),
        ("12:30:00 午後", "12:30"),
        ("1:30:00 午後", "13:30"),
        ("12:30 PM", "12:30"),
        ("12:00 AM", "TIME_AMBIGUOUS"),
        ("午前11:00 PM", "TIME_AMBIGUOUS"),
        ("午前11", "11:00"),
        ("11", "TIME_AMBIGUOUS"),
        ("11.30", "TIME_AMBIGUOUS"),
        ("01:30", "TIME_AMBIGUOUS"),
        ("0130", "TIME_AMBIGUOUS"),
        ("11:5", "TIME_FREE_TEXT"),
        ("25時", "TIME_FREE_TEXT"),
        ("11:60", "TIME_FREE_TEXT"),
        ("13:00頃", "TIME_FREE_TEXT"),
        ("11:00または13:00", "TIME_FREE_TEXT"),
        ("13:00から", "13:00"),
        ("13時から13時30分まで", "13:00"),
        ("午後2時30分～3時", "14:30"),
        ("12:30～1:00", "12:30"),
        ("1:00～1:30", "TIME_AMBIGUOUS"),
        ("13:00～13:15", "TIME_AMBIGUOUS"),
        ("13:00～11:00", "TIME_AMBIGUOUS"),
        ("11:00ー11:30", "11:00"),
        ("11:00:00", "11:00"),
        ("①11:00", "TIME_FREE_TEXT"),  # the mark is taken off by the reader of wishes
        (time(11, 0), "11:00"),
        (time(10, 59, 59, 999999), "11:00"),
        (time(1, 30), "TIME_AMBIGUOUS"),
        (time(23, 59, 59), "00:00"),
        (datetime(1899, 12, 30, 13, 30), "13:30"),
        (0.4583333333, "11:00"),
        (46289.5625, "13:30"),
        (1100, "11:00"),
        (11, "TIME_AMBIGUOUS"),
        (11.5, "TIME_AMBIGUOUS"),
        (date(2026, 9, 24), "TIME_FREE_TEXT"),
        (True, "TIME_FREE_TEXT"),
        (float("inf"), "TIME_FREE_TEXT"),
        (-0.5, "TIME_FREE_TEXT"),
    ],
)
def test_a_time_is_read_or_goes_to_a_person(cell, expected):
    reading = read_time(cell)
    assert (reading.reasons or (reading.value.strftime("%H:%M"),))[0] == expected


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([("9/24", "11:00")], ["09-24 11:00"]),
        ([("9/24 11:00", "")], ["09-24 11:00"]),
        ([("2026-09-24T11:00", None)], ["09-24 11:00"]),
        ([("", "9/24 11:00")], ["09-24 11:00"]),
        ([("9/24 11:00", "11:00")], ["09-24 11:00"]),
        ([("9/24 11:00", "13:00")], ["TIME_AMBIGUOUS"]),
        ([("9/24以降", "13:00")], ["DATE_AMBIGUOUS"]),
        ([("9/24", "")], ["MISSING_DATETIME"]),
        ([("", "11:00")], ["MISSING_DATETIME"]),
        ([("来週の水曜 11時ごろ", "")], ["DATE_INCOMPLETE"]),
        ([("", ""), ("9/25", "13:00")], ["2: 09-25 13:00"]),
        ([("①9/24 11:00", "")], ["09-24 11:00"]),
        ([("①9/24②9/25", "11:00")], ["09-24 11:00", "2: 09-25 11:00"]),
        ([("①9/24②9/25", "①11:00②13:00")], ["09-24 11:00", "2: 09-25 13:00"]),
        ([("9/24", "①11:00②13:00")], ["09-24 11:00", "2: 09-24 13:00"]),
        ([("❶9/24 11:00 ❷9/25 13:00", "")], ["09-24 11:00", "2: 09-25 13:00"]),
        ([("①9/24②9/25", "①11:00②13:00③14:00")], ["DATE_INCOMPLETE"]),
        ([("9/24①11:00②13:00", "")], ["DATE_INCOMPLETE"]),
        ([(datetime(2026, 9, 24), time(11))], ["09-24 11:00"]),
        ([(datetime(2026, 9, 24, 11, 0), None)], ["09-24 11:00"]),
        ([(datetime(2026, 9, 24, 11, 0), time(13))], ["TIME_AMBIGUOUS"]),
        ([(46289.4583333333, "")], ["09-24 11:00"]),
        ([(46289, 0.4583333333)], ["09-24 11:00"]),
        ([("ー", "なし")], []),
    ],
)
def test_wishes_are_read_from_one_cell_two_cells_and_lists(cells, expected):
    found = []
    for wish in read_wishes(cells, reference=SUBMITTED, year_guess_days=92):
        told = wish.reasons[0] if wish.reasons else f"{wish.start:%m-%d %H:%M}"
        found.append(told if wish.preference == 1 else f"{wish.preference}: {told}")
    assert found == expected


def test_enclosed_numbers_are_list_marks_only_in_company():
    assert list_items("⑬時") is None
    assert list_items("①9/29 ②9/30") == ["9/29 ", "9/30"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rei@gmail.com", "rei@gmail.com"),
        ("rei@yahoo.com", "rei@yahoo.com"),
        ("rei@gmial.com", "EMAIL_SUSPECT_TYPO"),
        ("rei@gmai.com", "EMAIL_SUSPECT_TYPO"),
        ("rei@gmaill.com", "EMAIL_SUSPECT_TYPO"),
        ("rei@example.ner", "EMAIL_SUSPECT_TYPO"),
        ("rei@example.co.jo", "EMAIL_SUSPECT_TYPO"),
        ("rei@mail.com", "rei@mail.com"),
        ("rei@ab.com", "rei@ab.com"),
        ("rei@company.example.com", "rei@company.example.com"),
        ("rei@example", "EMAIL_INVALID"),
        ("rei@example.invalid", "EMAIL_INVALID"),
        ("礼@example.jp", "EMAIL_INVALID"),
        ("<rei@example.jp>", "EMAIL_INVALID"),
        ("rei@example.jp\nrei@example.com", "EMAIL_MULTIPLE"),
        ("rei@example.jp rei@example.com", "EMAIL_MULTIPLE"),
        (f"{'a' * 65}@example.jp", "EMAIL_INVALID"),
        ("rei.@gmail.com", "EMAIL_NON_RFC"),
        ("", None),
        ("なし", None),
        (123, "EMAIL_INVALID"),
    ],
)
def test_an_address_is_read_or_goes_to_a_person(text, expected):
    def is_valid(address):
        local, _, domain = address.rpartition("@")
        return len(local) <= 64 and "." in domain and not domain.endswith(".invalid")

    assert told(read_mail_address(text, known_domains=KNOWN, address_is_valid=is_valid)) == expected


@pytest.mark.parametrize("text", ["\u00a0rei@example.jp ", "rei@EXAMPLE.jp", "rei＠example．jp", "rei@example｡jp"])
def test_a_mended_address_says_so(text):
    reading = read_mail_address(text, known_domains=KNOWN, address_is_valid=lambda _: True)
    assert (reading.value, reading.flags) == ("rei@example.jp", ("EMAIL_NORMALISED",))


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("090-0000-0001", "09000000001"),
        ("+81 90-0000-0001", "09000000001"),
        ("+81(0)90-0000-0001", "09000000001"),
        (9000000001, "09000000001"),
        (9000000001.0, "09000000001"),
        ("470000001", "0470000001"),
        ("47-000-0001", None),
        ("090-0000-0001 / 047-000-0001", "09000000001"),
        ("不明", None),
        ("なし", None),
    ],
)
def test_a_telephone_number_keeps_or_regains_its_zero(cell, expected):
    assert read_telephone(cell).value == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("見本\u3000\n 花子", "見本 花子"),
        ("\u202e見本", "見本"),
        ("葛\U000e0100飾", "葛\U000e0100飾"),
        ("\ufa19例", "\ufa19例"),
        ("ﾐﾎﾝ", "ﾐﾎﾝ"),
        ("ー", "MISSING_NAME"),
        ("\u200b", "MISSING_NAME"),
        ("\ue000例", "NAME_LOSSY"),
        ("例〓", "NAME_LOSSY"),
        ("例\ufffd", "NAME_LOSSY"),
        ("&#134047;例", "NAME_LOSSY"),
        ("見本\x07", "NAME_LOSSY"),
    ],
)
def test_a_name_is_changed_in_nothing_that_can_be_seen(text, expected):
    assert told(read_name(text)) == expected


@pytest.mark.parametrize(("text", "expected"), [("ﾀﾞｲｺﾞ", "ダイゴ"), ("か\u3099", "ガ"), ("塚 ハナ", "塚 ハナ")])
def test_a_reading_becomes_full_width_katakana(text, expected):
    assert katakana(text) == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2026/09/11 12:20:00 午後 GMT+9", "2026-09-11T12:20:00+09:00"),
        ("2026/09/11 0:03:10 午前 GMT+9", "2026-09-11T00:03:10+09:00"),
        ("2026/09/11 12:03:10 午前 GMT+9", "2026-09-11T00:03:10+09:00"),
        ("2026/09/11 19:41:41", "2026-09-11T19:41:41+09:00"),
        ("2026/9/11 9:02", "2026-09-11T09:02:00+09:00"),
        ("2026-09-11T00:41:41Z", "2026-09-11T09:41:41+09:00"),
        ("2026-09-11T00:41:41.123+00:00", "2026-09-11T09:41:41+09:00"),
        ("2026/09/11 3:00:00 午後 GMT-8", "2026-09-12T08:00:00+09:00"),
        ("2026年9月11日 9時02分", "2026-09-11T09:02:00+09:00"),
        (datetime(2026, 9, 11, 9, 2), "2026-09-11T09:02:00+09:00"),
        (datetime(2026, 9, 11, 0, 2, tzinfo=UTC), "2026-09-11T09:02:00+09:00"),
        (46276.5, "2026-09-11T12:00:00+09:00"),
        ("46276.5", "2026-09-11T12:00:00+09:00"),
        ("11/09/2026 09.02", "2026-09-11T09:02:00+09:00"),
        ("2026/09/31 9:00", None),
        ("2026/09/11 13:00 午後", None),
        ("2026/09/11 9:00 GMT+99", None),
        ("2026/09/11", None),
        ("きのう", None),
        ("", None),
        (True, None),
        (time(9), None),
        (float("nan"), None),
        (datetime(1, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo")), None),
    ],
)
def test_the_moment_of_submission_is_read(cell, expected):
    found = read_submitted_at(cell, zone=JST, formats=("%d/%m/%Y %H.%M",))
    assert (found and found.isoformat(timespec="seconds")) == expected


def test_an_export_in_another_zone_is_read_in_its_own():
    found = read_submitted_at("2026/09/13 16:00", zone=UTC)
    assert found == datetime(2026, 9, 14, 1, 0, tzinfo=JST)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ハローワーク利用登録者", "user"),
        ("オンライン登録者", "online"),
        ("未登録", "none"),
        ("登録していません", "none"),
        ("わからない", "unsure"),
        ("", ""),
        ("その他", "other"),
    ],
)
def test_the_registration_is_read(text, expected):
    assert read_registration(text).value == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("同意します", "given"),
        ("確認し、同意します", "given"),
        ("はい", "given"),
        ("1", "given"),
        ("", "deemed"),
        ("ー", "deemed"),
        ("あとで", "deemed"),
        ("同意しない", "refused"),
        ("同意いたしません", "refused"),
        ("同意しかねます", "refused"),
        ("不同意", "refused"),
        ("いいえ", "refused"),
    ],
)
def test_only_an_explicit_refusal_is_a_refusal(text, expected):
    assert read_consent(text).value == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("なし", None), ("", None), ("あり", "あり"), ("あり：通訳1名", "通訳1名"), ("なし(電話のみ)", "なし(電話のみ)")],
)
def test_a_companion_is_kept_in_the_applicants_words(text, expected):
    assert read_companion(text).value == expected


def test_topics_are_split_and_blanks_dropped():
    assert read_topics("求人の相談;応募書類の添削;", (";", ", ")) == ("求人の相談", "応募書類の添削")
    assert read_topics("求人の相談, 応募書類の添削", (";", ", ")) == ("求人の相談", "応募書類の添削")
    assert read_topics("-", (";",)) == ()


@pytest.mark.parametrize("text", ["=1", "＝1", "+1", "＋1", "@a", "＠a", "\t1", "\r1", " =1", "\u3000＝1", "\u200b=1"])
def test_a_formula_is_seen_behind_blanks_and_in_full_width(text):
    assert is_formula_start(text)


@pytest.mark.parametrize("text", ["", "-", "- 箇条書き", "見本", "1+1", "a=b"])
def test_ordinary_text_is_no_formula(text):
    assert not is_formula_start(text)


@pytest.mark.parametrize("text", ["", " ", "\u3000", "-", "ー", "－", "\u200b", "\u00a0", "――"])
def test_a_lone_dash_says_as_little_as_a_blank(text):
    assert is_blank(text)
