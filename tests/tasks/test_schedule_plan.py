"""A day's plan on a real record: what is due by reference, and when."""

from datetime import date

import pytest

from madoguchi.store.models import TermsVersion
from tasks.schedule_plan import OnSchedule, plan_of
from tasks.scheduling import schedule_requests
from tests.world import World

NIGHTLY = OnSchedule("reconcile-zoom", "nightly", ("30 19 * * *",))
INTAKE = OnSchedule("process-requests", "reception-hours", ("0 9 * * 1-5",))


@pytest.fixture
def world(database):
    return World(database)


def said(plan):
    return [(f"{due.at:%H:%M}", due.what, due.reference) for due in plan.due]


def test_a_session_its_reminders_and_its_verdict_are_due_on_their_days(world):
    asked = world.ask("2026-09-24 11:00")
    schedule_requests(world.services, world.run())
    reference = world.active(asked).reference
    plan = plan_of(world.services, date(2026, 9, 24), [NIGHTLY, INTAKE])
    assert said(plan) == [
        ("10:00", "reminder_hour", reference), ("11:00", "session", reference), ("11:10", "verdict", reference),
    ]  # fmt: skip
    assert [(run.flow, f"{run.at[0]:%H:%M}", run.rests) for run in plan.runs] == [
        ("process-requests", "09:00", False), ("reconcile-zoom", "19:30", False),
    ]  # fmt: skip
    # The three days before are closed: the reminder of the day before goes out on Friday.
    assert said(plan_of(world.services, date(2026, 9, 18), [])) == [("15:00", "reminder_day", reference)]
    assert said(plan_of(world.services, date(2026, 9, 23), [])) == []


def test_a_holiday_is_closed_and_its_intake_rests(world):
    plan = plan_of(world.services, date(2026, 9, 22), [NIGHTLY, INTAKE])
    assert (plan.is_open, plan.why_closed) == (False, "祝日・休日")
    assert {run.flow: run.rests for run in plan.runs} == {"process-requests": True, "reconcile-zoom": False}


def test_a_weekend_has_no_runs_of_the_week(world):
    plan = plan_of(world.services, date(2026, 9, 20), [NIGHTLY, INTAKE])
    assert [run.flow for run in plan.runs] == ["reconcile-zoom"]


def test_a_version_of_the_terms_is_due_on_its_day(world):
    with world.database.read() as session:
        version = session.query(TermsVersion).filter_by(document="service").order_by(TermsVersion.effective_at).first()
    day = version.effective_at.astimezone(world.services.clock().tzinfo).date()
    due = [(each.what, each.reference) for each in plan_of(world.services, day, []).due]
    assert ("terms in force", version.code) in due
