"""What the tests of client and stand-in share: a plan, a client that does not really wait, a stand-in."""

import contextlib
import itertools
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from madoguchi.adapters.zoom import ZoomClient
from madoguchi.domain.meeting import MeetingPlan
from madoguchi.sandbox.zoom_server import RunningZoom

SANDBOX_LINKS = ("zoom.example.jp",)
START = datetime(2031, 3, 4, 2, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)
# The first ones are the hosts that tests name themselves.
_numbers = itertools.count(101)


def plan(token: str = "", start: datetime = START, **more: object) -> MeetingPlan:
    return MeetingPlan(token=token or f"T-{next(_numbers)}", start=start, passcode="abcd2345", **more)  # type: ignore[arg-type]


def new_host() -> str:
    return f"host-{next(_numbers)}@example.jp"


class Waits(list[float]):
    """Stands for sleep: notes what was waited for and goes on at once."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)
        time.sleep(min(seconds, 0.002))


@contextlib.contextmanager
def client_of(zoom: RunningZoom, **more: object) -> Iterator[ZoomClient]:
    kept = {
        "clock": lambda: datetime.now(UTC),
        "sleep": Waits(),
        "create_per_second": 5000.0,
        "read_per_second": 5000.0,
        "timeout_seconds": 5.0,
        "client_secret": "sandbox-secret",
    } | more
    with ZoomClient(zoom.token_url, zoom.api_url, "sandbox-account", "sandbox-client", **kept) as client:  # type: ignore[arg-type]
        yield client


def order(zoom: RunningZoom, op: str, kind: str, **more: object) -> None:
    answer = httpx.post(f"{zoom.url}/sandbox/faults", json=[{"op": op, "kind": kind, **more}], trust_env=False)
    assert answer.status_code == 200, answer.text


def all_meetings(zoom: RunningZoom) -> list[dict[str, object]]:
    return list(httpx.get(f"{zoom.url}/sandbox/meetings", trust_env=False).json()["meetings"])


def load_openapi() -> dict[str, object]:
    shared = os.environ.get("MADOGUCHI_SHARED_DIR")
    folder = Path(shared) if shared else Path(__file__).resolve().parents[2].parent / "shared"
    path = folder / "zoom" / "zoom-meetings.openapi.json"
    if not path.is_file():
        pytest.skip("the description of Zoom's API is not here: name its folder by MADOGUCHI_SHARED_DIR")
    return dict(json.loads(path.read_text(encoding="utf-8")))
