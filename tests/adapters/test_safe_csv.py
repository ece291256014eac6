import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madoguchi.adapters.safe_csv import SafeCsv, safe_cell


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+81 47",
        "-2",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\0=1",
        "\x1f=1",
        "\x1f\u3000\x85=1",
        "＝1",
        "＋1",
        "－1",
        "＠x",
        " =1",
        "\u3000＝1",
        "\u200b=1",
    ],
)
def test_what_a_spreadsheet_would_take_for_a_formula_gets_an_apostrophe(text):
    assert safe_cell(text).startswith("'")


@pytest.mark.parametrize("text", ["", "M-7K2Q9F", "架空 七海", "047-000-0001", "2026-09-14 09:00:00", "a=b", '"'])
def test_anything_else_stays_as_it_is(text):
    assert safe_cell(text) == text


def test_the_bytes_open_in_a_spreadsheet():
    stream = io.BytesIO()
    out = SafeCsv(stream)
    out.row(["番号", "氏名"])
    out.row(["R-7K2Q9F", '架空 "七海"\r\n=2'])
    assert stream.getvalue() == (b"\xef\xbb\xbf" + '"番号","氏名"\r\n"R-7K2Q9F","架空 ""七海"" =2"\r\n'.encode())
    assert len(out.sha256) == 64


@given(st.lists(st.lists(st.text(max_size=12), min_size=2, max_size=2), max_size=5))
def test_every_cell_reads_back_on_its_row_and_none_begins_like_a_formula(rows):
    stream = io.BytesIO()
    out = SafeCsv(stream)
    for row in rows:
        out.row(row)
    read = list(csv.reader(io.StringIO(stream.getvalue().decode("utf-8-sig"), newline="")))
    assert read == [[safe_cell(cell) for cell in row] for row in rows]
    assert not any(cell.lstrip()[:1] in set("=+-@＝＋－＠") - {""} for row in read for cell in row if cell.strip())
