"""The steps of the flows around the day of a session as Prefect tasks; thin shells like those of `steps`."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import late_evidence, meeting_removal, observing, reconciliation, reminders, verdicts
from tasks.steps import codes_only
from tasks.wiring import Run, services


@task(name="queue reminders", task_run_name="リマインダーを用意する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def queue_reminders(run: Run) -> reminders.RemindersReport:
    """Queue reminders that are due."""
    return reminders.queue_reminders(services(), run)


@task(name="remove meetings", task_run_name="要らないミーティングを消す", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def remove_meetings(run: Run) -> meeting_removal.RemovalReport:
    """Remove meetings that Zoom must lose."""
    return meeting_removal.remove_meetings(services(), run)


@task(
    name="gather late evidence", task_run_name="終わった面談の記録を集める", cache_policy=NO_CACHE, persist_result=False
)
@codes_only
def gather_late_evidence(run: Run) -> late_evidence.LateEvidenceReport:
    """Read who was in meetings that are over, and judge those sessions again."""
    return late_evidence.gather_late_evidence(services(), run)


@task(name="compare with zoom", task_run_name="Zoomと照らし合わせる", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def compare_with_zoom(run: Run, repair_many: bool) -> reconciliation.ReconcileReport:
    """Compare the record with Zoom, and put right what may be."""
    return reconciliation.reconcile(services(), run, repair_many=repair_many)


@task(name="take in events", task_run_name="Zoomの通知を取り込む", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def take_in_events(run: Run) -> list[tuple[str, str, str]]:
    """Take in webhooks and judge again what they speak of; return the verdicts that changed."""
    return verdicts.take_in(services(), run)


@task(name="observe", task_run_name="Zoomに様子を尋ねる", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def observe(run: Run) -> list[str]:
    """Ask Zoom about sessions of which too little is known."""
    return observing.observe(services(), run)


@task(name="judge sessions", task_run_name="開始10分後の出欠を決める", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def judge_sessions(run: Run) -> verdicts.SweepReport:
    """Judge every session whose tenth minute has come."""
    return verdicts.judge_due(services(), run)
