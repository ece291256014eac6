"""Every row of the real-looking exports comes out as `expected.json` says, whatever the order of the file."""

from __future__ import annotations

import csv
import re
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from madoguchi.adapters.mail_address_syntax import is_valid_address
from madoguchi.domain.application import REASONS, Outcome, Reason
from madoguchi.domain.form_values.dates import read_date
from madoguchi.domain.form_values.job_seeker_number import read_job_seeker_number
from madoguchi.domain.form_values.mail_address import read_mail_address
from madoguchi.domain.form_values.names import read_name
from madoguchi.domain.form_values.text import is_formula_start, katakana
from tests.intake_help import AS_OF, EXPECTED, FIXTURES, calendar, good_cells, judge, take_in

SOURCES = {"google_forms.csv": "google", "logo_form.csv": "logo"}
ROWS = [(name, row) for name, table in EXPECTED["files"].items() for row in table["rows"]]
_TAKEN = {}


def taken(name):
    if name not in _TAKEN:
        _TAKEN[name] = {
            row.number: (row, result, last) for row, result, last in take_in(FIXTURES / name, SOURCES[name])
        }
    return _TAKEN[name]


@pytest.mark.parametrize(("name", "expected"), ROWS, ids=[row["key"] for _, row in ROWS])
def test_a_row_of_the_fixtures_has_its_expected_outcome(name, expected):
    _, result, last = taken(name)[expected["row"]]
    assert (last.outcome, last.reason) == (expected["outcome"], expected["reason"])
    assert set(expected["flags"]) <= result.flags | last.flags
    if expected["normalized"]:
        made = result.application
        start, *others = made.wishes
        assert expected["normalized"] == {
            "name": made.name,
            "kana": made.kana,
            "job_seeker_number": made.job_seeker_number,
            "start": start.isoformat(),
            "end": (start + timedelta(minutes=30)).isoformat(),
            "email": made.email,
            "phone": made.phone,
            "alternatives": [other.isoformat() for other in others],
            "companion": made.companion,
        } | ({"chosen_preference": made.chosen_preference} if made.chosen_preference > 1 else {})
    rows = {row["key"]: row["row"] for file, row in ROWS if file == name}
    related = expected.get("duplicate_of") or expected.get("superseded_by")
    if related:
        assert last.relates_to == rows[related]


@pytest.mark.parametrize("name", SOURCES)
def test_every_row_of_a_file_has_exactly_one_outcome(name):
    rows = taken(name)
    expected = EXPECTED["files"][name]["rows"]
    assert len(rows) == len(expected)
    assert Counter(last.outcome for _, _, last in rows.values()) == Counter(row["outcome"] for row in expected)


@pytest.mark.parametrize("name", SOURCES)
def test_a_reversed_file_gives_every_answer_the_same_outcome(name, tmp_path):
    """Rows submitted at the same moment with the same content may change places, so rows are told by content."""
    encoding = "cp932" if name.startswith("logo") else "utf-8"
    with (FIXTURES / name).open(encoding=encoding, newline="") as file:
        header, *records = csv.reader(file)
    turned = tmp_path / name
    with turned.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([header, *reversed(records)])
    forwards = Counter((row.digest, last.outcome, last.reason) for row, _, last in taken(name).values())
    backwards = Counter((row.digest, last.outcome, last.reason) for row, _, last in take_in(turned, SOURCES[name]))
    assert backwards == forwards


def test_reasons_stand_in_the_expected_order_and_lead_where_expected():
    order = EXPECTED["check_order"]
    assert [reason.value for reason in Reason][: len(order)] == order
    assert set(REASONS) == set(Reason)
    for code, rule in EXPECTED["reasons"].items():
        ours = REASONS[Reason(code)]
        assert (ours.outcome, ours.next_step) == (rule["outcome"], rule["next_step"].split(" ")[0])


def _strings(kind):
    key = next(key for key in EXPECTED["string_cases"] if key.split(" ")[0] == kind)
    return [(case["in"], case["expect"]) for case in EXPECTED["string_cases"][key]]


@pytest.mark.parametrize(("text", "expected"), _strings("job_seeker_number"))
def test_a_job_seeker_number_is_read_as_expected(text, expected):
    reading = read_job_seeker_number(text)
    assert (reading.reasons or (reading.value,))[0] == expected


@pytest.mark.parametrize(("text", "expected"), _strings("date"))
def test_a_date_is_read_as_expected(text, expected):
    if expected == "PAST_DATE":
        assert judge(good_cells(wish1_date=text)).reason == expected
        return
    reading = read_date(text, reference=date(2026, 9, 10), year_guess_days=92)
    assert (reading.reasons or (str(reading.day),))[0] == expected


@pytest.mark.parametrize(("text", "expected"), _strings("time"))
def test_a_time_is_read_as_expected(text, expected):
    result = judge(good_cells(wish1_time=text))
    if re.fullmatch("[0-9:]+", expected):
        assert result.outcome is Outcome.ACCEPT
        assert result.application.wishes[0].strftime("%H:%M") == expected
    else:
        assert result.reason == expected


@pytest.mark.parametrize(("text", "expected"), _strings("email"))
def test_an_address_is_read_as_expected(text, expected):
    known = calendar().office.known_mail_domains
    reading = read_mail_address(text, known_domains=known, address_is_valid=is_valid_address)
    assert (reading.reasons or (reading.value,))[0] == expected


@pytest.mark.parametrize(("text", "expected"), _strings("name"))
def test_a_name_is_read_as_expected(text, expected):
    if expected == "SUSPICIOUS_CELL":
        assert is_formula_start(text)
        return
    reading = read_name(text)
    assert (reading.reasons or (reading.value,))[0] == expected


@pytest.mark.parametrize(("text", "expected"), _strings("kana"))
def test_a_reading_is_read_as_expected(text, expected):
    assert katakana(text) == expected


def test_the_fixtures_are_judged_at_the_policys_moment():
    assert datetime.fromisoformat("2026-09-14T09:00:00+09:00") == AS_OF
    assert Path(FIXTURES / "google_forms.csv").exists()
