"""Reminders leave when they are due, or while they still help."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from tasks import day_steps, steps
from tasks.day_reports import lacking_reminders, reminders_report
from tasks.delivery import DeliveryReport
from tasks.rehearsal import rehearsable
from tasks.reminders import RemindersReport
from tasks.reporting import attempt, begin, finish, lacking_messages, run_name
from tasks.summary import Summary


@flow(
    name="send-reminders",
    flow_run_name=lambda: run_name("send-reminders"),
    description="前の開庁日と直前のリマインダーを、時刻になった予約に送ります。遅れても、役に立つうちは送ります。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def send_reminders(as_of: datetime | None = None, rehearse: bool = False) -> State[Any]:
    """前の開庁日と直前のリマインダーを、時刻になった予約に送ります。遅れても、役に立つうちは送ります。

    同じリマインダーを二度送ることはありません。取消しや変更になった予約には送りません。

    Args:
        as_of: この時点のものとして処理します。空のときは今です。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("send-reminders", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    reminded = attempt(summary, day_steps.queue_reminders, RemindersReport(), run)
    delivered = attempt(summary, steps.deliver_messages, DeliveryReport(), run)
    summary.lacking(lacking_reminders(reminded))
    summary.lacking(lacking_messages(delivered))
    return await finish(run, summary, reminders_report(summary, reminded, delivered))
