"""Intent against outcome: what is due and undone, told before anybody has to ask."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from flows.deployments_on_schedule import list_on_schedule
from tasks.alarms import TellingReport
from tasks.artifacts import publish
from tasks.overview import Scheduled
from tasks.rehearsal import rehearsable
from tasks.reporting import attempt, begin, finish, run_name
from tasks.summary import Summary
from tasks.watch_steps import (
    announce,
    draw_overview,
    lacking_channels,
    lacking_findings,
    look,
    tell,
    watch_report,
)
from tasks.watching import WatchReport
from tasks.wiring import services


@flow(
    name="watch",
    flow_run_name=lambda: run_name("watch"),
    description="あるべき姿と実際を比べ、足りないものを、起きたこと・対象・することの順に知らせます。",
    timeout_seconds=600,
    persist_result=False,
)
@rehearsable
async def watch(as_of: datetime | None = None, rehearse: bool = False) -> State[Any]:
    """あるべき姿と実際を比べ、足りないものを知らせます。

    送る時刻を過ぎたお知らせ、決まっていない出欠、長く待っている判断、動いていない予定などを見ます。
    同じことは一度だけ知らせ、片づいたときにもう一度知らせます。お急ぎのものがある間、この実行は Failed になります。

    Args:
        as_of: この時点のものとして見ます。空のときは今です。
        rehearse: 予行。しるしを付けると、見るだけで、だれにも知らせません。
    """
    run = begin("watch", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    schedules = [Scheduled(entry.flow, entry.crons) for entry in list_on_schedule(services().office)]
    seen = attempt(summary, look, WatchReport(), run, schedules)
    announce(seen)
    told = attempt(summary, tell, TellingReport(), run)
    summary.lacking(lacking_findings(seen))
    summary.lacking(lacking_channels(told))
    if drawn := attempt(summary, draw_overview, "", run, schedules):
        await publish("overview", drawn, "概況")
    return await finish(run, summary, watch_report(summary, seen))
