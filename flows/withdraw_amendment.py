"""An announced amendment is taken back before its effect, and everybody who knows of it is told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from madoguchi.domain.amendment import NoticePurpose
from tasks import amendment_steps as steps
from tasks.amendment_reports import (
    BrokeOff,
    amendment_name,
    ask,
    broke_off,
    conclude,
    goes_on,
    noted,
    refuse,
    required,
    show_preview,
)
from tasks.amendments import ProposedWithdrawal, TakingBack
from tasks.approval import answer_to, asked_before, question, require_yes
from tasks.rehearsal import rehearsable
from tasks.reporting import begin
from tasks.staff import ReceivedBy, Refused
from tasks.summary import Summary
from tasks.wiring import Run, services

_TITLE = "利用規約の変更の取下げ"


@flow(
    name="withdraw-amendment",
    flow_run_name=lambda: amendment_name("withdraw-amendment"),
    description="公表した規約の変更を、効力が生じる前に取り下げ、お知らせを受け取った方にお知らせします。",
    # Where the process waits for the approver, that time counts too.
    timeout_seconds=15 * 24 * 3600,
    persist_result=False,
)
@rehearsable
async def withdraw_amendment(
    code: str, reason: str, approver: ReceivedBy, as_of: datetime | None = None, rehearse: bool = False
) -> State[Any]:
    """公表した規約の変更を、効力が生じる前に取り下げます。

    はじめに、送るメールと送り先の人数を確認画面に出し、承認を待ちます。「はい」の返事があると、その変更は
    なかったことになり、まだ送っていないお知らせは送らず、お知らせを受け取った方に取下げをお知らせします。
    内容を直すときは、取り下げてから、別の番号で改めて公表してください（announce-amendment）。

    Args:
        code: 取り下げる版の番号（例 2026-10-01）。
        reason: 取り下げる理由。サイトとメールに載る、公開の文です。
        approver: 承認する職員の職員番号か名字。記録に残ります。
        as_of: この時点のものとして処理します。ふだんは空のままにしてください。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("withdraw-amendment", as_of, flow_run.id, rehearse=rehearse)
    form, total = TakingBack(code, reason, approver), Summary()
    try:
        proposed = required(total, steps.propose_withdrawal, run, form)
        if not proposed.resumes:
            await _approved(run, total, form, proposed)
    except Refused as refused:
        return await refuse(run, _TITLE, refused)
    except BrokeOff:
        return await broke_off(run, _TITLE, total)
    # In the record it is withdrawn: whatever breaks off from here on is finished by the same form.
    noted(total, steps.publish_site, run)
    queued = ask(total, steps.queue_notices, run, proposed.code, NoticePurpose.WITHDRAWN)
    ask(total, steps.deliver_notices, run, proposed.code)
    proof = ask(total, steps.prove, proposed.code)
    return await conclude(run, _TITLE, total, proposed.code, NoticePurpose.WITHDRAWN, queued, proof)


async def _approved(run: Run, total: Summary, form: TakingBack, proposed: ProposedWithdrawal) -> None:
    """Show the approver everything, wait for the yes, record it; Refused when it does not come to that."""
    page = ""
    if not await asked_before():
        preview = required(total, steps.preview_withdrawal, run, proposed)
        await show_preview(run, preview)
        page = preview.page
    given = await answer_to(question(proposed.digest, page), services().office.terms.approval_hours)
    goes_on(run)
    # Days may have passed: what was shown must be what stands now.
    now = required(total, steps.propose_withdrawal, run, form)
    require_yes(given, form.approver, now.digest)
    if not now.resumes:
        required(total, steps.withdraw, run, form, now)
