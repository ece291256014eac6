"""Characters as people and spreadsheets leave them: blanks, dashes, kana, enclosed numbers, odd cells."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Final, Generic, TypeAlias, TypeVar

from madoguchi.domain.application import Flag, Reason

T = TypeVar("T")

Cell: TypeAlias = str | int | float | datetime | date | time | bool | None
"""What a cell of an export may hold. CSV gives text only; XLSX gives types."""


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """What one cell says: its value as far as readable, what is wrong with it, and what staff should know."""

    value: T | None = None
    reasons: tuple[Reason, ...] = ()
    flags: tuple[Flag, ...] = ()


DASHES: Final = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2500\u30fc\uff0d\uff70\ufe63"
"""All that people type for a hyphen; NFKC folds only a few of them. U+30FC is also a vowel mark: numbers only."""

TILDES: Final = "~\uff5e\u301c\u223c\u223e"

# Zero-width and direction marks: never part of a name, and able to make two names look alike. Joiners and variation
# selectors are not here, they choose the shape of a character in a real name.
_INVISIBLE: Final = dict.fromkeys(
    [0x00AD, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
_INVISIBLE_PATTERN: Final = re.compile("[\u00ad\u200b\u200e\u200f\u2060\ufeff\u202a-\u202e\u2066-\u2069]")
_LONE_DASH: Final = re.compile(f"[{re.escape(DASHES)}]+")
_NOTHING: Final = frozenset(
    ["なし", "無し", "無", "無い", "ない", "ありません", "特になし", "いない", "いません", "いいえ"]
)
_HALF_KANA: Final = re.compile("[\uff66-\uff9f]+")
_ENCLOSED: Final = re.compile("[\u2460-\u249b\u24ea-\u24ff\u2776-\u2793\u3251-\u325f\u32b1-\u32bf]")
_LIST_MARK: Final = re.compile(f"^\\s*{_ENCLOSED.pattern}(?=[\\s.:)、，．：）]*\\d)")
_TO_KATAKANA: Final = {code: code + 0x60 for code in range(0x3041, 0x3097)}


def cell_text(cell: Cell) -> str:
    """Return a cell as text. Whole floats lose their `.0`, as spreadsheets show them; nothing is normalised."""
    if isinstance(cell, str):
        return cell
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, int) and cell.bit_length() > 256:
        return "?"  # str() of a huge integer raises
    return str(cell)


def without_invisible(text: str) -> str:
    """Drop characters that nobody can see; changes nothing that can be seen."""
    if text.isascii() or not _INVISIBLE_PATTERN.search(text):
        return text
    return text.translate(_INVISIBLE)


def folded(text: str) -> str:
    """Return the compatibility form, trimmed. For numbers, dates, times and addresses; never for names."""
    if text.isascii():
        return text.strip()
    return unicodedata.normalize("NFKC", without_invisible(text)).strip()


def one_line(text: str) -> str:
    """Collapse every run of white space to one space and trim; the characters themselves stay as written."""
    return " ".join(without_invisible(text).split())


def is_blank(text: str) -> bool:
    """Tell whether a cell says nothing: white space, or a lone dash as people put into required boxes."""
    if not text:
        return True
    first = text[0]
    if "0" <= first <= "z" or "\u3041" <= first <= "\u30fb" or "\u3400" <= first <= "\u9fff":
        return False  # most cells; U+30FC, which may stand for a dash, lies outside
    stripped = without_invisible(text).strip()
    return not stripped or _LONE_DASH.fullmatch(stripped) is not None


def says_nothing(text: str) -> bool:
    """Tell whether a cell is blank or says "none" in words."""
    return is_blank(text) or (len(text) < 16 and folded(text).rstrip("。.") in _NOTHING)


def is_formula_start(text: str) -> bool:
    """Tell whether a spreadsheet could take the text for a formula: `=`, `+`, `@` first, full-width too; TAB, CR.

    A leading `-` is not counted: notes begin with it as a bullet. What we write is neutralised for it all the same.
    """
    if not text:
        return False
    if text[0] in "\t\r":
        return True
    if "A" <= text[0] <= "z" or "\u3041" <= text[0] <= "\u9fff":
        return False
    head = without_invisible(text).lstrip()
    return unicodedata.normalize("NFKC", head[:1])[:1] in {"=", "+", "@"}


def katakana(text: str) -> str:
    """Return a reading in full-width katakana: half-width and hiragana converted, voicing marks joined.

    Characters that are not kana stay as they are: people do write kanji into this box.
    """
    text = _HALF_KANA.sub(lambda run: unicodedata.normalize("NFKC", run.group()), one_line(text))
    text = text.translate(_TO_KATAKANA)
    if "\u3099" in text or "\u309a" in text:
        text = re.sub("[\u30a0-\u30ff][\u3099\u309a]", lambda pair: unicodedata.normalize("NFC", pair.group()), text)
    return text


def list_items(text: str) -> list[str] | None:
    """Split a cell at its enclosed numbers when it has two or more; None when it is no such list.

    Must run before any folding: `①9/29` would become `19/29`. Text with digits before the first mark belongs to
    no item; such a cell gives an empty list, which readers treat as unreadable.
    """
    marks = _ENCLOSED.findall(text)
    if len(marks) < 2:
        return None
    head, *items = _ENCLOSED.split(text)
    return [] if any(char.isdigit() for char in head) else items


def without_enclosed(text: str) -> str:
    """Turn a single enclosed number into digits, or drop it where it only marks a list of one (`①9/29`)."""
    if text.isascii():
        return text
    text = _LIST_MARK.sub("", text, count=1)
    return _ENCLOSED.sub(lambda mark: _enclosed_value(mark.group()), text)


def _enclosed_value(mark: str) -> str:
    value = unicodedata.numeric(mark, -1)
    return str(int(value)) if value >= 0 else mark


def as_dashes(text: str) -> str:
    """Turn every hyphen-like character into `-`. Only for text where U+30FC cannot be a vowel mark."""
    return text.translate(_AS_DASH)


def as_tildes(text: str) -> str:
    """Turn every wave dash into `~`."""
    return text.translate(_AS_TILDE)


_AS_DASH: Final = {ord(char): "-" for char in DASHES}
_AS_TILDE: Final = {ord(char): "~" for char in TILDES}
