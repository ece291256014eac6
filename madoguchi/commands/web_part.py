"""The web part as `madoguchi up` sees it: a child with an address, a password and, in the sandbox, a drawn secret."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import httpx

from config.settings import Settings
from madoguchi.adapters.log_redaction import register_secret
from madoguchi.adapters.prefect_server import free_port
from madoguchi.adapters.processes import start_child, stop_child
from madoguchi.web import PRODUCT, WEBHOOK_PATH
from madoguchi.web_terms import SITE_PATH

log = logging.getLogger(__name__)

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that look alike: it is typed from paper


class WebPartError(Exception):
    """The web part does not start; the text names the setting or the log."""


class WebPart:
    """The child that serves the web part. WebPartError when its port is taken and another one cannot be used."""

    def __init__(self, settings: Settings, log_file: Path) -> None:
        self._settings = settings
        self._log = log_file
        self._child: subprocess.Popen[bytes] | None = None
        self._secret = settings.zoom.webhook_secret.get_secret_value()
        if not self._secret and settings.uses_sandbox_zoom:
            self._secret = secrets.token_urlsafe(24)
            register_secret(self._secret)
        self._password = settings.web.password.get_secret_value()
        self._is_drawn = not self._password and settings.is_sandbox
        if self._is_drawn:
            self._password = _kept_password(settings.var_dir)
            register_secret(self._password)
        self._port = _port(settings)

    @property
    def url(self) -> str:
        """The address, without a last slash."""
        host = self._settings.web.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    def lines(self) -> list[str]:
        """Return where to look, one line each; the password only where it was drawn for this sandbox."""
        if self._is_drawn:
            opens = f"password {self._password}, any user name"
        else:
            opens = "password as set" if self._password else "shut: MADOGUCHI_WEB__PASSWORD is not set"
        hooks = "" if self._secret else " (refused: MADOGUCHI_ZOOM__WEBHOOK_SECRET is not set)"
        return [
            f"For staff   {self.url}/overview and {self.url}/day ({opens})",
            f"Terms       {self.url}{SITE_PATH}/ (public; also the folder {self._settings.resolved_site_dir}/current)",
            f"Webhooks    {self.url}{WEBHOOK_PATH}{hooks}",
        ]

    def start(self, variables: Mapping[str, str], cwd: Path) -> None:
        """Start the child; returns before it is ready. `variables`: what every child gets beside our environment."""
        own = {
            "MADOGUCHI_WEB__PORT": str(self._port),
            "MADOGUCHI_WEB__PASSWORD": self._password,
            "MADOGUCHI_ZOOM__WEBHOOK_SECRET": self._secret,
        }
        self._child = start_child(
            ["madoguchi.commands.web"], log=self._log, environment={**os.environ, **variables, **own}, cwd=cwd
        )

    def is_ready(self) -> bool:
        """Tell whether it answers; WebPartError when it has ended."""
        if self._child is None:
            return False
        if (code := self._child.poll()) is not None:
            raise WebPartError(f"the web part ended with code {code}; see {self._log}")
        return _process_at(self.url) == self._child.pid

    def answers(self) -> bool:
        """Tell whether our child answers at its address within three seconds."""
        return self._child is not None and _process_at(self.url) == self._child.pid

    def has_ended(self) -> bool:
        """Tell whether it was started and has ended."""
        return self._child is not None and self._child.poll() is not None

    def stop(self, seconds: float) -> None:
        """Stop the child; what it has not brought into the record stays in the spool."""
        if self._child is not None:
            stop_child(self._child, seconds=seconds)

    def subscribe(self, zoom_url: str) -> None:
        """Have the stand-in Zoom send its webhooks here. A stand-in that does not answer is somebody else's matter."""
        order = {"url": f"{self.url}{WEBHOOK_PATH}", "secret": self._secret, "mode": "on"}
        try:
            httpx.post(f"{zoom_url}/sandbox/webhooks", json=order, timeout=10, trust_env=False).raise_for_status()
        except httpx.HTTPError as error:
            log.warning("the stand-in Zoom did not take the address for webhooks: %s", type(error).__name__)


def _port(settings: Settings) -> int:
    host, port = settings.web.host, settings.web.port
    if _can_listen(host, port):
        return port
    if settings.is_sandbox and host == "127.0.0.1":
        return free_port()
    raise WebPartError(f"port {port} of {host} is taken; end what uses it, or set MADOGUCHI_WEB__PORT to another")


def _can_listen(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family):
            return True
    except OSError:
        return False


def _kept_password(var_dir: Path) -> str:
    """Return the password of this directory, drawn at the first start, readable by its owner only."""
    path = var_dir / "web-password"
    drawn = "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(drawn + "\n")
    except FileExistsError:
        path.chmod(0o600)
        kept = path.read_text(encoding="utf-8").strip()
        if not kept:
            path.unlink()
            return _kept_password(var_dir)
        return kept
    return drawn


def _process_at(url: str) -> int | None:
    try:
        found = httpx.get(f"{url}/healthz", timeout=3, trust_env=False).json()
        return int(found["pid"]) if found["product"] == PRODUCT else None
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None
