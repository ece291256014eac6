"""The forms of staff as Prefect tasks: thin shells like those of `steps`.

A refusal is the answer of its step, not a failure of it: the log of the run shows no traceback to a clerk.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import restrictions, staff_attendance, staff_bookings, staff_messages, staff_requests, staff_session
from tasks.staff import Done, Refused
from tasks.steps import codes_only
from tasks.wiring import Run, services

P = ParamSpec("P")

log = logging.getLogger(__name__)


def answered(function: Callable[P, Done | Refused]) -> Callable[P, Done | Refused]:
    """Let a step return its refusal instead of raising it."""

    @functools.wraps(function)
    def answer(*args: P.args, **kwargs: P.kwargs) -> Done | Refused:
        try:
            return function(*args, **kwargs)
        except Refused as refused:
            log.info("refused: %s", refused)
            return refused

    return answer


@task(name="cancel booking", task_run_name="予約を取り消す", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def cancel_booking(run: Run, form: staff_bookings.Cancellation) -> Done | Refused:
    """Cancel a booking (Art. 6(3))."""
    return staff_bookings.cancel_booking(services(), run, form)


@task(name="move booking", task_run_name="予約の日時を変える", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def move_booking(run: Run, form: staff_bookings.Move) -> Done | Refused:
    """Move a booking to another time."""
    return staff_bookings.move_booking(services(), run, form)


@task(name="decide request", task_run_name="申込みを判断する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def decide_request(run: Run, form: staff_requests.Ruling) -> Done | Refused:
    """Approve or decline an application."""
    return staff_requests.decide_request(services(), run, form)


@task(name="book in session", task_run_name="次回の予約を取る", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def book_in_session(run: Run, form: staff_session.NextBooking) -> Done | Refused:
    """Book the next session of somebody who is here (Art. 6(1))."""
    return staff_session.book_in_session(services(), run, form)


@task(name="record contact", task_run_name="連絡を記録する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def record_contact(run: Run, form: staff_attendance.Contact) -> Done | Refused:
    """Keep that somebody called or wrote."""
    return staff_attendance.record_contact(services(), run, form)


@task(name="check in", task_run_name="来談を記録する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def check_in(run: Run, form: staff_attendance.CheckIn) -> Done | Refused:
    """Keep what the counsellor says."""
    return staff_attendance.check_in(services(), run, form)


@task(name="settle attendance", task_run_name="出欠を決める", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def settle_attendance(run: Run, form: staff_attendance.Settlement) -> Done | Refused:
    """Let a person's decision about a session stand."""
    return staff_attendance.settle_attendance(services(), run, form)


@task(name="set restriction", task_run_name="利用の制限を記録する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def set_restriction(run: Run, form: restrictions.Decided) -> Done | Refused:
    """Restrict a person's future use, or lift that."""
    return restrictions.set_restriction(services(), run, form)


@task(name="settle message", task_run_name="お知らせの扱いを決める", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def settle_message(run: Run, form: staff_messages.Answer) -> Done | Refused:
    """Settle a mail that waits for a person."""
    return staff_messages.settle_message(services(), run, form)
