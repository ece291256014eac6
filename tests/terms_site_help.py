"""A fictional office with three versions of its terms, one amendment ahead and one withdrawn."""

# ruff: noqa: E501 — the sentences of an article stand whole

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

from madoguchi.domain.amendment import AmendmentGround
from madoguchi.domain.terms_publication import PublishedAmendment, PublishedVersion, SiteContent
from madoguchi.domain.terms_structure import Article, Part, PartKind, Terms
from tests.world import ROOT, jst

TEMPLATES = ROOT / "templates"
AS_OF = jst("2026-09-14 09:00")
BASE = "https://counter.example.jp/madoguchi/terms"
HOSTILE = "<script>alert(1)</script> {{ 7*7 }} javascript:alert(1) \"'&]]> \u202egnp.exe\x00\x0b\ufffe"


def paragraph(text, *parts, label="", number=1):
    return Part(PartKind.PARAGRAPH, label, number, text, parts)


def item(number, text, *parts):
    return Part(PartKind.ITEM, f"({number})", number, text, parts)


def numbered(number, text, *parts):
    return paragraph(text, *parts, label=f"({number})", number=number)


def subitem(number, text):
    return Part(PartKind.SUBITEM, "①②③④⑤"[number - 1], number, text)


def bullet(text):
    return Part(PartKind.BULLET, "・", None, text)


def sample_terms(*, minutes="３０分", reschedule=False, closed_on=date(2025, 3, 14)):
    articles = [
        Article("第１条", (1,), "目的", (paragraph("この規約は、見本の窓口（以下「窓口」といいます。）が行うオンライン職業相談を、安心して利用していただくための約束ごとを定めます。"),)),
        Article("第２条", (2,), "利用できる方", (
            paragraph("次のすべてに当てはまる方が利用できます。",
                item(1, "窓口での求職登録がお済みの方"),
                item(2, "カメラの付いた端末（スマートフォン、パソコンなど）と、第４条に定めるソフトを使える環境を用意できる方"),
                item(3, "オンラインで相談することに、一定の必要性が見込まれる方")),)),
        Article("第３条", (3,), "費用", (paragraph("利用料はかかりません。通信にかかる費用は、利用される方のご負担です。"),)),
        Article("第４条", (4,), "使用するソフト", (
            paragraph("オンライン職業相談では「Zoomミーティング」を使います。"),
            paragraph("利用にあたっては、Zoomの利用規約にも同意していただきます。", number=2))),
        Article("第５条", (5,), "申込み", (
            numbered(1, f"相談は１回{minutes}です。原則として、前の日までに予約を済ませてください。申込みのときに、次のことをお知らせください。",
                subitem(1, "氏名"), subitem(2, "求職番号"), subitem(3, f"希望する日時（平日の１１：００から１５：００までの間の{minutes}間）")),
            numbered(2, "窓口が日程を調整し、日時とミーティングＩＤなどをお知らせします。"),
            numbered(3, "キャンセルは、電話でお知らせください。お知らせがないまま(2)の日時を１０分過ぎたときは、キャンセルとして取り扱います。"))),
        Article("第６条", (6,), "守っていただくこと", (
            numbered(1, "相談の録画と録音は、方法を問わずできません。"),
            numbered(2, "個室など、周りに人のいない場所で参加してください。そのほか、端末について次のとおりとしてください。",
                bullet("ＯＳは、サポート期間中のものを最新の状態にして使ってください。"),
                bullet("パーソナルファイアウォールの機能を有効にしてください。")))),
        Article("第７条", (7,), "個人情報の保護", (
            numbered(1, "利用される方の個人情報は、窓口での相談と同じように保護されます。"),
            numbered(2, "利用される方は、第６条(2)に定めることを守り、秘密の保持に努めてください。"))),
        Article("第８条", (8,), "規約の変更", (
            paragraph("窓口は、次のいずれかに当てはまるときは、承諾をいただかずにこの規約を変えることができます。そのときは、変えること、変えた後の内容、いつからかを、前もってお知らせします。",
                item(1, "変更が、利用される方の一般の利益に適合するとき。"),
                item(2, "変更が、この規約の目的に反せず、かつ、合理的なものであるとき。")),)),
    ]  # fmt: skip
    if reschedule:
        extra = Article("第５条の２", (5, 2), "日時の変更", (
            paragraph("予約した日時は、前の日の15時までに電話でお知らせいただければ、１回に限り変えることができます。"),))  # fmt: skip
        articles.insert(5, extra)
    return Terms(
        title="見本の窓口における\nオンライン職業相談 利用規約",
        preamble=(
            "この規約は、見本の窓口が行うオンライン職業相談を利用するときの約束ごとです。利用には、この規約への同意が必要です。",
            "第５条により申込みをされた方は、この規約に同意されたものとして取り扱います。",
        ),
        articles=tuple(articles),
        closing="令和７年３月１４日",
        closed_on=closed_on,
        signatory="見本の窓口 所長",
    )


def compared(old, new):
    from madoguchi.domain.terms_comparison import compare

    return compare(old, new)


def version(code, number, effective_at, terms, **more):
    facts = {"enacted_on": terms.closed_on, "sha256": f"{number:064x}", "signatory": terms.signatory}
    return PublishedVersion(
        code=code, number=number, terms=terms, effective_at=jst(f"{effective_at} 00:00"), **(facts | more)
    )


def sample_content(**changes):
    first = version("2025-04-01", 1, "2025-04-01", sample_terms(minutes="４０分"))
    second = version("2026-04-01", 2, "2026-04-01", sample_terms(closed_on=date(2026, 2, 20)))
    dropped = version(
        "2026-09-20", 3, "2026-09-20", sample_terms(minutes="２０分", closed_on=date(2026, 8, 3)),
        withdrawn_at=jst("2026-08-28 16:00"),
    )  # fmt: skip
    coming = version("2026-10-01", 4, "2026-10-01", sample_terms(reschedule=True, closed_on=date(2026, 9, 1)))
    amendments = (
        PublishedAmendment(
            code=second.code, old_code=first.code, ground=AmendmentGround.BENEFIT,
            summary="１回の相談の時間を、４０分から３０分に改めます。１日にお受けできる件数が増えます。",
            reason="ご希望の日時に予約が取れないという声が多く寄せられたためです。",
            effective_at=second.effective_at, published_at=jst("2026-03-02 10:00"),
            comparison=compared(first.terms, second.terms),
        ),
        PublishedAmendment(
            code=dropped.code, old_code=second.code, ground=AmendmentGround.REASONABLE,
            summary="１回の相談の時間を、３０分から２０分に改めます。",
            reason="多くの方にご利用いただくためです。",
            effective_at=dropped.effective_at, published_at=jst("2026-08-05 10:00"),
            withdrawn_at=dropped.withdrawn_at,
            withdrawal_reason="２０分では十分に相談できないというご意見を多くいただいたため、取りやめます。",
            comparison=compared(second.terms, dropped.terms),
        ),
        PublishedAmendment(
            code=coming.code, old_code=second.code, ground=AmendmentGround.BENEFIT,
            summary="予約した日時を、１回に限り、電話で変えられるようにします（第５条の２）。",
            reason="これまでは、日時を変えるには、いったんキャンセルして申し込み直す必要がありました。\n"
            "急な予定が入ったときにも、続けてご利用いただけるようにするためです。",
            effective_at=coming.effective_at, published_at=jst("2026-09-01 10:00"),
            comparison=compared(second.terms, coming.terms),
        ),
    )  # fmt: skip
    facts = {
        "office_name": "見本の窓口 オンライン相談コーナー",
        "telephone": "047-000-0000",
        "telephone_hours": "平日 8時30分から17時15分まで",
        "base_url": BASE,
        "as_of": AS_OF,
        "versions": (first, second, dropped, coming),
        "amendments": amendments,
    }
    return SiteContent(**(facts | changes))


def with_hostile_words(content):
    """Every word that a person may type, replaced by an attack."""
    return replace(
        content,
        office_name=HOSTILE,
        telephone_hours=HOSTILE,
        amendments=tuple(
            replace(
                one,
                summary=HOSTILE,
                reason=HOSTILE,
                short_notice_reason=HOSTILE,
                withdrawal_reason=HOSTILE if one.withdrawn_at else None,
            )
            for one in content.amendments
        ),
        versions=tuple(
            replace(one, signatory=HOSTILE, terms=replace(one.terms, title=HOSTILE, closing=HOSTILE))
            for one in content.versions
        ),
    )


def templates_with(folder: Path, name: str, text: str) -> Path:
    """A copy of the templates with one file of the site replaced."""
    shutil.copytree(TEMPLATES / "web" / "terms", folder / "web" / "terms")
    (folder / "web" / "terms" / name).write_text(text, encoding="utf-8")
    return folder


def site_files(folder: Path) -> dict[str, bytes]:
    """What readers see."""
    root = (folder / "current").resolve()
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
