"""The amended copies of the sample terms and their comparisons as files, to be read by eye and kept.

`python -m tests.terms_golden --write` writes `fixtures/terms/<name>.txt`, `.golden.html` and `.golden.txt` again;
look at every page in a browser before they are committed. Without `--write` it names what differs.
"""

import sys
from pathlib import Path

from madoguchi.adapters.terms_comparison_page import comparison_page
from madoguchi.domain.terms_comparison import compare
from madoguchi.domain.terms_comparison_text import changed_articles_text, comparison_text
from madoguchi.domain.terms_reading import parse_terms
from tests.terms_amended import AMENDMENTS

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "fixtures" / "terms"
TITLE = "オンライン相談 利用規約の変更"
OLD_FIRST = frozenset({"word"})
"""Copies whose golden files have the old text on the left, so that both orders are kept."""


def base():
    return (FOLDER / "base.txt").read_text(encoding="utf-8")


def golden_files(name):
    """Names and texts of the files of one amended copy."""
    amended = AMENDMENTS[name](base())
    comparison = compare(parse_terms(base()), parse_terms(amended))
    new_first = name not in OLD_FIRST
    parts = comparison_text(comparison, new_first=new_first), changed_articles_text(comparison)
    return {
        f"{name}.txt": amended,
        f"{name}.golden.html": comparison_page(comparison, ROOT / "templates", new_first=new_first, title=TITLE),
        f"{name}.golden.txt": "\n\n==========\n\n".join(parts) + "\n",
    }


def main():
    differing = []
    for name in AMENDMENTS:
        for file, text in golden_files(name).items():
            path = FOLDER / file
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                differing.append(file)
                if "--write" in sys.argv:
                    path.write_text(text, encoding="utf-8")
    print("\n".join(differing) or "every file is as it should be")  # noqa: T201 — a command


if __name__ == "__main__":
    main()
