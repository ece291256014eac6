"""The tenth minute of 2,000 sessions that start together: `python -m benchmarks.bench_sweep [--sessions N] [--past N]`.

Seconds from the call of the sweep to its last commit, Zoom's webhooks already in the record as they are at the tenth
minute. The bare limit, in the same run over rows of the same kind: one transaction that sets the states, frees the
places, and adds the verdicts, audit rows, mails and staff tasks, all prebuilt, with nothing read, judged or sealed.
Then the same sweep beside 1,000,000 sessions of the past. Exits 1 when a sweep takes more than 60 s, or the last one
more than 1.2 times as long.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, text, update

from benchmarks.world import big_office
from madoguchi.store.database import Database
from madoguchi.store.models import Audit, Booking, Meeting, Occupancy, OutboxMessage, StaffTask, VerdictRecord
from madoguchi.store.types import new_id
from madoguchi.store.vault import MasterKey, open_vault
from tasks.verdicts import judge_due
from tasks.wiring import Run, Services
from tests.postgres import NoPostgres, fresh_database, postgres_server
from tests.tasks.sweep_world import CALLED, CAME, LONG_AGO, NOBODY, NOTHING, START, put_evidence, put_sessions

SHARES = ((CAME, 0.75), (NOBODY, 0.15), (CALLED, 0.05), (NOTHING, 0.05))
"""What is known of the sessions, and of which part of them: attended, no-show, contacted, undetermined."""
TENTH = timedelta(minutes=10)
SECONDS, RATIO = 60.0, 1.2


def fill(services: Services, sessions: int, start: datetime) -> list[str]:
    """Put sessions that start then into the record with what is known of them, and return their references."""
    references: list[str] = []
    for pieces, share in SHARES:
        some = put_sessions(services, round(sessions * share), start)
        put_evidence(services, some, pieces, start + TENTH)
        references += some
    if not services.database.is_sqlite:
        # As autovacuum does in life, before the day's sessions begin.
        with services.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
    return references


def sweep(services: Services, start: datetime) -> tuple[float, dict[str, int]]:
    """Return the seconds of one sweep of the tenth minute, and what it settled."""
    gc.collect()
    began = time.perf_counter()
    report = judge_due(services, Run("sweep-no-shows", start + TENTH, services.clock()))
    taken = time.perf_counter() - began
    if report.incomplete:
        raise SystemExit(f"not judged: {report.incomplete[:3]}")
    return taken, dict(report.settled)


def bare(services: Services, like: Sequence[str], start: datetime, sessions: int) -> float:
    """Return the seconds in which the same rows are written for other sessions, copied from those of a sweep."""
    targets = fill(services, sessions, start)
    rows, states = _rows_like(services, like, targets)
    gc.collect()
    began = time.perf_counter()
    with services.database.write() as session:
        connection = session.connection()
        connection.execute(
            update(Booking.__table__).where(Booking.__table__.c.id == bindparam("b_id")).values(status=bindparam("to")),
            [{"b_id": row_id, "to": to} for row_id, to in states],
        )
        gone = [row_id for row_id, to in states if to == "no_show"]
        for table, column, values in ((Occupancy, "booking_id", None), (Meeting, "booking_id", "unwanted")):
            where = table.__table__.c[column] == bindparam("b_id")
            statement = (
                update(table.__table__).where(where).values(status=values)
                if values
                else delete(table.__table__).where(where)
            )
            connection.execute(statement, [{"b_id": row_id} for row_id in gone])
        for table, values in rows.items():
            if values:
                connection.execute(insert(table.__table__), values)
    return time.perf_counter() - began


def _rows_like(
    services: Services, like: Sequence[str], targets: Sequence[str]
) -> tuple[dict[Any, list[dict[str, Any]]], list[tuple[str, str]]]:
    """Return the rows that a sweep wrote about `like`, made over for `targets`, and the states by booking id."""
    with services.database.read() as session:

        def ids(references: Sequence[str]) -> dict[str, tuple[str, str]]:
            found: dict[str, tuple[str, str]] = {}
            for at in range(0, len(references), 500):
                query = select(Booking.reference, Booking.id, Booking.status)
                for reference, row_id, status in session.execute(
                    query.where(Booking.reference.in_(references[at : at + 500]))
                ).tuples():
                    found[reference] = (row_id, status)
            return found

        old, new = ids(like), ids(targets)
        twin = dict(zip(like, targets, strict=True))
        by_id = {old[reference][0]: new[twin[reference]][0] for reference in like}
        rows: dict[Any, list[dict[str, Any]]] = {Audit: [], VerdictRecord: [], StaffTask: [], OutboxMessage: []}
        for table, copies in rows.items():
            for row in session.execute(select(table.__table__)).mappings():
                made = dict(row)
                if table is Audit and made["subject"] in twin:
                    made["subject"] = twin[made["subject"]]
                    del made["id"]
                elif table is VerdictRecord and made["booking_id"] in by_id:
                    made |= {"id": new_id(), "booking_id": by_id[made["booking_id"]]}
                elif table is StaffTask and made["subject"] in twin:
                    made |= {"id": new_id(), "subject": twin[made["subject"]]}
                elif table is OutboxMessage and made["kind"] == "no_show" and made["booking_id"] in by_id:
                    fresh = new_id()
                    made |= {"id": fresh, "booking_id": by_id[made["booking_id"]], "dedupe_key": f"bare:{fresh}"}
                else:
                    continue
                copies.append(made)
        states = [(new[twin[reference]][0], old[reference][1]) for reference in like]
    return rows, states


PAST = """
INSERT INTO booking (id, reference, office, request_id, client_id, start_at, end_at, counsellor, host, status, revision,
                     held_at, confirmed_at)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
SELECT {pad}, 'P-' || i, '{office}', '{request}', '{client}', {at}, {at}, 'c', 'h',
       CASE i % 10 WHEN 0 THEN 'no_show' WHEN 1 THEN 'cancelled' ELSE 'attended' END, 1, {at}, {at} FROM n
"""


def put_past(services: Services, count: int) -> None:
    """Put settled sessions of the past years into the record, by plain SQL."""
    database = services.database
    with database.read() as session:
        request, client = session.execute(select(Booking.request_id, Booking.client_id).limit(1)).one()
    if database.is_sqlite:
        pad, at = "printf('%032d', i)", "datetime('2016-01-01 02:00:00', '+' || (i * 5) || ' minutes') || '.000000'"
    else:
        pad, at = "lpad(i::text, 32, '0')", "timestamptz '2016-01-01 02:00:00+00' + i * interval '5 minutes'"
    values = {
        "count": count,
        "pad": pad,
        "at": at,
        "office": services.office.code,
        "request": request,
        "client": client,
    }
    # Of every tenth also what was held true of it and why; the sweep finds neither but by booking.
    chosen = "FROM booking WHERE reference LIKE 'P-%0'"
    what_was = (
        "INSERT INTO verdict (id, office, booking_id, number, verdict, reasons, rules, judged_for, evidence, duties, "
        "by_person, actor, run, happened_at, recorded_at) SELECT id, office, id, 1, status, '[]', 'r', start_at, '[]', "
        f"'{{}}', false, 'a', 'r', start_at, start_at {chosen}"
    )
    why = (
        "INSERT INTO evidence (id, office, booking_id, revision, kind, source, happened_at, recorded_at, actor, run, "
        "dedupe_key, details) SELECT id, office, id, 1, 'guest_joined', 'webhook', start_at, start_at, 'a', 'r', id, "
        f"'{{}}' {chosen}"
    )
    with database.write() as session:
        if not database.is_sqlite:
            # A million checks that the one client exists would take longer than everything else here.
            session.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in (PAST.format(**values), what_was, why):
            session.connection().exec_driver_sql(statement.replace("%", "%%") if not database.is_sqlite else statement)
    if not database.is_sqlite:
        # Not while the sweep is measured: what the filling leaves to be written is not the sweep's.
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CHECKPOINT"))


@contextmanager
def _on_postgres(services: Services) -> Iterator[Services]:
    with postgres_server() as server, fresh_database(server) as url:
        database = Database(url.render_as_string(hide_password=False))
        database.migrate()
        with database.write() as session:
            vault = open_vault(session, (MasterKey(secrets.token_bytes(32)),), LONG_AGO)
        yield dataclasses.replace(services, database=database, vault=vault)
        database.close()


def measure(label: str, services: Services, sessions: int, past: int, rounds: int) -> bool:
    """Print the figures of one database; tell whether the limits hold."""
    days = iter(START + timedelta(days=n) for n in range(1000))
    few, limits, many = [], [], []
    settled: dict[str, int] = {}
    for _ in range(rounds):
        start = next(days)
        references = fill(services, sessions, start)
        taken, settled = sweep(services, start)
        few.append(taken)
        limits.append(bare(services, references, next(days), sessions))
    began = time.perf_counter()
    put_past(services, past)
    filled = time.perf_counter() - began
    for _ in range(rounds):
        start = next(days)
        fill(services, sessions, start)
        many.append(sweep(services, start)[0])
    # The least disturbed of a few: whatever else the machine does only adds.
    ours, limit, beside = (min(each) for each in (few, limits, many))
    is_ok = max(ours, beside) <= SECONDS and beside / ours <= RATIO
    shares = " ".join(f"{name} {count}" for name, count in sorted(settled.items()))
    print(f"    {label}: {sessions} sessions ({shares}), best of {rounds}")
    print(
        f"        {ours:5.2f} s to the last commit, {1000 * ours / sessions:.2f} ms a session; "
        f"bare {limit:5.2f} s, {1000 * limit / sessions:.2f} ms; ratio {ours / limit:.1f}"
    )
    print(
        f"        beside {past} sessions of the past (put there in {filled:.0f} s) {beside:5.2f} s: "
        f"{beside / ours:.2f} times; at most {RATIO}: {'OK' if is_ok else 'FAIL'}"
    )
    return is_ok


def main() -> int:
    """Print the figures; 0 if every limit holds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--past", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(f"(e) the tenth minute of {given.sessions} sessions that start together")
    with big_office(2, 2) as services:
        holds = measure("SQLite", services, given.sessions, given.past, given.rounds)
        try:
            with _on_postgres(services) as moved:
                holds &= measure("PostgreSQL, no fsync", moved, given.sessions, given.past, given.rounds)
        except NoPostgres as missing:
            print(f"    PostgreSQL: {missing}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
