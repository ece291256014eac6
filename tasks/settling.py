"""What the outcome of a row causes: its person, consents, mails, and what waits for staff, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from madoguchi.domain.application import REASONS, Application, Flag, Outcome, Reason
from madoguchi.domain.intake import Resolution
from madoguchi.domain.lifecycle import REQUEST_ARROWS, RequestStatus
from madoguchi.domain.message import IncompleteContext, MailKind, MissingPart
from madoguchi.domain.standing import standing
from madoguchi.store import intake as store
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.models import Consent, StaffTask
from madoguchi.store.outbox import NewMessage, pin_template, queue_messages
from madoguchi.store.restoring import newest_loss
from madoguchi.store.restrictions import pasts_of
from madoguchi.store.runs import close_staff_tasks
from madoguchi.store.terms import SERVICE_TERMS, ZOOM_TERMS, in_force_at, versions_of
from madoguchi.store.transitions import move_request
from madoguchi.store.types import new_id
from tasks.wiring import Run, Services

REVIEW_REQUEST = "review-request"
CALL_APPLICANT = "call-applicant"
SWITCH_REGISTRATION = "switch-registration"
OFFICE_FAULT = "office-fault"

_STATUS = {
    Outcome.ACCEPT: RequestStatus.RECEIVED,
    Outcome.NEEDS_REVIEW: RequestStatus.IN_REVIEW,
    Outcome.REJECT: RequestStatus.REJECTED,
    Outcome.SKIP: RequestStatus.SKIPPED,
}
_BASIS = {"given": "checkbox", "deemed": "preamble, Art. 6"}


@dataclass(slots=True)
class _Effects:
    """Rows to write at the end of a chunk, table by table.

    Mails are due at the run's `as_of`, not when they were queued: a rerun at the same business time finds them due.
    """

    due_at: datetime
    updates: list[dict[str, Any]] = field(default_factory=list)
    clients: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    consents: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    audit: list[dict[str, Any]] = field(default_factory=list)
    messages: list[NewMessage] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A staged row with its final outcome and what could be read in it."""

    row: Any
    resolution: Resolution
    application: Application
    findings: Sequence[Reason]
    flags: frozenset[str]


def by_standing(
    services: Services, run: Run, session: Session, rows: Sequence[tuple[Any, Resolution]]
) -> list[tuple[Any, Resolution]]:
    """Let a person decide about accepted rows of people who are restricted or were absent repeatedly (Art. 6(3)).

    Never a refusal, and nobody else's row changes. Asks the record only about people whom it knows: two queries for
    each 500 of them.
    """
    accepted = [row for row, found in rows if found.outcome == Outcome.ACCEPT and row.number_index]
    people = store.clients_by_number(session, services.office.code, [bytes(row.number_index) for row in accepted])
    pasts = pasts_of(session, services.office.code, people.values())
    if not pasts:
        return list(rows)
    policy = services.office.standing
    reasons: dict[bytes, Reason] = {}
    for number, client_id in people.items():
        if client_id in pasts:
            past = pasts[client_id]
            found = standing(
                past.no_show_days,
                past.restrictions,
                as_of=run.as_of,
                counts_for_days=policy.counts_for_days,
                review_after=policy.review_after,
            )
            if found.reason:
                reasons[number] = Reason(found.reason)
    accepted_ids = {row.id for row in accepted}
    return [
        (row, _to_staff(resolution, reasons[bytes(row.number_index)]))
        if row.id in accepted_ids and bytes(row.number_index) in reasons
        else (row, resolution)
        for row, resolution in rows
    ]


_ANSWERED = frozenset({Outcome.ACCEPT, Outcome.REJECT})
"""Outcomes after which the applicant hears something by mail."""


def by_restore(
    services: Services, session: Session, rows: Sequence[tuple[Any, Resolution]]
) -> list[tuple[Any, Resolution]]:
    """Let a person decide about rows that may have been answered by a record that was lost.

    Those that were sent before the loss, or nobody knows when, and are read only now, after the backup was restored:
    the applicant may hold a link, and a second one would send somebody to the wrong session.
    """
    lost_at = newest_loss(session, services.office.code)
    if lost_at is None:
        return list(rows)
    return [
        (row, _to_staff(found, Reason.RESTORED))
        if found.outcome in _ANSWERED and (row.submitted_at is None or row.submitted_at <= lost_at)
        else (row, found)
        for row, found in rows
    ]


def _to_staff(resolution: Resolution, reason: Reason) -> Resolution:
    """Return a resolution for staff instead; a waiting request that it would have replaced waits on beside it."""
    changed = replace(resolution, outcome=Outcome.NEEDS_REVIEW, reason=reason)
    if Flag.REPLACES_WAITING not in resolution.flags:
        return changed
    flags = resolution.flags - {Flag.REPLACES_WAITING} | {Flag.RELATED_WAITING}
    return replace(changed, flags=flags, supersedes=())


def settle_rows(
    services: Services,
    run: Run,
    session: Session,
    rows: Sequence[tuple[Any, Resolution]],
    references: Sequence[str],
) -> None:
    """Write final outcomes of staged rows and all that they cause, in the caller's transaction.

    `references` gives the reference of each position that a resolution may point to.
    """
    act = run.act(services)
    effects = _Effects(run.as_of)
    people = store.clients_by_number(
        session, act.office, [bytes(row.number_index) for row, _ in rows if row.number_index]
    )
    for row, resolution in rows:
        values = services.vault.open_json(row.sealed_values, f"booking_request.sealed_values.{row.id}")
        judged = _Judged(
            row,
            resolution,
            Application.from_json(values["application"]),
            [Reason(finding) for finding in values["findings"]],
            frozenset(row.flags) | resolution.flags,
        )
        client_id = _person(services, act, effects, people, judged)
        _settle(act, effects, judged, client_id, _reference(resolution.relates_to, references))
        if resolution.outcome == Outcome.REJECT:
            _tell(services, act, effects, judged)
    _write(services, session, act, effects)


def _settle(act: Act, effects: _Effects, judged: _Judged, client_id: str | None, relates_to: str | None) -> None:
    row, resolution = judged.row, judged.resolution
    status = _status(resolution)
    effects.updates.append(
        {
            "id": row.id,
            "outcome": resolution.outcome.value,
            "reason": resolution.reason.value if resolution.reason else None,
            "flags": sorted(judged.flags),
            "status": status.value,
            "relates_to": relates_to,
            "client_id": client_id,
        }
    )
    effects.audit.append(
        audit_row(
            act,
            "request",
            row.reference,
            "transition",
            old=RequestStatus.STAGED.value,
            new=status.value,
            reason=resolution.reason,
        )
    )
    if resolution.outcome == Outcome.ACCEPT:
        effects.consents += _consents(act, row, judged.application)
        if Flag.ONLINE_REGISTRANT in judged.flags:
            effects.tasks.append(_task(act, SWITCH_REGISTRATION, row.reference, None))
    elif resolution.outcome == Outcome.NEEDS_REVIEW:
        effects.tasks.append(_task(act, REVIEW_REQUEST, row.reference, resolution.reason))


def _status(resolution: Resolution) -> RequestStatus:
    if resolution.reason and REASONS[resolution.reason].next_step == "alternatives_mail":
        return RequestStatus.TO_OFFER
    return _STATUS[resolution.outcome]


def _reference(relates_to: int | str | None, references: Sequence[str]) -> str | None:
    return references[relates_to] if isinstance(relates_to, int) else relates_to


def _person(services: Services, act: Act, effects: _Effects, people: dict[bytes, str], judged: _Judged) -> str | None:
    application = judged.application
    named = judged.row.number_index and application.name
    if not named or judged.resolution.outcome not in {Outcome.ACCEPT, Outcome.NEEDS_REVIEW}:
        return None
    number = bytes(judged.row.number_index)
    known = people.get(number)
    if known:
        return known
    row_id = new_id()
    personal = {
        "name": application.name,
        "kana": application.kana,
        "job_seeker_number": application.job_seeker_number,
    }
    effects.clients[number] = {
        "id": row_id,
        "office": act.office,
        "number_index": number,
        "sealed_personal": services.vault.seal_json(personal, f"client.sealed_personal.{row_id}"),
        "created_at": act.happened_at,
    }
    people[number] = row_id
    return row_id


def _consents(act: Act, row: Any, application: Application) -> list[dict[str, Any]]:
    """Two deemed consents, kept apart: to the office's terms by applying (Art. 6), to Zoom's by applying and using."""
    return [
        {
            "id": new_id(),
            "office": act.office,
            "request_id": row.id,
            "document": document,
            "basis": basis,
            "channel": f"form:{row.source}",
            "consented_at": row.submitted_at,
            "recorded_at": act.recorded_at,
        }
        for document, basis in (
            (SERVICE_TERMS, _BASIS[application.consent]),
            (ZOOM_TERMS, "Art. 4, by applying and using"),
        )
    ]


def _task(act: Act, kind: str, subject: str, reason: str | None) -> dict[str, Any]:
    return {
        "id": new_id(),
        "office": act.office,
        "kind": kind,
        "subject": subject,
        "reason": reason,
        "opened_at": act.happened_at,
    }


def _tell(services: Services, act: Act, effects: _Effects, judged: _Judged) -> None:
    """Ask the applicant for what is missing, by mail or, without a usable address, by telephone through staff."""
    reason = judged.resolution.reason
    step = REASONS[reason].next_step if reason else "none"
    if step == "none":
        return
    application, row = judged.application, judged.row
    if not mailable(application, judged.flags):
        effects.tasks.append(_task(act, CALL_APPLICANT, row.reference, reason))
        return
    if step == "incomplete_mail":
        parts = {part.value for part in MissingPart}
        context = IncompleteContext(
            recipient_name=application.name or "",
            missing=tuple(MissingPart(f.value) for f in judged.findings if f.value in parts),
            reference=row.reference,
            revision=1,
        )
        effects.messages.append(
            NewMessage(
                kind=MailKind.INCOMPLETE,
                subject=row.reference,
                revision=1,
                recipient=application.email or "",
                context=context.to_json(),
                template_version=services.templates.version(MailKind.INCOMPLETE),
                due_at=effects.due_at,
                request_id=row.id,
            )
        )


def mailable(application: Application, flags: frozenset[str]) -> bool:
    """Tell whether the address may be written to: there is one, and nothing about it is in doubt."""
    return bool(application.email) and Flag.EMAIL_DOUBTFUL not in flags


def _write(services: Services, session: Session, act: Act, effects: _Effects) -> None:
    store.add_clients(session, list(effects.clients.values()))
    store.finish_rows(session, effects.updates)
    _write_consents(session, act, effects.consents)
    if effects.tasks:
        session.execute(insert(StaffTask), effects.tasks)
    if effects.messages:
        pin_templates(services, session, {message.kind for message in effects.messages})
        queue_messages(session, services.vault, effects.messages, act, services.office.mail_domain)
    write_audit(session, effects.audit)


def _write_consents(session: Session, act: Act, rows: list[dict[str, Any]]) -> None:
    """A consent names the version that was in force when the application was sent, not when it was read."""
    versions = {document: versions_of(session, act.office, document) for document in {row["document"] for row in rows}}
    for row in rows:
        row["terms_id"] = in_force_at(versions[row["document"]], row["document"], row["consented_at"]).id
    if rows:
        session.execute(insert(Consent), rows)


def pin_templates(services: Services, session: Session, kinds: set[MailKind]) -> Mapping[MailKind, str]:
    """Keep the present template version of each kind and return it: queued mail goes out as it was meant."""
    versions = {}
    for kind in kinds:
        versions[kind] = services.templates.version(kind)
        # Another runner may be pinning the same version just now; then it is there, which is all that we want.
        with suppress(IntegrityError), session.begin_nested():
            pin_template(session, kind, versions[kind], services.templates.bundle(kind), services.clock())
    return versions


def replace_requests(session: Session, act: Act, references: set[str]) -> set[str]:
    """Close requests that a later version or application replaces; return those that are settled one way or another.

    A booked one is never closed by this: confirmed sessions are not moved by a form (Art. 6(3)).
    """
    settled = set()
    for request in store.requests_by_reference(session, act.office, sorted(references)):
        status = RequestStatus(request.status)
        if status == RequestStatus.STAGED:
            continue
        settled.add(request.reference)
        if RequestStatus.REPLACED in REQUEST_ARROWS[status]:
            move_request(session, request, RequestStatus.REPLACED, act, "SUPERSEDED")
            close_staff_tasks(session, act, request.reference)
    return settled
