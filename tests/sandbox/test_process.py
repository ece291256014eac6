import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from madoguchi.sandbox import endpoints as places
from madoguchi.sandbox.endpoints import (
    Ports,
    SandboxError,
    ensure_sandbox,
    is_held,
    read_endpoints,
    running_sandbox,
    stop_sandbox,
)

ANY = Ports(0, 0, 0)


@pytest.fixture
def var(tmp_path):
    yield tmp_path
    stop_sandbox(tmp_path)
    places._reap()


def ensure(var, ports=ANY, parent="self"):
    return ensure_sandbox(
        var, ports, parent=os.getpid() if parent == "self" else parent, log_file=var / "log" / "sandbox.log"
    )


def new_meeting(found, topic):
    token = httpx.post(
        found.token_url,
        params={"grant_type": "account_credentials", "account_id": "sandbox-account"},
        auth=("sandbox-client", "sandbox-secret"),
        trust_env=False,
    ).json()["access_token"]
    answer = httpx.post(
        f"{found.api_url}/users/host-1@example.jp/meetings",
        json={"topic": topic, "type": 2, "start_time": "2030-01-07T02:00:00Z", "duration": 30},
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
    )
    assert answer.status_code == 201, answer.status_code
    return answer.json()["id"]


def meetings(found):
    return httpx.get(f"{found.zoom_url}/sandbox/meetings", trust_env=False).text


def new_mail(found, subject):
    with smtplib.SMTP(found.smtp_host, found.smtp_port, timeout=10) as client:
        client.sendmail("madoguchi@example.jp", ["applicant@example.com"], f"Subject: {subject}\r\n\r\ntext\r\n")


def mails(found):
    return httpx.get(f"{found.mailbox_url}/sandbox/messages", trust_env=False).text


def gone(pid, seconds=5.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        places._reap()
        if not psutil.pid_exists(pid):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.slow
def test_the_stand_ins_keep_meetings_mails_and_addresses_through_kill_9(var):
    first = ensure(var)
    meeting = new_meeting(first, "M-7K2Q9F")
    new_mail(first, "M-7K2Q9F")
    assert running_sandbox(var) == first
    assert ensure(var) == first, "a second call finds the same process"
    os.kill(first.pid, signal.SIGKILL)
    assert gone(first.pid)
    assert not is_held(var)
    assert running_sandbox(var) is None
    second = ensure(var)
    assert second.pid != first.pid
    assert (second.zoom_url, second.smtp_port, second.mailbox_url) == (
        first.zoom_url,
        first.smtp_port,
        first.mailbox_url,
    ), "other processes still know the addresses of last time"
    assert str(meeting) in meetings(second)
    assert "M-7K2Q9F" in mails(second)


@pytest.mark.slow
def test_many_callers_at_once_start_one_process(var):
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: ensure(var), range(6)))
    assert len(set(found)) == 1


@pytest.mark.slow
def test_a_taken_port_is_replaced_and_another_directory_has_its_own_stand_ins(var, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = ensure(var, Ports(taken.getsockname()[1], 0, 0))
        try:
            beside = ensure(other, found.preferred)
            assert beside.pid != found.pid
            assert f":{taken.getsockname()[1]}" not in found.zoom_url
            new_meeting(found, "M-7K2Q9F")
            assert "M-7K2Q9F" not in meetings(beside)
        finally:
            stop_sandbox(other)
    assert not is_held(other)


@pytest.mark.slow
def test_the_process_ends_cleanly_when_asked_and_a_second_one_refuses_the_directory(var):
    found = ensure(var)
    arguments = [sys.executable, "-m", "madoguchi.sandbox.process", "--var-dir", str(var)]
    second = subprocess.run(arguments, capture_output=True, timeout=20, check=False)
    assert second.returncode == 3
    assert b"serves" in second.stderr
    started = time.monotonic()
    stop_sandbox(var)
    assert time.monotonic() - started < 4
    assert gone(found.pid)
    assert b"stopping" in (var / "log" / "sandbox.log").read_bytes()


@pytest.mark.slow
def test_the_process_ends_with_its_parent(var):
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    found = ensure(var, parent=parent.pid)
    parent.kill()
    parent.wait()
    assert gone(found.pid)


def test_addresses_of_a_dead_process_are_not_believed(var):
    stale = places.Endpoints("http://127.0.0.1:9", "127.0.0.1", 9, "http://127.0.0.1:9", 4194305, 0.0, ANY)
    places.sandbox_dir(var).mkdir()
    places.write_endpoints(var, stale)
    assert read_endpoints(var) == stale
    assert running_sandbox(var) is None
    with places.hold(var):
        assert is_held(var)
        assert running_sandbox(var) is None
    (places.sandbox_dir(var) / "endpoints.json").write_text("{")
    assert read_endpoints(var) is None


def test_one_holder_of_a_directory_at_a_time(var):
    held = places.hold(var)
    assert held is not None
    assert places.hold(var) is None
    held.close()
    again = places.hold(var)
    assert again is not None
    again.close()


def test_a_process_that_cannot_start_is_an_error_that_names_its_log(var):
    places.sandbox_dir(var).mkdir()
    (places.sandbox_dir(var) / "zoom").write_text("a file where a folder must be")
    with pytest.raises(SandboxError, match=r"sandbox\.log"):
        ensure(var)


def test_the_process_served_in_a_thread_stops_when_told(var):
    from madoguchi.sandbox import process

    stop, seen = threading.Event(), []
    thread = threading.Thread(target=lambda: seen.append(process.serve(var, ANY, stop, ready=seen.append)))
    thread.start()
    while not seen:
        time.sleep(0.01)
    assert running_sandbox(var) == seen[0]
    stop.set()
    thread.join(10)
    assert seen[1] is True
    assert not is_held(var)
