"""Keeping the parts of `madoguchi up` alive: one that ends, or lives without answering, is started again."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 30.0
_STEADY_AFTER = 60.0
_ASK_EVERY = 15.0


class PartError(Exception):
    """A part could not be started; the text says where to look."""


@dataclass(slots=True)
class Backoff:
    """How long to wait before the next restart: at once, then 1, 2, 4 ... 30 s, forgotten after a steady minute."""

    failures: int = 0
    last: float = field(default=-1e9)

    def pause(self, now: float) -> float:
        """Return the seconds to wait for a restart wanted at `now` (monotonic), and count it."""
        if now - self.last > _STEADY_AFTER:
            self.failures = 0
        seconds = 0.0 if self.failures == 0 else min(_LONGEST_PAUSE, 2.0 ** (self.failures - 1))
        # The steady minute begins with the restart, not with the wish for it.
        self.last = now + seconds
        self.failures += 1
        return seconds


@dataclass(slots=True)
class Part:
    """One part, as far as keeping it goes.

    `has_ended`: costs nothing. `answers`: may take some seconds; asked every 15 s. `restart`: ends what is left of the
    part and starts it; returns early when the event is set. `patience`: questions without an answer, one after the
    other, after which a part that lives counts as hung.
    """

    name: str
    has_ended: Callable[[], bool]
    answers: Callable[[], bool]
    restart: Callable[[threading.Event], None]
    patience: int = 4
    silent: int = 0
    ask_at: float = -1e9
    restart_at: float | None = None
    backoff: Backoff = field(default_factory=Backoff)


class Keeper:
    """Looks after parts in turn. One that waits for its restart keeps nobody else waiting. Used by one thread.

    `errors`: what a failed restart may raise; it is logged and tried again. `clock`: monotonic seconds.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        errors: tuple[type[Exception], ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = list(parts)
        # A full disk or no memory for a process passes too.
        self._errors: tuple[type[Exception], ...] = (*errors, PartError, OSError, subprocess.SubprocessError)
        self._clock = clock

    def round(self, stop: threading.Event) -> None:
        """Look at every part once, and restart what needs it and is due."""
        for part in self._parts:
            if stop.is_set():
                return
            self._look(part, stop)

    def _look(self, part: Part, stop: threading.Event) -> None:
        if part.restart_at is None and (why := self._trouble(part)):
            now = self._clock()
            seconds = part.backoff.pause(now)
            part.restart_at = now + seconds
            log.warning("the %s %s; starting it again in %.0f s", part.name, why, seconds)
        if part.restart_at is None or self._clock() < part.restart_at:
            return
        part.restart_at, part.silent = None, 0
        try:
            part.restart(stop)
        except self._errors as error:
            log.error("the %s did not start again: %s", part.name, error)  # noqa: TRY400 — the text says where to look
        part.ask_at = self._clock() + _ASK_EVERY

    def _trouble(self, part: Part) -> str:
        if part.has_ended():
            return "ended"
        if self._clock() < part.ask_at:
            return ""
        part.ask_at = self._clock() + _ASK_EVERY
        part.silent = 0 if part.answers() else part.silent + 1
        return "does not answer" if part.silent >= part.patience else ""
