import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from madoguchi.adapters.processes import (
    is_alive,
    open_log,
    owner_token,
    process_start,
    start_child,
    stop_child,
    trim_logs,
)


def test_a_token_fits_its_column_under_the_longest_name_of_a_host(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "h" * 63)
    assert len(owner_token()) <= 115  # a thread's number may follow, and claim_owner has 120


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


def test_this_process_is_alive_and_its_token_stays_the_same():
    assert owner_token() == owner_token()
    assert is_alive(owner_token()) is True
    assert owner_token().startswith(socket.gethostname() + "/")


def test_an_owner_is_dead_at_once_after_kill_9_even_before_it_is_reaped():
    child = sleeper()
    token = owner_token(child.pid)
    assert is_alive(token) is True
    os.kill(child.pid, signal.SIGKILL)
    until = time.monotonic() + 5
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
        time.sleep(0.01)
    assert is_alive(token) is False  # a zombie
    child.wait()
    assert is_alive(token) is False  # gone


def changed(part: int, value: str) -> str:
    parts = owner_token().rsplit("/", 3)
    parts[part] = value
    return "/".join(parts)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (changed(0, "another-host"), None),
        (changed(1, "00000000-0000-0000-0000-000000000000"), False),
        # A container on this kernel under this host's name: its process numbers mean nothing here.
        (changed(1, owner_token().split("/")[1].partition(".")[0] + ".1"), None),
        # As earlier releases wrote it.
        (changed(1, Path("/proc/sys/kernel/random/boot_id").read_text().strip()), True),
        (changed(2, "4194305"), False),
        (changed(3, "1"), False),
        ("", None),
        ("somebody", None),
        ("a/b/c/d", None),
        ("host/boot/12x/3", None),
    ],
    # Fixed names: the tokens differ between the workers of one test run.
    ids=[
        "host",
        "boot",
        "container",
        "earlier release",
        "process",
        "start",
        "nothing",
        "one part",
        "no number",
        "half a number",
    ],
)
def test_a_token_of_another_boot_or_start_is_dead_and_of_another_host_unknown(token, expected):
    assert is_alive(token) is expected


def test_there_is_no_token_for_a_process_that_does_not_exist():
    with pytest.raises(ProcessLookupError):
        owner_token(4194305)
    assert process_start(4194305) is None


def wait_for(path, seconds=10.0):
    until = time.monotonic() + seconds
    while not path.exists() or not path.read_text():
        assert time.monotonic() < until, "the child wrote nothing"
        time.sleep(0.02)
    return path.read_text()


def test_a_child_runs_a_module_writes_its_log_and_stops_when_asked(tmp_path):
    (tmp_path / "noisy.py").write_text(
        "import sys, time, pathlib\n"
        "print('started', sys.argv[1:], flush=True)\n"
        "pathlib.Path(sys.argv[1]).write_text('x')\n"
        "time.sleep(60)\n"
    )
    log = tmp_path / "log" / "child.log"
    child = start_child(["noisy", str(tmp_path / "up"), "--flag"], log=log, environment=os.environ, cwd=tmp_path)
    wait_for(tmp_path / "up")
    assert stop_child(child, seconds=5) is True
    assert "--flag" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_child_that_ignores_the_request_is_killed(tmp_path):
    (tmp_path / "deaf.py").write_text(
        "import signal, sys, time, pathlib\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path(sys.argv[1]).write_text('x')\n"
        "time.sleep(60)\n"
    )
    child = start_child(["deaf", str(tmp_path / "up")], log=tmp_path / "l", environment=os.environ, cwd=tmp_path)
    wait_for(tmp_path / "up")
    assert stop_child(child, seconds=0.3) is False
    assert child.returncode == -signal.SIGKILL


def test_a_child_ends_when_its_parent_is_killed_with_9(tmp_path):
    (tmp_path / "child.py").write_text(
        "import os, sys, time, pathlib\npathlib.Path(sys.argv[1]).write_text(str(os.getpid()))\ntime.sleep(60)\n"
    )
    (tmp_path / "parent.py").write_text(
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from madoguchi.adapters.processes import start_child\n"
        "start_child(['child', sys.argv[1]], log=Path('l'), environment=os.environ, cwd=Path.cwd())\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "parent.py", str(tmp_path / "up")], cwd=tmp_path)
    pid = int(wait_for(tmp_path / "up"))
    assert process_start(pid) is not None
    parent.kill()
    parent.wait()
    until = time.monotonic() + 6
    while process_start(pid) is not None:
        assert time.monotonic() < until, "the child outlived its parent"
        time.sleep(0.05)


def test_a_big_log_is_put_aside_before_it_is_added_to(tmp_path):
    log = tmp_path / "a.log"
    log.write_bytes(b"x" * 5_000_001)
    with open_log(log) as stream:
        stream.write(b"new")
    assert log.read_bytes() == b"new"
    assert (tmp_path / "a.log.1").stat().st_size == 5_000_001


def test_a_log_that_a_child_holds_open_is_cut_and_the_child_writes_on(tmp_path):
    log = tmp_path / "web.log"
    with open_log(log) as child:
        for number in range(1000):
            child.write(b"line %d\n" % number)
        child.flush()
        (tmp_path / "short.log").write_text("short")
        trim_logs(tmp_path, limit=500)
        assert log.read_bytes() == b""
        child.write(b"later\n")
        child.flush()
    assert log.read_bytes() == b"later\n"
    kept = (tmp_path / "web.log.1").read_bytes()
    assert kept.endswith(b"line 999\n")
    assert kept.startswith(b"line ")
    assert len(kept) <= 500
    assert (tmp_path / "web.log.1").stat().st_mode & 0o077 == 0
    assert (tmp_path / "short.log").read_text() == "short"


def test_a_log_whose_end_cannot_be_kept_is_cut_all_the_same(tmp_path):
    log = tmp_path / "web.log"
    log.write_bytes(b"x" * 1000)
    (tmp_path / "web.log.1").mkdir()
    trim_logs(tmp_path, limit=500)
    assert log.read_bytes() == b""
