"""docs/failures.md lists every failure report once, and every test that it names exists."""

import ast
import re
from functools import lru_cache

import pytest

from config.settings import ROOT

TEXT = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
REPORTS = [
    (int(part[1]), part[0])
    for part in re.finditer(r"(?ms)^\*\*(\d+)\. .+?(?=^\*\*\d+\. |^## |\Z)", TEXT)
]  # fmt: skip
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))
NEEDS_A_TEST = {*range(1, 13), *range(16, 26)}


@lru_cache
def names_in(path):
    """The names of the tests at the top of a file, read and not run."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_all_31_reports_are_listed_once_and_in_order():
    assert [number for number, _ in REPORTS] == list(range(1, 32))


@pytest.mark.parametrize(("number", "text"), REPORTS, ids=[f"report {number}" for number, _ in REPORTS])
def test_a_report_has_its_public_source_an_explanation_and_its_tests(number, text):
    first, explanation, *_ = text.split("\n\n")
    assert re.search(r"\]\(https://[^)]+\)", first)
    assert len(explanation) > 60
    assert not explanation.startswith("- ")
    if number in NEEDS_A_TEST:
        assert re.search(r"(?m)^- `tests/\S+::test_\w+`$", text)


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_test_that_is_named_exists(path, name):
    assert name in names_in(path), f"{path} has no {name}: name the test that covers this now"


def test_no_test_is_named_in_a_form_that_is_not_looked_for():
    assert len(re.findall(r"tests/\S+::", TEXT)) == len(re.findall(r"`tests/[\w/]+\.py::test_\w+`", TEXT))
