"""`madoguchi backup` and `madoguchi restore`: everything but the keys, and back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import inspect

from config.settings import Settings, SettingsError
from madoguchi.adapters.backup_file import BackupError, Manifest, unpack_backup, write_backup
from madoguchi.store.database import Database, DatabaseUnreachable

_SQLITE, _POSTGRESQL = "record.db", "record.dump"
_FOLDERS = ("webhooks", "inbox", "bounces", "reports")


def backup(settings: Settings, target: Path) -> int:
    """Write a backup of the present instant while everything runs; 0 done, 1 not (the text says why).

    Holds the record, webhooks not yet taken in, exports and bounces that lie there, monthly reports. Not the keys:
    without MADOGUCHI_ENCRYPTION_KEYS nothing personal in it can be read, by anybody. Not Prefect's history, not the
    public site, which is built from the record.
    """
    try:
        manifest = _backup(settings, target)
    except (BackupError, DatabaseUnreachable) as error:
        print(f"madoguchi backup: {error}", file=sys.stderr)
        return 1
    print(f"{target}: {len(manifest.files)} files, record of {manifest.made_at.isoformat(timespec='seconds')}")
    print("Keep MADOGUCHI_ENCRYPTION_KEYS in another place: the backup does not hold them and is worthless without.")
    return 0


def restore(settings: Settings, source: Path, lost_at: datetime | None) -> int:
    """Put a backup in place of nothing and make it safe to go on; 0 done, 1 not, with nothing changed.

    `lost_at`: when the old machine did its last act; default: now, the most careful. What was due by then may have been
    done and is left to staff (`tasks/restoring.py`).
    """
    try:
        with tempfile.TemporaryDirectory(prefix="madoguchi-restore-") as folder:
            manifest = unpack_backup(source, Path(folder))
            lost = _lost(manifest, lost_at)
            _require_empty(settings, manifest)
            _put(settings, Path(folder), manifest)
    except (BackupError, DatabaseUnreachable) as error:
        print(f"madoguchi restore: {error}", file=sys.stderr)
        return 1
    return _settle(settings, manifest, lost)


def _backup(settings: Settings, target: Path) -> Manifest:
    with closing(Database(settings.resolved_database_url)) as database:
        return _backup_of(database, settings, target)


def _backup_of(database: Database, settings: Settings, target: Path) -> Manifest:
    level, _ = database.levels()
    if level is None:
        raise BackupError("the database is empty; there is nothing to back up")
    with tempfile.TemporaryDirectory(prefix="madoguchi-backup-") as folder:
        # Files first: what is taken in meanwhile is then in the record and in the spool, which does no harm.
        members = _copied(_files(settings), Path(folder) / "files")
        made_at = datetime.now(UTC)
        kind = _SQLITE if database.is_sqlite else _POSTGRESQL
        record = Path(folder) / kind
        if database.is_sqlite:
            _copy_sqlite(Path(str(database.url.database)), record)
        else:
            _postgresql("pg_dump", database, ["--format=custom", "--no-owner", f"--file={record}"])
        facts = {"made_at": made_at.isoformat(), "office": settings.office.code, "database": kind, "level": level}
        return write_backup(target, [(kind, record), *members], facts)


def _files(settings: Settings) -> list[tuple[str, Path]]:
    found = []
    for name, folder in _places(settings).items():
        found += [(f"{name}/{path.relative_to(folder)}", path) for path in sorted(folder.rglob("*")) if path.is_file()]
    return found


def _copied(members: list[tuple[str, Path]], folder: Path) -> list[tuple[str, Path]]:
    """Return the files as they are now: they grow, and are taken in, while the backup is packed."""
    found = []
    for name, path in members:
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(path, copy)
        except FileNotFoundError:
            # Taken in since: it is in the record then, which is copied after it.
            continue
        found.append((name, copy))
    return found


def _places(settings: Settings) -> dict[str, Path]:
    folders = {
        "webhooks": settings.var_dir / "webhooks",
        "inbox": settings.resolved_inbox_dir,
        "bounces": settings.resolved_bounces_dir,
        "reports": settings.resolved_reports_dir,
    }
    return {name: folders[name] for name in _FOLDERS}


def _copy_sqlite(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
    target.chmod(0o600)


def _postgresql(program: str, database: Database, arguments: list[str]) -> None:
    """Run a program of PostgreSQL's on the record; its password goes by the environment, never by the command line."""
    if shutil.which(program) is None:
        raise BackupError(f"{program} is not installed here; install PostgreSQL's client programs (postgresql-client)")
    url = database.url
    address = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    surroundings = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    done = subprocess.run(  # noqa: S603 — PostgreSQL's own programs, no shell
        [program, f"--dbname={address}", *arguments], env=surroundings, capture_output=True, check=False
    )
    if done.returncode:
        raise BackupError(f"{program} ended with code {done.returncode}; run it by hand to see why")


def _lost(manifest: Manifest, lost_at: datetime | None) -> datetime:
    lost = lost_at or datetime.now(UTC)
    if lost < manifest.made_at:
        raise BackupError(f"--lost-at lies before the backup ({manifest.made_at.isoformat()}); correct it")
    return lost


def _require_empty(settings: Settings, manifest: Manifest) -> None:
    """Refuse what would mix two records, or put one where it cannot be read."""
    if manifest.office != settings.office.code:
        raise BackupError(f"the backup is of office {manifest.office}, the settings name {settings.office.code}")
    with closing(Database(settings.resolved_database_url)) as database:
        _require_empty_database(database, manifest)
    for place in _places(settings).values():
        if place.is_dir() and any(path.is_file() for path in place.rglob("*")):
            raise BackupError(f"{place}: not empty; restore into an empty MADOGUCHI_VAR_DIR")


def _require_empty_database(database: Database, manifest: Manifest) -> None:
    if manifest.database != (_SQLITE if database.is_sqlite else _POSTGRESQL):
        raise BackupError("the backup is of the other kind of database; set MADOGUCHI_DATABASE_URL to that kind")
    if database.is_sqlite and Path(str(database.url.database)).exists():
        raise BackupError(f"{database.url.database}: there is a record already; restore into an empty directory")
    if not database.is_sqlite and inspect(database.engine).get_table_names():
        raise BackupError("the database holds tables already; restore into an empty one")


def _put(settings: Settings, folder: Path, manifest: Manifest) -> None:
    database, kind = Database(settings.resolved_database_url), manifest.database
    for name, place in _places(settings).items():
        if (folder / name).is_dir():
            shutil.copytree(folder / name, place, dirs_exist_ok=True)
    if database.is_sqlite:
        target = Path(str(database.url.database))
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = target.with_suffix(".restoring")
        shutil.copyfile(folder / kind, draft)
        draft.chmod(0o600)
        draft.replace(target)
    else:
        _postgresql(
            "pg_restore", database, ["--no-owner", "--exit-on-error", "--single-transaction", str(folder / kind)]
        )
    database.close()


def _settle(settings: Settings, manifest: Manifest, lost: datetime) -> int:
    from tasks.restoring import settle_restored
    from tasks.wiring import build_services

    try:
        services = build_services(settings)
        with closing(services.database):
            restored = settle_restored(services, manifest.made_at, lost)
    except SettingsError:
        print("madoguchi restore: the record is in place, and the settings cannot be used with it:", file=sys.stderr)
        raise
    print(f"restored: the record of {manifest.made_at.isoformat(timespec='seconds')}, level {manifest.level} and newer")
    print(f"{restored.uncertain} messages may have left since then: staff decide (settle-message)")
    print(f"{restored.to_review} applications may have got a session since then: staff decide (decide-request)")
    print("Now: madoguchi check; madoguchi run reconcile-zoom; madoguchi run process-requests; madoguchi up")
    return 0
