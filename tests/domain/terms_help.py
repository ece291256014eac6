"""What the tests of the terms share: the office's real text where it is, and a wrapping like that of a printed page."""

import os
import re
from pathlib import Path

import pytest

from madoguchi.domain.terms_lines import width

HERE = Path(__file__).resolve()
SAMPLE = HERE.parents[2] / "config" / "terms" / "service-2025-04-01.txt"
WRAPPED = HERE.parent / "terms_wrapped.txt"
_TOKEN = re.compile(r"[A-Za-z]+ ?|. ?")
_NOT_FIRST = "、。，．）)」』】〕ぁぃぅぇぉっゃゅょァィゥェォッャュョ々：；！？"


def real_text():
    shared = os.environ.get("MADOGUCHI_SHARED_DIR")
    folder = Path(shared) if shared else HERE.parents[3] / "shared"
    path = folder / "terms" / "terms-2025-06-16.txt"
    if not path.is_file():
        pytest.skip("the office's real terms are not here: name the folder above terms/ by MADOGUCHI_SHARED_DIR")
    return path.read_text(encoding="utf-8")


def wrapped_line(line, cells):
    """A line broken as soon as the next thing that cannot be divided does not fit; blanks stay at the line ends."""
    units = []
    for token in _TOKEN.findall(line):
        if units and (token[0] in _NOT_FIRST or units[-1][-1] in "（(「『【〔"):
            units[-1] += token
        else:
            units.append(token)
    rows = [""]
    for unit in units:
        if rows[-1] and width(rows[-1]) + width(unit.rstrip(" ")) > cells:
            rows.append("")
        rows[-1] += unit
    return rows
