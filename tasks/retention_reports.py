"""What retain-records tells operators: how many rows of which class, what stays and why. Counts and codes only."""

from __future__ import annotations

from madoguchi.domain.retention import CLIENT, KEPT_JA, Kept, RecordClass
from tasks.day_reports import page, section
from tasks.retention import AS_OF_AHEAD, FILE_IN_USE, RetentionReport
from tasks.summary import Shortfall, Summary, counts_table

_CLASSES_JA = {
    RecordClass.REQUEST.value: "申込みの内容",
    RecordClass.BOOKING.value: "ミーティングの入り方",
    RecordClass.MESSAGE.value: "お知らせの宛先と内容",
    RecordClass.EVIDENCE.value: "来談・連絡のメモ",
    RecordClass.WEBHOOK.value: "Zoomからの通知",
    RecordClass.BOUNCE.value: "戻ってきたメールのアドレス",
    CLIENT: "氏名と求職番号",
}
_KEYS_JA = {"key_begun": "新しい暗号の鍵", "key_destroyed": "廃棄した暗号の鍵"}
_WORDS_JA = {
    AS_OF_AHEAD: "as_of がこれからの日時です。実際の日時より先のことは消去できません。空にして実行してください",
    FILE_IN_USE: "データベースのファイルを、ほかの処理が読んでいました。次の実行で反映されます",
}


def lacking_erasures(report: RetentionReport) -> Shortfall:
    """Return what the run could not do."""
    return Shortfall(len(report.incomplete), "step", "steps", "not done", report.incomplete)


def retention_report(summary: Summary, report: RetentionReport) -> str:
    """Put the counts into the summary and return the artifact of retain-records."""
    summary.add({f"erased_{name}": report.erased[name] for name in _CLASSES_JA})
    summary.add({name: report.erased[name] for name in _KEYS_JA})
    summary.add({f"kept_{each.value}": report.kept[each.value] for each in Kept})
    gone = counts_table([(name, report.erased[each]) for each, name in (_CLASSES_JA | _KEYS_JA).items()])
    stays = counts_table([(name, report.kept[each.value]) for each, name in KEPT_JA.items()])
    words = [(name, _WORDS_JA[code]) for name, code in report.incomplete if code in _WORDS_JA]
    return page(
        "保存期間の過ぎた記録の消去",
        summary,
        "## 消去したもの\n\n" + gone,
        "## 期間は過ぎたが残したもの\n\n" + stays,
        section("できなかったこと", words),
        "何をいつ消去したかは、消去の記録（deletion）に1件ずつ残ります。統計の数は変わりません。",
    )
