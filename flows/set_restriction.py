"""A person decides to refuse somebody's future use, or takes that back."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from madoguchi.domain.staff import (
    GROUNDS,
    RESTRICTING,
    RESTRICTION_REASONS,
    Ground,
    Restricting,
    RestrictionReason,
)
from tasks import staff_steps
from tasks.rehearsal import rehearsable
from tasks.reporting import begin
from tasks.restrictions import Decided, Document
from tasks.staff import ReceivedBy, Reference, Refused, by_code
from tasks.staff_reports import After, ask, conclude, form_name, refuse
from tasks.summary import Summary

_TITLE = "利用の制限"


@flow(
    name="set-restriction",
    flow_run_name=lambda: form_name("set-restriction"),
    description="今後の利用をお断りする決定（第6条(3)・第12条(1)）と、その解除を記録します。お知らせは送りません。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def set_restriction(  # noqa: PLR0917 — the fields of the form, by name
    reference: Reference,
    action: Annotated[Restricting, by_code(RESTRICTING)],
    reason: Annotated[RestrictionReason, by_code(RESTRICTION_REASONS)],
    received_by: ReceivedBy,
    ground: Annotated[Ground | None, by_code(GROUNDS)] = None,
    until: date | None = None,
    document: Document | None = None,
    as_of: datetime | None = None,
    rehearse: bool = False,
) -> State[Any]:
    """今後の利用をお断りする決定と、その解除を記録します（規約第6条(3)、第12条(1)）。

    決めるのは職員で、自動で制限されることはありません。制限がある間、この方の次の申込みは職員の確認待ちになります。
    今ある予約や申込みはそのままです。ご本人へのお知らせは送りませんので、所からお伝えください。
    制限はお一人に一つです。変えるときは、解除してから制限してください。

    Args:
        reference: その方の予約番号か申込番号（どれでも構いません）。小文字や全角、ハイフンなしでも構いません。
        action: 制限するか、解除するか。
        reason: 決めた理由。記録に残り、ご本人には伝わりません。
        received_by: 決めた職員の職員番号か名字。記録に残ります。お客さまのお名前や電話番号は入れないでください。
        ground: 制限するときの根拠の条項。解除するときは空のままにします。
        until: 制限の最後の日。空のときは、解除するまで続きます。
        document: 決定の文書番号（例: 松職発0924第3号、A-2026-12）。なければ空のままにします。
        as_of: この時点のものとして処理します。ふだんは空のままにしてください。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("set-restriction", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    form = Decided(reference, action, reason, received_by, ground, until, document)
    done = ask(summary, staff_steps.set_restriction, run, form)
    if isinstance(done, Refused):
        return await refuse(run, _TITLE, done)
    return await conclude(run, _TITLE, summary, done, After())
