"""The counsellor says who is there."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from madoguchi.domain.staff import SEEN, Seen
from tasks import day_steps, staff_steps, steps
from tasks.delivery import DeliveryReport
from tasks.meeting_removal import RemovalReport
from tasks.rehearsal import rehearsable
from tasks.reporting import attempt, begin
from tasks.staff import ReceivedBy, Reference, Refused, by_code
from tasks.staff_attendance import CheckIn
from tasks.staff_reports import After, ask, conclude, form_name, refuse
from tasks.summary import Summary

_TITLE = "来談の記録"


@flow(
    name="check-in",
    flow_run_name=lambda: form_name("check-in"),
    description="来談された方がいるか、担当者が記録します。開始の30分前から、その日のうちに使えます。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def check_in(
    reference: Reference,
    who: Annotated[Seen, by_code(SEEN)],
    received_by: ReceivedBy,
    seen_at: datetime | None = None,
    as_of: datetime | None = None,
    rehearse: bool = False,
) -> State[Any]:
    """来談された方がいるか、担当者が記録します。

    開始の30分前から、その日のうちに使えます。出欠がもう決まっているときは、すぐに見直し、必要なお知らせを送ります。
    「来談者が来ていない」は、開始から9分を過ぎたころにもう一度見てから入れてください。早すぎると、
    いらっしゃらなかったことの裏づけになりません。

    Args:
        reference: 予約番号（M- で始まるもの）。小文字や全角、ハイフンなしでも構いません。
        who: 来談された方がいるかどうか。
        received_by: 記録する担当者の職員番号か名字。お客さまのお名前や電話番号は入れないでください。
        seen_at: 確かめた日時。空のときは今です。後から入力するときは、必ず確かめた日時を入れてください。
        as_of: この時点のものとして処理します。ふだんは空のままにしてください。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("check-in", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    done = ask(summary, staff_steps.check_in, run, CheckIn(reference, who, received_by, seen_at))
    if isinstance(done, Refused):
        return await refuse(run, _TITLE, done)
    removed = attempt(summary, day_steps.remove_meetings, RemovalReport(), run)
    delivered = attempt(summary, steps.deliver_messages, DeliveryReport(), run)
    return await conclude(run, _TITLE, summary, done, After(removed=removed, delivered=delivered))
