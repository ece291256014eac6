"""Webhooks on disk between the answer to Zoom and the record: what was answered is there after a power cut too.

Knows files, not contents: the caller seals what it puts here. Names tell the order of arrival and nothing else.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_ENDING = ".event"
_DRAFT = ".draft-"
_FORGOTTEN_SECONDS = 3600.0


class EventSpool:
    """A folder of sealed webhooks, each a file until it stands in the record. Several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._aside = folder / "aside"

    @staticmethod
    def new_name() -> str:
        """Return a name for the next file; the contents may be sealed for exactly this place."""
        return f"{time.time_ns():020d}-{secrets.token_hex(8)}{_ENDING}"

    def put(self, name: str, sealed: bytes) -> None:
        """Keep `sealed` so that neither a crash nor a power cut loses it once this returns; OSError when it cannot."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.folder / f"{_DRAFT}{name}"
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(sealed)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(self.folder / name)
        except OSError:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        # The file's contents are safe now, its name only when the folder is.
        _sync(self.folder)

    def waiting(self, limit: int) -> list[str]:
        """Return the first `limit` names in the order of arrival; drafts of a process that died long ago go."""
        names = []
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if entry.name.startswith(_DRAFT):
                        _forget_draft(entry)
                    elif entry.name.endswith(_ENDING) and entry.is_file(follow_symlinks=False):
                        names.append(entry.name)
        except FileNotFoundError:
            return []
        return sorted(names)[:limit]

    def read(self, name: str) -> bytes | None:
        """Return what a file holds; None when another process has taken it in meanwhile."""
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, names: Iterable[str]) -> None:
        """Remove what stands in the record now. Without a sync: what a power cut brings back is known already."""
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def set_aside(self, name: str) -> None:
        """Move a file that cannot be taken in to `aside/`: it stops nothing there; moving it back tries it again."""
        self._aside.mkdir(exist_ok=True, mode=0o700)
        with suppress(FileNotFoundError):
            (self.folder / name).rename(self._aside / name)
            _sync(self._aside)
            _sync(self.folder)

    def count_aside(self) -> int:
        """Return how many files lie aside."""
        return sum(1 for _ in self._aside.glob(f"*{_ENDING}"))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _forget_draft(entry: os.DirEntry[str]) -> None:
    # Zoom got no answer for it and has sent it again since.
    with suppress(FileNotFoundError):
        if time.time() - entry.stat().st_mtime > _FORGOTTEN_SECONDS:
            Path(entry.path).unlink()
