"""`madoguchi up`: Prefect's server, the deployments, the web part and, in the sandbox, the stand-ins; kept alive."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from pydantic import BaseModel, SecretStr

from config.settings import ROOT, Settings, SettingsError, load_settings
from madoguchi.adapters import log_redaction
from madoguchi.adapters.prefect_server import PrefectServerError, environment
from madoguchi.adapters.processes import open_log, process_start
from madoguchi.adapters.service_manager import ServiceManager
from madoguchi.commands.platform import Platform
from madoguchi.commands.web_part import WebPartError
from madoguchi.sandbox.endpoints import SandboxError
from madoguchi.store.database import DatabaseUnreachable

LOGGING_CONFIG = ROOT / "config" / "prefect_logging.yml"


def run(settings: Settings) -> int:
    """Run everything until Ctrl-C or SIGTERM; 0 stopped, 1 something did not start, 2 another `up` runs."""
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    manager = ServiceManager(os.environ)
    try:
        settings.var_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _only_one(settings.var_dir) as alone:
            if not alone:
                print(f"madoguchi up: it runs already for {settings.var_dir}; stop that one first", file=sys.stderr)
                return 2
            return _run(settings, stop, manager)
    except (PrefectServerError, SandboxError, WebPartError) as error:
        print(f"madoguchi up: {error}", file=sys.stderr)
    except DatabaseUnreachable as error:
        print(f"madoguchi up: the database is not reachable: {error}; `madoguchi check` says more", file=sys.stderr)
    except OSError as error:
        # No traceback for a full disk or a folder of somebody else's: the name and the reason say what to mend.
        print(f"madoguchi up: {error.filename or settings.var_dir}: {error.strerror}", file=sys.stderr)
    return 1


def _run(settings: Settings, stop: threading.Event, manager: ServiceManager) -> int:
    from madoguchi.commands.watchdog import start_watchdog
    from tasks.wiring import build_services

    # Before anything is served: a wrong key or a database that cannot be migrated is said here and now.
    build_services(settings)
    settings.resolved_inbox_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    variables = environment(settings.var_dir, settings.prefect.host, settings.prefect.port, LOGGING_CONFIG)
    given = {**settings_environment(settings), **variables}
    platform = Platform(settings, given, cwd=ROOT, alive=manager.alive)
    try:
        manager.status("starting")
        if not stop.is_set():
            platform.start(stop)
        if not stop.is_set():
            _note(settings, platform)
            print(_where_to_look(settings, platform), flush=True)
            manager.ready(f"{settings.mode}; dashboard {platform.dashboard_url}")
            start_watchdog(settings, stop)
            platform.supervise(stop)
    finally:
        manager.stopping()
        _ready_file(settings.var_dir).unlink(missing_ok=True)
        platform.stop()
    return 0


@contextmanager
def _only_one(var_dir: Path) -> Iterator[bool]:
    with (var_dir / "up.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def settings_environment(settings: Settings) -> dict[str, str]:
    """Return the settings as the variables that give a child exactly the same ones, whatever its `.env` says."""
    variables: dict[str, str] = {}

    def put(prefix: str, model: BaseModel) -> None:
        for name in type(model).model_fields:
            value: Any = getattr(model, name)
            key = f"{prefix}{name.upper()}"
            if isinstance(value, BaseModel):
                put(f"{key}__", value)
            elif isinstance(value, SecretStr):
                variables[key] = value.get_secret_value()
            elif value is not None:
                variables[key] = str(value)

    put("MADOGUCHI_", settings)
    return variables


def _where_to_look(settings: Settings, platform: Platform) -> str:
    from sqlalchemy import make_url

    lines = [
        f"Madoguchi is up ({settings.mode}).",
        f"  Dashboard   {platform.dashboard_url}",
        *(f"  {line}" for line in platform.lines()),
        f"  Inbox       {settings.resolved_inbox_dir} (put form exports here)",
        f"  Database    {make_url(settings.resolved_database_url).render_as_string(hide_password=True)}",
        f"  Logs        {settings.var_dir / 'log'}",
        "Stop with Ctrl-C.",
    ]
    return "\n".join(lines)


def _ready_file(var_dir: Path) -> Path:
    return var_dir / "up.json"


def _note(settings: Settings, platform: Platform) -> None:
    noted = {
        "pid": os.getpid(),
        "start": process_start(os.getpid()),
        "dashboard_url": platform.dashboard_url,
        "mailbox_url": platform.endpoints.mailbox_url if platform.endpoints else "",
        "zoom_url": platform.endpoints.zoom_url if platform.endpoints else "",
        "web_url": platform.web.url,
    }
    target = _ready_file(settings.var_dir)
    draft = target.with_suffix(".draft")
    draft.write_text(json.dumps(noted), encoding="utf-8")
    draft.replace(target)


@dataclass(frozen=True, slots=True)
class Background:
    """A `madoguchi up` in the background. The URLs of the stand-ins are empty when none are used."""

    pid: int
    dashboard_url: str
    mailbox_url: str
    zoom_url: str
    web_url: str
    log: Path
    _child: subprocess.Popen[bytes] | None = None

    def stop(self, seconds: float = 20) -> None:
        """Stop everything; killed when it takes longer (its children then end by themselves)."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        if not _until(self._has_ended, seconds):
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            _until(self._has_ended, 2)

    def _has_ended(self) -> bool:
        if self._child is not None:
            self._child.poll()
        return process_start(self.pid) is None


def find_background(settings: Settings) -> Background | None:
    """Return the `madoguchi up` that runs for this directory, ready, whoever started it."""
    try:
        noted = json.loads(_ready_file(settings.var_dir).read_text(encoding="utf-8"))
        if process_start(int(noted["pid"])) != noted["start"]:
            return None
        dashboard, mailbox, zoom, web = (noted[f"{name}_url"] for name in ("dashboard", "mailbox", "zoom", "web"))
        return Background(int(noted["pid"]), dashboard, mailbox, zoom, web, _up_log(settings))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def start_in_background(settings: Settings, *, seconds: float = 180) -> Background:
    """Start `madoguchi up` with these settings and return when it is ready; it goes on when this process ends.

    PrefectServerError, naming the log, when it ends or takes longer.
    """
    log = _up_log(settings)
    with open_log(log) as stream:
        child = subprocess.Popen(  # noqa: S603 — our own module, no shell
            [sys.executable, "-m", __name__],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env={**os.environ, **settings_environment(settings)},
            cwd=ROOT,
            start_new_session=True,
        )

    def is_ready_or_over() -> bool:
        return child.poll() is not None or _is_of(find_background(settings), child.pid)

    _until(is_ready_or_over, seconds)
    found = find_background(settings)
    if not _is_of(found, child.pid) or found is None:
        child.kill() if child.poll() is None else None
        child.wait()
        raise PrefectServerError(f"madoguchi up did not get ready (code {child.returncode}); see {log}")
    return replace(found, _child=child)


def _is_of(found: Background | None, pid: int) -> bool:
    return found is not None and found.pid == pid


def _up_log(settings: Settings) -> Path:
    return settings.var_dir / "log" / "up.log"


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def main() -> int:
    """Run as the child of `start_in_background`."""
    log_redaction.install()
    try:
        return run(load_settings())
    except SettingsError as error:
        for problem in error.problems:
            print(f"madoguchi: {problem}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
