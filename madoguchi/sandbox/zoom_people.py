"""Who is in the stand-in's meetings, and each time that one ran. In the stand-in's file, so that it survives a kill."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from dataclasses import dataclass
from typing import Literal

Place = Literal["outside", "waiting", "meeting"]
"""Before the host opened the meeting; in the waiting room; in the meeting."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
  uuid TEXT PRIMARY KEY, meeting INTEGER NOT NULL, started TEXT NOT NULL, ended TEXT);
CREATE INDEX IF NOT EXISTS runs_by_meeting ON runs (meeting, started);
CREATE TABLE IF NOT EXISTS stays (
  number INTEGER PRIMARY KEY AUTOINCREMENT, meeting INTEGER NOT NULL, run TEXT NOT NULL, who TEXT NOT NULL,
  uuid TEXT NOT NULL, place TEXT NOT NULL, came TEXT NOT NULL, gone TEXT, reason TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS stays_by_meeting ON stays (meeting, number);
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One time that a meeting ran. `started`, `ended`: Zoom's UTC texts; `ended` is empty while it runs."""

    uuid: str
    started: str
    ended: str


@dataclass(frozen=True, slots=True)
class Stay:
    """One person at one place. `who`: a word of the script (host, guest, guest-2); moving on makes a new stay."""

    number: int
    run: str
    who: str
    uuid: str
    place: Place
    came: str
    gone: str
    reason: str

    @property
    def user_id(self) -> str:
        """Zoom's number of a participant: new for every stay."""
        return str(16_777_216 + self.number * 1024)

    @property
    def is_host(self) -> bool:
        """Tell the host's signed-in devices from everybody else."""
        return self.who.startswith("host")


class People:
    """The tables of runs and stays. Thread-safe with the lock of the file's owner."""

    def __init__(self, db: sqlite3.Connection, lock: threading.RLock) -> None:
        self._db = db
        self._lock = lock
        with lock:
            db.executescript(_SCHEMA)

    def begin(self, meeting: int, uuid: str, started: str) -> None:
        """Note that a meeting runs."""
        with self._lock:
            self._db.execute("INSERT INTO runs (uuid, meeting, started) VALUES (?, ?, ?)", (uuid, meeting, started))

    def finish(self, uuid: str, ended: str) -> None:
        """Note that it does not run any more."""
        with self._lock:
            self._db.execute("UPDATE runs SET ended=? WHERE uuid=?", (ended, uuid))

    def runs(self, meeting: int) -> list[Run]:
        """Return every time that a meeting ran, the first one first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT uuid, started, ended FROM runs WHERE meeting=? ORDER BY rowid", (meeting,)
            ).fetchall()
        return [Run(row["uuid"], row["started"], row["ended"] or "") for row in rows]

    def meeting_of(self, uuid: str) -> int | None:
        """Return the meeting that ran under `uuid`."""
        with self._lock:
            row = self._db.execute("SELECT meeting FROM runs WHERE uuid=?", (uuid,)).fetchone()
        return None if row is None else int(row["meeting"])

    def come(self, meeting: int, run: str, who: str, place: Place, at: str) -> Stay:
        """Let somebody be at a place from now on, and return the new stay."""
        uuid = secrets.token_hex(16).upper()
        with self._lock:
            found = self._db.execute(
                "INSERT INTO stays (meeting, run, who, uuid, place, came) VALUES (?, ?, ?, ?, ?, ?)",
                (meeting, run, who, uuid, place, at),
            )
        return Stay(int(found.lastrowid or 0), run, who, uuid, place, at, "", "")

    def go(self, stay: Stay, at: str, reason: str = "") -> None:
        """End a stay."""
        with self._lock:
            self._db.execute("UPDATE stays SET gone=?, reason=? WHERE number=?", (at, reason, stay.number))

    def present(self, meeting: int, *places: Place) -> list[Stay]:
        """Return who is at one of the places now, in the order of coming."""
        return [stay for stay in self.stays(meeting) if not stay.gone and stay.place in places]

    def stays(self, meeting: int, run: str | None = None) -> list[Stay]:
        """Return every stay at a meeting, or those of one run, in the order of coming."""
        with self._lock:
            rows = self._db.execute("SELECT * FROM stays WHERE meeting=? ORDER BY number", (meeting,)).fetchall()
        found = [
            Stay(
                row["number"], row["run"], row["who"], row["uuid"], row["place"], row["came"], row["gone"] or "",
                row["reason"],
            )
            for row in rows
        ]  # fmt: skip
        return found if run is None else [stay for stay in found if stay.run == run]
