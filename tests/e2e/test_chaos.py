"""`make chaos`: every moment of test_crash.py and test_day_crash.py on PostgreSQL, random ones on both databases."""

import os
import random
import shutil
import time
from contextlib import contextmanager

import pytest

from tests.e2e.checker import everything, in_doubt, result, violations
from tests.e2e.day_rehearsal import Day, expectations, hand
from tests.e2e.moments import DAY_MOMENTS, MOMENTS, ROWS, check_day_moment, check_moment, check_rerun, count_runs
from tests.e2e.rehearsal import kill, rehearsal, until
from tests.postgres import fresh_database

pytestmark = [pytest.mark.prefect, pytest.mark.slow, pytest.mark.chaos]

KILLS = int(os.environ.get("CHAOS_KILLS", "50"))
RUN_SECONDS = 3.5
"""About as long as the slowed run takes after its start."""


@contextmanager
def office_on(kind, folder, request):
    if kind == "sqlite":
        folder.mkdir(parents=True)
        shutil.copy(request.getfixturevalue("sqlite_template"), folder / "record.db")
        with rehearsal(folder, f"sqlite:///{folder / 'record.db'}", request.getfixturevalue("prefect_url")) as office:
            yield office
        return
    server, template = request.getfixturevalue("postgres_template")
    with (
        fresh_database(server, template) as url,
        rehearsal(folder, url.render_as_string(hide_password=False), request.getfixturevalue("prefect_url")) as office,
    ):
        yield office


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("name", MOMENTS)
def test_a_rerun_finishes_what_a_kill_has_left(name, kind, tmp_path, request, undisturbed):
    with office_on(kind, tmp_path / "office", request) as office:
        check_moment(office, MOMENTS[name], undisturbed)


def slow_down(office):
    """Let every phase last long enough to be hit."""
    office.zoom.state.latency_seconds = 0.05
    office.mailbox.state.faults.order({"at": "dot", "kind": "latency", "seconds": 0.03, "times": None})


def kill_at_random(office, chance):
    """Start a run and kill it at a random moment; tell whether it was in the middle."""
    before, unfinished = count_runs(office), count_runs(office, is_finished=False)
    child = office.start(MADOGUCHI_TEST_CHUNK="20")
    until(lambda: count_runs(office) > before or child.poll() is not None, 60, "the run did not begin")
    time.sleep(chance.uniform(0, RUN_SECONDS))
    kill(child)
    return count_runs(office, is_finished=False) > unfinished


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_kills_at_random_moments_lose_nothing(kind, tmp_path, request, undisturbed):
    seed = int(os.environ.get("CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))
    print(f"CHAOS_SEED={seed} CHAOS_KILLS={KILLS}")  # noqa: T201 — how to repeat it
    chance = random.Random(seed)
    kills = offices = doubtful = arrived = 0
    while kills < KILLS:
        offices += 1
        with office_on(kind, tmp_path / f"office-{offices}", request) as office:
            here = 0
            for _ in range(chance.randint(1, 6)):
                slow_down(office)
                was_killed = kill_at_random(office, chance)
                office.heal()
                if not was_killed:
                    break
                here += 1
            kills += here
            office.zoom.state.latency_seconds = 0.0
            with office.runs() as again:
                code, summary = again()
                assert {each["reason"] for each in summary["incomplete"]} <= {"RUNNER_DIED"}, summary
                assert code == (1 if summary["incomplete"] else 0)
                assert violations(office, ROWS, uncertain=(0, here), arrived=(0, here)) == []
                assert result(office) == undisturbed.result
                before = everything(office)
                code, summary = again()
                assert (code, summary["incomplete"]) == (0, [])
                assert everything(office) == before
            found = in_doubt(office)
            doubtful += len(found)
            arrived += sum(found.values())
    print(f"{kind}: {kills} kills, {offices} offices, {doubtful} messages in doubt, {arrived} of them arrived")  # noqa: T201 — the figures of docs/chaos.md


# --- the day of the sessions


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def day(request, tmp_path_factory):
    made = {"template": request.getfixturevalue("sqlite_template")}
    if request.param == "postgresql":
        made = {"postgres": request.getfixturevalue("postgres_template")}
    folder = tmp_path_factory.mktemp(f"day-{request.param}")
    with Day(folder, request.getfixturevalue("prefect_url"), **made).prepared() as prepared:
        yield prepared


@pytest.mark.parametrize("name", DAY_MOMENTS)
def test_the_same_command_of_the_day_again_finishes_what_a_kill_has_left(name, day, tmp_path):
    check_day_moment(day, DAY_MOMENTS[name], tmp_path / "office")


COMMAND_SECONDS = 1.6
"""About as long as a slowed command of the day takes once its process is warm."""


def test_kills_at_random_moments_of_the_day_lose_nothing(day, tmp_path):
    seed = int(os.environ.get("CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))
    print(f"CHAOS_SEED={seed} CHAOS_KILLS={KILLS}")  # noqa: T201 — how to repeat it
    chance = random.Random(seed)
    kills = offices = doubtful = 0
    while kills < KILLS:
        offices += 1
        command = chance.choice(list(expectations()))
        with day.on(command, tmp_path / f"office-{offices}") as office:
            line, here = command.line(office), 0
            for _ in range(chance.randint(1, 3)):
                slow_down(office)
                was_killed = kill_the_command(office, line, chance)
                office.heal()
                if not was_killed:
                    break
                here += 1
            kills += here
            office.zoom.state.latency_seconds = 0.0
            with hand(office) as again:
                doubtful += check_rerun(office, command, again, line, (0, here), (0, here))
    print(f"{kills} kills, {offices} offices, {doubtful} messages in doubt")  # noqa: T201 — the figures of docs/chaos.md


def kill_the_command(office, line, chance):
    """Kill a warm process at a random moment of its command; tell whether it was in the middle."""
    before, unfinished = count_runs(office), count_runs(office, is_finished=False)
    with hand(office) as child:
        child.ask(line, chunk=2)
        until(lambda: count_runs(office) > before or child.child.poll() is not None, 60, child.errors())
        time.sleep(chance.uniform(0, COMMAND_SECONDS))
        kill(child.child)
        child.child.wait()
    return count_runs(office, is_finished=False) > unfinished
