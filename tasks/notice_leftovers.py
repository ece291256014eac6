"""What `deliver-messages` does with notices that the run which announced them has left: a thin Prefect task."""

from __future__ import annotations

from typing import Final

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.notice_delivery import NoticeDelivery, deliver_notices
from tasks.steps import codes_only
from tasks.summary import Shortfall, Summary
from tasks.wiring import Run, services

LEFTOVER_SECONDS: Final = 180.0
"""Shorter than the time between two runs: mail about sessions is looked for in each of them first."""


@task(
    name="deliver leftover notices",
    task_run_name="残りの規約のお知らせを送る",
    cache_policy=NO_CACHE,
    persist_result=False,
)
@codes_only
def deliver_leftover_notices(run: Run) -> NoticeDelivery:
    """Go on with notices to everybody for some minutes, unless another runner is at them."""
    return deliver_notices(services(), run, seconds=LEFTOVER_SECONDS)


def report_leftovers(summary: Summary, delivered: NoticeDelivery) -> None:
    """Put what became of notices into the summary, if there were any.

    Some that are left are no shortfall: the announcing run and the watch answer for them. A relay that gives up is, and
    so is a notice of which nobody knows whether it arrived.
    """
    if delivered.counts or delivered.left:
        summary.add({f"notices_{status}": count for status, count in sorted(delivered.counts.items())})
        summary.add({"notices_left": delivered.left})
    doubtful = [(row_id, code) for row_id, code in delivered.incomplete if code == "RUNNER_DIED"]
    if delivered.stopped:
        doubtful.append(("notices", delivered.stopped))
    summary.lacking(
        Shortfall(delivered.counts.total() + delivered.left, "notice", "notices", "not delivered", doubtful)
    )
