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
from typing import TYPE_CHECKING, Any

from config.settings import ROOT, Settings
from madoguchi.adapters import log_redaction
from madoguchi.adapters.prefect_server import PrefectServerError
from madoguchi.commands.deploy import ROOT_VARIABLE, deploy, pool_name, prepare
from madoguchi.commands.serve import RUNS_AT_ONCE, serving_file
from madoguchi.commands.sign_of_life import sign_of_life

if TYPE_CHECKING:
    from prefect.workers.process import ProcessWorker


def run(settings: Settings, work_pool: str | None = None, name: str | None = None, limit: int | None = None) -> int:
    """Work for the pool until stopped; 0 stopped, 1 the server or the pool is missing.

    `limit`: runs at once, 4 when not given; each takes about 100 MB and 3 s of a processor to start. Ends on SIGTERM or
    Ctrl-C; the runs under way are then stopped, and what they left undone is due again.
    """
    try:
        prepare(settings)
        _begin()
        asyncio.run(work(pool_name(settings, work_pool), name or own_name(), limit or RUNS_AT_ONCE))
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

    async def both() -> None:
        await deploy(settings, name)
        noted = serving_file(settings.var_dir)
        noted.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        noted.write_text(json.dumps({"pid": os.getpid()}), encoding="utf-8")
        async with sign_of_life(noted, object):
            await work(name, own_name(), RUNS_AT_ONCE)

    asyncio.run(both())
    return 0


def _begin() -> None:
    log_redaction.install()
    os.environ[ROOT_VARIABLE] = str(ROOT)


async def work(pool: str, name: str, limit: int) -> None:
    """Work for the pool until stopped. PrefectServerError when the server has no such pool."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound
    from prefect.utilities.processutils import setup_signal_handlers_worker

    async with get_client() as client:
        try:
            await client.read_work_pool(pool)
        except ObjectNotFound:
            raise PrefectServerError(f"there is no work pool {pool}; `madoguchi deploy` makes it") from None
    setup_signal_handlers_worker(os.getpid(), "the worker", _say)
    await make_worker(pool, name, limit).start(printer=_say)


def make_worker(pool: str, name: str, limit: int) -> ProcessWorker:
    """Return Prefect's process worker, which starts each run as one process in the project's root."""
    from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

    class Job(ProcessJobConfiguration):
        """What only this machine knows: where the project lies, and its interpreter."""

        def prepare_for_flow_run(self, *arguments: Any, **named: Any) -> None:
            """Fill it in, whatever the pool's template says."""
            self.working_dir = ROOT
            self.command = shlex.join([sys.executable, "-m", "prefect.engine"])
            super().prepare_for_flow_run(*arguments, **named)

    made = ProcessWorker(name=name, work_pool_name=pool, limit=limit, create_pool_if_not_found=False)
    # Of this one worker: a subclass would replace Prefect's own in its registry of types.
    made.job_configuration = Job
    return made


def _say(text: str, **_style: str) -> None:
    print(text, flush=True)
