"""Zoom's refusals and the network's failures, sorted by what the caller should do next.

No exception holds a body, a URL, an address or a passcode: a code, the operation, and Zoom's tracking id.
"""

from __future__ import annotations

import email.utils
import json
import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

SOON_SECONDS = 15
"""A Retry-After further away than this is a budget spent, not a pause."""

_TRACKING = re.compile(r"[^A-Za-z0-9_=;.,:/-]")


class ZoomError(Exception):
    """Base of all. `code`: a reason word; `operation`: what was asked; `tracking_id`: what Zoom's support asks for."""

    def __init__(self, code: str, *, operation: str = "", tracking_id: str = "") -> None:
        self.code = code
        self.operation = operation
        self.tracking_id = _TRACKING.sub("", tracking_id)[:80]
        super().__init__(" ".join(part for part in (code, operation, self.tracking_id) if part))

    @property
    def is_zoom_down(self) -> bool:
        """Tell whether Zoom itself answered that it is out of order (5xx): it was reached, and was understood."""
        return self.code.startswith("ZOOM_HTTP_5")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


class ZoomRetryable(ZoomError):  # noqa: N818 — named by what to do next
    """Nothing was done at Zoom, or doing it again is harmless: try again later."""


class ZoomTooFast(ZoomRetryable):
    """429 of the per-second kind; the client has already waited and tried several times."""


class ZoomTokenRefused(ZoomRetryable):
    """401 although the token was new."""


class ZoomAmbiguous(ZoomError):  # noqa: N818 — named by what to do next
    """It may have been done: look the meeting up by its token and adopt it before asking again."""


class ZoomRejected(ZoomError):  # noqa: N818 — named by what to do next
    """Zoom will never do this as asked: a bug or a missing right. `fields`: the names Zoom complained about."""

    def __init__(self, code: str, *, operation: str = "", tracking_id: str = "", fields: tuple[str, ...] = ()) -> None:
        super().__init__(code, operation=operation, tracking_id=tracking_id)
        self.fields = fields


class ZoomMeetingGone(ZoomRejected):
    """404 with 3001: no such meeting. `after_unsure`: an earlier try of this call may have removed it."""

    after_unsure = False


class ZoomConfigError(ZoomError):
    """Ask a person: credentials, scopes, hosts, licences or addresses are not set up."""


class ZoomHostBudgetSpent(ZoomError):  # noqa: N818 — named by what happened
    """This host may create or change no more meetings before `until` (00:00 UTC, 09:00 in Japan)."""

    def __init__(self, code: str, *, until: datetime, operation: str = "", tracking_id: str = "") -> None:
        super().__init__(code, operation=operation, tracking_id=tracking_id)
        self.until = until


class ZoomBudgetSpent(ZoomError):  # noqa: N818 — named by what happened
    """The whole account may ask nothing of this kind before `until`."""

    def __init__(self, code: str, *, until: datetime, operation: str = "", tracking_id: str = "") -> None:
        super().__init__(code, operation=operation, tracking_id=tracking_id)
        self.until = until


def _rebuild(kind: type[ZoomError], args: tuple[Any, ...], state: dict[str, Any]) -> ZoomError:
    # Some subclasses demand keywords, which the pickling of exceptions does not know.
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


_BY_CODE: Mapping[int, tuple[type[ZoomError], str]] = {
    200: (ZoomConfigError, "ZOOM_PLAN_OR_PERMISSION"),
    300: (ZoomRejected, "ZOOM_VALIDATION"),
    1001: (ZoomConfigError, "ZOOM_HOST_UNKNOWN"),
    1010: (ZoomConfigError, "ZOOM_HOST_UNKNOWN"),
    1120: (ZoomConfigError, "ZOOM_HOST_PENDING"),
    2306: (ZoomConfigError, "ZOOM_LISTING_FORBIDDEN"),
    3000: (ZoomRejected, "ZOOM_NO_ACCESS"),
    3001: (ZoomMeetingGone, "ZOOM_MEETING_GONE"),
    3002: (ZoomRejected, "ZOOM_MEETING_RUNNING"),
    3003: (ZoomRejected, "ZOOM_NOT_THE_HOST"),
    3007: (ZoomRejected, "ZOOM_MEETING_ENDED"),
    3161: (ZoomConfigError, "ZOOM_HOST_UNLICENSED"),
    4700: (ZoomConfigError, "ZOOM_SCOPE_MISSING"),
    4711: (ZoomConfigError, "ZOOM_SCOPE_MISSING"),
    12702: (ZoomRejected, "ZOOM_TOO_OLD"),
}


def sort_failure(error: httpx.HTTPError, operation: str) -> ZoomError:
    """Return what a failed exchange means: nothing was sent (retryable), or nobody knows (ambiguous)."""
    if _is_certificate(error):
        return ZoomConfigError("ZOOM_CERTIFICATE", operation=operation)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError):
        return ZoomRetryable("ZOOM_UNREACHABLE", operation=operation)
    if isinstance(error, httpx.UnsupportedProtocol):
        return ZoomConfigError("ZOOM_ADDRESS", operation=operation)
    code = "ZOOM_TIMEOUT" if isinstance(error, httpx.TimeoutException) else "ZOOM_CONNECTION_LOST"
    return ZoomAmbiguous(code, operation=operation)


def sort_refusal(response: httpx.Response, operation: str, *, now: datetime) -> ZoomError:
    """Return what an answer other than success means. `now`: aware; from it the ends of budgets are counted."""
    tracking = tracking_id(response)
    status, body = response.status_code, _body(response)
    if status == 429:
        return _sort_429(response, body, operation, now)
    if status >= 500 or status == 408:
        return ZoomAmbiguous(f"ZOOM_HTTP_{status}", operation=operation, tracking_id=tracking)
    kind, word = _sort_4xx(status, body.get("code"))
    if issubclass(kind, ZoomRejected):
        return kind(word, operation=operation, tracking_id=tracking, fields=_fields(body))
    return kind(word, operation=operation, tracking_id=tracking)


def _sort_4xx(status: int, code: object) -> tuple[type[ZoomError], str]:
    if status < 400:
        return ZoomConfigError, "ZOOM_REDIRECTED"
    known = _BY_CODE.get(code) if isinstance(code, int) else None
    # A gateway's 404 without Zoom's own code says nothing about the meeting; taken for "gone" it would be made twice.
    if known is not None and (known[0] is not ZoomMeetingGone or status == 404):
        return known
    if status == 401:
        return ZoomTokenRefused, "ZOOM_TOKEN_REFUSED"
    return ZoomRejected, f"ZOOM_HTTP_{status}"


def tracking_id(response: httpx.Response) -> str:
    """Return Zoom's own name of the request, or an empty string."""
    return str(response.headers.get("x-zm-trackingid", ""))


def next_utc_midnight(now: datetime) -> datetime:
    """Return the next 00:00 UTC after `now`, when Zoom's daily counts start again."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day + timedelta(days=1)


def _sort_429(response: httpx.Response, body: Mapping[str, Any], operation: str, now: datetime) -> ZoomError:
    tracking = tracking_id(response)
    text = str(body.get("message", "")).lower()
    # The budget of one host comes without Retry-After and without a type; only its wording gives it away.
    if "particular user" in text or "create/update" in text:
        until = next_utc_midnight(now)
        return ZoomHostBudgetSpent("ZOOM_HOST_BUDGET", until=until, operation=operation, tracking_id=tracking)
    until_given = _retry_after(response.headers.get("retry-after", ""), now)
    is_daily = "daily" in text or response.headers.get("x-ratelimit-type", "").lower() == "daily-limit"
    is_far = until_given is not None and until_given - now > timedelta(seconds=SOON_SECONDS)
    if is_daily or is_far:
        until = until_given or next_utc_midnight(now)
        return ZoomBudgetSpent("ZOOM_DAILY_LIMIT", until=until, operation=operation, tracking_id=tracking)
    return ZoomTooFast("ZOOM_TOO_FAST", operation=operation, tracking_id=tracking)


def _retry_after(text: str, now: datetime) -> datetime | None:
    """Read Retry-After: Zoom sends an ISO date where the standard has seconds or an HTTP date."""
    text = text.strip()
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) < 9:
        return now + timedelta(seconds=int(text))
    for parse in (datetime.fromisoformat, email.utils.parsedate_to_datetime):
        try:
            found = parse(text)
        except ValueError:
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def _body(response: httpx.Response) -> Mapping[str, Any]:
    try:
        found = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _fields(body: Mapping[str, Any]) -> tuple[str, ...]:
    errors = body.get("errors")
    if not isinstance(errors, list):
        return ()
    names = (str(item.get("field", "")) for item in errors if isinstance(item, dict))
    return tuple(name for name in names if re.fullmatch(r"[\w.\[\]]{1,60}", name))


def _is_certificate(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
