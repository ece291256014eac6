"""XLSX exports: the archive checked before it is opened, cells kept with their types, rows streamed."""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Any, BinaryIO, Final, TypeVar
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from openpyxl import load_workbook

from madoguchi.adapters.form_export_errors import ExportError
from madoguchi.adapters.form_export_table import (
    HEADER_ROWS,
    Export,
    Header,
    Limits,
    RawRow,
    best_header,
    check_header,
    is_uneven,
)
from madoguchi.domain.form_values.text import Cell
from madoguchi.domain.intake_mapping import FormMapping

R = TypeVar("R")
_Values = tuple[Any, ...]

_CHUNK: Final = 1 << 20
_BATCH: Final = 500
_TRAILING_BLANKS: Final = 1_000
_MIDNIGHT: Final = datetime(1900, 1, 1)  # noqa: DTZ001 — a time of day has no zone
_BROKEN: Final = (KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError, DefusedXmlException)


def open_xlsx(handle: BinaryIO, mapping: FormMapping, limits: Limits, digest_key: bytes = b"") -> Export:
    """Return the export in an open file. ExportError when the archive, its sheets or its form are not right."""
    sha256 = _sha256(handle)
    check_archive(handle, limits)
    sheet, header = _find_sheet(handle, mapping)
    check_header(header, mapping)
    rows = _rows(handle, sheet, header, limits, digest_key)
    size = os.fstat(handle.fileno()).st_size
    return Export(encoding="xlsx", sha256=sha256, size=size, header=header, rows=rows)


def xlsx_header(handle: BinaryIO, mapping: FormMapping, limits: Limits) -> Header:
    """Return the header as the mapping sees it."""
    check_archive(handle, limits)
    return _find_sheet(handle, mapping)[1]


def check_archive(handle: BinaryIO, limits: Limits) -> None:
    """Raise ExportError for an archive that is broken, locked, no workbook, or inflates beyond the limits.

    What the archive declares is checked first, and what really comes out is counted: declarations can lie.
    """
    size = os.fstat(handle.fileno()).st_size
    handle.seek(0)
    try:
        with zipfile.ZipFile(handle) as archive:
            _check_entries(archive, min(limits.inflated, limits.ratio * size), limits.entries)
    except ExportError:
        raise
    except NotImplementedError:
        raise ExportError("NOT_A_TABLE") from None
    except Exception:  # noqa: BLE001 — zlib.error, BadZipFile, EOFError and their kin have no common base
        raise ExportError("FILE_TRUNCATED") from None


def _check_entries(archive: zipfile.ZipFile, allowed: int, count: int) -> None:
    entries = archive.infolist()
    if len(entries) > count or sum(entry.file_size for entry in entries) > allowed:
        raise ExportError("XLSX_BOMB")
    if "xl/workbook.xml" not in archive.namelist() or any(entry.flag_bits & 1 for entry in entries):
        raise ExportError("NOT_A_TABLE")
    _inflate(archive, entries, allowed)


def _inflate(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], allowed: int) -> None:
    total = 0
    for entry in entries:
        with archive.open(entry) as member:
            while chunk := member.read(_CHUNK):
                total += len(chunk)
                if total > allowed:
                    raise ExportError("XLSX_BOMB")


def _sha256(handle: BinaryIO) -> str:
    handle.seek(0)
    digest = hashlib.sha256()
    while chunk := handle.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _find_sheet(handle: BinaryIO, mapping: FormMapping) -> tuple[int, Header]:
    """Return the sheet that holds the form, by place, and its header; the most similar one when none fits."""
    workbook = _guarded(lambda: _load(handle))
    found: list[tuple[int, Header]] = []
    try:
        for place in range(len(workbook.worksheets)):
            rows = _guarded(lambda place=place: list(islice(_values(workbook, place), HEADER_ROWS)))  # type: ignore[misc]  # mypy cannot type a lambda with a default
            header = best_header(rows, mapping)
            if header is not None:
                found.append((place, header))
    finally:
        workbook.close()
    if not found:
        raise ExportError("FILE_EMPTY")
    fitting = [item for item in found if item[1].fits]
    if len(fitting) > 1:
        raise ExportError("SEVERAL_TABLES", ", ".join(f"{place + 1}枚目" for place, _ in fitting))
    return fitting[0] if fitting else max(found, key=lambda item: len(item[1].columns))


def _load(handle: BinaryIO) -> Any:
    handle.seek(0)
    return load_workbook(handle, read_only=True, data_only=True, keep_links=False)


def _values(workbook: Any, place: int) -> Iterator[_Values]:
    sheet = workbook.worksheets[place]
    sheet.reset_dimensions()  # the declared size is often wrong, and openpyxl would believe it
    return iter(sheet.iter_rows(values_only=True))


def _guarded(act: Callable[[], R]) -> R:
    """Run a piece of openpyxl: its warnings name cells and are dropped, its errors may quote cells and are replaced."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return act()
        except (zipfile.BadZipFile, ParseError, EOFError):
            raise ExportError("FILE_TRUNCATED") from None
        except _BROKEN:
            raise ExportError("NOT_A_TABLE") from None


def _rows(handle: BinaryIO, place: int, header: Header, limits: Limits, digest_key: bytes) -> Iterator[RawRow]:
    """Yield the records below the header, hidden ones too. Of blank rows at the end a thousand are enough."""
    workbook = _guarded(lambda: _load(handle))
    try:
        values = _values(workbook, place)
        _guarded(lambda: list(islice(values, header.row + 1)))
        number = blanks = 0
        while batch := _guarded(lambda: list(islice(values, _BATCH))):
            for raw in batch:
                cells = _cells(raw, header.width)
                if not any(cell is not None for cell in cells):
                    blanks += 1
                    continue
                for _ in range(blanks):
                    number += 1
                    yield _row(number, (), header.width, limits, digest_key)
                blanks, number = 0, number + 1
                yield _row(number, cells, header.width, limits, digest_key)
        for _ in range(min(blanks, _TRAILING_BLANKS)):
            number += 1
            yield _row(number, (), header.width, limits, digest_key)
    finally:
        workbook.close()


def _row(number: int, cells: tuple[Cell, ...], width: int, limits: Limits, digest_key: bytes) -> RawRow:
    if number > limits.rows:
        raise ExportError("TOO_LARGE", f"{limits.rows}行まで")
    digest = hashlib.blake2b(repr(cells).encode("utf-8", "surrogatepass"), digest_size=16, key=digest_key).digest()
    return RawRow(number, cells, digest, len(cells) > width and is_uneven(cells, width))


def _cells(raw: _Values, width: int) -> tuple[Cell, ...]:
    """Return a row's cells, padded to the header's width and without blanks beyond it."""
    end = len(raw)
    while end > width and raw[end - 1] is None:
        end -= 1
    return (*map(_cell, raw[:end]), *(None,) * (width - end))


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, str | int | float | datetime | date | time):
        return None if value == "" else value
    if isinstance(value, timedelta):  # a time in a cell formatted as a duration
        return (_MIDNIGHT + value).time() if timedelta(0) <= value < timedelta(days=1) else str(value)
    return str(value)
