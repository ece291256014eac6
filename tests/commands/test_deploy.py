"""Putting the list of deployments on a work pool, what a worker starts, and the server's addresses."""

import asyncio
import sys
from types import SimpleNamespace
from uuid import uuid4

import pytest

from config.settings import ROOT, PrefectSettings, Settings
from flows.deployments import list_deployments
from madoguchi.adapters.prefect_pool import PrefectPool
from madoguchi.adapters.prefect_scale import scale_environment
from madoguchi.adapters.prefect_server import (
    PrefectServerError,
    environment,
    free_port,
    start_temporary_server,
)
from madoguchi.cli import main
from madoguchi.commands import deploy, worker


class FakePool:
    """A server in a dictionary."""

    def __init__(self, **there):
        self.pools, self.schedules = set(), {}
        self.there = {name.replace("__", "/").replace("_", "-"): uuid4() for name in there}

    async def ensure(self, name):
        is_new = name not in self.pools
        self.pools.add(name)
        return is_new

    async def apply(self, deployment):
        identity = self.there.setdefault(f"{deployment.flow_name}/{deployment.name}", uuid4())
        self.schedules.setdefault(identity, set()).update(schedule.slug for schedule in deployment.schedules)
        return identity

    async def drop_surplus_schedules(self, deployment, slugs):
        surplus = self.schedules[deployment] - set(slugs)
        self.schedules[deployment] -= surplus
        return len(surplus)

    async def names(self, pool):
        return dict(self.there)

    async def drop(self, deployment):
        self.there = {name: identity for name, identity in self.there.items() if identity != deployment}

    async def ensure_automations(self):
        return ["crash-silent-runs"]


def wanted(*names, crons=1):
    return [
        SimpleNamespace(
            flow_name=name.split("/")[0],
            name=name.split("/")[1],
            schedules=[SimpleNamespace(slug=f"{name}-{number}") for number in range(crons)],
        )
        for name in names
    ]


def test_a_second_time_nothing_is_left_to_do():
    pool = FakePool()
    first = asyncio.run(deploy.put(pool, "office", wanted("a/x", "b/y")))
    second = asyncio.run(deploy.put(pool, "office", wanted("a/x", "b/y")))
    assert (first.is_new, second.is_new) == (True, False)
    assert (second.applied, second.surplus, second.dropped) == (["a/x", "b/y"], 0, [])
    assert "office (was there)" in second.lines()[0]


def test_what_the_list_no_longer_names_leaves_the_pool():
    pool = FakePool(old_flow__nightly=1)
    asyncio.run(deploy.put(pool, "office", wanted("a/x", crons=3)))
    again = asyncio.run(deploy.put(pool, "office", wanted("a/x", crons=1)))
    assert again.surplus == 2
    assert set(pool.there) == {"a/x"}


@pytest.mark.parametrize(
    ("given", "of_settings", "found"), [(None, "", "madoguchi"), (None, "office", "office"), ("mine", "office", "mine")]
)
def test_the_pool_is_the_one_given_then_the_one_set_then_ours(given, of_settings, found):
    settings = Settings(_env_file=None, prefect=PrefectSettings(work_pool=of_settings))
    assert deploy.pool_name(settings, given) == found


def test_nothing_given_leaves_prefect_on_sqlite_and_memory():
    assert scale_environment("", "") == {}


@pytest.mark.parametrize(
    "url", ["postgresql://u:p@db/prefect", "postgresql+asyncpg://u:p@db/prefect", "postgresql+psycopg://u:p@db/prefect"]
)
def test_the_database_gets_the_driver_that_prefect_uses(url):
    found = scale_environment(url, "")
    assert found["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == "postgresql+asyncpg://u:p@db/prefect"
    assert not any("REDIS" in name or "EVENTS" in name for name in found)


def test_another_kind_of_database_is_refused_without_its_password():
    with pytest.raises(PrefectServerError, match="postgresql://") as caught:
        scale_environment("mysql://u:geheim@db/prefect", "")
    assert "geheim" not in str(caught.value)


def test_redis_keeps_everything_that_prefect_can_keep_there():
    pytest.importorskip("prefect_redis")
    found = scale_environment("", "redis://cache:6379/0")
    assert {name for name, value in found.items() if value == "redis://cache:6379/0"} == {
        "PREFECT_REDIS_MESSAGING_URL",
        "PREFECT_REDIS_WORKER_CLEANUP_QUEUE_URL",
        "PREFECT_SERVER_DOCKET_URL",
    }
    assert sorted(value for value in found.values() if value.startswith("prefect_redis.")) == [
        "prefect_redis.cleanup_queue",
        "prefect_redis.lease_storage",
        "prefect_redis.messaging",
        "prefect_redis.messaging",
        "prefect_redis.ordering",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"database_url": "sqlite:///x.db"}, "MADOGUCHI_PREFECT__DATABASE_URL: must begin with postgresql://"),
        ({"redis_url": "http://cache"}, "MADOGUCHI_PREFECT__REDIS_URL: must begin with redis://"),
        ({"redis_url": "redis://cache"}, "MADOGUCHI_PREFECT__REDIS_URL: is of use only with"),
        ({"database_url": "postgresql://db/prefect", "redis_url": "rediss://cache"}, None),
    ],
)
def test_addresses_that_cannot_be_used_are_named(changes, said):
    problems = Settings(_env_file=None, prefect=PrefectSettings(**changes)).problems()
    assert any(problem.startswith(said) for problem in problems) if said else problems == []


def test_the_passwords_in_both_addresses_are_masked_in_logs():
    given = PrefectSettings(database_url="postgresql://u:geheim%21x@db/p", redis_url="redis://:anderes-geheim@cache")
    assert {"geheim!x", "anderes-geheim"} <= set(Settings(_env_file=None, prefect=given).secrets())


def test_a_run_of_a_worker_starts_in_the_project_with_the_workers_interpreter():
    made = worker.make_worker("office", "one", 2)
    job = made.job_configuration(command="other", working_dir=None)
    job.prepare_for_flow_run(SimpleNamespace(id=uuid4(), name="one", deployment_id=None, labels={}))
    assert made.type == "process"
    assert (job.working_dir, job.command) == (ROOT, f"{sys.executable} -m prefect.engine")


@pytest.mark.parametrize("name", ["deploy", "worker"])
def test_without_a_server_it_says_what_to_do(name, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    called = {"deploy": deploy.run, "worker": worker.run}[name]
    assert called(Settings(_env_file=None, var_dir=tmp_path)) == 1
    assert "start `madoguchi up` here, or set PREFECT_API_URL" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("deploy", "--work-pool", "a/b"), ("worker", "--limit", "0")])
def test_wrong_use_is_named(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert arguments[2] in capsys.readouterr().err


@pytest.mark.prefect
@pytest.mark.chaos
def test_a_real_server_gets_the_whole_list_twice_alike_and_a_worker_needs_its_pool(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    variables = environment(tmp_path, "127.0.0.1", free_port(), ROOT / "config" / "prefect_logging.yml", given={})
    server = start_temporary_server(variables, tmp_path / "server.log")
    try:
        from prefect.client.orchestration import get_client
        from prefect.settings import PREFECT_API_URL, temporary_settings
        from prefect.states import Completed, Pending, Running

        settings = Settings(_env_file=None, var_dir=tmp_path)
        entries = list_deployments(settings.office)
        server.wait_until_ready()
        with temporary_settings({PREFECT_API_URL: server.url}):
            with pytest.raises(PrefectServerError, match="`madoguchi deploy` makes it"):
                asyncio.run(worker.work("office", "one", 1))
            first = asyncio.run(deploy.deploy(settings, "office"))
            again = asyncio.run(deploy.deploy(settings, "office"))
            pool = PrefectPool(deploy.ROOT_VARIABLE)
            there = asyncio.run(pool.names("office"))
            with get_client(sync_client=True) as client:
                runs = [client.create_flow_run_from_deployment(there["publish-terms/by-hand"]).id for _ in range(3)]
                for run, state in zip(runs, (Running(), Pending(), Completed()), strict=True):
                    client.set_flow_run_state(run, state, force=True)
                told = worker.hand_back(runs)
                states = [client.read_flow_run(run).state.name for run in runs]
            asyncio.run(pool.drop(there["sweep-no-shows/tenth-minute"]))
            left = asyncio.run(pool.names("office"))
    finally:
        server.stop()
    assert set(told) == set(runs[:2])
    assert states == ["Cancelled", "Cancelled", "Completed"]
    assert first.is_new
    assert not again.is_new
    assert set(first.applied) == set(again.applied) == set(there) == {entry.full_name for entry in entries}
    assert first.schedules == again.schedules == sum(len(entry.crons) for entry in entries)
    assert (again.surplus, again.dropped) == (0, [])
    assert set(there) - set(left) == {"sweep-no-shows/tenth-minute"}
