"""A booking is cancelled by telephone (Art. 6(3)); its slot goes to the first who waits."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from madoguchi.domain.staff import CANCEL_REASONS, CancelReason
from tasks import day_steps, staff_steps, steps
from tasks.delivery import DeliveryReport
from tasks.meeting_removal import RemovalReport
from tasks.meetings import MeetingsReport
from tasks.rehearsal import rehearsable
from tasks.reporting import attempt, begin
from tasks.scheduling import ScheduleReport
from tasks.staff import ReceivedBy, Reference, Refused, by_code
from tasks.staff_bookings import Cancellation
from tasks.staff_reports import After, ask, conclude, form_name, refuse
from tasks.summary import Summary

_TITLE = "予約の取消し"


@flow(
    name="cancel-booking",
    flow_run_name=lambda: form_name("cancel-booking"),
    description="お電話で受けた取消しを記録します。ミーティングを消し、お知らせを送り、空いた枠を待っている方に回します。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def cancel_booking(  # noqa: PLR0917 — the fields of the form, by name
    reference: Reference,
    received_by: ReceivedBy,
    reason: Annotated[CancelReason, by_code(CANCEL_REASONS)],
    received_at: datetime | None = None,
    by_office: bool = False,
    as_of: datetime | None = None,
    rehearse: bool = False,
) -> State[Any]:
    """お電話で受けた取消し（規約第6条(3)）を記録します。

    予約を取り消し、Zoomミーティングを消し、取消しのお知らせを送り、空いた枠を待っている方に回します。
    途中で止まったときは、同じ内容でもう一度実行してください。残りだけを行い、同じことを二度はしません。

    Args:
        reference: 予約番号（M- で始まるもの）。小文字や全角、ハイフンなしでも構いません。
        received_by: お電話を受けた職員の職員番号か名字。記録に残ります。お客さまのお名前や電話番号は
            入れないでください。
        reason: 取消しの理由を選んでください。
        received_at: お電話を受けた日時。空のときは今です。後から入力するときは、必ず受けた日時を入れてください。
        by_office: 所の都合による取消しのとき、しるしを付けます。お詫びのお知らせになります。
        as_of: この時点のものとして処理します。ふだんは空のままにしてください。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("cancel-booking", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    form = Cancellation(reference, received_by, reason, received_at, by_office)
    done = ask(summary, staff_steps.cancel_booking, run, form)
    if isinstance(done, Refused):
        return await refuse(run, _TITLE, done)
    removed = attempt(summary, day_steps.remove_meetings, RemovalReport(), run)
    scheduled = attempt(summary, steps.schedule_requests, ScheduleReport(), run)
    made = attempt(summary, steps.create_meetings, MeetingsReport(), run)
    delivered = attempt(summary, steps.deliver_messages, DeliveryReport(), run)
    return await conclude(run, _TITLE, summary, done, After(removed, scheduled, made, delivered))
