"""What must hold after any crash and one rerun: the record against the stand-in Zoom and the stand-in mailbox.

Reads all three afresh and returns a line for every property that is violated, beginning with its name.
"""

from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import pairwise

from sqlalchemy import select

from madoguchi.domain.lifecycle import BOOKING_ARROWS, MEETING_ARROWS, REQUEST_ARROWS
from madoguchi.domain.message import ALLOWED
from madoguchi.sandbox.mailbox_store import recipient_hash
from madoguchi.store.database import Database
from madoguchi.store.models import (
    Audit,
    Booking,
    BookingRequest,
    Client,
    Consent,
    ExportFile,
    HostBudget,
    MailTemplate,
    Meeting,
    Occupancy,
    OutboxMessage,
    StaffTask,
)

ARROWS = {"request": REQUEST_ARROWS, "booking": BOOKING_ARROWS, "meeting": MEETING_ARROWS, "message": ALLOWED}
TABLES = (
    ExportFile, Client, BookingRequest, Consent, Booking, Occupancy, Meeting, HostBudget, MailTemplate, OutboxMessage,
    StaffTask, Audit,
)  # fmt: skip
FIRST = {"request": "staged", "booking": "held", "meeting": "claimed", "message": "queued"}
SETTLED = {"sent", "suppressed", "uncertain"}
ACTIVE = {"held", "confirmed"}


class State:
    """The three worlds, read once."""

    def __init__(self, office):
        database = Database(office.record)
        with database.read() as session:
            self.files = list(session.scalars(select(ExportFile)))
            self.requests = list(session.scalars(select(BookingRequest)))
            self.bookings = list(session.scalars(select(Booking)))
            self.meetings = list(session.scalars(select(Meeting)))
            self.messages = list(session.scalars(select(OutboxMessage)))
            self.occupancy = list(session.scalars(select(Occupancy)))
            self.tasks = list(session.scalars(select(StaffTask)))
            self.audit = list(session.scalars(select(Audit).order_by(Audit.id)))
        database.close()
        self.zoom = [
            {"id": str(doc["id"]), "agenda": doc["agenda"], "start": datetime.fromisoformat(doc["start_time"])}
            for _, _, is_deleted, doc in office.zoom.state.everything()
            if not is_deleted
        ]
        self.mails = office.mailbox.state.entries()


def violations(office, expected, *, uncertain=(0, 0), arrived=(0, 0)):
    """Return what is wrong.

    `expected`: the rows of expected.json. `uncertain`: least and most messages that may be in doubt. `arrived`: how
    many of those lie in the mailbox, least and most.
    """
    state = State(office)
    found = [*_rows(state, expected), *_bookings(state), *_meetings(state), *_messages(state, expected), *_audit(state)]
    doubtful = _in_doubt(state)
    for name, span, number in (
        ("UNCERTAIN", uncertain, len(doubtful)),
        ("UNCERTAIN_ARRIVED", arrived, sum(doubtful.values())),
    ):
        if not span[0] <= number <= span[1]:
            found.append(f"{name} {number} instead of {span}")
    return found


def in_doubt(office):
    """Return the messages in doubt, each with how often it lies in the mailbox."""
    return _in_doubt(State(office))


def _in_doubt(state):
    copies = Counter(mail.message_id for mail in state.mails)
    return {message.id: copies[message.message_id] for message in state.messages if message.status == "uncertain"}


def _rows(state, expected):
    by_row = defaultdict(list)
    for request in state.requests:
        by_row[request.row_number].append(request)
    for row in expected:
        requests = by_row.pop(row["row"], [])
        if len(requests) != 1:
            yield f"ROW {row['row']}: {len(requests)} requests"
        for request in requests:
            if (request.outcome, request.reason) != (row["outcome"], row["reason"]):
                yield f"OUTCOME row {row['row']}: {request.outcome} {request.reason}"
            if request.status == "staged":
                yield f"STAGED row {row['row']}"
    for number in by_row:
        yield f"ROW {number}: not in the file"
    for file in state.files:
        if file.status != "read" or file.counts["in"] != len(expected):
            yield f"FILE {file.status} {file.counts}"
    if len(state.files) != 1:
        yield f"FILE {len(state.files)} of one"


def _bookings(state):
    active = [booking for booking in state.bookings if booking.status in ACTIVE]
    of_request = Counter(booking.request_id for booking in active)
    for request in state.requests:
        wanted = 1 if request.status == "booked" else 0
        if of_request[request.id] != wanted:
            yield f"BOOKING {request.reference} ({request.status}): {of_request[request.id]} bookings"
        if request.outcome == "accept" and request.status not in {"booked", "waiting"}:
            yield f"UNSERVED {request.reference}: {request.status}"
    cells = Counter((cell.booking_id, cell.resource.split(":")[0]) for cell in state.occupancy)
    for booking in active:
        if booking.status != "confirmed":
            yield f"HELD {booking.reference}"
        if [count for (row, _), count in cells.items() if row == booking.id] != [2, 2]:
            yield f"OCCUPANCY {booking.reference}"
    for kind in ("counsellor", "host"):
        spans = sorted((getattr(b, kind), b.start_at, b.end_at, b.reference) for b in active)
        for one, other in pairwise(spans):
            if one[0] == other[0] and other[1] < one[2]:
                yield f"OVERLAP {one[3]} and {other[3]} on {kind}"


def _meetings(state):
    live = {meeting["id"]: meeting for meeting in state.zoom}
    for booking in state.bookings:
        kept = [m for m in state.meetings if m.booking_id == booking.id and m.status != "deleted"]
        if booking.status != "confirmed":
            continue
        if len(kept) != 1 or kept[0].status != "verified" or kept[0].revision != booking.revision:
            yield f"MEETING {booking.reference}: {[m.status for m in kept]}"
            continue
        found = live.pop(kept[0].meeting_id, None)
        if found is None:
            yield f"MEETING_MISSING {booking.reference}"
        elif f"ref:{kept[0].token}" not in found["agenda"] or found["start"].astimezone(UTC) != booking.start_at:
            yield f"MEETING_WRONG {booking.reference}"
    for meeting_id in live:
        yield f"MEETING_EXTRA {meeting_id}"
    for meeting in state.meetings:
        if meeting.claim_owner or meeting.status in {"claimed", "created"}:
            yield f"MEETING_OPEN {meeting.token}: {meeting.status}"


def _messages(state, expected):
    copies = Counter(mail.message_id for mail in state.mails)
    known = {message.message_id: message for message in state.messages}
    rows = {request.id: request.row_number for request in state.requests}
    people = {row["row"]: (row["normalized"] or {}).get("email") for row in expected}
    for message in state.messages:
        arrived = copies[message.message_id]
        if message.status not in SETTLED:
            yield f"UNSETTLED {message.id}: {message.status}"
        if message.claim_owner:
            yield f"CLAIMED {message.id}"
        if arrived > 1:
            yield f"MAIL_TWICE {message.id}: {arrived}"
        if message.status == "sent" and arrived == 0:
            yield f"MAIL_LOST {message.id}"
        if message.status == "suppressed" and arrived:
            yield f"MAIL_SUPPRESSED {message.id}"
        if message.status == "uncertain" and not any(
            task.subject == message.id and task.closed_at is None for task in state.tasks
        ):
            yield f"UNTOLD {message.id}"
    for mail in state.mails:
        message = known.get(mail.message_id)
        if message is None:
            yield f"MAIL_UNKNOWN {mail.file}"
        elif (address := people.get(rows.get(message.request_id))) and recipient_hash(address) != mail.recipient:
            yield f"MAIL_TO_ANOTHER {message.id}"
    confirmations = Counter(m.booking_id for m in state.messages if m.kind == "confirmed")
    to_call = {task.subject for task in state.tasks}
    for booking in state.bookings:
        if booking.status == "confirmed" and confirmations[booking.id] != 1 and booking.reference not in to_call:
            yield f"CONFIRMATION {booking.reference}: {confirmations[booking.id]}"


def _audit(state):
    last = {("request", request.reference): FIRST["request"] for request in state.requests}
    for row in state.audit:
        subject = (row.subject_kind, row.subject)
        if row.action in {"held", "claimed", "queued"}:
            if last.setdefault(subject, row.new) != FIRST[row.subject_kind]:
                yield f"CHAIN {subject}: begun again"
            continue
        if row.action != "transition":
            continue
        arrows = {old.value: {new.value for new in after} for old, after in ARROWS[row.subject_kind].items()}
        if row.new not in arrows[row.old]:
            yield f"ARROW {subject}: {row.old} to {row.new}"
        if last.get(subject) != row.old:
            yield f"CHAIN {subject}: was {last.get(subject)}, not {row.old}"
        last[subject] = row.new
    references = {booking.id: booking.reference for booking in state.bookings}
    now = {
        **{("request", r.reference): r.status for r in state.requests},
        **{("booking", b.reference): b.status for b in state.bookings},
        **{("meeting", references[m.booking_id]): m.status for m in state.meetings},
        **{("message", m.id): m.status for m in state.messages},
    }
    for subject, status in now.items():
        if last.get(subject) != status:
            yield f"CHAIN {subject}: is {status}, audit says {last.get(subject)}"


def result(office):
    """Return what came of every row, by row number: a crash must not change it."""
    state = State(office)
    starts = {b.request_id: b.start_at for b in state.bookings if b.status in ACTIVE}
    kinds = defaultdict(list)
    for message in state.messages:
        kinds[message.request_id].append(message.kind)
    tasks = defaultdict(list)
    for task in state.tasks:
        tasks[task.subject].append((task.kind, task.reason))
    return {
        r.row_number: (
            (r.outcome, r.reason, r.flags, r.status, starts.get(r.id)),
            sorted(kinds[r.id]),
            sorted(tasks[r.reference]),
        )
        for r in state.requests
    }


def everything(office):
    """Return every row of the record but the runs', the mailbox and what was ever made at the stand-in Zoom."""
    database = Database(office.record)
    with database.engine.connect() as connection:
        rows = {table.__tablename__: sorted(map(repr, connection.execute(select(table)))) for table in TABLES}
    database.close()
    rows["mailbox"] = [mail.file for mail in office.mailbox.state.entries()]
    rows["zoom"] = [repr(each) for each in office.zoom.state.everything()]
    return rows
