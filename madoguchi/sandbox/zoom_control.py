"""The stand-in's control side: what happened, and what shall go wrong. For this machine only."""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from madoguchi.sandbox.zoom_state import ZoomState

PRODUCT = "madoguchi-sandbox-zoom"
_TOKEN = re.compile(r"ref:([\w-]+)")
_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}


class _BadOrderError(ValueError):
    """What was sent cannot be carried out; the text names the place."""


def control_routes(state: ZoomState) -> list[Route]:
    """Return the routes below /sandbox. Each refuses callers from elsewhere and pages of other sites."""
    control = _Control(state)
    return [
        Route("/sandbox/identity", _local(control.identity), methods=["GET"]),
        Route("/sandbox/meetings", _local(control.meetings), methods=["GET"]),
        Route("/sandbox/requests", _local(control.requests), methods=["GET"]),
        Route("/sandbox/faults", _local(control.faults), methods=["GET", "POST", "DELETE"]),
        Route("/sandbox/latency", _local(control.latency), methods=["POST"]),
        Route("/sandbox/clock", _local(control.clock), methods=["POST", "DELETE"]),
    ]


class _Control:
    def __init__(self, state: ZoomState) -> None:
        self._state = state

    async def identity(self, _request: Request) -> Response:
        return JSONResponse({"product": PRODUCT, "version": 1, "now": self._state.now().isoformat()})

    async def meetings(self, _request: Request) -> Response:
        return JSONResponse(_all_meetings(self._state))

    async def requests(self, _request: Request) -> Response:
        return JSONResponse(dict(sorted(self._state.requests.items())))

    async def faults(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                self._state.faults.order(await _json(request))
            except ValueError as wrong:
                raise _BadOrderError(str(wrong)) from None
        elif request.method == "DELETE":
            self._state.faults.clear()
        return JSONResponse({"faults": self._state.faults.waiting()})

    async def latency(self, request: Request) -> Response:
        seconds = _field(await _json(request), "seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 60:
            raise _BadOrderError("seconds: 0 to 60 is needed")
        self._state.latency_seconds = float(seconds)
        return JSONResponse({"seconds": self._state.latency_seconds})

    async def clock(self, request: Request) -> Response:
        self._state.set_now(_instant(_field(await _json(request), "now")) if request.method == "POST" else None)
        return JSONResponse({"now": self._state.now().isoformat()})


def _all_meetings(state: ZoomState) -> dict[str, Any]:
    rows = []
    for host, status, deleted, doc in state.everything():
        found = _TOKEN.search(doc["agenda"])
        rows.append(
            {
                "id": str(doc["id"]),
                "host": host,
                "token": found[1] if found else "",
                "start": doc["start_time"],
                "duration": doc["duration"],
                "status": status,
                "deleted": deleted,
                "created_at": doc["created_at"],
                "settings": doc["settings"],
            }
        )
    creates = Counter(row["token"] for row in rows)
    # `creates` counts every creation with that token, deleted ones included: two mean that an orphan was made.
    return {"creates": len(rows), "meetings": [{**row, "creates": creates[row["token"]]} for row in rows]}


def _local(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
        # The name is checked too: a web page may have its own name lead to 127.0.0.1.
        if not _is_loopback(request.client.host if request.client else "") or not _is_local_name(request):
            return JSONResponse({"error": "the control side answers this machine only"}, status_code=403)
        try:
            return await endpoint(request)
        except _BadOrderError as wrong:
            return JSONResponse({"error": str(wrong)}, status_code=400)

    return guarded


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_local_name(request: Request) -> bool:
    return (request.url.hostname or "") in _LOCAL_NAMES


async def _json(request: Request) -> Any:
    # A page of another site can post plain text without asking, JSON not.
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise _BadOrderError("content-type: application/json is needed")
    try:
        return json.loads(await request.body())
    except ValueError:
        raise _BadOrderError("the body is not JSON") from None


def _field(body: Any, name: str) -> Any:
    if not isinstance(body, dict) or name not in body:
        raise _BadOrderError(f"{name}: is missing")
    return body[name]


def _instant(value: Any) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _BadOrderError("now: an ISO 8601 instant is needed") from None
    if found.tzinfo is None:
        raise _BadOrderError("now: a time zone is needed")
    return found
