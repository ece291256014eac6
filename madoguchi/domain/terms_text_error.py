"""Why a text cannot be read as terms of use, and what a clerk can do about it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_REMEDIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "EMPTY": "文字がありません。規約の本文を入れてください。",
        "TOO_LARGE": "規約にしては長すぎます。ほかの文書が混じっていないか見てください。",
        "NOT_TEXT": "文字ではないデータが混じっています。文字だけのファイルにしてください。",
        "NO_ARTICLE": "「第１条」で始まる行が見つかりません。条の見出しを行の初めに置いてください。",
        "FIRST_ARTICLE": "最初の条が第１条ではありません。抜けている条がないか見てください。",
        "ARTICLE_JUMPS": "条の番号が飛んでいます。抜けた条を入れるか（廃止した条は「削除」）、番号を直してください。",
        "ARTICLE_REPEATS": "条の番号が重なっているか、前に戻っています。番号を直してください。",
        "MARK_JUMPS": "番号の順が合いません。抜けている項や号がないか見て、番号を直してください。",
        "EMPTY_ARTICLE": "条の見出しだけで、本文がありません。本文を入れるか、「削除」と書いてください。",
        "EMPTY_PART": "番号だけで、文がありません。文を入れるか、番号を消してください。",
    }
)


class TermsTextError(ValueError):
    """A text that cannot be read as terms.

    `code` is stable, `line` counts from 1 (0: the whole text), `found` is the mark it is about, `remedy` is for clerks.
    """

    def __init__(self, code: str, line: int = 0, found: str = "") -> None:
        self.code, self.line, self.found, self.remedy = code, line, found, _REMEDIES[code]
        where = f"{line}行目" if line else "規約の文"
        super().__init__(f"{where}{f'「{found}」' if found else ''}: {self.remedy}")
