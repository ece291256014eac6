"""The stand-in mailbox as a server: SMTP, its page and its control side. On this machine only, without TLS."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from madoguchi.sandbox.mailbox_pages import messages, page_routes
from madoguchi.sandbox.mailbox_smtp import SmtpServer
from madoguchi.sandbox.mailbox_store import MailboxState
from madoguchi.sandbox.zoom_server import LOOPBACK, open_socket, wait_until_up

PRODUCT = "madoguchi-sandbox-mailbox"


def build_app(state: MailboxState) -> Starlette:
    """Return pages and control side. They answer to local names only: another site's name may lead to 127.0.0.1."""
    control = _Control(state)
    return Starlette(
        routes=[
            Route("/sandbox/identity", control.identity, methods=["GET"]),
            Route("/sandbox/messages", control.messages, methods=["GET", "DELETE"]),
            Route("/sandbox/faults", control.faults, methods=["GET", "POST", "DELETE"]),
            *page_routes(state),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[LOOPBACK, "localhost"])],
    )


class _Control:
    def __init__(self, state: MailboxState) -> None:
        self._state = state

    async def identity(self, _request: Request) -> Response:
        return JSONResponse({"product": PRODUCT, "version": 1, "mails": len(self._state.entries())})

    async def messages(self, request: Request) -> Response:
        if request.method == "DELETE":
            return JSONResponse({"deleted": await run_in_threadpool(self._state.clear)})
        return JSONResponse(await run_in_threadpool(messages, self._state))

    async def faults(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                self._state.faults.order(await _json(request))
            except ValueError as wrong:
                return JSONResponse({"error": str(wrong)}, status_code=400)
        elif request.method == "DELETE":
            self._state.faults.clear()
        return JSONResponse({"faults": self._state.faults.waiting()})


async def _json(request: Request) -> Any:
    # A page of another site can post plain text without asking, JSON not.
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise ValueError("content-type: application/json is needed")
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON") from None


@dataclass(frozen=True, slots=True)
class RunningMailbox:
    """A mailbox that is up. `url`: of the page, without a last slash."""

    host: str
    smtp_port: int
    url: str
    state: MailboxState

    @property
    def port(self) -> int:
        """The SMTP port."""
        return self.smtp_port


@contextmanager
def running_mailbox(
    path: Path, *, smtp_port: int = 0, http_port: int = 0, bounces: Path | None = None
) -> Iterator[RunningMailbox]:
    """Serve in threads for as long as the block lasts. `path`: the folder that keeps the mails; port 0: any.

    `bounces`: where notifications about addresses that say so are put (`mailbox_bounces`); None: nowhere.

    Connections that are open at its end are cut. OSError if a port is taken.
    """
    with open_socket(smtp_port) as smtp_socket, open_socket(http_port) as http_socket:
        state = MailboxState(path, bounces=bounces)
        smtp = SmtpServer(state, smtp_socket)
        config = uvicorn.Config(
            build_app(state),
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        web = uvicorn.Server(config)
        thread = threading.Thread(
            target=web.run, kwargs={"sockets": [http_socket]}, name="sandbox-mailbox", daemon=True
        )
        try:
            smtp.start()
            thread.start()
            wait_until_up(web, thread)
            url = f"http://{LOOPBACK}:{http_socket.getsockname()[1]}"
            yield RunningMailbox(LOOPBACK, smtp_socket.getsockname()[1], url, state)
        finally:
            web.should_exit = web.force_exit = True
            smtp.stop()
            if thread.ident:
                thread.join(timeout=10)
            state.close()
