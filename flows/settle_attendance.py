"""A person decides what is held true of a session."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from madoguchi.domain.staff import ATTENDANCE_REASONS, ATTENDANCES, Attendance, AttendanceReason
from tasks import day_steps, staff_steps, steps
from tasks.delivery import DeliveryReport
from tasks.meeting_removal import RemovalReport
from tasks.rehearsal import rehearsable
from tasks.reporting import attempt, begin
from tasks.staff import ReceivedBy, Reference, Refused, by_code
from tasks.staff_attendance import Settlement
from tasks.staff_reports import After, ask, conclude, form_name, refuse
from tasks.summary import Summary

_TITLE = "出欠の決定"


@flow(
    name="settle-attendance",
    flow_run_name=lambda: form_name("settle-attendance"),
    description="出欠を職員が決めます。自動で決まらなかったとき、「連絡なく不参加」を確かめたとき、直すときに使います。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def settle_attendance(
    reference: Reference,
    verdict: Annotated[Attendance, by_code(ATTENDANCES)],
    reason: Annotated[AttendanceReason, by_code(ATTENDANCE_REASONS)],
    received_by: ReceivedBy,
    as_of: datetime | None = None,
    rehearse: bool = False,
) -> State[Any]:
    """出欠を職員が決めます（規約第6条(3)）。

    開始から10分を過ぎてから使えます。職員の決定は、後から届いた記録によって自動で変わることはありません。
    必要なお知らせを送り、要らなくなったミーティングを消します。
    途中で止まったときは、同じ内容でもう一度実行してください。残りだけを行い、同じことを二度はしません。

    Args:
        reference: 予約番号（M- で始まるもの）。小文字や全角、ハイフンなしでも構いません。
        verdict: 出欠の決定。「無断欠席」は、10分までにご連絡も来談もなく、窓口側にも不備がなかったときだけです。
            ご本人にお知らせを送り、回数に数えます。
        reason: どのように確かめたか、または事情。記録に残り、ご本人には伝わりません。
        received_by: 決めた職員の職員番号か名字。記録に残ります。お客さまのお名前や電話番号は入れないでください。
        as_of: この時点のものとして処理します。ふだんは空のままにしてください。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("settle-attendance", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    done = ask(summary, staff_steps.settle_attendance, run, Settlement(reference, verdict, reason, received_by))
    if isinstance(done, Refused):
        return await refuse(run, _TITLE, done)
    removed = attempt(summary, day_steps.remove_meetings, RemovalReport(), run)
    delivered = attempt(summary, steps.deliver_messages, DeliveryReport(), run)
    return await conclude(run, _TITLE, summary, done, After(removed=removed, delivered=delivered))
