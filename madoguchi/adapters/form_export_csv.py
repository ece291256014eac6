"""CSV exports: encoding, delimiter and quoting decided strictly, rows streamed."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO, Final

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
from madoguchi.domain.intake_mapping import FormMapping

_CHUNK: Final = 1 << 20
_HEAD: Final = 1 << 16
_DELIMITERS: Final = (",", ";", "\t")
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_NOT_TEXT: Final = (b"\xd0\xcf\x11\xe0", b"%PDF", b"{", b"<")

# One limit for the whole process: the default of 128 kB would let one very long answer stop everybody's file.
csv.field_size_limit(1 << 20)


@dataclass(frozen=True, slots=True)
class _Layout:
    encoding: str
    delimiter: str
    header: Header


@dataclass(frozen=True, slots=True)
class _Survey:
    """What one pass over all bytes has shown. `failed`: where each encoding that does not fit breaks off."""

    encoding: str | None
    sha256: str
    failed: dict[str, int]
    size: int

    def unreadable(self) -> ExportError:
        first = next(iter(self.failed.values()))
        cut = first == self.size  # only the end was missing
        return ExportError("FILE_TRUNCATED" if cut else "ENCODING_UNREADABLE", f"{first}バイト目")


def open_csv(handle: BinaryIO, mapping: FormMapping, limits: Limits) -> Export:
    """Return the export in an open file. ExportError when its bytes, header or form are not as they should be."""
    survey = _survey(handle, mapping)
    encoding = survey.encoding
    if encoding is None:
        raise survey.unreadable()
    layout = _lay_out(handle, mapping, encoding)
    if not layout.header.fits and survey.failed:
        # One bad byte in a UTF-8 file, and all of it may pass for CP932: the headers know better.
        meant = _lay_out(handle, mapping, mapping.encodings[0], errors="replace")
        if meant.header.fits:
            raise survey.unreadable()
    check_header(layout.header, mapping)
    rows = _rows(handle, layout, limits)
    return Export(encoding=encoding, sha256=survey.sha256, header=layout.header, rows=rows)


def csv_header(handle: BinaryIO, mapping: FormMapping) -> Header:
    """Return the header as the mapping sees it, having looked at the first rows only."""
    handle.seek(0)
    head = handle.read(_HEAD)
    for encoding in _encodings(head, mapping):
        try:
            codecs.getincrementaldecoder(encoding)("strict").decode(head)
        except UnicodeDecodeError:
            continue
        return _lay_out(handle, mapping, encoding).header
    raise ExportError("ENCODING_UNREADABLE")


def _encodings(head: bytes, mapping: FormMapping) -> tuple[str, ...]:
    """Return the encodings to try: what the byte order mark says and nothing else, or the mapping's in order."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return (encoding,)
    if head.lstrip()[:4].startswith(_NOT_TEXT):
        raise ExportError("NOT_A_TABLE")
    return mapping.encodings


def _survey(handle: BinaryIO, mapping: FormMapping) -> _Survey:
    """Read all bytes once: find the first encoding that reads every one of them, and hash them."""
    handle.seek(0)
    encodings = _encodings(handle.read(_HEAD), mapping)
    digest = hashlib.sha256()
    wide = encodings == ("utf-16",)
    blank = True
    decoders = {name: codecs.getincrementaldecoder(name)("strict") for name in encodings}
    failed: dict[str, int] = {}
    handle.seek(0)
    offset = 0
    while chunk := handle.read(_CHUNK):
        digest.update(chunk)
        if not wide and b"\x00" in chunk:
            raise ExportError("NUL_BYTES", f"{offset + chunk.index(0)}バイト目")
        blank = blank and not chunk.strip()
        _try_decoding(decoders, failed, chunk, offset)
        offset += len(chunk)
    _try_decoding(decoders, failed, b"", offset)
    if blank:
        raise ExportError("FILE_EMPTY")
    encoding = next((name for name in encodings if name not in failed), None)
    in_order = {name: failed[name] for name in encodings if name in failed}
    return _Survey(encoding, digest.hexdigest(), in_order, offset)


def _try_decoding(
    decoders: dict[str, codecs.IncrementalDecoder], failed: dict[str, int], chunk: bytes, offset: int
) -> None:
    """Feed a chunk to every decoder that has not failed yet; an empty chunk is the end of the file."""
    for name, decoder in decoders.items():
        if name in failed:
            continue
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            # A character may have begun in the chunk before; a few bytes more or less do not matter here.
            failed[name] = offset + error.start if chunk else offset


def _lay_out(handle: BinaryIO, mapping: FormMapping, encoding: str, errors: str = "strict") -> _Layout:
    """Find the header row and the delimiter under which it is most itself."""
    handle.seek(0)
    text = codecs.getincrementaldecoder(encoding)(errors).decode(handle.read(_HEAD))
    found: list[_Layout] = []
    widest = 0
    for delimiter in (mapping.delimiter,) if mapping.delimiter else _DELIMITERS:
        rows = _first_rows(text, delimiter)
        widest = max([widest, *map(len, rows)])
        header = best_header(rows, mapping)
        if header is not None:
            found.append(_Layout(encoding, delimiter, header))
    if widest < 2:
        raise ExportError("NOT_A_TABLE")
    best = max(found, key=lambda layout: len(layout.header.columns))
    if not best.header.columns and "\x1b$" in text:  # ISO-2022-JP passes for ASCII
        raise ExportError("ENCODING_UNREADABLE")
    return best


def _first_rows(text: str, delimiter: str) -> list[list[str]]:
    rows = []
    try:
        for row in islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), HEADER_ROWS):
            rows.append(row)  # noqa: PERF402 — what was read before an error counts
    except csv.Error:
        pass
    return rows


def _rows(handle: BinaryIO, layout: _Layout, limits: Limits) -> Iterator[RawRow]:
    """Yield the records below the header. Kept lean: reading a known file again costs little more than this loop."""
    before = os.fstat(handle.fileno())
    handle.seek(0)
    text = io.TextIOWrapper(handle, encoding=layout.encoding, errors="strict", newline="")
    # Strict, because a stray quote would swallow the rows up to the next one without a word.
    reader = csv.reader(text, delimiter=layout.delimiter, strict=True)
    width, cap, blake2b = layout.header.width, limits.rows, hashlib.blake2b
    try:
        for _ in range(layout.header.row + 1):
            next(reader)
        for number, cells in enumerate(reader, 1):
            if number > cap:
                raise ExportError("TOO_LARGE", f"{cap}行まで")
            digest = blake2b("\x1f".join(cells).encode(), digest_size=16).digest()
            yield RawRow(number, tuple(cells), digest, len(cells) != width and is_uneven(cells, width))
    except csv.Error as error:
        raise ExportError(_code_of(error), f"{reader.line_num}行目") from None
    except UnicodeError:
        raise ExportError("FILE_CHANGED") from None
    finally:
        text.detach()
    after = os.fstat(handle.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ExportError("FILE_CHANGED")


def _code_of(error: csv.Error) -> str:
    message = str(error)
    if "unexpected end" in message:
        return "FILE_TRUNCATED"
    return "CELL_TOO_LARGE" if "field limit" in message else "QUOTING_BROKEN"
