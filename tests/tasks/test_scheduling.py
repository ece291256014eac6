"""One round of scheduling on both databases: who gets a slot, who is offered other times, who is left to a person."""

import threading
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from madoguchi.domain.office import JST
from madoguchi.store.bookings import hold_slots, release_hold
from madoguchi.store.database import Database
from madoguchi.store.models import Audit, Booking, BookingRequest, HostBudget, Occupancy, StaffTask
from tasks.scheduling import release_expired_holds, schedule_requests
from tests.world import AS_OF, World, answer, counsellor, jst, office

THU, FRI = "2026-09-24", "2026-09-25"


@pytest.fixture
def world(database):
    return World(database)


def schedule(world, as_of=None):
    return schedule_requests(world.services, world.run(as_of))


# --- who gets which time


def test_whoever_applied_first_gets_the_time_and_the_next_their_second_wish(world, tmp_path):
    report = world.read(
        tmp_path,
        answer(3, "2026/09/24", "11:00"),
        answer(1, "2026/09/24", "11:00"),
        answer(2, "2026/09/24", "11:00", "2026/09/25 13:00"),
    )
    assert report.outcomes["accept"] == 3
    late, early, second = (r.reference for r in sorted(world.rows(BookingRequest), key=lambda r: r.row_number))

    done = schedule(world)

    assert world.starts(early, second, late) == [f"{THU} 11:00", f"{FRI} 13:00", None]
    assert world.status(early, second, late) == "booked booked waiting"
    assert len(done.held) == 2
    assert (done.offered, done.waiting, done.lapsed) == (1, 1, 0)


def test_an_earlier_applicant_moves_to_the_second_wish_when_that_serves_a_later_one_too(world):
    flexible, fixed = world.ask(f"{THU} 11:00", f"{THU} 11:30"), world.ask(f"{THU} 11:00")
    schedule(world)
    assert world.starts(flexible, fixed) == [f"{THU} 11:30", f"{THU} 11:00"]


def test_nobody_loses_a_place_to_a_later_application(world):
    first, later = world.ask(f"{THU} 11:00"), world.ask(f"{THU} 11:00")
    schedule(world)
    assert world.starts(first, later) == [f"{THU} 11:00", None]


def test_whoever_gets_nothing_is_offered_other_times_once_and_keeps_waiting(world):
    world.occupy(f"{THU} 11:00")
    reference = world.ask(f"{THU} 11:00")
    assert schedule(world).offered == 1
    for _ in range(3):
        again = schedule(world)
        assert (again.offered, again.waiting, again.held) == (0, 1, [])
    assert world.status(reference) == "waiting"
    [message] = world.messages()
    said = world.context(message)
    assert message.kind == "alternatives"
    assert message.request_id == world.request(reference).id
    assert said["why"] == "TAKEN"
    assert said["reference"] == reference
    assert said["offers"] == [f"{THU}T11:30:00+09:00", f"{THU}T12:00:00+09:00", f"{THU}T12:30:00+09:00"]
    assert world.history(reference) == ["received>waiting"]


def test_a_place_that_comes_free_goes_to_the_first_waiting_person(world):
    first, second, third = (world.ask(f"{THU} 11:00") for _ in range(3))
    schedule(world)
    with world.database.write() as session:
        booking = session.scalars(select(Booking)).one()
        release_hold(session, booking, world.run().act(world.services), "TEST")
    newcomer = world.ask(f"{THU} 11:00", submitted_at=AS_OF)
    schedule(world)
    assert world.start(second) == f"{THU} 11:00"
    assert world.status(first, third, newcomer) == "in_review waiting waiting"
    assert world.history(second) == ["received>waiting", "waiting>booked"]


def test_held_and_confirmed_sessions_never_move(world):
    confirmed = world.occupy(f"{THU} 11:00")
    held = world.ask(f"{THU} 11:30")
    schedule(world)
    before = {(b.reference, b.start_at, b.counsellor, b.host, b.status) for b in world.bookings()}
    # Somebody who applied before both of them, but came in later.
    early = world.ask(f"{THU} 11:30", f"{THU} 11:00", submitted_at=AS_OF - timedelta(days=30))
    schedule(world)
    assert {(b.reference, b.start_at, b.counsellor, b.host, b.status) for b in world.bookings()} == before
    assert world.start(held) == f"{THU} 11:30"
    assert world.start(early) is None
    assert any(reference == confirmed for reference, *_ in before)


def test_one_person_never_has_two_sessions_at_the_same_start(database):
    world = World(database, office(counsellors=3, hosts=3))
    first = world.ask(f"{THU} 11:00")
    person = world.request(first).client_id
    twin = world.ask(f"{THU} 11:00", client_id=person)
    schedule(world)
    assert world.starts(first, twin) == [f"{THU} 11:00", None]
    assert world.status(twin) == "waiting"

    # The next round knows the session from the record: there is nothing left to wish for, and that is not lateness.
    other = world.ask(f"{THU} 11:00", client_id=person)
    schedule(world)
    assert world.status(other) == "in_review"
    assert ("review-request", other, "DUPLICATE") in world.staff()


def test_a_second_wish_is_open_to_a_person_who_has_the_first_already(database):
    world = World(database, office(counsellors=2, hosts=2))
    first = world.ask(f"{THU} 11:00")
    schedule(world)
    again = world.ask(f"{THU} 11:00", f"{FRI} 11:00", client_id=world.request(first).client_id)
    schedule(world)
    assert world.starts(first, again) == [f"{THU} 11:00", f"{FRI} 11:00"]


# --- what is free


def test_a_start_has_as_many_places_as_counsellors_and_hosts_together_allow(database):
    for counsellors, hosts, places in ((1, 3, 1), (3, 1, 1), (2, 2, 2), (2, 3, 2)):
        world = World(database, office(counsellors, hosts, code=f"office-{counsellors}{hosts}"))
        references = _ask_many(world, 4)
        assert len(schedule(world).held) == places
        assert [bool(start) for start in world.starts(*references)] == [n < places for n in range(4)]


def _ask_many(world, count):
    """Requests of an office of its own: people and files belong to an office."""
    references = []
    for _ in range(count):
        reference = world.ask(f"{THU} 11:00")
        with world.database.write() as session:
            row = session.scalars(
                select(BookingRequest).where(
                    BookingRequest.reference == reference, BookingRequest.office == world.office.code
                )
            ).one()
            row.reference = reference = f"{reference}-{world.office.code[-2:]}"
        references.append(reference)
    return references


def test_counsellors_days_and_absences_are_kept(database):
    people = [counsellor("counsellor-1", "mon tue wed thu fri", [date(2026, 9, 24)]), counsellor("counsellor-2", "fri")]
    world = World(database, office(people, hosts=2))
    nobody_there = world.ask(f"{THU} 11:00")
    friday = [world.ask(f"{FRI} 11:00"), world.ask(f"{FRI} 11:00")]
    monday = [world.ask("2026-09-28 11:00"), world.ask("2026-09-28 11:00")]
    schedule(world)
    assert world.status(nobody_there, *friday, *monday) == "waiting booked booked booked waiting"
    assert {b.counsellor for b in world.bookings() if b.start_at == jst(f"{FRI} 11:00")} == {
        "counsellor-1",
        "counsellor-2",
    }


@pytest.mark.parametrize(
    ("why", "changes", "wish"),
    [
        ("closed by the office", {"closures": frozenset({date(2026, 9, 24)})}, f"{THU} 11:00"),
        ("beyond the horizon", {"horizon_days": 9}, f"{THU} 11:00"),
        ("beyond the holiday table", {"holidays_known_until": date(2026, 9, 23)}, f"{THU} 11:00"),
        ("a sandwiched holiday", {}, "2026-09-22 11:00"),
        ("outside the hours", {}, f"{THU} 15:00"),
        ("off the grid", {}, f"{THU} 11:15"),
    ],
)
def test_a_start_that_the_office_does_not_offer_is_not_held(database, why, changes, wish):
    world = World(database, office(**changes))
    reference = world.ask(wish)
    assert schedule(world).held == [], why
    assert world.status(reference) == "waiting"
    offers = world.context(world.messages()[0])["offers"]
    assert wish.replace(" ", "T") + ":00+09:00" not in offers


def test_the_last_day_of_the_horizon_and_of_the_holiday_table_can_be_booked(database):
    world = World(database, office(horizon_days=10, holidays_known_until=date(2026, 9, 24)))
    reference = world.ask(f"{THU} 14:30")
    schedule(world)
    assert world.start(reference) == f"{THU} 14:30"


def test_a_session_of_staff_off_the_grid_blocks_both_starts_that_it_touches(database):
    world = World(database, office(counsellors=2, hosts=2))
    world.occupy(f"{THU} 11:15")
    asked = [world.ask(f"{THU} {clock}") for clock in ("11:00", "11:30", "12:00")]
    rivals = [world.ask(f"{THU} {clock}") for clock in ("11:00", "11:30", "12:00")]
    schedule(world)
    # One counsellor and one host are left at 11:00 and 11:30, two at 12:00.
    assert world.status(*asked) == "booked booked booked"
    assert world.status(*rivals) == "waiting waiting booked"
    blocked = [b for b in world.bookings() if b.start_at in {jst(f"{THU} 11:00"), jst(f"{THU} 11:30")}]
    assert {(b.counsellor, b.host) for b in blocked} == {("counsellor-2", "host-2")}


def test_hosts_with_budget_left_today_are_taken_first(database):
    world = World(database, office(counsellors=2, hosts=2))
    with database.write() as session:
        day = AS_OF.astimezone(UTC).date()
        session.add(HostBudget(office=world.office.code, host="host-1", utc_day=day, used=100))
    asked = [world.ask(f"{THU} {clock}") for clock in ("11:00", "11:30", "12:00")]
    both = [world.ask(f"{FRI} 11:00"), world.ask(f"{FRI} 11:00")]
    schedule(world)
    assert [world.active(reference).host for reference in asked] == ["host-2"] * 3
    # Where both are needed the one without budget is taken as well: its meeting is made after the reset.
    assert {world.active(reference).host for reference in both} == {"host-1", "host-2"}


# --- times that passed


def test_by_the_day_before_the_day_itself_is_too_late(world):
    reference = world.ask("2026-09-15 14:30")
    schedule(world, jst("2026-09-14 23:59"))
    assert world.start(reference) == "2026-09-15 14:30"


@pytest.mark.parametrize("as_of", ["2026-09-24 00:00", "2026-09-24 10:00", "2026-09-25 09:00"])
def test_a_new_request_whose_wishes_passed_goes_to_a_person(world, as_of):
    reference = world.ask(f"{THU} 11:00")
    done = schedule(world, jst(as_of))
    assert world.status(reference) == "in_review"
    assert world.staff() == [("review-request", reference, "LATE_INGEST")]
    assert (done.lapsed, done.waiting) == (0, 0)
    assert world.messages() == []


def test_a_waiting_request_lapses_when_its_last_wish_has_passed(world):
    world.occupy(f"{THU} 11:00")
    world.occupy(f"{FRI} 11:00")
    reference = world.ask(f"{THU} 11:00", f"{FRI} 11:00")
    schedule(world)
    assert schedule(world, jst(f"{THU} 09:00")).lapsed == 0
    assert world.status(reference) == "waiting"
    done = schedule(world, jst(f"{FRI} 09:00"))
    assert (done.lapsed, done.waiting) == (1, 0)
    assert world.status(reference) == "lapsed"
    assert len(world.messages()) == 1


def test_only_wishes_that_lie_ahead_are_booked(world):
    reference = world.ask(f"{THU} 11:00", f"{FRI} 11:00")
    schedule(world, jst(f"{THU} 09:00"))
    assert world.start(reference) == f"{FRI} 11:00"


@pytest.mark.parametrize(("as_of", "released"), [(f"{THU} 10:59", 0), (f"{THU} 11:00", 1), (f"{THU} 11:10", 1)])
def test_a_hold_whose_start_has_passed_is_released_to_staff(world, as_of, released):
    reference = world.ask(f"{THU} 11:00")
    [held] = schedule(world).held
    assert release_expired_holds(world.services, world.run(jst(as_of))) == [held] * released
    assert world.status(reference) == ("in_review" if released else "booked")
    assert world.staff() == [("review-request", reference, "NO_MEETING_IN_TIME")] * released
    assert world.count(Occupancy) == (0 if released else 4)
    assert world.messages() == []
    assert release_expired_holds(world.services, world.run(jst(as_of))) == []


def test_a_matter_that_comes_back_is_put_before_staff_again(world):
    reference = world.ask(f"{THU} 11:00")
    with world.database.write() as session:
        session.add(
            StaffTask(office=world.office.code, kind="review-request", subject=reference, reason="OFF_GRID",
                      opened_at=AS_OF, closed_at=AS_OF, closed_by="staff")
        )  # fmt: skip
    schedule(world)
    release_expired_holds(world.services, world.run(jst(f"{THU} 11:00")))
    assert world.staff() == [("review-request", reference, "NO_MEETING_IN_TIME")]


def test_a_confirmed_session_is_never_released(world):
    world.occupy(f"{THU} 11:00")
    assert release_expired_holds(world.services, world.run(jst(f"{THU} 12:00"))) == []


# --- other times


@pytest.mark.parametrize("reason", ["NON_WORKING_DAY", "OUT_OF_WINDOW"])
def test_a_row_that_cannot_be_booked_as_wished_gets_other_times_and_is_closed(world, reason):
    reference = world.ask("2026-09-26 11:00", status="to_offer", reason=reason, outcome="reject", client_id=None)
    taken = world.ask(f"{FRI} 14:30")
    schedule(world)
    assert world.status(reference, taken) == "rejected booked"
    [message] = world.messages()
    said = world.context(message)
    assert said["why"] == reason
    assert len(said["offers"]) == 3
    assert f"{FRI}T14:30:00+09:00" not in said["offers"], "what this batch has just taken is not offered"
    assert schedule(world).offered == 0


def test_the_real_intake_hands_over_closed_days_and_early_hours(world, tmp_path):
    world.read(tmp_path, answer(1, "2026/09/26", "11:00"), answer(2, "2026/09/24", "10:30"))
    first, second = (r.reference for r in sorted(world.rows(BookingRequest), key=lambda r: r.row_number))
    assert world.status(first, second) == "to_offer to_offer"
    assert schedule(world).offered == 2
    assert world.status(first, second) == "rejected rejected"
    assert Counter(world.context(m)["why"] for m in world.messages()) == {"NON_WORKING_DAY": 1, "OUT_OF_WINDOW": 1}


@pytest.mark.parametrize("status", ["received", "to_offer"])
@pytest.mark.parametrize("lack", [{"email": None}, {"flags": ["EMAIL_DOUBTFUL"]}])
def test_without_a_usable_address_staff_telephone_instead(world, status, lack):
    world.occupy(f"{THU} 11:00")
    reason = "OUT_OF_WINDOW" if status == "to_offer" else None
    reference = world.ask(f"{THU} 11:00", status=status, reason=reason, **lack)
    done = schedule(world)
    assert world.messages() == []
    assert done.offered == 0
    assert world.staff() == [("call-applicant", reference, reason or "TAKEN")]
    assert world.status(reference) == ("rejected" if status == "to_offer" else "waiting")


def test_people_of_one_round_are_not_all_sent_to_the_same_times(world):
    world.occupy(f"{THU} 11:00")
    for _ in range(4):
        world.ask(f"{THU} 11:00")
    schedule(world)
    offered = Counter(start for m in world.messages() for start in world.context(m)["offers"])
    assert len(offered) == 12
    assert max(offered.values()) == 1


def test_with_nothing_free_the_mail_asks_for_a_call(database):
    world = World(database, office(horizon_days=1))
    world.ask(f"{THU} 11:00")
    schedule(world, jst("2026-09-18 09:00"))
    said = world.context(world.messages()[0])
    assert (said["offers"], said["answer_by"]) == ([], None)


# --- two runners, and refusals by the database


def test_an_empty_record_is_no_work(world):
    done = schedule(world)
    assert (done.held, done.offered, done.waiting, done.lapsed) == ([], 0, 0, 0)
    assert world.count(Audit) == 0


def test_every_move_leaves_one_audit_row(world):
    reference = world.ask(f"{THU} 11:00")
    [booking] = schedule(world).held
    assert world.history(reference) == ["received>booked"]
    rows = world.rows(Audit, subject=booking)
    assert [(r.action, r.new, r.actor) for r in rows] == [("held", "held", "test")]


def test_two_rounds_at_once_hold_each_slot_once_and_nobody_twice(database, database_url):
    worlds = [World(database, office(2, 2)), None]
    other = Database(database_url)
    try:
        worlds[1] = World(other, worlds[0].office)
        references = [
            worlds[0].ask(f"{THU} {clock}", f"{FRI} {clock}") for clock in ("11:00", "11:30") for _ in range(6)
        ]
        gate = threading.Barrier(2)
        failures = []

        def go(world):
            gate.wait()
            try:
                for _ in range(3):
                    schedule(world)
            except Exception as error:  # noqa: BLE001 — shown by the assertion
                failures.append(error)

        threads = [threading.Thread(target=go, args=(world,)) for world in worlds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failures == []
        world = worlds[0]
        bookings = world.bookings()
        assert len(bookings) == 8
        for key in ("counsellor", "host", "request_id"):
            found = Counter((getattr(b, key), b.start_at if key != "request_id" else 0) for b in bookings)
            assert max(found.values()) == 1, key
        assert [bool(start) for start in world.starts(*references)] == ([True] * 4 + [False] * 2) * 2
        # Nobody who has a slot is told that there is none.
        for reference in references:
            has_slot = world.start(reference) is not None
            assert world.status(reference) == ("booked" if has_slot else "waiting")
            assert len(world.history(reference)) == 1
        assert len(world.messages()) == 4
    finally:
        other.close()


def test_a_slot_taken_by_an_unfinished_transaction_is_not_held_again(database, database_url):
    """Another runner takes the place between our look and our act; then the round is computed again."""
    world = World(database, office(1, 1))
    reference = world.ask(f"{THU} 11:00", f"{FRI} 11:00")
    rival = world.ask(f"{THU} 11:00", status="in_review")
    other = Database(database_url)
    done = []
    thread = threading.Thread(target=lambda: done.append(schedule(world)))
    try:
        with other.write() as session:
            request = session.scalars(select(BookingRequest).where(BookingRequest.reference == rival)).one()
            at = jst(f"{THU} 11:00")
            booking = Booking(
                reference="M-RIVAL0", office=world.office.code, request_id=request.id, client_id=request.client_id,
                start_at=at, end_at=at + timedelta(minutes=30), counsellor="counsellor-1", host="host-1",
                status="held", revision=0, held_at=AS_OF, confirmed_at=None,
            )  # fmt: skip
            session.add(booking)
            session.flush()
            for resource in ("counsellor:counsellor-1", "host:host-1"):
                for cell in (at, at + timedelta(minutes=15)):
                    session.add(Occupancy(office=world.office.code, resource=resource, cell_at=cell,
                                          booking_id=booking.id))  # fmt: skip
            session.flush()
            thread.start()
            thread.join(0.3)
            assert thread.is_alive(), "it waits for the other transaction"
        thread.join(30)
        assert len(done) == 1
        assert world.start(reference) == f"{FRI} 11:00"
    finally:
        other.close()


def test_a_round_that_is_refused_again_and_again_changes_nothing(world):
    # A session without its occupied quarters: the look says free, the unique index refuses.
    world.occupy(f"{THU} 11:00")
    with world.database.write() as session:
        for row in session.scalars(select(Occupancy)):
            session.delete(row)
    reference, other = world.ask(f"{THU} 11:00"), world.ask(f"{FRI} 11:00")
    with pytest.raises(IntegrityError):
        schedule(world)
    assert world.status(reference, other) == "received received"
    assert world.count(Booking) == 1
    assert world.count(Audit) == 0


def test_another_office_in_the_same_record_is_left_alone(database):
    world = World(database)
    reference = world.ask(f"{THU} 11:00", office="another-office")
    assert schedule(world).held == []
    assert world.status(reference) == "received"


def test_business_time_is_the_runs_not_the_clocks(world):
    reference = world.ask(f"{THU} 11:00")
    world.clock.now = datetime(2027, 1, 1, tzinfo=UTC)
    [held] = schedule(world, AS_OF).held
    [row] = world.rows(Audit, subject=reference)
    assert row.happened_at == AS_OF
    assert row.recorded_at == world.clock.now
    assert world.rows(Booking, reference=held)[0].held_at.astimezone(JST) == AS_OF


def test_a_look_from_before_another_runner_was_done_takes_nobodys_slot_back(database, database_url):
    """On PostgreSQL the other's booking is invisible until it commits: without a lock its owner would be told no."""
    world = World(database, office(1, 1))
    reference = world.ask(f"{THU} 11:00")
    other = Database(database_url)
    done = []
    thread = threading.Thread(target=lambda: done.append(schedule(world)))
    try:
        with other.write() as session:
            request = session.scalars(select(BookingRequest)).one()
            start = jst(f"{THU} 11:00")
            hold_slots(
                session,
                [(request, "M-OTHER0", start, start + timedelta(minutes=30), "counsellor-1", "host-1")],
                world.run().act(world.services),
            )
            thread.start()
            thread.join(0.3)
        thread.join(30)
        assert [(report.held, report.offered) for report in done] == [([], 0)]
        assert world.status(reference) == "booked"
        assert world.history(reference) == ["received>booked"]
        assert world.messages() == []
    finally:
        other.close()


def test_somebody_who_was_told_and_has_no_meeting_after_all_is_called(world):
    reference = world.occupy(f"{THU} 11:00", status="held", revision=1)
    assert release_expired_holds(world.services, world.run(jst(f"{THU} 11:00"))) == [reference]
    assert ("office-fault", reference, "NO_MEETING_IN_TIME") in world.staff()
