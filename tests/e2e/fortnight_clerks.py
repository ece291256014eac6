"""What the office's people do in the fortnight, by the nine forms: answer the telephone, and each afternoon what waits.

They know what anybody in the office would know: who called, what the counsellors saw. They never run a flow again.
"""

from datetime import timedelta

from madoguchi.domain.office import JST
from tests.e2e import fortnight_record as record
from tests.e2e import fortnight_script as scripts

CLERK = "職員-7"
TRIES = 12


class Clerks:
    """`refused`: forms that were not taken, however often they were handed in. `left`: kinds of work nobody does."""

    def __init__(self, fortnight):
        self.fortnight = fortnight
        self.refused, self.decided = [], []
        self.are_away, self.looked = False, fortnight.script.starts

    @property
    def _record(self):
        return self.fortnight.office.record

    def form(self, flow, fields, tries=TRIES, then=None):
        """Hand in a form; while the machine is down or the run fails, again ten minutes later."""
        if self.fortnight.has_power:
            code, _ = self.fortnight.command(flow, is_scheduled=False, **fields, received_by=CLERK)
            if code == 0:
                if then:
                    then()
                return
        if tries == 1:
            self.refused.append((flow, fields))
            return
        later = self.fortnight.time.now() + timedelta(minutes=10)
        self.fortnight.plan(later, self.form, flow, fields, tries - 1, then)

    # --- the telephone

    def telephone_rings(self, day):
        """In the morning: who wants to cancel or to move."""
        self.fortnight.people.read_mails()
        for life in self.fortnight.people.lives.values():
            if life.session is None or life.cancelled or life.moved:
                continue
            its_day = life.session[0].astimezone(JST).date()
            if life.person.conduct == scripts.CANCELS and (its_day == day or life.person.row % 2):
                self._cancel(life)
            elif life.person.conduct == scripts.MOVES and its_day > day:
                self._move(life)

    def _cancel(self, life):
        found = record.booking_of(self._record, life.person.row)
        if found:
            life.cancelled = self.fortnight.time.now()
            self.form("cancel-booking", {"reference": found[0], "reason": "CLIENT_WISH"})

    def _move(self, life):
        found = record.booking_of(self._record, life.person.row)
        start = self._free_start_after(life.session[0])
        if found and start:
            life.moved = self.fortnight.time.now()
            fields = {"reference": found[0], "start": start.astimezone(JST).isoformat(), "reason": "CLIENT_WISH"}
            self.form("move-booking", fields)

    def _free_start_after(self, moment):
        first = moment.astimezone(JST).date()
        days = [first + timedelta(days=n) for n in range(1, 12)]
        days = [day for day in days if scripts.is_open(day, self.fortnight.script.closures)]
        office = self.fortnight.day_file
        return record.free_start(
            self._record, office, days, lambda day: [scripts.at(day, clock) for clock in scripts.GRID]
        )

    def hear(self, life):
        """Somebody is on the telephone, a few minutes into their session."""
        now = self.fortnight.time.now()
        life.called.append(now)
        found = record.booking_of(self._record, life.person.row)
        fields = {"reference": found[0], "channel": "telephone", "about": "late"}
        noted = now + timedelta(minutes=1)
        if life.person.conduct == scripts.CALLS_NOTED_LATE or not self.fortnight.has_power:
            fields["received_at"] = now.astimezone(JST).isoformat()
            noted = scripts.at(now.astimezone(JST).date(), "16:30")
        self.fortnight.plan(noted, self.form, "record-contact", fields)

    def call_off(self, day):
        """The day has become a closed one: everybody with a session on it is called, and the session cancelled."""
        for row, reference in record.sessions_on(self._record, day):
            self.fortnight.people.by_row[row].closed = True
            self.form("cancel-booking", {"reference": reference, "reason": "OFFICE", "by_office": "true"})

    # --- the list of the afternoon

    def look(self):
        """Do what waits for a person."""
        if not self.fortnight.has_power or self.are_away:
            return
        self.looked = self.fortnight.time.now()
        rows = record.rows_by_reference(self._record)
        for kind, subject, reason, _ in record.open_tasks(self._record):
            life = self.fortnight.people.by_row.get(rows.get(subject))
            form = self._answer(kind, subject, reason, life)
            if form:
                self.decided.append((kind, reason, form[0], form[1].get("verdict") or form[1].get("outcome")))
                self.form(*form, 2)

    def _answer(self, kind, subject, reason, life):
        if kind in {"settle-attendance", "confirm-no-show", "evidence-after-verdict", "office-fault"}:
            verdict, why = self.truth(life)
            return "settle-attendance", {"reference": subject, "verdict": verdict, "reason": why}
        if kind == "review-request":
            return "decide-request", {
                "reference": subject, "decision": "decline", "reason": "UNREACHABLE", "tell": "telephone",
            }  # fmt: skip
        if kind in {"uncertain-message", "failed-message", "unsent-message"}:
            return "settle-message", {"message": subject, "outcome": self._fate_of(kind, subject)}
        if kind == "call-applicant":
            return "record-contact", {"reference": subject, "channel": "telephone", "about": "notice_told"}
        if kind == "call-bounced":
            return "settle-bounce", {"reference": subject, "outcome": "told"}
        return None

    def _fate_of(self, kind, message):
        """The relay's log says whether it has arrived."""
        if kind != "uncertain-message":
            return "told"
        sign = record.message_id_of(self._record, message)
        entries = self.fortnight.office.mailbox.state.entries()
        return "arrived" if any(entry.message_id == sign for entry in entries) else "send_again"

    def truth(self, life):
        """What the counsellor says, and why."""
        conduct = life.person.conduct
        if life.shut_out and not life.came:
            return "office_fault", "TECHNICAL"
        if life.called:
            return "contacted", "CHECKED_CONTACTS"
        if life.came and conduct == scripts.HOST_NEVER:
            return "office_fault", "OFFICE_TROUBLE"
        if life.came:
            return "attended", "ASKED_COUNSELLOR"
        if conduct == scripts.AWAY:
            return "no_show", "ASKED_COUNSELLOR"
        return "undetermined", "COULD_NOT_CHECK"
