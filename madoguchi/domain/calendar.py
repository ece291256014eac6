"""Which days and starts the office offers. Pure: holidays come in as a function, the time as an argument."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from madoguchi.domain.office import JST, SESSION_MINUTES, Office

SESSION = timedelta(minutes=SESSION_MINUTES)


@dataclass(frozen=True, slots=True)
class OfficeCalendar:
    """Working days and session starts of one office.

    `is_public_holiday` answers for the holidays of the Act on National Holidays, substitute and sandwiched days
    included; the year-end closure and the office's own closures are added here.
    """

    office: Office
    is_public_holiday: Callable[[date], bool]

    def is_working_day(self, day: date) -> bool:
        """Tell whether the office is open: a weekday, no public holiday, not 29 Dec-3 Jan, not closed by the office.

        Source: Act on Holidays of Administrative Organs, Art. 1; the office's closures come from its settings.
        """
        year_end = (day.month, day.day) >= (12, 29) or (day.month, day.day) <= (1, 3)
        return (
            day.weekday() < 5 and not year_end and day not in self.office.closures and not self.is_public_holiday(day)
        )

    def knows(self, day: date) -> bool:
        """Tell whether the holiday table reaches that day; beyond it nothing may be confirmed."""
        return day <= self.office.holidays_known_until

    def next_working_day(self, day: date) -> date:
        """Return the first working day after `day`."""
        day += timedelta(days=1)
        while not self.is_working_day(day):
            day += timedelta(days=1)
        return day

    def previous_working_day(self, day: date) -> date:
        """Return the last working day before `day`."""
        day -= timedelta(days=1)
        while not self.is_working_day(day):
            day -= timedelta(days=1)
        return day

    def is_inside_hours(self, start: datetime) -> bool:
        """Tell whether a session from `start` lies inside that weekday's hours (Art. 6(1) item 3); ignores holidays."""
        local = start.astimezone(JST)
        hours = self.office.hours.get(local.weekday())
        if hours is None:
            return False
        end = local + SESSION
        return local.time() >= hours.opens and end.date() == local.date() and end.time() <= hours.closes

    def is_on_grid(self, start: datetime) -> bool:
        """Tell whether `start` is a whole number of grid steps after opening (the office's rule, not the terms')."""
        local = start.astimezone(JST)
        hours = self.office.hours.get(local.weekday())
        if hours is None or local.second or local.microsecond:
            return False
        minutes = (local.hour - hours.opens.hour) * 60 + local.minute - hours.opens.minute
        return minutes % self.office.grid_minutes == 0

    def starts_on(self, day: date) -> tuple[datetime, ...]:
        """Return the session starts offered on that day, aware in Asia/Tokyo; none when closed or unknown."""
        hours = self.office.hours.get(day.weekday())
        if hours is None or not self.is_working_day(day) or not self.knows(day):
            return ()
        start = datetime.combine(day, hours.opens, JST)
        last = datetime.combine(day, hours.closes, JST) - SESSION
        found = []
        while start <= last:
            found.append(start)
            start += timedelta(minutes=self.office.grid_minutes)
        return tuple(found)

    def last_bookable_day(self, as_of: datetime) -> date:
        """Return the last day bookable at `as_of`: the horizon, or the end of the holiday table."""
        horizon = as_of.astimezone(JST).date() + timedelta(days=self.office.horizon_days)
        return min(horizon, self.office.holidays_known_until)

    def bookable_starts(self, as_of: datetime) -> Iterator[datetime]:
        """Yield every start that the system may book by itself at `as_of`, in order.

        From the day after `as_of` (Art. 6(1): booked by the day before) to `last_bookable_day`.
        """
        day = as_of.astimezone(JST).date() + timedelta(days=1)
        last = self.last_bookable_day(as_of)
        while day <= last:
            yield from self.starts_on(day)
            day += timedelta(days=1)


def parse_clock(text: str) -> time:
    """Return a wall time from `HH:MM`; ValueError otherwise."""
    return datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 — a wall time has no zone
