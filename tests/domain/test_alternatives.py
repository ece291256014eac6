from collections import Counter
from datetime import UTC, date, datetime, time, timedelta

import pytest

from madoguchi.domain.alternatives import answer_by, offer
from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.office import JST, Office, OpeningHours

MONDAY = date(2026, 10, 5)
AS_OF = datetime(2026, 10, 1, 9, tzinfo=JST)
HOURS = OpeningHours(time(11), time(15))
CALENDAR = OfficeCalendar(
    Office(
        code="mihon",
        name="見本の窓口",
        telephone="",
        telephone_hours="",
        form_url="https://example.jp/",
        terms_url="https://example.jp/",
        mail_from="madoguchi@example.jp",
        mail_domain="example.jp",
        hours=dict.fromkeys(range(5), HOURS),
        reception=HOURS,
        grid_minutes=30,
        horizon_days=120,
        closures=frozenset(),
        holidays_known_until=date(2027, 12, 31),
        counsellors=(),
        hosts=(),
    ),
    lambda day: day == date(2026, 10, 12),  # Sports Day, a Monday
)


def at(day, clock):
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, 10, day, hour, minute, tzinfo=JST)


def every_start(days=10, places=1):
    starts = (start for k in range(days) for start in CALENDAR.starts_on(MONDAY + timedelta(days=k)))
    return [(start, places) for start in starts]


CASES = [
    # what it shows, wishes, free, answer (count 3)
    (
        "the same day first",
        [at(6, "13:00")],
        [at(5, "13:00"), at(6, "11:00"), at(6, "14:30")],
        ["6 11:00", "6 14:30", "5 13:00"],
    ),
    (
        "the most similar time of the day",
        [at(6, "13:00")],
        [at(6, t) for t in ("11:00", "12:30", "13:30", "14:00", "14:30")],
        ["6 12:30", "6 13:30", "6 14:00"],
    ),
    (
        "then the nearest days",
        [at(6, "11:00")],
        [at(d, "11:00") for d in (2, 5, 7, 8)],
        ["5 11:00", "7 11:00", "8 11:00"],
    ),
    (
        "near any of the wishes",
        [at(5, "11:00"), at(20, "14:00")],
        [at(12, "11:00"), at(13, "11:00"), at(6, "14:00"), at(20, "14:30")],
        ["20 14:30", "6 14:00", "12 11:00"],
    ),
    ("never the wish itself", [at(6, "11:00")], [at(6, "11:00"), at(6, "11:30")], ["6 11:30"]),
    (
        "not today, not earlier",
        [at(1, "11:00")],
        [at(1, "14:00"), datetime(2026, 9, 30, 11, tzinfo=JST), at(2, "11:00")],
        ["2 11:00"],
    ),
    (
        "without wishes the soonest",
        [],
        [at(9, "11:00"), at(2, "14:00"), at(2, "11:00"), at(5, "11:00")],
        ["2 11:00", "2 14:00", "5 11:00"],
    ),
    ("fewer when there are fewer", [at(6, "11:00")], [], []),
]


@pytest.mark.parametrize(("wishes", "free", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_offered_by_example(wishes, free, expected):
    answer = offer(wishes, [(start, 1) for start in free], 3, as_of=AS_OF)

    assert sorted(answer) == list(answer)
    assert {f"{start.day} {start:%H:%M}" for start in answer} == set(expected)


def test_starts_without_places_are_not_offered():
    assert offer([at(6, "11:00")], [(at(6, "11:30"), 0), (at(6, "12:00"), 1)], 3, as_of=AS_OF) == (at(6, "12:00"),)


def test_today_is_the_day_in_japan():
    # 15:30 UTC on 1 October is half past midnight on 2 October in Japan.
    as_of = datetime(2026, 10, 1, 15, 30, tzinfo=UTC)

    assert offer([], [(at(2, "11:00"), 1), (at(5, "11:00"), 1)], 3, as_of=as_of) == (at(5, "11:00"),)


def test_forty_people_with_one_wish_are_not_all_offered_the_same():
    offered = Counter()
    free = every_start(days=14, places=2)  # nine working days of eight starts: 144 places for 120 offers
    for _ in range(40):
        offered.update(offer([at(5, "13:00")], free, 3, as_of=AS_OF, already_offered=offered))

    assert offered.total() == 120
    assert max(offered.values()) <= 2


def test_when_everything_is_offered_the_near_ones_are_offered_again():
    free = every_start(days=2)
    everything = dict.fromkeys((start for start, _ in free), 1)

    assert offer([at(5, "13:00")], free, 1, as_of=AS_OF, already_offered=everything) == (at(5, "12:30"),)


def test_a_fortnight_away_is_as_good_as_an_offer_of_a_taken_place_nearby():
    near, far = at(6, "13:00"), at(27, "13:00")

    assert offer([at(6, "12:30")], [(near, 1), (far, 1)], 1, as_of=AS_OF, already_offered={near: 1}) == (near,)
    assert offer([at(6, "12:30")], [(near, 1), (far, 1)], 1, as_of=AS_OF, already_offered={near: 2}) == (far,)


@pytest.mark.parametrize("count", [0, -1])
def test_nothing_asked_nothing_offered(count):
    assert offer([at(6, "11:00")], every_start(), count, as_of=AS_OF) == ()


@pytest.mark.parametrize(
    ("earliest", "as_of", "expected"),
    [
        (at(6, "11:00"), AS_OF, date(2026, 10, 5)),  # Tuesday: answer by Monday
        (at(5, "11:00"), AS_OF, date(2026, 10, 2)),  # Monday: by Friday
        (at(13, "11:00"), at(6, "09:00"), date(2026, 10, 9)),  # after a long weekend: by Friday
        (at(2, "11:00"), AS_OF, date(2026, 10, 1)),  # tomorrow: today
        (at(30, "11:00"), AS_OF, date(2026, 10, 8)),  # far away: a week on
        (at(30, "11:00"), at(5, "09:00"), date(2026, 10, 9)),  # a week on is a holiday: the working day before
        (at(5, "11:00"), at(4, "09:00"), date(2026, 10, 4)),  # offered on Sunday for Monday: never before today
    ],
)
def test_the_answer_is_due_the_working_day_before_and_within_a_week(earliest, as_of, expected):
    assert answer_by([earliest + timedelta(days=1), earliest], CALENDAR, as_of) == expected


def test_without_an_offer_there_is_no_day_to_answer():
    with pytest.raises(ValueError, match="nothing is offered"):
        answer_by([], CALENDAR, AS_OF)
