"""`madoguchi worker`: a Prefect process worker with our environment, on any machine that has the project.

A plain `prefect worker start` would log without redaction, run each flow behind a second process in a folder that it
makes, and, where it finds uv beside a pyproject.toml, let uv install the project first.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import sys
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil

from config.settings import ROOT, Settings
from madoguchi.adapters import log_redaction
from madoguchi.adapters.prefect_server import PrefectServerError
from madoguchi.commands.deploy import ROOT_VARIABLE, deploy, pool_name, prepare
from madoguchi.commands.serve import RUNS_AT_ONCE, serving_file
from madoguchi.commands.sign_of_life import sign_of_life

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.schemas.objects import FlowRun
    from prefect.workers.process import ProcessWorker

_NOTED = 200


def run(settings: Settings, work_pool: str | None = None, name: str | None = None, limit: int | None = None) -> int:
    """Work for the pool until stopped; 0 stopped, 1 the server or the pool is missing.

    `limit`: runs at once, 4 when not given; each takes about 100 MB and 3 s of a processor to start. Ends on SIGTERM or
    Ctrl-C; the runs under way are then stopped, and what they left undone is due again.
    """
    try:
        prepare(settings)
        _begin()
        _until_stopped(
            lambda begun: work(pool_name(settings, work_pool), name or own_name(), limit or RUNS_AT_ONCE, begun)
        )
    except PrefectServerError as error:
        print(f"madoguchi worker: {error}", file=sys.stderr)
        return 1
    return 0


def own_name() -> str:
    """Return this worker's name unless one is given: host and process, so that two on a host are two."""
    return f"{socket.gethostname()}-{os.getpid()}"


def serve_pool(settings: Settings) -> int:
    """In the place of `commands.serve`, when a work pool is set: deploy onto it, then work for it."""
    prepare(settings)
    _begin()
    name = pool_name(settings, None)

    async def both(begun: dict[UUID, None]) -> None:
        await deploy(settings, name)
        noted = serving_file(settings.var_dir)
        noted.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        noted.write_text(json.dumps({"pid": os.getpid()}), encoding="utf-8")
        async with sign_of_life(noted, object):
            await work(name, own_name(), RUNS_AT_ONCE, begun)

    _until_stopped(both)
    return 0


def _until_stopped(main: Callable[[dict[UUID, None]], Coroutine[Any, Any, None]]) -> None:
    """Run until SIGTERM or Ctrl-C; then end what this worker has begun, and tell the server.

    Prefect's worker leaves such runs behind as Running: they would hold their deployments' slots until the automation
    finds them silent.
    """
    begun: dict[UUID, None] = {}
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(main(begun))
    finally:
        left = psutil.Process().children(recursive=True)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=2)
        hand_back(begun)


def hand_back(begun: Collection[UUID]) -> list[UUID]:
    """Mark those of these runs that have not ended as cancelled and return them; nothing when the server is away."""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterId,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.states import Cancelled

    open_ones = FlowRunFilter(
        id=FlowRunFilterId(any_=list(begun)),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])),
    )
    told: list[UUID] = []
    if begun:
        with suppress(httpx.HTTPError), get_client(sync_client=True) as client:
            for run in client.read_flow_runs(flow_run_filter=open_ones, limit=_NOTED):
                message = "The worker was stopped; what was left undone is due again"
                client.set_flow_run_state(run.id, Cancelled(message=message), force=True)
                told.append(run.id)
    return told


def _begin() -> None:
    log_redaction.install()
    os.environ[ROOT_VARIABLE] = str(ROOT)


async def work(pool: str, name: str, limit: int, begun: dict[UUID, None] | None = None) -> None:
    """Work for the pool until stopped. PrefectServerError when the server has no such pool.

    `begun` is filled with the last two hundred runs that were started here.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound
    from prefect.utilities.processutils import setup_signal_handlers_worker

    async with get_client() as client:
        try:
            await client.read_work_pool(pool)
        except ObjectNotFound:
            raise PrefectServerError(f"there is no work pool {pool}; `madoguchi deploy` makes it") from None
    setup_signal_handlers_worker(os.getpid(), "the worker", _say)
    await make_worker(pool, name, limit, begun).start(printer=_say)


def make_worker(pool: str, name: str, limit: int, begun: dict[UUID, None] | None = None) -> ProcessWorker:
    """Return Prefect's process worker, which starts each run as one process in the project's root, noted in `begun`."""
    from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

    class Job(ProcessJobConfiguration):
        """What only this machine knows: where the project lies, and its interpreter."""

        def prepare_for_flow_run(self, flow_run: FlowRun, *arguments: Any, **named: Any) -> None:
            """Fill it in, whatever the pool's template says."""
            if begun is not None:
                if len(begun) >= _NOTED:
                    del begun[next(iter(begun))]
                begun[flow_run.id] = None
            self.working_dir = ROOT
            self.command = shlex.join([sys.executable, "-m", "prefect.engine"])
            super().prepare_for_flow_run(flow_run, *arguments, **named)

    made = ProcessWorker(name=name, work_pool_name=pool, limit=limit, create_pool_if_not_found=False)
    # Of this one worker: a subclass would replace Prefect's own in its registry of types.
    made.job_configuration = Job
    return made


def _say(text: str, **_style: str) -> None:
    print(text, flush=True)
