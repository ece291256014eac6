"""`madoguchi schedule`: what would run on a day, and what would be due."""

from __future__ import annotations

import json
from datetime import date

from config.settings import Settings
from madoguchi.commands.columns import columns
from madoguchi.domain.office import JST
from madoguchi.domain.schedule_plan import DayPlan, in_words


def run(settings: Settings, day: date | None, *, as_json: bool) -> int:
    """Print the plan of a day (default: today in Japan) and return 0. References only, nothing is started."""
    from flows.deployments_on_schedule import list_on_schedule
    from tasks.schedule_plan import OnSchedule, plan_of
    from tasks.wiring import build_services

    services = build_services(settings)
    entries = [
        OnSchedule(entry.flow, entry.name, entry.crons) for entry in list_on_schedule(settings.office) if entry.crons
    ]
    plan = plan_of(services, day or services.clock().astimezone(JST).date(), entries)
    print(json.dumps(_as_json(plan), ensure_ascii=False) if as_json else "\n".join(_lines(plan)))
    return 0


def _as_json(plan: DayPlan) -> dict[str, object]:
    return {
        "day": plan.day.isoformat(),
        "open": plan.is_open,
        "why_closed": plan.why_closed,
        "runs": [
            {
                "flow": run.flow,
                "deployment": run.deployment,
                "at": [at.isoformat() for at in run.at],
                "rests": run.rests,
            }
            for run in plan.runs
        ],
        "due": [{"what": due.what, "reference": due.reference, "at": due.at.isoformat()} for due in plan.due],
    }


def _lines(plan: DayPlan) -> list[str]:
    weekday = "月火水木金土日"[plan.day.weekday()]
    state = f"closed: {plan.why_closed}" if plan.why_closed else "open"
    runs = [
        [f"  {run.flow}/{run.deployment}", in_words(run.at) + (" (takes nothing in today)" if run.rests else "")]
        for run in plan.runs
    ]
    due = [[f"  {each.at:%H:%M}", each.what, each.reference] for each in plan.due]
    return [
        f"{plan.day.isoformat()} ({weekday}) {state}; all times Asia/Tokyo",
        "runs",
        *(columns(runs) or ["  none"]),
        f"due ({len(due)})",
        *(columns(due) or ["  nothing"]),
    ]
