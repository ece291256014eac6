"""How a run tells operators what it did: its name, its artifact in Japanese, its final state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from prefect.client.schemas import State
from prefect.context import TagsContext
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from madoguchi.domain.application import REASONS, Outcome, Reason
from madoguchi.domain.notice_proof import bounce_reason_ja
from madoguchi.domain.office import JST
from madoguchi.domain.schedule_plan import rests, why_closed
from madoguchi.domain.verdict import reason_ja
from madoguchi.store.runs import open_tasks
from tasks.artifacts import publish
from tasks.bounces import CALL_BOUNCED, MAIL_REFUSED, UNCLEAR_BOUNCES
from tasks.day_list import day_list_markdown
from tasks.delivery import FAILED_MESSAGE, UNCERTAIN_MESSAGE, UNSENT_MESSAGE, DeliveryReport
from tasks.inbox import InboxReport
from tasks.meeting_removal import ZOOM_DIFFERS, ZOOM_DRIFT, RemovalReport
from tasks.meetings import MeetingsReport
from tasks.proof import TELL_OTHERWISE
from tasks.scheduling import ScheduleReport
from tasks.settling import CALL_APPLICANT, OFFICE_FAULT, REVIEW_REQUEST, SWITCH_REGISTRATION
from tasks.steps import StepError, new_run
from tasks.summary import Shortfall, Summary, counts_table, reasons_table
from tasks.summary import begin as record_begin
from tasks.summary import conclude as record_end
from tasks.verdict_effects import CONFIRM_NO_SHOW, EVIDENCE_AFTER_VERDICT, SETTLE_ATTENDANCE
from tasks.wiring import Run, services

_OUTCOMES_JA = {
    Outcome.ACCEPT: "受付",
    Outcome.NEEDS_REVIEW: "職員が確認",
    Outcome.REJECT: "このままでは受付できない",
    Outcome.SKIP: "空行",
}
_MESSAGES_JA = {
    "sent": "送信した",
    "retrying": "後で再送する",
    "failed": "送れない（電話が必要）",
    "uncertain": "届いたか不明（確認が必要）",
    "suppressed": "送らないことにした",
    "missed": "時刻を過ぎたので送らなかった",
}


_TASKS_JA = {
    REVIEW_REQUEST: "申込みの確認",
    CALL_APPLICANT: "お電話での連絡",
    SWITCH_REGISTRATION: "利用登録者への切替え",
    UNCERTAIN_MESSAGE: "届いたか分からないお知らせ",
    FAILED_MESSAGE: "送れなかったお知らせ",
    UNSENT_MESSAGE: "送れないまま時刻を過ぎたお知らせ",
    ZOOM_DRIFT: "Zoomの設定（録画・待機室など）が正しくないミーティング",
    ZOOM_DIFFERS: "記録とZoomの内容が違うもの",
    CONFIRM_NO_SHOW: "「連絡なく不参加」の確認",
    OFFICE_FAULT: "窓口の不手際へのお詫びと新しい日時の案内",
    SETTLE_ATTENDANCE: "出欠の確認",
    EVIDENCE_AFTER_VERDICT: "出欠を決めた後に分かったこと",
    CALL_BOUNCED: "メールが戻ってきた方へのお電話",
    MAIL_REFUSED: "受け取りを断られたメール（送り方の確認）",
    UNCLEAR_BOUNCES: "戻ってきたメールで、人が見るもの",
    TELL_OTHERWISE: "規約の改定をほかの方法でお知らせする方",
}
_LISTED = 100
_BY_SCHEDULE = "auto-scheduled"
"""What Prefect's scheduler writes on every run that it makes."""
_OF_THE_DAY = frozenset({"read-bounces", "send-reminders", "sweep-no-shows", "reconcile-zoom"})

T = TypeVar("T")


def run_name(flow: str) -> str:
    """Return `flow date time source` in Asia/Tokyo, from the parameters of the run that is starting."""
    parameters = flow_run.parameters or {}
    as_of = parameters.get("as_of") or services().clock()
    if isinstance(as_of, str):
        as_of = datetime.fromisoformat(as_of)
    local = as_of.astimezone(JST) if as_of.tzinfo else as_of
    rehearsal = "予行" if parameters.get("rehearse") else ""
    parts = [flow, f"{local:%Y-%m-%d %H:%M}", str(parameters.get("source") or ""), rehearsal]
    return " ".join(part for part in parts if part)


def begin(flow: str, as_of: datetime | None, prefect_run: str | None, *, rehearse: bool = False) -> Run:
    """Start a run and record it.

    StepError when a rehearsal was asked for and these are the real services: nothing may be done then.
    """
    wired = services()
    if rehearse and not wired.is_rehearsal:
        raise StepError("REHEARSAL_ON_REAL_SERVICES")
    return record_begin(wired, new_run(flow, as_of, prefect_run))


async def finish(run: Run, summary: Summary, markdown: str) -> State[Any]:
    """Record the end, publish the artifact and return the final state: Failed while anything that was due is undone."""
    record_end(services(), run, summary)
    await publish(run.flow, markdown, summary.sentence())
    if run.flow in _OF_THE_DAY and not services().is_rehearsal:
        await publish_day_list(run)
    if summary.is_complete:
        return Completed(message=_short(summary))
    return Failed(message=summary.sentence())


def is_resting(run: Run) -> bool:
    """Tell whether a run that the schedule started takes nothing in, because the office is closed on its day.

    Whoever starts it by hand wants it done, on any day.
    """
    by_schedule = _BY_SCHEDULE in (flow_run.tags or [])
    return by_schedule and rests(run.flow, services().calendar, run.as_of)


async def rest(run: Run) -> State[Any]:
    """Record that a run took nothing in, and return its final state."""
    summary = Summary(counts={"closed_day": 1})
    record_end(services(), run, summary)
    day = run.as_of.astimezone(JST).date()
    again = services().calendar.next_working_day(day)
    return Completed(
        message=f"閉庁日（{why_closed(services().calendar, day)}）のため、{again.month}月{again.day}日に行います"
    )


async def publish_day_list(run: Run) -> None:
    """Publish today's sessions and what waits for a person as the artifact `day-list`, without personal data."""
    wired = services()
    markdown = day_list_markdown(wired, run.at(wired.clock()))
    await publish("day-list", markdown, "今日の一覧")


def _short(summary: Summary) -> str:
    shown = ", ".join(f"{name} {count}" for name, count in summary.counts.items() if count)
    return shown or "nothing was due"


def untagged() -> TagsContext:
    """Keep the tags of a run from its steps: there each of them costs a call for a concurrency slot, which can fail."""
    return TagsContext(current_tags=set())


def attempt(summary: Summary, step: Callable[..., T], otherwise: T, *arguments: Any) -> T:
    """Run a step; when it breaks off, name it in the summary and go on with `otherwise`.

    The next steps have work of their own: what breaks intake must not keep mails from leaving.
    """
    try:
        with untagged():
            return step(*arguments)
    except StepError as error:
        name = str(getattr(step, "name", step))
        summary.lacking(Shortfall(1, "step", "steps", "broke off", [(name, str(error))]))
        return otherwise


def lacking_files(received: InboxReport) -> Shortfall:
    """Return the files that could not be read."""
    return Shortfall(received.seen, "file", "files", "cannot be read", received.unreadable)


def lacking_meetings(made: MeetingsReport) -> Shortfall:
    """Return the sessions that have no meeting."""
    of = len(made.confirmed) + len(made.incomplete)
    what = "has no meeting" if of == 1 else "have no meeting"
    return Shortfall(of, "session", "sessions", what, made.incomplete)


def lacking_messages(delivered: DeliveryReport) -> Shortfall:
    """Return the messages that are due and not settled, or settled in a way that needs a person."""
    of = len(delivered.incomplete) + delivered.counts["sent"] + delivered.counts["suppressed"]
    return Shortfall(of, "message", "messages", "not delivered", delivered.incomplete)


def staff_section(summary: Summary) -> list[str]:
    """Count what waits for a person and return it as a section, or nothing."""
    wired = services()
    with wired.database.read() as session:
        waiting = open_tasks(session, wired.office.code)
        lines = [
            f"| {_TASKS_JA.get(task.kind, task.kind)} | {task.subject} | {_reason_ja(task.reason or '')} |"
            for task in waiting[:_LISTED]
        ]
    summary.add({"staff_open": len(waiting)})
    if not waiting:
        return []
    head = f"## 職員の確認を待つもの（{len(waiting)}件）\n\n| 内容 | 番号 | 理由 |\n|---|---|---|\n"
    return [head + "\n".join(lines)]


def requests_report(
    summary: Summary,
    received: InboxReport,
    released: list[str],
    scheduled: ScheduleReport,
    made: MeetingsReport,
    delivered: DeliveryReport,
    *,
    removed: RemovalReport,
) -> str:
    """Put the counts into the summary and return the artifact of process-requests."""
    outcomes = sum((report.outcomes for report in received.files), Counter[str]())
    rows = {outcome: outcomes[outcome.value] for outcome in Outcome}
    summary.add(
        {
            "files": len(received.files),
            "files_waiting": len(received.waiting),
            "in": sum(report.rows for report in received.files),
            "new": sum(report.new for report in received.files),
            **{outcome.value: count for outcome, count in rows.items()},
            "holds_released": len(released),
            "held": len(scheduled.held),
            "waiting": scheduled.waiting,
            "offered": scheduled.offered,
            "lapsed": scheduled.lapsed,
            "meetings_created": made.created,
            "meetings_adopted": made.adopted,
            "confirmed": len(made.confirmed),
            "meetings_removed": len(removed.deleted),
        }
    )
    table = counts_table(
        [
            ("読み込んだ行", summary.counts["in"]),
            *((f"　{_OUTCOMES_JA[outcome]}", count) for outcome, count in rows.items()),
            ("うち新しい行", summary.counts["new"]),
            ("枠を押さえた", len(scheduled.held)),
            ("別の日時を案内した", scheduled.offered),
            ("空きを待っている", scheduled.waiting),
            ("予約が確定した", len(made.confirmed)),
            ("ミーティングを作れていない", len(made.incomplete)),
            ("要らないミーティングを消した", len(removed.deleted)),
        ]
    )
    look_at = [
        (report.name, number, _OUTCOMES_JA[Outcome(outcome)], _reason_ja(reason))
        for report in received.files
        for number, outcome, reason in report.listed
    ]
    sum_of = " ＋ ".join(f"{_OUTCOMES_JA[outcome]} {count}" for outcome, count in rows.items())
    parts = [f"# 申込みの受付\n\n{_headline(summary)}", f"読み込んだ行 {summary.counts['in']} ＝ {sum_of}", table]
    if look_at:
        parts.append("## 確認が必要な行と受付できない行\n\n" + reasons_table(look_at))
    parts += staff_section(summary)
    if received.unreadable:
        names = "\n".join(f"- `{name}`: {code}" for name, code in received.unreadable)
        parts.append("## 読めなかったファイル\n\n" + names)
    parts += _undone(summary)
    parts.append(messages_report(summary, delivered, heading="## お知らせ"))
    return "\n\n".join(parts)


def messages_report(summary: Summary, delivered: DeliveryReport, heading: str = "# お知らせの送信") -> str:
    """Put the counts into the summary and return the artifact of deliver-messages."""
    summary.add({f"messages_{status}": delivered.counts[status] for status in _MESSAGES_JA})
    table = counts_table([(name, delivered.counts[status]) for status, name in _MESSAGES_JA.items()])
    parts = [heading, table]
    if heading.startswith("# "):
        parts += _undone(summary)
    return "\n\n".join(parts)


def _headline(summary: Summary) -> str:
    if summary.is_complete:
        return "すべて済みました。"
    return f"**{len(summary.incomplete)} 件が済んでいません。もう一度実行すると、残りだけを行います。**"


def _undone(summary: Summary) -> list[str]:
    if summary.is_complete:
        return []
    lines = [f"- `{item['reference']}`: {item['reason']}" for item in summary.incomplete[:100]]
    return ["## 済んでいないもの\n\n" + "\n".join(lines)]


def _reason_ja(reason: str) -> str:
    said = REASONS[Reason(reason)].ja if reason in Reason.__members__ else reason_ja(reason) or bounce_reason_ja(reason)
    return f"{said}（{reason}）" if said else reason
