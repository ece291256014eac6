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
    """Every wished time has passed without a booking, or the applicant needs none any more."""
    CANCELLED = "cancelled"
    """Its booking was cancelled."""


class BookingStatus(StrEnum):
    """Where a booking stands. The last six say what is held true of the session (see `domain/verdict.py`)."""

    HELD = "held"
    """Slot, counsellor and host are taken; the meeting is not verified, nobody has been told of this time.

    A booking that was moved is held again until its new meeting is verified; its `revision` is then above 0.
    """
    CONFIRMED = "confirmed"
    """The meeting is verified and the confirmation queued with it."""
    RELEASED = "released"
    """A hold given up before anybody was told."""
    CANCELLED = "cancelled"
    """Cancelled by telephone, or by the office; a person recorded it (Art. 6(3))."""
    ATTENDED = "attended"
    CONTACTED = "contacted"
    """Not cancelled at the tenth minute, since the client had reached the office; staff settle the rest."""
    NO_SHOW_PROPOSED = "no_show_proposed"
    """The rule says no-show; a person has to confirm it before anything is sent or counted."""
    NO_SHOW = "no_show"
    """Deemed cancelled (Art. 6(3)); counted on the person."""
    OFFICE_FAULT = "office_fault"
    UNDETERMINED = "undetermined"


class MeetingStatus(StrEnum):
    """Where a Zoom meeting stands."""

    CLAIMED = "claimed"
    """Somebody is about to create it, or was when the process died: look before creating."""
    CREATED = "created"
    """Zoom answered with an id; not read back yet."""
    VERIFIED = "verified"
    """Read back: right instant, right privacy settings, a usable link."""
    UNWANTED = "unwanted"
    """Its session is off, over or elsewhere: whatever is at Zoom under its token is still to be removed."""
    DELETED = "deleted"
    """Gone at Zoom, or never created and given up."""


ACTIVE_BOOKINGS = frozenset({BookingStatus.HELD, BookingStatus.CONFIRMED})
"""Their sessions lie ahead, or are not judged yet."""
SETTLED_BOOKINGS = frozenset(
    {
        BookingStatus.ATTENDED,
        BookingStatus.CONTACTED,
        BookingStatus.NO_SHOW_PROPOSED,
        BookingStatus.NO_SHOW,
        BookingStatus.OFFICE_FAULT,
        BookingStatus.UNDETERMINED,
    }
)
"""A verdict stands; late truth may replace it by another one."""
OCCUPYING_BOOKINGS = ACTIVE_BOOKINGS | {
    BookingStatus.ATTENDED,
    BookingStatus.CONTACTED,
    BookingStatus.NO_SHOW_PROPOSED,
    BookingStatus.UNDETERMINED,
}
"""They keep counsellor and host until their end: the client is there, or may still come."""
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
    # To a person, here and from WAITING: after a restore nobody knows whether a slot was found for it.
    RequestStatus.TO_OFFER: frozenset({RequestStatus.REJECTED, RequestStatus.REPLACED, RequestStatus.IN_REVIEW}),
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
    RequestStatus.WAITING: frozenset(
        {RequestStatus.BOOKED, RequestStatus.REPLACED, RequestStatus.LAPSED, RequestStatus.IN_REVIEW}
    ),
    # The hold was given up because no meeting could be made: back to the queue, or to a person when it is too late.
    RequestStatus.BOOKED: frozenset({RequestStatus.RECEIVED, RequestStatus.IN_REVIEW, RequestStatus.CANCELLED}),
    RequestStatus.IN_REVIEW: frozenset(
        {RequestStatus.RECEIVED, RequestStatus.REJECTED, RequestStatus.REPLACED, RequestStatus.LAPSED}
    ),
    # The applicant edited the response: the older version can no longer be decided on.
    RequestStatus.REJECTED: frozenset({RequestStatus.REPLACED}),
    RequestStatus.SKIPPED: frozenset(),
    RequestStatus.REPLACED: frozenset(),
    RequestStatus.LAPSED: frozenset(),
    # A cancellation is not undone: the client may have been told already. Staff book anew (`book-in-session`).
    RequestStatus.CANCELLED: frozenset(),
}

BOOKING_ARROWS: Mapping[BookingStatus, frozenset[BookingStatus]] = {
    BookingStatus.HELD: frozenset({BookingStatus.CONFIRMED, BookingStatus.RELEASED, BookingStatus.CANCELLED}),
    # Held again: moved by staff, or its meeting is gone at Zoom and a new one is needed.
    BookingStatus.CONFIRMED: SETTLED_BOOKINGS | {BookingStatus.CANCELLED, BookingStatus.HELD},
    BookingStatus.RELEASED: frozenset(),
    BookingStatus.CANCELLED: frozenset(),
    # Late truth: any verdict may turn out to be another one, or a cancellation that was telephoned in time.
    **{status: SETTLED_BOOKINGS - {status} | {BookingStatus.CANCELLED} for status in sorted(SETTLED_BOOKINGS)},
}

MEETING_ARROWS: Mapping[MeetingStatus, frozenset[MeetingStatus]] = {
    MeetingStatus.CLAIMED: frozenset({MeetingStatus.CREATED, MeetingStatus.UNWANTED, MeetingStatus.DELETED}),
    # Read back as gone or unusable: claimed again, and looked up before anything is created.
    MeetingStatus.CREATED: frozenset(
        {MeetingStatus.VERIFIED, MeetingStatus.CLAIMED, MeetingStatus.UNWANTED, MeetingStatus.DELETED}
    ),
    MeetingStatus.VERIFIED: frozenset({MeetingStatus.UNWANTED, MeetingStatus.DELETED}),
    MeetingStatus.UNWANTED: frozenset({MeetingStatus.DELETED}),
    # A creation that was under way when its session was called off has reached Zoom after all.
    MeetingStatus.DELETED: frozenset({MeetingStatus.UNWANTED}),
}


class ForbiddenTransition(Exception):  # noqa: N818 — the name says what happened
    """A change of state that the lifecycle does not list; nothing was changed."""

    def __init__(self, subject: str, old: str, new: str) -> None:
        super().__init__(f"{subject}: {old} -> {new} is not a transition of its lifecycle")


def require_arrow(subject: str, arrows: Mapping[_S, frozenset[_S]], old: _S, new: _S) -> None:
    """Raise ForbiddenTransition unless `arrows` lists `old` -> `new`."""
    if new not in arrows[old]:
        raise ForbiddenTransition(subject, old, new)
