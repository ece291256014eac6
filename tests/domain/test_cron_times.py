"""The next time of a cron line is the one that Prefect's own reader of cron lines finds."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect._vendor.croniter import croniter

from madoguchi.domain.cron_times import next_time
from madoguchi.domain.office import JST

LINES = ("30-55/5 8 * * 1-5", "*/5 9-16 * * 1-5", "0,10,40 11-14 * * 1,3,5", "30 19 * * *", "1 0 * * *",
         "40 8 1-12 * *", "0 0 29 2 *", "15 9 13 * 5", "0 9 * * 7", "5/20 * * * *", "0 8-16 * * 1-5")  # fmt: skip
minutes = st.integers(0, 5 * 366 * 1440)
moments = minutes.map(lambda count: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=count))


@given(st.sampled_from(LINES), moments)
def test_it_finds_what_prefect_finds(line, after):
    assert next_time(line, after) == croniter(line, after.astimezone(JST)).get_next(datetime)


def test_an_instant_at_which_it_fires_is_not_after_itself():
    assert next_time("30 19 * * *", datetime(2026, 9, 24, 19, 30, tzinfo=JST)) == datetime(
        2026, 9, 25, 19, 30, tzinfo=JST
    )


def test_a_day_that_never_comes_is_no_time():
    assert next_time("0 0 31 2 *", datetime(2026, 9, 24, tzinfo=JST)) is None


@pytest.mark.parametrize("line", ["* * * *", "61 * * * *", "a * * * *", "*/0 * * * *", "5-2 * * * *", "0 0 * jan *"])
def test_what_is_no_cron_line_is_said(line):
    with pytest.raises(ValueError):
        next_time(line, datetime(2026, 9, 24, tzinfo=JST))
