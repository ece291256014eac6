"""Schedules at Prefect's server that the list of deployments names no more.

Prefect adds and changes schedules by their slug and removes none: after a change of the office's hours an old one would
go on beside the new ones. Import after the environment stands (`prefect_server.apply`).
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from prefect.client.orchestration import get_client


def drop_surplus_schedules(deployment_id: UUID, slugs: Collection[str]) -> int:
    """Remove a deployment's schedules whose slug is not in `slugs`, with their planned runs; return how many."""
    with get_client(sync_client=True) as client:
        surplus = [s for s in client.read_deployment(deployment_id).schedules if s.slug not in slugs]
        for schedule in surplus:
            client.delete_deployment_schedule(deployment_id, schedule.id)
    return len(surplus)
