"""No name, number, address, link or passcode of anybody outside the sealed columns and the mails.

Three exports, failures on purpose and the most talkative logging; then every byte that was left is searched.
"""

import base64
import csv
import json
import sqlite3
import unicodedata
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

import openpyxl
import pytest
from sqlalchemy import select

from config.settings import ROOT, SANDBOX_KEY, load_settings
from madoguchi.adapters.holidays import is_public_holiday
from madoguchi.adapters.prefect_server import environment, free_port, start_temporary_server
from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.sandbox.demo_exports import write_demo_exports
from madoguchi.store.database import Database
from madoguchi.store.models import Meeting
from madoguchi.store.vault import open_vault, parse_master_keys
from tests.e2e.rehearsal import AS_OF, FIXTURES, GOOGLE, LOGO, sqlite_rehearsal

pytestmark = [pytest.mark.prefect, pytest.mark.slow]

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
    with closing(sqlite3.connect(office.record.removeprefix("sqlite:///"))) as record, record:
        record.execute("DROP TRIGGER broken")


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
        server.stop()
        places = {**said, **files_below(folder / "p"), **files_below(folder / "office" / "var")}
        places["record.db"] = (folder / "office" / "record.db").read_bytes()
        assert any("prefect.db" in name for name in places)
        exports = [GOOGLE, LOGO, folder / "office" / "inbox" / "microsoft_forms.xlsx"]
        canaries = set().union(*map(canaries_of, exports)) | access_of(office)
        yield places, canaries, office, exports


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


def test_nothing_personal_is_left_anywhere(left):
    places, canaries, _, _ = left
    assert leaks(places, canaries) == []


def test_the_search_covered_everybody_and_every_place(left):
    places, canaries, office, exports = left
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
