"""The bytes of a mail, assembled by hand: the standard library's modern API takes two milliseconds a mail.

It is the oracle of the tests instead: what is built here must read back equal.
"""

from __future__ import annotations

import binascii
import re
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache

from markupsafe import escape

from madoguchi.adapters.mail_templates import RenderedMail
from madoguchi.domain.office import JST

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")
_ADDRESS = re.compile(r"[!#$%&'*+\-/=?^_`{|}~A-Za-z0-9.]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9.]+@[A-Za-z0-9.-]+>")
_LINE_LIMIT = 76
"""Of a header line that holds an encoded word (RFC 2047, 2), and of a line of base64 (RFC 2045, 6.8)."""
_LINE_BYTES = _LINE_LIMIT // 4 * 3
_WORD_BYTES = 45
_TEXT, _HTML = "text/plain; charset=utf-8", "text/html; charset=utf-8"
_BULK = "Precedence: bulk\r\n"


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
    is_bulk: bool = False,
) -> bytes:
    """Return one mail to one person: text first, HTML beside it, the calendar inside and attached; lines end in CRLF.

    `is_bulk`: one of many alike; no answering machine is to answer. Raises MailBuildError for anything but exactly
    one plain address, for control characters in a header, or a Message-ID of another form. Dates are written in Japan's
    offset.
    """
    headers = _headers(rendered.subject, (sender_name, sender), recipient, message_id, date, is_bulk=is_bulk)
    outer, inner = _boundaries(message_id)
    alternatives = [_part(_TEXT, rendered.text), _part(_HTML, rendered.html)]
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


class MailToMany:
    """Mails that differ in their salutation only, rendered and encoded once. Always marked as bulk.

    `rendered`: the mail to a `salutation` that stands exactly once in its text and in its HTML, and not in its subject.
    MailBuildError otherwise: then the mails differ in more.
    """

    def __init__(self, rendered: RenderedMail, salutation: str, *, sender: str, sender_name: str) -> None:
        if salutation in rendered.subject:
            raise MailBuildError("subject: holds the salutation")
        self._subject = rendered.subject
        self._sender = (sender_name, sender)
        self._text = _SplicedPart(_TEXT, "text", rendered.text, salutation)
        self._html = _SplicedPart(_HTML, "html", rendered.html, str(escape(salutation)))

    def said(self, salutation: str) -> tuple[str, str]:
        """Return text and HTML as they go to somebody, lines ending in LF."""
        return self._text.said(salutation), self._html.said(str(escape(salutation)))

    def build(self, *, salutation: str, recipient: str, message_id: str, date: datetime) -> bytes:
        """Return the mail to one person; reads as what `build_mail` makes of the same words. Errors like there."""
        headers = _headers(self._subject, self._sender, recipient, message_id, date, is_bulk=True)
        parts = [self._text.encoded(salutation), self._html.encoded(str(escape(salutation)))]
        return headers + _multipart("alternative", _boundaries(message_id)[1], parts)


class _SplicedPart:
    """A part of a mail in which one word changes; what stands around it is encoded already.

    Base64 goes by three bytes, its lines by 57: the piece with the word in it is filled up to three from what follows,
    and ends in a shorter line, which RFC 2045 allows anywhere.
    """

    def __init__(self, content_type: str, name: str, text: str, word: str) -> None:
        if not word or text.count(word) != 1:
            raise MailBuildError(f"{name}: needs the salutation exactly once")
        self._around = text.partition(word)[::2]
        before, after = (_crlf(piece) for piece in self._around)
        whole = len(before) // _LINE_BYTES * _LINE_BYTES
        self._head = _part_head(content_type) + _base64_lines(before[:whole])
        self._rest = before[whole:]
        self._fillings = [after[:n] for n in range(3)]
        self._tails = [_base64_lines(after[n:]) for n in range(3)]

    def said(self, word: str) -> str:
        return word.join(self._around)

    def encoded(self, word: str) -> bytes:
        piece = self._rest + word.encode()
        missing = -len(piece) % 3
        return self._head + _base64_lines(piece + self._fillings[missing]) + self._tails[missing]


def _boundaries(message_id: str) -> tuple[str, str]:
    # Neither may begin with the other: readers need only compare the beginning of a line (RFC 2046, 5.1.2).
    identity = message_id[1:-1].partition("@")[0][:56]
    return f"=_m.{identity}", f"=_a.{identity}"


def _headers(
    subject: str, sender: tuple[str, str], recipient: str, message_id: str, date: datetime, *, is_bulk: bool
) -> bytes:
    if not _MESSAGE_ID.fullmatch(message_id):
        raise MailBuildError("message_id: needs the form <id@domain>")
    return (
        f"From: {_named(sender[0], _address('sender', sender[1]))}\r\n"
        f"To: {_address('recipient', recipient)}\r\n"
        f"Subject: {encode_words(_line('subject', subject), 9)}\r\n"
        f"Date: {_date(date.replace(microsecond=0))}\r\n"
        f"Message-ID: {message_id}\r\n"
        "MIME-Version: 1.0\r\n"
        "Auto-Submitted: auto-generated\r\n"
        f"{_BULK if is_bulk else ''}"
        "Content-Language: ja\r\n"
    ).encode("ascii")


@lru_cache(maxsize=8)
def _date(date: datetime) -> str:
    return format_datetime(date.astimezone(JST))


def _multipart(kind: str, boundary: str, parts: list[bytes]) -> bytes:
    mark = f"--{boundary}".encode("ascii")
    head = f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"\r\n\r\n'.encode("ascii")
    return head + b"".join(mark + b"\r\n" + part for part in parts) + mark + b"--\r\n"


def _part(content_type: str, text: str) -> bytes:
    return _base64(content_type, _crlf(text))


def _crlf(text: str) -> bytes:
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode()


def _base64(content_type: str, content: bytes, more: str = "") -> bytes:
    return _part_head(content_type, more) + _base64_lines(content)


def _part_head(content_type: str, more: str = "") -> bytes:
    return f"Content-Type: {content_type}\r\n{more}Content-Transfer-Encoding: base64\r\n\r\n".encode("ascii")


def _base64_lines(content: bytes) -> bytes:
    encoded = binascii.b2a_base64(content, newline=False)
    lines = b"\r\n".join([encoded[at : at + _LINE_LIMIT] for at in range(0, len(encoded), _LINE_LIMIT)])
    return lines + b"\r\n" if lines else b""


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
