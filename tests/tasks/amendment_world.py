"""An office with the sample terms in force, clients whom a change concerns, and a folder for its public site."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from madoguchi.adapters.terms_files import canonical_text
from madoguchi.domain.amendment import NoticePurpose
from madoguchi.domain.office import TermsPolicy
from madoguchi.sandbox.mailbox_server import RunningMailbox
from madoguchi.store.database import Database
from madoguchi.store.models import (
    Amendment,
    Booking,
    BookingRequest,
    Notice,
    OutboxMessage,
    TermsText,
    TermsVersion,
)
from tasks import amendments
from tasks.amendments import Announcement, TakingBack
from tasks.announcing import Queued, queue_notices
from tasks.publishing import publish_amendment, publish_site
from tasks.staff import Refused
from tasks.wiring import Run, Services
from tests.world import AS_OF, ROOT, Clock, World, jst, office

CODE = "2026-10-01"
ANNOUNCED, WITHDRAWN = NoticePurpose.ANNOUNCED, NoticePurpose.WITHDRAWN
SAMPLE = (ROOT / "config" / "terms" / "service-2025-04-01.txt").read_text(encoding="utf-8")


def amended(old: str = "利用料はかかりません。", new: str = "利用料は一切かかりません。") -> str:
    """The sample terms with other words, and another date under them."""
    assert old in SAMPLE
    return SAMPLE.replace(old, new).replace("２０２５年３月１４日", "２０２６年９月１日")


class TermsWorld:
    """Services for amendments, and short words for what tests do with them."""

    def __init__(
        self, database: Database, folder: Path, *, mailbox: RunningMailbox | None = None, **policy: Any
    ) -> None:
        self.clock = Clock()
        settled = office(terms=TermsPolicy(**{"minimum_notice": 14} | policy))
        self.world = World(database, settled, clock=self.clock, mailbox=mailbox, site_dir=folder / "site")
        self.database = database
        self.folder = folder
        self._keep_the_words()

    @property
    def services(self) -> Services:
        return self.world.services

    def _keep_the_words(self) -> None:
        text = canonical_text(SAMPLE)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        with self.database.write() as session:
            if session.get(TermsText, sha256) is None:
                session.add(TermsText(sha256=sha256, text=text, recorded_at=AS_OF))

    def run(self) -> Run:
        return Run("announce-amendment", self.clock.now, self.clock.now)

    # --- forms

    def form(self, text: str | None = None, **changes: Any) -> Announcement:
        path = self.folder / "new.txt"
        path.write_text(amended() if text is None else text, encoding="utf-8")
        values: dict[str, Any] = {
            "file": str(path),
            "ground": "13(1)",
            "reason": "費用について分かりやすくするため",
            "effective_date": date(2026, 10, 1),
            "approver": "松戸",
        }
        return Announcement(**values | changes)

    def propose(self, form: Announcement) -> amendments.Proposed:
        return amendments.propose(self.services, self.run(), form)

    def refusal(self, form: Announcement) -> str:
        try:
            self.propose(form)
        except Refused as refused:
            return str(refused)
        raise AssertionError("was not refused")

    def approve(self, form: Announcement | None = None) -> str:
        form = form or self.form()
        return amendments.approve(self.services, self.run(), form, self.propose(form))

    def publish(self, code: str = CODE) -> Any:
        return publish_amendment(self.services, self.run(), code)

    def queue(self, code: str = CODE, purpose: NoticePurpose = ANNOUNCED, **more: Any) -> Queued:
        return queue_notices(self.services, self.run(), code, purpose, **more)

    def announce(self, form: Announcement | None = None) -> Queued:
        """Everything but the mails themselves."""
        code = self.approve(form)
        self.publish(code)
        return self.queue(code)

    def take_back(self, code: str = CODE, reason: str = "内容を見直すため", approver: str = "松戸") -> str:
        form = TakingBack(code, reason, approver)
        proposed = amendments.propose_withdrawal(self.services, self.run(), form)
        if not proposed.resumes:
            amendments.withdraw(self.services, self.run(), form, proposed)
        publish_site(self.services, self.run())
        return code

    # --- clients

    def waits(self, **changes: Any) -> str:
        """Somebody whose application is open; returns the reference."""
        return self.world.ask("2026-09-24 11:00", **changes)

    def had(self, start: str, status: str = "attended", **changes: Any) -> str:
        """Somebody with a session; returns the reference of the application."""
        number = len(self.world.rows(Booking))
        at = jst(start)
        reference = self.world.ask(start, status="booked", **changes)
        request = self.world.request(reference)
        with self.database.write() as session:
            session.add(
                Booking(
                    reference=reference.replace("R", "M"), office=self.world.office.code, request_id=request.id,
                    client_id=request.client_id, start_at=at, end_at=at + timedelta(minutes=30),
                    counsellor=f"c{number}", host=f"h{number}", status=status, revision=1, held_at=AS_OF,
                    confirmed_at=AS_OF,
                )
            )  # fmt: skip
        return reference

    def client(self, reference: str) -> str:
        return str(self.world.request(reference).client_id)

    # --- what the record says

    def amendment(self, code: str = CODE) -> Amendment | None:
        with self.database.read() as session:
            return session.scalar(select(Amendment).where(Amendment.code == code))

    def versions(self) -> list[TermsVersion]:
        rows = self.world.rows(TermsVersion, document="service")
        return sorted(rows, key=lambda row: row.effective_at)

    def notices(self, purpose: NoticePurpose = ANNOUNCED) -> dict[str, tuple[str, str | None]]:
        """Route and reason by the reference that staff see."""
        return {row.reference: (row.route, row.reason) for row in self.world.rows(Notice, purpose=purpose.value)}

    def mails(self, kind: str = "terms_amended") -> list[OutboxMessage]:
        return self.world.messages(kind)

    def settle_mails(self, **values: Any) -> None:
        """Let the mails about the terms stand somewhere, as delivery would."""
        with self.database.write() as session:
            session.execute(update(OutboxMessage).where(OutboxMessage.kind == "terms_amended").values(**values))

    def flag(self, reference: str, *flags: str) -> None:
        with self.database.write() as session:
            session.execute(
                update(BookingRequest).where(BookingRequest.reference == reference).values(flags=list(flags))
            )

    def page(self, path: str) -> str | None:
        """What the public reads there; None where there is no such page."""
        file = self.folder / "site" / "current" / path / "index.html"
        return file.read_text(encoding="utf-8") if file.is_file() else None

    def without_site(self) -> None:
        self.world.services = replace(self.world.services, site_dir=None)

    def forward_to(self, moment: datetime) -> None:
        self.clock.now = moment
