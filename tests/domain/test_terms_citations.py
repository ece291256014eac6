import pytest

from madoguchi.domain.terms_citations import (
    check_citations,
    citation_notes,
    citations_left_behind,
    find_citations,
)
from madoguchi.domain.terms_reading import parse_terms
from tests.domain.terms_help import SAMPLE, WRAPPED, real_text


def found(terms):
    return [(one.place, "".join(one.cited.split()), one.law, list(one.targets)) for one in find_citations(terms)]


def terms_of(*articles, preamble="この規約は、約束ごとを定めます。"):
    """Terms of articles that are (caption, text); the number is the place in the row."""
    lines = ["見本の規約", preamble]
    for number, (caption, text) in enumerate(articles, 1):
        lines += [f"（{caption}）", f"第{number}条 {text}" if text[0] != "(" else f"第{number}条\n{text}"]
    return parse_terms("\n".join(lines))


def test_every_citation_of_the_real_terms_is_resolved():
    terms = parse_terms(real_text())
    assert found(terms) == [
        ("前文", "第６条", "", ["第６条"]),
        ("第２条(2)", "第４条", "", ["第４条"]),
        ("第６条(3)", "(2)", "", ["第６条(2)"]),
        ("第７条(2)", "前項", "", ["第７条(1)"]),
        ("第８条(1)", "第５条の４", "職業安定法", []),
        ("第８条(2)", "第12条(3)", "", ["第12条(3)"]),
        ("第12条(4)", "第４条", "", ["第４条"]),
        ("第13条", "以下の各号", "", ["第13条(1)", "第13条(2)"]),
    ]
    assert check_citations(terms) == ()
    assert citations_left_behind(terms, terms) == ()


def test_a_law_that_moved_an_article_is_a_note_and_stops_nothing():
    terms = parse_terms(real_text())
    (note,) = citation_notes(terms)
    assert (note.place, note.cited, note.code, note.severity) == (
        "第８条(1)",
        "職業安定法第５条の４",
        "LAW_RENUMBERED",
        "note",
    )
    assert "職業安定法第５条の５" in note.sentence
    assert citation_notes(terms_of(("目的", "職業安定法第５条の５によります。"))) == ()


def test_the_wrapped_sample_cites_what_it_means_even_at_the_beginning_of_a_line():
    terms = parse_terms(WRAPPED.read_text(encoding="utf-8"))
    assert found(terms) == [
        ("前文", "第５条", "", ["第５条"]),
        ("第２条(2)", "第３条", "", ["第３条"]),
        ("第５条(3)", "(2)", "", ["第５条(2)"]),
        ("第６条(2)", "前項", "", ["第６条(1)"]),
        ("第６条(2)", "第７条の２", "見本情報法", []),
        ("第７条(2)", "第３条", "", ["第３条"]),
        ("第９条", "以下の各号", "", ["第９条(1)", "第９条(2)"]),
        ("第10条", "第７条(1)", "", ["第７条(1)"]),
        ("第10条", "第12条", "", ["第12条"]),
        ("第12条", "第２条(1)", "", ["第２条(1)"]),
    ]
    assert check_citations(terms) == ()
    assert check_citations(parse_terms(SAMPLE.read_text(encoding="utf-8"))) == ()


BODY = """規約
第１条 甲です。
乙です。
第２条 次のとおりです。
(1) 氏名
(2) 住所
(3) 電話
第３条
(1) 丙です。
① 丁
② 戊
(2) 己です。
第４条 庚です。
第５条　削除
第６条 {said}
"""


@pytest.mark.parametrize(
    ("said", "targets"),
    [
        ("第１条第２項によります。", [["第１条第2項"]]),
        ("第２条第２号によります。", [["第２条(2)"]]),
        ("第２条(3)によります。", [["第２条(3)"]]),
        ("第３条第２項によります。", [["第３条(2)"]]),
        ("第３条(1)②によります。", [["第３条(1)②"]]),
        ("第２条各号によります。", [["第２条(1)", "第２条(2)", "第２条(3)"]]),
        ("第二条第二号によります。", [["第２条(2)"]]),
        ("第１条及び第４条によります。", [["第１条"], ["第４条"]]),
        ("第２条(1)及び(3)によります。", [["第２条(1)"], ["第２条(3)"]]),
        ("第１条第１項又は第２項によります。", [["第１条第1項"], ["第１条第2項"]]),
        ("第１条から第４条までによります。", [["第１条", "第２条", "第３条", "第４条"]]),
        ("第２条(1)から(3)までによります。", [["第２条(1)", "第２条(2)", "第２条(3)"]]),
        ("第４条の規定と同条の定めによります。", [["第４条"], ["第４条"]]),
        ("本条によります。", [["第６条"]]),
        ("本規約第４条によります。", [["第４条"]]),
        ("民法第548条の４によります。", [[]]),
        ("民法第548条の４第１項及び第３項によります。", [[], []]),
        ("個人情報の保護に関する法律（平成15年法律第57号）第66条によります。", [[]]),
        ("職業安定法第５条の４及び同法第９条によります。", [[], []]),
        ("この条例、前条件、２項目、(30)人、第１号様式は引用ではありません。", []),
    ],
)
def test_citations_are_followed_to_what_they_mean(said, targets):
    terms = parse_terms(BODY.format(said=said))
    assert [list(one.targets) for one in find_citations(terms)] == targets
    assert check_citations(terms) == ()


@pytest.mark.parametrize(
    ("article", "targets"),
    [
        ("(1) 甲です。\n(2) 前項と次項によります。\n(3) 前二項によります。", [["(1)"], ["(3)"], ["(1)", "(2)"]]),
        (
            "次の各号によります。\n(1) 甲\n(2) 前号の乙\n(3) 前各号の丙",
            [["(1)", "(2)", "(3)"], ["(1)"], ["(1)", "(2)"]],
        ),
        ("(1) 甲です。\n① 乙\n② ①の丙\n(2) (1)の丁です。", [["(1)①"], ["(1)"]]),
    ],
)
def test_relative_citations_are_followed_from_where_they_stand(article, targets):
    terms = terms_of(("目的", "甲です。"), ("記録", article))
    expected = [[f"第2条{target}" for target in one] for one in targets]
    assert [list(one.targets) for one in find_citations(terms)] == expected


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("第９条によります。", "NO_SUCH_ARTICLE"),
        ("第４条の２によります。", "NO_SUCH_ARTICLE"),
        ("次条によります。", "NO_SUCH_ARTICLE"),
        ("第４条第２項によります。", "NO_SUCH_PART"),
        ("第２条(4)によります。", "NO_SUCH_PART"),
        ("(2)の定めによります。", "NO_SUCH_PART"),
        ("前項によります。", "NO_SUCH_PART"),
        ("各号によります。", "NO_SUCH_PART"),
        ("第３条から第８条までによります。", "NO_SUCH_ARTICLE"),
        ("第５条によります。", "DELETED_ARTICLE"),
        ("同条によります。", "NO_ANTECEDENT"),
    ],
)
def test_a_citation_that_leads_nowhere_is_named_with_its_place(said, code):
    (problem,) = check_citations(parse_terms(BODY.format(said=said)))
    assert (problem.code, problem.place, problem.severity) == (code, "第６条", "error")
    assert problem.sentence.startswith(f"第６条の「{problem.cited}」")
    assert problem.sentence.endswith("ください。")


AIM = ("目的", "相談室は、オンラインで面談する機会を設けます。")
FEE = ("費用", "利用料はかかりません。通信の費用は利用される方のご負担です。")
TOOL = ("使うソフト", "面談にはビデオ会議のソフトを使います。録画はできません。")
CARE = ("環境", "利用される方は、第２条の費用と第３条のソフトのことを知ったうえで参加してください。")
PLACE = ("裁判所", "争いになったときは、見本地方裁判所で解決します。")
NEW = ("アンケート", "相談のあとに、映像と音声の具合についてお尋ねすることがあります。")
OLD = (AIM, FEE, TOOL, CARE, PLACE)


@pytest.mark.parametrize(
    ("new", "left"),
    [
        (OLD, []),
        ((AIM, FEE, TOOL, NEW, CARE, PLACE), []),
        ((AIM, FEE, NEW, TOOL, CARE, PLACE), [("第5条", "第３条", "第4条に移って")]),
        ((NEW, AIM, FEE, TOOL, CARE), [("第5条", "第２条", "第3条に移って"), ("第5条", "第３条", "第4条に移って")]),
        ((AIM, TOOL, FEE, CARE), [("第4条", "第２条", "第3条に移って"), ("第4条", "第３条", "第2条に移って")]),
        (
            (AIM, TOOL, CARE, PLACE),
            [("第3条", "第２条", "改正後の規約にありません"), ("第3条", "第３条", "第2条に移って")],
        ),
        ((AIM, ("費用", FEE[1].replace("ご負担", "負担")), TOOL, CARE), []),
        ((NEW, AIM, FEE, TOOL, ("環境", CARE[1].replace("３", "４").replace("２", "３"))), []),
    ],
)
def test_a_citation_whose_meaning_moved_is_reported_with_where_it_went(new, left):
    problems = citations_left_behind(terms_of(*OLD), terms_of(*new))
    assert [(one.place, one.cited) for one in problems] == [(place, cited) for place, cited, _ in left]
    for problem, (_, _, stands) in zip(problems, left, strict=True):
        assert problem.code == "POINTS_ELSEWHERE"
        assert stands in problem.sentence
        assert problem.sentence.endswith("引用を直してください。")


def test_a_citation_in_the_preamble_is_followed_too():
    cites = "第２条により、費用はかかりません。"
    old, new = terms_of(AIM, FEE, TOOL, preamble=cites), terms_of(AIM, NEW, FEE, TOOL, preamble=cites)
    (problem,) = citations_left_behind(old, new)
    assert (problem.place, problem.cited) == ("前文", "第２条")


@pytest.mark.parametrize(
    ("old", "new", "cited"),
    [
        # A paragraph put in between: 前項 means another one now.
        (
            "(1) 相談の日時と端末の種類を記録します。\n(2) 前項の記録は公にしません。",
            "(1) 相談の日時と端末の種類を記録します。\n(2) お尋ねすることがあります。\n(3) 前項の記録は公にしません。",
            "前項",
        ),
        (
            "(1) 面談は一回四十分です。\n(2) 実施する日時をお知らせします。\n(3) (2)の日時を過ぎると取り消します。",
            "(1) 実施する日時をお知らせします。\n(2) 面談は一回四十分です。\n(3) (2)の日時を過ぎると取り消します。",
            "(2)",
        ),
    ],
)
def test_paragraphs_that_moved_leave_relative_citations_behind(old, new, cited):
    (problem,) = citations_left_behind(terms_of(AIM, ("記録", old)), terms_of(AIM, ("記録", new)))
    assert (problem.cited, problem.code) == (cited, "POINTS_ELSEWHERE")


def test_an_item_added_to_those_that_are_meant_together_leaves_nothing_behind():
    old = "次の各号によります。\n(1) 氏名と住所\n(2) 登録番号"
    assert citations_left_behind(terms_of(("申込み", old)), terms_of(("申込み", old + "\n(3) 電話番号"))) == ()
