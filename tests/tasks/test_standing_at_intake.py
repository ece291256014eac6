"""A restricted or repeatedly absent person's next application goes to staff, never to a machine's refusal."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event, insert, update

from madoguchi.domain.office import StandingPolicy
from madoguchi.store import restrictions
from madoguchi.store.listing import show
from madoguchi.store.models import Booking, BookingRequest, Client, Consent, OutboxMessage
from madoguchi.store.types import new_id
from tasks.scheduling import schedule_requests
from tasks.staff_requests import Ruling, decide_request
from tests.tasks.sweep_world import put_sessions
from tests.world import AS_OF, World, answer, office

RESTRICTION = {"ground": "ART_12_1", "reason": "THREAT_OR_ABUSE", "until": None, "document": None}


@pytest.fixture
def world(database):
    return World(database)


def person(world, position=1, *absent, restricted=False, status="no_show", **changes):
    """Somebody whom the record knows: sessions that stand as `status` so many days ago, and a restriction."""
    number = f"99999-9100{position:04d}"
    client = new_id()
    with world.database.write() as session:
        values = {"number_index": world.services.vault.index("number", number), "sealed_personal": b""}
        session.execute(
            insert(Client).values(id=client, office=world.office.code, created_at=AS_OF - timedelta(days=900), **values)
        )
    for days in absent:
        [reference] = put_sessions(world.services, 1, AS_OF - timedelta(days=days), client=client)
        with world.database.write() as session:
            session.execute(update(Booking).where(Booking.reference == reference).values(status=status))
    if restricted:
        with world.database.write() as session:
            act = world.run(AS_OF - timedelta(days=30)).act(world.services)
            new = restrictions.NewRestriction("S-7K2Q9F", client, **RESTRICTION | changes)
            restrictions.restrict(session, act, new)
    return client


def read(world, tmp_path, *rows):
    report = world.read(tmp_path, *rows)
    assert report.rows == sum(report.outcomes.values())
    return report


def applied(world):
    """Status and reason of the requests that were read, in the order of the file."""
    found = [row for row in world.rows(BookingRequest) if row.source == "google" and row.form != "f"]
    return [(row.status, row.reason) for row in sorted(found, key=lambda row: row.row_number)]


HISTORIES = {
    "nothing": ((), {}, None),
    "one absence": ((20,), {}, None),
    "two absences": ((20, 40), {}, "REPEATED_NO_SHOW"),
    "the second is too long ago": ((20, 366), {}, None),
    "the last day on which it counts": ((20, 365), {}, "REPEATED_NO_SHOW"),
    "report 22: corrected ones do not count": ((20, 40, 60), {"status": "contacted"}, None),
    "proposed ones do not count": ((20, 40), {"status": "no_show_proposed"}, None),
    "office faults do not count": ((20, 40), {"status": "office_fault"}, None),
    "restricted": ((), {"restricted": True}, "RESTRICTED"),
    "restricted and absent": ((20, 40), {"restricted": True}, "RESTRICTED"),
    "restricted until yesterday": ((), {"restricted": True, "until": AS_OF - timedelta(days=1)}, None),
    "restricted until tomorrow": ((), {"restricted": True, "until": AS_OF + timedelta(days=1)}, "RESTRICTED"),
}


@pytest.mark.parametrize("case", HISTORIES)
def test_who_is_looked_at_by_a_person_is_told_by_the_history_alone(world, tmp_path, case):
    absent, how, reason = HISTORIES[case]
    person(world, 1, *absent, **how)
    report = read(world, tmp_path, answer(1, "2026/09/24", "11:00"))
    assert applied(world) == [("in_review", reason) if reason else ("received", None)]
    assert report.outcomes == Counter({"needs_review" if reason else "accept": 1})
    tasks = [(kind, why) for kind, _, why in world.staff()]
    assert tasks == ([("review-request", reason)] if reason else [])
    assert [m for m in world.rows(OutboxMessage) if m.request_id == world.rows(BookingRequest)[-1].id] == []


def test_nobody_else_in_the_file_is_touched_and_the_counts_add_up(world, tmp_path):
    person(world, 2, 20, 40)
    person(world, 3, restricted=True)
    rows = [answer(n, "2026/09/24", "11:00") for n in (1, 2, 3, 4)] + [answer(5, "", "")]
    report = read(world, tmp_path, *rows)
    assert applied(world) == [
        ("received", None), ("in_review", "REPEATED_NO_SHOW"), ("in_review", "RESTRICTED"), ("received", None),
        ("rejected", "MISSING_DATETIME"),
    ]  # fmt: skip
    assert report.outcomes == Counter(accept=2, needs_review=2, reject=1)
    assert len(world.rows(Consent)) == 4, "consents are recorded when staff approve"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (("2026/09/22", "11:00"), ("to_offer", "NON_WORKING_DAY")),
        (("2026/09/14", "11:00"), ("in_review", "LATE_INGEST")),
        (("", ""), ("rejected", "MISSING_DATETIME")),
    ],
)
def test_rows_that_are_not_accepted_anyhow_keep_their_reason(world, tmp_path, row, expected):
    person(world, 1, restricted=True)
    read(world, tmp_path, answer(1, *row))
    assert applied(world) == [expected]


def test_the_office_sets_from_how_many_absences_on_a_person_looks(database, tmp_path):
    world = World(database, replace(office(), standing=StandingPolicy(counts_for_days=10, review_after=1)))
    person(world, 1, 11)
    person(world, 2, 10)
    read(world, tmp_path, answer(1, "2026/09/24", "11:00"), answer(2, "2026/09/24", "11:30"))
    assert [reason for _, reason in applied(world)] == [None, "REPEATED_NO_SHOW"]


def test_what_staff_approve_is_not_turned_back_by_the_rule(world, tmp_path):
    person(world, 1, 20, 40, restricted=True)
    row = answer(1, "2026/09/24", "11:00")
    read(world, tmp_path, row)
    [request] = [r for r in world.rows(BookingRequest) if r.status == "in_review"]
    form = {"decision": "承認する", "received_by": "松戸", "reason": "事情を認めた"}
    decide_request(world.services, world.run(), Ruling(request.reference, **form))
    assert world.status(request.reference) == "received"
    read(world, tmp_path, row, answer(2, "2026/09/24", "11:30"))
    schedule_requests(world.services, world.run())
    assert (world.status(request.reference), world.start(request.reference)) == ("booked", "2026-09-24 11:00")
    assert world.staff() == []


def test_a_waiting_request_waits_on_beside_one_that_staff_decide(world, tmp_path):
    client = person(world, 1, restricted=True)
    read(world, tmp_path, answer(2, "2026/09/24", "11:00"))
    read(world, tmp_path, answer(1, "2026/09/24", "11:00"))
    older = next(row for row in world.rows(BookingRequest) if row.client_id == client and row.status == "in_review")
    with world.database.write() as session:
        session.execute(
            update(BookingRequest).where(BookingRequest.id == older.id).values(status="waiting", outcome="accept")
        )
    read(world, tmp_path, answer(1, "2026/09/25", "11:00", stamp="2026/09/12 9:00:00 午前 GMT+9"))
    newer = next(row for row in world.rows(BookingRequest) if row.client_id == client and row.status == "in_review")
    assert (world.status(older.reference), newer.reason) == ("waiting", "RESTRICTED")
    assert "RELATED_WAITING" in newer.flags
    assert "REPLACES_WAITING" not in newer.flags


def test_show_gives_staff_the_history_on_which_to_decide(world, tmp_path):
    person(world, 1, 20, 40, restricted=True)
    read(world, tmp_path, answer(1, "2026/09/24", "11:00"))
    [request] = [r for r in world.rows(BookingRequest) if r.status == "in_review"]
    with world.database.write() as session:
        act = world.run().act(world.services)
        found = show(session, world.services.vault, request.reference, act, world.office.standing)
    known = found["person"]
    assert (known["no_shows"], known["needs_person"], known["reason"]) == (2, True, "RESTRICTED")
    assert [b["status"] for b in known["bookings"]] == ["no_show", "no_show"]
    assert [(r["reference"], r["ground"], r["lifted_at"]) for r in known["restrictions"]] == [
        ("S-7K2Q9F", "ART_12_1", None)
    ]


def test_people_whom_the_record_does_not_know_are_not_asked_about(world, tmp_path):
    asked = []
    bind = world.database.engine
    event.listen(bind, "before_cursor_execute", lambda *given: asked.append(given[2]))
    read(world, tmp_path, *(answer(n, "2026/09/24", "11:00") for n in range(1, 40)))
    assert [
        sql for sql in asked if "FROM restriction" in sql or ("FROM booking \n" in sql and "client_id IN" in sql)
    ] == []


def test_a_known_person_costs_two_questions_a_file_however_many_apply(world, tmp_path):
    for n in range(1, 30):
        person(world, n)
    asked = []
    event.listen(world.database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    read(world, tmp_path, *(answer(n, "2026/09/24", "11:00") for n in range(1, 30)))
    assert len([sql for sql in asked if "FROM restriction" in sql]) == 1
    assert len([sql for sql in asked if "FROM booking \n" in sql and "client_id IN" in sql]) == 1
