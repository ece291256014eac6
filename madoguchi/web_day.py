"""The day list in a browser, for staff at this machine. Every look is in the audit."""

from __future__ import annotations

import re
from datetime import date, timedelta

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from madoguchi import web_door as door
from madoguchi.domain.office import JST
from madoguchi.store.audit import Act
from tasks.day_list import day_list
from tasks.wiring import Services

_FOLDER = door.TEMPLATES / "day"
_YEARS = range(2000, 2900)
_BAD_DATE = "日付は 2026-09-24 のように書いてください。\n"


class DayPages:
    """The pages. Every look is in the audit, under the name that was given with the password."""

    def __init__(self, services: Services, staff: door.StaffDoor) -> None:
        self._services = services
        self._staff = staff
        self._page = door.templates(_FOLDER).get_template("day.html")

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/day", self._staff.staff(self._day), methods=["GET"]),
            Route("/day/style.css", self._staff.here(door.style(_FOLDER / "style.css")), methods=["GET"]),
        ]

    async def _day(self, request: Request, user: str) -> Response:
        try:
            day = _asked_day(request.query_params.get("date", ""))
        except ValueError:
            return door.text(_BAD_DATE, 400)
        return await run_in_threadpool(self._render, day, user)

    def _render(self, day: date | None, user: str) -> Response:
        services = self._services
        now = services.clock()
        # A rehearsal plays another day; the list is of the day that is played.
        as_of = services.stage() or now
        act = Act(services.office.code, _actor(user), None, as_of, now)
        found = day_list(services, as_of, day, act=act)
        return door.html(
            self._page.render(
                office=services.office.name,
                found=found,
                yesterday=found.day - timedelta(days=1),
                tomorrow=found.day + timedelta(days=1),
                is_today=found.day == as_of.astimezone(JST).date(),
            )
        )


def _asked_day(text: str) -> date | None:
    if not text:
        return None
    day = date.fromisoformat(text)
    if day.year not in _YEARS:
        raise ValueError
    return day


def _actor(user: str) -> str:
    # Whatever somebody types there must not become personal data of others in the audit.
    name = re.sub(r"[^\w.-]", "", user)[:40]
    return "web:staff" if not name or sum(letter.isdigit() for letter in name) > 8 else f"staff:{name}"
