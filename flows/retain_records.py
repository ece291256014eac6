"""Every night: what has had its time loses everything personal and keeps its place in the statistics."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from tasks import retention_steps
from tasks.rehearsal import rehearsable
from tasks.reporting import attempt, begin, finish, run_name
from tasks.retention import RetentionReport
from tasks.retention_reports import lacking_erasures, retention_report
from tasks.summary import Summary


@flow(
    name="retain-records",
    flow_run_name=lambda: run_name("retain-records"),
    description="保存期間の過ぎた記録から、個人に関する内容を消去します。統計の数は残ります。",
    timeout_seconds=4 * 3600,
    persist_result=False,
)
@rehearsable
async def retain_records(as_of: datetime | None = None, rehearse: bool = False) -> State[Any]:
    """保存期間（office.toml の retention_days）の過ぎた記録から、個人に関する内容を消去します。統計の数は残ります。

    まだ済んでいない用件、保存の指示のある方、開示の手続きの途中の方のものは残します。消去は取り消せません。
    途中で止まっても、もう一度実行すると残りだけを行います。

    Args:
        as_of: この時点のものとして処理します。空のときは今です。実際の日時より先のことはできません。
        rehearse: 予行。しるしを付けると、消去されるものの数を見せるだけで、何も行いません。
    """
    run = begin("retain-records", as_of, flow_run.id, rehearse=rehearse)
    summary, report = Summary(), RetentionReport()
    for step in (
        retention_steps.erase_records,
        retention_steps.pseudonymise_people,
        retention_steps.turn_keys,
        retention_steps.clean_files,
    ):
        report.add(attempt(summary, step, RetentionReport(), run))
    summary.lacking(lacking_erasures(report))
    return await finish(run, summary, retention_report(summary, report))
