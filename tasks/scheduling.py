"""Open requests get slots, or other times are offered; nobody who came earlier loses a place to a later one."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from madoguchi.domain.alternatives import answer_by, offer
from madoguchi.domain.application import Application, Reason
from madoguchi.domain.calendar import SESSION
from madoguchi.domain.lifecycle import RequestStatus
from madoguchi.domain.matching import Wanted, assign, assign_resources
from madoguchi.domain.message import AlternativesContext, MailKind, WhyNot
from madoguchi.domain.office import JST
from madoguchi.domain.reference import new_reference
from madoguchi.store import bookings as store
from madoguchi.store.audit import Act
from madoguchi.store.models import BookingRequest
from madoguchi.store.outbox import NewMessage, queue_messages
from madoguchi.store.runs import open_staff_task
from madoguchi.store.transitions import move_request
from tasks.settling import CALL_APPLICANT, OFFICE_FAULT, REVIEW_REQUEST, mailable, pin_templates
from tasks.wiring import Run, Services

_TRIES = 4


@dataclass(slots=True)
class ScheduleReport:
    """What one round of scheduling did: references of bookings held, and how many others there were."""

    held: list[str] = field(default_factory=list)
    offered: int = 0
    waiting: int = 0
    lapsed: int = 0


@dataclass(frozen=True, slots=True)
class _Free:
    """Who is free at each bookable start."""

    counsellors: Mapping[datetime, Sequence[str]]
    hosts: Mapping[datetime, Sequence[str]]

    def places(self, start: datetime) -> int:
        return min(len(self.counsellors.get(start, ())), len(self.hosts.get(start, ())))


def release_expired_holds(services: Services, run: Run) -> list[str]:
    """Give up holds whose session began without a verified meeting and return their references.

    The office failed here, so their applicants go to a person at once; most of them were told nothing yet.
    """
    released = []
    with services.database.write() as session:
        act = run.act(services)
        for booking in store.stale_holds(session, act.office, run.as_of):
            request = store.release_hold(session, booking, act, "NO_MEETING_IN_TIME")
            open_staff_task(session, act, REVIEW_REQUEST, request.reference, "NO_MEETING_IN_TIME")
            if booking.revision > 0:
                # Told of an earlier time or link, and now there is no meeting: somebody has to call and say sorry.
                open_staff_task(session, act, OFFICE_FAULT, booking.reference, "NO_MEETING_IN_TIME")
            released.append(booking.reference)
    return released


def schedule_requests(services: Services, run: Run) -> ScheduleReport:
    """Hold slots for as many open requests as can be served and offer other times to the rest.

    One transaction: either the whole batch has its places and messages or nothing changed. When another runner takes
    a place in between, the constraints refuse, and the round is computed again.
    """
    for attempt in range(_TRIES):
        try:
            # Not while an export is judged: it may be replacing a request that this round would book.
            with services.database.exclusive("intake"), services.database.write() as session:
                return _Round(services, run, session, run.act(services)).go()
        except IntegrityError:
            if attempt == _TRIES - 1:
                raise
    raise AssertionError("unreachable")


@dataclass(slots=True)
class _Round:
    """One round inside one transaction."""

    services: Services
    run: Run
    session: Session
    act: Act
    report: ScheduleReport = field(default_factory=ScheduleReport)

    def go(self) -> ScheduleReport:
        requests = store.open_requests(self.session, self.act.office)
        wanted = self._wanted(requests)
        free = _free(self.services, self.session, self.run.as_of)
        starts = _served(requests, wanted, free)
        self._hold(requests, starts, free)
        self._tell_the_rest([r for r in requests if r.reference not in starts], wanted)
        return self.report

    def _wanted(self, requests: Sequence[BookingRequest]) -> dict[str, tuple[datetime, ...]]:
        """Return the wishes that can still be booked, by reference: by the day before (Art. 6(1)), no slot twice."""
        own = store.active_starts(self.session, self.act.office, {r.client_id for r in requests if r.client_id})
        return {
            request.reference: tuple(
                wish for wish in self._ahead(request) if (request.client_id, wish.astimezone(UTC)) not in own
            )
            for request in requests
        }

    def _ahead(self, request: BookingRequest) -> list[datetime]:
        """Return the wishes for days after the day of the run."""
        today = self.run.as_of.astimezone(JST).date()
        wishes = (datetime.fromisoformat(wish) for wish in request.wishes)
        return [wish for wish in wishes if wish.astimezone(JST).date() > today]

    def _hold(self, requests: Sequence[BookingRequest], starts: Mapping[str, datetime], free: _Free) -> None:
        office = self.services.office
        used = store.host_budgets_used(self.session, office.code, self.act.recorded_at.astimezone(UTC).date())
        budget = {h.code: max(0, office.zoom.daily_changes_per_host - used.get(h.code, 0)) for h in office.hosts}
        places = assign_resources(starts, free.counsellors, free.hosts, budget)
        names = store.fresh_references(
            self.session, office.code, len(places), lambda: new_reference("M", secrets.randbelow)
        )
        by_reference = {request.reference: request for request in requests}
        holds = [
            (by_reference[reference], name, place.start, place.start + SESSION, place.counsellor, place.host)
            for (reference, place), name in zip(places.items(), names, strict=True)
        ]
        self.report.held = [booking.reference for booking in store.hold_slots(self.session, holds, self.act)]

    def _tell_the_rest(self, unserved: Sequence[BookingRequest], wanted: Mapping[str, tuple[datetime, ...]]) -> None:
        """Offer other times to new requests without a place and to rows that cannot be booked as wished."""
        to_offer = store.requests_to_offer(self.session, self.act.office)
        free = _free(self.services, self.session, self.run.as_of)
        offers = Offers([(start, free.places(start)) for start in free.counsellors])
        messages: list[NewMessage] = []
        for request in unserved:
            if not wanted[request.reference]:
                self._without_wishes(request)
            elif request.status == RequestStatus.RECEIVED.value:
                move_request(self.session, request, RequestStatus.WAITING, self.act, WhyNot.TAKEN)
                messages += self._offer(request, WhyNot.TAKEN, offers)
            self.report.waiting += request.status == RequestStatus.WAITING.value
        for request in to_offer:
            messages += self._offer(request, WhyNot(request.reason or ""), offers)
            move_request(self.session, request, RequestStatus.REJECTED, self.act, request.reason)
        if messages:
            pin_templates(self.services, self.session, {MailKind.ALTERNATIVES})
            office = self.services.office
            self.report.offered = queue_messages(
                self.session, self.services.vault, messages, self.act, office.mail_domain
            )

    def _without_wishes(self, request: BookingRequest) -> None:
        """Close a waiting request whose wishes have passed; one that never had its chance goes to a person.

        A wish ahead that is left out of the round is a start at which this person has a session already: a waiting
        request goes on waiting, since that session may be given up.
        """
        has_own = bool(self._ahead(request))
        if request.status != RequestStatus.WAITING.value:
            reason = Reason.DUPLICATE if has_own else Reason.LATE_INGEST
            move_request(self.session, request, RequestStatus.IN_REVIEW, self.act, reason)
            open_staff_task(self.session, self.act, REVIEW_REQUEST, request.reference, reason)
        elif not has_own:
            move_request(self.session, request, RequestStatus.LAPSED, self.act, "WISHES_PASSED")
            self.report.lapsed += 1

    def _offer(self, request: BookingRequest, why: WhyNot, offers: Offers) -> list[NewMessage]:
        application = application_of(self.services, request)
        if not mailable(application, frozenset(request.flags)):
            open_staff_task(self.session, self.act, CALL_APPLICANT, request.reference, why)
            return []
        times = offers.take(application.wishes, self.services.office.alternatives_offered, self.run.as_of)
        context = AlternativesContext(
            recipient_name=application.name or "",
            wished=application.wishes,
            why=why,
            offers=times,
            answer_by=answer_by(times, self.services.calendar, self.run.as_of) if times else None,
            reference=request.reference,
            revision=1,
        )
        return [
            NewMessage(
                kind=MailKind.ALTERNATIVES,
                subject=request.reference,
                revision=1,
                recipient=application.email or "",
                context=context.to_json(),
                template_version=self.services.templates.version(MailKind.ALTERNATIVES),
                due_at=self.run.as_of,
                # Offers that have passed help nobody.
                not_after=min(times) if times else None,
                client_id=request.client_id,
                request_id=request.id,
            )
        ]


def _free(services: Services, session: Session, as_of: datetime) -> _Free:
    """Return who is free at every start that may be booked; starts off the grid are for staff."""
    office = services.office
    starts = list(services.calendar.bookable_starts(as_of))
    if not starts:
        return _Free({}, {})
    taken = store.taken_cells(session, office.code, as_of, starts[-1] + timedelta(days=1))
    counsellors, hosts = {}, {}
    for start in starts:
        needed = store.cells(start, start + SESSION)
        day = start.astimezone(JST).date()
        counsellors[start] = tuple(
            c.code
            for c in office.counsellors
            if c.works_on(day) and taken.get(f"counsellor:{c.code}", frozenset()).isdisjoint(needed)
        )
        hosts[start] = tuple(
            h.code for h in office.hosts if taken.get(f"host:{h.code}", frozenset()).isdisjoint(needed)
        )
    return _Free(counsellors, hosts)


def free_places(services: Services, session: Session, as_of: datetime) -> list[tuple[datetime, int]]:
    """Return every start that may be booked at `as_of` with its free places, those without any too. Holds nothing."""
    free = _free(services, session, as_of)
    return [(start, free.places(start)) for start in free.counsellors]


@dataclass(slots=True)
class Offers:
    """Free places, and how often each was offered in this round: not everybody is offered the same three."""

    places: Sequence[tuple[datetime, int]]
    offered: Counter[datetime] = field(default_factory=Counter)

    def take(self, wished: Sequence[datetime], count: int, as_of: datetime) -> tuple[datetime, ...]:
        """Return up to `count` starts for one person, counted as offered (`domain.alternatives.offer`)."""
        found = offer(wished, self.places, count, as_of=as_of, already_offered=self.offered)
        self.offered.update(found)
        return found


def _served(
    requests: Sequence[BookingRequest], wanted: Mapping[str, tuple[datetime, ...]], free: _Free
) -> dict[str, datetime]:
    capacity = {start: free.places(start) for wishes in wanted.values() for start in wishes}
    starts = assign([Wanted(r.reference, wanted[r.reference]) for r in requests], capacity)
    # Two open requests of one person never share a start: the later one keeps waiting.
    served: dict[str, datetime] = {}
    seen: set[tuple[str | None, datetime]] = set()
    for request in requests:
        start = starts.get(request.reference)
        if start is not None and (request.client_id, start) not in seen:
            seen.add((request.client_id, start))
            served[request.reference] = start
    return served


def application_of(services: Services, request: BookingRequest) -> Application:
    """Return what the applicant wrote, opened for one use; never log it."""
    values = services.vault.open_json(request.sealed_values, f"booking_request.sealed_values.{request.id}")
    return Application.from_json(values["application"])
