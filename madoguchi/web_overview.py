"""The overview in a browser, for staff at this machine: what waits, today, the week, mails, flows, charts. No names."""

from __future__ import annotations

from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from flows.deployments_on_schedule import list_on_schedule
from madoguchi import web_door as door
from madoguchi.adapters.usage_charts import days_chart, months_chart, times_chart
from madoguchi.domain.statistics import age_ja, duration_ja
from madoguchi.domain.wording import short_date
from tasks.aggregates import ATTENDANCE
from tasks.overview import MAIL_DAYS, Charts, Scheduled, overview, state_ja
from tasks.urgency import URGENCY_JA, Urgency
from tasks.wiring import Services

_FOLDER = door.TEMPLATES / "overview"
_CHARTS = Path(door.TEMPLATES).parent / "charts"
_SHOWN = 60


class OverviewPages:
    """The pages; `/` leads to the overview."""

    def __init__(self, services: Services, staff: door.StaffDoor) -> None:
        self._services = services
        self._staff = staff
        templates = door.templates(_FOLDER, _CHARTS)
        templates.filters["day_short"] = short_date
        templates.filters["duration"] = lambda seconds: "—" if seconds is None else duration_ja(seconds)
        self._page = templates.get_template("overview.html")

    def routes(self) -> list[Route]:
        """Return the routes."""
        staff = self._staff
        return [
            Route("/", staff.here(self._home), methods=["GET"]),
            Route("/overview", staff.staff(self._overview), methods=["GET"]),
            Route("/overview/style.css", staff.here(door.style(_FOLDER / "style.css")), methods=["GET"]),
            Route("/overview/charts.css", staff.here(door.style(_CHARTS / "charts.css")), methods=["GET"]),
        ]

    async def _home(self, _request: Request) -> Response:
        return RedirectResponse("/overview", status_code=307, headers=door.HEADERS)

    async def _overview(self, _request: Request, _user: str) -> Response:
        return await run_in_threadpool(self._render)

    def _render(self) -> Response:
        services = self._services
        # A rehearsal plays another day; the overview is of the day that is played.
        as_of = services.stage() or services.clock()
        found = overview(services, as_of, scheduled(services))
        return door.html(
            self._page.render(
                office=services.office.name,
                found=found,
                items=found.waiting.items[:_SHOWN],
                urgencies=[(urgency, URGENCY_JA[urgency], found.waiting.number(urgency)) for urgency in Urgency],
                attendance=ATTENDANCE,
                drawn=drawings(found.charts),
                state=state_ja,
                age=lambda at: age_ja(at, as_of),
                mail_days=MAIL_DAYS,
            )
        )


def scheduled(services: Services) -> list[Scheduled]:
    """Return the flows that start by themselves."""
    return [Scheduled(entry.flow, entry.crons) for entry in list_on_schedule(services.office)]


def drawings(charts: Charts) -> dict[str, object]:
    """Return the charts as they are drawn."""
    return {
        "days": days_chart([(each.day, each.applied) for each in charts.days]),
        "times": times_chart([(each.first, each.took) for each in charts.weeks]),
        "months": months_chart([(each.month, each.held) for each in charts.months], ATTENDANCE),
    }
