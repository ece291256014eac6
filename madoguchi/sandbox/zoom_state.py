"""What the stand-in Zoom remembers: users, meetings, budgets. In SQLite, so that it survives being killed."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from madoguchi.sandbox.faults import FaultStore
from madoguchi.sandbox.zoom_people import People
from madoguchi.sandbox.zoom_rules import UNFRIENDLY_DEFAULTS
from madoguchi.sandbox.zoom_webhooks import Webhooks

OPERATIONS = (
    "token",
    "users",
    "user",
    "list",
    "create",
    "get",
    "update",
    "delete",
    "status",
    "past",
    "past_people",
    "live_people",
)
FAULT_KINDS = (
    "latency",
    "429_second",
    "429_host_day",
    "429_daily",
    "500",
    "500_after_act",
    "503",
    "timeout_after_act",
    "drop_before",
    "drop_after",
    "bad_json",
    "401_expired",
    "list_lag",
)
GENTLE_KINDS = ("latency", "list_lag")
LINK_EXPIRY = timedelta(days=30)

ALL_SCOPES = (
    "meeting:write:meeting:admin",
    "meeting:update:meeting:admin",
    "meeting:delete:meeting:admin",
    "meeting:update:status:admin",
    "meeting:read:meeting:admin",
    "meeting:read:list_meetings:admin",
    "meeting:read:past_meeting:admin",
    "meeting:read:list_past_participants:admin",
    "dashboard:read:list_meeting_participants:admin",
    "user:read:user:admin",
    "user:read:list_users:admin",
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS users (email TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, made REAL NOT NULL);
CREATE TABLE IF NOT EXISTS budgets (host TEXT, day TEXT, used INTEGER NOT NULL, PRIMARY KEY (host, day));
CREATE TABLE IF NOT EXISTS meetings (
  id INTEGER PRIMARY KEY, host TEXT NOT NULL, start TEXT NOT NULL, ends TEXT NOT NULL, type INTEGER NOT NULL,
  status TEXT NOT NULL, made REAL NOT NULL, deleted INTEGER NOT NULL DEFAULT 0, doc TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS meetings_by_host ON meetings (host, start, id);
"""


@dataclass(frozen=True, slots=True)
class SandboxZoom:
    """How the stand-in's account is set up. The credentials are fictional and open to everybody on this machine."""

    account_id: str = "sandbox-account"
    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-secret"  # noqa: S105 — fictional, printed in docs/zoom.md
    users: tuple[str, ...] = ()
    create_unknown_users: bool = True
    daily_changes_per_host: int = 100
    light_per_second: int | None = None
    medium_per_second: int | None = None
    heavy_per_second: int | None = None
    token_seconds: int = 3599
    scopes: tuple[str, ...] = ALL_SCOPES
    account_zone: str = "Asia/Tokyo"
    account_defaults: Mapping[str, Any] = field(default_factory=lambda: dict(UNFRIENDLY_DEFAULTS))
    join_host: str = "zoom.example.jp"
    has_dashboard: bool = True
    """The plan shows who is in a meeting while it runs (Business and above)."""
    keeps_ended_meetings: bool = False
    """A meeting that has run cannot be deleted (3007): Zoom's description of 2023 says so, the newer ones do not."""


def _now() -> datetime:
    return datetime.now(UTC)


class ZoomState:
    """The stand-in's memory. One process a file; safe for several threads.

    A committed change survives kill -9 (WAL); requests counted, latency and ordered faults live in memory only.
    `clock` is what "now" means to meetings and budgets; a rehearsal may shift it (`set_now`), tokens do not care.
    """

    def __init__(
        self, path: Path, settings: SandboxZoom | None = None, *, clock: Callable[[], datetime] = _now
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.settings = settings or SandboxZoom()
        self.faults = FaultStore(operations=OPERATIONS, kinds=FAULT_KINDS, gentle=GENTLE_KINDS)
        self.latency_seconds = 0.0
        self.requests: Counter[str] = Counter()
        self.locked: frozenset[str] = frozenset()
        self.script: list[tuple[datetime, int, Any]] = []
        self.script_errors: list[str] = []
        self.webhooks = Webhooks(self.now)
        self._clock = clock
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)
        self.secret = bytes.fromhex(self._remember("secret", secrets.token_hex(32)))
        self.people = People(self._db, self._lock)
        self._shift = timedelta(seconds=float(self._remember("shift", "0")))
        for email in self.settings.users:
            self._add_user(email)

    def close(self) -> None:
        """Close the file; events that are still under way are not sent any more."""
        self.webhooks.close()
        with self._lock:
            self._db.close()

    def now(self) -> datetime:
        """Return the stand-in's now, aware, in UTC."""
        return (self._clock() + self._shift).astimezone(UTC)

    def set_now(self, instant: datetime | None) -> None:
        """Let the stand-in's clock go on from `instant` (aware), or from real time again with None. Kept."""
        self._shift = timedelta(0) if instant is None else instant - self._clock()
        with self._lock:
            self._db.execute("UPDATE meta SET value=? WHERE name='shift'", (str(self._shift.total_seconds()),))

    def user(self, key: str) -> dict[str, str] | None:
        """Return `id` and `email` of the user with that id or address; an unknown address is added if allowed."""
        with self._lock:
            row = self._db.execute("SELECT id, email FROM users WHERE email=? OR id=?", (key.lower(), key)).fetchone()
            if row is None and self.settings.create_unknown_users and "@" in key:
                return self._add_user(key)
        return None if row is None else dict(row)

    def users(self) -> list[dict[str, str]]:
        """Return all users in the order of their addresses."""
        with self._lock:
            return [dict(row) for row in self._db.execute("SELECT id, email FROM users ORDER BY email")]

    def spend(self, host: str) -> bool:
        """Count one creation or change of the host's UTC day; False when the day's budget was spent before."""
        day = self.now().date().isoformat()
        with self._transaction() as db:
            row = db.execute("SELECT used FROM budgets WHERE host=? AND day=?", (host, day)).fetchone()
            if row is not None and row["used"] >= self.settings.daily_changes_per_host:
                return False
            db.execute(
                "INSERT INTO budgets VALUES (?, ?, 1) ON CONFLICT (host, day) DO UPDATE SET used = used + 1",
                (host, day),
            )
        return True

    def new_id(self) -> int:
        """Return an unused id of 11 digits (10 would be a personal room)."""
        with self._lock:
            while True:
                number = 80_000_000_000 + secrets.randbelow(10_000_000_000)
                if self._db.execute("SELECT 1 FROM meetings WHERE id=?", (number,)).fetchone() is None:
                    return number

    def add(self, host: str, doc: Mapping[str, Any]) -> None:
        """Keep a new meeting."""
        with self._lock:
            self._db.execute(
                "INSERT INTO meetings (id, host, start, ends, type, status, made, doc) VALUES (?,?,?,?,?,?,?,?)",
                (doc["id"], host, doc["start_time"], _ends(doc), doc["type"], "waiting", time.time(), _dump(doc)),
            )

    def meeting(self, meeting_id: int, *, deleted: bool = False) -> dict[str, Any] | None:
        """Return the document of a meeting that is there (or, with `deleted`, of one that was deleted)."""
        with self._lock:
            row = self._db.execute(
                "SELECT host, status, doc FROM meetings WHERE id=? AND deleted=?", (meeting_id, int(deleted))
            ).fetchone()
        return None if row is None else {**json.loads(row["doc"]), "status": row["status"]}

    def host_of(self, meeting_id: int) -> str:
        """Return the address of a meeting's host."""
        with self._lock:
            row = self._db.execute("SELECT host FROM meetings WHERE id=?", (meeting_id,)).fetchone()
        return str(row["host"])

    def change(self, doc: Mapping[str, Any]) -> None:
        """Keep the changed document of a meeting."""
        with self._lock:
            self._db.execute(
                "UPDATE meetings SET start=?, ends=?, type=?, doc=? WHERE id=?",
                (doc["start_time"], _ends(doc), doc["type"], _dump(doc), doc["id"]),
            )

    def set_host(self, meeting_id: int, host: str) -> None:
        """Let a meeting be another host's."""
        with self._lock:
            self._db.execute("UPDATE meetings SET host=? WHERE id=?", (host, meeting_id))

    def set_deleted(self, meeting_id: int, *, deleted: bool) -> None:
        """Mark a meeting as deleted, or as recovered."""
        with self._lock:
            self._db.execute("UPDATE meetings SET deleted=? WHERE id=?", (int(deleted), meeting_id))

    def set_status(self, meeting_id: int, status: str) -> None:
        """Set `waiting` or `started`, and nothing else: people and events are `zoom_day`'s matter."""
        with self._lock:
            self._db.execute("UPDATE meetings SET status=? WHERE id=?", (status, meeting_id))

    def page(
        self, host: str, kind: str, bounds: tuple[str, str], after: tuple[str, int], size: int, lag: float
    ) -> tuple[list[dict[str, Any]], int, bool]:
        """Return one page of a host's list in the order of starts, the number in all, and whether more follow.

        `bounds`: UTC start texts, the second excluded. `lag`: seconds for which a new meeting is not yet listed.
        """
        now = _stamp(self.now())
        condition = {
            "scheduled": "ends > :expired",
            "live": "status = 'started'",
            "upcoming": "ends > :now",
            "upcoming_meetings": "ends > :now",
            "previous_meetings": "ends <= :now",
        }[kind]
        query = (
            "FROM meetings WHERE host=:host AND deleted=0 AND type<>1 AND made <= :settled "
            f"AND start >= :low AND start < :high AND {condition}"
        )
        values = {
            "host": host,
            "now": now,
            "expired": _stamp(self.now() - LINK_EXPIRY),
            "settled": time.time() - lag if lag else 9e12,
            "low": bounds[0],
            "high": bounds[1],
            "start": after[0],
            "id": after[1],
            "size": size + 1,
        }
        with self._lock:
            total = self._db.execute(f"SELECT count(*) {query}", values).fetchone()[0]
            rows = self._db.execute(
                f"SELECT doc {query} AND (start, id) > (:start, :id) ORDER BY start, id LIMIT :size",
                values,
            ).fetchall()
        return [json.loads(row["doc"]) for row in rows[:size]], total, len(rows) > size

    def everything(self) -> Iterator[tuple[str, str, bool, dict[str, Any]]]:
        """Yield host, status, deleted and document of every meeting that was ever created, oldest first."""
        with self._lock:
            rows = self._db.execute("SELECT host, status, deleted, doc FROM meetings ORDER BY made, id").fetchall()
        for row in rows:
            yield row["host"], row["status"], bool(row["deleted"]), json.loads(row["doc"])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _remember(self, name: str, value: str) -> str:
        self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, value))
        return str(self._db.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()["value"])

    def _add_user(self, email: str) -> dict[str, str]:
        email = email.lower()
        number = base64.urlsafe_b64encode(hashlib.sha256(email.encode()).digest())[:22].decode()
        with self._lock:
            self._db.execute("INSERT OR IGNORE INTO users VALUES (?, ?, ?)", (email, number, time.time()))
        return {"id": number, "email": email}


def _stamp(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ends(doc: Mapping[str, Any]) -> str:
    start = datetime.fromisoformat(str(doc["start_time"]))
    return _stamp(start + timedelta(minutes=int(doc["duration"])))


def _dump(doc: Mapping[str, Any]) -> str:
    return json.dumps({k: v for k, v in doc.items() if k not in {"status", "start_url"}}, ensure_ascii=False)
