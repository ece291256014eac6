"""The day list: who is shown what, what came before, what waits; nothing about a person where none may be known."""

from datetime import UTC, datetime, timedelta

import pytest

from madoguchi.domain.lifecycle import BookingStatus
from madoguchi.domain.message import MailKind, MessageStatus
from madoguchi.store.audit import Act
from madoguchi.store.day_list import sessions_of_day
from madoguchi.store.models import Audit, Booking, BookingRequest, OutboxMessage, Restriction, StaffTask
from tasks.day_list import MAIL_STATES, MAILS, STATES, TO_DO, day_list, day_list_markdown
from tests.webhook_help import add_meeting
from tests.world import AS_OF, World, jst

NOW = jst("2026-09-24 10:30")
PERSONAL = ("架空", "七海", "nanami", "99999", "example.jp", "abcd2345", "85000000001", "母")


def looking(world):
    return Act(world.office.code, "staff:7", None, NOW, world.clock.now)


def seen(world, **more):
    return day_list(world.services, NOW, act=looking(world), **more)


def change(world, reference, **values):
    with world.database.write() as session:
        booking = session.query(Booking).filter_by(reference=reference).one()
        for name, value in values.items():
            setattr(booking, name, value)
        return booking.client_id


def flag(world, reference, *flags, companion=None):
    with world.database.write() as session:
        booking = session.query(Booking).filter_by(reference=reference).one()
        request = session.get_one(BookingRequest, booking.request_id)
        request.flags = list(flags)
        place = f"booking_request.sealed_values.{request.id}"
        values = world.services.vault.open_json(request.sealed_values, place)
        values["application"]["companion"] = companion
        request.sealed_values = world.services.vault.seal_json(values, place)


def mail(world, reference, kind, status="sent", revision=1):
    with world.database.write() as session:
        booking = session.query(Booking).filter_by(reference=reference).one()
        row = OutboxMessage(
            office=world.office.code, dedupe_key=f"{kind}-{reference}-{revision}-{status}", kind=kind,
            booking_id=booking.id, revision=revision, template_version="1", sealed_context=b"", status=status,
            due_at=AS_OF, message_id="<1@example.jp>", sent_at=AS_OF if status == "sent" else None, queued_at=AS_OF,
            changed_at=AS_OF,
        )  # fmt: skip
        session.add(row)
        session.flush()
        return row.id


def task(world, kind, subject, reason=None, at=AS_OF):
    with world.database.write() as session:
        session.add(
            StaffTask(
                office=world.office.code, kind=kind, subject=subject, reason=reason, opened_at=at, closed_at=None,
                closed_by=None,
            )
        )  # fmt: skip


def test_a_day_is_a_day_in_japan_and_its_sessions_stand_in_order(database):
    world = World(database, counsellors_and_hosts())
    afternoon = world.occupy("2026-09-24 14:30")
    second = world.occupy("2026-09-24 11:00", "counsellor-2", "host-2")
    first = world.occupy("2026-09-24 11:00")
    world.occupy("2026-09-23 23:30", host="host-2")
    world.occupy("2026-09-25 00:00", host="host-2")
    given_up = world.occupy("2026-09-24 12:00")
    change(world, given_up, status="released")
    assert [line.session.reference for line in seen(world).lines] == [first, second, afternoon]
    late = datetime(2026, 9, 23, 15, 30, tzinfo=UTC)
    assert day_list(world.services, late).day == NOW.date()
    assert seen(world, day=NOW.date() + timedelta(days=1)).lines[0].session.reference == "M-000005"


def counsellors_and_hosts():
    from tests.world import office

    return office(2, 2)


def test_what_staff_should_know_of_a_person_stands_as_marks(database):
    world = World(database)
    reference = world.occupy("2026-09-24 11:00")
    person = change(world, reference)
    flag(world, reference, "COMPANION_DECLARED", "ONLINE_REGISTRANT", companion="母")
    [line] = seen(world).lines
    assert [words for words, _ in line.marks] == ["同席あり", "オンライン登録者（切替えが必要）", "初めて"]
    assert line.personal.companion == "母"
    for day, status in (("2026-09-01", "no_show"), ("2026-08-03", "no_show"), ("2026-07-01", "attended")):
        world.occupy(f"{day} 11:00", client_id=person, status=status)
    world.occupy("2024-09-01 11:00", client_id=person, status="no_show")
    world.occupy("2026-09-25 11:00", client_id=person, status="no_show")
    task(world, "settle-attendance", reference)
    with database.write() as session:
        for number, lifted in ((1, None), (2, AS_OF)):
            session.add(
                Restriction(
                    reference=f"X-{number}", office=world.office.code, client_id=person, ground="g", reason="r",
                    starts_at=AS_OF, until=None, decided_by="staff:7", recorded_at=AS_OF, lifted_at=lifted,
                )
            )  # fmt: skip
    [line] = seen(world).lines
    assert [words for words, pressing in line.marks if pressing] == [
        "職員の対応待ち", "利用をお断りする決定あり", "連絡なしの不参加 2回",
    ]  # fmt: skip
    assert "これまでの相談 1回" in dict(line.marks)
    assert "初めて" not in dict(line.marks)


def test_mails_are_those_about_the_session_as_it_is_now(database):
    world = World(database)
    reference = world.occupy("2026-09-24 11:00", revision=2)
    mail(world, reference, "confirmed")
    mail(world, reference, "reminder_day", "suppressed")
    mail(world, reference, "changed", revision=2)
    mail(world, reference, "reminder_hour", "queued", revision=2)
    mail(world, reference, "no_show", "queued", revision=2)
    [line] = seen(world).lines
    assert line.mails == (
        ("確定のお知らせ", "送信済み", AS_OF),
        ("変更のお知らせ", "送信済み", AS_OF),
        ("直前のお知らせ", "送信待ち", None),
    )


def test_what_waits_names_the_booking_and_the_flow_the_oldest_first(database):
    world = World(database)
    reference = world.occupy("2026-09-24 11:00")
    message = mail(world, reference, "reminder_hour", "uncertain")
    task(world, "uncertain-message", message, "RUNNER_DIED", AS_OF + timedelta(hours=1))
    task(world, "review-request", "R-000099", "SAME_DAY")
    task(world, "of-a-later-release", "M-000077", None, AS_OF + timedelta(minutes=1))
    found = seen(world)
    assert [(w.to_do.flow, w.reference) for w in found.waiting] == [
        ("decide-request", "R-000099"), ("", "M-000077"), ("settle-message", reference),
    ]  # fmt: skip
    assert found.waiting[0].reason == "当日の申込みです(原則は前日まで)"
    assert found.waiting[2].message == message
    assert found.lines[0].waits
    assert "madoguchi show" in found.waiting[1].to_do.what


def test_a_look_is_in_the_audit_and_a_list_without_names_is_none(database):
    world = World(database)
    reference = world.occupy("2026-09-24 11:00")
    day_list_markdown(world.services, NOW)
    assert world.rows(Audit) == []
    seen(world)
    [row] = world.rows(Audit)
    assert (row.subject_kind, row.subject, row.action, row.actor) == ("day_list", "2026-09-24", "shown", "staff:7")
    assert row.details == {"bookings": [reference]}


def test_the_artifact_has_references_times_states_and_counts_and_nobody_in_it(database):
    world = World(database)
    reference = world.occupy("2026-09-24 11:00")
    gone = world.occupy("2026-09-24 13:00")
    change(world, gone, status="cancelled")
    flag(world, reference, "COMPANION_DECLARED", companion="母")
    flag(world, gone, "COMPANION_DECLARED", companion="母")
    add_meeting(world, reference, "85000000001", access={"passcode": "abcd2345", "join_url": "https://example.jp/j/1"})
    mail(world, reference, "confirmed")
    task(world, "settle-attendance", reference, "HOST_UNKNOWN")
    task(world, "settle-attendance", gone)
    text = day_list_markdown(world.services, NOW)
    assert f"| 11時00分 | {reference} | 予約確定 | 同席あり | 確定のお知らせ 送信済み | 対応待ち |" in text
    assert f"| 13時00分 | {gone} | 取り消し | 同席あり |" in text
    assert "予約 1件（うち同席あり 1件）" in text
    assert "| 出欠の確認 | 2 | settle-attendance |" in text
    assert [word for word in PERSONAL if word in text] == []


def test_an_empty_day_is_said(database):
    assert "この日の予約はありません" in day_list_markdown(World(database).services, NOW)


def test_hundreds_of_sessions_and_tasks_take_a_handful_of_statements(database):
    world = World(database)
    first = world.occupy("2026-09-24 11:00")
    with database.write() as session:
        one = session.query(Booking).filter_by(reference=first).one()
        for number in range(600):
            session.add(
                Booking(
                    reference=f"M-X{number:05d}", office=one.office, request_id=one.request_id, client_id=one.client_id,
                    start_at=one.start_at, end_at=one.end_at, counsellor="c", host="h", status="attended", revision=1,
                    held_at=AS_OF, confirmed_at=AS_OF,
                )
            )  # fmt: skip
    for number in range(120):
        task(world, "review-request", f"R-{number:06d}")
    with database.read() as session:
        assert len(sessions_of_day(session, world.office.code, NOW.date())) == 601
    found = seen(world)
    assert (len(found.lines), len(found.waiting), found.waiting_count) == (601, 100, 120)
    assert "古いものから100件" in day_list_markdown(world.services, NOW)


@pytest.mark.parametrize(
    ("table", "members"), [(STATES, BookingStatus), (MAILS, MailKind), (MAIL_STATES, MessageStatus)]
)
def test_every_state_and_every_mail_has_its_word(table, members):
    assert set(table) == set(members)


def test_every_task_names_a_flow_that_there_is():
    from madoguchi.cli import FLOWS

    planned = {"decide-request", "record-contact", "settle-attendance", "book-in-session", "settle-message",
               "reconcile-zoom"}  # fmt: skip
    assert {each.flow for each in TO_DO.values()} - {""} <= set(FLOWS) | planned
