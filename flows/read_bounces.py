"""What came back is read: addresses are blocked, people are called."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from tasks import notice_steps
from tasks.bounces import BounceReport
from tasks.notice_reports import bounces_report, lacking_bounces
from tasks.rehearsal import rehearsable
from tasks.reporting import attempt, begin, finish, is_resting, rest, run_name
from tasks.summary import Summary


@flow(
    name="read-bounces",
    flow_run_name=lambda: run_name("read-bounces"),
    description="戻ってきたメールを読み、届かないアドレスへのメールを止め、お電話が要る方を一覧に入れます。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def read_bounces(as_of: datetime | None = None, rehearse: bool = False) -> State[Any]:
    """戻ってきたメール（配信状況の通知）を読みます。

    届かないアドレスへのメールを止め、お電話が要る方を職員の確認待ちの一覧に入れます。
    同じものを何度読んでも、記録は一つです。読めないファイルは別のフォルダーに残し、名前を示します。

    Args:
        as_of: この時点のものとして処理します。空のときは今です。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("read-bounces", as_of, flow_run.id, rehearse=rehearse)
    if is_resting(run):
        return await rest(run)
    summary = Summary()
    read = attempt(summary, notice_steps.read_bounces, BounceReport(), run)
    summary.lacking(lacking_bounces(read))
    return await finish(run, summary, bounces_report(summary, read))
