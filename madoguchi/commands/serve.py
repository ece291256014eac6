"""Serving the deployments: the process in which scheduled runs are started. `madoguchi up` runs it as a child."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from config.settings import ROOT, Settings, SettingsError, load_settings
from madoguchi.adapters import log_redaction
from madoguchi.adapters.prefect_server import apply, environment
from madoguchi.commands.office_changes import OfficeChanges, follow
from madoguchi.commands.sign_of_life import sign_of_life
from madoguchi.domain.office import Office

RUNS_AT_ONCE = 4


def serving_file(var_dir: Path) -> Path:
    """Return the file that says which process serves the deployments; it exists from their registration on."""
    return var_dir / "prefect" / "serving.json"


def run(settings: Settings) -> int:
    """Register the deployments and the clean-up with the server of PREFECT_API_URL and start their runs until stopped.

    Schedules stay active when this process ends: runs that were due meanwhile start, once each, when it is back.
    With a work pool in the settings the deployments go onto it, and this process is one of its workers.
    """
    if settings.prefect.work_pool:
        from madoguchi.commands.worker import serve_pool

        return serve_pool(settings)
    apply(
        environment(
            settings.var_dir, settings.prefect.host, settings.prefect.port, ROOT / "config" / "prefect_logging.yml"
        )
    )
    # The entrypoints are relative to it, and Prefect would read a stranger's .env elsewhere.
    os.chdir(ROOT)
    asyncio.run(_serve(settings))
    return 0


async def _serve(settings: Settings) -> None:
    from prefect.runner import Runner

    from flows.deployments import list_deployments, runner_deployments
    from madoguchi.adapters.prefect_automations import ensure_automations
    from madoguchi.adapters.prefect_schedules import drop_surplus_schedules

    # With pause_on_shutdown every stop, and every crash of this process, would silently switch the schedules off.
    runner = Runner(name="madoguchi", pause_on_shutdown=False, limit=RUNS_AT_ONCE)

    async def register(office: Office) -> None:
        for deployment in runner_deployments(list_deployments(office)):
            registered = await runner.aadd_deployment(deployment)
            slugs = {str(schedule.slug) for schedule in deployment.schedules or ()}
            await asyncio.to_thread(drop_surplus_schedules, registered, slugs)

    changes = OfficeChanges(settings.office_file, settings.var_dir, sandbox=settings.is_sandbox)
    await register(settings.office)
    # Automations start deployments, so those come first.
    await asyncio.to_thread(ensure_automations)
    noted = serving_file(settings.var_dir)
    noted.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    noted.write_text(json.dumps({"pid": os.getpid()}), encoding="utf-8")
    # A process that lives without asking for runs would leave the schedules waiting unseen: `up` watches this.
    async with sign_of_life(noted, lambda: runner.last_polled):
        following = asyncio.create_task(follow(changes, register))
        try:
            await runner.start()
        finally:
            following.cancel()


def main() -> int:
    """Run as a child of `madoguchi up`; the settings come from the environment."""
    try:
        settings = load_settings()
    except SettingsError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 2
    log_redaction.install()
    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
