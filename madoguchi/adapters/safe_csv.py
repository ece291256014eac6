"""CSV that a spreadsheet opens without harm: no cell is taken for a formula, and Japanese reads right."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import IO

_BOM = "\ufeff".encode()
_FORMULA = frozenset("=+-@\t\r\0")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+")

_LEADING = re.compile(r"^[\s\ufeff\u200b]+")


class SafeCsv:
    """Writes rows to a binary stream: UTF-8 with its mark, every cell quoted. `sha256`: of all bytes so far."""

    def __init__(self, stream: IO[bytes]) -> None:
        """Write the mark by which spreadsheets know UTF-8."""
        self._stream = stream
        self._digest = hashlib.sha256()
        self._write(_BOM)

    @property
    def sha256(self) -> str:
        """The hash of what was written, in hexadecimal."""
        return self._digest.hexdigest()

    def row(self, cells: Sequence[str]) -> None:
        """Write one row."""
        self._write((",".join(map(_quoted, cells)) + "\r\n").encode())

    def _write(self, data: bytes) -> None:
        self._digest.update(data)
        self._stream.write(data)


def safe_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe before what begins like one.

    Full-width signs count too, since some programs fold them. Line breaks and control characters become a space.
    """
    plain = _CONTROL.sub(" ", text)
    begins = _LEADING.sub("", plain)[:1]
    risky = bool({begins, unicodedata.normalize("NFKC", begins)[:1], text[:1]} & _FORMULA)
    return f"'{plain}" if risky else plain


def _quoted(text: str) -> str:
    return '"' + safe_cell(text).replace('"', '""') + '"'
