"""Why an export cannot be read. The whole file is set aside; trouble of one row is never an ExportError."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

REMEDIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "FILE_MISSING": "ファイルが見つかりません。受け箱に置き直してください。",
        "FILE_EMPTY": "ファイルが空です。フォームから書き出し直してください。",
        "FILE_TRUNCATED": "ファイルが途中で切れています。もう一度、最後まで書き出してください。",
        "FILE_CHANGED": "読んでいる間にファイルが書き換わりました。書き込みが終わってから置いてください。",
        "TOO_LARGE": "ファイルが大きすぎます。期間を分けて書き出してください。",
        "CELL_TOO_LARGE": "一つの欄が長すぎます。引用符の閉じ忘れがないか見てください。",
        "NUL_BYTES": "文字ではないデータが混じっています。CSV(UTF-8)で書き出し直してください。",
        "ENCODING_UNREADABLE": "文字コードを読めません。CSV(UTF-8)で書き出し直してください。",
        "QUOTING_BROKEN": "引用符の対応が崩れています。手直しせずに書き出し直してください。",
        "NOT_A_TABLE": "CSVでもXLSXでもありません。CSVかXLSX(パスワードなし)で書き出してください。",
        "XLSX_BOMB": "展開すると異常に大きくなるファイルです。出どころを確かめてください。",
        "WRONG_MAPPING": "見出しがフォームの設定と合いません。フォームか config/forms の設定を直してください。",
        "DUPLICATE_HEADER": "同じ項目の列が二つあります。どちらかを消すか、設定の見出しを直してください。",
        "SEVERAL_TABLES": "申込みの表が二つ以上のシートにあります。一つだけ残してください。",
        "SEVERAL_MAPPINGS": "二つ以上のフォームの設定に当てはまります。設定の見出しを見分けられるようにしてください。",
    }
)
"""What a clerk can do about each code."""


class ExportError(Exception):
    """An export that cannot be taken in.

    `code` is one of REMEDIES, `remedy` is for the clerk, `place` names a line, byte, limit or headers. The text
    holds no cell of the table; header names only once the header row has been recognised as one.
    """

    def __init__(self, code: str, place: str = "") -> None:
        self.code = code
        self.remedy = REMEDIES[code]
        self.place = place
        super().__init__(f"{code}{f' ({place})' if place else ''}: {self.remedy}")


class MappingError(ValueError):
    """A form's settings file that cannot be used; the text names the file, the key and what is allowed there."""
