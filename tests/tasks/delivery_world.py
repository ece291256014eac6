"""An office with an outbox on a real database and a real SMTP connection to the stand-in mailbox."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email import policy
from email.parser import BytesParser

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from config.office_file import read_office
from madoguchi.adapters.holidays import is_public_holiday
from madoguchi.adapters.mail_templates import TemplateStore
from madoguchi.adapters.smtp import Mailer
from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.message import (
    AlternativesContext,
    ConfirmedContext,
    IncompleteContext,
    MailKind,
    MissingPart,
    WhyNot,
)
from madoguchi.domain.office import JST
from madoguchi.store.audit import Act
from madoguchi.store.models import Audit, Booking, BookingRequest, Client, ExportFile, OutboxMessage, StaffTask
from madoguchi.store.outbox import NewMessage, queue_messages
from madoguchi.store.types import new_id
from madoguchi.store.vault import MasterKey, open_vault
from tasks.delivery import DeliveryReport, deliver_messages
from tasks.settling import pin_templates
from tasks.wiring import Run, Services
from tests.intake_help import ROOT

AS_OF = datetime(2026, 9, 14, 9, 0, tzinfo=JST)
START = datetime(2026, 9, 24, 11, 0, tzinfo=JST)
JOIN_URL = "https://us02web.zoom.us/j/81234567890?pwd=Ab1_cD2.1"


class Clock:
    """Goes on by a millisecond whenever it is read, so that no two moments are the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = datetime(2026, 9, 14, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        with self._lock:
            self._now += timedelta(milliseconds=1)
            return self._now

    def pass_by(self, span: timedelta) -> None:
        with self._lock:
            self._now += span


@dataclass
class World:
    services: Services
    mailbox: object
    clock: Clock

    def deliver(self, services: Services | None = None, *, as_of: datetime = AS_OF) -> DeliveryReport:
        """One run of delivery."""
        return deliver_messages(services or self.services, Run("deliver-messages", as_of, self.clock()))

    def act(self) -> Act:
        return Act(self.services.office.code, "test", None, AS_OF, self.clock())

    def change(self, table: type, row_id: str, **values: object) -> None:
        """Set columns behind the back of every rule."""
        with self.services.database.write() as session:
            session.execute(update(table).where(table.id == row_id).values(**values))

    def queue(self, *messages: NewMessage) -> list[str]:
        """Queue mails and return their row ids in the order given."""
        services = self.services
        with services.database.write() as session:
            pin_templates(services, session, {message.kind for message in messages})
            queue_messages(session, services.vault, list(messages), self.act(), services.office.mail_domain)
            keys = [f"{m.kind}:{m.subject}:{m.revision}" for m in messages]
            known = dict(session.execute(select(OutboxMessage.dedupe_key, OutboxMessage.id)).tuples().all())
        return [known[key] for key in keys]

    def incomplete(self, number: int = 1, **changes: object) -> NewMessage:
        """A mail that asks for what is missing, about no booking."""
        context = IncompleteContext(
            recipient_name="見本 花子", missing=(MissingPart.NUMBER,), reference=f"R-{number:06}"
        )
        message = NewMessage(
            MailKind.INCOMPLETE,
            f"R-{number:06}",
            1,
            f"mihon{number}@example.com",
            context.to_json(),
            self.services.templates.version(MailKind.INCOMPLETE),
            # One after the other: rows of the same moment have no order.
            AS_OF - timedelta(hours=1) + timedelta(seconds=number),
        )
        return replace(message, **changes)

    def queue_many(self, count: int) -> list[str]:
        return self.queue(*(self.incomplete(number) for number in range(1, count + 1)))

    def request(self, reference: str = "R-7K2Q9F", *, status: str = "booked") -> str:
        """An application in the record; returns its id."""
        office = self.services.office.code
        with self.services.database.write() as session:
            file_id = self._file(session)
            row = BookingRequest(
                id=new_id(),
                reference=reference,
                office=office,
                source="google",
                form="form",
                file_id=file_id,
                row_number=1,
                row_key=reference,
                digest=reference.encode(),
                occurrence=0,
                outcome="accept",
                reason=None,
                flags=[],
                status=status,
                relates_to=None,
                client_id=None,
                number_index=None,
                name_index=None,
                contact_index=None,
                values_digest=b"x",
                wishes=[],
                submitted_at=AS_OF,
                recorded_at=AS_OF,
                sealed_raw=b"x",
                sealed_values=b"x",
            )
            session.add(row)
            return row.id

    def _file(self, session: Session) -> str:
        office = self.services.office.code
        known = session.scalar(select(ExportFile.id))
        if known:
            return known
        row = ExportFile(
            id=new_id(), office=office, source="google", form="form", name="x.csv", sha256="0" * 64, size=1,
            status="read", counts={}, first_read_at=AS_OF, completed_at=AS_OF,
        )  # fmt: skip
        session.add(row)
        session.flush()
        return row.id

    def booking(self, reference: str = "M-7K2Q9F", *, start: datetime = START, **context: object) -> tuple[str, str]:
        """A confirmed booking whose confirmation is queued; returns the ids of both."""
        request_id = self.request("R" + reference[1:])
        office = self.services.office.code
        with self.services.database.write() as session:
            client = Client(
                id=new_id(), office=office, number_index=reference.encode(), sealed_personal=b"x", created_at=AS_OF
            )
            session.add(client)
            session.flush()
            booking = Booking(
                id=new_id(),
                reference=reference,
                office=office,
                request_id=request_id,
                client_id=client.id,
                start_at=start,
                end_at=start + timedelta(minutes=30),
                counsellor=f"c{reference}",
                host=f"h{reference}",
                status="confirmed",
                revision=1,
                held_at=AS_OF,
                confirmed_at=AS_OF,
            )
            session.add(booking)
        told = {
            "recipient_name": "見本 花子",
            "start": start,
            "meeting_id": "81234567890",
            "passcode": "k8Zq2Wp7",
            "join_url": JOIN_URL,
            "reference": reference,
            "revision": 1,
        }
        message = NewMessage(
            MailKind.CONFIRMED,
            reference,
            1,
            "mihon@example.com",
            ConfirmedContext(**(told | context)).to_json(),
            self.services.templates.version(MailKind.CONFIRMED),
            AS_OF,
            not_after=start,
            request_id=request_id,
            booking_id=booking.id,
        )
        return booking.id, self.queue(message)[0]

    def alternatives(self, request_id: str) -> str:
        """A queued offer of other times; returns its id."""
        context = AlternativesContext(
            recipient_name="見本 花子",
            wished=(START,),
            why=WhyNot.TAKEN,
            offers=(START + timedelta(days=1),),
            answer_by=START.date(),
            reference="R-7K2Q9F",
        )
        version = self.services.templates.version(MailKind.ALTERNATIVES)
        return self.queue(
            NewMessage(
                MailKind.ALTERNATIVES,
                "R-7K2Q9F",
                1,
                "mihon@example.com",
                context.to_json(),
                version,
                AS_OF,
                request_id=request_id,
            )
        )[0]

    def stand(self, row_id: str) -> tuple[str, str | None, int]:
        """Status, reason and attempts of a message."""
        row = self.message(row_id)
        return row.status, row.reason, row.attempts

    def message(self, row_id: str) -> OutboxMessage:
        with self.services.database.read() as session:
            return session.get_one(OutboxMessage, row_id)

    def stands(self) -> set[str]:
        with self.services.database.read() as session:
            return set(session.scalars(select(OutboxMessage.status).distinct()))

    def tasks(self) -> list[tuple[str, str, str | None]]:
        """What waits for staff: kind, subject, reason."""
        with self.services.database.read() as session:
            rows = session.execute(
                select(StaffTask.kind, StaffTask.subject, StaffTask.reason).order_by(StaffTask.kind, StaffTask.subject)
            )
            return [tuple(row) for row in rows]

    def arrows(self, row_id: str) -> list[tuple[str | None, str | None, str | None]]:
        """Every transition that the audit knows of a message: from, to, reason."""
        with self.services.database.read() as session:
            rows = session.execute(
                select(Audit.old, Audit.new, Audit.reason)
                .where(Audit.subject == row_id, Audit.action == "transition")
                .order_by(Audit.id)
            )
            return [tuple(row) for row in rows]

    def claims(self) -> int:
        with self.services.database.read() as session:
            return len(session.scalars(select(OutboxMessage.id).where(OutboxMessage.claim_owner.is_not(None))).all())

    def copies(self, row_id: str) -> int:
        """How many copies of a message lie in the mailbox."""
        wanted = self.message(row_id).message_id
        return sum(entry.message_id == wanted for entry in self.mailbox.state.entries())

    def letters(self) -> list:
        """Every mail in the mailbox, parsed, oldest first."""
        parser = BytesParser(policy=policy.default)
        return [parser.parsebytes(mail.content) for mail in self.mailbox.state.mails()]

    def order(self, *faults: dict) -> None:
        self.mailbox.state.faults.order(list(faults))

    def runner(self, owner: str, is_alive: Callable[[str], bool | None] = lambda _: None) -> Services:
        """Services of another process."""
        return replace(self.services, owner=owner, is_alive=is_alive)


def build_world(database, mailbox, folder) -> World:
    clock = Clock()
    office = read_office(ROOT / "config" / "office.toml", sandbox=True)
    with database.write() as session:
        vault = open_vault(session, (MasterKey(b"k" * 32),), clock())

    def no_zoom() -> None:
        raise AssertionError("delivery has no business with Zoom")

    services = Services(
        office=office,
        calendar=OfficeCalendar(office, is_public_holiday),
        database=database,
        vault=vault,
        templates=TemplateStore(ROOT / "templates"),
        mappings={},
        inbox=folder,
        clock=clock,
        owner="here/boot/1/1",
        make_zoom=no_zoom,
        make_mailer=lambda: Mailer(mailbox.host, mailbox.port, "", "", "none", timeout=5),
        join_hosts=(),
        is_alive=lambda _: None,
    )
    return World(services, mailbox, clock)
