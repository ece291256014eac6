"""The day of the sessions for end-to-end tests: one small office, led to a stage of its day once and copied from there.

Thirteen people (their row in the export is their name here); Wednesday 16 September 2026 is the day.

    11:00  1 both come          2 nobody comes       11:30  6 the host is late  4 waits to be let in
    12:00  5 finds it closed    3 nobody comes       13:00  7 cancels           8 is moved
    13:00  9 and 10 wait for a place                 14:00  11 (nothing is known of this session)
    Thursday  12 (its meeting vanishes at Zoom)  13
"""

import csv
import json
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx
from sqlalchemy import create_engine, make_url, select

from config.settings import ROOT
from madoguchi.adapters.prefect_server import free_port
from madoguchi.domain.office import JST
from madoguchi.sandbox.zoom_remote import ZoomRemote
from madoguchi.store.database import Database
from madoguchi.store.models import Booking, BookingRequest, Meeting
from tests.e2e.checker import Outcome
from tests.e2e.rehearsal import kill, rehearsal, until
from tests.postgres import fresh_database
from tests.world import HEADER, answer

DAY, NEXT = "2026/09/16", "2026/09/17"
WISHES = {
    1: (DAY, "11:00"), 2: (DAY, "11:00"), 3: (DAY, "12:00"), 4: (DAY, "11:30"), 5: (DAY, "12:00"), 6: (DAY, "11:30"),
    7: (DAY, "13:00"), 8: (DAY, "13:00"), 9: (DAY, "13:00"), 10: (DAY, "13:00"), 11: (DAY, "14:00"),
    12: (NEXT, "11:00"), 13: (NEXT, "11:30"),
}  # fmt: skip
PEOPLE = {row: f"kakuu{row}@example.jp" for row in WISHES}
SECRET = "webhook-secret-of-the-rehearsal"
EVENTS = 16
"""Webhooks of the morning."""


def at(text):
    """An instant of the day: "16 11:00", or "11:00" of the day itself."""
    day, _, clock = text.rpartition(" ")
    return datetime.fromisoformat(f"2026-09-{day or 16} {clock}").replace(tzinfo=JST)


class Hand:
    """A warm process that runs commands one after the other."""

    def __init__(self, office, **more):
        self._errors, self._said = office.folder / "stderr", office.folder / "stdout"
        with self._errors.open("ab") as errors:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.day_child"],
                cwd=ROOT,
                env=office.environment(**more),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )

    def ask(self, arguments, **how):
        """Order a command; do not wait."""
        self.child.stdin.write(json.dumps({"arguments": arguments, **how}).encode() + b"\n")
        self.child.stdin.flush()

    def answer(self):
        """Code and summary of what was ordered."""
        lines = [self.child.stdout.readline() for _ in range(2)]
        assert lines[1], self.errors()
        with self._said.open("ab") as said:
            said.writelines(lines)
        return json.loads(lines[1])["code"], json.loads(lines[0])

    def do(self, arguments):
        self.ask(arguments)
        return self.answer()

    def errors(self):
        return self._errors.read_text(encoding="utf-8")[-3000:]

    def close(self):
        self.child.stdin.close()
        self.child.wait(timeout=20)
        self.child.stdout.close()


@contextmanager
def hand(office, **more):
    made = Hand(office, **more)
    try:
        yield made
        made.close()
    finally:
        if made.child.poll() is None:
            kill(made.child)


def run_line(flow, as_of, **fields):
    """The arguments of `madoguchi run`."""
    sets = [part for name, value in fields.items() for part in ("--set", f"{name}={value}")]
    return ["run", flow, "--as-of", as_of.isoformat(), "--json", *sets]


@dataclass(frozen=True)
class Command:
    """What is killed: at which stage, at what time. `fields` may name a row, `{7}`, in the place of its reference."""

    stage: str
    flow: str
    as_of: datetime
    fields: tuple[tuple[str, str], ...] = ()

    def line(self, office):
        known = {str(row): reference for row, reference in references(office).items()}
        fields = {name: known.get(value.strip("{}"), value) for name, value in self.fields}
        return run_line(self.flow, self.as_of, **fields)


def _booked():
    found = {}
    for row, (day, clock) in WISHES.items():
        if row in {9, 10}:
            found[row] = Outcome("waiting", mails=("alternatives",))
        else:
            found[row] = Outcome("booked", "confirmed", f"{day[-2:]} {clock}", ("confirmed",), 1, 1)
    return found


def _told(outcomes, kind, rows):
    more = {row: outcomes[row]._replace(mails=tuple(sorted((*outcomes[row].mails, kind)))) for row in rows}
    return outcomes | more


def _judged(outcomes, verdict, rows):
    more = {row: outcomes[row]._replace(booking=verdict, verdicts=(verdict,)) for row in rows}
    return outcomes | more


def _without_meeting(outcomes, rows):
    return outcomes | {row: outcomes[row]._replace(meetings=0) for row in rows}


def expectations():
    """What must have come of everybody after each command, at its own stage."""
    reminded = _told(_booked(), "reminder_day", (1, 2, 3, 4, 5, 6, 7, 8, 11))
    given = {9: Outcome("booked", "confirmed", "16 13:00", ("alternatives", "confirmed"), 1, 1)}
    cancelled = _without_meeting(_told(reminded, "cancelled", (7,)), (7,)) | given
    cancelled[7] = cancelled[7]._replace(request="cancelled", booking="cancelled")
    moved = _told(reminded, "changed", (8,)) | given
    moved[8] = moved[8]._replace(start="16 14:30", revision=2)
    swept = _told(reminded, "reminder_hour", range(1, 7))
    for verdict, rows in (
        ("attended", (1,)), ("no_show", (3,)), ("contacted", (4,)), ("office_fault", (5,)), ("undetermined", (6,)),
        # Too late to ask Zoom about eleven o'clock: a person decides.
        ("no_show_proposed", (2,)),
    ):  # fmt: skip
        swept = _judged(swept, verdict, rows)
    swept = _told(_told(swept, "no_show", (3,)), "office_fault", (5,))
    swept = _without_meeting(swept, (3,))
    night = _told(_judged(swept, "undetermined", (7, 8, 11)), "changed", (12,))
    night = _without_meeting(night, (1, 2, 4, 5, 6, 7, 8, 11))
    night[12] = night[12]._replace(revision=2)
    return {REMINDERS: reminded, CANCEL: cancelled, MOVE: moved, SWEEP: swept, NIGHT: night}


REMINDERS = Command("booked", "send-reminders", at("15 15:05"))
CANCEL = Command(
    "reminded", "cancel-booking", at("15 15:30"),
    (("reference", "{7}"), ("received_by", "職員-7"), ("reason", "CLIENT_WISH"), ("received_at", "2026-09-15T15:25")),
)  # fmt: skip
MOVE = Command(
    "reminded", "move-booking", at("15 15:30"),
    (("reference", "{8}"), ("start", "2026-09-16T14:30"), ("received_by", "職員-7"), ("reason", "CLIENT_WISH")),
)  # fmt: skip
SWEEP = Command("tenth minute", "sweep-no-shows", at("12:11"))
NIGHT = Command("night", "reconcile-zoom", at("19:30"))


def references(office):
    """Booking reference by row."""
    database = Database(office.record)
    with database.read() as session:
        found = (
            session.execute(
                select(BookingRequest.row_number, Booking.reference).join(
                    Booking, Booking.request_id == BookingRequest.id
                )
            )
            .tuples()
            .all()
        )
    database.close()
    return dict(found)


def meetings(office):
    """Id at Zoom of the live meeting, by row."""
    database = Database(office.record)
    with database.read() as session:
        found = (
            session.execute(
                select(BookingRequest.row_number, Meeting.meeting_id)
                .join(Booking, Booking.request_id == BookingRequest.id)
                .join(Meeting, Meeting.booking_id == Booking.id)
                .where(Meeting.status == "verified")
            )
            .tuples()
            .all()
        )
    database.close()
    return dict(found)


def write_export(path):
    rows = [answer(row, day, clock) for row, (day, clock) in WISHES.items()]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([HEADER, *rows])


def prepare(office, keep):
    """Lead an office through its day; `keep` is called at each stage, with nothing running."""
    export = office.folder / "day.csv"
    write_export(export)
    _do(office, run_line("process-requests", at("14 09:00"), path=export, source="google"))
    keep("booked")
    _do(office, REMINDERS.line(office))
    keep("reminded")
    _do(office, *(run_line("send-reminders", at(clock)) for clock in ("10:05", "10:35", "11:05")))
    play_the_morning(office)
    keep("tenth minute")
    _do(office, SWEEP.line(office), run_line("sweep-no-shows", at("14:50")))
    play_the_evening(office)
    keep("night")


def _do(office, *lines):
    with hand(office) as clerk:
        for line in lines:
            code, summary = clerk.do(line)
            assert (code, summary["incomplete"]) == (0, []), (line, summary)


def play_the_morning(office):
    """Let people come or stay away. The web part answers Zoom, and is killed before it could write to the record."""
    there = meetings(office)
    port = free_port()
    with ZoomRemote(office.zoom.url) as zoom, web_part(office, port) as web:
        zoom.clock(at("12:10"))
        zoom.webhooks(f"http://127.0.0.1:{port}/zoom/webhook", SECRET)
        with locked_record(office.record):
            for row, start, come in (
                (1, "11:00", [(0, "host", "start"), (1, "guest", "join")]),
                (2, "11:00", [(0, "host", "start")]),
                (3, "12:00", [(-1, "host", "start")]),
                (4, "11:30", [(0, "host", "start"), (2, "guest", "wait")]),
                (5, "12:00", [(-2, "guest", "wait")]),
                (6, "11:30", [(8, "host", "start")]),
            ):
                zoom.people(there[row], [(at(start) + timedelta(minutes=n), who, act) for n, who, act in come])
            zoom.webhooks(mode="off")
            assert {each["code"] for each in zoom.sent()["sent"]} == {204}, zoom.sent()
            kill(web)
    assert count_spooled(office) == EVENTS, count_spooled(office)


def play_the_evening(office):
    """Let everybody go home; somebody works in Zoom's own pages."""
    there = meetings(office)
    with ZoomRemote(office.zoom.url) as zoom:
        zoom.clock(at("12:50"))
        for row, clock in ((1, "11:30"), (4, "12:00"), (6, "12:30")):
            zoom.people(there[row], [(at(clock), "host", "end")])
        zoom.vanish(there[12])


def count_spooled(office):
    """Webhooks that were answered and do not stand in the record yet."""
    return len(list((office.folder / "var" / "webhooks").glob("*.event")))


@contextmanager
def web_part(office, port, **more):
    """The process that takes webhooks, ready."""
    with (office.folder / "web.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "madoguchi.commands.web"],
            cwd=ROOT,
            env=office.environment(
                MADOGUCHI_WEB__PORT=str(port),
                MADOGUCHI_WEB__PASSWORD="of-the-day",
                MADOGUCHI_ZOOM__WEBHOOK_SECRET=SECRET,
                **more,
            ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        until(lambda: _answers(port) or child.poll() is not None, 30, "the web part is not ready")
        yield child
    finally:
        if child.poll() is None:
            kill(child)


def _answers(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False, timeout=2).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def locked_record(record, table="zoom_event"):
    """Keep everybody from writing to the table; on SQLite, to the whole record."""
    is_sqlite = make_url(record).get_backend_name() == "sqlite"
    engine = create_engine(record, **({"isolation_level": "AUTOCOMMIT"} if is_sqlite else {}))
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_sqlite else f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        yield
    engine.dispose()


class Day:
    """The stages of one office, kept; `on` gives a copy that may be spoilt."""

    def __init__(self, folder, prefect_url, *, template=None, postgres=None):
        """`template`: a migrated SQLite file; or `postgres`: a server and its migrated database."""
        self._folder, self._prefect_url = folder, prefect_url
        self._template, self._postgres = template, postgres
        self._records = {}

    @contextmanager
    def prepared(self):
        with ExitStack() as stack:
            home = self._folder / "day"
            home.mkdir(parents=True)
            with self._record(home, self._template) as record, rehearsal(home, record, self._prefect_url) as office:

                def keep(stage):
                    shutil.copytree(home, self._folder / stage)
                    if self._postgres:
                        server, _ = self._postgres
                        copied = fresh_database(server, str(make_url(record).database))
                        self._records[stage] = stack.enter_context(copied).database

                prepare(office, keep)
            yield self

    @contextmanager
    def _record(self, home, template, database=None):
        if self._postgres:
            server, migrated = self._postgres
            with fresh_database(server, database or migrated) as url:
                yield url.render_as_string(hide_password=False)
            return
        if template:
            shutil.copy(template, home / "record.db")
        yield f"sqlite:///{home / 'record.db'}"

    @contextmanager
    def on(self, command, folder):
        """A copy of the office at the command's stage, its Zoom at the command's time."""
        shutil.copytree(self._folder / command.stage, folder)
        with (
            self._record(folder, None, self._records.get(command.stage)) as record,
            rehearsal(folder, record, self._prefect_url) as office,
        ):
            office.zoom.state.set_now(command.as_of)
            yield office
