"""The day list: one day's sessions and what waits for a person. With names for staff, without for the dashboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Final

from madoguchi.domain.application import REASONS, Flag, Reason
from madoguchi.domain.lifecycle import BookingStatus
from madoguchi.domain.message import MailKind, MessageStatus
from madoguchi.domain.notice_proof import bounce_reason_ja
from madoguchi.domain.office import JST
from madoguchi.domain.standing import RESTRICTED, Standing, standing
from madoguchi.domain.verdict import reason_ja
from madoguchi.domain.wording import plain_line, short_date, short_time
from madoguchi.store import day_list as store
from madoguchi.store.audit import Act, audit_row, write_audit
from tasks.bounces import CALL_BOUNCED, MAIL_REFUSED, UNCLEAR_BOUNCES
from tasks.delivery import FAILED_MESSAGE, UNCERTAIN_MESSAGE, UNSENT_MESSAGE
from tasks.meeting_removal import ZOOM_DIFFERS, ZOOM_DRIFT
from tasks.proof import TELL_OTHERWISE
from tasks.settling import CALL_APPLICANT, OFFICE_FAULT, REVIEW_REQUEST, SWITCH_REGISTRATION
from tasks.verdict_effects import CONFIRM_NO_SHOW, EVIDENCE_AFTER_VERDICT, SETTLE_ATTENDANCE
from tasks.wiring import Services

TASKS_SHOWN = 100

STATES: Final[Mapping[BookingStatus, str]] = MappingProxyType(
    {
        BookingStatus.HELD: "確定の準備中",
        BookingStatus.CONFIRMED: "予約確定",
        BookingStatus.RELEASED: "取りやめ",
        BookingStatus.CANCELLED: "取り消し",
        BookingStatus.ATTENDED: "相談した",
        BookingStatus.CONTACTED: "連絡あり",
        BookingStatus.NO_SHOW_PROPOSED: "連絡なく不参加（確認待ち）",
        BookingStatus.NO_SHOW: "連絡なく不参加",
        BookingStatus.OFFICE_FAULT: "所の不手際",
        BookingStatus.UNDETERMINED: "判断できない（確認待ち）",
    }
)
MAILS: Final[Mapping[MailKind, str]] = MappingProxyType(
    {
        MailKind.CONFIRMED: "確定のお知らせ",
        MailKind.INCOMPLETE: "記入のお願い",
        MailKind.ALTERNATIVES: "別の日時のご案内",
        MailKind.CHANGED: "変更のお知らせ",
        MailKind.REMINDER_DAY: "前日のお知らせ",
        MailKind.REMINDER_HOUR: "直前のお知らせ",
        MailKind.CANCELLED: "取り消しのお知らせ",
        MailKind.NO_SHOW: "不参加のお知らせ",
        MailKind.CORRECTED: "訂正のお知らせ",
        MailKind.OFFICE_FAULT: "お詫び",
        MailKind.DECLINED: "お断りのお知らせ",
        MailKind.TERMS_AMENDED: "規約の変更のお知らせ",
        MailKind.TERMS_WITHDRAWN: "規約の変更を取りやめるお知らせ",
    }
)
MAIL_STATES: Final[Mapping[str, str]] = MappingProxyType(
    {
        MessageStatus.QUEUED: "送信待ち",
        MessageStatus.SENDING: "送信中",
        MessageStatus.SENT: "送信済み",
        MessageStatus.RETRYING: "再送待ち",
        MessageStatus.FAILED: "送れない（電話が必要）",
        MessageStatus.UNCERTAIN: "届いたか不明",
        MessageStatus.SUPPRESSED: "送らない",
        MessageStatus.MISSED: "時刻を過ぎた",
    }
)


@dataclass(frozen=True, slots=True)
class ToDo:
    """What a kind of task is called, and what staff do about it; `flow`: the form in the dashboard, if there is one."""

    title: str
    what: str
    flow: str = ""


TO_DO: Final[Mapping[str, ToDo]] = MappingProxyType(
    {
        REVIEW_REQUEST: ToDo("申込みの確認", "承認するか、お断りするかを決めます。", "decide-request"),
        CALL_APPLICANT: ToDo("お電話での連絡", "メールでは伝えられません。お電話で伝えます。", "record-contact"),
        CONFIRM_NO_SHOW: ToDo(
            "「連絡なく不参加」の確認", "連絡がなかったことを確かめ、出欠を決めます。", "settle-attendance"
        ),
        SETTLE_ATTENDANCE: ToDo("出欠の確認", "担当者に確かめ、出欠を決めます。", "settle-attendance"),
        OFFICE_FAULT: ToDo(
            "所の不手際へのお詫びと新しい日時", "お電話でお詫びし、新しい日時を決めます。", "book-in-session"
        ),
        EVIDENCE_AFTER_VERDICT: ToDo(
            "出欠を決めた後に分かったこと", "記録を見て、出欠を決め直すかを判断します。", "settle-attendance"
        ),
        SWITCH_REGISTRATION: ToDo("利用登録者への切替え", "オンライン登録者です。切替えの手続きを案内します。"),
        UNCERTAIN_MESSAGE: ToDo(
            "届いたか分からないお知らせ",
            "届いたかを確かめ、「届いた」か「もう一度送る」を選びます。",
            "settle-message",
        ),
        FAILED_MESSAGE: ToDo(
            "送れなかったお知らせ", "お電話で伝えるか、宛先を直してもう一度送ります。", "settle-message"
        ),
        UNSENT_MESSAGE: ToDo("送れないまま時刻を過ぎたお知らせ", "お電話で用件を伝えます。", "settle-message"),
        CALL_BOUNCED: ToDo(
            "メールが戻ってきた方へのお電話",
            "お電話で用件を伝えます。正しいアドレスは、申込みをもう一度いただくと使えます。",
            "settle-bounce",
        ),
        MAIL_REFUSED: ToDo(
            "受け取りを断られたメール", "相手の側で断られました。送り方の設定を担当に確かめます。", "settle-bounce"
        ),
        UNCLEAR_BOUNCES: ToDo(
            "戻ってきたメールで、人が見るもの", "戻ってきたメールのフォルダーを見て、確かめます。", "settle-bounce"
        ),
        TELL_OTHERWISE: ToDo(
            "規約の改定をほかの方法でお知らせする方",
            "お知らせの証明（madoguchi terms proof）の一覧の方に、お電話や郵便で伝えます。",
            "record-notice",
        ),
        ZOOM_DRIFT: ToDo(
            "Zoomの設定の違い", "録画や待機室の設定をZoomで直し、照合をもう一度動かします。", "reconcile-zoom"
        ),
        ZOOM_DIFFERS: ToDo(
            "記録とZoomの違い", "Zoomと記録を見比べて直し、照合をもう一度動かします。", "reconcile-zoom"
        ),
    }
)
_UNKNOWN: Final = "内容を確かめます（madoguchi show と番号で詳しく見られます）。"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that waits for a person, in words. `message`: the id that `settle-message` asks for, or empty."""

    to_do: ToDo
    reference: str
    message: str
    reason: str
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Line:
    """One session of the list. `personal` is None where nobody's name may stand."""

    session: store.DaySession
    state: str
    has_companion: bool
    is_online: bool
    waits: bool
    mails: tuple[tuple[str, str, datetime | None], ...]
    personal: store.Personal | None = None
    attended: int = 0
    standing: Standing | None = None

    @property
    def terms_mark(self) -> str:
        """That other terms govern the session than its consent names, with their code; empty where not."""
        return f"規約改定後 {self.session.changed_terms}" if self.session.changed_terms else ""

    @property
    def marks(self) -> tuple[tuple[str, bool], ...]:
        """What staff should know before they open the door, each with whether it is pressing."""
        no_shows = self.standing.no_shows if self.standing else 0
        found = (
            ("職員の対応待ち", True, self.waits),
            ("利用をお断りする決定あり", True, self.standing is not None and self.standing.reason == RESTRICTED),
            (f"連絡なしの不参加 {no_shows}回", True, no_shows > 0),
            ("同席あり", False, self.has_companion),
            (self.terms_mark, False, bool(self.terms_mark)),
            ("オンライン登録者（切替えが必要）", False, self.is_online),
            (f"これまでの相談 {self.attended}回", False, self.attended > 0),
            ("初めて", False, self.standing is not None and not no_shows and not self.attended),
        )
        return tuple((words, is_pressing) for words, is_pressing, holds in found if holds)


@dataclass(frozen=True, slots=True)
class DayList:
    """One day. `waiting`: the oldest matters of the whole office, at most 100; `waiting_count`: all of them."""

    day: date
    as_of: datetime
    lines: tuple[Line, ...]
    waiting: tuple[Waiting, ...]
    waiting_count: int

    @property
    def live(self) -> int:
        """How many sessions are not cancelled."""
        return sum(line.session.status is not BookingStatus.CANCELLED for line in self.lines)

    @property
    def with_companion(self) -> int:
        """At how many of them somebody else is declared (Art. 12(3))."""
        return sum(
            line.has_companion and line.session.status is not BookingStatus.CANCELLED for line in self.lines
        )  # fmt: skip


def day_list(services: Services, as_of: datetime, day: date | None = None, *, act: Act | None = None) -> DayList:
    """Return the list of a day in Japan (default: that of `as_of`, aware).

    With `act` it holds names and how sessions are entered, for staff; that they looked is in the audit before this
    returns. Without it nobody can be known from it.
    """
    shown = day or as_of.astimezone(JST).date()
    with services.database.read() as session:
        sessions = store.sessions_of_day(session, services.office.code, shown)
        count, tasks = store.tasks_waiting(session, services.office.code, TASKS_SHOWN)
        personal = store.personal_of(session, services.vault, sessions) if act else {}
        clients = {one.client_id for one in sessions} if act else set()
        history = store.histories(session, clients, _start_of(sessions, as_of))
    if act is not None:
        with services.database.write() as session:
            details = {"bookings": [one.reference for one in sessions]}
            write_audit(session, [audit_row(act, "day_list", shown.isoformat(), "shown", details=details)])
    waits_for = {task.reference for task in tasks}
    return DayList(
        day=shown,
        as_of=as_of,
        lines=tuple(
            _line(services, one, as_of, waits_for, personal.get(one.booking_id), history.get(one.client_id))
            for one in sessions
        ),
        waiting=tuple(waiting_of(task) for task in tasks),
        waiting_count=count,
    )


def _start_of(sessions: Sequence[store.DaySession], otherwise: datetime) -> datetime:
    return min((one.start for one in sessions), default=otherwise)


def _line(
    services: Services,
    one: store.DaySession,
    as_of: datetime,
    waits_for: set[str],
    personal: store.Personal | None,
    history: store.History | None,
) -> Line:
    mails = sorted(one.mails, key=lambda mail: list(MAILS).index(mail.kind))
    return Line(
        session=one,
        state=STATES[one.status],
        has_companion=Flag.COMPANION_DECLARED.value in one.flags or bool(personal and personal.companion),
        is_online=Flag.ONLINE_REGISTRANT.value in one.flags,
        waits=bool({one.reference, one.request} & waits_for),
        mails=tuple((MAILS[mail.kind], MAIL_STATES.get(mail.status, mail.status), mail.at) for mail in mails),
        personal=_plain(personal) if personal else None,
        attended=history.attended if history else 0,
        standing=_standing(services, history, as_of) if history else None,
    )


def _plain(personal: store.Personal) -> store.Personal:
    return store.Personal(
        name=plain_line(personal.name, 80),
        kana=plain_line(personal.kana, 80),
        companion=plain_line(personal.companion, 200),
        registration=personal.registration,
        meeting_id=personal.meeting_id,
        passcode=personal.passcode,
        join_url=personal.join_url,
    )


def _standing(services: Services, history: store.History, as_of: datetime) -> Standing:
    policy = services.office.standing
    return standing(
        history.no_show_days,
        history.restrictions,
        as_of=as_of,
        counts_for_days=policy.counts_for_days,
        review_after=policy.review_after,
    )


def waiting_of(task: store.OpenTask) -> Waiting:
    """Return an open task in words."""
    to_do = TO_DO.get(task.kind, ToDo(task.kind, _UNKNOWN))
    return Waiting(to_do, task.reference, task.message_id, _reason(task.reason), task.opened_at)


def _reason(code: str) -> str:
    if code in Reason.__members__:
        return REASONS[Reason(code)].ja
    if code in MailKind.__members__:
        return MAILS[MailKind[code]]
    return reason_ja(code) or bounce_reason_ja(code) or code


def day_list_markdown(services: Services, as_of: datetime) -> str:
    """Return today's list for the artifact `day-list`: references, times, states and counts; nothing about a person."""
    found = day_list(services, as_of)
    counts = (
        f"{short_time(as_of)}現在。予約 {found.live}件（うち同席あり {found.with_companion}件）、"
        f"職員の対応を待つもの {found.waiting_count}件。お名前は、職員用のページ（`/day`）にだけあります。"
    )
    parts = [f"# {short_date(found.day)}の相談", counts]
    if found.lines:
        rows = [
            f"| {short_time(line.session.start)} | {line.session.reference} | {line.state} "
            f"| {'同席あり' if line.has_companion else ''} | {_mails_of(line)} | {_notes_of(line)} |"
            for line in found.lines
        ]
        parts.append("\n".join(["| 開始 | 番号 | 状態 | 同席 | お知らせ | |", "|---|---|---|---|---|---|", *rows]))
    else:
        parts.append("この日の予約はありません。")
    if found.waiting:
        counted = Counter((task.to_do.title, task.to_do.flow) for task in found.waiting)
        rows = [f"| {title} | {number} | {flow} |" for (title, flow), number in counted.most_common()]
        parts.append("\n".join(["## 職員の対応を待つもの", "", "| 内容 | 件数 | フロー |", "|---|---|---|", *rows]))
        if found.waiting_count > len(found.waiting):
            parts.append(f"古いものから{len(found.waiting)}件までを数えています。")
    return "\n\n".join(parts)


def _mails_of(line: Line) -> str:
    return "、".join(f"{name} {state}" for name, state, _ in line.mails)


def _notes_of(line: Line) -> str:
    return "、".join(part for part in ("対応待ち" if line.waits else "", line.terms_mark) if part)
