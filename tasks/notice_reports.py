"""How a reading of bounces tells operators what it did: counts and neutral names, nothing about a person."""

from __future__ import annotations

from typing import Final

from tasks.bounces import BounceReport
from tasks.day_reports import section
from tasks.reporting import staff_section
from tasks.summary import Shortfall, Summary, counts_table

_COUNTS_JA: Final = {
    "files": "読んだファイル",
    "new": "新しい通知",
    "hard": "　アドレスに届かない",
    "soft": "　一時的（遅れている、受信箱がいっぱいなど）",
    "policy": "　受け取りを断られた",
    "unknown": "　理由が分からない",
    "told": "　届いたという知らせ",
    "known": "読み直した通知（記録は変わらない）",
    "blocked": "メールを止めたアドレス",
    "calls": "お電話が要る方",
    "unclear": "どのお知らせか分からない通知",
    "auto_reply": "自動応答のメール",
    "other": "通知ではないメール（職員が読むもの）",
    "waiting": "まだ書き込まれている途中のファイル",
}


def bounces_report(summary: Summary, read: BounceReport) -> str:
    """Put the counts into the summary and return the artifact of read-bounces."""
    summary.add({f"bounces_{name}": read.counts[name] for name in _COUNTS_JA})
    said = "すべて読みました。" if not read.unreadable else f"**読めないものが{len(read.unreadable)}件あります。**"
    table = counts_table([(words, read.counts[name]) for name, words in _COUNTS_JA.items()])
    parts = [
        f"# 戻ってきたメール\n\n{said}",
        table,
        section("読めなかったもの", read.unreadable),
        *staff_section(summary),
    ]
    return "\n\n".join(part for part in parts if part)


def lacking_bounces(read: BounceReport) -> Shortfall:
    """Return the files that could not be read: set aside under the name that stands here."""
    of = read.counts["files"] + len(read.unreadable)
    return Shortfall(of, "file of bounces", "files of bounces", "cannot be read", read.unreadable)
