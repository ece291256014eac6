"""CSV exports: encoding, delimiter and quoting decided strictly, rows streamed."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import BinaryIO, Final

from madoguchi.adapters.form_export_errors import ExportError
from madoguchi.adapters.form_export_table import (
    HEADER_ROWS,
    Continuation,
    Export,
    Header,
    KnownStart,
    Limits,
    RawRow,
    best_header,
    check_header,
    is_uneven,
)
from madoguchi.domain.intake_mapping import FormMapping

_CHUNK: Final = 1 << 20
_HEAD: Final = 1 << 16
_REST: Final = 8 << 20
"""Bytes behind a known start that are held in memory at once; a longer rest is read with the whole file."""
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
    stamp: tuple[int, int]
    """Size and change time before the first byte was read."""
    start: KnownStart | None = None
    """The longest known file that these bytes begin with and that was read in the same encoding."""

    def unreadable(self) -> ExportError:
        first = next(iter(self.failed.values()))
        cut = first == self.size  # only the end was missing
        return ExportError("FILE_TRUNCATED" if cut else "ENCODING_UNREADABLE", f"{first}バイト目")


def open_csv(
    handle: BinaryIO,
    mapping: FormMapping,
    limits: Limits,
    digest_key: bytes = b"",
    known: Sequence[KnownStart] = (),
) -> Export:
    """Return the export in an open file. ExportError when its bytes, header or form are not as they should be."""
    survey = _survey(handle, mapping, known)
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
    return Export(
        encoding=encoding,
        sha256=survey.sha256,
        size=survey.size,
        header=layout.header,
        rows=_rows(handle, layout, limits, survey, digest_key),
        continuation=partial(_continuation, handle, mapping, layout, limits, survey, digest_key),
    )


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


def _survey(handle: BinaryIO, mapping: FormMapping, known: Sequence[KnownStart]) -> _Survey:
    """Read all bytes once: find the first encoding that reads every one of them, hash them, look for a known start."""
    stamp = _stamp(handle)
    handle.seek(0)
    encodings = _encodings(handle.read(_HEAD), mapping)
    digest = hashlib.sha256()
    wide = encodings == ("utf-16",)
    blank = True
    decoders = {name: codecs.getincrementaldecoder(name)("strict") for name in encodings}
    failed: dict[str, int] = {}
    begins: list[tuple[KnownStart, frozenset[str]]] = []
    handle.seek(0)
    offset = 0
    for chunk in _chunks(handle, {start.size for start in known}):
        digest.update(chunk)
        if not wide and b"\x00" in chunk:
            raise ExportError("NUL_BYTES", f"{offset + chunk.index(0)}バイト目")
        blank = blank and not chunk.strip()
        _try_decoding(decoders, failed, chunk, offset)
        offset += len(chunk)
        begins += [
            (start, frozenset(failed))
            for start in known
            if start.size == offset and start.sha256 == digest.copy().hexdigest()
        ]
    _try_decoding(decoders, failed, b"", offset)
    if blank:
        raise ExportError("FILE_EMPTY")
    encoding = next((name for name in encodings if name not in failed), None)
    in_order = {name: failed[name] for name in encodings if name in failed}
    # Read alone, the start would have passed for the first encoding that had not failed by then.
    starts = [
        start
        for start, out in begins
        if start.size < offset and next((name for name in encodings if name not in out), None) == encoding
    ]
    return _Survey(encoding, digest.hexdigest(), in_order, offset, stamp, starts[-1] if starts else None)


def _chunks(handle: BinaryIO, marks: set[int]) -> Iterator[bytes]:
    """Yield the bytes from here on in chunks of which one ends at each mark."""
    offset = 0
    for mark in sorted(marks):
        while offset < mark and (chunk := handle.read(min(_CHUNK, mark - offset))):
            yield chunk
            offset += len(chunk)
    while chunk := handle.read(_CHUNK):
        yield chunk


def _stamp(handle: BinaryIO) -> tuple[int, int]:
    status = os.fstat(handle.fileno())
    return status.st_size, status.st_mtime_ns


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


def _lay_out(
    handle: BinaryIO, mapping: FormMapping, encoding: str, errors: str = "strict", head: int = _HEAD
) -> _Layout:
    """Find the header row and the delimiter under which it is most itself, in the first `head` bytes."""
    handle.seek(0)
    text = codecs.getincrementaldecoder(encoding)(errors).decode(handle.read(head))
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


def _rows(handle: BinaryIO, layout: _Layout, limits: Limits, survey: _Survey, digest_key: bytes) -> Iterator[RawRow]:
    """Yield the records below the header."""
    handle.seek(0)
    text = io.TextIOWrapper(handle, encoding=layout.encoding, errors="strict", newline="")
    # Strict, because a stray quote would swallow the rows up to the next one without a word.
    reader = csv.reader(text, delimiter=layout.delimiter, strict=True)
    try:
        for _ in range(layout.header.row + 1):
            next(reader)
        yield from _records(reader, 0, layout, limits, digest_key)
    except csv.Error as error:
        raise ExportError(_code_of(error), f"{reader.line_num}行目") from None
    except UnicodeError:
        raise ExportError("FILE_CHANGED") from None
    finally:
        text.detach()
    if _stamp(handle) != survey.stamp:
        raise ExportError("FILE_CHANGED")


def _records(
    reader: Iterable[list[str]], before: int, layout: _Layout, limits: Limits, digest_key: bytes
) -> Iterator[RawRow]:
    """Yield the records of a reader. Kept lean: reading a known file again costs little more than this loop."""
    width, cap = layout.header.width, limits.rows
    blank_digest = hashlib.blake2b(digest_size=16, key=digest_key)
    for number, cells in enumerate(reader, before + 1):
        if number > cap:
            raise ExportError("TOO_LARGE", f"{cap}行まで")
        digest = blank_digest.copy()
        digest.update("\x1f".join(cells).encode())
        yield RawRow(number, tuple(cells), digest.digest(), len(cells) != width and is_uneven(cells, width))


def _continuation(
    handle: BinaryIO, mapping: FormMapping, layout: _Layout, limits: Limits, survey: _Survey, digest_key: bytes
) -> Continuation | None:
    """Return the known start and the records behind it, or None: whatever is unusual is left to the whole reading."""
    start = survey.start
    if start is None or layout.encoding == "utf-16" or survey.size - start.size > _REST:
        return None
    if start.size < _HEAD and not _is_laid_out(handle, mapping, layout, start.size):
        return None
    rest = _rest(handle, start, survey)
    if rest is None:
        return None
    text = io.StringIO(rest.decode("utf-8" if layout.encoding == "utf-8-sig" else layout.encoding), newline="")
    reader = csv.reader(text, delimiter=layout.delimiter, strict=True)
    try:
        return Continuation(start, tuple(_records(reader, start.rows, layout, limits, digest_key)))
    except (csv.Error, ExportError):
        return None


def _is_laid_out(handle: BinaryIO, mapping: FormMapping, layout: _Layout, head: int) -> bool:
    """Tell whether the first bytes alone would have been read with the same header and delimiter."""
    try:
        return _lay_out(handle, mapping, layout.encoding, head=head) == layout
    except ExportError:
        return False


def _rest(handle: BinaryIO, start: KnownStart, survey: _Survey) -> bytes | None:
    """Return the bytes behind a known start when a record begins there.

    The known file could be read alone, so it ends outside quotes: a line break ends its last record, the file's own
    or the first that follows it.
    """
    handle.seek(start.size - 1)
    last = handle.read(1)
    rest = handle.read()
    if _stamp(handle) != survey.stamp:
        raise ExportError("FILE_CHANGED")
    if last == b"\n":
        return rest
    if last == b"\r":
        return rest.removeprefix(b"\n")
    for line_break in (b"\r\n", b"\n", b"\r"):
        if rest.startswith(line_break):
            return rest.removeprefix(line_break)
    return None


def _code_of(error: csv.Error) -> str:
    message = str(error)
    if "unexpected end" in message:
        return "FILE_TRUNCATED"
    return "CELL_TOO_LARGE" if "field limit" in message else "QUOTING_BROKEN"
