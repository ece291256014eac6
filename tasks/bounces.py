"""What comes back is read, kept once, and followed: an address is blocked, a person is called, or somebody looks.

A notification is a stranger's mail. It blocks an address only when it names a message of ours, whose number nobody can
guess, and the very recipient of that message; everything else is kept and shown to a person.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy.orm import Session

from madoguchi.adapters.bounce_folder import (
    STILL_WRITTEN,
    BounceFile,
    FolderMissingError,
    Kept,
    keep,
    split_mbox,
    waiting_files,
)
from madoguchi.adapters.delivery_status import NotAMailError, ReadMail, Sort, read_notification
from madoguchi.domain.bounce import (
    CAME_BACK,
    SOFT_LIMIT,
    SOFT_WINDOW_DAYS,
    BounceKind,
    Notified,
    kind_of,
    normalised_address,
)
from madoguchi.domain.office import JST
from madoguchi.store import bounces as store
from madoguchi.store.audit import Act
from madoguchi.store.runs import open_staff_task
from madoguchi.store.vault import VaultError
from tasks.proof import refresh_notice_tasks
from tasks.verdicts import reconsider
from tasks.wiring import Run, Services

CALL_BOUNCED: Final = "call-bounced"
MAIL_REFUSED: Final = "mail-refused"
UNCLEAR_BOUNCES: Final = "unclear-bounces"
CALLS_FOR_NOTICES: Final = 50
"""So many telephone tasks may be open before those about notices to everybody stand in the proof's list only."""

_OLDEST: Final = timedelta(days=45)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class BounceReport:
    """What one reading did. `unreadable`: neutral names with a code each. References and codes only.

    Counts: `files`, `new` and `known` notifications, those of each kind, `blocked` addresses, `unclear` ones for a
    person, `auto_reply` and `other` mails that are no bounces, `waiting` files that are still being written.
    """

    counts: Counter[str] = field(default_factory=Counter)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    bookings: set[str] = field(default_factory=set)
    """Bookings of which a mail came back."""


def read_bounces(services: Services, run: Run) -> BounceReport:
    """Read every file that waits in the folder of bounces; a file moves on only after its content is committed.

    Reading one again, in any order and after a crash at any point, changes nothing. What cannot be read is set aside
    and named; what is no bounce is kept for people.
    """
    report = BounceReport()
    if services.bounces is None:
        return report
    try:
        for file in waiting_files(services.bounces):
            _take_file(services, run, report, services.bounces, file)
    except FolderMissingError:
        report.unreadable.append(("bounces", "FOLDER_MISSING"))
    _after(services, run, report)
    return report


def read_piped(services: Services, run: Run, content: bytes) -> BounceReport:
    """Read one mail, or an mbox, that somebody hands over; nothing is moved."""
    report = BounceReport()
    for number, mail in enumerate(split_mbox(content), start=1):
        try:
            _take_mail(services, run, report, read_notification(mail, services.office.mail_domain))
        except NotAMailError as error:
            report.unreadable.append((f"mail-{number}", str(error)))
    _after(services, run, report)
    return report


def _take_file(services: Services, run: Run, report: BounceReport, folder: Path, file: BounceFile) -> None:
    domain = services.office.mail_domain
    try:
        mails = [read_notification(content, domain) for content in file.mails()]
    except (NotAMailError, ValueError, OSError) as error:
        code = type(error).__name__.upper() if isinstance(error, OSError) else str(error)
        log.warning("%s: %s", file.name, code)
        report.unreadable.append((file.name, code))
        _keep(report, file, folder, Kept.UNREADABLE)
        return
    if not all(mail.is_whole for mail in mails) and services.clock() - file.written_at < STILL_WRITTEN:
        report.counts["waiting"] += 1
        return
    report.counts["files"] += 1
    for mail in mails:
        _take_mail(services, run, report, mail)
    _keep(report, file, folder, Kept.DONE if any(mail.said for mail in mails) else Kept.OTHER)


def _keep(report: BounceReport, file: BounceFile, folder: Path, kept: Kept) -> None:
    """Move a file; one that cannot be moved is named, and read again without effect next time."""
    try:
        keep(file, folder, kept)
    except OSError as error:
        report.unreadable.append((file.name, f"NOT_MOVED_{type(error).__name__.upper()}"))


def _take_mail(services: Services, run: Run, report: BounceReport, mail: ReadMail) -> None:
    """Keep what one mail says, everything in one transaction."""
    if not mail.said:
        report.counts[Sort.AUTO_REPLY.value if mail.sort is Sort.AUTO_REPLY else Sort.OTHER.value] += 1
        return
    counts: Counter[str] = Counter()
    with services.database.write() as session:
        taking = _Taking(services, session, run.act(services), counts, report.bookings)
        for said in mail.said:
            taking.take(mail, said)
    # Only what is committed is counted.
    report.counts += counts


@dataclass(slots=True)
class _Taking:
    """One mail's transaction."""

    services: Services
    session: Session
    act: Act
    counts: Counter[str]
    bookings: set[str]

    def take(self, mail: ReadMail, said: Notified) -> None:
        message = self._message(mail)
        mine = message is not None and self._is_recipient(message, said)
        kind = kind_of(said)
        # Ours, but about somebody else: a forward, or made up. Whatever it is, it says nothing about our address.
        kept_kind = BounceKind.UNKNOWN if message is not None and not mine and kind is not BounceKind.TOLD else kind
        # Nobody's address stands beside a message that went to somebody else: it would count against that person.
        address = "" if message is not None else said.recipient or said.original
        address = self._recipient(message) if mine else address
        index = store.address_index(self.services.vault, address) if address else None
        arrived = self._arrived(mail)
        bounce = store.add_bounce(
            self.session,
            self.act,
            store.NewBounce(
                dedupe_key=self._key(mail, said),
                message_id=message.id if message is not None else None,
                address_index=index,
                kind=kept_kind,
                said=said,
                arrived_at=arrived,
            ),
        )
        if bounce is None:
            self.counts["known"] += 1
            return
        self.counts["new"] += 1
        self.counts[kept_kind.value] += 1
        if kind is BounceKind.TOLD:
            return
        if message is None:
            self._unclear("NOT_OURS")
            return
        self._follow(message, kept_kind, said, index if mine else None, (bounce, arrived))

    def _follow(
        self, message: Any, kind: BounceKind, said: Notified, index: bytes | None, kept: tuple[str, datetime]
    ) -> None:
        """Do what a bounce of ours asks for. `index`: of its recipient, None when in doubt; `kept`: its id and time."""
        bounce, arrived = kept
        reason = f"BOUNCED_{kind.value.upper()}"
        lifted = store.last_lifted(self.session, self.act.office, index) if index else None
        # Read late: a person has said since that the address can be used.
        stops = kind is BounceKind.HARD and not (lifted and arrived <= lifted)
        if (
            index is not None
            and kind in {BounceKind.SOFT, BounceKind.UNKNOWN}
            and self._is_soft_too_often(index, lifted)
        ):
            reason, stops = "BOUNCED_SOFT_REPEATED", True
        if stops and index is not None:
            self.counts["blocked"] += store.block(self.session, self.act, index, reason, bounce)
        if kind is BounceKind.POLICY:
            self._alarm(MAIL_REFUSED, "policy", f"REFUSED_{said.status or said.reply}")
        came_back = said.action in CAME_BACK
        if message.amendment_id:
            if stops:
                self._call_about_notice(message)
        elif came_back or stops:
            if message.booking:
                self.bookings.add(message.booking)
            self._call(message.booking or message.request or message.id, reason)

    def _call(self, subject: str, reason: str) -> None:
        open_staff_task(self.session, self.act, CALL_BOUNCED, subject, reason)
        self.counts["calls"] += 1

    def _call_about_notice(self, message: Any) -> None:
        """Ask for a call about a notice: always when a session is ahead, else up to a number that people can do."""
        ahead = None
        if message.client_id:
            ahead = store.session_ahead(self.session, self.act.office, message.client_id, self.act.happened_at)
        subject = ahead or message.notice or message.id
        if store.open_task(self.session, self.act.office, CALL_BOUNCED, subject) is not None:
            # What waits about the session itself weighs more.
            return
        if ahead or store.open_count(self.session, self.act.office, CALL_BOUNCED) < CALLS_FOR_NOTICES:
            self._call(subject, "BOUNCED_NOTICE")

    def _unclear(self, reason: str) -> None:
        self.counts["unclear"] += 1
        self._alarm(UNCLEAR_BOUNCES, "unclear", reason)

    def _alarm(self, kind: str, word: str, reason: str) -> None:
        """Ask somebody to look, once a day and office: the hundredth is no more news than the first."""
        day = self.act.happened_at.astimezone(JST)
        open_staff_task(self.session, self.act, kind, f"{word}-{day:%Y%m%d}", reason[:60])

    def _is_soft_too_often(self, index: bytes, lifted: datetime | None) -> bool:
        since = self.act.happened_at - timedelta(days=SOFT_WINDOW_DAYS)
        since = max(since, lifted) if lifted else since
        return store.soft_bounces(self.session, self.act.office, index, since) >= SOFT_LIMIT

    def _message(self, mail: ReadMail) -> Any:
        if mail.original is None:
            return None
        return store.returned_message(self.session, self.act.office, mail.original)

    def _is_recipient(self, message: Any, said: Notified) -> bool:
        ours = self._recipient(message)
        named = {normalised_address(address) for address in (said.recipient, said.original) if address}
        return bool(ours) and normalised_address(ours) in named

    def _recipient(self, message: Any) -> str:
        try:
            place = f"outbox_message.sealed_context.{message.id}"
            return str(self.services.vault.open_json(message.sealed_context, place)["to"])
        except (VaultError, KeyError, TypeError, ValueError):
            # Pseudonymised since: then nobody can say any more whose address it was.
            return ""

    def _key(self, mail: ReadMail, said: Notified) -> str:
        """Return what makes a notification the same: by blind index, because it names an address."""
        parts = (mail.identity, mail.original or "", normalised_address(said.recipient or said.original))
        return self.services.vault.index("bounce", "\x00".join(parts)).hex()

    def _arrived(self, mail: ReadMail) -> datetime:
        """Return when a notification was written, as it says itself where that can be; a date proves nothing."""
        now = self.act.happened_at
        return mail.sent_at if mail.sent_at and now - _OLDEST <= mail.sent_at <= now else now


def _after(services: Services, run: Run, report: BounceReport) -> None:
    """Judge again whom a mail has not reached, ask for a look at what could not be read, bring the lists up to date.

    A crash before it loses a second look only: the call to that person stands in the record with the bounce.
    """
    reconsider(services, run, sorted(report.bookings))
    refresh_notice_tasks(services, run)
    if not report.unreadable:
        return
    act = run.act(services)
    day = act.happened_at.astimezone(JST)
    with services.database.write() as session:
        open_staff_task(session, act, UNCLEAR_BOUNCES, f"unclear-{day:%Y%m%d}", report.unreadable[-1][1][:60])
