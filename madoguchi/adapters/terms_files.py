"""The versions of the terms that lie in the terms folder, one TOML file each, with the text beside it."""

from __future__ import annotations

import hashlib
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any


class TermsFileError(Exception):
    """A file of the terms folder cannot be used; the text names it and what to write."""


@dataclass(frozen=True, slots=True)
class TermsFile:
    """What one file says of a version. `sha256`: of the canonical text, or of the facts where the text is not ours."""

    document: str
    code: str
    sha256: str
    enacted_on: date
    effective_at: datetime
    url: str


def read_terms(folder: Path) -> tuple[TermsFile, ...]:
    """Return every version in `folder`; TermsFileError when one is unreadable or a document is missing."""
    found = tuple(_read(path) for path in sorted(folder.glob("*.toml")))
    for document in ("service", "zoom"):
        if not any(version.document == document for version in found):
            raise TermsFileError(f"{folder}: no version of the {document} terms; see config/terms for the form of one")
    return found


def canonical_text(text: str) -> str:
    """Return terms as they are hashed: NFC, LF, no blanks at line ends, no blank lines at either end."""
    lines = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).strip("\n") + "\n"


def _read(path: Path) -> TermsFile:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TermsFileError(f"{path.name}: not readable as TOML: {error}") from None
    for key, kind in (
        ("document", str),
        ("code", str),
        ("enacted_on", date),
        ("effective_at", datetime),
        ("url", str),
    ):
        # A moment is a date to Python, but not to us.
        if not isinstance(raw.get(key), kind) or (kind is date and isinstance(raw[key], datetime)):
            raise TermsFileError(f"{path.name}: {key} is missing or not a {kind.__name__}")
    if raw["document"] not in {"service", "zoom"}:
        raise TermsFileError(f'{path.name}: document must be "service" or "zoom"')
    if raw["effective_at"].tzinfo is None:
        raise TermsFileError(f"{path.name}: effective_at needs its offset, such as +09:00")
    return TermsFile(raw["document"], raw["code"], _hash(path, raw), raw["enacted_on"], raw["effective_at"], raw["url"])


def _hash(path: Path, raw: Mapping[str, Any]) -> str:
    if "text" not in raw:
        content = f"{raw['url']}\n{raw['code']}\n"
    else:
        try:
            content = canonical_text((path.parent / str(raw["text"])).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            raise TermsFileError(f"{path.name}: its text {raw['text']} cannot be read as UTF-8") from None
    return hashlib.sha256(content.encode()).hexdigest()
