"""The forms of staff as Prefect tasks: thin shells like those of `steps`. Refused passes as it is."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import staff_bookings, staff_requests, staff_session
from tasks.staff import Done
from tasks.steps import codes_only
from tasks.wiring import Run, services


@task(name="cancel booking", task_run_name="予約を取り消す", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def cancel_booking(run: Run, form: staff_bookings.Cancellation) -> Done:
    """Cancel a booking (Art. 6(3))."""
    return staff_bookings.cancel_booking(services(), run, form)


@task(name="move booking", task_run_name="予約の日時を変える", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def move_booking(run: Run, form: staff_bookings.Move) -> Done:
    """Move a booking to another time."""
    return staff_bookings.move_booking(services(), run, form)


@task(name="decide request", task_run_name="申込みを判断する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def decide_request(run: Run, form: staff_requests.Ruling) -> Done:
    """Approve or decline an application."""
    return staff_requests.decide_request(services(), run, form)


@task(name="book in session", task_run_name="次回の予約を取る", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def book_in_session(run: Run, form: staff_session.NextBooking) -> Done:
    """Book the next session of somebody who is here (Art. 6(1))."""
    return staff_session.book_in_session(services(), run, form)
