"""The stand-in's door: tokens, scopes, rates and ordered faults, before and after each act."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from madoguchi.sandbox import zoom_errors as refuse
from madoguchi.sandbox.faults import Fault
from madoguchi.sandbox.zoom_day import catch_up
from madoguchi.sandbox.zoom_meetings import Answer, Call
from madoguchi.sandbox.zoom_state import ZoomState

HANG_SECONDS = 60.0
"""How long an answer is withheld by timeout_after_act when the order says nothing."""

SCOPES: Mapping[str, tuple[str, ...]] = {
    "create": ("meeting:write:meeting:admin", "meeting:write:admin"),
    "list": ("meeting:read:list_meetings:admin", "meeting:read:admin"),
    "get": ("meeting:read:meeting:admin", "meeting:read:admin"),
    "update": ("meeting:update:meeting:admin", "meeting:write:admin"),
    "delete": ("meeting:delete:meeting:admin", "meeting:write:admin"),
    "status": ("meeting:update:status:admin", "meeting:write:admin"),
    "past": ("meeting:read:past_meeting:admin", "meeting:read:admin"),
    "past_people": ("meeting:read:list_past_participants:admin", "meeting:read:admin"),
    "live_people": ("dashboard:read:list_meeting_participants:admin", "dashboard_meetings:read:admin"),
    "user": ("user:read:user:admin", "user:read:admin"),
    "users": ("user:read:list_users:admin", "user:read:admin"),
}
_MEDIUM = {"list", "users", "past_people"}
_HEAVY = {"live_people"}
_WITH_BODY = {"POST", "PATCH", "PUT"}

Handler = Callable[[Call], Answer]
Endpoint = Callable[[Request], Awaitable[Response]]


class Door:
    """Wraps every operation. One a server; used by one event loop."""

    def __init__(self, state: ZoomState) -> None:
        self._state = state
        self._recent: dict[str, deque[float]] = {"Light": deque(), "Medium": deque(), "Heavy": deque()}
        self._known: dict[str, tuple[float, frozenset[str]]] = {}

    def operation(self, op: str, handler: Handler, target: str = "") -> Endpoint:
        """Return the endpoint of one API operation; `target` names its path parameter."""

        async def act(request: Request, lag: float) -> Answer:
            self._authorise(op, request)
            self._keep_rate(op)
            catch_up(self._state)
            body = await _json_body(request) if request.method in _WITH_BODY else {}
            call = Call(
                state=self._state,
                target=request.path_params.get(target, ""),
                query=request.query_params,
                body=body,
                lag=lag,
            )
            return handler(call)

        return self._guarded(op, act)

    def token(self) -> Endpoint:
        """Return the endpoint that hands out access tokens."""

        async def act(request: Request, _lag: float) -> Answer:
            sent = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
            return self._give_token(request, {**request.query_params, **sent})

        return self._guarded("token", act)

    def _guarded(self, op: str, act: Callable[[Request, float], Awaitable[Answer]]) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            self._state.requests[op] += 1
            struck = self._state.faults.strike(op)
            waits = [f.seconds for f in struck if f.kind == "latency"]
            lag = max((f.seconds for f in struck if f.kind == "list_lag"), default=0.0)
            fault = next((f for f in struck if f.kind not in {"latency", "list_lag"}), None)
            wait = self._state.latency_seconds + sum(waits)
            if wait:
                await asyncio.sleep(wait)
            try:
                await self._before(fault, request)
                status, body = await act(request, lag)
            except refuse.ApiRefusal as refused:
                return _respond(refused.status, refused.body, refused.headers)
            return await self._after(fault, request, status, body)

        return endpoint

    async def _before(self, fault: Fault | None, request: Request) -> None:
        """Play the faults that keep the act from happening."""
        kind = fault.kind if fault else ""
        if kind == "drop_before":
            await _drop(request)
            raise refuse.refusal(500, 500, "dropped")
        plain = {
            "429_second": lambda: refuse.second_spent("Light", 80),
            "429_host_day": lambda: refuse.host_day_spent(self._state.settings.daily_changes_per_host),
            "429_daily": lambda: refuse.day_spent(self._state.now()),
            "500": lambda: refuse.refusal(500, 500, "Internal server error."),
            "503": lambda: refuse.refusal(503, 503, "Service unavailable."),
            "401_expired": refuse.token_expired,
        }
        build = plain.get(kind)
        if build is not None:
            refused = build()
            raise refused

    async def _after(self, fault: Fault | None, request: Request, status: int, body: dict[str, Any] | None) -> Response:
        """Play the faults that lose or spoil the answer of an act that has happened."""
        kind = fault.kind if fault else ""
        if kind == "drop_after":
            await _drop(request)
        elif kind == "timeout_after_act" and fault is not None:
            await asyncio.sleep(fault.seconds or HANG_SECONDS)
        elif kind == "500_after_act":
            return _respond(500, {"code": 500, "message": "Internal server error."})
        elif kind == "bad_json":
            return Response('{"id": 8', status_code=status, media_type="application/json")
        return _respond(status, body)

    def _give_token(self, request: Request, form: Mapping[str, str]) -> Answer:
        settings = self._state.settings
        if not hmac.compare_digest(_basic(request), f"{settings.client_id}:{settings.client_secret}".encode()):
            raise refuse.token_refusal(400, "invalid_client", "Invalid client_id or client_secret")
        if form.get("grant_type") != "account_credentials":
            raise refuse.token_refusal(400, "unsupported_grant_type", "unsupported grant type")
        if form.get("account_id") != settings.account_id:
            raise refuse.token_refusal(400, "invalid_request", "Bad Request")
        claims = [time.time() + settings.token_seconds, secrets.token_hex(4), *settings.scopes]
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()
        return 200, {
            "access_token": f"{payload}.{self._sign(payload)}",
            "token_type": "bearer",
            "expires_in": settings.token_seconds,
            "scope": " ".join(settings.scopes),
            "api_url": f"{request.url.scheme}://{request.url.netloc}",
        }

    def _authorise(self, op: str, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise refuse.token_invalid()
        if token not in self._known:
            self._known[token] = self._verify(token)
        ends, scopes = self._known[token]
        if time.time() >= ends:
            raise refuse.token_expired()
        if scopes.isdisjoint(SCOPES[op]):
            raise refuse.scope_missing(SCOPES[op])

    def _verify(self, token: str) -> tuple[float, frozenset[str]]:
        payload, _, signature = token.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(payload).encode()):
            raise refuse.token_invalid()
        ends, _, *scopes = json.loads(base64.urlsafe_b64decode(payload))
        return float(ends), frozenset(scopes)

    def _sign(self, payload: str) -> str:
        return hmac.new(self._state.secret, payload.encode(), hashlib.sha256).hexdigest()

    def _keep_rate(self, op: str) -> None:
        category = "Heavy" if op in _HEAVY else "Medium" if op in _MEDIUM else "Light"
        settings = self._state.settings
        limit = {
            "Light": settings.light_per_second,
            "Medium": settings.medium_per_second,
            "Heavy": settings.heavy_per_second,
        }[category]
        if limit is None:
            return
        recent, now = self._recent[category], time.monotonic()
        while recent and now - recent[0] >= 1.0:
            recent.popleft()
        if len(recent) >= limit:
            raise refuse.second_spent(category, limit)
        recent.append(now)


async def _json_body(request: Request) -> Mapping[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise refuse.refusal(400, 300, "Request Body should be a valid JSON object.")
    return body


def _basic(request: Request) -> bytes:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _respond(status: int, body: Mapping[str, Any] | None, headers: Mapping[str, str] | None = None) -> Response:
    named = {"x-zm-trackingid": f"v=2.0;clid=sandbox;rid=WEB_{secrets.token_hex(8)}", **(headers or {})}
    if body is None:
        return Response(status_code=status, headers=named)
    return JSONResponse(body, status_code=status, headers=named)


async def _drop(request: Request) -> None:
    """Close the connection under the client, without a word (see `zoom_server.Protocol`)."""
    transport = request.scope.get("state", {}).get("transport")
    if transport is None:
        raise RuntimeError("drop_before and drop_after need the server of zoom_server.serve")
    transport.abort()
    # Until the loop has told the server of the loss, it would still write an answer.
    await asyncio.sleep(0.01)
