"""The processes behind `madoguchi up`: started in order, watched, restarted, stopped in the reverse order."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
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
from madoguchi.adapters.processes import start_child, stop_child, trim_logs
from madoguchi.commands.keeping import Keeper, Part
from madoguchi.commands.sandbox import describe, sandbox_ports
from madoguchi.commands.serve import serving_file
from madoguchi.commands.sign_of_life import SignOfLife
from madoguchi.commands.web_part import WebPart, WebPartError
from madoguchi.sandbox.endpoints import (
    Endpoints,
    SandboxError,
    ensure_sandbox,
    is_held,
    running_sandbox,
    stop_sandbox,
)

log = logging.getLogger(__name__)

READY_SECONDS = 120
_TRIM_EVERY = 60.0


class Platform:
    """The server, the serving process, the web part and the stand-ins of one var directory.

    Used by one thread. `alive`: called at least every few seconds as long as this thread goes on, during the waits too.
    WebPartError when the web part's port is taken.
    """

    def __init__(
        self,
        settings: Settings,
        variables: Mapping[str, str],
        *,
        cwd: Path,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._var = settings.var_dir
        self._variables = dict(variables)
        self._cwd = cwd
        # An operator who names a server wants that one: ours would stand beside it unused.
        self._is_own_server = "PREFECT_API_URL" not in os.environ
        self._server: ServerProcess | None = None
        self._serving: subprocess.Popen[bytes] | None = None
        self._sign = SignOfLife(serving_file(settings.var_dir))
        self._alive = alive
        self._next_trim = 0.0
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
        """Restart what dies or hangs, and keep the logs short, until `stop` is set."""
        keeper = Keeper(self._parts(), errors=(PrefectServerError, SandboxError, WebPartError))
        while not stop.wait(1.0):
            self._alive()
            keeper.round(stop)
            if time.monotonic() >= self._next_trim:
                self._next_trim = time.monotonic() + _TRIM_EVERY
                trim_logs(self._var / "log")

    def stop(self) -> None:
        """Stop everything in the reverse order of the start: no run begins without a server and a stand-in.

        A part that cannot be stopped is logged and keeps no other from being stopped.
        """
        # It marks the runs under way as cancelled; what they left undone is due again.
        self._end("the serving process", self._stop_serving)
        self._end("the web part", lambda: self.web.stop(seconds=4))
        self._end("the Prefect server", self._stop_server)
        if self.endpoints is not None:
            self._end("the sandbox", lambda: stop_sandbox(self._var, seconds=2))

    def _end(self, what: str, end: Callable[[], object]) -> None:
        try:
            end()
        except (OSError, subprocess.SubprocessError) as error:
            log.warning("%s could not be stopped: %s", what, type(error).__name__)

    def _stop_serving(self) -> None:
        if self._serving is not None:
            stop_child(self._serving, seconds=6)
        serving_file(self._var).unlink(missing_ok=True)

    def _stop_server(self) -> None:
        if self._server is not None:
            forget_server(self._var)
            self._server.stop(seconds=5)

    def _parts(self) -> list[Part]:
        parts = [
            # Not started with the others when a stop came in between: then it has not ended either.
            Part("serving process", lambda: _is_over(self._serving), self._serving_answers, self._restart_serving, 8),
            Part("web part", self.web.has_ended, self.web.answers, self._restart_web),
        ]
        if self._server is not None:
            server = Part("server", self._server_has_ended, self._server_answers, self._restart_server)
            parts.insert(0, server)
        if self.endpoints is not None:
            parts.append(Part("sandbox", lambda: not is_held(self._var), self._sandbox_answers, self._restart_sandbox))
        return parts

    def _server_has_ended(self) -> bool:
        return self._server is not None and self._server.child.poll() is not None

    def _server_answers(self) -> bool:
        return is_healthy(self.api_url)

    def _serving_answers(self) -> bool:
        # While the server is away nothing can be asked for: that is the server's trouble, and starting this process
        # anew would only end the runs under way.
        return self._sign.has_changed() or not is_healthy(self.api_url)

    def _sandbox_answers(self) -> bool:
        return running_sandbox(self._var) is not None

    def _restart_server(self, stop: threading.Event) -> None:
        if self._server is not None:
            self._server.stop(seconds=3)
        with server_start_lock(self._var):
            self._server = start_server(self._server_variables(), self._log("prefect-server"))
            self._wait(self._server_is_ready, stop, "the Prefect server", self._server.log)
        self._note_server()

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
        stop_sandbox(self._var, seconds=2)
        self._start_sandbox()
        now = self.endpoints
        if before and now and (before.api_url, before.smtp_port) != (now.api_url, now.smtp_port) and self._serving:
            # Somebody took the port meanwhile: runs get the addresses from the serving process's environment.
            stop_child(self._serving, seconds=6)
            self.web.stop(seconds=4)
        self._subscribe()

    def _start_web(self) -> None:
        self.web.start(self._variables, self._cwd)
        self._subscribe()

    def _restart_web(self, _stop: threading.Event) -> None:
        self.web.stop(seconds=4)
        self._start_web()

    def _subscribe(self) -> None:
        # The subscription lives in the stand-in's memory only.
        if self.endpoints is not None and self._settings.uses_sandbox_zoom:
            self.web.subscribe(self.endpoints.zoom_url)

    def _restart_serving(self, _stop: threading.Event) -> None:
        self._stop_serving()
        self._start_serving()

    def _start_serving(self) -> None:
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
            self._alive()
            stop.wait(0.1)

    def _log(self, name: str) -> Path:
        return self._var / "log" / f"{name}.log"


def _is_over(child: subprocess.Popen[bytes] | None) -> bool:
    return child is not None and child.poll() is not None
