"""What must hold after any crash and one rerun: the record against the stand-in Zoom and the stand-in mailbox.

Reads all three afresh and returns a line for every property that is violated, beginning with its name.
"""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy import select

from madoguchi.domain.lifecycle import (
    BOOKING_ARROWS,
    MEETING_ARROWS,
    OCCUPYING_BOOKINGS,
    REQUEST_ARROWS,
    SETTLED_BOOKINGS,
)
from madoguchi.domain.message import ALLOWED
from madoguchi.domain.office import JST
from madoguchi.sandbox.mailbox_store import recipient_hash
from madoguchi.store.database import Database
from madoguchi.store.models import (
    Audit,
    Booking,
    BookingRequest,
    Client,
    Consent,
    Evidence,
    ExportFile,
    HostBudget,
    MailTemplate,
    Meeting,
    Occupancy,
    OutboxMessage,
    Restriction,
    StaffTask,
    VerdictRecord,
    ZoomEventRecord,
)

ARROWS = {"request": REQUEST_ARROWS, "booking": BOOKING_ARROWS, "meeting": MEETING_ARROWS, "message": ALLOWED}
TABLES = (
    ExportFile, Client, BookingRequest, Consent, Booking, Occupancy, Meeting, HostBudget, MailTemplate, OutboxMessage,
    StaffTask, Audit, Evidence, ZoomEventRecord, VerdictRecord, Restriction,
)  # fmt: skip
FIRST = {"request": "staged", "booking": "held", "meeting": "claimed", "message": "queued"}
SETTLED = {"sent", "suppressed", "missed", "uncertain"}
ACTIVE = {"held", "confirmed"}
NEVER_TOLD = {"held", "released"}
SETTLED_BY_VERDICT = {status.value for status in SETTLED_BOOKINGS}
OCCUPYING = {status.value for status in OCCUPYING_BOOKINGS}
MAY_HAVE_A_MEETING = (ACTIVE | SETTLED_BY_VERDICT) - {"no_show"}
"""Of a no-show, a cancellation or a released hold nothing may be left at Zoom."""
LIMIT = timedelta(minutes=10)


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
            self.evidence = list(session.scalars(select(Evidence)))
            self.events = list(session.scalars(select(ZoomEventRecord)))
            self.verdicts = list(session.scalars(select(VerdictRecord).order_by(VerdictRecord.number)))
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
    people = {row["row"]: (row["normalized"] or {}).get("email") for row in expected}
    found = [*_rows(state, expected), *_bookings(state), *_meetings(state), *_messages(state, people), *_audit(state)]
    return [*found, *_doubts(state, uncertain, arrived)]


def _doubts(state, uncertain, arrived):
    doubtful = _in_doubt(state)
    for name, span, number in (
        ("UNCERTAIN", uncertain, len(doubtful)),
        ("UNCERTAIN_ARRIVED", arrived, sum(doubtful.values())),
    ):
        if not span[0] <= number <= span[1]:
            yield f"{name} {number} instead of {span}"


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
        if not kept and booking.status != "confirmed":
            continue
        if (
            booking.status not in MAY_HAVE_A_MEETING
            or len(kept) != 1
            or kept[0].status != "verified"
            or kept[0].revision != booking.revision
        ):
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
        if meeting.claim_owner or meeting.status in {"claimed", "created", "unwanted"}:
            yield f"MEETING_OPEN {meeting.token}: {meeting.status}"


def _messages(state, people):
    copies = Counter(mail.message_id for mail in state.mails)
    known = {message.message_id: message for message in state.messages}
    rows = {request.id: request.row_number for request in state.requests}
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
        if booking.status not in NEVER_TOLD and confirmations[booking.id] != 1 and booking.reference not in to_call:
            yield f"CONFIRMATION {booking.reference}: {confirmations[booking.id]}"


def _audit(state):
    last = {("request", request.reference): [FIRST["request"]] for request in state.requests}
    for row in state.audit:
        subject = (row.subject_kind, row.subject)
        if row.action in {"held", "claimed", "queued"}:
            # A moved booking has a second meeting under its reference; everything else begins once.
            if last.setdefault(subject, []) and row.subject_kind != "meeting":
                yield f"CHAIN {subject}: begun again"
            last[subject].append(FIRST[row.subject_kind])
            continue
        if row.action != "transition":
            continue
        arrows = {old.value: {new.value for new in after} for old, after in ARROWS[row.subject_kind].items()}
        if row.new not in arrows[row.old]:
            yield f"ARROW {subject}: {row.old} to {row.new}"
        if row.old in last.setdefault(subject, []):
            last[subject].remove(row.old)
        else:
            yield f"CHAIN {subject}: was {last[subject]}, not {row.old}"
        last[subject].append(row.new)
    references = {booking.id: booking.reference for booking in state.bookings}
    now = defaultdict(list)
    for kind, rows in (("request", state.requests), ("booking", state.bookings)):
        for row in rows:
            now[kind, row.reference].append(row.status)
    for meeting in state.meetings:
        now["meeting", references[meeting.booking_id]].append(meeting.status)
    for message in state.messages:
        now["message", message.id].append(message.status)
    for subject, statuses in now.items():
        if Counter(last.get(subject, [])) != Counter(statuses):
            yield f"CHAIN {subject}: is {statuses}, audit says {last.get(subject)}"


class Outcome(NamedTuple):
    """What came of one person. `start`: "16 11:00" in Japan; `meetings`: live ones at Zoom; `verdicts`: in order."""

    request: str
    booking: str | None = None
    start: str | None = None
    mails: tuple[str, ...] = ()
    meetings: int = 0
    revision: int = 0
    verdicts: tuple[str, ...] = ()


def violations_of_the_day(office, people, as_of, *, events, uncertain=(0, 0), arrived=(0, 0)):
    """Return what is wrong on a day of sessions.

    `people`: mail address by row. `as_of`: when the sweep last ran, or nothing. `events`: webhooks that were answered.
    """
    state = State(office)
    return [
        *_cells(state),
        *_verdicts(state, as_of),
        *_events(state, office, events),
        *_meetings(state),
        *_messages(state, people),
        *_audit(state),
        *_doubts(state, uncertain, arrived),
    ]


def _cells(state):
    """Counsellor and host are taken for the whole session by who occupies them, and by nobody else."""
    taken = defaultdict(set)
    for cell in state.occupancy:
        taken[cell.booking_id].add((cell.resource, cell.cell_at))
    for booking in state.bookings:
        cells = [booking.start_at + timedelta(minutes=15 * n) for n in range(2)]
        wanted = {(f"{kind}:{getattr(booking, kind)}", at) for kind in ("counsellor", "host") for at in cells}
        if taken.pop(booking.id, set()) != (wanted if booking.status in OCCUPYING else set()):
            yield f"OCCUPANCY {booking.reference} ({booking.status})"
    for left in taken:
        yield f"OCCUPANCY of no booking {left}"
    holders = Counter(
        booking.request_id for booking in state.bookings if booking.status not in {"cancelled", "released"}
    )
    for request in state.requests:
        if holders[request.id] != (request.status == "booked"):
            yield f"BOOKING {request.reference} ({request.status}): {holders[request.id]} bookings"
    for booking in state.bookings:
        if booking.status == "held":
            yield f"HELD {booking.reference}"


def _verdicts(state, as_of):
    """A session is judged once for its tenth minute; each correction counts one up, and the last one stands."""
    evidence = {(piece.id, piece.booking_id) for piece in state.evidence}
    for booking in state.bookings:
        rows = [row for row in state.verdicts if row.booking_id == booking.id]
        if [row.number for row in rows] != list(range(1, len(rows) + 1)):
            yield f"VERDICT_NUMBER {booking.reference}: {[row.number for row in rows]}"
        if booking.status in SETTLED_BY_VERDICT and (not rows or rows[-1].verdict != booking.status):
            yield f"VERDICT {booking.reference} ({booking.status}): {[row.verdict for row in rows]}"
        if booking.status in ACTIVE and rows:
            yield f"VERDICT {booking.reference} ({booking.status}): {[row.verdict for row in rows]}"
        for row in rows:
            if row.judged_for != booking.start_at + LIMIT:
                yield f"VERDICT_MINUTE {booking.reference}"
            if any((piece, booking.id) not in evidence for piece in row.evidence):
                yield f"VERDICT_EVIDENCE {booking.reference}"
        if as_of and booking.status == "confirmed" and booking.start_at + LIMIT <= as_of:
            yield f"UNJUDGED {booking.reference}"


def _events(state, office, events):
    """Every webhook that was answered stands in the record once, and waits nowhere any more."""
    keys = Counter(piece.dedupe_key for piece in state.evidence)
    if len(state.events) != events:
        yield f"EVENTS {len(state.events)} of {events}"
    for event in state.events:
        if event.outcome == "evidence" and keys[f"zoom:{event.dedupe_key}"] != 1:
            yield f"EVENT_WITHOUT_EVIDENCE {event.id}"
    waiting = list((office.folder / "var" / "webhooks").rglob("*.event")) if events else []
    if waiting:
        yield f"SPOOL {len(waiting)}"


def result_of_the_day(office):
    """Return the Outcome of every row, mails in the order of their names."""
    state = State(office)
    live = {meeting["id"] for meeting in state.zoom}
    found = {}
    for request in state.requests:
        mails = tuple(sorted(message.kind for message in state.messages if message.request_id == request.id))
        booking = next((each for each in state.bookings if each.request_id == request.id), None)
        if booking is None:
            found[request.row_number] = Outcome(request.status, mails=mails)
            continue
        found[request.row_number] = Outcome(
            request.status,
            booking.status,
            f"{booking.start_at.astimezone(JST):%d %H:%M}",
            mails,
            sum(meeting.meeting_id in live for meeting in state.meetings if meeting.booking_id == booking.id),
            booking.revision,
            tuple(row.verdict for row in state.verdicts if row.booking_id == booking.id),
        )
    return found


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
