"""Syntax of mail addresses, by email-validator; asks no name server."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from email_validator import EmailNotValidError, validate_email

_PLAIN_LOCAL: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


def is_valid_address(address: str) -> bool:
    """Tell whether mail can be addressed so: ASCII local part up to 64 characters, a domain that may exist.

    Refuses special-use domains such as `.invalid`. Lets typing slips pass (`.con`), and says nothing about whether
    anybody reads mail there. Domains are remembered: most addresses of a file share a few.
    """
    local, _, domain = address.rpartition("@")
    if len(local) <= 64 and len(address) <= 254 and _PLAIN_LOCAL.fullmatch(local):
        return _is_valid("a@" + domain)
    return False


@lru_cache(maxsize=8192)
def _is_valid(address: str) -> bool:
    try:
        validate_email(address, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError:
        return False
    return True
