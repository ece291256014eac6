"""What a delivery status notification means: hard, soft, policy or merely told, by tables (RFC 3463, RFC 3464)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

SOFT_LIMIT: Final = 5
"""So many soft bounces of one address, no two of one message, count as a hard one."""
SOFT_WINDOW_DAYS: Final = 30
"""Within so many days."""

_MAX_CODE: Final = 16


class BounceKind(StrEnum):
    """What a notification means for the address; the values stand in the record."""

    HARD = "hard"
    """The address does not exist or takes no mail: no more goes there, and the person is called."""
    SOFT = "soft"
    """Perhaps another time: a full mailbox, a server that is down."""
    POLICY = "policy"
    """The mail was refused for what it is or where it comes from: our own matter, not the address's."""
    TOLD = "told"
    """No bounce: the mail arrived or was passed on."""
    UNKNOWN = "unknown"
    """Came back without saying why: a person looks."""


class Action(StrEnum):
    """The field Action of RFC 3464, 2.3.3; `unknown` for a mail that came back without a report."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"
    UNKNOWN = "unknown"


CAME_BACK: Final = frozenset({Action.FAILED, Action.UNKNOWN})
"""After these nobody can say that the recipient was told."""


@dataclass(frozen=True, slots=True)
class Notified:
    """What one notification says about one recipient. Addresses stay out of `repr`.

    `status`: the code of RFC 3463, `5.1.1`, or empty. `reply`: the three digits of the SMTP reply, or empty.
    `is_about_sender`: the diagnostic text says so (`speaks_of_sender`). `recipient`: as the reporting system writes it,
    `original`: as the sender had written it; either may be empty.
    """

    action: Action
    status: str = ""
    reply: str = ""
    is_about_sender: bool = False
    recipient: str = field(default="", repr=False)
    original: str = field(default="", repr=False)


_ENDED: Final[Mapping[Action, BounceKind]] = MappingProxyType(
    {
        Action.DELIVERED: BounceKind.TOLD,
        Action.RELAYED: BounceKind.TOLD,
        Action.EXPANDED: BounceKind.TOLD,
        Action.DELAYED: BounceKind.SOFT,
    }
)
"""Actions that say enough by themselves: a delay is soft, whatever code a system writes beside it."""

BY_STATUS: Final[Mapping[str, BounceKind]] = MappingProxyType(
    {
        "5.1.0": BounceKind.HARD,
        # The sender's address, and what the mail is: neither says anything about the recipient's.
        "5.1.7": BounceKind.POLICY,
        "5.1.8": BounceKind.POLICY,
        "5.1.9": BounceKind.POLICY,
        "5.1.": BounceKind.HARD,
        "5.2.1": BounceKind.HARD,
        # Full, too long, a list's trouble: tomorrow it may be another thing.
        "5.2.": BounceKind.SOFT,
        "5.3.4": BounceKind.POLICY,
        "5.3.": BounceKind.SOFT,
        "5.4.4": BounceKind.HARD,
        # Exchange: the domain does not exist.
        "5.4.310": BounceKind.HARD,
        # Null MX of the domain is 5.1.10; 5.4.1 is what Exchange says of an unknown recipient and others of a timeout.
        "5.4.": BounceKind.SOFT,
        "5.5.": BounceKind.POLICY,
        "5.6.": BounceKind.POLICY,
        "5.7.": BounceKind.POLICY,
        "4.": BounceKind.SOFT,
    }
)
"""By the longest beginning of the status code that stands here; what does not stand here goes by the SMTP reply."""

BY_REPLY: Final[Mapping[str, BounceKind]] = MappingProxyType(
    {
        "4": BounceKind.SOFT,
        "550": BounceKind.HARD,
        "551": BounceKind.HARD,
        "552": BounceKind.SOFT,
        "553": BounceKind.HARD,
        "554": BounceKind.POLICY,
        "5": BounceKind.SOFT,
        "2": BounceKind.TOLD,
    }
)
"""By the longest beginning of the SMTP reply (RFC 5321, 4.2.3), where no status code says more."""

_STATUS: Final = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?!\.?\d)")
_REPLY: Final = re.compile(r"(?:^|[;:\s])([245][0-5]\d)(?=[\s\-;:]|$)")
_SENDER_WORDS: Final = re.compile(
    r"spam|blacklist|blocklist|block list|blocked|listed (?:at|in|by)|reputation|policy|dmarc|\bspf\b|\bdkim\b|"
    r"unsolicited|rate limit|too many|temporarily deferred|sender (?:address )?rejected|authentication",
    re.IGNORECASE,
)


def kind_of(said: Notified) -> BounceKind:
    """Return what a notification means. Never hard or policy on a guess: what fails without a reason is unknown."""
    by_action = _ENDED.get(said.action)
    if by_action is not None:
        return by_action
    # `x.0.0` says no more than failed or not yet: the SMTP reply may know better.
    if said.status and not said.status.endswith(".0.0"):
        found = _longest(BY_STATUS, said.status)
        if found is not None:
            return found
    if said.reply.startswith("5") and said.is_about_sender:
        return BounceKind.POLICY
    if said.reply:
        found = _longest(BY_REPLY, said.reply)
        if found is not None:
            return found
    return BounceKind.SOFT if said.status.startswith("4.") else BounceKind.UNKNOWN


def _longest(table: Mapping[str, BounceKind], code: str) -> BounceKind | None:
    # A key with a dot at its end stands for all codes below it, any other for that code alone; replies go by digits.
    for length in range(len(code), 0, -1):
        key = code[:length]
        if key in table and (length == len(code) or key.endswith(".") or "." not in code):
            return table[key]
    return None


def read_status(text: str) -> str:
    """Return the first status code (`5.1.1`) of a field, or nothing."""
    found = _STATUS.search(text)
    return f"{found[1]}.{int(found[2])}.{int(found[3])}"[:_MAX_CODE] if found else ""


def read_reply(text: str) -> str:
    """Return the first SMTP reply code (`550`) of a diagnostic text, or nothing."""
    found = _REPLY.search(text)
    return found[1] if found else ""


def read_action(text: str) -> Action:
    """Return the action that a field names; `unknown` for anything that RFC 3464 does not know."""
    word = text.strip().split(" ")[0].lower()
    return Action(word) if word in set(Action) else Action.UNKNOWN


def normalised_address(address: str) -> str:
    """Return an address in the form in which two spellings of one mailbox are equal.

    Folded to half width, trimmed, without the angle brackets and quotes that mail systems add, in small letters: the
    local part too, because systems on the way change its case and none of those that matter here tells `A` from `a`.
    """
    text = unicodedata.normalize("NFKC", address).strip().strip("<>").strip()
    local, at, domain = text.rpartition("@")
    if not at:
        return text.casefold()
    if len(local) > 1 and local.startswith('"') and local.endswith('"'):
        local = local[1:-1].replace("\\", "")
    return f"{local}@{domain.rstrip('.')}".casefold()


def speaks_of_sender(diagnostic: str) -> bool:
    """Tell whether a refusal is about where a mail comes from or what it is, not about its recipient's address.

    Carriers refuse a whole sender with a bare 550: taken for an unknown user, that would block everybody there.
    """
    return _SENDER_WORDS.search(diagnostic) is not None
