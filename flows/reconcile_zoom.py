"""What the record says of meetings is what Zoom has, every night."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from tasks import day_steps, steps
from tasks.day_reports import lacking_removals
from tasks.delivery import DeliveryReport
from tasks.late_evidence import LateEvidenceReport
from tasks.meeting_removal import RemovalReport
from tasks.meetings import MeetingsReport
from tasks.reconcile_report import lacking_comparison, lacking_late_evidence, reconcile_report
from tasks.reconciliation import ReconcileReport
from tasks.rehearsal import rehearsable
from tasks.reporting import attempt, begin, finish, lacking_meetings, lacking_messages, run_name
from tasks.summary import Summary


@flow(
    name="reconcile-zoom",
    flow_run_name=lambda: run_name("reconcile-zoom"),
    description="予約とZoomのミーティングを照らし合わせ、違いを直すか、職員に知らせます。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def reconcile_zoom(
    as_of: datetime | None = None, repair_many: bool = False, rehearse: bool = False
) -> State[Any]:
    """予約とZoomのミーティングを照らし合わせ、安全に直せる違いは直し、ほかは職員に知らせます。

    終わった面談の参加の記録も読みます。何度実行しても、違いがなければ何もしません。この窓口のものでない
    ミーティングには触れません。

    Args:
        as_of: この時点のものとして処理します。空のときは今です。
        repair_many: 一度に多くのミーティングが消えているときも作り直し、新しいリンクをお知らせします。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("reconcile-zoom", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()

    changed: list[tuple[str, str, str]] = attempt(summary, day_steps.take_in_events, [], run)
    # Before meetings are removed: Zoom tells who was in a meeting only while it has it.
    late = attempt(summary, day_steps.gather_late_evidence, LateEvidenceReport(), run)
    compared = attempt(summary, day_steps.compare_with_zoom, ReconcileReport(), run, repair_many)
    made = attempt(summary, steps.create_meetings, MeetingsReport(), run)
    removed = attempt(summary, day_steps.remove_meetings, RemovalReport(), run)
    delivered = attempt(summary, steps.deliver_messages, DeliveryReport(), run)

    summary.lacking(lacking_late_evidence(late))
    summary.lacking(lacking_comparison(compared))
    summary.lacking(lacking_meetings(made))
    summary.lacking(lacking_removals(removed))
    summary.lacking(lacking_messages(delivered))
    report = reconcile_report(summary, changed, late, compared, made, removed, delivered=delivered)
    return await finish(run, summary, report)
