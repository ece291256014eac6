"""Comparing intent with outcome, and keeping one alarm for each thing that is wrong, as long as it lasts."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from madoguchi.domain.schedule_plan import RESTS_ON_CLOSED_DAYS
from madoguchi.domain.watching import Code, Facts, Finding, FlowFacts, Waiting, find
from madoguchi.store import watching as store
from madoguchi.store.models import Alarm
from tasks.overview import Scheduled
from tasks.wiring import Run, Services

log = logging.getLogger(__name__)

_LOOK_BACK = timedelta(days=60)
_FORGET_SERVER = timedelta(days=2)
_NOT_WATCHED = frozenset({"watch", "tell-alarms"})


@dataclass(slots=True)
class WatchReport:
    """What is wrong now. `raised` and `over`: ids of alarms that began or ended with this look."""

    findings: list[Finding] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)
    over: list[str] = field(default_factory=list)


def watch(
    services: Services,
    run: Run,
    schedules: Sequence[Scheduled],
    *,
    more: Sequence[Finding] = (),
    unknown: Collection[Code] = (),
) -> WatchReport:
    """Look at everything and bring the alarms to what is found, in one transaction. Tells nobody (`tasks.alarms`).

    `more`: what only the caller can see, such as that Prefect does not run its schedules. `unknown`: what the caller
    cannot see; alarms of these codes stay as they are. Two looks at once come one after the other.
    """
    outside = _outside(services)
    with services.database.exclusive("watch"), services.database.write() as session:
        at = run.at(services.clock())
        facts = _facts(session, services, run, schedules, outside)
        report = WatchReport([*more, *find(facts, services.office.watch, services.calendar, at)])
        report.findings = [each for each in report.findings if each.code not in unknown]
        _keep(session, services.office.code, report, at, _Unknown(frozenset(unknown), frozenset(facts.certificates)))
    return report


def _facts(
    session: Session, services: Services, run: Run, schedules: Sequence[Scheduled], outside: dict[str, Any]
) -> Facts:
    code, policy, now = services.office.code, services.office.watch, services.clock()
    at = run.at(now)
    unsent, count = store.unsent(session, code, at - policy.unsent)
    return Facts(
        unsent=_waiting(unsent),
        unsent_count=count,
        unconfirmed=_waiting(store.unconfirmed(session, code, at, at + policy.before_session)),
        unswept=_waiting(store.unswept(session, code, at - timedelta(minutes=10) - policy.unswept)),
        uncertain=store.uncertain(session, code),
        tasks=_waiting(store.waiting_tasks(session, code)),
        # Claims go by the clock; the time since then is the same in business time.
        stuck=[Waiting(ref, at - (now - until)) for ref, until in store.stuck_claims(session, code, now)],
        exports=store.exports_since(session, code, at - _LOOK_BACK),
        flows=_flows(session, code, schedules, run, at),
        budgets=store.budgets(session, code, now),
        budget_limit=services.office.zoom.daily_changes_per_host,
        oldest_key=store.oldest_key(session),
        **outside,
    )


def _waiting(rows: Sequence[tuple[str, datetime]]) -> list[Waiting]:
    return [Waiting(reference, since) for reference, since in rows]


def _flows(session: Session, code: str, schedules: Sequence[Scheduled], run: Run, at: datetime) -> list[FlowFacts]:
    """Return what is known of each flow on schedule; none before `watch` itself has run once."""
    since = store.first_run(session, code, "watch")
    watched = [each for each in schedules if each.flow not in _NOT_WATCHED]
    if since is None or since >= at:
        return []
    recent = store.recent_runs(session, code, [each.flow for each in watched], run.started_at - _LOOK_BACK)
    found = []
    for each in watched:
        # A rehearsal of another day is no sign of life of this one.
        rows = [row for row in recent[each.flow] if row.as_of <= at]
        failing = []
        for row in rows:
            if row.state == "completed":
                break
            failing.append(row)
        if failing and _is_healed(session, failing[0].incomplete):
            failing = []
        found.append(
            FlowFacts(
                flow=each.flow,
                crons=each.crons,
                last=max((row.as_of for row in rows), default=None),
                failing_since=failing[-1].as_of if failing else None,
                since=since,
                incomplete=_references(session, failing[0].incomplete) if failing else (),
                open_days_only=each.flow in RESTS_ON_CLOSED_DAYS,
            )
        )
    return found


def _is_healed(session: Session, incomplete: Sequence[Any]) -> bool:
    """Tell whether all that a run left undone were messages that another flow has settled since.

    The nightly run's mails go out in the morning; itself it does not run again before the night.
    """
    named = [str(each.get("reference", "")) for each in incomplete if isinstance(each, dict)]
    messages, unsettled = store.unsettled_among(session, named)
    return bool(named) and messages == set(named) and not unsettled


def _references(session: Session, incomplete: Sequence[Any]) -> tuple[str, ...]:
    """Return what a run left undone by the references that people know: a message by its booking or application."""
    named = [str(each.get("reference", "")) for each in incomplete if isinstance(each, dict)]
    known = store.references_of_messages(session, named)
    return tuple(dict.fromkeys(known.get(name, name) for name in named))


def _outside(services: Services) -> dict[str, Any]:
    """Return what stands in no table: the disk, the spool, certificates, a refused office file."""
    found: dict[str, Any] = {}
    folder = services.spool.parent if services.spool else services.inbox.parent
    if folder.is_dir():
        found["free_bytes"] = shutil.disk_usage(folder).free
    if services.spool is not None and services.spool.is_dir():
        # The web part may take a file in while it is looked at.
        written = [_written(path) for path in services.spool.glob("*.event")]
        known = [at for at in written if at is not None]
        found["spool_oldest"] = timedelta(seconds=max(0.0, time.time() - min(known))) if known else None
    refused = folder / "office-refused.json"
    if refused.is_file():
        found["office_refused"] = datetime.fromtimestamp(refused.stat().st_mtime).astimezone().isoformat()
    found["certificates"] = services.certificates()
    return found


def _written(path: Any) -> float | None:
    try:
        return float(path.stat().st_mtime)
    except FileNotFoundError:
        return None


@dataclass(frozen=True, slots=True)
class _Unknown:
    """What this look could not see. `asked`: servers that showed a certificate; one that is down says nothing of it."""

    codes: frozenset[Code]
    asked: frozenset[str]

    def covers(self, row: Alarm, at: datetime) -> bool:
        if row.code == Code.CERTIFICATE.value and row.subject not in self.asked:
            return at - row.last_seen_at < _FORGET_SERVER
        return row.code in self.codes


def _keep(session: Session, office: str, report: WatchReport, at: datetime, unknown: _Unknown) -> None:
    """Open, refresh and end alarms so that one stands for each finding."""
    standing = {(row.code, row.subject): row for row in store.open_alarm_rows(session, office)}
    for finding in report.findings:
        row = standing.pop((finding.code.value, finding.subject), None)
        if row is None:
            row = Alarm(
                office=office,
                code=finding.code.value,
                subject=finding.subject,
                severity=finding.severity.value,
                touched=list(finding.touched),
                details=dict(finding.details),
                first_seen_at=at,
                last_seen_at=at,
                told={},
            )
            session.add(row)
            session.flush()
            report.raised.append(row.id)
        else:
            row.touched, row.details = list(finding.touched), dict(finding.details)
            row.last_seen_at = max(row.last_seen_at, at)
    for row in standing.values():
        if unknown.covers(row, at):
            continue
        row.over_at = max(at, row.first_seen_at)
        report.over.append(row.id)
