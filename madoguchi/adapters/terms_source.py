"""The file that somebody wrote terms of use in → its text: plain text, Markdown, or the text layer of a PDF."""

from __future__ import annotations

import codecs
import io
import logging
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from madoguchi.domain.terms_marks import article_mark, mark_of

LARGEST_TEXT: Final = 4_000_000
"""Bytes of a text file."""
LARGEST_PDF: Final = 30_000_000
"""Bytes of a PDF; fonts and pictures weigh more than words."""
MOST_PAGES: Final = 300

_TEXT_NAMES: Final = frozenset({".txt", ".text", ".md", ".markdown", ""})
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHER_FILES: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"{\\rtf")
_CONTROL: Final = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_EDGE: Final = 2
"""Lines at the top and at the bottom of a page that may be a header or a footer."""
_PAGE_NUMBER: Final = re.compile(
    r"[-‐–—―－(（\[\s]*(?:p\.?|page|頁)?\s*[0-9０-９]{1,3}\s*(?:[/／]\s*[0-9０-９]{1,3})?\s*(?:頁|ページ)?[-‐–—―－)）\]\s]*",
    re.IGNORECASE,
)
# Some PDF writers name the radical 方 (U+2F45) where the character 方 stands: it looks the same and compares unequal.
_RADICALS: Final = {
    code: unicodedata.normalize("NFKC", chr(code))
    for code in range(0x2E80, 0x2FE0)
    if len(unicodedata.normalize("NFKC", chr(code))) == 1
}

_REMEDIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "MISSING": "ファイルが見つかりません。置き場所と名前を確かめてください。",
        "UNREADABLE": "ファイルを開けません。読み取りの権限を確かめてください。",
        "EMPTY": "ファイルが空です。規約の本文を入れてください。",
        "TOO_LARGE": "規約のファイルにしては大きすぎます。ほかのファイルと取り違えていないか確かめてください。",
        "KIND": "この種類のファイルは読めません。文字だけのファイル（.txt、.md）か、PDFで置いてください。",
        "ENCODING": "文字コードを読めません。UTF-8 で保存し直してください。",
        "NOT_TEXT": "文字ではないデータが混じっています。文字だけのファイルとして保存し直してください。",
        "PDF_BROKEN": "PDFが壊れているか、途中で切れています。作り直してください。",
        "PDF_ENCRYPTED": "PDFにパスワードがかかっています。パスワードなしで保存し直してください。",
        "PDF_SCAN": "PDFに文字の情報がありません（紙を読み取った画像のようです）。元の文書から作り直してください。",
        "PDF_GARBLED": "PDFの文字の情報が壊れています。元の文書からPDFを作り直すか、文字だけのファイルにしてください。",
    }
)


class TermsSourceError(Exception):
    """A file that no text can be taken from.

    `code` is stable, `place` names the file and the line or page, `remedy` is for clerks.
    """

    def __init__(self, code: str, place: str) -> None:
        self.code, self.place, self.remedy = code, place, _REMEDIES[code]
        super().__init__(f"{place}: {self.remedy}")


def read_terms_source(path: Path) -> str:
    """Return the text of a `.txt`, `.md` or `.pdf` file; nothing of it is changed but what is said here.

    Text may be UTF-8 (with or without a mark), UTF-16 with a mark, or CP932. Of a PDF it is the text layer,
    without page numbers and without lines that every page repeats at its edges. What a file is
    its first bytes decide, not its name. TermsSourceError says what is wrong and what to do. Reads the file only.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            # A pipe or a device would never end.
            raise TermsSourceError("UNREADABLE", path.name)
        if facts.st_size > LARGEST_PDF:
            raise TermsSourceError("TOO_LARGE", path.name)
        content = path.read_bytes()
    except FileNotFoundError:
        raise TermsSourceError("MISSING", path.name) from None
    except (OSError, ValueError):
        raise TermsSourceError("UNREADABLE", path.name) from None
    if not content.strip():
        raise TermsSourceError("EMPTY", path.name)
    if b"%PDF-" in content[:1024]:
        return _pdf_text(content, path.name)
    if path.suffix.lower() == ".pdf":
        raise TermsSourceError("PDF_BROKEN", path.name)
    if content.startswith(_OTHER_FILES) or path.suffix.lower() not in _TEXT_NAMES:
        raise TermsSourceError("KIND", path.name)
    if len(content) > LARGEST_TEXT:
        raise TermsSourceError("TOO_LARGE", path.name)
    return _plain_text(content, path.name)


def _plain_text(content: bytes, name: str) -> str:
    text = _decoded(content, name)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if bad := _CONTROL.search(text):
        raise TermsSourceError("NOT_TEXT", f"{name} {text.count(chr(10), 0, bad.start()) + 1}行目")
    if not text.strip():
        raise TermsSourceError("EMPTY", name)
    return text


def _decoded(content: bytes, name: str) -> str:
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            try:
                return content.decode(encoding)
            except UnicodeDecodeError as error:
                raise TermsSourceError("ENCODING", f"{name} {_line(content, error.start)}行目") from None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        first = error.start
    try:
        return content.decode("cp932")
    except UnicodeDecodeError as error:
        # Whichever reading came further is the one that was meant.
        raise TermsSourceError("ENCODING", f"{name} {_line(content, max(first, error.start))}行目") from None


def _line(content: bytes, at: int) -> int:
    return content.count(b"\n", 0, at) + 1


def _pdf_text(content: bytes, name: str) -> str:
    # pypdf tells its own log about every oddity of a file; what matters to a clerk is raised here.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        pages = _pages(content, name)
    except ImportError:
        # pypdf needs another library for AES; without it the file stays closed either way.
        raise TermsSourceError("PDF_ENCRYPTED", name) from None
    except (PyPdfError, ValueError, LookupError, TypeError, AttributeError, RecursionError, OSError):
        # A broken file fails in pypdf wherever its reading has come to.
        raise TermsSourceError("PDF_BROKEN", name) from None
    if not any(page.strip() for page in pages):
        raise TermsSourceError("PDF_SCAN", name)
    for number, page in enumerate(pages, 1):
        if "\ufffd" in page or _CONTROL.search(page):
            raise TermsSourceError("PDF_GARBLED", f"{name} {number}ページ目")
    return "\n".join(_without_edges(pages)).translate(_RADICALS)


def _pages(content: bytes, name: str) -> list[str]:
    reader = PdfReader(io.BytesIO(content))
    # An empty password opens what is only protected against changes.
    if reader.is_encrypted and not reader.decrypt(""):
        raise TermsSourceError("PDF_ENCRYPTED", name)
    if len(reader.pages) > MOST_PAGES:
        raise TermsSourceError("TOO_LARGE", name)
    return [page.extract_text() for page in reader.pages]


def _without_edges(pages: Sequence[str]) -> list[str]:
    """Return pages without page numbers, and without what most of them repeat at top or bottom."""
    split = [[line for line in page.split("\n") if line.strip()] for page in pages]
    shapes = [{line: _shape(line, number) for line in lines} for number, lines in enumerate(split, 1)]
    seen: Counter[tuple[bool, str]] = Counter()
    for lines, shape in zip(split, shapes, strict=True):
        seen.update({(True, shape[line]) for line in lines[:_EDGE]} | {(False, shape[line]) for line in lines[-_EDGE:]})
    repeated = {key for key, times in seen.items() if times >= max(2, len(pages) * 2 // 3)}
    trimmed = []
    for lines, shape in zip(split, shapes, strict=True):
        start, end = 0, len(lines)
        while start < min(_EDGE, end) and _is_edge(lines[start], (True, shape[lines[start]]) in repeated):
            start += 1
        while end > max(start, len(lines) - _EDGE) and _is_edge(
            lines[end - 1], (False, shape[lines[end - 1]]) in repeated
        ):
            end -= 1
        trimmed.append("\n".join(lines[start:end]))
    return trimmed


def _is_edge(line: str, is_repeated: bool) -> bool:
    line = line.strip()
    # Two pages may both begin with a heading of an article; that is no header.
    return bool(_PAGE_NUMBER.fullmatch(line)) or (is_repeated and not article_mark(line) and not mark_of(line))


def _shape(line: str, page: int) -> str:
    """Return a line as every page has it: without blanks, its own number as a sign."""
    return re.sub("[0-9０-９]+", lambda found: "#" if int(found[0]) == page else found[0], "".join(line.split()))
