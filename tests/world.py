"""An office on a given database, with a clock that tests set: applications come in by the real intake or directly."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import func, select

from config.office_file import read_office
from madoguchi.adapters.form_export import load_mapping
from madoguchi.adapters.holidays import is_public_holiday
from madoguchi.adapters.mail_templates import TemplateStore
from madoguchi.adapters.smtp import Mailer
from madoguchi.adapters.terms_files import read_terms
from madoguchi.adapters.zoom import ZoomClient
from madoguchi.domain.application import Application
from madoguchi.domain.calendar import SESSION, OfficeCalendar
from madoguchi.domain.office import JST, Counsellor, Host, Office
from madoguchi.sandbox.mailbox_server import RunningMailbox
from madoguchi.sandbox.zoom_server import RunningZoom
from madoguchi.store.bookings import cells
from madoguchi.store.database import Database
from madoguchi.store.models import (
    Audit,
    Booking,
    BookingRequest,
    Client,
    ExportFile,
    HostBudget,
    Meeting,
    Occupancy,
    OutboxMessage,
    StaffTask,
)
from madoguchi.store.terms import TermsFacts, register_terms
from madoguchi.store.types import new_id
from madoguchi.store.vault import MasterKey, Vault, open_vault
from tasks.intake import FileReport, receive_export
from tasks.wiring import SANDBOX_JOIN_HOSTS, Run, Services
from tests.sandbox.zoom_help import Waits

ROOT = Path(__file__).parents[1]
AS_OF = datetime(2026, 9, 14, 9, 0, tzinfo=JST)
HEADER = (
    "タイムスタンプ", "メールアドレス", "お名前", "お名前（フリガナ）", "求職番号", "求職登録の状況",
    "第1希望の日付", "第1希望の開始時間", "第2希望の日時", "第3希望の日時", "同席者の有無", "利用規約",
)  # fmt: skip
WEEK = ("mon", "tue", "wed", "thu", "fri")
_hosts = itertools.count(1)


def jst(text: str) -> datetime:
    """2026-09-24 11:00 in Japan."""
    return datetime.fromisoformat(text).replace(tzinfo=JST)


def counsellor(code: str, days: str = "mon tue wed thu fri", absences: Iterable[Any] = ()) -> Counsellor:
    return Counsellor(code, frozenset(WEEK.index(day) for day in days.split()), frozenset(absences))


@lru_cache(maxsize=1)
def shipped_office() -> Office:
    return read_office(ROOT / "config" / "office.toml", sandbox=True)


def office(counsellors: int | Sequence[Counsellor] = 1, hosts: int = 1, **changes: Any) -> Office:
    """The shipped office with so many counsellors and Zoom hosts; hosts are new to every stand-in."""
    if isinstance(counsellors, int):
        counsellors = [counsellor(f"counsellor-{n + 1}") for n in range(counsellors)]
    licences = tuple(Host(f"host-{n + 1}", f"licence-{next(_hosts)}@example.jp") for n in range(hosts))
    return replace(shipped_office(), counsellors=tuple(counsellors), hosts=licences, **changes)


@lru_cache(maxsize=1)
def templates() -> TemplateStore:
    return TemplateStore(ROOT / "templates", join_hosts=SANDBOX_JOIN_HOSTS)


@lru_cache(maxsize=1)
def mappings() -> dict[str, Any]:
    return {path.stem: load_mapping(path) for path in sorted((ROOT / "config" / "forms").glob("*.toml"))}


class Clock:
    """Stands still until a test moves it."""

    def __init__(self, now: datetime = AS_OF) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


def nobody(*_: Any) -> NoReturn:
    raise AssertionError("this test has neither Zoom nor a relay")


def open_test_vault(database: Database) -> Vault:
    with database.write() as session:
        return open_vault(session, (MasterKey(b"k" * 32),), AS_OF)


class World:
    """Services, and short words for what tests do with them and ask of the record."""

    def __init__(
        self,
        database: Database,
        office: Office | None = None,
        *,
        zoom: RunningZoom | None = None,
        mailbox: RunningMailbox | None = None,
        clock: Clock | None = None,
        holiday: Callable[[Any], bool] = is_public_holiday,
        client: type[ZoomClient] = ZoomClient,
        timeout: float = 5.0,
        **more: Any,
    ) -> None:
        self.database = database
        self.clock = clock or Clock()
        self.zoom = zoom
        settled = office or globals()["office"]()
        with database.write() as session:
            terms = [
                TermsFacts(v.document, v.code, v.sha256, v.enacted_on, v.effective_at, v.url)
                for v in read_terms(ROOT / "config" / "terms")
            ]
            register_terms(session, settled.code, terms)
        self.waits = Waits()

        def make_zoom() -> ZoomClient:
            assert zoom is not None
            return client(
                zoom.token_url, zoom.api_url, "sandbox-account", "sandbox-client", "sandbox-secret",
                clock=self.clock, sleep=self.waits, create_per_second=5000, read_per_second=5000,
                concurrency=2 * settled.zoom.concurrency, timeout_seconds=timeout,
            )  # fmt: skip

        self.services = Services(
            **{
                "office": settled,
                "calendar": OfficeCalendar(settled, holiday),
                "database": database,
                "vault": open_test_vault(database),
                "templates": templates(),
                "mappings": mappings(),
                "inbox": Path("no-inbox"),
                "clock": self.clock,
                "owner": "runner-1",
                "make_zoom": make_zoom if zoom else nobody,
                "make_mailer": (
                    (lambda: Mailer(mailbox.host, mailbox.port, "", "", "none", timeout=2)) if mailbox else nobody
                ),
                "join_hosts": SANDBOX_JOIN_HOSTS,
                "set_stage": zoom.state.set_now if zoom else (lambda _: None),
                "is_alive": lambda _: None,
            }
            | more
        )
        self._number = itertools.count(1)

    @property
    def office(self) -> Office:
        return self.services.office

    def run(self, as_of: datetime | None = None) -> Run:
        return Run("process-requests", as_of or self.clock.now, self.clock.now, actor="test")

    # --- applications

    def read(self, folder: Path, *rows: Sequence[str], as_of: datetime | None = None) -> FileReport:
        """Let the real intake read a Google export with these rows."""
        path = folder / f"answers-{next(self._number)}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows([HEADER, *rows])
        return receive_export(self.services, self.run(as_of), path, self.services.mappings["google"])

    def ask(self, *wishes: str, **changes: Any) -> str:
        """Put an accepted request straight into the record and return its reference."""
        number = next(self._number)
        row_id = new_id()
        submitted = changes.pop("submitted_at", AS_OF - timedelta(days=3) + timedelta(minutes=number))
        with self.database.write() as session:
            client = changes.pop("client_id", None) or self.person(session, number)
            application = Application(
                name="架空 七海",
                job_seeker_number=f"99999-9200{number:04d}",
                email=changes.pop("email", f"nanami{number}@example.jp"),
                wishes=tuple(jst(wish) for wish in wishes),
                submitted_at=submitted,
            ).to_json()
            sealed = self.services.vault.seal_json(
                {"application": application, "findings": []}, f"booking_request.sealed_values.{row_id}"
            )
            row = {
                "id": row_id, "reference": f"R-{number:06d}", "office": self.office.code, "source": "google",
                "form": "online-counselling", "file_id": self._file(session), "row_number": number,
                "row_key": f"key-{number}", "digest": number.to_bytes(8, "big"), "occurrence": 1, "outcome": "accept",
                "reason": None, "flags": [], "status": "received", "client_id": client,
                "number_index": None, "name_index": None, "contact_index": None, "values_digest": b"",
                "wishes": application["wishes"], "submitted_at": submitted, "recorded_at": AS_OF,
                "sealed_raw": b"", "sealed_values": sealed,
            }  # fmt: skip
            session.add(BookingRequest(**row | changes))
            return str(row["reference"])

    def person(self, session: Any, number: int) -> str:
        client = Client(office=self.office.code, number_index=number.to_bytes(8, "big"), sealed_personal=b"",
                        created_at=AS_OF)  # fmt: skip
        session.add(client)
        session.flush()
        return client.id

    def _file(self, session: Any) -> str:
        found = session.scalar(select(ExportFile.id).where(ExportFile.sha256 == "0" * 64))
        if found:
            return str(found)
        file = ExportFile(office=self.office.code, source="google", form="online-counselling", name="answers.csv",
                          sha256="0" * 64, size=1, status="read", counts={"in": 0}, first_read_at=AS_OF,
                          completed_at=AS_OF)  # fmt: skip
        session.add(file)
        session.flush()
        return file.id

    def occupy(self, start: str, counsellor: str = "counsellor-1", host: str = "host-1", **changes: Any) -> str:
        """Put a confirmed session of somebody else there, as staff may: on the grid or off it."""
        reference = self.ask(start, status="booked")
        at = jst(start)
        with self.database.write() as session:
            request = session.scalars(select(BookingRequest).where(BookingRequest.reference == reference)).one()
            values = {
                "reference": reference.replace("R", "M"), "office": self.office.code, "request_id": request.id,
                "client_id": request.client_id, "start_at": at, "end_at": at + SESSION, "counsellor": counsellor,
                "host": host, "status": "confirmed", "revision": 1, "held_at": AS_OF, "confirmed_at": AS_OF,
            } | changes  # fmt: skip
            booking = Booking(**values)
            session.add(booking)
            session.flush()
            for resource in (f"counsellor:{booking.counsellor}", f"host:{booking.host}"):
                for cell in cells(at, at + SESSION):
                    session.add(Occupancy(office=self.office.code, resource=resource, cell_at=cell,
                                          booking_id=booking.id))  # fmt: skip
            return booking.reference

    # --- what the record says

    def request(self, reference: str) -> BookingRequest:
        with self.database.read() as session:
            return session.scalars(select(BookingRequest).where(BookingRequest.reference == reference)).one()

    def status(self, *references: str) -> str:
        return " ".join(self.request(reference).status for reference in references)

    def active(self, reference: str) -> Booking | None:
        """The live booking of a request."""
        with self.database.read() as session:
            return session.scalar(
                select(Booking)
                .join(BookingRequest, BookingRequest.id == Booking.request_id)
                .where(BookingRequest.reference == reference, Booking.status.in_(("held", "confirmed")))
            )

    def start(self, reference: str) -> str | None:
        """When a request has its session, in Japan's time."""
        booking = self.active(reference)
        return f"{booking.start_at.astimezone(JST):%Y-%m-%d %H:%M}" if booking else None

    def starts(self, *references: str) -> list[str | None]:
        return [self.start(reference) for reference in references]

    def rows(self, table: type, **where: Any) -> list[Any]:
        with self.database.read() as session:
            return list(session.scalars(select(table).filter_by(**where)))

    def bookings(self) -> list[Booking]:
        return self.rows(Booking)

    def meetings(self) -> list[Meeting]:
        return self.rows(Meeting)

    def count(self, table: type) -> int:
        with self.database.read() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    def messages(self, kind: str | None = None) -> list[OutboxMessage]:
        return self.rows(OutboxMessage, **({"kind": kind} if kind else {}))

    def context(self, message: OutboxMessage) -> dict[str, Any]:
        where = f"outbox_message.sealed_context.{message.id}"
        return dict(self.services.vault.open_json(message.sealed_context, where)["context"])

    def staff(self) -> list[tuple[str, str, str | None]]:
        """What waits for a person: kind, subject, reason."""
        return sorted((t.kind, t.subject, t.reason) for t in self.rows(StaffTask) if t.closed_at is None)

    def history(self, subject: str) -> list[str]:
        """The audited moves of a subject, oldest first."""
        with self.database.read() as session:
            rows = session.scalars(select(Audit).where(Audit.subject == subject).order_by(Audit.id))
            return [f"{row.old}>{row.new}" for row in rows if row.action == "transition"]

    def used(self, host: str = "host-1", day: datetime | None = None) -> int:
        """What the record says that a host has used of the clock's UTC day."""
        at = (day or self.clock.now).astimezone(UTC).date()
        found = self.rows(HostBudget, host=host, utc_day=at)
        return found[0].used if found else 0


def answer(position: int, /, day: str, clock: str, second: str = "", third: str = "", **changes: str) -> list[str]:
    """A row of the Google form that intake accepts; `changes` by name."""
    cells = {
        "stamp": f"2026/09/{10 + position // 40:02d} 9:{position % 40:02d}:00 午前 GMT+9",
        "email": f"kakuu{position}@example.jp", "name": "架空 七海", "kana": "カクウ ナナミ",
        "number": f"99999-9100{position:04d}", "registration": "ハローワーク利用登録者", "day": day, "clock": clock,
        "second": second, "third": third, "companion": "なし", "consent": "確認し、同意します",
    }  # fmt: skip
    assert not changes.keys() - cells.keys()
    return list((cells | changes).values())
