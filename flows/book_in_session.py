"""The next session is booked during a session (Art. 6(1), proviso)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from tasks import day_steps, staff_steps, steps
from tasks.delivery import DeliveryReport
from tasks.meeting_removal import RemovalReport
from tasks.meetings import MeetingsReport
from tasks.rehearsal import rehearsable
from tasks.reporting import attempt, begin
from tasks.scheduling import ScheduleReport
from tasks.staff import ReceivedBy, Reference, Refused
from tasks.staff_reports import After, ask, conclude, form_name, refuse
from tasks.staff_session import NextBooking
from tasks.summary import Summary

_TITLE = "次回の予約"


@flow(
    name="book-in-session",
    flow_run_name=lambda: form_name("book-in-session"),
    description="相談の中で、同じ方の次回の予約を取ります。初めての予約には使えません。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def book_in_session(  # noqa: PLR0917 — the fields of the form, by name
    reference: Reference,
    start: datetime,
    received_by: ReceivedBy,
    counsellor: str | None = None,
    allow_same_day: bool = False,
    as_of: datetime | None = None,
    rehearse: bool = False,
) -> State[Any]:
    """相談の中で、同じ方の次回の予約を取ります（規約第6条(1)ただし書）。

    今の規約への同意を口頭で確かめてから実行してください。Zoomミーティングを作り、予約確定のお知らせを送ります。
    途中で止まったときは、同じ内容でもう一度実行してください。残りだけを行い、同じことを二度はしません。

    Args:
        reference: 今の相談、または終わった相談の予約番号（M- で始まるもの）。
        start: 次回の開始日時（日本時間）。開庁日の相談時間の中で入れてください。
        received_by: 予約を受けた職員の職員番号か名字。記録に残ります。お客さまのお名前や電話番号は
            入れないでください。
        counsellor: 担当者のコード。空のときは、できるだけ今の担当者にします。
        allow_same_day: 当日の予約も受けるとき、しるしを付けます（原則は前日まで）。
        as_of: この時点のものとして処理します。ふだんは空のままにしてください。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("book-in-session", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    form = NextBooking(reference, start, received_by, counsellor, allow_same_day)
    done = ask(summary, staff_steps.book_in_session, run, form)
    if isinstance(done, Refused):
        return await refuse(run, _TITLE, done)
    scheduled = attempt(summary, steps.schedule_requests, ScheduleReport(), run)
    made = attempt(summary, steps.create_meetings, MeetingsReport(), run)
    removed = attempt(summary, day_steps.remove_meetings, RemovalReport(), run)
    delivered = attempt(summary, steps.deliver_messages, DeliveryReport(), run)
    return await conclude(run, _TITLE, summary, done, After(removed, scheduled, made, delivered))
