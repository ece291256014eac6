"""The proof of notice: one class each, totals that add up, a table for staff; on both databases."""

import csv
import io
import itertools
import random
import tracemalloc
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update

from madoguchi.domain.amendment import NoticeRoute
from madoguchi.domain.message import MessageStatus
from madoguchi.domain.notice_proof import CLASS_JA, TOLD_BY_TELEPHONE, NoticeClass, notice_class
from madoguchi.store.models import Amendment, BookingRequest, Client, Notice
from madoguchi.store.types import new_id
from tasks.bounces import CALL_BOUNCED
from tasks.proof import (
    TELL_OTHERWISE,
    TO_CALL,
    UnknownAmendmentError,
    open_notice_task,
    proof_csv,
    proof_markdown,
    proof_of_notice,
    proof_rows,
)
from tests.tasks.delivery_world import AS_OF
from tests.tasks.notice_world import ANNOUNCED, CODE, WITHDRAWN, NoticeWorld, sample

CASES = list(
    itertools.product(
        NoticeRoute,
        [False, True],
        [None, *MessageStatus],
        [None, TOLD_BY_TELEPHONE, "ADDRESS_BLOCKED"],
        [None, "postfix_unknown_user.eml", "postfix_mailbox_full.eml", "postfix_delayed.eml", "text_only_return.eml"],
    )
)


@pytest.fixture
def world(database, tmp_path):
    return NoticeWorld(database, tmp_path)


def table(world, purpose=ANNOUNCED, **options):
    stream = io.BytesIO()
    made = proof_csv(world.services, CODE, purpose, stream, **options)
    return made, list(csv.DictReader(io.StringIO(stream.getvalue().decode("utf-8-sig"), newline="")))


def tell(world, reference):
    with world.database.write() as session:
        session.execute(
            update(Notice)
            .where(Notice.reference == reference)
            .values(told_at=AS_OF, told_by="staff:松戸", told_how="letter")
        )


def classes(world):
    return {row.reference: NoticeClass(row.notice_class) for row in proof_rows(world.services, CODE, ANNOUNCED)}


@pytest.mark.parametrize(
    ("status", "reason", "bounce", "expected"),
    [
        ("sent", None, None, "told"),
        ("sent", None, "postfix_delayed.eml", "told"),
        ("sent", None, "postfix_delivered.eml", "told"),
        ("sent", None, "postfix_unknown_user.eml", "bounced"),
        ("sent", None, "postfix_mailbox_full.eml", "bounced"),
        ("sent", None, "postfix_spam_refused.eml", "bounced"),
        ("sent", None, "text_only_return.eml", "bounced"),
        ("sending", None, None, "waiting"),
        ("queued", None, None, "waiting"),
        ("retrying", "SMTP_451", None, "waiting"),
        (None, None, None, "waiting"),
        ("uncertain", None, None, "uncertain"),
        ("uncertain", None, "postfix_unknown_user.eml", "bounced"),
        ("failed", "SMTP_550", None, "not_sent"),
        ("failed", TOLD_BY_TELEPHONE, None, "told_otherwise"),
        ("missed", "TOO_LATE", None, "not_sent"),
        ("suppressed", "ADDRESS_BLOCKED", None, "not_sent"),
    ],
)
def test_everybody_stands_where_their_mail_stands(world, status, reason, bounce, expected):
    reference, message = world.person(status, reason=reason)
    if bounce:
        world.bounce(message, bounce)
    assert classes(world) == {reference: NoticeClass(expected)}


def test_somebody_without_an_address_waits_for_a_person_and_then_is_told(world):
    reference, _ = world.person(None, route=NoticeRoute.OTHER)
    assert classes(world) == {reference: NoticeClass.NO_ADDRESS}
    tell(world, reference)
    assert classes(world) == {reference: NoticeClass.TOLD_OTHERWISE}


def test_the_rule_and_its_statement_agree_and_the_totals_add_up_whatever_happened(database, tmp_path):
    world = NoticeWorld(database, tmp_path)
    seed = random.randrange(2**32)
    expected = {}
    for number, (route, is_told, status, reason, bounce) in enumerate(random.Random(seed).sample(CASES, 150)):
        address = f"mihon{number}@example.com"
        reference, message = world.person(status and status.value, reason=reason, route=route, address=address)
        left = status in {MessageStatus.SENT, MessageStatus.SENDING, MessageStatus.UNCERTAIN, MessageStatus.FAILED}
        if bounce and message and left:
            world.put(sample(bounce, message, address, number + 1))
        if is_told:
            tell(world, reference)
        came_back = bool(bounce and left and bounce != "postfix_delayed.eml")
        expected[reference] = notice_class(route, is_told=is_told, status=status, reason=reason, came_back=came_back)
    assert not world.read().unreadable
    assert classes(world) == expected, f"seed {seed}"
    proof = proof_of_notice(world.services, CODE)
    with world.database.read() as session:
        everybody = session.scalar(select(func.count()).select_from(Notice))
    made, rows = table(world)
    assert everybody == proof.audience == sum(proof.totals.values()) == made.rows == len(rows) == 150, f"seed {seed}"
    assert made.totals == {each.value: count for each, count in proof.totals.items()}, f"seed {seed}"


def test_what_was_announced_and_what_was_withdrawn_are_two_notices(world):
    world.person("sent")
    world.person("queued", purpose=WITHDRAWN)
    assert proof_of_notice(world.services, CODE).totals[NoticeClass.TOLD] == 1
    assert proof_of_notice(world.services, CODE, WITHDRAWN).totals[NoticeClass.WAITING] == 1
    text = proof_markdown(world.services, CODE)
    assert text.index("## 改定のお知らせ") < text.index("## 取りやめのお知らせ")


def test_an_unknown_code_names_those_that_there_are(world):
    with pytest.raises(UnknownAmendmentError, match=CODE):
        proof_of_notice(world.services, "2031-01-01")


def test_the_table_says_who_when_by_which_message_and_what_came_back(world):
    reference, message = world.person("sent")
    world.bounce(message)
    told, _ = world.person(None, route=NoticeRoute.OTHER)
    tell(world, told)
    _, rows = table(world)
    found = {row["受付番号"]: row for row in rows}
    assert found[reference] == {
        "受付番号": reference, "お知らせ": "改定のお知らせ", "方法": "メール", "区分": "メールが戻ってきた",
        "お知らせの番号": message, "送信日時": "2026-09-14 09:00:00", "戻ってきた日時": "2026-09-14 09:00:00",
        "戻ってきた理由": "アドレスに届かない", "伝えた方法": "", "伝えた職員": "", "伝えた日時": "",
    }  # fmt: skip
    assert [found[told][name] for name in ("区分", "伝えた方法", "伝えた職員", "伝えた日時")] == [
        CLASS_JA[NoticeClass.TOLD_OTHERWISE], "郵便", "松戸", "2026-09-14 09:00:00",
    ]  # fmt: skip


def test_names_are_only_of_those_to_be_called_and_the_look_is_kept(world):
    world.person("sent")
    called, _ = world.person("failed", reason="SMTP_550", name="=架空", phone="047-000-0002")
    _, without = table(world)
    assert "氏名" not in without[0]
    act = world.run().act(world.services)
    made, rows = table(world, names_for=act)
    assert [(row["受付番号"], row["氏名"], row["電話番号"]) for row in rows] == [(called, "'=架空", "047-000-0002")]
    [look] = world.audited("names_read")
    assert (look.subject, look.actor, made.rows) == (CODE, "test", 1)


def test_the_newest_application_gives_the_telephone_and_none_takes_it_away(world):
    reference, _ = world.person("failed", reason="X", phone="047-000-0003")
    with world.database.read() as session:
        client = session.scalars(select(Client)).one()
    newer = world.world.request("R-FFFFFF")
    place = f"booking_request.sealed_values.{newer}"
    sealed = world.services.vault.seal_json({"application": {"name": "架空 新名", "phone": None}}, place)
    world.world.change(BookingRequest, newer, client_id=client.id, sealed_values=sealed)
    _, [row] = table(world, names_for=world.run().act(world.services))
    assert (row["受付番号"], row["氏名"], row["電話番号"]) == (reference, "架空 新名", "047-000-0003")


def test_the_dashboard_sees_references_only_and_not_more_than_a_hundred_of_them(world):
    references = [world.person("failed", reason="X")[0] for _ in range(103)]
    text = proof_markdown(world.services, CODE)
    listed = [reference for reference in references if reference in text]
    assert (len(listed), "ほか3名" in text, "103名" in text) == (100, True, True)
    assert listed == sorted(listed)
    assert "架空" not in text
    assert "mihon" not in text


def test_one_task_says_how_many_are_left_and_closes_when_nobody_is(world):
    references = [world.person(None, route=NoticeRoute.OTHER)[0] for _ in range(3)]
    act = world.run().act(world.services)
    for left, reference in zip((3, 2, 1), references, strict=True):
        with world.database.write() as session:
            assert open_notice_task(session, act, world.amendment) == left
        assert world.tasks() == [(TELL_OTHERWISE, CODE, f"PEOPLE_LEFT_{left}")]
        tell(world, reference)
    with world.database.write() as session:
        assert open_notice_task(session, act, world.amendment) == 0
    assert world.tasks() == []
    _, message = world.person("sent")
    world.bounce(message)
    assert [kind for kind, _, _ in world.tasks()] == [CALL_BOUNCED, TELL_OTHERWISE], "a late bounce opens it again"


def test_of_what_was_withdrawn_nobody_has_to_be_told_by_telephone_any_more(world):
    world.person(None, route=NoticeRoute.OTHER)
    world.world.change(Amendment, world.amendment, status="withdrawn")
    with world.database.write() as session:
        assert open_notice_task(session, world.run().act(world.services), world.amendment) == 0


def test_thousands_are_written_in_flat_memory(world):
    _, message = world.person("sent")
    with world.database.write() as session:
        clients = [new_id() for _ in range(20_000)]
        office = world.services.office.code
        session.execute(
            insert(Client),
            [{"id": c, "office": office, "number_index": c.encode(), "sealed_personal": b"x", "created_at": AS_OF}
             for c in clients],
        )  # fmt: skip
        session.execute(
            insert(Notice),
            [{"id": new_id(), "office": office, "amendment_id": world.amendment, "purpose": "announced", "client_id": c,
              "reference": f"R-{n:06d}", "route": "mail", "message_id": message, "recorded_at": AS_OF}
             for n, c in enumerate(clients)],
        )  # fmt: skip
    tracemalloc.start()
    try:
        with Path("/dev/null").open("wb") as nowhere:
            made = proof_csv(world.services, CODE, ANNOUNCED, nowhere)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made.rows == 20_001
    assert peak < 8_000_000, "a thousand rows at a time, not twenty thousand"


def test_who_may_have_to_be_called_is_everybody_not_surely_told():
    assert set(NoticeClass) - TO_CALL == {NoticeClass.TOLD, NoticeClass.TOLD_OTHERWISE, NoticeClass.WAITING}
