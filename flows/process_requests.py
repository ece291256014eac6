"""From form exports to confirmed sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from tasks import day_steps, steps
from tasks.day_reports import lacking_removals
from tasks.delivery import DeliveryReport
from tasks.inbox import InboxReport
from tasks.meeting_removal import RemovalReport
from tasks.meetings import MeetingsReport
from tasks.rehearsal import rehearsable
from tasks.reporting import (
    attempt,
    begin,
    finish,
    is_resting,
    lacking_files,
    lacking_meetings,
    lacking_messages,
    requests_report,
    rest,
    run_name,
)
from tasks.scheduling import ScheduleReport
from tasks.summary import Summary


@flow(
    name="process-requests",
    flow_run_name=lambda: run_name("process-requests"),
    description="申込みフォームの書き出しを読み込み、枠を決め、Zoomミーティングを作り、お知らせを送ります。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def process_requests(
    path: str | None = None,
    source: Literal["google", "logo", "microsoft"] | None = None,
    as_of: datetime | None = None,
    rehearse: bool = False,
) -> State[Any]:
    """申込みフォームの書き出しを読み込み、枠を決め、Zoomミーティングを作り、お知らせを送ります。

    何度実行しても、まだ済んでいないことだけを行います。途中で失敗したときは、もう一度実行してください。

    Args:
        path: 読み込むファイル。空のときは受信フォルダーにあるものをすべて読みます。
        source: フォームの種類。空のときは見出しから判断します。
        as_of: この時点のものとして処理します。空のときは今です。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("process-requests", as_of, flow_run.id, rehearse=rehearse)
    if is_resting(run):
        return await rest(run)
    summary = Summary()

    received = attempt(summary, steps.receive_exports, InboxReport(), run, path, source)
    # Undo first: a hold whose session began without a meeting frees its slot before slots are given out.
    released: list[str] = attempt(summary, steps.release_expired_holds, [], run)
    scheduled = attempt(summary, steps.schedule_requests, ScheduleReport(), run)
    made = attempt(summary, steps.create_meetings, MeetingsReport(), run)
    removed = attempt(summary, day_steps.remove_meetings, RemovalReport(), run)
    delivered = attempt(summary, steps.deliver_messages, DeliveryReport(), run)

    summary.lacking(lacking_files(received))
    summary.lacking(lacking_meetings(made))
    summary.lacking(lacking_removals(removed))
    summary.lacking(lacking_messages(delivered))
    report = requests_report(summary, received, released, scheduled, made, delivered, removed=removed)
    return await finish(run, summary, report)
