"""The comparison as a page: golden files, valid HTML, words beside every colour."""

import re

import html5lib
import pytest

from madoguchi.adapters.terms_comparison_page import ComparisonPageError, comparison_page
from madoguchi.domain.terms_comparison import compare
from madoguchi.domain.terms_reading import parse_terms
from tests.terms_amended import AMENDMENTS
from tests.terms_golden import FOLDER, ROOT, TITLE, base, golden_files

TEMPLATES = ROOT / "templates"


def page(name, *, new_first=True):
    comparison = compare(parse_terms(base()), parse_terms(AMENDMENTS[name](base())))
    return comparison_page(comparison, TEMPLATES, new_first=new_first, title=TITLE)


@pytest.mark.parametrize("name", sorted(AMENDMENTS))
def test_the_comparison_is_the_one_that_was_looked_at(name):
    for file, text in golden_files(name).items():
        kept = (FOLDER / file).read_text(encoding="utf-8")
        assert text == kept, f"{file} differs: look at it, then `python -m tests.terms_golden --write`"


@pytest.mark.parametrize("name", sorted(AMENDMENTS))
def test_the_page_is_valid_html(name):
    html5lib.HTMLParser(strict=True).parse(page(name))


def test_the_table_has_a_caption_scopes_and_words_beside_every_colour():
    html = page("several")
    assert html.count("<caption>") == 1
    assert html.count('scope="col"') == 3
    assert 'scope="rowgroup"' in html
    for words in ("（新設）", "（削る）", "（略）", "改正後", "改正前", "備考"):
        assert words in html
    assert html.count("変更ここから") == html.count("変更おわり") > 0


def test_every_row_has_as_many_columns_as_the_head():
    for name in AMENDMENTS:
        rows = re.findall(r"<tr.*?</tr>", page(name), re.DOTALL)
        widths = {
            sum(int(span or 1) for span in re.findall(r'<t[hd](?:[^>]*?colspan="(\d)")?[^>]*>', row)) for row in rows
        }
        assert len(widths) <= 1, name


def test_the_sides_can_be_switched():
    assert page("word").index(">改正後<") < page("word").index(">改正前<")
    assert page("word", new_first=False).index(">改正前<") < page("word", new_first=False).index(">改正後<")


def test_what_looks_like_markup_in_the_terms_is_text():
    old = base()
    new = old.replace("録画と録音", "<script>alert(1)</script>と{{ 7*7 }}")
    html = comparison_page(compare(parse_terms(old), parse_terms(new)), TEMPLATES, title="<b>")
    assert "<script" not in html
    assert "<b>" not in html
    assert "{{ 7*7 }}" in html


def test_a_missing_template_is_named(tmp_path):
    with pytest.raises(ComparisonPageError, match="css"):
        comparison_page(compare(parse_terms(base()), parse_terms(base())), tmp_path, title=TITLE)
