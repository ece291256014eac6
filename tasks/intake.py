"""Exports become requests: each new row is sealed, judged, compared with earlier ones, and settled."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from madoguchi.adapters.form_export import Export, RawRow, open_export
from madoguchi.adapters.mail_address_syntax import is_valid_address
from madoguchi.domain.application import Application, Outcome, RowResult
from madoguchi.domain.intake import (
    Candidate,
    Earlier,
    FormMapping,
    name_match_key,
    parse_row,
    resolve,
)
from madoguchi.domain.lifecycle import RequestStatus
from madoguchi.domain.reference import new_reference
from madoguchi.store import intake as store
from madoguchi.store.types import new_id
from tasks.settling import replace_requests, settle_rows
from tasks.wiring import Run, Services

STAGE_CHUNK = 1000
FINISH_CHUNK = 2000
LISTED = 500


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


def receive_export(services: Services, run: Run, path: Path, mapping: FormMapping) -> FileReport:
    """Read one export into the record; reading it again, or a longer version of it, adds only what is new.

    Raises ExportError when the file cannot be read; nothing of it is visible to scheduling then. A crash in the
    middle leaves staged rows that the next reading finishes.
    """
    with services.database.exclusive("intake"), open_export(path, mapping) as export:
        report = FileReport(path.name, mapping.source, unknown_columns=tuple(export.unknown_columns))
        with services.database.write() as session:
            file = store.register_file(
                session,
                office=services.office.code,
                source=mapping.source,
                form=mapping.form,
                name=path.name,
                sha256=export.sha256,
                size=path.stat().st_size,
                now=services.clock(),
            )
        if file.status == "read":
            return _as_recorded(report, file.counts)
        _stage_new_rows(services, run, export, mapping, file.id, report)
        finish_staged(services, run, mapping, report)
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
    services: Services, run: Run, export: Export, mapping: FormMapping, file_id: str, report: FileReport
) -> None:
    with services.database.read() as session:
        known = store.known_digests(session, services.office.code, mapping.source, mapping.form)
    chunk: list[dict[str, Any]] = []
    for raw, occurrence in _unknown_rows(export, known, report):
        result = parse_row(
            export.fields(raw),
            mapping=mapping,
            calendar=services.calendar,
            as_of=run.as_of,
            address_is_valid=is_valid_address,
            extra_columns=raw.extra_columns,
        )
        chunk.append(_staged(services, mapping, file_id, raw, occurrence, result))
        report.new += 1
        if len(chunk) == STAGE_CHUNK:
            _stage(services, chunk)
            chunk = []
    if chunk:
        _stage(services, chunk)


def _unknown_rows(export: Export, known: dict[bytes, str], report: FileReport) -> Iterator[tuple[RawRow, int]]:
    """Yield rows that the record lacks, with how many equal ones stand before them; count the known ones."""
    repeated: dict[bytes, int] = {}
    tally: Counter[str] = Counter()
    seen: set[bytes] = set()
    rows = 0
    for raw in export:
        rows += 1
        digest = raw.digest
        occurrence = 1
        if digest in seen:
            occurrence = repeated[digest] = repeated.get(digest, 1) + 1
        else:
            seen.add(digest)
        letters = known.get(digest)
        if letters is not None and occurrence <= len(letters):
            tally[letters[occurrence - 1]] += 1
        else:
            yield raw, occurrence
    report.rows = rows
    for letter, count in tally.items():
        report.outcomes[store.OUTCOME_OF_LETTER[letter]] += count


def _stage(services: Services, chunk: list[dict[str, Any]]) -> None:
    with services.database.write() as session:
        taken = store.taken_references(session, services.office.code, [row["reference"] for row in chunk])
        names: set[str] = set()
        for row in chunk:
            while row["reference"] in taken or row["reference"] in names:
                row["reference"] = new_reference("R", secrets.randbelow)
            names.add(row["reference"])
        store.stage_rows(session, chunk)


def _staged(
    services: Services, mapping: FormMapping, file_id: str, raw: RawRow, occurrence: int, result: RowResult
) -> dict[str, Any]:
    row_id = new_id()
    vault = services.vault
    application = result.application
    values = {"application": application.to_json(), "findings": [str(f) for f in result.findings]}
    return {
        "id": row_id,
        "reference": new_reference("R", secrets.randbelow),
        "office": services.office.code,
        "source": mapping.source,
        "form": mapping.form,
        "file_id": file_id,
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
        "name_index": _index(services, "name", name_match_key(application.name) if application.name else None),
        "values_digest": _values_digest(services, application),
        "wishes": [wish.isoformat() for wish in application.wishes],
        "submitted_at": application.submitted_at,
        "recorded_at": services.clock(),
        "sealed_raw": vault.seal_json([str(cell) for cell in raw.cells], f"booking_request.sealed_raw.{row_id}"),
        "sealed_values": vault.seal_json(values, f"booking_request.sealed_values.{row_id}"),
    }


def _index(services: Services, purpose: str, value: str | None) -> bytes | None:
    return services.vault.index(purpose, value) if value else None


def _values_digest(services: Services, application: Application) -> bytes:
    values = application.to_json()
    business = {key: values[key] for key in ("job_seeker_number", "wishes", "email", "phone", "companion")}
    business["name"] = name_match_key(application.name) if application.name else None
    return services.vault.index("values", json.dumps(business, ensure_ascii=False, sort_keys=True))


def finish_staged(services: Services, run: Run, mapping: FormMapping, report: FileReport) -> None:
    """Give every staged row of a form its final outcome, in order of submission, with all that it causes."""
    ids: list[str] = []
    references: list[str] = []
    candidates: list[Candidate] = []
    with services.database.read() as session:
        for row in store.staged_rows(session, services.office.code, mapping.source, mapping.form):
            candidates.append(_candidate(len(ids), row))
            ids.append(row.id)
            references.append(row.reference)
        earlier = store.earlier_rows(
            session,
            services.office.code,
            {bytes(c.number) for c in candidates if isinstance(c.number, bytes)},
            {c.row_key for c in candidates if c.row_key},
        )
    resolutions = resolve(candidates, [_earlier(row, mapping, run.as_of) for row in earlier])
    del candidates
    superseded: set[str] = set()
    for at in range(0, len(resolutions), FINISH_CHUNK):
        part = resolutions[at : at + FINISH_CHUNK]
        superseded |= {r if isinstance(r, str) else references[r] for found in part for r in found.supersedes}
        with services.database.write() as session:
            rows = store.rows_to_finish(session, [ids[r.position] for r in part])
            settle_rows(
                services,
                run,
                session,
                [(rows[ids[r.position]], r) for r in part if ids[r.position] in rows],
                references,
            )
            # One that is still staged comes with a later part.
            superseded -= replace_requests(session, run.act(services), superseded)
    report.outcomes.update(Counter(resolution.outcome.value for resolution in resolutions))


def _candidate(position: int, row: Any) -> Candidate:
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
    return tuple(datetime.fromisoformat(wish) for wish in wishes)
