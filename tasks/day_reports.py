"""What the flows around the day of a session tell operators: shortfalls and artifacts. References and codes only."""

from __future__ import annotations

from madoguchi.domain.message import MailKind
from tasks.delivery import DeliveryReport
from tasks.meeting_removal import RemovalReport
from tasks.reminders import RemindersReport
from tasks.reporting import messages_report
from tasks.summary import Shortfall, Summary, counts_table

_REMINDERS_JA = {
    MailKind.REMINDER_DAY.value: "前日のリマインダー",
    MailKind.REMINDER_HOUR.value: "直前のリマインダー",
}
_LISTED = 100


def page(title: str, summary: Summary, *parts: str) -> str:
    """Return an artifact: title, whether all is done, the parts that say something, and what is not done."""
    undone = [(item["reference"], item["reason"]) for item in summary.incomplete]
    headline = (
        f"**{len(undone)} 件が済んでいません。もう一度実行すると、残りだけを行います。**"
        if undone
        else "すべて済みました。"
    )
    listed = section("済んでいないもの", undone)
    return "\n\n".join(part for part in (f"# {title}", headline, *parts, listed) if part)


def section(heading: str, items: list[tuple[str, str]]) -> str:
    """Return references with a word each under a heading, or nothing when there are none; at most 100 of them."""
    if not items:
        return ""
    lines = [f"- `{reference}`: {word}" for reference, word in items[:_LISTED]]
    if len(items) > _LISTED:
        lines.append(f"- ほか {len(items) - _LISTED} 件")
    return f"## {heading}（{len(items)}件）\n\n" + "\n".join(lines)


def lacking_removals(removed: RemovalReport) -> Shortfall:
    """Return the meetings that Zoom should have lost and may still have."""
    of = len(removed.deleted) + len(removed.incomplete)
    return Shortfall(of, "meeting", "meetings", "not removed", removed.incomplete)


def lacking_reminders(reminded: RemindersReport) -> Shortfall:
    """Return the reminders that are due and could not be queued."""
    of = reminded.queued.total() + len(reminded.unmailable) + len(reminded.incomplete)
    return Shortfall(of, "reminder", "reminders", "cannot be queued", reminded.incomplete)


def reminders_report(summary: Summary, reminded: RemindersReport, delivered: DeliveryReport) -> str:
    """Put the counts into the summary and return the artifact of send-reminders."""
    summary.add(
        {
            "reminders_day": reminded.queued[MailKind.REMINDER_DAY.value],
            "reminders_hour": reminded.queued[MailKind.REMINDER_HOUR.value],
            "reminders_missed": len(reminded.missed),
            "reminders_unmailable": len(reminded.unmailable),
        }
    )
    table = counts_table(
        [
            *((f"{name}を用意した", reminded.queued[kind]) for kind, name in _REMINDERS_JA.items()),
            ("時刻を過ぎたので用意しなかった", len(reminded.missed)),
            ("メールを送れる宛先がない", len(reminded.unmailable)),
            ("用意できていない", len(reminded.incomplete)),
        ]
    )
    return page(
        "リマインダー",
        summary,
        table,
        section("間に合わなかったリマインダー", _named(reminded.missed)),
        section("宛先に送れないため、メールにしなかったもの", _named(reminded.unmailable)),
        messages_report(summary, delivered, heading="## お知らせ"),
    )


def _named(items: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(reference, _REMINDERS_JA[kind]) for reference, kind in items]
