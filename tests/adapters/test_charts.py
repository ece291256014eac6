"""Columns stand where they should, inside the drawing; what is hidden is hatched and gives nothing away."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from madoguchi.adapters.charts import HEIGHT, UNKNOWN, WIDTH, Column, Piece, chart
from madoguchi.adapters.usage_charts import days_chart, hours_chart, months_chart, times_chart
from madoguchi.domain.statistics import Quantiles, protect
from tests.world import ROOT

DAY = date(2026, 9, 14)
values = st.lists(st.lists(st.floats(0, 5000), min_size=1, max_size=4), max_size=31)


@given(values, st.booleans())
def test_nothing_sticks_out_of_the_drawing(columns, side_by_side):
    filled = [Column("", tuple(Piece(value, "first", "") for value in column)) for column in columns]
    drawn = chart("k", "t", "s", filled, side_by_side=side_by_side)
    for box in drawn.boxes:
        assert box.x >= 0
        assert box.x + box.width <= WIDTH + 0.2
        assert box.y >= 9.8
        assert box.y + box.height <= HEIGHT
    assert 2 <= len(drawn.lines) <= 6


@pytest.mark.parametrize(
    ("tallest", "lines"),
    [(1, "0 1"), (4, "0 1 2 3 4"), (5, "0 2 4 6"), (17, "0 5 10 15 20"), (180, "0 50 100 150 200"), (0, "0 1")],
)
def test_lines_stand_at_round_numbers(tallest, lines):
    drawn = chart("k", "t", "s", [Column("", (Piece(tallest, "first", ""),))])
    assert " ".join(line.text for line in drawn.lines) == lines


def test_a_small_day_looks_the_same_whatever_it_was():
    drawn = [
        days_chart([(DAY, cell) for cell in protect({"a": 20, "b": first, "c": second}).cells])
        for first, second in ((1, 4), (2, 3), (4, 1))
    ]
    assert drawn[0] == drawn[1] == drawn[2]
    assert [box.look for box in drawn[0].boxes] == ["first", UNKNOWN, UNKNOWN]
    assert drawn[0].summary == "最も多い日は9月14日（月）の20件です。"


def test_what_is_held_back_fills_the_height_and_a_day_without_anybody_is_empty():
    drawn = days_chart([(DAY, cell) for cell in protect({"a": 0, "b": 60, "c": 20, "d": 1}).cells])
    assert [box.look for box in drawn.boxes] == ["first", UNKNOWN, UNKNOWN]
    assert drawn.boxes[1].words == "9月14日（月） 非公表"
    assert drawn.boxes[1].height == HEIGHT - 34


def test_hidden_results_of_a_month_are_one_piece():
    names = {"attended": "相談した", "no_show": "連絡なく不参加", "cancelled": "取り消し", "other": "そのほか"}
    table = protect({"attended": 40, "no_show": 3, "cancelled": 12, "other": 0})
    few = protect({"attended": 2, "no_show": 0, "cancelled": 0, "other": 0})
    drawn = months_chart([("2026-08", table), ("2026-09", few)], names)
    assert [(box.look, box.words) for box in drawn.boxes] == [
        ("first", "8月 相談した 40件"), (UNKNOWN, "8月 伏せた数の合計 15件"), (UNKNOWN, "9月 5未満"),
    ]  # fmt: skip
    assert drawn.summary == "9月の相談は5未満です。"


def test_a_week_of_a_few_has_no_column():
    drawn = times_chart([(DAY, Quantiles(7200, 36000)), (DAY, Quantiles())])
    assert [box.words for box in drawn.boxes] == ["9/14の週 半数 2時間", "9/14の週 9割 10時間"]
    assert drawn.summary == "最近の週は、半数の方に2時間以内に届きました。"
    assert times_chart([]).is_empty


def test_the_macro_draws_words_as_text_and_loads_nothing():
    environment = Environment(
        loader=FileSystemLoader(ROOT / "templates" / "charts"), autoescape=True, undefined=StrictUndefined
    )
    drawn = hours_chart("k", "<b>", [(9, protect({"9": 8}).cells[0])])
    page = str(environment.get_template("charts.html").module.columns(drawn))
    assert "&lt;b&gt;" in page
    assert 'role="img"' in page
    assert "style=" not in page
    assert "http" not in page
