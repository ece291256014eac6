"""The Zoom client: meetings made, found again, read back, changed and removed. Used by several threads at once.

What is sent and checked, and what each error means: docs/zoom.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote, urlsplit

import httpx

from madoguchi.adapters import zoom_attendance
from madoguchi.adapters.zoom_access import AccessItem, check_access
from madoguchi.adapters.zoom_errors import ZoomConfigError, ZoomMeetingGone, ZoomRejected, ZoomRetryable
from madoguchi.adapters.zoom_http import Operation, Timing, ZoomCaller, build_http, unreadable
from madoguchi.adapters.zoom_read import UnreadableAnswerError, read_meeting, window_around, write_plan
from madoguchi.adapters.zoom_token import Credentials, Token
from madoguchi.domain.meeting import (
    LOOPBACK_HOSTS,
    ZOOM_JOIN_HOSTS,
    MeetingPlan,
    ZoomMeeting,
    carries_token,
    check_meeting,
)
from madoguchi.domain.participant import Participant, PastMeeting

PAGE_SIZE = 300
MAX_PAGES = 200

_CREATE = Operation("create", "POST", repeatable=False, answers=True)
_UPDATE = Operation("update", "PATCH", repeatable=False, answers=False)
_DELETE = Operation("delete", "DELETE", repeatable=True, answers=False)
_END = Operation("end", "PUT", repeatable=True, answers=False)
_GET = Operation("get", "GET", repeatable=True, answers=True)
_LIST = Operation("list", "GET", repeatable=True, answers=True)
_USER = Operation("user", "GET", repeatable=True, answers=True)

ListType = Literal["scheduled", "live", "upcoming", "previous_meetings"]


class ZoomClient:
    """Zoom as this office uses it. Thread-safe; close it, or use it as a context manager.

    `clock` gives aware datetimes and serves the token's life and the ends of daily budgets only. Paces are for this
    process; Zoom's limits are for the account. Raises the errors of `zoom_errors`, sorted by what to do next.
    """

    def __init__(  # noqa: PLR0913 — settings by keyword; grouping them would only rename them
        self,
        token_url: str,
        api_url: str,
        account_id: str,
        client_id: str,
        client_secret: str,
        *,
        clock: Callable[[], datetime],
        http: httpx.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
        create_per_second: float = 20.0,
        read_per_second: float = 30.0,
        concurrency: int = 8,
        timeout_seconds: float = 20.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (account_id and client_id and client_secret):
            raise ZoomConfigError("ZOOM_CREDENTIALS_MISSING")
        self._owns_http = http is None
        is_loopback = (urlsplit(api_url).hostname or "") in LOOPBACK_HOSTS
        self._http = http or build_http(
            concurrency=concurrency, timeout_seconds=timeout_seconds, is_loopback=is_loopback
        )
        self.sleep = sleep
        self._caller = ZoomCaller(
            self._http,
            token_url=token_url,
            api_url=api_url,
            credentials=Credentials(account_id, client_id, client_secret),
            timing=Timing(clock=clock, sleep=sleep, monotonic=monotonic),
            create_per_second=create_per_second,
            read_per_second=read_per_second,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a client that was handed in stays open, it is not ours."""
        if self._owns_http:
            self._http.close()

    def create_meeting(self, host_user: str, plan: MeetingPlan) -> ZoomMeeting:
        """Create one meeting; costs one of the host's changes of the day, whatever the outcome.

        Never asks twice after doubt: ZoomAmbiguous means that a meeting may exist, to be found by `find_by_token`.
        The answer is Zoom's word of mouth; read the meeting back and check it before anybody is told.
        """
        body = self._caller.call(_CREATE, f"/users/{quote(host_user, safe='')}/meetings", json=write_plan(plan))
        return _meeting(_CREATE, body)

    def get_meeting(self, meeting_id: str) -> ZoomMeeting | None:
        """Return the meeting as Zoom has it now, or None when Zoom says that there is none."""
        try:
            body = self._caller.call(_GET, f"/meetings/{_path_id(meeting_id)}")
        except ZoomMeetingGone:
            return None
        return _read_only(_GET, body)

    def meeting_status(self, meeting_id: str) -> str | None:
        """Return `waiting` or `started`, or None when there is no such meeting. Tells nothing about who is in it."""
        meeting = self.get_meeting(meeting_id)
        return None if meeting is None else meeting.status

    def update_meeting(self, meeting_id: str, plan: MeetingPlan, *, with_passcode: bool = True) -> None:
        """Change a meeting to `plan`, every privacy setting included; costs one of the host's changes of the day.

        Zoom ignores a start in the past without a word, so read back after it. ZoomMeetingGone when there is none.
        Without `with_passcode` the meeting keeps its own: giving one, even the same, may make another join link.
        """
        body = write_plan(plan)
        if not with_passcode:
            del body["password"]
        self._caller.call(_UPDATE, f"/meetings/{_path_id(meeting_id)}", json=body)

    def delete_meeting(self, meeting_id: str) -> bool:
        """Remove a meeting without any mail by Zoom. True: removed now; False: it was gone or had ended already.

        ZoomRejected with ZOOM_MEETING_RUNNING while people are in it: end it first.
        """
        params = {"schedule_for_reminder": "false", "cancel_meeting_reminder": "false"}
        try:
            self._caller.call(_DELETE, f"/meetings/{_path_id(meeting_id)}", params=params)
        except ZoomMeetingGone as gone:
            return gone.after_unsure
        except ZoomRejected as refused:
            if refused.code == "ZOOM_MEETING_ENDED":
                return False
            raise
        return True

    def end_meeting(self, meeting_id: str) -> bool:
        """End a running meeting for everybody in it. False when there is no such meeting."""
        try:
            self._caller.call(_END, f"/meetings/{_path_id(meeting_id)}/status", json={"action": "end"})
        except ZoomMeetingGone:
            return False
        return True

    def list_meetings(
        self, host_user: str, *, around: datetime | None = None, kind: ListType = "scheduled"
    ) -> Iterator[ZoomMeeting]:
        """Yield the host's meetings, page by page; `around`: only those of the day before to the day after (UTC).

        A list shows no passcode, status or settings, cuts agendas at 250 characters, and may lag behind a creation.
        """
        path = f"/users/{quote(host_user, safe='')}/meetings"
        params: dict[str, str | int] = {"type": kind, "page_size": PAGE_SIZE}
        if around is not None:
            params |= window_around(around)
        for _ in range(MAX_PAGES):
            body = self._caller.call(_LIST, path, params=params)
            items = body.get("meetings") or []
            if not isinstance(items, list):
                raise ZoomRetryable("ZOOM_UNREADABLE_ANSWER", operation=_LIST.name)
            yield from (_read_only(_LIST, item) for item in items if isinstance(item, dict))
            page = body.get("next_page_token")
            if not page:
                return
            params["next_page_token"] = str(page)
        # A list cut short would hide an orphan and let a second meeting be made.
        raise ZoomRetryable("ZOOM_ENDLESS_LIST", operation=_LIST.name)

    def find_by_token(self, host_user: str, token: str, start: datetime | None) -> list[ZoomMeeting]:
        """Return the host's meetings whose agenda carries `token`, the oldest first, whatever their start.

        `start` only narrows the list to the days around it; None looks through everything that is scheduled.
        """
        found = [m for m in self.list_meetings(host_user, around=start) if carries_token(m.agenda, token)]
        return sorted(found, key=lambda m: (m.created_at is None, m.created_at or 0, m.meeting_id))

    def live_meeting_ids(self, host_user: str) -> set[str]:
        """Return the host's meetings that run now. One request a host, whatever the number of meetings."""
        return {meeting.meeting_id for meeting in self.list_meetings(host_user, kind="live")}

    def live_participants(self, meeting_id: str) -> list[Participant] | None:
        """Return every stay in a running meeting, ended ones too; None when Zoom shows no such meeting running.

        ZoomConfigError when the plan or the app's scopes do not have this list (Business and above).
        """
        return zoom_attendance.live_participants(self._caller, meeting_id)

    def past_meeting(self, meeting_id: str) -> PastMeeting | None:
        """Return the last time that a meeting ran and ended (or the one of a uuid); None: not ended, or never started.

        While it runs again the earlier times are hidden. Compare its instants with the session.
        """
        return zoom_attendance.past_meeting(self._caller, meeting_id)

    def past_participants(self, meeting_id: str) -> list[Participant] | None:
        """Return every stay in that time; None as for `past_meeting`.

        Empty: only one person was in the meeting, or the rows have not come yet (some minutes after the end).
        """
        return zoom_attendance.past_participants(self._caller, meeting_id)

    def check_access(self, host_users: Iterable[str] = ()) -> list[AccessItem]:
        """Return what is set up and what is not, each with its remedy: token, scopes, every host. Raises nothing."""
        return check_access(self._token, self._user, host_users)

    def _token(self) -> Token:
        return self._caller.tokens.get()

    def _user(self, host_user: str) -> Mapping[str, Any]:
        return self._caller.call(_USER, f"/users/{quote(host_user, safe='')}")


@dataclass(frozen=True, slots=True)
class EnsureResult:
    """The meeting as Zoom last described it, whether it was found rather than made, and how many others went."""

    meeting: ZoomMeeting
    adopted: bool
    deleted_extras: int


def ensure_meeting(
    client: ZoomClient,
    host_user: str,
    plan: MeetingPlan,
    *,
    look_first: bool,
    settle_seconds: float = 0.0,
    allowed_join_hosts: Collection[str] = ZOOM_JOIN_HOSTS,
    may_be_absent: Collection[str] = (),
) -> EnsureResult:
    """Make sure that one meeting with the plan's token exists, and no second one.

    `look_first`: an earlier try may have made one. It is then adopted if it checks out; others with the token are
    deleted, except one that is running. `settle_seconds`: when the first look finds nothing, wait and look again,
    because lists lag behind creations (by how much Zoom does not say). Looks at this host only: pass the host of the
    earlier try. The caller holds the claim on the booking: two callers at once could both make one. Read back and
    check afterwards; an adopted one is checked already.
    """
    found: list[ZoomMeeting] = []
    if look_first:
        found = client.find_by_token(host_user, plan.token, None)
        if not found and settle_seconds > 0:
            client.sleep(settle_seconds)
            found = client.find_by_token(host_user, plan.token, None)
    details = [meeting for item in found if (meeting := client.get_meeting(item.meeting_id)) is not None]
    good = [
        meeting
        for meeting in details
        if not check_meeting(plan, meeting, allowed_join_hosts=allowed_join_hosts, may_be_absent=may_be_absent)
    ]
    chosen = good[0] if good else None
    extras = [meeting for meeting in details if meeting is not chosen and meeting.status != "started"]
    deleted = sum(client.delete_meeting(meeting.meeting_id) for meeting in extras)
    if chosen is not None:
        return EnsureResult(chosen, adopted=True, deleted_extras=deleted)
    return EnsureResult(client.create_meeting(host_user, plan), adopted=False, deleted_extras=deleted)


def _meeting(operation: Operation, body: Mapping[str, Any]) -> ZoomMeeting:
    try:
        return read_meeting(body)
    except UnreadableAnswerError:
        raise unreadable(operation) from None


def _read_only(operation: Operation, body: Mapping[str, Any]) -> ZoomMeeting:
    """Read where nothing can have been done: what is unreadable is asked again another time."""
    try:
        return read_meeting(body)
    except UnreadableAnswerError:
        raise ZoomRetryable("ZOOM_UNREADABLE_ANSWER", operation=operation.name) from None


def _path_id(meeting_id: str) -> str:
    if not (meeting_id.isascii() and meeting_id.isdigit()):
        raise ZoomRejected("ZOOM_MEETING_ID", operation="address")
    return meeting_id
