"""The access token: one a process, fetched by one thread while the others wait."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx

from madoguchi.adapters.zoom_errors import (
    ZoomAmbiguous,
    ZoomConfigError,
    ZoomError,
    ZoomRejected,
    ZoomRetryable,
    ZoomTokenRefused,
    sort_failure,
    sort_refusal,
    tracking_id,
)

RENEW_BEFORE = timedelta(seconds=60)
TRIES = 3
REMEMBER_FAILURE_SECONDS = 1.0
_OPERATION = "token"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The Server-to-Server app. A process reads them once; they appear in no repr."""

    account_id: str = field(repr=False)
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, when it ends, what it may do, and the API address that came with it (not followed here)."""

    value: str = field(repr=False)
    ends: datetime
    scopes: frozenset[str]
    api_url: str = ""


class TokenSource:
    """Hands out a token that has more than a minute to live. Thread-safe; several processes may hold tokens at once."""

    def __init__(
        self,
        http: httpx.Client,
        url: str,
        credentials: Credentials,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._http = http
        self._url = url
        self._credentials = credentials
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._failure: tuple[float, ZoomError] | None = None

    def get(self) -> Token:
        """Return a usable token, fetching one if needed. ZoomConfigError or ZoomRetryable when there is none."""
        token = self._token
        if token is not None and self._is_fresh(token):
            return token
        with self._lock:
            if self._token is not None and self._is_fresh(self._token):
                return self._token
            # Twenty threads that waited for one failure must not each repeat it, time-outs and all.
            if self._failure is not None and self._monotonic() - self._failure[0] < REMEMBER_FAILURE_SECONDS:
                known = self._failure[1]
                raise type(known)(known.code, operation=known.operation, tracking_id=known.tracking_id)
            try:
                self._token, self._failure = self._fetch(), None
            except (ZoomConfigError, ZoomRetryable) as error:
                self._failure = (self._monotonic(), error)
                raise
            return self._token

    def drop(self, token: Token) -> None:
        """Forget `token` after a 401; a newer one that another thread has fetched since is kept."""
        with self._lock:
            if self._token is token:
                self._token = None

    def _is_fresh(self, token: Token) -> bool:
        return token.ends - self._clock() > RENEW_BEFORE

    def _fetch(self) -> Token:
        for attempt in range(1, TRIES + 1):
            try:
                return self._fetch_once()
            except ZoomRetryable:
                if attempt == TRIES:
                    raise
                self._sleep(0.5 * attempt)
        raise AssertionError("unreachable")

    def _fetch_once(self) -> Token:
        asked_at = self._clock()
        try:
            response = self._http.post(
                self._url,
                auth=(self._credentials.client_id, self._credentials.client_secret),
                data={"grant_type": "account_credentials", "account_id": self._credentials.account_id},
            )
        except httpx.HTTPError as error:
            raise _token_error(sort_failure(error, _OPERATION)) from None
        if not response.is_success:
            raise _token_error(sort_refusal(response, _OPERATION, now=asked_at))
        try:
            return _read_token(response, asked_at)
        except (json.JSONDecodeError, UnicodeDecodeError, ValueError, TypeError, KeyError):
            tracking = tracking_id(response)
            raise ZoomRetryable("ZOOM_UNREADABLE_ANSWER", operation=_OPERATION, tracking_id=tracking) from None


def _read_token(response: httpx.Response, asked_at: datetime) -> Token:
    body = response.json()
    value = body["access_token"]
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or not value:
        raise ValueError("access_token")
    seconds = max(0.0, min(float(body.get("expires_in", 3599)), 86400.0))
    return Token(
        value=value,
        ends=asked_at + timedelta(seconds=seconds),
        scopes=frozenset(str(body.get("scope", "")).split()),
        api_url=str(body.get("api_url") or ""),
    )


def _token_error(error: ZoomError) -> ZoomError:
    """Sort for this endpoint: it creates nothing, so doubt is harmless; a refusal is a matter of settings."""
    if isinstance(error, ZoomAmbiguous):
        return ZoomRetryable(error.code, operation=_OPERATION, tracking_id=error.tracking_id)
    if isinstance(error, ZoomRejected | ZoomTokenRefused):
        return ZoomConfigError("ZOOM_CREDENTIALS_REFUSED", operation=_OPERATION, tracking_id=error.tracking_id)
    return error
