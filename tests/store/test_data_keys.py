"""Generations of data keys, with two vaults and with two processes at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from config.settings import ROOT
from madoguchi.store.audit import Act
from madoguchi.store.data_keys import GRACE, begin_generation, destroy, keys_in_use, list_keys, superseded
from madoguchi.store.database import Database
from madoguchi.store.models import Audit, Client, DataKey, Deletion
from madoguchi.store.vault import (
    ERASED,
    RELOAD_SECONDS,
    TRUST_SECONDS,
    Erased,
    Keys,
    MasterKey,
    Vault,
    VaultError,
    open_vault,
    read_keys,
    rewrap,
)

NOW = datetime(2026, 9, 14, tzinfo=UTC)
OLD, NEW = MasterKey(b"o" * 32), MasterKey(b"n" * 32)


def act(at: datetime = NOW) -> Act:
    return Act("office", "flow:test", None, at, at)


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def running(database: Database, ticks: Callable[[], float], masters: list[MasterKey]) -> Vault:
    """A vault as a long-lived process has it."""

    def reload() -> Keys:
        with database.read() as session:
            return read_keys(session, masters)

    with database.write() as session:
        open_vault(session, masters, NOW)
    keys = reload()
    return Vault(keys.data, keys.current, keys.index, reload=reload, ticks=ticks)


def begin(database: Database, at: datetime = NOW, *, monthly: bool = False) -> int | None:
    with database.write() as session:
        return begin_generation(session, [NEW, OLD], act(at), monthly=monthly)


def key_of(sealed: bytes) -> int:
    return int.from_bytes(sealed[1:5], "big")


def test_two_running_vaults_follow_a_new_key_without_a_restart(database: Database) -> None:
    ticks = Ticks()
    writer, reader = (running(database, ticks, [OLD]) for _ in range(2))
    before = writer.seal(b"before", "t.c.1")
    begun = begin(database)
    assert key_of(writer.seal(b"x", "t.c.1")) == key_of(before), "until it looks it seals with what it knows"
    ticks.now += RELOAD_SECONDS + 1
    after = writer.seal(b"after", "t.c.1")
    assert key_of(after) == begun
    ticks.now = 0
    assert [reader.open(one, "t.c.1") for one in (before, after)] == [b"before", b"after"]


def test_master_keys_rotated_under_a_running_vault_change_nothing_for_it(database: Database) -> None:
    ticks, masters = Ticks(), [OLD]
    vault = running(database, ticks, masters)
    sealed, index = vault.seal(b"x", "t.c.1"), vault.index("number", "1")
    with database.write() as session:
        assert rewrap(session, [NEW, OLD]) == 2
    begin(database)
    ticks.now += RELOAD_SECONDS + 1
    assert vault.open(vault.seal(b"y", "t.c.1"), "t.c.1") == b"y", "its settings still name the old key"
    masters[:] = [NEW]
    ticks.now += RELOAD_SECONDS + 1
    assert key_of(vault.seal(b"z", "t.c.1")) > key_of(sealed)
    assert (vault.open(sealed, "t.c.1"), vault.index("number", "1")) == (b"x", index)


def test_a_vault_that_hears_nothing_from_the_record_stops_sealing_after_a_day(database: Database) -> None:
    ticks, masters = Ticks(), [OLD]
    vault = running(database, ticks, masters)
    sealed = vault.seal(b"x", "t.c.1")
    masters[:] = [NEW]
    ticks.now = TRUST_SECONDS - 1
    assert vault.open(vault.seal(b"y", "t.c.1"), "t.c.1") == b"y"
    for later in (1, 2, RELOAD_SECONDS * 2):
        ticks.now = TRUST_SECONDS + later
        with pytest.raises(VaultError, match="start this process again"):
            vault.seal(b"z", "t.c.1")
    assert vault.open(sealed, "t.c.1") == b"x", "what it can open it still opens"
    masters[:] = [OLD]
    ticks.now += RELOAD_SECONDS + 1
    vault.seal(b"z", "t.c.1")


def test_the_day_without_an_answer_is_shorter_than_the_time_a_key_lives_on() -> None:
    assert timedelta(seconds=TRUST_SECONDS) < GRACE


def test_what_was_erased_says_so_and_is_no_damage() -> None:
    with pytest.raises(Erased, match=r"a\.b\.1: erased"):
        Vault({1: b"k" * 32}, 1, b"i" * 32).open(ERASED, "a.b.1")


@pytest.mark.parametrize(
    ("at", "begins"),
    [
        (datetime(2026, 9, 30, 14, 59, tzinfo=UTC), False),
        (datetime(2026, 9, 30, 15, 0, tzinfo=UTC), True),
        (datetime(2026, 8, 1, tzinfo=UTC), False),
    ],
)
def test_a_new_key_begins_with_the_month_in_japan_and_once(database: Database, at: datetime, begins: bool) -> None:
    running(database, Ticks(), [OLD])
    assert (begin(database, at, monthly=True) is not None) == begins
    assert begin(database, at, monthly=True) is None
    with database.read() as session:
        assert sum(row.in_use for row in list_keys(session)) == 2


def test_a_key_is_destroyed_when_nothing_is_sealed_with_it_and_not_before(database: Database) -> None:
    vault = running(database, Ticks(), [OLD])
    sealed = vault.seal(b"who", "client.sealed_personal.c")
    with database.write() as session:
        session.add(Client(id="c", office="office", number_index=b"n", sealed_personal=sealed, created_at=NOW))
    begin(database)
    old, later = key_of(sealed), NOW + GRACE
    with database.read() as session:
        assert superseded(session, later - timedelta(seconds=1)) == []
        assert (superseded(session, later), keys_in_use(session)) == ([old], {old})
    with pytest.raises(VaultError, match="still seals"), database.write() as session:
        destroy(session, act(), old)
    with database.write() as session:
        assert not destroy(session, act(later), old)
        session.scalars(select(Client)).one().sealed_personal = ERASED
        session.flush()
        assert not destroy(session, act(later), old, kept={old})
        assert destroy(session, act(later), old)
        assert not destroy(session, act(later), old), "a second time is nothing"
    with database.read() as session:
        row = session.get_one(DataKey, old)
        assert (bytes(row.wrapped), row.destroyed_at) == (b"", later)
        assert [(one.record_class, one.row_id, one.action) for one in session.scalars(select(Deletion))] == [
            ("data_key", str(old), "destroyed")
        ]
        assert [one.action for one in session.scalars(select(Audit))] == ["begun", "destroyed"]
        fresh = read_keys(session, [OLD])
    with pytest.raises(VaultError, match="not in the record"):
        Vault(fresh.data, fresh.current, fresh.index).open(sealed, "client.sealed_personal.c")
    with database.write() as session:
        assert rewrap(session, [NEW, OLD]) == 2, "a destroyed key is not wrapped again"


CHILD = """
import sys
from madoguchi.store.database import Database
from madoguchi.store.vault import MasterKey, Vault, read_keys
database = Database(sys.argv[1])
def reload():
    with database.read() as session:
        return read_keys(session, [MasterKey(b"o" * 32)])
keys = reload()
vault = Vault(keys.data, keys.current, keys.index, reload=reload)
print(keys.current, flush=True)
for line in sys.stdin:
    print(vault.open(bytes.fromhex(line), "t.c.1").decode(), flush=True)
"""


def test_another_process_opens_what_was_sealed_with_a_key_younger_than_itself(
    database: Database, database_url: str
) -> None:
    ticks = Ticks()
    vault = running(database, ticks, [OLD])
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, database_url], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        first = int(child.stdout.readline())
        assert begin(database) != first
        ticks.now += RELOAD_SECONDS + 1
        sealed = vault.seal("窓口".encode(), "t.c.1")
        assert key_of(sealed) != first
        child.stdin.write(sealed.hex() + "\n")
        child.stdin.flush()
        assert child.stdout.readline().strip() == "窓口"
    finally:
        child.stdin.close()
        child.stdout.close()
        child.wait(20)
