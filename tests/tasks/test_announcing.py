"""Whom an amendment concerns, by which way, and one notice each whatever breaks off; on both databases."""

import contextlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import update

from madoguchi.domain.application import Flag
from madoguchi.store.bounces import address_index
from madoguchi.store.models import BlockedAddress, BookingRequest, Notice, OutboxMessage
from madoguchi.store.proof import names_and_telephones
from tasks import announcing
from tasks.announcing import Reach, reach_of_announcement, reach_of_withdrawal
from tests.tasks.amendment_world import CODE, WITHDRAWN, TermsWorld
from tests.world import AS_OF, jst

EFFECT = jst("2026-10-01 00:00")


class Broken(Exception):  # noqa: N818 — named by what happened
    """A process that dies."""


@pytest.fixture
def world(database, tmp_path):
    return TermsWorld(database, tmp_path, per_second={"gmail.com": 5.0})


def told_once(world, purpose="announced"):
    """Everybody has one notice, and who has a mail has one."""
    notices = world.world.rows(Notice, purpose=purpose)
    assert len({row.client_id for row in notices}) == len(notices)
    mails = [row.message_id for row in notices if row.message_id]
    assert len(set(mails)) == len(mails)
    kind = "terms_amended" if purpose == "announced" else "terms_withdrawn"
    assert set(mails) == {row.id for row in world.mails(kind)}
    return len(notices)


# --- who


WHO = [
    ("a session ahead", lambda w: w.had("2026-09-24 11:00", "confirmed"), True),
    ("a hold", lambda w: w.had("2026-09-24 11:00", "held"), True),
    ("a year ago to the day", lambda w: w.had("2025-09-14 11:00"), True),
    ("more than a year ago", lambda w: w.had("2025-09-13 11:00"), False),
    ("never came", lambda w: w.had("2026-03-02 11:00", "no_show"), True),
    ("called off", lambda w: w.had("2026-03-02 11:00", "cancelled"), True),
    ("our fault", lambda w: w.had("2026-03-02 11:00", "office_fault"), True),
    ("nobody was told of it", lambda w: w.had("2026-03-02 11:00", "released"), False),
    ("waits for a slot", lambda w: w.waits(), True),
    ("waits for a person", lambda w: w.waits(status="in_review"), True),
    ("was offered other times", lambda w: w.waits(status="waiting"), True),
    ("could not be booked", lambda w: w.waits(status="rejected"), False),
    ("needs none any more", lambda w: w.waits(status="lapsed"), False),
]  # fmt: skip


@pytest.mark.parametrize(("case", "make", "told"), WHO, ids=[case for case, _, _ in WHO])
def test_who_has_a_session_ahead_used_the_service_or_waits_is_told(world, case, make, told):
    make(world)
    assert reach_of_announcement(world.services, world.run()).mails == told
    queued = world.announce()
    assert (queued.mails, queued.others) == (int(told), 0)
    assert told_once(world) == told


def test_a_client_with_many_sessions_and_applications_is_told_once_at_the_newest_address(world):
    first = world.had("2026-03-02 11:00", email="old@example.jp")
    client = world.client(first)
    world.had("2026-09-24 11:00", "confirmed", client_id=client, email="new@example.jp", recorded_at=AS_OF)
    newest = world.waits(client_id=client, email="newest@gmail.com", recorded_at=AS_OF + timedelta(minutes=1))
    assert newest
    world.announce()
    [mail] = world.mails()
    opened = world.services.vault.open_json(mail.sealed_context, f"outbox_message.sealed_context.{mail.id}")
    assert (opened["to"], opened["context"]) == ("newest@gmail.com", {"recipient_name": "架空 七海"})
    assert (mail.lane, mail.not_after, mail.due_at) == ("gmail.com", EFFECT, AS_OF)
    assert mail.amendment_id == world.amendment().id
    assert mail.dedupe_key == f"terms_amended:{CODE}/{client}:1"
    # Staff know the person by the latest session.
    assert list(world.notices()) == ["M-000002"]


# --- by which way


def test_who_cannot_be_written_to_is_told_by_other_means_with_the_reason(world):
    mail = world.had("2026-03-02 11:00")
    none = world.waits(email=None)
    doubtful = world.waits()
    world.flag(doubtful, Flag.EMAIL_DOUBTFUL.value)
    bounced = world.waits(email="Gone@example.jp")
    with world.database.write() as session:
        session.add(
            BlockedAddress(office=world.world.office.code, address_index=address_index(
                world.services.vault, "gone@example.jp"), reason="BOUNCED_HARD", bounce_id=None, since=AS_OF,
                lifted_at=None, lifted_by=None)
        )  # fmt: skip
    reach = reach_of_announcement(world.services, world.run())
    assert reach == Reach(
        Counter({"other": 1}), Counter({"NO_ADDRESS": 1, "ADDRESS_UNUSABLE": 1, "ADDRESS_BOUNCED": 1})
    )
    queued = world.announce()
    assert (queued.mails, queued.others) == (1, 3)
    assert world.notices() == {
        mail.replace("R", "M"): ("mail", None),
        none: ("other", "NO_ADDRESS"),
        doubtful: ("other", "ADDRESS_UNUSABLE"),
        bounced: ("other", "ADDRESS_BOUNCED"),
    }


def test_nobody_is_told_before_it_is_public(world):
    world.waits()
    world.approve()
    assert world.queue().mails == 0
    assert world.notices() == {}


def test_after_the_effect_no_mail_is_queued_any_more_and_staff_tell_them(world):
    reference = world.waits()
    world.approve()
    world.publish()
    world.forward_to(EFFECT)
    assert world.queue().others == 1
    assert world.notices() == {reference: ("other", "TOO_LATE")}
    assert world.mails() == []


# --- once


@pytest.fixture
def many(world, monkeypatch):
    monkeypatch.setattr(announcing, "CHUNK", 3)
    for _ in range(8):
        world.waits()
    world.approve()
    world.publish()
    return world


@pytest.mark.parametrize("step", range(10))
def test_whatever_breaks_off_everybody_has_one_notice_after_the_next_run(many, step):
    steps = iter(range(100))

    def breaking(_name):
        if next(steps) == step:
            raise Broken

    try:
        many.queue(before=breaking)
    except Broken:
        assert len(many.notices()) in {0, 3, 6, 8}
    many.queue()
    many.queue()
    assert told_once(many) == 8
    assert many.amendment().status == "announced"


def test_two_runs_at_once_share_the_work(many):
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: many.queue(), range(2)))
    assert sum(one.mails for one in done) == 8
    assert told_once(many) == 8


def test_who_comes_while_it_is_being_announced_is_told_too(many):
    many.queue()
    late = many.waits()
    assert many.amendment().status == "announced"
    assert many.queue().mails == 1
    assert late in many.notices()


def test_a_withdrawal_in_between_stops_the_queue(many):
    seen = []

    def withdrawing(name):
        seen.append(name)
        if seen.count("chunk") == 2 and name == "chunk":
            many.take_back()

    queued = many.queue(before=withdrawing)
    assert queued.mails == 3
    assert told_once(many) == 3


# --- taking back


def test_who_knows_of_it_or_may_is_told_of_the_withdrawal_and_nobody_else(world):
    statuses = ["sent", "sending", "uncertain", "queued", "retrying", "failed", "missed"]
    for _ in statuses:
        world.waits()
    by_phone, unknown = world.waits(email=None), world.waits(email=None)
    world.announce()
    ordered = sorted(world.mails(), key=lambda mail: mail.id)
    with world.database.write() as session:
        for mail, status in zip(ordered, statuses, strict=True):
            session.get(OutboxMessage, mail.id).status = status
        for row in session.query(Notice).filter(Notice.reference == by_phone):
            row.told_at = AS_OF
    world.take_back()
    assert reach_of_withdrawal(world.services, CODE) == Reach(Counter({"other": 3}), Counter({"NO_ADDRESS": 1}))
    done = world.queue(purpose=WITHDRAWN)
    assert (done.mails, done.others, done.suppressed) == (3, 1, 2)
    assert told_once(world, "withdrawn") == 4
    now = {mail.id: (mail.status, mail.reason) for mail in world.mails()}
    assert [now[mail.id] for mail in ordered] == [
        ("sent", None), ("sending", None), ("uncertain", None),
        ("suppressed", "AMENDMENT_WITHDRAWN"), ("suppressed", "AMENDMENT_WITHDRAWN"),
        ("failed", None), ("missed", None),
    ]  # fmt: skip
    assert by_phone in world.notices(WITHDRAWN)
    assert unknown not in world.notices(WITHDRAWN)
    assert all(mail.not_after is None for mail in world.mails("terms_withdrawn"))
    assert world.queue(purpose=WITHDRAWN).mails == 0


@pytest.mark.parametrize("step", range(12))
def test_a_broken_withdrawal_is_finished_by_the_next_run(many, step):
    many.queue()
    [*ids] = sorted(mail.id for mail in many.mails())
    with many.database.write() as session:
        for row_id in ids[:5]:
            session.get(OutboxMessage, row_id).status = "sent"
    many.take_back()
    steps = iter(range(100))

    def breaking(_name):
        if next(steps) == step:
            raise Broken

    with contextlib.suppress(Broken):
        many.queue(purpose=WITHDRAWN, before=breaking)
    many.queue(purpose=WITHDRAWN)
    assert told_once(many, "withdrawn") == 5
    assert Counter(mail.status for mail in many.mails()) == {"sent": 5, "suppressed": 3}


def test_the_name_and_the_address_stay_out_of_what_a_person_prints():
    person = announcing.Person("c", "M-7K2Q9F", "架空 七海", "nanami@example.jp")
    assert "架空" not in repr(person)
    assert "nanami" not in repr(person)


def test_one_damaged_application_keeps_the_notice_from_nobody_else(world):
    damaged, *others = [world.waits() for _ in range(4)]
    with world.database.write() as session:
        session.execute(
            update(BookingRequest).where(BookingRequest.reference == damaged).values(sealed_values=b"damaged")
        )
    assert reach_of_announcement(world.services, world.run()).by_reason == {"APPLICATION_UNREADABLE": 1}
    world.announce()
    notices = world.notices()
    assert notices.pop(damaged) == ("other", "APPLICATION_UNREADABLE")
    assert notices == dict.fromkeys(others, ("mail", None))
    with world.database.read() as session:
        named = names_and_telephones(session, world.services.vault, [world.client(damaged), world.client(others[0])])
    assert len(named) == 2
