"""What `watch` asks the record: what is due and undone, and since when. Oldest first, at most a hundred of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, func, or_, select, text
from sqlalchemy.orm import Session, aliased

from madoguchi.store.models import (
    Alarm,
    Booking,
    BookingRequest,
    DataKey,
    ExportFile,
    HostBudget,
    Meeting,
    OutboxMessage,
    RunRecord,
    StaffTask,
)

MOST = 100
_LINKS = ("confirmed", "changed")
_UNSENT = ("queued", "sending", "retrying")
_GIVEN = ("sent", "uncertain", "sending", "suppressed")

_REFERENCE = func.coalesce(Booking.reference, BookingRequest.reference, OutboxMessage.message_id)


def unsent(session: Session, office: str, before: datetime) -> tuple[list[tuple[str, datetime]], int]:
    """Return the messages about sessions due before an instant and unsent, by reference, and how many there are."""
    is_due = (
        OutboxMessage.office == office,
        OutboxMessage.lane == "",
        # Literals, not parameters, here and below: only so do the planners use the partial indexes.
        text("outbox_message.status IN ('queued', 'retrying')"),
        OutboxMessage.due_at < before,
    )
    rows = session.execute(_messages().where(*is_due).order_by(OutboxMessage.due_at).limit(MOST)).all()
    count = session.scalar(select(func.count()).select_from(OutboxMessage).where(*is_due)) or 0
    return [(row.reference, row.due_at) for row in rows], count


def uncertain(session: Session, office: str) -> list[str]:
    """Return the references of messages of which nobody knows whether they arrived, each once."""
    rows = session.execute(
        _messages().where(OutboxMessage.office == office, text("outbox_message.status = 'uncertain'")).limit(MOST)
    )
    return list(dict.fromkeys(row.reference for row in rows))


def references_of_messages(session: Session, ids: Sequence[str]) -> Mapping[str, str]:
    """Return what people know a message by, its booking's or application's reference, for those of the ids that are."""
    rows = session.execute(_messages().add_columns(OutboxMessage.id).where(OutboxMessage.id.in_(ids)))
    return {row.id: row.reference for row in rows}


def unsettled_among(session: Session, ids: Sequence[str]) -> tuple[set[str], set[str]]:
    """Return which of the ids are messages, and which of those still have to be sent."""
    rows = session.execute(select(OutboxMessage.id, OutboxMessage.status).where(OutboxMessage.id.in_(ids))).all()
    return {row.id for row in rows}, {row.id for row in rows if row.status in _UNSENT}


def _messages() -> Any:
    return (
        select(_REFERENCE.label("reference"), OutboxMessage.due_at)
        .outerjoin(Booking, Booking.id == OutboxMessage.booking_id)
        .outerjoin(BookingRequest, BookingRequest.id == OutboxMessage.request_id)
    )


def unconfirmed(session: Session, office: str, after: datetime, until: datetime) -> list[tuple[str, datetime]]:
    """Return sessions that start between two instants without a link that is on its way: reference and start.

    Held ones, those whose meeting is not verified, and those whose link could not be given to the relay. Who has no
    address is told by telephone: that is a task of staff, not found here.
    """
    link = aliased(OutboxMessage)
    given = (
        select(link.id)
        .where(link.booking_id == Booking.id, link.revision == Booking.revision, link.kind.in_(_LINKS))
        .where(link.status.not_in(_GIVEN))
        .exists()
    )
    verified = (
        select(Meeting.id)
        .where(Meeting.booking_id == Booking.id, Meeting.revision == Booking.revision, Meeting.status == "verified")
        .exists()
    )
    rows = session.execute(
        select(Booking.reference, Booking.start_at)
        .where(
            Booking.office == office,
            Booking.start_at > after,
            Booking.start_at <= until,
            or_(Booking.status == "held", and_(Booking.status == "confirmed", or_(~verified, given))),
        )
        .order_by(Booking.start_at)
        .limit(MOST)
    )
    return list(rows.tuples())


def unswept(session: Session, office: str, before: datetime) -> list[tuple[str, datetime]]:
    """Return sessions that started before an instant and have no verdict: reference and start."""
    rows = session.execute(
        select(Booking.reference, Booking.start_at)
        .where(Booking.office == office, Booking.status == "confirmed", Booking.start_at < before)
        .order_by(Booking.start_at)
        .limit(MOST)
    )
    return list(rows.tuples())


def waiting_tasks(session: Session, office: str) -> list[tuple[str, datetime]]:
    """Return what waits for a person, the oldest first: what it is about, and since when."""
    rows = session.execute(
        select(StaffTask.subject, StaffTask.opened_at)
        .where(StaffTask.office == office, StaffTask.closed_at.is_(None))
        .order_by(StaffTask.opened_at)
        .limit(MOST)
    )
    return list(rows.tuples())


def stuck_claims(session: Session, office: str, before: datetime) -> list[tuple[str, datetime]]:
    """Return claims of mails and meetings that ran out before an instant of the clock, by reference."""
    mails = session.execute(
        _messages()
        .add_columns(OutboxMessage.claim_until)
        .where(
            OutboxMessage.office == office,
            OutboxMessage.claim_owner.is_not(None),
            OutboxMessage.claim_until < before,
            OutboxMessage.status.in_(("queued", "retrying", "sending")),
        )
        .limit(MOST)
    )
    meetings = session.execute(
        select(Booking.reference, Meeting.claim_until)
        .join(Booking, Booking.id == Meeting.booking_id)
        .where(
            Meeting.office == office,
            Meeting.status.in_(("claimed", "created")),
            Meeting.claim_owner.is_not(None),
            Meeting.claim_until < before,
        )
        .limit(MOST)
    )
    found = [(row.reference, row.claim_until) for row in mails]
    return found + [(reference, until) for reference, until in meetings.tuples() if until is not None]


def exports_since(session: Session, office: str, since: datetime) -> list[datetime]:
    """Return when each new content of an export was first read; those of staff's own forms are none."""
    rows = session.scalars(
        select(ExportFile.first_read_at)
        .where(ExportFile.office == office, ExportFile.first_read_at >= since, ExportFile.source != "staff")
        .order_by(ExportFile.first_read_at)
    )
    return list(rows)


def budgets(session: Session, office: str, at: datetime) -> Mapping[str, int]:
    """Return what each host has used of the UTC day of an instant."""
    rows = session.execute(
        select(HostBudget.host, HostBudget.used).where(HostBudget.office == office, HostBudget.utc_day == at.date())
    )
    return dict(rows.tuples().all())


def oldest_key(session: Session) -> datetime | None:
    """Return since when the newest key for data is in use; None without any."""
    return session.scalar(select(func.max(DataKey.created_at)).where(DataKey.purpose == "data"))


def first_run(session: Session, office: str, flow: str) -> datetime | None:
    """Return the business time of a flow's first run on record."""
    return session.scalar(select(func.min(RunRecord.as_of)).where(RunRecord.office == office, RunRecord.flow == flow))


def last_end(session: Session, office: str, flow: str) -> datetime | None:
    """Return when the newest run of a flow that has ended under Prefect did so, by the clock; None without one."""
    return session.scalar(
        select(RunRecord.finished_at)
        .where(
            RunRecord.office == office,
            RunRecord.flow == flow,
            RunRecord.finished_at.is_not(None),
            RunRecord.prefect_run.is_not(None),
        )
        .order_by(RunRecord.started_at.desc())
        .limit(1)
    )


def recent_runs(
    session: Session, office: str, flows: Collection[str], since: datetime
) -> Mapping[str, Sequence[Row[tuple[datetime, str, list[object]]]]]:
    """Return business time, state and what was left undone of each flow's runs since an instant, the newest first."""
    found: dict[str, list[Row[tuple[datetime, str, list[object]]]]] = {flow: [] for flow in flows}
    for flow in flows:
        rows = session.execute(
            select(RunRecord.as_of, RunRecord.state, RunRecord.incomplete)
            .where(RunRecord.office == office, RunRecord.flow == flow, RunRecord.started_at >= since)
            .order_by(RunRecord.started_at.desc())
            .limit(MOST)
        )
        found[flow] = list(rows)
    return found


def open_alarm_rows(session: Session, office: str) -> list[Alarm]:
    """Return every alarm that is not over, the oldest first."""
    return list(
        session.scalars(
            select(Alarm).where(Alarm.office == office, Alarm.over_at.is_(None)).order_by(Alarm.first_seen_at, Alarm.id)
        )
    )


def untold_alarm_rows(session: Session, office: str) -> list[Alarm]:
    """Return every alarm of which some news, its beginning or its end, has not reached every channel."""
    return list(
        session.scalars(
            select(Alarm)
            .where(
                Alarm.office == office,
                or_(Alarm.raised_told_at.is_(None), and_(Alarm.over_at.is_not(None), Alarm.over_told_at.is_(None))),
            )
            .order_by(Alarm.first_seen_at, Alarm.id)
        )
    )
