"""The processes behind `madoguchi up`: started in order, watched, restarted, stopped in the reverse order."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from config.settings import Settings
from madoguchi.adapters.prefect_scale import scale_environment
from madoguchi.adapters.prefect_server import (
    PrefectServerError,
    ServerProcess,
    forget_server,
    is_healthy,
    is_port_free,
    note_server,
    server_start_lock,
    start_server,
)
from madoguchi.adapters.processes import start_child, stop_child
from madoguchi.commands.sandbox import describe, sandbox_ports
from madoguchi.commands.serve import serving_file
from madoguchi.commands.web_part import WebPart, WebPartError
from madoguchi.sandbox.endpoints import Endpoints, SandboxError, ensure_sandbox, is_held, stop_sandbox

log = logging.getLogger(__name__)

READY_SECONDS = 120
_LONGEST_PAUSE = 30.0
_STEADY_AFTER = 60.0
_HEALTH_EVERY = 15.0
_DEAF_AFTER = 4


@dataclass(slots=True)
class Backoff:
    """How long to wait before the next restart: at once, then 1, 2, 4 ... 30 s, forgotten after a steady minute."""

    failures: int = 0
    last: float = field(default=-1e9)

    def pause(self, now: float) -> float:
        """Return the seconds to wait for a restart wanted at `now` (monotonic), and count it."""
        if now - self.last > _STEADY_AFTER:
            self.failures = 0
        self.last = now
        seconds = 0.0 if self.failures == 0 else min(_LONGEST_PAUSE, 2.0 ** (self.failures - 1))
        self.failures += 1
        return seconds


class Platform:
    """The server, the serving process, the web part and the stand-ins of one var directory. Used by one thread.

    WebPartError when the web part's port is taken.
    """

    def __init__(self, settings: Settings, variables: Mapping[str, str], *, cwd: Path) -> None:
        self._settings = settings
        self._var = settings.var_dir
        self._variables = dict(variables)
        self._cwd = cwd
        # An operator who names a server wants that one: ours would stand beside it unused.
        self._is_own_server = "PREFECT_API_URL" not in os.environ
        self._server: ServerProcess | None = None
        self._serving: subprocess.Popen[bytes] | None = None
        self._backoffs: dict[str, Backoff] = {}
        self._deaf = 0
        self._next_health = 0.0
        self.endpoints: Endpoints | None = None
        self.web = WebPart(settings, self._log("web"))

    @property
    def api_url(self) -> str:
        """The server's API, ending in /api."""
        return self._variables["PREFECT_API_URL"]

    @property
    def dashboard_url(self) -> str:
        """The page that operators open."""
        return f"{self.api_url.removesuffix('/api')}/"

    def lines(self) -> list[str]:
        """Return where the web part and the stand-ins are, one line each."""
        return self.web.lines() + (describe(self.endpoints) if self.endpoints else [])

    def start(self, stop: threading.Event) -> None:
        """Start everything and return when it is ready, or when `stop` is set.

        PrefectServerError, SandboxError, WebPartError.
        """
        serving_file(self._var).unlink(missing_ok=True)
        if self._is_own_server:
            host, port = self._settings.prefect.host, self._settings.prefect.port
            if not is_port_free(host, port):
                raise PrefectServerError(
                    f"port {port} of {host} is taken; end what uses it, or set MADOGUCHI_PREFECT__PORT to another"
                )
            # The server takes seconds to start: everything else is made ready beside it.
            with server_start_lock(self._var):
                self._server = start_server(self._server_variables(), self._log("prefect-server"))
                self._start_sandbox()
                self._start_web()
                self._wait(self._server_is_ready, stop, "the Prefect server", self._server.log)
            self._note_server()
        elif not is_healthy(self.api_url):
            raise PrefectServerError("PREFECT_API_URL is set, but no Prefect server answers there")
        else:
            self._start_sandbox()
            self._start_web()
        if not stop.is_set():
            self._start_serving()
            self._wait(self._serving_is_ready, stop, "the serving process", self._log("serve"))
            self._wait(self.web.is_ready, stop, "the web part", self._log("web"))

    def supervise(self, stop: threading.Event) -> None:
        """Restart what dies until `stop` is set."""
        while not stop.wait(1.0):
            if self._server is not None and (self._server.child.poll() is not None or self._is_deaf(self._server)):
                self._again("server", self._restart_server, stop)
            if self._serving is not None and self._serving.poll() is not None:
                self._again("serving process", self._start_serving, stop)
            if self.web.has_ended():
                self._again("web part", self._start_web, stop)
            if self.endpoints is not None and not is_held(self._var):
                self._again("sandbox", self._restart_sandbox, stop)

    def stop(self) -> None:
        """Stop everything in the reverse order of the start: no run begins without a server and a stand-in."""
        if self._serving is not None:
            # It marks the runs under way as cancelled; what they left undone is due again.
            stop_child(self._serving, seconds=6)
        serving_file(self._var).unlink(missing_ok=True)
        self.web.stop(seconds=4)
        if self._server is not None:
            forget_server(self._var)
            self._server.stop(seconds=5)
        if self.endpoints is not None:
            stop_sandbox(self._var, seconds=2)

    def _again(self, what: str, restart: Callable[[threading.Event], None], stop: threading.Event) -> None:
        seconds = self._backoffs.setdefault(what, Backoff()).pause(time.monotonic())
        log.warning("the %s ended; starting it again in %.0f s", what, seconds)
        if not stop.wait(seconds):
            try:
                restart(stop)
            except (PrefectServerError, SandboxError, WebPartError) as error:
                log.error("%s", error)  # noqa: TRY400 — the text says where to look; the next round tries again

    def _restart_server(self, stop: threading.Event) -> None:
        if self._server is not None:
            self._server.stop(seconds=3)
        with server_start_lock(self._var):
            self._server = start_server(self._server_variables(), self._log("prefect-server"))
            self._wait(self._server_is_ready, stop, "the Prefect server", self._server.log)
        self._note_server()

    def _is_deaf(self, server: ServerProcess) -> bool:
        # A server that lives but does not answer for a minute will not recover; busy ones answer within seconds.
        if time.monotonic() < self._next_health:
            return False
        self._next_health = time.monotonic() + _HEALTH_EVERY
        self._deaf = 0 if is_healthy(server.url) else self._deaf + 1
        if self._deaf < _DEAF_AFTER:
            return False
        self._deaf = 0
        return True

    def _note_server(self) -> None:
        if self._server is not None:
            note_server(self._var, self._server.url, self._server.child.pid)

    def _start_sandbox(self) -> None:
        settings = self._settings
        if not (settings.uses_sandbox_zoom or settings.uses_sandbox_mailbox):
            return
        found = ensure_sandbox(
            self._var,
            sandbox_ports(settings),
            parent=os.getpid(),
            log_file=self._log("sandbox"),
            bounces=settings.resolved_bounces_dir,
        )
        if settings.uses_sandbox_zoom:
            self._variables["MADOGUCHI_ZOOM__TOKEN_URL"] = found.token_url
            self._variables["MADOGUCHI_ZOOM__API_URL"] = found.api_url
        if settings.uses_sandbox_mailbox:
            self._variables["MADOGUCHI_SMTP__HOST"] = found.smtp_host
            self._variables["MADOGUCHI_SMTP__PORT"] = str(found.smtp_port)
        self.endpoints = found

    def _restart_sandbox(self, _stop: threading.Event) -> None:
        before = self.endpoints
        self._start_sandbox()
        now = self.endpoints
        if before and now and (before.api_url, before.smtp_port) != (now.api_url, now.smtp_port) and self._serving:
            # Somebody took the port meanwhile: runs get the addresses from the serving process's environment.
            stop_child(self._serving, seconds=6)
            self.web.stop(seconds=4)
        self._subscribe()

    def _start_web(self, _stop: threading.Event | None = None) -> None:
        self.web.start(self._variables, self._cwd)
        self._subscribe()

    def _subscribe(self) -> None:
        # The subscription lives in the stand-in's memory only.
        if self.endpoints is not None and self._settings.uses_sandbox_zoom:
            self.web.subscribe(self.endpoints.zoom_url)

    def _start_serving(self, _stop: threading.Event | None = None) -> None:
        serving_file(self._var).unlink(missing_ok=True)
        self._serving = start_child(
            ["madoguchi.commands.serve"],
            log=self._log("serve"),
            environment={**os.environ, **self._variables},
            cwd=self._cwd,
        )

    def _server_variables(self) -> dict[str, str]:
        # For the server alone: neither a worker nor a run needs the passwords in these addresses.
        wanted = self._settings.prefect
        scale = scale_environment(wanted.database_url.get_secret_value(), wanted.redis_url.get_secret_value())
        return {**self._variables, **{name: value for name, value in scale.items() if name not in os.environ}}

    def _server_is_ready(self) -> bool:
        if self._server is None:
            return False
        with suppress(subprocess.TimeoutExpired):
            code = self._server.child.wait(0.05)
            raise PrefectServerError(f"the Prefect server ended with code {code}; see {self._server.log}")
        return is_healthy(self._server.url)

    def _serving_is_ready(self) -> bool:
        if self._serving is not None and (code := self._serving.poll()) is not None:
            raise PrefectServerError(f"the serving process ended with code {code}; see {self._log('serve')}")
        return serving_file(self._var).exists()

    def _wait(self, is_ready: Callable[[], bool], stop: threading.Event, what: str, log_file: Path) -> None:
        until = time.monotonic() + READY_SECONDS
        while not stop.is_set() and not is_ready():
            if time.monotonic() > until:
                raise PrefectServerError(f"{what} was not ready within {READY_SECONDS} s; see {log_file}")
            stop.wait(0.1)

    def _log(self, name: str) -> Path:
        return self._var / "log" / f"{name}.log"
