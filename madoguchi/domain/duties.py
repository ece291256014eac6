"""How the office's own duties towards a client stand, from the messages that the record has. Pure.

A no-show counts only when the join link and the last reminder that was due really left, and in time (Art. 6(3) deems a
booking cancelled because of what the client did not do, never because of what the office did not).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from madoguchi.domain.evidence import Duties, Duty
from madoguchi.domain.message import MailKind, MessageStatus
from madoguchi.domain.reminders import ReminderWindow, Standing

LEAD: Final = timedelta(minutes=30)
"""A mail that left later than this before the start is not relied on; the terms set no time, this one is ours."""
LINK_KINDS: Final = (MailKind.CONFIRMED, MailKind.CHANGED)
NOT_MAILABLE: Final = "NO_USABLE_ADDRESS"
"""Reason of a message that never left because the address may not be written to: staff telephone instead."""

_LEFT = frozenset({MessageStatus.SENDING, MessageStatus.SENT, MessageStatus.UNCERTAIN})
_BEST_FIRST = (Duty.DONE, Duty.LATE, Duty.UNCERTAIN, Duty.NOT_OWED, Duty.NOT_DONE)


@dataclass(frozen=True, slots=True)
class MessageFact:
    """What the record has of one message. `sent_at`: when the relay took it; `due_at`: when it was to leave."""

    id: str
    kind: MailKind
    revision: int
    status: MessageStatus
    reason: str | None
    due_at: datetime
    sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class DutiesFound:
    """The duties and what shows how they stand. `details`: codes, message ids and times, for the verdict's row."""

    duties: Duties
    details: dict[str, Any]


def duties_of(
    start: datetime,
    revision: int,
    confirmed_at: datetime | None,
    messages: Sequence[MessageFact],
    windows: Sequence[ReminderWindow],
) -> DutiesFound:
    """Return how link and reminder stood at the start of one revision of a session.

    The link is in time when it left `LEAD` before the start, or before the start when the booking was confirmed later
    than that. The reminder is the last of `windows` that was due to this booking, and in time up to `LEAD`, or half of
    its own lead if that is less. No message of the link at all: the address may not be written to, nothing is owed.
    """
    latest = start - LEAD
    if confirmed_at is not None and confirmed_at > latest:
        latest = start
    links = [m for m in messages if m.kind in LINK_KINDS and m.revision == revision]
    link, link_message = _best(links, latest) if links else (Duty.NOT_OWED, None)
    window = _last_due(start, confirmed_at, windows)
    reminder, reminder_message = Duty.NOT_OWED, None
    if window is not None:
        of_window = [m for m in messages if _is_of(m, window, revision)]
        latest = start - min(LEAD, (start - window.due_at) / 2)
        reminder, reminder_message = _best(of_window, latest) if of_window else (Duty.NOT_DONE, None)
    details = {
        "link": _detail(link, link_message),
        "reminder": _detail(reminder, reminder_message, window.kind if window else None),
    }
    return DutiesFound(Duties(link, reminder), details)


def _last_due(
    start: datetime, confirmed_at: datetime | None, windows: Sequence[ReminderWindow]
) -> ReminderWindow | None:
    owed = [w for w in windows if w.standing(confirmed_at, start) in {Standing.DUE, Standing.MISSED}]
    return max(owed, key=lambda window: window.due_at, default=None)


def _is_of(message: MessageFact, window: ReminderWindow, revision: int) -> bool:
    if message.kind is not window.kind:
        return False
    # Only the link was changed after it had left: it announced this very session.
    return message.revision == revision or (message.status in _LEFT and message.due_at == window.due_at)


def _best(messages: Sequence[MessageFact], latest: datetime) -> tuple[Duty, MessageFact]:
    found = [(_duty(message, latest), message) for message in messages]
    return min(found, key=lambda pair: _BEST_FIRST.index(pair[0]))


def _duty(message: MessageFact, latest: datetime) -> Duty:
    if message.status is MessageStatus.SENT and message.sent_at is not None:
        return Duty.DONE if message.sent_at <= latest else Duty.LATE
    if message.status in _LEFT:
        return Duty.UNCERTAIN
    return Duty.NOT_OWED if message.reason == NOT_MAILABLE else Duty.NOT_DONE


def _detail(duty: Duty, message: MessageFact | None, kind: MailKind | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"duty": duty.value}
    if message is not None:
        found |= {
            "message": message.id,
            "kind": message.kind.value,
            "status": message.status.value,
            "sent_at": message.sent_at.isoformat() if message.sent_at else None,
        }
    elif kind is not None:
        found["kind"] = kind.value
    return found
