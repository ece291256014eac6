"""No name, number, address, link or passcode of anybody outside the sealed columns and the mails.

Three exports, a day of sessions with everything that is done on it, failures on purpose and the most talkative logging;
then every byte that was left is searched.
"""

import base64
import csv
import json
import sqlite3
import time
import unicodedata
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import partial
from html import escape
from urllib.parse import quote

import httpx
import openpyxl
import pytest
from sqlalchemy import select

from config.settings import ROOT, SANDBOX_KEY, load_settings
from madoguchi.adapters.holidays import is_public_holiday
from madoguchi.adapters.prefect_server import environment, free_port, start_temporary_server
from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.zoom_signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, signature
from madoguchi.sandbox.demo_exports import write_demo_exports
from madoguchi.store.database import Database
from madoguchi.store.models import Meeting, ZoomEventRecord
from madoguchi.store.vault import open_vault, parse_master_keys
from tests.e2e.checker import State
from tests.e2e.day_rehearsal import (
    CANCEL,
    NIGHT,
    SECRET,
    at,
    count_spooled,
    hand,
    locked_record,
    meetings,
    prepare,
    references,
    run_line,
    web_part,
)
from tests.e2e.rehearsal import AS_OF, FIXTURES, GOOGLE, LOGO, kill, sqlite_rehearsal, until
from tests.webhook_help import event

# Two whole days with every library talking; the small fortnight of `make test` ends with the same search.
pytestmark = [pytest.mark.prefect, pytest.mark.slow, pytest.mark.chaos]

TALKATIVE = {
    "PREFECT_LOGGING_LEVEL": "DEBUG",
    "PREFECT_SERVER_LOGGING_LEVEL": "DEBUG",
    "PREFECT_INTERNAL_LOGGING_LEVEL": "DEBUG",
    **{f"PREFECT_LOGGING_LOGGERS_{name}_LEVEL": "DEBUG" for name in ("MADOGUCHI", "TASKS", "FLOWS")},
}
EVERY_LIBRARY = {"PREFECT_LOGGING_ROOT_LEVEL": "DEBUG"}
PERSONAL = ("名前", "氏名", "フリガナ", "求職番号", "メール", "電話", "同席者", "要望", "備考")
IMPERSONAL = {"", "なし", "-", "無し", "ー", "あり", "anonymous"}
LOUD = "見本 花子 mihon.hanako@example.jp 99999-90000001"
PLANTED = ("植込 見張子", "uekomi.miharuko@example.com")
"""What somebody calls themselves in Zoom, and the address that Zoom knows of them."""


def cells_of(path):
    """Yield header and value of every cell of an export."""
    if path.suffix == ".xlsx":
        book = openpyxl.load_workbook(path)
        rows = [["" if cell is None else str(cell) for cell in row] for row in book.active.iter_rows(values_only=True)]
        book.close()
    else:
        text = path.read_bytes().decode("cp932" if path == LOGO or path.name == "logo_form.csv" else "utf-8-sig")
        rows = list(csv.reader(text.splitlines(keepends=True)))
    for row in rows[1:]:
        yield from zip(rows[0], row, strict=False)


def canaries_of(path):
    """Return every personal value of an export, as it stands there and as programs would write it."""
    found = set()
    for header, raw in cells_of(path):
        if not any(word in header for word in PERSONAL):
            continue
        for value in (raw, unicodedata.normalize("NFKC", raw)):
            plain = " ".join(value.split())
            forms = {value.strip(), plain, "".join(plain.split())}
            if any(word in header for word in ("求職番号", "電話")):
                digits = "".join(char for char in plain if char.isdecimal())
                # Seven digits of 9.9999E+12 also stand in "slept 9.9999912 s".
                forms |= {digits} if len(digits) >= 9 else set()
            found |= {form for form in forms if form not in IMPERSONAL and is_telling(form)}
    return found


def is_telling(form):
    """Leave out what anybody could write: too few digits or letters."""
    return len(form) >= (7 if form.isascii() else 3)


def access_of(office):
    """Return links and passcodes of every meeting in the record."""
    database = Database(office.record)
    with database.write() as session:
        vault = open_vault(session, parse_master_keys(SANDBOX_KEY), datetime.now(UTC))
        sealed = session.execute(select(Meeting.id, Meeting.sealed_access)).all()
        opened = [vault.open_json(access, f"meeting.sealed_access.{row}") for row, access in sealed]
    database.close()
    return {value for access in opened for value in access.values()}


def written(canary):
    """Return the bytes that this may have become: in JSON, URLs, HTML, base64, in Japan's older code."""
    forms = {
        canary.encode(),
        json.dumps(canary)[1:-1].encode(),
        json.dumps(json.dumps(canary)[1:-1])[1:-1].encode(),
        quote(canary).encode(),
        escape(canary).encode(),
        base64.b64encode(canary.encode()).rstrip(b"=")[:-1],
        repr(canary)[1:-1].encode(),
    }
    return forms | {canary.encode("cp932", "ignore")}


def leaks(places, canaries):
    """Return where which canary lies: (place, canary)."""
    patterns = [(form, canary) for canary in sorted(canaries) for form in written(canary) if len(form) >= 5]
    return [(name, canary) for name, data in places.items() for form, canary in patterns if form in data]


def files_below(folder):
    """Return the bytes of every file: databases with every table and page, logs, storage."""
    return {str(path.relative_to(folder.parent)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def break_table(office, table, event):
    """Let the database refuse, with a text that quotes somebody, as PostgreSQL does in its details."""
    path = office.record.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as record, record:
        record.execute(f"CREATE TRIGGER broken BEFORE {event} ON {table} BEGIN SELECT RAISE(ABORT, '{LOUD}'); END")


def mend(office):
    with closing(sqlite3.connect(office.record.removeprefix("sqlite:///"), isolation_level=None)) as record:
        # The trigger's own text is ours: nothing of it may lie about in free pages when the record is searched.
        record.execute("PRAGMA secure_delete=ON")
        record.execute("DROP TRIGGER broken")
        record.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.fixture(scope="module")
def left(tmp_path_factory, sqlite_template):
    """Everything that was left of a bad day: the places by name, the canaries, the office."""
    folder = tmp_path_factory.mktemp("privacy")
    variables = environment(folder / "p", "127.0.0.1", free_port(), ROOT / "config" / "prefect_logging.yml", given={})
    server = start_temporary_server({**variables, **TALKATIVE}, folder / "p" / "log" / "server.log")
    with ExitStack() as stack:
        stack.callback(server.stop)
        server.wait_until_ready()
        office = stack.enter_context(sqlite_rehearsal(folder / "office", sqlite_template, server.url))
        said = a_bad_day(office, folder / "office" / "inbox")
        day = stack.enter_context(sqlite_rehearsal(folder / "day", sqlite_template, server.url))
        said |= a_day_of_sessions(day)
        server.stop()
        places = {**said, **files_below(folder / "p")}
        for each in (office, day):
            places |= files_below(each.folder / "var")
            places |= {str(path.relative_to(folder)): path.read_bytes() for path in each.folder.glob("record.db*")}
        assert any("prefect.db" in name for name in places)
        exports = [GOOGLE, LOGO, folder / "office" / "inbox" / "microsoft_forms.xlsx", day.folder / "day.csv"]
        canaries = set().union(*map(canaries_of, exports)) | access_of(office) | access_of(day) | set(PLANTED)
        yield places, canaries, office, exports, day


def a_bad_day(office, inbox):
    """Run everything that goes well or wrong, and return what was said."""
    calendar = OfficeCalendar(load_settings().office, is_public_holiday)
    microsoft = write_demo_exports(inbox, calendar, datetime.fromisoformat(AS_OF)).microsoft
    headless = inbox / "headless.csv"
    headless.write_text("\n".join(GOOGLE.read_text(encoding="utf-8").splitlines()[2:]), encoding="utf-8")
    torn = inbox / "torn.xlsx"
    torn.write_bytes(microsoft.read_bytes()[:3000])
    runs = []

    def run(name, path, source, code):
        done = office.process(path, source, **TALKATIVE, **EVERY_LIBRARY)
        runs.append((name, done))
        assert done.returncode == code, (name, done.stderr[-2000:])

    break_table(office, "booking_request", "INSERT")
    run("the database refuses applications", GOOGLE, "google", 1)
    mend(office)
    office.mailbox.state.faults.order({"at": "RCPT", "kind": "5xx", "times": 2})
    office.mailbox.state.faults.order({"at": "MAIL", "kind": "421", "times": None, "after": 6})
    run("the relay is down", GOOGLE, "google", 1)
    office.heal()
    break_table(office, "outbox_message", "UPDATE")
    run("the database refuses messages", GOOGLE, "google", 1)
    mend(office)
    run("all is well again", GOOGLE, "google", 0)
    office.zoom.state.faults.order({"op": "create", "kind": "429_second", "times": 3})
    office.zoom.state.faults.order({"op": "get", "kind": "500", "times": None})
    run("Zoom stumbles", LOGO, "logo", 1)
    office.heal()
    run("Zoom works", LOGO, "logo", 0)
    run("the third form", microsoft, "microsoft", 0)
    run("a file without its header", headless, "google", 1)
    run("a torn workbook", torn, "microsoft", 1)
    for kind in ("requests", "bookings", "meetings", "messages"):
        how = ["--json"] if kind in {"requests", "meetings"} else []
        runs.append((f"list {kind}", office.madoguchi("list", kind, *how)))
    runs.append(("check", office.madoguchi("check")))
    said = {}
    for name, done in runs:
        said[f"stdout of {name}"], said[f"stderr of {name}"] = done.stdout.encode(), done.stderr.encode()
    return said


def a_day_of_sessions(office):
    """Do everything that is done on a day, well or not, and return what was said or lay about on the way."""
    office.environment = partial(office.environment, **TALKATIVE, **EVERY_LIBRARY)
    spool = {}

    def between(stage):
        if stage == "reminded":
            forms_of_the_day_before(office)
        if stage == "tenth minute":
            spool.update(planted_webhooks(office))
            forms_at_the_tenth_minute(office)

    prepare(office, between)
    forms_of_the_evening(office)
    logs = {f"{name} of the day": (office.folder / name).read_bytes() for name in ("stdout", "stderr", "web.log")}
    return logs | spool


def give(office, *forms):
    """Hand in forms: flow, time, expected exit code, fields; `row` stands for the reference of its booking."""
    known = references(office)
    with hand(office) as clerk:
        for flow, as_of, expected, fields in forms:
            given = {**fields, "received_by": "職員-7"}
            if "row" in given:
                given["reference"] = known[given.pop("row")]
            code, summary = clerk.do(run_line(flow, as_of, **given))
            assert code == expected, (flow, summary, clerk.errors())


def forms_of_the_day_before(office):
    """A cancellation while the relay fails, then again; three that are refused."""
    office.mailbox.state.faults.order({"at": "RCPT", "kind": "5xx", "times": 1})
    office.mailbox.state.faults.order({"at": "MAIL", "kind": "421", "times": None})
    cancelled = {name: value for name, value in CANCEL.fields if name not in {"reference", "received_by"}}
    afternoon = CANCEL.as_of
    give(office, ("cancel-booking", afternoon, 1, {"row": 7, **cancelled}))
    office.heal()
    give(
        office,
        ("cancel-booking", afternoon, 0, {"row": 7, **cancelled}),
        ("cancel-booking", afternoon, 1, {"row": 7, "reason": "OTHER"}),
        ("move-booking", afternoon, 1, {"row": 8, "start": "2026-09-20T11:00", "reason": "CLIENT_WISH"}),
        ("settle-attendance", afternoon, 1, {"row": 8, "verdict": "attended", "reason": "ASKED_CLIENT"}),
    )


def planted_webhooks(office):
    """Let Zoom tell of somebody by name and address, also what nobody understands; return what waited in the spool."""
    known, port = meetings(office), free_port()
    at_noon = at("12:01")
    bodies = [
        event(meeting=known[8], at=at_noon, guest="77"),
        event("meeting.participant_waved", meeting=known[8], at=at_noon),
        event(meeting="81234567890", at=at_noon),
        json.dumps({"event": 7, "payload": [*PLANTED]}, ensure_ascii=False).encode(),
    ]
    bodies = [body.replace("架空 七海".encode(), PLANTED[0].encode()) for body in bodies]
    bodies = [body.replace(b"nanami@example.jp", PLANTED[1].encode()) for body in bodies]
    assert all(PLANTED[1].encode() in body for body in bodies)
    with web_part(office, port, **TALKATIVE) as web:
        until(lambda: count_spooled(office) == 0, 30, "the web part did not take in what waited")
        with locked_record(office.record):
            for body in bodies:
                assert post(port, body, SECRET) == 204
            assert post(port, bodies[0], "of-somebody-else") == 401
            kept = files_below(office.folder / "var" / "webhooks")
            assert count_spooled(office) == len(bodies)
        kill(web)
    return {f"while it waits: {name}": name.encode() + b"\n" + content for name, content in kept.items()}


def post(port, body, secret):
    stamp = str(int(time.time()))
    headers = {SIGNATURE_HEADER: signature(secret, stamp, body), TIMESTAMP_HEADER: stamp}
    return httpx.post(
        f"http://127.0.0.1:{port}/zoom/webhook", content=body, headers=headers, trust_env=False
    ).status_code


def forms_at_the_tenth_minute(office):
    give(
        office,
        ("record-contact", at("12:05"), 0, {"row": 6, "channel": "telephone", "about": "late"}),
        ("check-in", at("12:06"), 0, {"row": 3, "who": "client_not_seen"}),
    )


def forms_of_the_evening(office):
    """Late truth about an absence, decisions, and the night with a Zoom that fails once."""
    late = {"row": 3, "channel": "telephone", "about": "late", "received_at": "2026-09-16T12:05"}
    give(
        office,
        ("record-contact", at("17:00"), 0, late),
        ("settle-attendance", at("17:01"), 0, {"row": 11, "verdict": "attended", "reason": "ASKED_COUNSELLOR"}),
        ("set-restriction", at("17:02"), 0,
         {"row": 3, "action": "restrict", "reason": "REPEATED_NO_SHOW", "ground": "ART_6_3"}),
        ("book-in-session", at("17:03"), 0, {"row": 1, "start": "2026-09-30T11:00"}),
    )  # fmt: skip
    office.zoom.state.faults.order({"op": "list", "kind": "500", "times": 3})
    break_table(office, "audit", "INSERT")
    with hand(office) as clerk:
        assert clerk.do(NIGHT.line(office))[0] == 1
        mend(office)
        assert clerk.do(NIGHT.line(office))[0] == 0


def test_nothing_personal_is_left_anywhere(left):
    places, canaries, *_ = left
    assert leaks(places, canaries) == []


def test_the_search_covered_everybody_and_every_place(left):
    places, canaries, office, exports, _ = left
    rows = {row["normalized"]["name"] for row in fixture_rows() if row["normalized"] and row["normalized"]["name"]}
    assert {"".join(name.split()) for name in rows} <= canaries
    assert sum(canary.startswith("https://") for canary in canaries) > 30
    assert len(canaries) > 400
    # What has them is found to have them: the exports, the mails, the stand-in Zoom.
    in_exports = {canary for path in exports[:2] for _, canary in leaks({"": path.read_bytes()}, canaries)}
    assert len(in_exports) > 250
    mails = {mail.entry.file: mail.content for mail in office.mailbox.state.mails()}
    assert len({name for name, _ in leaks(mails, canaries)}) > 20
    for name in ("prefect.db", "server.log", "record.db", "stderr of the relay is down"):
        assert any(name in place for place in places), name
    assert b"StepError" in places["stderr of the database refuses applications"]
    assert len(places["stderr of all is well again"]) > 20_000, "the logging was talkative"


def test_the_day_had_every_verdict_and_what_was_planted_is_where_it_belongs(left):
    places, canaries, _, _, day = left
    state = State(day)
    assert {row.verdict for row in state.verdicts} == {
        "attended", "contacted", "no_show", "no_show_proposed", "office_fault", "undetermined",
    }  # fmt: skip
    kinds = {message.kind for message in state.messages if message.status == "sent"}
    assert {"reminder_day", "reminder_hour", "cancelled", "no_show", "office_fault", "corrected", "changed"} <= kinds
    assert {each.outcome for each in state.events} == {"evidence", "unknown_event", "unknown_meeting", "unreadable"}
    assert sum(found in canaries for found in PLANTED) == 2
    opened = b"\n".join(bodies_of(day))
    assert {canary for _, canary in leaks({"": opened}, set(PLANTED))} == set(PLANTED)
    mails = {mail.entry.file: mail.content for mail in day.mailbox.state.mails()}
    assert len({name for name, _ in leaks(mails, canaries_of(day.folder / "day.csv"))}) == len(mails)
    for name in ("stdout of the day", "stderr of the day", "web.log of the day", "while it waits", "day/record.db"):
        assert any(name in place for place in places), name
    assert len(places["stderr of the day"]) > 20_000, "the logging was talkative"


def bodies_of(office):
    """Return the webhooks of the record, opened."""
    database = Database(office.record)
    with database.write() as session:
        vault = open_vault(session, parse_master_keys(SANDBOX_KEY), datetime.now(UTC))
        rows = session.execute(select(ZoomEventRecord.id, ZoomEventRecord.sealed_body)).all()
        opened = [vault.open(body, f"zoom_event.sealed_body.{row}") for row, body in rows]
    database.close()
    return opened


def fixture_rows():
    files = json.loads((FIXTURES / "expected.json").read_text(encoding="utf-8"))["files"]
    return [row for file in files.values() for row in file["rows"]]


@pytest.mark.parametrize("write", [
    str.encode,
    lambda text: json.dumps({"message": text}).encode(),
    lambda text: json.dumps(json.dumps({"message": text})).encode(),
    lambda text: quote(text).encode(),
    lambda text: base64.b64encode(text.encode()),
    lambda text: text.encode("cp932"),
])  # fmt: skip
@pytest.mark.parametrize(
    "canary", ["見本花子", "ミホン ハナコ", "99999-90000001", "9999990000001", "https://zoom.example.jp/j/8?pwd=a.b"]
)
def test_the_search_finds_what_is_planted(write, canary):
    assert ("log", canary) in leaks({"log": b"begin " + write(canary) + b" end"}, {canary, "架空 太郎"})
