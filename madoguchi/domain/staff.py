"""What the forms of staff offer to choose from, and the words in which they answer. Values and pure functions only.

A clerk chooses a phrase; the record keeps its code, which is never renamed. Forms hold references and codes, never
anything about a person (`docs/staff.md`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from madoguchi.domain.lifecycle import BookingStatus, RequestStatus
from madoguchi.domain.message import MessageStatus
from madoguchi.domain.office import JST

CancelReason: TypeAlias = Literal[
    "ご本人の都合",
    "急な事情（体調・ご家族など）",
    "就職が決まった",
    "機器や通信の都合",
    "別の日時で申し込み直す",
    "所の都合（担当者の不在など）",
    "その他",
]
CANCEL_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ご本人の都合": "CLIENT_WISH",
        "急な事情（体調・ご家族など）": "SUDDEN",
        "就職が決まった": "FOUND_WORK",
        "機器や通信の都合": "CLIENT_DEVICE",
        "別の日時で申し込み直す": "WILL_APPLY_AGAIN",
        "所の都合（担当者の不在など）": "OFFICE",
        "その他": "OTHER",
    }
)
BY_OFFICE: Final = "OFFICE"
"""The one reason to cancel that lies with the office: the mail says sorry."""

MoveReason: TypeAlias = Literal[
    "ご本人の希望", "急な事情（体調・ご家族など）", "所の都合（担当者の不在など）", "Zoomや通信の障害", "その他"
]
MOVE_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ご本人の希望": "CLIENT_WISH",
        "急な事情（体調・ご家族など）": "SUDDEN",
        "所の都合（担当者の不在など）": "OFFICE",
        "Zoomや通信の障害": "TECHNICAL",
        "その他": "OTHER",
    }
)

Decision: TypeAlias = Literal["承認する", "お断りする"]
DECISIONS: Final[Mapping[str, str]] = MappingProxyType({"承認する": "approve", "お断りする": "decline"})

DecideReason: TypeAlias = Literal[
    "電話で内容を確かめた",
    "登録の内容で確かめた",
    "電話で規約への同意を確かめた",
    "当日だが対応できる",
    "事情を認めた",
    "連絡が取れない",
    "申込みが重なっている",
    "ご本人が取り下げた",
    "登録を確かめられない",
    "希望に合う枠がない",
    "今後の利用をお断りしている",
    "その他",
]
CONSENT_CONFIRMED: Final = "CONSENT_CONFIRMED"
DECIDE_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "電話で内容を確かめた": "CHECKED_BY_TELEPHONE",
        "登録の内容で確かめた": "CHECKED_IN_RECORDS",
        "電話で規約への同意を確かめた": CONSENT_CONFIRMED,
        "当日だが対応できる": "SAME_DAY_POSSIBLE",
        "事情を認めた": "SPECIAL_CASE",
        "連絡が取れない": "UNREACHABLE",
        "申込みが重なっている": "DUPLICATE",
        "ご本人が取り下げた": "WITHDRAWN",
        "登録を確かめられない": "REGISTRATION_UNCONFIRMED",
        "希望に合う枠がない": "NO_SLOT",
        "今後の利用をお断りしている": "RESTRICTED",
        "その他": "OTHER",
    }
)
_FOR_APPROVAL = frozenset(
    {"CHECKED_BY_TELEPHONE", "CHECKED_IN_RECORDS", CONSENT_CONFIRMED, "SAME_DAY_POSSIBLE", "SPECIAL_CASE"}
)

Tell: TypeAlias = Literal["メールで知らせる", "電話で知らせた"]
TELLS: Final[Mapping[str, str]] = MappingProxyType({"メールで知らせる": "mail", "電話で知らせた": "telephone"})

Channel: TypeAlias = Literal["電話", "留守番電話", "メール", "窓口", "その他"]
CHANNELS: Final[Mapping[str, str]] = MappingProxyType(
    {"電話": "telephone", "留守番電話": "voicemail", "メール": "mail", "窓口": "counter", "その他": "other"}
)

About: TypeAlias = Literal[
    "遅れる", "つながらない", "取り消したい", "参加方法を伝えた", "お知らせの内容を電話で伝えた", "その他"
]
WANTS_TO_CANCEL: Final = "wants_to_cancel"
LINK_TOLD: Final = "link_told"
NOTICE_TOLD: Final = "notice_told"
"""Staff called the client: says nothing about the session, it closes what waited for that call."""
ABOUTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "遅れる": "late",
        "つながらない": "cannot_connect",
        "取り消したい": WANTS_TO_CANCEL,
        "参加方法を伝えた": LINK_TOLD,
        "お知らせの内容を電話で伝えた": NOTICE_TOLD,
        "その他": "other",
    }
)

Seen: TypeAlias = Literal["来談者が参加した", "来談者が来ていない"]
SEEN: Final[Mapping[str, str]] = MappingProxyType(
    {"来談者が参加した": "client_seen", "来談者が来ていない": "client_not_seen"}
)

Attendance: TypeAlias = Literal["参加した", "連絡があった", "無断欠席（第6条(3)）", "窓口側の事情", "不明のまま"]
ATTENDANCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "参加した": "attended",
        "連絡があった": "contacted",
        "無断欠席（第6条(3)）": "no_show",
        "窓口側の事情": "office_fault",
        "不明のまま": "undetermined",
    }
)
AttendanceReason: TypeAlias = Literal[
    "担当者が確かめた",
    "ご本人に確かめた",
    "連絡の記録を確かめた",
    "Zoomの記録を確かめた",
    "窓口の担当者や機器の都合",
    "Zoomや通信の障害",
    "やむを得ない事情があった",
    "確かめられなかった",
    "その他",
]
ATTENDANCE_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "担当者が確かめた": "ASKED_COUNSELLOR",
        "ご本人に確かめた": "ASKED_CLIENT",
        "連絡の記録を確かめた": "CHECKED_CONTACTS",
        "Zoomの記録を確かめた": "CHECKED_ZOOM",
        "窓口の担当者や機器の都合": "OFFICE_TROUBLE",
        "Zoomや通信の障害": "TECHNICAL",
        "やむを得ない事情があった": "SPECIAL_CASE",
        "確かめられなかった": "COULD_NOT_CHECK",
        "その他": "OTHER",
    }
)
_EXCUSES: Final = frozenset({"OFFICE_TROUBLE", "TECHNICAL", "SPECIAL_CASE", "COULD_NOT_CHECK"})

Restricting: TypeAlias = Literal["制限する", "解除する"]
RESTRICTING: Final[Mapping[str, str]] = MappingProxyType({"制限する": "restrict", "解除する": "lift"})

Ground: TypeAlias = Literal["第6条(3)", "第12条(1)", "その他"]
GROUNDS: Final[Mapping[str, str]] = MappingProxyType(
    {"第6条(3)": "ART_6_3", "第12条(1)": "ART_12_1", "その他": "OTHER"}
)
RestrictionReason: TypeAlias = Literal[
    "連絡のない不参加が重なった",
    "脅迫や暴言があった",
    "就職以外の目的の利用",
    "ほかの方への妨げ",
    "事情を確かめた",
    "ご本人と話し合った",
    "決定に誤りがあった",
    "期間を待たずに終える",
    "その他",
]
RESTRICTION_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "連絡のない不参加が重なった": "REPEATED_NO_SHOW",
        "脅迫や暴言があった": "THREAT_OR_ABUSE",
        "就職以外の目的の利用": "OTHER_PURPOSE",
        "ほかの方への妨げ": "DISRUPTION",
        "事情を確かめた": "CIRCUMSTANCES_CHECKED",
        "ご本人と話し合った": "AGREED_WITH_CLIENT",
        "決定に誤りがあった": "WRONG_DECISION",
        "期間を待たずに終える": "ENDED_EARLY",
        "その他": "OTHER",
    }
)
_FOR_RESTRICTING: Final = frozenset({"REPEATED_NO_SHOW", "THREAT_OR_ABUSE", "OTHER_PURPOSE", "DISRUPTION"})

MessageOutcome: TypeAlias = Literal["届いていた", "もう一度送る", "電話で伝えた"]
MESSAGE_OUTCOMES: Final[Mapping[str, str]] = MappingProxyType(
    {"届いていた": "arrived", "もう一度送る": "send_again", "電話で伝えた": "told"}
)

MESSAGE_WORDS: Final[Mapping[MessageStatus, str]] = MappingProxyType(
    {
        MessageStatus.QUEUED: "これから送る予定",
        MessageStatus.SENDING: "送信の途中",
        MessageStatus.SENT: "送信済み",
        MessageStatus.RETRYING: "もう一度送る予定",
        MessageStatus.FAILED: "送れなかったもの",
        MessageStatus.UNCERTAIN: "届いたか分からないもの",
        MessageStatus.SUPPRESSED: "送らないことにしたもの",
        MessageStatus.MISSED: "時刻を過ぎて送らなかったもの",
    }
)
BOOKING_WORDS: Final[Mapping[BookingStatus, str]] = MappingProxyType(
    {
        BookingStatus.HELD: "確定の準備中",
        BookingStatus.CONFIRMED: "確定済み",
        BookingStatus.RELEASED: "仮押さえを取りやめ済み",
        BookingStatus.CANCELLED: "取り消し済み",
        BookingStatus.ATTENDED: "「相談した」と記録済み",
        BookingStatus.CONTACTED: "「連絡あり」と記録済み",
        BookingStatus.NO_SHOW_PROPOSED: "「連絡なく不参加」の確認待ち",
        BookingStatus.NO_SHOW: "「連絡なく不参加」と記録済み",
        BookingStatus.OFFICE_FAULT: "「所の不手際」と記録済み",
        BookingStatus.UNDETERMINED: "「判断できない」と記録済み",
    }
)
REQUEST_WORDS: Final[Mapping[RequestStatus, str]] = MappingProxyType(
    {
        RequestStatus.STAGED: "読み込みの途中",
        RequestStatus.RECEIVED: "受付済み",
        RequestStatus.BOOKED: "予約済み",
        RequestStatus.WAITING: "空き待ち",
        RequestStatus.IN_REVIEW: "職員の確認待ち",
        RequestStatus.TO_OFFER: "別の日時の案内待ち",
        RequestStatus.REJECTED: "受付できないと案内済み",
        RequestStatus.SKIPPED: "空行として処理済み",
        RequestStatus.REPLACED: "後の申込みに置き換え済み",
        RequestStatus.LAPSED: "終了済み",
        RequestStatus.CANCELLED: "取り消し済み",
    }
)


def fits(decision: str, reason: str) -> bool:
    """Tell whether a reason (code) can be the reason of a decision (`approve` or `decline`)."""
    return reason == "OTHER" or (reason in _FOR_APPROVAL) == (decision == "approve")


def fits_attendance(verdict: str, reason: str) -> bool:
    """Tell whether a reason (code) can be the reason of a verdict: an excuse is none for a no-show (Art. 6(3))."""
    return verdict != "no_show" or reason not in _EXCUSES


def fits_restriction(action: str, reason: str) -> bool:
    """Tell whether a reason (code) can be the reason to `restrict` or to `lift`."""
    return reason == "OTHER" or (reason in _FOR_RESTRICTING) == (action == "restrict")


def moment_ja(moment: datetime) -> str:
    """Return `9月24日 10時12分` in Asia/Tokyo, as the answers to staff say times."""
    local = moment.astimezone(JST)
    return f"{local.month}月{local.day}日 {local.hour}時{local.minute:02d}分"


def dated_ja(moment: datetime) -> str:
    """Return `2026年9月24日 10時12分`, where a wrong year may be the mistake."""
    return f"{moment.astimezone(JST).year}年{moment_ja(moment)}"


def not_in_this_state(reference: str, word: str, since: datetime | None, cannot: str) -> str:
    """Return why something cannot be done: `M-7K2Q9F は9月24日 10時12分に取り消し済みのため、取り消せません。`."""
    at = f"{moment_ja(since)}に" if since else ""
    return f"{reference} は{at}{word}のため、{cannot}。"
