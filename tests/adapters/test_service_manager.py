"""What a service manager hears, on a real datagram socket."""

import os
import socket

import pytest

from madoguchi.adapters.service_manager import ServiceManager


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture(params=["file", "abstract"])
def manager(request, tmp_path):
    """The socket and its name in NOTIFY_SOCKET."""
    name = str(tmp_path / "notify") if request.param == "file" else f"@madoguchi-test-{os.getpid()}-{id(request)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0", 1))
        listening.setblocking(False)
        yield listening, name


def heard(listening):
    found = []
    while True:
        try:
            found.append(listening.recv(4096).decode())
        except BlockingIOError:
            return found


def test_it_hears_of_the_start_and_of_the_end(manager):
    listening, name = manager
    service = ServiceManager({"NOTIFY_SOCKET": name})
    service.ready("up at\nhttp://127.0.0.1:4200/")
    service.stopping()
    assert heard(listening) == ["READY=1\nSTATUS=up at http://127.0.0.1:4200/\n", "STOPPING=1\nSTATUS=stopping\n"]


def test_a_sign_of_life_comes_three_times_in_the_time_allowed_however_often_it_is_given(manager):
    listening, name = manager
    clock = Clock()
    service = ServiceManager({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "90000000"}, clock=clock)
    for _ in range(90):
        service.alive()
        clock.now += 1
    assert heard(listening) == ["WATCHDOG=1\n"] * 3


@pytest.mark.parametrize("more", [{}, {"WATCHDOG_USEC": "9000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "often"}])
def test_without_a_watchdog_or_with_another_processs_one_no_sign_is_given(manager, more):
    listening, name = manager
    ServiceManager({"NOTIFY_SOCKET": name, **more}).alive()
    assert heard(listening) == []


def test_no_child_inherits_the_right_to_speak(manager):
    environment = {"NOTIFY_SOCKET": manager[1], "WATCHDOG_USEC": "1", "WATCHDOG_PID": "2", "PATH": "/bin"}
    ServiceManager(environment)
    assert environment == {"PATH": "/bin"}


def test_without_a_manager_nothing_happens_and_one_that_is_gone_is_told_of_once(tmp_path, caplog):
    ServiceManager({}).ready("up")
    assert caplog.text == ""
    service = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    service.ready("up")
    service.stopping()
    assert caplog.text.count("does not listen") == 1
