"""An afternoon and a day of `make fortnight`, and its checker, checked. docs/fortnight.md."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.e2e import fortnight_script as scripts
from tests.e2e.fortnight import Fortnight
from tests.e2e.fortnight_canaries import canaries, found_in, places_of
from tests.e2e.fortnight_checker import figures, violations

pytestmark = [pytest.mark.prefect, pytest.mark.slow]
SEED = 5


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fortnight")
    with Fortnight(scripts.small(SEED), folder, say=lambda _: None).played() as fortnight:
        yield fortnight


def test_after_a_day_of_disasters_nothing_is_lost_nothing_twice_and_nobody_wronged(lived):
    assert violations(lived) == [], "\n".join(figures(lived))


def test_the_day_had_its_disasters_and_every_kind_of_outcome(lived):
    failed = {flow for _, flow, _ in lived.failed}
    assert "process-requests" in failed, "the relay was down"
    kinds = {letter.kind for life in lived.people.lives.values() for letter in life.letters}
    assert {"confirmed", "reminder_day", "reminder_hour", "no_show", "cancelled", "incomplete"} <= kinds


def test_nothing_personal_is_left_and_the_search_would_find_it(lived, tmp_path):
    places, values = places_of(lived), canaries(lived)
    assert any(name.endswith("prefect.db") for name in places)
    assert any(name.startswith("mail to staff") for name in places)
    assert found_in(places, values, tmp_path) == []
    planted = {f"log {number}": b"begin " + value.encode() + b" end" for number, value in enumerate(sorted(values))}
    assert len(planted) > 50
    assert found_in(planted, values, tmp_path) == sorted(planted)


ROW = "(SELECT b.id FROM booking b JOIN booking_request r ON r.id = b.request_id WHERE r.row_number = {row})"
SEEDS = [
    ("ROW", "DELETE FROM booking_request WHERE row_number = 1"),
    ("ROW", "UPDATE booking_request SET row_number = 1000 WHERE row_number = 1"),
    ("WRONGED", f"UPDATE booking SET status = 'no_show' WHERE id = {ROW}"),
    ("DESERVED", f"UPDATE booking SET status = 'undetermined' WHERE id = {ROW}"),
    ("BELIEVES", f"UPDATE booking SET start_at = '2026-09-16 02:00:00.000000' WHERE id = {ROW}"),
    ("LEFT", "UPDATE staff_task SET closed_at = NULL"),
]


def violated(fortnight, statement, folder):
    row = next(
        life.person.row
        for life in fortnight.people.lives.values()
        if life.came and life.person.conduct == scripts.COMES
    )
    record = fortnight.office.record
    shutil.copy(record.removeprefix("sqlite:///"), folder / "record.db")
    with closing(sqlite3.connect(folder / "record.db")) as spoilt, spoilt:
        for (trigger,) in spoilt.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            spoilt.execute(f"DROP TRIGGER {trigger}")
        spoilt.execute(statement.format(row=row))
    whole, fortnight.office = fortnight.office, replace(fortnight.office, record=f"sqlite:///{folder / 'record.db'}")
    try:
        return {line.split()[0] for line in violations(fortnight)}
    finally:
        fortnight.office = whole


@pytest.mark.parametrize(("name", "statement"), SEEDS)
def test_the_checker_bites(name, statement, lived, tmp_path):
    assert name in violated(lived, statement, tmp_path)


def test_the_checker_sees_a_mail_that_came_twice_and_one_that_never_came(lived):
    life = next(life for life in lived.people.lives.values() if life.came)
    kept = list(life.letters)
    try:
        life.letters.append(kept[0])
        assert any(line.startswith("TWICE") for line in violations(lived))
        life.letters[:] = [letter for letter in kept if letter.kind != "reminder_hour"]
        assert any(line.startswith("REMINDED") for line in violations(lived))
        life.letters.clear()
        assert any(line.startswith("NOT_TOLD") for line in violations(lived))
    finally:
        life.letters[:] = kept


@pytest.mark.parametrize("seed", range(20))
def test_a_script_is_the_same_for_the_same_seed_and_its_people_apply_one_after_the_other(seed):
    script = scripts.fortnight(seed)
    assert script == scripts.fortnight(seed)
    assert script != scripts.fortnight(seed + 1)
    assert all(one.applied < other.applied for one, other in pairwise(script.people))
    exported = dict.fromkeys(range(1, len(script.people) + 1))
    for moment, rows in reversed(script.exports):
        exported.update(dict.fromkeys(range(1, rows + 1), moment))
    assert all(person.applied <= exported[person.row] for person in script.people)
    assert {person.conduct for person in script.people} == set(scripts.CONDUCTS)
