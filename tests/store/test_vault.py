from __future__ import annotations

import base64
import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from madoguchi.store.database import Database
from madoguchi.store.models import DataKey
from madoguchi.store.vault import MasterKey, Vault, VaultError, open_vault, parse_master_keys, rewrap

NOW = datetime(2026, 9, 14, tzinfo=UTC)
OLD, NEW = MasterKey(b"o" * 32), MasterKey(b"n" * 32)
VAULT = Vault({1: b"k" * 32}, 1, b"i" * 32)


@given(st.text())
def test_what_is_sealed_opens_again_in_its_place(text: str) -> None:
    assert VAULT.open_json(VAULT.seal_json({"name": text}, "client.sealed.1"), "client.sealed.1") == {"name": text}


def test_the_same_value_is_sealed_differently_each_time() -> None:
    assert VAULT.seal(b"x", "a.b.1") != VAULT.seal(b"x", "a.b.1")


def test_a_sealed_value_moved_to_another_row_does_not_open() -> None:
    with pytest.raises(VaultError, match=r"a\.b\.2"):
        VAULT.open(VAULT.seal(b"x", "a.b.1"), "a.b.2")


@pytest.mark.parametrize("damaged", [b"", b"\x01", b"\x02" + b"0" * 40, b"\x01\x00\x00\x00\x09" + b"0" * 40])
def test_a_damaged_value_is_refused_with_its_place(damaged: bytes) -> None:
    with pytest.raises(VaultError, match=r"a\.b\.1"):
        VAULT.open(damaged, "a.b.1")


def test_a_blind_index_is_equal_for_equal_values_and_differs_by_purpose() -> None:
    assert VAULT.index("number", "99999-1") == VAULT.index("number", "99999-1")
    assert VAULT.index("number", "99999-1") != VAULT.index("name", "99999-1")
    assert len(VAULT.index("number", "99999-1")) == 16


def test_keys_are_made_once_and_read_again(database: Database) -> None:
    with database.write() as session:
        sealed = open_vault(session, [OLD], NOW).seal(b"secret", "t.c.1")
    with database.write() as session:
        assert open_vault(session, [OLD], NOW).open(sealed, "t.c.1") == b"secret"


def test_after_rotation_the_old_key_may_go_and_indexes_stay(database: Database) -> None:
    with database.write() as session:
        vault = open_vault(session, [OLD], NOW)
        sealed, index = vault.seal(b"secret", "t.c.1"), vault.index("number", "1")
    with database.write() as session:
        assert rewrap(session, [NEW, OLD]) == 2
        assert rewrap(session, [NEW, OLD]) == 0
    with database.write() as session:
        vault = open_vault(session, [NEW], NOW)
        assert vault.open(sealed, "t.c.1") == b"secret"
        assert vault.index("number", "1") == index


def test_without_the_key_that_wrapped_it_nothing_starts(database: Database) -> None:
    with database.write() as session:
        open_vault(session, [OLD], NOW)
    with pytest.raises(VaultError, match="does not hold"), database.write() as session:
        open_vault(session, [NEW], NOW)


def test_the_record_holds_no_key_in_clear(database: Database) -> None:
    with database.write() as session:
        open_vault(session, [OLD], NOW)
    with database.read() as session:
        for row in session.scalars(select(DataKey)):
            assert row.wrapped_by == OLD.id
            assert OLD.secret not in row.wrapped


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (" , ", "empty"),
        ("short", "key 1 is not 32 bytes"),
        (f"{base64.b64encode(b'a' * 32).decode()},???", "key 2 is not 32 bytes"),
    ],
)
def test_a_key_that_cannot_be_used_is_named_by_its_position_only(text: str, says: str) -> None:
    with pytest.raises(VaultError, match=says):
        parse_master_keys(text)


def test_standard_and_url_safe_base64_are_both_read() -> None:
    secret = bytes(range(224, 256))
    both = f"{base64.b64encode(secret).decode()},{base64.urlsafe_b64encode(secret).decode()}"
    assert {key.secret for key in parse_master_keys(both)} == {secret}


def test_two_first_starts_at_once_share_one_set_of_keys(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(2)]
    vaults: list[Vault] = []

    def start(database: Database) -> None:
        with database.exclusive("start"), database.write() as session:
            vaults.append(open_vault(session, [OLD], NOW))

    threads = [threading.Thread(target=start, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert vaults[0].index("number", "1") == vaults[1].index("number", "1")
    for database in databases:
        database.close()
