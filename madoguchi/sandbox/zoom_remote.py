"""Steering a stand-in Zoom from elsewhere: the demo, a test, a rehearsal by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self

import httpx

Mode = Literal["on", "off", "twice", "shuffled", "hold", "forged"]
Script = Sequence[tuple[datetime | None, str, str]]
"""Lines of instant (aware; None: the stand-in's now), who, and act: `(None, "guest", "wait")`."""


class ZoomRemoteError(RuntimeError):
    """The stand-in refused an order; the text is its own and names the place."""


class ZoomRemote:
    """The control side of the stand-in at `url` (without a last slash). Each order returns when its events have left.

    ZoomRemoteError when an order is refused; httpx.HTTPError when nobody answers.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 620.0) -> None:
        self._http = httpx.Client(base_url=f"{url.rstrip('/')}/sandbox", trust_env=False, timeout=timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def people(self, meeting_id: str, acts: Script, *, wait_for_clock: bool = False) -> dict[str, Any]:
        """Let people act, and return who is where now. `wait_for_clock`: each act when the clock comes to it."""
        listed = [{"at": at.isoformat() if at else None, "who": who, "act": act} for at, who, act in acts]
        return self._post("/people", {"meeting_id": meeting_id, "acts": listed, "wait_for_clock": wait_for_clock})

    def present(self, meeting_id: str) -> dict[str, Any]:
        """Return `status`, who is `present` and where, how many lines of `script` are to come, and its `errors`."""
        return self._ask("GET", f"/people?meeting_id={meeting_id}")

    def webhooks(
        self, url: str | None = None, secret: str | None = None, mode: Mode = "on", seed: int | None = None
    ) -> dict[str, Any]:
        """Subscribe an address of this machine, or change the mode of the subscription."""
        given = {"url": url, "secret": secret, "mode": mode, "seed": seed}
        return self._post("/webhooks", {name: value for name, value in given.items() if value is not None})

    def sent(self) -> dict[str, Any]:
        """Return what was sent, with answer codes and seconds, what is held, and what waits for a retry."""
        return self._ask("GET", "/webhooks")

    def forget(self) -> None:
        """Drop what is held or waits for a retry, and the log; the subscription stays."""
        self._ask("DELETE", "/webhooks")

    def release(self, limit: int | None = None, order: Literal["as_is", "reversed"] = "as_is") -> int:
        """Send what `hold` has kept; return how many events."""
        return int(self._post("/webhooks/release", {"limit": limit, "order": order})["released"])

    def retry(self, as_of: datetime | None = None) -> int:
        """Send again what was not taken and is due (5, 25, 85 minutes after the first try); return how many."""
        return int(self._post("/webhooks/retry", {"as_of": as_of.isoformat() if as_of else None})["retried"])

    def validate(self) -> dict[str, Any]:
        """Let the stand-in check the address as Zoom does every 72 hours; `ok`, `code`, `seconds`, `reason`."""
        return self._post("/webhooks/validate", {})

    def meetings(self) -> list[dict[str, Any]]:
        """Return every meeting that was ever made: id, host, token, start, status, deleted, settings, creates."""
        return list(self._ask("GET", "/meetings")["meetings"])

    def add_foreign(self, host: str, start: datetime, *, agenda: str = "", topic: str = "Team meeting") -> str:
        """Make a meeting past our client (aware start, in the past too) and return its id."""
        body = {"host": host, "start_time": start.isoformat(), "agenda": agenda, "topic": topic}
        return str(self._post("/meetings", body)["id"])

    def drift(self, meeting_id: str, settings: Mapping[str, Any]) -> None:
        """Change settings of a meeting in Zoom's own pages."""
        self._post(f"/meetings/{meeting_id}/drift", {"settings": dict(settings)})

    def vanish(self, meeting_id: str) -> None:
        """Delete a meeting in Zoom's own pages."""
        self._post(f"/meetings/{meeting_id}/vanish", {})

    def shift(self, meeting_id: str, start: datetime) -> None:
        """Move a meeting to another time (aware) in Zoom's own pages."""
        self._post(f"/meetings/{meeting_id}/shift", {"start_time": start.isoformat()})

    def hand_over(self, meeting_id: str, host: str) -> None:
        """Give a meeting to another host."""
        self._post(f"/meetings/{meeting_id}/hand_over", {"host": host})

    def lock(self, settings: Iterable[str]) -> None:
        """Lock settings by the account: creations and changes leave them as they are, without a word."""
        self._post("/locked", {"settings": sorted(settings)})

    def clock(self, now: datetime | None) -> datetime:
        """Let the stand-in's clock go on from `now` (aware; None: real time again), playing the script up to it."""
        answer = self._ask("DELETE", "/clock") if now is None else self._post("/clock", {"now": now.isoformat()})
        return datetime.fromisoformat(answer["now"])

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._ask("POST", path, json=dict(body))

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        response = self._http.request(method, path, **more)
        if not response.is_success:
            try:
                text = str(response.json()["error"])
            except (ValueError, KeyError, TypeError):
                text = f"HTTP {response.status_code}"
            raise ZoomRemoteError(f"{method} {path}: {text}")
        return dict(response.json())
