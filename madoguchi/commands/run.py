"""`madoguchi run FLOW`: one flow, here and now, its summary on stdout."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from config.settings import ROOT, Settings
from madoguchi.adapters.prefect_server import PrefectServerError, connect
from madoguchi.domain.office import JST
from madoguchi.store.models import RunRecord

SOURCES = ("google", "logo", "microsoft")


class WrongUse(Exception):  # noqa: N818 — named by what happened
    """An argument that cannot be used; the text says what to write instead."""


def run(
    settings: Settings, flow: str, as_of: datetime | None, pairs: Sequence[tuple[str, str]], *, as_json: bool
) -> int:
    """Run `flow` and print its summary; 0 complete, or rehearsed, 1 incomplete or failed, 2 wrong use."""
    # Prefect and its libraries print where they like; stdout is a contract.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            record, state = _run(settings, flow, as_of, checked_paths(flow, pairs))
        except WrongUse as error:
            print(f"madoguchi run {flow}: {error}", file=sys.stderr)
            return 2
        except PrefectServerError as error:
            print(f"madoguchi run {flow}: {error}", file=sys.stderr)
            return 1
    if isinstance(record, Rehearsal):
        return _print_rehearsal(flow, record, state, as_json=as_json)
    if record is None:
        print(f"madoguchi run {flow}: {state}; `madoguchi check` says what is not in order", file=sys.stderr)
        return 1
    summary = _summary(record)
    if as_json:
        print(json.dumps(summary, ensure_ascii=False))
        print(f"madoguchi run {flow}: {record.message}", file=sys.stderr)
    else:
        _print(summary, record.message)
    return 0 if record.state == "completed" else 1


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a rehearsal showed: `shown` as JSON is printed."""

    shown: dict[str, Any]
    text: str


def checked_paths(flow: str, pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Make paths absolute and refuse what is no file or no source, before anything is started."""
    if flow != "process-requests":
        return dict(pairs)
    checked = {}
    for name, value in pairs:
        if name == "source" and value not in SOURCES:
            raise WrongUse(f"--set source: one of {', '.join(SOURCES)}")
        if name == "path" and not Path(value).absolute().is_file():
            raise WrongUse(f"--set path: no file {Path(value).name} there")
        checked[name] = str(Path(value).absolute()) if name == "path" else value
    return checked


def _run(
    settings: Settings, flow: str, as_of: datetime | None, given: dict[str, str]
) -> tuple[RunRecord | Rehearsal | None, str]:
    connection = connect(
        settings.var_dir, settings.prefect.host, settings.prefect.port, ROOT / "config" / "prefect_logging.yml"
    )
    # Only now: Prefect reads its environment when it is imported.
    from prefect import tags

    from madoguchi.store.runs import run_of_prefect
    from tasks.rehearsal import rehearsed
    from tasks.wiring import services

    function = flow_function(flow)
    parameters = parameters_of(function, given)
    if as_of is not None:
        parameters["as_of"] = as_of
    wired = services()
    connection.wait_until_ready()
    with tags("by-hand", settings.mode, *filter(None, [given.get("source")])):
        state = asyncio.run(_state_of(function, parameters))
    shown = rehearsed(str(state.state_details.flow_run_id))
    if shown is not None:
        return Rehearsal(shown.to_json(), str(state.message)), f"{state.name}: {state.message}"
    with wired.database.read() as session:
        record = run_of_prefect(session, str(state.state_details.flow_run_id))
        if record is not None and record.finished_at is None:
            record.state, record.message = "failed", str(state.message)
    return record, f"{state.name}: {state.message}"


def flow_function(flow: str) -> Any:
    """Return the flow of that name: `flows/send_reminders.py` holds `send_reminders`, which is `send-reminders`."""
    name = flow.replace("-", "_")
    return getattr(import_module(f"flows.{name}"), name)


def parameters_of(function: Any, given: dict[str, str]) -> dict[str, Any]:
    """Return the parameters as the flow's form takes them; WrongUse names what does not fit and what would."""
    from prefect.exceptions import ParameterTypeError

    known = set(signature(function.fn).parameters) - {"as_of"}
    for name in given:
        if name not in known:
            raise WrongUse(f"--set {name}: not a parameter of this flow (it has: {', '.join(sorted(known)) or 'none'})")
    missing = [
        name
        for name, parameter in signature(function.fn).parameters.items()
        if parameter.default is parameter.empty and name not in given
    ]
    if missing:
        raise WrongUse(f"--set {missing[0]}=… is missing")
    try:
        validated: dict[str, Any] = function.validate_parameters(dict(given))
    except ParameterTypeError as error:
        raise WrongUse(str(error)) from None
    return validated


async def _state_of(function: Any, parameters: dict[str, Any]) -> Any:
    return await function(**parameters, return_state=True)


def _summary(record: RunRecord) -> dict[str, Any]:
    return {
        "flow": record.flow,
        "as_of": record.as_of.astimezone(JST).isoformat(),
        "state": record.state,
        "counts": record.counts,
        "incomplete": record.incomplete,
    }


def _print_rehearsal(flow: str, rehearsal: Rehearsal, state: str, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(rehearsal.shown, ensure_ascii=False))
        print(f"madoguchi run {flow}: {state}", file=sys.stderr)
        return 0
    print(rehearsal.text)
    for name, rows in rehearsal.shown["rehearsal"].items():
        for row in rows if isinstance(rows, list) else ():
            print(f"  {name:<9} " + "  ".join(str(value) for value in row.values() if value not in (None, "", [])))
    return 0


def _print(summary: dict[str, Any], message: str) -> None:
    started = datetime.fromisoformat(summary["as_of"]).astimezone(JST)
    print(f"{summary['flow']} as of {started:%Y-%m-%d %H:%M} ({started.tzname()}): {summary['state']}")
    for name, count in summary["counts"].items():
        if count:
            print(f"  {name:<20} {count}")
    if summary["incomplete"] or message not in {"", "Complete"}:
        print(f"  {message}")
