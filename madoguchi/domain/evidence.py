"""What is known about a session: one piece of evidence a row, each with when it happened and when it was recorded.

Values only. Zoom shows no reliable identity of guests (display names are whatever a device says), so evidence says "the
host" or "a guest", never who: each booking has a meeting of its own, and whoever holds its link counts as the client.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EvidenceKind(StrEnum):
    """What was seen or said. The values stand in the record: never rename one."""

    MEETING_STARTED = "meeting_started"
    """The meeting runs: the host opened it."""
    MEETING_ENDED = "meeting_ended"
    HOST_JOINED = "host_joined"
    HOST_LEFT = "host_left"
    GUEST_WAITING = "guest_waiting"
    """Somebody else is in the waiting room, or waits for the host to open the meeting."""
    GUEST_STOPPED_WAITING = "guest_stopped_waiting"
    """Left the waiting place: admitted, put back or gone; only a join tells which."""
    GUEST_JOINED = "guest_joined"
    GUEST_LEFT = "guest_left"
    STILL_WAITING = "still_waiting"
    """Zoom was asked and says that the meeting has not been started."""
    HOST_ALONE = "host_alone"
    """Zoom was asked who is there (live list, or list of past participants): only the host."""
    MEETING_GONE = "meeting_gone"
    """Zoom says that there is no such meeting: the link that we sent leads nowhere."""
    ZOOM_DOWN = "zoom_down"
    """Zoom answered that it is out of order."""
    ZOOM_SILENT = "zoom_silent"
    """Zoom could not be asked, or what it said could not be read. Says nothing about the session."""
    CLIENT_SEEN = "client_seen"
    """The counsellor says that the client is here."""
    CLIENT_NOT_SEEN = "client_not_seen"
    """The counsellor is in the meeting and says that nobody came."""
    CONTACT = "contact"
    """The client reached the office by telephone, voicemail, mail or otherwise (Art. 6(3))."""
    LINK_TOLD = "link_told"
    """Staff told the client link, id and passcode by telephone."""


class EvidenceSource(StrEnum):
    """Where a piece of evidence came from."""

    WEBHOOK = "webhook"
    STATUS = "status"
    """Zoom's meeting, read."""
    LIVE = "live"
    """Zoom's list of live participants (not every plan has it)."""
    PAST = "past"
    """Zoom's list of participants after the end."""
    COUNSELLOR = "counsellor"
    STAFF = "staff"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence: `happened_at` decides what it proves, `recorded_at` when the office could know it."""

    kind: EvidenceKind
    source: EvidenceSource
    happened_at: datetime
    recorded_at: datetime
    id: str = ""


class Duty(StrEnum):
    """How one of the office's own duties towards a client stands at the tenth minute."""

    DONE = "done"
    LATE = "late"
    """Done, but too late to rely on."""
    UNCERTAIN = "uncertain"
    """Perhaps done: the relay's answer was lost."""
    NOT_DONE = "not_done"
    NOT_OWED = "not_owed"
    """Nothing was due: a booking made inside the reminder's window, an address that the office may not write to."""


@dataclass(frozen=True, slots=True)
class Duties:
    """The office's own duties: the join link (by mail, or told by telephone) and the last reminder that was due."""

    link: Duty
    reminder: Duty


class Verdict(StrEnum):
    """What is held to be true about a session; the value is the booking's state too."""

    ATTENDED = "attended"
    CONTACTED = "contacted"
    """Not cancelled: the client reached the office, or waits to be let in. Staff settle the rest."""
    NO_SHOW = "no_show"
    """Deemed cancelled by Art. 6(3). The only verdict that is counted on a person."""
    OFFICE_FAULT = "office_fault"
    """The office failed the client."""
    UNDETERMINED = "undetermined"
    """Nobody can say without asking a person."""
