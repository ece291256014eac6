"""`make demo`: three exports become confirmed sessions, one day of sessions passes, and the terms of use change.

The mail server fails in the middle of the exports, and the rerun finishes them. The day has reminders, a cancellation
by telephone, somebody who comes, somebody who does not, a late event that takes a no-show back, and a host who never
opens the meeting. In the evening an amendment of the terms is announced, approved, mailed to everybody and proved.

Every step is an ordinary `madoguchi run` against an ordinary `madoguchi up`; the story is checked against what the
stand-in Zoom and the stand-in mailbox really hold. Exit code 0 only if it came true.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from config.settings import ROOT, Settings, load_settings
from madoguchi.adapters.holidays import is_public_holiday
from madoguchi.commands.demo_day import tell_the_day
from madoguchi.commands.demo_story import Story, as_list, everything, madoguchi
from madoguchi.commands.demo_terms import tell_the_amendment
from madoguchi.commands.up import Background, start_in_background
from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.office import JST
from madoguchi.sandbox.demo_exports import DemoExports, write_demo_exports

_MAILS_BEFORE_FAILURE = 2


def main() -> int:
    """Tell the story; 0 if it came true."""
    var_dir = ROOT / "var" / "demo"
    os.environ |= {"MADOGUCHI_MODE": "sandbox", "MADOGUCHI_VAR_DIR": str(var_dir)}
    for name in ("MADOGUCHI_DATABASE_URL", "MADOGUCHI_INBOX_DIR"):
        os.environ.pop(name, None)
    settings = load_settings()
    story = Story()
    _stop_earlier(settings)
    shutil.rmtree(var_dir, ignore_errors=True)
    story.say("Starting the Prefect server, the stand-in Zoom and the stand-in mailbox …")
    up = start_in_background(settings)
    keep = os.environ.get("DEMO_KEEP", "") not in {"", "0"}
    try:
        _tell(story, settings, up)
        _where_to_look(settings, up, keep=keep)
    finally:
        if not keep:
            up.stop()
    if story.broken:
        print(f"\nThe story did not come true: {len(story.broken)} of its facts are otherwise.", file=sys.stderr)
        return 1
    story.say("The story came true.")
    return 0


def _stop_earlier(settings: Settings) -> None:
    from madoguchi.commands.up import find_background

    earlier = find_background(settings)
    if earlier is not None:
        earlier.stop()


def _tell(story: Story, settings: Settings, up: Background) -> None:
    now = datetime.now(JST).replace(microsecond=0)
    exports = write_demo_exports(settings.var_dir / "exports", OfficeCalendar(settings.office, is_public_holiday), now)
    story.say(f"Three exports lie ready: {exports.rows} rows from Google Forms, LoGoフォーム and Microsoft Forms.")
    _first_two_files(story, exports, now)
    _third_file_with_failure(story, exports, now, up)
    _same_files_again(story, exports, now)
    _compare(story, exports, up)
    evening = tell_the_day(story, exports, up)
    tell_the_amendment(story, settings, up, evening)


def _first_two_files(story: Story, exports: DemoExports, now: datetime) -> None:
    for path, source in ((exports.google, "google"), (exports.logo, "logo")):
        code, summary = _run(path, source, now)
        counts = summary["counts"]
        story.say(
            f"{path.name}: {counts['in']} rows in = {counts['accept']} accepted + {counts['needs_review']} for staff "
            f"+ {counts['reject']} rejected + {counts['skip']} empty; {counts['confirmed']} sessions confirmed, "
            f"{counts['messages_sent']} mails sent."
        )
        story.expect(f"exit code of {source}", code, 0)


def _third_file_with_failure(story: Story, exports: DemoExports, now: datetime, up: Background) -> None:
    fault = {"at": "MAIL", "kind": "421", "times": 1000, "after": _MAILS_BEFORE_FAILURE}
    httpx.post(f"{up.mailbox_url}/sandbox/faults", json=fault, timeout=10).raise_for_status()
    story.say(f"The mail server will fail after {_MAILS_BEFORE_FAILURE} more mails …")
    code, summary = _run(exports.microsoft, "microsoft", now)
    story.say(
        f"{exports.microsoft.name}: {summary['counts']['confirmed']} sessions confirmed, "
        f"{summary['counts']['messages_sent']} mails sent, {len(summary['incomplete'])} not: {summary['state']}."
    )
    story.expect("exit code of the broken run", code, 1)
    story.expect("state of the broken run", summary["state"], "failed")
    story.expect("mails sent before the failure", summary["counts"]["messages_sent"], _MAILS_BEFORE_FAILURE)
    httpx.delete(f"{up.mailbox_url}/sandbox/faults", timeout=10).raise_for_status()
    story.say("The mail server works again; an operator runs the same flow once more …")
    code, summary = _run(exports.microsoft, "microsoft", now)
    story.say(
        f"{summary['counts']['messages_sent']} mails sent, {len(summary['incomplete'])} left: {summary['state']}."
    )
    story.expect("exit code of the rerun", code, 0)


def _same_files_again(story: Story, exports: DemoExports, now: datetime) -> None:
    before = everything()
    files = ((exports.google, "google"), (exports.logo, "logo"), (exports.microsoft, "microsoft"))
    for path, source in files:
        code, summary = _run(path, source, now)
        story.expect(f"exit code of {source} again", code, 0)
        story.expect(f"new rows of {source} again", summary["counts"]["new"], 0)
    story.expect("requests, bookings, meetings and messages after reading again", everything(), before)
    story.say("The same three files once more: nothing new, nothing changed.")


def _compare(story: Story, exports: DemoExports, up: Background) -> None:
    """Compare the record with what the stand-ins really hold."""
    record = everything()
    outcomes = Counter(row["outcome"] for row in record["requests"])
    story.expect("outcomes of all rows", dict(outcomes), exports.outcomes)
    bookings = record["bookings"]
    story.expect("confirmed bookings", [b["status"] for b in bookings], ["confirmed"] * exports.confirmed)
    kinds = Counter(m["kind"] for m in record["messages"])
    story.expect("messages by kind", dict(kinds), exports.mails)
    story.expect("messages by state", {m["status"] for m in record["messages"]}, {"sent"})
    held = httpx.get(f"{up.zoom_url}/sandbox/meetings", timeout=10).json()
    live = sorted(str(m["id"]) for m in as_list(held) if not m.get("deleted"))
    story.expect("meetings at the stand-in Zoom", live, sorted(b["meeting_id"] for b in bookings))
    stored = as_list(httpx.get(f"{up.mailbox_url}/sandbox/messages", timeout=10).json())
    delivered = Counter(m["message_id"] for m in stored)
    story.expect("mails in the mailbox", sorted(delivered), sorted(m["message_id"] for m in record["messages"]))
    story.expect("mails that arrived twice", [m for m, times in delivered.items() if times > 1], [])
    story.say(
        f"{exports.rows} rows: {len(bookings)} sessions confirmed, each with its own meeting; "
        f"{len(stored)} mails, nobody got one twice; {outcomes['needs_review']} rows wait for staff."
    )


def _run(path: Path, source: str, as_of: datetime) -> tuple[int, dict[str, Any]]:
    arguments = ["run", "process-requests", "--as-of", as_of.isoformat(), "--json"]
    code, output = madoguchi([*arguments, "--set", f"path={path}", "--set", f"source={source}"])
    summary: dict[str, Any] = json.loads(output)
    return code, summary


def _where_to_look(settings: Settings, up: Background, *, keep: bool) -> None:
    print("\nWhere to look" + ("" if keep else " (run `DEMO_KEEP=1 make demo` to leave the servers running)") + ":")
    print(f"  Dashboard  {up.dashboard_url}")
    print(f"  Mailbox    {up.mailbox_url}")
    print(f"  Terms      {up.web_url}/terms/")
    print(f"  Database   {settings.var_dir / 'madoguchi.db'}")
    print("  Lists      MADOGUCHI_VAR_DIR=var/demo .venv/bin/madoguchi list bookings")
    if keep:
        print(f"  Stop       kill {up.pid}")


if __name__ == "__main__":
    sys.exit(main())
