"""An SMTP server that takes everything and keeps nothing: the other side of the delivery benchmarks.

Runs in a process of its own, so that it does not share the interpreter lock with what is measured.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

_END = b"\r\n.\r\n"
_ANSWERS = {b"DATA": b"354 go\r\n", b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n", b"QUIT": b"221 bye\r\n"}
_CORES = os.sched_getaffinity(0)


class Sink(NamedTuple):
    """A running sink: its port and its count of the mails that it took."""

    port: int
    counter: Any

    @property
    def taken(self) -> int:
        """How many mails it took so far."""
        return int(self.counter.value)


def place(*, apart: bool) -> bool:
    """Put this process and its sink on a core each, or on one; False when there is one core only.

    Connections opened before stay where they were.
    """
    cores = sorted(_CORES)
    os.sched_setaffinity(0, {cores[0]})
    for process in multiprocessing.active_children():
        os.sched_setaffinity(process.pid or 0, {cores[-1] if apart else cores[0]})
    return len(cores) > 1


def _serve(connection: socket.socket, counter: Any) -> None:
    # A client that was killed resets its connection.
    with suppress(ConnectionError), connection:
        _talk(connection, counter)


def _talk(connection: socket.socket, counter: Any) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(b"220 sink\r\n")
    pending, is_body, word = b"", False, b""
    while word != b"QUIT" and (more := connection.recv(65536)):
        pending += more
        answers = b""
        while mark := _END if is_body else b"\r\n":
            taken, found, rest = pending.partition(mark)
            if not found:
                break
            pending = rest
            if is_body:
                is_body = False
                answers += b"250 OK\r\n"
                with counter.get_lock():
                    counter.value += 1
            else:
                word = taken[:4].upper()
                is_body = word == b"DATA"
                answers += _ANSWERS.get(word, b"250 OK\r\n")
        if answers:
            connection.sendall(answers)


def _run(port: Any, counter: Any) -> None:
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    port.value = server.getsockname()[1]
    while True:
        connection, _ = server.accept()
        threading.Thread(target=_serve, args=(connection, counter), daemon=True).start()


@contextmanager
def running_sink() -> Iterator[Sink]:
    """Give a sink that runs."""
    context = multiprocessing.get_context("spawn")
    port, counter = context.Value("i", 0), context.Value("i", 0)
    process = context.Process(target=_run, args=(port, counter), daemon=True)
    process.start()
    try:
        while not port.value:
            if not process.is_alive():
                raise SystemExit("the sink did not start")
            time.sleep(0.01)
        yield Sink(port.value, counter)
    finally:
        os.sched_setaffinity(0, _CORES)
        process.terminate()
        process.join()
