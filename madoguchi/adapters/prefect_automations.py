"""The clean-up of runs that nobody ends any more, as code. Prefect itself leaves them running for ever.

Import after the environment stands (`prefect_server.apply`).
"""

from __future__ import annotations

from datetime import timedelta

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

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
                "始まる直前のまま10分たった実行を、Crashedにします。"
                "そのままにすると、同じフローの次の実行がすべて見送られます。"
            ),
            trigger=_silence({"prefect.flow-run.Pending"}, _AFTER_PENDING, timedelta(minutes=10)),
            actions=[ChangeFlowRunState(state=StateType.CRASHED, message="Pending for 10 min; marked by Madoguchi")],
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


def ensure_automations() -> list[str]:
    """Create the automations, or bring those of the same name to this release's text; return their names.

    An automation that an operator has switched off stays off.
    """
    names = []
    with get_client(sync_client=True) as client:
        for wanted in list_automations():
            found = client.read_automations_by_name(wanted.name)
            if found:
                kept = wanted.model_copy(update={"enabled": found[0].enabled})
                client.update_automation(found[0].id, kept)
            else:
                client.create_automation(wanted)
            names.append(wanted.name)
    return names
