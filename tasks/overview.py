"""The overview: what waits, today, this week, how mails and flows stand, charts. Nobody can be known from it.

What somebody has to act on is counted exactly. Statistics have their small counts hidden (Art. 7(2)).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Final

from sqlalchemy.orm import Session

from madoguchi.domain.cron_times import next_time
from madoguchi.domain.lifecycle import BookingStatus
from madoguchi.domain.message import MessageStatus
from madoguchi.domain.office import JST
from madoguchi.domain.schedule_plan import rests
from madoguchi.domain.statistics import duration_ja, month_of, months_before, published
from madoguchi.domain.wording import short_date, short_start, short_time
from madoguchi.store import day_list as day_store
from madoguchi.store import statistics as statistics_store
from madoguchi.store.overview import Queue, Queues, last_runs, mails_by_state, queues
from tasks import aggregates
from tasks.day_list import MAIL_STATES, STATES
from tasks.urgency import URGENCY_JA, Item, Urgency, Waiting, waiting
from tasks.wiring import Run, Services

log = logging.getLogger(__name__)

CHART_DAYS, CHART_WEEKS, CHART_MONTHS, MAIL_DAYS = 28, 8, 6, 7
ARTIFACT: Final = "overview"
_LISTED = 40
_MAIL_ORDER: Final = (
    MessageStatus.UNCERTAIN,
    MessageStatus.FAILED,
    MessageStatus.RETRYING,
    MessageStatus.QUEUED,
    MessageStatus.SENDING,
    MessageStatus.SENT,
    MessageStatus.SUPPRESSED,
    MessageStatus.MISSED,
)
_NEEDS_A_PERSON: Final = frozenset({MessageStatus.UNCERTAIN, MessageStatus.FAILED})
FLOWS_JA: Final[Mapping[str, str]] = MappingProxyType(
    {
        "process-requests": "申込みの受付",
        "deliver-messages": "お知らせの送信",
        "send-reminders": "前日・直前のお知らせ",
        "sweep-no-shows": "10分後の出欠",
        "reconcile-zoom": "Zoomとの照合",
        "read-bounces": "戻ってきたメール",
        "publish-terms": "規約の公開サイト",
        "watch": "見張り",
        "tell-alarms": "警報の連絡",
        "retain-records": "記録の保存期間",
        "usage-report": "月の利用状況",
    }
)
RUN_STATES: Final[Mapping[str, str]] = MappingProxyType(
    {"completed": "済み", "failed": "残りあり", "running": "動いている途中", "refused": "受け付けず"}
)


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A flow and the cron lines (Asia/Tokyo) by which it starts."""

    flow: str
    crons: tuple[str, ...]

    def next_run(self, after: datetime) -> datetime | None:
        """Return when it starts next after an instant (aware)."""
        return min(filter(None, (next_time(cron, after) for cron in self.crons)), default=None)


@dataclass(frozen=True, slots=True)
class FlowLine:
    """How one flow stands. Times are aware; `state` in Japanese, empty when it never ran."""

    flow: str
    name: str
    state: str
    is_well: bool
    started_at: datetime | None
    succeeded_at: datetime | None
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class MailLine:
    """How many mails stand in a state, and since when the oldest does where a person has to act."""

    state: str
    queue: Queue
    is_alert: bool


@dataclass(frozen=True, slots=True)
class WeekNumbers:
    """This week in Japan, Monday to Sunday, up to now. Exact: for staff only."""

    first: date
    applied: int
    sessions: int
    ahead: int
    by_class: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Charts:
    """Statistics that may be shown to anybody: only of days, weeks and months that are over."""

    days: tuple[aggregates.Day, ...]
    weeks: tuple[aggregates.Week, ...]
    months: tuple[aggregates.Month, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the page. `sessions`: of today, by start."""

    day: date
    as_of: datetime
    sessions: tuple[day_store.DaySession, ...]
    waiting: Waiting
    queues: Queues
    week: WeekNumbers
    mails: tuple[MailLine, ...]
    flows: tuple[FlowLine, ...]
    charts: Charts

    @property
    def live(self) -> int:
        """How many of today's sessions are not cancelled."""
        return sum(one.status is not BookingStatus.CANCELLED for one in self.sessions)


def overview(services: Services, as_of: datetime, schedule: Sequence[Scheduled] = ()) -> Overview:
    """Return how the office stands at a business time (aware). Nobody can be known from it.

    `schedule`: the flows that start by themselves. Reads only; two seconds beside 300,000 mails, most of it charts.
    """
    office, today = services.office.code, as_of.astimezone(JST).date()
    with services.database.read() as session:
        return Overview(
            day=today,
            as_of=as_of,
            sessions=tuple(day_store.sessions_of_day(session, office, today)),
            waiting=waiting(services, session, as_of),
            queues=queues(session, office),
            week=_week(session, office, today),
            mails=_mails(session, office, as_of),
            flows=_flows(session, services, schedule),
            charts=charts(session, office, today),
        )


def charts(session: Session, office: str, today: date) -> Charts:
    """Return the statistics up to the day, week and month before those of `today`.

    What is not over yet would change from look to look, and two looks would give away what came between them.
    """
    monday = today - timedelta(days=today.weekday())
    mondays = [monday - timedelta(weeks=back) for back in range(CHART_WEEKS, 0, -1)]
    first = today - timedelta(days=CHART_DAYS)
    return Charts(
        tuple(aggregates.applications_by_day(session, office, first, today)),
        tuple(aggregates.confirmation_times(session, office, mondays)),
        tuple(aggregates.attendance(session, office, months_before(month_of(today), CHART_MONTHS))),
    )


def _week(session: Session, office: str, today: date) -> WeekNumbers:
    monday = today - timedelta(days=today.weekday())
    within = statistics_store.span(monday, monday + timedelta(days=7))
    applied = statistics_store.requests_by_day(session, office, within)
    by_class = dict.fromkeys(aggregates.ATTENDANCE, 0)
    ahead = 0
    for (_, status), count in statistics_store.sessions_by_month(session, office, within).items():
        if status in {BookingStatus.HELD, BookingStatus.CONFIRMED}:
            ahead += count
        else:
            by_class[aggregates.attendance_class(status)] += count
    return WeekNumbers(monday, sum(applied.values()), ahead + sum(by_class.values()), ahead, by_class)


def _mails(session: Session, office: str, as_of: datetime) -> tuple[MailLine, ...]:
    found = mails_by_state(session, office, as_of - timedelta(days=MAIL_DAYS))
    return tuple(
        MailLine(MAIL_STATES[state], found.get(state, Queue(0, None)), state in _NEEDS_A_PERSON and state in found)
        for state in _MAIL_ORDER
    )


def _flows(session: Session, services: Services, schedule: Sequence[Scheduled]) -> tuple[FlowLine, ...]:
    crons: dict[str, tuple[str, ...]] = {}
    for each in schedule:
        crons[each.flow] = crons.get(each.flow, ()) + each.crons
    known = [*crons, *(flow for flow in FLOWS_JA if flow not in crons)]
    runs = last_runs(session, services.office.code, known)
    lines = []
    for flow in known:
        last = runs.get(flow)
        if last is None and flow not in crons:
            continue
        lines.append(
            FlowLine(
                flow=flow,
                name=FLOWS_JA.get(flow, flow),
                state=RUN_STATES.get(last.state, last.state) if last else "",
                is_well=last is None or last.state != "failed",
                started_at=last.started_at if last else None,
                succeeded_at=last.succeeded_at if last else None,
                next_at=_next_work(services, Scheduled(flow, crons[flow])) if flow in crons else None,
            )
        )
    return tuple(lines)


def _next_work(services: Services, scheduled: Scheduled) -> datetime | None:
    """Return when a flow starts next and takes something in; by the clock, also where another day is played."""
    at = scheduled.next_run(services.clock())
    while at is not None and rests(scheduled.flow, services.calendar, at):
        # One minute before the next day begins: its first start counts.
        at = scheduled.next_run(at.replace(hour=23, minute=59))
    return at


def state_ja(one: day_store.DaySession) -> str:
    """Return the state of a session in Japanese."""
    return STATES[one.status]


def overview_markdown(services: Services, run: Run, schedule: Sequence[Scheduled] = ()) -> str:
    """Return the overview for the artifact `overview`. Never raises: whoever calls it has more important work."""
    try:
        return _markdown(services, run, schedule)
    except Exception as error:  # noqa: BLE001 — see above
        log.warning("the overview cannot be drawn: %s", type(error).__name__)
        return f"# 窓口の様子\n\n今はまとめられませんでした（`{type(error).__name__}`）。ほかの処理は続いています。"


def _markdown(services: Services, run: Run, schedule: Sequence[Scheduled]) -> str:
    """Return the overview for everybody who has the dashboard: no personal data.

    This week's sessions are not broken down and its applications are those of the days that may be shown: numbers that
    grow while one looks would tell what came in between. `schedule`: as for `overview`.
    """
    as_of = run.at(services.clock())
    found = overview(services, as_of, schedule)
    moment = f"{short_date(found.day)} {short_time(as_of)}"
    parts = [
        f"# 窓口の様子\n\n{moment}現在。お名前は、職員用のページ（`/day`）にだけあります。",
        _waiting_part(found),
        _today_part(found),
        _week_part(found),
        _table("お知らせ", ("状態", "件数"), [(mail.state, str(mail.queue.count)) for mail in found.mails])
        + f"\n\n済んだものは最近{MAIL_DAYS}日の数です。",
        _flows_part(found),
        _charts_part(found.charts),
    ]
    return "\n\n".join(parts)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]
    return "\n".join([f"## {title}", "", *lines])


def _waiting_part(found: Overview) -> str:
    items = found.waiting.items
    title = f"人を待っているもの（{len(items)}件）"
    if not items:
        return f"## {title}\n\n今、職員がすることはありません。"
    counted = "、".join(f"{URGENCY_JA[urgency]} {found.waiting.number(urgency)}件" for urgency in Urgency)
    rows = [_waiting_row(item, found.as_of) for item in items[:_LISTED]]
    table = _table(title, ("急ぎ", "内容", "番号", "いつ", "フロー"), rows)
    more = f"\n\n急ぐものから{_LISTED}件までを並べています。" if len(items) > _LISTED else ""
    return f"{table}\n\n{counted}。{more}"


def _waiting_row(item: Item, as_of: datetime) -> tuple[str, ...]:
    title = f"【警報】{item.title}" if item.is_alarm else item.title
    return URGENCY_JA[item.urgency], title, item.reference or item.message, item.when(as_of), item.flow


def _today_part(found: Overview) -> str:
    title = f"今日の相談（{found.live}件）"
    if not found.sessions:
        return f"## {title}\n\n今日の予約はありません。"
    rows = [(short_time(one.start), one.reference, state_ja(one)) for one in found.sessions]
    return _table(title, ("開始", "番号", "状態"), rows)


def _week_part(found: Overview) -> str:
    shown = [each.applied for each in found.charts.days if each.day >= found.week.first]
    applied = sum(cell.count or 0 for cell in shown)
    left_out = "（伏せた日を除く）" if any(cell.count is None for cell in shown) else ""
    sessions = published("sessions", found.week.sessions).text
    return (
        f"## 今週の数\n\n- 相談の予約: {sessions}件\n- 申込み（{short_date(found.week.first)}から昨日まで）: "
        f"{applied}件{left_out}"
    )


def _flows_part(found: Overview) -> str:
    rows = [
        (
            f"{flow.name} `{flow.flow}`",
            flow.state or "まだ動いていません",
            short_start(flow.succeeded_at) if flow.succeeded_at else "—",
            short_start(flow.next_at) if flow.next_at else "手で始めます",
        )
        for flow in found.flows
    ]
    return _table("自動で動くもの", ("フロー", "前回", "最後に済んだ時刻", "次回"), rows)


def _charts_part(charts: Charts) -> str:
    times = [
        (short_date(each.first), duration_ja(each.took.median), duration_ja(each.took.ninetieth))
        for each in charts.weeks
        if each.took.median is not None and each.took.ninetieth is not None
    ]
    months = [(each.month, each.held.total.text, *(cell.text for cell in each.held.cells)) for each in charts.months]
    days = [(short_date(each.day), each.applied.text) for each in charts.days[-14:]]
    return "\n\n".join(
        [
            _table("月ごとの相談の結果", ("月", "合計", *aggregates.ATTENDANCE.values()), months),
            _table("申込みから確定のお知らせまで", ("週の初め", "半数の方", "9割の方"), times),
            _table("日ごとの申込み", ("日", "件数"), days),
            "終わった日・週・月だけの数です。1件から4件は「5未満」とし、引き算で分かってしまう数も伏せています（規約第7条(2)）。",
        ]
    )
