"""What CSV and XLSX exports have in common: rows, the header row, limits."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from madoguchi.adapters.form_export_errors import ExportError
from madoguchi.domain.form_values.text import Cell, cell_text, folded, without_invisible
from madoguchi.domain.intake_mapping import FormMapping

HEADER_ROWS: Final = 20
"""The header is looked for in so many rows: people put titles above it."""

_TOTAL: Final = re.compile(r"(?:総?合計|小計|総計|計|件数|total)(?:[:\s]*[0-9,]+)?\s*(?:件|名|人)?", re.IGNORECASE)
_SPACE: Final = re.compile(r"\s+")


class RawRow(NamedTuple):
    """One data record as it stands in the file. `number` counts from 1 after the header, blank records included.

    `digest` is 16 bytes over the raw cells; `extra_columns` tells that their count does not match the header.
    """

    number: int
    cells: tuple[Cell, ...]
    digest: bytes
    extra_columns: bool


@dataclass(frozen=True, slots=True)
class KnownStart:
    """A file that was read to its end: its bytes by size and SHA-256 (hexadecimal), and its number of data records."""

    sha256: str
    size: int
    rows: int


@dataclass(frozen=True, slots=True)
class Continuation:
    """An export that begins with a known file: that file, and the rows that follow it."""

    start: KnownStart
    rows: Sequence[RawRow]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one export may take. `inflated` and `ratio` are of XLSX, which is a compressed archive."""

    bytes: int = 100 * 1024 * 1024
    rows: int = 300_000
    inflated: int = 200 * 1024 * 1024
    ratio: int = 100
    entries: int = 2_000


@dataclass(frozen=True, slots=True)
class Header:
    """A header row as one mapping sees it."""

    row: int
    """Place among the first rows, from 0."""
    width: int
    columns: Mapping[str, int]
    missing: tuple[str, ...]
    doubled: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Tell whether every required field has its column."""
        return not self.missing


class Export:
    """An export that is open for reading. Iterate it once for its rows, in the order of the file."""

    def __init__(
        self,
        *,
        encoding: str,
        sha256: str,
        size: int,
        header: Header,
        rows: Iterator[RawRow],
        continuation: Callable[[], Continuation | None] | None = None,
    ) -> None:
        self.encoding = encoding
        self.sha256 = sha256
        self.size = size
        """Bytes of the file, as they were hashed."""
        self.unknown_columns = header.unknown
        self._columns = tuple(header.columns.items())
        self._rows = rows
        self._continuation = continuation

    def __iter__(self) -> Iterator[RawRow]:
        """Yield the rows, streaming. ExportError when the file turns out to be broken further down."""
        return self._rows

    def continuation(self) -> Continuation | None:
        """Return what the export adds to a file known to `open_export`; None when it has to be read as a whole.

        Promises the very rows, numbers and digests that iterating would have given for that part.
        """
        return self._continuation() if self._continuation is not None else None

    def close(self) -> None:
        """Let go of the file; to be called before the file itself is closed."""
        close = getattr(self._rows, "close", None)
        if close is not None:
            close()

    def fields(self, row: RawRow) -> dict[str, Cell]:
        """Return the mapped cells of a row by field; none for a row of totals, which counts as blank."""
        cells = row.cells
        if is_total(cells):
            return {}
        count = len(cells)
        return {field: cells[place] for field, place in self._columns if place < count}


def is_total(cells: Sequence[Cell]) -> bool:
    """Tell whether a row is a sum below the table: a word such as 合計 first, hardly anything beside it."""
    filled = [cell for cell in cells if cell is not None and cell != ""]
    return 0 < len(filled) <= 3 and isinstance(filled[0], str) and _TOTAL.fullmatch(folded(filled[0])) is not None


def header_key(cell: Cell) -> str:
    """Return a header as patterns see it: compatibility form, without white space and invisible characters."""
    return _SPACE.sub("", unicodedata.normalize("NFKC", without_invisible(cell_text(cell))))


def read_header(place: int, cells: Sequence[Cell], mapping: FormMapping) -> Header:
    """Match one row of cells against the mapping's patterns; the first pattern that fits a column has it."""
    columns: dict[str, int] = {}
    doubled: list[str] = []
    unknown: list[str] = []
    width = 0
    for index, cell in enumerate(cells):
        key = header_key(cell)
        if not key:
            continue
        width = index + 1
        field = next((field for field, pattern in mapping.columns if pattern.search(key)), None)
        if field is None:
            unknown.append(cell_text(cell).strip())
        elif field in columns:
            doubled.append(cell_text(cell).strip())
        else:
            columns[field] = index
    missing = tuple(field for field, _ in mapping.columns if field in mapping.required and field not in columns)
    # A header may end in columns without a name; they are columns all the same.
    return Header(place, max(width, len(cells)), columns, missing, tuple(doubled), tuple(unknown))


def best_header(rows: Iterable[Sequence[Cell]], mapping: FormMapping) -> Header | None:
    """Return the row that looks most like this form's header; None when there are no rows at all."""
    headers = [read_header(place, cells, mapping) for place, cells in enumerate(rows)]
    return max(headers, key=lambda header: len(header.columns), default=None)


def check_header(header: Header, mapping: FormMapping) -> None:
    """Raise ExportError when required columns are missing or a field has two.

    Headers are named only when the row is surely a header: in a file without one this row is somebody's data.
    """
    if header.missing:
        place = f"見つからない項目: {', '.join(header.missing)}"
        if len(header.columns) >= max(3, len(mapping.required) // 2):
            place += f" / 設定にない見出し: {', '.join(name[:40] for name in header.unknown) or 'なし'}"
        else:
            place += f" / 見出しの行が初めの{HEADER_ROWS}行にありません"
        raise ExportError("WRONG_MAPPING", place)
    if header.doubled:
        raise ExportError("DUPLICATE_HEADER", ", ".join(name[:40] for name in header.doubled))


def is_uneven(cells: Sequence[Cell], width: int) -> bool:
    """Tell whether a row's filled cells disagree with the header; blank rows of any length do not."""
    if len(cells) < width:
        return any(cell is not None and cell != "" and str(cell).strip() for cell in cells)
    return any(cell is not None and str(cell).strip() for cell in cells[width:])
