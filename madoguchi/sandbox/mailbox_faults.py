"""Faults of the stand-in mailbox on order: at which step of which mail, how often, and from when on."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

STAGES = ("MAIL", "RCPT", "DATA", "dot")
KINDS = ("4xx", "5xx", "421", "drop_before_dot", "drop_after_dot", "drop_before_store", "hang", "latency")
_FIELDS = ("at", "kind", "code", "seconds", "times", "after", "recipient_contains")
_ONLY_AT_DOT = ("drop_after_dot", "drop_before_store")
_CODES = {
    "4xx": {"MAIL": 451, "RCPT": 450, "DATA": 451, "dot": 451},
    "5xx": {"MAIL": 550, "RCPT": 550, "DATA": 554, "dot": 554},
}


@dataclass(frozen=True, slots=True)
class MailFault:
    """One ordered fault.

    `at`: the step it strikes. `code`: what is answered, 0 where nothing is. `seconds`: how long latency lasts, or
    after how long a hanging connection is cut (0: when the client gives up). `times`: how many steps it strikes, None
    for all until cleared. `after`: steps let pass first. `recipient_contains`: counts only mails to such an address.
    """

    at: str
    kind: str
    code: int
    seconds: float
    times: int | None
    after: int
    recipient_contains: str


class MailFaultStore:
    """The faults that are waiting to strike, in the order in which they were ordered. Thread-safe, in memory only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: tuple[MailFault, ...] = ()

    def order(self, items: object) -> int:
        """Add the faults of a parsed JSON value, an object or a list, and return how many.

        ValueError names the first wrong one; none is added then.
        """
        listed = items if isinstance(items, list) else [items]
        parsed = tuple(_parse(f"fault {number}", item) for number, item in enumerate(listed, start=1))
        with self._lock:
            self._waiting += parsed
        return len(parsed)

    def clear(self) -> None:
        """Forget every fault."""
        with self._lock:
            self._waiting = ()

    def waiting(self) -> list[dict[str, Any]]:
        """Return what has not struck yet, or not often enough, as plain data."""
        return [asdict(fault) for fault in self._waiting]

    def strike(self, stage: str, recipients: Sequence[str]) -> list[MailFault]:
        """Return the faults that strike this step, and count them down: every latency, and one other at most."""
        if not self._waiting:
            return []
        with self._lock:
            struck: list[MailFault] = []
            kept: list[MailFault] = []
            is_hit = False
            for fault in self._waiting:
                is_rough = fault.kind != "latency"
                if not _concerns(fault, stage, recipients) or (is_rough and is_hit):
                    kept.append(fault)
                elif fault.after > 0:
                    kept.append(replace(fault, after=fault.after - 1))
                else:
                    struck.append(fault)
                    is_hit = is_hit or is_rough
                    if fault.times is None:
                        kept.append(fault)
                    elif fault.times > 1:
                        kept.append(replace(fault, times=fault.times - 1))
            self._waiting = tuple(kept)
            return struck


def _concerns(fault: MailFault, stage: str, recipients: Sequence[str]) -> bool:
    if fault.at != stage:
        return False
    wanted = fault.recipient_contains.lower()
    return not wanted or any(wanted in recipient.lower() for recipient in recipients)


def _parse(place: str, item: object) -> MailFault:
    if not isinstance(item, Mapping):
        raise ValueError(f"{place}: an object is needed")  # noqa: TRY004 — one error type for what the caller sent
    if unknown := sorted(set(map(str, item)) - set(_FIELDS)):
        raise ValueError(f"{place}: unknown field {unknown[0]!r}; known are {', '.join(_FIELDS)}")
    kind = item.get("kind")
    if kind not in KINDS:
        raise ValueError(f"{place}: kind must be one of {', '.join(KINDS)}")
    stage = _stage(place, kind, item.get("at"))
    times, after, seconds = item.get("times", 1), item.get("after", 0), item.get("seconds", 0)
    if times is not None and not _is_whole(times, 1):
        raise ValueError(f"{place}: times must be a whole number from 1, or null for always")
    if not _is_whole(after, 0):
        raise ValueError(f"{place}: after must be a whole number from 0")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 3600:
        raise ValueError(f"{place}: seconds must be 0 to 3600")
    if kind == "latency" and not seconds:
        raise ValueError(f"{place}: latency needs seconds above 0")
    wanted = item.get("recipient_contains", "")
    if not isinstance(wanted, str):
        raise ValueError(f"{place}: recipient_contains must be text")  # noqa: TRY004 — as above
    if wanted and stage == "MAIL":
        raise ValueError(f"{place}: recipient_contains needs at RCPT, DATA or dot; at MAIL no recipient is known yet")
    code = _code(place, kind, stage, item.get("code"))
    return MailFault(stage, kind, code, float(seconds), times, after, wanted)


def _stage(place: str, kind: str, given: object) -> str:
    if given is None and kind in {"drop_before_dot", *_ONLY_AT_DOT}:
        given = "dot"
    if given not in STAGES:
        raise ValueError(f"{place}: at must be one of {', '.join(STAGES)}")
    if kind in _ONLY_AT_DOT and given != "dot":
        raise ValueError(f"{place}: {kind} happens at dot only")
    # What comes before the dot is decided when DATA is answered: afterwards the dot may be here already.
    return "DATA" if kind == "drop_before_dot" and given == "dot" else str(given)


def _code(place: str, kind: str, stage: str, given: object) -> int:
    if kind not in _CODES:
        if given is not None and not (kind == "421" and given == 421):
            raise ValueError(f"{place}: code goes with 4xx and 5xx only")
        return 421 if kind == "421" else 0
    if given is None:
        return _CODES[kind][stage]
    least = int(kind[0]) * 100
    if not isinstance(given, int) or isinstance(given, bool) or not least <= given < least + 100 or given == 421:
        raise ValueError(f"{place}: code must be a number of the kind {kind} (for 421 there is a kind of its own)")
    return given


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
