"""Counts by the database: the same on both, days as Japan counts them, nothing sealed needed, fast at 100,000 rows."""

from datetime import date, timedelta

import pytest
from sqlalchemy import select, update

from madoguchi.domain.statistics import Quantiles
from madoguchi.store.models import Booking, BookingRequest, Bounce, OutboxMessage
from madoguchi.store.overview import last_runs, mails_by_state, queues, sessions_ahead
from madoguchi.store.runs import finish_run, start_run
from madoguchi.store.statistics import (
    bounces,
    mails,
    requests_by_day,
    requests_by_hour,
    requests_by_reason,
    requests_by_source,
    sessions_by_hour,
    sessions_by_month,
    span,
    times_to_confirmation,
)
from tests.world import AS_OF, World, jst

SEPTEMBER = span(date(2026, 9, 1), date(2026, 10, 1))


@pytest.fixture
def world(database):
    return World(database)


def ask(function, world, within=SEPTEMBER):
    with world.database.read() as session:
        return function(session, world.office.code, within)


def mail(world, reference=None, *, kind="confirmed", status="sent", queued=AS_OF, sent=None, number=[0]):  # noqa: B006 — a counter
    number[0] += 1
    with world.database.write() as session:
        booking = session.scalar(select(Booking).where(Booking.reference == reference))
        session.add(
            OutboxMessage(
                office=world.office.code, dedupe_key=f"{kind}:{number[0]}", kind=kind, client_id=None, request_id=None,
                booking_id=booking.id if booking else None, revision=1, template_version="t", sealed_context=b"",
                status=status, reason=None, due_at=queued, not_after=None, message_id=f"<{number[0]}@example.jp>",
                sent_at=sent, queued_at=queued, changed_at=sent or queued,
            )
        )  # fmt: skip


def test_a_day_of_applications_begins_and_ends_at_midnight_in_japan(world):
    for moment in ("2026-08-31 23:59", "2026-09-01 00:00", "2026-09-01 08:59", "2026-09-01 23:59", "2026-09-30 23:59",
                   "2026-10-01 00:00"):  # fmt: skip
        world.ask("2026-10-20 11:00", submitted_at=jst(moment))
    assert ask(requests_by_day, world) == {date(2026, 9, 1): 3, date(2026, 9, 30): 1}
    assert ask(requests_by_hour, world) == {0: 1, 8: 1, 23: 2}


def test_an_application_counts_once_its_file_is_settled_and_unless_it_says_nothing(world):
    world.ask("2026-09-24 11:00", outcome="accept")
    world.ask("2026-09-24 11:00", outcome="reject", reason="PAST_DATE", source="logo")
    world.ask("2026-09-24 11:00", outcome="reject", reason="PAST_DATE", status="rejected")
    world.ask("2026-09-24 11:00", outcome="skip", reason="BLANK")
    world.ask("2026-09-24 11:00", status="staged")
    world.ask("2026-09-24 11:00", submitted_at=None, outcome="needs_review", reason="NO_SUBMIT_TIME")
    assert ask(requests_by_reason, world) == {
        ("accept", ""): 1, ("reject", "PAST_DATE"): 2, ("needs_review", "NO_SUBMIT_TIME"): 1,
    }  # fmt: skip
    assert ask(requests_by_source, world) == {"google": 3, "logo": 1}
    assert sum(ask(requests_by_day, world).values()) == 4, "without a time it counts when it was read"


def test_sessions_count_by_their_start_and_given_up_holds_do_not(world):
    for number, status in enumerate(("attended", "attended", "no_show", "cancelled", "released", "confirmed")):
        world.occupy("2026-09-24 11:00", counsellor=f"c-{number}", host=f"h-{number}", status=status)
    world.occupy("2026-10-01 00:00", status="attended")
    assert ask(sessions_by_month, world, span(date(2026, 9, 1), date(2026, 11, 1))) == {
        ("2026-09", "attended"): 2, ("2026-09", "no_show"): 1, ("2026-09", "cancelled"): 1,
        ("2026-09", "confirmed"): 1, ("2026-10", "attended"): 1,
    }  # fmt: skip
    assert ask(sessions_by_hour, world) == {11: 5}


def test_mails_count_by_kind_and_state_and_old_ones_only_while_they_wait(world):
    mail(world, kind="confirmed")
    mail(world, kind="confirmed", status="failed", queued=jst("2026-08-01 09:00"))
    mail(world, kind="reminder_day", status="sent", queued=jst("2026-08-01 09:00"))
    mail(world, kind="reminder_day", status="queued", queued=AS_OF)
    assert ask(mails, world) == {("confirmed", "sent"): 1, ("reminder_day", "queued"): 1}
    with world.database.read() as session:
        found = mails_by_state(session, world.office.code, AS_OF - timedelta(days=7))
    assert {state: queue.count for state, queue in found.items()} == {"sent": 1, "failed": 1, "queued": 1}
    assert found["failed"].oldest == jst("2026-08-01 09:00")


def test_what_came_back_is_counted_by_kind(world):
    with world.database.write() as session:
        for number, kind in enumerate(("hard", "hard", "soft")):
            session.add(Bounce(office=world.office.code, dedupe_key=f"{number}", message_id=None, address_index=None,
                               kind=kind, action="failed", status_code="5.1.1", arrived_at=AS_OF,
                               recorded_at=AS_OF))  # fmt: skip
    assert ask(bounces, world) == {"hard": 2, "soft": 1}


def test_the_time_to_a_confirmation_is_from_applying_to_the_mail_by_the_week_in_which_it_left(world):
    weeks = [span(date(2026, 9, 7), date(2026, 9, 14)), span(date(2026, 9, 14), date(2026, 9, 21)),
             span(date(2026, 9, 21), date(2026, 9, 28))]  # fmt: skip
    for number in range(10):
        start = f"2026-10-{1 + number:02d} 11:00"
        reference = world.occupy(start)
        with world.database.write() as session:
            session.execute(
                update(BookingRequest).where(BookingRequest.reference == reference.replace("M", "R"))
                .values(submitted_at=jst("2026-09-14 09:00"))
            )  # fmt: skip
        mail(world, reference, sent=jst("2026-09-14 09:00") + timedelta(hours=1 + number))
    mail(world, reference, kind="changed", sent=jst("2026-09-15 09:00"))
    mail(world, reference, status="failed")
    mail(world, reference, sent=jst("2026-09-21 00:00"))
    with world.database.read() as session:
        before, during, after = times_to_confirmation(session, world.office.code, weeks)
        assert times_to_confirmation(session, world.office.code, []) == []
    assert during.median == pytest.approx(5 * 3600, abs=1)
    assert during.ninetieth == pytest.approx(9 * 3600, abs=1)
    assert (before, after) == (Quantiles(), Quantiles()), "one alone is no statistic"


def test_the_runs_of_a_flow_say_how_the_newest_ended_and_when_one_was_last_complete(world):
    for hour, state in ((9, "completed"), (10, "failed"), (11, "failed")):
        with world.database.write() as session:
            at = jst(f"2026-09-14 {hour:02d}:00")
            run = start_run(session, world.office.code, "sweep-no-shows", None, at, at)
            finish_run(session, run, state=state, message="m", counts={}, incomplete=[], now=at + timedelta(minutes=1))
    with world.database.read() as session:
        found = last_runs(session, world.office.code, ["sweep-no-shows", "watch"])
    assert set(found) == {"sweep-no-shows"}
    last = found["sweep-no-shows"]
    assert (last.started_at, last.state, last.succeeded_at) == (
        jst("2026-09-14 11:00"), "failed", jst("2026-09-14 09:01"),
    )  # fmt: skip


def test_what_only_a_person_ends_is_counted_by_its_state(world):
    world.ask("2026-09-24 11:00", status="in_review", recorded_at=AS_OF - timedelta(days=2))
    world.ask("2026-09-24 11:00", status="in_review")
    world.occupy("2026-09-10 11:00", status="no_show_proposed")
    with world.database.read() as session:
        found = queues(session, world.office.code)
    assert (found.in_review.count, found.in_review.oldest) == (2, AS_OF - timedelta(days=2))
    assert (found.proposed.count, found.proposed.oldest) == (1, jst("2026-09-10 11:00"))
    assert (found.undetermined.count, found.undetermined.oldest) == (0, None)


def test_the_session_that_is_near_is_found_by_booking_and_by_application(world):
    booking = world.occupy("2026-09-16 11:00")
    review = world.ask("2026-09-10 11:00", "2026-09-18 11:00", "2026-09-17 13:00", status="in_review")
    gone = world.occupy("2026-09-10 11:00", counsellor="c-2")
    with world.database.read() as session:
        found = sessions_ahead(session, [booking, booking.replace("M", "R"), review, gone, "unknown"], AS_OF)
    assert found == {
        booking: jst("2026-09-16 11:00"), booking.replace("M", "R"): jst("2026-09-16 11:00"),
        review: jst("2026-09-17 13:00"),
    }  # fmt: skip
