"""Every deployment, its schedule and its limits: one typed list, served by `madoguchi up` or put on a work pool."""

from __future__ import annotations

import importlib

from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron

from flows.deployment_entry import DeploymentEntry
from flows.deployments_by_hand import list_by_hand
from flows.deployments_on_schedule import list_on_schedule
from madoguchi.domain.office import Office

TIME_ZONE = "Asia/Tokyo"


def list_deployments(office: Office) -> tuple[DeploymentEntry, ...]:
    """Return the deployments of an office: those on schedule, then those by hand."""
    return (*list_on_schedule(office), *list_by_hand())


def runner_deployments(entries: tuple[DeploymentEntry, ...], *, work_pool: str | None = None) -> list[RunnerDeployment]:
    """Return the list as Prefect wants it: for `serve`, or with `work_pool` for `RunnerDeployment.apply`.

    Imports every flow, so that a broken one is an error here; the working directory must be the project's root, which
    the entrypoints are relative to.
    """
    for entry in entries:
        # from_entrypoint falls back to reading the source when an import fails, and every run would fail instead.
        module, function = entry.entrypoint.split(":")
        getattr(importlib.import_module(module.removesuffix(".py").replace("/", ".")), function)
    return [
        RunnerDeployment.from_entrypoint(
            entry.entrypoint,
            name=entry.name,
            schedules=[
                Cron(cron, timezone=TIME_ZONE, slug=f"{entry.name}-{number}") for number, cron in enumerate(entry.crons)
            ],
            parameters=dict(entry.parameters),
            description=entry.description,
            tags=list(entry.tags),
            concurrency_limit=ConcurrencyLimitConfig(
                limit=1, collision_strategy=ConcurrencyLimitStrategy(entry.collision)
            ),
            work_pool_name=work_pool,
        )
        for entry in entries
    ]
