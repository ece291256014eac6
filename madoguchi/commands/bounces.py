"""`madoguchi bounces FILE|-`: read what came back from a file or a pipe."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path

from config.settings import Settings
from madoguchi.adapters.bounce_folder import MAX_MBOX_BYTES
from tasks.bounces import BounceReport, read_piped
from tasks.wiring import Run, build_services


def run(settings: Settings, path: str, *, as_json: bool) -> int:
    """Read one mail or an mbox and print what came of it; 0 read, 1 something could not be read, 2 wrong use."""
    try:
        content = _content(path)
    except OSError as error:
        reason = type(error).__name__
        print(f"madoguchi bounces: the file cannot be read ({reason}); name a mail, an mbox, or -", file=sys.stderr)
        return 2
    if len(content) > MAX_MBOX_BYTES:
        print(f"madoguchi bounces: more than {MAX_MBOX_BYTES >> 20} MB; split the mbox", file=sys.stderr)
        return 2
    services = build_services(settings)
    now = services.clock()
    report = read_piped(services, Run("read-bounces", now, now, actor=f"cli:{getpass.getuser()}"), content)
    _print(report, as_json=as_json)
    return 1 if report.unreadable else 0


def _content(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read(MAX_MBOX_BYTES + 1)
    with Path(path).open("rb") as stream:
        return stream.read(MAX_MBOX_BYTES + 1)


def _print(report: BounceReport, *, as_json: bool) -> None:
    counts = {name: count for name, count in sorted(report.counts.items()) if count}
    unreadable = [{"reference": name, "reason": code} for name, code in report.unreadable]
    if as_json:
        print(json.dumps({"counts": counts, "incomplete": unreadable}))
        return
    for name, count in counts.items():
        print(f"  {name:<20} {count}")
    for name, code in report.unreadable:
        print(f"madoguchi bounces: {name}: {code}", file=sys.stderr)
