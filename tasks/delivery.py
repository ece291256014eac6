"""Due messages go out over one connection: claimed in batches, marked one by one around the final dot."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from madoguchi.domain.message import MessageStatus
from madoguchi.store import outbox as store
from madoguchi.store.runs import open_staff_task
from tasks.mail_building import Mail, MailBuilder, NotSent
from tasks.sending import FAILED_MESSAGE as FAILED_MESSAGE  # noqa: PLC0414 — what staff tasks and reports know it by
from tasks.sending import UNCERTAIN_MESSAGE as UNCERTAIN_MESSAGE  # noqa: PLC0414 — the same
from tasks.sending import UNSENT_MESSAGE as UNSENT_MESSAGE  # noqa: PLC0414 — the same
from tasks.sending import DeliveryReport as DeliveryReport  # noqa: PLC0414 — the same
from tasks.sending import Sender
from tasks.wiring import Run, Services

BATCH = 200
# In a row they take a third less time than one by one between marks.
BUILT_AHEAD = 16


def deliver_messages(services: Services, run: Run) -> DeliveryReport:
    """Send every due message about a session or an application once and settle it; what dead runners left comes first.

    Never repeats a message whose final dot may have been given: that one is uncertain and waits for a person. Notices
    to everybody are `deliver_notices`' business, but for what a dead runner left in doubt.
    """
    report = DeliveryReport()
    recover(services, run, report)
    builder = MailBuilder(services, run)
    sender = Sender(services, run, services.owner, builder, report)
    stopped = sender.send(_Due(services, run, builder, sender))
    _report_unsettled(services, run, report, stopped)
    return report


def recover(services: Services, run: Run, report: DeliveryReport) -> None:
    """Settle what dead runners left: what they were sending is uncertain, what they merely claimed is free again."""
    act = run.act(services)
    with services.database.write() as session:
        dead = services.dead_among(store.owners_of_claims(session, act.office))
        for row_id in store.recover_stale(session, act, dead):
            open_staff_task(session, act, UNCERTAIN_MESSAGE, row_id, "RUNNER_DIED")
            report.count(row_id, MessageStatus.UNCERTAIN, "RUNNER_DIED")


class _Due:
    """What is due, batch after batch, as fast as the relay takes it."""

    def __init__(self, services: Services, run: Run, builder: MailBuilder, sender: Sender) -> None:
        self._services = services
        self._run = run
        self._builder = builder
        self._sender = sender
        self._built: deque[Mail] = deque()
        self._stream = self._mails()

    def first(self) -> Mail | None:
        """Return the next mail."""
        self._fill(1)
        return self._built[0] if self._built else None

    def take(self) -> None:
        """Take it off."""
        self._built.popleft()

    def prepare(self) -> None:
        """Build some ahead."""
        if len(self._built) < 2:
            self._fill(BUILT_AHEAD)

    def wait(self) -> bool:
        """Nothing becomes due within a run."""
        return False

    def _fill(self, count: int) -> None:
        while len(self._built) < count and (mail := next(self._stream, None)) is not None:
            self._built.append(mail)

    def _mails(self) -> Iterator[Mail]:
        while batch := self._claim():
            for built in self._builder.build(batch):
                if isinstance(built, NotSent):
                    self._sender.drop(built)
                else:
                    yield built

    def _claim(self) -> list[Any]:
        services = self._services
        now = services.clock()
        with services.database.write() as session:
            batch = store.claim_due(
                session,
                services.office.code,
                services.owner,
                as_of=self._run.at(now),
                now=now,
                limit=BATCH,
                tried_before=self._run.started_at,
            )
            self._builder.learn(session, batch)
        return batch


def _report_unsettled(services: Services, run: Run, report: DeliveryReport, stopped: str | None) -> None:
    """Name every message that is due and still not settled: retrying, held by another runner, or not reached."""
    now = services.clock()
    with services.database.read() as session:
        for row in store.unsent_due(session, services.office.code, run.at(now)):
            if row.claim_owner and services.is_alive(row.claim_owner) is True:
                # That runner is at it and will report it.
                continue
            waiting = "CLAIMED_ELSEWHERE" if row.claim_owner else stopped or row.reason or "NOT_REACHED"
            report.incomplete.append((row.id, waiting))
