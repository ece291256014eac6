import time
from dataclasses import replace
from datetime import date
from itertools import count

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from madoguchi.domain.terms_lines import lines_of, width
from madoguchi.domain.terms_numbers import find_dates, number_of
from madoguchi.domain.terms_printing import print_terms, unwrapped
from madoguchi.domain.terms_reading import LARGEST, TermsTextError, parse_terms
from madoguchi.domain.terms_structure import Article, Part, PartKind, Terms
from tests.domain.terms_help import SAMPLE, WRAPPED, real_text, wrapped_line

P, N, S, B = PartKind.PARAGRAPH, PartKind.ITEM, PartKind.SUBITEM, PartKind.BULLET


def shape(article):
    """(kind, label, shape of what is under it) of every part."""

    def of(parts):
        return [(part.kind.value[0], part.label, *([of(part.parts)] if part.parts else [])) for part in parts]

    return of(article.parts)


def numbered(kind, last, **below):
    return [(kind, f"({n})", *([below[f"_{n}"]] if f"_{n}" in below else [])) for n in range(1, last + 1)]


def in_one(*below):
    return [("p", "", list(below))]


def same_again(text):
    terms = parse_terms(text)
    printed = print_terms(terms)
    assert unwrapped(printed) == unwrapped(text)
    assert parse_terms(printed) == terms
    assert print_terms(parse_terms(printed)) == printed
    return terms


def test_the_real_terms_have_fourteen_articles_with_their_paragraphs_items_and_bullets():
    terms = same_again(real_text())
    items_of_the_fifth = numbered("i", 6)
    items_of_the_fifth[3] = ("i", "(4）")
    expected = {
        "第１条": [("p", "")],
        "第２条": in_one(*numbered("i", 3)),
        "第３条": [("p", "")],
        "第４条": [("p", ""), ("p", "")],
        "第５条": in_one(*items_of_the_fifth),
        "第６条": numbered("p", 3, _1=[("s", "①"), ("s", "②"), ("s", "③")]),
        "第７条": numbered("p", 2),
        "第８条": numbered("p", 2),
        "第９条": numbered("p", 2),
        "第10 条": [("p", "")],
        "第11 条": [("p", "")],
        "第12 条": numbered("p", 5, _4=[("b", "・")] * 3),
        "第13 条": in_one(*numbered("i", 2)),
        "第14 条": [("p", "")],
    }
    assert {article.label: shape(article) for article in terms.articles} == expected
    assert [article.number for article in terms.articles] == [(n,) for n in range(1, 15)]
    assert all(article.caption for article in terms.articles)
    assert (len(terms.preamble), terms.closed_on, bool(terms.signatory)) == (2, date(2025, 6, 16), True)
    assert terms.supplement == ()


def test_words_that_the_real_terms_cut_at_a_line_end_are_whole_again():
    printed = print_terms(parse_terms(real_text()))
    for whole in (
        "WEB カメラ",
        "Zoom ミーティング",
        "Windows ファイアウォール",
        "OS はサポート",
        "バージョン",
        "保護されます",
    ):
        assert whole in printed
    assert "WEBカメラ" not in printed
    assert "ミ ー" not in printed


def test_reading_the_real_terms_takes_less_than_twenty_milliseconds():
    text = real_text()
    took = []
    for _ in range(5):
        start = time.perf_counter()
        parse_terms(text)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.02


def test_the_projects_own_terms_are_read_and_printed_the_same():
    terms = same_again(SAMPLE.read_text(encoding="utf-8"))
    assert [len(article.parts) for article in terms.articles] == [1, 1, 3, 1, 1, 1]
    assert shape(terms.articles[0]) == in_one(*numbered("i", 2))
    assert (terms.title, terms.signatory) == ("オンライン職業相談 利用規約（見本）", "見本の窓口 所長")
    assert len(terms.preamble) == 2


def test_a_wrapped_text_with_every_trap_is_read_as_it_was_meant():
    text = WRAPPED.read_text(encoding="utf-8")
    begins = [line.text[:4] for line in lines_of(text)]
    # The traps: lines that begin with a citation, a swallowed blank, a word cut in two, a dot that is no bullet.
    for trap in ("第３条の", "(2)の", "カメラを", "ーティン", "・録音の", "第７条の"):
        assert any(line.startswith(trap) for line in begins), trap
    assert "\n\n\n" in text
    terms = same_again(text)
    assert [article.number for article in terms.articles] == [(n,) for n in range(1, 13)]
    assert {n + 1: shape(article) for n, article in enumerate(terms.articles) if len(shape(article)) > 1} == {
        3: [("p", ""), ("p", "")],
        5: numbered("p", 3, _1=[("s", "①"), ("s", "②"), ("s", "③")]),
        6: numbered("p", 2),
        7: numbered("p", 3, _2=[("b", "・")] * 2),
    }
    assert shape(terms.articles[3]) == in_one(("i", "(1)"), ("i", "(2）"), ("i", "(3)"))
    assert len(terms.preamble) == 2
    printed = print_terms(terms)
    for whole in ("WEB カメラ", "「Zoom ミーティング」）の", "録画・録音", "見本情報法第７条の２による"):
        assert whole in printed


MARKDOWN = """# 見本の規約

この規約は、約束ごとを
定めます。

## 第１条（目的）

次のとおりとします。

1. 氏名
2. 住所
   - 都道府県
   - 市区町村

### 第２条（費用）

1. 費用は**かかりません**。
2. 前項のほか、ありません。

## 附則

この規約は、令和８年４月１日から施行します。

令和８年３月１日
見本の窓口 所長
"""

STATUTE = """見本規程

第一章　総則
（目的）
第一条　この規程は、次に掲げる事項を定める。
一　相談
二　紹介
　イ　面接
　ロ　選考
２　前項第二号ロの選考は、第三条の二による。
第二条　削除
第三条　甲とする。
第三条の二　乙とする。
第二章　雑則
第四条から第六条まで　削除
第十条の前の条のこと
第七条　終わりとする。
附　則
１　この規程は、令和元年五月一日から施行する。
２　旧規程は、廃止する。
以上
令和元年四月一日
所長
"""


def test_markdown_is_read_by_its_headings_and_lists():
    terms = same_again(MARKDOWN)
    assert terms.preamble == ("この規約は、約束ごとを定めます。",)
    assert shape(terms.articles[0]) == in_one(("i", "1."), ("i", "2.", [("b", "-"), ("b", "-")]))
    assert shape(terms.articles[1]) == [("p", "1."), ("p", "2.")]
    assert terms.articles[1].parts[0].text == "費用はかかりません。"
    assert terms.supplement == ("この規約は、令和８年４月１日から施行します。",)


def test_a_statute_with_kanji_numbers_inserted_and_deleted_articles_is_read():
    terms = same_again(STATUTE.replace("第十条の前の条のこと\n", ""))
    assert [article.number for article in terms.articles] == [(1,), (2,), (3,), (3, 2), (4,), (7,)]
    assert shape(terms.articles[0]) == [
        ("p", "", [("i", "一"), ("i", "二", [("s", "イ"), ("s", "ロ")])]),
        ("p", "２"),
    ]
    assert terms.articles[0].headings == ("第一章　総則",)
    assert [terms.articles[n].parts[0].text for n in (1, 4)] == ["削除", "削除"]
    assert len(terms.supplement) == 2
    assert (terms.closed_on, terms.signatory) == (date(2019, 4, 1), "所長")


SMALL = "規約\n第１条 甲です。\n第２条\n(1) 乙です。\n(2) 丙です。\n第３条 丁です。\n"


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("", "EMPTY", 0),
        (" \n　\n\t\n", "EMPTY", 0),
        ("こんにちは。\nさようなら。\n", "NO_ARTICLE", 0),
        ("買い物\n・ 卵\n・ 牛乳\n", "NO_ARTICLE", 0),
        (SMALL.replace("第１条", "第２条", 1), "FIRST_ARTICLE", 2),
        (SMALL.replace("第２条\n", "第４条\n"), "ARTICLE_JUMPS", 3),
        (SMALL.replace("第３条", "第２条"), "ARTICLE_REPEATS", 6),
        (SMALL.replace("第３条", "第１条"), "ARTICLE_REPEATS", 6),
        (SMALL.replace("第３条", "第２条の３"), "ARTICLE_JUMPS", 6),
        (SMALL.replace("(2) 丙", "(3) 丙"), "MARK_JUMPS", 5),
        (SMALL.replace("(2) 丙", "(1) 丙"), "MARK_JUMPS", 5),
        (SMALL.replace("第３条 丁です。", "第３条"), "EMPTY_ARTICLE", 6),
        (SMALL.replace("(2) 丙です。", "(2)"), "EMPTY_PART", 5),
        ("第１条 甲\n\x00", "NOT_TEXT", 2),
        ("第１条 " + "甲" * LARGEST, "TOO_LARGE", 0),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line_and_a_remedy(text, code, line):
    with pytest.raises(TermsTextError) as caught:
        parse_terms(text)
    assert (caught.value.code, caught.value.line) == (code, line)
    assert caught.value.remedy in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("第１条（目的）甲です。", [("p", "")]),
        ("第１条(目的)\n甲です。", [("p", "")]),
        ("第１条この規約は甲です。", [("p", "")]),
        ("第１条 (1) 甲です。\n(2) 乙です。", [("p", "(1)"), ("p", "(2)")]),
        ("第１条\n①甲です。\n②乙です。", [("p", "①"), ("p", "②")]),
        ("第１条\n・甲\n・乙", [("p", "", [("b", "・"), ("b", "・")])]),
        ("第１条\n（1）甲です。\n（２）はじめてです。", [("p", "（1）"), ("p", "（２）")]),
        ("第１条 甲です。\n(1) 乙\n乙のほかに丙です。", [("p", "", [("i", "(1)")]), ("p", "")]),
        ("第１条 次による。\nア　甲\nイ　乙\nウ　丙", [("p", "", [("s", "ア"), ("s", "イ"), ("s", "ウ")])]),
        ("第１条 次による。\n1) 甲\n2) 乙", [("p", "", [("i", "1)"), ("i", "2)")])]),
        ("第１条\n１　甲です。\n２　乙です。", [("p", "１"), ("p", "２")]),
        ("第１条 甲です。\n30 分です。", [("p", ""), ("p", "")]),
        ("第１条 甲です。\n第４条の規定によります。", [("p", ""), ("p", "")]),
        ("第１条 甲です。\n(2)の日時によります。", [("p", ""), ("p", "")]),
        ("第１条 甲です。\n2025年4月1日です。", [("p", ""), ("p", "")]),
    ],
)
def test_marks_are_told_from_sentences(text, parts):
    assert shape(same_again("規約\n" + text).articles[0]) == parts


@pytest.mark.parametrize(
    ("numeral", "value"),
    [
        ("5", 5),
        ("１２", 12),
        ("十", 10),
        ("十二", 12),
        ("二十", 20),
        ("百二十三", 123),
        ("一〇", 10),
        ("五四八", 548),
        ("", None),
    ]
    + [(bad, None) for bad in ("x", "十百", "①", "1.5")],
)
def test_numerals_of_every_width_have_a_value(numeral, value):
    assert number_of(numeral) == value


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("令和７年６月１６日", date(2025, 6, 16)),
        ("令和元年五月一日", date(2019, 5, 1)),
        ("平成 31 年 4 月 30 日", date(2019, 4, 30)),
        ("２０２５年３月１４日", date(2025, 3, 14)),
        ("2025-03-14", date(2025, 3, 14)),
        ("令和７年２月３０日", None),
    ],
)
def test_dates_are_read_in_both_eras(text, day):
    assert [found for _, _, found in find_dates(text)] == [day]


# Generated terms, printed, wrapped at a random width, and read again.

WORDS = [
    "相談",
    "利用者",
    "予約",
    "端末を",
    "面談の",
    "日時に",
    "記録",
    "します",
    "WEB カメラ",
    "Zoom ミーティング",
    "OS の",
]
WORDS += [
    "第１条の",
    "第12 条(3)に",
    "(2)の",
    "前項の",
    "民法第548 条の４に",
    "（以下同じ。）",
    "「窓口」",
    "３０分",
    "録画・録音",
]
text_of = st.lists(st.sampled_from(WORDS), min_size=2, max_size=14).map("".join)
# A text that was wrapped shows it somewhere by a word that is cut in two.
LONG = "この規約は相談室が行うオンラインの面談を利用される方と相談室との間の約束ごとを" * 3 + "定めます。"
sentence = st.lists(text_of, min_size=1, max_size=2).map(
    lambda said: "。".join(["当室は" + one for one in said]) + "。"
)
noun = text_of.map(lambda said: f"当室の{said}方")


@st.composite
def parts_of(draw, kind, label, texts, most=4):
    return tuple(
        Part(kind, label(n), None if kind is B else n, draw(texts)) for n in range(1, draw(st.integers(1, most)) + 1)
    )


@st.composite
def articles(draw, number):
    caption = draw(st.sampled_from(["", "目的", "利用の記録等"]))
    # One text has one habit; which one a blank at a line end hides can only be learned from the rest.
    label = f"第{number} 条"
    kind = draw(st.sampled_from(["plain", "items", "marked"]))
    if kind == "marked":
        parts = draw(parts_of(P, lambda n: f"({n})", sentence))
        under = draw(st.sampled_from([(), *[(S, lambda n: "①②③④"[n - 1]), (B, lambda _: "・")]]))
        if under:
            parts = (replace(parts[0], parts=draw(parts_of(*under, noun))), *parts[1:])
    else:
        texts = draw(st.lists(sentence, min_size=1, max_size=3))
        parts = tuple(Part(P, "", n, text) for n, text in enumerate(texts, 1))
        if kind == "items":
            parts = (*parts[:-1], replace(parts[-1], parts=draw(parts_of(N, lambda n: f"({n})", noun))))
    return Article(label, (number,), caption, parts)


@st.composite
def whole_terms(draw):
    amount = draw(st.integers(1, 6))
    return Terms(
        title="見本の規約",
        preamble=(LONG, *draw(st.lists(sentence, max_size=2))),
        articles=tuple(draw(articles(number)) for number in range(1, amount + 1)),
        supplement=tuple(draw(st.lists(sentence, max_size=2))),
        closing="令和７年６月１６日",
        closed_on=date(2025, 6, 16),
        signatory="見本の窓口 所長",
    )


def is_flush(rows, after, cells):
    """A paragraph that ends at the very margin before one without a mark: nothing on the page tells them apart."""
    return after and width(rows[-1].strip()) + 2 > cells - 8 and after[:1] not in "(（①②③④・第附令"


@settings(max_examples=60, deadline=None, print_blob=True)
@given(whole_terms(), st.integers(40, 100), st.randoms(use_true_random=False))
def test_terms_printed_and_wrapped_at_any_width_are_read_back_equal(terms, cells, random):
    lines = [line for line in print_terms(terms).split("\n") if line]
    for cells_tried in count(cells):
        wrapped = [wrapped_line(line, cells_tried) for line in lines]
        if not any(is_flush(rows, after, cells_tried) for rows, after in zip(wrapped, [*lines[1:], ""], strict=True)):
            break
        assume(cells_tried < cells + 60)
    # From a page: every line the same, or page breaks anywhere.
    ends = random.choice([[1], [2], [1, 2, 3]])
    text = "".join(row + "\n" * random.choice(ends) for rows in wrapped for row in rows)
    assert parse_terms(text) == terms, text
