"""The record as `madoguchi terms` looks at it: also when nothing else could start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from config.settings import Settings, SettingsError
from madoguchi.store.database import Database, DatabaseUnreachable
from tasks.wiring import build_services


@dataclass(frozen=True, slots=True)
class Record:
    """Where versions are looked up, and as of when. `problems`: why a flow could not start now."""

    database: Database
    office: str
    now: datetime
    problems: tuple[str, ...] = ()


def open_record(settings: Settings, now: datetime) -> Record:
    """Open the record, made and filled as every command does it; SettingsError where there is none.

    Where filling it fails, say because a file of the terms folder has other words now, the record is only read: that
    is when its words are wanted most.
    """
    office = settings.office.code
    try:
        return Record(build_services(settings).database, office, now)
    except SettingsError as error:
        database = Database(settings.resolved_database_url)
        try:
            level, newest = database.levels()
        except DatabaseUnreachable:
            raise error from None
        if level != newest:
            raise
        return Record(database, office, now, tuple(error.problems))
