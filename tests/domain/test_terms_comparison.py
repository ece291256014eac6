"""Old and new terms side by side: what is aligned with what, and what a row says."""

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madoguchi.domain.terms_alignment import nodes_of
from madoguchi.domain.terms_comparison import RowKind, compare
from madoguchi.domain.terms_reading import parse_terms
from madoguchi.domain.terms_structure import Article, Part, PartKind, Terms
from tests import terms_amended as amended
from tests.domain.terms_help import real_text
from tests.terms_golden import base


def amendment(name):
    return compare(parse_terms(base()), parse_terms(amended.AMENDMENTS[name](base())))


def counted(comparison):
    return {kind.value: number for kind, number in comparison.counts.items() if number and kind is not RowKind.OMITTED}


def told(comparison):
    """Every row but the omitted: kind, places, remark."""
    return [
        (row.kind.value, row.new.place, row.old.place, row.remark)
        for row in comparison.rows
        if row.kind not in {RowKind.OMITTED, RowKind.HEADING}
    ]


def shown(cell):
    return ["".join(run.text for run in (*line.mark, *line.runs)) + line.note for line in cell.shown]


def underlined(cell):
    return [run.text for line in cell.shown for run in (*line.mark, *line.runs) if run.is_changed]


@pytest.mark.parametrize(
    ("name", "rows", "changed"),
    [
        ("word", [("changed", "第12条(2)", "第12条(2)", "")], ["第12条"]),
        (
            "number",
            [("changed", "第６条(1)", "第６条(1)", ""), ("changed", "第６条(1)③", "第６条(1)③", "")],
            ["第６条"],
        ),
        (
            "article-added",
            [
                ("added", "第７条", "", ""),
                ("renumbered", "第８条から第15条まで", "第７条から第14条まで", "番号を繰下げ"),
            ],
            ["第７条"],
        ),
        (
            "article-removed",
            [
                ("removed", "", "第10条", ""),
                ("renumbered", "第10条から第13条まで", "第11条から第14条まで", "番号を繰上げ"),
            ],
            [],
        ),
        (
            "articles-swapped",
            [("moved", "第９条", "第10条", "第10条から移動"), ("moved", "第10条", "第９条", "第９条から移動")],
            [],
        ),
        (
            "paragraph-split",
            [
                ("changed", "第４条第２項から第３項まで", "第４条第２項", "第２項を２つに分割"),
                ("changed", "第６条(3)から(4)まで", "第６条(3)", "(3)を２つに分割"),
            ],
            ["第４条", "第６条"],
        ),
        ("paragraphs-joined", [("changed", "第７条(1)", "第７条(1)から(2)まで", "(1)と(2)を統合")], ["第７条"]),
        ("caption", [("changed", "第９条", "第９条", "")], ["第９条"]),
        ("item-added", [("added", "第５条(5)", "", "")], ["第５条"]),
        (
            "item-moved",
            [
                ("moved", "", "第５条(2)", "第12条(5)へ移動"),
                ("renumbered", "第５条(2)から(3)まで", "第５条(3)から(4)まで", "番号を繰上げ"),
                ("moved", "第12条(5)", "", "第５条(2)から移動"),
            ],
            ["第５条", "第12条"],
        ),
        ("closing-date", [("changed", "日付", "日付", "")], []),
        ("preamble", [("changed", "前文第１段", "前文第１段", "")], []),
        ("unchanged", [], []),
        ("respelled", [], []),
    ],
)
def test_each_amended_copy_has_just_the_rows_of_its_change(name, rows, changed):
    comparison = amendment(name)
    assert told(comparison) == rows
    assert [article.label for article in comparison.changed_articles] == changed
    assert comparison.is_unchanged == (not rows)


def test_an_article_that_keeps_its_number_without_text_is_deleted_not_removed():
    heading, text = (row for row in amendment("article-emptied").rows if row.kind is RowKind.CHANGED)
    assert heading.remark == "条番号を残して削除"
    assert shown(text.new) == ["削除"]
    assert underlined(text.new) == ["削除"]


def test_an_added_article_stands_in_one_row_underlined_as_a_whole_against_words():
    row = next(row for row in amendment("article-added").rows if row.kind is RowKind.ADDED)
    assert shown(row.old) == ["（新設）"]
    assert row.old.is_missing
    assert all(run.is_changed for line in row.new.shown for run in (*line.mark, *line.runs))
    assert shown(row.new)[0] == "第７条（アンケート）"


def test_renumbering_underlines_only_the_numbers_and_leaves_the_text_out():
    row = next(row for row in amendment("article-added").rows if row.kind is RowKind.RENUMBERED)
    assert shown(row.new) == ["第８条から第15条まで（略）"]
    assert (underlined(row.new), underlined(row.old)) == (["８", "15"], ["７", "14"])


def test_only_widths_and_spaces_are_no_change_but_are_counted():
    comparison = amendment("respelled")
    assert comparison.is_unchanged
    assert comparison.respelled == 3
    assert amendment("unchanged").respelled == 0


def test_an_article_added_and_another_rewritten_are_not_confused():
    text = base().replace("利用料はかかりません。", "利用料はいただきません。")
    comparison = compare(parse_terms(base()), parse_terms(amended.article_added(text, after=2)))
    kinds = [
        (row.kind.value, row.new.place, row.old.place)
        for row in comparison.rows
        if row.kind.value in {"added", "changed"}
    ]
    assert kinds == [("added", "第３条", ""), ("changed", "第４条", "第３条")]


def test_a_chapter_heading_is_compared_like_any_line():
    def chapter(heading):
        text = base().replace("（費用）\n", f"{heading}\n（費用）\n")
        return parse_terms(text)

    assert told(compare(chapter("第２章　費用と端末"), chapter("第２章　費用"))) == [
        ("changed", "第２章", "第２章", "")
    ]
    assert told(compare(parse_terms(base()), chapter("第２章　費用"))) == [("added", "第２章", "", "")]


def test_comparing_twice_gives_the_same():
    assert amendment("several") == amendment("several")


# The invariants, on texts with few words, so that parts are alike, doubled, moved and emptied all the time.

_SENTENCES = st.lists(
    st.sampled_from(
        [
            "予約は電話で",
            "３０分です。",
            "録画は",
            "禁止します。",
            "個人情報を",
            "守ります。",
            "削除",
            "氏名",
            "30分 です。",
        ]
    ),
    min_size=1,
    max_size=4,
).map("".join)


def _numbered(kind, marks, texts, belows):
    return tuple(
        Part(kind, marks[n] if marks else "", n + 1 if marks or kind is PartKind.PARAGRAPH else None, text, below)
        for n, (text, below) in enumerate(zip(texts, belows, strict=True))
    )


@st.composite
def _parts(draw, depth=0):
    kind = (PartKind.PARAGRAPH, PartKind.ITEM, PartKind.SUBITEM)[depth]
    texts = draw(st.lists(_SENTENCES, min_size=1 if depth == 0 else 0, max_size=3))
    belows = [draw(_parts(depth + 1)) if depth < 2 and draw(st.booleans()) else () for _ in texts]
    marks = ((), ("(1)", "(2)", "(3)"), ("①", "②", "③"))[depth]
    if depth == 2 and draw(st.booleans()):
        return tuple(Part(PartKind.BULLET, "・", None, text) for text in texts)
    return _numbered(kind, marks, texts, belows)


@st.composite
def _terms(draw):
    bodies = draw(st.lists(_parts(), max_size=4))
    articles = tuple(
        Article(f"第{n}条", (n,), draw(st.sampled_from(["", "目的", "費用", "予約"])), parts)
        for n, parts in enumerate(bodies, 1)
    )
    texts = st.lists(_SENTENCES, max_size=2).map(tuple)
    return Terms(
        draw(st.sampled_from(["規約", "利用規約"])),
        draw(texts),
        articles,
        draw(texts),
        draw(st.sampled_from(["", "令和７年４月１日"])),
        None,
        "",
    )


def _text(terms):
    lines = [line for node in nodes_of(terms) for line in node.lines()]
    return [
        (line.mark, f"（{line.text}）" if line.level.value == "article" and line.text else line.text) for line in lines
    ]


def _side(comparison, side):
    lines = [line for row in comparison.rows for line in getattr(row, side).lines]
    ordered = sorted(lines, key=lambda line: line.position)
    assert [line.position for line in ordered] == list(range(len(ordered)))
    return [("".join(run.text for run in line.mark), "".join(run.text for run in line.runs)) for line in ordered]


@settings(max_examples=150, deadline=None)
@given(_terms(), _terms())
def test_every_line_of_both_texts_stands_in_exactly_one_row(old, new):
    comparison = compare(old, new)
    assert _side(comparison, "new") == _text(new)
    assert _side(comparison, "old") == _text(old)


@settings(max_examples=100, deadline=None)
@given(_terms(), _terms())
def test_what_is_added_one_way_is_removed_the_other_way(old, new):
    there, back = compare(old, new).counts, compare(new, old).counts
    assert there[RowKind.ADDED] == back[RowKind.REMOVED]
    assert there[RowKind.REMOVED] == back[RowKind.ADDED]
    assert compare(old, new).is_unchanged == compare(new, old).is_unchanged


@settings(max_examples=100, deadline=None)
@given(_terms())
def test_a_text_compared_with_itself_is_unchanged(terms):
    comparison = compare(terms, terms)
    assert comparison.is_unchanged
    assert comparison.changed_articles == ()
    assert comparison.respelled == 0


@settings(max_examples=100, deadline=None)
@given(_terms(), st.randoms(use_true_random=False))
def test_an_unchanged_comparison_means_the_same_wording(terms, random):
    articles = list(terms.articles)
    random.shuffle(articles)
    comparison = compare(terms, replace(terms, articles=tuple(articles)))
    assert comparison.is_unchanged == ([a.label for a in articles] == [a.label for a in terms.articles])


# The office's real terms, read in place.


@pytest.fixture(scope="module")
def real():
    return real_text()


def _real_number(text):
    return text.replace("３０分", "４５分")


def _real_word(text):
    return text.replace("その方法を問わず禁止", "その方法を問わずお断り")


def _real_split(text):
    return text.replace("お願いします。なお、連絡", "お願いします。\n\n(4) なお、連絡")


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        (_real_number, {"changed": 2, "heading": 1}),
        (_real_word, {"changed": 1, "heading": 1}),
        (_real_split, {"changed": 1, "heading": 1}),
        (amended.article_added, {"added": 1, "renumbered": 1}),
        (amended.article_removed, {"removed": 1, "renumbered": 1}),
        (amended.articles_swapped, {"moved": 2}),
        (str, {}),
    ],
)
def test_the_real_terms_compared_with_an_amended_copy(real, change, rows, record_property):
    amended_text = change(real)
    begun = time.perf_counter()
    comparison = compare(parse_terms(real), parse_terms(amended_text))
    seconds = time.perf_counter() - begun
    record_property("seconds", seconds)
    print(f"real terms, {change.__name__}: {seconds:.4f} s")  # noqa: T201 — the figure is asked for, not asserted
    assert counted(comparison) == rows
    assert _side(comparison, "new") == _text(parse_terms(amended_text))
