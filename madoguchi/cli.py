"""The command `madoguchi`. Only parses; each command lives in `commands`, imported when it is called."""

from __future__ import annotations

import argparse
import logging
import os
import select
import sys
from collections.abc import Sequence
from datetime import date, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from config.settings import Settings, SettingsError, load_settings
from madoguchi.adapters.log_redaction import RedactionFilter
from madoguchi.domain.office import JST

FLOWS = (
    "process-requests",
    "deliver-messages",
    "send-reminders",
    "sweep-no-shows",
    "reconcile-zoom",
    "publish-terms",
    "cancel-booking",
    "move-booking",
    "decide-request",
    "book-in-session",
    "record-contact",
    "check-in",
    "settle-attendance",
    "set-restriction",
    "settle-message",
    "settle-bounce",
    "read-bounces",
    "announce-amendment",
    "withdraw-amendment",
    "record-notice",
    "sign-off-notice",
    "retain-records",
    "set-hold",
    "record-disclosure",
    "usage-report",
    "watch",
    "tell-alarms",
)
LISTS = ("requests", "bookings", "meetings", "messages", "tasks", "verdicts", "evidence")

_MODULES = {"list": "lists", "show": "lists", "migrate": "keys", "restore": "backup"}

OK, INCOMPLETE, WRONG_USE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 incomplete or failed, 2 wrong use or unusable settings."""
    parser = _parser()
    options = parser.parse_args(arguments)
    _log_to_stderr(verbose=options.verbose)
    try:
        settings = load_settings()
        code = _dispatch(settings, options)
        sys.stdout.flush()
    except SettingsError as error:
        for problem in error.problems:
            print(f"madoguchi: {problem}", file=sys.stderr)
        return WRONG_USE
    except BrokenPipeError:
        if not _is_cut_off():
            raise
        return INCOMPLETE
    except KeyboardInterrupt:
        print("madoguchi: stopped", file=sys.stderr)
        return INCOMPLETE
    return code


def _is_cut_off() -> bool:
    """Tell whether nobody reads our output any more, as behind `| head`; then nothing more is written either."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in output.poll(0)):
        return False
    # The interpreter flushes once more at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _dispatch(settings: Settings, options: argparse.Namespace) -> int:
    command = import_module(f"madoguchi.commands.{_MODULES.get(options.command, options.command)}")
    given = {
        "run": lambda: command.run(settings, options.flow, options.as_of, options.set, as_json=options.json),
        "list": lambda: command.list_rows(settings, options.kind, options.date, options.status, as_json=options.json),
        "show": lambda: command.show(settings, options.reference, as_json=options.json),
        "keys": lambda: command.run(settings, options.action, data=options.data, as_json=options.json),
        "disclose": lambda: command.run(settings, options.reference, options.out),
        "accesses": lambda: command.run(settings, options.since, as_json=options.json),
        "schedule": lambda: command.run(settings, options.day, as_json=options.json),
        "backup": lambda: command.backup(settings, options.file),
        "restore": lambda: command.restore(settings, options.file, options.lost_at),
        "migrate": lambda: command.migrate(settings),
        "watch": lambda: command.run(settings, tell=options.tell, as_json=options.json),
        "bounces": lambda: command.run(settings, options.path, as_json=options.json),
        "terms": lambda: command.run(settings, options),
        "deploy": lambda: command.run(settings, options.work_pool),
        "worker": lambda: command.run(settings, options.work_pool, options.name, options.limit),
    }
    # Imported by name, and only the one that is called: importing Prefect alone takes two seconds.
    return int(given.get(options.command, lambda: command.run(settings))())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="madoguchi", description="Online job counselling: from form exports to confirmed Zoom sessions."
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log more to stderr")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run one flow here and now")
    run.add_argument("flow", choices=FLOWS)
    run.add_argument("--as-of", type=_moment, metavar="ISO-8601", help="business time; without offset: Asia/Tokyo")
    run.add_argument("--set", action="append", default=[], type=_pair, metavar="NAME=VALUE", help="a flow parameter")
    run.add_argument("--json", action="store_true", help="print the summary as JSON")

    listing = commands.add_parser("list", help="references and states, no personal data")
    listing.add_argument("kind", choices=LISTS)
    listing.add_argument("--date", type=_day, metavar="YYYY-MM-DD", help="submitted, held or due on that day (Japan)")
    listing.add_argument("--status")
    listing.add_argument("--json", action="store_true")

    show = commands.add_parser(
        "show", help="one request, booking, message or restriction with personal data; leaves an audit row"
    )
    show.add_argument("reference")
    show.add_argument("--json", action="store_true")

    bounces = commands.add_parser("bounces", help="read mails that came back from a file or, with -, from a pipe")
    bounces.add_argument("path", metavar="FILE")
    bounces.add_argument("--json", action="store_true")

    _add_terms(commands)

    commands.add_parser("check", help="what is configured, reachable and permitted, and what to do about what is not")
    commands.add_parser("migrate", help="bring the database to the newest level")
    keys = commands.add_parser("keys", help="make an encryption key, bring the newest one into use, or list keys")
    keys.add_argument("action", choices=("new", "rotate", "list"))
    keys.add_argument("--data", action="store_true", help="rotate: begin a new data key instead")
    keys.add_argument("--json", action="store_true", help="list: print it as JSON")
    disclose = commands.add_parser(
        "disclose", help="the extract of a granted disclosure (Art. 7(2)); leaves an audit row"
    )
    disclose.add_argument("reference", metavar="D-…")
    disclose.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON; beside it the same as text")
    accesses = commands.add_parser("accesses", help="who looked at personal data, when, at which reference")
    accesses.add_argument("--since", type=_day, metavar="YYYY-MM-DD", help="from that day (Japan); default: 30 days")
    accesses.add_argument("--json", action="store_true")
    _add_backup(commands)
    schedule = commands.add_parser("schedule", help="what would run on a day, and what would be due")
    schedule.add_argument("day", nargs="?", type=_day, metavar="YYYY-MM-DD", help="default: today in Japan")
    schedule.add_argument("--json", action="store_true")
    watch = commands.add_parser("watch", help="what is not as it should be, looked at without Prefect (docs/watch.md)")
    watch.add_argument("--tell", action="store_true", help="also tell by mail and webhook what is untold")
    watch.add_argument("--json", action="store_true")
    commands.add_parser("up", help="Prefect server, schedules and, in the sandbox, the stand-ins")
    deploy = commands.add_parser("deploy", help="put the deployments on a work pool, for workers (docs/scale.md)")
    deploy.add_argument("--work-pool", type=_name, metavar="NAME", help="default: MADOGUCHI_PREFECT__WORK_POOL")
    worker = commands.add_parser("worker", help="start runs of a work pool on this machine")
    worker.add_argument("--work-pool", type=_name, metavar="NAME", help="default: MADOGUCHI_PREFECT__WORK_POOL")
    worker.add_argument("--name", type=_name, help="default: host and process")
    worker.add_argument("--limit", type=_count, metavar="N", help="runs at once; default: 4")
    commands.add_parser("sandbox", help="only the stand-in Zoom and mailbox")
    return parser


def _add_backup(commands: Any) -> None:
    backup = commands.add_parser("backup", help="everything but the keys into one file, while all runs")
    backup.add_argument("file", type=Path, metavar="FILE")
    restore = commands.add_parser("restore", help="a backup in place of nothing, made safe to go on from")
    restore.add_argument("file", type=Path, metavar="FILE")
    restore.add_argument(
        "--lost-at", type=_moment, metavar="ISO-8601", help="when the lost machine did its last act; default: now"
    )


def _add_terms(commands: Any) -> None:
    terms = commands.add_parser("terms", help="versions of the terms of use, their comparison, their site, the proof")
    actions = terms.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, words: str, *, dated: bool = True) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = actions.add_parser(name, help=words)
        parser.add_argument("--json", action="store_true")
        if dated:
            parser.add_argument("--as-of", type=_moment, metavar="ISO-8601", help="in force when; default: now")
        return parser

    action("list", "every version: dates, state, announced or not")
    show = action("show", "outline of a version; default: the one in force")
    show.add_argument("code", nargs="?")
    show.add_argument("--text", action="store_true", help="its recorded words and nothing else")
    check = action("check", "what a new text is made of, its citations, what differs from the version in force")
    check.add_argument("file", metavar="FILE", help=".txt, .md or .pdf")
    diff = action("diff", "comparison of two versions or files")
    diff.add_argument("old", metavar="OLD")
    diff.add_argument("new", metavar="NEW")
    diff.add_argument("--html", type=Path, metavar="FILE", help="write it as a page")
    diff.add_argument("--old-first", action="store_true", help="the text before stands first, or left")
    build = action("build", "bring the public site to what the record says")
    build.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="default: MADOGUCHI_SITE_DIR")
    proof = action("proof", "who was told of an amendment", dated=False)
    proof.add_argument("code")
    proof.add_argument("--csv", type=Path, metavar="FILE", help="write the table, one row a person")
    proof.add_argument("--names", action="store_true", help="only who must be called, with names; needs --csv")
    proof.add_argument("--purpose", choices=("announced", "withdrawn"), default="announced")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no ISO 8601 time, such as 2026-09-14T09:00:00+09:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=JST)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day, such as 2026-09-24") from None


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=VALUE")
    return name, value


def _name(text: str) -> str:
    if not text or any(character in "/%" or character.isspace() for character in text):
        raise argparse.ArgumentTypeError(f"{text!r}: a name without blanks, / and %")
    return text


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r}: a number from 1 to 1000")
    return int(text)


def _log_to_stderr(*, verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(RedactionFilter())
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler], force=True)


if __name__ == "__main__":
    sys.exit(main())
