"""A mail of which nobody knows whether it arrived, or that could not be sent, is settled by a person."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from madoguchi.domain.staff import MESSAGE_OUTCOMES, MessageOutcome
from tasks import day_steps, staff_steps, steps
from tasks.delivery import DeliveryReport
from tasks.meeting_removal import RemovalReport
from tasks.rehearsal import rehearsable
from tasks.reporting import attempt, begin
from tasks.staff import ReceivedBy, Refused, by_code
from tasks.staff_messages import Answer, MessageId
from tasks.staff_reports import After, ask, conclude, form_name, refuse
from tasks.summary import Summary

_TITLE = "お知らせの確認"


@flow(
    name="settle-message",
    flow_run_name=lambda: form_name("settle-message"),
    description="届いたか分からないお知らせ、送れなかったお知らせを、どうするか決めます。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def settle_message(
    message: MessageId,
    outcome: Annotated[MessageOutcome, by_code(MESSAGE_OUTCOMES)],
    received_by: ReceivedBy,
    as_of: datetime | None = None,
    rehearse: bool = False,
) -> State[Any]:
    """届いたか分からないお知らせ、送れなかったお知らせを、どうするか決めます。

    「もう一度送る」のときは、送る直前に予約の状態を確かめ、取り消された予約や時刻を過ぎたお知らせは送りません。
    途中で止まったときは、同じ内容でもう一度実行してください。残りだけを行い、同じことを二度はしません。

    Args:
        message: お知らせの番号（英数字32文字）。職員の確認を待つものの一覧から写してください。
        outcome: ご本人に確かめて「届いていた」、「もう一度送る」、またはお電話で用件を「電話で伝えた」。
        received_by: 決めた職員の職員番号か名字。記録に残ります。お客さまのお名前や電話番号は入れないでください。
        as_of: この時点のものとして処理します。ふだんは空のままにしてください。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("settle-message", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    done = ask(summary, staff_steps.settle_message, run, Answer(message, outcome, received_by))
    if isinstance(done, Refused):
        return await refuse(run, _TITLE, done)
    removed = attempt(summary, day_steps.remove_meetings, RemovalReport(), run)
    delivered = attempt(summary, steps.deliver_messages, DeliveryReport(), run)
    return await conclude(run, _TITLE, summary, done, After(removed=removed, delivered=delivered))
