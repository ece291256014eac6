import json
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madoguchi.domain.evidence import Verdict
from madoguchi.domain.message import CONTEXTS, MailKind, context_from_json
from madoguchi.domain.office import JST
from madoguchi.domain.session_mails import (
    CancelledContext,
    ChangedContext,
    CorrectedContext,
    DeclinedContext,
    NoShowContext,
    OfficeFaultContext,
    ReminderContext,
)

START = datetime(2026, 9, 24, 11, 0, tzinfo=JST)
NAIVE = datetime(2026, 9, 24, 11, 0)  # noqa: DTZ001 — that is the mistake
NAME = "カナリア 花子"
SECRETS = (NAME, "k8Zq2Wp7", "81234567890")
SESSION = {"recipient_name": NAME, "start": START, "reference": "M-7K2Q9F", "revision": 2}
MEETING = SESSION | {
    "meeting_id": "81234567890",
    "passcode": "k8Zq2Wp7",
    "join_url": "https://zoom.us/j/81234567890",
}
SAMPLES = [
    (MailKind.REMINDER_DAY, ReminderContext(**MEETING, telephone_opens=START, companion=True)),
    (MailKind.REMINDER_HOUR, ReminderContext(**MEETING)),
    (MailKind.CHANGED, ChangedContext(**MEETING, previous_start=START - timedelta(days=1))),
    (MailKind.CHANGED, ChangedContext(**MEETING)),
    (MailKind.CANCELLED, CancelledContext(**SESSION, received_at=START - timedelta(days=1))),
    (MailKind.CANCELLED, CancelledContext(**SESSION, received_at=START, by_office=True)),
    (MailKind.NO_SHOW, NoShowContext(**SESSION)),
    (MailKind.CORRECTED, CorrectedContext(**SESSION, verdict="attended")),
    (MailKind.OFFICE_FAULT, OfficeFaultContext(**SESSION, offers=(START,), answer_by=date(2026, 9, 23))),
    (MailKind.OFFICE_FAULT, OfficeFaultContext(**SESSION, offers=(), answer_by=None)),
    (MailKind.DECLINED, DeclinedContext(recipient_name=NAME, reference="R-7K2Q9F")),
]


def test_every_kind_around_a_session_has_a_sample_here():
    elsewhere = {MailKind.CONFIRMED, MailKind.INCOMPLETE, MailKind.ALTERNATIVES}
    to_everybody = {MailKind.TERMS_AMENDED, MailKind.TERMS_WITHDRAWN}
    assert {kind for kind, _ in SAMPLES} == set(MailKind) - elsewhere - to_everybody


@pytest.mark.parametrize(("kind", "context"), SAMPLES)
def test_a_context_comes_back_from_the_record_as_it_was(kind, context):
    again = context_from_json(kind, json.loads(json.dumps(context.to_json())))
    assert again == context
    assert type(again) is CONTEXTS[kind]


@pytest.mark.parametrize(("kind", "context"), SAMPLES)
def test_personal_values_stay_out_of_what_a_traceback_shows(kind, context):
    assert not [secret for secret in SECRETS if secret in repr(context)], kind


@pytest.mark.parametrize(("kind", "context"), SAMPLES)
def test_a_stored_context_of_other_fields_is_refused_without_quoting_it(kind, context):
    for values in (context.to_json() | {"more": NAME}, {"recipient_name": NAME}):
        with pytest.raises(ValueError, match=kind) as caught:
            context_from_json(kind, values)
        assert NAME not in str(caught.value)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 — hypothesis wants bounds without a zone
def test_an_instant_comes_back_whatever_zone_it_was_given_in(moment):
    context = ChangedContext(**MEETING | {"start": moment}, previous_start=moment)
    told = context.to_json()
    assert told["start"].endswith("+09:00")
    again = ChangedContext.from_json(told)
    assert (again.start, again.previous_start) == (moment, moment)


NAIVES = [
    (ReminderContext, MEETING, {"start": NAIVE}),
    (ReminderContext, MEETING, {"telephone_opens": NAIVE}),
    (ChangedContext, MEETING, {"start": NAIVE}),
    (ChangedContext, MEETING, {"previous_start": NAIVE}),
    (CancelledContext, SESSION | {"received_at": START}, {"start": NAIVE}),
    (CancelledContext, SESSION, {"received_at": NAIVE}),
    (NoShowContext, SESSION, {"start": NAIVE}),
    (CorrectedContext, SESSION | {"verdict": "attended"}, {"start": NAIVE}),
    (OfficeFaultContext, SESSION | {"offers": (), "answer_by": None}, {"start": NAIVE}),
    (OfficeFaultContext, SESSION | {"answer_by": date(2026, 9, 23)}, {"offers": (NAIVE,)}),
]


@pytest.mark.parametrize(("make", "values", "wrong"), NAIVES)
def test_a_time_without_a_zone_is_refused_by_its_name(make, values, wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        make(**values | wrong)


def test_every_time_of_a_context_is_tried_above():
    times = {(c, f.name) for c in CONTEXTS.values() for f in fields(c) if "datetime" in str(f.type)}
    tried = {(make, name) for make, _, wrong in NAIVES for name in wrong}
    assert {item for item in times if item[0].__module__ == ReminderContext.__module__} == tried


@pytest.mark.parametrize("verdict", [*Verdict, "cancelled"])
def test_a_correction_takes_a_no_show_back_and_never_says_one(verdict):
    if verdict == Verdict.NO_SHOW:
        with pytest.raises(ValueError, match="verdict"):
            CorrectedContext(**SESSION, verdict=verdict)
    else:
        assert CorrectedContext(**SESSION, verdict=verdict).to_json()["verdict"] == verdict


@pytest.mark.parametrize("verdict", ["", "refused", "no_show_proposed"])
def test_a_correction_knows_no_other_verdicts(verdict):
    with pytest.raises(ValueError):
        CorrectedContext(**SESSION, verdict=verdict)


def test_offers_need_the_day_until_which_they_can_be_answered():
    with pytest.raises(ValueError, match="answer_by"):
        OfficeFaultContext(**SESSION, offers=(START,), answer_by=None)
