"""Every rule of `watch`, raised just beyond its limit and silent at it; closed time does not count."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta

import pytest

from config.settings import ROOT
from flows.deployments import list_deployments
from madoguchi.adapters.holidays import is_public_holiday
from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.office import WatchPolicy
from madoguchi.domain.open_time import is_open_at, open_time_between
from madoguchi.domain.watching import (
    WORDS,
    Code,
    Facts,
    FlowFacts,
    Severity,
    Waiting,
    find,
    usual_gap,
)
from tests.world import jst, shipped_office

OFFICE = replace(shipped_office(), holidays_known_until=date(2028, 12, 31))
CALENDAR = OfficeCalendar(OFFICE, is_public_holiday)
POLICY = WatchPolicy()
AT = jst("2026-09-24 11:00")  # Thursday; 21 to 23 September are public holidays, the 18th is the Friday before
FIVE = ("*/5 9-16 * * 1-5",)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def codes(facts: Facts, at=AT, policy=POLICY, calendar=CALENDAR) -> list[str]:
    return [f"{each.code} {each.subject}" for each in find(facts, policy, calendar, at)]


def flow(name="process-requests", crons=FIVE, **more) -> FlowFacts:
    return FlowFacts(
        **({"flow": name, "crons": crons, "last": AT, "failing_since": None, "since": jst("2026-09-01 08:30")} | more)
    )


EXPORTS = (*(jst(f"2026-09-{day} {clock}") for day in (15, 16, 17) for clock in ("09:00", "13:00")),
           jst("2026-09-18 09:00"))  # fmt: skip

EDGES = {
    "a mail": ("DUE_UNSENT messages",
               Facts(unsent=[Waiting("M-AAAAAA", AT - minutes(20.1))], unsent_count=1),
               Facts(unsent=[Waiting("M-AAAAAA", AT - minutes(20))], unsent_count=1)),
    "a mail due on the evening before the holidays": ("DUE_UNSENT messages",
               Facts(unsent=[Waiting("M-AAAAAA", jst("2026-09-18 17:10"))], unsent_count=1),
               None),
    "a link": ("CONFIRMATION_MISSING M-AAAAAA",
               Facts(unconfirmed=[Waiting("M-AAAAAA", AT + timedelta(hours=24))]),
               Facts(unconfirmed=[Waiting("M-AAAAAA", AT + timedelta(hours=24, seconds=1))])),
    "a link of a session under way": ("CONFIRMATION_MISSING M-AAAAAA",
               Facts(unconfirmed=[Waiting("M-AAAAAA", AT + timedelta(seconds=1))]),
               Facts(unconfirmed=[Waiting("M-AAAAAA", AT)])),
    "a verdict": ("UNSWEPT sessions",
               Facts(unswept=[Waiting("M-AAAAAA", AT - minutes(25.1))]),
               Facts(unswept=[Waiting("M-AAAAAA", AT - minutes(25))])),
    "an uncertain mail": ("UNCERTAIN_MAIL M-AAAAAA", Facts(uncertain=["M-AAAAAA"]), Facts()),
    "a case": ("REVIEW_OLD tasks",
               Facts(tasks=[Waiting("R-AAAAAA", jst("2026-09-18 10:59"))]),
               Facts(tasks=[Waiting("R-AAAAAA", jst("2026-09-18 11:00"))])),
    "a claim": ("STUCK_CLAIM claims",
               Facts(stuck=[Waiting("M-AAAAAA", AT - minutes(20.1))]),
               Facts(stuck=[Waiting("M-AAAAAA", AT - minutes(20))])),
    "a turn": ("SCHEDULE_SILENT process-requests",
               Facts(flows=[flow(last=AT - minutes(38))]),
               Facts(flows=[flow(last=AT - minutes(37))])),
    "a flow that never ran": ("SCHEDULE_SILENT process-requests",
               Facts(flows=[flow(last=None, since=AT - minutes(40))]),
               Facts(flows=[flow(last=None, since=AT - minutes(10))])),
    "a failure": ("RUN_FAILED process-requests",
               Facts(flows=[flow(failing_since=AT - minutes(10))]),
               Facts(flows=[flow(failing_since=AT - minutes(9.9))])),
    "exports": ("NO_EXPORT exports",
               Facts(exports=[*EXPORTS, jst("2026-09-18 10:59")]),
               Facts(exports=[*EXPORTS, jst("2026-09-18 11:00")])),
    "the budget": ("ZOOM_BUDGET host-1",
               Facts(budgets={"host-1": 80}),
               Facts(budgets={"host-1": 79})),
    "the spool": ("SPOOL_WAITING webhooks",
               Facts(spool_oldest=minutes(15.1)),
               Facts(spool_oldest=minutes(15))),
    "the office file": ("OFFICE_FILE_REFUSED office.toml", Facts(office_refused="2026-09-24T10:20:00+09:00"), Facts()),
    "the disk": ("DISK var", Facts(free_bytes=999_999_999), Facts(free_bytes=1_000_000_000)),
    "a certificate": ("CERTIFICATE relay.example.jp",
               Facts(certificates={"relay.example.jp": AT + timedelta(days=13)}),
               Facts(certificates={"relay.example.jp": AT + timedelta(days=14)})),
    "the key": ("KEY_AGE data",
               Facts(oldest_key=AT - timedelta(days=400, seconds=1)),
               Facts(oldest_key=AT - timedelta(days=400))),
}  # fmt: skip


@pytest.mark.parametrize(("expected", "beyond", "within"), EDGES.values(), ids=EDGES)
def test_a_rule_speaks_beyond_its_limit_and_is_silent_at_it(expected, beyond, within):
    assert codes(beyond) == [expected]
    assert within is None or codes(within) == []


def test_every_code_but_the_one_from_outside_and_the_table_of_holidays_has_an_edge_here():
    tested = {expected.split()[0] for expected, _, _ in EDGES.values()}
    assert set(Code) - tested == {Code.PREFECT_SILENT, Code.HOLIDAYS_ENDING}


@pytest.mark.parametrize(("until", "expected"), [("2026-11-23", True), ("2026-11-24", False), ("2026-01-01", True)])
def test_the_table_of_holidays_is_asked_for_two_months_before_its_end(until, expected):
    ending = OfficeCalendar(replace(OFFICE, holidays_known_until=date.fromisoformat(until)), is_public_holiday)
    assert bool(codes(Facts(), calendar=ending)) is expected


def test_nothing_is_said_of_what_is_not_known():
    assert codes(Facts()) == []


@pytest.mark.parametrize(
    ("since", "until", "hours"),
    [
        ("2026-09-24 08:30", "2026-09-24 17:15", 8.75),
        ("2026-09-18 16:15", "2026-09-24 09:30", 2),
        ("2026-09-19 00:00", "2026-09-23 23:59", 0),
        ("2026-09-24 12:00", "2026-09-24 11:00", 0),
    ],
)
def test_time_runs_only_while_the_office_is_open(since, until, hours):
    assert open_time_between(CALENDAR, jst(since), jst(until)) == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-09-24 08:29", False),
        ("2026-09-24 08:30", True),
        ("2026-09-24 17:15", True),
        ("2026-09-24 17:16", False),
        ("2026-09-22 11:00", False),
    ],
)
def test_reception_hours_have_both_ends_and_no_holiday(at, is_open):
    assert is_open_at(CALENDAR, jst(at)) is is_open


def test_a_flow_that_rests_on_closed_days_has_missed_nothing_over_them():
    resting = flow(last=jst("2026-09-18 16:55"), open_days_only=True)
    assert codes(Facts(flows=[resting]), at=jst("2026-09-23 12:00")) == []
    assert codes(Facts(flows=[replace(resting, open_days_only=False)]), at=jst("2026-09-23 12:00"))


def test_a_flow_that_does_not_run_is_silent_and_not_failed():
    facts = Facts(flows=[flow(last=AT - timedelta(hours=2), failing_since=AT - timedelta(hours=3))])
    assert codes(facts) == ["SCHEDULE_SILENT process-requests"]


DAY = timedelta(hours=8, minutes=45)


@pytest.mark.parametrize(
    ("exports", "policy", "gap"),
    [
        ([jst("2026-09-17 09:00")], POLICY, 2 * DAY),
        (EXPORTS, POLICY, DAY),
        ([jst(f"2026-09-{day} 09:00") for day in ("01", "04", "08", "11")], POLICY, 3 * DAY * 3 / 2),
        ([jst(f"2026-{day} 09:00") for day in ("08-03", "08-10", "08-24", "09-07")], POLICY, 5 * DAY),
        (EXPORTS, replace(POLICY, no_export=timedelta(hours=3)), timedelta(hours=3)),
    ],
    ids=["too few to know", "several a day", "twice a week", "rarely", "set by the office"],
)
def test_what_is_usual_for_exports_is_learned_within_bounds(exports, policy, gap):
    assert usual_gap(exports, policy, CALENDAR) == gap


def test_the_most_urgent_stands_first_and_references_are_cut_but_counted():
    many = [Waiting(f"M-{number:06d}", AT - timedelta(hours=1)) for number in range(90)]
    found = find(
        Facts(uncertain=["M-AAAAAA"], unsent=many, unsent_count=400, oldest_key=AT - timedelta(days=500)),
        POLICY, CALENDAR, AT,
    )  # fmt: skip
    assert [each.severity for each in found] == [Severity.URGENT, Severity.SOON, Severity.NOTE]
    assert len(found[0].touched) == 50
    assert found[0].details["count"] == 400


@pytest.mark.parametrize("code", Code)
def test_every_code_says_in_japanese_what_happened_and_what_to_do(code):
    for text in (WORDS[code].happened, WORDS[code].do):
        assert text.endswith("。")
        assert sum("ぁ" <= char <= "ん" for char in text) > 5
    assert code.value not in WORDS[code].happened


def test_what_staff_are_told_to_press_is_there_to_be_pressed():
    there = {entry.full_name for entry in list_deployments(OFFICE)}
    named = {each for words in WORDS.values() for each in re.findall(r"[a-z-]+/[a-z-]+", words.do)}
    assert named
    assert named <= there


@pytest.mark.parametrize("code", Code)
def test_every_code_is_explained_where_operators_look(code):
    assert f"`{code}`" in (ROOT / "docs" / "watch.md").read_text(encoding="utf-8")
