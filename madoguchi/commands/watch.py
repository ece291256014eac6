"""`madoguchi watch`: intent against outcome, without Prefect."""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping
from typing import Any

from config.settings import Settings
from madoguchi.domain.watching import WORDS, Code, Finding, Severity

_OUTSIDE = frozenset({Code.PREFECT_SILENT})
"""Only what runs beside Prefect for longer knows whether it is silent (`commands/watchdog.py`)."""
_NAMED = 12


def run(settings: Settings, *, tell: bool, as_json: bool) -> int:
    """Look at everything now and print what is not as it should be; 1 when something of it is urgent or due soon.

    Keeps the alarms as the flow `watch` does. `tell`: also gives what is untold to mail and webhook; 1 when one fails.
    """
    from flows.deployments_on_schedule import list_on_schedule
    from tasks.alarms import TellingReport, tell_alarms
    from tasks.overview import Scheduled
    from tasks.watching import watch
    from tasks.wiring import Run, build_services

    services = build_services(settings)
    now = services.clock()
    this = Run("watch", now, now, actor=f"cli:{getpass.getuser()}")
    schedules = [Scheduled(entry.flow, entry.crons) for entry in list_on_schedule(services.office)]
    report = watch(services, this, schedules, unknown=_OUTSIDE)
    told = tell_alarms(services, this) if tell else TellingReport()
    if as_json:
        print(json.dumps({"findings": [_as_json(each) for each in report.findings], "told": told.told,
                          "failed": dict(told.failed)}, ensure_ascii=False))  # fmt: skip
    else:
        _print(report.findings, told.told, dict(told.failed))
    acted = [each for each in report.findings if each.severity is not Severity.NOTE]
    return 1 if acted or told.failed else 0


def _as_json(finding: Finding) -> dict[str, Any]:
    words = WORDS[finding.code]
    return {
        "code": finding.code.value,
        "subject": finding.subject,
        "severity": finding.severity.value,
        "touched": list(finding.touched),
        "happened": words.happened,
        "do": words.do,
        "details": dict(finding.details),
    }


def _print(findings: list[Finding], told: Mapping[str, int], failed: Mapping[str, str]) -> None:
    if not findings:
        print("everything is as it should be")
    for finding in findings:
        words = WORDS[finding.code]
        named = " ".join(finding.touched[:_NAMED]) or finding.subject
        more = f" +{len(finding.touched) - _NAMED}" if len(finding.touched) > _NAMED else ""
        print(f"{finding.severity.value:<6} {finding.code.value}  {named}{more}")
        print(f"       {words.happened}\n       {words.do}")
    for channel, count in told.items():
        print(f"told by {channel}: {count}")
    for channel, code in failed.items():
        print(f"not told by {channel}: {code}")
