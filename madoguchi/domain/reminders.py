"""When reminders are due, how long they help, and when the telephone is answered again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum

from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.message import MailKind
from madoguchi.domain.office import JST

REMINDER_KINDS = (MailKind.REMINDER_DAY, MailKind.REMINDER_HOUR)

LOOK_BACK = timedelta(hours=24)
"""How long after its start a session still gets a row that says which reminder it never had."""


class Standing(StrEnum):
    """Where one reminder of a booking stands at a given time, as long as nothing is recorded of it."""

    NOT_YET = "not_yet"
    NOT_NEEDED = "not_needed"
    """The booking was confirmed when the reminder was due already: its confirmation says the same."""
    DUE = "due"
    MISSED = "missed"
    """It would not help any more, and nothing queued it in time."""


@dataclass(frozen=True, slots=True)
class ReminderWindow:
    """One reminder of a session: due at or after `due_at`, of use before `not_after`."""

    kind: MailKind
    due_at: datetime
    not_after: datetime

    def standing(self, confirmed_at: datetime | None, as_of: datetime) -> Standing:
        """Tell where the reminder stands at `as_of`; a booking without `confirmed_at` counts as an old one.

        A moved booking is confirmed anew, so it is judged by that time.
        """
        if as_of < self.due_at:
            return Standing.NOT_YET
        if confirmed_at is not None and confirmed_at >= self.due_at:
            return Standing.NOT_NEEDED
        return Standing.DUE if as_of < self.not_after else Standing.MISSED


def reminder_windows(calendar: OfficeCalendar, start: datetime) -> tuple[ReminderWindow, ReminderWindow]:
    """Return the day-before and the hour-before reminder of a session, aware.

    The first is due on the last working day before the session's day in Japan, at the office's wall time, and helps
    until the second is due; that one helps until the session begins. They never overlap, so one run sends one at most.
    """
    times = calendar.office.reminders
    eve = calendar.previous_working_day(start.astimezone(JST).date())
    hour_before = start - times.hour_before
    return (
        ReminderWindow(MailKind.REMINDER_DAY, datetime.combine(eve, times.day_before, JST), hour_before),
        ReminderWindow(MailKind.REMINDER_HOUR, hour_before, start),
    )


def telephone_opens(calendar: OfficeCalendar, start: datetime, as_of: datetime) -> datetime | None:
    """Return when the telephone is answered again, if it is not on the day before the session and has yet to be.

    That is the opening of the first working day after the last one before the session: as a rule the morning of the
    session itself, later when the office has closed that day since. Cancelling is by telephone only (Art. 6(3)).
    """
    day = start.astimezone(JST).date()
    if calendar.is_working_day(day - timedelta(days=1)):
        return None
    again = calendar.next_working_day(calendar.previous_working_day(day))
    opening = datetime.combine(again, calendar.office.reception.opens, JST)
    # A reminder made late, on that very morning, must not speak of an opening that has been.
    return opening if opening > as_of else None


def last_start_in_sight(calendar: OfficeCalendar, as_of: datetime) -> datetime:
    """Return an instant before which every session starts that can have a reminder due at `as_of`.

    Sessions up to and including the next working day have their last working day today or earlier, however long the
    closure in between.
    """
    day = calendar.next_working_day(as_of.astimezone(JST).date()) + timedelta(days=1)
    return max(datetime.combine(day, time(), JST), as_of + calendar.office.reminders.hour_before + timedelta(minutes=1))
