"""set-restriction on both databases: decided by a person, one at a time, lifted with who and why."""

import importlib
from datetime import date, timedelta

import pytest
from prefect.exceptions import ParameterTypeError
from prefect.utilities.callables import parameter_schema

from madoguchi.domain import staff
from madoguchi.domain.standing import standing
from madoguchi.store.models import Audit, Booking, BookingRequest, OutboxMessage, Restriction
from madoguchi.store.staff_bookings import restrictions_of
from tasks.restrictions import Decided, set_restriction
from tests.tasks.desk_world import Desk
from tests.tasks.staff_help import at_once, refusal
from tests.world import Clock, jst

NOW = jst("2026-09-24 16:00")


@pytest.fixture
def world(database):
    return Desk(database, clock=Clock(NOW))


def decide(world, reference, action="制限する", reason="連絡のない不参加が重なった", **changes):
    form = {"received_by": "松戸", "ground": "第6条(3)"} | changes
    return set_restriction(world.services, world.run(), Decided(reference, action, reason, **form))


def lift(world, reference, reason="ご本人と話し合った", **changes):
    return decide(world, reference, "解除する", reason, **{"ground": None} | changes)


def rows(world):
    return sorted(world.rows(Restriction), key=lambda row: row.starts_at)


def stands(world, reference, at=NOW):
    with world.database.read() as session:
        found = restrictions_of(session, world.office.code, world.booking(reference).client_id)
    return standing([], found, as_of=at, counts_for_days=365, review_after=2)


def test_a_decision_keeps_ground_reason_term_paper_and_person(world):
    reference = world.session()
    done = decide(world, reference, until=date(2026, 12, 31), document="松職発0924第３号")
    [row] = rows(world)
    assert (row.ground, row.reason, row.document, row.decided_by, row.starts_at) == (
        "ART_6_3", "REPEATED_NO_SHOW", "松職発0924第3号", "staff:松戸", NOW,
    )  # fmt: skip
    assert (row.lifted_at, row.client_id) == (None, world.booking(reference).client_id)
    assert done.sentence == (
        f"{reference} の方の利用の制限を記録しました（決定の番号 {row.reference}、第6条(3)、2026年12月31日まで）。"
    )
    [audit] = world.rows(Audit, subject=row.reference)
    assert (audit.action, audit.actor, audit.reason) == ("restricted", "staff:松戸", "REPEATED_NO_SHOW")
    assert row.reference.startswith("S-")


def test_the_last_day_is_a_whole_one_and_the_day_after_it_is_over(world):
    reference = world.session()
    decide(world, reference, until=date(2026, 9, 30))
    last = stands(world, reference, jst("2026-09-30 23:59"))
    assert (last.needs_person, last.restricted_until) == (True, date(2026, 9, 30))
    assert not stands(world, reference, jst("2026-10-01 00:00")).needs_person
    world.clock.now = jst("2026-10-01 09:00")
    assert not decide(world, reference).again, "the term is over: a new decision is possible"


def test_nobody_is_told_by_mail_and_what_is_there_stays_and_is_named(world):
    reference = world.session()
    asked = "R-7K2Q9F"
    world.ask("2026-09-28 11:00", status="waiting", client_id=world.booking(reference).client_id, reference=asked)
    before = [(row.id, row.status) for table in (Booking, BookingRequest, OutboxMessage) for row in world.rows(table)]
    done = decide(world, reference)
    assert before == [
        (row.id, row.status) for table in (Booking, BookingRequest, OutboxMessage) for row in world.rows(table)
    ]
    assert any(reference in note and "cancel-booking" in note for note in done.notes)
    assert any(asked in note and "decide-request" in note for note in done.notes)


def test_any_booking_or_application_of_the_person_names_them(world):
    first = world.session()
    client = world.booking(first).client_id
    second = world.session(client=client, start=jst("2026-09-25 11:00"))
    world.ask("2026-09-28 11:00", client_id=client, reference="R-7K2Q9F")
    decide(world, first)
    for other in (second, "R-7K2Q9F", "r7k2q9f"):
        assert decide(world, other).again
    assert len(rows(world)) == 1


def test_lifting_keeps_who_and_why_and_the_same_twice_is_once(world):
    reference = world.session()
    decide(world, reference)
    world.clock.now = NOW + timedelta(days=3)
    assert [lift(world, reference, received_by="柏").again for _ in range(2)] == [False, True]
    [row] = rows(world)
    assert (row.lifted_at, row.lifted_by, row.lift_reason) == (world.clock.now, "staff:柏", "AGREED_WITH_CLIENT")
    assert (row.decided_by, row.reason) == ("staff:松戸", "REPEATED_NO_SHOW")
    assert [a.action for a in world.rows(Audit, subject=row.reference)] == ["restricted", "lifted"]
    assert not stands(world, reference, world.clock.now).needs_person
    assert not decide(world, reference).again, "a new decision is a new row"
    assert len(rows(world)) == 2


def test_two_clerks_at_once_make_one_restriction(world):
    reference = world.session()
    results = at_once(lambda: decide(world, reference), lambda: decide(world, reference))
    assert sorted(done.again for done in results) == [False, True]
    assert len(rows(world)) == 1


REFUSALS = {
    "restricting without a ground": (
        {"ground": None}, "「制限する」のときは、ground（根拠の条項）を選んでください。",
    ),
    "a reason of the other decision": (
        {"reason": "ご本人と話し合った"},
        "「制限する」の理由に「ご本人と話し合った」は使えません。選び直してください。",
    ),
    "a term that is over": (
        {"until": date(2026, 9, 23)},
        "until（いつまで）の2026年9月23日は、もう過ぎています。これからの日を入れるか、空にしてください。",
    ),
    "a second one": (
        {"restricted": True, "reason": "脅迫や暴言があった", "ground": "第12条(1)"},
        (
            "{reference} の方には、すでに利用の制限（{restriction}、期限なし）があります。"
            "変えるときは、先に「解除する」で解除してください。"
        ),
    ),
    "lifting nothing": (
        {"action": "解除する", "reason": "その他", "ground": None},
        "{reference} の方には、解除する利用の制限がありません。",
    ),
    "lifting with a ground": (
        {"restricted": True, "action": "解除する", "reason": "その他"},
        "「解除する」のときは、ground・until・document を空にしてください。",
    ),
    "nobody's reference": ({"reference": "M-222222"}, "M-222222 という予約は見つかりません。番号を確かめてください。"),
    "an application that is nobody's": (
        {"reference": "R-7K2Q9F"},
        (
            "R-7K2Q9F は、どなたの申込みか決まっていません（受け付けられなかった申込みです）。"
            "同じ方の、受け付けた申込みか予約の番号を入れてください。"
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_is_refused_with_one_sentence_and_nothing_changes(world, case):
    given, sentence = REFUSALS[case]
    given, made = dict(given), world.session()
    world.ask("2026-09-28 11:00", reference="R-7K2Q9F", status="rejected")
    with world.database.write() as session:
        session.query(BookingRequest).filter_by(reference="R-7K2Q9F").update({"client_id": None})
    if given.pop("restricted", False):
        decide(world, made)
    name = rows(world)[0].reference if rows(world) else ""
    before = (len(rows(world)), world.count(Audit))
    said = refusal(decide, world, given.pop("reference", made), **given)
    assert said == sentence.replace("{reference}", made).replace("{restriction}", name)
    assert (len(rows(world)), world.count(Audit)) == before


# --- the form


FLOW = importlib.import_module("flows.set_restriction").set_restriction
GIVEN = {"reference": "M-7K2Q9F", "action": "制限する", "reason": "その他", "received_by": "松戸"}


def test_the_form_offers_choices_and_explains_each_field_in_japanese():
    schema = parameter_schema(FLOW).model_dump()
    assert schema["required"] == list(GIVEN)
    assert schema["properties"]["action"]["enum"] == list(staff.RESTRICTING)
    assert schema["properties"]["reason"]["enum"] == list(staff.RESTRICTION_REASONS)
    assert schema["properties"]["ground"]["anyOf"][0]["enum"] == list(staff.GROUNDS)
    for phrase, code in staff.GROUNDS.items():
        assert FLOW.validate_parameters({**GIVEN, "ground": code})["ground"] == phrase
    for field in schema["properties"].values():
        assert sum("ぁ" <= char <= "ん" for char in field["description"]) > 3


@pytest.mark.parametrize("document", ["松職発0924第3号", "松職発第３号", "A-2026-12", "HW12"])
def test_a_paper_is_named_by_its_number(document):
    assert FLOW.validate_parameters({**GIVEN, "document": document})["document"] == document


@pytest.mark.parametrize("document", ["架空 七海", "架空七海", "99999-12345678", "09000000000", "a@example.jp", ""])
def test_nothing_about_a_person_fits_into_the_number_of_a_paper(document):
    with pytest.raises(ParameterTypeError, match="document"):
        FLOW.validate_parameters({**GIVEN, "document": document})


def test_every_reason_fits_one_action_and_other_fits_both():
    fitting = {
        code: [action for action in ("restrict", "lift") if staff.fits_restriction(action, code)]
        for code in staff.RESTRICTION_REASONS.values()
    }
    assert fitting.pop("OTHER") == ["restrict", "lift"]
    assert all(len(actions) == 1 for actions in fitting.values())
