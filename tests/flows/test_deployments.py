import importlib
import inspect
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect import Flow
from prefect._vendor.croniter import croniter

from config.office_file import read_office
from flows.deployment_crons import cron_every
from flows.deployments import list_deployments, runner_deployments
from madoguchi.domain.office import OpeningHours

ROOT = Path(__file__).resolve().parents[2]
JST = ZoneInfo("Asia/Tokyo")
ENTRIES = list_deployments(read_office(ROOT / "config" / "office.toml", sandbox=True))


def hours(opens: str, closes: str) -> OpeningHours:
    return OpeningHours(time.fromisoformat(opens), time.fromisoformat(closes))


@pytest.mark.parametrize(
    ("opens", "closes", "minutes", "expected"),
    [
        ("08:30", "17:15", 5, ("30-55/5 8 * * 1-5", "*/5 9-16 * * 1-5", "0-15/5 17 * * 1-5")),
        ("09:00", "17:00", 5, ("*/5 9-16 * * 1-5", "0 17 * * 1-5")),
        ("09:00", "16:59", 10, ("*/10 9-16 * * 1-5",)),
        ("10:07", "10:20", 5, ("10-20/5 10 * * 1-5",)),
        ("10:00", "10:01", 60, ("0 10 * * 1-5",)),
        ("10:01", "10:04", 5, ()),
    ],
)
def test_reception_hours_become_cron_lines(opens, closes, minutes, expected):
    assert cron_every(minutes, hours(opens, closes)) == expected


def test_minutes_that_do_not_divide_an_hour_are_refused():
    with pytest.raises(ValueError, match="divisors"):
        cron_every(7, hours("09:00", "10:00"))


def fires(cron: str, day: date) -> set[time]:
    start = datetime.combine(day, time(), JST) - timedelta(seconds=1)
    ticks = croniter(cron, start)
    found = set()
    while (at := ticks.get_next(datetime)).date() == day:
        found.add(at.time())
    return found


@given(
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.sampled_from([5, 10, 15, 30, 60]),
    st.sampled_from(["2026-11-23", "2026-11-28"]),
)
def test_the_cron_lines_fire_at_every_step_inside_the_hours_and_at_no_other(first, second, step, day):
    opens, closes = (time(*divmod(minute, 60)) for minute in sorted((first, second)))
    fired = [fires(cron, date.fromisoformat(day)) for cron in cron_every(step, OpeningHours(opens, closes))]
    wanted = {time(h, m) for h in range(24) for m in range(0, 60, step) if opens <= time(h, m) <= closes}
    assert set().union(*fired) == (wanted if day == "2026-11-23" else set())
    assert sum(len(each) for each in fired) == len(set().union(*fired)), "no instant twice"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.full_name)
def test_a_deployment_names_a_flow_that_loads_and_takes_its_parameters(entry):
    path, function = entry.entrypoint.split(":")
    assert (ROOT / path).is_file()
    flow = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), function)
    assert isinstance(flow, Flow)
    assert flow.name == entry.flow
    assert set(entry.parameters) <= set(inspect.signature(flow.fn).parameters)
    assert all(
        each.default is not inspect.Parameter.empty or name in entry.parameters
        for name, each in inspect.signature(flow.fn).parameters.items()
        if entry.crons
    ), "a scheduled flow runs without anybody's input"
    assert flow.timeout_seconds, "a run that hangs must end by itself"
    assert not flow.persist_result


def test_scheduled_deployments_skip_a_turn_and_those_by_hand_wait_theirs():
    for entry in ENTRIES:
        assert entry.collision == ("CANCEL_NEW" if entry.crons else "ENQUEUE")
    assert len({entry.full_name for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.full_name)
def test_descriptions_are_japanese_because_staff_read_them(entry):
    assert sum("ぁ" <= char <= "ん" for char in entry.description) > 10


def test_the_list_becomes_prefect_deployments_for_serve_and_for_a_work_pool(monkeypatch):
    monkeypatch.chdir(ROOT)
    for pool in (None, "office"):
        made = runner_deployments(ENTRIES, work_pool=pool)
        assert [f"{each.flow_name}/{each.name}" for each in made] == [entry.full_name for entry in ENTRIES]
        for deployment, entry in zip(made, ENTRIES, strict=True):
            assert [schedule.schedule.cron for schedule in deployment.schedules] == list(entry.crons)
            assert all(schedule.schedule.timezone == "Asia/Tokyo" for schedule in deployment.schedules)
            assert deployment.concurrency_limit == 1
            assert deployment.concurrency_options.collision_strategy.value == entry.collision
            assert deployment.work_pool_name == pool


def test_the_form_in_the_dashboard_explains_every_parameter_in_japanese(monkeypatch):
    monkeypatch.chdir(ROOT)
    for deployment in runner_deployments(ENTRIES):
        for name, field in deployment._parameter_openapi_schema.properties.items():
            help_text = field.get("description", "")
            assert any("ぁ" <= char <= "ん" for char in help_text), f"{deployment.name}: {name}"
