"""What the stand-in mailbox sends back: a notification (RFC 3464) about mails to addresses that ask for one.

`bounce-hard@…`, `bounce-soft@…`, `bounce-full@…`, `bounce-policy@…`, `bounce-delay@…` and `bounce-text@…`, each also
with anything after another hyphen (`bounce-hard-12@…`): taken by the relay, then returned, as in life.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

_NAME: Final = "mailbox.sandbox.example.jp"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a mail. An empty `action`: it comes back as text that no program can read."""

    action: str
    status: str
    diagnostic: str


FATES: Final[Mapping[str, Fate]] = MappingProxyType(
    {
        "hard": Fate("failed", "5.1.1", "smtp; 550 5.1.1 User unknown"),
        "soft": Fate("failed", "4.4.7", "smtp; 451 4.4.7 Delivery time expired"),
        "full": Fate("failed", "5.2.2", "smtp; 552 5.2.2 Mailbox full"),
        "policy": Fate("failed", "5.7.1", "smtp; 550 5.7.1 Message refused by policy"),
        "delay": Fate("delayed", "4.4.1", "X-Sandbox; connection timed out"),
        "text": Fate("", "", ""),
    }
)
_LOCAL: Final = re.compile(rf"bounce-({'|'.join(FATES)})(?:-[^@]*)?@", re.IGNORECASE)


def fate_of(recipient: str) -> Fate | None:
    """Return what becomes of a mail to an address; None: it stays in the mailbox as any other."""
    found = _LOCAL.match(recipient)
    return FATES[found[1].lower()] if found else None


def write_notification(folder: Path, fate: Fate, recipient: str, content: bytes, now: datetime) -> None:
    """Put a notification about one mail into the folder of bounces, whole or not at all; a Maildir gets it in `new`."""
    target = folder / "new" if (folder / "new").is_dir() else folder
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex}.eml"
    # A name with a dot in front is passed over by every reader of such folders.
    draft = target / f".{name}"
    stream = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(stream, "wb") as file:
        file.write(notification(fate, recipient, content, now))
    draft.rename(target / name)


def notification(fate: Fate, recipient: str, content: bytes, now: datetime) -> bytes:
    """Return the notification as a mail system would write it; the headers of the mail come back with it."""
    boundary = f"sandbox.{uuid.uuid4().hex}"
    head = content.partition(b"\r\n\r\n")[0] + b"\r\n"
    date = format_datetime(now)
    common = (
        f"Return-Path: <>\r\nDate: {date}\r\nFrom: MAILER-DAEMON@{_NAME} (Mail Delivery System)\r\n"
        f"Subject: Undelivered Mail Returned to Sender\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
        f"Message-ID: <{uuid.uuid4().hex}@{_NAME}>\r\n"
    )
    returned = b"Content-Type: text/rfc822-headers\r\n\r\n" + head
    report = (
        f"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; {_NAME}\r\nArrival-Date: {date}\r\n\r\n"
        f"Final-Recipient: rfc822; {recipient}\r\nAction: {fate.action}\r\nStatus: {fate.status}\r\n"
        f"Diagnostic-Code: {fate.diagnostic}\r\n"
    )
    text = "Content-Type: text/plain; charset=us-ascii\r\n\r\nThis mail could not be delivered.\r\n"
    kind = "report; report-type=delivery-status" if fate.action else "mixed"
    parts = [text.encode(), *([report.encode()] if fate.action else []), returned]
    mark = f"--{boundary}".encode()
    body = b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"
    return f'{common}Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\n'.encode() + body
