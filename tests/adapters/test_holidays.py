from datetime import date, timedelta

import pytest

from madoguchi.adapters.holidays import is_public_holiday

# As the Cabinet Office publishes them: national holidays, substitutes and sandwiched days.
HOLIDAYS = {
    2026: "01-01 01-12 02-11 02-23 03-20 04-29 05-03 05-04 05-05 05-06 07-20 08-11 09-21 09-22 09-23 10-12 11-03 11-23",
    2027: "01-01 01-11 02-11 02-23 03-21 03-22 04-29 05-03 05-04 05-05 07-19 08-11 09-20 09-23 10-11 11-03 11-23",
}


@pytest.mark.parametrize("year", HOLIDAYS)
def test_every_day_of_the_year_is_a_holiday_or_not_as_published(year):
    first = date(year, 1, 1)
    days = [first + timedelta(days=n) for n in range((date(year + 1, 1, 1) - first).days)]
    assert [f"{day:%m-%d}" for day in days if is_public_holiday(day)] == HOLIDAYS[year].split()


def test_the_year_end_closure_is_not_a_matter_of_this_list():
    assert not is_public_holiday(date(2026, 12, 29))
    assert not is_public_holiday(date(2027, 1, 2))
