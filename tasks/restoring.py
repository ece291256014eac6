"""After a backup was put in place: what may have happened to people since it was made is never done a second time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from madoguchi.domain.message import MessageStatus
from madoguchi.store import restoring as store
from madoguchi.store.outbox import Settled, settle
from madoguchi.store.runs import open_staff_task
from tasks.reminders import queue_reminders
from tasks.sending import UNCERTAIN_MESSAGE
from tasks.wiring import Run, Services

RESTORED = "RESTORED"


@dataclass(frozen=True, slots=True)
class Restored:
    """What a person has to look at now: messages that may have left since the backup."""

    uncertain: int


def settle_restored(services: Services, made_at: datetime, lost_at: datetime) -> Restored:
    """Bring a restored record to what can be known of it. To be called once, before anything else runs on it.

    Every message that was due by the loss, reminders that the lost machine may have queued included, becomes
    `uncertain` with a task for staff: it may have left. What is due later stays queued. Applications sent before the
    loss that are read only now go to staff (`settling.by_restore`); meetings that the backup does not know are
    reported by `reconcile-zoom`, never removed. Verdicts that were reached and lost are reached again from the same
    evidence; after twenty minutes an absence is only proposed.
    """
    now = services.clock()
    run = Run(store.RESTORE, lost_at, now, actor="command:restore")
    queue_reminders(services, run)
    act = run.act(services)
    with services.database.write() as session:
        found = store.perhaps_sent(session, act.office, lost_at)
        for row_id, status in found:
            if status != MessageStatus.SENDING:
                settle(session, act, [Settled(row_id, MessageStatus(status), MessageStatus.SENDING, RESTORED)])
            settle(session, act, [Settled(row_id, MessageStatus.SENDING, MessageStatus.UNCERTAIN, RESTORED)])
            open_staff_task(session, act, UNCERTAIN_MESSAGE, row_id, RESTORED)
        store.note_restore(session, act, made_at, lost_at, {"uncertain": len(found)})
    return Restored(len(found))
