"""The stand-in Zoom as a server: for rehearsals (a process) and for tests (a thread)."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from madoguchi.sandbox import zoom_meetings as acts
from madoguchi.sandbox import zoom_past as past
from madoguchi.sandbox.zoom_control import control_routes
from madoguchi.sandbox.zoom_door import Door
from madoguchi.sandbox.zoom_state import SandboxZoom, ZoomState

LOOPBACK = "127.0.0.1"


class Protocol(H11Protocol):
    """uvicorn's HTTP, showing each request its connection, so that a fault can cut it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it as well
        """Keep the transport where requests find it."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


def build_app(state: ZoomState) -> Starlette:
    """Return the stand-in: /oauth/token and /v2 as Zoom has them, /sandbox to steer it. No TLS, for loopback."""
    door = Door(state)
    user, meeting = "/v2/users/{user}", "/v2/meetings/{meeting}"
    # A uuid may hold a slash, which the server has decoded by now.
    past_path = "/v2/past_meetings/{run:path}"
    return Starlette(
        routes=[
            Route("/oauth/token", door.token(), methods=["POST"]),
            Route("/v2/users", door.operation("users", acts.list_users), methods=["GET"]),
            Route(user, door.operation("user", acts.get_user, "user"), methods=["GET"]),
            Route(f"{user}/meetings", door.operation("list", acts.list_meetings, "user"), methods=["GET"]),
            Route(f"{user}/meetings", door.operation("create", acts.create_meeting, "user"), methods=["POST"]),
            Route(meeting, door.operation("get", acts.get_meeting, "meeting"), methods=["GET"]),
            Route(meeting, door.operation("update", acts.update_meeting, "meeting"), methods=["PATCH"]),
            Route(meeting, door.operation("delete", acts.delete_meeting, "meeting"), methods=["DELETE"]),
            Route(f"{meeting}/status", door.operation("status", acts.set_status, "meeting"), methods=["PUT"]),
            Route(f"{past_path}/participants", door.operation("past_people", past.past_people, "run"), methods=["GET"]),
            Route(past_path, door.operation("past", past.past_meeting, "run"), methods=["GET"]),
            Route(
                "/v2/metrics/meetings/{run:path}/participants",
                door.operation("live_people", past.live_people, "run"),
                methods=["GET"],
            ),
            *control_routes(state),
        ]
    )


def build_server(state: ZoomState) -> uvicorn.Server:
    """Return the server, not yet running; the caller gives it its socket."""
    config = uvicorn.Config(
        build_app(state),
        http=Protocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


def open_socket(port: int, host: str = LOOPBACK) -> socket.socket:
    """Return a listening socket on this machine only; port 0 takes a free one. ValueError for any other host."""
    if host not in {LOOPBACK, "localhost"}:
        raise ValueError("host: the stand-in serves 127.0.0.1 only, it has no TLS and its secrets are open")
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Headers and body leave in two writes; without this each answer waits 40 ms for the client's acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listening.bind((LOOPBACK, port))
        listening.listen(512)
    except OSError:
        listening.close()
        raise
    return listening


def serve(path: Path, port: int, settings: SandboxZoom | None = None, *, host: str = LOOPBACK) -> None:
    """Serve until the process is told to stop. `path`: the file that keeps users, meetings and budgets."""
    state = ZoomState(path, settings)
    try:
        build_server(state).run(sockets=[open_socket(port, host)])
    finally:
        state.close()


@dataclass(frozen=True, slots=True)
class RunningZoom:
    """A stand-in that is up. `url`: without a last slash; `token_url` and `api_url` are what the client wants."""

    url: str
    state: ZoomState

    @property
    def token_url(self) -> str:
        """The address of the token endpoint."""
        return f"{self.url}/oauth/token"

    @property
    def api_url(self) -> str:
        """The base address of the API."""
        return f"{self.url}/v2"


@contextmanager
def running_zoom(path: Path, settings: SandboxZoom | None = None, *, port: int = 0) -> Iterator[RunningZoom]:
    """Serve in a thread for as long as the block lasts; answers withheld at its end are cut off."""
    state = ZoomState(path, settings)
    server = build_server(state)
    listening = open_socket(port)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="sandbox-zoom", daemon=True)
    thread.start()
    try:
        wait_until_up(server, thread)
        yield RunningZoom(f"http://{LOOPBACK}:{listening.getsockname()[1]}", state)
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(timeout=10)
        listening.close()
        state.close()


def wait_until_up(server: uvicorn.Server, thread: threading.Thread) -> None:
    """Return when a server answers; RuntimeError, naming its thread, when it ends or takes longer than ten seconds."""
    until = time.monotonic() + 10
    while not server.started:
        if not thread.is_alive() or time.monotonic() > until:
            raise RuntimeError(f"{thread.name} did not start")
        time.sleep(0.005)
