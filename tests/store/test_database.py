from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.database import Database
from madoguchi.store.models import Audit, Base, HostBudget, Occupancy
from madoguchi.store.types import new_id

NOW = datetime(2026, 9, 14, 0, 0, tzinfo=UTC)
ACT = Act("office", "flow:test", None, NOW, NOW)


def test_migrations_and_models_describe_the_same_tables(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert differences == []


def test_migrating_twice_and_from_two_threads_at_once_is_harmless(database: Database) -> None:
    threads = [threading.Thread(target=database.migrate) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.levels() == ("0004", "0004")


@pytest.mark.parametrize("verb", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
def test_the_audit_refuses_to_be_changed(database: Database, verb: str) -> None:
    with database.write() as session:
        write_audit(session, [audit_row(ACT, "booking", "M-1", "held", new="held")])
    with pytest.raises(DBAPIError, match="append-only"), database.write() as session:
        session.execute(text(verb))
    with database.read() as session:
        assert session.scalars(select(Audit.actor)).all() == ["flow:test"]


def test_times_come_back_aware_and_in_utc(database: Database) -> None:
    with database.write() as session:
        write_audit(session, [audit_row(ACT, "booking", "M-1", "held")])
    with database.read() as session:
        row = session.scalars(select(Audit)).one()
    assert row.happened_at == NOW
    assert row.happened_at.utcoffset() == NOW.utcoffset()


def test_a_naive_time_never_reaches_the_database(database: Database) -> None:
    naive = Act("office", "x", None, datetime(2026, 9, 14), NOW)  # noqa: DTZ001 — the point of the test
    with pytest.raises(Exception, match="without a zone"), database.write() as session:
        write_audit(session, [audit_row(naive, "booking", "M-1", "held")])


def test_a_block_that_raises_leaves_nothing_behind(database: Database) -> None:
    def fail(session: Session) -> None:
        session.add(HostBudget(office="office", host="host-1", utc_day=NOW.date(), used=1))
        session.flush()
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError), database.write() as session:
        fail(session)
    with database.read() as session:
        assert session.scalars(select(HostBudget)).all() == []


def test_writers_in_parallel_wait_for_each_other_and_lose_nothing(database: Database) -> None:
    def add(number: int) -> None:
        for at in range(10):
            with database.write() as session:
                write_audit(session, [audit_row(ACT, "booking", f"M-{number}-{at}", "held")])

    threads = [threading.Thread(target=add, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert len(session.scalars(select(Audit.id)).all()) == 60


def test_a_named_lock_is_held_by_one_at_a_time(database_url: str) -> None:
    one, two = Database(database_url), Database(database_url)
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with one.exclusive("intake"):
            order.append("first in")
            inside.set()
            leave.wait(5)
            order.append("first out")

    def second() -> None:
        inside.wait(5)
        with two.exclusive("intake"):
            order.append("second in")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    for thread in threads:
        thread.start()
    inside.wait(5)
    leave.set()
    for thread in threads:
        thread.join()
    assert order == ["first in", "first out", "second in"]
    one.close()
    two.close()


def test_a_quarter_of_an_hour_of_a_host_is_taken_once(database: Database) -> None:
    # Without a booking behind it PostgreSQL refuses earlier; so only the key is looked at, on a table without it.
    columns = {column.name for column in Occupancy.__table__.primary_key.columns}
    assert columns == {"office", "resource", "cell_at"}


def test_ids_made_later_sort_later() -> None:
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [i[:12] for i in ids] == sorted(i[:12] for i in ids)
    assert all(len(i) == 32 for i in ids)


def test_the_same_budget_row_twice_is_refused(database: Database) -> None:
    def twice(session: Session) -> None:
        for _ in range(2):
            session.execute(
                text("INSERT INTO host_budget (office, host, utc_day, used) VALUES ('o', 'h', '2026-09-14', 1)")
            )

    with pytest.raises(IntegrityError), database.write() as session:
        twice(session)
