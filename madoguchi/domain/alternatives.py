"""Other times for somebody whose wishes could not be met. An offer holds nothing: whoever answers first is booked."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.office import JST

CROWDED_DAYS = 14
"""A start offered to as many people as it has places counts as two weeks further away; to twice as many, as four."""
ANSWER_DAYS = 7
"""Longest time to answer an offer; the terms set none."""


def offer(
    wishes: Sequence[datetime],
    free: Iterable[tuple[datetime, int]],
    count: int,
    *,
    as_of: datetime,
    already_offered: Mapping[datetime, int] | None = None,
) -> tuple[datetime, ...]:
    """Return up to `count` free starts near the wishes, in order of time.

    Nearest: on the day of a wish, then on the days next to it; within a day at the most similar time. Without wishes
    the soonest. `free`: starts with their free places; those without places, those wished for (a wish that comes free
    is booked without asking) and those not after the day of `as_of` in Japan (Art. 6(1): by the day before) are left
    out. `already_offered`: to how many people a start is offered now; see `CROWDED_DAYS` for what it does. Count the
    answer in before the next person's turn, or everybody is offered the same.
    Holds nothing and promises nothing: the place may be gone when the answer comes.
    """
    today = as_of.astimezone(JST).date()
    offered = already_offered or {}
    unwanted = set(wishes)
    near: Sequence[tuple[int, int | None]] = [_day_and_minute(wish) for wish in wishes] or [(today.toordinal(), None)]

    def distance(candidate: tuple[datetime, int]) -> tuple[int, int, datetime]:
        start, places = candidate
        day, minute = _day_and_minute(start)
        crowded = offered.get(start, 0) // places * CROWDED_DAYS
        days, minutes = min(
            (abs(day - wish_day), 0 if wish_minute is None else abs(minute - wish_minute))
            for wish_day, wish_minute in near
        )
        return days + crowded, minutes, start

    candidates = (
        (start, places)
        for start, places in free
        if places > 0 and start not in unwanted and start.astimezone(JST).date() > today
    )
    return tuple(sorted(start for start, _ in heapq.nsmallest(count, candidates, key=distance)))


def _day_and_minute(start: datetime) -> tuple[int, int]:
    local = start.astimezone(JST)
    return local.toordinal(), local.hour * 60 + local.minute


def answer_by(offers: Sequence[datetime], calendar: OfficeCalendar, as_of: datetime) -> date:
    """Return the last day (Japan) to answer an offer made at `as_of`.

    The last working day before the earliest offered start, because the office must still be able to book it by the day
    before (Art. 6(1)), and at most a week on. Never before the day of `as_of`: an offer made on Sunday for Monday can
    be answered on Sunday only, and the telephone will not be.

    Raises ValueError without an offer.
    """
    if not offers:
        raise ValueError("nothing is offered; there is nothing to answer")
    today = as_of.astimezone(JST).date()
    earliest = min(offers).astimezone(JST).date()
    first_closed = min(earliest, today + timedelta(days=ANSWER_DAYS + 1))
    return max(calendar.previous_working_day(first_closed), today)
