"""Answers from lists and check boxes: registration, consent, companions, topics."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from madoguchi.domain.application import Flag
from madoguchi.domain.form_values.text import Reading, folded, is_blank, one_line, says_nothing

_REFUSAL: Final = re.compile(
    r"同意.{0,6}(?:ない|ません|せず|かね)|不同意|拒否|反対|^(?:いいえ|no|false|0|☐|×)$", re.IGNORECASE
)
_CONSENT: Final = re.compile(r"同意|承諾|了承|確認|はい|^(?:yes|agreed?|true|1|on|☑|✓|✔|○)$", re.IGNORECASE)
_PRESENT: Final = re.compile(r"^(?:有り?|あり|はい)\s*[:：、,]\s*")


@lru_cache(maxsize=256)
def read_registration(text: str) -> Reading[str]:
    """Read the state of the registration as declared (Art. 2(1)): user, online, none, unsure, other, or empty."""
    if is_blank(text):
        return Reading("")
    answer = "".join(folded(text).split())
    if re.search("未登録|登録して(?:い)?(?:ない|ません)|登録なし", answer):
        return Reading("none")
    if re.search("わから|分から|不明", answer):
        return Reading("unsure", (), (Flag.REGISTRATION_UNSURE,))
    if "オンライン" in answer:
        return Reading("online", (), (Flag.ONLINE_REGISTRANT,))
    if "登録者" in answer or "登録済" in answer:
        return Reading("user")
    return Reading("other", (), (Flag.REGISTRATION_UNSURE,))


@lru_cache(maxsize=256)
def read_consent(text: str) -> Reading[str]:
    """Read the consent box: given, refused, or deemed by applying (preamble and Art. 6) when blank or unclear."""
    if is_blank(text):
        return Reading("deemed", (), (Flag.CONSENT_DEEMED_ONLY,))
    answer = folded(text)
    if _REFUSAL.search(answer):
        return Reading("refused")
    if _CONSENT.search(answer):
        return Reading("given")
    return Reading("deemed", (), (Flag.CONSENT_TEXT_UNREAD,))


def read_companion(text: str) -> Reading[str]:
    """Read who else attends, in the applicant's words (Art. 12(3)); None for nobody."""
    if says_nothing(text):
        return Reading()
    words = one_line(text)
    return Reading(_PRESENT.sub("", words) or words, (), (Flag.COMPANION_DECLARED,))


def read_topics(text: str, separators: Sequence[str]) -> tuple[str, ...]:
    """Split a multiple choice at the first of `separators` that occurs; trailing and blank parts are dropped."""
    for separator in separators:
        if separator in text:
            return tuple(part for part in map(one_line, text.split(separator)) if part)
    whole = one_line(text)
    return (whole,) if whole and not is_blank(whole) else ()
