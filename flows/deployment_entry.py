"""One line of the list of deployments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class DeploymentEntry:
    """One deployment. `crons`: in Asia/Tokyo, none for a flow started by hand. `description`: for the dashboard.

    `collision`: what happens to a run that starts while another runs: CANCEL_NEW for schedules, because everything
    due is done by the run that is under way or by the next one; ENQUEUE for runs that a person asked for.
    """

    flow: str
    name: str
    entrypoint: str
    description: str
    crons: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    collision: Literal["CANCEL_NEW", "ENQUEUE"] = "CANCEL_NEW"

    @property
    def full_name(self) -> str:
        """What `prefect deployment run` wants."""
        return f"{self.flow}/{self.name}"
