"""Zoom's webhooks at the door: is this really from Zoom, and is it fresh? What an event says is `domain/zoom_event`."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

from madoguchi.domain.zoom_signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, encrypted_token, signature

WINDOW = timedelta(minutes=5)

RefusalCode = Literal["NO_SECRET", "NO_SIGNATURE", "BAD_TIMESTAMP", "TOO_OLD", "BAD_SIGNATURE"]


class WebhookRefused(Exception):  # noqa: N818 — an answer to a stranger, not a failure of ours
    """The request is not to be believed. `code` says why; no part of the request is kept."""

    def __init__(self, code: RefusalCode) -> None:
        super().__init__(code)
        self.code: RefusalCode = code


def verify(secret: str, raw: bytes, headers: Mapping[str, str], now: datetime, window: timedelta = WINDOW) -> None:
    """Return when `raw`, exactly as it was received, was signed with `secret` within `window` of `now` (aware, real).

    WebhookRefused otherwise, and always when no secret is set. A timestamp from the future is refused like an old
    one. Does not tell a first delivery from a repetition: that is the event's key.
    """
    if not secret.strip():
        raise WebhookRefused("NO_SECRET")
    found = {name.lower(): value for name, value in headers.items()}
    given, stamp = found.get(SIGNATURE_HEADER, ""), found.get(TIMESTAMP_HEADER, "")
    if not given:
        raise WebhookRefused("NO_SIGNATURE")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 11):
        raise WebhookRefused("BAD_TIMESTAMP")
    if abs(now - datetime.fromtimestamp(int(stamp), UTC)) > window:
        raise WebhookRefused("TOO_OLD")
    expected = signature(secret, stamp, raw).encode()
    # compare_digest refuses text beyond ASCII with a TypeError, which a stranger could provoke: bytes it is.
    if not hmac.compare_digest(expected, given.encode("utf-8", "surrogatepass")):
        raise WebhookRefused("BAD_SIGNATURE")


def sign(secret: str, raw: bytes, timestamp: datetime) -> dict[str, str]:
    """Return the two headers that Zoom would send with `raw` at `timestamp` (aware). For tests and rehearsals."""
    stamp = str(int(timestamp.timestamp()))
    return {SIGNATURE_HEADER: signature(secret, stamp, raw), TIMESTAMP_HEADER: stamp}


def validation_answer(secret: str, plain_token: str) -> dict[str, str]:
    """Return the JSON answer to `endpoint.url_validation`, owed within three seconds; verify the request first.

    WebhookRefused with NO_SECRET when none is set: an endpoint that answers anyway would take events it cannot check.
    """
    if not secret.strip():
        raise WebhookRefused("NO_SECRET")
    return {"plainToken": plain_token, "encryptedToken": encrypted_token(secret, plain_token)}
