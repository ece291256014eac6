"""The comparison in a mail, and its lines."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madoguchi.domain.terms_comparison import compare
from madoguchi.domain.terms_comparison_text import LINE_WIDTH, changed_articles_text, comparison_text, wrap
from madoguchi.domain.terms_reading import parse_terms
from tests.terms_amended import AMENDMENTS
from tests.terms_golden import base


def amendment(name):
    return compare(parse_terms(base()), parse_terms(AMENDMENTS[name](base())))


def width(line):
    return sum(1 if unicodedata.east_asian_width(c) in {"Na", "H", "N"} else 2 for c in line)


def test_changes_stand_in_brackets_that_the_first_line_explains():
    text = comparison_text(amendment("word"))
    assert text.startswith("変わるところを［ ］で囲んでいます。\n")
    assert text.index("【変更後】") < text.index("お断り］") < text.index("【変更前】") < text.index("［禁止］")


def test_the_sides_can_be_switched():
    text = comparison_text(amendment("word"), new_first=False)
    assert text.index("【変更前】") < text.index("【変更後】")


def test_brackets_of_the_terms_are_not_taken_for_the_sign():
    old = base().replace("方法を問わず", "［方法］を問わず")
    new = old.replace("禁止します", "お断りします")
    assert "《禁止》" in comparison_text(compare(parse_terms(old), parse_terms(new)))


def test_nothing_changed_says_nothing():
    assert comparison_text(amendment("respelled")) == changed_articles_text(amendment("unchanged")) == ""


def test_the_content_after_the_change_is_in_full_and_names_what_is_gone_or_only_renumbered():
    text = changed_articles_text(amendment("several"))
    assert "② 求職番号\n③ 電話番号" in text
    assert "［" not in text
    gone = changed_articles_text(amendment("article-removed"))
    assert "● 第10条（損害の負担）\nこの条は、なくなります。" in gone
    assert "変更前は第11条から第14条まで" in gone


@pytest.mark.parametrize("name", sorted(AMENDMENTS))
def test_no_line_of_a_mail_is_wider_than_the_others(name):
    for text in (comparison_text(amendment(name)), changed_articles_text(amendment(name))):
        assert all(width(line) <= 2 * LINE_WIDTH for line in text.split("\n"))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("あいうえおかきくけこ", ["あいうえおかきくけ", "こ"]),
        ("一二三四五六七八九、十", ["一二三四五六七八", "九、十"]),
        ("一二三四五六七八（九）", ["一二三四五六七八", "（九）"]),
        ("お手紙はこちら、窓口へどうぞ", ["お手紙はこちら、", "窓口へどうぞ"]),
        ("一二三四五六七https://example.jp/terms/です", ["一二三四五六七", "https://example.jp/terms/です"]),
        ("一二三四五六七１２３４", ["一二三四五六七", "１２３４"]),
    ],
)
def test_lines_break_where_japanese_may(text, lines):
    assert wrap(text, 9).split("\n") == lines


@given(st.text(alphabet="あいお、。（）「」ーっア漢字12AB ［］・", max_size=80), st.integers(4, 12))
def test_wrapping_loses_nothing_and_never_begins_with_a_closing_mark(text, room):
    lines = wrap(text, room).split("\n")
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert not any(line[:1] in set("、。）」ーっ］・") for line in lines[1:] if line)
    assert not any(line[-1:] in set("（「［") for line in lines[:-1] if line)
