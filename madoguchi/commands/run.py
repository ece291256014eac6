"""`madoguchi run FLOW`: one flow, here and now, its summary on stdout."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from config.settings import ROOT, Settings
from madoguchi.adapters.prefect_server import PrefectServerError, connect
from madoguchi.domain.office import JST
from madoguchi.store.models import RunRecord

SOURCES = ("google", "logo", "microsoft")
_PARAMETERS = {"process-requests": {"path", "source"}, "deliver-messages": set()}


class WrongUse(Exception):  # noqa: N818 — named by what happened
    """An argument that cannot be used; the text says what to write instead."""


def run(
    settings: Settings, flow: str, as_of: datetime | None, pairs: Sequence[tuple[str, str]], *, as_json: bool
) -> int:
    """Run `flow` and print its summary; 0 complete, 1 incomplete or failed, 2 wrong use."""
    try:
        parameters = _parameters(flow, as_of, pairs)
    except WrongUse as error:
        print(f"madoguchi run {flow}: {error}", file=sys.stderr)
        return 2
    # Prefect and its libraries print where they like; stdout is a contract.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            record, state = _run(settings, flow, parameters)
        except PrefectServerError as error:
            print(f"madoguchi run {flow}: {error}", file=sys.stderr)
            return 1
    if record is None:
        print(f"madoguchi run {flow}: {state}; `madoguchi check` says what is not in order", file=sys.stderr)
        return 1
    summary = _summary(record)
    if as_json:
        print(json.dumps(summary, ensure_ascii=False))
    else:
        _print(summary, record.message)
    return 0 if record.state == "completed" else 1


def _parameters(flow: str, as_of: datetime | None, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    allowed = _PARAMETERS[flow]
    parameters: dict[str, Any] = {}
    for name, value in pairs:
        if name not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            raise WrongUse(f"--set {name}: not a parameter of this flow (it has: {known})")
        parameters[name] = value
    if "source" in parameters and parameters["source"] not in SOURCES:
        raise WrongUse(f"--set source: one of {', '.join(SOURCES)}")
    if "path" in parameters:
        path = Path(parameters["path"]).absolute()
        if not path.is_file():
            raise WrongUse(f"--set path: no file {path.name} there")
        parameters["path"] = str(path)
    if as_of is not None:
        parameters["as_of"] = as_of
    return parameters


def _run(settings: Settings, flow: str, parameters: dict[str, Any]) -> tuple[RunRecord | None, str]:
    connection = connect(
        settings.var_dir, settings.prefect.host, settings.prefect.port, ROOT / "config" / "prefect_logging.yml"
    )
    # Only now: Prefect reads its environment when it is imported.
    from prefect import tags

    from flows.deliver_messages import deliver_messages
    from flows.process_requests import process_requests
    from madoguchi.store.runs import run_of_prefect
    from tasks.wiring import services

    wired = services()
    connection.wait_until_ready()
    function: Any = {"process-requests": process_requests, "deliver-messages": deliver_messages}[flow]
    with tags("by-hand", settings.mode, *filter(None, [parameters.get("source")])):
        state = asyncio.run(_state_of(function, parameters))
    with wired.database.read() as session:
        record = run_of_prefect(session, str(state.state_details.flow_run_id))
        if record is not None and record.finished_at is None:
            record.state, record.message = "failed", str(state.message)
    return record, f"{state.name}: {state.message}"


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


def _print(summary: dict[str, Any], message: str) -> None:
    started = datetime.fromisoformat(summary["as_of"]).astimezone(JST)
    print(f"{summary['flow']} as of {started:%Y-%m-%d %H:%M} ({started.tzname()}): {summary['state']}")
    for name, count in summary["counts"].items():
        if count:
            print(f"  {name:<20} {count}")
    if summary["incomplete"]:
        print(f"  {message}")
