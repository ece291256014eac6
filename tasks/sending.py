"""One connection to the relay, one mail after another: begun, marked, given, answered, marked again.

What is sent, and when, is the caller's `Outgoing`; what became of it goes into the caller's report.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from madoguchi.adapters.smtp import MailConfigError, MailRejected, MailRetryable, MailSession, MailUncertain
from madoguchi.domain.message import MessageStatus
from madoguchi.store import outbox as store
from madoguchi.store.outbox import Settled
from madoguchi.store.runs import open_staff_task
from madoguchi.store.sending_marks import SendingMarks
from tasks.mail_building import ADDRESS_BOUNCED, NO_JOIN_URL, START_PASSED, TOO_LATE, Mail, MailBuilder, NotSent
from tasks.wiring import Run, Services

UNCERTAIN_MESSAGE = "uncertain-message"
FAILED_MESSAGE = "failed-message"
UNSENT_MESSAGE = "unsent-message"

_CONNECTION_TRIES = 3
_NOT_TOLD: Final = frozenset({START_PASSED, TOO_LATE, NO_JOIN_URL, ADDRESS_BOUNCED})
"""The person was never told: somebody has to."""
_TASKS: Final = {MessageStatus.FAILED: FAILED_MESSAGE, MessageStatus.UNCERTAIN: UNCERTAIN_MESSAGE}
_LEFT_OVER: Final = "SMTP_DROPPED_BEFORE_DOT"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class DeliveryReport:
    """What one round of delivery did: messages by status, and those that are not settled, each with a reason code.

    `listed`: so many of these are named at most; None: all.
    """

    counts: Counter[str] = field(default_factory=Counter)
    incomplete: list[tuple[str, str]] = field(default_factory=list)
    listed: int | None = None

    def count(self, row_id: str, status: MessageStatus, code: str) -> None:
        """Count a message that did not simply go out."""
        self.counts[status.value] += 1
        is_full = self.listed is not None and len(self.incomplete) >= self.listed
        if status in {MessageStatus.UNCERTAIN, MessageStatus.FAILED} and not is_full:
            self.incomplete.append((row_id, code))


class Outgoing(Protocol):
    """The mails of one connection, in the order in which they may leave."""

    def first(self) -> Mail | None:
        """Return the next mail that may leave now, the same until it is taken; None when none may at the moment."""

    def take(self) -> None:
        """Take the first one off."""

    def prepare(self) -> None:
        """Do work that can be done while the relay answers."""

    def wait(self) -> bool:
        """Wait until a mail may leave, or something else changes; False when there is nothing more to wait for."""


class _Stop(Exception):  # noqa: N818 — named by what happens
    """The relay cannot be used in this run; the rest waits for the next one."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Sender:
    """Sends over one connection of its own under one claim owner. Not shared between threads.

    `at_once`: so many messages are marked `sending` in one transaction, and may so be in doubt after a crash: 1 or 2.
    """

    def __init__(
        self,
        services: Services,
        run: Run,
        owner: str,
        builder: MailBuilder,
        report: DeliveryReport,
        *,
        at_once: int = 1,
    ) -> None:
        self._services = services
        self._run = run
        self._owner = owner
        self._builder = builder
        self._report = report
        self._at_once = at_once
        self._pending_sent: list[str] = []
        self._promised: Mail | None = None
        """Marked as `sending` together with the mail before it, and not given yet."""
        self._broken_connections = 0

    def send(self, outgoing: Outgoing) -> str | None:
        """Send until nothing is left and return None, or why it stopped early. Lifts the owner's claims at the end."""
        try:
            if outgoing.first() is None and not outgoing.wait():
                return None
            with (
                self._services.make_mailer().session() as relay,
                SendingMarks(self._services.database, self._owner) as marks,
            ):
                try:
                    self._send_stream(relay, marks, outgoing)
                finally:
                    self._record_sent(marks)
                    self._take_back()
        except _Stop as stop:
            return stop.code
        except (MailConfigError, MailRetryable) as error:
            return error.code
        finally:
            with self._services.database.write() as session:
                store.release_claims(session, self._services.office.code, self._owner)
        return None

    def drop(self, unsent: NotSent) -> None:
        """Settle a message that must not go out, or cannot be built."""
        row, status = unsent.row, unsent.status
        if status == MessageStatus.FAILED:
            self._settle(Mail(row, unsent.kind, "", b""), MessageStatus(row.status), status, unsent.reason)
            return
        act = self._run.act(self._services)
        with self._services.database.write() as session:
            settled = Settled(row.id, MessageStatus(row.status), status, unsent.reason)
            store.settle(session, act, [settled], self._owner)
            # Of a notice to everybody the proof of notice says who has to be told otherwise.
            if status == MessageStatus.SUPPRESSED and unsent.reason in _NOT_TOLD and not row.lane:
                open_staff_task(session, act, UNSENT_MESSAGE, row.id, unsent.reason)
        self._report.count(row.id, status, unsent.reason)

    def _send_stream(self, relay: MailSession, marks: SendingMarks, outgoing: Outgoing) -> None:
        """Send one after another, one round trip a mail.

        The next envelope travels with the present body, and the mail after it is built while the relay answers.
        """
        begun: Mail | None = None
        while True:
            following = outgoing.first()
            if begun is None:
                if following is None:
                    # What was accepted is not left in doubt while nothing happens.
                    self._record_sent(marks)
                    if not outgoing.wait():
                        return
                    self._look_after(relay)
                    continue
                self._reconnect(relay)
                outgoing.take()
                envelope = (self._services.office.mail_from, following.recipient)
                begun = following if self._settled_begin(relay, following, partial(relay.begin, *envelope)) else None
                continue
            is_given, following = self._marked_and_given(relay, marks, outgoing, begun, following)
            if not is_given:
                begun = None
                continue
            try:
                outgoing.prepare()
            finally:
                # Whatever happened to the mail after the next: the relay has a body, and what it says must be kept.
                self._take_answer(relay, begun)
            begun = None
            if following is not None and relay.is_usable:
                outgoing.take()
                begun = following if self._settled_begin(relay, following, relay.begin_following) else None
            elif following is not None and following.is_marked:
                outgoing.take()
                self._take_back()

    def _settled_begin(self, relay: MailSession, mail: Mail, begin: Callable[[], None]) -> bool:
        """Bring an envelope up to the relay's 354; False when it was refused, which is then settled."""
        status = MessageStatus.SENDING if mail.is_marked else MessageStatus(mail.row.status)
        try:
            begin()
        except MailRejected as error:
            self._settle(mail, status, MessageStatus.FAILED, error.code)
        except MailRetryable as error:
            self._settle_retry(mail, status, error.code)
        else:
            return True
        self._promised = None
        self._reconnect(relay)
        return False

    def _marked_and_given(
        self, relay: MailSession, marks: SendingMarks, outgoing: Outgoing, mail: Mail, following: Mail | None
    ) -> tuple[bool, Mail | None]:
        """Mark what was begun as `sending` and hand over its body; False when that was not to be, which is settled.

        Returns also the mail that follows it, which the state may meanwhile forbid.
        """
        if not mail.is_marked:
            group = [mail] if following is None or self._at_once == 1 else [mail, following]
            allowed = self._mark(marks, group)
            if allowed == 0:
                relay.abort()
                self._settle_changed(mail.row.id)
                if following is not None:
                    # Not by `_reconnect`: the relay has done nothing wrong.
                    relay.reconnect()
                return False, following
            if allowed < len(group):
                outgoing.take()
                self._settle_changed(group[-1].row.id)
                following = None
            elif len(group) > 1:
                self._promised = following
        if mail is self._promised:
            self._promised = None
        ahead = (self._services.office.mail_from, following.recipient) if following else None
        return self._settled_dot(mail, lambda: relay.give(mail.data, ahead)), following

    def _mark(self, marks: SendingMarks, group: list[Mail]) -> int:
        sent, self._pending_sent = self._pending_sent, []
        wanted = [(each.row.id, each.kind, each.row.status) for each in group]
        allowed = marks.mark(self._run.act(self._services), sent=sent, sending=wanted)
        for mail in group[:allowed]:
            mail.is_marked = True
        return allowed

    def _take_answer(self, relay: MailSession, mail: Mail) -> None:
        """Settle a mail by the relay's answer to its final dot."""
        if self._settled_dot(mail, relay.answer_to_dot):
            self._pending_sent.append(mail.row.id)
            self._report.counts[MessageStatus.SENT.value] += 1
            self._broken_connections = 0

    def _settled_dot(self, mail: Mail, act: Callable[[], object]) -> bool:
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

    @staticmethod
    def _look_after(relay: MailSession) -> None:
        """Find out after a pause whether the relay has left: before a mail is begun, that costs no attempt."""
        with suppress(MailRetryable):
            relay.noop()

    def _take_back(self) -> None:
        """Settle a mail that was marked with the one before it and then surely not given."""
        promised, self._promised = self._promised, None
        if promised is not None:
            self._settle_retry(promised, MessageStatus.SENDING, _LEFT_OVER)

    def _settle_retry(self, mail: Mail, old: MessageStatus, code: str) -> None:
        used_up = mail.row.attempts + 1 >= self._services.office.max_send_attempts
        self._settle(mail, old, MessageStatus.FAILED if used_up else MessageStatus.RETRYING, code)

    def _settle(self, mail: Mail, old: MessageStatus, new: MessageStatus, code: str) -> None:
        log.warning("message %s: %s %s", mail.row.id, new.value, code)
        act = self._run.act(self._services)
        # The mark `sending` has counted the attempt already.
        attempted = old != MessageStatus.SENDING
        with self._services.database.write() as session:
            store.settle(session, act, [Settled(mail.row.id, old, new, code, attempted)], self._owner)
            task = _TASKS.get(new)
            # Refused notices are many and alike: the proof of notice lists them. One in doubt waits for a person.
            if task and not (mail.row.lane and new == MessageStatus.FAILED):
                open_staff_task(session, act, task, mail.row.id, code)
        self._report.count(mail.row.id, new, code)

    def _settle_changed(self, row_id: str) -> None:
        """Settle a message that the mark forbade; leave one that somebody took over."""
        with self._services.database.read() as session:
            row = store.claimed_message(session, row_id, self._owner)
        unsent = self._builder.judged_again(row) if row is not None else None
        if unsent is not None:
            self.drop(unsent)

    def _record_sent(self, marks: SendingMarks) -> None:
        sent, self._pending_sent = self._pending_sent, []
        if sent:
            marks.mark(self._run.act(self._services), sent=sent, sending=[])
