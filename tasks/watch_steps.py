"""The steps and the report of `watch` and `tell-alarms`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from madoguchi.domain.watching import WORDS, Finding, Severity
from tasks import alarms, watching
from tasks.alarms import TellingReport
from tasks.overview import Scheduled, overview_markdown
from tasks.steps import codes_only
from tasks.summary import Shortfall, Summary, counts_table
from tasks.watching import WatchReport
from tasks.wiring import Run, services

ALARM_EVENT: Final = "madoguchi.alarm.changed"
"""What an automation waits for; its resource is the office's counter, its payload ids of alarms."""
_URGENCY_JA: Final = {Severity.URGENT: "急ぎ", Severity.SOON: "今日のうちに", Severity.NOTE: "お知らせ"}
_SHOWN = 12


@task(name="watch", task_run_name="あるべき姿と比べる", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def look(run: Run, schedules: Sequence[Scheduled]) -> WatchReport:
    """Compare intent with outcome and keep the alarms."""
    return watching.watch(services(), run, schedules)


@task(name="overview", task_run_name="概況をまとめる", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def draw_overview(run: Run, schedules: Sequence[Scheduled]) -> str:
    """Return the overview for everybody, without personal data."""
    return overview_markdown(services(), run, schedules)


@task(name="tell alarms", task_run_name="知らせを送る", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def tell(run: Run) -> TellingReport:
    """Tell what nobody has been told."""
    return alarms.tell_alarms(services(), run)


def announce(report: WatchReport) -> None:
    """Say to Prefect that alarms began or ended, so that its automation starts the telling; nothing in a rehearsal."""
    if (report.raised or report.over) and not services().is_rehearsal:
        emit_event(
            event=ALARM_EVENT,
            resource={
                "prefect.resource.id": f"madoguchi.counter.{services().office.code}",
                "prefect.resource.name": "Madoguchi",
            },
            payload={"raised": list(report.raised), "over": list(report.over)},
        )


def lacking_findings(report: WatchReport) -> Shortfall:
    """Return what somebody has to act upon: notes alone make no run Failed."""
    acted = [each for each in report.findings if each.severity is not Severity.NOTE]
    items = [(reference, each.code.value) for each in acted for reference in (each.touched or (each.subject,))]
    return Shortfall(len(items), "matter", "matters", "not as it should be", items, _sentence(report))


def lacking_channels(report: TellingReport) -> Shortfall:
    """Return the channels that did not take the alarms."""
    return Shortfall(len(report.told) + len(report.failed), "channel", "channels", "not told", report.failed)


def watch_report(summary: Summary, report: WatchReport) -> str:
    """Return the artifact: what is wrong, whom it touches, what to press; and take the counts into the summary."""
    summary.add({"findings": len(report.findings), "raised": len(report.raised), "over": len(report.over)})
    if not report.findings:
        return f"# 見張り\n\n足りないものは、ありません。\n\n{_changes(report)}\n"
    parts = [_part(number, finding) for number, finding in enumerate(report.findings, start=1)]
    return "\n".join(["# 見張り", "", *parts, _changes(report), ""])


def telling_report(summary: Summary, report: TellingReport) -> str:
    """Return the artifact of the telling; and take the counts into the summary."""
    told = {f"told_{channel}": count for channel, count in report.told.items()}
    summary.add(told or {"told": 0})
    return f"# 知らせ\n\n{counts_table([(name.removeprefix('told_'), count) for name, count in told.items()])}\n"


def _changes(report: WatchReport) -> str:
    return f"今回あらたに {len(report.raised)} 件、片づいたもの {len(report.over)} 件。"


def _part(number: int, finding: Finding) -> str:
    """Return one finding. No table: what to press would stand beyond the edge of the screen."""
    words = WORDS[finding.code]
    return (
        f"## {number} 【{_URGENCY_JA[finding.severity]}】{words.happened}\n\n"
        f"- すること：{words.do}\n- 対象：{_whom(finding, _SHOWN)}\n- 記号：`{finding.code.value}`\n"
    )


def _whom(finding: Finding, shown: int) -> str:
    named = "、".join(finding.touched[:shown]) or finding.subject
    more = f" ほか{len(finding.touched) - shown}件" if len(finding.touched) > shown else ""
    return f"{named}{more}"


def _sentence(report: WatchReport) -> str:
    """Return what the red run says in the dashboard's lists: the most urgent first; empty: nothing."""
    acted = [each for each in report.findings if each.severity is not Severity.NOTE]
    said = [f"{WORDS[each.code].happened}（{_whom(each, 3)}）" for each in acted[:3]]
    more = f" ほか{len(acted) - 3}件。" if len(acted) > 3 else ""
    return f"{''.join(said)}{more} することは、この実行の Artifacts の watch にあります。" if acted else ""
