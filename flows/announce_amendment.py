"""An amendment of the terms: proposed, approved by a person, published, told to everybody (Art. 13)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

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
    refuse,
    required,
    show_preview,
)
from tasks.amendments import GROUNDS, Announcement, Ground, Proposed
from tasks.approval import answer_to, asked_before, question, require_yes
from tasks.rehearsal import rehearsable
from tasks.reporting import begin
from tasks.staff import ReceivedBy, Refused, by_code
from tasks.summary import Summary
from tasks.wiring import Run, services

_TITLE = "利用規約の変更"


@flow(
    name="announce-amendment",
    flow_run_name=lambda: amendment_name("announce-amendment"),
    description="利用規約の変更を確かめ、承認を待って公表し、対象の方全員にお知らせします（第13条）。",
    # Where the process waits for the approver, that time counts too.
    timeout_seconds=15 * 24 * 3600,
    persist_result=False,
)
@rehearsable
async def announce_amendment(  # noqa: PLR0917 — the fields of the form, by name
    file: str,
    ground: Annotated[Ground, by_code(GROUNDS)],
    reason: str,
    effective_date: date,
    approver: ReceivedBy,
    summary: str | None = None,
    code: str | None = None,
    short_notice_reason: str | None = None,
    as_of: datetime | None = None,
    rehearse: bool = False,
) -> State[Any]:
    """利用規約の変更を確かめ、承認を待って公表し、対象の方全員にお知らせします（規約第13条）。

    はじめに、新旧対照表、送るメール、送り先の人数を確認画面に出し、承認を待ちます。「はい」の返事があるまで、
    何も公表せず、記録もしません。途中で止まったときは、同じ内容でもう一度実行すると、残りだけを行います。

    Args:
        file: 新しい規約の文のファイル（.txt、.md、.pdf）の場所。
        ground: 変更の根拠。13(1) は一般の利益に適合する変更、13(2) は目的に反せず合理的な変更です。
        reason: 変更する理由。サイトとメールに載る、公開の文です。
        effective_date: 効力が生じる日。その日の午前0時（日本時間）からになります。
        approver: 承認する職員の職員番号か名字。記録に残ります。
        summary: 変更の要点。公開の文です。空のときは、変わる条の番号から作ります。
        code: 新しい版の番号。空のときは、効力が生じる日（例 2026-10-01）になります。
        short_notice_reason: 周知の期間を所の決まりより短くする理由。公開の文です。ふだんは空のままにしてください。
        as_of: この時点のものとして処理します。ふだんは空のままにしてください。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("announce-amendment", as_of, flow_run.id, rehearse=rehearse)
    form = Announcement(file, ground, reason, effective_date, approver, summary, code, short_notice_reason)
    total = Summary()
    try:
        proposed = required(total, steps.propose, run, form)
        if not proposed.resumes:
            await _approved(run, total, form, proposed)
        required(total, steps.publish, run, proposed.code)
    except Refused as refused:
        return await refuse(run, _TITLE, refused)
    except BrokeOff:
        return await broke_off(run, _TITLE, total)
    queued = ask(total, steps.queue_notices, run, proposed.code, NoticePurpose.ANNOUNCED)
    ask(total, steps.deliver_notices, run, proposed.code)
    proof = ask(total, steps.prove, proposed.code)
    return await conclude(run, _TITLE, total, proposed.code, NoticePurpose.ANNOUNCED, queued, proof)


async def _approved(run: Run, total: Summary, form: Announcement, proposed: Proposed) -> None:
    """Show the approver everything, wait for the yes, record it; Refused when it does not come to that."""
    page = ""
    if not await asked_before():
        preview = required(total, steps.preview, run, proposed)
        await show_preview(run, preview)
        page = preview.page
    given = await answer_to(question(proposed.digest, page), services().office.terms.approval_hours)
    goes_on(run)
    # Days may have passed: what was shown must be what stands now.
    now = required(total, steps.propose, run, form)
    require_yes(given, form.approver, now.digest)
    if not now.resumes:
        required(total, steps.approve, run, form, now)
