"""What is published gives no small count away, to nobody who can add, nor to anybody who knows how it is done."""

import itertools
from collections import defaultdict
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madoguchi.domain.office import JST
from madoguchi.domain.statistics import (
    REST,
    SMALLEST,
    Mark,
    Quantiles,
    age_ja,
    days_of,
    duration_ja,
    first_of,
    fold,
    following,
    month_of,
    months_before,
    protect,
    published,
    quantiles,
    tree,
)

counts = st.lists(st.one_of(st.integers(0, 6), st.integers(0, 40)), min_size=1, max_size=12)


def table_of(numbers):
    return protect({f"k{place}": number for place, number in enumerate(numbers)})


def texts(table):
    return " ".join([table.total.text, "=", *(cell.text for cell in table.cells)])


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ([0], "0 = 0"),
        ([0, 0], "0 = 0 0"),
        ([3, 0], "5未満 = 非公表 非公表"),
        ([5], "5 = 5"),
        ([20, 0], "20 = 20 0"),
        ([20, 10, 7], "37 = 20 10 7"),
        ([180, 10, 9, 2, 0], "201 = 180 10 非公表 5未満 0"),
        ([30, 6, 5, 1], "42 = 非公表 非公表 非公表 5未満"),
        ([6, 1], "7 = 非公表 非公表"),
        ([4, 4], "8 = 非公表 非公表"),
        ([2, 3], "5 = 5未満 5未満"),
        ([1, 1, 1, 1, 1, 1], "6 = 非公表 非公表 非公表 非公表 非公表 非公表"),
        ([1, 2, 3, 2, 12, 0], "20 = 5未満 5未満 5未満 5未満 12 0"),
        ([1234, 2000, 5], "3,239 = 1,234 2,000 5"),
    ],
)
def test_small_counts_are_hidden_and_what_would_give_them_away_too(numbers, shown):
    assert texts(table_of(numbers)) == shown


def possible(table, place, sums):
    """The values from 1 to 4 that a small cell may have, for one who knows total, marks and what they mean."""
    shown = sum(cell.count or 0 for cell in table.cells)
    hidden = [(1, SMALLEST - 1) if cell.mark is Mark.SMALL else (SMALLEST, 10_000)
              for at, cell in enumerate(table.cells) if cell.count is None and at != place]  # fmt: skip
    least, most = sum(low for low, _ in hidden), sum(high for _, high in hidden)
    return [value for value in range(1, SMALLEST) if least <= sums - shown - value <= most]


@given(counts)
def test_whoever_subtracts_learns_only_that_a_small_count_is_small(numbers):
    table = table_of(numbers)
    assert table.total.mark is (Mark.SMALL if 0 < sum(numbers) < SMALLEST else Mark.SHOWN)
    assert all(cell.count == number for cell, number in zip(table.cells, numbers, strict=True)
               if cell.count is not None)  # fmt: skip
    assert all(cell.count == 0 or cell.count >= SMALLEST for cell in table.cells if cell.count is not None)
    for place, cell in enumerate(table.cells):
        if cell.mark is Mark.SMALL:
            assert possible(table, place, sum(numbers)) == list(range(1, SMALLEST))
    if any(0 < number < SMALLEST for number in numbers):
        assert sum(cell.count is None for cell in table.cells) >= min(2, len(numbers))


def test_whoever_knows_the_whole_procedure_cannot_run_it_backwards():
    """All tables up to a size, by what would be published of them: no small count is the same in all of a kind."""
    for size, most in ((1, 30), (2, 24), (3, 14), (4, 9)):
        behind = defaultdict(list)
        for numbers in itertools.product(range(most + 1), repeat=size):
            behind[table_of(numbers)].append(numbers)
        for table, candidates in behind.items():
            # Where the largest number tried is near, those beyond it are missing among the candidates.
            if max(map(max, candidates)) >= most - SMALLEST + 1:
                continue
            for place, cell in enumerate(table.cells):
                values = {numbers[place] for numbers in candidates}
                if cell.count is None and any(0 < value < SMALLEST for value in values):
                    assert len(values) > 1, (texts(table), candidates)


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.integers(0, 30), max_size=8))
def test_an_open_list_shows_no_small_number_and_sums_up(given_counts):
    table = fold(given_counts)
    numbers = [cell.count for cell in table.cells]
    assert all(number >= SMALLEST for number in numbers)
    if sum(given_counts.values()) >= SMALLEST:
        assert sum(numbers) == table.total.count == sum(given_counts.values())
    assert all(given_counts[cell.key] == cell.count for cell in table.cells if cell.key != REST)


def test_what_is_put_together_takes_a_larger_one_in_until_it_is_not_small():
    table = fold({"A": 20, "B": 6, "C": 2, "D": 1})
    assert [(cell.key, cell.count) for cell in table.cells] == [("A", 20), (REST, 9)]
    assert fold({"A": 3}).cells == ()


def test_below_a_hidden_count_nothing_is_broken_down():
    top, below = tree({("accept", ""): 30, ("reject", "X"): 3, ("review", "Y"): 9, ("review", "Z"): 1},
                      ("accept", "review", "reject"))  # fmt: skip
    assert texts(top) == "43 = 30 非公表 5未満"
    assert set(below) == {"accept"}


@given(st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), st.integers(0, 15)))
def test_what_stands_below_a_count_sums_up_to_it(given_counts):
    top, below = tree(given_counts, "abc")
    for key, table in below.items():
        assert top.cell(key).count == table.total.count
        assert all(cell.count >= SMALLEST for cell in table.cells)


def test_a_rate_is_given_only_where_both_counts_are():
    table = protect({"attended": 30, "no_show": 10, "cancelled": 0})
    assert table.share("no_show", ("attended", "no_show")) == 0.25
    assert table.share("cancelled", ("cancelled",)) is None
    assert table.share("no_show", ("attended",)) is None
    hidden = protect({"attended": 30, "no_show": 2, "cancelled": 9})
    assert hidden.share("no_show", ("attended", "no_show")) is None
    assert hidden.share("attended", ("attended", "no_show")) is None
    with pytest.raises(KeyError):
        hidden.cell("else")


def test_one_count_alone_is_hidden_when_it_is_small():
    assert [published("n", count).text for count in (0, 1, 4, 5)] == ["0", "5未満", "5未満", "5"]


def test_a_quantile_of_a_few_is_not_given_and_no_time_is_below_zero():
    assert quantiles(4, 10, 20) == Quantiles(None, None)
    assert quantiles(5, -3, 20) == Quantiles(0, 20)


def test_months_follow_each_other():
    assert (following("2026-12"), following("2026-01"), month_of(date(2026, 2, 28))) == (
        "2027-01", "2026-02", "2026-02",
    )  # fmt: skip
    assert months_before("2026-02", 3) == ["2025-11", "2025-12", "2026-01"]
    assert len(list(days_of(first_of("2028-02"), first_of("2028-03")))) == 29


@pytest.mark.parametrize("text", ["2026-9", "2026-13", "2026", "", "26-09", "2026-09-01", "２０２６-09", "2026/09"])
def test_what_is_no_month_is_said(text):
    with pytest.raises(ValueError):
        first_of(text)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "1分"), (61, "1分"), (5400, "2時間"), (86400, "24時間"), (200_000, "2.3日")]
)
def test_a_time_is_told_as_exactly_as_it_matters(seconds, words):
    assert duration_ja(seconds) == words


def test_an_age_is_told_roughly():
    now = datetime(2026, 9, 24, 12, tzinfo=JST)
    assert [age_ja(now - timedelta(hours=hours), now) for hours in (0.5, 5, 24, 80)] == [
        "1時間以内", "5時間前", "1日前", "3日前",
    ]  # fmt: skip
