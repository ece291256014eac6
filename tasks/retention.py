"""The nightly erasing of what has had its time, in batches: each is one transaction with its rows of deletion.

Any run may break off anywhere: whole batches are done, the next run goes on. A second run finds nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.orm import Session

from madoguchi.domain.retention import CLIENT, Kept, Over, RecordClass, may_be_over, over
from madoguchi.store import data_keys
from madoguchi.store import retention as store
from madoguchi.store import retention_people as people
from madoguchi.store.audit import Act
from madoguchi.store.models import BlockedAddress, Bounce, ZoomEventRecord
from madoguchi.store.retention import Part
from tasks.wiring import Run, Services

BATCH: Final = 200
AS_OF_AHEAD: Final = "AS_OF_IN_FUTURE"
FILE_IN_USE: Final = "DATABASE_FILE_IN_USE"
_ATTEMPTS, _PAUSE = 10, 0.5

Step = Callable[[str], None]


def _no_step(_name: str) -> None:
    return


@dataclass(slots=True)
class RetentionReport:
    """What one run erased, by class, and what it left although its days are over, by reason."""

    erased: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    incomplete: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: RetentionReport) -> None:
        """Take in what another step did."""
        self.erased += other.erased
        self.kept += other.kept
        self.incomplete += other.incomplete


class AheadOfTime(Exception):  # noqa: N818 — named by what happened
    """Somebody asked to erase at a time that has not come; nothing was done."""


@dataclass(slots=True)
class _Batch:
    """What one transaction judges by."""

    act: Act
    table: dict[str, int]
    kept: dict[str, Kept]
    untold: set[str]

    def over(self, record_class: RecordClass, moments: Iterable[datetime]) -> Over | None:
        return over(moments, self.table.get(record_class.value), self.act.happened_at)

    def why_kept(self, client_id: str | None) -> Kept | None:
        if client_id is None:
            return None
        return self.kept.get(client_id) or (Kept.NOTICE if client_id in self.untold else None)


class _Retaining:
    """One run over one office. `before` is called with the name of every step: tests break off there."""

    def __init__(self, services: Services, run: Run, before: Step) -> None:
        self.services, self.run, self.before = services, run, before
        self.table = dict(services.office.retention_days)
        self.report = RetentionReport()
        as_of = run.at(services.clock())
        if services.is_live and as_of > services.clock() + timedelta(minutes=1):
            raise AheadOfTime(AS_OF_AHEAD)
        self.cutoffs = {
            each: may_be_over(self.table[each.value], as_of) for each in RecordClass if each.value in self.table
        }
        self._untold: set[str] = set()
        if RecordClass.NOTICE in self.cutoffs:
            with services.database.read() as session:
                self._untold = people.untold_people(session, services.office.code, self.cutoffs[RecordClass.NOTICE])

    def batch(self, session: Session) -> _Batch:
        """Read what keeps people, inside the transaction that erases."""
        act = self.run.act(self.services)
        return _Batch(act, self.table, people.kept_people(session, act.office, act.happened_at), self._untold)

    def judge(self, batch: _Batch, client_id: str | None, record_class: RecordClass, found: Over | None) -> Over | None:
        """Return what is over and may go; what only may not is counted."""
        if found is None:
            return None
        why = batch.why_kept(client_id)
        if why is not None:
            self.report.kept[why.value] += 1
            return None
        self.report.erased[record_class.value] += 1
        return found

    # --- applications with all that hangs on them

    def applications(self) -> None:
        office = self.services.office.code
        with self.services.database.read() as session:
            ids = store.requests_to_judge(session, office, self.cutoffs)
        for some in store.parts(ids, BATCH):
            self.before("applications")
            with self.services.database.write() as session:
                store.lock_clients_of(session, some)
                batch = self.batch(session)
                found = store.load(session, office, some)
                numbers = people.numbers_of(session, batch.kept)
                like_kept = people.requests_with_numbers(session, some, numbers)
                due = [each for one in found for each in self._due(batch, one, one.request_id in like_kept)]
                store.erase(session, batch.act, due)
                self.before("commit")

    def _due(self, batch: _Batch, found: store.Found, like_kept: bool) -> list[tuple[Part, Over]]:
        due = []
        for part in found.parts:
            gone = batch.over(part.record_class, found.matter.moments)
            if gone is None:
                continue
            if found.matter.is_open or (like_kept and batch.why_kept(found.client_id) is None):
                self.report.kept[(Kept.OPEN if found.matter.is_open else Kept.HELD).value] += 1
            elif self.judge(batch, found.client_id, part.record_class, gone):
                due.append((part, gone))
        return due

    # --- rows by themselves

    def notice_mails(self) -> None:
        def act(session: Session, batch: _Batch, rows: list[Any]) -> None:
            waiting = people.open_subjects(session, batch.act.office)
            due = []
            for row in rows:
                if row.id in waiting:
                    self.report.kept[Kept.OPEN.value] += 1
                elif gone := self.judge(
                    batch, row.client_id, RecordClass.MESSAGE, batch.over(RecordClass.MESSAGE, [row.changed_at])
                ):
                    due.append((Part(RecordClass.MESSAGE, row.id, None), gone))
            store.erase(session, batch.act, due)

        self._pages(RecordClass.MESSAGE, people.notice_mails, act)

    def webhooks(self) -> None:
        def act(session: Session, batch: _Batch, rows: list[Any]) -> None:
            due = [
                (Part(RecordClass.WEBHOOK, row.id, None), gone)
                for row in rows
                if (
                    gone := self.judge(
                        batch, row.client_id, RecordClass.WEBHOOK, batch.over(RecordClass.WEBHOOK, [row.received_at])
                    )
                )
            ]
            store.remove(session, batch.act, ZoomEventRecord, due)

        self._pages(RecordClass.WEBHOOK, people.webhooks, act)

    def bounces(self) -> None:
        def act(session: Session, batch: _Batch, rows: list[Any]) -> None:
            waiting = people.open_subjects(session, batch.act.office)
            due = []
            for row in rows:
                gone = batch.over(RecordClass.BOUNCE, [row.recorded_at])
                if gone and not waiting.isdisjoint({row.id, row.message_id, row.reference}):
                    self.report.kept[Kept.OPEN.value] += 1
                elif gone := self.judge(batch, row.client_id, RecordClass.BOUNCE, gone):
                    due.append((Part(RecordClass.BOUNCE, row.id, None), gone))
            store.forget_addresses(session, batch.act, Bounce, due)

        self._pages(RecordClass.BOUNCE, people.bounces, act)

    def blocks(self) -> None:
        def act(session: Session, batch: _Batch, rows: list[Any]) -> None:
            # A block that stands protects somebody who may still write to us.
            active = people.clients_with_applications(session, {row.client_id for row in rows if row.client_id})
            due = []
            for row in rows:
                if row.lifted_at is None and row.client_id in active:
                    continue
                gone = batch.over(RecordClass.BOUNCE, filter(None, [row.since, row.lifted_at]))
                if gone := self.judge(batch, row.client_id, RecordClass.BOUNCE, gone):
                    due.append((Part(RecordClass.BOUNCE, row.id, None), gone))
            store.remove(session, batch.act, BlockedAddress, due)

        self._pages(RecordClass.BOUNCE, people.blocks, act)

    def _pages(
        self,
        record_class: RecordClass,
        read: Callable[[Session, str, datetime, str, int], list[Any]],
        act: Callable[[Session, _Batch, list[Any]], None],
    ) -> None:
        after, before = "", self.cutoffs.get(record_class)
        while before is not None:
            self.before(record_class.value)
            with self.services.database.write() as session:
                rows = read(session, self.services.office.code, before, after, BATCH)
                if not rows:
                    return
                # A row may come twice where it belongs to two sessions.
                unique = list({row.id: row for row in rows}.values())
                act(session, self.batch(session), unique)
                self.before("commit")
            after = rows[-1].id

    # --- people

    def clients(self) -> None:
        """Nothing of theirs is left within its time: then the person goes too. Nobody reads applications meanwhile."""
        after, office = "", self.services.office.code
        as_of = self.run.at(self.services.clock())
        while True:
            self.before(CLIENT)
            with self.services.database.exclusive("intake"), self.services.database.write() as session:
                rows = people.clients_to_judge(session, office, as_of, after, BATCH)
                if not rows:
                    return
                batch, ids = self.batch(session), [row.id for row in rows]
                left = people.has_anything_left(session, ids)
                moments = people.moments_of_people(session, ids)
                for row in rows:
                    if row.id in left:
                        continue
                    if why := batch.why_kept(row.id):
                        self.report.kept[why.value] += 1
                    elif gone := self._last(batch, moments[row.id]):
                        store.pseudonymise(session, batch.act, row.id, gone)
                        self.report.erased[CLIENT] += 1
                self.before("commit")
            after = rows[-1].id

    @staticmethod
    def _last(batch: _Batch, moments: dict[RecordClass, list[datetime]]) -> Over | None:
        """Return the time that ended last; None while one has not ended, and today for somebody without a moment."""
        found = [batch.over(record_class, when) for record_class, when in moments.items() if when]
        if not all(found):
            return None
        today = Over(0, batch.act.happened_at.date())
        return max((each for each in found if each), key=lambda each: each.due_on, default=today)


def erase_what_is_over(services: Services, run: Run, *, before: Step = _no_step) -> RetentionReport:
    """Take what is personal out of everything whose time is over, and take webhooks and blocked addresses out whole.

    Leaves every state, time, code and count as it is. Raises AheadOfTime in life for an `as_of` that has not come.
    """
    work = _Retaining(services, run, before)
    for step in (work.applications, work.notice_mails, work.webhooks, work.bounces, work.blocks):
        step()
    return work.report


def pseudonymise_people(services: Services, run: Run, *, before: Step = _no_step) -> RetentionReport:
    """Take number and name of everybody away of whom nothing is left within its time."""
    work = _Retaining(services, run, before)
    work.clients()
    return work.report


def turn_keys(services: Services, run: Run) -> RetentionReport:
    """Begin this month's data key, and destroy those with which nothing is sealed any more. By the clock, not as_of."""
    report = RetentionReport()
    masters = services.masters()
    if services.is_rehearsal or not masters:
        return report
    now = services.clock()
    act = Act(services.office.code, f"flow:{run.flow}", run.prefect_run, now, now)
    with services.database.write() as session:
        if data_keys.begin_generation(session, masters, act, monthly=True) is not None:
            report.erased["key_begun"] += 1
    with services.database.read() as session:
        old = data_keys.superseded(session, now)
        unused = set(old) - data_keys.keys_in_use(session) if old else set()
    for key_id in sorted(unused - _keys_of_spool(services)):
        with services.database.write() as session:
            report.erased["key_destroyed"] += data_keys.destroy(session, act, key_id)
    services.vault.refresh()
    return report


def _keys_of_spool(services: Services) -> set[int]:
    """Return the keys of sealed webhooks that are still files."""
    if services.spool is None:
        return set()
    heads = set()
    for path in services.spool.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                heads.add(file.read(5))
    return {int.from_bytes(head[1:], "big") for head in heads if len(head) == 5}


def clean_files(services: Services, _run: Run, *, wait: Callable[[float], None] = time.sleep) -> RetentionReport:
    """Let what was erased leave the database's files too (SQLite); PostgreSQL is told that its rows are dead."""
    for attempt in range(_ATTEMPTS):
        if services.database.settle_erasures():
            return RetentionReport()
        if attempt + 1 < _ATTEMPTS:
            wait(_PAUSE)
    return RetentionReport(incomplete=[("record", FILE_IN_USE)])
