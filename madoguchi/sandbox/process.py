"""Both stand-ins in one process on this machine: `python -m madoguchi.sandbox.process --var-dir DIR`.

Everything they know lies below DIR/sandbox, so a killed process loses nothing that it had answered.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import psutil

from madoguchi.sandbox.endpoints import (
    Endpoints,
    Ports,
    forget_endpoints,
    hold,
    read_endpoints,
    sandbox_dir,
    write_endpoints,
)
from madoguchi.sandbox.mailbox_server import running_mailbox
from madoguchi.sandbox.zoom_server import LOOPBACK, running_zoom

log = logging.getLogger("madoguchi.sandbox")

ALREADY_SERVED = 3
"""Exit code: another process serves this directory."""


def serve(
    var_dir: Path,
    ports: Ports,
    stop: threading.Event,
    *,
    parent: int | None = None,
    bounces: Path | None = None,
    ready: Callable[[Endpoints], None] | None = None,
) -> bool:
    """Serve both stand-ins until `stop` is set or `parent` has ended; False if another process serves `var_dir`."""
    held = hold(var_dir)
    if held is None:
        return False
    wanted = _usual_ports(var_dir, ports)
    forget_endpoints(var_dir)
    folder = sandbox_dir(var_dir)
    with held, ExitStack() as stack:
        zoom = stack.enter_context(running_zoom(folder / "zoom" / "zoom.db", port=_free(wanted.zoom)))
        mailbox = stack.enter_context(
            running_mailbox(
                folder / "mailbox",
                smtp_port=_free(wanted.smtp),
                http_port=_free(wanted.mailbox),
                bounces=bounces or var_dir / "bounces",
            )
        )
        endpoints = Endpoints(
            zoom_url=zoom.url,
            smtp_host=LOOPBACK,
            smtp_port=mailbox.smtp_port,
            mailbox_url=mailbox.url,
            pid=os.getpid(),
            created=psutil.Process().create_time(),
            preferred=ports,
        )
        write_endpoints(var_dir, endpoints)
        log.info("serving %s: Zoom %s, SMTP port %d, mailbox %s", var_dir, zoom.url, mailbox.smtp_port, mailbox.url)
        if ready:
            ready(endpoints)
        _wait(stop, parent)
        log.info("stopping")
    return True


def _usual_ports(var_dir: Path, ports: Ports) -> Ports:
    """Return the ports of last time, if the wishes are the same: other processes may still know those addresses."""
    last = read_endpoints(var_dir)
    if last is None or last.preferred != ports:
        return ports
    return Ports(_port_of(last.zoom_url), last.smtp_port, _port_of(last.mailbox_url))


def _port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def _free(port: int) -> int:
    """Return `port` if it can be had, else 0: the server then takes any."""
    with socket.socket() as probe:
        # Without it, a port whose last connections are still in TIME_WAIT would be given up after every restart.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            log.warning("port %d is taken, using another", port)
            return 0
        return port


def _wait(stop: threading.Event, parent: int | None) -> None:
    try:
        watched = None if parent is None else psutil.Process(parent)
    except psutil.NoSuchProcess:
        return
    while not stop.wait(0.5):
        # `is_running` compares start times: a pid that was given to somebody else is not the parent.
        if watched is not None and (not watched.is_running() or watched.status() == psutil.STATUS_ZOMBIE):
            log.info("the parent has ended")
            return


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, serve until SIGTERM or SIGINT; 0 when stopped, 3 when the directory is served already."""
    parser = argparse.ArgumentParser(prog="python -m madoguchi.sandbox.process", description=__doc__)
    parser.add_argument("--var-dir", type=Path, required=True)
    parser.add_argument("--zoom-port", type=int, default=0)
    parser.add_argument("--smtp-port", type=int, default=0)
    parser.add_argument("--mailbox-port", type=int, default=0)
    parser.add_argument("--bounces-dir", type=Path, help="where mails that come back are put; default: VAR_DIR/bounces")
    parser.add_argument("--parent", type=int, help="end when this process has ended")
    given = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s %(message)s")
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    ports = Ports(given.zoom_port, given.smtp_port, given.mailbox_port)
    if serve(given.var_dir, ports, stop, parent=given.parent, bounces=given.bounces_dir):
        return 0
    log.error("another process serves %s already", given.var_dir)
    return ALREADY_SERVED


if __name__ == "__main__":
    sys.exit(main())
