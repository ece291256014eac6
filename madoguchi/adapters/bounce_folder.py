"""The folder into which the mail system puts what comes back: a Maildir, or plain `.eml` and `.mbox` files.

Nothing is ever deleted. A file is moved only when the caller says that its content stands in the record; a crash
before that leaves it where it was, to be read again. Names given here are neutral: a hash, never a subject.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from madoguchi.adapters.delivery_status import MAX_BYTES

MAX_MBOX_BYTES = 50 * 1024 * 1024
_SEEN, _FLAGGED = "S", "F"
_SUFFIXES = frozenset({".eml", ".mbox"})
_FROM_LINE = re.compile(rb"^From [^\r\n]*\r?\n", re.MULTILINE)
STILL_WRITTEN = timedelta(minutes=1)
"""A notification whose end is missing waits this long: it may be being written."""


class FolderMissingError(Exception):
    """The folder of bounces is not there."""


class Kept(StrEnum):
    """Where a file goes when it was read; of a plain folder these are subfolders."""

    DONE = "done"
    OTHER = "other"
    """No bounce: a person's matter. In a Maildir it stays unread, flagged for attention."""
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class BounceFile:
    """A file that waits. `name`: neutral, for logs and runs. `written_at`: last change, aware."""

    path: Path
    name: str
    written_at: datetime
    size: int
    is_maildir: bool = False

    def mails(self) -> list[bytes]:
        """Return the mails in it; one, but for an mbox. OSError when it cannot be read, ValueError when too big."""
        limit = MAX_MBOX_BYTES if self.path.suffix == ".mbox" else MAX_BYTES
        if self.size > limit:
            raise ValueError("TOO_BIG")
        # Not through a link that somebody puts there in between.
        with os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
            content = stream.read(limit + 1)
        if len(content) > limit:
            raise ValueError("TOO_BIG")
        return split_mbox(content)


def split_mbox(content: bytes) -> list[bytes]:
    """Return the mails of an mbox, or the one mail that the bytes are."""
    if not content.startswith(b"From "):
        return [content]
    starts = [found.end() for found in _FROM_LINE.finditer(content) if _after_empty_line(content, found.start())]
    heads = [found.start() for found in _FROM_LINE.finditer(content) if _after_empty_line(content, found.start())]
    ends = [*heads[1:], len(content)]
    return [re.sub(rb"(?m)^>(>*From )", rb"\1", content[a:b]) for a, b in zip(starts, ends, strict=True)]


def _after_empty_line(content: bytes, at: int) -> bool:
    return at == 0 or content[max(0, at - 3) : at].endswith((b"\n\n", b"\n\r\n"))


def waiting_files(folder: Path) -> Iterator[BounceFile]:
    """Give the files that wait, by name; of a Maildir those in `new` and `cur` that are neither seen nor flagged.

    Links, folders and files of other kinds are passed over. Raises FolderMissingError.
    """
    if not folder.is_dir():
        raise FolderMissingError("the folder of bounces is not there; create it, or correct MADOGUCHI_BOUNCES_DIR")
    if is_maildir(folder):
        for part in ("new", "cur"):
            for path in sorted((folder / part).iterdir()):
                if not path.name.startswith(".") and not set(_flags(path.name)) & {_SEEN, _FLAGGED}:
                    yield from _file(path, in_maildir=True)
        return
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(".") and path.suffix.lower() in _SUFFIXES:
            yield from _file(path, in_maildir=False)


def is_maildir(folder: Path) -> bool:
    """Tell whether a folder is a Maildir."""
    return (folder / "new").is_dir() and (folder / "cur").is_dir()


def keep(file: BounceFile, folder: Path, kept: Kept) -> None:
    """Move a file that was read to where it is kept; a file that somebody else has moved meanwhile is no error.

    In a plain folder to `done/`, `other/` or `unreadable/` under its neutral name. In a Maildir a bounce becomes seen,
    what is no bounce stays unread and is flagged, and only what cannot be read leaves for `unreadable/`.
    """
    if file.is_maildir and kept is not Kept.UNREADABLE:
        base = file.path.name.partition(":2,")[0]
        flags = {*_flags(file.path.name), _SEEN if kept is Kept.DONE else _FLAGGED}
        target = folder / "cur" / f"{base}:2,{''.join(sorted(flags))}"
    else:
        (folder / kept.value).mkdir(mode=0o700, exist_ok=True)
        target = folder / kept.value / f"{file.name}{file.path.suffix if file.path.suffix in _SUFFIXES else '.eml'}"
        if target.exists() and not _same(file.path, target):
            target = target.with_stem(f"{target.stem}-{file.written_at:%Y%m%d%H%M%S%f}")
    try:
        file.path.rename(target)
    except FileNotFoundError:
        # Another run was faster; the record knows the content, which is why nothing was counted twice.
        return
    _sync(target.parent)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.read_bytes() == other.read_bytes()
    except OSError:
        return False


def _flags(name: str) -> str:
    return name.partition(":2,")[2]


def _file(path: Path, *, in_maildir: bool) -> Iterator[BounceFile]:
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISREG(facts.st_mode):
        written = datetime.fromtimestamp(facts.st_mtime, UTC)
        yield BounceFile(path, neutral_name(path, facts.st_size), written, facts.st_size, in_maildir)


def neutral_name(path: Path, size: int) -> str:
    """Return `bounce-` and twelve hexadecimal digits: of the content where it can be had, else of the name."""
    try:
        content = path.read_bytes() if size <= MAX_MBOX_BYTES else path.name.encode()
    except OSError:
        content = path.name.encode(errors="surrogateescape")
    return f"bounce-{hashlib.sha256(content).hexdigest()[:12]}"


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
