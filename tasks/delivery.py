"""Due messages go out over one connection: claimed in batches, marked one by one around the final dot."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from madoguchi.adapters.calendar_file import session_calendar
from madoguchi.adapters.mail_message import MailBuildError, build_mail
from madoguchi.adapters.mail_templates import MailTemplateError
from madoguchi.adapters.smtp import MailConfigError, MailRejected, MailRetryable, MailSession, MailUncertain
from madoguchi.domain.calendar import SESSION
from madoguchi.domain.message import (
    KINDS,
    ConfirmedContext,
    MailContext,
    MailKind,
    MessageStatus,
    context_from_json,
)
from madoguchi.domain.office import Office
from madoguchi.domain.session_mails import CancelledContext, ChangedContext, ReminderContext
from madoguchi.store import outbox as store
from madoguchi.store.outbox import Settled
from madoguchi.store.runs import open_staff_task
from madoguchi.store.sending_marks import SendingMarks
from madoguchi.store.vault import VaultError
from tasks.wiring import Run, Services

BATCH = 200
_CONNECTION_TRIES = 3
# In a row they take a third less time than one by one between marks.
_BUILT_AHEAD = 16

UNCERTAIN_MESSAGE = "uncertain-message"
FAILED_MESSAGE = "failed-message"
UNSENT_MESSAGE = "unsent-message"

_LEADS_IN: Final = (ConfirmedContext, ReminderContext, ChangedContext)
"""What they say is worth nothing without a join link."""
_TELLS_A_START: Final = frozenset({MailKind.CONFIRMED, MailKind.CHANGED, MailKind.ALTERNATIVES})
_START_PASSED, _TOO_LATE, _NO_JOIN_URL = "START_PASSED", "TOO_LATE", "NO_JOIN_URL"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class DeliveryReport:
    """What one round of delivery did: messages by status, and those that are not settled, each with a reason code."""

    counts: Counter[str] = field(default_factory=Counter)
    incomplete: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Mail:
    """A claimed message, built."""

    row: Any
    kind: MailKind
    recipient: str
    data: bytes


class _Stop(Exception):  # noqa: N818 — named by what happens
    """The relay cannot be used in this run; the rest waits for the next one."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def deliver_messages(services: Services, run: Run) -> DeliveryReport:
    """Send every due message once and settle it; what dead runners left is settled first.

    Never repeats a message whose final dot may have been given: that one is uncertain and waits for a person.
    """
    round_ = _Round(services, run)
    round_.recover()
    stopped = round_.send_all()
    round_.report_unsettled(stopped)
    return round_.report


class _Round:
    def __init__(self, services: Services, run: Run) -> None:
        self._services = services
        self._run = run
        self.report = DeliveryReport()
        self._bundles: dict[tuple[str, str], dict[str, str]] = {}
        self._pending_sent: list[str] = []
        self._broken_connections = 0

    def recover(self) -> None:
        act = self._run.act(self._services)
        with self._services.database.write() as session:
            dead = self._services.dead_among(store.owners_of_claims(session, act.office))
            for row_id in store.recover_stale(session, act, dead):
                open_staff_task(session, act, UNCERTAIN_MESSAGE, row_id, "RUNNER_DIED")
                self._count(row_id, MessageStatus.UNCERTAIN, "RUNNER_DIED")

    def send_all(self) -> str | None:
        """Send batch after batch; return why it stopped early, if it did."""
        batch = self._claim()
        if not batch:
            return None
        try:
            with (
                self._services.make_mailer().session() as relay,
                SendingMarks(self._services.database, self._services.owner) as marks,
            ):
                try:
                    self._send_stream(relay, marks, self._stream(batch))
                finally:
                    self._record_sent(marks)
        except _Stop as stop:
            return stop.code
        except (MailConfigError, MailRetryable) as error:
            return error.code
        finally:
            with self._services.database.write() as session:
                store.release_claims(session, self._services.office.code, self._services.owner)
        return None

    def _claim(self) -> list[Any]:
        now = self._services.clock()
        with self._services.database.write() as session:
            batch = store.claim_due(
                session,
                self._services.office.code,
                self._services.owner,
                as_of=self._run.at(now),
                now=now,
                limit=BATCH,
                tried_before=self._run.started_at,
            )
            wanted = {(row.kind, row.template_version) for row in batch} - self._bundles.keys()
            self._bundles |= store.template_bundles(session, wanted)
        return batch

    def _built(self, batch: list[Any]) -> Iterator[_Mail]:
        """Build what may be sent; suppress, with its reason, what may not be any more."""
        for row in batch:
            kind = MailKind(row.kind)
            try:
                opened = self._services.vault.open_json(row.sealed_context, f"outbox_message.sealed_context.{row.id}")
                context = context_from_json(kind, opened["context"])
                now = self._services.clock()
                reason = self._why_not(row, kind, context, now)
                data = None if reason else self._build(row, kind, context, opened["to"], now)
            except (MailTemplateError, MailBuildError, VaultError, KeyError, ValueError):
                self._settle(_Mail(row, kind, "", b""), MessageStatus(row.status), MessageStatus.FAILED, "NOT_BUILT")
                continue
            if data is None:
                self._drop(row, kind, str(reason))
            else:
                yield _Mail(row, kind, opened["to"], data)

    def _why_not(self, row: Any, kind: MailKind, context: MailContext, now: datetime) -> str | None:
        """Return why a message must not go out any more: the state is read again at the moment of sending."""
        needed = KINDS[kind].needs_booking_status
        if needed and row.booking_status not in needed:
            return f"BOOKING_{str(row.booking_status).upper()}"
        if needed and row.booking_revision != row.revision:
            return "BOOKING_CHANGED"
        # Not by the start of the run: a long outbox, or a relay that hangs, may last beyond the time of a reminder.
        if row.not_after and row.not_after <= self._run.at(now):
            return _START_PASSED if kind in _TELLS_A_START else _TOO_LATE
        if isinstance(context, _LEADS_IN) and not context.join_url:
            return _NO_JOIN_URL
        outdated = {"replaced"} | ({"booked"} if kind == MailKind.ALTERNATIVES else set())
        return f"REQUEST_{row.request_status.upper()}" if row.request_status in outdated else None

    def _build(self, row: Any, kind: MailKind, context: MailContext, recipient: str, now: datetime) -> bytes:
        office = self._services.office
        bundle = self._bundles[kind.value, row.template_version]
        rendered = self._services.templates.render(kind, context, office, bundle, version=row.template_version)
        method = KINDS[kind].calendar_method
        return build_mail(
            rendered=rendered,
            sender=office.mail_from,
            sender_name=office.name,
            recipient=recipient,
            message_id=row.message_id,
            date=now,
            calendar=_calendar(office, context, method, now) if method else None,
            calendar_method=method,
        )

    def _stream(self, batch: list[Any]) -> Iterator[_Mail]:
        while batch:
            yield from self._built(batch)
            batch = self._claim()

    def _send_stream(self, relay: MailSession, marks: SendingMarks, mails: Iterator[_Mail]) -> None:
        """Send one after another, one round trip a mail.

        The next envelope travels with the present body, and the mail after it is built while the relay answers.
        """
        begun: _Mail | None = None
        built: deque[_Mail] = deque()
        while True:
            _fill(built, mails, 1)
            following = built[0] if built else None
            if begun is None:
                if following is None:
                    return
                self._reconnect(relay)
                built.popleft()
                envelope = (self._services.office.mail_from, following.recipient)
                begun = following if self._settled_begin(relay, following, partial(relay.begin, *envelope)) else None
            elif not self._give(relay, marks, begun, following):
                begun = None
            else:
                try:
                    if len(built) < 2:
                        _fill(built, mails, _BUILT_AHEAD)
                finally:
                    # Whatever happened to the mail after the next: the relay has a body, and what it says must be kept.
                    self._take_answer(relay, begun)
                begun = None
                if following is not None and relay.is_usable:
                    built.popleft()
                    begun = following if self._settled_begin(relay, following, relay.begin_following) else None

    def _settled_begin(self, relay: MailSession, mail: _Mail, begin: Callable[[], None]) -> bool:
        """Bring an envelope up to the relay's 354; False when it was refused, which is then settled."""
        status = MessageStatus(mail.row.status)
        try:
            begin()
        except MailRejected as error:
            self._settle(mail, status, MessageStatus.FAILED, error.code)
        except MailRetryable as error:
            self._settle_retry(mail, status, error.code)
        else:
            return True
        self._reconnect(relay)
        return False

    def _give(self, relay: MailSession, marks: SendingMarks, mail: _Mail, following: _Mail | None) -> bool:
        """Mark `sending` and hand over the body; False when that was not to be, which is then settled."""
        act = self._run.act(self._services)
        sent, self._pending_sent = self._pending_sent, []
        if not marks.mark(act, sent=sent, sending=(mail.row.id, mail.kind, mail.row.status)):
            relay.abort()
            self._settle_changed(mail.row.id)
            if following is not None:
                # Not by `_reconnect`: the relay has done nothing wrong.
                relay.reconnect()
            return False
        ahead = (self._services.office.mail_from, following.recipient) if following else None
        return self._settled_dot(mail, lambda: relay.give(mail.data, ahead))

    def _take_answer(self, relay: MailSession, mail: _Mail) -> None:
        """Settle a mail by the relay's answer to its final dot."""
        if self._settled_dot(mail, relay.answer_to_dot):
            self._pending_sent.append(mail.row.id)
            self.report.counts[MessageStatus.SENT.value] += 1
            self._broken_connections = 0

    def _settled_dot(self, mail: _Mail, act: Callable[[], object]) -> bool:
        """Do what may fail around the final dot; False when it failed, which is then settled."""
        sending = MessageStatus.SENDING
        try:
            act()
        except MailUncertain as error:
            self._settle(mail, sending, MessageStatus.UNCERTAIN, error.code)
        except MailRejected as error:
            self._settle(mail, sending, MessageStatus.FAILED, error.code)
        except MailRetryable as error:
            self._settle_retry(mail, sending, error.code)
        else:
            return True
        return False

    def _reconnect(self, relay: MailSession) -> None:
        """Open a new connection where the old one is dead; stop the run when the relay keeps failing."""
        if relay.is_usable:
            return
        self._broken_connections += 1
        if self._broken_connections >= _CONNECTION_TRIES:
            raise _Stop("SMTP_UNUSABLE")
        relay.reconnect()

    def _settle_retry(self, mail: _Mail, old: MessageStatus, code: str) -> None:
        used_up = mail.row.attempts + 1 >= self._services.office.max_send_attempts
        self._settle(mail, old, MessageStatus.FAILED if used_up else MessageStatus.RETRYING, code)

    def _settle(self, mail: _Mail, old: MessageStatus, new: MessageStatus, code: str) -> None:
        log.warning("message %s: %s %s", mail.row.id, new.value, code)
        act = self._run.act(self._services)
        # The mark `sending` has counted the attempt already.
        attempted = old != MessageStatus.SENDING
        with self._services.database.write() as session:
            store.settle(session, act, [Settled(mail.row.id, old, new, code, attempted)], self._services.owner)
            task = {MessageStatus.FAILED: FAILED_MESSAGE, MessageStatus.UNCERTAIN: UNCERTAIN_MESSAGE}.get(new)
            if task:
                open_staff_task(session, act, task, mail.row.id, code)
        self._count(mail.row.id, new, code)

    def _settle_changed(self, row_id: str) -> None:
        """Settle a message whose booking was cancelled or moved after the claim; leave one that somebody took over."""
        with self._services.database.read() as session:
            row = store.claimed_message(session, row_id, self._services.owner)
        if row is None:
            return
        kind = MailKind(row.kind)
        opened = self._services.vault.open_json(row.sealed_context, f"outbox_message.sealed_context.{row.id}")
        reason = self._why_not(row, kind, context_from_json(kind, opened["context"]), self._services.clock())
        if reason:
            self._drop(row, kind, reason)

    def _drop(self, row: Any, kind: MailKind, reason: str) -> None:
        """Settle a message that must not go out: missed if late and of no more use, else suppressed."""
        act = self._run.act(self._services)
        new = KINDS[kind].too_late if reason in {_START_PASSED, _TOO_LATE} else MessageStatus.SUPPRESSED
        with self._services.database.write() as session:
            store.settle(session, act, [Settled(row.id, MessageStatus(row.status), new, reason)], self._services.owner)
            if new == MessageStatus.SUPPRESSED and reason in {_START_PASSED, _TOO_LATE, _NO_JOIN_URL}:
                # The person was never told: somebody has to.
                open_staff_task(session, act, UNSENT_MESSAGE, row.id, reason)
        self.report.counts[new.value] += 1

    def _count(self, row_id: str, status: MessageStatus, code: str) -> None:
        self.report.counts[status.value] += 1
        if status in {MessageStatus.UNCERTAIN, MessageStatus.FAILED}:
            self.report.incomplete.append((row_id, code))

    def _record_sent(self, marks: SendingMarks) -> None:
        sent, self._pending_sent = self._pending_sent, []
        if sent:
            marks.mark(self._run.act(self._services), sent=sent, sending=None)

    def report_unsettled(self, stopped: str | None) -> None:
        """Name every message that is due and still not settled: retrying, held by another runner, or not reached."""
        now = self._services.clock()
        with self._services.database.read() as session:
            for row in store.unsent_due(session, self._services.office.code, self._run.at(now)):
                if row.claim_owner and self._services.is_alive(row.claim_owner) is True:
                    # That runner is at it and will report it.
                    continue
                waiting = "CLAIMED_ELSEWHERE" if row.claim_owner else stopped or row.reason or "NOT_REACHED"
                self.report.incomplete.append((row.id, waiting))


def _calendar(office: Office, context: MailContext, method: str, now: datetime) -> bytes:
    """Return the calendar file that enters, changes or takes out a session; one UID a booking, whatever happens to it.

    A cancellation counts above every entry of its booking: some calendars drop what does not.
    """
    if not isinstance(context, ConfirmedContext | ChangedContext | CancelledContext):
        raise MailBuildError(f"{type(context).__name__}: says nothing that a calendar could hold")
    is_gone = isinstance(context, CancelledContext)
    return session_calendar(
        uid=f"{context.reference}@{office.mail_domain}",
        sequence=context.revision if is_gone else context.revision - 1,
        method=method,
        start=context.start,
        end=context.start + SESSION,
        stamp=now,
        summary="オンライン職業相談（Zoom）" if office.subject_names_purpose else "ご予約（Zoom）",
        description=f"{office.name}\nお問い合わせ・キャンセルはお電話で: {office.telephone}",
        url="" if isinstance(context, CancelledContext) else context.join_url,
        organizer=(office.name, office.mail_from),
    )


def _fill(built: deque[_Mail], mails: Iterator[_Mail], count: int) -> None:
    while len(built) < count and (mail := next(mails, None)) is not None:
        built.append(mail)
