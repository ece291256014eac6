"""The control side of the day: people, webhooks, and what somebody does to a meeting in Zoom's own pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from madoguchi.sandbox.zoom_day import ActRefusedError, catch_up, plan, play, read_act
from madoguchi.sandbox.zoom_errors import ApiRefusal
from madoguchi.sandbox.zoom_events import stamp
from madoguchi.sandbox.zoom_meetings import make_meeting, vanish
from madoguchi.sandbox.zoom_orders import BadOrderError, field, instant, local, read_json
from madoguchi.sandbox.zoom_rules import check_body
from madoguchi.sandbox.zoom_state import ZoomState

MOST_SECONDS = 600.0
"""A hundred events to a receiver that answers none take five minutes."""

_Found = TypeVar("_Found")


def day_routes(state: ZoomState) -> list[Route]:
    """Return the routes below /sandbox that play the day. Each answers when the events it caused have been sent."""
    day, hooks, meetings = _Day(state), _Hooks(state), _Meetings(state)
    one = "/sandbox/meetings/{meeting:int}"
    return [
        Route("/sandbox/people", local(day.people), methods=["GET", "POST"]),
        Route("/sandbox/webhooks", local(hooks.webhooks), methods=["GET", "POST", "DELETE"]),
        Route("/sandbox/webhooks/release", local(hooks.release), methods=["POST"]),
        Route("/sandbox/webhooks/retry", local(hooks.retry), methods=["POST"]),
        Route("/sandbox/webhooks/validate", local(hooks.validate), methods=["POST"]),
        Route("/sandbox/meetings", local(meetings.add), methods=["POST"]),
        Route("/sandbox/locked", local(meetings.lock), methods=["POST"]),
        Route(f"{one}/drift", local(meetings.drift), methods=["POST"]),
        Route(f"{one}/vanish", local(meetings.vanish), methods=["POST"]),
        Route(f"{one}/shift", local(meetings.shift), methods=["POST"]),
        Route(f"{one}/hand_over", local(meetings.hand_over), methods=["POST"]),
    ]


async def sent(state: ZoomState) -> None:
    """Return when no event is under way; the loop goes on meanwhile, for a receiver that asks Zoom back."""
    await asyncio.to_thread(state.webhooks.wait, MOST_SECONDS)


class _Day:
    def __init__(self, state: ZoomState) -> None:
        self._state = state

    async def people(self, request: Request) -> Response:
        state = self._state
        if request.method == "GET":
            catch_up(state)
            await sent(state)
            return JSONResponse(self._report(request.query_params.get("meeting_id", "")))
        body = await read_json(request)
        meeting_id = _number(field(body, "meeting_id"))
        listed = field(body, "acts")
        try:
            if not isinstance(listed, list):
                raise BadOrderError("acts: a list is needed")
            acts = [read_act(item, f"acts {number}") for number, item in enumerate(listed, start=1)]
        except ValueError as wrong:
            raise BadOrderError(str(wrong)) from None
        if body.get("wait_for_clock"):
            plan(state, meeting_id, acts)
            catch_up(state)
        else:
            try:
                state.webhooks.emit(play(state, meeting_id, acts))
            except ActRefusedError as refused:
                state.webhooks.emit(refused.events)
                await sent(state)
                raise BadOrderError(str(refused)) from None
        await sent(state)
        return JSONResponse(self._report(str(meeting_id)))

    def _report(self, meeting_id: str) -> dict[str, Any]:
        state = self._state
        found: dict[str, Any] = {"script": len(state.script), "errors": list(state.script_errors)}
        if meeting_id:
            doc = _doc(state, _number(meeting_id))
            found["status"] = doc["status"]
            found["present"] = [
                {"who": stay.who, "place": stay.place, "since": stay.came}
                for stay in state.people.present(doc["id"], "outside", "waiting", "meeting")
            ]
        return found


class _Hooks:
    def __init__(self, state: ZoomState) -> None:
        self._state = state

    async def webhooks(self, request: Request) -> Response:
        hooks = self._state.webhooks
        if request.method == "POST":
            body = await read_json(request)
            _ordered(lambda: hooks.subscribe(body))
        elif request.method == "DELETE":
            hooks.forget()
        else:
            catch_up(self._state)
            await sent(self._state)
        return JSONResponse(hooks.report())

    async def release(self, request: Request) -> Response:
        body = _object(await read_json(request))
        count = _ordered(
            lambda: self._state.webhooks.release(body.get("limit"), body.get("order", "as_is"))
        )  # fmt: skip
        await sent(self._state)
        return JSONResponse({"released": count})

    async def retry(self, request: Request) -> Response:
        given = _object(await read_json(request)).get("as_of")
        as_of = None if given is None else instant(given, "as_of")
        count = self._state.webhooks.retry(as_of)
        await sent(self._state)
        return JSONResponse({"retried": count})

    async def validate(self, _request: Request) -> Response:
        if self._state.webhooks.report()["mode"] == "off":
            raise BadOrderError("webhooks: nobody has subscribed; POST /sandbox/webhooks first")
        return JSONResponse(await asyncio.to_thread(self._state.webhooks.validate))


class _Meetings:
    """What is done in Zoom's own pages, past our client: no budget, no scope, no question."""

    def __init__(self, state: ZoomState) -> None:
        self._state = state

    async def add(self, request: Request) -> Response:
        body = _object(await read_json(request))
        start = instant(field(body, "start_time"), "start_time")
        user = self._state.user(str(field(body, "host")))
        if user is None:
            raise BadOrderError("host: there is no such user")
        given: dict[str, Any] = {
            name: body[name] for name in ("topic", "agenda", "duration", "settings", "password") if name in body
        }
        _checked(given)
        doc = make_meeting(self._state, user, given)
        doc["creation_source"] = "web_portal"
        doc["start_time"] = stamp(start)
        self._state.change(doc)
        return JSONResponse({"id": str(doc["id"]), "start": doc["start_time"]}, status_code=201)

    async def lock(self, request: Request) -> Response:
        names = field(await read_json(request), "settings")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BadOrderError("settings: a list of names is needed")
        self._state.locked = frozenset(names)
        return JSONResponse({"settings": sorted(self._state.locked)})

    async def drift(self, request: Request) -> Response:
        doc = self._doc(request)
        given = field(await read_json(request), "settings")
        _checked({"settings": given})
        # Even together as Zoom's pages would not have them: waiting room and joining before the host.
        doc["settings"] = doc["settings"] | given
        self._state.change(doc)
        return JSONResponse({"id": str(doc["id"]), "settings": doc["settings"]})

    async def vanish(self, request: Request) -> Response:
        doc = self._doc(request)
        vanish(self._state, doc)
        await sent(self._state)
        return JSONResponse({"id": str(doc["id"])})

    async def shift(self, request: Request) -> Response:
        doc = self._doc(request)
        doc["start_time"] = stamp(instant(field(await read_json(request), "start_time"), "start_time"))
        self._state.change(doc)
        return JSONResponse({"id": str(doc["id"]), "start": doc["start_time"]})

    async def hand_over(self, request: Request) -> Response:
        doc = self._doc(request)
        user = self._state.user(str(field(await read_json(request), "host")))
        if user is None:
            raise BadOrderError("host: there is no such user")
        doc |= {"host_id": user["id"], "host_email": user["email"]}
        self._state.change(doc)
        self._state.set_host(doc["id"], user["email"])
        return JSONResponse({"id": str(doc["id"]), "host": user["email"]})

    def _doc(self, request: Request) -> dict[str, Any]:
        return _doc(self._state, request.path_params["meeting"])


def _doc(state: ZoomState, meeting_id: int) -> dict[str, Any]:
    doc = state.meeting(meeting_id)
    if doc is None:
        raise BadOrderError("meeting_id: there is no such meeting")
    return doc


def _number(value: object) -> int:
    text = "" if isinstance(value, bool) else str(value)
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BadOrderError("meeting_id: the meeting's number is needed")
    return int(text)


def _object(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise BadOrderError("an object is needed")
    return body


def _checked(body: dict[str, Any]) -> None:
    try:
        check_body(body)
    except ApiRefusal as refused:
        named = ", ".join(item["field"] for item in refused.body["errors"])
        raise BadOrderError(f"{named}: Zoom would not take this") from None


def _ordered(act: Callable[[], _Found]) -> _Found:
    try:
        return act()
    except ValueError as wrong:
        raise BadOrderError(str(wrong)) from None
