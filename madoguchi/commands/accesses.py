"""`madoguchi accesses`: who looked at personal data. Names and references, never what was seen."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta

from config.settings import Settings
from madoguchi.domain.office import JST
from madoguchi.store.audit import accesses
from tasks.wiring import build_services, real_clock

_DAYS = 30


def run(settings: Settings, since: date | None, *, as_json: bool) -> int:
    """Print every look at personal data from a day on (Japan; default: the last 30 days), the oldest first."""
    services = build_services(settings)
    day = since or (real_clock().astimezone(JST).date() - timedelta(days=_DAYS))
    with services.database.read() as session:
        rows = accesses(session, services.office.code, datetime.combine(day, time(), JST))
    listed = [
        {
            "at": row.recorded_at.astimezone(JST).isoformat(timespec="seconds"),
            "who": row.actor,
            "did": row.action,
            "kind": row.subject_kind,
            "reference": row.subject,
        }
        for row in rows
    ]
    if as_json:
        print(json.dumps(listed, ensure_ascii=False))
        return 0
    for line in listed:
        print(
            "  ".join(
                (line["at"], f"{line['did']:<10}", f"{line['kind']:<12}", f"{line['reference']:<14}", line["who"])
            )
        )
    if not listed:
        print("none")
    return 0
