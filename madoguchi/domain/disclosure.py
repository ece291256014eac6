"""Words of the register of disclosures and of holds (Art. 7(2) proviso): a person decides, the system keeps and checks.

Phrases are what forms show; codes stand in the record. The names of statutes are for choosing, not legal advice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal

Asked = Literal["書面", "電話・口頭など、書面によらない依頼"]
ASKED: Final[Mapping[str, str]] = {"書面": "written", "電話・口頭など、書面によらない依頼": "informal"}

Basis = Literal[
    "裁判官の令状（刑事訴訟法第218条）",
    "捜査関係事項照会（刑事訴訟法第197条第2項）",
    "裁判所の調査嘱託・文書送付嘱託（民事訴訟法第186条・第226条）",
    "その他の法令（書面に条項の記載があるもの）",
    "法令の根拠が示されていない",
]
BASES: Final[Mapping[str, str]] = {
    "裁判官の令状（刑事訴訟法第218条）": "warrant",
    "捜査関係事項照会（刑事訴訟法第197条第2項）": "investigation_inquiry",
    "裁判所の調査嘱託・文書送付嘱託（民事訴訟法第186条・第226条）": "court_request",
    "その他の法令（書面に条項の記載があるもの）": "other_law",
    "法令の根拠が示されていない": "none",
}

Decision = Literal["開示する", "開示しない"]
DECISIONS: Final[Mapping[str, str]] = {"開示する": "granted", "開示しない": "refused"}

Scope = Literal[
    "氏名・求職番号", "申込みの内容", "予約と出欠", "送ったお知らせ", "接続の記録（第7条）", "お断りと制限の決定"
]
SCOPES: Final[Mapping[str, str]] = {
    "氏名・求職番号": "identity",
    "申込みの内容": "applications",
    "予約と出欠": "sessions",
    "送ったお知らせ": "messages",
    "接続の記録（第7条）": "device",
    "お断りと制限の決定": "decisions",
}

HoldAction = Literal["保存を続ける", "保存の指示を解除する"]
HOLD_ACTIONS: Final[Mapping[str, str]] = {"保存を続ける": "set", "保存の指示を解除する": "lift"}

HoldReason = Literal["争い・不服申立て", "監査・検査", "開示の手続き（第7条(2)）", "その他の決定"]
HOLD_REASONS: Final[Mapping[str, str]] = {
    "争い・不服申立て": "dispute",
    "監査・検査": "audit",
    "開示の手続き（第7条(2)）": "disclosure",
    "その他の決定": "other",
}


def why_not_granted(*, asked: str, basis: str, paper: str | None, scope: Collection[str]) -> str | None:
    """Return the sentence with which granting is refused, or None: Art. 7(2) allows it only when asked under law.

    An informal request is never granted, whoever asks. All arguments are codes.
    """
    if asked == "informal":
        return "電話や口頭での依頼には開示できません（規約第7条(2)）。法令に基づく書面で求めるようお伝えください。"
    if basis == "none":
        return "法令の根拠が示されていない依頼には開示できません（規約第7条(2)）。"
    if not paper:
        return "「開示する」のときは、paper（依頼の書面の番号）を入れてください。"
    if not scope:
        return "「開示する」のときは、scope（開示する範囲）を一つ以上選んでください。"
    return None
