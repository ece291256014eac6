"""Who was in a meeting, as far as the office needs to know: the host or somebody else, and when. Never a name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Participant:
    """One stay of one person; who comes back has a second one. Zoom's names and addresses are left behind.

    `is_host`: signed in as the meeting's host; False: somebody else, who may also be the counsellor on a device that
    is not signed in; None: Zoom did not say. `joined_at`, `left_at`: aware, UTC; None: not said, or still there.
    `is_waiting`: in the waiting room, not in the meeting.
    """

    is_host: bool | None
    joined_at: datetime | None
    left_at: datetime | None
    is_waiting: bool


@dataclass(frozen=True, slots=True)
class PastMeeting:
    """One time that a meeting ran and ended. Compare its instants with the session: a try-out is one too.

    `participants`: how many Zoom counts (the host among them), None when it does not say.
    """

    uuid: str
    host_id: str
    started_at: datetime | None
    ended_at: datetime | None
    participants: int | None
