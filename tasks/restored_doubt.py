"""Mails that a lost machine may have sent already: after a restore they are for staff, never sent by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.orm import Session

from madoguchi.domain.message import MessageStatus
from madoguchi.store import restoring as store
from madoguchi.store.audit import Act
from madoguchi.store.models import Booking
from madoguchi.store.outbox import Settled, settle
from madoguchi.store.runs import open_staff_task
from tasks.sending import UNCERTAIN_MESSAGE

RESTORED: Final = "RESTORED"


def doubt_messages(session: Session, act: Act, messages: Sequence[tuple[str, str]]) -> None:
    """Make unsent messages (id and state) uncertain, each with a task for staff, in the caller's transaction."""
    for row_id, status in messages:
        if status != MessageStatus.SENDING:
            settle(session, act, [Settled(row_id, MessageStatus(status), MessageStatus.SENDING, RESTORED)])
        settle(session, act, [Settled(row_id, MessageStatus.SENDING, MessageStatus.UNCERTAIN, RESTORED)])
        open_staff_task(session, act, UNCERTAIN_MESSAGE, row_id, RESTORED)


def doubt_confirmation(session: Session, act: Act, booking: Booking) -> None:
    """Leave the mail that was just queued about a booking to staff if it was held before the record was lost.

    The lost machine may have confirmed it and told the person the same link.
    """
    lost_at = store.newest_loss(session, act.office)
    if lost_at is not None and booking.held_at <= lost_at:
        session.flush()
        doubt_messages(session, act, store.unsent_confirmation(session, booking.id))
