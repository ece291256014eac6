"""The door to the pages for staff: this machine only, a password, no cache, nothing loaded from elsewhere."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from madoguchi.domain.office import JST
from madoguchi.domain.this_machine import is_loopback
from madoguchi.domain.wording import long_date, short_time

TEMPLATES = Path(__file__).parents[1] / "templates" / "web"
_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'self'; style-src 'self'; img-src data:; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_HOST = re.compile(r"([a-z0-9.-]+|\[[0-9a-f:]+\])(?::\d{1,5})?", re.IGNORECASE)
_WRONG_PASSWORD_SECONDS = 1.0

_LOCKED = (
    "パスワードが設定されていないため、職員用のページは表示できません。\n"
    "MADOGUCHI_WEB__PASSWORD を設定して、madoguchi up を始め直してください（docs/settings.md）。\n"
)
_ELSEWHERE = (
    "このページは、madoguchi を動かしている機械のブラウザーでだけ開けます（http://127.0.0.1:ポート番号/overview）。\n"
)
_WHO = "パスワードを入力してください。利用者名は、見た人の記録に残ります。\n"

Page = Callable[[Request], Awaitable[Response]]
StaffPage = Callable[[Request, str], Awaitable[Response]]


class StaffDoor:
    """Lets staff in. An empty password keeps it shut."""

    def __init__(self, password: str) -> None:
        self._password = password

    @staticmethod
    def here(page: Page) -> Page:
        """Return a page that only a browser of this machine gets, under a name of this machine."""

        async def answer(request: Request) -> Response:
            return await page(request) if _is_from_here(request) else text(_ELSEWHERE, 403)

        return answer

    def staff(self, page: StaffPage) -> Page:
        """Return a page that also asks for the password; it is given the user name, as somebody typed it."""

        async def answer(request: Request) -> Response:
            if not self._password.strip():
                return text(_LOCKED, 503)
            given = _credentials(request.headers.get("authorization", ""))
            if given is None or not hmac.compare_digest(given[1].encode(), self._password.encode()):
                if given is not None:
                    await asyncio.sleep(_WRONG_PASSWORD_SECONDS)
                refused = text(_WHO, 401)
                refused.headers["WWW-Authenticate"] = 'Basic realm="madoguchi", charset="UTF-8"'
                return refused
            return await page(request, given[0])

        return self.here(answer)


def templates(*folders: Path) -> Environment:
    """Return the templates of pages, with the filters `day`, `clock` and `moment` (all Asia/Tokyo)."""
    environment = Environment(
        loader=FileSystemLoader(folders), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["day"] = long_date
    environment.filters["clock"] = short_time
    environment.filters["moment"] = moment
    return environment


def moment(at: datetime) -> str:
    """Return `9月24日 11時00分` in Asia/Tokyo."""
    local = at.astimezone(JST)
    return f"{local.month}月{local.day}日 {short_time(local)}"


def html(content: str) -> Response:
    """Return a page with everything that keeps it to itself."""
    return HTMLResponse(content, headers=HEADERS)


def style(file: Path) -> Page:
    """Return the page that is a style sheet; it is read now."""
    sheet = file.read_bytes()

    async def answer(_request: Request) -> Response:
        return Response(sheet, media_type="text/css", headers=HEADERS)

    return answer


def text(words: str, status: int) -> Response:
    """Return a plain sentence."""
    return PlainTextResponse(words, status_code=status, headers=HEADERS)


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
