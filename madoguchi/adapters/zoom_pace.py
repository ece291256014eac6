"""How fast we ask: one even pace for all threads of a process."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Pace:
    """At most `per_second` turns a second, evenly spaced, for any number of threads.

    Turns are handed out in advance and waited for outside the lock, so that no thread holds up another. A burst is
    not saved up: Zoom counts by the second, and an idle minute does not buy a faster one. Other processes and other
    applications of the same Zoom account are not counted; their collisions come back as 429.
    """

    def __init__(self, per_second: float, *, monotonic: Callable[[], float], sleep: Callable[[float], None]) -> None:
        if per_second <= 0:
            raise ValueError("per_second: more than zero is needed")
        self._gap = 1.0 / per_second
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Return when it is this caller's turn."""
        with self._lock:
            now = self._monotonic()
            turn = max(now, self._next)
            self._next = turn + self._gap
        if turn > now:
            self._sleep(turn - now)
