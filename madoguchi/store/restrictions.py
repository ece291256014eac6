"""Restrictions of future use, and what is known of how somebody stands; nothing here commits or decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from madoguchi.domain.lifecycle import ACTIVE_BOOKINGS, BookingStatus, RequestStatus
from madoguchi.domain.office import JST
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.models import Booking, BookingRequest, Client, Restriction, StaffTask

_AT_ONCE = 500
_OPEN_REQUESTS = (RequestStatus.RECEIVED.value, RequestStatus.WAITING.value, RequestStatus.IN_REVIEW.value)


@dataclass(frozen=True, slots=True)
class NewRestriction:
    """A decision to refuse future use. `until`: the last instant; `document`: the number of the paper behind it."""

    reference: str
    client_id: str
    ground: str
    reason: str
    until: datetime | None
    document: str | None


def lock_client(session: Session, client_id: str) -> None:
    """Let nobody else restrict or free the same person until the transaction ends."""
    session.execute(select(Client.id).where(Client.id == client_id).with_for_update())


def restriction_in_force(session: Session, office: str, client_id: str, at: datetime) -> Restriction | None:
    """Return the newest restriction of a person that nobody lifted and whose term is not over at `at`."""
    return session.scalar(
        select(Restriction)
        .where(
            Restriction.office == office,
            Restriction.client_id == client_id,
            Restriction.lifted_at.is_(None),
            or_(Restriction.until.is_(None), Restriction.until > at),
        )
        .order_by(Restriction.starts_at.desc(), Restriction.id.desc())
        .limit(1)
    )


def restrictions(session: Session, office: str, client_id: str) -> list[Restriction]:
    """Return every restriction that a person ever had, the first one first."""
    return list(
        session.scalars(
            select(Restriction)
            .where(Restriction.office == office, Restriction.client_id == client_id)
            .order_by(Restriction.starts_at, Restriction.id)
        )
    )


def last_lifted(session: Session, office: str, client_id: str) -> Restriction | None:
    """Return the restriction of a person that was lifted last."""
    return session.scalar(
        select(Restriction)
        .where(Restriction.office == office, Restriction.client_id == client_id, Restriction.lifted_at.is_not(None))
        .order_by(Restriction.lifted_at.desc())
        .limit(1)
    )


def fresh_reference(session: Session, office: str, draw: Callable[[], str]) -> str:
    """Return a reference that no restriction has."""
    while True:
        reference = draw()
        taken = session.scalar(
            select(Restriction.id).where(Restriction.office == office, Restriction.reference == reference)
        )
        if taken is None:
            return reference


def restrict(session: Session, act: Act, new: NewRestriction) -> None:
    """Record a restriction from the act's moment on, with its audit row."""
    session.add(
        Restriction(
            reference=new.reference,
            office=act.office,
            client_id=new.client_id,
            ground=new.ground,
            reason=new.reason,
            document=new.document,
            starts_at=act.happened_at,
            until=new.until,
            decided_by=act.actor,
            recorded_at=act.recorded_at,
            lifted_at=None,
            lifted_by=None,
            lift_reason=None,
        )
    )
    details = {
        "ground": new.ground,
        "until": new.until.astimezone(JST).isoformat() if new.until else None,
        "document": new.document,
    }
    write_audit(
        session,
        [
            audit_row(
                act, "restriction", new.reference, "restricted", new="in_force", reason=new.reason, details=details
            )
        ],
    )


def lift(session: Session, act: Act, restriction: Restriction, reason: str) -> None:
    """End a restriction; who and why stay in its row and in the audit."""
    restriction.lifted_at, restriction.lifted_by, restriction.lift_reason = act.happened_at, act.actor, reason
    write_audit(
        session,
        [audit_row(act, "restriction", restriction.reference, "lifted", old="in_force", new="lifted", reason=reason)],
    )


def open_matters(session: Session, office: str, client_id: str) -> tuple[list[str], list[str]]:
    """Return the references of a person's active bookings, and of applications that are not decided or not served."""
    booked = session.scalars(
        select(Booking.reference)
        .where(
            Booking.office == office,
            Booking.client_id == client_id,
            Booking.status.in_([status.value for status in ACTIVE_BOOKINGS]),
        )
        .order_by(Booking.start_at)
    )
    asked = session.scalars(
        select(BookingRequest.reference)
        .where(
            BookingRequest.office == office,
            BookingRequest.client_id == client_id,
            BookingRequest.status.in_(_OPEN_REQUESTS),
        )
        .order_by(BookingRequest.submitted_at)
    )
    return list(booked), list(asked)


@dataclass(frozen=True, slots=True)
class Past:
    """What `domain.standing` wants to know of one person."""

    no_show_days: list[date]
    restrictions: list[tuple[datetime, datetime | None]]


def pasts_of(session: Session, office: str, client_ids: Collection[str]) -> dict[str, Past]:
    """Return the past of those people who have one: a query for each 500 of them, and one for the restrictions.

    Restrictions that nobody lifted are few in an office, and are read as a whole.
    """
    if not client_ids:
        return {}
    wanted = sorted(set(client_ids))
    found: defaultdict[str, Past] = defaultdict(lambda: Past([], []))
    for at in range(0, len(wanted), _AT_ONCE):
        rows = session.execute(
            select(Booking.client_id, Booking.start_at).where(
                Booking.client_id.in_(wanted[at : at + _AT_ONCE]),
                Booking.status == BookingStatus.NO_SHOW.value,
                Booking.office == office,
            )
        ).tuples()
        for client_id, start in rows:
            found[client_id].no_show_days.append(start.astimezone(JST).date())
    asked = set(wanted)
    in_force: Any = select(Restriction.client_id, Restriction.starts_at, Restriction.until).where(
        Restriction.office == office, Restriction.lifted_at.is_(None)
    )
    for client_id, since, until in session.execute(in_force).tuples():
        if client_id in asked:
            found[client_id].restrictions.append((since, until))
    return dict(found)


def open_task(session: Session, office: str, kind: str, subject: str) -> StaffTask | None:
    """Return what waits for a person about a subject, if it is still open."""
    return session.scalar(
        select(StaffTask).where(
            StaffTask.office == office,
            StaffTask.kind == kind,
            StaffTask.subject == subject,
            StaffTask.closed_at.is_(None),
        )
    )
