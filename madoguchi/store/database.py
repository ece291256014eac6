"""Engines, transactions and migrations, the same for SQLite and PostgreSQL."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_SECONDS = 30
_LOCKS = {
    "migrate": 7_410_001, "start": 7_410_002, "intake": 7_410_003, "reconcile": 7_410_004, "site": 7_410_005,
    "alarms": 7_410_006, "watch": 7_410_007,
}  # fmt: skip


class DatabaseUnreachable(Exception):  # noqa: N818 — the name says what happened
    """The database does not answer; holds no address and no password."""


class Database:
    """One database. `write()` and `read()` give sessions; queries never commit, these blocks do."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.url.drivername == "postgresql":
            self.url = self.url.set(drivername="postgresql+psycopg")
        if self.is_sqlite and self.url.database not in (None, "", ":memory:"):
            Path(str(self.url.database)).parent.mkdir(parents=True, exist_ok=True)
        options: dict[str, Any] = {"hide_parameters": True}
        if self.is_sqlite:
            options["connect_args"] = {"timeout": _BUSY_SECONDS, "check_same_thread": False}
        else:
            options |= {"pool_pre_ping": True, "pool_size": 30, "connect_args": {"connect_timeout": 10}}
        self.engine = create_engine(self.url, **options)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._one_writer: AbstractContextManager[Any] = threading.Lock() if self.is_sqlite else nullcontext()
        self._read = sessionmaker(self.engine, expire_on_commit=False)
        self._write = sessionmaker(self.engine.execution_options(madoguchi_write=True), expire_on_commit=False)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Give a session whose transaction commits at the end of the block and rolls back on any exception.

        On SQLite the block holds the only write lock from its start.
        """
        # SQLite has one writer: waiting here costs less than its busy handler, which sleeps and polls.
        with self._one_writer, self._write() as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Give a session for reading; it never waits for writers."""
        with self._read() as session:
            yield session

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Hold a named lock ("intake", "start") among all processes for the whole block, over several transactions.

        Waits for the present holder. A process that dies lets go: the lock is a connection's, or an open file's.
        """
        if self.is_sqlite:
            path = f"{self.url.database}.{name}.lock"
            with open(path, "w") as file:  # noqa: PTH123 — the database's own name may be relative, as SQLite reads it
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
            return
        with self.engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCKS[name]})
            connection.commit()
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCKS[name]})
                connection.commit()

    def one_writer(self) -> AbstractContextManager[Any]:
        """Hold the writer's place among the threads of this process, for a caller with a connection of its own."""
        return self._one_writer

    def connect_for_writing(self) -> Connection:
        """Give a connection whose transactions write, for a caller that keeps it; the caller closes it."""
        return self.engine.connect().execution_options(madoguchi_write=True)

    def migrate(self) -> None:
        """Bring the tables to the newest level; safe when several processes start at once."""
        with self.engine.execution_options(madoguchi_write=True).begin() as connection:
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCKS["migrate"]})
            command.upgrade(_alembic(connection), "head")

    def levels(self) -> tuple[str | None, str | None]:
        """Return the migration level of the database and the newest one; DatabaseUnreachable if it does not answer."""
        newest = ScriptDirectory.from_config(_alembic(None)).get_current_head()
        try:
            with self.engine.connect() as connection:
                return MigrationContext.configure(connection).get_current_revision(), newest
        except OperationalError as error:
            raise DatabaseUnreachable(type(error.orig).__name__) from None

    def settle_erasures(self) -> bool:
        """Let overwritten values leave the files: SQLite's log is emptied into the file, PostgreSQL vacuums.

        False when a reader of SQLite still needs the log: the next call does it. What PostgreSQL's pages, log and
        archives still hold is outside its reach (docs/privacy.md).
        """
        if self.is_sqlite:
            with self._one_writer, self.engine.connect() as connection:
                # While it waits for a reader it keeps every writer out: rather often than long.
                connection.exec_driver_sql("PRAGMA busy_timeout=500")
                try:
                    busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
                finally:
                    connection.exec_driver_sql(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")
            return not busy
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM client, booking_request, meeting, outbox_message, evidence, zoom_event"))
        return True

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _alembic(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own BEGIN is deferred: a reader that turns writer would fail at once with "locked".
    connection.isolation_level = None
    cursor = connection.cursor()
    # secure_delete: what is erased or overwritten is zeroed in the file too, not merely unlinked.
    pragmas = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "secure_delete=ON")
    for pragma in (*pragmas, f"busy_timeout={_BUSY_SECONDS * 1000}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("madoguchi_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
