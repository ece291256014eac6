from datetime import UTC, datetime, timedelta, timezone

import icalendar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from madoguchi.adapters.calendar_file import session_calendar
from madoguchi.domain.office import JST

START = datetime(2026, 9, 24, 11, 0, tzinfo=JST)
ONE_LINE = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=120)


def calendar(**changes):
    values = {
        "uid": "M-7K2Q9F@madoguchi.example.jp",
        "sequence": 0,
        "method": "PUBLISH",
        "start": START,
        "end": START + timedelta(minutes=30),
        "stamp": datetime(2026, 9, 14, 9, 0, 5, tzinfo=JST),
        "summary": "オンライン職業相談（Zoom）",
        "description": "ハローワーク松戸 マザーズコーナー\nお電話: 047-000-0000",
        "url": "https://us02web.zoom.us/j/81234567890?pwd=Ab1_cD2.1",
    }
    return session_calendar(**(values | changes))


def read(data):
    whole = icalendar.Calendar.from_ical(data)
    (event,) = whole.walk("VEVENT")
    return whole, event


def test_another_reader_finds_the_session():
    whole, event = read(calendar(organizer=("ハローワーク松戸", "madoguchi@example.jp")))
    assert whole["METHOD"] == "PUBLISH"
    assert event["UID"] == "M-7K2Q9F@madoguchi.example.jp"
    assert (event.start, event.end) == (START, START + timedelta(minutes=30))
    assert event["DTSTAMP"].dt == datetime(2026, 9, 14, 0, 0, 5, tzinfo=UTC)
    assert event["SUMMARY"] == "オンライン職業相談（Zoom）"
    assert event["DESCRIPTION"] == "ハローワーク松戸 マザーズコーナー\nお電話: 047-000-0000"
    assert event["URL"] == event["LOCATION"] == "https://us02web.zoom.us/j/81234567890?pwd=Ab1_cD2.1"
    assert (event["STATUS"], event["CLASS"], event["SEQUENCE"]) == ("CONFIRMED", "PRIVATE", 0)
    assert event["ORGANIZER"] == "mailto:madoguchi@example.jp"
    assert event["ORGANIZER"].params["CN"] == "ハローワーク松戸"


def test_a_change_keeps_the_uid_and_raises_the_sequence_and_a_cancellation_takes_it_out():
    first, second = read(calendar())[1], read(calendar(sequence=1, start=START + timedelta(days=1)))[1]
    assert first["UID"] == second["UID"]
    assert second["SEQUENCE"] == 1
    whole, gone = read(calendar(sequence=2, method="CANCEL"))
    assert (whole["METHOD"], gone["STATUS"], gone["UID"]) == ("CANCEL", "CANCELLED", first["UID"])


def test_a_cancellation_needs_no_link_and_says_the_same_session():
    _, event = read(calendar(sequence=3, method="CANCEL", url="", organizer=("窓口", "madoguchi@example.jp")))
    assert "URL" not in event
    assert "LOCATION" not in event
    assert (event["SEQUENCE"], event.start, event["ORGANIZER"]) == (3, START, "mailto:madoguchi@example.jp")


def test_the_same_instant_is_written_the_same_from_every_zone():
    elsewhere = START.astimezone(timezone(timedelta(hours=-8)))
    assert calendar(start=elsewhere) == calendar(start=START)
    assert b"DTSTART:20260924T020000Z\r\n" in calendar()


@given(ONE_LINE, ONE_LINE)
def test_any_text_comes_back_and_no_line_is_longer_than_75_octets(summary, description):
    data = calendar(summary=summary, description=description)
    assert data.endswith(b"\r\n")
    for line in data.split(b"\r\n"):
        assert len(line) <= 75
        line.decode()  # folded between characters
        assert b"\n" not in line
        assert b"\r" not in line
    event = read(data)[1]
    assert (event["SUMMARY"], event["DESCRIPTION"]) == (summary, description)


def test_text_cannot_add_lines_of_its_own():
    event = read(calendar(summary="a\r\nATTENDEE:mailto:x@example.com", description="b\x00\u2028c"))[1]
    assert "ATTENDEE" not in event
    assert event["SUMMARY"] == "a\nATTENDEE:mailto:x@example.com"
    assert event["DESCRIPTION"] == "b\nc"


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "REQUEST"},  # would ask for replies that nobody reads
        {"method": "publish"},
        {"start": datetime(2026, 9, 24, 11, 0)},  # noqa: DTZ001 — that is the mistake
        {"url": "https://zoom.us/j/1\r\nX-EVIL:1"},
        {"organizer": ("窓口\nX-EVIL:1", "madoguchi@example.jp")},
        {"organizer": ("窓口", "madoguchi@example.jp\r\nX-EVIL:1")},
    ],
)
def test_what_would_break_the_file_is_refused(changes):
    with pytest.raises(ValueError):
        calendar(**changes)
