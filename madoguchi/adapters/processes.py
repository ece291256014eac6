"""Who holds a claim, and does that process still live? Also: child processes that never outlive their parent."""

from __future__ import annotations

import argparse
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

_POLL_SECONDS = 1.0
_BOOT_LENGTH = 18
"""Of the kernel's 36 signs: 64 random bits, and the whole fits the column under the longest name of a host."""


def owner_token(pid: int | None = None) -> str:
    """Return `host/boot/pid/start` of this process, or of `pid`, to be kept beside a claim in the database.

    The four parts together never name two processes: a pid is used again, a pid with its start is not. `boot` names the
    kernel's start and its room of process numbers: containers that share a host's name have rooms of their own.
    ProcessLookupError when there is no such process.
    """
    number = os.getpid() if pid is None else pid
    start = process_start(number)
    if start is None:
        raise ProcessLookupError(f"no process {number}")
    return f"{socket.gethostname()}/{_boot_id()[:_BOOT_LENGTH]}.{_process_room()}/{number}/{start}"


def is_alive(owner: str) -> bool | None:
    """Tell whether the process behind an `owner_token` still runs.

    False is certain: the process has ended, or this host has been started anew since. None means that this host
    cannot know (another host's or container's claim, or no token): only the claim's age can decide. What follows a `#`
    names a thread of the process and makes no difference.
    """
    parts = owner.partition("#")[0].rsplit("/", 3)
    if len(parts) != 4 or not parts[2].isdecimal():
        return None
    host, boot, pid, start = parts
    if host != socket.gethostname():
        return None
    start_of_kernel, _, room = boot.partition(".")
    if not (start_of_kernel and _boot_id().startswith(start_of_kernel)):
        return False
    if room and room != _process_room():
        return None
    return process_start(int(pid)) == start


def process_start(pid: int) -> str | None:
    """Return what tells one process from a later one with the same pid; None when `pid` does not run.

    A zombie counts as ended: it holds no connection and will do nothing more. The value is an opaque text, the same
    for the whole life of the process.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return _start_ticks(pid) or f"t{process.create_time():.0f}"
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return _start_ticks(pid)


def _start_ticks(pid: int) -> str | None:
    # psutil's create time is "boot time + ticks", and the boot time moves by a second when NTP sets the clock.
    # The kernel's own count of ticks since boot never changes.
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The second field is the command in brackets and may hold blanks and brackets itself.
    return stat.rpartition(")")[2].split()[19]


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"b{psutil.boot_time():.0f}"


def _process_room() -> str:
    try:
        return f"{Path('/proc/self/ns/pid').stat().st_ino:x}"
    except OSError:
        return "0"


def start_child(
    arguments: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    cwd: Path,
) -> subprocess.Popen[bytes]:
    """Start `python -m ARGUMENTS` in its own session; it gets SIGTERM within seconds when this process ends.

    The own session keeps a Ctrl-C for the parent, which then stops its children in order. Output is added to `log`,
    which only the owner may read.
    """
    with open_log(log) as stream:
        return subprocess.Popen(  # noqa: S603 — our own modules, no shell
            [sys.executable, "-m", __name__, "--parent", str(os.getpid()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=dict(environment),
            cwd=cwd,
            start_new_session=True,
        )


def open_log(log: Path) -> IO[bytes]:
    """Open a log file for adding to, mode 0600, its folder made; a file beyond 5 MB is put aside as `.1` first."""
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileNotFoundError):
        if log.stat().st_size > 5_000_000:
            log.replace(log.with_name(log.name + ".1"))
    return os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def trim_logs(folder: Path, *, limit: int = 20_000_000) -> None:
    """Cut every `*.log` in `folder` that is longer than `limit` bytes down to nothing, its end kept as `.1`.

    For logs that children write to for months: they keep their open file, which is in adding mode, and go on at the
    new end. At most `limit` bytes of the old text are kept; on a full disk none. A line written in the very moment of
    the cut may be lost. What cannot be cut now is left for the next call.
    """
    for log in folder.glob("*.log"):
        with suppress(OSError):
            if log.stat().st_size > limit:
                _cut(log, limit)


def _cut(log: Path, limit: int) -> None:
    kept = log.with_name(log.name + ".1")
    with log.open("r+b") as stream:
        try:
            stream.seek(-limit, os.SEEK_END)
            with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as copy:
                # The first one is half a line.
                stream.readline()
                shutil.copyfileobj(stream, copy)
        except OSError:
            with suppress(OSError):
                kept.unlink()
        stream.truncate(0)


def stop_child(child: subprocess.Popen[bytes], *, seconds: float) -> bool:
    """Ask a child to end (SIGTERM), wait that long, then kill it and what it started; tell whether it ended itself."""
    descendants: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        descendants = psutil.Process(child.pid).children(recursive=True)
    child.terminate()
    try:
        child.wait(seconds)
        ended_itself = True
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        ended_itself = False
    for process in descendants:
        with suppress(psutil.NoSuchProcess):
            # psutil compares the start time first, so a pid that was given to a stranger meanwhile is safe.
            process.terminate() if ended_itself else process.kill()
    return ended_itself


def end_with_parent(parent: int, *, poll_seconds: float = _POLL_SECONDS) -> None:
    """Send this process SIGTERM when `parent` has ended, a second SIGTERM and SIGKILL if that does not help.

    `kill -9` of a supervisor runs none of its clean-up; without this its children would keep their ports for ever.
    """
    start = process_start(parent)

    def watch() -> None:
        while start is not None and process_start(parent) == start:
            time.sleep(poll_seconds)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def main(argv: Sequence[str] | None = None) -> None:
    """Run `python -m madoguchi.adapters.processes --parent PID MODULE [ARGUMENT...]`: MODULE, ended with its parent."""
    parser = argparse.ArgumentParser(prog="madoguchi.adapters.processes")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    given = parser.parse_args(argv)
    end_with_parent(given.parent)
    sys.argv = [given.module, *given.arguments]
    runpy.run_module(given.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
