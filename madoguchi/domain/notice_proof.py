"""The proof that everybody was told of an amendment (Art. 13, Civil Code 548-4(2)): who stands where.

Values and pure functions only; `store.proof` says the same in SQL, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from madoguchi.domain.amendment import NoticePurpose, NoticeRoute
from madoguchi.domain.message import MessageStatus

TOLD_BY_TELEPHONE: Final = "TOLD_BY_TELEPHONE"
"""Reason of a message that staff settled with `settle-message` as told by telephone."""
_LEFT: Final = frozenset({MessageStatus.SENT, MessageStatus.SENDING, MessageStatus.UNCERTAIN})
_UNDER_WAY: Final = frozenset({MessageStatus.QUEUED, MessageStatus.RETRYING, MessageStatus.SENDING})


class NoticeClass(StrEnum):
    """Where somebody who has to be told stands; everybody is in exactly one."""

    TOLD = "told"
    """A mail was taken over by the relay, and nothing came back."""
    TOLD_OTHERWISE = "told_otherwise"
    """Staff told this person, and said how and when."""
    BOUNCED = "bounced"
    """The mail came back."""
    UNCERTAIN = "uncertain"
    """Nobody knows whether the mail left."""
    NOT_SENT = "not_sent"
    """No mail went out, and none will."""
    WAITING = "waiting"
    """A mail is queued or under way."""
    NO_ADDRESS = "no_address"
    """There is no address to write to, and nobody has told this person yet."""


MUST_BE_TOLD: Final = frozenset({NoticeClass.BOUNCED, NoticeClass.NOT_SENT, NoticeClass.NO_ADDRESS})
"""Who has to be told by other means."""
UNSETTLED: Final = frozenset({NoticeClass.WAITING, NoticeClass.UNCERTAIN})
"""Who keeps anybody from signing."""

CLASS_JA: Final[Mapping[NoticeClass, str]] = MappingProxyType(
    {
        NoticeClass.TOLD: "メールでお知らせ済み",
        NoticeClass.TOLD_OTHERWISE: "ほかの方法でお知らせ済み",
        NoticeClass.BOUNCED: "メールが戻ってきた",
        NoticeClass.UNCERTAIN: "届いたか分からない",
        NoticeClass.NOT_SENT: "送れなかった",
        NoticeClass.WAITING: "送信待ち",
        NoticeClass.NO_ADDRESS: "メールアドレスがない",
    }
)
PURPOSE_JA: Final[Mapping[NoticePurpose, str]] = MappingProxyType(
    {NoticePurpose.ANNOUNCED: "改定のお知らせ", NoticePurpose.WITHDRAWN: "取りやめのお知らせ"}
)
ROUTE_JA: Final[Mapping[NoticeRoute, str]] = MappingProxyType(
    {NoticeRoute.MAIL: "メール", NoticeRoute.OTHER: "ほかの方法"}
)

Purpose: TypeAlias = Literal["改定のお知らせ", "取りやめのお知らせ"]
PURPOSES: Final[Mapping[str, str]] = MappingProxyType({words: code.value for code, words in PURPOSE_JA.items()})

How: TypeAlias = Literal["電話", "郵便", "窓口", "オンライン相談の中", "その他"]
HOWS: Final[Mapping[str, str]] = MappingProxyType(
    {"電話": "telephone", "郵便": "letter", "窓口": "counter", "オンライン相談の中": "session", "その他": "other"}
)
HOW_JA: Final[Mapping[str, str]] = MappingProxyType({code: words for words, code in HOWS.items()})

Handled: TypeAlias = Literal["ご本人に伝えた", "アドレスは使える", "確かめた"]
HANDLED: Final[Mapping[str, str]] = MappingProxyType(
    {"ご本人に伝えた": "told", "アドレスは使える": "usable", "確かめた": "looked"}
)

_REASONS_JA: Final[Mapping[str, str]] = MappingProxyType(
    {
        "BOUNCED_HARD": "メールが戻ってきました（このアドレスには届きません。今後のメールを止めています）",
        "BOUNCED_SOFT_REPEATED": "メールが続けて戻ってきました（今後のメールを止めています）",
        "BOUNCED_SOFT": "メールが戻ってきました（受信箱がいっぱいなど、一時的なものです）",
        "BOUNCED_POLICY": "メールが戻ってきました（相手の側で受け取りを断られました）",
        "BOUNCED_UNKNOWN": "メールが戻ってきました（理由は書かれていません）",
        "BOUNCED_NOTICE": "規約のお知らせのメールが戻ってきました（今後のメールを止めています）",
        "NOT_OURS": "どのお知らせが戻ってきたのか分からないものがあります",
        "FOLDER_MISSING": "戻ってきたメールのフォルダーがありません",
    }
)


def notice_class(  # noqa: PLR0911 — one return a rule, in the order in which they win
    route: NoticeRoute, *, is_told: bool, status: MessageStatus | None, reason: str | None, came_back: bool
) -> NoticeClass:
    """Return where somebody stands.

    `is_told`: staff recorded it. `status` and `reason`: of the message, None while there is none. `came_back`: a
    notification said that the message failed, or it came back without one; a mere delay is none.
    """
    if is_told:
        return NoticeClass.TOLD_OTHERWISE
    if route is NoticeRoute.OTHER:
        return NoticeClass.NO_ADDRESS
    if status is None:
        return NoticeClass.WAITING
    if status in _LEFT and came_back:
        return NoticeClass.BOUNCED
    if status in _UNDER_WAY:
        return NoticeClass.WAITING
    if status is MessageStatus.FAILED and reason == TOLD_BY_TELEPHONE:
        return NoticeClass.TOLD_OTHERWISE
    by_status = {MessageStatus.SENT: NoticeClass.TOLD, MessageStatus.UNCERTAIN: NoticeClass.UNCERTAIN}
    return by_status.get(status, NoticeClass.NOT_SENT)


def people_left(count: int) -> str:
    """Return the reason of the staff task about those who must be told by other means."""
    return f"PEOPLE_LEFT_{count}"


def bounce_reason_ja(code: str) -> str:
    """Return in words why something came back or waits for a call; empty for a code of another kind."""
    if code.startswith("PEOPLE_LEFT_"):
        return f"残り{code.removeprefix('PEOPLE_LEFT_')}名"
    if code.startswith("REFUSED_"):
        return f"相手の側で受け取りを断られたメールがあります（{code.removeprefix('REFUSED_')}）"
    return _REASONS_JA.get(code, "")
