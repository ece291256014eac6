import json
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta

import pytest

from madoguchi.domain.lifecycle import BookingStatus
from madoguchi.domain.message import (
    ALLOWED,
    CONTEXTS,
    KINDS,
    AlternativesContext,
    ConfirmedContext,
    IncompleteContext,
    MailKind,
    MessageStatus,
    MissingPart,
    WhyNot,
    context_from_json,
    message_id,
    message_key,
)
from madoguchi.domain.office import JST

START = datetime(2026, 9, 24, 11, 0, tzinfo=JST)
NAME = "カナリア 花子"
CONFIRMED = {
    "recipient_name": NAME,
    "start": START,
    "meeting_id": "81234567890",
    "passcode": "k8Zq2Wp7",
    "join_url": "https://zoom.us/j/81234567890",
    "reference": "M-7K2Q9F",
    "revision": 2,
}
SAMPLES = [
    (MailKind.CONFIRMED, ConfirmedContext(**CONFIRMED)),
    (MailKind.CONFIRMED, ConfirmedContext(**CONFIRMED, companion=True, online_registrant=True)),
    (MailKind.INCOMPLETE, IncompleteContext(recipient_name=NAME, missing=tuple(MissingPart))),
    (
        MailKind.ALTERNATIVES,
        AlternativesContext(
            recipient_name=NAME, wished=(START,), why=WhyNot.TAKEN, offers=(START + timedelta(days=1),),
            answer_by=date(2026, 9, 22),
        ),
    ),
    (
        MailKind.ALTERNATIVES,
        AlternativesContext(recipient_name=NAME, wished=(START,), why=WhyNot.OUT_OF_WINDOW, offers=(), answer_by=None),
    ),
]  # fmt: skip


def test_every_kind_has_a_rule_and_a_context_and_every_status_its_arrows():
    assert set(KINDS) == set(CONTEXTS) == set(MailKind)
    assert set(ALLOWED) == set(MessageStatus)


def test_a_calendar_has_a_method_and_nothing_else_has():
    for kind, rule in KINDS.items():
        assert rule.has_calendar == (rule.calendar_method is not None), kind


def test_only_a_reminder_and_a_notice_are_merely_missed_when_their_time_is_over():
    """Whoever was to be told something else is telephoned; of a notice the proof says who has to be told otherwise."""
    missed = {kind for kind, rule in KINDS.items() if rule.too_late == MessageStatus.MISSED}
    assert missed == {MailKind.REMINDER_DAY, MailKind.REMINDER_HOUR, MailKind.TERMS_AMENDED}
    for rule in KINDS.values():
        assert rule.too_late in ALLOWED[MessageStatus.QUEUED] & ALLOWED[MessageStatus.RETRYING]


@pytest.mark.parametrize("kind", list(MailKind))
def test_a_kind_needs_only_states_that_a_booking_can_have(kind):
    assert set(BookingStatus) >= KINDS[kind].needs_booking_status


def test_what_may_have_arrived_is_never_sent_again_without_a_person():
    may_have_arrived = {MessageStatus.SENT, MessageStatus.UNCERTAIN}
    for status in may_have_arrived:
        assert MessageStatus.SENDING not in ALLOWED[status]
        assert MessageStatus.RETRYING not in ALLOWED[status]
    assert ALLOWED[MessageStatus.SENT] == frozenset()
    # Only these two lead to it, and both are surely not delivered.
    assert {old for old, new in ALLOWED.items() if MessageStatus.SENDING in new} == {
        MessageStatus.QUEUED,
        MessageStatus.RETRYING,
    }


@pytest.mark.parametrize(("kind", "context"), SAMPLES)
def test_a_context_comes_back_from_the_record_as_it_was(kind, context):
    assert context_from_json(kind, json.loads(json.dumps(context.to_json()))) == context


@pytest.mark.parametrize(("kind", "context"), SAMPLES)
def test_personal_values_stay_out_of_what_a_traceback_shows(kind, context):
    shown = repr(context)
    for secret in (NAME, "k8Zq2Wp7", "81234567890"):
        assert secret not in shown


@pytest.mark.parametrize("kind", list(MailKind))
@pytest.mark.parametrize("values", [{}, {"recipient_name": NAME}, {"recipient_name": NAME, "start": "tomorrow"}])
def test_a_stored_context_that_does_not_fit_is_named_by_kind_only(kind, values):
    with pytest.raises(ValueError, match=kind) as caught:
        context_from_json(kind, values)
    assert NAME not in str(caught.value)
    assert caught.value.__suppress_context__


def test_times_come_back_aware_and_the_same_instant():
    context = ConfirmedContext(**CONFIRMED | {"start": datetime(2026, 9, 24, 2, 0, tzinfo=UTC)})
    again = ConfirmedContext.from_json(context.to_json())
    assert again.start == START
    assert context.to_json()["start"] == "2026-09-24T11:00:00+09:00"


@pytest.mark.parametrize(
    "make",
    [
        lambda: ConfirmedContext(**CONFIRMED | {"start": datetime(2026, 9, 24, 11, 0)}),  # noqa: DTZ001 — that is the mistake
        lambda: IncompleteContext(recipient_name=NAME, missing=()),
        lambda: IncompleteContext(recipient_name=NAME, missing=("NO_SUCH_CODE",)),
        lambda: AlternativesContext(
            recipient_name=NAME, wished=(START,), why=WhyNot.TAKEN, offers=(START,), answer_by=None
        ),
        lambda: AlternativesContext(recipient_name=NAME, wished=(), why="BECAUSE", offers=(), answer_by=None),
    ],
)
def test_a_context_that_could_not_be_worded_is_refused_when_it_is_made(make):
    with pytest.raises(ValueError):
        make()


def test_a_key_is_the_kind_the_subject_and_its_revision():
    assert message_key(MailKind.CONFIRMED, "M-7K2Q9F", 1) == "confirmed:M-7K2Q9F:1"
    keys = {message_key(kind, ref, n) for kind in MailKind for ref in ("M-7K2Q9F", "M-7K2Q9G") for n in (1, 2)}
    assert len(keys) == 4 * len(MailKind)


@pytest.mark.parametrize("reference", ["", "M:1"])
def test_a_reference_that_would_make_keys_ambiguous_is_refused(reference):
    with pytest.raises(ValueError, match="reference"):
        message_key(MailKind.CONFIRMED, reference, 1)


def test_a_message_id_is_the_same_on_every_attempt():
    assert message_id("0123456789abcdef" * 2, "madoguchi.example.jp") == (
        "<0123456789abcdef0123456789abcdef@madoguchi.example.jp>"
    )


@pytest.mark.parametrize(
    ("identity", "domain"),
    [
        ("short", "example.jp"),
        ("0123456789abcdef\n", "example.jp"),
        ("0123456789ABCDEF", "example.jp"),
        ("0123456789abcdef", "localhost"),
        ("0123456789abcdef", "例え.jp"),
        ("0123456789abcdef", "example.jp\r\nBcc: x@example.jp"),
        ("0123456789abcdef", "-example.jp"),
    ],
)
def test_a_message_id_of_anything_else_is_refused(identity, domain):
    with pytest.raises(ValueError, match="message_id"):
        message_id(identity, domain)


def test_no_mail_can_say_more_of_a_person_than_a_name_and_the_way_into_the_meeting():
    """Neither the job-seeker number nor telephone, address or birthday has a place in any context."""
    of_the_matter = {
        "start", "duration", "reference", "revision", "companion", "online_registrant", "missing", "wished", "why",
        "offers", "answer_by", "telephone_opens", "previous_start", "received_at", "by_office", "verdict",
        "content",  # of a notice to everybody: the same for all
    }  # fmt: skip
    of_the_person = {"recipient_name", "meeting_id", "passcode", "join_url"}
    for context in CONTEXTS.values():
        assert {field.name for field in fields(context)} <= of_the_matter | of_the_person
        hidden = {field.name for field in fields(context) if not field.repr}
        assert hidden == of_the_person & {field.name for field in fields(context)}
