"""What the templates may say of a context: every date, time and number in its final form, one function a context."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, TypeAlias

from madoguchi.adapters import notice_words
from madoguchi.domain import wording
from madoguchi.domain.amendment import AmendedContext, WithdrawnContext
from madoguchi.domain.message import (
    AlternativesContext,
    ConfirmedContext,
    IncompleteContext,
    MailContext,
    MissingPart,
)
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

CONTACT_MINUTES: Final = 10
"""Art. 6(3): without contact the booking counts as cancelled this long after its start."""

_WithMeeting: TypeAlias = ConfirmedContext | ReminderContext | ChangedContext


def told(context: MailContext) -> dict[str, Any]:
    """Return what templates know as `c`. Times are Japan's, in words; None or empty where nothing is to be said."""
    return _TOLD[type(context)](context)


def _session(start: datetime) -> dict[str, Any]:
    return {
        "start_short": wording.short_start(start),
        "date_long": wording.long_date(start.astimezone(JST).date()),
        "start_time": wording.long_time(start),
        "limit_time": wording.long_time(start + timedelta(minutes=CONTACT_MINUTES)),
    }


def _meeting(context: _WithMeeting) -> dict[str, Any]:
    return _session(context.start) | {
        "end_time": wording.long_time(context.start + timedelta(minutes=context.duration)),
        "duration": context.duration,
        "join_url": context.join_url,
        "meeting_id": spaced_meeting_id(context.meeting_id),
        "passcode": wording.plain_line(context.passcode),
        "revision": context.revision,
        "companion": bool(context.companion),
    }


def _confirmed(context: ConfirmedContext) -> dict[str, Any]:
    return _meeting(context) | {"online_registrant": context.online_registrant}


def _incomplete(context: IncompleteContext) -> dict[str, Any]:
    return {
        "missing": context.missing,
        # Somebody who is not registered has to register first: another application would end the same way.
        "can_apply_again": MissingPart.NOT_REGISTERED not in context.missing,
    }


def _alternatives(context: AlternativesContext) -> dict[str, Any]:
    return _offers(context.offers, context.answer_by) | {
        "wished": [_moment(start) for start in context.wished],
        "why": str(context.why),
    }


def _reminder(context: ReminderContext) -> dict[str, Any]:
    opens = context.telephone_opens
    return _meeting(context) | {"telephone_opens": _moment(opens) if opens else None}


def _changed(context: ChangedContext) -> dict[str, Any]:
    previous = context.previous_start
    return _meeting(context) | {"previous": _moment(previous) if previous else None}


def _cancelled(context: CancelledContext) -> dict[str, Any]:
    return _session(context.start) | {"received": _moment(context.received_at), "by_office": context.by_office}


def _no_show(context: NoShowContext) -> dict[str, Any]:
    return _session(context.start)


def _corrected(context: CorrectedContext) -> dict[str, Any]:
    return _session(context.start) | {"verdict": str(context.verdict)}


def _office_fault(context: OfficeFaultContext) -> dict[str, Any]:
    return _session(context.start) | _offers(context.offers, context.answer_by)


def _declined(_context: DeclinedContext) -> dict[str, Any]:
    return {}


def _offers(offers: Sequence[datetime], answer_by: date | None) -> dict[str, Any]:
    return {
        "offers": [_moment(start) for start in offers],
        "answer_by": wording.long_date(answer_by) if answer_by else "",
    }


def _moment(moment: datetime) -> dict[str, str]:
    return {"date": wording.long_date(moment.astimezone(JST).date()), "time": wording.long_time(moment)}


def spaced_meeting_id(meeting_id: str) -> str:
    """Return a Zoom meeting id in groups, `123 4567 8901`, as Zoom shows it; what is no such id stays as it is."""
    digits = wording.plain_line(meeting_id).replace(" ", "")
    if not digits.isascii() or not digits.isdigit() or not 9 <= len(digits) <= 11:
        return wording.plain_line(meeting_id)
    last = 4 if len(digits) > 9 else 3
    return f"{digits[:3]} {digits[3:-last]} {digits[-last:]}"


_TOLD: Final[Mapping[type[MailContext], Callable[[Any], dict[str, Any]]]] = {
    ConfirmedContext: _confirmed,
    IncompleteContext: _incomplete,
    AlternativesContext: _alternatives,
    ReminderContext: _reminder,
    ChangedContext: _changed,
    CancelledContext: _cancelled,
    NoShowContext: _no_show,
    CorrectedContext: _corrected,
    OfficeFaultContext: _office_fault,
    DeclinedContext: _declined,
    AmendedContext: notice_words.amended,
    WithdrawnContext: notice_words.withdrawn,
}
