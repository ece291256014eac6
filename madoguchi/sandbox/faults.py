"""Faults on order: what a rehearsal or a test wants to go wrong, how often, and from when on."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

ANY_OPERATION = "*"
FOREVER = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One ordered fault.

    `op`: the operation it strikes, or `*`. `kind`: a word of the server that plays it. `times`: how many operations
    it strikes, None for all until it is cleared. `seconds`: for kinds that last. `after`: operations let pass first.
    """

    op: str
    kind: str
    times: int | None = 1
    seconds: float = 0.0
    after: int = 0


class FaultStore:
    """The faults that are waiting to strike, in the order in which they were ordered. Thread-safe, in memory only."""

    def __init__(self, *, operations: Collection[str], kinds: Collection[str], gentle: Collection[str] = ()) -> None:
        """Take the words that are known; `gentle` kinds strike beside another one instead of replacing it."""
        self._operations = frozenset(operations) | {ANY_OPERATION}
        self._kinds = frozenset(kinds)
        self._gentle = frozenset(gentle)
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []

    def order(self, items: object) -> int:
        """Add the faults of a parsed JSON list and return how many; ValueError names the first wrong one, adding none.

        An object in the place of a list counts as a list of one.
        """
        listed = items if isinstance(items, list) else [items]
        parsed = [self._parse(number, item) for number, item in enumerate(listed, start=1)]
        with self._lock:
            self._waiting.extend(parsed)
        return len(parsed)

    def clear(self) -> None:
        """Forget every fault."""
        with self._lock:
            self._waiting.clear()

    def waiting(self) -> list[dict[str, Any]]:
        """Return what has not struck yet, as plain data."""
        with self._lock:
            return [asdict(fault) for fault in self._waiting]

    def strike(self, op: str) -> list[Fault]:
        """Return the faults that strike this operation, and count them down: any gentle ones, and one other at most."""
        with self._lock:
            struck: list[Fault] = []
            kept: list[Fault] = []
            is_hit = False
            for fault in self._waiting:
                if fault.op not in {op, ANY_OPERATION} or (is_hit and fault.kind not in self._gentle):
                    kept.append(fault)
                elif fault.after > 0:
                    kept.append(replace(fault, after=fault.after - 1))
                else:
                    struck.append(fault)
                    is_hit = is_hit or fault.kind not in self._gentle
                    if fault.times is FOREVER:
                        kept.append(fault)
                    elif fault.times > 1:
                        kept.append(replace(fault, times=fault.times - 1))
            self._waiting = kept
            return struck

    def _parse(self, number: int, item: object) -> Fault:
        place = f"fault {number}"
        if not isinstance(item, Mapping):
            raise ValueError(f"{place}: an object is needed")  # noqa: TRY004 — one error type for what the caller sent
        unknown = set(item) - {"op", "kind", "times", "seconds", "after"}
        if unknown:
            raise ValueError(f"{place}: unknown field {min(map(str, unknown))!r}")
        op, kind = item.get("op", ANY_OPERATION), item.get("kind")
        if op not in self._operations:
            raise ValueError(f"{place}: op must be one of {', '.join(sorted(self._operations))}")
        if kind not in self._kinds:
            raise ValueError(f"{place}: kind must be one of {', '.join(sorted(self._kinds))}")
        times = item.get("times", 1)
        if times is not None and not _is_whole(times, 1):
            raise ValueError(f"{place}: times must be a whole number from 1, or null for always")
        after = item.get("after", 0)
        if not _is_whole(after, 0):
            raise ValueError(f"{place}: after must be a whole number from 0")
        seconds = item.get("seconds", 0.0)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 3600:
            raise ValueError(f"{place}: seconds must be 0 to 3600")
        return Fault(op=op, kind=str(kind), times=times, seconds=float(seconds), after=after)


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
