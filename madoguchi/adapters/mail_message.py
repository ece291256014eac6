"""The bytes of a mail, assembled by hand: the standard library's modern API takes two milliseconds a mail.

It is the oracle of the tests instead: what is built here must read back equal.
"""

from __future__ import annotations

import binascii
import re
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache

from madoguchi.adapters.mail_templates import RenderedMail
from madoguchi.domain.office import JST

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")
_ADDRESS = re.compile(r"[!#$%&'*+\-/=?^_`{|}~A-Za-z0-9.]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9.]+@[A-Za-z0-9.-]+>")
_LINE_LIMIT = 76
"""Of a header line that holds an encoded word (RFC 2047, 2)."""
_WORD_BYTES = 45


class MailBuildError(ValueError):
    """A mail cannot be built from what was given; names the field, never its content."""


def build_mail(
    *,
    rendered: RenderedMail,
    sender: str,
    sender_name: str,
    recipient: str,
    message_id: str,
    date: datetime,
    calendar: bytes | None = None,
    calendar_method: str | None = None,
) -> bytes:
    """Return one mail to one person: text first, HTML beside it, the calendar inside and attached; lines end in CRLF.

    Raises MailBuildError for anything but exactly one plain address, for control characters in a header, or a
    Message-ID of another form. Dates are written in Japan's offset.
    """
    if not _MESSAGE_ID.fullmatch(message_id):
        raise MailBuildError("message_id: needs the form <id@domain>")
    # Neither may begin with the other: readers need only compare the beginning of a line (RFC 2046, 5.1.2).
    identity = message_id[1:-1].partition("@")[0][:56]
    outer, inner = f"=_m.{identity}", f"=_a.{identity}"
    headers = (
        f"From: {_named(sender_name, _address('sender', sender))}\r\n"
        f"To: {_address('recipient', recipient)}\r\n"
        f"Subject: {encode_words(_line('subject', rendered.subject), 9)}\r\n"
        f"Date: {_date(date.replace(microsecond=0))}\r\n"
        f"Message-ID: {message_id}\r\n"
        "MIME-Version: 1.0\r\n"
        "Auto-Submitted: auto-generated\r\n"
        "Content-Language: ja\r\n"
    ).encode("ascii")
    alternatives = [_part("text/plain; charset=utf-8", rendered.text), _part("text/html; charset=utf-8", rendered.html)]
    if calendar is None:
        return headers + _multipart("alternative", inner, alternatives)
    method = calendar_method or "PUBLISH"
    alternatives.append(_base64(f"text/calendar; method={method}; charset=utf-8", calendar))
    body = _multipart("alternative", inner, alternatives)
    # A second copy as a file: many phones show the one inside nowhere.
    attached = _base64(
        'application/ics; name="invite.ics"',
        calendar,
        'Content-Disposition: attachment; filename="invite.ics"\r\n',
    )
    return headers + _multipart("mixed", outer, [body, attached])


@lru_cache(maxsize=8)
def _date(date: datetime) -> str:
    return format_datetime(date.astimezone(JST))


def _multipart(kind: str, boundary: str, parts: list[bytes]) -> bytes:
    mark = f"--{boundary}".encode("ascii")
    head = f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"\r\n\r\n'.encode("ascii")
    return head + b"".join(mark + b"\r\n" + part for part in parts) + mark + b"--\r\n"


def _part(content_type: str, text: str) -> bytes:
    return _base64(content_type, text.replace("\r\n", "\n").replace("\n", "\r\n").encode())


def _base64(content_type: str, content: bytes, more: str = "") -> bytes:
    encoded = binascii.b2a_base64(content, newline=False)
    lines = b"\r\n".join([encoded[at : at + 76] for at in range(0, len(encoded), 76)])
    head = f"Content-Type: {content_type}\r\n{more}Content-Transfer-Encoding: base64\r\n\r\n"
    return head.encode("ascii") + lines + b"\r\n"


def _address(field: str, address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise MailBuildError(f"{field}: needs exactly one plain ASCII address")
    local, _, domain = address.rpartition("@")
    if len(address) > 254 or ".." in domain or "." not in domain:
        raise MailBuildError(f"{field}: its domain cannot exist, or it is too long")
    # Old docomo and ezweb addresses break the rule on dots; quoted they are allowed.
    broken = ".." in local or local.startswith(".") or local.endswith(".")
    return f'"{local}"@{domain}' if broken else address


def _line(field: str, text: str) -> str:
    if _CONTROL.search(text):
        raise MailBuildError(f"{field}: holds a control character")
    return text


@lru_cache(maxsize=256)
def _named(name: str, address: str) -> str:
    return f"{encode_words(_line('sender_name', name), 6)}\r\n <{address}>" if name else address


@lru_cache(maxsize=4096)
def encode_words(text: str, used: int) -> str:
    """Return header text as RFC 2047 encoded words cut between characters, folded; plain ASCII stays as it is.

    `used`: how many characters of the first line the header's name takes.
    """
    if text.isascii() and len(text) + used <= _LINE_LIMIT and "=?" not in text:
        return text
    words, current = [], b""
    room = min(_WORD_BYTES, (_LINE_LIMIT - used - len("=?utf-8?B??=")) // 4 * 3)
    for character in text:
        encoded = character.encode()
        if len(current) + len(encoded) > room:
            words.append(current)
            current, room = b"", _WORD_BYTES
        current += encoded
    words.append(current)
    return "\r\n ".join(f"=?utf-8?B?{binascii.b2a_base64(word, newline=False).decode()}?=" for word in words)
