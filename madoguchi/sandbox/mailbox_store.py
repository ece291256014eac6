"""What the stand-in mailbox holds: one .eml a mail, and an index of one line each."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from madoguchi.domain.office import JST
from madoguchi.sandbox.mailbox_bounces import fate_of, write_notification
from madoguchi.sandbox.mailbox_faults import MailFaultStore

_NAME = re.compile(r"\d{8}T\d{6}-(\d{8,})\.eml")
_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*(?:\r\n[ \t]+)?([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
# The two headers of final delivery (RFC 5321 4.4; Delivered-To as mail servers write it), put before what came in.
_ENVELOPE = re.compile(rb"Return-Path: <([^\r\n]*)>\r\nDelivered-To: <([^\r\n]*)>\r\n")


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the index. `sha256`: of the content as it came in; `received_at`: ISO 8601, Asia/Tokyo."""

    file: str
    message_id: str
    recipient: str
    sha256: str
    received_at: str


@dataclass(frozen=True, slots=True)
class Mail:
    """One stored mail. `content`: exactly as it came in, dots unstuffed."""

    entry: Entry
    sender: str
    recipient: str
    content: bytes


class MailboxState:
    """The mails below `folder` and the faults that are ordered. Thread-safe.

    A mail that was stored is found again after kill -9. Nothing is forced to the disk: a power cut may lose mails.
    File names say when and as how manieth a mail came; the index knows recipients by hash only.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(JST),
        bounces: Path | None = None,
    ) -> None:
        """Open `folder`, created if absent. `clock`: what mails are stamped with, aware.

        `bounces`: where a notification is put about a mail to an address that says so.
        """
        self._bounces = bounces
        self.faults = MailFaultStore()
        self._clock = clock
        self._lock = threading.Lock()
        self._mails = folder / "mails"
        self._mails.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._index_path = folder / "index.jsonl"
        self._entries: dict[str, Entry] = {}
        self._counter = 0
        self._recover()
        self._index = os.open(self._index_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._folder_fd = os.open(self._mails, os.O_RDONLY | os.O_DIRECTORY)

    def store(self, sender: str, recipients: Sequence[str], content: bytes) -> list[Entry]:
        """Keep one copy for each recipient, as each one's own mailbox would; OSError if the disk refuses."""
        with self._lock:
            stored = [self._store(sender, recipient, content) for recipient in recipients]
        for recipient in recipients:
            if self._bounces and (fate := fate_of(recipient)):
                write_notification(self._bounces, fate, recipient, content, self._clock())
        return stored

    def entries(self) -> list[Entry]:
        """Return the index, oldest first."""
        with self._lock:
            return list(self._entries.values())

    def entry(self, file: str) -> Entry | None:
        """Return the entry of one file name."""
        return self._entries.get(file)

    def read(self, entry: Entry) -> Mail | None:
        """Return a stored mail; None when it was deleted meanwhile."""
        try:
            stored = (self._mails / entry.file).read_bytes()
        except FileNotFoundError:
            return None
        return _split(entry, stored)

    def mails(self) -> Iterator[Mail]:
        """Give every stored mail, oldest first."""
        for entry in self.entries():
            if mail := self.read(entry):
                yield mail

    def repeats(self) -> Counter[tuple[str, str]]:
        """Count the mails of each Message-ID and recipient hash: more than one is a mail that arrived twice."""
        return Counter((entry.message_id, entry.recipient) for entry in self.entries())

    def clear(self) -> int:
        """Delete every mail and return how many there were."""
        with self._lock:
            count = len(self._entries)
            # Files first: an index line without its file is dropped at the next start, a file without a line is not.
            for file in self._entries:
                (self._mails / file).unlink(missing_ok=True)
            os.ftruncate(self._index, 0)
            self._entries.clear()
            return count

    def close(self) -> None:
        """Let go of the files."""
        os.close(self._index)
        os.close(self._folder_fd)

    def _store(self, sender: str, recipient: str, content: bytes) -> Entry:
        now = self._clock()
        self._counter += 1
        file = f"{now:%Y%m%dT%H%M%S}-{self._counter:08d}.eml"
        entry = _entry(file, recipient, content, now.isoformat())
        head = f"Return-Path: <{sender}>\r\nDelivered-To: <{recipient}>\r\n".encode()
        # Written under another name first: a kill in between must not leave half a mail that looks whole.
        draft = f"{file}.part"
        stream = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._folder_fd)
        try:
            _write_all(stream, head + content)
        finally:
            os.close(stream)
        os.rename(draft, file, src_dir_fd=self._folder_fd, dst_dir_fd=self._folder_fd)
        _write_all(self._index, _line(entry))
        self._entries[file] = entry
        return entry

    def _recover(self) -> None:
        """Bring files and index together after whatever ended the last process."""
        on_disk = {path.name for path in self._mails.iterdir()}
        for name in [name for name in on_disk if name.endswith(".part")]:
            (self._mails / name).unlink()
        noted = {entry.file: entry for entry in self._noted()}
        for file in sorted((name for name in on_disk if _NAME.fullmatch(name)), key=_number):
            path = self._mails / file
            self._entries[file] = noted.get(file) or _rebuilt(path)
            self._counter = max(self._counter, _number(file))
        if noted.keys() != self._entries.keys() or self._index_is_torn():
            draft = self._index_path.with_suffix(".part")
            draft.touch(mode=0o600)
            draft.write_bytes(b"".join(map(_line, self._entries.values())))
            draft.replace(self._index_path)

    def _noted(self) -> Iterator[Entry]:
        if self._index_path.exists():
            for line in self._index_path.read_bytes().splitlines():
                # The last line may be cut short; its mail is indexed anew from its file.
                with suppress(ValueError, TypeError):
                    yield Entry(**json.loads(line))

    def _index_is_torn(self) -> bool:
        return self._index_path.exists() and not self._index_path.read_bytes().endswith(b"\n")


def recipient_hash(address: str) -> str:
    """Return how the index knows an address; upper and lower case are one."""
    return hashlib.sha256(address.lower().encode()).hexdigest()[:32]


def _entry(file: str, recipient: str, content: bytes, received_at: str) -> Entry:
    head_end = content.find(b"\r\n\r\n")
    found = _MESSAGE_ID.search(content, 0, head_end if head_end >= 0 else len(content))
    return Entry(
        file=file,
        message_id=found[1].decode("ascii", "replace").strip() if found else "",
        recipient=recipient_hash(recipient),
        sha256=hashlib.sha256(content).hexdigest(),
        received_at=received_at,
    )


def _rebuilt(path: Path) -> Entry:
    stored = path.read_bytes()
    received = datetime.fromtimestamp(path.stat().st_mtime, JST).isoformat()
    mail = _split(Entry(path.name, "", "", "", received), stored)
    return _entry(path.name, mail.recipient, mail.content, received)


def _split(entry: Entry, stored: bytes) -> Mail:
    found = _ENVELOPE.match(stored)
    if not found:
        # Not written by us, yet somebody put it here to be seen.
        return Mail(entry, "", "", stored)
    return Mail(entry, found[1].decode(), found[2].decode(), stored[found.end() :])


def _number(file: str) -> int:
    found = _NAME.fullmatch(file)
    return int(found[1]) if found else 0


def _line(entry: Entry) -> bytes:
    return json.dumps(asdict(entry), separators=(",", ":")).encode() + b"\n"


def _write_all(stream: int, data: bytes) -> None:
    written = os.write(stream, data)
    while written < len(data):
        written += os.write(stream, data[written:])
