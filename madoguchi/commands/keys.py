"""`madoguchi keys` and `madoguchi migrate`."""

from __future__ import annotations

import base64
import os

from config.settings import Settings, SettingsError
from madoguchi.store.database import Database, DatabaseUnreachable
from madoguchi.store.vault import VaultError, parse_master_keys, rewrap


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
