"""`madoguchi list` and `madoguchi show`."""

from __future__ import annotations

import getpass
import json
import sys
from datetime import date
from typing import Any

from config.settings import Settings
from madoguchi.domain.reference import normalise_reference
from madoguchi.store import listing
from madoguchi.store.audit import Act
from tasks.wiring import build_services, real_clock


def list_rows(settings: Settings, kind: str, day: date | None, status: str | None, *, as_json: bool) -> int:
    """Print a list: one JSON array, or aligned columns."""
    services = build_services(settings)
    with services.database.read() as session:
        rows = list(listing.listed(session, services.office.code, kind, day, status))
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
    else:
        _table(rows)
    return 0


def show(settings: Settings, reference: str, *, as_json: bool) -> int:
    """Print one request, booking, message or restriction with personal data; the look is kept in the audit."""
    services = build_services(settings)
    now = real_clock()
    act = Act(services.office.code, f"cli:{getpass.getuser()}", None, now, now)
    with services.database.write() as session:
        found = listing.show(session, services.vault, _reference(reference), act, services.office.standing)
    if found is None:
        print(f"madoguchi show: {reference}: no such request, booking, message or restriction", file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        _tree(found)
    return 0


def _reference(text: str) -> str:
    try:
        return normalise_reference(text)
    except ValueError:
        return text.strip()


def _table(rows: list[dict[str, Any]]) -> None:
    if not rows:
        print("none")
        return
    names = list(rows[0])
    cells = [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[at]) for line in cells)) for at, name in enumerate(names)]
    for line in [names, *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ";".join(f"{name}={_cell(item)}" for name, item in value.items()) or "-"
    return ",".join(_cell(item) for item in value) if isinstance(value, list) else str(value)


def _tree(value: Any, indent: str = "") -> None:
    for name, item in value.items():
        if isinstance(item, dict):
            print(f"{indent}{name}:")
            _tree(item, indent + "  ")
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            print(f"{indent}{name}:")
            for entry in item:
                print(f"{indent}  - " + ", ".join(f"{key} {_cell(part)}" for key, part in entry.items()))
        else:
            print(f"{indent}{name}: {_cell(item)}")
