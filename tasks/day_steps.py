"""The steps of the flows around the day of a session as Prefect tasks; thin shells like those of `steps`."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import meeting_removal, reminders
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
