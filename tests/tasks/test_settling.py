"""What the outcome of a row causes, through the real intake, on both databases."""

from datetime import UTC, date, timedelta

import pytest
from sqlalchemy import select

from madoguchi.domain.lifecycle import RequestStatus
from madoguchi.store.models import Audit, BookingRequest, Client, Consent, MailTemplate, TermsVersion
from madoguchi.store.terms import TermsFacts, register_terms
from tasks.settling import replace_requests
from tests.world import AS_OF, World, answer, jst


@pytest.fixture
def world(database):
    return World(database)


def only(world):
    [row] = world.rows(BookingRequest)
    return row


def test_an_accepted_row_has_a_person_two_consents_and_one_audit_row(world, tmp_path):
    world.read(tmp_path, answer(1, "2026/09/24", "11:00"))
    row = only(world)
    assert row.status == "received"
    [client] = world.rows(Client)
    assert row.client_id == client.id
    consents = {c.document: c for c in world.rows(Consent)}
    assert {name: c.basis for name, c in consents.items()} == {
        "service": "checkbox",
        "zoom": "Art. 4, by applying and using",
    }
    assert {c.consented_at for c in consents.values()} == {jst("2026-09-10 09:01")}
    assert {c.channel for c in consents.values()} == {"form:google"}
    assert world.history(row.reference) == ["staged>received"]
    [audit] = [a for a in world.rows(Audit, subject=row.reference) if a.action == "transition"]
    assert (audit.happened_at, audit.recorded_at) == (AS_OF, world.clock.now)
    assert world.messages() == []
    assert world.staff() == []


def test_an_empty_box_is_consent_by_applying(world, tmp_path):
    world.read(tmp_path, answer(1, "2026/09/24", "11:00", consent=""))
    assert {c.basis for c in world.rows(Consent, document="service")} == {"preamble, Art. 6"}


def test_the_same_person_is_one_client_however_often_they_apply(world, tmp_path):
    world.read(tmp_path, answer(1, "2026/09/24", "11:00"))
    world.read(tmp_path, answer(1, "2026/09/24", "11:00"), answer(2, "2026/09/25", "11:00", number="99999-91000001"))
    assert world.count(Client) == 1


def test_a_consent_names_the_version_in_force_when_the_application_was_sent(world, tmp_path):
    """Also when a version begins in the middle of a UTC day, which midnight in Japan is."""
    with world.database.write() as session:
        new = TermsFacts("service", "2026-09-11", "f" * 64, date(2026, 9, 1), jst("2026-09-11 00:00"), "https://e.jp")
        register_terms(session, world.office.code, [new])
    world.read(
        tmp_path,
        answer(1, "2026/09/24", "11:00", stamp="2026/09/10 11:59:59 午後 GMT+9"),
        answer(2, "2026/09/24", "11:30", stamp="2026/09/11 0:00:00 午前 GMT+9"),
        answer(3, "2026/09/24", "12:00", stamp="2026/09/11 8:00:00 午前 GMT+9"),
    )
    codes = {t.id: t.code for t in world.rows(TermsVersion)}
    named = [codes[c.terms_id] for c in sorted(world.rows(Consent, document="service"), key=lambda c: c.consented_at)]
    assert named == ["2025-04-01", "2026-09-11", "2026-09-11"]


def test_a_row_for_staff_opens_one_task(world, tmp_path):
    world.read(tmp_path, answer(1, "2026/09/24", "11:15"))
    row = only(world)
    assert row.status == "in_review"
    assert world.staff() == [("review-request", row.reference, "OFF_GRID")]
    assert world.count(Consent) == 0


def test_an_online_registrant_is_accepted_and_staff_are_told_to_switch_the_registration(world, tmp_path):
    world.read(tmp_path, answer(1, "2026/09/24", "11:00", registration="オンライン登録者"))
    row = only(world)
    assert row.status == "received"
    assert world.staff() == [("switch-registration", row.reference, None)]


def test_whoever_left_something_out_is_asked_for_it_once(world, tmp_path):
    for _ in range(2):
        world.read(tmp_path, answer(1, "2026/09/24", "11:00", number="", name=""))
    row = only(world)
    assert row.status == "rejected"
    [message] = world.messages()
    assert (message.kind, message.due_at) == ("incomplete", AS_OF)
    assert world.context(message)["missing"] == ["MISSING_NAME", "MISSING_NUMBER"]
    assert world.count(Client) == 0
    [template] = world.rows(MailTemplate)
    assert (template.kind, template.version) == ("incomplete", message.template_version)


def test_without_a_usable_address_staff_telephone(world, tmp_path):
    world.read(tmp_path, answer(1, "2026/09/24", "11:00", number="", email="kakuu1＠"))
    row = only(world)
    if row.status == "rejected":
        assert world.staff() == [("call-applicant", row.reference, row.reason)]
    else:
        assert world.staff() == [("review-request", row.reference, row.reason)]
    assert world.messages() == []


def test_an_empty_row_causes_nothing(world, tmp_path):
    report = world.read(tmp_path, [""] * 12)
    assert report.outcomes["skip"] == 1
    assert (world.staff(), world.messages(), world.count(Client)) == ([], [], 0)


def test_a_replaced_request_is_closed_with_its_tasks_and_a_booked_one_is_not(world):
    waiting, booked, done = world.ask("2026-09-24 11:00", status="waiting"), None, None
    booked = world.ask("2026-09-24 11:00", status="booked")
    done = world.ask("2026-09-24 11:00", status="skipped")
    staged = world.ask("2026-09-24 11:00", status="staged")
    with world.database.write() as session:
        act = world.run().act(world.services)
        settled = replace_requests(session, act, {waiting, booked, done, staged})
    assert settled == {waiting, booked, done}
    assert world.status(waiting, booked, done, staged) == "replaced booked skipped staged"
    assert world.history(waiting) == ["waiting>replaced"]


def test_submission_times_are_kept_as_instants(world, tmp_path):
    world.read(tmp_path, answer(1, "2026/09/24", "11:00", stamp="2026/09/10 12:30:00 午前 GMT+9"))
    with world.database.read() as session:
        stored = session.scalars(select(BookingRequest.submitted_at)).one()
    assert stored.astimezone(UTC) - jst("2026-09-10 00:30") == timedelta(0)
    assert only(world).status == RequestStatus.RECEIVED
