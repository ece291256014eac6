"""Staff told somebody of an amendment by other means than mail."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from madoguchi.domain.notice_proof import HOWS, PURPOSES, How, Purpose
from tasks import notice_steps
from tasks.notice_forms import Told
from tasks.rehearsal import rehearsable
from tasks.reporting import begin
from tasks.staff import ReceivedBy, Reference, Refused, by_code
from tasks.staff_reports import After, ask, conclude, form_name, refuse
from tasks.summary import Summary

_TITLE = "お知らせした記録"


@flow(
    name="record-notice",
    flow_run_name=lambda: form_name("record-notice"),
    description="規約の改定を、電話や郵便などメール以外の方法でお知らせしたことを記録します。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def record_notice(  # noqa: PLR0917 — the fields of the form, by name
    reference: Reference,
    code: str,
    how: Annotated[How, by_code(HOWS)],
    received_by: ReceivedBy,
    happened_at: datetime | None = None,
    purpose: Annotated[Purpose, by_code(PURPOSES)] = "改定のお知らせ",
    as_of: datetime | None = None,
    rehearse: bool = False,
) -> State[Any]:
    """規約の改定（第13条）を、電話や郵便などメール以外の方法でお知らせしたことを記録します。

    この方についてお電話を待っていたものは、これで済みになります。メールでお知らせ済みの方には使えません。
    同じ内容でもう一度実行しても、記録は一つです。

    Args:
        reference: この方の予約番号（M- で始まるもの）か申込番号（R- で始まるもの）。
        code: 規約の改定の番号。改定のページや、お知らせの証明にあります。
        how: どのようにお伝えしたか。郵便は、出した日を記録してください。
        received_by: お伝えした職員の職員番号か名字。記録に残ります。お客さまのお名前や電話番号は入れないでください。
        happened_at: お伝えした日時。空のときは今です。後から入力するときは、必ず実際の日時を入れてください。
        purpose: 何をお伝えしたか。改定を取りやめたことをお伝えしたときは「取りやめのお知らせ」にします。
        as_of: この時点のものとして処理します。ふだんは空のままにしてください。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("record-notice", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    form = Told(reference, code, how, received_by, happened_at, purpose)
    done = ask(summary, notice_steps.record_notice, run, form)
    if isinstance(done, Refused):
        return await refuse(run, _TITLE, done)
    return await conclude(run, _TITLE, summary, done, After())
