"""The moments at which a run is killed, how it is brought there, and the check after its rerun."""

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from sqlalchemy import select

from madoguchi.store.database import Database
from madoguchi.store.models import Booking, Meeting, RunRecord
from tests.e2e.checker import everything, result, result_of_the_day, violations, violations_of_the_day
from tests.e2e.day_rehearsal import (
    CANCEL,
    EVENTS,
    MOVE,
    NIGHT,
    PEOPLE,
    REMINDERS,
    SWEEP,
    Command,
    expectations,
    hand,
    locked_record,
)
from tests.e2e.rehearsal import EXPECTED, kill, until

ROWS = EXPECTED["google_forms.csv"]["rows"]
NEVER = 3000
"""Seconds: longer than any test."""


def fault(op, kind, **more):
    """Order one at the stand-in Zoom."""
    return lambda office, _: office.zoom.state.faults.order({"op": op, "kind": kind, "seconds": NEVER, **more})


def mail_fault(at, kind, after, seconds=NEVER):
    """Order one at the stand-in mailbox, for one mail after so many; `after` below 0 counts from the last mail."""

    def order(office, mails):
        number = after if after >= 0 else mails + after
        office.mailbox.state.faults.order({"at": at, "kind": kind, "seconds": seconds, "after": number})

    return order


def count(office, what, **wanted):
    database = Database(office.record)
    with database.read() as session:
        rows = list(session.scalars(select(what).filter_by(**wanted)))
    database.close()
    return len(rows)


def count_runs(office, *, is_finished=None):
    """Return how many runs the record knows; `is_finished`: only those that came to their end, or did not."""
    database = Database(office.record)
    with database.read() as session:
        ends = list(session.scalars(select(RunRecord.finished_at)))
    database.close()
    return sum(is_finished in (None, end is not None) for end in ends)


def requests(op, number):
    return lambda office: office.zoom.state.requests[op] >= number


def struck(office):
    return not office.mailbox.state.faults.waiting()


def some_confirmed(office):
    return office.zoom.state.requests["get"] > 5 and count(office, Booking, status="confirmed") == 5


def read_back(office):
    return office.zoom.state.requests["get"] >= 1 and count(office, Meeting, status="created") >= 1


@dataclass(frozen=True)
class Moment:
    """When the process dies.

    `statement`: it is killed around this SQL statement (before or after, the how manieth). `arrange` and `is_here`:
    a fault that freezes it, and how to see that it is frozen. `locks`: the record is locked once the fault has struck.
    `uncertain`: messages in doubt afterwards, `arrived` of them lie in the mailbox.
    """

    statement: str = ""
    when: str = "before"
    nth: int = 1
    chunk: int = 0
    arrange: Callable = lambda _office, _mails: None
    is_here: Callable = lambda _office: False
    locks: bool = False
    uncertain: tuple[int, int] = (0, 0)
    arrived: tuple[int, int] = (0, 0)


QUICK = (
    "some rows settled, others staged",
    "slots given, not committed",
    "Zoom has created, has not answered",
    "five sessions confirmed, the others not",
    "354 given, the first body not",
    "the final dot given, the mail stored, its 250 not given",
    "after the last mail, before the end of the run",
)
"""One of each kind, in every run of the tests; all of them, on both databases: `make chaos`."""

ONE, NONE, PERHAPS = (1, 1), (0, 0), (0, 1)

MOMENTS = {
    "while rows are staged, one transaction of several committed": Moment(
        r"INSERT INTO booking_request\b", "after", 2, chunk=20
    ),
    "all rows staged, none settled": Moment(r"UPDATE booking_request SET.*outcome", chunk=20),
    "some rows settled, others staged": Moment(r"UPDATE booking_request SET.*outcome", "after", 2, chunk=20),
    "all rows settled, the file not closed": Moment(r"UPDATE export_file SET status"),
    "settled, nothing scheduled": Moment(r"INSERT INTO booking \("),
    "slots given, not committed": Moment(r"INSERT INTO booking \(", "after"),
    "creations in flight, Zoom has not acted": Moment(
        arrange=fault("create", "latency", times=None), is_here=requests("create", 8)
    ),
    "Zoom has created, has not answered": Moment(
        arrange=fault("create", "timeout_after_act", times=None),
        is_here=lambda office: len(list(office.zoom.state.everything())) >= 8,
    ),
    "ids kept, reading back in flight": Moment(arrange=fault("get", "latency", times=None), is_here=read_back),
    "five sessions confirmed, the others not": Moment(
        arrange=fault("get", "latency", times=None, after=5), is_here=some_confirmed
    ),
    "mails claimed, MAIL FROM not answered": Moment(arrange=mail_fault("MAIL", "hang", 0), is_here=struck),
    "the eighth MAIL FROM not answered, the seventh mail's 250 not recorded": Moment(
        arrange=mail_fault("MAIL", "hang", 7), is_here=struck, uncertain=ONE, arrived=ONE
    ),
    "354 given, the first body not": Moment(arrange=mail_fault("DATA", "latency", 0, 1.0), is_here=struck, locks=True),
    "a body given, the relay has not stored it": Moment(
        arrange=mail_fault("dot", "hang", 3), is_here=struck, uncertain=ONE
    ),
    "the final dot given, the mail stored, its 250 not given": Moment(
        arrange=mail_fault("dot", "latency", 4), is_here=struck, uncertain=ONE, arrived=ONE
    ),
    "in the middle of the mails": Moment(
        is_here=lambda office: len(office.mailbox.state.entries()) >= 12, uncertain=PERHAPS, arrived=PERHAPS
    ),
    "the last mail stored, its 250 not given": Moment(
        arrange=mail_fault("dot", "latency", -1), is_here=struck, uncertain=ONE, arrived=ONE
    ),
    "after the last mail, before the end of the run": Moment(r"UPDATE run_record SET"),
}


def die(office, moment, mails):
    """Let the run die at the moment."""
    moment.arrange(office, mails)
    order = {"statement": moment.statement, "when": moment.when, "count": moment.nth}
    more = {"MADOGUCHI_TEST_KILL": json.dumps(order)} if moment.statement else {}
    if moment.chunk:
        more["MADOGUCHI_TEST_CHUNK"] = str(moment.chunk)
    child = office.start(**more)
    if moment.statement:
        child.communicate(timeout=60)
    else:
        until(lambda: moment.is_here(office) or child.poll() is not None, 60, "the moment did not come")
        with locked_record(office.record, "outbox_message") if moment.locks else nullcontext():
            if moment.locks:
                # The answer comes while the mark cannot be written.
                time.sleep(1.3)
            assert child.poll() is None, "the run ended before it was killed"
            kill(child)
    assert child.returncode == -9, (office.folder / "stderr").read_text()[-3000:]
    office.heal()


def check_moment(office, moment, undisturbed):
    expected, mails = undisturbed.result, undisturbed.mails
    die(office, moment, mails)
    with office.runs() as again:
        code, summary = again()
        found = violations(office, ROWS, uncertain=moment.uncertain, arrived=moment.arrived)
        assert found == [], found
        assert result(office) == expected, (result(office), expected)
        doubtful = [each for each in summary["incomplete"] if each["reason"] == "RUNNER_DIED"]
        assert summary["incomplete"] == doubtful, summary
        assert code == (1 if doubtful else 0), (code, summary)
        assert mails - len(doubtful) <= len(office.mailbox.state.entries()) <= mails
        before = everything(office)
        code, summary = again()
        assert (code, summary["incomplete"], summary["counts"]["new"]) == (0, [], 0)
        assert everything(office) == before


# --- the day of the sessions


@dataclass(frozen=True)
class DayMoment(Moment):
    """The same for a command of the day. `chunk`: sessions a transaction. `quick`: in `make test` too."""

    command: Command = REMINDERS
    quick: bool = False


def made(office):
    return len(list(office.zoom.state.everything()))


def gone(number):
    return lambda office: sum(is_deleted for _, _, is_deleted, _ in office.zoom.state.everything()) >= number


RUNNING = 5
"""Meetings at the tenth minute."""


def one_ended(office):
    running = [status for _, status, _, _ in office.zoom.state.everything() if status == "started"]
    assert len(running) <= RUNNING
    return len(running) < RUNNING


HANGING_DELETE = fault("delete", "timeout_after_act", times=None)
TO_REMOVE = r"meeting\.status = 'unwanted'"
MEETING = r"INSERT INTO meeting \("

DAY_MOMENTS = {
    "reminders queued, none claimed": DayMoment(r"UPDATE outbox_message SET.*claim_owner"),
    "354 given to the third reminder, its body not": DayMoment(
        arrange=mail_fault("DATA", "latency", 2, 1.0), is_here=struck, locks=True, uncertain=PERHAPS, arrived=PERHAPS
    ),
    "a reminder's body given, the relay has not stored it": DayMoment(
        arrange=mail_fault("dot", "hang", 3), is_here=struck, uncertain=ONE
    ),
    "a reminder's final dot given, its 250 not": DayMoment(
        arrange=mail_fault("dot", "latency", 4), is_here=struck, uncertain=ONE, arrived=ONE, quick=True
    ),
    "webhooks in the record, their files still there": DayMoment(r"FROM mail_template", command=SWEEP, quick=True),
    "sessions judged in the second batch of three, not committed": DayMoment(
        r"INSERT INTO verdict\b", "after", 2, chunk=2, command=SWEEP, quick=True
    ),
    "sessions judged, nothing removed, nothing sent": DayMoment(TO_REMOVE, command=SWEEP),
    "the meeting of an absence ended for everybody, not deleted": DayMoment(
        arrange=fault("status", "timeout_after_act", times=None), is_here=one_ended, command=SWEEP, quick=True
    ),
    "the meeting of an absence deleted, not recorded": DayMoment(
        arrange=HANGING_DELETE, is_here=gone(1), command=SWEEP
    ),
    "the second mail of the verdicts stored, its 250 not given": DayMoment(
        arrange=mail_fault("dot", "latency", 1), is_here=struck, uncertain=ONE, arrived=ONE, command=SWEEP
    ),
    "cancelled, its meeting still there": DayMoment(TO_REMOVE, command=CANCEL),
    "the cancelled meeting deleted, not recorded": DayMoment(
        arrange=HANGING_DELETE, is_here=gone(1), command=CANCEL, quick=True
    ),
    "the freed slot being given, not committed": DayMoment(r"INSERT INTO booking \(", "after", command=CANCEL),
    "the freed slot given, its meeting not claimed": DayMoment(MEETING, command=CANCEL, quick=True),
    "the freed slot given, its meeting created, not answered": DayMoment(
        arrange=fault("create", "timeout_after_act", times=None),
        is_here=lambda office: made(office) == 12,
        command=CANCEL,
    ),
    "the cancellation's mail stored, its 250 not given": DayMoment(
        arrange=mail_fault("dot", "latency", 0), is_here=struck, uncertain=ONE, arrived=ONE, command=CANCEL
    ),
    "moved, the freed slot not given": DayMoment(r"INSERT INTO booking \(", command=MOVE),
    "the moved session's meeting not claimed": DayMoment(MEETING, command=MOVE),
    "the moved session's meeting created, not read back": DayMoment(
        arrange=fault("get", "latency", times=None), is_here=read_back, command=MOVE, quick=True
    ),
    "moved and confirmed, the old meeting still there": DayMoment(TO_REMOVE, command=MOVE),
    "the old meeting deleted, not recorded": DayMoment(arrange=HANGING_DELETE, is_here=gone(1), command=MOVE),
    "participants of half the sessions read": DayMoment(
        arrange=fault("past_people", "latency", times=None, after=1), is_here=requests("past_people", 2), command=NIGHT
    ),
    "a session whose meeting vanished held again, no new one": DayMoment(MEETING, command=NIGHT),
    "meetings of sessions that are over deleted, not recorded": DayMoment(
        # The absence and the one that vanished are gone already.
        arrange=HANGING_DELETE, is_here=gone(3), command=NIGHT, quick=True
    ),
    "the new link's mail stored, its 250 not given": DayMoment(
        arrange=mail_fault("dot", "latency", 0), is_here=struck, uncertain=ONE, arrived=ONE, command=NIGHT
    ),
}  # fmt: skip


def die_on_the_day(office, moment, child, line):
    """Let the command die at the moment; the child is warm."""
    moment.arrange(office, 0)
    order = {"statement": moment.statement, "when": moment.when, "count": moment.nth} if moment.statement else None
    child.ask(line, kill=order, chunk=moment.chunk)
    process = child.child
    if moment.statement:
        process.wait(timeout=60)
    else:
        until(lambda: moment.is_here(office) or process.poll() is not None, 60, "the moment did not come")
        with locked_record(office.record, "outbox_message") if moment.locks else nullcontext():
            if moment.locks:
                time.sleep(1.3)
            assert process.poll() is None, f"the command ended before it was killed: {child.errors()}"
            kill(process)
    assert process.returncode == -9, child.errors()
    office.heal()


def check_day_moment(day, moment, folder):
    """Kill the command at the moment, give it again, compare the three worlds, and once more."""
    with day.on(moment.command, folder) as office:
        line = moment.command.line(office)
        # The second one warms up beside the first.
        with hand(office) as first, hand(office) as second:
            die_on_the_day(office, moment, first, line)
            check_rerun(office, moment.command, second, line, moment.uncertain, moment.arrived)


def check_rerun(office, command, child, line, uncertain, arrived):
    """Give the command again and compare; then once more, which may change nothing. Returns how many are in doubt."""
    code, summary = child.do(line)
    doubtful = [each for each in summary["incomplete"] if each["reason"] == "RUNNER_DIED"]
    assert summary["incomplete"] == doubtful, summary
    assert code == (1 if doubtful else 0), (code, summary)
    is_swept = command in {SWEEP, NIGHT}
    found = violations_of_the_day(
        office, PEOPLE, command.as_of if is_swept else None, events=EVENTS if is_swept else 0,
        uncertain=uncertain, arrived=arrived,
    )  # fmt: skip
    assert found == [], found
    expected, came = expectations()[command], result_of_the_day(office)
    assert came == expected, {
        row: (came.get(row), wanted) for row, wanted in expected.items() if came.get(row) != wanted
    }
    before = everything(office)
    code, summary = child.do(line)
    assert (code, summary["incomplete"]) == (0, []), summary
    assert everything(office) == before
    return len(doubtful)
