"""A booking is moved to another time; the old one goes to the first who waits."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from madoguchi.domain.staff import MOVE_REASONS, MoveReason
from tasks import day_steps, staff_steps, steps
from tasks.delivery import DeliveryReport
from tasks.meeting_removal import RemovalReport
from tasks.meetings import MeetingsReport
from tasks.rehearsal import rehearsable
from tasks.reporting import attempt, begin
from tasks.scheduling import ScheduleReport
from tasks.staff import ReceivedBy, Reference, Refused, by_code
from tasks.staff_bookings import Move
from tasks.staff_reports import After, ask, conclude, form_name, refuse
from tasks.summary import Summary

_TITLE = "予約の日時の変更"


@flow(
    name="move-booking",
    flow_run_name=lambda: form_name("move-booking"),
    description="予約を別の日時に変えます。新しいミーティングを作って変更をお知らせし、元のミーティングを消します。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def move_booking(  # noqa: PLR0917 — the fields of the form, by name
    reference: Reference,
    start: datetime,
    received_by: ReceivedBy,
    reason: Annotated[MoveReason, by_code(MOVE_REASONS)],
    counsellor: str | None = None,
    as_of: datetime | None = None,
    rehearse: bool = False,
) -> State[Any]:
    """予約を別の日時に変えます。

    新しいZoomミーティングを作り、変更のお知らせを送り、元のミーティングを消し、元の枠を待っている方に回します。
    途中で止まったときは、同じ内容でもう一度実行してください。残りだけを行い、同じことを二度はしません。

    Args:
        reference: 予約番号（M- で始まるもの）。小文字や全角、ハイフンなしでも構いません。
        start: 新しい開始日時（日本時間）。開庁日の相談時間の中なら、当日や、刻みに合わない時刻も選べます。
        received_by: ご連絡を受けた職員の職員番号か名字。記録に残ります。お客さまのお名前や電話番号は
            入れないでください。
        reason: 変更の理由を選んでください。
        counsellor: 担当者のコード。空のときは、できるだけ今の担当者のままにします。
        as_of: この時点のものとして処理します。ふだんは空のままにしてください。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("move-booking", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    form = Move(reference, start, received_by, reason, counsellor)
    done = ask(summary, staff_steps.move_booking, run, form)
    if isinstance(done, Refused):
        return await refuse(run, _TITLE, done)
    # Slots first: whoever gets the one that was left has a meeting in the same run.
    scheduled = attempt(summary, steps.schedule_requests, ScheduleReport(), run)
    made = attempt(summary, steps.create_meetings, MeetingsReport(), run)
    removed = attempt(summary, day_steps.remove_meetings, RemovalReport(), run)
    delivered = attempt(summary, steps.deliver_messages, DeliveryReport(), run)
    return await conclude(run, _TITLE, summary, done, After(removed, scheduled, made, delivered))
