"""Exports become requests: each new row is sealed, judged, compared with earlier ones, and settled."""

from __future__ import annotations

import heapq
import json
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.orm import Session

from madoguchi.adapters.form_export import Export, ExportError, KnownStart, RawRow, open_export
from madoguchi.adapters.mail_address_syntax import is_valid_address
from madoguchi.domain.application import REASONS, Outcome, Reason, RowResult
from madoguchi.domain.intake import (
    Candidate,
    Earlier,
    FormMapping,
    Resolution,
    name_match_key,
    parse_row,
    resolve,
)
from madoguchi.domain.lifecycle import RequestStatus
from madoguchi.domain.reference import new_reference
from madoguchi.store import intake as store
from madoguchi.store.types import new_id
from tasks.settling import by_restore, by_standing, replace_requests, settle_rows
from tasks.wiring import Run, Services

STAGE_CHUNK = 1000
FINISH_CHUNK = 2000
LISTED = 500

_JSON = json.JSONEncoder(ensure_ascii=False)


@dataclass(slots=True)
class FileReport:
    """What one file held: rows by outcome (all of them, known ones too), and the new rows that need somebody."""

    name: str
    source: str
    rows: int = 0
    new: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    unknown_columns: tuple[str, ...] = ()
    listed: list[tuple[int, str, str]] = field(default_factory=list)
    """Row number, outcome and reason of new rows that were not simply accepted; the first ones."""

    def counts(self) -> dict[str, int]:
        """Return the counts that the record keeps of the file."""
        return {"in": self.rows, "new": self.new, **{o.value: self.outcomes[o.value] for o in Outcome}}


@dataclass(slots=True)
class _Reading:
    """One file on its way into the record."""

    mapping: FormMapping
    file_id: str
    report: FileReport
    unfinished: set[tuple[bytes, int]] = field(default_factory=set)
    """Rows of this file that an earlier, broken reading staged: digest and occurrence."""

    def holds(self, row: Any) -> bool:
        """Tell whether a staged row stands in this file; others are finished with it, but not counted."""
        return row.file_id == self.file_id or (bytes(row.digest), row.occurrence) in self.unfinished


def receive_export(services: Services, run: Run, path: Path, mapping: FormMapping) -> FileReport:
    """Read one export into the record; reading it again, or a longer version of it, adds only what is new.

    Raises ExportError when the file cannot be read; nothing of it stays in the record then. A crash in the
    middle leaves staged rows, invisible to scheduling, that the next reading finishes as this one would have.
    """
    form = (services.office.code, mapping.source, mapping.form)
    with services.database.exclusive("intake"):
        with services.database.read() as session:
            known = {file.sha256: file for file in store.files_read(session, *form)}
        starts = [KnownStart(file.sha256, file.size, file.counts["in"]) for file in known.values()]
        key = services.vault.index("row-digest", "")
        with open_export(path, mapping, digest_key=key, known=starts) as export:
            report = FileReport(path.name, mapping.source, unknown_columns=tuple(export.unknown_columns))
            with services.database.write() as session:
                file = store.register_file(
                    session,
                    office=services.office.code,
                    source=mapping.source,
                    form=mapping.form,
                    name=path.name,
                    sha256=export.sha256,
                    size=export.size,
                    now=services.clock(),
                )
            if file.status == "read":
                return _as_recorded(report, file.counts)
            reading = _Reading(mapping, file.id, report)
            try:
                _stage_new_rows(services, run, export, reading, {sha256: file.counts for sha256, file in known.items()})
            except ExportError:
                with services.database.write() as session:
                    store.discard_staged(session, file.id)
                raise
        finish_staged(services, run, reading)
        if sum(report.outcomes.values()) != report.rows:
            raise RuntimeError(f"{mapping.source}: rows in and outcomes differ; nothing is lost, the file stays open")
        with services.database.write() as session:
            store.complete_file(session, file.id, report.counts(), services.clock())
            report.listed = store.rows_to_look_at(session, file.id, LISTED)
    return report


def _as_recorded(report: FileReport, counts: dict[str, Any]) -> FileReport:
    report.rows = counts["in"]
    report.outcomes.update({o.value: counts[o.value] for o in Outcome})
    return report


def _stage_new_rows(
    services: Services, run: Run, export: Export, reading: _Reading, counts: dict[str, dict[str, Any]]
) -> None:
    new = _added_rows(services, export, reading, counts)
    if new is None:
        with services.database.read() as session:
            known = store.known_digests(session, services.office.code, reading.mapping.source, reading.mapping.form)
        new = _unknown_rows(export, known, reading)
    chunk: list[dict[str, Any]] = []
    for raw, occurrence in new:
        result = parse_row(
            export.fields(raw),
            mapping=reading.mapping,
            calendar=services.calendar,
            as_of=run.as_of,
            address_is_valid=is_valid_address,
            extra_columns=raw.extra_columns,
        )
        chunk.append(_staged(services, reading, raw, occurrence, result))
        if len(chunk) == STAGE_CHUNK:
            _stage(services, chunk, reading.report)
            chunk = []
    if chunk:
        _stage(services, chunk, reading.report)


def _added_rows(
    services: Services, export: Export, reading: _Reading, counts: dict[str, dict[str, Any]]
) -> Iterable[tuple[RawRow, int]] | None:
    """Return the rows behind a file that was read before, when this one only continues it; None when in doubt.

    A row that the record holds already is such a doubt: only the whole file tells how often it stands in it.
    """
    continuation = export.continuation()
    if continuation is None:
        return None
    mapping = reading.mapping
    digests = [raw.digest for raw in continuation.rows]
    with services.database.read() as session:
        if store.is_any_known(session, services.office.code, mapping.source, mapping.form, digests):
            return None
    _as_recorded(reading.report, counts[continuation.start.sha256])
    reading.report.rows += len(digests)
    repeated: Counter[bytes] = Counter()
    added = []
    for raw in continuation.rows:
        repeated[raw.digest] += 1
        added.append((raw, repeated[raw.digest]))
    return added


def _unknown_rows(export: Export, known: dict[bytes, str], reading: _Reading) -> Iterator[tuple[RawRow, int]]:
    """Yield rows that the record lacks, with how many equal ones stand before them; count the known ones."""
    tally = dict.fromkeys((*store.OUTCOME_OF_LETTER, store.STAGED_LETTER), 0)
    repeated: dict[bytes, int] = {}
    unseen = known.copy()
    rows = 0
    for raw in export:
        rows += 1
        digest = raw.digest
        letters = unseen.pop(digest, None)
        if letters == "a":  # most rows of most files; all that is done for them
            tally["a"] += 1
            continue
        occurrence = 1
        if letters is None:
            letters = known.get(digest, "")
            occurrence = repeated.get(digest, 1 if letters else 0) + 1
            repeated[digest] = occurrence
        if occurrence > len(letters):
            yield raw, occurrence
            continue
        letter = letters[occurrence - 1]
        tally[letter] += 1
        if letter == store.STAGED_LETTER:
            reading.unfinished.add((digest, occurrence))
    reading.report.rows = rows
    for letter, outcome in store.OUTCOME_OF_LETTER.items():
        reading.report.outcomes[outcome] += tally[letter]


def _stage(services: Services, chunk: list[dict[str, Any]], report: FileReport) -> None:
    report.new += len(chunk)
    now = services.clock()
    with services.database.write() as session:
        references = _free_references(session, services.office.code, len(chunk))
        for row, reference in zip(chunk, references, strict=True):
            row["reference"] = reference
            row["recorded_at"] = now
        store.stage_rows(session, chunk)
        _count_anew(session, report.new // STAGE_CHUNK)


def _count_anew(session: Session, chunks: int) -> None:
    """Refresh the database's statistics whenever the number of chunks has doubled."""
    if chunks and chunks & (chunks - 1) == 0:
        store.refresh_statistics(session)


def _free_references(session: Session, office: str, count: int) -> list[str]:
    """Return new references that the record does not hold: among 200,000 some three hundred would be drawn twice."""
    free: set[str] = set()
    while len(free) < count:
        drawn = {new_reference("R", secrets.randbelow) for _ in range(count - len(free))}
        free |= drawn - store.taken_references(session, office, sorted(drawn))
    return list(free)


def _staged(services: Services, reading: _Reading, raw: RawRow, occurrence: int, result: RowResult) -> dict[str, Any]:
    """Return a row of the record; its reference and the moment of recording come with its chunk."""
    row_id = new_id()
    vault = services.vault
    application = result.application
    if result.outcome is Outcome.ACCEPT and _before_any_terms(services, application.submitted_at):
        # No consent could be recorded: a person looks, and the other rows go on.
        reason = Reason.NO_SUBMIT_TIME
        result = replace(result, outcome=Outcome.NEEDS_REVIEW, reason=reason, findings=(reason, *result.findings))
    values = application.to_json()
    name_key = name_match_key(application.name)
    sealed = {"application": values, "findings": [finding.value for finding in result.findings]}
    cells = ["" if cell is None else str(cell) for cell in raw.cells]
    return {
        "id": row_id,
        "office": services.office.code,
        "source": reading.mapping.source,
        "form": reading.mapping.form,
        "file_id": reading.file_id,
        "row_number": raw.number,
        "row_key": vault.index("row", result.row_key).hex() if result.row_key else "",
        "digest": raw.digest,
        "occurrence": occurrence,
        "outcome": result.outcome.value,
        "reason": result.reason.value if result.reason else None,
        "flags": sorted(result.flags),
        "status": RequestStatus.STAGED.value,
        "number_index": _index(services, "number", application.job_seeker_number),
        "contact_index": _index(services, "mail", application.email),
        "name_index": _index(services, "name", name_key),
        "values_digest": _values_digest(services, values, name_key),
        "wishes": values["wishes"],
        "submitted_at": application.submitted_at,
        "sealed_raw": vault.seal(_JSON.encode(cells).encode(), f"booking_request.sealed_raw.{row_id}"),
        "sealed_values": vault.seal(_JSON.encode(sealed).encode(), f"booking_request.sealed_values.{row_id}"),
    }


def _before_any_terms(services: Services, submitted_at: datetime | None) -> bool:
    return submitted_at is None or (services.terms_since is not None and submitted_at < services.terms_since)


def _index(services: Services, purpose: str, value: str | None) -> bytes | None:
    return services.vault.index(purpose, value) if value else None


def _values_digest(services: Services, values: Mapping[str, Any], name_key: str) -> bytes:
    business = [values[key] for key in ("job_seeker_number", "wishes", "email", "phone", "companion")]
    return services.vault.index("values", _JSON.encode([*business, name_key]))


def finish_staged(services: Services, run: Run, reading: _Reading) -> None:
    """Give every staged row of a form its final outcome, in order of submission, with all that it causes."""
    form = (services.office.code, reading.mapping.source, reading.mapping.form)
    with services.database.read() as session:
        ids = store.staged_ids(session, *form)
    if not ids:
        return
    compared = _compared(services, run, reading.mapping)
    known = set(ids)
    # What a reading that broke off has left open.
    superseded = {str(r) for row_id, found in compared.items() if row_id not in known for r in found.supersedes}
    del known
    for at in range(0, len(ids), FINISH_CHUNK):
        with services.database.write() as session:
            rows = store.rows_to_finish(session, ids[at : at + FINISH_CHUNK])
            judged = [(row, compared.get(row.id) or _as_judged_alone(row)) for row in rows]
            part = by_restore(services, session, by_standing(services, run, session, judged))
            settle_rows(services, run, session, part, ())
            superseded.update(str(reference) for _, resolution in part for reference in resolution.supersedes)
            # One that is still staged comes with a later part.
            superseded -= replace_requests(session, run.act(services), superseded)
            if at and at + FINISH_CHUNK >= len(ids):
                store.refresh_statistics(session)  # the last piece: what was counted as staged no longer is
            elif len(rows) == FINISH_CHUNK:
                _count_anew(session, at // FINISH_CHUNK + 1)
        for row, resolution in part:
            if reading.holds(row):
                reading.report.outcomes[resolution.outcome.value] += 1


def _as_judged_alone(row: Any) -> Resolution:
    return Resolution(0, Outcome(row.outcome), Reason(row.reason) if row.reason else None)


def _compared(services: Services, run: Run, mapping: FormMapping) -> dict[str, Resolution]:
    """Return the last word on the rows that have anything to do with others, by row id; they relate to references."""
    form = (services.office.code, mapping.source, mapping.form)
    ids: list[str] = []
    references: list[str] = []
    candidates: list[Candidate] = []
    with services.database.read() as session:
        taken_up = list(store.half_finished_rows_with_company(session, *form))
        same_batch = {row.id for row in taken_up}
        staged = store.staged_rows_with_company(session, *form)
        # In file order, finished or not: of two equal rows the first is the original.
        for row in heapq.merge(staged, taken_up, key=lambda row: (row.file_id, row.row_number, row.id)):
            make = _before_comparing if row.id in same_batch else _candidate
            candidates.append(make(services, len(ids), row))
            ids.append(row.id)
            references.append(row.reference)
        earlier = store.earlier_rows(
            session,
            *form,
            {bytes(c.number) for c in candidates if isinstance(c.number, bytes)},
            {c.row_key for c in candidates if c.row_key},
        )
    found = resolve(candidates, [_earlier(row, mapping, run.as_of) for row in earlier if row.id not in same_batch])
    return {ids[resolution.position]: _with_references(resolution, references) for resolution in found}


def _with_references(resolution: Resolution, references: Sequence[str]) -> Resolution:
    related = resolution.relates_to
    if related is None and not resolution.supersedes:
        return resolution
    return replace(
        resolution,
        relates_to=references[related] if isinstance(related, int) else related,
        supersedes=tuple(references[r] if isinstance(r, int) else r for r in resolution.supersedes),
    )


def _before_comparing(services: Services, position: int, row: Any) -> Candidate:
    """Return a row as it was before it was compared: its file's reading broke off and is now taken up again.

    Rows of one file are compared as one batch; the rest of it must not meet these as strangers from the record.
    """
    candidate = _candidate(services, position, row)
    values = services.vault.open_json(row.sealed_values, f"booking_request.sealed_values.{row.id}")
    candidate.reason = Reason(values["findings"][0]) if values["findings"] else None
    candidate.outcome = REASONS[candidate.reason].outcome if candidate.reason else Outcome.ACCEPT
    return candidate


def _candidate(_services: Services, position: int, row: Any) -> Candidate:
    return Candidate(
        position=position,
        row_key=row.row_key,
        content_digest=bytes(row.digest),
        submitted_at=row.submitted_at,
        number=bytes(row.number_index) if row.number_index else None,
        name_key=bytes(row.name_index) if row.name_index else None,
        starts=_starts(row.wishes),
        values_digest=bytes(row.values_digest),
        contact=bytes(row.contact_index) if row.contact_index else None,
        outcome=Outcome(row.outcome),
        reason=row.reason,
    )


def _earlier(row: Any, mapping: FormMapping, as_of: datetime) -> Earlier:
    same_form = (row.source, row.form) == (mapping.source, mapping.form)
    return Earlier(
        reference=row.reference,
        # Row ids of another form may look the same and mean nothing.
        row_key=row.row_key if same_form else "",
        content_digest=bytes(row.digest),
        submitted_at=row.submitted_at,
        number=bytes(row.number_index) if row.number_index else None,
        name_key=bytes(row.name_index) if row.name_index else None,
        starts=_starts(row.wishes),
        booked=row.start_at,
        values_digest=bytes(row.values_digest),
        contact=bytes(row.contact_index) if row.contact_index else None,
        outcome=Outcome(row.outcome),
        reason=row.reason,
        status=_standing(row, as_of),
    )


def _standing(row: Any, as_of: datetime) -> Literal["live", "waiting", "in_review", "closed"]:
    status = RequestStatus(row.status)
    if status == RequestStatus.RECEIVED:
        return "live"
    if status == RequestStatus.BOOKED:
        return "live" if row.end_at and row.end_at > as_of else "closed"
    if status == RequestStatus.WAITING:
        return "waiting"
    return "in_review" if status == RequestStatus.IN_REVIEW else "closed"


def _starts(wishes: list[str]) -> tuple[datetime, ...]:
    return tuple(_instant(wish) for wish in wishes)


_instant = lru_cache(maxsize=4096)(datetime.fromisoformat)
"""Many people wish the same starts: one object each."""
