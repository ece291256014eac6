"""Bounces in the record, and addresses to which no mail goes any more. Addresses stand here by blind index only."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from madoguchi.domain.bounce import normalised_address
from madoguchi.store.models import BlockedAddress
from madoguchi.store.vault import Vault

_PURPOSE = "mail-address"


def address_index(vault: Vault, address: str) -> bytes:
    """Return the blind index of a mail address: equal for spellings that lead to the same mailbox, as far as we know.

    Full-width letters, capitals and the quotes of a quoted local part make no difference.
    """
    return vault.index(_PURPOSE, normalised_address(address))


def blocked(session: Session, office: str) -> frozenset[bytes]:
    """Return the blind indexes of all addresses of an office to which no mail goes at the moment."""
    return frozenset(
        session.scalars(
            select(BlockedAddress.address_index).where(
                BlockedAddress.office == office, BlockedAddress.lifted_at.is_(None)
            )
        )
    )
