"""States of requests, bookings and meetings, and the arrows between them. Messages have theirs in `message`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

_S = TypeVar("_S", bound=StrEnum)


class RequestStatus(StrEnum):
    """Where an application stands."""

    STAGED = "staged"
    """Read, but the rest of its file not yet: invisible to scheduling."""
    RECEIVED = "received"
    """Accepted, waiting for a slot."""
    BOOKED = "booked"
    """Has a live booking."""
    WAITING = "waiting"
    """Other times were offered; still takes a wished slot that becomes free."""
    IN_REVIEW = "in_review"
    """A person decides."""
    TO_OFFER = "to_offer"
    """Cannot be booked as wished; other times are offered once this batch has its slots."""
    REJECTED = "rejected"
    """This row cannot be booked as it stands; never a refusal of the person."""
    SKIPPED = "skipped"
    """An empty row."""
    REPLACED = "replaced"
    """A later version or application of the same person took its place."""
    LAPSED = "lapsed"
    """Every wished time has passed without a booking."""


class BookingStatus(StrEnum):
    """Where a booking stands. Active ones occupy counsellor and host."""

    HELD = "held"
    """Slot, counsellor and host are taken; the meeting is not verified, nobody has been told."""
    CONFIRMED = "confirmed"
    """The meeting is verified and the confirmation queued with it."""
    RELEASED = "released"
    """A hold given up before anybody was told."""


class MeetingStatus(StrEnum):
    """Where a Zoom meeting stands."""

    CLAIMED = "claimed"
    """Somebody is about to create it, or was when the process died: look before creating."""
    CREATED = "created"
    """Zoom answered with an id; not read back yet."""
    VERIFIED = "verified"
    """Read back: right instant, right privacy settings, a usable link."""
    DELETED = "deleted"
    """Deleted at Zoom, or never created and given up."""


ACTIVE_BOOKINGS = frozenset({BookingStatus.HELD, BookingStatus.CONFIRMED})
LIVE_MEETINGS = frozenset({MeetingStatus.CLAIMED, MeetingStatus.CREATED, MeetingStatus.VERIFIED})

REQUEST_ARROWS: Mapping[RequestStatus, frozenset[RequestStatus]] = {
    RequestStatus.STAGED: frozenset(
        {
            RequestStatus.RECEIVED,
            RequestStatus.IN_REVIEW,
            RequestStatus.TO_OFFER,
            RequestStatus.REJECTED,
            RequestStatus.SKIPPED,
        }
    ),
    RequestStatus.TO_OFFER: frozenset({RequestStatus.REJECTED, RequestStatus.REPLACED}),
    RequestStatus.RECEIVED: frozenset(
        {
            RequestStatus.BOOKED,
            RequestStatus.WAITING,
            RequestStatus.REPLACED,
            # All wishes passed while the office could not schedule: a person looks at it.
            RequestStatus.IN_REVIEW,
            RequestStatus.LAPSED,
        }
    ),
    RequestStatus.WAITING: frozenset({RequestStatus.BOOKED, RequestStatus.REPLACED, RequestStatus.LAPSED}),
    # The hold was given up because no meeting could be made: back to the queue, or to a person when it is too late.
    RequestStatus.BOOKED: frozenset({RequestStatus.RECEIVED, RequestStatus.IN_REVIEW}),
    RequestStatus.IN_REVIEW: frozenset(
        {RequestStatus.RECEIVED, RequestStatus.REJECTED, RequestStatus.REPLACED, RequestStatus.LAPSED}
    ),
    # The applicant edited the response: the older version can no longer be decided on.
    RequestStatus.REJECTED: frozenset({RequestStatus.REPLACED}),
    RequestStatus.SKIPPED: frozenset(),
    RequestStatus.REPLACED: frozenset(),
    RequestStatus.LAPSED: frozenset(),
}

BOOKING_ARROWS: Mapping[BookingStatus, frozenset[BookingStatus]] = {
    BookingStatus.HELD: frozenset({BookingStatus.CONFIRMED, BookingStatus.RELEASED}),
    BookingStatus.CONFIRMED: frozenset(),
    BookingStatus.RELEASED: frozenset(),
}

MEETING_ARROWS: Mapping[MeetingStatus, frozenset[MeetingStatus]] = {
    MeetingStatus.CLAIMED: frozenset({MeetingStatus.CREATED, MeetingStatus.DELETED}),
    # Read back as gone or unusable: claimed again, and looked up before anything is created.
    MeetingStatus.CREATED: frozenset({MeetingStatus.VERIFIED, MeetingStatus.CLAIMED, MeetingStatus.DELETED}),
    MeetingStatus.VERIFIED: frozenset({MeetingStatus.DELETED}),
    MeetingStatus.DELETED: frozenset(),
}


class ForbiddenTransition(Exception):  # noqa: N818 — the name says what happened
    """A change of state that the lifecycle does not list; nothing was changed."""

    def __init__(self, subject: str, old: str, new: str) -> None:
        super().__init__(f"{subject}: {old} -> {new} is not a transition of its lifecycle")


def require_arrow(subject: str, arrows: Mapping[_S, frozenset[_S]], old: _S, new: _S) -> None:
    """Raise ForbiddenTransition unless `arrows` lists `old` -> `new`."""
    if new not in arrows[old]:
        raise ForbiddenTransition(subject, old, new)
