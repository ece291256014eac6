"""The serving process shows that it still asks for runs; `madoguchi up` looks whether it does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

_EVERY = 5.0


@asynccontextmanager
async def sign_of_life(path: Path, progress: Callable[[], object], *, every: float = _EVERY) -> AsyncIterator[None]:
    """Give the file a new time of change every few seconds, as long as `progress` keeps returning something new.

    `progress` is compared by identity and equality with what it returned last: a time of the last question, say, or a
    new object each time where only the event loop is to be watched. A process that is stopped, a loop that is blocked
    and a loop that has ceased to ask all leave the file as it is.
    """
    beating = asyncio.create_task(_beat(path, progress, every))
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


async def _beat(path: Path, progress: Callable[[], object], every: float) -> None:
    before: object = None
    while True:
        now = progress()
        if now is not None and now != before:
            before = now
            # Removed by `up`, which is stopping us; or a full disk, which is somebody else's alarm.
            with suppress(OSError):
                os.utime(path)
        await asyncio.sleep(every)


class SignOfLife:
    """The other side: whether the file's time has changed since the last look. The clock's own steps do not matter."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: int | None = None

    def has_changed(self) -> bool:
        """Tell whether the file was touched, or made anew, since the last call; the first look counts as a change."""
        try:
            now = self._path.stat().st_mtime_ns
        except OSError:
            return False
        changed, self._seen = now != self._seen, now
        return changed
