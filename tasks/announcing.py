"""Whom an amendment concerns, how each can be told, and one notice for each: in chunks, resumable at any row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from sqlalchemy.orm import Session

from madoguchi.domain.amendment import (
    AmendedContext,
    AmendmentStatus,
    NoticeContent,
    NoticePurpose,
    WithdrawnContext,
)
from madoguchi.domain.application import Flag
from madoguchi.domain.mail_lane import lane_of
from madoguchi.domain.message import MailKind, message_key
from madoguchi.store import amendments as store
from madoguchi.store.amendments import NewNotice
from madoguchi.store.audit import Act
from madoguchi.store.bounces import address_index, blocked
from madoguchi.store.models import Amendment
from madoguchi.store.outbox import NewMessage, queue_messages
from madoguchi.store.vault import VaultError
from tasks.amendments import AMENDMENT_WITHDRAWN
from tasks.proof import open_notice_task
from tasks.settling import pin_templates
from tasks.wiring import Run, Services

CHUNK: Final = 1000
NO_ADDRESS, ADDRESS_UNUSABLE, ADDRESS_BOUNCED = "NO_ADDRESS", "ADDRESS_UNUSABLE", "ADDRESS_BOUNCED"
TOO_LATE: Final = "TOO_LATE"
UNREADABLE: Final = "APPLICATION_UNREADABLE"
_KINDS: Final = {
    NoticePurpose.ANNOUNCED: MailKind.TERMS_AMENDED,
    NoticePurpose.WITHDRAWN: MailKind.TERMS_WITHDRAWN,
}
_CONTEXTS: Final = {NoticePurpose.ANNOUNCED: AmendedContext, NoticePurpose.WITHDRAWN: WithdrawnContext}

Step = Callable[[str], None]


def _no_step(_name: str) -> None:
    return


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to be told. `reason`: why not by mail; None: by mail. Name and address never leave the step."""

    client_id: str
    reference: str
    name: str = field(repr=False)
    address: str = field(repr=False)
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """How many would be told, and how: mails by lane of the rate limit, others by the reason for it."""

    by_lane: Counter[str] = field(default_factory=Counter)
    by_reason: Counter[str] = field(default_factory=Counter)

    @property
    def mails(self) -> int:
        """Persons who get a mail."""
        return self.by_lane.total()

    @property
    def others(self) -> int:
        """Persons who have to be told by other means."""
        return self.by_reason.total()


@dataclass(slots=True)
class Queued:
    """What one round of queueing did."""

    mails: int = 0
    others: int = 0
    suppressed: int = 0


def reach_of_announcement(services: Services, run: Run) -> Reach:
    """Count whom an amendment announced now would reach. Reads every one of their applications; changes nothing."""
    at = run.at(services.clock())
    who = store.Audience(services.office.code, at - timedelta(days=services.office.terms.audience_days))
    return _reach(services, lambda session, after: store.audience(session, who, after=after, limit=CHUNK))


def id_of(services: Services, code: str) -> str | None:
    """Return the id of the amendment that brings the version `code`; None when there is none."""
    with services.database.read() as session:
        amendment = store.amendment_by_code(session, services.office.code, code)
    return amendment.id if amendment is not None else None


def reach_of_withdrawal(services: Services, code: str) -> Reach:
    """Count whom the withdrawal of an amendment would reach: who knows of it, or may."""
    amendment_id = id_of(services, code)
    if amendment_id is None:
        return Reach()
    return _reach(services, lambda session, after: store.told_of(session, amendment_id, after=after, limit=CHUNK))


def _reach(services: Services, clients: Callable[[Session, str], list[str]]) -> Reach:
    found, after = Reach(), ""
    with services.database.read() as session:
        stopped = blocked(session, services.office.code)
    while True:
        # A session a chunk: a long reading would hold an old state of the whole record.
        with services.database.read() as session:
            ids = clients(session, after)
            for person in _persons(services, session, ids, stopped):
                if person.reason is None:
                    found.by_lane[lane_of(person.address, services.office.terms)] += 1
                else:
                    found.by_reason[person.reason] += 1
        if not ids:
            return found
        after = ids[-1]


def queue_notices(
    services: Services, run: Run, code: str, purpose: NoticePurpose, *, before: Step = _no_step
) -> Queued:
    """Give everybody concerned a notice: a queued mail, or a row for staff where no mail can go. Sends nothing.

    A transaction a chunk; who has a notice is passed over, so a broken run goes on where it stopped, and two at once
    share the work. Ends with the amendment `announced`. After the effect no mail is queued any more. `before` is called
    with the name of every step: tests break off there.
    """
    done = Queued()
    if purpose == NoticePurpose.WITHDRAWN:
        done.suppressed = suppress_unsent(services, run, code, before=before)
    after: str | None = ""
    while after is not None:
        before("chunk")
        with services.database.write() as session:
            act = run.act(services)
            # Held until the chunk is committed: a withdrawal, or another run, comes before it or after it.
            amendment = store.amendment_by_code(session, act.office, code, lock=True)
            if amendment is None or not _may_tell(amendment, purpose):
                return done
            ids = _untold(services, session, amendment, purpose, after)
            if ids:
                _tell(services, session, act, amendment, purpose, ids, done)
            else:
                if amendment.status == AmendmentStatus.PUBLISHED:
                    store.move_amendment(session, act, amendment, AmendmentStatus.ANNOUNCED)
                open_notice_task(session, act, amendment.id)
            after = ids[-1] if ids else None
            before("commit")
    return done


def suppress_unsent(services: Services, run: Run, code: str, *, before: Step = _no_step) -> int:
    """Give up the mails of a withdrawn amendment that have not begun to leave; return how many."""
    suppressed = 0
    while True:
        before("suppress")
        with services.database.write() as session:
            act = run.act(services)
            amendment = store.amendment_by_code(session, act.office, code)
            if amendment is None or amendment.status != AmendmentStatus.WITHDRAWN:
                return suppressed
            count = store.suppress_unsent(session, act, amendment.id, AMENDMENT_WITHDRAWN, CHUNK)
        suppressed += count
        if not count:
            return suppressed


def _may_tell(amendment: Amendment, purpose: NoticePurpose) -> bool:
    if purpose == NoticePurpose.WITHDRAWN:
        # One that was never public has nobody who knows of it.
        return amendment.status == AmendmentStatus.WITHDRAWN and amendment.published_at is not None
    return amendment.status in {AmendmentStatus.PUBLISHED, AmendmentStatus.ANNOUNCED}


def _untold(
    services: Services, session: Session, amendment: Amendment, purpose: NoticePurpose, after: str
) -> list[str]:
    if purpose == NoticePurpose.WITHDRAWN:
        return store.told_of(session, amendment.id, after=after, limit=CHUNK)
    since = amendment.approved_at - timedelta(days=services.office.terms.audience_days)
    who = store.Audience(services.office.code, since)
    return store.audience(session, who, after=after, limit=CHUNK, untold_of=(amendment.id, purpose.value))


def _tell(  # noqa: PLR0917 — one chunk of one notice
    services: Services,
    session: Session,
    act: Act,
    amendment: Amendment,
    purpose: NoticePurpose,
    ids: Sequence[str],
    done: Queued,
) -> None:
    stopped = blocked(session, act.office)
    persons = list(_persons(services, session, ids, stopped))
    late = purpose == NoticePurpose.ANNOUNCED and act.happened_at >= amendment.effective_at
    keys = {} if late else _queue(services, session, act, amendment, purpose, persons)
    notices = [
        NewNotice(
            person.client_id,
            person.reference,
            keys.get(person.client_id),
            person.reason or (TOO_LATE if late else None),
        )
        for person in persons
    ]
    store.add_notices(session, act, amendment, purpose, notices)
    mails = sum(1 for notice in notices if notice.message_id)
    done.mails += mails
    done.others += len(notices) - mails


def _queue(
    services: Services,
    session: Session,
    act: Act,
    amendment: Amendment,
    purpose: NoticePurpose,
    persons: Sequence[Person],
) -> dict[str, str]:
    """Queue a mail for everybody who can have one; return the messages' ids by client."""
    kind, make = _KINDS[purpose], _CONTEXTS[purpose]
    version = pin_templates(services, session, {kind})[kind]
    kept = amendment.content if purpose == NoticePurpose.ANNOUNCED else amendment.withdrawal_content
    content = NoticeContent.from_json(kept)
    subjects = {p.client_id: f"{amendment.code}/{p.client_id}" for p in persons if p.reason is None}
    messages = [
        NewMessage(
            kind=kind,
            subject=subjects[person.client_id],
            revision=1,
            recipient=person.address,
            context=make(recipient_name=person.name, content=content).to_json(),
            template_version=version,
            due_at=act.happened_at,
            not_after=amendment.effective_at if purpose == NoticePurpose.ANNOUNCED else None,
            client_id=person.client_id,
            lane=lane_of(person.address, services.office.terms),
            amendment_id=amendment.id,
        )
        for person in persons
        if person.reason is None
    ]
    if not messages:
        return {}
    queue_messages(session, services.vault, messages, act, services.office.mail_domain)
    keys = {message_key(kind, subject, 1): client for client, subject in subjects.items()}
    found = store.message_ids(session, act.office, list(keys))
    return {keys[key]: message for key, message in found.items()}


def _persons(services: Services, session: Session, ids: Sequence[str], stopped: frozenset[bytes]) -> Iterator[Person]:
    """Open the newest application of each client and say how that person can be told."""
    if not ids:
        return
    requests = {row.client_id: row for row in store.newest_requests(session, ids)}
    bookings = store.latest_bookings(session, ids)
    for client in ids:
        row = requests.get(client)
        if row is None:
            yield Person(client, bookings.get(client, ""), "", "", NO_ADDRESS)
            continue
        reference = bookings.get(client) or row.reference
        try:
            # Two values of many: the whole application with its times is not needed.
            written: dict[str, Any] = services.vault.open_json(
                row.sealed_values, f"booking_request.sealed_values.{row.id}"
            )["application"]
        except (VaultError, KeyError, TypeError, ValueError):
            # One damaged row must not keep the notice from everybody after it.
            yield Person(client, reference, "", "", UNREADABLE)
            continue
        address = written.get("email") or ""
        reason = _why_no_mail(services, address, row.flags, stopped)
        yield Person(client, reference, written.get("name") or "", address, reason)


def _why_no_mail(services: Services, address: str, flags: Sequence[str], stopped: frozenset[bytes]) -> str | None:
    if not address:
        return NO_ADDRESS
    if Flag.EMAIL_DOUBTFUL.value in flags:
        return ADDRESS_UNUSABLE
    if stopped and address_index(services.vault, address) in stopped:
        return ADDRESS_BOUNCED
    return None
