"""What systemd wants to hear from a service (sd_notify): ready, still alive, stopping. One datagram each."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, MutableMapping

log = logging.getLogger(__name__)

_NAMES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class ServiceManager:
    """The service manager that started this process, or nobody: then every call does nothing. Used by one thread.

    A manager that cannot be reached is logged once and stops nothing: the office needs its sessions more than it
    needs systemd. The variables are taken out of `environment`, so that no child speaks in our name. `clock`:
    monotonic seconds.
    """

    def __init__(self, environment: MutableMapping[str, str], *, clock: Callable[[], float] = time.monotonic) -> None:
        address, every, of = (environment.pop(name, "") for name in _NAMES)
        # "@" stands for the zero byte of a name that is in no directory.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        is_ours = not of or of == str(os.getpid())
        self._interval = int(every) / 1_000_000 / 3 if every.isdecimal() and is_ours else 0.0
        self._clock = clock
        self._last = -1e9
        self._complained = False

    def ready(self, status: str) -> None:
        """Say that the start is over; `status` is shown by `systemctl status` and holds nothing secret."""
        self._say(f"READY=1\nSTATUS={_one_line(status)}\n")

    def status(self, status: str) -> None:
        """Say in one line what is going on."""
        self._say(f"STATUS={_one_line(status)}\n")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._say("STOPPING=1\nSTATUS=stopping\n")

    def alive(self) -> None:
        """Say that we live, as often as a third of the time that the manager allows; may be called at any rate."""
        now = self._clock()
        if self._interval and now - self._last >= self._interval:
            self._last = now
            self._say("WATCHDOG=1\n")

    def _say(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                # A full queue must not hold up whoever restarts the parts.
                channel.settimeout(1)
                channel.connect(self._address)
                channel.send(text.encode())
        except OSError as error:
            if not self._complained:
                log.warning("the service manager does not listen: %s", error.strerror or type(error).__name__)
            self._complained = True


def _one_line(text: str) -> str:
    return " ".join(text.split())
