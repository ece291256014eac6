"""The steps of announcing and withdrawing an amendment as Prefect tasks: thin shells like those of `steps`."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast
from uuid import UUID

from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE

from madoguchi.domain.amendment import NoticePurpose
from tasks import amendments, announcing, notice_delivery, publishing
from tasks.amendment_reports import Preview, announcement_preview, withdrawal_preview
from tasks.artifacts import are_kept
from tasks.proof import proof_markdown
from tasks.staff import Refused
from tasks.steps import codes_only
from tasks.wiring import Run, services

P = ParamSpec("P")
T = TypeVar("T")
_EVERY_SECONDS = 2.0
TOO_LATE = "効力が生じる日時までに公表できませんでした。この変更は取り下げました。どなたにもお知らせしていません。"

log = logging.getLogger(__name__)


def answered(function: Callable[P, T]) -> Callable[P, T | Refused]:
    """Let a step return its refusal instead of raising it: the log of the run shows no traceback to a clerk."""

    @functools.wraps(function)
    def answer(*args: P.args, **kwargs: P.kwargs) -> T | Refused:
        try:
            return function(*args, **kwargs)
        except Refused as refused:
            log.info("refused: %s", refused)
            return refused

    return answer


@task(name="propose amendment", task_run_name="規約を読み、確かめる", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def propose(run: Run, form: amendments.Announcement) -> amendments.Proposed:
    """Read the new text and apply the rules."""
    return amendments.propose(services(), run, form)


@task(name="preview amendment", task_run_name="確認画面を作る", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def preview(run: Run, proposed: amendments.Proposed) -> Preview:
    """Count whom it concerns and show everything."""
    return announcement_preview(services(), run, proposed)


@task(name="approve amendment", task_run_name="承認を記録する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def approve(run: Run, form: amendments.Announcement, proposed: amendments.Proposed) -> str:
    """Record what was approved."""
    return amendments.approve(services(), run, form, proposed)


@task(name="publish amendment", task_run_name="サイトに公表する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def publish(run: Run, code: str) -> publishing.Published:
    """Let the public site show it."""
    try:
        return publishing.publish_amendment(services(), run, code)
    except publishing.PublishedTooLate:
        raise Refused(TOO_LATE) from None


@task(name="publish site", task_run_name="サイトを作り直す", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def publish_site(run: Run) -> int:
    """Bring the public site to what the record says; return how many files it has."""
    return publishing.publish_site(services(), run).files


@task(name="queue notices", task_run_name="お知らせを用意する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def queue_notices(run: Run, code: str, purpose: NoticePurpose) -> announcing.Queued:
    """Give everybody concerned a notice."""
    return announcing.queue_notices(services(), run, code, purpose)


@task(name="deliver notices", task_run_name="お知らせを送る", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def deliver_notices(run: Run, code: str) -> notice_delivery.NoticeDelivery:
    """Send what is about this amendment; the dashboard shows how far it has come."""
    of = announcing.id_of(services(), code)
    progress = None if are_kept() else Progress(f"{run.flow}-progress")
    return notice_delivery.deliver_notices(services(), run, progress=progress, amendment_id=of)


@task(name="prove notices", task_run_name="お知らせの証明を作る", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def prove(code: str) -> str:
    """Return the proof of notice for the dashboard."""
    return proof_markdown(services(), code)


@task(name="propose withdrawal", task_run_name="取下げを確かめる", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def propose_withdrawal(run: Run, form: amendments.TakingBack) -> amendments.ProposedWithdrawal:
    """Look whether it can be taken back."""
    return amendments.propose_withdrawal(services(), run, form)


@task(name="preview withdrawal", task_run_name="確認画面を作る", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def preview_withdrawal(run: Run, proposed: amendments.ProposedWithdrawal) -> Preview:
    """Count who is told of it and show everything."""
    return withdrawal_preview(services(), run, proposed)


@task(name="withdraw amendment", task_run_name="取下げを記録する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def withdraw(run: Run, form: amendments.TakingBack, proposed: amendments.ProposedWithdrawal) -> str:
    """Take it back in the record."""
    return amendments.withdraw(services(), run, form, proposed)


class Progress:
    """How far the mails have come, as a bar in the dashboard: written at most every two seconds, and at the end."""

    def __init__(self, key: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._key = key
        self._clock = clock
        self._artifact: UUID | None = None
        self._written = 0.0

    def __call__(self, settled: int, total: int) -> None:
        """Take in that `settled` of `total` mails are settled. A server that does not answer stops no mail."""
        now = self._clock()
        if self._artifact is not None and settled < total and now - self._written < _EVERY_SECONDS:
            return
        self._written = now
        percent = 100.0 * settled / total if total else 100.0
        said = f"お知らせ {settled} / {total} 通"
        try:
            if self._artifact is None:
                made = create_progress_artifact(percent, key=self._key, description=said, _sync=True)  # type: ignore[call-arg] # async_dispatch takes it
                self._artifact = cast(UUID, made)
            else:
                update_progress_artifact(self._artifact, percent, said, _sync=True)  # type: ignore[call-arg] # see above
        except Exception as error:  # noqa: BLE001 — the bar is a courtesy, whatever its server answers
            log.warning("progress not shown: %s", type(error).__name__)
