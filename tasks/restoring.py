"""After a backup was put in place: what may have happened to people since it was made is never done a second time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from madoguchi.domain.lifecycle import RequestStatus
from madoguchi.store import restoring as store
from madoguchi.store.runs import open_staff_task
from madoguchi.store.transitions import move_request
from tasks.reminders import queue_reminders
from tasks.restored_doubt import RESTORED, doubt_messages
from tasks.settling import REVIEW_REQUEST
from tasks.wiring import Run, Services


@dataclass(frozen=True, slots=True)
class Restored:
    """What a person has to look at now: messages that may have left since the backup."""

    uncertain: int
    to_review: int


def settle_restored(services: Services, made_at: datetime, lost_at: datetime) -> Restored:
    """Bring a restored record to what can be known of it. To be called once, before anything else runs on it.

    Every message that was due by the loss, reminders that the lost machine may have queued included, becomes
    `uncertain` with a task for staff: it may have left. What is due later stays queued. Applications that wait for a
    slot, and those sent before the loss that are read only now (`settling.by_restore`), go to staff: they may have got
    one. A hold is confirmed with its own meeting, its mail left to staff (`restored_doubt`). Meetings that the backup
    does not know are reported by `reconcile-zoom`, never removed, and none is made anew for a session that was booked
    before the loss. Verdicts that were reached and lost are reached again from the same
    evidence; after twenty minutes an absence is only proposed.
    """
    now = services.clock()
    run = Run(store.RESTORE, lost_at, now, actor="command:restore")
    queue_reminders(services, run)
    act = run.act(services)
    with services.database.write() as session:
        found = store.perhaps_sent(session, act.office, lost_at)
        doubt_messages(session, act, found)
        open_requests = store.perhaps_booked(session, act.office)
        for request in open_requests:
            move_request(session, request, RequestStatus.IN_REVIEW, act, RESTORED)
            request.reason = RESTORED
            open_staff_task(session, act, REVIEW_REQUEST, request.reference, RESTORED)
        counts = {"uncertain": len(found), "to_review": len(open_requests)}
        store.note_restore(session, act, made_at, lost_at, counts)
    return Restored(len(found), len(open_requests))
