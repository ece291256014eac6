"""What the rows of exports mean to each other and to what the office already holds.

Compares; does not read cells, and does not change anything. The table of arrows is in `docs/intake.md`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from madoguchi.domain.application import REASON_RANK, REASONS, Flag, Outcome, Reason

Status: TypeAlias = Literal["live", "waiting", "in_review", "closed"]
Related: TypeAlias = str | int
"""A stored request's reference, or the position of another new row."""

_NO_FLAGS: Final[frozenset[str]] = frozenset()
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_STANDING: Final = {"live": 3, "waiting": 2, "in_review": 1, "closed": 0}
_REPEATS: Final = frozenset({Reason.DUPLICATE, Reason.SUPERSEDED_BY_EDIT})


@dataclass(slots=True)
class Candidate:
    """One new row, as little of it as comparing needs. Keys may be blind indexes: they are only compared.

    `row_key` must be unique beyond its source (prefix it with source and form). `starts` are the wishes in order.
    `values_digest` covers name key, number, wishes, address, telephone, companion. `contact` is an optional key of
    the mail address: when both sides have one and they differ, a repeat is not thrown away.
    """

    position: int
    row_key: str
    content_digest: bytes
    submitted_at: datetime | None
    number: Hashable | None
    name_key: Hashable
    starts: tuple[datetime, ...]
    values_digest: bytes
    outcome: Outcome
    reason: Reason | None = None
    contact: Hashable | None = None


@dataclass(slots=True)
class Earlier:
    """A stored request.

    `status`: `live` is waiting to be booked, or booked with the session ahead; `waiting` was offered other times;
    `in_review` lies with staff; `closed` is rejected, declined, cancelled or over. `outcome`
    and `reason` are those of its intake. `booked` is the booked start, which may be a later wish.
    """

    reference: str
    status: Status
    row_key: str
    content_digest: bytes
    submitted_at: datetime | None
    number: Hashable | None
    name_key: Hashable
    starts: tuple[datetime, ...]
    values_digest: bytes
    outcome: Outcome = Outcome.ACCEPT
    reason: Reason | None = None
    contact: Hashable | None = None
    booked: datetime | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """The last word on one new row.

    `relates_to` is what it repeats, follows or conflicts with. `supersedes` are requests to be closed because this
    row takes their place; closing them is the caller's act.
    """

    position: int
    outcome: Outcome
    reason: Reason | None
    flags: frozenset[str] = _NO_FLAGS
    relates_to: Related | None = None
    supersedes: tuple[Related, ...] = ()


@dataclass(slots=True)
class _Original:
    """A request that later rows of the same number are measured against."""

    related: Related
    starts: tuple[datetime, ...]
    values_digest: bytes
    contact: Hashable | None


@dataclass(slots=True)
class _Person:
    """The open requests under one number and one name, found by what they are compared by."""

    live: dict[datetime | None, _Original] = field(default_factory=dict)
    in_review: dict[datetime | None, _Original] = field(default_factory=dict)
    values: dict[bytes, _Original] = field(default_factory=dict)
    waiting: list[Related] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return bool(self.live or self.in_review)

    def add(self, original: _Original, *, live: bool, booked: datetime | None = None) -> None:
        start = booked or (original.starts[0] if original.starts else None)
        (self.live if live else self.in_review).setdefault(start, original)
        self.values.setdefault(original.values_digest, original)

    def drop(self, request: Earlier) -> None:
        start = request.starts[0] if request.starts else None
        if start in self.in_review and self.in_review[start].related == request.reference:
            del self.in_review[start]
        if request.values_digest in self.values and self.values[request.values_digest].related == request.reference:
            del self.values[request.values_digest]


@dataclass(slots=True)
class _Verdict:
    """Findings about one row from its comparisons, and the first related request for each."""

    reasons: dict[Reason, Related] = field(default_factory=dict)
    flags: frozenset[str] = _NO_FLAGS
    relates_to: Related | None = None
    replaces: Earlier | None = None
    """The stored version of the same answer, in review until now."""
    waiting: tuple[list[Related], ...] = ()
    """Requests of the same person that were offered other times; lists of the ledger, not copies."""

    def is_replaced(self, original: _Original) -> bool:
        return self.replaces is not None and original.related == self.replaces.reference

    def find(self, reason: Reason, related: Related) -> None:
        self.reasons.setdefault(reason, related)

    def remark(self, flag: Flag, related: Related) -> None:
        self.flags |= {flag}
        if self.relates_to is None:
            self.relates_to = related


class _Ledger:
    """Open requests by number and name, and stored requests by row key."""

    def __init__(self, earlier: Iterable[Earlier]) -> None:
        self.people: dict[Hashable, dict[Hashable, _Person]] = {}
        self.by_row: dict[str, list[Earlier]] = {}
        for request in earlier:
            if request.row_key:
                self.by_row.setdefault(request.row_key, []).append(request)
            if request.number is None or request.status == "closed":
                continue
            person = self.person(request.number, request.name_key)
            if request.status == "waiting":
                person.waiting.append(request.reference)
                continue
            original = _Original(request.reference, request.starts, request.values_digest, request.contact)
            person.add(original, live=request.status == "live", booked=request.booked)

    def person(self, number: Hashable, name_key: Hashable) -> _Person:
        return self.people.setdefault(number, {}).setdefault(name_key, _Person())

    def namesake(self, row: Candidate) -> _Original | None:
        """Return an open request under the row's number and another name."""
        names = self.people.get(row.number)
        if names is None or (len(names) == 1 and row.name_key in names):
            return None
        for name_key, person in names.items():
            if name_key != row.name_key and person.is_open:
                return next(iter((person.live or person.in_review).values()))
        return None


def resolve(new: Sequence[Candidate], earlier: Sequence[Earlier]) -> list[Resolution]:
    """Judge new rows against each other and against stored requests; one resolution a row, in the order given.

    Rows are taken in order of submission, then position, so the order of the file does not matter except between
    versions submitted at the same moment. Rejected rows are never originals. Linear in the number of rows.
    """
    ordered = sorted(range(len(new)), key=lambda i: (new[i].submitted_at or _NEVER, new[i].position))
    relations = _Relations(new, ordered, earlier)
    found: list[Resolution | None] = [None] * len(new)
    for i in ordered:
        row = new[i]
        if row.outcome is Outcome.SKIP or not relations.concern(row):
            found[i] = Resolution(row.position, row.outcome, row.reason and Reason(row.reason))
        else:
            found[i] = relations.judge(row)
    return [resolution for resolution in found if resolution is not None]


class _Relations:
    """Rows that have something to do with others. Most rows have not, and take no part in any of this."""

    def __init__(self, new: Sequence[Candidate], ordered: Sequence[int], earlier: Sequence[Earlier]) -> None:
        self._numbers = _repeated(
            (row.number for row in new), (request.number for request in earlier if request.status != "closed")
        )
        self._keys = _repeated((row.row_key for row in new), (request.row_key for request in earlier))
        self._ledger = _Ledger(
            request for request in earlier if request.number in self._numbers or request.row_key in self._keys
        )
        self._latest: dict[str, Candidate] = {}
        """The last version of each answer; of equal copies the first."""
        for i in ordered:
            row = new[i]
            if row.row_key in self._keys:
                known = self._latest.get(row.row_key)
                if known is None or known.content_digest != row.content_digest:
                    self._latest[row.row_key] = row
        self._seen: dict[tuple[str, bytes], int] = {}
        self._ousted: dict[str, list[Related]] = {}
        """Older versions that stay with staff for a reason that comes before being superseded."""

    def concern(self, row: Candidate) -> bool:
        return row.number in self._numbers or row.row_key in self._keys

    def judge(self, row: Candidate) -> Resolution:
        verdict = _Verdict()
        if row.row_key in self._keys:
            self._compare_versions(row, verdict)
        if not verdict.reasons:
            _compare_people(row, verdict, self._ledger)
        resolution = _settle(row, verdict, self._ousted)
        if resolution.outcome is Outcome.NEEDS_REVIEW and Reason.SUPERSEDED_BY_EDIT in verdict.reasons:
            self._ousted.setdefault(row.row_key, []).append(row.position)
        elif not _REPEATS & verdict.reasons.keys():
            _remember(row, verdict, resolution, self._ledger)
        return resolution

    def _compare_versions(self, row: Candidate, verdict: _Verdict) -> None:
        """Compare with other versions of the same answer: in this file first, then in the record."""
        first = self._seen.setdefault((row.row_key, row.content_digest), row.position)
        if first != row.position:
            verdict.find(Reason.DUPLICATE, first)
            return
        last = self._latest[row.row_key]
        if last.position != row.position:
            verdict.find(Reason.SUPERSEDED_BY_EDIT, last.position)
            return
        versions = self._ledger.by_row.get(row.row_key)
        if versions:
            _compare_stored(row, verdict, versions)


def _repeated(new: Iterable[Hashable], stored: Iterable[Hashable]) -> set[Hashable]:
    """Return the keys of new rows that occur again, here or in the record; blank keys are nobody's."""
    seen: set[Hashable] = set()
    again: set[Hashable] = set()
    for key in new:
        (again if key in seen else seen).add(key)
    again.update(key for key in stored if key in seen)
    return again - {None, ""}


def _compare_stored(row: Candidate, verdict: _Verdict, versions: list[Earlier]) -> None:
    submitted = row.submitted_at or _NEVER
    newest = max(versions, key=lambda version: version.submitted_at or _LONG_AGO)
    for version in versions:
        # Somebody who edits an answer back to what it was says something new: only the newest version, or one
        # submitted no earlier, is repeated by equal values.
        if _is_same_answer(row, version, comparable=version is newest or submitted <= _moment(version)):
            verdict.find(Reason.DUPLICATE, version.reference)
            return
    if submitted < _moment(newest):
        verdict.find(Reason.SUPERSEDED_BY_EDIT, newest.reference)
        return
    standing = max(versions, key=lambda version: _STANDING[version.status])
    if standing.status == "live":
        verdict.find(Reason.CHANGE_REQUEST, standing.reference)  # never moves a booking by itself: Art. 6(3)
    elif standing.status == "in_review":
        verdict.replaces = standing
    elif standing.status == "waiting":
        verdict.waiting += ([standing.reference],)


def _moment(version: Earlier) -> datetime:
    return version.submitted_at or _LONG_AGO


def _is_same_answer(row: Candidate, version: Earlier, *, comparable: bool) -> bool:
    """Tell whether a stored answer says the same, so that reading it again must change nothing.

    Equal values count even when raw cells differ (a column was added), and even against a closed request: a
    cancelled booking must not come back because the export changed its shape. The exception is an answer that was
    rejected for something outside these values and no longer is, such as the registration.
    """
    if row.content_digest == version.content_digest:
        return True
    if not comparable or row.values_digest != version.values_digest:
        return False
    mended = (
        version.status == "closed"
        and version.outcome is Outcome.REJECT
        and version.reason not in _REPEATS
        and row.outcome is not Outcome.REJECT
    )
    return not mended


def _compare_people(row: Candidate, verdict: _Verdict, ledger: _Ledger) -> None:
    """Compare with other answers under the same number."""
    names = ledger.people.get(row.number) if row.number is not None else None
    if names is None:
        return
    person = names.get(row.name_key)
    if person is not None:
        _compare_own(row, verdict, person)
    namesake = ledger.namesake(row)
    if namesake is not None and not verdict.is_replaced(namesake):
        verdict.find(Reason.NUMBER_NAME_MISMATCH, namesake.related)


def _compare_own(row: Candidate, verdict: _Verdict, person: _Person) -> None:
    """Compare with the same person's other requests. A repeat that cannot be told from a change is a change."""
    start = row.starts[0] if row.starts else None
    if person.waiting:
        verdict.waiting += (person.waiting,)
    in_review = next((other for other in person.in_review.values() if not verdict.is_replaced(other)), None)
    if start is None:
        if in_review is not None:
            verdict.remark(Flag.RESUBMITTED, in_review.related)
        return
    repeated = person.values.get(row.values_digest)
    if repeated is not None and not verdict.is_replaced(repeated):
        verdict.find(Reason.DUPLICATE, repeated.related)
        return
    live = person.live.get(start)
    if live is not None and set(row.starts) <= {start, *live.starts}:
        if row.contact is None or live.contact is None or row.contact == live.contact:
            verdict.find(Reason.DUPLICATE, live.related)
            return
        verdict.remark(Flag.CONTACT_CHANGED, live.related)
    if person.live:
        verdict.find(Reason.CHANGE_REQUEST, (live or next(iter(person.live.values()))).related)
    _compare_in_review(verdict, person, start)


def _compare_in_review(verdict: _Verdict, person: _Person, start: datetime) -> None:
    for same in (person.in_review.get(start), person.in_review.get(None)):
        if same is not None and not verdict.is_replaced(same):
            verdict.remark(Flag.RESUBMITTED, same.related)
    for other, original in person.in_review.items():  # stops at the third entry at the latest
        if other is not None and other != start and not verdict.is_replaced(original):
            verdict.find(Reason.CHANGE_REQUEST, original.related)
            return


def _settle(row: Candidate, verdict: _Verdict, ousted: dict[str, list[Related]]) -> Resolution:
    """Let the first finding in check order name the row, its own included."""
    reason = row.reason
    for other in verdict.reasons:
        if reason is None or REASON_RANK[other] < REASON_RANK[reason]:
            reason = other
    outcome = REASONS[reason].outcome if reason is not None else row.outcome
    supersedes: tuple[Related, ...] = ()
    if not _REPEATS & verdict.reasons.keys():
        supersedes = tuple(ousted.pop(row.row_key, ())) if ousted else ()
        if verdict.replaces is not None:
            supersedes += (verdict.replaces.reference,)
        if verdict.waiting:
            replaces = outcome is Outcome.ACCEPT or _asks_for_other_times(reason)
            verdict.remark(Flag.REPLACES_WAITING if replaces else Flag.RELATED_WAITING, verdict.waiting[0][0])
            if replaces:
                supersedes += tuple(dict.fromkeys(related for some in verdict.waiting for related in some))
    related = verdict.reasons.get(reason) if reason is not None else None
    if related is None:
        related = next(iter(verdict.reasons.values()), verdict.relates_to)
    return Resolution(row.position, outcome, reason and Reason(reason), verdict.flags, related, supersedes)


def _remember(row: Candidate, verdict: _Verdict, resolution: Resolution, ledger: _Ledger) -> None:
    replaced = verdict.replaces
    if replaced is not None and replaced.number is not None:
        ledger.person(replaced.number, replaced.name_key).drop(replaced)
    offered = _asks_for_other_times(resolution.reason)
    if row.number is None or (resolution.outcome is Outcome.REJECT and not offered):
        return
    person = ledger.person(row.number, row.name_key)
    if Flag.REPLACES_WAITING in resolution.flags:
        person.waiting.clear()
    if offered:  # never an original, but the next request of this person takes its place
        person.waiting.append(row.position)
        return
    original = _Original(row.position, row.starts, row.values_digest, row.contact)
    person.add(original, live=resolution.outcome is Outcome.ACCEPT)


def _asks_for_other_times(reason: Reason | None) -> bool:
    return reason is not None and REASONS[reason].next_step == "alternatives_mail"
