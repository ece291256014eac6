"""One row of a form export as the office understands it: the outcome, its reasons, and what could be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from madoguchi.domain.office import JST

NextStep: TypeAlias = Literal["none", "incomplete_mail", "alternatives_mail", "staff"]


class Outcome(StrEnum):
    """What becomes of a row. `reject` closes the row, never the person: the person is told and may apply again."""

    ACCEPT = "accept"
    NEEDS_REVIEW = "needs_review"
    REJECT = "reject"
    SKIP = "skip"


class Reason(StrEnum):
    """Why a row is not simply accepted. The order here is the order of the checks: the first finding names the row."""

    BLANK = "BLANK"
    COLUMN_COUNT = "COLUMN_COUNT"
    SUSPICIOUS_CELL = "SUSPICIOUS_CELL"
    NO_SUBMIT_TIME = "NO_SUBMIT_TIME"
    DUPLICATE = "DUPLICATE"
    SUPERSEDED_BY_EDIT = "SUPERSEDED_BY_EDIT"
    NOT_REGISTERED = "NOT_REGISTERED"
    CONSENT_REFUSED = "CONSENT_REFUSED"
    MISSING_NAME = "MISSING_NAME"
    MISSING_NUMBER = "MISSING_NUMBER"
    MISSING_DATETIME = "MISSING_DATETIME"
    NAME_LOSSY = "NAME_LOSSY"
    NUMBER_PRECISION_LOST = "NUMBER_PRECISION_LOST"
    NUMBER_AMBIGUOUS = "NUMBER_AMBIGUOUS"
    NUMBER_INVALID = "NUMBER_INVALID"
    INVALID_DATE = "INVALID_DATE"
    DATE_INCOMPLETE = "DATE_INCOMPLETE"
    DATE_AMBIGUOUS = "DATE_AMBIGUOUS"
    YEAR_AMBIGUOUS = "YEAR_AMBIGUOUS"
    WEEKDAY_MISMATCH = "WEEKDAY_MISMATCH"
    PAST_DATE = "PAST_DATE"
    NON_WORKING_DAY = "NON_WORKING_DAY"
    TIME_FREE_TEXT = "TIME_FREE_TEXT"
    TIME_AMBIGUOUS = "TIME_AMBIGUOUS"
    TIME_RANGE_WIDE = "TIME_RANGE_WIDE"
    OUT_OF_WINDOW = "OUT_OF_WINDOW"
    OFF_GRID = "OFF_GRID"
    SAME_DAY = "SAME_DAY"
    LATE_INGEST = "LATE_INGEST"
    NO_CONTACT = "NO_CONTACT"
    NO_EMAIL = "NO_EMAIL"
    EMAIL_MULTIPLE = "EMAIL_MULTIPLE"
    EMAIL_INVALID = "EMAIL_INVALID"
    EMAIL_NON_RFC = "EMAIL_NON_RFC"
    EMAIL_SUSPECT_TYPO = "EMAIL_SUSPECT_TYPO"
    NUMBER_NAME_MISMATCH = "NUMBER_NAME_MISMATCH"
    CHANGE_REQUEST = "CHANGE_REQUEST"
    BEYOND_HORIZON = "BEYOND_HORIZON"
    REGISTRATION_CONFLICT = "REGISTRATION_CONFLICT"
    RESTRICTED = "RESTRICTED"
    """Found when everything else is in order: what is known of the person, never of the row. So is the next."""
    REPEATED_NO_SHOW = "REPEATED_NO_SHOW"
    RESTORED = "RESTORED"
    """Sent before the record was lost, and not in the backup that it was restored from: perhaps told already."""


class Flag(StrEnum):
    """What staff or later steps should know of a row without it changing the outcome."""

    ALTERNATIVE_UNUSABLE = "ALTERNATIVE_UNUSABLE"
    COMPANION_DECLARED = "COMPANION_DECLARED"
    CONSENT_DEEMED_ONLY = "CONSENT_DEEMED_ONLY"
    CONSENT_TEXT_UNREAD = "CONSENT_TEXT_UNREAD"
    CONTACT_CHANGED = "CONTACT_CHANGED"
    EMAIL_DOUBTFUL = "EMAIL_DOUBTFUL"
    EMAIL_FROM_ACCOUNT = "EMAIL_FROM_ACCOUNT"
    EMAIL_NORMALISED = "EMAIL_NORMALISED"
    FIRST_CHOICE_INVALID = "FIRST_CHOICE_INVALID"
    NUMBER_SHORT = "NUMBER_SHORT"
    ONLINE_REGISTRANT = "ONLINE_REGISTRANT"
    PHONE_UNREADABLE = "PHONE_UNREADABLE"
    PHONE_ZERO_RESTORED = "PHONE_ZERO_RESTORED"
    REGISTRATION_UNSURE = "REGISTRATION_UNSURE"
    RELATED_WAITING = "RELATED_WAITING"
    REPLACES_WAITING = "REPLACES_WAITING"
    RESUBMITTED = "RESUBMITTED"
    SERIAL_DATE = "SERIAL_DATE"
    SUBMITTED_LATER = "SUBMITTED_LATER"
    WISHES_CUT = "WISHES_CUT"


@dataclass(frozen=True, slots=True)
class ReasonRule:
    """What a reason leads to. `ja` is what clerks read; `article` is the place in the terms, or `-`."""

    outcome: Outcome
    ja: str
    article: str
    next_step: NextStep


def _incomplete(ja: str, article: str) -> ReasonRule:
    return ReasonRule(Outcome.REJECT, ja, article, "incomplete_mail")


def _other_times(ja: str) -> ReasonRule:
    return ReasonRule(Outcome.REJECT, ja, "6(1)③", "alternatives_mail")


def _closed(ja: str) -> ReasonRule:
    return ReasonRule(Outcome.REJECT, ja, "-", "none")


def _staff(ja: str, article: str = "6(1)③") -> ReasonRule:
    return ReasonRule(Outcome.NEEDS_REVIEW, ja, article, "staff")


REASONS: Final[Mapping[Reason, ReasonRule]] = MappingProxyType(
    {
        Reason.BLANK: ReasonRule(Outcome.SKIP, "何も書かれていない行です", "-", "none"),
        Reason.COLUMN_COUNT: _staff("見出しと列の数が違います。列がずれていないか見てください", "-"),
        Reason.SUSPICIOUS_CELL: _staff("表計算ソフトが数式と取り違える文字で始まる欄があります", "-"),
        Reason.NO_SUBMIT_TIME: _staff("申込みの日時が読めず、同意の時点を残せません", "6"),
        Reason.DUPLICATE: _closed("すでに受け付けた申込みと同じ内容です"),
        Reason.SUPERSEDED_BY_EDIT: _closed("ご本人が後から書き直した回答があります"),
        Reason.NOT_REGISTERED: _incomplete("求職登録がまだと回答されています", "2(1)"),
        Reason.CONSENT_REFUSED: _staff("利用規約に同意しないと回答されています", "前文, 6"),
        Reason.MISSING_NAME: _incomplete("お名前が書かれていません", "6(1)①"),
        Reason.MISSING_NUMBER: _incomplete("求職番号が書かれていません", "6(1)②"),
        Reason.MISSING_DATETIME: _incomplete("ご希望の日付または時刻が書かれていません", "6(1)③"),
        Reason.NAME_LOSSY: _staff("お名前に読めない文字(外字・文字化け)があります", "6(1)①"),
        Reason.NUMBER_PRECISION_LOST: _staff("求職番号が指数表記になり、元の数字が失われています", "6(1)②"),
        Reason.NUMBER_AMBIGUOUS: _staff("求職番号の区切りが決められません", "6(1)②"),
        Reason.NUMBER_INVALID: _staff("求職番号の形(5桁-8桁以内)になっていません", "6(1)②"),
        Reason.INVALID_DATE: _incomplete("存在しない日付です", "6(1)③"),
        Reason.DATE_INCOMPLETE: _staff("日付が一日に決まりません(月や日がない、「来週」など)"),
        Reason.DATE_AMBIGUOUS: _staff("日付が二通りに読めます"),
        Reason.YEAR_AMBIGUOUS: _staff("年が書かれておらず、かなり先の日付になります"),
        Reason.WEEKDAY_MISMATCH: _staff("日付と曜日が食い違っています"),
        Reason.PAST_DATE: _incomplete("申込みの日より前の日付です", "6(1)③"),
        Reason.NON_WORKING_DAY: _other_times("閉庁日(土日・祝日・年末年始・臨時の休み)です"),
        Reason.TIME_FREE_TEXT: _staff("時刻が一つに決まらない書き方です"),
        Reason.TIME_AMBIGUOUS: _staff("午前か午後か、または何時かが決められません"),
        Reason.TIME_RANGE_WIDE: _staff("30分より長い時間帯が書かれています"),
        Reason.OUT_OF_WINDOW: _other_times("相談の時間帯に30分が収まりません"),
        Reason.OFF_GRID: _staff("時間帯の中ですが、開始の刻みに合いません"),
        Reason.SAME_DAY: _staff("当日の申込みです(原則は前日まで)", "6(1)"),
        Reason.LATE_INGEST: _staff("申込みは前日までですが、読み込みが当日以降になりました", "6(1)"),
        Reason.NO_CONTACT: _staff("メールアドレスも電話番号もありません", "6(2)"),
        Reason.NO_EMAIL: _staff("メールアドレスがありません。お電話でご連絡ください", "6(2)"),
        Reason.EMAIL_MULTIPLE: _staff("メールアドレスが二つ以上書かれています", "6(2)"),
        Reason.EMAIL_INVALID: _staff("メールアドレスとして読めません", "6(2)"),
        Reason.EMAIL_NON_RFC: _staff("届かないことがある形のアドレスです(点の連続など)", "6(2)"),
        Reason.EMAIL_SUSPECT_TYPO: _staff("メールアドレスの打ち間違いかもしれません", "6(2)"),
        Reason.NUMBER_NAME_MISMATCH: _staff("同じ求職番号で違うお名前の申込みがあります", "6(1)"),
        Reason.CHANGE_REQUEST: _staff("同じ方の別の申込みがあります(変更か追加かを確かめてください)", "6(3)"),
        Reason.BEYOND_HORIZON: _staff("受け付けている期間より先の日付です"),
        Reason.REGISTRATION_CONFLICT: _staff("未登録と回答されていますが、求職番号が書かれています", "2(1)"),
        Reason.RESTRICTED: _staff("利用の制限が記録されている方です。経緯を見て判断してください", "6(3), 12(1)"),
        Reason.REPEATED_NO_SHOW: _staff(
            "連絡なく不参加だったことが重なっている方です。経緯を見て判断してください", "6(3)"
        ),
        Reason.RESTORED: _staff(
            "記録を失う前の申込みです。すでにご案内しているかもしれません。ご本人かZoomで確かめてください", "6(2)"
        ),
    }
)
"""Every reason with its consequence. Wording for staff; applicants get mails of their own."""

REASON_RANK: Final[Mapping[Reason, int]] = MappingProxyType({reason: rank for rank, reason in enumerate(Reason)})
"""Place of each reason in the order of checks."""

FLAG_WORDS: Final[Mapping[Flag, str]] = MappingProxyType(
    {
        Flag.ALTERNATIVE_UNUSABLE: "第2希望以下に使えない日時があり、除きました",
        Flag.COMPANION_DECLARED: "同席する方がいます(第12条(3))",
        Flag.CONSENT_DEEMED_ONLY: "同意欄は空です(申込みをもって同意)",
        Flag.CONSENT_TEXT_UNREAD: "同意欄の書き方が読み取れません(申込みをもって同意)",
        Flag.CONTACT_CHANGED: "前の申込みと連絡先が違います",
        Flag.EMAIL_DOUBTFUL: "メールアドレスを確かめるまで送らないでください",
        Flag.EMAIL_FROM_ACCOUNT: "メールアドレスはフォームのアカウントのものです",
        Flag.EMAIL_NORMALISED: "メールアドレスの表記(全角・空白など)を直しました",
        Flag.FIRST_CHOICE_INVALID: "第1希望が使えないため、次の希望を使います",
        Flag.NUMBER_SHORT: "求職番号の後半が3桁以下です",
        Flag.ONLINE_REGISTRANT: "オンライン登録者です(利用登録者への切替えが必要)",
        Flag.PHONE_UNREADABLE: "電話番号が読み取れません",
        Flag.PHONE_ZERO_RESTORED: "電話番号の先頭の0を補いました",
        Flag.REGISTRATION_UNSURE: "登録の状況がはっきりしません",
        Flag.RELATED_WAITING: "別の日時をご案内中の申込みがあります",
        Flag.REPLACES_WAITING: "ご案内中だった申込みに代わるものです",
        Flag.RESUBMITTED: "確認中の申込みの再送です",
        Flag.SERIAL_DATE: "日付は表計算ソフトの通し番号でした",
        Flag.SUBMITTED_LATER: "申込みの日時が読み込みの時点より後です",
        Flag.WISHES_CUT: "希望日時が多いため、初めの三つを使います",
    }
)


@dataclass(frozen=True, slots=True)
class Application:
    """What could be read in a row, normalised; for rejected and review rows as far as it went.

    `wishes` are aware starts in Asia/Tokyo in order of preference. Of an accepted row they are bookable and the
    first is the one to book; of other rows they are merely readable. `chosen_preference` is the number, as the
    applicant counted, of `wishes[0]` in an accepted row. `email` of a row flagged EMAIL_DOUBTFUL is for staff to
    look at, not to write to.
    """

    name: str | None = None
    kana: str | None = None
    job_seeker_number: str | None = None
    email: str | None = None
    phone: str | None = None
    companion: str | None = None
    registration: str = ""
    """`user`, `online`, `none`, `unsure`, `other`, or empty when not answered."""
    topics: tuple[str, ...] = ()
    note: str | None = None
    wishes: tuple[datetime, ...] = ()
    chosen_preference: int = 1
    consent: str = "deemed"
    """`given`, `deemed` (by applying: preamble and Art. 6) or `refused`."""
    submitted_at: datetime | None = None

    def to_json(self) -> dict[str, str | list[str] | None]:
        """Return plain values for encrypted storage; instants as ISO 8601 in Asia/Tokyo."""
        return {
            "name": self.name,
            "kana": self.kana,
            "job_seeker_number": self.job_seeker_number,
            "email": self.email,
            "phone": self.phone,
            "companion": self.companion,
            "registration": self.registration,
            "topics": list(self.topics),
            "note": self.note,
            "wishes": [wish.isoformat() for wish in self.wishes],
            "chosen_preference": str(self.chosen_preference),
            "consent": self.consent,
            "submitted_at": self.submitted_at.isoformat() if self.submitted_at else None,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, str | list[str] | None]) -> Application:
        """Read back what `to_json` wrote. KeyError or ValueError when it is something else; values are not checked."""
        submitted = values["submitted_at"]
        return cls(
            name=_text(values["name"]),
            kana=_text(values["kana"]),
            job_seeker_number=_text(values["job_seeker_number"]),
            email=_text(values["email"]),
            phone=_text(values["phone"]),
            companion=_text(values["companion"]),
            registration=_text(values["registration"]) or "",
            topics=tuple(values["topics"] or ()),
            note=_text(values["note"]),
            wishes=tuple(_instant(wish) for wish in values["wishes"] or ()),
            chosen_preference=int(_text(values["chosen_preference"]) or "1"),
            consent=_text(values["consent"]) or "deemed",
            submitted_at=_instant(str(submitted)) if submitted else None,
        )


def _text(value: str | list[str] | None) -> str | None:
    if isinstance(value, list):
        raise ValueError("a list stands where an application keeps text")  # noqa: TRY004 — documented as ValueError
    return value


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(JST)


@dataclass(frozen=True, slots=True)
class RowResult:
    """One row, judged alone. `findings` holds every reason in check order, `reason` the first of them.

    `row_key` is the source's own row id, or a hash of time, number and address where the source has none; it is
    unique within one source and form only, and empty for a blank row.
    """

    outcome: Outcome
    reason: Reason | None
    findings: tuple[Reason, ...]
    flags: frozenset[str]
    application: Application
    row_key: str
