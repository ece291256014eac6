"""What is due goes out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from tasks import steps
from tasks.delivery import DeliveryReport
from tasks.notice_delivery import NoticeDelivery
from tasks.notice_leftovers import deliver_leftover_notices, report_leftovers
from tasks.rehearsal import rehearsable
from tasks.reporting import attempt, begin, finish, lacking_messages, messages_report, run_name
from tasks.summary import Summary


@flow(
    name="deliver-messages",
    flow_run_name=lambda: run_name("deliver-messages"),
    description="送る時刻になったお知らせを送ります。途中で止まった分も引き継ぎます。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def deliver_messages(as_of: datetime | None = None, rehearse: bool = False) -> State[Any]:
    """送る時刻になったお知らせを送ります。途中で止まった分も引き継ぎます。

    予約のお知らせを先に送り、規約の変更のお知らせが残っていれば、続けて数分間だけ送ります。
    同じお知らせを二度送ることはありません。届いたかどうか分からないものは、職員の確認を待ちます。

    Args:
        as_of: この時点のものとして処理します。空のときは今です。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("deliver-messages", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    delivered = attempt(summary, steps.deliver_messages, DeliveryReport(), run)
    summary.lacking(lacking_messages(delivered))
    leftovers = attempt(summary, deliver_leftover_notices, NoticeDelivery(), run)
    report_leftovers(summary, leftovers)
    return await finish(run, summary, messages_report(summary, delivered))
