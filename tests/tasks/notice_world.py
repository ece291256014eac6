"""An office with an amendment, people who have to be told of it, and a folder of bounces, on a given database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from madoguchi.domain.amendment import NoticePurpose, NoticeRoute
from madoguchi.domain.application import Application
from madoguchi.domain.message import MailKind, MessageStatus
from madoguchi.store.database import Database
from madoguchi.store.models import (
    Amendment,
    Audit,
    BlockedAddress,
    BookingRequest,
    Bounce,
    Client,
    Notice,
    OutboxMessage,
    StaffTask,
    TermsVersion,
)
from madoguchi.store.types import new_id
from tasks.bounces import BounceReport, read_bounces
from tasks.wiring import Run
from tests.tasks.delivery_world import AS_OF, World, build_world

SAMPLES = Path(__file__).resolve().parents[1] / "fixtures" / "dsn"
SAMPLE_ID, SAMPLE_ADDRESS = b"0190f3a1b2c3d4e5f60718293a4b5c6d", b"mihon1@example.com"
CODE = "2026-10-01"
ANNOUNCED, WITHDRAWN = NoticePurpose.ANNOUNCED, NoticePurpose.WITHDRAWN


def sample(name: str, message: str, address: str = "mihon1@example.com", number: int = 0) -> bytes:
    """A notification about one of our messages; `number` makes it another one."""
    content = (SAMPLES / name).read_bytes()
    content = content.replace(SAMPLE_ID, message.encode()).replace(SAMPLE_ADDRESS, address.encode())
    for header in (b"Message-Id: <", b"Message-ID: <"):
        head, body, tail = content.partition(header)
        if body and number:
            # Only that of the notification itself, which is the first.
            return head + body + f"n{number}.".encode() + tail
    return content


class NoticeWorld:
    """The world of delivery, with an amendment in it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.world: World = build_world(database, None, folder)
        self.folder = folder / "bounces"
        self.folder.mkdir()
        self.services = replace(self.world.services, bounces=self.folder)
        self.database = database
        self._numbers = iter(range(1, 10**6))
        self.amendment = self._amendment()

    def run(self, **later: float) -> Run:
        return Run("read-bounces", AS_OF + timedelta(**later), self.world.clock(), actor="test")

    # --- the folder

    def put(self, content: bytes, name: str | None = None) -> Path:
        path = self.folder / (name or f"{next(self._numbers):04d}.eml")
        path.write_bytes(content)
        return path

    def read(self, **later: float) -> BounceReport:
        return read_bounces(self.services, self.run(**later))

    def bounce(self, message: str, name: str = "postfix_unknown_user.eml", **more: Any) -> BounceReport:
        """Let one notification come and be read."""
        later = {key: more.pop(key) for key in ("days", "hours") if key in more}
        self.put(sample(name, message, number=next(self._numbers), **more))
        return self.read(**later)

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    # --- messages

    def sent(self, number: int = 1, address: str = "", **values: Any) -> str:
        """A mail about an application that the relay took over, to mihon<number>@example.com or another address."""
        request_id = self.world.request(f"R-{'234679'[number % 6]}K2Q9{'FCHJKMNPQRTWXY'[number % 14]}")
        recipient = address or f"mihon{number}@example.com"
        [message] = self.world.queue(self.world.incomplete(number, request_id=request_id, recipient=recipient))
        self.world.change(OutboxMessage, message, **({"status": "sent", "sent_at": AS_OF, "attempts": 1} | values))
        return message

    # --- notices

    def _amendment(self) -> str:
        office = self.services.office.code
        with self.database.write() as session:
            versions = [
                TermsVersion(
                    id=new_id(), office=office, document="service", code=code, sha256=code * 6, url="https://example.jp",
                    enacted_on=date(2026, 9, 1), effective_at=AS_OF, number=number, signatory=None, withdrawn_at=None,
                )
                for number, code in enumerate(("2025-06-16", CODE), start=1)
            ]  # fmt: skip
            session.add_all(versions)
            session.flush()
            row = Amendment(
                office=office, code=CODE, old_id=versions[0].id, new_id=versions[1].id, ground="ART_13_1", summary="s",
                reason="r", effective_at=AS_OF + timedelta(days=17), short_notice_reason=None, digest="d",
                status="announced", approved_by="staff:x", approved_at=AS_OF - timedelta(days=1),
                published_at=AS_OF - timedelta(days=1), announced_at=AS_OF - timedelta(days=1), withdrawn_at=None,
                withdrawn_by=None, withdrawal_reason=None, content={}, withdrawal_content={},
            )  # fmt: skip
            session.add(row)
            session.flush()
            return row.id

    def person(
        self,
        status: str | None = "sent",
        *,
        reason: str | None = None,
        route: NoticeRoute = NoticeRoute.MAIL,
        purpose: NoticePurpose = ANNOUNCED,
        name: str = "架空 七海",
        phone: str | None = "047-000-0001",
        address: str = "mihon1@example.com",
    ) -> tuple[str, str | None]:
        """Somebody who has to be told: the reference of the application, and the id of the message if there is one."""
        number = next(self._numbers)
        reference = f"R-{_coded(number)}"
        request_id = self.world.request(reference)
        office, vault = self.services.office.code, self.services.vault
        application = Application(name=name, phone=phone, email=address)
        message = new_id() if status else None
        with self.database.write() as session:
            client = Client(
                id=new_id(), office=office, number_index=reference.encode(), sealed_personal=b"", created_at=AS_OF
            )
            client.sealed_personal = vault.seal_json({"name": name}, f"client.sealed_personal.{client.id}")
            session.add(client)
            session.flush()
            sealed = vault.seal_json(
                {"application": application.to_json()}, f"booking_request.sealed_values.{request_id}"
            )
            session.execute(
                update(BookingRequest)
                .where(BookingRequest.id == request_id)
                .values(client_id=client.id, sealed_values=sealed)
            )
            if message:
                session.add(self._message(message, client.id, status or "", reason, address))
                session.flush()
            session.add(
                Notice(
                    office=office, amendment_id=self.amendment, purpose=purpose.value, client_id=client.id,
                    reference=reference, route=route.value, reason=None, message_id=message, told_at=None, told_by=None,
                    told_how=None, recorded_at=AS_OF,
                )
            )  # fmt: skip
        return reference, message

    def _message(self, row_id: str, client_id: str, status: str, reason: str | None, address: str) -> OutboxMessage:
        place = f"outbox_message.sealed_context.{row_id}"
        left = status in {MessageStatus.SENT, MessageStatus.SENDING, MessageStatus.UNCERTAIN}
        return OutboxMessage(
            id=row_id, office=self.services.office.code, dedupe_key=row_id, kind=MailKind.TERMS_AMENDED.value,
            client_id=client_id, request_id=None, booking_id=None, revision=1, template_version="1",
            sealed_context=self.services.vault.seal_json({"to": address, "context": {}}, place), lane="other",
            amendment_id=self.amendment, status=status, reason=reason, due_at=AS_OF, not_after=None, claim_owner=None,
            claim_until=None, attempts=int(left), attempted_at=None, message_id=f"<{row_id}@madoguchi.example.jp>",
            sent_at=AS_OF if status == MessageStatus.SENT else None, queued_at=AS_OF, changed_at=AS_OF,
        )  # fmt: skip

    # --- what the record says

    def rows(self, table: type) -> list[Any]:
        with self.database.read() as session:
            return list(session.scalars(select(table).order_by(table.id)))

    def bounces(self) -> list[tuple[str, str, str]]:
        return [(row.kind, row.action, row.status_code) for row in self.rows(Bounce)]

    def blocks(self) -> list[str]:
        """Reasons of what is blocked now."""
        return [row.reason for row in self.rows(BlockedAddress) if row.lifted_at is None]

    def tasks(self) -> list[tuple[str, str, str | None]]:
        rows = self.rows(StaffTask)
        return sorted((row.kind, row.subject, row.reason) for row in rows if row.closed_at is None)

    def audited(self, action: str) -> list[Audit]:
        return [row for row in self.rows(Audit) if row.action == action]


def _coded(number: int) -> str:
    alphabet = "234679CFHJKMNPQRTWXY"
    digits = []
    for _ in range(6):
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return "".join(reversed(digits))


def everything(world: NoticeWorld, *tables: type) -> Iterable[Any]:
    """All columns of some tables, to see that nothing changed."""
    for table in tables:
        for row in world.rows(table):
            yield table.__tablename__, *(getattr(row, column.name) for column in table.__table__.columns)
