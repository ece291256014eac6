"""A work pool at Prefect's server, as `madoguchi deploy` uses it. Import after the environment stands."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from prefect.deployments.runner import DeploymentApplyError, RunnerDeployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.workers.process import ProcessWorker

from madoguchi.adapters.prefect_automations import ensure_automations
from madoguchi.adapters.prefect_schedules import drop_surplus_schedules
from madoguchi.adapters.prefect_server import PrefectServerError

_PAGE = 100


class _WhereTheWorkerSays:
    """Flow code that lies on the worker's machine already, at the place that an environment variable names there.

    Without it a deployment carries the path of the machine that deployed, and a worker would copy that whole folder,
    record and all, for each run.
    """

    def __init__(self, variable: str) -> None:
        self._variable = variable
        self.destination = Path()
        self.pull_interval = None

    def set_base_path(self, path: Path) -> None:
        """Nothing is copied anywhere."""

    async def pull_code(self) -> None:
        """Nothing is fetched."""

    def to_pull_step(self) -> dict[str, Any]:
        """Return what a run does before it loads its flow."""
        return {"prefect.deployments.steps.set_working_directory": {"directory": f"{{{{ ${self._variable} }}}}"}}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _WhereTheWorkerSays) and other._variable == self._variable

    def __hash__(self) -> int:
        return hash(self._variable)


class PrefectPool:
    """The server of PREFECT_API_URL. Every method raises PrefectServerError when the server refuses or is away."""

    def __init__(self, root_variable: str) -> None:
        self._place = _WhereTheWorkerSays(root_variable)

    async def ensure(self, name: str) -> bool:
        """Make the pool of processes if it is missing; tell whether it was."""
        try:
            async with get_client() as client:
                try:
                    found = await client.read_work_pool(name)
                except ObjectNotFound:
                    template = ProcessWorker.get_default_base_job_template()
                    await client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))
                    return True
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            raise _refused(error) from None
        if found.type != "process":
            raise PrefectServerError(
                f"the work pool {name} is of type {found.type}, not process; name another with --work-pool"
            )
        return False

    async def apply(self, deployment: RunnerDeployment) -> UUID:
        """Create the deployment or bring it up to date."""
        deployment.storage = self._place
        try:
            return await deployment.aapply()
        except DeploymentApplyError as error:
            raise PrefectServerError(f"{deployment.flow_name}/{deployment.name}: {error}") from None
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            raise _refused(error) from None

    async def drop_surplus_schedules(self, deployment: UUID, slugs: Collection[str]) -> int:
        """Remove the schedules that are not in `slugs`; return how many."""
        return await asyncio.to_thread(drop_surplus_schedules, deployment, slugs)

    async def names(self, pool: str) -> dict[str, UUID]:
        """Return the deployments on the pool by `flow/name`."""
        found: dict[str, UUID] = {}
        wanted = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
        async with get_client() as client:
            while len(page := await client.read_deployments(work_pool_filter=wanted, limit=_PAGE, offset=len(found))):
                for each in page:
                    flow = await client.read_flow(each.flow_id)
                    found[f"{flow.name}/{each.name}"] = each.id
                if len(page) < _PAGE:
                    break
        return found

    async def drop(self, deployment: UUID) -> None:
        """Remove a deployment."""
        async with get_client() as client:
            await client.delete_deployment(deployment)

    async def ensure_automations(self) -> list[str]:
        """Create what cleans up after dead runs; return the names."""
        return await asyncio.to_thread(ensure_automations)


def _refused(error: Exception) -> PrefectServerError:
    if isinstance(error, PrefectHTTPStatusError):
        said = f"it answered {error.response.status_code}"
        if error.response.status_code == 401:
            said += "; set PREFECT_API_AUTH_STRING to the server's password"
        return PrefectServerError(f"the Prefect server did not accept that: {said}")
    return PrefectServerError(f"the Prefect server cannot be reached: {type(error).__name__}")
