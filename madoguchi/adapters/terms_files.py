"""The versions of the terms that lie in the terms folder, one TOML file each, with the text beside it."""

from __future__ import annotations

import codecs
import hashlib
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from madoguchi.adapters.terms_source import TermsSourceError, read_terms_source


class TermsFileError(Exception):
    """A file of the terms folder cannot be used; the text names it and what to write."""


@dataclass(frozen=True, slots=True)
class TermsFile:
    """What one file says of a version. `sha256`: of the canonical text, or of the facts where the text is not ours.

    `text`: the canonical words; None where they are not ours. `former_sha256`: how a record may know the same file
    from the time when the mark that some editors put before UTF-8 counted as a part of the text.
    """

    document: str
    code: str
    sha256: str
    enacted_on: date
    effective_at: datetime
    url: str
    text: str | None = None
    signatory: str | None = None
    former_sha256: str | None = None
    announced_elsewhere: bool = False


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
    signatory = raw.get("signatory")
    if signatory is not None and not isinstance(signatory, str):
        raise TermsFileError(f"{path.name}: signatory is not a str; write the office that signs, or leave it out")
    if not isinstance(raw.get("announced_elsewhere", False), bool):
        raise TermsFileError(f"{path.name}: announced_elsewhere is not true or false")
    text, sha256, former = _words(path, raw)
    return TermsFile(
        document=raw["document"],
        code=raw["code"],
        sha256=sha256,
        enacted_on=raw["enacted_on"],
        effective_at=raw["effective_at"],
        url=raw["url"],
        text=text,
        signatory=signatory.strip() or None if signatory else None,
        former_sha256=former,
        announced_elsewhere=raw.get("announced_elsewhere", False),
    )


def _words(path: Path, raw: Mapping[str, Any]) -> tuple[str | None, str, str | None]:
    """Return the canonical words, their hash, and the hash from before."""
    if "text" not in raw:
        return None, _sha256(f"{raw['url']}\n{raw['code']}\n"), None
    source = path.parent / str(raw["text"])
    try:
        words = read_terms_source(source)
        is_marked = source.read_bytes().startswith(codecs.BOM_UTF8)
    except (TermsSourceError, OSError) as error:
        raise TermsFileError(f"{path.name}: its text {raw['text']} cannot be read: {error}") from None
    text = canonical_text(words)
    return text, _sha256(text), _sha256(canonical_text("\ufeff" + words)) if is_marked else None


def _sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
