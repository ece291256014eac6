"""Orders to the control side: who may give them, and how they are read."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from madoguchi.domain.this_machine import is_loopback

_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}


class BadOrderError(ValueError):
    """What was sent cannot be carried out; the text names the place."""


def local(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint for this machine only; a bad order becomes a 400 that says what is wrong."""

    async def guarded(request: Request) -> Response:
        # The name is checked too: a web page may have its own name lead to 127.0.0.1.
        if not is_loopback(request.client.host if request.client else "") or not _is_local_name(request):
            return JSONResponse({"error": "the control side answers this machine only"}, status_code=403)
        try:
            return await endpoint(request)
        except BadOrderError as wrong:
            return JSONResponse({"error": str(wrong)}, status_code=400)

    return guarded


def _is_local_name(request: Request) -> bool:
    return (request.url.hostname or "") in _LOCAL_NAMES


async def read_json(request: Request) -> Any:
    """Return the body's JSON; BadOrderError when it is none or does not say that it is."""
    # A page of another site can post plain text without asking, JSON not.
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise BadOrderError("content-type: application/json is needed")
    try:
        return json.loads(await request.body())
    except ValueError:
        raise BadOrderError("the body is not JSON") from None


def field(body: Any, name: str) -> Any:
    """Return a field that is needed."""
    if not isinstance(body, dict) or name not in body:
        raise BadOrderError(f"{name}: is missing")
    return body[name]


def instant(value: Any, name: str = "now") -> datetime:
    """Return an aware instant; BadOrderError names the field."""
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise BadOrderError(f"{name}: an ISO 8601 instant is needed") from None
    if found.tzinfo is None:
        raise BadOrderError(f"{name}: a time zone is needed")
    return found
