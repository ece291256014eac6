"""A person vouches for the totals of a notice."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from madoguchi.domain.notice_proof import PURPOSES, Purpose
from tasks import notice_steps
from tasks.notice_forms import Signature
from tasks.rehearsal import rehearsable
from tasks.reporting import begin
from tasks.staff import ReceivedBy, Refused, by_code
from tasks.staff_reports import After, ask, conclude, form_name, refuse
from tasks.summary import Summary

_TITLE = "お知らせの合計の確認"


@flow(
    name="sign-off-notice",
    flow_run_name=lambda: form_name("sign-off-notice"),
    description="規約の改定のお知らせについて、だれにお知らせしたかの合計を職員が確認し、記録に残します。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def sign_off_notice(
    code: str,
    signed_by: ReceivedBy,
    purpose: Annotated[Purpose, by_code(PURPOSES)] = "改定のお知らせ",
    as_of: datetime | None = None,
    rehearse: bool = False,
) -> State[Any]:
    """規約の改定のお知らせ（第13条）について、お知らせした方の合計を確認し、そのまま記録に残します。

    送信待ちや、届いたか分からないものがあるうちは使えません。
    後からメールが戻って合計が変わったときは、もう一度確認してください。前の確認も残ります。

    Args:
        code: 規約の改定の番号。改定のページや、お知らせの証明にあります。
        signed_by: 確認した職員の職員番号か名字。記録に残ります。
        purpose: どのお知らせの合計を確認したか。
        as_of: この時点のものとして処理します。ふだんは空のままにしてください。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("sign-off-notice", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    done = ask(summary, notice_steps.sign_off_notice, run, Signature(code, signed_by, purpose))
    if isinstance(done, Refused):
        return await refuse(run, _TITLE, done)
    return await conclude(run, _TITLE, summary, done, After())
