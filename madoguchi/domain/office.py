"""The office as its settings describe it: people, Zoom hosts, hours, limits. Values only, no reading of files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from zoneinfo import ZoneInfo

JST = ZoneInfo("Asia/Tokyo")
SESSION_MINUTES = 30
"""One session is exactly 30 minutes (Art. 6(1))."""


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """Hours of one weekday in Asia/Tokyo wall time; a session lies inside them, its end included."""

    opens: time
    closes: time


@dataclass(frozen=True, slots=True)
class Counsellor:
    """Somebody who holds sessions. `weekdays`: Monday is 0. `absences`: single days away."""

    code: str
    weekdays: frozenset[int]
    absences: frozenset[date] = frozenset()

    def works_on(self, day: date) -> bool:
        """Tell whether the counsellor takes sessions on that day; says nothing about the office being open."""
        return day.weekday() in self.weekdays and day not in self.absences


@dataclass(frozen=True, slots=True)
class Host:
    """A Zoom licence under which meetings run. `user`: the Zoom user id or mail address of the account."""

    code: str
    user: str


@dataclass(frozen=True, slots=True)
class ZoomLimits:
    """What the Zoom plan allows (per account and second) and what one host may create or change a UTC day."""

    create_per_second: float = 20.0
    read_per_second: float = 30.0
    daily_changes_per_host: int = 100
    concurrency: int = 8
    live_participants: bool = False
    """The plan has the dashboard's list of live participants (Business and above)."""
    hidden_settings: frozenset[str] = frozenset()
    """Privacy settings that this account's answers never show; they are not taken for changed."""


@dataclass(frozen=True, slots=True)
class ReminderTimes:
    """When reminders are due. `day_before`: Asia/Tokyo wall time on the last working day before the session."""

    day_before: time = time(15)
    hour_before: timedelta = timedelta(minutes=60)


@dataclass(frozen=True, slots=True)
class NoShowPolicy:
    """How the tenth minute is handled.

    `confirm_by_person`: no no-show mail leaves, and none is counted, before a person confirms it. `catch_up`: older
    sessions are not judged by the rule any more, staff settle them. `look_seconds`: how long a sweep may ask Zoom.
    """

    confirm_by_person: bool = False
    catch_up: timedelta = timedelta(hours=48)
    look_seconds: int = 30


@dataclass(frozen=True, slots=True)
class StandingPolicy:
    """When a person looks at an application because of earlier absences (Art. 6(3)); nobody is refused by it."""

    counts_for_days: int = 365
    review_after: int = 2


@dataclass(frozen=True, slots=True)
class TermsPolicy:
    """What the office has decided about amendments; neither law nor terms give figures.

    `minimum_notice`: days between publishing and effect. `audience_days`: who used the service within so many days is
    told, as is everybody with a session ahead or an application that is not settled. `approval_hours`: how long a
    proposal waits for the approver. `per_second`: mails a second to one domain; `other_per_second`: to any that is not
    named. `connections`: to the relay at once, for notices.
    """

    minimum_notice: int = 14
    audience_days: int = 365
    approval_hours: int = 72
    per_second: Mapping[str, float] = field(default_factory=dict)
    other_per_second: float = 10.0
    connections: int = 2


@dataclass(frozen=True, slots=True)
class WatchPolicy:
    """When `watch` speaks. Times over which nobody could act do not count where the rule says so (domain/watching.py).

    `unsent`: open time past due for a mail or a dead claim. `unswept`: past the tenth minute. `before_session`: how
    long before a session its link must have gone. `silent`: past a turn that a flow missed. `failing`: how long a flow
    may fail before somebody is told. `no_export`: open time without an export; None: learned from the last weeks.
    """

    unsent: timedelta = timedelta(minutes=20)
    unswept: timedelta = timedelta(minutes=15)
    before_session: timedelta = timedelta(hours=24)
    silent: timedelta = timedelta(minutes=30)
    failing: timedelta = timedelta(minutes=10)
    no_export: timedelta | None = None
    budget_share: float = 0.8
    holidays: timedelta = timedelta(days=60)
    free_bytes: int = 1_000_000_000
    certificate: timedelta = timedelta(days=14)
    key: timedelta = timedelta(days=400)
    spool: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Office:
    """Everything the rules need to know of one office."""

    code: str
    name: str
    telephone: str
    telephone_hours: str
    form_url: str
    terms_url: str
    mail_from: str
    mail_domain: str
    hours: Mapping[int, OpeningHours]
    """Session hours by weekday, Monday 0; a weekday that is absent has none."""
    reception: OpeningHours
    """When the flows run and the telephone is answered."""
    grid_minutes: int
    horizon_days: int
    """How many days ahead a session may lie; the terms set none, the office does."""
    closures: frozenset[date]
    holidays_known_until: date
    """Last day for which the list of public holidays is official; nothing is booked after it."""
    counsellors: tuple[Counsellor, ...]
    hosts: tuple[Host, ...]
    year_guess_days: int = 92
    known_mail_domains: frozenset[str] = frozenset()
    alternatives_offered: int = 3
    max_send_attempts: int = 48
    subject_names_purpose: bool = True
    reminders: ReminderTimes = ReminderTimes()
    no_show: NoShowPolicy = NoShowPolicy()
    standing: StandingPolicy = StandingPolicy()
    terms: TermsPolicy = TermsPolicy()
    watch: WatchPolicy = WatchPolicy()
    retention_days: Mapping[str, int] = field(default_factory=dict)
    zoom: ZoomLimits = ZoomLimits()
