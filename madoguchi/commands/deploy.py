"""`madoguchi deploy`: the list of deployments on a work pool, for workers on this and other machines."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from config.settings import ROOT, Settings
from madoguchi.adapters.prefect_server import PrefectServerError, apply, environment, find_server

if TYPE_CHECKING:
    from uuid import UUID

DEFAULT_POOL = "madoguchi"
ROOT_VARIABLE = "MADOGUCHI_ROOT"
"""Where a worker says, to the runs that it starts, where the project lies on its machine."""


class Pool(Protocol):
    """What deploying needs of a Prefect server (`adapters/prefect_pool.py`)."""

    async def ensure(self, name: str) -> bool:
        """Make the pool of processes if it is missing; tell whether it was. PrefectServerError: of another type."""

    async def apply(self, deployment: Any) -> UUID:
        """Create the deployment or bring it up to date."""

    async def drop_surplus_schedules(self, deployment: UUID, slugs: Collection[str]) -> int:
        """Remove the schedules that are not in `slugs`; return how many."""

    async def names(self, pool: str) -> dict[str, UUID]:
        """Return the deployments on the pool by `flow/name`."""

    async def drop(self, deployment: UUID) -> None:
        """Remove a deployment."""

    async def ensure_automations(self) -> list[str]:
        """Create what cleans up after dead runs; return the names."""


@dataclass(slots=True)
class Deployed:
    """What deploying did."""

    pool: str
    is_new: bool = False
    applied: list[str] = field(default_factory=list)
    schedules: int = 0
    surplus: int = 0
    dropped: list[str] = field(default_factory=list)
    automations: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return it for the terminal."""
        return [
            f"work pool   {self.pool} ({'created' if self.is_new else 'was there'})",
            f"deployments {len(self.applied)} applied, with {self.schedules} schedules",
            f"removed     {self.surplus} schedules, {len(self.dropped)} deployments{_listed(self.dropped)}",
            f"automations {', '.join(self.automations)}",
        ]


def run(settings: Settings, work_pool: str | None = None) -> int:
    """Put every deployment of the list on the pool and print what was done; 0 done, 1 not (the text says why).

    May be repeated at will: what the list no longer names is removed from the pool, what an operator has paused stays
    paused. Runs under way go on.
    """
    try:
        prepare(settings)
        done = asyncio.run(deploy(settings, pool_name(settings, work_pool)))
    except PrefectServerError as error:
        print(f"madoguchi deploy: {error}", file=sys.stderr)
        return 1
    print("\n".join(done.lines()))
    print(f"Now start workers:  madoguchi worker --work-pool {done.pool}")
    return 0


def pool_name(settings: Settings, given: str | None) -> str:
    """Return the pool to use: as given, as set, or `madoguchi`."""
    return given or settings.prefect.work_pool or DEFAULT_POOL


def prepare(settings: Settings) -> str:
    """Set this process's environment for Prefect, go to the project's root and return the server's API address.

    PrefectServerError when there is no server: a temporary one would forget everything.
    """
    variables = environment(
        settings.var_dir, settings.prefect.host, settings.prefect.port, ROOT / "config" / "prefect_logging.yml"
    )
    url = find_server(settings.var_dir)
    if url is None:
        raise PrefectServerError(
            "no Prefect server runs for this directory; start `madoguchi up` here, "
            "or set PREFECT_API_URL to the server's address (https://HOST/api)"
        )
    apply({**variables, "PREFECT_API_URL": url})
    # The entrypoints are relative to it, and Prefect would read a stranger's .env elsewhere.
    os.chdir(ROOT)
    return url


async def deploy(settings: Settings, name: str, pool: Pool | None = None) -> Deployed:
    """Put the list of deployments on the pool `name`. After `prepare`. PrefectServerError when the server refuses."""
    from flows.deployments import list_deployments, runner_deployments

    entries = list_deployments(settings.office)
    # Before anything is changed at the server: a flow that cannot be imported is an error here.
    wanted = runner_deployments(entries, work_pool=name)
    if pool is None:
        from madoguchi.adapters.prefect_pool import PrefectPool

        pool = PrefectPool(ROOT_VARIABLE)
    return await put(pool, name, wanted)


async def put(pool: Pool, name: str, wanted: Sequence[Any]) -> Deployed:
    """Bring the pool to exactly these `RunnerDeployment`s."""
    done = Deployed(name, is_new=await pool.ensure(name))
    for deployment in wanted:
        registered = await pool.apply(deployment)
        slugs = {str(schedule.slug) for schedule in deployment.schedules or ()}
        done.surplus += await pool.drop_surplus_schedules(registered, slugs)
        done.schedules += len(slugs)
        done.applied.append(f"{deployment.flow_name}/{deployment.name}")
    # Some of them start deployments.
    done.automations = await pool.ensure_automations()
    for full_name, identity in sorted((await pool.names(name)).items()):
        if full_name not in done.applied:
            await pool.drop(identity)
            done.dropped.append(full_name)
    return done


def _listed(names: Sequence[str]) -> str:
    return f": {', '.join(names)}" if names else ""
