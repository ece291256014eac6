"""What comes back by mail: delivery status notifications (RFC 3464), read with the distrust that strangers' mail needs.

Only bytes in, values out. Addresses in them are personal: they stay out of `repr`, logs and exception texts.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from email import policy
from email.errors import CloseBoundaryNotFoundDefect
from email.message import Message
from email.parser import BytesParser, HeaderParser
from email.utils import parseaddr, parsedate_to_datetime
from enum import StrEnum

from madoguchi.domain.bounce import Action, Notified, read_action, read_reply, read_status, speaks_of_sender

MAX_BYTES = 5 * 1024 * 1024
"""A mail of ours that came back is twenty kilobytes; more than this is not read."""
MAX_RECIPIENTS = 200
_DELIVERY = frozenset({"message/delivery-status", "message/global-delivery-status"})
_RETURNED = frozenset({"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"})
_KNOWN_HEADERS = ("From", "Date", "Received", "Message-ID", "Content-Type", "Return-Path", "Subject", "To")
_MAILER_NAMES = re.compile(r"(?:mailer|mail)[-_.]?daemon|postmaster|no-?reply-?mailer|maildelivery", re.IGNORECASE)
_NOTICES_OF_OURS = ("Original-Envelope-Id", "X-Original-Message-ID", "X-Original-Message-Id")
_THREAD = ("In-Reply-To", "References", "X-Original-Message-ID")


class NotAMailError(ValueError):
    """Bytes that cannot be read as a mail. The text is a code; it never holds content."""


class Sort(StrEnum):
    """What a mail in the folder of bounces is."""

    REPORT = "report"
    """A delivery status notification."""
    RETURNED = "returned"
    """A mail system's own words, without the part that programs can read."""
    AUTO_REPLY = "auto_reply"
    """Holidays and the like; the mail arrived."""
    OTHER = "other"
    """Written by a person, a receipt, a complaint: a person's matter."""


@dataclass(frozen=True, slots=True)
class ReadMail:
    """One mail of the folder.

    `identity`: the same however often it is read. `original`: the id of the outbox message that its Message-ID names,
    None if there is none of ours. `said`: one for each recipient of a report; empty for what is no bounce.
    `sent_at`: as it says itself, aware, None without a date. `is_whole`: False when its end is missing.
    """

    sort: Sort
    identity: str
    original: str | None = None
    said: tuple[Notified, ...] = ()
    sent_at: datetime | None = None
    is_whole: bool = True


def read_notification(content: bytes, mail_domain: str) -> ReadMail:
    """Return what a mail is and, of a bounce, what it says about whom. `mail_domain`: of our Message-IDs.

    Trusts nothing: who mails a notification is not looked at, and what follows from it is for the caller to decide.
    Raises NotAMailError with a code for what is no mail, too big, or names more than 200 recipients.
    """
    if len(content) > MAX_BYTES:
        raise NotAMailError("TOO_BIG")
    try:
        # Not the modern policy: it raises on headers that broken systems write.
        mail = BytesParser(policy=policy.compat32).parsebytes(content)
        return _read(mail, content, mail_domain)
    except NotAMailError:
        raise
    except (RecursionError, LookupError, ValueError, TypeError, AttributeError, AssertionError):
        # The cause would quote the mail.
        raise NotAMailError("NOT_READABLE") from None


def _read(mail: Message, content: bytes, mail_domain: str) -> ReadMail:
    if not any(mail[name] for name in _KNOWN_HEADERS):
        raise NotAMailError("NO_MAIL")
    ours = _Ours(mail_domain)
    found = ReadMail(
        sort=Sort.OTHER,
        identity=_identity(mail, content),
        sent_at=_date(mail),
        is_whole=not any(isinstance(defect, CloseBoundaryNotFoundDefect) for defect in mail.defects),
    )
    reports = [part for part in _parts(mail) if part.get_content_type() in _DELIVERY]
    is_report = mail.get_content_type() == "multipart/report" and _report_type(mail) in {"", "delivery-status"}
    if reports and (is_report or _is_from_mailer(mail)):
        groups = [block for part in reports for block in _blocks(part)]
        said = tuple(_notified(group) for group in groups if _is_recipient(group))
        if len(said) > MAX_RECIPIENTS:
            raise NotAMailError("TOO_MANY_RECIPIENTS")
        original = _original(mail, groups, ours)
        return replace(found, sort=Sort.REPORT, original=original, said=said or (Notified(Action.UNKNOWN),))
    if is_report or _is_from_mailer(mail):
        original = _original(mail, [], ours)
        failed = _text(mail["X-Failed-Recipients"]).split(",")[0].strip()
        return replace(found, sort=Sort.RETURNED, original=original, said=(Notified(Action.UNKNOWN, recipient=failed),))
    return replace(found, sort=Sort.AUTO_REPLY) if _is_auto_reply(mail) else found


class _Ours:
    """Finds Message-IDs of ours: `<32 hexadecimal digits@mail domain>`."""

    def __init__(self, mail_domain: str) -> None:
        self._full = re.compile(rf"\b([0-9a-f]{{32}})@{re.escape(mail_domain)}\b", re.IGNORECASE)

    def find(self, text: str) -> str | None:
        found = self._full.search(text)
        return found[1].lower() if found else None


def _original(mail: Message, groups: list[Message], ours: _Ours) -> str | None:
    """Return which message of ours came back: by the returned mail, else by the report's fields, else by the thread."""
    for returned in _returned(mail):
        # The first mail inside is the one that came back; what that one may quote is somebody else's.
        found = ours.find(_text(returned["Message-ID"]))
        if found:
            return found
        break
    for group in groups:
        for name in _NOTICES_OF_OURS:
            if found := ours.find(_text(group[name])):
                return found
    for name in _THREAD:
        if found := ours.find(_text(mail[name])):
            return found
    return None


def _parts(mail: Message) -> Iterator[Message]:
    """Give a mail and its parts, but nothing of a mail that lies inside: a notification may have come back itself."""
    yield mail
    payload = mail.get_payload()
    if mail.get_content_maintype() == "multipart" and isinstance(payload, list):
        for part in payload:
            if isinstance(part, Message):
                yield from _parts(part)


def _returned(mail: Message) -> Iterator[Message]:
    for part in _parts(mail):
        if part is mail or part.get_content_type() not in _RETURNED:
            continue
        payload = part.get_payload()
        if isinstance(payload, list) and payload and isinstance(payload[0], Message):
            yield payload[0]
        else:
            yield HeaderParser(policy=policy.compat32).parsestr(_body(part).lstrip("\r\n"))


def _blocks(part: Message) -> list[Message]:
    """Return the groups of fields of a delivery-status part: the first is about the mail, each other a recipient."""
    parser = HeaderParser(policy=policy.compat32)
    text = _body(part).replace("\r\n", "\n").replace("\r", "\n")
    return [parser.parsestr(block) for block in re.split(r"\n[ \t]*\n", text.strip("\n")) if block.strip()]


def _body(part: Message) -> str:
    """Return a part as text below its headers, decoded: some systems send the fields in base64, which is forbidden."""
    raw = part.as_bytes(policy=policy.compat32)
    _, _, body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    encoding = _text(part["Content-Transfer-Encoding"]).strip().lower()
    with suppress(binascii.Error, ValueError):
        if encoding == "base64":
            body = binascii.a2b_base64(b"".join(body.split()), strict_mode=True)
        elif encoding == "quoted-printable":
            body = binascii.a2b_qp(body)
    return body.decode("utf-8", "replace")


def _is_recipient(group: Message) -> bool:
    return any(group[name] for name in ("Final-Recipient", "Action", "Original-Recipient"))


def _notified(group: Message) -> Notified:
    diagnostic = _text(group["Diagnostic-Code"])
    status = read_status(_text(group["Status"]))
    if not status or status.endswith(".0.0"):
        status = read_status(diagnostic) or status
    return Notified(
        action=read_action(_text(group["Action"])),
        status=status,
        reply=read_reply(diagnostic),
        is_about_sender=speaks_of_sender(diagnostic),
        recipient=_recipient(group["Final-Recipient"]),
        original=_recipient(group["Original-Recipient"]),
    )


def _recipient(value: object) -> str:
    """Return the address of `rfc822; hanako@example.jp`; some systems leave the type out, some quote the address."""
    text = _text(value)
    kind, semicolon, rest = text.partition(";")
    address = rest if semicolon and "@" not in kind else text
    return address.strip()[:320]


def _identity(mail: Message, content: bytes) -> str:
    message_id = _text(mail["Message-ID"]).strip()
    return f"id:{message_id}" if message_id else f"sha256:{hashlib.sha256(content).hexdigest()}"


def _date(mail: Message) -> datetime | None:
    try:
        date = parsedate_to_datetime(_text(mail["Date"]))
    except (TypeError, ValueError, IndexError):
        return None
    return date if date.tzinfo else None


def _report_type(mail: Message) -> str:
    return str(mail.get_param("report-type", "")).strip().lower()


def _is_from_mailer(mail: Message) -> bool:
    if mail["X-Failed-Recipients"]:
        return True
    _, address = parseaddr(_text(mail["From"]))
    return _MAILER_NAMES.fullmatch(address.partition("@")[0]) is not None and not mail["X-Autoreply"]


def _is_auto_reply(mail: Message) -> bool:
    submitted = _text(mail["Auto-Submitted"]).strip().lower()
    marked = any(mail[name] for name in ("X-Autoreply", "X-Autorespond", "X-Auto-Reply"))
    return marked or submitted.startswith("auto-replied") or _text(mail["Precedence"]).lower() == "auto_reply"


def _text(value: object) -> str:
    """Return a header unfolded; a header with raw eight-bit characters comes as an object of its own."""
    return re.sub(r"\s+", " ", str(value)).strip() if value is not None else ""
