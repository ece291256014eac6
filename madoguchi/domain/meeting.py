"""What a Zoom meeting of ours must look like, and whether one does. Pure; knows nothing of HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from urllib.parse import urlsplit

from madoguchi.domain.office import SESSION_MINUTES

NEUTRAL_TOPIC = "Online session"
"""The topic shows in lists, invitations and Zoom's own mails, so it says nothing of the person or the office."""

PRIVACY_SETTINGS: Mapping[str, bool | int | str] = MappingProxyType(
    {
        "waiting_room": True,
        "join_before_host": False,
        "use_pmi": False,
        "auto_recording": "none",
        "meeting_authentication": False,
        "approval_type": 2,
        "email_notification": False,
        "private_meeting": True,
        "auto_start_meeting_summary": False,
        "auto_start_ai_companion_questions": False,
        "mute_upon_entry": True,
    }
)
"""Sent with every creation and change, and compared with every answer (Art. 12(2): no recording of any kind).

A field that is left out takes the account's own default, AI summaries included, so none is ever left out.
"""

ZOOM_JOIN_HOSTS: tuple[str, ...] = ("zoom.us",)
"""Hosts (and their subdomains) that a link in a confirmation may lead to."""

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})

PASSCODE_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
PASSCODE_LENGTH = 8

_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,63}")
_PASSCODE = re.compile(r"[A-Za-z0-9@_*-]{6,10}")
_UNSAFE_IN_LINK = re.compile(r"[\s\\\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetingPlan:
    """One meeting as we want it: an instant, a length, a passcode, and the token by which we find it again.

    `start`: aware, whole seconds. `token`: opaque, 3-64 letters, digits, `-` or `_`; it names a booking to us and
    nothing to anybody else. `passcode`: 6-10 characters that Zoom accepts. ValueError names the field that is wrong.
    """

    token: str
    start: datetime
    passcode: str = field(repr=False)
    duration_minutes: int = SESSION_MINUTES
    topic: str = NEUTRAL_TOPIC

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.token):
            raise ValueError("token: 3-64 of A-Z a-z 0-9 - _ are needed, a letter or digit first")
        if self.start.tzinfo is None or self.start.utcoffset() is None:
            raise ValueError("start: an aware datetime is needed")
        if self.start.microsecond:
            raise ValueError("start: whole seconds only, Zoom keeps no fractions")
        if not _PASSCODE.fullmatch(self.passcode):
            raise ValueError("passcode: 6-10 of A-Z a-z 0-9 @ _ * - are needed")
        if not 1 <= self.duration_minutes <= 1440:
            raise ValueError("duration_minutes: 1 to 1440")
        if not 1 <= len(self.topic) <= 200:
            raise ValueError("topic: 1 to 200 characters")

    @property
    def agenda(self) -> str:
        """The agenda that carries the token; far shorter than the 250 characters that a list of meetings shows."""
        return f"ref:{self.token}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoomMeeting:
    """One meeting as Zoom describes it.

    `start` is None when the answer held no instant. A list of meetings leaves `passcode`, `status` and `settings`
    empty: read the meeting itself before judging it. The host's start link is not here on purpose: it lets anybody
    be the host for two hours, so it is dropped where the answer is read.
    """

    meeting_id: str
    host_id: str
    start: datetime | None
    duration: int | None
    join_url: str = field(repr=False)
    passcode: str = field(repr=False)
    status: str = ""
    agenda: str = ""
    settings: Mapping[str, object] = field(default_factory=dict, repr=False)
    created_at: datetime | None = None


def draw_passcode(choose: Callable[[Sequence[str]], str]) -> str:
    """Return a passcode without look-alike characters; `choose` picks one of a sequence (`secrets.choice`)."""
    return "".join(choose(PASSCODE_ALPHABET) for _ in range(PASSCODE_LENGTH))


def carries_token(agenda: str, token: str) -> bool:
    """Tell whether `token` stands in `agenda` as a whole word, `ref:` before it or not.

    `M-1` is not found in `M-12` nor in `M-1-2`; a word that a list cut off after 250 characters is not found either.
    """
    return re.search(rf"(?<![\w-]){re.escape(token)}(?![\w-])", agenda) is not None


def check_meeting(
    plan: MeetingPlan,
    answer: ZoomMeeting,
    *,
    allowed_join_hosts: Collection[str] = ZOOM_JOIN_HOSTS,
    may_be_absent: Collection[str] = (),
) -> tuple[str, ...]:
    """Return every way in which `answer` is not the meeting of `plan`, as codes; empty when it is.

    Instants are compared, not wall times. A setting that the answer does not show counts as drifted, because nobody
    can say that it is off; `may_be_absent` names those that an account's plan never shows. The passcode is asked to
    be there, not to be the plan's: an adopted meeting keeps its own. Does not look at the host nor at the status.
    """
    found = []
    if answer.start is None or answer.start != plan.start:
        found.append("WRONG_START")
    if answer.duration != plan.duration_minutes:
        found.append("WRONG_DURATION")
    if not answer.join_url:
        found.append("NO_JOIN_URL")
    elif not is_join_link(answer.join_url, allowed_join_hosts):
        found.append("JOIN_URL_NOT_HTTPS_ZOOM")
    if not answer.passcode:
        found.append("NO_PASSCODE")
    if not carries_token(answer.agenda, plan.token):
        found.append("WRONG_TOKEN")
    found.extend(f"SETTING_DRIFT:{name}" for name in drifted_settings(answer.settings, may_be_absent=may_be_absent))
    return tuple(found)


def drifted_settings(settings: Mapping[str, object], *, may_be_absent: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names of `PRIVACY_SETTINGS` whose value in `settings` is another one, or is not shown."""
    return tuple(
        name
        for name, wanted in PRIVACY_SETTINGS.items()
        if not _is_same(settings.get(name), wanted) and not (name in may_be_absent and name not in settings)
    )


def is_join_link(link: str, allowed_hosts: Collection[str]) -> bool:
    """Tell whether `link` is one that may go into a mail: https, and an allowed host or a subdomain of one.

    Plain http passes only for a loopback host that is allowed by name. Names, passwords, odd ports and characters
    that browsers read differently (a backslash moves the host) never pass.
    """
    if _UNSAFE_IN_LINK.search(link):
        return False
    try:
        parts = urlsplit(link)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if "@" in parts.netloc:
        return False
    if host in LOOPBACK_HOSTS:
        return host in allowed_hosts and parts.scheme in {"http", "https"}
    known = any(host == allowed or host.endswith(f".{allowed}") for allowed in allowed_hosts)
    return known and parts.scheme == "https" and port in {None, 443}


def _is_same(shown: object, wanted: object) -> bool:
    # JSON's true is not 1: a plain comparison would let approval_type: true pass for 1.
    return type(shown) is type(wanted) and shown == wanted
