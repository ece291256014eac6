"""When the time of a record is over: counted from the end of its whole matter, in days of Japan.

The office's retention table says how many days (公文書管理法: each office publishes its own
標準文書保存期間基準). What is open, held, or needed for a disclosure under way is never over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from madoguchi.domain.lifecycle import ACTIVE_BOOKINGS, LIVE_MEETINGS, BookingStatus, MeetingStatus, RequestStatus
from madoguchi.domain.message import MessageStatus
from madoguchi.domain.office import JST


class RecordClass(StrEnum):
    """A line of the retention table; the values are its keys in office.toml and stand in the deletion log."""

    REQUEST = "request"
    BOOKING = "booking"
    MESSAGE = "message"
    EVIDENCE = "evidence"
    WEBHOOK = "webhook"
    BOUNCE = "bounce"
    NOTICE = "notice"
    """Holds nothing personal itself: for so long the person who was told stays known."""
    RESTRICTION = "restriction"
    """The same, after the end of a refusal of future use."""
    DISCLOSURE = "disclosure"
    """The same, after an extract was handed over."""


CLIENT: Final = "client"
"""Class of the deletion log for a person of whom nothing is left within its time; no line of the table."""


class Kept(StrEnum):
    """Why something stays although its days are over."""

    OPEN = "open"
    """The matter is not settled: a session ahead, something that waits for a person, a mail or meeting under way."""
    HELD = "held"
    """A person ordered that it be kept."""
    DISCLOSURE = "disclosure"
    """An extract was granted and is not handed over yet."""
    RESTRICTED = "restricted"
    """A refusal of future use is in force."""
    NOTICE = "notice"
    """The person still has to be told of an amendment."""


KEPT_JA: Final[Mapping[Kept, str]] = {
    Kept.OPEN: "まだ済んでいない用件がある",
    Kept.HELD: "保存の指示がある",
    Kept.DISCLOSURE: "開示の手続きの途中",
    Kept.RESTRICTED: "利用の制限の間",
    Kept.NOTICE: "規約の改定をまだお知らせしていない",
}

ERASED_JA: Final = "保存期間が過ぎたため消去しました"
"""What is shown in place of what was erased."""

OPEN_REQUESTS: Final = frozenset(
    {
        RequestStatus.STAGED,
        RequestStatus.RECEIVED,
        RequestStatus.WAITING,
        RequestStatus.IN_REVIEW,
        RequestStatus.TO_OFFER,
    }
)
OPEN_MEETINGS: Final = LIVE_MEETINGS | {MeetingStatus.UNWANTED}
OPEN_MESSAGES: Final = frozenset(
    {MessageStatus.QUEUED, MessageStatus.RETRYING, MessageStatus.SENDING, MessageStatus.UNCERTAIN}
)


@dataclass(frozen=True, slots=True)
class Matter:
    """What is known of one application with all that hangs on it, its siblings included.

    `moments`: everything that ever happened in it (aware). `has_open_task`: something of it waits for a person.
    """

    moments: Collection[datetime]
    requests: Collection[RequestStatus] = ()
    bookings: Collection[BookingStatus] = ()
    meetings: Collection[MeetingStatus] = ()
    messages: Collection[MessageStatus] = ()
    has_open_task: bool = False

    @property
    def is_open(self) -> bool:
        """Tell whether anything of it is not settled; a session that was never judged is not."""
        return (
            self.has_open_task
            or not OPEN_REQUESTS.isdisjoint(self.requests)
            or not ACTIVE_BOOKINGS.isdisjoint(self.bookings)
            or not OPEN_MEETINGS.isdisjoint(self.meetings)
            or not OPEN_MESSAGES.isdisjoint(self.messages)
        )


@dataclass(frozen=True, slots=True)
class Over:
    """The time of something is over: by so many days, since that day (Japan)."""

    days: int
    due_on: date


def over(moments: Iterable[datetime], days: int | None, as_of: datetime) -> Over | None:
    """Tell whether `days` whole days in Japan lie between the last of the moments and `as_of`; None: not yet.

    Without a number of days nothing is ever over, nor is what has no moment at all.
    """
    last = max(moments, default=None)
    if days is None or last is None:
        return None
    due_on = last.astimezone(JST).date() + timedelta(days=days + 1)
    return Over(days, due_on) if as_of.astimezone(JST).date() >= due_on else None


def may_be_over(days: int, as_of: datetime) -> datetime:
    """Return the instant before which a single moment must lie for its time to be over at `as_of`."""
    day = as_of.astimezone(JST).date() - timedelta(days=days)
    return datetime(day.year, day.month, day.day, tzinfo=JST)
