"""What the parts of the demonstration share: telling and checking a story, and calling the command `madoguchi`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.settings import ROOT

RUN_LOG = "log/demo-runs.log"


@dataclass(slots=True)
class Story:
    """What is told, and what did not come true."""

    began: float = field(default_factory=time.monotonic)
    broken: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Print a line with the time that has passed."""
        print(f"[{time.monotonic() - self.began:5.1f} s] {text}", flush=True)

    def expect(self, what: str, found: object, wanted: object) -> None:
        """Keep what is not as the story wants it."""
        if found != wanted:
            self.broken.append(f"{what}: {found!r} instead of {wanted!r}")
            print(f"          NOT SO: {self.broken[-1]}", flush=True)


def as_list(body: Any) -> list[dict[str, Any]]:
    """Return the list in an answer of a stand-in."""
    return body if isinstance(body, list) else next(value for value in body.values() if isinstance(value, list))


def everything() -> dict[str, list[dict[str, Any]]]:
    """Return all four lists of the record."""
    return {
        kind: json.loads(madoguchi(["list", kind, "--json"])[1])
        for kind in ("requests", "bookings", "meetings", "messages")
    }


def madoguchi(arguments: Sequence[str]) -> tuple[int, str]:
    """Run the command as an operator does and return its exit code and what it printed; its log goes to `RUN_LOG`."""
    log = Path(os.environ["MADOGUCHI_VAR_DIR"]) / RUN_LOG
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("ab") as stream:
        done = subprocess.run(  # noqa: S603 — our own command, no shell
            [sys.executable, "-m", "madoguchi.cli", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            check=False,
        )
    if not done.stdout.strip():
        raise SystemExit(
            f"madoguchi {' '.join(arguments[:2])} ended with {done.returncode} and said nothing; see {log}"
        )
    return done.returncode, done.stdout
