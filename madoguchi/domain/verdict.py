"""The verdict of the tenth minute: what the evidence of a session proves, and what later evidence may change.

Pure. The rules and the meaning of every reason: docs/verdict.md. The order of the rules is the order of `judge`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from madoguchi.domain.evidence import Duties, Duty, Evidence, Verdict
from madoguchi.domain.evidence import EvidenceKind as Kind
from madoguchi.domain.evidence import EvidenceSource as Source
from madoguchi.domain.session_facts import Facts, read_facts

CONTACT_LIMIT: Final = timedelta(minutes=10)
"""Art. 6(3): how long after the start a client may still make contact."""

RULES: Final = "2026-11b"
"""The version of the rules, kept with each verdict. Change it with every change of what `judge` answers."""


def deadline(start: datetime) -> datetime:
    """Return the moment up to which the client's contact counts, itself included (Art. 6(3)).

    `start` is the start that the client was told, aware; a moved session has a new one. ValueError when naive.
    """
    if start.tzinfo is None:
        raise ValueError("start: has no time zone; give an aware datetime, such as one in Asia/Tokyo")
    return start + CONTACT_LIMIT


class VerdictReason(StrEnum):
    """Why a verdict is what it is. The values stand in the record and in docs/verdict.md: never rename one."""

    CLIENT_SEEN = "CLIENT_SEEN"
    GUEST_JOINED = "GUEST_JOINED"
    JOINED_AFTER_CONTACT = "JOINED_AFTER_CONTACT"
    GUEST_WAITS = "GUEST_WAITS"
    CONTACT_BEFORE_LIMIT = "CONTACT_BEFORE_LIMIT"
    GUEST_CAME_HOST_UNKNOWN = "GUEST_CAME_HOST_UNKNOWN"
    CONTRADICTION = "CONTRADICTION"
    CLIENT_SEEN_LATE = "CLIENT_SEEN_LATE"
    GUEST_CAME_HOST_DID_NOT = "GUEST_CAME_HOST_DID_NOT"
    MEETING_GONE = "MEETING_GONE"
    LINK_NOT_SENT = "LINK_NOT_SENT"
    ZOOM_DOWN = "ZOOM_DOWN"
    HOST_NEVER_STARTED = "HOST_NEVER_STARTED"
    GUEST_LEFT_BEFORE_START = "GUEST_LEFT_BEFORE_START"
    CAME_AFTER_LIMIT = "CAME_AFTER_LIMIT"
    LINK_UNCERTAIN = "LINK_UNCERTAIN"
    LINK_LATE = "LINK_LATE"
    HOST_LATE = "HOST_LATE"
    HOST_LEFT_EARLY = "HOST_LEFT_EARLY"
    HOST_SINCE_UNKNOWN = "HOST_SINCE_UNKNOWN"
    HOST_LEFT_BEFORE_START = "HOST_LEFT_BEFORE_START"
    NOT_ASKED_IN_TIME = "NOT_ASKED_IN_TIME"
    ZOOM_SILENT = "ZOOM_SILENT"
    NO_DATA = "NO_DATA"
    REMINDER_NOT_SENT = "REMINDER_NOT_SENT"
    REMINDER_UNCERTAIN = "REMINDER_UNCERTAIN"
    REMINDER_LATE = "REMINDER_LATE"
    WEBHOOKS_SILENT = "WEBHOOKS_SILENT"
    NOBODY_CAME = "NOBODY_CAME"
    CONTACT_AFTER_LIMIT = "CONTACT_AFTER_LIMIT"


_R = VerdictReason

REASONS_JA: Final[Mapping[VerdictReason, str]] = {
    _R.CLIENT_SEEN: "担当者が来談を確認しています",
    _R.GUEST_JOINED: "開始10分後までに、ホスト以外の方が入室しています",
    _R.JOINED_AFTER_CONTACT: "開始10分後までに連絡または入室・待機があり、その後に来談しています",
    _R.GUEST_WAITS: "開始10分後までに、待機室でお待ちの方がいました",
    _R.CONTACT_BEFORE_LIMIT: "開始10分後までに、ご本人から連絡がありました",
    _R.GUEST_CAME_HOST_UNKNOWN: "ホスト以外の方が来ていますが、窓口側の入室が確認できません",
    _R.CONTRADICTION: "記録の内容が食い違っています",
    _R.CLIENT_SEEN_LATE: "開始10分を過ぎてから、担当者が来談を確認しています",
    _R.GUEST_CAME_HOST_DID_NOT: "来談者がありましたが、窓口側がミーティングを開始していませんでした",
    _R.MEETING_GONE: "案内したミーティングがZoomに存在しませんでした",
    _R.LINK_NOT_SENT: "参加用リンクをお伝えできていませんでした",
    _R.ZOOM_DOWN: "Zoomに障害がありました",
    _R.HOST_NEVER_STARTED: "窓口側がミーティングを開始していませんでした",
    _R.GUEST_LEFT_BEFORE_START: "開始時刻より前に来て、退室した方がいます",
    _R.CAME_AFTER_LIMIT: "開始10分を過ぎてから、ホスト以外の方が来ています",
    _R.LINK_UNCERTAIN: "参加用リンクのメールが届いたか、確認できません",
    _R.LINK_LATE: "参加用リンクのご案内が遅れました",
    _R.HOST_LATE: "窓口側の入室が遅れました",
    _R.HOST_LEFT_EARLY: "開始10分後まで、窓口側が続けて在室していませんでした",
    _R.HOST_SINCE_UNKNOWN: "窓口側がいつから在室していたか、確認できません",
    _R.HOST_LEFT_BEFORE_START: "窓口側の記録は、開始時刻より前のものだけです",
    _R.NOT_ASKED_IN_TIME: "開始10分後の時点で開始していたか、Zoomに確認できていません",
    _R.ZOOM_SILENT: "Zoomに確認できませんでした",
    _R.NO_DATA: "ミーティングの記録がありません",
    _R.REMINDER_NOT_SENT: "事前のお知らせメールを送れていませんでした",
    _R.REMINDER_UNCERTAIN: "事前のお知らせメールが届いたか、確認できません",
    _R.REMINDER_LATE: "事前のお知らせメールが遅れました",
    _R.WEBHOOKS_SILENT: "Zoomから入退室の通知が届いておらず、来談がなかったと言い切れません",
    _R.NOBODY_CAME: "開始10分後までに、来談も連絡も確認できませんでした",
    _R.CONTACT_AFTER_LIMIT: "開始10分を過ぎてから、ご本人から連絡がありました",
}
"""One phrase a reason, for staff; never part of a mail to the client."""

OUTSIDE_CATCH_UP: Final = "OUTSIDE_CATCH_UP"
"""No reason of `judge`: the session is so long ago that the rule is not applied to it any more; staff settle it."""


def reason_ja(code: str) -> str | None:
    """Return the phrase for a reason that stands in the record; None for a code that is none of these."""
    if code == OUTSIDE_CATCH_UP:
        return "日がたっているため、自動では判断しません"
    return REASONS_JA[VerdictReason(code)] if code in VerdictReason.__members__ else None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and why. `reasons` is never empty; the most important one stands first."""

    verdict: Verdict
    reasons: tuple[VerdictReason, ...]


def judge(start: datetime, evidence: Sequence[Evidence], duties: Duties) -> Judgement:
    """Return what holds at `deadline(start)`, whenever it is asked and in whatever order the evidence comes.

    Only `happened_at` is read, never `recorded_at`: a note of the afternoon about a call in time counts like one made
    at once. Later happenings count where they explain the tenth minute (somebody who was let in late, a list that was
    read afterwards). Whatever cannot be proved is UNDETERMINED: NO_SHOW means that the host was there, that guests
    would have been noticed, that the office did its own part, and that nobody came or called (Art. 6(3)). It says
    nothing about who the guest was. ValueError for times without a zone.
    """
    facts = read_facts(start, deadline(start), evidence)
    faults = _faults(facts, duties)
    late_contact = (_R.CONTACT_AFTER_LIMIT,) if facts.contact_late else ()
    rules = (
        (Verdict.ATTENDED, _attended(facts), ()),
        (Verdict.CONTACTED, _contacted(facts), faults),
        (Verdict.UNDETERMINED, _said_by_people(facts), (*faults, *late_contact)),
        # Whoever got in may have had their session: no apology, and no end of the meeting, before a person has looked.
        (Verdict.OFFICE_FAULT, () if facts.got_in else faults, late_contact),
        # Somebody is at the door, and whether the office is there nobody knows.
        (Verdict.CONTACTED, _came_to_whom(facts), faults),
        (Verdict.UNDETERMINED, _doubts(facts, duties), (*faults, *late_contact)),
        (Verdict.NO_SHOW, (_R.NOBODY_CAME,), late_contact),
    )
    return next(
        Judgement(verdict, tuple(dict.fromkeys((*because, *besides)))) for verdict, because, besides in rules if because
    )


def zoom_was_asked(evidence: Sequence[Evidence], limit: datetime) -> bool:
    """Tell whether Zoom itself answered about the session at the limit or later: its status, lists or past meeting.

    Webhooks are no answer: they come when they come. Says nothing about what the answer was.
    """
    return any(
        piece.source in _ASKED and piece.kind not in _NO_ANSWER and piece.happened_at >= limit for piece in evidence
    )


_ASKED: Final = frozenset({Source.STATUS, Source.LIVE, Source.PAST})
_NO_ANSWER: Final = frozenset({Kind.ZOOM_SILENT, Kind.ZOOM_DOWN})


def _attended(facts: Facts) -> tuple[VerdictReason, ...]:
    if facts.contradicted:
        return ()
    reasons = []
    if facts.seen_in_time:
        reasons.append(_R.CLIENT_SEEN)
    if facts.joined_in_time and facts.host.there:
        reasons.append(_R.GUEST_JOINED)
    at_the_door = facts.contact_in_time or facts.waited_in_time
    let_in = facts.let_in_late and at_the_door
    # Joining again proves no counsellor; being seen after having joined does.
    found = facts.found_late and (at_the_door or facts.joined_in_time)
    if not reasons and (let_in or found):
        reasons.append(_R.JOINED_AFTER_CONTACT)
    return tuple(reasons)


def _contacted(facts: Facts) -> tuple[VerdictReason, ...]:
    reasons = []
    if facts.waited_in_time and facts.host.there:
        reasons.append(_R.GUEST_WAITS)
    if facts.contact_in_time:
        reasons.append(_R.CONTACT_BEFORE_LIMIT)
    if reasons and facts.contradicted:
        reasons.append(_R.CONTRADICTION)
    return tuple(reasons)


def _said_by_people(facts: Facts) -> tuple[VerdictReason, ...]:
    """Return what the counsellor says that only a person can weigh against the rest."""
    if facts.contradicted:
        return (_R.CONTRADICTION,)
    return (_R.CLIENT_SEEN_LATE,) if facts.seen_late else ()


def _came_to_whom(facts: Facts) -> tuple[VerdictReason, ...]:
    if not facts.came_in_time:
        return ()
    reasons = [_R.GUEST_CAME_HOST_UNKNOWN]
    if facts.joined_in_time and facts.host.was_not_there:
        reasons.append(_R.CONTRADICTION)
    elif facts.host.opened_after_limit:
        reasons.append(_R.HOST_LATE)
    if facts.zoom_down:
        reasons.append(_R.ZOOM_DOWN)
    return tuple(reasons)


def _faults(facts: Facts, duties: Duties) -> tuple[VerdictReason, ...]:
    """Return the office's own failures that are known for certain."""
    host = facts.host
    found = {
        _R.GUEST_CAME_HOST_DID_NOT: not facts.got_in
        and (facts.came_in_time or facts.left_before_start)
        and host.was_not_there,
        _R.MEETING_GONE: facts.meeting_gone,
        _R.LINK_NOT_SENT: not facts.came_in_time and _link(facts, duties) is Duty.NOT_DONE,
        _R.ZOOM_DOWN: facts.zoom_down_at_limit and not host.there and not facts.came_in_time,
        # Somebody joined: then it did run, and only a person can tell what the status means.
        _R.HOST_NEVER_STARTED: host.was_shut and not facts.joined_in_time,
    }
    if found[_R.GUEST_CAME_HOST_DID_NOT]:
        found[_R.HOST_NEVER_STARTED] = False  # said already, and better
    return tuple(reason for reason, holds in found.items() if holds)


def _doubts(facts: Facts, duties: Duties) -> tuple[VerdictReason, ...]:
    """Return everything that keeps an absence from being proved."""
    host = _host_doubt(facts)
    found = {
        _R.GUEST_LEFT_BEFORE_START: facts.left_before_start,
        _R.CAME_AFTER_LIMIT: facts.came_late,
        _R.LINK_UNCERTAIN: _link(facts, duties) is Duty.UNCERTAIN,
        _R.LINK_LATE: _link(facts, duties) is Duty.LATE,
        _R.ZOOM_DOWN: facts.zoom_down,
        host: host is not None,
        _R.REMINDER_NOT_SENT: duties.reminder is Duty.NOT_DONE,
        _R.REMINDER_UNCERTAIN: duties.reminder is Duty.UNCERTAIN,
        _R.REMINDER_LATE: duties.reminder is Duty.LATE,
        _R.WEBHOOKS_SILENT: host is None and not facts.would_have_noticed,
    }
    return tuple(reason for reason, holds in found.items() if holds and reason is not None)


def _host_doubt(facts: Facts) -> VerdictReason | None:
    """Return why the host cannot be said to have waited for the client, or None when that is proved."""
    host = facts.host
    if host.waited_for_client and not host.status_denies:
        return None
    found = {
        _R.HOST_NEVER_STARTED: host.was_shut,
        _R.CONTRADICTION: host.waited_for_client,
        _R.HOST_LATE: host.opened_after_limit or (host.opened and not host.came_soon_enough),
        _R.HOST_LEFT_EARLY: host.opened,
        _R.HOST_SINCE_UNKNOWN: host.there,
        _R.HOST_LEFT_BEFORE_START: host.opened_before,
        _R.NOT_ASKED_IN_TIME: facts.has(Kind.STILL_WAITING),
        _R.ZOOM_SILENT: facts.has(Kind.ZOOM_SILENT),
        _R.NO_DATA: True,
    }
    return next(reason for reason, holds in found.items() if holds)


def _link(facts: Facts, duties: Duties) -> Duty:
    """Return how the join link stands: telling it by telephone before the start is as good as the mail."""
    if facts.link_told:
        return Duty.DONE
    # Without the link nobody can come: an address that may not be written to leaves the telephone, not nothing.
    return Duty.NOT_DONE if duties.link is Duty.NOT_OWED else duties.link


class Change(StrEnum):
    """What may be done with a judgement that came after the verdict."""

    NONE = "none"
    APPLY = "apply"
    """The machine may correct the verdict."""
    ASK = "ask"
    """A person has to look: nothing changes by itself."""


_V = Verdict

_FOR_THE_CLIENT: Final[Mapping[Verdict, frozenset[Verdict]]] = {
    _V.NO_SHOW: frozenset({_V.ATTENDED, _V.CONTACTED, _V.OFFICE_FAULT, _V.UNDETERMINED}),
    _V.UNDETERMINED: frozenset({_V.ATTENDED, _V.CONTACTED, _V.OFFICE_FAULT}),
    _V.OFFICE_FAULT: frozenset({_V.ATTENDED, _V.CONTACTED}),
    _V.CONTACTED: frozenset({_V.ATTENDED}),
    _V.ATTENDED: frozenset(),
}


def revise(current: Verdict, was_decided_by_person: bool, new: Judgement) -> Change:
    """Return what late truth may do to a verdict.

    The machine corrects only in favour of the client, never what a person has decided, and never towards NO_SHOW;
    everything else that differs is asked. The same verdict changes nothing, even with other reasons.
    """
    if new.verdict is current:
        return Change.NONE
    if was_decided_by_person or new.verdict not in _FOR_THE_CLIENT[current]:
        return Change.ASK
    return Change.APPLY
