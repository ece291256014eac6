"""An application that waits for a person is approved or declined."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from madoguchi.domain.staff import DECIDE_REASONS, DECISIONS, TELLS, DecideReason, Decision, Tell
from tasks import day_steps, staff_steps, steps
from tasks.delivery import DeliveryReport
from tasks.meeting_removal import RemovalReport
from tasks.meetings import MeetingsReport
from tasks.rehearsal import rehearsable
from tasks.reporting import attempt, begin
from tasks.scheduling import ScheduleReport
from tasks.staff import ReceivedBy, Reference, Refused, by_code
from tasks.staff_reports import After, ask, conclude, form_name, refuse
from tasks.staff_requests import Ruling
from tasks.summary import Summary

_TITLE = "申込みの判断"


@flow(
    name="decide-request",
    flow_run_name=lambda: form_name("decide-request"),
    description="職員の確認を待っている申込みを、承認するかお断りします。当日の申込みもここで決めます。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def decide_request(  # noqa: PLR0917 — the fields of the form, by name
    reference: Reference,
    decision: Annotated[Decision, by_code(DECISIONS)],
    received_by: ReceivedBy,
    reason: Annotated[DecideReason, by_code(DECIDE_REASONS)],
    start: datetime | None = None,
    tell: Annotated[Tell, by_code(TELLS)] = "メールで知らせる",
    as_of: datetime | None = None,
    rehearse: bool = False,
) -> State[Any]:
    """職員の確認を待っている申込みを、承認するかお断りします。

    承認すると枠を決めてお知らせを送ります。お断りすると、お電話をお願いするお知らせを送ります（理由は書きません）。
    途中で止まったときは、同じ内容でもう一度実行してください。残りだけを行い、同じことを二度はしません。

    Args:
        reference: 申込番号（R- で始まるもの）。小文字や全角、ハイフンなしでも構いません。
        decision: 承認するか、お断りするか。
        received_by: 判断した職員の職員番号か名字。記録に残ります。お客さまのお名前や電話番号は
            入れないでください。
        reason: 判断の理由。記録に残り、ご本人には伝わりません。
        start: 承認するときの開始日時（日本時間）。ご本人と決めた日時を入れると、その枠をすぐに取ります。
            当日も選べます。空のときは、ご希望の中から申込みの順に決めます。
        tell: お断りをメールで知らせるか、もうお電話で知らせたか。
        as_of: この時点のものとして処理します。ふだんは空のままにしてください。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("decide-request", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    form = Ruling(reference, decision, received_by, reason, start, tell)
    done = ask(summary, staff_steps.decide_request, run, form)
    if isinstance(done, Refused):
        return await refuse(run, _TITLE, done)
    scheduled = attempt(summary, steps.schedule_requests, ScheduleReport(), run)
    made = attempt(summary, steps.create_meetings, MeetingsReport(), run)
    removed = attempt(summary, day_steps.remove_meetings, RemovalReport(), run)
    delivered = attempt(summary, steps.deliver_messages, DeliveryReport(), run)
    return await conclude(run, _TITLE, summary, done, After(removed, scheduled, made, delivered))
