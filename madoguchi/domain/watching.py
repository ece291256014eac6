"""Intent against outcome: what is not as it should be, whom it touches, what to press. Pure.

Every rule takes what the record says (`Facts`), the office's own limits (`WatchPolicy`), its calendar and the time.
Time that passes while the office is closed does not count where nobody could have acted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final

from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.cron_times import next_time
from madoguchi.domain.office import JST, WatchPolicy
from madoguchi.domain.open_time import open_time_between

_TOUCHED = 50
"""References that a finding carries; the count says how many there are."""


class Severity(StrEnum):
    """How soon somebody has to act."""

    URGENT = "urgent"
    SOON = "soon"
    NOTE = "note"


class Code(StrEnum):
    """What can be wrong. The values are a contract: alarms, webhooks and the handbook name them."""

    DUE_UNSENT = "DUE_UNSENT"
    CONFIRMATION_MISSING = "CONFIRMATION_MISSING"
    UNSWEPT = "UNSWEPT"
    UNCERTAIN_MAIL = "UNCERTAIN_MAIL"
    REVIEW_OLD = "REVIEW_OLD"
    STUCK_CLAIM = "STUCK_CLAIM"
    NO_EXPORT = "NO_EXPORT"
    SPOOL_WAITING = "SPOOL_WAITING"
    RUN_FAILED = "RUN_FAILED"
    SCHEDULE_SILENT = "SCHEDULE_SILENT"
    PREFECT_SILENT = "PREFECT_SILENT"
    OFFICE_FILE_REFUSED = "OFFICE_FILE_REFUSED"
    ZOOM_BUDGET = "ZOOM_BUDGET"
    HOLIDAYS_ENDING = "HOLIDAYS_ENDING"
    DISK = "DISK"
    CERTIFICATE = "CERTIFICATE"
    KEY_AGE = "KEY_AGE"


@dataclass(frozen=True, slots=True)
class Words:
    """What staff read: what happened, and what to do (deployments by the name that they press)."""

    severity: Severity
    happened: str
    do: str


WORDS: Final[Mapping[Code, Words]] = MappingProxyType(
    {
        Code.DUE_UNSENT: Words(
            Severity.URGENT,
            "送る時刻を過ぎても、お知らせが送れていません。",
            "deliver-messages/by-hand を実行してください。続けて失敗するときは、メールの中継が止まっていないか"
            "情報係に確かめ、面談が近い方にはお電話をして record-contact に記録してください。",
        ),
        Code.CONFIRMATION_MISSING: Words(
            Severity.URGENT,
            "面談が近いのに、参加の案内が届いていない予約があります。",
            "process-requests/by-hand を実行してください。直らないときはお電話をし、"
            "move-booking/by-hand で別の日時にしてください。",
        ),
        Code.UNSWEPT: Words(
            Severity.URGENT,
            "開始から10分を過ぎたのに、出欠が決まっていない面談があります。",
            "sweep-no-shows/by-hand を実行してください。",
        ),
        Code.UNCERTAIN_MAIL: Words(
            Severity.SOON,
            "届いたか分からないお知らせがあります。自動では送り直しません。",
            "ご本人か送信記録で確かめて、settle-message/by-hand に入れてください。",
        ),
        Code.REVIEW_OLD: Words(
            Severity.SOON,
            "職員の判断を、開庁日で一日より長く待っているものがあります。",
            "申込みは decide-request/by-hand、出欠は settle-attendance/by-hand、お知らせは settle-message/by-hand、"
            "戻ってきたメールは settle-bounce/by-hand で決めてください。",
        ),
        Code.STUCK_CLAIM: Words(
            Severity.SOON,
            "途中で止まった処理が、手をつけたままの仕事を残しています。",
            "deliver-messages/by-hand と process-requests/by-hand を実行してください。",
        ),
        Code.NO_EXPORT: Words(
            Severity.SOON,
            "いつもより長く、新しい申込みのファイルが届いていません。",
            "フォームの書き出しが受信フォルダーに置かれているか確かめてください。置いたら process-requests/by-hand を"
            "実行してください。",
        ),
        Code.SPOOL_WAITING: Words(
            Severity.SOON,
            "Zoomからの通知が、記録に取り込まれずに待っています。",
            "sweep-no-shows/by-hand を実行してください。"
            "続くときは、情報係に madoguchi up の状態を確かめてもらってください。",
        ),
        Code.RUN_FAILED: Words(
            Severity.SOON,
            "自動の処理が失敗し、まだ片づいていません。",
            "ダッシュボードで赤い実行を開き、State Message を読んで Retry を押すか、"
            "同じ名前の by-hand を実行してください。",
        ),
        Code.SCHEDULE_SILENT: Words(
            Severity.URGENT,
            "予定の時刻に動くはずの処理が、動いていません。",
            "ダッシュボードの Deployments で、その処理の予定（Schedule）が止められていないか見て、"
            "by-hand を実行してください。"
            "続くときは、情報係に madoguchi up を始め直してもらってください。",
        ),
        Code.PREFECT_SILENT: Words(
            Severity.URGENT,
            "見張り（watch）が動いていません。ほかの自動の処理も止まっているおそれがあります。",
            "情報係に madoguchi up を始め直してもらってください。急ぐ処理は、情報係が madoguchi run で動かせます。",
        ),
        Code.OFFICE_FILE_REFUSED: Words(
            Severity.SOON,
            "office.toml の新しい内容が読めないため、前の予定のまま動いています。",
            "情報係に madoguchi check の表示を見て、office.toml を直してもらってください。",
        ),
        Code.ZOOM_BUDGET: Words(
            Severity.SOON,
            "Zoomが一日に許す作成・変更の回数を、ほとんど使いました。",
            "今日の変更は急ぐものだけにしてください。回数は毎日9時に戻ります。",
        ),
        Code.HOLIDAYS_ENDING: Words(
            Severity.NOTE,
            "祝日の表が、まもなく終わります。終わりより先の日は予約できません。",
            "情報係に、office.toml の holidays_known_until を新しい官報の日まで延ばしてもらってください。",
        ),
        Code.DISK: Words(
            Severity.URGENT,
            "機械の空き容量が少なくなりました。",
            "情報係に、空きを作ってもらってください。なくなると申込みを読めなくなります。",
        ),
        Code.CERTIFICATE: Words(
            Severity.SOON,
            "通信の証明書の期限が近づいています。",
            "情報係に、証明書を新しくしてもらってください。切れるとお知らせが送れなくなります。",
        ),
        Code.KEY_AGE: Words(
            Severity.NOTE,
            "個人情報を守る鍵を、長く替えていません。",
            "情報係に madoguchi keys rotate を行ってもらってください。",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `subject` tells two findings of a code apart; `touched`: references, never names."""

    code: Code
    subject: str
    touched: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """How soon somebody has to act."""
        return WORDS[self.code].severity


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something by reference, since when."""

    reference: str
    since: datetime


@dataclass(frozen=True, slots=True)
class FlowFacts:
    """What is known of a flow on schedule, in business time.

    `last`: its newest run, whatever came of it. `failing_since`: the first run without success since the last one that
    succeeded. `since`: from when on it can be expected at all.
    """

    flow: str
    crons: tuple[str, ...]
    last: datetime | None
    failing_since: datetime | None
    since: datetime
    incomplete: tuple[str, ...] = ()
    open_days_only: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What the record, the machine and the outside say. Lists hold the oldest; `*_count` says how many."""

    unsent: Sequence[Waiting] = ()
    unsent_count: int = 0
    unconfirmed: Sequence[Waiting] = ()
    unswept: Sequence[Waiting] = ()
    uncertain: Sequence[str] = ()
    tasks: Sequence[Waiting] = ()
    stuck: Sequence[Waiting] = ()
    exports: Sequence[datetime] = ()
    flows: Sequence[FlowFacts] = ()
    budgets: Mapping[str, int] = field(default_factory=dict)
    budget_limit: int = 100
    spool_oldest: timedelta | None = None
    office_refused: str | None = None
    free_bytes: int | None = None
    certificates: Mapping[str, datetime] = field(default_factory=dict)
    oldest_key: datetime | None = None


def find(facts: Facts, policy: WatchPolicy, calendar: OfficeCalendar, at: datetime) -> list[Finding]:
    """Return everything that is wrong at a business time, the most urgent first. Nothing is said of what is unknown."""
    found = [
        *_of_mails(facts, policy, calendar, at),
        *_of_sessions(facts, policy, at),
        *_of_people(facts, calendar, at),
        *_of_runs(facts, policy, calendar, at),
        *_of_exports(facts, policy, calendar, at),
        *_of_the_machine(facts, policy, at),
        *_holidays_ending(calendar, policy, at),
    ]
    order = list(Severity)
    return sorted(found, key=lambda each: (order.index(each.severity), list(Code).index(each.code), each.subject))


def _some(code: Code, subject: str, waiting: Sequence[Waiting], count: int | None = None) -> list[Finding]:
    if not waiting:
        return []
    references = tuple(dict.fromkeys(each.reference for each in waiting))[:_TOUCHED]
    since = min(each.since for each in waiting)
    return [Finding(code, subject, references, {"count": count or len(waiting), "since": since.isoformat()})]


def _of_mails(facts: Facts, policy: WatchPolicy, calendar: OfficeCalendar, at: datetime) -> list[Finding]:
    late = [each for each in facts.unsent if open_time_between(calendar, each.since, at) > policy.unsent]
    count = facts.unsent_count if len(late) == len(facts.unsent) else len(late)
    stuck = [each for each in facts.stuck if open_time_between(calendar, each.since, at) > policy.unsent]
    return [
        *_some(Code.DUE_UNSENT, "messages", late, count),
        *(Finding(Code.UNCERTAIN_MAIL, each, (each,)) for each in facts.uncertain),
        *_some(Code.STUCK_CLAIM, "claims", stuck),
    ]


def _of_sessions(facts: Facts, policy: WatchPolicy, at: datetime) -> list[Finding]:
    soon = [each for each in facts.unconfirmed if at < each.since <= at + policy.before_session]
    unswept = [each for each in facts.unswept if at - each.since > timedelta(minutes=10) + policy.unswept]
    return [
        *(
            Finding(Code.CONFIRMATION_MISSING, each.reference, (each.reference,), {"start": each.since.isoformat()})
            for each in soon
        ),
        *_some(Code.UNSWEPT, "sessions", unswept),
    ]


def _of_people(facts: Facts, calendar: OfficeCalendar, at: datetime) -> list[Finding]:
    old = [each for each in facts.tasks if is_older_than_an_open_day(calendar, each.since, at)]
    return _some(Code.REVIEW_OLD, "tasks", old)


def is_older_than_an_open_day(calendar: OfficeCalendar, since: datetime, at: datetime) -> bool:
    """Tell whether the office has been open for a whole day's reception hours since; closed days do not count."""
    hours = calendar.office.reception
    day = datetime.combine(date.min, hours.closes) - datetime.combine(date.min, hours.opens)
    return open_time_between(calendar, since, at) > day


def _of_runs(facts: Facts, policy: WatchPolicy, calendar: OfficeCalendar, at: datetime) -> list[Finding]:
    found = []
    for flow in facts.flows:
        missed = missed_since(flow, calendar)
        if missed is not None and at - missed > policy.silent:
            found.append(Finding(Code.SCHEDULE_SILENT, flow.flow, (), {"missed": missed.isoformat()}))
        elif flow.failing_since is not None and at - flow.failing_since >= policy.failing:
            details = {"since": flow.failing_since.isoformat(), "count": len(flow.incomplete)}
            found.append(Finding(Code.RUN_FAILED, flow.flow, flow.incomplete[:_TOUCHED], details))
    return found


def missed_since(flow: FlowFacts, calendar: OfficeCalendar) -> datetime | None:
    """Return when a flow should have run next after its newest run (aware, Asia/Tokyo); None without a schedule.

    A start up to two minutes early counts as that turn. Closed days are passed over where the flow rests on them.
    """
    after = max(flow.last, flow.since) if flow.last else flow.since
    after += timedelta(minutes=2)
    turns = []
    for cron in flow.crons:
        turn = next_time(cron, after)
        while turn is not None and flow.open_days_only and not calendar.is_working_day(turn.date()):
            turn = next_time(cron, turn.replace(hour=23, minute=59))
        if turn is not None:
            turns.append(turn)
    return min(turns, default=None)


def _of_exports(facts: Facts, policy: WatchPolicy, calendar: OfficeCalendar, at: datetime) -> list[Finding]:
    if not facts.exports:
        return []
    newest = max(facts.exports)
    waited = open_time_between(calendar, newest, at)
    if waited <= usual_gap(facts.exports, policy, calendar):
        return []
    return [Finding(Code.NO_EXPORT, "exports", (), {"since": newest.isoformat()})]


def usual_gap(exports: Sequence[datetime], policy: WatchPolicy, calendar: OfficeCalendar) -> timedelta:
    """Return how much open time may pass without an export: what this office has seen, and a half more.

    Never less than one day's reception hours, never more than five; `policy.no_export` wins when it is set. Without
    at least four exports nothing is usual yet, and two open days are given.
    """
    hours = calendar.office.reception
    day = datetime.combine(date.min, hours.closes) - datetime.combine(date.min, hours.opens)
    if policy.no_export is not None:
        return policy.no_export
    ordered = sorted(exports)
    if len(ordered) < 4:
        return 2 * day
    longest = max(open_time_between(calendar, first, second) for first, second in pairwise(ordered))
    return min(max(day, longest * 3 / 2), 5 * day)


def _of_the_machine(facts: Facts, policy: WatchPolicy, at: datetime) -> list[Finding]:
    found = []
    for host, used in sorted(facts.budgets.items()):
        if used >= facts.budget_limit * policy.budget_share:
            found.append(Finding(Code.ZOOM_BUDGET, host, (), {"used": used, "limit": facts.budget_limit}))
    if facts.spool_oldest is not None and facts.spool_oldest > policy.spool:
        minutes = int(facts.spool_oldest.total_seconds() // 60)
        found.append(Finding(Code.SPOOL_WAITING, "webhooks", (), {"minutes": minutes}))
    if facts.office_refused is not None:
        found.append(Finding(Code.OFFICE_FILE_REFUSED, "office.toml", (), {"at": facts.office_refused}))
    if facts.free_bytes is not None and facts.free_bytes < policy.free_bytes:
        found.append(Finding(Code.DISK, "var", (), {"free_mb": facts.free_bytes // 1_000_000}))
    for host, until in sorted(facts.certificates.items()):
        if until - at < policy.certificate:
            day = until.astimezone(JST).date().isoformat()
            found.append(Finding(Code.CERTIFICATE, host, (), {"until": day}))
    if facts.oldest_key is not None and at - facts.oldest_key > policy.key:
        day = facts.oldest_key.astimezone(JST).date().isoformat()
        found.append(Finding(Code.KEY_AGE, "data", (), {"since": day}))
    return found


def _holidays_ending(calendar: OfficeCalendar, policy: WatchPolicy, at: datetime) -> list[Finding]:
    until = calendar.office.holidays_known_until
    if until - at.astimezone(JST).date() > policy.holidays:
        return []
    return [Finding(Code.HOLIDAYS_ENDING, until.isoformat(), (), {"until": until.isoformat()})]
