"""Where the stand-ins of one directory listen; starting them when they do not run."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import httpx

_started: list[subprocess.Popen[bytes]] = []
"""Processes that this one started: kept so that they are reaped when they end."""


class SandboxError(Exception):
    """The stand-ins cannot be started; the text names the log."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that the stand-ins take if they are free; 0 means any."""

    zoom: int
    smtp: int
    mailbox: int


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the stand-ins listen. URLs without a last slash; `created`: start of the process, seconds since 1970."""

    zoom_url: str
    smtp_host: str
    smtp_port: int
    mailbox_url: str
    pid: int
    created: float
    preferred: Ports

    @property
    def token_url(self) -> str:
        """The token endpoint of the stand-in Zoom."""
        return f"{self.zoom_url}/oauth/token"

    @property
    def api_url(self) -> str:
        """The API of the stand-in Zoom."""
        return f"{self.zoom_url}/v2"


def sandbox_dir(var_dir: Path) -> Path:
    """Return the directory that holds the stand-ins' state."""
    return var_dir / "sandbox"


def ensure_sandbox(
    var_dir: Path,
    ports: Ports,
    *,
    parent: int | None,
    log_file: Path,
    seconds: float = 30,
    bounces: Path | None = None,
) -> Endpoints:
    """Return the stand-ins of `var_dir`, started if they do not run; may be called by several processes at once.

    `parent`: the process with which they shall end; None leaves them running. Their meetings and mails are those of
    `var_dir`, whatever happened to the process before. `bounces`: where the stand-in mailbox puts what comes back,
    `bounces` below `var_dir` unless given. SandboxError, naming `log_file`, when they do not get ready.
    """
    _reap()
    until = time.monotonic() + seconds
    with _start_lock(var_dir, until):
        if found := running_sandbox(var_dir):
            return found
        if is_held(var_dir):
            # It runs but has not written its addresses, or is on its way out.
            return _wait(var_dir, None, until, log_file)
        child = _start(var_dir, ports, parent, log_file, bounces)
        _started.append(child)
        return _wait(var_dir, child, until, log_file)


def running_sandbox(var_dir: Path) -> Endpoints | None:
    """Return the addresses if the stand-ins of exactly this directory run and answer."""
    if not is_held(var_dir):
        return None
    noted = read_endpoints(var_dir)
    return noted if noted and _answer(noted) else None


def stop_sandbox(var_dir: Path, *, seconds: float = 5) -> None:
    """End the stand-ins of `var_dir`, whoever started them; killed if they do not end in time."""
    if not is_held(var_dir) or (noted := read_endpoints(var_dir)) is None:
        return
    for sign, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 2.0)):
        with suppress(ProcessLookupError):
            os.kill(noted.pid, sign)
        until = time.monotonic() + patience
        while time.monotonic() < until:
            _reap()
            if not is_held(var_dir):
                return
            time.sleep(0.02)


def is_held(var_dir: Path) -> bool:
    """Tell whether a process serves this directory: it holds a lock for as long as it lives, even through kill -9."""
    path = sandbox_dir(var_dir) / "process.lock"
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def hold(var_dir: Path) -> IO[str] | None:
    """Take the directory for this process; None when another one serves it. Kept until the file is closed."""
    folder = sandbox_dir(var_dir)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # A reader's shared lock lasts an instant (`is_held`); only a lock that stays means another process.
    for _ in range(20):
        stream = (folder / "process.lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.close()
            time.sleep(0.02)
        else:
            return stream
    return None


def read_endpoints(var_dir: Path) -> Endpoints | None:
    """Return what the last process wrote down; it may have ended since."""
    try:
        noted = json.loads((sandbox_dir(var_dir) / "endpoints.json").read_text(encoding="utf-8"))
        return Endpoints(**{**noted, "preferred": Ports(**noted["preferred"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        # Written by another release: the process will write it anew.
        return None


def write_endpoints(var_dir: Path, endpoints: Endpoints) -> None:
    """Write the addresses down for other processes, in one step."""
    target = sandbox_dir(var_dir) / "endpoints.json"
    draft = target.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(asdict(endpoints), indent=1), encoding="utf-8")
    draft.replace(target)


def forget_endpoints(var_dir: Path) -> None:
    """Remove what the last process wrote down."""
    (sandbox_dir(var_dir) / "endpoints.json").unlink(missing_ok=True)


def _answer(noted: Endpoints) -> bool:
    try:
        # While a new process has the directory but not yet its ports, the old addresses may be another directory's.
        os.kill(noted.pid, 0)
        for url in (noted.zoom_url, noted.mailbox_url):
            answer = httpx.get(f"{url}/sandbox/identity", timeout=3, trust_env=False)
            if answer.status_code != 200 or not str(answer.json().get("product", "")).startswith("madoguchi-sandbox"):
                return False
    except (httpx.HTTPError, ValueError, AttributeError, ProcessLookupError):
        return False
    return True


def _start(
    var_dir: Path, ports: Ports, parent: int | None, log_file: Path, bounces: Path | None
) -> subprocess.Popen[bytes]:
    log_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = [sys.executable, "-m", "madoguchi.sandbox.process", "--var-dir", str(var_dir.resolve())]
    for name, port in asdict(ports).items():
        command += [f"--{name}-port", str(port)]
    if bounces is not None:
        command += ["--bounces-dir", str(bounces.resolve())]
    if parent is not None:
        command += ["--parent", str(parent)]
    with os.fdopen(os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
        return subprocess.Popen(  # noqa: S603 — our own module, no shell
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _wait(var_dir: Path, child: subprocess.Popen[bytes] | None, until: float, log_file: Path) -> Endpoints:
    while time.monotonic() < until:
        if found := running_sandbox(var_dir):
            return found
        if child is not None and child.poll() is not None:
            raise SandboxError(f"the stand-ins ended at once (code {child.returncode}); see {log_file}")
        time.sleep(0.03)
    raise SandboxError(f"the stand-ins were not ready in time; see {log_file}")


def _reap() -> None:
    _started[:] = [child for child in _started if child.poll() is None]


@contextmanager
def _start_lock(var_dir: Path, until: float) -> Iterator[None]:
    folder = sandbox_dir(var_dir)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "start.lock").open("w") as stream:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > until:
                raise SandboxError("another process has been starting the stand-ins for too long")
            time.sleep(0.03)
        yield
