"""Prefect's automations, as code: the clean-up of runs that nobody ends any more, and what starts watching and telling.

Import after the environment stands (`prefect_server.apply`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

TELL, WATCH = "tell-alarms/on-event", "watch/by-hand"
"""The deployments that automations start."""
ALARM_EVENT: Final = "madoguchi.alarm.changed"
"""What `watch` says when alarms began or ended (`tasks/watch_steps.py`)."""
_HEALED_WITHIN = timedelta(minutes=11)
"""What the next run heals is told to nobody; a minute more than `WatchPolicy.failing`."""

_ANY_RUN = {"prefect.resource.id": "prefect.flow-run.*"}
# Any event of the run is a sign of life: state names are free text, so a list of the final ones would miss some.
_SIGN_OF_LIFE = {"prefect.flow-run.*"}
# Where Pending can lead. No wildcard here: every event that matches is a write on SQLite, and heartbeats are many.
_AFTER_PENDING = {
    f"prefect.flow-run.{state}"
    for state in (
        "Running", "Completed", "Failed", "Crashed", "Cancelling", "Cancelled", "TimedOut",
        "Scheduled", "Late", "AwaitingRetry", "AwaitingConcurrencySlot", "Paused", "Suspended",
    )
}  # fmt: skip


def list_automations() -> list[AutomationCore]:
    """Return the automations; the zombie's 90 seconds belong to the heartbeat of 30 (`prefect_server.environment`)."""
    return [
        AutomationCore(
            name="crash-silent-runs",
            description=(
                "動いているはずの実行から90秒間なにも届かないとき、Crashedにします。"
                "やり残したことは、次の実行が引き継ぎます。"
            ),
            trigger=_silence(
                {"prefect.flow-run.heartbeat", "prefect.flow-run.Running"}, _SIGN_OF_LIFE, timedelta(seconds=90)
            ),
            actions=[
                ChangeFlowRunState(state=StateType.CRASHED, message="No sign of life for 90 s; marked by Madoguchi")
            ],
        ),
        AutomationCore(
            name="crash-pending-runs",
            description=(
                "始まる直前のまま5分たった実行を、Crashedにします。"
                "そのままにすると、同じフローの次の実行がすべて見送られます。"
            ),
            trigger=_silence({"prefect.flow-run.Pending"}, _AFTER_PENDING, timedelta(minutes=5)),
            actions=[ChangeFlowRunState(state=StateType.CRASHED, message="Pending for 5 min; marked by Madoguchi")],
        ),
    ]


def _silence(after: set[str], expect: set[str], within: timedelta) -> EventTrigger:
    return EventTrigger(
        after=after,
        expect=expect,
        match=_ANY_RUN,
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=within,
    )


def list_alarm_automations(deployments: Mapping[str, UUID]) -> list[AutomationCore]:
    """Return the automations that start deployments, by full name; those whose deployment is missing are left out."""
    found = []
    if TELL in deployments:
        found.append(
            AutomationCore(
                name="tell-alarms",
                description="警報が出たとき、片づいたときに、メールとWebhookで知らせます。",
                trigger=EventTrigger(
                    expect={ALARM_EVENT},
                    match={"prefect.resource.id": "madoguchi.counter.*"},
                    posture=Posture.Reactive,
                    threshold=1,
                    within=timedelta(0),
                ),
                actions=[RunDeployment(source="selected", deployment_id=deployments[TELL])],
            )
        )
    if WATCH in deployments:
        found.append(
            AutomationCore(
                name="watch-after-failure",
                description=(
                    "実行が失敗したとき、11分後に見張りを動かします。夜の処理の失敗も、朝を待たずに知らせます。"
                    "次の実行で直ったものは、知らせません。"
                ),
                trigger=EventTrigger(
                    expect={f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "TimedOut")},
                    match=_ANY_RUN,
                    # Each of these must hold. A watch that finds something fails: it must not start another one.
                    match_related=[
                        {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.office"},
                        {"prefect.resource.role": "flow", "prefect.resource.name": "!watch"},
                        {"prefect.resource.role": "flow", "prefect.resource.name": "!tell-alarms"},
                    ],
                    posture=Posture.Reactive,
                    threshold=1,
                    # Once in so long, however many fail: one look finds them all.
                    within=timedelta(minutes=10),
                ),
                actions=[
                    RunDeployment(source="selected", deployment_id=deployments[WATCH], schedule_after=_HEALED_WITHIN)
                ],
            )
        )
    return found


def ensure_automations() -> list[str]:
    """Create the automations, or bring those of the same name to this release's text; return their names.

    After the deployments: an automation that starts one needs it. One that an operator has switched off stays off.
    """
    names = []
    with get_client(sync_client=True) as client:
        for wanted in [*list_automations(), *list_alarm_automations(_deployments(client))]:
            found = client.read_automations_by_name(wanted.name)
            if found:
                kept = wanted.model_copy(update={"enabled": found[0].enabled})
                client.update_automation(found[0].id, kept)
            else:
                client.create_automation(wanted)
            names.append(wanted.name)
    return names


def _deployments(client: SyncPrefectClient) -> dict[str, UUID]:
    found = {}
    for name in (TELL, WATCH):
        try:
            found[name] = client.read_deployment_by_name(name).id
        except ObjectNotFound:
            continue
    return found
