"""`madoguchi sandbox`: the stand-in Zoom and mailbox alone, in the foreground."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

from config.settings import Settings
from madoguchi.sandbox.endpoints import Endpoints, Ports


def sandbox_ports(settings: Settings) -> Ports:
    """Return the ports that the settings prefer."""
    return Ports(settings.sandbox.zoom_port, settings.sandbox.smtp_port, settings.sandbox.mailbox_port)


def describe(endpoints: Endpoints) -> list[str]:
    """Return where to look, one line each."""
    return [
        f"Mailbox     {endpoints.mailbox_url}/",
        f"SMTP        {endpoints.smtp_host}:{endpoints.smtp_port}",
        f"Zoom        {endpoints.zoom_url}/sandbox/meetings (a stand-in; no meeting is real)",
    ]


def run(settings: Settings) -> int:
    """Serve the stand-ins until Ctrl-C or SIGTERM; 2 in live mode or when they run already."""
    from madoguchi.sandbox import process

    if not settings.is_sandbox:
        print("madoguchi sandbox: MADOGUCHI_MODE is live; the stand-ins are for sandbox mode only", file=sys.stderr)
        return 2
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)

    def ready(endpoints: Endpoints) -> None:
        print("The stand-ins are up.", *(f"  {line}" for line in describe(endpoints)), "Stop with Ctrl-C.", sep="\n")
        sys.stdout.flush()

    bounces = settings.resolved_bounces_dir
    if not process.serve(settings.var_dir, sandbox_ports(settings), stop, bounces=bounces, ready=ready):
        print(f"madoguchi sandbox: they run already for {settings.var_dir}", file=sys.stderr)
        return 2
    return 0
