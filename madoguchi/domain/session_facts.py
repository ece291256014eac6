"""What the evidence of a session says about host and guests around the tenth minute. Facts only; `verdict` judges.

The spans in which host and guests were there are put together from events that may be lost, doubled or out of order.
Where two readings are possible, the one is taken that does not blame the client.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from madoguchi.domain.evidence import Evidence
from madoguchi.domain.evidence import EvidenceKind as Kind
from madoguchi.domain.evidence import EvidenceSource as Source
from madoguchi.domain.office import SESSION_MINUTES

HOST_GRACE: Final = timedelta(minutes=5)
"""The host has to be there this long after the start, or nobody can be said to have stayed away."""
RECONNECTION: Final = timedelta(minutes=1)
"""A host away for no longer than this lost the line; longer, and somebody at the door may have gone again."""
PROMPT: Final = timedelta(minutes=2)
"""What Zoom is asked later than this after the limit proves no failure of the office: the session may be over."""
SAME_VISIT: Final = timedelta(hours=1)
"""What happened earlier than this before the start was a try, and does not show that Zoom's events reach us today."""
SESSION: Final = timedelta(minutes=SESSION_MINUTES)

Span = tuple[datetime, datetime | None]
"""From, and until; None while it lasts."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What is known about the host.

    `opened`: was there at some time between start and limit. `opened_before`: was there before the start, perhaps only
    to try. `opened_after_limit`: the meeting was started only after it. `there`: was there, perhaps since an unknown
    time. `was_shut`: Zoom, asked at the limit or at most PROMPT later, says that the meeting is not running.
    `came_soon_enough`: within HOST_GRACE. `waited_for_client`: there from HOST_GRACE to the limit without a break.
    `status_denies`: Zoom's status says afterwards that it was not running, though nobody left.
    """

    opened: bool
    opened_before: bool
    opened_after_limit: bool
    there: bool
    was_shut: bool
    came_soon_enough: bool
    waited_for_client: bool
    status_denies: bool

    @property
    def was_not_there(self) -> bool:
        """Tell whether it is certain that no host was there up to the limit; not knowing is not being absent."""
        return self.was_shut or self.opened_after_limit


@dataclass(frozen=True, slots=True)
class Facts:
    """What the evidence says, seen from the limit. "In time" is from the start to the limit, both included.

    `contradicted`: the counsellor says that nobody came, after somebody was seen to come in time. `let_in_late` and
    `found_late`: joined, or was seen, after the limit, and the counsellor does not deny it afterwards.
    `got_in`: somebody was inside the meeting, at whatever time (behind a waiting room nobody is who was not let in), or
    perhaps: was at the door still when the host came after the limit.
    `would_have_noticed`: an arrival would be known, because Zoom reports on this meeting or somebody looked.
    `zoom_down`: while the session was to be held; `zoom_down_at_limit`: found so in time to say something about it.
    """

    host: HostFacts
    got_in: bool
    joined_in_time: bool
    let_in_late: bool
    found_late: bool
    waited_in_time: bool
    left_before_start: bool
    came_late: bool
    seen_in_time: bool
    seen_late: bool
    contact_in_time: bool
    contact_late: bool
    contradicted: bool
    would_have_noticed: bool
    link_told: bool
    meeting_gone: bool
    zoom_down: bool
    zoom_down_at_limit: bool
    kinds: frozenset[Kind]

    @property
    def came_in_time(self) -> bool:
        """Tell whether somebody else joined or waited in time."""
        return self.joined_in_time or self.waited_in_time

    def has(self, kind: Kind) -> bool:
        """Tell whether there is any evidence of that kind, of whatever time."""
        return kind in self.kinds


class _Record:
    """The evidence as sorted times a kind. Duplicates and order are gone here, once for all rules."""

    def __init__(self, start: datetime, limit: datetime, evidence: Sequence[Evidence]) -> None:
        self.start = start
        self.limit = limit
        self.end = start + SESSION
        self.prompt = limit + PROMPT
        self.evidence = evidence
        times: defaultdict[Kind | tuple[Kind, Source], set[datetime]] = defaultdict(set)
        for piece in evidence:
            if piece.happened_at.tzinfo is None:
                raise ValueError(f"evidence {piece.id or piece.kind}: happened_at has no time zone; store aware times")
            times[piece.kind].add(piece.happened_at)
            times[piece.kind, piece.source].add(piece.happened_at)
        self._times = times

    def times(self, *kinds: Kind) -> list[datetime]:
        return sorted({at for kind in kinds if kind in self._times for at in self._times[kind]})

    def by(self, kind: Kind, source: Source) -> list[datetime]:
        return sorted(self._times.get((kind, source), ()))


def read_facts(start: datetime, limit: datetime, evidence: Sequence[Evidence]) -> Facts:
    """Return what the evidence says about a session; ValueError for times without a zone."""
    record = _Record(start, limit, evidence)
    inside = _guest_spans(record, Kind.GUEST_JOINED, Kind.GUEST_LEFT)
    waiting = _guest_spans(record, Kind.GUEST_WAITING, Kind.GUEST_STOPPED_WAITING)
    seen = record.times(Kind.CLIENT_SEEN)
    told = record.times(Kind.LINK_TOLD)
    # Whoever is told the link after the start is on the telephone with the office.
    contacts = record.times(Kind.CONTACT) + [at for at in told if start < at <= limit]
    in_time = [span[0] for span in inside if _in_time(span, record)] + [at for at in seen if at <= limit]
    joined_late = [came for came, _ in inside if came > limit]
    seen_late = [at for at in seen if at > limit]
    denied = max((at for at in record.times(Kind.CLIENT_NOT_SEEN) if at >= start), default=None)
    down = [at for at in record.times(Kind.ZOOM_DOWN) if start <= at <= record.end]
    host = _host(record)
    return Facts(
        host=host,
        got_in=any(_reaches(gone, start - SAME_VISIT) for _, gone in inside) or _met_at_the_door(record, waiting),
        joined_in_time=any(_in_time(span, record) for span in inside),
        let_in_late=_stands(joined_late, denied),
        found_late=_stands(seen_late, denied),
        waited_in_time=any(_in_time(span, record) for span in waiting),
        left_before_start=any(not _reaches(gone, start) for _, gone in inside + waiting),
        came_late=any(came > limit for came, _ in inside + waiting),
        seen_in_time=any(at <= limit for at in seen),
        seen_late=bool(seen_late),
        contact_in_time=any(at <= limit for at in contacts),
        contact_late=any(at > limit for at in contacts),
        contradicted=bool(in_time) and not _stands(in_time + joined_late + seen_late, denied),
        would_have_noticed=_would_have_noticed(record),
        link_told=any(at <= start for at in told),
        meeting_gone=_meeting_gone(record, host),
        # Zoom out of order at night says nothing about the session of the day.
        zoom_down=bool(down),
        zoom_down_at_limit=any(at <= record.prompt for at in down),
        kinds=frozenset(piece.kind for piece in evidence),
    )


def _stands(claims: list[datetime], denied: datetime | None) -> bool:
    return bool(claims) and (denied is None or denied < max(claims))


def _reaches(until: datetime | None, moment: datetime) -> bool:
    return until is None or until >= moment


def _in_time(span: Span, record: _Record) -> bool:
    return span[0] <= record.limit and _reaches(span[1], record.start)


def _met_at_the_door(record: _Record, waiting: list[Span]) -> bool:
    started = _started_after_limit(record)
    opened = [*_running_after_limit(record, started), *([started] if started else [])]
    return bool(opened) and any(_in_time(span, record) and _reaches(span[1], min(opened)) for span in waiting)


def _guest_spans(record: _Record, came: Kind, went: Kind) -> list[Span]:
    """Return when guests were there. Going proves having been there, even when the coming was lost.

    Guests are not told apart: when one of two devices goes, the other is held to be gone too, which can only turn
    "attended" into "ask a person". Going and coming in the same second is a reconnection: still there.
    """
    spans: list[Span] = []
    since: datetime | None = None
    moves = [(at, 0) for at in record.times(went)] + [(at, 1) for at in record.times(came)]
    for at, comes in sorted(moves):
        if comes:
            since = since or at
        else:
            spans.append((since or at, at))
            since = None
    if since is not None:
        spans.append((since, None))
    return spans


def _host(record: _Record) -> HostFacts:
    limit = record.limit
    spans = _host_spans(record)
    leavings = record.times(Kind.HOST_LEFT, Kind.MEETING_ENDED)
    opened = any(_in_time(span, record) for span in spans) or any(record.start <= at <= limit for at in leavings)
    first_after = _started_after_limit(record)
    running = [at for at in _running_after_limit(record, first_after) if first_after is None or at < first_after]
    proofs = [*running, *([first_after] if first_after else [])]
    asked = [at for at in record.times(Kind.STILL_WAITING) if limit <= at <= record.end]
    # A meeting that is over is "waiting" again.
    was_shut = (
        not opened
        and bool(asked)
        and min(asked) < min(proofs, default=record.end + SESSION)
        and min(asked) <= record.prompt
    )
    opened_after_limit = not opened and not running and first_after is not None
    # The counsellor's word counts only while Zoom does not say otherwise: they may sit in another room.
    word = any(at >= record.start for at in record.by(Kind.CLIENT_NOT_SEEN, Source.COUNSELLOR))
    soon = record.start + HOST_GRACE
    return HostFacts(
        opened=opened,
        opened_before=any(at < record.start for at in leavings),
        opened_after_limit=opened_after_limit,
        there=opened or (not was_shut and not opened_after_limit and bool(running or word)),
        was_shut=was_shut,
        came_soon_enough=any(since <= soon for since, _ in spans) or not spans,
        waited_for_client=any(since <= soon and _reaches(until, limit) for since, until in spans),
        status_denies=any(until in asked and until not in leavings for _, until in spans),
    )


def _started_after_limit(record: _Record) -> datetime | None:
    """Return when, after the limit, the meeting was started first; None when that is not known.

    A single event "host joined" does not tell: it may be a second device, or the same one again.
    """
    found = [
        at
        for source in Source
        for kind in (Kind.MEETING_STARTED, Kind.HOST_JOINED)
        if (kind, source) not in {(Kind.MEETING_STARTED, Source.STATUS), (Kind.HOST_JOINED, Source.WEBHOOK)}
        for at in record.by(kind, source)
    ]
    return min((at for at in found if at > record.limit), default=None)


def _running_after_limit(record: _Record, started: datetime | None) -> list[datetime]:
    """Return when, after the limit, the meeting was found running without a word about since when."""
    found = record.by(Kind.MEETING_STARTED, Source.STATUS)
    found += record.times(Kind.HOST_ALONE, Kind.HOST_LEFT, Kind.MEETING_ENDED)
    joined = record.by(Kind.HOST_JOINED, Source.WEBHOOK)
    # The two events of one start come in either order.
    found += [at for at in joined if started is None or at < started - RECONNECTION]
    return [at for at in found if at > record.limit]


def _host_spans(record: _Record) -> list[Span]:
    """Return when the host was there, short losses of the line bridged.

    Coming and going in the same second is held to be going: a host that is not proved to be there blames nobody.
    """
    spans: list[Span] = []
    since: datetime | None = None
    going = record.times(Kind.HOST_LEFT, Kind.MEETING_ENDED, Kind.STILL_WAITING)
    for at, goes in sorted([(at, 0) for at in _host_comes(record)] + [(at, 1) for at in going]):
        if not goes:
            since = since or at
        elif since is not None:
            spans.append((since, at))
            since = None
    if since is not None:
        spans.append((since, None))
    return _bridged(spans)


def _host_comes(record: _Record) -> list[datetime]:
    read = record.by(Kind.MEETING_STARTED, Source.STATUS)
    told = record.times(Kind.HOST_JOINED)
    for source in Source:
        if source is not Source.STATUS:
            told += record.by(Kind.MEETING_STARTED, source)
    left = record.times(Kind.HOST_LEFT)
    # A meeting can run on without its host, and a reading after the limit does not tell since when it runs.
    return told + [at for at in read if at <= record.limit and not any(gone <= at for gone in left)]


def _bridged(spans: list[Span]) -> list[Span]:
    joined: list[Span] = []
    for since, until in spans:
        if joined and (before := joined[-1][1]) is not None and since - before <= RECONNECTION:
            joined[-1] = (joined[-1][0], until)
        else:
            joined.append((since, until))
    return joined


def _meeting_gone(record: _Record, host: HostFacts) -> bool:
    """Tell whether the link that was sent led nowhere when it was needed.

    Found gone before the start and alive again later: it was repaired, and the duties know whether the new link was
    sent. Found gone after the limit counts only when that was found at once and no host was there: the office deletes
    meetings itself afterwards.
    """
    alive = record.times(
        Kind.MEETING_STARTED, Kind.HOST_JOINED, Kind.STILL_WAITING, Kind.GUEST_JOINED, Kind.GUEST_WAITING
    )
    for at in record.times(Kind.MEETING_GONE):
        if at < record.start:
            counts = not any(later > at for later in alive)
        else:
            counts = at <= record.limit or (at <= record.prompt and not host.there)
        if counts:
            return True
    return False


def _would_have_noticed(record: _Record) -> bool:
    # Not by "started": a subscription may lack the events about participants, and then nobody is ever heard of.
    told = record.by(Kind.HOST_JOINED, Source.WEBHOOK)
    if any(record.start - SAME_VISIT <= at <= record.limit for at in told):
        return True
    looked = record.times(Kind.HOST_ALONE) + record.by(Kind.CLIENT_NOT_SEEN, Source.COUNSELLOR)
    # Who came later than this sees only who is there still.
    soon = record.start + RECONNECTION
    from_the_start = any(since <= soon and _reaches(until, record.limit) for since, until in _host_spans(record))
    return from_the_start and any(at >= record.limit for at in looked)
