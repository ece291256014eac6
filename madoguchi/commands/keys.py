"""`madoguchi keys` and `madoguchi migrate`."""

from __future__ import annotations

import base64
import getpass
import json
import os
import sys

from config.settings import Settings, SettingsError
from madoguchi.domain.office import JST
from madoguchi.store.audit import Act
from madoguchi.store.data_keys import KeyRow, begin_generation, list_keys
from madoguchi.store.database import Database, DatabaseUnreachable
from madoguchi.store.vault import VaultError, parse_master_keys, rewrap
from tasks.wiring import real_clock


def run(settings: Settings, action: str, *, data: bool, as_json: bool) -> int:
    """Do one of `new`, `rotate`, `rotate --data`, `list`; 2 for a combination that means nothing."""
    if data and action != "rotate":
        print("madoguchi keys: --data belongs to `keys rotate`", file=sys.stderr)
        return 2
    if action == "new":
        return new()
    if action == "list":
        return show(settings, as_json=as_json)
    return begin_data_key(settings) if data else rotate(settings)


def begin_data_key(settings: Settings) -> int:
    """Begin a new data key: what is sealed from now on is sealed with it; running processes follow by themselves."""
    now = real_clock()
    act = Act(settings.office.code, f"cli:{getpass.getuser()}", None, now, now)
    try:
        database = _reachable(settings)
        database.migrate()
        with database.write() as session:
            masters = parse_master_keys(settings.keys_text)
            if not list_keys(session):
                raise SettingsError(["the record has no keys yet: start Madoguchi once"])
            begun = begin_generation(session, masters, act, monthly=False)
        database.close()
    except (VaultError, KeyError) as error:
        raise SettingsError([str(error)]) from None
    print(f"data key {begun} is in use; older ones are destroyed by retain-records when nothing needs them any more")
    return 0


def show(settings: Settings, *, as_json: bool) -> int:
    """Print every key of the record with its age; no secrets, and nothing is changed."""
    database = _reachable(settings)
    database.migrate()
    with database.read() as session:
        rows = list_keys(session)
    database.close()
    listed = [_listed(row) for row in rows]
    if as_json:
        print(json.dumps(listed))
        return 0
    for row in listed:
        state = (
            "in use" if row["in_use"] else f"destroyed {row['destroyed_at']}" if row["destroyed_at"] else "opens only"
        )
        print(
            f"{row['id']:>4}  {row['purpose']:<6} generation {row['generation']:<4} since {row['created_at']} "
            f"({row['days']} days)  wrapped by {row['wrapped_by']}  {state}"
        )
    return 0


def _listed(row: KeyRow) -> dict[str, object]:
    gone = row.destroyed_at.astimezone(JST).date().isoformat() if row.destroyed_at else None
    return {
        "id": row.id,
        "purpose": row.purpose,
        "generation": row.generation,
        "wrapped_by": row.wrapped_by,
        "created_at": row.created_at.astimezone(JST).date().isoformat(),
        "days": (real_clock() - row.created_at).days,
        "destroyed_at": gone,
        "in_use": row.in_use,
    }


def new() -> int:
    """Print a new encryption key for MADOGUCHI_ENCRYPTION_KEYS; it is stored nowhere."""
    print(base64.urlsafe_b64encode(os.urandom(32)).decode())
    return 0


def rotate(settings: Settings) -> int:
    """Bring the first key of the settings into use; after it the older keys may be removed from them."""
    try:
        masters = parse_master_keys(settings.keys_text)
        database = _reachable(settings)
        database.migrate()
        with database.write() as session:
            changed = rewrap(session, masters)
        database.close()
    except VaultError as error:
        raise SettingsError([str(error)]) from None
    print(f"{changed} data keys are now wrapped by the first key of MADOGUCHI_ENCRYPTION_KEYS")
    return 0


def migrate(settings: Settings) -> int:
    """Bring the database to the newest level."""
    database = _reachable(settings)
    before, _ = database.levels()
    database.migrate()
    print(f"database: {before or 'empty'} -> {database.levels()[0]}")
    database.close()
    return 0


def _reachable(settings: Settings) -> Database:
    database = Database(settings.resolved_database_url)
    try:
        database.levels()
    except DatabaseUnreachable as error:
        raise SettingsError(
            [f"the database cannot be used ({error}): start it, or correct MADOGUCHI_DATABASE_URL"]
        ) from None
    return database
