"""What must hold after the fortnight: nothing lost, nothing twice, nobody wronged.

Record, stand-in Zoom and mailbox against each other (`checker`), and all of them against what the script knows of
people: who applied, came, called, stayed away. A line for every property that is violated, beginning with its name.
"""

from collections import Counter, defaultdict
from datetime import timedelta

from madoguchi.domain.office import JST
from tests.e2e import fortnight_record as record
from tests.e2e import fortnight_script as scripts
from tests.e2e.checker import State, violations_of_the_day
from tests.e2e.fortnight_alarms import timeline, wrong_alarms

MINUTE = timedelta(minutes=1)
SOON = 40 * MINUTE
"""How long an application may wait while all is well: the next tick of a thinned schedule, and its run."""
LIMIT = 10 * MINUTE
BLAMED = {"no_show", "no_show_proposed"}
ONCE_A_SESSION = {"confirmed", "reminder_day", "reminder_hour", "cancelled", "no_show", "corrected", "office_fault"}
WITH_REMINDER = {"attended", "contacted", "no_show", "no_show_proposed", "office_fault", "undetermined", "confirmed"}


def violations(fortnight):
    """Return what is wrong."""
    truth = Truth(fortnight)
    return [
        *_worlds(fortnight, truth.state),
        *fortnight.people.wrongs,
        *(f"REFUSED {flow} {fields}" for flow, fields in fortnight.clerks.refused),
        *_accounted(truth),
        *(line for life in fortnight.people.by_row.values() for line in _one_life(truth, life)),
        *_left(fortnight),
        *wrong_alarms(fortnight),
    ]


class Truth:
    """The record by person, and the script's troubles."""

    def __init__(self, fortnight):
        self.fortnight, self.script = fortnight, fortnight.script
        self.state = State(fortnight.office)
        self.requests = defaultdict(list)
        for request in self.state.requests:
            self.requests[request.row_number].append(request)
        self.bookings = defaultdict(list)
        by_id = {request.id: request.row_number for request in self.state.requests}
        for booking in sorted(self.state.bookings, key=lambda booking: booking.held_at):
            self.bookings[by_id[booking.request_id]].append(booking)

    def booking(self, life):
        """The person's last one, holds that were given up left out."""
        kept = [each for each in self.bookings[life.person.row] if each.status != "released"]
        return kept[-1] if kept else None

    def is_troubled(self, begins, ends, *kinds):
        """Tell whether one of these troubles lay on a span."""
        return any(
            trouble.at < ends and (trouble.until or trouble.at + 5 * MINUTE) > begins
            for trouble in self.script.troubles
            if trouble.kind in kinds
        )

    def calm_after(self, moment):
        """When something that is due at a moment has been done at the latest, all troubles and closed hours counted."""
        latest = self._open(moment) + SOON
        for trouble in sorted(self.script.troubles, key=lambda trouble: trouble.at):
            over = trouble.until or trouble.at + 5 * MINUTE
            if trouble.at <= latest and over > moment:
                latest = max(latest, self._open(over) + SOON)
        return latest

    def _open(self, moment):
        local = moment.astimezone(JST)
        if local.hour * 60 + local.minute > 17 * 60 + 15:
            local = (local + timedelta(days=1)).replace(hour=0, minute=0)
        while not scripts.is_open(local.date(), self.script.closures):
            local = (local + timedelta(days=1)).replace(hour=0, minute=0)
        return max(local, scripts.at(local.date(), "09:00"))


def _worlds(fortnight, state):
    people = {life.person.row: life.person.email for life in fortnight.people.lives.values()}
    taken = {each.number for each in fortnight.office.zoom.state.webhooks._sent if each.is_taken}
    to_staff = {letter.message_id for letter in fortnight.people.others}
    # What an absence or an apology has freed is not taken again when the truth comes late: the hour is over.
    given_up = {verdict.booking_id for verdict in state.verdicts if verdict.verdict in {"no_show", "office_fault"}}
    freed = {booking.reference for booking in state.bookings if booking.id in given_up}
    files = {mail.file for mail in state.mails if mail.message_id in to_staff}
    for line in violations_of_the_day(
        fortnight.office, people, fortnight.script.ends, events=len(taken), uncertain=(0, 0)
    ):
        name, subject, *_ = line.split()
        if not (name == "MAIL_UNKNOWN" and subject in files) and not (name == "OCCUPANCY" and subject in freed):
            yield line


def _accounted(truth):
    rows = {person.row: person.expected for person in truth.script.people}
    for row, expected in rows.items():
        found = [(request.outcome, request.reason) for request in truth.requests[row]]
        if found != [expected]:
            yield f"ROW {row}: {found} instead of {expected}"
    for row in truth.requests.keys() - rows.keys():
        yield f"ROW {row}: nobody applied in it"
    for file in truth.state.files:
        if file.status != "read":
            yield f"FILE {file.status}"


def _one_life(truth, life):
    row, booking = life.person.row, truth.booking(life)
    requests = truth.requests[row]
    status = requests[0].status if requests else None
    yield from _letters(life)
    if life.person.expected[0] != "accept":
        yield from _turned_away(life, status)
        return
    if booking is None:
        if status not in {"waiting", "lapsed"} or life.kinds() != ["alternatives"]:
            yield f"UNSERVED row {row}: {status}, {life.kinds()}"
        return
    yield from _told(truth, life, booking)
    yield from _judged(truth, life, booking)


def _letters(life):
    seen = Counter(
        (letter.kind, letter.reference, letter.meeting if letter.kind.startswith("reminder") else None)
        for letter in life.letters
    )
    for (kind, reference, _), number in seen.items():
        if number > 1 and kind in ONCE_A_SESSION:
            yield f"TWICE row {life.person.row}: {kind} of {reference} {number} times"
    for letter in life.letters:
        if letter.kind == "other":
            yield f"STRANGE row {life.person.row}: {letter.message_id}"


def _turned_away(life, status):
    """A row that cannot be booked leads to one mail that says so, or to a person who telephones."""
    outcome, reason = life.person.expected
    wanted = {"NON_WORKING_DAY": ["alternatives"], "OUT_OF_WINDOW": ["alternatives"]}.get(reason, ["incomplete"])
    if outcome == "needs_review":
        wanted = []
    if life.kinds() != wanted:
        yield f"ANSWER row {life.person.row} {reason}: {life.kinds()} instead of {wanted}"
    if status not in {"rejected", "waiting", "lapsed"}:
        yield f"ANSWER row {life.person.row} {reason}: {status}"


def _told(truth, life, booking):
    """Who has a session heard of it in time, was reminded of it, and the last word they have is what holds."""
    row = life.person.row
    first = next((letter for letter in life.letters if letter.kind == "confirmed"), None)
    if first is None:
        yield f"NOT_TOLD row {row}: {booking.reference}"
        return
    came = next(moment for moment, rows in truth.script.exports if rows >= row)
    if "alternatives" not in life.kinds() and first.at > truth.calm_after(came):
        yield f"TOLD_LATE row {row}: applied by {came:%d %H:%M}, told {first.at:%d %H:%M}"
    if life.person.conduct == scripts.BOUNCES:
        return
    if booking.status in WITH_REMINDER and (life.session is None or life.session[0] != booking.start_at):
        yield f"BELIEVES row {row}: {life.session} instead of {booking.start_at}"
    if booking.status == "cancelled" and life.kinds().count("cancelled") != 1:
        yield f"CANCELLED row {row}: {life.kinds()}"
    if booking.status in WITH_REMINDER and booking.start_at < truth.script.ends:
        yield from _reminded(life, booking)


def _reminded(life, booking):
    """Due, and confirmed before: exactly one of each; the day-before one by its own rule."""
    last_word = max(letter.at for letter in life.letters if letter.kind in {"confirmed", "changed"})
    for kind, due in (("reminder_hour", booking.start_at - timedelta(hours=1)), ("reminder_day", _day_before(booking))):
        found = [each for each in life.letters if each.kind == kind and each.at > last_word]
        if last_word < due and len(found) != 1:
            yield f"REMINDED row {life.person.row}: {len(found)} of {kind} for {booking.reference}"
        for letter in found:
            if not due - MINUTE <= letter.at < booking.start_at:
                yield f"REMINDED row {life.person.row}: {kind} at {letter.at:%d %H:%M}"


def _day_before(booking):
    day = booking.start_at.astimezone(JST).date() - timedelta(days=1)
    while not scripts.is_open(day, {scripts.CLOSED_LATER}):
        day -= timedelta(days=1)
    return scripts.at(day, "15:00")


def _judged(truth, life, booking):
    """The outcome is one that the person's conduct deserves, and nobody is blamed who came or called."""
    status, row = booking.status, life.person.row
    deserved = _deserved(truth, life, booking)
    if status not in deserved:
        yield f"DESERVED row {row} ({life.person.conduct}): {status} instead of {sorted(deserved)}"
    stayed_away = life.person.conduct == scripts.AWAY and not life.came
    if status in BLAMED and not stayed_away:
        yield f"WRONGED row {row} ({life.person.conduct}): {status}"
    if "no_show" in life.kinds() and not stayed_away:
        kinds = life.kinds()
        if life.person.conduct != scripts.CALLS_NOTED_LATE or "corrected" not in kinds[kinds.index("no_show") :]:
            yield f"WRONGED row {row} ({life.person.conduct}): told of an absence, {kinds}"


def _deserved(truth, life, booking):
    if booking.start_at + LIMIT > truth.script.ends:
        return {"confirmed"}
    if life.cancelled or life.closed:
        return {"cancelled"}
    conduct, start = life.person.conduct, booking.start_at
    if life.shut_out or truth.is_troubled(start - LIMIT, start + LIMIT, "zoom down"):
        return {"office_fault", "contacted", "attended", "undetermined"}
    if life.called:
        return {"contacted"}
    if conduct == scripts.HOST_NEVER and life.came:
        return {"office_fault", "contacted"}
    if life.came:
        return {"attended", "contacted"}
    if conduct == scripts.AWAY:
        return {"no_show"}
    return {"undetermined", "office_fault", "contacted"}


def _left(fortnight):
    """The list was empty when the clerks had done it for the last time."""
    for kind, subject, reason, opened in record.open_tasks(fortnight.office.record):
        if opened < fortnight.clerks.looked:
            yield f"LEFT {kind} {subject} ({reason}) since {opened.astimezone(JST):%d %H:%M}"


# --- what is said at the end


def figures(fortnight):
    """Return the lines of the summary."""
    state = State(fortnight.office)
    rows = [
        ("applications", Counter(request.status for request in state.requests)),
        ("sessions", Counter(booking.status for booking in state.bookings)),
        ("mails", Counter(letter.kind for life in fortnight.people.lives.values() for letter in life.letters)),
        ("not sent", Counter(f"{m.status} {m.reason}" for m in state.messages if m.status != "sent")),
        ("meetings", Counter(meeting.status for meeting in state.meetings)),
        ("for staff", Counter(task.kind for task in state.tasks)),
        ("runs", Counter(flow for flow, _ in fortnight.runs.elements())),
        ("failed runs", Counter(flow for flow, code in fortnight.runs.elements() if code)),
    ]
    yield from (
        f"{name:<13}{sum(counted.values()):>5}  " + ", ".join(f"{what} {n}" for what, n in sorted(counted.items()))
        for name, counted in rows
    )
    for when, flow, reasons in fortnight.failed:
        yield f"failed run   {when:%a %d %H:%M}  {flow}: {', '.join(reasons)}"
    yield from timeline(fortnight)
