"""`make chaos`: the moments of test_crash.py on PostgreSQL, and kills at random moments on both databases."""

import os
import random
import shutil
import time
from contextlib import contextmanager

import pytest

from tests.e2e.checker import everything, in_doubt, result, violations
from tests.e2e.moments import MOMENTS, ROWS, check_moment, count_runs
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


@pytest.mark.parametrize("name", MOMENTS)
def test_a_rerun_finishes_what_a_kill_has_left_on_postgresql(name, tmp_path, request, undisturbed):
    with office_on("postgresql", tmp_path / "office", request) as office:
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
