"""Encryption of personal columns, and blind indexes to find them by.

Keys of MADOGUCHI_ENCRYPTION_KEYS never touch data: they wrap data keys that lie in table `data_key`. Rotation
wraps those again under the new key, so that the blind indexes stay valid and nothing has to be rewritten at once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select
from sqlalchemy.orm import Session

from madoguchi.store.models import DataKey
from madoguchi.store.types import json_default

_VERSION = b"\x01"
_NONCE = 12
_INDEX_BYTES = 16


class VaultError(Exception):
    """A key is missing or wrong, or a sealed value does not belong where it lies. Names no content."""


@dataclass(frozen=True)
class MasterKey:
    """A key from the settings; its id is derived, so that settings hold nothing but the key."""

    secret: bytes

    @property
    def id(self) -> str:
        """Eight hexadecimal digits of the key's hash: safe to show."""
        return hashlib.sha256(b"madoguchi master key" + self.secret).hexdigest()[:8]


def parse_master_keys(text: str) -> tuple[MasterKey, ...]:
    """Return the keys of a comma-separated list of base64 (url-safe or standard) 32-byte keys; the first one wraps.

    Raises VaultError naming the position of a key that cannot be read, never the key.
    """
    keys = []
    for position, part in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        try:
            secret = base64.b64decode(part.replace("-", "+").replace("_", "/") + "=" * (-len(part) % 4), validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if len(secret) != 32:
            raise VaultError(
                f"MADOGUCHI_ENCRYPTION_KEYS: key {position} is not 32 bytes in base64; "
                "make one with `madoguchi keys new`"
            )
        keys.append(MasterKey(secret))
    if not keys:
        raise VaultError("MADOGUCHI_ENCRYPTION_KEYS is empty; make a key with `madoguchi keys new`")
    return tuple(keys)


class Vault:
    """Seals and opens personal values, and computes blind indexes. Thread-safe; holds keys in memory only."""

    def __init__(self, data_keys: Mapping[int, bytes], current: int, index_key: bytes) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in data_keys.items()}
        self._current = current
        self._prefix = _VERSION + current.to_bytes(4, "big")
        self._index_key = index_key

    def seal(self, plain: bytes, where: str) -> bytes:
        """Return `plain` encrypted for one place (`table.column.row id`); moved elsewhere it does not open."""
        nonce = os.urandom(_NONCE)
        return self._prefix + nonce + self._ciphers[self._current].encrypt(nonce, plain, where.encode())

    def open(self, sealed: bytes, where: str) -> bytes:
        """Return what was sealed for `where`; VaultError for an unknown key or a value from another place."""
        if sealed[:1] != _VERSION or len(sealed) < 5 + _NONCE:
            raise VaultError(f"{where}: not a sealed value")
        cipher = self._ciphers.get(int.from_bytes(sealed[1:5], "big"))
        if cipher is None:
            raise VaultError(f"{where}: sealed with a data key that is not in the record")
        try:
            return cipher.decrypt(sealed[5 : 5 + _NONCE], sealed[5 + _NONCE :], where.encode())
        except InvalidTag:
            raise VaultError(f"{where}: the sealed value was changed or belongs elsewhere") from None

    def seal_json(self, value: Any, where: str) -> bytes:
        """Seal a JSON value."""
        return self.seal(json.dumps(value, ensure_ascii=False, default=json_default).encode(), where)

    def open_json(self, sealed: bytes, where: str) -> Any:
        """Open what `seal_json` sealed."""
        return json.loads(self.open(sealed, where))

    def index(self, purpose: str, value: str) -> bytes:
        """Return the blind index of a value: equal values give equal bytes; without the key it tells nothing else."""
        return hmac.digest(self._index_key, f"{purpose}\x00{value}".encode(), "sha256")[:_INDEX_BYTES]


def open_vault(session: Session, masters: Sequence[MasterKey], now: datetime) -> Vault:
    """Return the vault of this database; on an empty one make its data keys first (the caller commits).

    Raises VaultError when a data key is wrapped by a master key that the settings no longer hold.
    """
    rows = session.scalars(select(DataKey).order_by(DataKey.generation)).all()
    if not rows:
        rows = [
            DataKey(purpose=purpose, generation=1, created_at=now, **_wrap(masters[0], purpose, 1, os.urandom(32)))
            for purpose in ("data", "index")
        ]
        session.add_all(rows)
        session.flush()
    known = {master.id: master for master in masters}
    data = {row.id: _unwrap(known, row) for row in rows if row.purpose == "data"}
    index = [_unwrap(known, row) for row in rows if row.purpose == "index"]
    return Vault(data, max(data), index[0])


def rewrap(session: Session, masters: Sequence[MasterKey]) -> int:
    """Wrap every data key under the first master key again and return how many changed; the caller commits."""
    known = {master.id: master for master in masters}
    changed = 0
    for row in session.scalars(select(DataKey)):
        if row.wrapped_by != masters[0].id:
            fresh = _wrap(masters[0], row.purpose, row.generation, _unwrap(known, row))
            row.wrapped_by, row.wrapped = fresh["wrapped_by"], fresh["wrapped"]
            changed += 1
    return changed


def _wrap(master: MasterKey, purpose: str, generation: int, key: bytes) -> dict[str, Any]:
    nonce = os.urandom(_NONCE)
    place = f"data_key.{purpose}.{generation}".encode()
    return {"wrapped_by": master.id, "wrapped": nonce + AESGCM(master.secret).encrypt(nonce, key, place)}


def _unwrap(known: Mapping[str, MasterKey], row: DataKey) -> bytes:
    master = known.get(row.wrapped_by)
    if master is None:
        raise VaultError(
            f"data key {row.id} is wrapped by master key {row.wrapped_by}, which MADOGUCHI_ENCRYPTION_KEYS "
            "does not hold: add that key to the list again"
        )
    place = f"data_key.{row.purpose}.{row.generation}".encode()
    try:
        return AESGCM(master.secret).decrypt(row.wrapped[:_NONCE], row.wrapped[_NONCE:], place)
    except InvalidTag:
        raise VaultError(f"data key {row.id} cannot be unwrapped: the record was changed") from None
