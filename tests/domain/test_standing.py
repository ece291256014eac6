from datetime import date, datetime, timedelta

import pytest

from madoguchi.domain.office import JST
from madoguchi.domain.standing import Standing, standing

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=JST)
NAIVE = NOW.replace(tzinfo=None)
TODAY = NOW.date()
DAY = timedelta(days=1)


def stand(days=(), restrictions=(), as_of=NOW):
    return standing(days, restrictions, as_of=as_of, counts_for_days=180, review_after=2)


def test_somebody_without_a_history_is_dealt_with_by_the_machine():
    assert stand() == Standing(no_shows=0, restricted_until=None, needs_person=False, reason=None)


@pytest.mark.parametrize(
    ("days", "counted"),
    [
        ([TODAY], 1),
        ([TODAY - 180 * DAY], 1),  # the last day on which it counts
        ([TODAY - 181 * DAY], 0),  # expired
        ([TODAY + DAY], 0),  # never before it has come
        ([TODAY - DAY, TODAY - DAY], 2),  # two sessions of one day are two
        ([TODAY + DAY, TODAY, TODAY - 30 * DAY, TODAY - 365 * DAY], 2),
    ],
)
def test_only_past_no_shows_that_have_not_expired_are_counted(days, counted):
    assert stand(days).no_shows == counted


def test_report_22_a_marker_expires_by_itself_and_a_future_day_is_never_counted():
    absent = [date(2026, 6, 1), date(2026, 6, 2), date(2027, 1, 5)]
    assert stand(absent, as_of=datetime(2026, 11, 28, 23, 59, tzinfo=JST)).needs_person
    assert stand(absent, as_of=datetime(2026, 11, 29, 0, 0, tzinfo=JST)) == Standing(1, None, False, None)


def test_report_22_a_corrected_no_show_is_gone_with_the_next_question():
    assert stand([TODAY - DAY, TODAY - 2 * DAY]).needs_person
    assert not stand([TODAY - 2 * DAY]).needs_person


def test_the_day_turns_in_tokyo_not_in_utc():
    tomorrow_in_tokyo = datetime.fromisoformat("2026-12-01T15:00:00+00:00")
    assert stand([TODAY + DAY], as_of=tomorrow_in_tokyo - timedelta(seconds=1)).no_shows == 0
    assert stand([TODAY + DAY], as_of=tomorrow_in_tokyo).no_shows == 1


@pytest.mark.parametrize(
    ("restrictions", "until", "needs_person"),
    [
        ([(NOW, None)], None, True),
        ([(NOW, NOW + 10 * DAY)], date(2026, 12, 11), True),
        ([(NOW - DAY, NOW)], None, False),  # ends at this moment
        ([(NOW + timedelta(seconds=1), None)], None, False),  # not begun
        ([(NOW, NOW)], None, False),  # lifted as soon as it was set
        ([(NOW - DAY, NOW + DAY), (NOW - DAY, NOW + 3 * DAY)], date(2026, 12, 4), True),  # the longest
        ([(NOW - DAY, NOW + DAY), (NOW - DAY, None)], None, True),  # one of them has no end
        ([(NOW - DAY, NOW + DAY), (NOW + DAY, NOW + 9 * DAY)], date(2026, 12, 2), True),  # only those in force
    ],
)
def test_a_restriction_sends_the_next_application_to_a_person_while_it_is_in_force(restrictions, until, needs_person):
    found = stand(restrictions=restrictions)
    assert (found.restricted_until, found.needs_person) == (until, needs_person)
    assert found.reason == ("RESTRICTED" if needs_person else None)


def test_repeated_absence_is_looked_at_by_a_person_and_a_restriction_is_the_stronger_reason():
    assert stand([TODAY]).reason is None
    assert stand([TODAY, TODAY - DAY]) == Standing(2, None, True, "REPEATED_NO_SHOW")
    assert stand([TODAY, TODAY - DAY], [(NOW, None)]) == Standing(2, None, True, "RESTRICTED")


@pytest.mark.parametrize(("days", "after"), [(-1, 2), (180, 0)])
def test_settings_that_would_mean_nothing_are_refused(days, after):
    with pytest.raises(ValueError, match=f"counts_for_days={days}, review_after={after}"):
        standing([], [], as_of=NOW, counts_for_days=days, review_after=after)


@pytest.mark.parametrize(
    ("as_of", "restrictions"),
    [(NAIVE, []), (NOW, [(NAIVE, None)]), (NOW, [(NOW, NAIVE)])],
)
def test_times_without_a_zone_are_refused(as_of, restrictions):
    with pytest.raises(ValueError, match="no time zone"):
        stand(restrictions=restrictions, as_of=as_of)
