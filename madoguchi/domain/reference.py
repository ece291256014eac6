"""References that people read aloud, type and write down: `M-7K2Q9F`. They carry no meaning and identify nobody."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

ALPHABET = "234679CFHJKMNPQRTWXY"
"""What the six characters are made of: 20 signs, 64 million references a prefix.

Left out because two of them look alike: 0 O D beside Q, 1 I L, 5 S, 8 B, Z beside 2, G beside 6, U V beside W and Y.
The vowels A E I O U are out for a second reason: no word can come up by chance.
"""
LENGTH = 6

_REFERENCE = re.compile(rf"[A-Z]-[{ALPHABET}]{{{LENGTH}}}")
# What people put between the prefix and the rest, after NFKC: spaces, hyphens, dashes, the minus, the long-vowel mark.
_BETWEEN = re.compile(r"[\s\-‐‑‒–—―−─ーｰ]+")


def new_reference(prefix: str, random: Callable[[int], int]) -> str:
    """Return a new reference such as `M-7K2Q9F`.

    `prefix`: one letter A-Z for the kind of thing referred to. `random(n)`: a number from 0 to n-1, outside tests
    `secrets.randbelow`, because a reference must not be guessable from the one before. Does not promise that it is
    new: the record's unique constraint does, and the caller draws again.

    Raises ValueError for another prefix.
    """
    if not re.fullmatch("[A-Z]", prefix):
        raise ValueError("the prefix of a reference is one letter from A to Z")
    return f"{prefix}-{''.join(ALPHABET[random(len(ALPHABET))] for _ in range(LENGTH))}"


def is_reference(text: str) -> bool:
    """Tell whether `text` is a reference exactly as `new_reference` writes it; not whether it exists."""
    return _REFERENCE.fullmatch(text) is not None


def normalise_reference(text: str) -> str:
    """Return the reference that somebody typed: lower case, full width, spaces, any hyphen or none are read.

    Guesses nothing: a sign outside the alphabet (0, O, 1, I and so on) is an error, for the reference next to it may
    be another person's. Raises ValueError, without the typed text, which may hold anything.
    """
    signs = _BETWEEN.sub("", unicodedata.normalize("NFKC", text)).upper()
    found = f"{signs[:1]}-{signs[1:]}"
    if not is_reference(found):
        raise ValueError(
            f"not a reference: expected a letter, a hyphen and {LENGTH} of {ALPHABET}, such as M-7K2Q9F; "
            "copy it from the list or the mail"
        )
    return found
