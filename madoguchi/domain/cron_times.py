"""When a cron line fires next, in Asia/Tokyo, where no clock is ever put forward. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from madoguchi.domain.office import JST

_LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_FARTHEST_DAYS = 366 * 4 + 1


def next_time(cron: str, after: datetime) -> datetime | None:
    """Return the first minute after an instant (aware) at which five cron fields in Asia/Tokyo hold, aware in JST.

    Numbers, `*`, ranges, steps and lists; Sunday is 0 or 7; where day of month and weekday are both limited either is
    enough, as cron has it. None where no day of four years fits. ValueError for anything else, naming the field.
    """
    minutes, hours, days, months, weekdays = _fields(cron)
    parts = cron.split()
    either = parts[2] != "*" and parts[4] != "*"
    day = after.astimezone(JST).replace(hour=0, minute=0, second=0, microsecond=0)
    for _ in range(_FARTHEST_DAYS):
        by_day, by_weekday = day.day in days, day.isoweekday() % 7 in weekdays
        if day.month in months and (by_day or by_weekday if either else by_day and by_weekday):
            for hour in sorted(hours):
                for minute in sorted(minutes):
                    at = day.replace(hour=hour, minute=minute)
                    if at > after:
                        return at
        day += timedelta(days=1)
    return None


def _fields(cron: str) -> tuple[set[int], ...]:
    parts = cron.split()
    if len(parts) != len(_LIMITS):
        raise ValueError(f"{cron!r}: a cron line has five fields")
    fields = tuple(_field(part, low, high) for part, (low, high) in zip(parts, _LIMITS, strict=True))
    return (*fields[:4], {day % 7 for day in fields[4]})


def _field(part: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for piece in part.split(","):
        span, slash, step = piece.partition("/")
        first, dash, last = span.partition("-")
        try:
            start, end = (low, high) if span == "*" else (int(first), int(last) if dash else int(first))
            stride = int(step) if slash else 1
        except ValueError:
            raise ValueError(f"{part!r}: no field of a cron line that is used here") from None
        if slash and not dash and span != "*":
            end = high
        if not low <= start <= end <= high or stride < 1:
            raise ValueError(f"{part!r}: outside {low} to {high}")
        found |= set(range(start, end + 1, stride))
    return found
