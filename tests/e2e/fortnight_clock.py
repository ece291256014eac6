"""One clock for a whole rehearsal: true time for Zoom and people, and the office's machine, which may be set wrongly.

Time goes on at its real pace while something runs, and jumps forward between two things to do. The processes of the
office read the machine's shift from eight bytes of a file.
"""

import mmap
import struct
import time
from datetime import UTC, datetime, timedelta


class RehearsedTime:
    """`now`: what the time truly is. `machine_is_off`: by how much the office's clock differs from it."""

    def __init__(self, path, starts):
        self.path = path
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 8)
        self._shift = starts.timestamp() - time.time()
        self.machine_is_off = timedelta()
        self._publish()

    def now(self):
        return datetime.fromtimestamp(time.time() + self._shift, UTC)

    def go(self, instant):
        """Be there; an instant that has passed already, because something took its time, changes nothing."""
        ahead = (instant - self.now()).total_seconds()
        if ahead > 0:
            self._shift += ahead
            self._publish()

    def set_machine(self, off):
        """Put the office's clock wrong by `off`."""
        self.machine_is_off = off
        self._publish()

    def _publish(self):
        self._shared[:] = struct.pack("d", self._shift + self.machine_is_off.total_seconds())


def machine_clock(path):
    """Return the clock of a process of the office."""
    with open(path, "rb") as file:  # noqa: PTH123 — the descriptor is needed
        shared = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)

    def now():
        return datetime.fromtimestamp(time.time() + struct.unpack("d", shared[:8])[0], UTC)

    return now
