"""Mail addresses: cleaned, and looked at for the mistakes that a syntax check lets pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Final

from madoguchi.domain.application import Flag, Reason
from madoguchi.domain.form_values.text import Cell, Reading, cell_text, folded, says_nothing

_BETWEEN: Final = re.compile(r"[\s、,;/]+")
_LOCAL: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")

# No such top-level domains exist; all are slips of com, net and jp.
_SLIPPED_ENDINGS: Final = frozenset(
    [
        "con",
        "cmo",
        "ocm",
        "cim",
        "vom",
        "xom",
        "cpm",
        "comm",
        "coom",
        "conm",
        "c0m",
        "ner",
        "nett",
        "nte",
        "ent",
        "nrt",
        "jpp",
        "jpn",
        "jq",
        "jl",
        "ojp",
        "cojp",
        "nejp",
    ]
)
_SLIPPED_PAIRS: Final = ("co.jo", "ne.jo", "co.lp", "ne.lp", "co.hp", "ne.hp", "cp.jp", "nr.jp", "co.jp.jp")
_SUFFIXES: Final = ("co.jp", "ne.jp", "or.jp", "ac.jp", "go.jp", "jp", "com", "net", "org")
# Real services whose names are one slip from, or share the brand of, a known one.
_REAL: Final = frozenset(
    [
        "yahoo.com",
        "outlook.com",
        "mail.com",
        "email.com",
        "ymail.com",
        "ymail.ne.jp",
        "me.com",
        "mac.com",
        "hotmail.com",
        "hotmail.co.jp",
        "live.jp",
        "softbank.jp",
        "docomo-net.jp",
    ]
)


def read_mail_address(  # noqa: PLR0911 — one return for each way to be wrong
    cell: Cell, *, known_domains: Collection[str], address_is_valid: Callable[[str], bool]
) -> Reading[str]:
    """Read one address: folded, trimmed, an ideographic full stop as a dot, the domain in lower case (Art. 6(2)).

    The local part keeps its case; inner spaces are never closed up. `known_domains` are common providers against
    which slips are found; `address_is_valid` is the syntax check. No address given is an empty reading: whether
    that matters depends on the telephone. Says nothing about whether mail arrives.
    """
    raw = cell_text(cell)
    text = folded(raw).replace("。", ".")
    if says_nothing(text):
        return Reading()
    if text.count("@") > 1 and sum("@" in part for part in _BETWEEN.split(text)) > 1:
        return _doubtful(None, Reason.EMAIL_MULTIPLE)
    local, at, domain = text.rpartition("@")
    if not at or "@" in local or not _LOCAL.fullmatch(local) or any(char.isspace() for char in domain):
        return _doubtful(None, Reason.EMAIL_INVALID)
    domain = domain.lower()
    address = f"{local}@{domain}"
    if ".." in local or local.startswith(".") or local.endswith("."):
        return _doubtful(address, Reason.EMAIL_NON_RFC)
    if not address_is_valid(address):
        return _doubtful(None, Reason.EMAIL_INVALID)
    if domain not in known_domains and looks_slipped(domain, frozenset(known_domains)):
        return _doubtful(address, Reason.EMAIL_SUSPECT_TYPO)
    return Reading(address, (), (Flag.EMAIL_NORMALISED,) if address != raw else ())


def _doubtful(address: str | None, reason: Reason) -> Reading[str]:
    return Reading(address, (reason,), (Flag.EMAIL_DOUBTFUL,))


@lru_cache(maxsize=4096)
def looks_slipped(domain: str, known: frozenset[str]) -> bool:
    """Tell whether a lower-case domain looks like a slip of a known provider.

    Such are an ending that does not exist, the provider's name with another ending, and one letter's difference.
    """
    if domain in known or domain in _REAL:
        return False
    if domain.rpartition(".")[2] in _SLIPPED_ENDINGS or domain.endswith(_SLIPPED_PAIRS):
        return True
    brand = _brand(domain)
    for other in known:
        name = _brand(other)
        if name is not None and (brand == name or (len(name) >= 4 and _one_slip(domain, other))):
            return True
    return False


def _brand(domain: str) -> str | None:
    for suffix in _SUFFIXES:
        if domain.endswith("." + suffix):
            return domain[: -len(suffix) - 1].rpartition(".")[2]
    return None


def _one_slip(left: str, right: str) -> bool:
    """Tell whether one letter added, left out, changed, or two neighbours swapped turn one into the other."""
    if len(left) > len(right):
        left, right = right, left
    if len(right) - len(left) > 1 or left == right:
        return False
    start = next((i for i, char in enumerate(left) if char != right[i]), len(left))
    if len(left) < len(right):
        return left[start:] == right[start + 1 :]
    swapped = left[start : start + 2] == right[start : start + 2][::-1] and left[start + 2 :] == right[start + 2 :]
    return swapped or left[start + 1 :] == right[start + 1 :]
