"""The day list in a browser, for staff at this machine: a password, no cache, nothing loaded from elsewhere."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from madoguchi.domain.office import JST
from madoguchi.domain.this_machine import is_loopback
from madoguchi.domain.wording import long_date, short_time
from madoguchi.store.audit import Act
from tasks.day_list import day_list
from tasks.wiring import Services

_TEMPLATES = Path(__file__).parents[1] / "templates" / "web" / "day"
_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'self'; style-src 'self'; img-src data:; frame-ancestors 'none'"
)
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_HOST = re.compile(r"([a-z0-9.-]+|\[[0-9a-f:]+\])(?::\d{1,5})?", re.IGNORECASE)
_WRONG_PASSWORD_SECONDS = 1.0
_YEARS = range(2000, 2900)

LOCKED = (
    "パスワードが設定されていないため、予約の一覧は表示できません。\n"
    "MADOGUCHI_WEB__PASSWORD を設定して、madoguchi up を始め直してください（docs/settings.md）。\n"
)
_ELSEWHERE = (
    "このページは、madoguchi を動かしている機械のブラウザーでだけ開けます（http://127.0.0.1:ポート番号/day）。\n"
)
_WHO = "パスワードを入力してください。利用者名は、見た人の記録に残ります。\n"
_BAD_DATE = "日付は 2026-09-24 のように書いてください。\n"


class DayPages:
    """The pages. Every look is in the audit, under the name that was given with the password."""

    def __init__(self, services: Services, password: str) -> None:
        self._services = services
        self._password = password
        self._page = _environment().get_template("day.html")

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/", self._here(self._home), methods=["GET"]),
            Route("/day", self._here(self._day), methods=["GET"]),
            Route("/day/style.css", self._here(self._style), methods=["GET"]),
        ]

    @staticmethod
    def _here(page: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            if not _is_from_here(request):
                return _text(_ELSEWHERE, 403)
            return await page(request)

        return answer

    async def _home(self, _request: Request) -> Response:
        return RedirectResponse("/day", status_code=307, headers=_ALWAYS)

    async def _style(self, _request: Request) -> Response:
        return Response((_TEMPLATES / "style.css").read_bytes(), media_type="text/css", headers=_ALWAYS)

    async def _day(self, request: Request) -> Response:
        if not self._password.strip():
            return _text(LOCKED, 503)
        given = _credentials(request.headers.get("authorization", ""))
        if given is None or not hmac.compare_digest(given[1].encode(), self._password.encode()):
            if given is not None:
                await asyncio.sleep(_WRONG_PASSWORD_SECONDS)
            answer = _text(_WHO, 401)
            answer.headers["WWW-Authenticate"] = 'Basic realm="madoguchi", charset="UTF-8"'
            return answer
        try:
            day = _asked_day(request.query_params.get("date", ""))
        except ValueError:
            return _text(_BAD_DATE, 400)
        return await run_in_threadpool(self._render, day, given[0])

    def _render(self, day: date | None, user: str) -> Response:
        services = self._services
        now = services.clock()
        # A rehearsal plays another day; the list is of the day that is played.
        as_of = services.stage() or now
        act = Act(services.office.code, _actor(user), None, as_of, now)
        found = day_list(services, as_of, day, act=act)
        content = self._page.render(
            office=services.office.name,
            found=found,
            yesterday=found.day - timedelta(days=1),
            tomorrow=found.day + timedelta(days=1),
            is_today=found.day == as_of.astimezone(JST).date(),
        )
        return HTMLResponse(content, headers=_ALWAYS)


def _environment() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    templates.filters["day"] = long_date
    templates.filters["clock"] = short_time
    templates.filters["moment"] = _moment
    return templates


def _moment(at: datetime) -> str:
    local = at.astimezone(JST)
    return f"{local.month}月{local.day}日 {short_time(local)}"


def _asked_day(text: str) -> date | None:
    if not text:
        return None
    day = date.fromisoformat(text)
    if day.year not in _YEARS:
        raise ValueError
    return day


def _is_from_here(request: Request) -> bool:
    """Tell whether a browser of this machine asks, under a name of this machine.

    A page elsewhere may have its own name lead to 127.0.0.1; a reverse proxy for Zoom's webhooks may pass on too much.
    """
    if any(name in request.headers for name in _PROXY_HEADERS):
        return False
    # Starlette takes the server's own name where the header is odd: the header itself is read.
    name = _HOST.fullmatch(request.headers.get("host", ""))
    return name is not None and is_loopback(name[1]) and is_loopback(request.client.host if request.client else "")


def _credentials(header: str) -> tuple[str, str] | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None


def _actor(user: str) -> str:
    # Whatever somebody types there must not become personal data of others in the audit.
    name = re.sub(r"[^\w.-]", "", user)[:40]
    return "web:staff" if not name or sum(letter.isdigit() for letter in name) > 8 else f"staff:{name}"


def _text(text: str, status: int) -> Response:
    return PlainTextResponse(text, status_code=status, headers=_ALWAYS)
