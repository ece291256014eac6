"""`madoguchi keys` and `madoguchi migrate`."""

from __future__ import annotations

import base64
import os

from config.settings import Settings
from madoguchi.store.database import Database
from madoguchi.store.vault import parse_master_keys, rewrap


def new() -> int:
    """Print a new encryption key for MADOGUCHI_ENCRYPTION_KEYS; it is stored nowhere."""
    print(base64.urlsafe_b64encode(os.urandom(32)).decode())
    return 0


def rotate(settings: Settings) -> int:
    """Bring the first key of the settings into use; after it the older keys may be removed from them."""
    database = Database(settings.resolved_database_url)
    database.migrate()
    with database.write() as session:
        changed = rewrap(session, parse_master_keys(settings.keys_text))
    print(f"{changed} data keys are now wrapped by the first key of MADOGUCHI_ENCRYPTION_KEYS")
    return 0


def migrate(settings: Settings) -> int:
    """Bring the database to the newest level."""
    database = Database(settings.resolved_database_url)
    before, _ = database.levels()
    database.migrate()
    after, _ = database.levels()
    print(f"database: {before or 'empty'} -> {after}")
    return 0
