"""How one form's export is laid out. Plain values; read from `config/forms/*.toml` by the adapters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final

from madoguchi.domain.office import JST

WISHES: Final = 3
"""How many wishes a request keeps (the office's choice; the terms name none)."""

FIELDS: Final = (
    "row_id",
    "submitted_at",
    "name",
    "kana",
    "job_seeker_number",
    "email",
    "account_email",
    "phone",
    *(f"wish{number}{part}" for number in range(1, WISHES + 1) for part in ("", "_date", "_time")),
    "registration",
    "companion",
    "topics",
    "consent",
    "note",
)
"""Every field a column may be mapped to. `wishN` is date and time in one cell; `wishN_date`, `wishN_time` are two."""


@dataclass(frozen=True, slots=True)
class FormMapping:
    """One form of one source.

    `columns` pairs each field with the pattern that finds its header; headers are compared without white space and
    in compatibility form, and their order is free. `zone` is the zone of instants written without one.
    `encodings` are tried strictly, in order, after any byte order mark.
    """

    source: str
    form: str
    columns: tuple[tuple[str, re.Pattern[str]], ...]
    required: frozenset[str]
    zone: tzinfo = JST
    separators: tuple[str, ...] = (";",)
    submitted_formats: tuple[str, ...] = ()
    encodings: tuple[str, ...] = ("utf-8", "cp932")
    delimiter: str | None = None

    @property
    def has_row_id(self) -> bool:
        """Tell whether the source numbers its answers."""
        return any(field == "row_id" for field, _ in self.columns)
