from datetime import UTC, date, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madoguchi.domain import wording
from madoguchi.domain.office import JST, OpeningHours


@pytest.mark.parametrize(
    ("day", "said"),
    [
        (date(2026, 9, 24), "令和8年"),
        (date(2019, 5, 1), "令和元年"),  # the first day of the era
        (date(2019, 4, 30), "平成31年"),  # the last day of the one before
        (date(1989, 1, 8), "平成元年"),
        (date(2020, 1, 1), "令和2年"),
    ],
)
def test_the_year_of_the_era_changes_on_its_day(day, said):
    assert wording.era_year(day) == said


def test_an_era_that_nobody_needs_is_an_error_and_not_a_guess():
    with pytest.raises(ValueError, match="1989"):
        wording.era_year(date(1989, 1, 7))


def test_a_long_date_says_both_years_and_the_weekday():
    assert wording.long_date(date(2026, 9, 24)) == "令和8年（2026年）9月24日（木曜日）"


@pytest.mark.parametrize(
    ("clock", "said"),
    [
        (time(11, 0), "午前11時00分"),
        (time(9, 5), "午前9時05分"),
        (time(0, 0), "午前0時00分"),
        (time(12, 0), "午後0時00分（12時00分）"),  # 午後12時 is read both ways
        (time(12, 30), "午後0時30分（12時30分）"),
        (time(13, 0), "午後1時00分"),
        (time(14, 30), "午後2時30分"),
    ],
)
def test_times_are_said_with_morning_or_afternoon(clock, said):
    assert wording.long_time(datetime.combine(date(2026, 9, 24), clock, JST)) == said


def test_every_form_of_a_start_is_in_japan_whatever_zone_it_comes_in():
    start = datetime(2026, 9, 24, 2, 0, tzinfo=UTC)
    assert wording.long_start(start) == "令和8年（2026年）9月24日（木曜日）午前11時00分"
    assert wording.short_start(start) == "9月24日（木）11時00分"
    # 15:30 UTC is the next day in Japan.
    assert wording.short_start(datetime(2026, 9, 24, 15, 30, tzinfo=UTC)) == "9月25日（金）0時30分"


@pytest.mark.parametrize("form", [wording.long_time, wording.short_time, wording.long_start, wording.short_start])
def test_a_time_without_a_zone_is_refused(form):
    with pytest.raises(ValueError, match="aware"):
        form(datetime(2026, 9, 24, 11, 0))  # noqa: DTZ001 — that is the mistake


def test_weekly_hours_say_the_last_start():
    weekdays = {day: OpeningHours(time(11), time(15)) for day in range(5)}
    assert wording.session_hours(weekdays) == "平日 11時00分から15時00分まで（最後の開始は14時30分）"
    mixed = {
        0: OpeningHours(time(11), time(15)),
        2: OpeningHours(time(11), time(15)),
        3: OpeningHours(time(9), time(12)),
    }
    assert wording.session_hours(mixed) == (
        "月・水曜日 11時00分から15時00分まで（最後の開始は14時30分）、"
        "木曜日 9時00分から12時00分まで（最後の開始は11時30分）"
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("山田 花子", "山田 花子"),
        ("  山田 \n 花子 ", "山田 花子"),
        ("予約\r\nBcc: all@example.com", "予約 Bcc: all@example.com"),
        ("a\x00b\x7fc\x85d\u2028e\u2029f", "a b c d e f"),
        ("\u202e逆さ\u202c\u200b", "逆さ"),  # bidirectional and zero-width marks
        ("神崎\u3000髙﨑", "神崎\u3000髙﨑"),  # kanji and the wide space stay as they are
        ("\ue000山", "\ue000山"),  # 外字
        ("", ""),
    ],
)
def test_a_plain_line_is_one_line_and_otherwise_unchanged(text, line):
    assert wording.plain_line(text) == line


@given(st.text())
def test_a_plain_line_never_holds_what_breaks_a_header(text):
    line = wording.plain_line(text, 40)
    assert len(line.splitlines()) <= 1
    assert len(line) <= 40
    assert not any(character < " " or character == "\x7f" for character in line)
    assert wording.plain_line(line, 40) == line


@pytest.mark.parametrize(
    "name",
    [
        "",
        "  ",
        "山" * 51,
        "至急 https://evil.example/",
        "evil.example をご覧ください",
        "www。evil",
        "ＨＴＴＰ：／／evil",
        "a@evil.example",
        r"\\server\share",
    ],
)
def test_a_name_that_would_become_a_link_is_not_repeated(name):
    assert wording.addressee(name) == "お申込みの方へ"


@pytest.mark.parametrize("name", ["山田 花子", "ヤマダ・ハナコ", "O'Neil 真理", "J. スミス", "佐々木 一二三", "Li Na"])
def test_a_name_is_repeated_with_its_courtesy(name):
    assert wording.addressee(name) == f"{name} 様"
