"""From a claimed row to the bytes of a mail, or to the reason why it must not go out any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy.orm import Session

from madoguchi.adapters.calendar_file import session_calendar
from madoguchi.adapters.mail_message import MailBuildError, MailToMany, build_mail
from madoguchi.adapters.mail_templates import MailTemplateError
from madoguchi.domain.amendment import AmendedContext, AmendmentStatus, NoticeContent
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
from madoguchi.domain.wording import addressee
from madoguchi.store.bounces import address_index, blocked
from madoguchi.store.notice_lanes import notice_contents
from madoguchi.store.outbox import template_bundles
from madoguchi.store.vault import VaultError
from tasks.wiring import Run, Services

NOTICES: Final = frozenset({MailKind.TERMS_AMENDED, MailKind.TERMS_WITHDRAWN})
START_PASSED, TOO_LATE, NO_JOIN_URL = "START_PASSED", "TOO_LATE", "NO_JOIN_URL"
ADDRESS_BOUNCED, AMENDMENT_WITHDRAWN, NOT_BUILT = "ADDRESS_BOUNCED", "AMENDMENT_WITHDRAWN", "NOT_BUILT"

_LEADS_IN: Final = (ConfirmedContext, ReminderContext, ChangedContext)
"""What they say is worth nothing without a join link."""
_TELLS_A_START: Final = frozenset({MailKind.CONFIRMED, MailKind.CHANGED, MailKind.ALTERNATIVES})
_PLACEHOLDER: Final = "宛名が入るところ"
_CANNOT_BE_BUILT = (MailTemplateError, MailBuildError, VaultError, KeyError, TypeError, ValueError)


@dataclass(slots=True)
class Mail:
    """A claimed message, built. `is_marked`: it stands as `sending` in the record."""

    row: Any
    kind: MailKind
    recipient: str
    data: bytes
    is_marked: bool = False


@dataclass(frozen=True, slots=True)
class NotSent:
    """A claimed message that does not go out. `status`: what it becomes."""

    row: Any
    kind: MailKind
    status: MessageStatus
    reason: str


class MailBuilder:
    """Builds the mails of one runner. Keeps what they share; not shared between threads."""

    def __init__(self, services: Services, run: Run) -> None:
        self._services = services
        self._run = run
        self._bundles: dict[tuple[str, str], dict[str, str]] = {}
        self._contents: dict[tuple[str, str], NoticeContent] = {}
        self._to_many: dict[tuple[str, str, str], MailToMany] = {}
        self._blocked: frozenset[bytes] = frozenset()

    def learn(self, session: Session, batch: Sequence[Any]) -> None:
        """Read what a claimed batch needs beyond its rows: templates, the content of amendments, blocked addresses."""
        self._bundles |= template_bundles(
            session, {(row.kind, row.template_version) for row in batch} - self._bundles.keys()
        )
        about = {(row.kind, row.amendment_id) for row in batch if row.amendment_id} - self._contents.keys()
        for key, kept in notice_contents(session, about).items():
            self._contents[key] = NoticeContent.from_json(kept)
        self._blocked = blocked(session, self._services.office.code)

    def build(self, batch: Sequence[Any]) -> Iterator[Mail | NotSent]:
        """Build what may be sent; of the rest, give what it becomes and why."""
        for row in batch:
            kind = MailKind(row.kind)
            try:
                opened, context = self._opened(row, kind)
                now = self._services.clock()
                reason = self._why_not(row, kind, context, opened["to"], now)
                data = None if reason else self._bytes(row, kind, context, opened["to"], now)
            except _CANNOT_BE_BUILT:
                yield NotSent(row, kind, MessageStatus.FAILED, NOT_BUILT)
                continue
            if data is None:
                yield _dropped(row, kind, str(reason))
            else:
                yield Mail(row, kind, opened["to"], data)

    def judged_again(self, row: Any) -> NotSent | None:
        """Return what becomes of a row that was read anew; None when nothing speaks against sending it."""
        kind = MailKind(row.kind)
        opened, context = self._opened(row, kind)
        reason = self._why_not(row, kind, context, opened["to"], self._services.clock())
        return _dropped(row, kind, reason) if reason else None

    def _opened(self, row: Any, kind: MailKind) -> tuple[dict[str, Any], MailContext]:
        opened = self._services.vault.open_json(row.sealed_context, f"outbox_message.sealed_context.{row.id}")
        values = opened["context"]
        if kind in NOTICES:
            values = values | {"content": self._contents[row.kind, row.amendment_id]}
        return opened, context_from_json(kind, values)

    def _why_not(self, row: Any, kind: MailKind, context: MailContext, recipient: str, now: datetime) -> str | None:
        """Return why a message must not go out any more: the state is read again at the moment of sending."""
        if gone := _gone(row, kind):
            return gone
        # Not by the start of the run: a long outbox, or a relay that hangs, may last beyond the time of a reminder.
        if row.not_after and row.not_after <= self._run.at(now):
            return START_PASSED if kind in _TELLS_A_START else TOO_LATE
        if isinstance(context, _LEADS_IN) and not context.join_url:
            return NO_JOIN_URL
        is_blocked = self._blocked and address_index(self._services.vault, recipient) in self._blocked
        return ADDRESS_BOUNCED if is_blocked else None

    def _bytes(self, row: Any, kind: MailKind, context: MailContext, recipient: str, now: datetime) -> bytes:
        if isinstance(context, AmendedContext):
            return self._shared(row, kind, context).build(
                salutation=addressee(context.recipient_name), recipient=recipient, message_id=row.message_id, date=now
            )
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

    def _shared(self, row: Any, kind: MailKind, context: AmendedContext) -> MailToMany:
        """Return what all mails about an amendment share; made from the first, and checked against it."""
        key = (row.kind, row.amendment_id, row.template_version)
        known = self._to_many.get(key)
        if known is not None:
            return known
        office, templates = self._services.office, self._services.templates
        bundle, version = self._bundles[kind.value, row.template_version], row.template_version
        blank = type(context)(recipient_name=_PLACEHOLDER, content=context.content)
        rendered = templates.render(kind, blank, office, bundle, version=version)
        made = MailToMany(rendered, addressee(_PLACEHOLDER), sender=office.mail_from, sender_name=office.name)
        whole = templates.render(kind, context, office, bundle, version=version)
        if (
            made.said(addressee(context.recipient_name)) != (whole.text, whole.html)
            or whole.subject != rendered.subject
        ):
            raise MailTemplateError(f"email/{kind} at version {version}: differs in more than the salutation")
        self._to_many[key] = made
        return made


def _gone(row: Any, kind: MailKind) -> str | None:
    """Return the reason when what a message speaks of is no longer so."""
    needed = KINDS[kind].needs_booking_status
    if needed and row.booking_status not in needed:
        return f"BOOKING_{str(row.booking_status).upper()}"
    if needed and row.booking_revision != row.revision:
        return "BOOKING_CHANGED"
    if kind == MailKind.TERMS_AMENDED and row.amendment_status == AmendmentStatus.WITHDRAWN:
        return AMENDMENT_WITHDRAWN
    outdated = {"replaced"} | ({"booked"} if kind == MailKind.ALTERNATIVES else set())
    return f"REQUEST_{row.request_status.upper()}" if row.request_status in outdated else None


def _dropped(row: Any, kind: MailKind, reason: str) -> NotSent:
    """A message that is late and of no more use is missed, any other suppressed."""
    late = reason in {START_PASSED, TOO_LATE}
    return NotSent(row, kind, KINDS[kind].too_late if late else MessageStatus.SUPPRESSED, reason)


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
