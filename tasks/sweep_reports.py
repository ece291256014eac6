"""What sweep-no-shows tells operators: counts by verdict, each session with its reasons, what waits for a person."""

from __future__ import annotations

from madoguchi.domain.lifecycle import BookingStatus
from madoguchi.domain.verdict import reason_ja
from tasks.day_reports import page, section
from tasks.delivery import DeliveryReport
from tasks.meeting_removal import RemovalReport
from tasks.reporting import messages_report, staff_section
from tasks.summary import Shortfall, Summary, counts_table
from tasks.verdicts import SweepReport

VERDICTS_JA = {
    BookingStatus.ATTENDED.value: "来談あり",
    BookingStatus.CONTACTED.value: "連絡・待機あり（職員が確認）",
    BookingStatus.NO_SHOW.value: "連絡なく不参加（規約第6条第3項）",
    BookingStatus.NO_SHOW_PROPOSED.value: "連絡なく不参加の見込み（職員の確認待ち）",
    BookingStatus.OFFICE_FAULT.value: "窓口の不手際",
    BookingStatus.UNDETERMINED.value: "判断できない（職員が確認）",
}
_LISTED = 100


def lacking_verdicts(swept: SweepReport) -> Shortfall:
    """Return the sessions whose tenth minute has come and that could not be judged."""
    of = len(swept.judged) + len(swept.incomplete)
    return Shortfall(of, "session", "sessions", "not judged", swept.incomplete)


def sweep_report(summary: Summary, swept: SweepReport, removed: RemovalReport, delivered: DeliveryReport) -> str:
    """Put the counts into the summary and return the artifact of sweep-no-shows."""
    summary.add({state: swept.settled[state] for state in VERDICTS_JA})
    summary.add({"corrected": len(swept.changed), "meetings_removed": len(removed.deleted)})
    table = counts_table(
        [
            *((name, swept.settled[state]) for state, name in VERDICTS_JA.items()),
            ("後から分かったことで改めた", len(swept.changed)),
            ("ミーティングを消した", len(removed.deleted)),
        ]
    )
    changes = [
        (reference, f"{VERDICTS_JA.get(old, old)} → {VERDICTS_JA.get(new, new)}")
        for reference, old, new in swept.changed
    ]
    return page(
        "開始10分後の出欠",
        summary,
        table,
        _judged_table(swept),
        section("後から分かったことで改めたもの", changes),
        *staff_section(summary),
        messages_report(summary, delivered, heading="## お知らせ"),
    )


def _judged_table(swept: SweepReport) -> str:
    if not swept.judged:
        return ""
    # What a person has to look at stands above what went as planned.
    listed = sorted(swept.judged, key=lambda row: (row[1] == BookingStatus.ATTENDED.value, row[0]))
    lines = ["## 今回決めたもの", "", "| 番号 | 出欠 | 理由 |", "|---|---|---|"]
    lines += [
        f"| {reference} | {VERDICTS_JA[state]} | {'、'.join(reason_ja(code) or code for code in reasons)} |"
        for reference, state, reasons in listed[:_LISTED]
    ]
    if len(listed) > _LISTED:
        lines.append(f"| … | | ほか {len(listed) - _LISTED} 件 |")
    return "\n".join(lines)
