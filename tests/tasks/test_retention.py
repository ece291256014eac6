"""Retention on both databases: what is over goes, what is not stays, and nothing that is counted changes."""

from __future__ import annotations

import inspect
import random
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from madoguchi.domain.message import MailKind
from madoguchi.domain.office import JST
from madoguchi.domain.retention import Kept
from madoguchi.store.audit import Act
from madoguchi.store.database import Database
from madoguchi.store.models import (
    BlockedAddress,
    Booking,
    BookingRequest,
    Bounce,
    Client,
    DataKey,
    Deletion,
    Disclosure,
    Evidence,
    Meeting,
    OutboxMessage,
    RecordHold,
    Restriction,
    StaffTask,
    ZoomEventRecord,
)
from madoguchi.store.outbox import NewMessage, queue_messages
from madoguchi.store.types import new_id
from madoguchi.store.vault import ERASED, Erased, MasterKey
from tasks.retention import (
    AheadOfTime,
    RetentionReport,
    clean_files,
    erase_what_is_over,
    pseudonymise_people,
    turn_keys,
)
from tests.world import AS_OF, Clock, World, answer

SESSION = "2026-09-24 11:00"
LONG_AFTER = datetime(
    2027, 11, 20, 20, 30, tzinfo=JST
)  # more than 400 days after the session, the days of nothing else


def retain(world: World, at: datetime = LONG_AFTER, **more: Any) -> RetentionReport:
    world.clock.now = at
    report = erase_what_is_over(world.services, world.run(), **more)
    report.add(pseudonymise_people(world.services, world.run(), **more))
    return report


def change(world: World, table: Any, where: Any, **values: Any) -> None:
    with world.database.write() as session:
        session.execute(update(table).where(where).values(**values))


def held_session(world: World, start: str = SESSION, **changes: Any) -> str:
    """A session that was held, with its mail, its meeting and a note: everything of it is settled."""
    reference = world.occupy(start, **changes)
    [booking] = world.rows(Booking, reference=reference)
    [request] = world.rows(BookingRequest, id=booking.request_id)
    vault, end = world.services.vault, booking.end_at
    act = Act(world.office.code, "test", None, end, end)
    message = NewMessage(
        kind=MailKind.CONFIRMED, subject=reference, revision=1, recipient="nanami@example.jp", context={"name": "架空"},
        template_version="v", due_at=AS_OF, booking_id=booking.id, client_id=booking.client_id, request_id=request.id,
    )  # fmt: skip
    with world.database.write() as session:
        session.get_one(Booking, booking.id).status = "attended"
        queue_messages(session, vault, [message], act, world.office.mail_domain)
        meeting, note = new_id(), new_id()
        session.add(Meeting(id=meeting, office=world.office.code, booking_id=booking.id, revision=1, token=reference,
                            host=booking.host, status="deleted", meeting_id=reference[-6:],
                            sealed_access=vault.seal_json({"passcode": "x"}, f"meeting.sealed_access.{meeting}"),
                            start_at=booking.start_at, changed_at=end))  # fmt: skip
        session.add(Evidence(id=note, office=world.office.code, booking_id=booking.id, revision=1, kind="contact",
                             source="staff", happened_at=end, recorded_at=end, actor="staff:松戸", dedupe_key=note,
                             details={}, sealed_note=vault.seal(b"note", f"evidence.sealed_note.{note}")))  # fmt: skip
    change(world, OutboxMessage, OutboxMessage.booking_id == booking.id, status="sent", changed_at=end, sent_at=end)
    change(world, BookingRequest, BookingRequest.id == request.id, number_index=b"n" * 16, name_index=b"m" * 16,
           contact_index=b"c" * 16,
           sealed_raw=vault.seal(b"raw", f"booking_request.sealed_raw.{request.id}"))  # fmt: skip
    change(world, Client, Client.id == booking.client_id,
           sealed_personal=vault.seal(b'{"name": "x"}', f"client.sealed_personal.{booking.client_id}"))  # fmt: skip
    return reference


def everything_sealed(world: World) -> list[tuple[type, str, bytes | None]]:
    places = (
        (Client, "sealed_personal"), (BookingRequest, "sealed_raw"), (BookingRequest, "sealed_values"),
        (OutboxMessage, "sealed_context"), (Meeting, "sealed_access"), (Evidence, "sealed_note"),
        (ZoomEventRecord, "sealed_body"),
    )  # fmt: skip
    return [
        (table, f"{table.__tablename__}.{column}.{row.id}", getattr(row, column))
        for table, column in places
        for row in world.rows(table)
    ]


def unopened(world: World) -> int:
    """How many sealed values are erased; every other one must open."""
    count = 0
    for _, where, value in everything_sealed(world):
        try:
            if value:
                world.services.vault.open(bytes(value), where)
        except Erased:
            count += 1
    return count


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def test_a_session_of_long_ago_loses_everything_personal_and_nothing_that_is_counted(world: World) -> None:
    reference = held_session(world)
    [before] = world.rows(BookingRequest)
    report = retain(world)
    assert dict(report.erased) == {"request": 1, "booking": 1, "message": 1, "evidence": 1, "client": 1}
    assert unopened(world) == len(everything_sealed(world)) == 6
    [request], [client], [meeting] = world.rows(BookingRequest), world.rows(Client), world.rows(Meeting)
    assert (request.number_index, request.name_index, request.contact_index) == (None, None, None)
    assert (request.row_key, bytes(request.values_digest), meeting.meeting_id) == ("", b"", None)
    assert (bytes(request.digest), request.status, request.submitted_at, request.wishes) == (
        bytes(before.digest), before.status, before.submitted_at, before.wishes,
    )  # fmt: skip
    assert len(bytes(client.number_index)) == 16
    [booking] = world.rows(Booking)
    assert (booking.reference, booking.status, booking.client_id) == (reference, "attended", client.id)
    log = {(row.record_class, row.action, row.reference) for row in world.rows(Deletion)}
    assert log == {
        ("request", "erased", request.reference), ("booking", "erased", reference), ("message", "erased", reference),
        ("evidence", "erased", reference), ("client", "pseudonymised", None),
    }  # fmt: skip
    assert {(row.days, row.due_on.isoformat()) for row in world.rows(Deletion)} == {(400, "2027-10-30")}


def test_a_second_run_finds_nothing(world: World) -> None:
    held_session(world)
    retain(world)
    assert not retain(world).erased
    assert world.count(Deletion) == 5


def test_on_the_last_day_of_its_time_everything_is_there_and_opens(world: World) -> None:
    held_session(world)
    assert not retain(world, datetime(2027, 10, 29, 23, 59, tzinfo=JST)).erased
    assert unopened(world) == 0
    assert retain(world, datetime(2027, 10, 30, 0, 0, tzinfo=JST)).erased["request"] == 1


def test_each_class_has_its_own_days(world: World) -> None:
    held_session(world)
    world.services = replace(
        world.services, office=replace(world.office, retention_days={"request": 365, "message": 500})
    )
    assert dict(retain(world).erased) == {"request": 1}, "no line of the table, no end; a person with mail left stays"


def hold(world: World, booking: Booking, **changes: Any) -> None:
    with world.database.write() as session:
        session.add(RecordHold(office=world.office.code, client_id=booking.client_id, reason="dispute", paper="A-1",
                               set_by="staff:松戸", set_at=AS_OF, **changes))  # fmt: skip


def keep_by_hold(world: World, booking: Booking) -> None:
    hold(world, booking)


def keep_by_disclosure(world: World, booking: Booking) -> None:
    with world.database.write() as session:
        session.add(Disclosure(office=world.office.code, reference="D-7K2Q9F", client_id=booking.client_id,
                               authority="松戸警察署", legal_basis="x", paper="A-1", scope=[], decision="granted",
                               approver="staff:x", decided_at=AS_OF))  # fmt: skip


def keep_by_restriction(world: World, booking: Booking) -> None:
    with world.database.write() as session:
        session.add(Restriction(reference="S-7K2Q9F", office=world.office.code, client_id=booking.client_id,
                                ground="g", reason="r", starts_at=AS_OF, decided_by="staff:x",
                                recorded_at=AS_OF))  # fmt: skip


def keep_by_task(world: World, booking: Booking) -> None:
    with world.database.write() as session:
        session.add(StaffTask(office=world.office.code, kind="settle-attendance", subject=booking.reference,
                              opened_at=AS_OF))  # fmt: skip


def keep_by_session(world: World, booking: Booking) -> None:
    change(world, Booking, Booking.id == booking.id, status="confirmed")


def keep_by_meeting(world: World, booking: Booking) -> None:
    change(world, Meeting, Meeting.booking_id == booking.id, status="unwanted")


def keep_by_mail(world: World, booking: Booking) -> None:
    change(world, OutboxMessage, OutboxMessage.booking_id == booking.id, status="uncertain")


def keep_by_sibling(world: World, booking: Booking) -> None:
    [request] = world.rows(BookingRequest, id=booking.request_id)
    world.ask("2026-09-25 11:00", client_id=booking.client_id, relates_to=request.reference, status="in_review")


@pytest.mark.parametrize(
    ("keep", "why"),
    [
        (keep_by_hold, Kept.HELD),
        (keep_by_disclosure, Kept.DISCLOSURE),
        (keep_by_restriction, Kept.RESTRICTED),
        (keep_by_task, Kept.OPEN),
        (keep_by_session, Kept.OPEN),
        (keep_by_meeting, Kept.OPEN),
        (keep_by_mail, Kept.OPEN),
        (keep_by_sibling, Kept.OPEN),
    ],
)
def test_what_is_open_held_or_needed_stays_whole_and_is_counted(world: World, keep: Any, why: Kept) -> None:
    reference = held_session(world)
    keep(world, world.rows(Booking, reference=reference)[0])
    report = retain(world)
    assert (unopened(world), world.count(Deletion)) == (0, 0)
    assert dict(report.erased) == {}
    assert set(report.kept) == {why.value}
    assert report.kept[why.value] >= 4


def test_a_lifted_hold_holds_nothing_and_neither_does_an_extract_handed_over_long_ago(world: World) -> None:
    reference = held_session(world)
    [booking] = world.rows(Booking, reference=reference)
    hold(world, booking, lifted_at=AS_OF, lifted_by="staff:松戸")
    keep_by_disclosure(world, booking)
    change(world, Disclosure, Disclosure.client_id == booking.client_id, given_at=AS_OF)
    report = retain(world)
    assert report.erased["request"] == 1
    assert report.erased["client"] == 0, "the register of disclosures keeps the person known for 1100 days"
    assert retain(world, AS_OF + timedelta(days=1101)).erased == {"client": 1}


def test_an_application_that_was_turned_away_is_held_with_the_person_whose_number_it_bears(world: World) -> None:
    reference = held_session(world)
    [booking] = world.rows(Booking, reference=reference)
    [client] = world.rows(Client)
    hold(world, booking)
    turned = world.ask(SESSION, status="rejected", number_index=bytes(client.number_index))
    change(world, BookingRequest, BookingRequest.reference == turned, client_id=None)
    assert not retain(world).erased["request"]


def test_an_application_that_was_turned_away_goes_after_its_time(world: World) -> None:
    turned = world.ask(SESSION, status="rejected", number_index=b"x" * 16)
    change(world, BookingRequest, BookingRequest.reference == turned, client_id=None)
    assert retain(world).erased["request"] == 1


def test_who_came_again_last_month_stays_known_while_the_old_session_goes(world: World) -> None:
    old = held_session(world)
    [client] = world.rows(Client)
    world.ask("2027-11-01 11:00", client_id=client.id, recorded_at=datetime(2027, 10, 25, tzinfo=JST), status="lapsed",
              submitted_at=datetime(2027, 10, 25, tzinfo=JST))  # fmt: skip
    report = retain(world)
    assert (report.erased["request"], report.erased["client"]) == (1, 0)
    [booking] = world.rows(Booking, reference=old)
    assert world.rows(Client)[0].sealed_personal != ERASED
    assert booking.client_id == client.id


def test_webhooks_bounces_and_lifted_blocks_go_by_their_own_days(world: World) -> None:
    vault, office = world.services.vault, world.office.code
    with world.database.write() as session:
        for name, at in (("old", AS_OF), ("new", LONG_AFTER - timedelta(days=400))):
            session.add(ZoomEventRecord(id=name, office=office, dedupe_key=name, event="meeting.started",
                                        happened_at=at, received_at=at, outcome="taken",
                                        sealed_body=vault.seal(b"ip", f"zoom_event.sealed_body.{name}")))  # fmt: skip
            session.add(Bounce(id=name, office=office, dedupe_key=name, address_index=b"a" * 16, kind="hard",
                               action="failed", status_code="5.1.1", arrived_at=at, recorded_at=at))  # fmt: skip
            session.add(BlockedAddress(id=name, office=office, address_index=name.encode() * 5, reason="r", since=at,
                                       bounce_id=None, lifted_at=at))  # fmt: skip
    report = retain(world)
    assert dict(report.erased) == {"webhook": 1, "bounce": 2}
    assert [row.id for row in world.rows(ZoomEventRecord)] == ["new"]
    assert [row.id for row in world.rows(BlockedAddress)] == ["new"]
    assert {row.id: row.address_index for row in world.rows(Bounce)} == {"old": None, "new": b"a" * 16}


def test_a_row_of_an_erased_application_is_not_read_in_again(world: World, tmp_path: Path) -> None:
    rows = [answer(1, "2026/09/24", "11:00"), answer(1, "2026/09/24", "11:00"), answer(2, "2026/09/25", "11:00")]
    assert world.read(tmp_path, *rows).new == 3
    change(world, BookingRequest, BookingRequest.status != "none", status="lapsed")
    change(world, StaffTask, StaffTask.closed_at.is_(None), closed_at=AS_OF, closed_by="test")
    assert retain(world).erased["request"] == 3
    [*requests] = world.rows(BookingRequest)
    again = world.read(tmp_path, answer(3, "2027/12/06", "11:00"), *rows, as_of=LONG_AFTER)
    assert (again.rows, again.new) == (4, 1)
    assert sum(again.outcomes.values()) == 4
    assert world.count(BookingRequest) == len(requests) + 1
    assert [row.erased_at is None for row in sorted(world.rows(BookingRequest), key=lambda r: r.recorded_at)] == [
        False, False, False, True,
    ]  # fmt: skip


def test_a_person_who_comes_back_is_somebody_new(world: World, tmp_path: Path) -> None:
    world.read(tmp_path, answer(1, "2026/09/24", "11:00"))
    change(world, BookingRequest, BookingRequest.status != "none", status="lapsed")
    retain(world)
    world.read(tmp_path, answer(1, "2027/12/06", "11:00", stamp="2027/11/19 9:00:00 午前 GMT+9"), as_of=LONG_AFTER)
    assert sorted(row.erased_at is None for row in world.rows(Client)) == [False, True]
    assert sorted(row.status for row in world.rows(BookingRequest)) == ["lapsed", "received"]


def test_a_crash_leaves_whole_batches_and_the_next_run_does_the_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.retention.BATCH", 2)
    for minute in range(5):
        held_session(world, f"2026-09-{20 + minute} 11:00")
    commits = 0

    def power_cut(step: str) -> None:
        nonlocal commits
        commits += step == "commit"
        if commits == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retain(world, before=power_cut)
    gone = [row.erased_at is not None for row in world.rows(BookingRequest)]
    assert sum(gone) == 2
    assert world.count(Deletion) == 2 * 4
    retain(world)
    assert all(row.erased_at for row in world.rows(BookingRequest))
    assert world.count(Deletion) == 5 * 5


def test_whatever_there_is_what_is_over_is_gone_what_is_not_opens_and_no_count_changes(world: World) -> None:
    seed = random.randrange(10**6)
    dice = random.Random(seed)
    as_of = datetime(2028, 3, 1, 20, 30, tzinfo=JST)
    keeps = (keep_by_hold, keep_by_disclosure, keep_by_restriction, keep_by_task, keep_by_session, keep_by_meeting,
             keep_by_mail)  # fmt: skip
    expected: dict[str, bool] = {}
    used: set[Any] = set()
    for number in range(24):
        start = as_of - timedelta(days=dice.choice([1, 200, 399, 400, 401, 402, 500, 600]), hours=dice.randrange(24))
        reference = held_session(world, f"{start:%Y-%m-%d} {11 + number % 4}:{dice.choice(['00', '30'])}",
                                 host=f"h{number}", counsellor=f"c{number}")  # fmt: skip
        [booking] = world.rows(Booking, reference=reference)
        is_old = (as_of.date() - booking.end_at.astimezone(JST).date()).days > 400
        is_kept = dice.random() < 0.4
        if is_kept:
            keep = dice.choice(keeps)
            # Their references are fixed: a second one of the kind would be refused.
            keep = keep_by_task if keep in used & {keep_by_disclosure, keep_by_restriction} else keep
            used.add(keep)
            keep(world, booking)
        expected[booking.request_id] = is_old and not is_kept
    counts = statistics_of(world)
    retain(world, as_of)
    assert statistics_of(world) == counts
    for row in world.rows(BookingRequest):
        assert (row.erased_at is not None) == expected[row.id], (seed, row.reference)
    assert unopened(world) == 6 * sum(expected.values()), seed


def statistics_of(world: World) -> dict[str, Any]:
    """Every count of the reports over all time."""
    from madoguchi.store import statistics

    within = statistics.Span(datetime(2020, 1, 1, tzinfo=JST), datetime(2040, 1, 1, tzinfo=JST))
    found = {}
    with world.database.read() as session:
        for name, function in inspect.getmembers(statistics, inspect.isfunction):
            if list(inspect.signature(function).parameters) == ["session", "office", "within"]:
                found[name] = function(session, world.office.code, within)
    assert len(found) > 5
    return found


def test_in_life_nothing_is_erased_before_its_real_time(world: World) -> None:
    held_session(world)
    live = replace(world.services, is_live=True)
    with pytest.raises(AheadOfTime):
        erase_what_is_over(live, world.run(LONG_AFTER))
    assert world.count(Deletion) == 0


def test_the_bytes_of_what_was_erased_leave_the_file(tmp_path: Path) -> None:
    path = tmp_path / "record.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    world = World(database, clock=Clock())
    for minute in range(30):
        held_session(world, f"2026-09-{1 + minute:02d} 11:00", status="attended")
    planted = [bytes(value)[5:45] for _, _, value in everything_sealed(world) if value and value != ERASED]
    planted += [bytes(row.number_index) for row in world.rows(BookingRequest)[:1]]
    files = [path, path.with_name("record.db-wal")]

    def held() -> int:
        content = b"".join(file.read_bytes() for file in files if file.exists())
        return sum(1 for one in planted if one in content)

    assert held() == len(planted) > 150
    retain(world)
    report = clean_files(world.services, world.run())
    assert report.incomplete == []
    assert held() == 0
    database.close()


def test_a_reader_that_still_needs_the_log_is_named_and_the_next_run_empties_it(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'record.db'}")
    database.migrate()
    world = World(database)
    world.ask(SESSION)
    with database.read() as reader:
        reader.scalars(select(Client.id)).all()
        world.ask(SESSION)
        tries: list[float] = []
        report = clean_files(world.services, world.run(), wait=tries.append)
        assert (report.incomplete, len(tries)) == ([("record", "DATABASE_FILE_IN_USE")], 9)
    assert clean_files(world.services, world.run()).incomplete == []
    database.close()


def test_the_night_begins_the_months_key_and_destroys_one_that_nothing_needs(
    database: Database, tmp_path: Path
) -> None:
    world = World(database, spool=tmp_path, masters=lambda: (MasterKey(b"k" * 32),))
    reference = held_session(world)
    [old] = world.rows(DataKey, purpose="data")
    world.clock.now = LONG_AFTER - timedelta(days=60)
    assert turn_keys(world.services, world.run()).erased == {"key_begun": 1}
    assert not turn_keys(world.services, world.run()).erased, "once a month"
    world.clock.now = LONG_AFTER
    assert turn_keys(world.services, world.run()).erased == {"key_begun": 1}, "the one before was in use just now"
    world.clock.forward(days=3)
    assert turn_keys(world.services, world.run()).erased == {"key_destroyed": 1}, "nothing was sealed with that one"
    retain(world, world.clock.now)
    waiting = tmp_path / "aside" / "1.event"
    waiting.parent.mkdir()
    waiting.write_bytes(world.services.vault.seal(b"device", "web.hook.1"))
    assert not turn_keys(world.services, world.run()).erased, "a webhook waits that is sealed with it"
    waiting.unlink()
    assert turn_keys(world.services, world.run()).erased == {"key_destroyed": 1}
    [row] = [row for row in world.rows(DataKey) if row.id == old.id]
    assert (bytes(row.wrapped), row.destroyed_at) == (b"", world.clock.now)
    assert world.rows(Booking, reference=reference)[0].status == "attended"
