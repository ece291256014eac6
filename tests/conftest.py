"""Fixtures that several layers share: both databases, a world with real stand-ins."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from madoguchi.store.database import Database
from tests.postgres import NoPostgres, fresh_database, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[URL]:
    """A PostgreSQL server. Where there is none the tests on it are skipped, loudly; in CI they fail."""
    try:
        with postgres_server() as url:
            yield url
    except NoPostgres as missing:
        if os.environ.get("CI"):
            pytest.fail(f"PostgreSQL is missing, and CI must not pass without it: {missing}")
        warnings.warn(f"NOT TESTED ON POSTGRESQL: {missing}", UserWarning, stacklevel=1)
        pytest.skip(f"PostgreSQL is missing: {missing}")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: URL) -> Iterator[tuple[URL, str]]:
    """A migrated, empty PostgreSQL database, to be copied."""
    with fresh_database(postgres) as url:
        database = Database(url.render_as_string(hide_password=False))
        database.migrate()
        database.close()
        yield postgres, str(url.database)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a migrated, empty database: every test that asks for it runs on both kinds."""
    if request.param == "sqlite":
        path = tmp_path / "record.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server, template = request.getfixturevalue("postgres_template")
    with fresh_database(server, template) as url:
        yield url.render_as_string(hide_password=False)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database."""
    opened = Database(database_url)
    yield opened
    opened.close()
