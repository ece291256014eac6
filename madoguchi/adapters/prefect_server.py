"""The environment that every process of ours gives Prefect, and finding or starting a Prefect server.

Nothing here imports Prefect: its settings are read on import, so the environment must stand before.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from madoguchi.adapters.processes import process_start, start_child, stop_child

NEVER_TRACK = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
_SCREENS = {
    # V1: Retry and Resume are visible buttons, and the browser asks nobody but this server.
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
_ENDURANCE = {
    # With leases in memory, a server and a flow killed together hold their slot until somebody acts.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # The zombie automation counts on a sign of life every 30 seconds (adapters/prefect_automations.py).
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PREFECT_RUNNER_POLL_FREQUENCY": "5",
    "PREFECT_WORKER_QUERY_SECONDS": "5",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # Runs, logs and artifacts hold no personal data; ninety days are for following up what happened.
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(90 * 24 * 3600),
}
_PRIVACY = {
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    "PREFECT_LOGGING_LOG_PRINTS": "false",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    # A page from elsewhere, open in an operator's browser, must not steer the server on this machine.
    "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
}
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


class PrefectServerError(Exception):
    """No Prefect server can be reached or started; the text says what to look at."""


def environment(
    var_dir: Path,
    host: str,
    port: int,
    logging_config: Path,
    *,
    given: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the variables that our processes add to their environment; what `given` (os.environ) sets is kept.

    The address is always among them, so a stray `.env` in the working directory (Prefect reads it, with less weight
    than the environment) cannot lead runs to somebody else's server. PrefectServerError when the logging file is
    missing: Prefect would silently log without redaction.
    """
    present = os.environ if given is None else given
    if not logging_config.is_file():
        raise PrefectServerError(f"{logging_config}: no such file; without it Prefect's logs would not be redacted")
    client_host = _client_host(host)
    origins = dict.fromkeys(f"http://{name}:{port}" for name in (client_host, "127.0.0.1", "localhost"))
    wanted = {
        "PREFECT_HOME": str((var_dir / "prefect").resolve()),
        "PREFECT_SERVER_API_HOST": host,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_API_URL": f"http://{client_host}:{port}/api",
        "PREFECT_LOGGING_CONFIG_PATH": str(logging_config.resolve()),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins),
        "PREFECT_CLI_PROMPT": "false",
        **NEVER_TRACK,
        **_SCREENS,
        **_ENDURANCE,
        **_PRIVACY,
    }
    if "PREFECT_SERVER_API_AUTH_STRING" in present:
        wanted["PREFECT_API_AUTH_STRING"] = present["PREFECT_SERVER_API_AUTH_STRING"]
    chosen = {name: present.get(name, value) for name, value in wanted.items()}
    if any(name in present for name in _PROXIES):
        # Prefect's client honours proxies, for loopback too.
        direct = present.get("NO_PROXY") or present.get("no_proxy") or ""
        chosen["NO_PROXY"] = chosen["no_proxy"] = ",".join(filter(None, [direct, "127.0.0.1", "localhost"]))
    return chosen


def apply(variables: Mapping[str, str]) -> None:
    """Put the variables into this process's environment; RuntimeError when Prefect has been imported with others."""
    changed = [name for name, value in variables.items() if os.environ.get(name) != value]
    if changed and "prefect.settings" in sys.modules:
        raise RuntimeError(f"Prefect was imported before its environment was set: {', '.join(sorted(changed))}")
    os.environ.update(variables)


def find_server(var_dir: Path, *, given: Mapping[str, str] | None = None) -> str | None:
    """Return the API address of the server to use, or None when a temporary one is needed.

    The operator's own PREFECT_API_URL (in `given`, default os.environ) wins; PrefectServerError when it is set and
    nothing answers there, since runs must not silently go where nobody looks. Otherwise the server of `madoguchi up`
    for this `var_dir`, if it lives: a Prefect of somebody else on the same port is not ours. Call before `apply`.
    """
    present = os.environ if given is None else given
    if url := present.get("PREFECT_API_URL"):
        if not is_healthy(url):
            where = urlsplit(url)
            raise PrefectServerError(
                f"PREFECT_API_URL: no Prefect server answers at {where.hostname}:{where.port or where.scheme}; "
                "start it, or unset the variable to run without"
            )
        return url
    marker = _marker(var_dir)
    try:
        noted = json.loads(marker.read_text(encoding="utf-8"))
        alive = process_start(int(noted["pid"])) == noted["start"]
        url = str(noted["url"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        # Written whole by one rename, so only a hand can have spoilt it; a temporary server is always right.
        return None
    return url if alive and is_healthy(url) else None


def is_healthy(url: str) -> bool:
    """Tell whether a Prefect API answers at `url` (ending in /api) within two seconds; proxies are not used."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/health", timeout=2, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and answer.text.strip() == "true"


def note_server(var_dir: Path, url: str, pid: int) -> None:
    """Write down, for `find_server`, that process `pid` serves this `var_dir` at `url`."""
    marker = _marker(var_dir)
    marker.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = marker.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps({"url": url, "pid": pid, "start": process_start(pid)}), encoding="utf-8")
    draft.replace(marker)


def forget_server(var_dir: Path) -> None:
    """Remove the note of `note_server`."""
    _marker(var_dir).unlink(missing_ok=True)


def _marker(var_dir: Path) -> Path:
    return var_dir / "prefect" / "server.json"


@dataclass(slots=True)
class ServerProcess:
    """A Prefect server that this process started. `url` ends in /api."""

    url: str
    child: subprocess.Popen[bytes]
    log: Path

    def wait_until_ready(self, seconds: float = 120) -> None:
        """Return when the API answers; PrefectServerError, naming the log, when it ends or takes longer."""
        until = time.monotonic() + seconds
        while not is_healthy(self.url):
            if self.child.poll() is not None:
                raise PrefectServerError(f"the Prefect server ended with code {self.child.returncode}; see {self.log}")
            if time.monotonic() > until:
                raise PrefectServerError(f"the Prefect server was not ready within {seconds:.0f} s; see {self.log}")
            time.sleep(0.05)

    def stop(self, seconds: float = 8) -> None:
        """End the server; killed when it takes longer."""
        stop_child(self.child, seconds=seconds)


def start_server(variables: Mapping[str, str], log: Path) -> ServerProcess:
    """Start the full server (API, services, screens) with these variables; it ends with this process. Not yet ready."""
    child = start_child(
        ["prefect", "server", "start"], log=log, environment={**os.environ, **variables}, cwd=log.parent
    )
    return ServerProcess(variables["PREFECT_API_URL"], child, log)


def start_temporary_server(variables: Mapping[str, str], log: Path) -> ServerProcess:
    """Start a server for one command: no screens, no scheduler, a free port. Not yet ready; the caller stops it.

    Unlike Prefect's own ephemeral server it comes up while the caller goes on importing, takes no random port of
    somebody else's, and does not outlive a killed parent. Its runs stay in PREFECT_HOME and show up in the dashboard.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    surroundings = {
        **os.environ,
        **variables,
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
    }
    arguments = [
        "uvicorn", "--factory", "prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", str(port),
        "--log-level", "error", "--lifespan", "on", "--timeout-graceful-shutdown", "2",
    ]  # fmt: skip
    return ServerProcess(url, start_child(arguments, log=log, environment=surroundings, cwd=log.parent), log)


@dataclass(slots=True)
class Connection:
    """The server that this process's flows will use. `url` ends in /api; `is_temporary`: ours, gone with us."""

    url: str
    is_temporary: bool
    _wait: Callable[[], None]

    def wait_until_ready(self) -> None:
        """Return when flows can run; PrefectServerError, naming the log, when the server does not come up."""
        self._wait()


def connect(var_dir: Path, host: str, port: int, logging_config: Path) -> Connection:
    """Choose a server as `find_server` does, or start a temporary one, and set this process's environment for it.

    To be called before Prefect is imported; the imports then run beside the server's start. A temporary server is
    stopped when the interpreter ends, after Prefect has handed over its last logs and events.
    """
    variables = environment(var_dir, host, port, logging_config)
    # Prefect makes only the last folder of the path, and warns on stderr when the others are missing.
    Path(variables["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True, mode=0o700)
    if url := find_server(var_dir):
        apply({**variables, "PREFECT_API_URL": url})
        return Connection(url, is_temporary=False, _wait=lambda: None)
    lock = ExitStack()
    lock.enter_context(server_start_lock(var_dir))
    with lock:
        server = start_temporary_server(variables, var_dir / "log" / "prefect-temporary.log")
        # Exit functions run after threads have been joined: Prefect's log and event threads find the server alive.
        atexit.register(server.stop, 4)
        # Nobody serves screens at this address, so Prefect must not print links to them.
        apply({**variables, "PREFECT_API_URL": server.url, "PREFECT_UI_URL": os.environ.get("PREFECT_UI_URL", "")})
        held = lock.pop_all()

    def wait() -> None:
        with held:
            server.wait_until_ready()

    return Connection(server.url, is_temporary=True, _wait=wait)


@contextmanager
def server_start_lock(var_dir: Path, seconds: float = 120) -> Iterator[None]:
    """Hold the right to start a server on this PREFECT_HOME: of two that migrate a new database at once, one dies.

    PrefectServerError after `seconds` of waiting. To be given back when the server is ready.
    """
    path = var_dir / "prefect" / "start.lock"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    until = time.monotonic() + seconds
    with path.open("w") as stream:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > until:
                raise PrefectServerError("another process has been starting Prefect on this directory for too long")
            time.sleep(0.05)
        yield


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_port_free(host: str, port: int) -> bool:
    """Tell whether this process could listen there; a port in TIME_WAIT counts as free, as it does for servers."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _client_host(host: str) -> str:
    return "127.0.0.1" if host in {"0.0.0.0", "::", "*", ""} else host  # noqa: S104 — recognised, not bound
