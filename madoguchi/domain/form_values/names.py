"""Names of people: kept as written, because another character is another name."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from madoguchi.domain.application import Reason
from madoguchi.domain.form_values.text import Reading, is_blank, one_line, without_invisible

# User-defined characters differ on every machine; the geta mark, `?` and U+FFFD stand for a character that some
# system could not write; so does an HTML character reference.
_LOST: Final = re.compile("[\ue000-\uf8ff\U000f0000-\U0010ffff〓?？\ufffd\x00-\x1f\x7f-\x9f]|&#[xX]?[0-9A-Fa-f]+;")


def read_name(text: str) -> Reading[str]:
    """Read a name. Only white space is collapsed and invisible characters dropped; nothing is folded (Art. 6(1) ①).

    NFKC and NFC would rewrite 460 compatibility ideographs, U+FA10 among them. Says MISSING_NAME or NAME_LOSSY.
    """
    if is_blank(text):
        return Reading(None, (Reason.MISSING_NAME,))
    name = one_line(text)
    return Reading(name, (Reason.NAME_LOSSY,) if _LOST.search(name) else ())


def name_match_key(name: str | None) -> str:
    """Return a key under which two spellings of one name meet: folded, without spaces and case.

    For comparing only, never for showing. Different people may share it.
    """
    if not name:
        return ""
    return "".join(unicodedata.normalize("NFKC", without_invisible(name)).split()).casefold()
