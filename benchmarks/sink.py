"""An SMTP server that takes everything and keeps nothing: the other side of the delivery benchmarks.

Runs in a process of its own, so that it does not share the interpreter lock with what is measured.
"""

from __future__ import annotations

import multiprocessing
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def _serve(connection: socket.socket, counter: multiprocessing.sharedctypes.Synchronized) -> None:  # type: ignore[type-arg]
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(b"220 sink\r\n")
    pending = b""
    inside = False
    while True:
        if inside:
            end = pending.find(b"\r\n.\r\n")
            if end < 0:
                more = connection.recv(65536)
                if not more:
                    return
                pending += more
                continue
            pending = pending[end + 5 :]
            inside = False
            with counter.get_lock():
                counter.value += 1
            answers = b"250 OK\r\n"
        else:
            answers = b""
        while not inside:
            line, newline, rest = pending.partition(b"\r\n")
            if not newline:
                break
            pending = rest
            verb = line[:4].upper()
            if verb == b"DATA":
                answers += b"354 go\r\n"
                inside = True
            elif verb == b"EHLO":
                answers += b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
            elif verb == b"QUIT":
                connection.sendall(answers + b"221 bye\r\n")
                return
            else:
                answers += b"250 OK\r\n"
        if answers:
            connection.sendall(answers)
        if not inside:
            more = connection.recv(65536)
            if not more:
                return
            pending += more


def _run(port: multiprocessing.sharedctypes.Synchronized, counter: multiprocessing.sharedctypes.Synchronized) -> None:  # type: ignore[type-arg]
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    port.value = server.getsockname()[1]
    while True:
        connection, _ = server.accept()
        threading.Thread(target=_serve, args=(connection, counter), daemon=True).start()


@contextmanager
def running_sink() -> Iterator[tuple[int, multiprocessing.sharedctypes.Synchronized]]:  # type: ignore[type-arg]
    """Give the port of a sink, and the count of mails that it has taken."""
    context = multiprocessing.get_context("spawn")
    port, counter = context.Value("i", 0), context.Value("i", 0)
    process = context.Process(target=_run, args=(port, counter), daemon=True)
    process.start()
    while port.value == 0:
        pass
    try:
        yield port.value, counter
    finally:
        process.terminate()
        process.join()
