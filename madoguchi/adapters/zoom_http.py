"""One request to Zoom with everything that is safe to do about its failure."""

from __future__ import annotations

import json
import logging
import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from madoguchi.adapters.zoom_errors import (
    ZoomAmbiguous,
    ZoomConfigError,
    ZoomMeetingGone,
    ZoomRetryable,
    ZoomTokenRefused,
    ZoomTooFast,
    sort_failure,
    sort_refusal,
    tracking_id,
)
from madoguchi.adapters.zoom_pace import Pace
from madoguchi.adapters.zoom_token import Credentials, Token, TokenSource
from madoguchi.domain.meeting import LOOPBACK_HOSTS

TRIES_WHEN_TOO_FAST = 4
TRIES_WHEN_UNSURE = 3
KEEPALIVE_SECONDS = 4.0
"""Shorter than servers keep an idle connection: one that they close under a POST makes an ambiguous failure."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What is asked. `repeatable`: asking twice has the effect of asking once and costs no budget."""

    name: str
    method: Literal["GET", "POST", "PATCH", "PUT", "DELETE"]
    repeatable: bool
    answers: bool
    """An answer has a body; a 204 has none and is not parsed."""

    @property
    def is_read(self) -> bool:
        """Tell which of the two paces it follows."""
        return self.method == "GET"


@dataclass(frozen=True, slots=True)
class Timing:
    """The clocks and waits of a client. `clock`: aware now; `monotonic`, `sleep`: seconds; `jitter`: 0 to 1."""

    clock: Callable[[], datetime]
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.SystemRandom().random


@lru_cache(maxsize=1)
def _ssl_context() -> ssl.SSLContext:
    # Loading the certificate bundle takes 30 ms: once a process, not once a client.
    return httpx.create_ssl_context()


def build_http(*, concurrency: int, timeout_seconds: float, is_loopback: bool) -> httpx.Client:
    """Return a pooled client that follows no redirect and waits for nothing for ever."""
    return httpx.Client(
        timeout=httpx.Timeout(connect=5.0, read=timeout_seconds, write=10.0, pool=timeout_seconds + 30.0),
        limits=httpx.Limits(
            max_connections=concurrency + 2,
            max_keepalive_connections=concurrency + 2,
            keepalive_expiry=KEEPALIVE_SECONDS,
        ),
        verify=_ssl_context(),
        follow_redirects=False,
        # A proxy of the office must not be asked for 127.0.0.1.
        trust_env=not is_loopback,
        headers={"User-Agent": "madoguchi"},
    )


def require_safe_url(url: str, name: str) -> str:
    """Return `url` without its last slash; ZoomConfigError unless it is https, or http to this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise ZoomConfigError("ZOOM_ADDRESS", operation=name) from None
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK_HOSTS)
    if not is_safe or not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise ZoomConfigError("ZOOM_ADDRESS", operation=name)
    return url.rstrip("/")


def follow_api_url(configured: str, offered: str) -> str:
    """Return the base address to use: the regional one that came with the token, if it can be trusted.

    Trusted: the same origin, or https inside zoom.us when the settings too say zoom.us. Anything else is ignored;
    otherwise an answer could lead a rehearsal against the stand-in to the real Zoom, or our token elsewhere.
    """
    ours = urlsplit(configured)
    try:
        theirs = urlsplit(offered)
        is_same = (theirs.scheme, theirs.netloc) == (ours.scheme, ours.netloc)
        is_zoom = all(_is_zoom(parts.scheme, parts.hostname, parts.port) for parts in (ours, theirs))
    except ValueError:
        return configured
    if "@" in theirs.netloc or not (is_same or is_zoom):
        return configured
    return f"{theirs.scheme}://{theirs.netloc}{ours.path}"


def _is_zoom(scheme: str, host: str | None, port: int | None) -> bool:
    return scheme == "https" and port in {None, 443} and (host == "zoom.us" or (host or "").endswith(".zoom.us"))


class ZoomCaller:
    """Sends operations: paced, authorised, sorted, and repeated only where that cannot do anything twice."""

    def __init__(
        self,
        http: httpx.Client,
        *,
        token_url: str,
        api_url: str,
        credentials: Credentials,
        timing: Timing,
        create_per_second: float,
        read_per_second: float,
    ) -> None:
        # httpx writes every address it calls at INFO, meeting ids and hosts included.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._http = http
        self._api_url = require_safe_url(api_url, "api_url")
        self._timing = timing
        self.tokens = TokenSource(
            http,
            require_safe_url(token_url, "token_url"),
            credentials,
            clock=timing.clock,
            monotonic=timing.monotonic,
            sleep=timing.sleep,
        )
        self._change_pace = Pace(create_per_second, monotonic=timing.monotonic, sleep=timing.sleep)
        self._read_pace = Pace(read_per_second, monotonic=timing.monotonic, sleep=timing.sleep)

    def call(
        self,
        operation: Operation,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> Mapping[str, Any]:
        """Return the answer's object (empty for a 204), or raise a sorted ZoomError.

        Waits out a per-second 429 (four tries) and renews a refused token once, for every operation: nothing was
        done then. Repeats after doubt only what is repeatable, and then ends in ZoomRetryable, never ZoomAmbiguous.
        """
        too_fast = unsure = 0
        is_renewed = False
        while True:
            try:
                return self._attempt(operation, path, json, params)
            except ZoomTooFast:
                too_fast += 1
                if too_fast >= TRIES_WHEN_TOO_FAST:
                    raise
                self._timing.sleep(1.0 + self._timing.jitter())
            except ZoomTokenRefused:
                if is_renewed:
                    raise
                is_renewed = True
            except ZoomMeetingGone as gone:
                gone.after_unsure = unsure > 0
                raise
            except (ZoomAmbiguous, ZoomRetryable) as error:
                unsure += 1
                if not operation.repeatable:
                    raise
                if unsure >= TRIES_WHEN_UNSURE:
                    raise ZoomRetryable(error.code, operation=operation.name, tracking_id=error.tracking_id) from None
                self._timing.sleep(0.3 * 2**unsure * (0.5 + self._timing.jitter()))

    def _attempt(
        self,
        operation: Operation,
        path: str,
        json: Mapping[str, Any] | None,
        params: Mapping[str, str | int] | None,
    ) -> Mapping[str, Any]:
        token = self.tokens.get()
        (self._read_pace if operation.is_read else self._change_pace).wait()
        try:
            response = self._http.request(
                operation.method,
                follow_api_url(self._api_url, token.api_url) + path,
                headers={"Authorization": f"Bearer {token.value}"},
                json=json,
                params=params,
            )
        except httpx.HTTPError as error:
            raise sort_failure(error, operation.name) from None
        return self._read(operation, response, token)

    def _read(self, operation: Operation, response: httpx.Response, token: Token) -> Mapping[str, Any]:
        if not response.is_success:
            error = sort_refusal(response, operation.name, now=self._timing.clock())
            if isinstance(error, ZoomTokenRefused):
                self.tokens.drop(token)
            raise error
        if not operation.answers:
            return {}
        try:
            body = response.json()
        except (json.JSONDecodeError, UnicodeDecodeError):
            body = None
        if not isinstance(body, dict):
            raise unreadable(operation, tracking_id(response))
        return body


def unreadable(operation: Operation, tracking: str = "") -> ZoomAmbiguous:
    """Return the error for a success that cannot be understood: it was done, and we do not know what."""
    return ZoomAmbiguous("ZOOM_UNREADABLE_ANSWER", operation=operation.name, tracking_id=tracking)
