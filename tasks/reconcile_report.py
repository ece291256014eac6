"""What reconcile-zoom tells operators: counts, and each difference with what was done. Codes and references only."""

from __future__ import annotations

from madoguchi.domain.reconciliation import Kind
from tasks.day_reports import page, section
from tasks.delivery import DeliveryReport
from tasks.late_evidence import LateEvidenceReport
from tasks.meeting_removal import RemovalReport
from tasks.meetings import MeetingsReport
from tasks.reconciliation import Noted, ReconcileReport
from tasks.reporting import messages_report
from tasks.summary import Shortfall, Summary, counts_table

_LISTED = 200
_KINDS_JA = {
    Kind.ORPHAN: "要らないミーティングが残っていた",
    Kind.MISSING: "ミーティングがZoomから消えていた",
    Kind.WRONG_TIME: "開始日時が予約と違っていた",
    Kind.WRONG_HOST: "ホストが予約と違っていた",
    Kind.DUPLICATE: "同じ予約のミーティングが二つあった",
    Kind.SETTINGS_DRIFTED: "設定（録画・待機室など）が変わっていた",
    Kind.LINK_CHANGED: "参加用リンクかパスコードが変わっていた",
}
_REPAIRED_JA = {
    Kind.ORPHAN: "削除しました（しています）",
    Kind.MISSING: "作り直して、新しいリンクをお知らせします",
    Kind.WRONG_TIME: "予約の日時に戻しました",
    Kind.DUPLICATE: "お知らせしていない方を削除しました",
    Kind.SETTINGS_DRIFTED: "正しい設定に戻しました",
    Kind.LINK_CHANGED: "変更をお知らせします",
}
_WHY_JA = {
    "UNKNOWN_TOKEN": "この記録にない番号です。削除してよいか、Zoomの画面で確かめてください",
    "RUNNING": "今、開いています。終わってからもう一度実行してください",
    "TOO_CLOSE": "開始まで1時間を切っています。お客さまとカウンセラーに確かめてください",
    "AT_ANOTHER_HOST": "ほかのホストのミーティングになっています。Zoomの画面で確かめてください",
    "LISTED_BUT_NOT_THERE": "Zoomの答えが食い違っています。しばらくしてもう一度実行してください",
    "TOO_MANY_GONE": (
        "一度に多くのミーティングが消えています。Zoomのアカウントを確かめ、"
        "作り直してよければ repair_many を入れて実行してください"
    ),
    "NO_JOIN_URL": "Zoomが参加用リンクを示しません",
    "JOIN_URL_NOT_HTTPS_ZOOM": "リンク先がZoomではないため、お知らせしません",
    "NO_PASSCODE": "パスコードがありません",
}


def lacking_late_evidence(late: LateEvidenceReport) -> Shortfall:
    """Return the sessions whose participants could not be read."""
    of = late.asked + len(late.incomplete)
    return Shortfall(of, "session", "sessions", "participants not read", late.incomplete)


def lacking_comparison(compared: ReconcileReport) -> Shortfall:
    """Return what could not be compared, and what could not be put right."""
    of = max(compared.of, len(compared.incomplete))
    return Shortfall(of, "meeting or host", "meetings and hosts", "not kept true", compared.incomplete)


def reconcile_report(
    summary: Summary,
    changed: list[tuple[str, str, str]],
    late: LateEvidenceReport,
    compared: ReconcileReport,
    made: MeetingsReport,
    removed: RemovalReport,
    *,
    delivered: DeliveryReport,
) -> str:
    """Put the counts into the summary and return the artifact of reconcile-zoom."""
    verdicts = [*changed, *late.changed]
    counts = {
        "compared": compared.read,
        "listed": compared.listed,
        "foreign": compared.foreign,
        "differences": len(compared.noted),
        "repaired": compared.count("repaired"),
        "reported": compared.count("reported"),
        "confirmed": len(made.confirmed),
        "meetings_removed": len(removed.deleted),
        "participants_read": late.asked,
        "verdicts_changed": len(verdicts),
    }
    summary.add(counts)
    table = counts_table(
        [
            ("照らし合わせた予約", compared.read),
            ("Zoomにあるミーティング", compared.listed),
            ("　うち、この窓口のものでないもの（触れません）", compared.foreign),
            ("違いがあったもの", len(compared.noted)),
            ("　直した", compared.count("repaired")),
            ("　職員の確認を待つ", compared.count("reported")),
            ("　直せていない", compared.count("undone")),
            ("作り直したミーティング", len(made.confirmed)),
            ("消したミーティング", len(removed.deleted)),
            ("参加の記録を読んだ面談", late.asked),
            ("判定が変わった面談", len(verdicts)),
        ]
    )
    return page(
        "Zoomとの照合",
        summary,
        table,
        _findings(compared.noted),
        section("判定が変わった面談", [(reference, f"{old} → {new}") for reference, old, new in verdicts]),
        messages_report(summary, delivered, heading="## お知らせ"),
    )


def _findings(noted: list[Noted]) -> str:
    if not noted:
        return ""
    lines = [f"## 違いと対応（{len(noted)}件）", "", "| 番号 | ホスト | 内容 | 対応 |", "|---|---|---|---|"]
    lines += [
        f"| {item.finding.subject} | {item.finding.host} | {_what(item)} | {_done(item)} |" for item in noted[:_LISTED]
    ]
    if len(noted) > _LISTED:
        lines.append(f"| … | | ほか {len(noted) - _LISTED} 件 | |")
    return "\n".join(lines)


def _what(item: Noted) -> str:
    names = f"（{', '.join(item.finding.names)}）" if item.finding.names else ""
    return f"{_KINDS_JA[item.finding.kind]}{names}"


def _done(item: Noted) -> str:
    if item.outcome == "repaired":
        return _REPAIRED_JA[item.finding.kind]
    if item.outcome == "reported":
        return f"職員の確認を待ちます: {_WHY_JA.get(item.finding.why, item.finding.why)}"
    return f"直せていません（{item.code}）"
