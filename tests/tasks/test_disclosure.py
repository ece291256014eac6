"""Holds and the register of disclosures (Art. 7(2)): a person decides, what may not be granted is refused by rule."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from madoguchi.commands.run import flow_function, parameters_of
from madoguchi.domain.reference import is_reference
from madoguchi.store.database import Database
from madoguchi.store.models import Audit, Booking, BookingRequest, Client, Disclosure, RecordHold
from tasks.disclosure import Authority, Decided, NotDisclosed, extract, note_given, record_disclosure
from tasks.holds import Holding, set_hold
from tasks.retention import erase_what_is_over, pseudonymise_people
from tasks.staff import Done
from tests.tasks.staff_help import refusal
from tests.tasks.test_retention import LONG_AFTER, held_session, retain
from tests.world import World, jst

MINE, PAPER = "M-7K2Q9F", "千松第123号"
ALL = ("氏名・求職番号", "申込みの内容", "予約と出欠", "送ったお知らせ", "接続の記録（第7条）", "お断りと制限の決定")


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def hold(world: World, reference: str, action: str = "保存を続ける", **changes: Any) -> Done:
    form = {"reason": "監査・検査", "paper": PAPER, "received_by": "松戸"} | changes
    return set_hold(world.services, world.run(), Holding(reference, action, **form))


def decide(world: World, reference: str, decision: str = "開示する", **changes: Any) -> Done:
    form = {
        "authority": "松戸警察署", "asked": "書面", "basis": "捜査関係事項照会（刑事訴訟法第197条第2項）",
        "approver": "所長", "received_by": "松戸", "paper": PAPER, "scope": ALL,
    } | changes  # fmt: skip
    return record_disclosure(world.services, world.run(), Decided(reference, decision=decision, **form))


def granted(world: World, reference: str) -> Disclosure:
    decide(world, reference)
    found: list[Disclosure] = world.rows(Disclosure, decision="granted")
    return found[0]


def test_a_hold_keeps_until_it_is_lifted_and_both_are_in_the_audit(world: World) -> None:
    reference = held_session(world, reference=MINE)
    assert "残す指示" in hold(world, reference).sentence
    assert hold(world, reference).again
    assert not retain(world).erased
    assert "解除しました" in hold(world, reference, "保存の指示を解除する").sentence
    assert retain(world).erased["request"] == 1
    assert [(row.action, row.actor) for row in world.rows(Audit, subject_kind="hold")] == [
        ("held", "staff:松戸"), ("released", "staff:松戸"),
    ]  # fmt: skip
    [row] = world.rows(RecordHold)
    assert (row.reason, row.paper, row.lifted_by) == ("audit", PAPER, "staff:松戸")


def test_lifting_one_order_leaves_the_other(world: World) -> None:
    reference = held_session(world, reference=MINE)
    hold(world, reference)
    hold(world, reference, paper="A-2026-12")
    assert "ほかの保存の指示" in hold(world, reference, "保存の指示を解除する").notes[0]
    assert not retain(world).erased


def test_what_cannot_be_held_is_said(world: World) -> None:
    reference = held_session(world, reference=MINE)
    turned = "R-7K2Q9F"
    world.ask("2026-09-24 13:00", status="rejected", reference=turned)
    with world.database.write() as session:
        session.query(BookingRequest).filter_by(reference=turned).update({"client_id": None})
    assert "どなたの申込みか" in refusal(hold, world, turned)
    assert "保存の指示はありません" in refusal(hold, world, reference, "保存の指示を解除する")
    retain(world)
    assert "消去しました" in refusal(hold, world, reference)
    assert "消去しました" in refusal(decide, world, reference)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"asked": "電話・口頭など、書面によらない依頼"}, "電話や口頭での依頼には開示できません"),
        ({"basis": "法令の根拠が示されていない"}, "法令の根拠が示されていない"),
        ({"paper": None}, "paper"),
        ({"scope": ()}, "scope"),
        ({"approver": "松戸"}, "別の方"),
        ({"approver": "0471234567890"}, "職員番号か名字"),
    ],
)
def test_what_the_terms_do_not_allow_cannot_be_granted(world: World, changes: dict[str, Any], says: str) -> None:
    reference = held_session(world, reference=MINE)
    assert says in refusal(decide, world, reference, **changes)
    assert (world.count(Disclosure), world.count(RecordHold)) == (0, 0)


def test_a_refusal_of_a_telephone_request_is_registered_and_gives_nothing(world: World) -> None:
    reference = held_session(world, reference=MINE)
    done = decide(world, reference, "開示しない", asked="電話・口頭など、書面によらない依頼", paper=None, scope=())
    [row] = world.rows(Disclosure)
    assert row.reference in done.sentence
    assert (row.decision, row.note, row.scope, world.count(RecordHold)) == ("refused", "informal", [], 0)
    with pytest.raises(NotDisclosed, match="not to disclose"):
        extract(world.services, world.run().act(world.services), row.reference)


def test_a_granted_one_holds_the_records_and_the_same_form_again_changes_nothing(world: World) -> None:
    reference = held_session(world, reference=MINE)
    row = granted(world, reference)
    assert is_reference(row.reference)
    assert row.reference.startswith("D-")
    assert (row.approver, row.legal_basis, row.paper) == ("staff:所長", "investigation_inquiry", PAPER)
    assert decide(world, reference).again
    assert (world.count(Disclosure), world.count(RecordHold)) == (1, 1)
    assert not retain(world).erased
    hold(world, reference, "保存の指示を解除する")
    assert retain(world).kept == {"disclosure": 4}, "the extract is not handed over yet"
    decide(world, reference, scope=ALL[:1])
    assert world.count(Disclosure) == 2, "another scope is another decision"


def test_the_extract_holds_one_person_inside_the_scope_and_nobody_else(world: World) -> None:
    reference = held_session(world, reference=MINE)
    held_session(world, "2026-09-25 11:00")
    act = world.run().act(world.services)
    given = extract(world.services, act, granted(world, reference).reference)
    found = json.loads(given.data)["found"]
    assert [one["content"]["email"] for one in found["applications"]] == ["nanami1@example.jp"]
    assert [one["reference"] for one in found["sessions"]] == [reference]
    assert [one["content"]["to"] for one in found["messages"]] == ["nanami@example.jp"]
    assert set(found) == {"identity", "applications", "not_attributed", "sessions", "messages", "device", "decisions"}
    text = given.text.decode()
    assert "氏名: 架空 七海" in text
    assert json.loads(given.data)["text_sha256"] == hashlib.sha256(given.text).hexdigest()
    assert "nanami2@example.jp" not in text
    world.clock.forward(days=1)
    narrow = decide(world, reference, scope=ALL[2:3])
    [row] = [row for row in world.rows(Disclosure) if row.reference in narrow.sentence]
    assert set(json.loads(extract(world.services, act, row.reference).data)["found"]) == {"sessions"}


def test_an_application_with_the_same_number_and_another_person_is_counted_only(world: World) -> None:
    reference = held_session(world, reference=MINE)
    [client] = world.rows(Client)
    world.ask("2026-09-24 13:00", client_id=None, number_index=bytes(client.number_index), status="rejected",
              email="typo@example.jp")  # fmt: skip
    with world.database.write() as session:
        session.query(BookingRequest).filter_by(status="rejected").update({"client_id": None})
    given = extract(world.services, world.run().act(world.services), granted(world, reference).reference)
    assert json.loads(given.data)["found"]["not_attributed"] == 1
    assert b"typo@example.jp" not in given.data


def test_what_was_handed_over_is_registered_once_and_every_further_extract_is_noted(world: World) -> None:
    reference = held_session(world, reference=MINE)
    row = granted(world, reference)
    act = replace(world.run().act(world.services), actor="cli:clerk")
    first = extract(world.services, act, row.reference)
    assert note_given(world.services, act, first) == 0
    later = replace(act, happened_at=act.happened_at + timedelta(hours=1))
    second = extract(world.services, later, row.reference)
    assert [note_given(world.services, later, second), note_given(world.services, later, second)] == [1, 2]
    [row] = world.rows(Disclosure)
    assert (row.given_by, row.sha256, row.given_at) == ("cli:clerk", first.sha256, act.happened_at)
    assert row.note.count(second.sha256) == 2
    assert [one.details["before"] for one in world.rows(Audit, action="disclosed")] == [0, 1, 2]
    assert not [one for one in world.rows(Audit) if "架空" in json.dumps(one.details, ensure_ascii=False)]


def test_the_extract_of_somebody_long_gone_is_refused(world: World) -> None:
    reference = held_session(world, reference=MINE)
    row = granted(world, reference)
    hold(world, reference, "保存の指示を解除する")
    act = world.run().act(world.services)
    note_given(world.services, act, extract(world.services, act, row.reference))
    world.clock.now = LONG_AFTER + timedelta(days=800)
    erase_what_is_over(world.services, world.run())
    pseudonymise_people(world.services, world.run())
    with pytest.raises(NotDisclosed, match="nothing is left"):
        extract(world.services, act, row.reference)
    assert world.rows(Booking)[0].start_at == jst("2026-09-24 11:00"), "the session stays countable"


@pytest.mark.parametrize("scope", ["identity,sessions", "氏名・求職番号, 予約と出欠"])
def test_the_form_takes_phrases_codes_and_the_list_of_a_command_line(scope: str) -> None:
    form = parameters_of(
        flow_function("record-disclosure"),
        {
            "reference": MINE, "authority": "松戸警察署", "asked": "written", "basis": "warrant", "decision": "granted",
            "approver": "所長", "received_by": "松戸", "paper": PAPER, "scope": scope,
        },
    )  # fmt: skip
    assert (form["scope"], form["basis"]) == (["氏名・求職番号", "予約と出欠"], "裁判官の令状（刑事訴訟法第218条）")


@pytest.mark.parametrize("authority", ["架空七海", "松戸警察署 架空巡査", "nanami@example.jp", "0471234567"])
def test_the_field_of_the_authority_has_no_room_for_a_person(authority: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Authority).validate_python(authority)
