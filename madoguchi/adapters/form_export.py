"""Opens form exports: CSV or XLSX by content, never by name."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from madoguchi.adapters.form_export_csv import csv_header, open_csv
from madoguchi.adapters.form_export_errors import REMEDIES, ExportError, MappingError
from madoguchi.adapters.form_export_mapping import load_mapping
from madoguchi.adapters.form_export_table import Continuation, Export, KnownStart, Limits, RawRow
from madoguchi.adapters.form_export_xlsx import open_xlsx, xlsx_header
from madoguchi.domain.intake_mapping import FormMapping

__all__ = [
    "REMEDIES",
    "Continuation",
    "Export",
    "ExportError",
    "KnownStart",
    "Limits",
    "MappingError",
    "RawRow",
    "guess_mapping",
    "is_settled",
    "load_mapping",
    "open_export",
    "safe_cell",
]

_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_UNFINISHED: Final = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".filepart", ".swp")
_DANGEROUS: Final = frozenset("=+-@\t\r\n\0")


@contextmanager
def open_export(
    path: Path,
    mapping: FormMapping,
    limits: Limits | None = None,
    *,
    digest_key: bytes = b"",
    known: Sequence[KnownStart] = (),
) -> Iterator[Export]:
    """Open an export for one reading; rows are streamed.

    All bytes have been hashed, decoded strictly and the header matched before the first row comes. Promises nothing
    about the rows themselves: see `parse_row`. ExportError here, or while iterating when the file breaks off
    further down; then nothing of it should be kept.

    `digest_key` (up to 64 bytes) keys the rows' digests: without it whoever guesses a row's cells can tell that it
    was there. `known` are files that were read to their end; if this one continues one of them, `continuation` says
    how.
    """
    limits = limits or Limits()
    with _opened(path, limits) as handle:
        if _is_zip(handle):
            export = open_xlsx(handle, mapping, limits, digest_key)
        else:
            export = open_csv(handle, mapping, limits, digest_key, known)
        try:
            yield export
        finally:
            export.close()


def guess_mapping(path: Path, mappings: Sequence[FormMapping], limits: Limits | None = None) -> FormMapping:
    """Return the one mapping whose required headers the file has.

    ExportError WRONG_MAPPING when none fits, with the headers missing from the nearest; SEVERAL_MAPPINGS when more
    than one does and none of them knows more of the columns than the others; other codes for unreadable files.
    """
    limits = limits or Limits()
    found = []
    with _opened(path, limits) as handle:
        for mapping in mappings:
            header = xlsx_header(handle, mapping, limits) if _is_zip(handle) else csv_header(handle, mapping)
            found.append((mapping, header))
    fitting = [(mapping, header) for mapping, header in found if header.fits]
    if not fitting:
        nearest = min((header.missing for _, header in found), key=len, default=())
        raise ExportError("WRONG_MAPPING", f"見つからない項目: {', '.join(nearest)}" if nearest else "設定がありません")
    if len(fitting) > 1:
        names = ", ".join(f"{mapping.source}/{mapping.form}" for mapping, _ in fitting)
        raise ExportError("SEVERAL_MAPPINGS", names)
    return fitting[0][0]


def is_settled(path: Path, now: float, seconds: float) -> bool:
    """Tell whether a file seems to be written to its end: `now` and its change time are seconds since the epoch.

    Names of unfinished downloads and of editors' lock files never settle; an empty or recent file waits. A writer
    that pauses for longer than `seconds` is not noticed; a CSV cut inside a quoted cell is, when it is read.
    """
    name = path.name.lower()
    if name.startswith(("~", ".")) or name.endswith(_UNFINISHED):
        return False
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return now - status.st_mtime >= seconds


def safe_cell(text: str) -> str:
    """Return text that no spreadsheet takes for a formula, for every CSV and XLSX that we write.

    An apostrophe goes before `=`, `+`, `-`, `@`, controls, and their full-width forms, leading blanks or not.
    """
    head = text.lstrip(" \u00a0\u3000\u200b\ufeff")[:1] or text[:1]
    if head and (head in _DANGEROUS or unicodedata.normalize("NFKC", head)[:1] in _DANGEROUS):
        return "'" + text
    return text


@contextmanager
def _opened(path: Path, limits: Limits) -> Iterator[BinaryIO]:
    try:
        handle = path.open("rb")
    except OSError:
        raise ExportError("FILE_MISSING") from None
    with handle:
        size = path.stat().st_size
        if size == 0:
            raise ExportError("FILE_EMPTY")
        if size > limits.bytes:
            raise ExportError("TOO_LARGE", f"{limits.bytes // (1024 * 1024)}MBまで")
        yield handle


def _is_zip(handle: BinaryIO) -> bool:
    handle.seek(0)
    return handle.read(4) in _ZIP
