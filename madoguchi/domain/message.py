"""Messages: their kinds, their states, what each kind says. Values and tables only; no text, no sending."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, Self, TypeAlias

from madoguchi.domain.amendment import AmendedContext, WithdrawnContext
from madoguchi.domain.office import SESSION_MINUTES
from madoguchi.domain.session_mails import (
    CancelledContext,
    ChangedContext,
    CorrectedContext,
    DeclinedContext,
    NoShowContext,
    OfficeFaultContext,
    ReminderContext,
    SessionMail,
    iso,
    require_aware,
)


class MailKind(StrEnum):
    """Why a mail is written. The value names its template folder and stands in unique keys: never rename one."""

    CONFIRMED = "confirmed"
    INCOMPLETE = "incomplete"
    ALTERNATIVES = "alternatives"
    REMINDER_DAY = "reminder_day"
    REMINDER_HOUR = "reminder_hour"
    CHANGED = "changed"
    CANCELLED = "cancelled"
    NO_SHOW = "no_show"
    CORRECTED = "corrected"
    OFFICE_FAULT = "office_fault"
    DECLINED = "declined"
    TERMS_AMENDED = "terms_amended"
    TERMS_WITHDRAWN = "terms_withdrawn"


class MessageStatus(StrEnum):
    """Where a message stands."""

    QUEUED = "queued"
    """Waits for its time."""
    SENDING = "sending"
    """Committed before the body is given to the server: after a crash nobody knows whether it arrived."""
    SENT = "sent"
    """The server took responsibility for it."""
    RETRYING = "retrying"
    """Surely not delivered; tried again later."""
    FAILED = "failed"
    """Refused for good, or attempts used up: staff telephone."""
    UNCERTAIN = "uncertain"
    """Perhaps delivered: a person decides, it is never repeated by itself."""
    SUPPRESSED = "suppressed"
    """No longer true at the moment of sending; the reason stands beside it."""
    MISSED = "missed"
    """Too late to be of use."""


ALLOWED: Final[Mapping[MessageStatus, frozenset[MessageStatus]]] = {
    MessageStatus.QUEUED: frozenset(
        {
            MessageStatus.SENDING,
            MessageStatus.RETRYING,
            MessageStatus.FAILED,
            MessageStatus.SUPPRESSED,
            MessageStatus.MISSED,
        }
    ),
    MessageStatus.SENDING: frozenset(
        {MessageStatus.SENT, MessageStatus.RETRYING, MessageStatus.FAILED, MessageStatus.UNCERTAIN}
    ),
    MessageStatus.RETRYING: frozenset(
        {
            MessageStatus.SENDING,
            MessageStatus.RETRYING,
            MessageStatus.FAILED,
            MessageStatus.SUPPRESSED,
            MessageStatus.MISSED,
        }
    ),
    # A person looked: it arrived, or it did not and goes out again, or it is told by telephone.
    MessageStatus.UNCERTAIN: frozenset({MessageStatus.SENT, MessageStatus.QUEUED, MessageStatus.FAILED}),
    # The address was corrected.
    MessageStatus.FAILED: frozenset({MessageStatus.QUEUED}),
    MessageStatus.SENT: frozenset(),
    MessageStatus.SUPPRESSED: frozenset(),
    MessageStatus.MISSED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class KindRule:
    """What holds for every message of a kind.

    `needs_booking_status`: at the moment of sending the booking must stand there; empty means that the kind is not
    about a booking. `not_after_start`: worthless once the session has begun. `too_late`: what a message becomes whose
    time of use has passed unsent: `suppressed` and told by staff, or `missed`, which is recorded and no more.
    """

    template: str
    has_calendar: bool
    calendar_method: str | None
    needs_booking_status: frozenset[str]
    not_after_start: bool
    too_late: MessageStatus = MessageStatus.SUPPRESSED


_VERDICTS = frozenset({"attended", "contacted", "no_show_proposed", "no_show", "office_fault", "undetermined"})

KINDS: Final[Mapping[MailKind, KindRule]] = {
    MailKind.CONFIRMED: KindRule("confirmed", True, "PUBLISH", frozenset({"confirmed"}), True),
    MailKind.INCOMPLETE: KindRule("incomplete", False, None, frozenset(), False),
    MailKind.ALTERNATIVES: KindRule("alternatives", False, None, frozenset(), False),
    MailKind.REMINDER_DAY: KindRule(
        "reminder_day", False, None, frozenset({"confirmed"}), True, too_late=MessageStatus.MISSED
    ),
    MailKind.REMINDER_HOUR: KindRule(
        "reminder_hour", False, None, frozenset({"confirmed"}), True, too_late=MessageStatus.MISSED
    ),
    MailKind.CHANGED: KindRule("changed", True, "PUBLISH", frozenset({"confirmed"}), True),
    MailKind.CANCELLED: KindRule("cancelled", True, "CANCEL", frozenset({"cancelled"}), False),
    MailKind.NO_SHOW: KindRule("no_show", False, None, frozenset({"no_show"}), False),
    MailKind.CORRECTED: KindRule(
        "corrected", False, None, _VERDICTS - {"no_show", "no_show_proposed"} | {"cancelled"}, False
    ),
    MailKind.OFFICE_FAULT: KindRule("office_fault", False, None, frozenset({"office_fault"}), False),
    MailKind.DECLINED: KindRule("declined", False, None, frozenset(), False),
    MailKind.TERMS_AMENDED: KindRule("terms_amended", False, None, frozenset(), False, too_late=MessageStatus.MISSED),
    MailKind.TERMS_WITHDRAWN: KindRule("terms_withdrawn", False, None, frozenset(), False),
}


class MissingPart(StrEnum):
    """What an `incomplete` mail can ask for; the values are the reason codes of intake."""

    NAME = "MISSING_NAME"
    NUMBER = "MISSING_NUMBER"
    DATETIME = "MISSING_DATETIME"
    NOT_REGISTERED = "NOT_REGISTERED"
    INVALID_DATE = "INVALID_DATE"
    PAST_DATE = "PAST_DATE"


class WhyNot(StrEnum):
    """Why none of the wished times can be had."""

    TAKEN = "TAKEN"
    OUT_OF_WINDOW = "OUT_OF_WINDOW"
    NON_WORKING_DAY = "NON_WORKING_DAY"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedContext:
    """What a confirmation says. Personal values stay out of `repr`, and so out of tracebacks.

    `companion`: an interpreter or helper was announced; None when the form did not ask (Art. 12(3)).
    `online_registrant`: the registration is switched at the session (Art. 2(1)).
    """

    recipient_name: str = field(repr=False)
    start: datetime
    duration: int = SESSION_MINUTES
    meeting_id: str = field(repr=False)
    passcode: str = field(repr=False)
    join_url: str = field(repr=False)
    reference: str
    revision: int
    companion: bool | None = None
    online_registrant: bool = False

    def __post_init__(self) -> None:
        require_aware("start", self.start)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values only; times as ISO 8601 in Asia/Tokyo."""
        return {
            "recipient_name": self.recipient_name,
            "start": iso(self.start),
            "duration": self.duration,
            "meeting_id": self.meeting_id,
            "passcode": self.passcode,
            "join_url": self.join_url,
            "reference": self.reference,
            "revision": self.revision,
            "companion": self.companion,
            "online_registrant": self.online_registrant,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote; TypeError or ValueError for anything else."""
        return cls(**{**values, "start": datetime.fromisoformat(values["start"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class IncompleteContext:
    """What an `incomplete` mail says. `missing`: in the order in which it is asked for; never empty."""

    recipient_name: str = field(repr=False)
    missing: tuple[MissingPart, ...]
    reference: str | None = None
    revision: int = 1

    def __post_init__(self) -> None:
        if not self.missing:
            raise ValueError("missing: an incomplete mail has to name at least one thing")
        object.__setattr__(self, "missing", tuple(MissingPart(code) for code in self.missing))

    def to_json(self) -> dict[str, Any]:
        """Return JSON values only."""
        return {
            "recipient_name": self.recipient_name,
            "missing": [str(code) for code in self.missing],
            "reference": self.reference,
            "revision": self.revision,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote; TypeError or ValueError for anything else."""
        return cls(**{**values, "missing": tuple(values["missing"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class AlternativesContext:
    """What an `alternatives` mail says. `offers` may be empty: then it asks for a call. Nothing is held by it."""

    recipient_name: str = field(repr=False)
    wished: tuple[datetime, ...]
    why: WhyNot
    offers: tuple[datetime, ...]
    answer_by: date | None
    reference: str | None = None
    revision: int = 1

    def __post_init__(self) -> None:
        for name, starts in (("wished", self.wished), ("offers", self.offers)):
            for start in starts:
                require_aware(name, start)
        if self.offers and self.answer_by is None:
            raise ValueError("answer_by: offers need the day until which they can be answered")
        object.__setattr__(self, "why", WhyNot(self.why))
        object.__setattr__(self, "wished", tuple(self.wished))
        object.__setattr__(self, "offers", tuple(self.offers))

    def to_json(self) -> dict[str, Any]:
        """Return JSON values only; times as ISO 8601 in Asia/Tokyo."""
        return {
            "recipient_name": self.recipient_name,
            "wished": [iso(start) for start in self.wished],
            "why": str(self.why),
            "offers": [iso(start) for start in self.offers],
            "answer_by": self.answer_by.isoformat() if self.answer_by else None,
            "reference": self.reference,
            "revision": self.revision,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote; TypeError or ValueError for anything else."""
        answer_by = values["answer_by"]
        return cls(
            **{
                **values,
                "wished": tuple(datetime.fromisoformat(start) for start in values["wished"]),
                "offers": tuple(datetime.fromisoformat(start) for start in values["offers"]),
                "answer_by": date.fromisoformat(answer_by) if answer_by else None,
            }
        )


MailContext: TypeAlias = ConfirmedContext | IncompleteContext | AlternativesContext | SessionMail | AmendedContext

CONTEXTS: Final[Mapping[MailKind, type[MailContext]]] = {
    MailKind.CONFIRMED: ConfirmedContext,
    MailKind.INCOMPLETE: IncompleteContext,
    MailKind.ALTERNATIVES: AlternativesContext,
    MailKind.REMINDER_DAY: ReminderContext,
    MailKind.REMINDER_HOUR: ReminderContext,
    MailKind.CHANGED: ChangedContext,
    MailKind.CANCELLED: CancelledContext,
    MailKind.NO_SHOW: NoShowContext,
    MailKind.CORRECTED: CorrectedContext,
    MailKind.OFFICE_FAULT: OfficeFaultContext,
    MailKind.DECLINED: DeclinedContext,
    MailKind.TERMS_AMENDED: AmendedContext,
    MailKind.TERMS_WITHDRAWN: WithdrawnContext,
}

_HEX = re.compile(r"[0-9a-f]{16,64}")
_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9\-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9\-]*[a-z0-9])?)+")


def context_from_json(kind: MailKind, values: Mapping[str, Any]) -> MailContext:
    """Return the context of a message of `kind` from what its `to_json` wrote.

    Raises ValueError that names the kind and no value: the cause would quote personal data.
    """
    try:
        return CONTEXTS[kind].from_json(values)
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"the stored context of a {kind} message does not fit its kind") from None


def message_key(kind: MailKind, subject_reference: str, revision: int) -> str:
    """Return the unique key of a message: this kind, about this booking or request, in this revision.

    The address is no part of it: a corrected address must not send the same thing twice.
    """
    if not subject_reference or ":" in subject_reference:
        raise ValueError("message_key: the reference must be there and hold no colon")
    return f"{kind}:{subject_reference}:{revision}"


def message_id(message_uuid_hex: str, domain: str) -> str:
    """Return the Message-ID of one message, `<uuid@domain>`: the same on every attempt, never shared by two.

    Raises ValueError for anything but lower-case hexadecimal digits and a plain lower-case domain name.
    """
    if not _HEX.fullmatch(message_uuid_hex) or not _DOMAIN.fullmatch(domain):
        raise ValueError("message_id: needs lower-case hexadecimal digits and a lower-case ASCII domain with a dot")
    return f"<{message_uuid_hex}@{domain}>"
