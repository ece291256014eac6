"""The stand-in's webhooks: real HTTP to the subscribed address, signed as Zoom signs, with all that may go wrong."""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx

from madoguchi.domain.this_machine import is_loopback
from madoguchi.domain.zoom_signature import (
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    VALIDATION_EVENT,
    encrypted_token,
    signature,
)
from madoguchi.sandbox.zoom_events import Event, compact

MODES = ("on", "off", "twice", "shuffled", "hold", "forged")
ORDERS = ("as_is", "reversed")
ANSWER_SECONDS = 3.0
"""Zoom waits this long for an answer."""
RETRIES = (timedelta(minutes=5), timedelta(minutes=20), timedelta(minutes=60))
"""Each after the try before it: 5, 25 and 85 minutes after the first one."""
_MAX_LOG = 20_000


@dataclass(frozen=True, slots=True)
class Hook:
    """The subscription. `seed`: of the disorder of `shuffled`, so that a run can be repeated."""

    url: str = ""
    secret: str = field(default="", repr=False)
    mode: str = "off"
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Sent:
    """One try. `code`: the answer's status, None when none came within three seconds; `seconds`: how long it took."""

    number: int
    event: str
    meeting_id: str
    attempt: int
    code: int | None
    seconds: float
    mode: str

    @property
    def is_taken(self) -> bool:
        """Tell whether Zoom would leave it at that."""
        return self.code is not None and 200 <= self.code < 300


@dataclass(slots=True)
class _Delivery:
    number: int
    event: Event
    attempt: int = 1
    due: datetime | None = None


class Webhooks:
    """Sends events one after the other from a thread of its own. Thread-safe; in memory only.

    `now`: the stand-in's now, from which retries count. Nothing is repeated by itself: `retry` is an order, so that a
    rehearsal decides when 25 minutes are over.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        # httpx writes every address it calls at INFO.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._now = now
        self._changed = threading.Condition()
        self._queue: deque[_Delivery] = deque()
        self._held: list[_Delivery] = []
        self._failed: list[_Delivery] = []
        self._sent: deque[Sent] = deque(maxlen=_MAX_LOG)
        self._lost = 0
        self._numbers = 0
        self._is_busy = False
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._hook = Hook()
        self._random = random.Random(1)  # noqa: S311 — disorder on order, no secret

    def subscribe(self, order: object) -> Hook:
        """Set address, secret and mode; what is left out stays. ValueError names the field that is wrong."""
        if not isinstance(order, Mapping):
            raise ValueError("webhooks: an object is needed")  # noqa: TRY004 — one error type for what the caller sent
        unknown = set(order) - {"url", "secret", "mode", "seed"}
        if unknown:
            raise ValueError(f"webhooks: unknown field {min(map(str, unknown))!r}")
        with self._changed:
            hook = Hook(**{**asdict(self._hook), **order})
            _check_hook(hook)
            self._hook = hook
            self._random = random.Random(hook.seed)  # noqa: S311 — disorder on order, no secret
        return hook

    def emit(self, events: list[Event]) -> None:
        """Take the events of one occasion and return at once; `wait` for them to have left."""
        with self._changed:
            mode = self._hook.mode
            if mode == "off" or not events:
                self._lost += len(events)
                return
            batch = [_Delivery(self._next_number(), event) for event in events]
            if mode == "hold":
                self._held += batch
                return
            if mode == "twice":
                batch = [copy for one in batch for copy in (one, _Delivery(one.number, one.event))]
            if mode == "shuffled":
                self._random.shuffle(batch)
            self._enqueue(batch)

    def release(self, limit: int | None = None, order: str = "as_is") -> int:
        """Send the first `limit` (None: all) of what is held, in order of happening or in reverse; the rest stays."""
        if order not in ORDERS:
            raise ValueError(f"order: one of {', '.join(ORDERS)} is needed")
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
            raise ValueError("limit: a whole number from 0, or null for all, is needed")
        with self._changed:
            waiting = self._held[::-1] if order == "reversed" else list(self._held)
            going = waiting if limit is None else waiting[:limit]
            self._held = [one for one in self._held if one not in going]
            self._enqueue(going)
        return len(going)

    def retry(self, as_of: datetime | None = None) -> int:
        """Send again what was not taken and is due by `as_of` (aware; None: the stand-in's now); return how many."""
        instant = as_of or self._now()
        with self._changed:
            due = [one for one in self._failed if one.due is not None and one.due <= instant]
            self._failed = [one for one in self._failed if one not in due]
            for one in due:
                # The next wait counts from this try, and this try is made now, whenever it was due.
                self._queue.append(_Delivery(one.number, one.event, one.attempt + 1, instant))
            self._wake()
        return len(due)

    def wait(self, seconds: float = 60.0) -> bool:
        """Return True when nothing is under way any more, False after `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_closed or not (self._queue or self._is_busy), seconds)

    def forget(self) -> None:
        """Drop what is held, what waits for a retry, and the log. The subscription stays."""
        with self._changed:
            self._queue.clear()
            self._held, self._failed, self._lost = [], [], 0
            self._sent.clear()

    def report(self) -> dict[str, Any]:
        """Return what was sent and what was not, without any body and without the secret."""
        with self._changed:
            return {
                "url": self._hook.url,
                "mode": self._hook.mode,
                "lost": self._lost,
                "held": [{"number": one.number, "event": one.event.name} for one in self._held],
                "retries": [
                    {"number": one.number, "event": one.event.name, "after": one.attempt, "due": _text(one.due)}
                    for one in self._failed
                ],
                "sent": [asdict(one) for one in self._sent],
            }

    def validate(self) -> dict[str, Any]:
        """Send the address check and return whether the answer is right: `ok`, `code`, `seconds`, `reason`."""
        hook, plain = self._hook, secrets.token_urlsafe(16)
        milliseconds = round(self._now().timestamp() * 1000)
        raw = compact({"event": VALIDATION_EVENT, "event_ts": milliseconds, "payload": {"plainToken": plain}})
        with self._client() as client:
            code, seconds, answer = self._post(client, hook, raw)
        expected = {"plainToken": plain, "encryptedToken": encrypted_token(hook.secret, plain)}
        reason = ""
        if code is None:
            reason = "no answer within three seconds"
        elif code != 200:
            reason = "200 is needed"
        elif answer != expected:
            reason = "the encrypted token is wrong"
        return {"ok": not reason, "code": code, "seconds": round(seconds, 3), "reason": reason}

    def close(self) -> None:
        """Stop sending."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=ANSWER_SECONDS + 2)

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _enqueue(self, batch: list[_Delivery]) -> None:
        self._queue.extend(batch)
        self._wake()

    def _wake(self) -> None:
        if self._thread is None and not self._is_closed:
            self._thread = threading.Thread(target=self._work, name="sandbox-zoom-webhooks", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _work(self) -> None:
        with self._client() as client:
            while True:
                with self._changed:
                    self._is_busy = False
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._is_closed or bool(self._queue))
                    if self._is_closed:
                        return
                    delivery, hook = self._queue.popleft(), self._hook
                    self._is_busy = True
                code, seconds, _ = self._post(client, hook, delivery.event.raw)
                self._note(delivery, hook, code, seconds)

    def _note(self, delivery: _Delivery, hook: Hook, code: int | None, seconds: float) -> None:
        event = delivery.event
        sent = Sent(
            delivery.number, event.name, event.meeting_id, delivery.attempt, code, round(seconds, 3), hook.mode
        )  # fmt: skip
        with self._changed:
            self._sent.append(sent)
            if sent.is_taken or hook.mode == "forged" or delivery.attempt > len(RETRIES):
                return
            tried_at = delivery.due or self._now()
            due = tried_at + RETRIES[delivery.attempt - 1]
            self._failed.append(_Delivery(delivery.number, event, delivery.attempt, due))

    def _client(self) -> httpx.Client:
        return httpx.Client(timeout=ANSWER_SECONDS, trust_env=False, follow_redirects=False)

    def _post(self, client: httpx.Client, hook: Hook, raw: bytes) -> tuple[int | None, float, Any]:
        # The clock of the header is the real one, whatever day is played: that is what the receiver compares.
        stamp = str(int(time.time()))
        secret = secrets.token_hex(8) if hook.mode == "forged" else hook.secret
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            SIGNATURE_HEADER: signature(secret, stamp, raw),
            TIMESTAMP_HEADER: stamp,
            "x-zm-trackingid": f"v=2.0;clid=sandbox;rid=WEB_{secrets.token_hex(8)}",
            "User-Agent": "Zoom Marketplace/1.0a",
        }
        began = time.monotonic()
        try:
            response = client.post(hook.url, content=raw, headers=headers)
        except httpx.HTTPError:
            return None, time.monotonic() - began, None
        seconds = time.monotonic() - began
        try:
            return response.status_code, seconds, response.json()
        except ValueError:
            return response.status_code, seconds, None


def _check_hook(hook: Hook) -> None:
    if hook.mode not in MODES:
        raise ValueError(f"mode: one of {', '.join(MODES)} is needed")
    if isinstance(hook.seed, bool) or not isinstance(hook.seed, int):
        raise ValueError("seed: a whole number is needed")  # noqa: TRY004 — one error type for what the caller sent
    if not isinstance(hook.secret, str) or not isinstance(hook.url, str):
        raise ValueError("url, secret: text is needed")  # noqa: TRY004 — one error type for what the caller sent
    if hook.mode != "off" and not _is_plain_and_here(hook.url):
        raise ValueError("url: an http address of this machine is needed; the stand-in calls nobody else")
    if hook.mode != "off" and not hook.secret:
        raise ValueError("secret: is missing; Zoom signs every event")


def _is_plain_and_here(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "http" and is_loopback(parts.hostname or "")


def _text(instant: datetime | None) -> str:
    return "" if instant is None else instant.isoformat()
