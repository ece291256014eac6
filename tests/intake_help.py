"""Shared by the tests of intake: the shipped configuration, and one run over a file without a database."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from config.office_file import read_office
from madoguchi.adapters.form_export import RawRow, load_mapping, open_export
from madoguchi.adapters.holidays import is_public_holiday
from madoguchi.adapters.mail_address_syntax import is_valid_address
from madoguchi.domain.application import RowResult
from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.intake import Candidate, FormMapping, Resolution, name_match_key, parse_row, resolve

ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "tests" / "fixtures"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text(encoding="utf-8"))
AS_OF = datetime.fromisoformat(EXPECTED["policy"]["as_of"])


@lru_cache(maxsize=1)
def calendar() -> OfficeCalendar:
    return OfficeCalendar(read_office(ROOT / "config" / "office.toml", sandbox=True), is_public_holiday)


@lru_cache(maxsize=8)
def mapping(source: str) -> FormMapping:
    return load_mapping(ROOT / "config" / "forms" / f"{source}.toml")


def judge(cells: dict[str, Any], source: str = "google", **changes: Any) -> RowResult:
    return parse_row(
        cells,
        mapping=mapping(source),
        calendar=calendar(),
        as_of=changes.pop("as_of", AS_OF),
        address_is_valid=is_valid_address,
        **changes,
    )


def good_cells(**changes: Any) -> dict[str, Any]:
    """A row that is accepted; tests change what they are about."""
    return {
        "submitted_at": "2026/09/10 9:05:03 午前 GMT+9",
        "name": "見本 花子",
        "kana": "ミホン ハナコ",
        "job_seeker_number": "99999-90000001",
        "email": "rei@example.jp",
        "wish1_date": "2026/09/24",
        "wish1_time": "11:00",
        "consent": "同意します",
    } | changes


def values_digest(result: RowResult) -> bytes:
    made = result.application
    values = (name_match_key(made.name), made.job_seeker_number, made.wishes, made.email, made.phone, made.companion)
    return hashlib.blake2b(repr(values).encode(), digest_size=16).digest()


def candidate(row: RawRow, result: RowResult) -> Candidate:
    made = result.application
    return Candidate(
        position=row.number,
        row_key=result.row_key,
        content_digest=row.digest,
        submitted_at=made.submitted_at,
        number=made.job_seeker_number,
        name_key=name_match_key(made.name),
        starts=made.wishes,
        values_digest=values_digest(result),
        outcome=result.outcome,
        reason=result.reason,
    )


def take_in(path: Path, source: str) -> list[tuple[RawRow, RowResult, Resolution]]:
    """Read a whole file as the flow does, with an empty record."""
    with open_export(path, mapping(source)) as export:
        rows = list(export)
        results = [judge(export.fields(row), source, extra_columns=row.extra_columns) for row in rows]
    resolutions = resolve([candidate(row, result) for row, result in zip(rows, results, strict=True)], [])
    return list(zip(rows, results, resolutions, strict=True))
