"""One row judged alone: what the fixtures do not show, and what must hold for any cells whatever."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madoguchi.domain.application import REASON_RANK, REASONS, Application, Flag, Outcome, Reason
from madoguchi.domain.intake import FIELDS
from madoguchi.domain.office import JST
from tests.intake_help import AS_OF, calendar, good_cells, judge


def test_a_plain_row_is_accepted():
    result = judge(good_cells())
    assert (result.outcome, result.reason, result.findings) == (Outcome.ACCEPT, None, ())
    assert result.application.submitted_at == datetime(2026, 9, 10, 9, 5, 3, tzinfo=JST)


@pytest.mark.parametrize(
    ("changes", "outcome", "reason"),
    [
        ({"registration": "未登録"}, "needs_review", "REGISTRATION_CONFLICT"),
        ({"registration": "未登録", "job_seeker_number": ""}, "reject", "NOT_REGISTERED"),
        ({"registration": "わからない"}, "accept", None),
        ({"submitted_at": ""}, "needs_review", "NO_SUBMIT_TIME"),
        ({"wish1_date": "2027/01/12"}, "accept", None),
        ({"wish1_date": "2027/01/13"}, "needs_review", "BEYOND_HORIZON"),
        ({"wish1_date": "2028/01/12"}, "needs_review", "BEYOND_HORIZON"),
        ({"wish1_date": "2026/09/11"}, "needs_review", "LATE_INGEST"),
        ({"wish1_date": "2026/09/10"}, "needs_review", "SAME_DAY"),
        ({"wish1_date": "2026/09/09"}, "reject", "PAST_DATE"),
        ({"wish1_date": "2026/09/26", "wish1_time": "いつでも"}, "reject", "NON_WORKING_DAY"),
        ({"wish1_date": "9999/12/31", "wish1_time": "23:59"}, "reject", "INVALID_DATE"),
        ({"wish1_date": "2026/09/26", "wish2": "9/28 11:15"}, "needs_review", "OFF_GRID"),
        ({"wish1_date": "2026/09/26", "wish2": "9/27 11:00"}, "reject", "NON_WORKING_DAY"),
        ({"wish1_time": "11:15", "wish2": "9/28 11:00"}, "needs_review", "OFF_GRID"),
        ({"note": "=cmd"}, "needs_review", "SUSPICIOUS_CELL"),
        ({"phone": "+81 90 0000 0001"}, "accept", None),
        ({"email": "anonymous@example.jp"}, "accept", None),
        ({"email": "", "account_email": "anonymous"}, "needs_review", "NO_CONTACT"),
        ({"email": "", "phone": "不明"}, "needs_review", "NO_CONTACT"),
    ],
)
def test_a_row_leads_where_the_rules_say(changes, outcome, reason):
    result = judge(good_cells(**changes))
    assert (result.outcome, result.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"wish2": "9/26 11:00"}, Flag.ALTERNATIVE_UNUSABLE),
        ({"wish1_date": "2026/09/26", "wish2": "9/28 11:15"}, Flag.FIRST_CHOICE_INVALID),
        ({"wish1_date": "", "wish1_time": "", "wish2": "9/28 11:00"}, Flag.FIRST_CHOICE_INVALID),
        ({"submitted_at": "2026/09/15 9:00"}, Flag.SUBMITTED_LATER),
        ({"email": "rei@gmial.com"}, Flag.EMAIL_DOUBTFUL),
        ({"email": "", "account_email": "rei@example.jp"}, Flag.EMAIL_FROM_ACCOUNT),
        ({"registration": "わからない"}, Flag.REGISTRATION_UNSURE),
        ({"consent": "あとで"}, Flag.CONSENT_TEXT_UNREAD),
        ({"phone": "不明"}, Flag.PHONE_UNREADABLE),
        ({"wish1_date": "①9/24②9/25③9/28④9/29"}, Flag.WISHES_CUT),
    ],
)
def test_a_row_says_what_staff_should_know(changes, flag):
    assert flag in judge(good_cells(**changes)).flags


def test_all_findings_are_kept_in_check_order():
    result = judge(good_cells(name="", job_seeker_number="", wish1_date="", wish1_time="", email="x"))
    assert result.findings == ("MISSING_NAME", "MISSING_NUMBER", "MISSING_DATETIME", "EMAIL_INVALID")


def test_a_rejected_row_keeps_what_could_be_read():
    made = judge(good_cells(job_seeker_number="", wish2="9/26 11:00")).application
    assert (made.name, made.email, len(made.wishes)) == ("見本 花子", "rei@example.jp", 1)


def test_blank_needs_nothing_written_anywhere_and_no_stray_columns():
    assert judge({}).outcome is Outcome.SKIP
    assert judge({"name": "\u3000", "note": None}).reason is Reason.BLANK
    assert judge({"name": "\u3000"}, extra_columns=True).reason is Reason.COLUMN_COUNT
    assert judge({"phone": 0}).outcome is not Outcome.SKIP


def test_the_row_key_is_the_sources_or_a_hash_that_tells_people_apart():
    assert judge(good_cells(row_id=5001.0)).row_key == "5001"
    same = judge(good_cells(note="x")).row_key
    assert same == judge(good_cells(note="y", submitted_at="2026/09/10 09:05:03")).row_key
    assert same != judge(good_cells(job_seeker_number="99999-90000002")).row_key
    nobody = {"email": "", "job_seeker_number": ""}
    assert judge(good_cells(name="見本 一", **nobody)).row_key != judge(good_cells(name="見本 二", **nobody)).row_key
    unstamped = {"submitted_at": ""}
    assert judge(good_cells(note="x", **unstamped)).row_key != judge(good_cells(note="y", **unstamped)).row_key
    assert judge({}).row_key == ""


def test_the_day_before_is_counted_in_japan():
    """15:30 UTC on the 13th is already the 14th in Tokyo."""
    late = datetime(2026, 9, 13, 15, 30, tzinfo=UTC)
    cells = good_cells(submitted_at=late, wish1_date="2026/09/14")
    assert judge(cells, as_of=late + timedelta(minutes=5)).reason is Reason.SAME_DAY
    early = late - timedelta(hours=1)
    cells = good_cells(submitted_at=early, wish1_date="2026/09/14")
    assert judge(cells, as_of=early + timedelta(minutes=5)).outcome is Outcome.ACCEPT
    assert judge(cells, as_of=late).reason is Reason.LATE_INGEST


def test_an_application_survives_storage():
    made = judge(good_cells(wish2="9/25 13:00", companion="あり：通訳1名", phone="090-0000-0001")).application
    assert Application.from_json(made.to_json()) == made
    assert Application.from_json(Application().to_json()) == Application()
    with pytest.raises(ValueError, match="list"):
        Application.from_json(made.to_json() | {"name": ["a"]})


WORDS = (
    "①9/29 ②11:00 2026/09/24 令和8年 R8.9.24 46289 0.4583 午後12時 11:00～12:00 1時半 9.9E+12 99999-90000001 "
    "a@example.jp a@@b = ＠ － 同意しない 未登録 オンライン なし ㋿ 元 年 月 日 時 半 : / - 9"
)
SNIPPETS = st.sampled_from([*WORDS.split(), "\u3000", "\u200b", "\ufffd", "\x00", "\ud800"])
TEXT = st.one_of(st.text(max_size=30), st.lists(SNIPPETS, max_size=5).map("".join))
CELLS = st.one_of(
    TEXT,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.dates(),
    st.times(),
    st.times(timezones=st.just(UTC)),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.datetimes(timezones=st.just(JST)),
)


@given(st.dictionaries(st.sampled_from(FIELDS), CELLS), st.booleans())
def test_no_cells_whatever_make_reading_fail(cells, extra):
    _check(judge(cells, extra_columns=extra))


@given(st.fixed_dictionaries(dict.fromkeys(("wish1_date", "wish1_time", "wish2", "email", "job_seeker_number"), TEXT)))
def test_no_text_in_an_otherwise_good_row_makes_reading_fail(changes):
    _check(judge(good_cells(**changes)))


@given(st.one_of(st.dates(), st.datetimes(), st.floats(0, 100_000)), st.one_of(st.times(), st.floats(0, 1), st.none()))
def test_typed_cells_of_any_value_are_judged(day, clock):
    _check(judge(good_cells(wish1_date=day, wish1_time=clock)))


def _check(result):
    assert list(result.findings) == sorted(set(result.findings), key=REASON_RANK.__getitem__)
    assert result.reason == (result.findings[0] if result.findings else None)
    assert result.outcome == (REASONS[result.reason].outcome if result.reason else Outcome.ACCEPT)
    assert (result.row_key == "") == (result.outcome is Outcome.SKIP)
    made = result.application
    assert Application.from_json(made.to_json()) == replace(made)
    assert all(wish.tzinfo is JST for wish in made.wishes)
    if result.outcome is Outcome.ACCEPT:
        assert made.name
        assert made.job_seeker_number
        assert made.email
        assert made.submitted_at
        offered = {start for wish in made.wishes for start in calendar().starts_on(wish.date())}
        assert made.wishes
        assert set(made.wishes) <= offered
        assert all(wish.date() > max(AS_OF.date(), made.submitted_at.date()) for wish in made.wishes)
