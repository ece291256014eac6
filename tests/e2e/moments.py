"""The moments at which a run is killed, how it is brought there, and the check after its rerun."""

import json
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from sqlalchemy import create_engine, make_url, select

from madoguchi.store.database import Database
from madoguchi.store.models import Booking, Meeting, RunRecord
from tests.e2e.checker import everything, result, violations
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
        with locked_record(office) if moment.locks else nullcontext():
            if moment.locks:
                # The answer comes while the mark cannot be written.
                time.sleep(1.3)
            assert child.poll() is None, "the run ended before it was killed"
            kill(child)
    assert child.returncode == -9, (office.folder / "stderr").read_text()[-3000:]
    office.heal()


@contextmanager
def locked_record(office):
    """Keep everybody from writing messages."""
    is_sqlite = make_url(office.record).get_backend_name() == "sqlite"
    engine = create_engine(office.record, **({"isolation_level": "AUTOCOMMIT"} if is_sqlite else {}))
    with engine.connect() as connection:
        lock = "BEGIN IMMEDIATE" if is_sqlite else "LOCK TABLE outbox_message IN EXCLUSIVE MODE"
        connection.exec_driver_sql(lock)
        yield
    engine.dispose()


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
