"""The public site of the terms is brought to what holds today: at midnight versions come into force."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run

from tasks.rehearsal import rehearsable
from tasks.reporting import attempt, begin, finish, run_name
from tasks.site_steps import (
    CarriedOn,
    SiteBuilt,
    carry_on,
    lacking_amendments,
    lacking_site,
    rebuild_site,
    site_report,
)
from tasks.summary import Summary


@flow(
    name="publish-terms",
    flow_run_name=lambda: run_name("publish-terms"),
    description="利用規約の公開サイトを、今の規約に合わせて作り直します。変わったことがなければ、何もしません。",
    timeout_seconds=600,
    persist_result=False,
)
@rehearsable
async def publish_terms(as_of: datetime | None = None, rehearse: bool = False) -> State[Any]:
    """利用規約の公開サイトを、今の規約に合わせて作り直します。

    公表した変更は、効力が生じる日の午前0時に「今の規約」になります。毎日その時刻のあとに自動で動きます。
    これから効力が生じる変更があるときは、公表のあとに申し込まれた方へのお知らせも用意します。
    変わったことがなければ、何もしません。新しい変更を公表するときは announce-amendment を使ってください。

    Args:
        as_of: この時点のものとして作ります。空のときは今です。
        rehearse: 予行。しるしを付けると、送るお知らせ、ミーティング、出欠などを見せるだけで、何も行いません。
    """
    run = begin("publish-terms", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    carried = attempt(summary, carry_on, CarriedOn(), run)
    summary.lacking(lacking_amendments(carried))
    built = attempt(summary, rebuild_site, SiteBuilt(), run)
    summary.lacking(lacking_site(built))
    return await finish(run, summary, site_report(summary, built, carried))
