"""A person orders that somebody's records stay beyond their time, or ends that."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from madoguchi.domain.disclosure import HOLD_ACTIONS, HOLD_REASONS, HoldAction, HoldReason
from tasks import retention_steps
from tasks.holds import Holding
from tasks.rehearsal import rehearsable
from tasks.reporting import begin
from tasks.restrictions import Document
from tasks.staff import ReceivedBy, Reference, Refused, by_code
from tasks.staff_reports import After, ask, conclude, form_name, refuse
from tasks.summary import Summary

_TITLE = "保存の指示"


@flow(
    name="set-hold",
    flow_run_name=lambda: form_name("set-hold"),
    description="ある方の記録を、保存期間が過ぎても消去しないように指示します。その解除も記録します。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def set_hold(  # noqa: PLR0917 — the fields of the form, by name
    reference: Reference,
    action: Annotated[HoldAction, by_code(HOLD_ACTIONS)],
    reason: Annotated[HoldReason, by_code(HOLD_REASONS)],
    paper: Document,
    received_by: ReceivedBy,
    as_of: datetime | None = None,
    rehearse: bool = False,
) -> State[Any]:
    """ある方の記録を、保存期間が過ぎても消去しないように指示します。その解除も記録します。

    争い・監査・開示の手続きなどで、決定の文書があるときに使います。解除すると、期間の過ぎたものは次の夜に消去されます。

    Args:
        reference: その方の予約番号か申込番号（どれでも構いません）。小文字や全角、ハイフンなしでも構いません。
        action: 保存を続けるか、指示を解除するか。
        reason: 指示した理由。
        paper: 決定の文書番号（例: 松職発0924第3号、A-2026-12）。解除するときは、指示したときと同じ番号を入れます。
        received_by: 記録する職員の職員番号か名字。お客さまのお名前や電話番号は入れないでください。
        as_of: この時点のものとして処理します。ふだんは空のままにしてください。
        rehearse: 予行。しるしを付けると、何が記録されるかを見せるだけで、何も行いません。
    """
    run = begin("set-hold", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    form = Holding(reference, action, reason, paper, received_by)
    done = ask(summary, retention_steps.set_hold, run, form)
    if isinstance(done, Refused):
        return await refuse(run, _TITLE, done)
    return await conclude(run, _TITLE, summary, done, After())
