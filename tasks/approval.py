"""A question to a person in the dashboard: the run ends, or waits, until it is answered or the time for it is over.

A run of a deployment is suspended: its process ends, and the flow runs again from its top after the answer. A run
without one (`madoguchi run`) cannot be suspended by Prefect: there the process waits.
"""

from __future__ import annotations

import logging
import unicodedata
from typing import Any, Final
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import apause_flow_run, asuspend_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from pydantic import Field, create_model

from madoguchi.domain.amendment_rules import CHANGED_SINCE
from tasks.staff import ReceivedBy, Refused

YES, NO = "はい", "いいえ"
_KEY: Final = "approval-"
_POLL_SECONDS: Final = 2
_DIGEST_TITLE: Final = "確認した内容の番号"
_DIGEST_HELP: Final = "確認した内容と結び付ける番号です。変えないでください。"

log = logging.getLogger(__name__)


class Approval(RunInput):
    """What the approver fills in. The schema refuses anything but the two words, so a slip does not end the run."""

    answer: str = Field(
        title="承認しますか（はい／いいえ）",
        description="公表してよければ「はい」、やめるときは「いいえ」と入力してください。",
        pattern=f"^({YES}|{NO})$",
    )
    approver: ReceivedBy = Field(
        title="承認する職員",
        description="実行するときに approver に入れた、承認する職員の職員番号か名字をもう一度入れてください。",
    )
    digest: str = Field(title=_DIGEST_TITLE, description=_DIGEST_HELP)


def question(digest: str, page: str) -> type[Approval]:
    """Return the form of one question: `page` is the text above it, `digest` stands for what it shows."""
    # Prefilled, but required: an answer without it must not take the number of what stands when it is read.
    shown = Field(title=_DIGEST_TITLE, description=_DIGEST_HELP, json_schema_extra={"default": digest})
    made: type[Approval] = create_model("Approval", __base__=Approval, digest=(str, shown))
    # How RunInput keeps the text above a form; `with_initial_data` would lose what the fields say.
    made._description = page  # noqa: SLF001 — see above
    return made


async def asked_before() -> bool:
    """Tell whether this run was asked already, and was resumed with an answer."""
    return _fired(await _this_run()) is not None


async def answer_to(asked: type[Approval], hours: int) -> Approval:
    """Ask, and return the answer once there is one. A run of a deployment ends here and comes back from its top.

    Refused when nobody answers within `hours` (the process waits), or the answer cannot be read. An expired suspension
    ends as Failed by the server, without running anything again.
    """
    seconds = hours * 3600
    this = await _this_run()
    # A run that is retried after its end forgets what it asked; its old answer must not count for the new question.
    key = _fired(this) or f"{_KEY}{this.run_count}"
    if this.deployment_id is not None:
        return await asuspend_flow_run(wait_for_input=asked, timeout=seconds, key=key)
    log.warning("waiting for the approver's answer, at most %d h: %s", hours, _place())
    try:
        return await apause_flow_run(wait_for_input=asked, timeout=seconds, poll_interval=_POLL_SECONDS, key=key)
    except FlowPauseTimeout:
        raise Refused(f"{hours}時間以内に承認の返事がありませんでした。何も公表していません。") from None


def require_yes(given: Approval, approver: str, digest: str) -> None:
    """Raise Refused unless the named approver has said yes to exactly what stands now."""
    if given.answer != YES:
        raise Refused("承認されませんでした（いいえ）。何も公表していません。")
    if _name(given.approver) != _name(approver):
        raise Refused(
            "承認した職員が、実行するときに入れた approver（承認する職員）と違います。何も公表していません。"
            "もう一度実行してください。"
        )
    if given.digest.strip() != digest:
        raise Refused(CHANGED_SINCE)


async def _this_run() -> FlowRun:
    async with get_client() as client:
        return await client.read_flow_run(UUID(str(flow_run.id)))


def _fired(run: FlowRun) -> str | None:
    fired = run.empirical_policy.pause_keys or set()
    return next((key for key in sorted(fired) if key.startswith(_KEY)), None)


def _place() -> str:
    settings: Any = get_current_settings()
    screens = settings.ui_url
    if screens:
        return f"{screens.rstrip('/')}/runs/flow-run/{flow_run.id} (Resume)"
    return f"flow run {flow_run.id} at {settings.api.url}; for a dashboard to answer in, start `madoguchi up` first"


def _name(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip()
