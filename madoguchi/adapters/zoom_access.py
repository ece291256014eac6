"""Is everything set up at Zoom? Answers for `madoguchi check`, with the remedy of each shortcoming."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from madoguchi.adapters.zoom_errors import ZoomError
from madoguchi.adapters.zoom_token import Token

NEEDED_SCOPES: tuple[tuple[str, str, str], ...] = (
    ("create meetings", "meeting:write:meeting:admin", "meeting:write:admin"),
    ("change meetings", "meeting:update:meeting:admin", "meeting:write:admin"),
    ("delete meetings", "meeting:delete:meeting:admin", "meeting:write:admin"),
    ("end meetings", "meeting:update:status:admin", "meeting:write:admin"),
    ("read a meeting", "meeting:read:meeting:admin", "meeting:read:admin"),
    ("list meetings", "meeting:read:list_meetings:admin", "meeting:read:admin"),
    ("read past meetings", "meeting:read:past_meeting:admin", "meeting:read:admin"),
    ("read who was there", "meeting:read:list_past_participants:admin", "meeting:read:admin"),
    ("read hosts", "user:read:user:admin", "user:read:admin"),
)
"""What, the granular scope (apps since 2024), the classic one; either will do. "write" alone cannot delete."""

_REMEDIES: Mapping[str, str] = {
    "ZOOM_CREDENTIALS_REFUSED": "Compare account id, client id and secret with the Server-to-Server app in the Zoom "
    "App Marketplace, and see that the app is activated.",
    "ZOOM_SCOPE_MISSING": "Add the scopes named above to the app; they can take up to an hour to work.",
    "ZOOM_HOST_UNKNOWN": "Correct this host in the office settings, or add the user to the Zoom account.",
    "ZOOM_HOST_PENDING": "Let the user accept the invitation to the Zoom account.",
    "ZOOM_CERTIFICATE": "The certificate was not accepted: give the office's own authority by SSL_CERT_FILE.",
    "ZOOM_UNREACHABLE": "No connection: check the network, the proxy and the Zoom addresses in the settings.",
    "ZOOM_TOO_FAST": "Something else uses up this Zoom account's requests: try again in a minute.",
}
_ELSE = "Try again; if it stays, give this code to whoever looks after the system."


class AccessItem(NamedTuple):
    """One line of the check. `remedy` is empty when nothing needs to be done."""

    item: str
    ok: bool
    remedy: str


def check_access(
    get_token: Callable[[], Token], get_user: Callable[[str], Mapping[str, Any]], host_users: Iterable[str]
) -> list[AccessItem]:
    """Return the lines in the order of setting things up; stops after the token when there is none."""
    try:
        token = get_token()
    except ZoomError as error:
        return [AccessItem("Zoom access token", ok=False, remedy=_remedy(error))]
    lines = [AccessItem("Zoom access token", ok=True, remedy="")]
    lines.extend(_check_scopes(token.scopes))
    lines.extend(_check_host(get_user, host) for host in host_users)
    return lines


def _check_scopes(granted: frozenset[str]) -> Iterator[AccessItem]:
    for purpose, granular, classic in NEEDED_SCOPES:
        is_granted = not granted.isdisjoint({granular, classic})
        remedy = "" if is_granted else f"Add the scope {granular} (or {classic}) to the app; it may take an hour."
        yield AccessItem(f"Zoom scope: {purpose}", ok=is_granted, remedy=remedy)


def _check_host(get_user: Callable[[str], Mapping[str, Any]], host: str) -> AccessItem:
    item = f"Zoom host {host}"
    try:
        user = get_user(host)
    except ZoomError as error:
        return AccessItem(item, ok=False, remedy=_remedy(error))
    if user.get("status", "active") != "active":
        return AccessItem(item, ok=False, remedy="The user is not active in Zoom: activate it, or take it out.")
    if user.get("type") == 99:
        return AccessItem(item, ok=False, remedy="The user has no Zoom Meetings licence: assign one.")
    return AccessItem(item, ok=True, remedy="")


def _remedy(error: ZoomError) -> str:
    return f"{_REMEDIES.get(error.code, _ELSE)} ({error})"
