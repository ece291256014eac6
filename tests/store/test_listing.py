from datetime import date

import pytest

from madoguchi.store.listing import KINDS, iso, listed, show
from madoguchi.store.models import Audit, Restriction
from madoguchi.store.runs import close_staff_tasks, open_staff_task
from tasks.restrictions import Decided, set_restriction
from tasks.scheduling import schedule_requests
from tasks.staff_attendance import Contact, Settlement, record_contact, settle_attendance
from tests.tasks.desk_world import Desk
from tests.tasks.sweep_world import NOBODY, TENTH
from tests.world import Clock, World, answer, jst


@pytest.fixture
def world(database, tmp_path):
    made = World(database)
    made.read(tmp_path, answer(1, "2026/09/24", "11:00"), answer(2, "2026/09/24", "11:00"), answer(3, "", ""))
    schedule_requests(made.services, made.run())
    return made


def rows(world, kind, **where):
    with world.database.read() as session:
        return list(listed(session, world.office.code, kind, **where))


def shown(world, reference):
    with world.database.write() as session:
        return show(session, world.services.vault, reference, world.run().act(world.services))


def test_lists_hold_no_personal_data(world):
    text = "".join(str(rows(world, kind)) for kind in KINDS)
    for secret in ("架空", "カクウ", "kakuu1", "99999-"):
        assert secret not in text


def test_requests_are_listed_row_by_row_with_their_booking(world):
    found = rows(world, "requests")
    assert [(r["row"], r["outcome"], r["status"]) for r in found] == [
        (found[0]["row"], "accept", "booked"),
        (found[0]["row"] + 1, "accept", "waiting"),
        (found[0]["row"] + 2, "reject", "rejected"),
    ]
    [booking] = rows(world, "bookings")
    assert (found[0]["booking"], found[1]["booking"]) == (booking["reference"], None)
    assert (booking["start"], booking["end"]) == ("2026-09-24T11:00:00+09:00", "2026-09-24T11:30:00+09:00")


@pytest.mark.parametrize(
    ("kind", "day", "status", "count"),
    [
        ("requests", date(2026, 9, 10), None, 3), ("requests", date(2026, 9, 11), None, 0),
        ("requests", None, "waiting", 1), ("bookings", date(2026, 9, 24), "held", 1),
        ("bookings", date(2026, 9, 23), None, 0), ("bookings", None, "confirmed", 0),
        ("meetings", None, None, 0), ("messages", date(2026, 9, 14), "queued", 2), ("messages", None, "sent", 0),
    ],
)  # fmt: skip
def test_lists_are_narrowed_by_day_in_japan_and_by_state(world, kind, day, status, count):
    assert len(rows(world, kind, day=day, status=status)) == count


def test_showing_opens_one_and_leaves_an_audit_row(world):
    reference = rows(world, "requests")[0]["reference"]
    found = shown(world, reference)
    assert found["application"]["name"] == "架空 七海"
    assert [(c["document"], c["version"]) for c in found["consents"]] == [
        ("service", "2025-04-01"),
        ("zoom", found["consents"][1]["version"]),
    ]
    assert [row.action for row in world.rows(Audit, subject=reference)][-1] == "shown"
    booking = shown(world, found["booking"])
    assert (booking["kind"], booking["request"], booking["access"]) == ("booking", reference, None)
    message = shown(world, rows(world, "messages")[0]["id"])
    assert message["to"].endswith("@example.jp")


def test_what_is_nobodys_is_not_recorded(world):
    count = world.count(Audit)
    assert shown(world, "R-NOBODY") is None
    assert world.count(Audit) == count


def test_times_are_written_with_japans_offset():
    assert iso(jst("2026-09-24 11:00")) == "2026-09-24T11:00:00+09:00"
    assert iso(None) is None


# --- the day of a session


@pytest.fixture
def desk(database):
    """A no-show by the machine, a call about it entered in the afternoon, a person's decision, a restriction."""
    made = Desk(database, clock=Clock(TENTH))
    reference = made.session(*NOBODY)
    made.sweep()
    made.clock.now = jst("2026-09-24 15:30")
    call = Contact(reference, "電話", "遅れる", "松戸", jst("2026-09-24 11:05"))
    record_contact(made.services, made.run(), call)
    settle_attendance(made.services, made.run(), Settlement(reference, "参加した", "担当者が確かめた", "柏"))
    decided = Decided(reference, "制限する", "脅迫や暴言があった", "松戸", "第12条(1)")
    set_restriction(made.services, made.run(), decided)
    with made.database.write() as session:
        act = made.run().act(made.services)
        open_staff_task(session, act, "uncertain-message", made.messages("reminder_hour")[0].id, "SMTP_LOST")
        open_staff_task(session, act, "call-applicant", "R-222222", "NO_EMAIL")
        close_staff_tasks(session, act, "R-222222")
    return made, reference


@pytest.mark.parametrize(
    ("kind", "day", "status", "count"),
    [
        ("tasks", None, "open", 1), ("tasks", None, "closed", 2), ("tasks", None, "lost", 0), ("tasks", None, None, 3),
        ("tasks", date(2026, 9, 24), None, 3), ("tasks", date(2026, 9, 23), None, 0), ("verdicts", None, None, 3),
        ("verdicts", date(2026, 9, 24), "no_show", 1), ("verdicts", date(2026, 9, 25), None, 0),
        ("evidence", date(2026, 9, 24), None, 4), ("evidence", None, "contact", 1),
        ("evidence", date(2026, 9, 23), None, 0),
    ],
)  # fmt: skip
def test_lists_of_the_day_are_narrowed_by_day_in_japan_and_by_state(desk, kind, day, status, count):
    world, _ = desk
    assert len(rows(world, kind, day=day, status=status)) == count


def test_verdicts_and_evidence_are_listed_with_both_times_and_without_personal_data(desk):
    world, reference = desk
    assert [(v["booking"], v["number"], v["verdict"], v["by_person"]) for v in rows(world, "verdicts")] == [
        (reference, 1, "no_show", False), (reference, 2, "contacted", False), (reference, 3, "attended", True),
    ]  # fmt: skip
    [contact] = rows(world, "evidence", status="contact")
    assert (contact["booking"], contact["source"], contact["happened_at"], contact["recorded_at"]) == (
        reference, "staff", "2026-09-24T11:05:00+09:00", "2026-09-24T15:30:00+09:00",
    )  # fmt: skip
    assert "架空" not in "".join(str(rows(world, kind)) for kind in KINDS)


def test_report_21_showing_a_booking_explains_every_verdict_from_the_record_alone(desk):
    world, reference = desk
    found = shown(world, reference)
    first, second, third = found["verdicts"]
    assert (first["verdict"], first["why"], first["judged_for"]) == (
        "no_show", ["開始10分後までに、来談も連絡も確認できませんでした"], "2026-09-24T11:10:00+09:00",
    )  # fmt: skip
    by_id = {piece["id"]: piece for piece in found["evidence"]}
    assert "contact" not in [by_id[row_id]["kind"] for row_id in first["evidence"]], "what was known at that time"
    assert "contact" in [by_id[row_id]["kind"] for row_id in second["evidence"]]
    assert first["duties"]["link"]["duty"] == "done"
    assert (third["actor"], third["reasons"], third["by_person"]) == ("staff:柏", ["ASKED_COUNSELLOR"], True)
    contact = next(piece for piece in found["evidence"] if piece["kind"] == "contact")
    assert (contact["actor"], contact["details"]) == (
        "staff:松戸", {"channel": "telephone", "about": "late", "session_start": "2026-09-24T02:00:00+00:00"},
    )  # fmt: skip
    assert [task["kind"] for task in found["staff_tasks"] if task["status"] == "open"] == ["uncertain-message"]
    assert (found["person"]["reason"], found["person"]["no_shows"]) == ("RESTRICTED", 0)
    assert [b["status"] for b in found["person"]["bookings"]] == ["attended"]


def test_a_restriction_is_shown_by_its_own_reference(desk):
    world, reference = desk
    [row] = world.rows(Restriction)
    found = shown(world, row.reference)
    assert (found["kind"], found["ground"], found["decided_by"]) == ("restriction", "ART_12_1", "staff:松戸")
    assert [b["reference"] for b in found["bookings"]] == [reference]
    assert [h["action"] for h in found["history"]] == ["restricted"]
