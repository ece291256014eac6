"""The report of one month: gathered with small counts hidden (Art. 7(2)), written as a page and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy.orm import Session

from madoguchi.adapters.usage_report_files import report_page, report_table, write_whole
from madoguchi.domain.application import REASONS, Outcome, Reason
from madoguchi.domain.bounce import BounceKind
from madoguchi.domain.message import MailKind
from madoguchi.domain.office import JST
from madoguchi.domain.statistics import (
    REST,
    Table,
    duration_ja,
    first_of,
    following,
    month_of,
    months_before,
    protect,
    published,
    tree,
)
from madoguchi.domain.usage_report import Section, UsageReport
from madoguchi.domain.wording import era_year, short_date
from madoguchi.store import statistics as store
from madoguchi.store.staff_bookings import STAFF_SOURCE
from tasks import aggregates
from tasks.aggregates import ATTENDANCE, ATTENDED, CANCELLED, NO_SHOW
from tasks.day_list import MAIL_STATES, MAILS
from tasks.steps import codes_only
from tasks.summary import Shortfall, Summary
from tasks.wiring import Run, Services, services

MONTH: Final = r"^(20\d\d-(0[1-9]|1[0-2]))?$"
"""What a month looks like in the form; empty means the one before."""
NOT_OVER, NO_FOLDER, CANNOT_WRITE = "MONTH_NOT_OVER", "NO_REPORTS_DIR", "CANNOT_WRITE"
_OTHERS, _NO_REASON = "そのほか", "理由なし"
_HIDDEN = "—"
_OUTCOMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        Outcome.ACCEPT: "そのまま受付",
        Outcome.NEEDS_REVIEW: "職員が確認",
        Outcome.REJECT: "このままでは受付できない",
    }
)
_SOURCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "google": "Googleフォーム",
        "microsoft": "Microsoft Forms",
        "logo": "LoGoフォーム",
        STAFF_SOURCE: "相談の中で（職員）",
    }
)
_BOUNCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        BounceKind.HARD: "届かないアドレス",
        BounceKind.SOFT: "一時的に届かない",
        BounceKind.POLICY: "受け取りを断られた",
    }
)


@dataclass(frozen=True, slots=True)
class Written:
    """What a run did. `problem`: a code if nothing could be written; `files`: names; `changed`: whether they are new.

    `skipped`: nothing was due: the month's first open day has not come, or the report lies there already.
    """

    month: str
    files: tuple[str, ...] = ()
    changed: bool = False
    skipped: bool = False
    broke_off: bool = False
    problem: str = ""
    headline: tuple[tuple[str, str], ...] = ()


@task(name="write usage report", task_run_name="月の利用状況を書く", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def write_usage_report(run: Run, month: str, redo: bool) -> Written:
    """Write the report of a month."""
    return write_report(services(), run, month, redo=redo)


def write_report(services: Services, run: Run, month: str = "", *, redo: bool = True) -> Written:
    """Write the report of a month that is over at the run's business time; empty: the month before.

    Without `redo` only what is due and not there yet: from the first open day of the next month on. Writes the same
    bytes for the same record; verdicts that change later change the report when it is written again. ValueError for
    what is no month.
    """
    today = run.as_of.astimezone(JST).date()
    month = month or months_before(month_of(today), 1)[0]
    if first_of(following(month)) > today:
        return Written(month, problem=NOT_OVER)
    folder = services.reports_dir
    if folder is None:
        return Written(month, problem=NO_FOLDER)
    names = (f"usage-{month}.html", f"usage-{month}.csv")
    if not redo and (today < _due(services, month) or all((folder / name).is_file() for name in names)):
        return Written(month, names, skipped=True)
    report = usage_report(services, month)
    headline = tuple((row[0], row[1]) for row in report.section("summary").rows)
    if services.is_rehearsal:
        return Written(month, names, headline=headline)
    pages = (report_page(report, services.templates_dir), report_table(report))
    try:
        changed = [write_whole(folder, name, data) for name, data in zip(names, pages, strict=True)]
    except OSError:
        return Written(month, problem=CANNOT_WRITE)
    return Written(month, names, changed=any(changed), headline=headline)


def _due(services: Services, month: str) -> date:
    """Return the first open day after a month."""
    first = first_of(following(month))
    return first if services.calendar.is_working_day(first) else services.calendar.next_working_day(first)


def usage_report(services: Services, month: str) -> UsageReport:
    """Return the report of a month by days in Japan. Reads counts only, never a sealed column."""
    office, first, after = services.office.code, first_of(month), first_of(following(month))
    within = store.span(first, after)
    with services.database.read() as session:
        days = tuple((each.day, each.applied) for each in aggregates.applications_by_day(session, office, first, after))
        asked = store.requests_by_hour(session, office, within)
        hours = protect({str(hour): asked.get(hour, 0) for hour in range(24)})
        held = aggregates.attendance(session, office, [month])[0].held
        sections = (
            _summary(session, office, within, hours, held),
            Section(
                "days", "日ごとの申込み", ("日", "件数"),
                tuple((short_date(day), cell.text) for day, cell in days),
            ),
            _outcomes(session, office, within),
            _sources(services, session, within),
            _hours("hours", "申込みの多い時間", hours, "申込みを受けた時刻（日本時間）です。"),
            _attendance(held),
            _hours("starts", "相談の多い時間", _starts(services, session, within), "相談の開始時刻です。"),
            _mails(session, office, within),
            _bounces(session, office, within),
        )  # fmt: skip
    title = f"{era_year(first)}（{first.year}年）{first.month}月の利用状況"
    by_hour = tuple((int(cell.key), cell) for cell in hours.cells)
    return UsageReport(services.office.name, month, title, sections, days, by_hour)


def _summary(session: Session, office: str, within: store.Span, applied: Table, held: Table) -> Section:
    took = store.times_to_confirmation(session, office, [within])[0]
    share = held.share(NO_SHOW, (ATTENDED, NO_SHOW))
    bounced = published("bounces", sum(store.bounces(session, office, within).values()))
    rows = (
        ("申込み", applied.total.text),
        ("相談（この月に始まる予約）", held.total.text),
        ("相談した", held.cell(ATTENDED).text),
        ("連絡なく不参加", held.cell(NO_SHOW).text),
        ("連絡なく不参加の割合", _HIDDEN if share is None else f"{share:.1%}"),
        ("取り消し", held.cell(CANCELLED).text),
        ("申込みから確定のお知らせまで（半数の方）", _duration(took.median)),
        ("申込みから確定のお知らせまで（9割の方）", _duration(took.ninetieth)),
        ("戻ってきたメール", bounced.text),
    )
    note = "割合は、相談した方と連絡なく不参加の方を合わせた数に対するものです。「—」は、数が少ないか伏せた数です。"
    return Section("summary", "まとめ", ("項目", "数"), rows, note)


def _duration(seconds: float | None) -> str:
    return _HIDDEN if seconds is None else duration_ja(seconds)


def _outcomes(session: Session, office: str, within: store.Span) -> Section:
    top, below = tree(store.requests_by_reason(session, office, within), tuple(_OUTCOMES))
    rows: list[tuple[str, ...]] = []
    for cell in top.cells:
        rows.append((_OUTCOMES.get(cell.key, cell.key), cell.text))
        reasons = below.get(cell.key)
        if reasons is not None and {each.key for each in reasons.cells} - {""}:
            rows += [(f"　{_reason(each.key)}", each.text) for each in reasons.cells]
    note = f"少ない理由は「{_OTHERS}」にまとめています。"
    return Section("outcomes", "受付の結果と理由", ("結果", "件数"), tuple(rows), note)


def _reason(code: str) -> str:
    if code in Reason.__members__:
        return REASONS[Reason(code)].ja
    return {REST: _OTHERS, "": _NO_REASON}.get(code, code)


def _sources(services: Services, session: Session, within: store.Span) -> Section:
    found = store.requests_by_source(session, services.office.code, within)
    keys = dict.fromkeys([*(mapping.source for mapping in services.mappings.values()), STAFF_SOURCE, *found])
    table = protect({key: found.get(key, 0) for key in keys})
    rows = tuple((_SOURCES.get(cell.key, cell.key), cell.text) for cell in table.cells)
    return Section("sources", "申込みの方法", ("方法", "件数"), rows)


def _starts(services: Services, session: Session, within: store.Span) -> Table:
    found = store.sessions_by_hour(session, services.office.code, within)
    hours = services.office.hours.values()
    offered = {hour for span in hours for hour in range(span.opens.hour, span.closes.hour + bool(span.closes.minute))}
    return protect({str(hour): found.get(hour, 0) for hour in sorted(offered | set(found))})


def _hours(key: str, title: str, table: Table, note: str) -> Section:
    return Section(key, title, ("時間", "件数"), tuple((f"{cell.key}時台", cell.text) for cell in table.cells), note)


def _attendance(held: Table) -> Section:
    rows = (*((ATTENDANCE[cell.key], cell.text) for cell in held.cells), ("合計", held.total.text))
    note = "取り消しは、お電話での取り消しと所の都合によるものを合わせた数です。"
    return Section("attendance", "相談の結果", ("結果", "件数"), rows, note)


def _mails(session: Session, office: str, within: store.Span) -> Section:
    top, below = tree(store.mails(session, office, within))
    rows: list[tuple[str, ...]] = []
    for cell in top.cells:
        name = MAILS[MailKind(cell.key)] if cell.key in set(MailKind) else _OTHERS
        rows.append((name, cell.text))
        states = below.get(cell.key)
        if states is not None and len(states.cells) > 1:
            rows += [(f"　{MAIL_STATES.get(each.key, _OTHERS)}", each.text) for each in states.cells]
        elif states is not None and states.cells[0].key != REST:
            rows[-1] = (f"{name}（すべて{MAIL_STATES.get(states.cells[0].key, _OTHERS)}）", cell.text)
    note = f"少ないものは「{_OTHERS}」にまとめています。この月に用意したお知らせの、今の状態です。"
    return Section("mails", "お知らせ", ("種類と状態", "件数"), tuple(rows), note)


def _bounces(session: Session, office: str, within: store.Span) -> Section:
    found = store.bounces(session, office, within)
    table = protect({kind: found.get(kind, 0) for kind in _BOUNCES})
    rows = tuple((_BOUNCES[cell.key], cell.text) for cell in table.cells)
    return Section("bounces", "戻ってきたメール", ("理由", "件数"), rows)


_PROBLEMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        NOT_OVER: "まだ終わっていない月です。終わった月を 2026-09 のように入れてください。",
        NO_FOLDER: "報告を置くフォルダーが設定されていません（MADOGUCHI_REPORTS_DIR）。",
        CANNOT_WRITE: "報告を置くフォルダー（MADOGUCHI_REPORTS_DIR）に書けません。空きと権限を確かめてください。",
    }
)


def lacking_report(written: Written) -> Shortfall:
    """Return the report when it could not be written."""
    items = [(written.month, written.problem)] if written.problem else []
    return Shortfall(1, "report", "reports", "not written", items)


def report_markdown(summary: Summary, written: Written) -> str:
    """Put the counts into the summary and return the artifact: the headline of the report, and where it lies."""
    summary.add({"reports_written": int(written.changed)})
    if written.broke_off:
        return "# 月の利用状況\n\n**作れませんでした。もう一度実行してください。**"
    title = f"# {written.month} の利用状況"
    if written.problem:
        return f"{title}\n\n**書けませんでした。** {_PROBLEMS.get(written.problem, written.problem)}"
    if written.skipped:
        return f"{title}\n\n今は、することがありません。月の最初の開庁日に、先月の報告を作ります。"
    said = "作りました。" if written.changed else "前に作ったものと同じです。"
    rows = "\n".join(f"| {name} | {value} |" for name, value in written.headline)
    files = "、".join(f"`{name}`" for name in written.files)
    return f"{title}\n\n{said} 報告のフォルダーの {files} です。\n\n| 項目 | 数 |\n|---|---:|\n{rows}"
