"""The web part: Zoom's webhooks, pages for staff, the public terms. An ASGI app that `madoguchi up` serves.

Zoom has its answer as soon as the event lies in the spool; the record is written by a thread that may wait for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import uvicorn
from sqlalchemy.exc import DBAPIError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from madoguchi.adapters.event_spool import EventSpool
from madoguchi.adapters.zoom_webhook import WebhookRefused, validation_answer, verify
from madoguchi.domain.zoom_signature import VALIDATION_EVENT
from madoguchi.web_day import DayPages
from madoguchi.web_door import StaffDoor
from madoguchi.web_overview import OverviewPages
from madoguchi.web_terms import TermsPages
from tasks.evidence import drain, seal_arrival
from tasks.wiring import Run, Services

log = logging.getLogger(__name__)

PRODUCT = "madoguchi-web"
WEBHOOK_PATH = "/zoom/webhook"
MOST_BYTES = 1_000_000
_MOST_CONNECTIONS = 200
_BODY_SECONDS = 5.0
_ANYWAY_SECONDS = 15.0
_LONGEST_PAUSE = 30.0
_QUIET_SECONDS = 60.0
_WAVE_SECONDS = 2.0
_LULL_SECONDS = 0.1
_STATUS = {"NO_SECRET": 503, "NO_SIGNATURE": 401, "BAD_SIGNATURE": 401, "BAD_TIMESTAMP": 403, "TOO_OLD": 403}

Reconsider = Callable[[Services, Run, Sequence[str]], object]


@dataclass(frozen=True, slots=True)
class WebSecrets:
    """What the two doors ask for; an empty one keeps its door shut. `repr` shows neither."""

    webhook: str
    password: str

    def __repr__(self) -> str:
        return f"WebSecrets(webhook={bool(self.webhook)}, password={bool(self.password)})"


def build_app(services: Services, secrets: WebSecrets, taker: Taker, site: Path | None = None) -> Starlette:
    """Return the app. `services.spool` must be set; ValueError otherwise. `site`: the folder of the public terms."""
    if services.spool is None:
        raise ValueError("the web part needs Services.spool, a folder for webhooks")
    webhooks = _Webhooks(services, secrets.webhook, EventSpool(services.spool), taker)
    staff = StaffDoor(secrets.password)
    return Starlette(
        routes=[
            Route(WEBHOOK_PATH, webhooks.take, methods=["POST"]),
            Route("/healthz", _health, methods=["GET"]),
            *OverviewPages(services, staff).routes(),
            *DayPages(services, staff).routes(),
            *(TermsPages(site).routes() if site else []),
        ]
    )


async def _health(_request: Request) -> Response:
    return JSONResponse({"product": PRODUCT, "pid": os.getpid()}, headers={"Cache-Control": "no-store"})


class _Refusal(Exception):  # noqa: N818 — an answer to a stranger, not a failure of ours
    """An answer to somebody who is not believed, or cannot be served now."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


class _Webhooks:
    def __init__(self, services: Services, secret: str, spool: EventSpool, taker: Taker) -> None:
        self._services = services
        self._secret = secret
        self._spool = spool
        self._taker = taker
        self._refusals = _Refusals()

    async def take(self, request: Request) -> Response:
        """Answer one webhook: 204 when it is kept, 200 to the address check, anything else when it is not believed."""
        now = self._services.clock()
        try:
            raw = await self._believe(request, now)
            if (token := _validation_token(raw)) is not None:
                return JSONResponse(validation_answer(self._secret, token))
            await run_in_threadpool(self._put, raw, now)
        except _Refusal as refusal:
            self._refusals.note(refusal.code)
            return JSONResponse({"error": refusal.code}, status_code=refusal.status)
        self._taker.wake()
        return Response(status_code=204)

    async def _believe(self, request: Request, now: datetime) -> bytes:
        if not self._secret.strip():
            raise _Refusal("NO_SECRET", 503)
        if _announced_bytes(request) > MOST_BYTES:
            raise _Refusal("TOO_LARGE", 413)
        try:
            raw = await asyncio.wait_for(_body(request), _BODY_SECONDS)
        except (TimeoutError, ClientDisconnect):
            raise _Refusal("NO_BODY", 408) from None
        try:
            verify(self._secret, raw, request.headers, now)
        except WebhookRefused as refused:
            raise _Refusal(refused.code, _STATUS[refused.code]) from None
        return raw

    def _put(self, raw: bytes, now: datetime) -> None:
        name = self._spool.new_name()
        try:
            self._spool.put(name, seal_arrival(self._services.vault, name, raw, now))
        except OSError as error:
            # Not kept, so not taken: Zoom sends it again in five minutes.
            log.error("a webhook cannot be kept: %s", error.strerror)  # noqa: TRY400 — where it stood is known
            raise _Refusal("CANNOT_KEEP", 503) from None


def _announced_bytes(request: Request) -> int:
    """Return how long the body says it is; 0 where it does not say: reading it stops at the limit anyway."""
    text = request.headers.get("content-length", "")
    return int(text[:20]) if text.isascii() and text.isdigit() else 0


async def _body(request: Request) -> bytes:
    """Return the body as it came over the wire."""
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > MOST_BYTES:
            raise _Refusal("TOO_LARGE", 413)
    return bytes(raw)


def _validation_token(raw: bytes) -> str | None:
    if VALIDATION_EVENT.encode() not in raw:
        return None
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or body.get("event") != VALIDATION_EVENT:
        return None
    payload = body.get("payload")
    token = payload.get("plainToken") if isinstance(payload, dict) else None
    # A half character would break the answer; Zoom's tokens are plain letters.
    return token if isinstance(token, str) and token.isascii() else None


class _Refusals:
    """Says in the log that something was refused, once a minute a code: a stranger shall not fill the disk."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def note(self, code: str) -> None:
        self._unsaid[code] = self._unsaid.get(code, 0) + 1
        if time.monotonic() >= self._next.get(code, 0.0):
            log.warning("webhooks refused: %s, %d", code, self._unsaid.pop(code))
            self._next[code] = time.monotonic() + _QUIET_SECONDS


class Taker:
    """The thread that brings webhooks from the spool into the record, and has their sessions judged again.

    It looks at once when it is woken and every 15 s anyway: another process may have died over its files. While the
    record cannot be written it waits longer and longer, up to 30 s; the spool keeps everything meanwhile.
    """

    def __init__(self, services: Services, reconsider: Reconsider | None = None) -> None:
        self._services = services
        self._reconsider = reconsider
        self._woken = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="webhooks", daemon=True)

    def start(self) -> None:
        """Begin, with what an earlier process may have left in the spool."""
        self._thread.start()

    def wake(self) -> None:
        """Say that something has come."""
        self._woken.set()

    def stop(self, seconds: float = 5.0) -> None:
        """End after the transaction under way; what is not done then stays in the spool."""
        self._over.set()
        self._woken.set()
        if self._thread.ident:
            self._thread.join(timeout=seconds)

    def take(self) -> None:
        """Take in what waits, once; exceptions are the caller's."""
        spool = EventSpool(self._services.spool) if self._services.spool else None
        if spool is None or not spool.waiting(1):
            return
        now = self._services.clock()
        run = Run("web", self._services.stage() or now, now, actor="web:webhook")

        def again(references: Sequence[str]) -> None:
            if self._reconsider is not None:
                self._reconsider(self._services, run, references)

        drain(self._services, run, spool, again)

    def _work(self) -> None:
        pause = 0.0
        while not self._over.is_set():
            self._let_the_wave_pass()
            try:
                self.take()
                pause = 0.0
            except DBAPIError as error:
                pause = self._longer(pause, type(error.orig).__name__)
            except Exception as error:  # noqa: BLE001 — a thread that ends here would leave every later webhook lying
                pause = self._longer(pause, type(error).__name__)
            if pause:
                self._over.wait(pause)
            else:
                self._woken.wait(_ANYWAY_SECONDS)

    def _let_the_wave_pass(self) -> None:
        """Wait while events keep coming, 2 s at most: answers come first, and a transaction for many costs less."""
        until = time.monotonic() + _WAVE_SECONDS
        while self._woken.is_set() and time.monotonic() < until and not self._over.is_set():
            self._woken.clear()
            self._over.wait(_LULL_SECONDS)
        self._woken.clear()

    @staticmethod
    def _longer(pause: float, code: str) -> float:
        pause = min(_LONGEST_PAUSE, max(1.0, 2 * pause))
        log.error("webhooks cannot be taken in now (%s); again in %.0f s, the spool keeps them", code, pause)
        return pause


def server(app: Starlette, host: str = "127.0.0.1", port: int = 0) -> uvicorn.Server:
    """Return the server of an app: no access log, since addresses of callers are nobody's business."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            ws="none",
            lifespan="off",
            log_level="warning",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            # Beyond it the answer is 503 at once: whoever keeps connections open must not keep Zoom out by memory.
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=3,
        )
    )


@contextmanager
def running_web(
    services: Services,
    secrets: WebSecrets,
    reconsider: Reconsider | None = None,
    *,
    taking: bool = True,
    site: Path | None = None,
) -> Iterator[str]:
    """Serve in threads on a free port for as long as the block lasts and give the address, without a last slash.

    For tests and rehearsals. `taking` False: webhooks stay in the spool. `site`: as for `build_app`.
    """
    taker = Taker(services, reconsider)
    web = server(build_app(services, secrets, taker, site))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=web.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            while not web.started:
                time.sleep(0.01)
            if taking:
                taker.start()
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            web.should_exit = web.force_exit = True
            taker.stop()
            thread.join(timeout=10)
