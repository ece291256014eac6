import re
from pathlib import Path

import pytest

from madoguchi.adapters.notice_words import blocks, paragraphs
from madoguchi.domain.terms_comparison import compare
from madoguchi.domain.terms_comparison_text import changed_articles_text, comparison_text, wrap
from madoguchi.domain.terms_reading import parse_terms

FIXTURES = Path(__file__).parents[1] / "fixtures" / "terms"
AMENDED = sorted(path for path in FIXTURES.glob("*.txt") if ".golden" not in path.name and path.name != "base.txt")
LONG = "原則として、前々日までに、申込みページか電話でお申し込みください。"


def told(path):
    comparison = compare(*(parse_terms(each.read_text(encoding="utf-8")) for each in (FIXTURES / "base.txt", path)))
    return changed_articles_text(comparison), comparison_text(comparison)


@pytest.mark.parametrize("path", AMENDED, ids=lambda path: path.stem)
def test_no_word_is_lost_or_added_when_lines_are_put_together_again(path):
    for text in told(path):
        found = "".join(
            block.title + "".join(piece for line in block.paragraphs for piece, _ in line) for block in blocks(text)
        )
        # Only the sign before the title goes: in HTML it is a heading.
        assert re.sub(r"\s", "", found) == re.sub(r"\s|^● ", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "lines",
    [
        [LONG * 3],
        ["① 氏名", "② 求職番号"],
        [f"(1) {LONG}", f"(2) {LONG}"],
        [f"１ {LONG * 2}", "２ 次のとおり", "・ ひとつ目", f"・ {LONG * 2}"],
        ["（略）", LONG, "（略）"],
        ["短い", "行"],
    ],
)
def test_paragraphs_are_the_lines_that_were_wrapped(lines):
    assert list(paragraphs(wrap("\n".join(lines)))) == lines


def test_what_stands_in_the_signs_is_marked_and_nothing_without_their_explanation():
    explained = "変わるところを《 》で囲んでいます。\n\n● 第１条\n前日まで《前々日》に［ ］"
    assert blocks(explained)[1].paragraphs == ((("前日まで", False), ("《前々日》", True), ("に［ ］", False)),)
    assert blocks("● 第１条\n前日まで［前々日］に")[0].paragraphs == ((("前日まで［前々日］に", False),),)
    assert blocks("") == ()
