"""Somebody called or wrote about a session: kept with both times, and the verdict is looked at again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from madoguchi.domain.staff import ABOUTS, CHANNELS, About, Channel
from tasks import day_steps, staff_steps, steps
from tasks.delivery import DeliveryReport
from tasks.meeting_removal import RemovalReport
from tasks.rehearsal import rehearsable
from tasks.reporting import attempt, begin
from tasks.staff import ReceivedBy, Reference, Refused, by_code
from tasks.staff_attendance import Contact
from tasks.staff_reports import After, ask, conclude, form_name, refuse
from tasks.summary import Summary

_TITLE = "連絡の記録"


@flow(
    name="record-contact",
    flow_run_name=lambda: form_name("record-contact"),
    description="お電話やメールでのご連絡を記録します。開始から10分までのご連絡は、後から入れても出欠に反映します。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def record_contact(  # noqa: PLR0917 — the fields of the form, by name
    reference: Reference,
    channel: Annotated[Channel, by_code(CHANNELS)],
    about: Annotated[About, by_code(ABOUTS)],
    received_by: ReceivedBy,
    received_at: datetime | None = None,
    as_of: datetime | None = None,
    rehearse: bool = False,
) -> State[Any]:
    """お電話やメールでのご連絡（規約第6条(3)）を記録します。

    受けた時刻と入力した時刻の両方が残ります。出欠がもう決まっているときは、すぐに見直し、必要なお知らせを送ります。
    この記録だけでは予約は取り消されません。取り消すときは cancel-booking を使ってください。
    同じ内容でもう一度実行しても、記録は一つです。

    Args:
        reference: 予約番号（M- で始まるもの）。小文字や全角、ハイフンなしでも構いません。「お知らせの内容を
            電話で伝えた」のときは、申込番号（R- で始まるもの）も使えます。
        channel: どのようにご連絡があったか（または、お伝えしたか）。
        about: ご連絡の内容。こちらから参加方法やお知らせの内容をお伝えしたときも、ここで選びます。
        received_by: ご連絡を受けた職員の職員番号か名字。記録に残ります。お客さまのお名前や電話番号は
            入れないでください。
        received_at: ご連絡を受けた（お伝えした）日時。空のときは今です。後から入力するときは、必ず実際の時刻を
            入れてください。留守番電話やメールは、残された時刻、届いた時刻を入れます。
        as_of: この時点のものとして処理します。ふだんは空のままにしてください。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("record-contact", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    done = ask(summary, staff_steps.record_contact, run, Contact(reference, channel, about, received_by, received_at))
    if isinstance(done, Refused):
        return await refuse(run, _TITLE, done)
    removed = attempt(summary, day_steps.remove_meetings, RemovalReport(), run)
    delivered = attempt(summary, steps.deliver_messages, DeliveryReport(), run)
    return await conclude(run, _TITLE, summary, done, After(removed=removed, delivered=delivered))
