"""Zoom meetings of bookings: claimed before Zoom is asked, settled after, never created blindly twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, Row, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from madoguchi.domain.lifecycle import LIVE_MEETINGS, BookingStatus, MeetingStatus
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.bookings import host_budgets_used
from madoguchi.store.models import Booking, BookingRequest, HostBudget, Meeting
from madoguchi.store.transitions import move_booking, move_meeting
from madoguchi.store.types import new_id
from madoguchi.store.vault import Vault

LEASE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class MeetingClaim:
    """What creating (or finding again) one meeting needs. `look_first`: an earlier try may have reached Zoom.

    `owner` and `attempt` tell this claim from every other one: what a runner says that has lost its claim in the
    meantime (frozen for longer than the lease) is not recorded over what its successor did.
    """

    row_id: str
    booking_id: str
    booking: str
    token: str
    passcode: str
    host: str
    start: datetime
    look_first: bool
    meeting_id: str | None
    counted_on: date | None
    """The UTC day of its host against which this try was counted; None if it was not."""
    owner: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A booking whose meeting is verified. `is_first`: it has had no verified meeting before."""

    booking: Booking
    is_first: bool


class BudgetSpent(Exception):  # noqa: N818 — the name says what happened
    """The host may not create or change anything more in this UTC day."""


class ClaimedElsewhere(Exception):  # noqa: N818 — the name says what happened
    """Another runner is at work on this meeting, or has been since our claim ran out."""


def bookings_without_meeting(session: Session, office: str, as_of: datetime) -> list[Row[Any]]:
    """Return id, reference, host and start of holds that still lie ahead, the earliest submitted first."""
    return list(
        session.execute(
            select(Booking.id, Booking.reference, Booking.host, Booking.start_at)
            .join(BookingRequest, BookingRequest.id == Booking.request_id)
            .where(
                Booking.office == office,
                Booking.status == BookingStatus.HELD.value,
                Booking.start_at > as_of,
            )
            .order_by(BookingRequest.submitted_at, Booking.id)
        )
    )


def owners_of_claims(session: Session, office: str) -> list[str]:
    """Return everybody who holds a claim on an unfinished meeting."""
    return [
        owner
        for owner in session.scalars(
            select(Meeting.claim_owner).where(Meeting.office == office, Meeting.claim_owner.is_not(None)).distinct()
        )
        if owner
    ]


def owner_of_claim(session: Session, booking_id: str) -> str | None:
    """Return who holds the claim on the meeting of a booking."""
    return session.scalar(
        select(Meeting.claim_owner).where(Meeting.booking_id == booking_id, Meeting.claim_owner.is_not(None)).limit(1)
    )


def lift_claims(session: Session, act: Act, dead: list[str]) -> int:
    """Lift the claims of runners that died or let their lease run out; the meetings stay `claimed` or `created`."""
    result = session.execute(
        update(Meeting)
        .where(
            Meeting.office == act.office,
            Meeting.claim_owner.is_not(None),
            or_(Meeting.claim_owner.in_(dead), Meeting.claim_until < act.recorded_at),
        )
        .values(claim_owner=None, claim_until=None)
        .execution_options(synchronize_session=False)
    )
    return cast(CursorResult[Any], result).rowcount


def claim_meeting(
    session: Session, vault: Vault, booking_id: str, owner: str, act: Act, *, passcode: str, daily_limit: int
) -> MeetingClaim:
    """Claim the meeting of a held booking, counting one creation against its host's day.

    When an earlier try may have made the meeting, a host whose day is used up does not stand in the way: finding it
    costs nothing. Raises ClaimedElsewhere when another runner has it or the booking is no longer held, BudgetSpent
    when the host's day is used up; nothing is changed then.
    """
    booking = session.get(Booking, booking_id, with_for_update=True, populate_existing=True)
    if booking is None or booking.status != BookingStatus.HELD.value:
        raise ClaimedElsewhere
    revision, meeting = _meeting_to_make(session, booking)
    if meeting is not None and meeting.claim_owner is not None:
        raise ClaimedElsewhere
    known = meeting is not None and meeting.meeting_id is not None
    look_first = meeting is not None and not known and meeting.attempts > 0
    counted_on = None
    if not known:
        try:
            counted_on = spend_change(session, booking.host, act, daily_limit)
        except BudgetSpent:
            if not look_first:
                raise
    if meeting is None:
        meeting = _new_meeting(vault, booking, revision, passcode, act)
        session.add(meeting)
        write_audit(session, [audit_row(act, "meeting", booking.reference, "claimed", new=MeetingStatus.CLAIMED.value)])
    else:
        meeting.host, meeting.start_at = booking.host, booking.start_at
    meeting.claim_owner, meeting.claim_until = owner, act.recorded_at + LEASE
    meeting.attempts += 1
    session.flush()
    access = vault.open_json(meeting.sealed_access or b"", _place(meeting.id))
    return MeetingClaim(
        meeting.id,
        booking.id,
        booking.reference,
        meeting.token,
        access["passcode"],
        booking.host,
        booking.start_at,
        look_first,
        meeting.meeting_id,
        counted_on,
        owner,
        meeting.attempts,
    )


def _meeting_to_make(session: Session, booking: Booking) -> tuple[int, Meeting | None]:
    """Return the next revision and its meeting, locked, if there is a live one.

    One that was called off before it was confirmed (a session moved twice) has used its number up.
    """
    newest = session.scalar(
        select(Meeting)
        .where(Meeting.booking_id == booking.id, Meeting.revision > booking.revision)
        .order_by(Meeting.revision.desc())
        .limit(1)
        .with_for_update()
    )
    if newest is None:
        return booking.revision + 1, None
    is_live = MeetingStatus(newest.status) in LIVE_MEETINGS
    return (newest.revision, newest) if is_live else (newest.revision + 1, None)


def _claimed(session: Session, claim: MeetingClaim) -> Meeting:
    """Return the meeting of a claim, locked; ClaimedElsewhere when the claim is no longer held."""
    meeting = session.get_one(Meeting, claim.row_id, with_for_update=True, populate_existing=True)
    if (meeting.claim_owner, meeting.attempts) != (claim.owner, claim.attempt):
        raise ClaimedElsewhere
    return meeting


def _new_meeting(vault: Vault, booking: Booking, revision: int, passcode: str, act: Act) -> Meeting:
    row_id = new_id()
    return Meeting(
        id=row_id,
        office=act.office,
        booking_id=booking.id,
        revision=revision,
        token=f"{booking.reference}-{row_id[-10:]}",
        host=booking.host,
        status=MeetingStatus.CLAIMED.value,
        meeting_id=None,
        sealed_access=vault.seal_json({"passcode": passcode}, _place(row_id)),
        start_at=booking.start_at,
        attempts=0,
        last_code=None,
        changed_at=act.happened_at,
    )


def spend_change(session: Session, host: str, act: Act, limit: int) -> date:
    """Count one creation or change against the host's UTC day and return that day; BudgetSpent when it is used up."""
    utc_day = act.recorded_at.astimezone(UTC).date()
    budget = _budget(session, act.office, host, utc_day)
    if budget.used >= limit:
        raise BudgetSpent
    budget.used += 1
    session.flush()
    return utc_day


def spend_whole_day(session: Session, act: Act, host: str, limit: int) -> None:
    """Record that Zoom says the host's day is used up, whoever used it."""
    budget = _budget(session, act.office, host, act.recorded_at.astimezone(UTC).date())
    budget.used = max(budget.used, limit)


def give_back(session: Session, office: str, claim: MeetingClaim) -> None:
    """Return what a claim counted against its host's day: nothing was created in its name."""
    if claim.counted_on is not None:
        budget = _budget(session, office, claim.host, claim.counted_on)
        budget.used = max(0, budget.used - 1)


def _budget(session: Session, office: str, host: str, utc_day: date) -> HostBudget:
    """Return the row of a host's day, locked; several threads may be the first of that day."""
    values = {"office": office, "host": host, "utc_day": utc_day, "used": 0}
    make = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgresql_insert
    session.execute(make(HostBudget).values(values).on_conflict_do_nothing())
    return session.get_one(HostBudget, (office, host, utc_day), with_for_update=True, populate_existing=True)


def record_created(session: Session, claim: MeetingClaim, meeting_id: str, act: Act, *, adopted: bool) -> None:
    """Keep the id that Zoom gave, before anything else is asked of Zoom.

    The session may have been cancelled or moved meanwhile: then the id says what Zoom still has to lose. Raises
    ClaimedElsewhere when the claim ran out and another runner has gone on: it, or `reconcile-zoom`, finds this one.
    """
    meeting = session.get_one(Meeting, claim.row_id, with_for_update=True, populate_existing=True)
    if MeetingStatus(meeting.status) not in LIVE_MEETINGS:
        if meeting.meeting_id is None:
            meeting.meeting_id = meeting_id
            if meeting.status == MeetingStatus.DELETED.value:
                move_meeting(session, meeting, claim.booking, MeetingStatus.UNWANTED, act, "MADE_AFTER_ALL")
        return
    meeting = _claimed(session, claim)
    meeting.meeting_id = meeting_id
    move_meeting(session, meeting, claim.booking, MeetingStatus.CREATED, act, "ADOPTED" if adopted else None)


def forget_created(session: Session, claim: MeetingClaim, act: Act, reason: str) -> None:
    """The meeting is gone or was deleted for being wrong: the claim starts over, looking before creating.

    Raises ClaimedElsewhere when the claim is no longer held; nothing is changed then.
    """
    meeting = _claimed(session, claim)
    meeting.meeting_id = None
    meeting.last_code = reason[:60]
    meeting.claim_owner = meeting.claim_until = None
    move_meeting(session, meeting, claim.booking, MeetingStatus.CLAIMED, act, reason[:60])


def record_failure(session: Session, claim: MeetingClaim, code: str, *, nothing_made: bool = False) -> bool:
    """Keep why a try failed and lift the claim; the next try goes on from there. False: the claim is no longer held.

    `nothing_made`: Zoom certainly made nothing in any try so far, so the next one need not look first.
    """
    try:
        meeting = _claimed(session, claim)
    except ClaimedElsewhere:
        return False
    meeting.last_code = code[:60]
    meeting.claim_owner = meeting.claim_until = None
    if nothing_made:
        meeting.attempts = 0
    return True


def is_untouched(session: Session, booking_id: str) -> bool:
    """Tell whether no try for this booking can have left a meeting at Zoom."""
    meeting = live_meeting(session, booking_id)
    return meeting is None or (meeting.meeting_id is None and meeting.attempts == 0)


def used_today(session: Session, act: Act) -> dict[str, int]:
    """Return what each host has used of the present UTC day."""
    return host_budgets_used(session, act.office, act.recorded_at.astimezone(UTC).date())


def meeting_id_of(session: Session, claim: MeetingClaim) -> str:
    """Return the id that was kept for a claim."""
    return session.get_one(Meeting, claim.row_id).meeting_id or ""


def confirm_booking(
    session: Session, vault: Vault, claim: MeetingClaim, join_url: str, passcode: str, act: Act
) -> Confirmed:
    """Mark the meeting verified and its booking confirmed; the caller queues the mail in the same transaction.

    Raises ClaimedElsewhere if the claim or the booking is no longer held; nothing is changed then.
    """
    # The booking first, as in claim_meeting: the other order is a deadlock with a second runner.
    booking = session.get_one(Booking, claim.booking_id, with_for_update=True)
    meeting = _claimed(session, claim)
    # Moved while Zoom was asked: the meeting is for a time that is nobody's any more.
    is_its_time = (booking.start_at, booking.host) == (meeting.start_at, meeting.host)
    if booking.status != BookingStatus.HELD.value or meeting.status != MeetingStatus.CREATED.value or not is_its_time:
        raise ClaimedElsewhere
    is_first = booking.revision == 0
    seal_access(vault, meeting, join_url, passcode)
    meeting.claim_owner = meeting.claim_until = meeting.last_code = None
    move_meeting(session, meeting, claim.booking, MeetingStatus.VERIFIED, act)
    booking.revision = meeting.revision
    move_booking(session, booking, BookingStatus.CONFIRMED, act)
    return Confirmed(booking, is_first)


def meeting_access(vault: Vault, meeting: Meeting) -> dict[str, str]:
    """Return join URL and passcode of a verified meeting."""
    return access_of(vault, meeting.id, meeting.sealed_access)


def access_of(vault: Vault, row_id: str, sealed: bytes | None) -> dict[str, str]:
    """Return join URL and passcode from the sealed column of a verified meeting's row."""
    access: dict[str, str] = vault.open_json(sealed or b"", _place(row_id))
    return access


def seal_access(vault: Vault, meeting: Meeting, join_url: str, passcode: str) -> None:
    """Keep the way into a meeting."""
    meeting.sealed_access = vault.seal_json({"passcode": passcode, "join_url": join_url}, _place(meeting.id))


def live_meeting(session: Session, booking_id: str) -> Meeting | None:
    """Return the meeting that a booking has now."""
    return session.scalar(
        select(Meeting)
        .where(Meeting.booking_id == booking_id, Meeting.status.in_([s.value for s in LIVE_MEETINGS]))
        .order_by(Meeting.revision.desc())
        .limit(1)
    )


def _place(row_id: str) -> str:
    return f"meeting.sealed_access.{row_id}"
