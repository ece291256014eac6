"""Telling people of alarms as soon as one begins or ends; an automation starts it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from tasks.alarms import TellingReport
from tasks.rehearsal import rehearsable
from tasks.reporting import attempt, begin, finish, run_name
from tasks.summary import Summary
from tasks.watch_steps import lacking_channels, tell, telling_report


@flow(
    name="tell-alarms",
    flow_run_name=lambda: run_name("tell-alarms"),
    description="まだ知らせていない警報を、メールとWebhookで知らせます。同じ警報は一度だけです。",
    timeout_seconds=600,
    persist_result=False,
)
@rehearsable
async def tell_alarms(as_of: datetime | None = None, rehearse: bool = False) -> State[Any]:
    """まだ知らせていない警報を、メールとWebhookで知らせます。

    警報が出たとき、片づいたときに自動で動きます。届かなかった先には、次の回にもう一度知らせます。

    Args:
        as_of: この時点のものとして知らせます。空のときは今です。
        rehearse: 予行。しるしを付けると、だれにも知らせません。
    """
    run = begin("tell-alarms", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    told = attempt(summary, tell, TellingReport(), run)
    summary.lacking(lacking_channels(told))
    return await finish(run, summary, telling_report(summary, told))
