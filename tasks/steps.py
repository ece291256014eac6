"""The steps of flows as Prefect tasks: thin shells around the functions that do the work.

What leaves a step towards Prefect are counts, references and codes; an unexpected error leaves as its type and place.
"""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable
from datetime import datetime
from typing import ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from madoguchi.adapters.smtp import MailConfigError
from madoguchi.adapters.zoom_errors import ZoomConfigError
from madoguchi.domain.office import JST
from madoguchi.sandbox.endpoints import SandboxError
from madoguchi.store.database import DatabaseUnreachable
from madoguchi.store.terms import NoTermsInForce
from madoguchi.store.vault import VaultError
from tasks import delivery, inbox, meetings, scheduling
from tasks.wiring import Run, SettingsError, services

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


_SPEAKING = (
    NoTermsInForce,
    VaultError,
    DatabaseUnreachable,
    SandboxError,
    SettingsError,
    ZoomConfigError,
    MailConfigError,
)
"""Errors whose texts are ours, hold no personal data and say what to do."""


class StepError(Exception):
    """A step broke off. Holds the type of the error and where it arose, never its text: texts may quote a person."""


def codes_only(function: Callable[P, T]) -> Callable[P, T]:
    """Let an unexpected exception out as a StepError without its text and its cause."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except StepError:
            raise
        except _SPEAKING as error:
            log.error("%s: %s", type(error).__name__, error)  # noqa: TRY400 — the text says all
            raised = StepError(f"{type(error).__name__}: {error}")
        except Exception as error:  # noqa: BLE001 — everything unexpected, so that nothing of it reaches Prefect
            frames = traceback.extract_tb(error.__traceback__)
            places = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames[1:]]
            log.error("%s at %s", type(error).__name__, " < ".join(reversed(places)))  # noqa: TRY400 — see above
            raised = StepError(f"{type(error).__name__} at {places[-1] if places else 'unknown'}")
        raise raised from None

    return guarded


def new_run(flow: str, as_of: datetime | None, prefect_run: str | None) -> Run:
    """Return the run of a flow that starts now; a naive `as_of` is Asia/Tokyo wall time."""
    now = services().clock()
    if as_of is None:
        as_of = now
    elif as_of.tzinfo is None:
        as_of = as_of.replace(tzinfo=JST)
    return Run(flow, as_of, now, prefect_run)


@task(name="receive exports", task_run_name="書き出しを読む", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def receive_exports(run: Run, path: str | None, source: str | None) -> inbox.InboxReport:
    """Read exports into the record."""
    return inbox.receive_exports(services(), run, path, source)


@task(
    name="release expired holds",
    task_run_name="期限の過ぎた仮押さえを外す",
    cache_policy=NO_CACHE,
    persist_result=False,
)
@codes_only
def release_expired_holds(run: Run) -> list[str]:
    """Give up holds that never got a meeting."""
    return scheduling.release_expired_holds(services(), run)


@task(name="schedule requests", task_run_name="枠を決める", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def schedule_requests(run: Run) -> scheduling.ScheduleReport:
    """Hold slots, offer other times."""
    return scheduling.schedule_requests(services(), run)


@task(name="create meetings", task_run_name="ミーティングを作る", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def create_meetings(run: Run) -> meetings.MeetingsReport:
    """Create and read back Zoom meetings, confirm their bookings."""
    return meetings.create_meetings(services(), run)


@task(name="deliver messages", task_run_name="お知らせを送る", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def deliver_messages(run: Run) -> delivery.DeliveryReport:
    """Send what is due."""
    return delivery.deliver_messages(services(), run)
