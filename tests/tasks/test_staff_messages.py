"""settle-message on both databases: arrived, send again, told by telephone; never a third mail by itself."""

import importlib
from dataclasses import replace
from datetime import timedelta
from email import policy
from email.parser import BytesParser

import pytest
from prefect.exceptions import ParameterTypeError
from prefect.utilities.callables import parameter_schema
from sqlalchemy import select, update

from madoguchi.domain import staff
from madoguchi.domain.message import MessageStatus
from madoguchi.sandbox.mailbox_server import running_mailbox
from madoguchi.sandbox.zoom_server import running_zoom
from madoguchi.store.audit import audit_row, write_audit
from madoguchi.store.models import Audit, Booking, OutboxMessage, StaffTask
from madoguchi.store.outbox import claim_due
from madoguchi.store.runs import open_staff_task
from tasks.delivery import FAILED_MESSAGE, UNCERTAIN_MESSAGE, UNSENT_MESSAGE
from tasks.staff_messages import Answer, settle_message
from tests.tasks.desk_world import Desk
from tests.tasks.staff_help import THU, after, cancel, confirmed, refusal
from tests.tasks.sweep_world import NOBODY, START, TENTH, minute
from tests.world import Clock, World, jst, office

GIVEN_AT = START - timedelta(hours=1)
NOW = jst("2026-09-24 10:30")
KINDS = {"uncertain": UNCERTAIN_MESSAGE, "failed": FAILED_MESSAGE, "suppressed": UNSENT_MESSAGE}


@pytest.fixture
def world(database):
    return Desk(database, clock=Clock(NOW))


def doubtful(world, status="uncertain", kind="reminder_hour", **how):
    """A session whose reminder stands so, with the task that delivery opens; returns the message's id."""
    reference = world.session(*how.pop("evidence", ()), **how)
    booking = world.booking(reference)
    [message] = world.rows(OutboxMessage, booking_id=booking.id, kind=kind)
    with world.database.write() as session:
        act = world.run(GIVEN_AT).act(world.services)
        session.execute(update(OutboxMessage).where(OutboxMessage.id == message.id).values(status=status, sent_at=None))
        write_audit(session, [audit_row(act, "message", message.id, "transition", old="queued", new="sending")])
        if status in KINDS:
            open_staff_task(session, act, KINDS[status], message.id, "SMTP_LOST")
    return message.id


def answer(world, message, outcome, run=None, **changes):
    form = {"received_by": "松戸"} | changes
    return settle_message(world.services, run or world.run(), Answer(message, outcome, **form))


def message(world, row_id):
    [found] = world.rows(OutboxMessage, id=row_id)
    return found


def waiting(world):
    return [task.kind for task in world.rows(StaffTask) if task.closed_at is None]


def test_a_mail_that_arrived_counts_as_sent_when_it_was_given_to_the_relay(world):
    row_id = doubtful(world)
    done = answer(world, row_id, "届いていた")
    found = message(world, row_id)
    assert (found.status, found.sent_at, found.reason) == ("sent", GIVEN_AT, "ARRIVED_SAYS_PERSON")
    assert (waiting(world), done.again) == ([], False)
    [row] = [row for row in world.rows(Audit, subject=row_id) if row.new == "sent"]
    assert (row.actor, row.old, row.happened_at) == ("staff:松戸", "uncertain", NOW)


@pytest.mark.parametrize("status", ["uncertain", "failed"])
def test_what_is_sent_again_is_due_at_once_and_looked_at_again_by_delivery(world, status):
    row_id = doubtful(world, status)
    answer(world, row_id, "もう一度送る")
    assert (message(world, row_id).status, waiting(world)) == ("queued", [])
    with world.database.write() as session:
        claimed = claim_due(
            session, world.office.code, "runner-1", as_of=NOW, now=NOW, tried_before=NOW, limit=10
        )  # fmt: skip
    assert [row.id for row in claimed] == [row_id]


@pytest.mark.parametrize(
    ("status", "after"), [("uncertain", "failed"), ("failed", "failed"), ("suppressed", "suppressed")]
)
def test_what_was_told_by_telephone_waits_for_nobody_any_more(world, status, after):
    row_id = doubtful(world, status)
    done = answer(world, row_id, "電話で伝えた")
    assert (message(world, row_id).status, waiting(world)) == (after, [])
    assert "record-contact" in done.notes[0]
    assert answer(world, row_id, "電話で伝えた").again


@pytest.mark.parametrize("outcome", ["届いていた", "もう一度送る"])
def test_the_same_answer_twice_is_one(world, outcome):
    row_id = doubtful(world)
    assert [answer(world, row_id, outcome).again for _ in range(2)] == [False, True]
    assert len([row for row in world.rows(Audit, subject=row_id) if row.actor == "staff:松戸"]) == 1


def test_report_7_a_repeated_run_never_sends_a_third_time_but_a_new_decision_does(world):
    row_id = doubtful(world)
    first = replace(world.run(), prefect_run="run-1")
    answer(world, row_id, "もう一度送る", first)
    with world.database.write() as session:
        session.execute(update(OutboxMessage).where(OutboxMessage.id == row_id).values(status="uncertain"))
    assert answer(world, row_id, "もう一度送る", first).again
    assert message(world, row_id).status == "uncertain"
    assert not answer(world, row_id, "もう一度送る", replace(world.run(), prefect_run="run-2")).again
    assert message(world, row_id).status == "queued"


def test_a_verdict_that_waited_for_the_mail_is_asked_about_again_when_it_is_known_to_have_arrived(world):
    row_id = doubtful(world, evidence=NOBODY)
    with world.database.read() as session:
        reference = session.scalar(
            select(Booking.reference)
            .join(OutboxMessage, OutboxMessage.booking_id == Booking.id)
            .where(OutboxMessage.id == row_id)
        )
    world.sweep(TENTH)
    assert (world.state(reference), world.verdicts(reference)[-1].reasons[0]) == ("undetermined", "REMINDER_UNCERTAIN")
    world.clock.now = minute(60)
    answer(world, row_id, "届いていた")
    assert world.state(reference) == "undetermined", "against the client only a person decides"
    assert "evidence-after-verdict" in world.tasks_of(reference)


# --- with a relay


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stand-ins")
    with running_zoom(folder / "zoom.db") as zoom, running_mailbox(folder / "mailbox") as mailbox:
        yield zoom, mailbox


@pytest.fixture
def in_doubt(database, stand_ins):
    """An office at the stand-ins with one confirmed session, whose confirmation is in doubt."""
    zoom, mailbox = stand_ins
    mailbox.state.clear()
    made = World(database, office(), zoom=zoom, mailbox=mailbox)
    [reference] = confirmed(made, f"{THU} 11:00")
    [sent] = made.messages("confirmed")
    with made.database.write() as session:
        session.execute(update(OutboxMessage).where(OutboxMessage.id == sent.id).values(status="uncertain"))
    made.clock.forward(minutes=5)
    return made, reference, sent.id, mailbox


def test_what_is_sent_again_leaves_once_more_under_its_own_message_id(in_doubt):
    world, _, row_id, mailbox = in_doubt
    answer(world, row_id, "もう一度送る")
    assert after(world).delivered.counts["sent"] == 1
    answer(world, row_id, "もう一度送る")
    after(world)
    letters = [BytesParser(policy=policy.default).parsebytes(mail.content) for mail in mailbox.state.mails()]
    assert len(letters) == 2
    assert {letter["Message-ID"] for letter in letters} == {message(world, row_id).message_id}


def test_report_1_what_is_to_be_sent_again_does_not_leave_when_the_booking_was_cancelled_meanwhile(in_doubt):
    world, reference, row_id, _ = in_doubt
    cancel(world, reference)
    answer(world, row_id, "もう一度送る")
    after(world)
    assert (message(world, row_id).status, message(world, row_id).reason) == ("suppressed", "BOOKING_CANCELLED")
    assert [mail.kind for mail in world.messages() if mail.status == "sent"] == ["cancelled"]


# --- refusals


REFUSALS = {
    "unknown": ("uncertain", {"message": "0" * 32}, "その番号のお知らせは見つかりません。番号を確かめてください。"),
    "no number": (
        "uncertain",
        {"message": "架空 七海"},
        "お知らせの番号の形になっていません。一覧から、英数字32文字の番号を写してください。",
    ),
    "failed did not arrive": (
        "failed",
        {"outcome": "届いていた"},
        (
            "お知らせ {message} は送れなかったものなので、「届いていた」とはできません。"
            "「もう一度送る」か「電話で伝えた」を選んでください。"
        ),
    ),
    **{
        f"{status} is not in doubt": (
            status,
            {"outcome": outcome},
            (
                f"お知らせ {{message}} は{staff.MESSAGE_WORDS[MessageStatus(status)]}のため、記録を変えられません。"
                "変えられるのは、届いたか分からないものと、送れなかったものです。"
            ),
        )
        for status, outcome in (
            ("sent", "もう一度送る"), ("queued", "もう一度送る"), ("sending", "届いていた"),
            ("retrying", "電話で伝えた"), ("suppressed", "もう一度送る"), ("missed", "もう一度送る"),
            ("sent", "届いていた"),
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_is_refused_with_one_sentence_and_nothing_changes(world, case):
    status, given, sentence = REFUSALS[case]
    row_id = doubtful(world, status)
    before = (message(world, row_id).status, waiting(world), world.count(Audit))
    form = {"message": row_id, "outcome": "もう一度送る"} | given
    assert refusal(answer, world, form.pop("message"), **form) == sentence.replace("{message}", row_id)
    assert (message(world, row_id).status, waiting(world), world.count(Audit)) == before


# --- the form


FLOW = importlib.import_module("flows.settle_message").settle_message
GIVEN = {"message": "0123456789abcdef" * 2, "outcome": "届いていた", "received_by": "松戸"}


def test_the_form_offers_choices_and_explains_each_field_in_japanese():
    schema = parameter_schema(FLOW).model_dump()
    assert schema["required"] == list(GIVEN)
    assert schema["properties"]["outcome"]["enum"] == list(staff.MESSAGE_OUTCOMES)
    for phrase, code in staff.MESSAGE_OUTCOMES.items():
        assert FLOW.validate_parameters({**GIVEN, "outcome": code})["outcome"] == phrase
    for field in schema["properties"].values():
        assert sum("ぁ" <= char <= "ん" for char in field["description"]) > 3


@pytest.mark.parametrize("wrong", ["", "M-7K2Q9F", "架空 七海", "a@example.jp", "0" * 31])
def test_only_the_number_of_a_message_fits(wrong):
    with pytest.raises(ParameterTypeError, match="message"):
        FLOW.validate_parameters({**GIVEN, "message": wrong})
