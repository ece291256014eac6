"""Ten minutes after the start: who came, who called, whom the office failed; Art. 6(3)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from tasks import day_steps, steps
from tasks.day_reports import lacking_removals
from tasks.delivery import DeliveryReport
from tasks.meeting_removal import RemovalReport
from tasks.rehearsal import rehearsable
from tasks.reporting import attempt, begin, finish, lacking_messages, run_name
from tasks.summary import Summary
from tasks.sweep_reports import lacking_verdicts, sweep_report
from tasks.verdicts import SweepReport


@flow(
    name="sweep-no-shows",
    flow_run_name=lambda: run_name("sweep-no-shows"),
    description="開始から10分たった相談の出欠を、記録から決めます。遅れて動いても、10分の時点のこととして決めます。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def sweep_no_shows(as_of: datetime | None = None, rehearse: bool = False) -> State[Any]:
    """開始から10分たった相談の出欠を、記録から決めます。遅れて動いても、10分の時点のこととして決めます。

    一つの相談を決めるのは一度だけです。言い切れないものは、職員の確認を待ちます。
    後から届いた通知で事情が分かったときは、お客さまのためになる方向にだけ改めます。

    Args:
        as_of: この時点のものとして処理します。空のときは今です。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("sweep-no-shows", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    changed: list[tuple[str, str, str]] | None = attempt(summary, day_steps.take_in_events, None, run)
    asked: list[str] | None = attempt(summary, day_steps.observe, None, run)
    swept = SweepReport()
    # What broke off may have known that somebody came: nobody is judged without it, the next run does.
    if changed is not None and asked is not None:
        swept = attempt(summary, day_steps.judge_sessions, swept, run)
    swept.changed = changed or []
    removed = attempt(summary, day_steps.remove_meetings, RemovalReport(), run)
    delivered = attempt(summary, steps.deliver_messages, DeliveryReport(), run)
    summary.lacking(lacking_verdicts(swept))
    summary.lacking(lacking_removals(removed))
    summary.lacking(lacking_messages(delivered))
    summary.add({"asked": len(asked or [])})
    return await finish(run, summary, sweep_report(summary, swept, removed, delivered))
