"""Reads `config/forms/<source>.toml` into a FormMapping."""

from __future__ import annotations

import codecs
import re
import tomllib
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from madoguchi.adapters.form_export_errors import MappingError
from madoguchi.domain.intake_mapping import FIELDS, FormMapping

_KEYS: Final = frozenset(
    {"source", "form", "zone", "separators", "required", "columns", "submitted_formats", "encodings", "delimiter"}
)


def load_mapping(path: Path) -> FormMapping:
    """Return the mapping in a TOML file; MappingError names the file, the key and the remedy."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MappingError(f"{path.name}: cannot be read as TOML in UTF-8 ({error})") from error
    unknown = sorted(table.keys() - _KEYS)
    if unknown:
        raise MappingError(f"{path.name}: unknown key {unknown[0]!r}; allowed are {', '.join(sorted(_KEYS))}")
    columns = _columns(table, path)
    names = {field for field, _ in columns}
    required = frozenset(_texts(table, "required", path))
    for field in sorted(required - names):
        raise MappingError(f"{path.name}: required names {field!r}, which [columns] does not map")
    delimiter = table.get("delimiter")
    if delimiter is not None and (not isinstance(delimiter, str) or len(delimiter) != 1):
        raise MappingError(f"{path.name}: delimiter must be one character")
    mapping = FormMapping(
        source=_text(table, "source", path),
        form=_text(table, "form", path),
        columns=columns,
        required=required,
        zone=_zone(table, path),
        separators=tuple(_texts(table, "separators", path)) or (";",),
        submitted_formats=tuple(_texts(table, "submitted_formats", path)),
        encodings=tuple(_texts(table, "encodings", path)) or ("utf-8", "cp932"),
        delimiter=delimiter,
    )
    _check_encodings(mapping, path)
    return mapping


def _columns(table: dict[str, Any], path: Path) -> tuple[tuple[str, re.Pattern[str]], ...]:
    columns = table.get("columns")
    if not isinstance(columns, dict) or not columns:
        raise MappingError(f"{path.name}: [columns] is missing; it maps fields to patterns of headers")
    found = []
    for field, pattern in columns.items():
        if field not in FIELDS:
            raise MappingError(f"{path.name}: [columns] maps {field!r}; known fields are {', '.join(FIELDS)}")
        try:
            found.append((field, re.compile(pattern)))
        except (re.error, TypeError) as error:
            raise MappingError(f"{path.name}: [columns] {field} is no regular expression ({error})") from error
    return tuple(found)


def _text(table: dict[str, Any], key: str, path: Path) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise MappingError(f"{path.name}: {key} is missing or no text")
    return value


def _texts(table: dict[str, Any], key: str, path: Path) -> list[str]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise MappingError(f"{path.name}: {key} must be a list of texts")
    return list(value)


def _zone(table: dict[str, Any], path: Path) -> ZoneInfo:
    name = table.get("zone", "Asia/Tokyo")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        raise MappingError(f"{path.name}: zone is unknown; write one such as 'Asia/Tokyo'") from error


def _check_encodings(mapping: FormMapping, path: Path) -> None:
    for encoding in mapping.encodings:
        try:
            name = codecs.lookup(encoding).name
        except LookupError as error:
            raise MappingError(f"{path.name}: encoding {encoding!r} is unknown") from error
        if name == "shift_jis":  # cannot read ①, 髙 or 﨑, and maps the wave dash elsewhere
            raise MappingError(f"{path.name}: write 'cp932' for the encoding {encoding!r}")
