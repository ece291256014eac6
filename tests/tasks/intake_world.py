"""A world with a record and nothing else, for tests of intake: reading, looking at the record, comparing two."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import select

from config.office_file import read_office
from madoguchi.adapters.form_export import load_mapping
from madoguchi.adapters.holidays import is_public_holiday
from madoguchi.adapters.mail_templates import TemplateStore
from madoguchi.adapters.terms_files import read_terms
from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.store.database import Database
from madoguchi.store.models import Audit, Base, BookingRequest, Consent, OutboxMessage, StaffTask
from madoguchi.store.terms import TermsFacts, register_terms
from madoguchi.store.vault import MasterKey, open_vault
from tasks.intake import FileReport, receive_export
from tasks.wiring import SANDBOX_JOIN_HOSTS, Run, Services
from tests.intake_help import AS_OF, FIXTURES, ROOT

NOW = AS_OF + timedelta(seconds=30)
SOURCES = {"google_forms.csv": "google", "logo_form.csv": "logo"}
with (FIXTURES / "google_forms.csv").open(encoding="utf-8", newline="") as _file:
    HEADER, *FIXTURE_ROWS = csv.reader(_file)


class Crash(BaseException):
    """The process dies here."""


def crashing_clock(calls: int) -> Callable[[], datetime]:
    """Return a clock that lets the process die at the given call."""
    left = [calls]

    def clock() -> datetime:
        left[0] -= 1
        if left[0] == 0:
            raise Crash
        return NOW

    return clock


def build_world(database: Database, clock: Callable[[], datetime] = lambda: NOW) -> Services:
    """Return services over a database; Zoom and mail are not to be asked for."""
    office = read_office(ROOT / "config" / "office.toml", sandbox=True)
    with database.write() as session:
        vault = open_vault(session, (MasterKey(b"k" * 32),), NOW)
        terms = [
            TermsFacts(v.document, v.code, v.sha256, v.enacted_on, v.effective_at, v.url)
            for v in read_terms(ROOT / "config" / "terms")
        ]
        register_terms(session, office.code, terms)
    return Services(
        office=office,
        calendar=OfficeCalendar(office, is_public_holiday),
        database=database,
        vault=vault,
        templates=TemplateStore(ROOT / "templates", join_hosts=SANDBOX_JOIN_HOSTS),
        mappings={path.stem: load_mapping(path) for path in sorted((ROOT / "config" / "forms").glob("*.toml"))},
        inbox=Path("unused"),
        clock=clock,
        owner="test",
        make_zoom=_nobody,
        make_mailer=_nobody,
        join_hosts=SANDBOX_JOIN_HOSTS,
    )


def _nobody() -> NoReturn:
    raise AssertionError("intake has nothing to send")


def receive(services: Services, path: Path, source: str | None = None, as_of: datetime = AS_OF) -> FileReport:
    run = Run("process-requests", as_of, NOW, actor="test")
    return receive_export(services, run, path, services.mappings[source or SOURCES.get(path.name, "google")])


def write_rows(path: Path, rows: Iterable[Sequence[str]], *, encoding: str = "utf-8", line_end: str = "\n") -> Path:
    """Write a Google export as Google does."""
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator=line_end).writerows([HEADER, *rows])
    return path


def answer(number: int, **changes: str) -> list[str]:
    """Return a row that is accepted; `changes` by field."""
    cells = {
        "submitted": f"2026/09/10 9:{number % 60:02d}:{number // 60:02d} 午前 GMT+9",
        "email": f"kakuu{number:04d}@example.jp",
        "name": "架空 七海",
        "kana": "カクウ ナナミ",
        "number": f"99999-9100{number:04d}",
        "registration": "ハローワーク利用登録者",
        "day": "2026/09/24",
        "clock": "11:00",
        "second": "",
        "topics": "求人の相談",
        "companion": "なし",
        "phone": "",
        "consent": "確認し、同意します",
        "remarks": "",
    }
    assert not changes.keys() - cells.keys()
    return list((cells | changes).values())


def requests(database: Database) -> list[BookingRequest]:
    with database.read() as session:
        return list(session.scalars(select(BookingRequest).order_by(BookingRequest.file_id, BookingRequest.row_number)))


def dump(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table."""
    with database.read() as session:
        return {
            table.name: sorted((tuple(row) for row in session.execute(select(table))), key=repr)
            for table in Base.metadata.sorted_tables
        }


def meaning(database: Database) -> Mapping[str, Any]:
    """Return what the record says, without ids, random references and the order of reading: two records compare."""
    with database.read() as session:
        rows = session.scalars(select(BookingRequest)).all()
        name = {row.reference: (row.digest.hex(), row.occurrence) for row in rows}
        ids = {row.id: name[row.reference] for row in rows}
        return {
            "requests": sorted(
                (
                    name[row.reference],
                    (row.outcome, row.reason, row.status, sorted(row.flags)),
                    name.get(row.relates_to or ""),
                    row.client_id is not None,
                    row.wishes,
                )
                for row in rows
            ),
            "consents": sorted((ids[c.request_id], c.document, c.basis) for c in session.scalars(select(Consent))),
            "tasks": sorted(
                (name[t.subject], t.kind, t.reason or "", t.closed_at is None)
                for t in session.scalars(select(StaffTask))
            ),
            "mails": sorted(
                (ids[m.request_id or ""], m.kind, m.status) for m in session.scalars(select(OutboxMessage))
            ),
            "audit": sorted(
                (name[a.subject], a.old or "", a.new or "") for a in session.scalars(select(Audit)) if a.subject in name
            ),
        }
