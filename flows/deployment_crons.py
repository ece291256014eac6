"""Cron lines (Asia/Tokyo) from an office's hours."""

from __future__ import annotations

from datetime import time

from madoguchi.domain.office import SESSION_MINUTES, Office, OpeningHours

_WEEKDAYS = "1-5"


def cron_every(minutes: int, hours: OpeningHours) -> tuple[str, ...]:
    """Return cron lines (Asia/Tokyo, Monday to Friday) for every so many minutes, opening and closing included.

    Several lines, since one cannot say "from 8:30 to 17:15". Hours with the same minutes share a line. `minutes` must
    divide 60 (ValueError).
    """
    if minutes < 1 or 60 % minutes:
        raise ValueError(f"every {minutes} minutes: cron can only do divisors of 60")
    by_minutes: dict[str, list[int]] = {}
    for hour in range(hours.opens.hour, hours.closes.hour + 1):
        inside = [
            minute for minute in range(0, 60, minutes) if hours.opens <= time(hour, minute) <= hours.closes
        ]  # fmt: skip
        if inside:
            by_minutes.setdefault(_minutes(inside, minutes), []).append(hour)
    return tuple(f"{at} {_range(inside)} * * {_WEEKDAYS}" for at, inside in by_minutes.items())


def cron_tenth_minutes(office: Office) -> tuple[str, ...]:
    """Return cron lines (Asia/Tokyo) for ten minutes after every start of the office's grid, weekday by weekday.

    And once more just before reception closes, for what the day's runs have left: sessions off the grid, and sweeps
    that did not run. A verdict of the same day can still be told the same day.
    """
    ticks: dict[frozenset[time], list[int]] = {}
    for weekday, hours in sorted(office.hours.items()):
        first, last = _minute_of_day(hours.opens), _minute_of_day(hours.closes) - SESSION_MINUTES
        minutes = {start + 10 for start in range(first, last + 1, office.grid_minutes)}
        minutes.add(max(0, _minute_of_day(office.reception.closes) - 10))
        # Cron counts Sunday as 0.
        ticks.setdefault(frozenset(time(*divmod(minute, 60)) for minute in minutes), []).append((weekday + 1) % 7)
    return tuple(line for times, days in ticks.items() for line in _cron_lines(times, sorted(days)))


def _cron_lines(times: frozenset[time], days: list[int]) -> list[str]:
    by_minute: dict[int, list[int]] = {}
    for at in sorted(times):
        by_minute.setdefault(at.minute, []).append(at.hour)
    by_hours: dict[tuple[int, ...], list[int]] = {}
    for minute, inside in sorted(by_minute.items()):
        by_hours.setdefault(tuple(inside), []).append(minute)
    return [
        f"{','.join(map(str, minutes))} {_range(list(inside))} * * {_range(days)}"
        for inside, minutes in by_hours.items()
    ]


def _minute_of_day(at: time) -> int:
    return at.hour * 60 + at.minute


def _minutes(inside: list[int], step: int) -> str:
    if len(inside) == 1:
        return str(inside[0])
    return f"*/{step}" if len(inside) == 60 // step else f"{inside[0]}-{inside[-1]}/{step}"


def _range(hours: list[int]) -> str:
    whole = hours == list(range(hours[0], hours[-1] + 1))
    return f"{hours[0]}-{hours[-1]}" if whole and len(hours) > 1 else ",".join(map(str, hours))
