"""What waits because a mail came back is dealt with by a person."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from madoguchi.domain.notice_proof import HANDLED, Handled
from tasks import notice_steps
from tasks.notice_forms import Settled
from tasks.rehearsal import rehearsable
from tasks.reporting import begin
from tasks.staff import Matter, ReceivedBy, Refused, by_code
from tasks.staff_reports import After, ask, conclude, form_name, refuse
from tasks.summary import Summary

_TITLE = "戻ってきたメールへの対応"


@flow(
    name="settle-bounce",
    flow_run_name=lambda: form_name("settle-bounce"),
    description="戻ってきたメールについて、お電話で伝えたこと、またはアドレスが使えることを記録します。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def settle_bounce(
    reference: Matter,
    outcome: Annotated[Handled, by_code(HANDLED)],
    received_by: ReceivedBy,
    as_of: datetime | None = None,
    rehearse: bool = False,
) -> State[Any]:
    """戻ってきたメールについて、どのように対応したかを記録します。

    「アドレスは使える」のときは、この方のアドレスへのメールの停止をやめます。戻ってきたメールは送り直しません。
    規約の改定のお知らせをお電話で伝えたときは、record-notice を使ってください。

    Args:
        reference: 予約番号（M- で始まるもの）か申込番号（R- で始まるもの）。「確かめた」のときは、一覧にある
            policy- や unclear- で始まる番号を入れます。
        outcome: 用件を「ご本人に伝えた」、ご本人に確かめて「アドレスは使える」、または原因を「確かめた」。
        received_by: 対応した職員の職員番号か名字。記録に残ります。お客さまのお名前や電話番号は入れないでください。
        as_of: この時点のものとして処理します。ふだんは空のままにしてください。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("settle-bounce", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    done = ask(summary, notice_steps.settle_bounce, run, Settled(reference, outcome, received_by))
    if isinstance(done, Refused):
        return await refuse(run, _TITLE, done)
    return await conclude(run, _TITLE, summary, done, After())
