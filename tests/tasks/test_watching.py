"""What `watch` finds in a record, and that one alarm stands for each finding, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from madoguchi.domain.office import WatchPolicy
from madoguchi.domain.watching import Code, Finding
from madoguchi.store.models import (
    Alarm,
    Booking,
    BookingRequest,
    ExportFile,
    HostBudget,
    Meeting,
    OutboxMessage,
    RunRecord,
    StaffTask,
)
from madoguchi.store.runs import finish_run, start_run
from tasks.alarms import open_alarms
from tasks.overview import Scheduled
from tasks.watching import watch
from tests.tasks.sweep_world import put_sessions
from tests.world import Clock, World, jst, office

NOW = jst("2026-09-16 12:30")  # a Wednesday
EVERY_FIVE = Scheduled("process-requests", ("*/5 9-16 * * 1-5",))


@pytest.fixture
def world(database):
    # The files of this world are older than what it plays.
    policy = WatchPolicy(no_export=timedelta(hours=450))
    return World(database, office(holidays_known_until=date(2028, 12, 31), watch=policy), clock=Clock(NOW))


def add(world, row):
    with world.database.write() as session:
        session.add(row)
        session.flush()
        return getattr(row, "id", None)


def look(world, at=None, schedules=(), more=()):
    if at is not None:
        world.clock.now = at
    return watch(world.services, world.run(), schedules, more=more)


def found(world, at=None, schedules=()):
    return [
        f"{each.code} {each.subject} {' '.join(each.touched)}".strip() for each in look(world, at, schedules).findings
    ]


def booking(world, reference):
    return next(each for each in world.bookings() if each.reference == reference)


def mail(world, number, **changes):
    values = {
        "office": world.office.code, "dedupe_key": f"mail-{number}", "kind": "confirmed", "revision": 1,
        "template_version": "t", "sealed_context": b"", "status": "queued", "due_at": NOW,
        "message_id": f"<m{number}@example.jp>", "queued_at": NOW, "changed_at": NOW,
    }  # fmt: skip
    return add(world, OutboxMessage(**(values | changes)))


def meeting(world, reference, **changes):
    of = booking(world, reference)
    values = {
        "office": world.office.code, "booking_id": of.id, "revision": of.revision, "token": f"{reference}-token",
        "host": of.host, "status": "verified", "meeting_id": reference[-9:], "start_at": of.start_at,
        "changed_at": NOW,
    }  # fmt: skip
    return add(world, Meeting(**(values | changes)))


def ran(world, flow, at, state="completed", incomplete=(), seconds=20):
    with world.database.write() as session:
        run = start_run(session, world.office.code, flow, "prefect", at, at)
        finish_run(session, run, state=state, message="", counts={},
                   incomplete=[{"reference": each, "reason": "X"} for each in incomplete],
                   now=at + timedelta(seconds=seconds))  # fmt: skip


def test_a_record_in_which_everything_is_as_it_should_be_gives_nothing(world):
    reference = world.occupy("2026-09-16 14:00")
    meeting(world, reference)
    mail(world, 1, status="sent", booking_id=booking(world, reference).id, sent_at=NOW)
    world.occupy("2026-09-15 11:00", status="attended")
    assert found(world) == []
    assert world.count(Alarm) == 0


def test_a_mail_that_is_due_and_unsent_is_named_by_its_session_a_notice_to_everybody_is_not(world):
    reference = world.occupy("2026-09-24 14:00")
    of = booking(world, reference).id
    mail(world, 1, booking_id=of, due_at=NOW - timedelta(minutes=21))
    mail(world, 2, status="retrying", due_at=NOW - timedelta(minutes=21), booking_id=of)
    mail(world, 3, due_at=NOW - timedelta(minutes=10), booking_id=of)
    mail(world, 4, due_at=NOW - timedelta(hours=3), booking_id=of, lane="gmail.com")
    mail(world, 5, due_at=NOW + timedelta(minutes=1), booking_id=of)
    assert found(world) == [f"DUE_UNSENT messages {reference}"]
    assert world.rows(Alarm)[0].details["count"] == 2


def test_a_mail_due_in_the_evening_is_not_late_in_the_morning_of_the_day_after_a_closed_one(world):
    reference = world.occupy("2026-09-30 14:00")
    mail(world, 1, booking_id=booking(world, reference).id, due_at=jst("2026-09-18 17:14"))
    assert found(world, jst("2026-09-24 08:45")) == []
    assert found(world, jst("2026-09-24 08:55")) == [f"DUE_UNSENT messages {reference}"]


@pytest.mark.parametrize("state", ["held", "no meeting", "meeting not verified", "link unsent", "link failed"])
def test_a_session_that_is_near_and_cannot_be_entered_is_found(world, state):
    reference = world.occupy("2026-09-16 14:00", status="held" if state == "held" else "confirmed")
    if state not in {"held", "no meeting"}:
        meeting(world, reference, status="created" if state == "meeting not verified" else "verified")
    if state.startswith("link"):
        status = "retrying" if state == "link unsent" else "failed"
        mail(world, 1, booking_id=booking(world, reference).id, status=status)
    assert found(world) == [f"CONFIRMATION_MISSING {reference} {reference}"]


def test_a_session_without_a_verdict_is_found_a_quarter_after_its_tenth_minute(world):
    reference = world.occupy("2026-09-16 12:00")
    meeting(world, reference)
    assert found(world, jst("2026-09-16 12:25")) == []
    assert found(world, jst("2026-09-16 12:26")) == [f"UNSWEPT sessions {reference}"]


def test_a_mail_of_which_nobody_knows_is_found(world):
    reference = world.occupy("2026-09-24 14:00")
    mail(world, 1, status="uncertain", booking_id=booking(world, reference).id)
    assert found(world) == [f"UNCERTAIN_MAIL {reference} {reference}"]


def test_what_waits_for_a_person_is_old_after_an_open_day_over_a_weekend_too(world):
    add(world, StaffTask(office=world.office.code, kind="review-request", subject="R-AAAAAA",
                         opened_at=jst("2026-09-11 10:00")))  # fmt: skip
    assert found(world, jst("2026-09-14 10:00")) == []
    assert found(world, jst("2026-09-14 10:01")) == ["REVIEW_OLD tasks R-AAAAAA"]


def test_claims_that_nobody_lets_go_of_are_found_by_the_clock(world):
    reference = world.occupy("2026-09-24 14:00")
    of = booking(world, reference)
    dead = {"claim_owner": "gone", "claim_until": NOW - timedelta(minutes=21)}
    mail(world, 1, booking_id=of.id, status="sending", **dead)
    meeting(world, reference, status="claimed", **dead)
    assert found(world) == [f"STUCK_CLAIM claims {reference}"]
    assert found(world, NOW - timedelta(minutes=2)) == []


def test_exports_that_stay_away_longer_than_usual_are_missed_in_open_time_only(world):
    for number, at in enumerate(("09-08 09:00", "09-09 09:00", "09-10 09:00", "09-11 09:00", "09-14 09:00")):
        add(world, ExportFile(office=world.office.code, source="google", form="f", name="x", sha256=f"{number}" * 64,
                              size=1, status="read", counts={}, first_read_at=jst(f"2026-{at}"),
                              completed_at=None))  # fmt: skip
    world.services = replace(world.services, office=replace(world.office, watch=WatchPolicy()))
    # A day, and a half more: 14th 09:00 to 17:15, the 15th 08:30 to 13:22:30.
    assert found(world, jst("2026-09-15 13:22")) == []
    assert found(world, jst("2026-09-15 13:23")) == ["NO_EXPORT exports"]


def test_a_host_whose_day_at_zoom_is_nearly_used_up_is_named(world):
    utc_day = date(2026, 9, 16)
    for host, used in (("host-1", 80), ("host-2", 79)):
        add(world, HostBudget(office=world.office.code, host=host, utc_day=utc_day, used=used))
    add(world, HostBudget(office=world.office.code, host="host-2", utc_day=date(2026, 9, 15), used=99))
    assert found(world) == ["ZOOM_BUDGET host-1"]


def test_a_flow_that_fails_is_told_of_only_when_the_next_run_does_not_heal_it(world):
    ran(world, "watch", jst("2026-09-16 08:30"))
    ran(world, "process-requests", jst("2026-09-16 12:20"), "failed", ["M-AAAAAA"])
    assert found(world, jst("2026-09-16 12:29"), [EVERY_FIVE]) == []
    ran(world, "process-requests", jst("2026-09-16 12:25"), "failed", ["M-AAAAAA"])
    assert found(world, NOW, [EVERY_FIVE]) == ["RUN_FAILED process-requests M-AAAAAA"]
    ran(world, "process-requests", NOW)
    assert found(world, NOW + timedelta(minutes=1), [EVERY_FIVE]) == []


def test_a_nightly_run_whose_mails_went_out_in_the_morning_is_healed(world):
    ran(world, "watch", jst("2026-09-16 08:30"))
    put_sessions(world.services, 1, jst("2026-09-24 11:00"), link="sent", reminder="queued")
    sent, queued = (world.messages(kind)[0].id for kind in ("confirmed", "reminder_hour"))
    ran(world, "process-requests", jst("2026-09-16 12:20"), "failed", [sent])
    assert found(world, NOW, [EVERY_FIVE]) == []
    ran(world, "process-requests", jst("2026-09-16 12:21"), "failed", [sent, queued])
    assert [each.split()[:2] for each in found(world, NOW, [EVERY_FIVE])] == [["RUN_FAILED", "process-requests"]]


def test_a_flow_that_misses_its_turn_is_silent_and_none_is_before_watch_has_run(world):
    ran(world, "process-requests", jst("2026-09-16 09:00"))
    assert found(world, NOW, [EVERY_FIVE]) == []
    ran(world, "watch", jst("2026-09-16 08:30"))
    assert found(world, NOW, [EVERY_FIVE]) == ["SCHEDULE_SILENT process-requests"]
    ran(world, "process-requests", NOW - timedelta(minutes=3))
    assert found(world, NOW, [EVERY_FIVE]) == []


def test_what_stands_in_no_table_is_found_too(world, tmp_path):
    spool = tmp_path / "webhooks"
    spool.mkdir()
    (tmp_path / "office-refused.json").write_text("{}", encoding="utf-8")
    ending = {"relay.example.jp": NOW + timedelta(days=3)}
    small = replace(world.office, watch=replace(world.office.watch, free_bytes=10**18))
    world.services = replace(world.services, office=small, spool=spool, certificates=lambda: ending)
    assert found(world) == ["DISK var", "OFFICE_FILE_REFUSED office.toml", "CERTIFICATE relay.example.jp"]


def test_one_alarm_stands_for_a_finding_as_long_as_it_lasts_and_a_new_one_when_it_comes_back(world):
    more = [Finding(Code.DISK, "var")]
    first = look(world, NOW, more=more)
    again = look(world, NOW + timedelta(minutes=10), more=more)
    assert (len(first.raised), again.raised, again.over) == (1, [], [])
    ended = look(world, NOW + timedelta(minutes=20))
    assert (ended.raised, ended.over) == ([], first.raised)
    back = look(world, NOW + timedelta(minutes=30), more=more)
    assert len(back.raised) == 1
    assert back.raised != first.raised
    rows = sorted(world.rows(Alarm), key=lambda row: row.first_seen_at)
    assert [(row.last_seen_at - NOW, row.over_at and row.over_at - NOW) for row in rows] == [
        (timedelta(minutes=10), timedelta(minutes=20)),
        (timedelta(minutes=30), None),
    ]


def test_who_else_is_touched_is_noted_in_the_alarm_that_stands(world):
    first, second = world.occupy("2026-09-24 13:00"), world.occupy("2026-09-24 14:00")
    mail(world, 1, booking_id=booking(world, first).id, due_at=NOW - timedelta(minutes=30))
    look(world)
    mail(world, 2, booking_id=booking(world, second).id, due_at=NOW - timedelta(minutes=29))
    look(world)
    with world.database.read() as session:
        (alarm,) = open_alarms(session, world.office.code)
    assert (alarm.code, alarm.subject, alarm.severity) == ("DUE_UNSENT", "messages", "urgent")
    assert alarm.touched == (first, second)


def test_a_look_changes_nothing_but_alarms(world):
    reference = world.occupy("2026-09-16 12:00")
    mail(world, 1, booking_id=booking(world, reference).id, due_at=NOW - timedelta(hours=1))
    tables = (Booking, BookingRequest, Meeting, OutboxMessage, StaffTask, RunRecord)
    before = [[row.__dict__ | {"_sa_instance_state": 0} for row in world.rows(table)] for table in tables]
    assert look(world).raised
    assert before == [[row.__dict__ | {"_sa_instance_state": 0} for row in world.rows(table)] for table in tables]
