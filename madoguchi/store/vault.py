"""Encryption of personal columns, and blind indexes to find them by.

Keys of MADOGUCHI_ENCRYPTION_KEYS never touch data: they wrap data keys that lie in table `data_key`. Rotation
wraps those again under the new key, so that the blind indexes stay valid and nothing has to be rewritten at once.
Data keys come in generations (`store/data_keys.py`); every sealed value names the one that it was sealed with.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select
from sqlalchemy.orm import Session

from madoguchi.store.models import DataKey
from madoguchi.store.types import json_default

_VERSION = b"\x01"
_NONCE = 12
_INDEX_BYTES = 16

ERASED: Final = b"\x00"
"""Stands in a sealed column whose content was erased when its time was over."""
RELOAD_SECONDS: Final = 300.0
"""A process that seals looks this often for a newer data key, so that the older one ends some day."""
TRUST_SECONDS: Final = 24 * 3600.0
"""So long a process may seal without hearing from the record: shorter than a key lives on after a newer one began."""

log = logging.getLogger(__name__)


class VaultError(Exception):
    """A key is missing or wrong, or a sealed value does not belong where it lies. Names no content."""


class Erased(VaultError):  # noqa: N818 — named by what happened
    """The value was erased when its time was over; nothing is wrong."""


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


@dataclass(frozen=True)
class Keys:
    """The unwrapped keys of one reading of the record: data keys by row id, the one that seals, the index key."""

    data: Mapping[int, bytes]
    current: int
    index: bytes


class Vault:
    """Seals and opens personal values, and computes blind indexes. Thread-safe; holds keys in memory only.

    With `reload` it follows the record while it runs: an unknown data key is looked for there before a value is called
    unreadable, and a newer one is taken up for sealing within RELOAD_SECONDS. `ticks`: any clock in seconds that goes
    on while the machine sleeps.
    """

    def __init__(
        self,
        data_keys: Mapping[int, bytes],
        current: int,
        index_key: bytes,
        *,
        reload: Callable[[], Keys] | None = None,
        ticks: Callable[[], float] = time.time,
    ) -> None:
        self._index_key = index_key
        self._reload, self._ticks = reload, ticks
        self._reloading = threading.Lock()
        self._take(Keys(data_keys, current, index_key))

    def _take(self, keys: Keys) -> None:
        ciphers = {key_id: AESGCM(key) for key_id, key in keys.data.items()}
        # One assignment: another thread sees the old keys or the new ones, never half of each.
        self._ring = (_VERSION + keys.current.to_bytes(4, "big"), ciphers[keys.current], ciphers)
        self._looked_at = self._confirmed_at = self._ticks()

    def seal(self, plain: bytes, where: str) -> bytes:
        """Return `plain` encrypted for one place (`table.column.row id`); moved elsewhere it does not open."""
        if self._reload is not None:
            self._follow()
        prefix, cipher, _ = self._ring
        nonce = os.urandom(_NONCE)
        return prefix + nonce + cipher.encrypt(nonce, plain, where.encode())

    def _follow(self) -> None:
        """Follow the record; without an answer go on for a while with what is known, then seal nothing more."""
        now = self._ticks()
        # The clock may have been set back: any jump is a reason to look.
        if abs(now - self._looked_at) > RELOAD_SECONDS:
            try:
                self.refresh()
            except Exception as error:  # noqa: BLE001 — whatever it is: what counts is for how long there was no answer
                self._looked_at = now
                log.warning("the data keys could not be read anew: %s", type(error).__name__)
        if abs(now - self._confirmed_at) > TRUST_SECONDS:
            raise VaultError(
                "the data keys of the record could not be read for a day: start this process again with the "
                "present MADOGUCHI_ENCRYPTION_KEYS"
            )

    def refresh(self) -> None:
        """Read the keys of the record again; VaultError when they cannot be unwrapped with the present settings."""
        if self._reload is not None:
            with self._reloading:
                self._take(self._reload())

    def open(self, sealed: bytes, where: str) -> bytes:
        """Return what was sealed for `where`.

        Erased when it was erased; VaultError for an unknown key or a value from another place.
        """
        if sealed == ERASED:
            raise Erased(f"{where}: erased, its time was over")
        if sealed[:1] != _VERSION or len(sealed) < 5 + _NONCE:
            raise VaultError(f"{where}: not a sealed value")
        cipher = self._cipher(int.from_bytes(sealed[1:5], "big"))
        if cipher is None:
            raise VaultError(f"{where}: sealed with a data key that is not in the record")
        try:
            return cipher.decrypt(sealed[5 : 5 + _NONCE], sealed[5 + _NONCE :], where.encode())
        except InvalidTag:
            raise VaultError(f"{where}: the sealed value was changed or belongs elsewhere") from None

    def _cipher(self, key_id: int) -> AESGCM | None:
        found = self._ring[2].get(key_id)
        if found is None and self._reload is not None:
            self.refresh()
            found = self._ring[2].get(key_id)
        return found

    def seal_json(self, value: Any, where: str) -> bytes:
        """Seal a JSON value."""
        return self.seal(json.dumps(value, ensure_ascii=False, default=json_default).encode(), where)

    def open_json(self, sealed: bytes, where: str) -> Any:
        """Open what `seal_json` sealed."""
        return json.loads(self.open(sealed, where))

    def index(self, purpose: str, value: str) -> bytes:
        """Return the blind index of a value: equal values give equal bytes; without the key it tells nothing else."""
        return hmac.digest(self._index_key, f"{purpose}\x00{value}".encode(), "sha256")[:_INDEX_BYTES]


def open_vault(
    session: Session,
    masters: Sequence[MasterKey],
    now: datetime,
    *,
    reload: Callable[[], Keys] | None = None,
) -> Vault:
    """Return the vault of this database; on an empty one make its data keys first (the caller commits).

    `reload`: how a long-lived process reads the keys again, usually `read_keys` in a session of its own.
    Raises VaultError when a data key is wrapped by a master key that the settings no longer hold.
    """
    if session.scalar(select(DataKey.id).limit(1)) is None:
        session.add_all(
            DataKey(purpose=purpose, generation=1, created_at=now, **wrap(masters[0], purpose, 1, os.urandom(32)))
            for purpose in ("data", "index")
        )
        session.flush()
    keys = read_keys(session, masters)
    return Vault(keys.data, keys.current, keys.index, reload=reload)


def read_keys(session: Session, masters: Sequence[MasterKey]) -> Keys:
    """Return the living keys of the record; VaultError as of `open_vault`."""
    known = {master.id: master for master in masters}
    rows = session.scalars(select(DataKey).where(DataKey.destroyed_at.is_(None)).order_by(DataKey.generation)).all()
    data = {row.id: unwrap(known, row) for row in rows if row.purpose == "data"}
    index = [unwrap(known, row) for row in rows if row.purpose == "index"]
    newest = max((row for row in rows if row.purpose == "data"), key=lambda row: row.generation)
    return Keys(data, newest.id, index[0])


def rewrap(session: Session, masters: Sequence[MasterKey]) -> int:
    """Wrap every living data key under the first master key again and return how many changed; the caller commits."""
    known = {master.id: master for master in masters}
    changed = 0
    for row in session.scalars(select(DataKey).where(DataKey.destroyed_at.is_(None)).with_for_update()):
        if row.wrapped_by != masters[0].id:
            fresh = wrap(masters[0], row.purpose, row.generation, unwrap(known, row))
            row.wrapped_by, row.wrapped = fresh["wrapped_by"], fresh["wrapped"]
            changed += 1
    return changed


def wrap(master: MasterKey, purpose: str, generation: int, key: bytes) -> dict[str, Any]:
    """Return the columns `wrapped_by` and `wrapped` of a data key."""
    nonce = os.urandom(_NONCE)
    place = f"data_key.{purpose}.{generation}".encode()
    return {"wrapped_by": master.id, "wrapped": nonce + AESGCM(master.secret).encrypt(nonce, key, place)}


def unwrap(known: Mapping[str, MasterKey], row: DataKey) -> bytes:
    """Return a data key in clear; VaultError when its master key is not known or the row was changed."""
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
