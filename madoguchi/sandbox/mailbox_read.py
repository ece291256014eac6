"""Reading stored mails for people: headers, text, HTML, attachments. Never fails on a mail, however odd."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser

from madoguchi.sandbox.mailbox_store import Mail

_UNSHOWABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_LINK = re.compile(r"https://[^\s<>\"'、。）」\u3000]+")


@dataclass(frozen=True, slots=True)
class Part:
    """What hangs on a mail. `name`: as the mail calls it, to be shown and never to be used as a path."""

    number: int
    media_type: str
    name: str
    data: bytes

    @property
    def is_calendar(self) -> bool:
        """Tell whether it is an appointment."""
        return self.media_type == "text/calendar"


@dataclass(frozen=True, slots=True)
class Reading:
    """A mail as people read it. `headers`: every one, decoded, in order; `html`: empty if the mail has none."""

    headers: list[tuple[str, str]]
    text: str
    html: str
    parts: list[Part]


def subject_of(content: bytes) -> str:
    """Return the decoded subject; empty if there is none."""
    return _header(BytesHeaderParser().parsebytes(content).get("Subject", ""))


def read_mail(mail: Mail) -> Reading:
    """Take a mail apart."""
    message = message_from_bytes(mail.content)
    text, html = "", ""
    parts: list[Part] = []
    for part in _leaves(message):
        kind = part.get_content_type()
        is_body = part.get_content_disposition() != "attachment"
        if is_body and kind == "text/plain" and not text:
            text = _text(part)
        elif is_body and kind == "text/html" and not html:
            html = _text(part)
        else:
            parts.append(Part(len(parts) + 1, kind, _header(part.get_filename() or ""), _data(part)))
    headers = [(_showable(name), _header(value)) for name, value in message.items()]
    return Reading(headers, text, html, parts)


def with_links(text: str) -> list[tuple[str, bool]]:
    """Cut a text into pieces, each with the word whether it is an https address."""
    pieces: list[tuple[str, bool]] = []
    end = 0
    for found in _LINK.finditer(text):
        pieces += [(text[end : found.start()], False), (found[0], True)]
        end = found.end()
    return [piece for piece in [*pieces, (text[end:], False)] if piece[0]]


def _leaves(message: Message) -> Iterator[Message]:
    for part in message.walk():
        if not part.is_multipart():
            yield part


def _data(part: Message) -> bytes:
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def _text(part: Message) -> str:
    charset = part.get_content_charset() or "utf-8"
    data = _data(part)
    try:
        return _showable(data.decode(charset, "replace"))
    except (LookupError, ValueError):
        return _showable(data.decode("utf-8", "replace"))


def _header(value: object) -> str:
    try:
        decoded = str(make_header(decode_header(str(value))))
    except (MessageError, LookupError, ValueError):
        decoded = str(value)
    return _showable(re.sub(r"\s*[\r\n]+\s*", " ", decoded))


def _showable(text: str) -> str:
    return _UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))
