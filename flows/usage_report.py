"""The report of a month: what may be said of the counter outside the office (Art. 7)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run
from pydantic import Field

from tasks.rehearsal import rehearsable
from tasks.reporting import attempt, begin, finish, run_name
from tasks.summary import Summary
from tasks.usage_report import MONTH, Written, lacking_report, report_markdown, write_usage_report


@flow(
    name="usage-report",
    flow_run_name=lambda: run_name("usage-report"),
    description="一か月の利用状況を、表とグラフの報告にまとめます。少ない数は伏せます。",
    timeout_seconds=600,
    persist_result=False,
)
@rehearsable
async def usage_report(
    month: Annotated[str, Field(pattern=MONTH)] = "",
    redo: bool = True,
    as_of: datetime | None = None,
    rehearse: bool = False,
) -> State[Any]:
    """一か月の利用状況を、表とグラフの報告（HTMLとCSV）にまとめ、報告のフォルダーに置きます。

    お名前などは入りません。1件から4件は「5未満」とし、引き算でそれが分かってしまう数も伏せます（規約第7条(2)）。
    同じ月をもう一度作っても、記録が変わっていなければ同じものになります。

    Args:
        month: どの月か。2026-09 のように入れます。空のときは先月です。終わっていない月は作れません。
        redo: もうあるときに作り直すか。外すと、まだ作っていないときだけ、月の最初の開庁日から作ります。
        as_of: この時点のものとして処理します。空のときは今です。
        rehearse: 予行。しるしを付けると、報告を置かずに、まとめだけを見せます。
    """
    run = begin("usage-report", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    written = attempt(summary, write_usage_report, Written("", broke_off=True), run, month, redo)
    summary.lacking(lacking_report(written))
    return await finish(run, summary, report_markdown(summary, written))
