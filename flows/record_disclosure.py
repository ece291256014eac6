"""A person has decided whether somebody's records are disclosed under law (Art. 7(2) proviso)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas import State
from prefect.runtime import flow_run
from pydantic import BeforeValidator

from madoguchi.domain.disclosure import ASKED, BASES, DECISIONS, SCOPES, Asked, Basis, Decision, Scope
from tasks import retention_steps
from tasks.disclosure import Authority, Decided
from tasks.rehearsal import rehearsable
from tasks.reporting import begin
from tasks.restrictions import Document
from tasks.staff import ReceivedBy, Reference, Refused, by_code
from tasks.staff_reports import After, ask, conclude, form_name, refuse
from tasks.summary import Summary

_TITLE = "法令に基づく開示の決定"


def _several(value: Any) -> Any:
    """Take `identity,sessions` of the command line for a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


@flow(
    name="record-disclosure",
    flow_run_name=lambda: form_name("record-disclosure"),
    description="官公庁・捜査機関などから法令に基づいて求められた開示（第7条(2)）について、所の決定を記録します。",
    timeout_seconds=3600,
    persist_result=False,
)
@rehearsable
async def record_disclosure(  # noqa: PLR0913, PLR0917 — the fields of the form, by name
    reference: Reference,
    authority: Authority,
    asked: Annotated[Asked, by_code(ASKED)],
    basis: Annotated[Basis, by_code(BASES)],
    decision: Annotated[Decision, by_code(DECISIONS)],
    approver: ReceivedBy,
    received_by: ReceivedBy,
    paper: Document | None = None,
    scope: Annotated[list[Annotated[Scope, by_code(SCOPES)]] | None, BeforeValidator(_several)] = None,
    as_of: datetime | None = None,
    rehearse: bool = False,
) -> State[Any]:
    """官公庁・捜査機関などから法令に基づいて求められた開示（規約第7条(2)）について、所の決定を記録します。

    決めるのは所で、この画面は何も渡しません。電話や口頭での依頼には開示できません。開示する決定を記録すると、
    この方の記録には保存の指示が付き、開示の番号（D-）が出ます。抜き出すのは、その番号で、この機械の上だけです。

    Args:
        reference: その方の予約番号か申込番号。小文字や全角、ハイフンなしでも構いません。
        authority: 求めた官公庁等の名称（例: 松戸警察署）。担当者のお名前は入れないでください。
        asked: どのように求められたか。
        basis: 求めの根拠となる法令。
        decision: 開示するか、しないか。
        approver: 承認した職員の職員番号か名字。受けた職員とは別の方です。
        received_by: 受けた職員の職員番号か名字。お客さまのお名前や電話番号は入れないでください。
        paper: 求めの書面の番号（例: 松職発0924第3号、A-2026-12）。書面がないときは空のままにします。
        scope: 開示する範囲（いくつでも選べます）。開示しないときは空のままにします。
        as_of: この時点のものとして処理します。ふだんは空のままにしてください。
        rehearse: 予行。しるしを付けると、何が記録されるかを見せるだけで、何も行いません。
    """
    run = begin("record-disclosure", as_of, flow_run.id, rehearse=rehearse)
    summary = Summary()
    form = Decided(reference, authority, asked, basis, decision, approver, received_by, paper, tuple(scope or ()))
    done = ask(summary, retention_steps.record_disclosure, run, form)
    if isinstance(done, Refused):
        return await refuse(run, _TITLE, done)
    return await conclude(run, _TITLE, summary, done, After())
