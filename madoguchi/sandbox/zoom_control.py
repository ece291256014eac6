"""The stand-in's control side: what happened, and what shall go wrong. For this machine only."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from madoguchi.sandbox.zoom_control_day import day_routes, sent
from madoguchi.sandbox.zoom_day import catch_up
from madoguchi.sandbox.zoom_orders import BadOrderError, field, instant, local, read_json
from madoguchi.sandbox.zoom_state import ZoomState

PRODUCT = "madoguchi-sandbox-zoom"
_TOKEN = re.compile(r"ref:([\w-]+)")


def control_routes(state: ZoomState) -> list[Route]:
    """Return the routes below /sandbox. Each refuses callers from elsewhere and pages of other sites."""
    control = _Control(state)
    return [
        Route("/sandbox/identity", local(control.identity), methods=["GET"]),
        Route("/sandbox/meetings", local(control.meetings), methods=["GET"]),
        Route("/sandbox/requests", local(control.requests), methods=["GET"]),
        Route("/sandbox/faults", local(control.faults), methods=["GET", "POST", "DELETE"]),
        Route("/sandbox/latency", local(control.latency), methods=["POST"]),
        Route("/sandbox/clock", local(control.clock), methods=["POST", "DELETE"]),
        *day_routes(state),
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
                self._state.faults.order(await read_json(request))
            except ValueError as wrong:
                raise BadOrderError(str(wrong)) from None
        elif request.method == "DELETE":
            self._state.faults.clear()
        return JSONResponse({"faults": self._state.faults.waiting()})

    async def latency(self, request: Request) -> Response:
        seconds = field(await read_json(request), "seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 60:
            raise BadOrderError("seconds: 0 to 60 is needed")
        self._state.latency_seconds = float(seconds)
        return JSONResponse({"seconds": self._state.latency_seconds})

    async def clock(self, request: Request) -> Response:
        self._state.set_now(instant(field(await read_json(request), "now")) if request.method == "POST" else None)
        catch_up(self._state)
        await sent(self._state)
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
