"""The stand-in's refusals, in Zoom's envelopes and with Zoom's headers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any


class ApiRefusal(Exception):  # noqa: N818 — an answer, not a failure of the stand-in
    """An answer other than success. `body` is sent as JSON."""

    def __init__(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}")
        self.status = status
        self.body = dict(body)
        self.headers = dict(headers or {})


def refusal(status: int, code: int, message: str) -> ApiRefusal:
    """Return a refusal in the plain envelope."""
    return ApiRefusal(status, {"code": code, "message": message})


def validation(errors: list[tuple[str, str]]) -> ApiRefusal:
    """Return 400/300 with one entry a field."""
    listed = [{"field": field, "message": message} for field, message in errors]
    return ApiRefusal(400, {"code": 300, "message": "Validation Failed.", "errors": listed})


def no_meeting(meeting_id: str) -> ApiRefusal:
    """Return 404/3001; a deleted, a wrong and an expired id look the same."""
    return refusal(404, 3001, f"Meeting does not exist: {meeting_id}.")


def no_user(user: str) -> ApiRefusal:
    """Return 404/1001."""
    return refusal(404, 1001, f"User does not exist: {user}.")


def token_refusal(status: int, error: str, reason: str) -> ApiRefusal:
    """Return a refusal of the token endpoint, whose envelope has no code."""
    return ApiRefusal(status, {"reason": reason, "error": error})


def host_day_spent(limit: int) -> ApiRefusal:
    """Return the 429 of one host's daily budget: no Retry-After, no type, and headers of quite another limit."""
    text = (
        f"You have exceeded the daily rate limit ({limit}) of Meeting Create/Update API requests permitted for this "
        "particular user. You may resume these requests at GMT 00:00:00."
    )
    headers = {"x-ratelimit-category": "Light", "x-ratelimit-limit": "6000", "x-ratelimit-remaining": "5893"}
    return ApiRefusal(429, {"code": 429, "message": text}, headers)


def second_spent(category: str, limit: int) -> ApiRefusal:
    """Return the per-second 429 of the whole account."""
    text = "You have reached the maximum per-second rate limit for this API. Try again later."
    headers = {
        "X-RateLimit-Category": category,
        "X-RateLimit-Type": "QPS",
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": "0",
    }
    return ApiRefusal(429, {"code": 429, "message": text}, headers)


def day_spent(now: datetime) -> ApiRefusal:
    """Return the daily 429 of the whole account, with the date at which it ends in Retry-After."""
    text = (
        "You have reached the maximum daily rate limit for this API. Refer to the response header for details on "
        "when you can make another request."
    )
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    headers = {
        "X-RateLimit-Category": "Heavy",
        "X-RateLimit-Type": "Daily-limit",
        "X-RateLimit-Limit": "30000",
        "X-RateLimit-Remaining": "0",
        "Retry-After": midnight.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return ApiRefusal(429, {"code": 429, "message": text}, headers)


def token_expired() -> ApiRefusal:
    """Return 401/124 as for a token that has run out."""
    return refusal(401, 124, "Access token is expired.")


def token_invalid() -> ApiRefusal:
    """Return 401/124 as for a token that is missing or unknown."""
    return refusal(401, 124, "Invalid access token.")


def scope_missing(scopes: tuple[str, ...]) -> ApiRefusal:
    """Return 400/4711, naming the scopes any one of which would do."""
    return refusal(400, 4711, f"Invalid access token, does not contain scopes:[{', '.join(scopes)}].")
