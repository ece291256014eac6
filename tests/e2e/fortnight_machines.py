"""The office's machine in a long rehearsal: its worker, web part and Prefect server, which can be killed and come back.

Everything that stands on the machine's disk lies below `var`: record, spool, inbox, Prefect's home. Where this user may
mount, `var` is a small file system of its own, so that a full disk is a real one.
"""

import json
import select
import shutil
import subprocess
import sys
import time

from config.settings import ROOT
from madoguchi.adapters.prefect_server import environment, free_port, start_temporary_server
from madoguchi.store.database import Database
from tests.e2e.day_rehearsal import SECRET
from tests.e2e.rehearsal import kill, until

DISK_MEGABYTES = 1700
"""More than what `watch` calls little."""


class Worker:
    """A warm process that runs commands one after the other."""

    def __init__(self, machine):
        folder = machine.folder
        with (folder / "stderr").open("ab") as errors:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.fortnight_child", "worker"],
                cwd=ROOT,
                env=machine.environment(MADOGUCHI_TEST_SAID=str(folder / "stdout")),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )

    def ask(self, arguments, *, is_scheduled=True):
        """Order a command, of the schedule or of a person; do not wait."""
        order = {"arguments": arguments, "is_scheduled": is_scheduled}
        self.child.stdin.write(json.dumps(order).encode() + b"\n")
        self.child.stdin.flush()

    def answer(self, seconds=120):
        """Exit code and summary (None where it came to none)."""
        ready, _, _ = select.select([self.child.stdout], [], [], seconds)
        assert ready, f"no answer within {seconds} s"
        line = self.child.stdout.readline()
        assert line, "the worker has ended"
        found = json.loads(line)
        return found["code"], found["summary"]

    def close(self):
        self.child.stdin.close()
        try:
            self.child.wait(timeout=20)
        except subprocess.TimeoutExpired:
            kill(self.child)
        self.child.stdout.close()


class Machine:
    """`start` and `kill_all` are the power; `office_file` is the machine's own copy of office.toml."""

    def __init__(self, office, clock_file, office_file, **more):
        """`office`: the rehearsal, whose `record` and stand-ins are used. `more`: further environment."""
        self.office, self.folder = office, office.folder
        self.clock_file, self.office_file = clock_file, office_file
        self.web_port = free_port()
        self._more = more
        self.worker = self.web = self.prefect = None
        self._ballast = self.folder / "var" / "ballast"

    def environment(self, **more):
        return self.office.environment(
            MADOGUCHI_TEST_CLOCK=str(self.clock_file),
            MADOGUCHI_OFFICE_FILE=str(self.office_file),
            MADOGUCHI_WEB__PORT=str(self.web_port),
            MADOGUCHI_WEB__PASSWORD="of-the-fortnight",
            MADOGUCHI_ZOOM__WEBHOOK_SECRET=SECRET,
            **self._more,
            **more,
        )

    def start(self):
        """Bring up whatever does not run, and return when all of it is ready."""
        if self.prefect is None:
            home = self.folder / "var"
            home.mkdir(exist_ok=True)
            variables = environment(home, "127.0.0.1", free_port(), ROOT / "config" / "prefect_logging.yml", given={})
            self.prefect = start_temporary_server(variables, self.folder / "server.log")
            self.office.prefect_url = self.prefect.url
            self.prefect.wait_until_ready()
        if self.worker is None:
            self.worker = Worker(self)
        if self.web is None:
            with (self.folder / "web.log").open("ab") as log:
                self.web = subprocess.Popen(
                    [sys.executable, "-m", "tests.e2e.fortnight_child", "web"],
                    cwd=ROOT,
                    env=self.environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            until(self._web_answers, 60, "the web part is not ready")

    def _web_answers(self):
        import httpx

        assert self.web.poll() is None, "the web part has ended"
        try:
            return httpx.get(f"http://127.0.0.1:{self.web_port}/healthz", trust_env=False, timeout=2).is_success
        except httpx.HTTPError:
            time.sleep(0.05)
            return False

    def kill_all(self, *, spare_server=False):
        """The power goes: SIGKILL for everything. `spare_server`: Prefect's starts slowly."""
        kill(self.worker.child)
        kill(self.web)
        self.worker = self.web = None
        if spare_server:
            return
        self.prefect.child.kill()
        self.prefect.child.wait()
        self.prefect = None

    def kill_worker(self):
        kill(self.worker.child)
        self.worker = None

    def renew_worker(self):
        self.worker.close()
        self.worker = None
        self.start()

    def restart_office(self):
        """What `madoguchi up` does when office.toml has changed: its processes begin anew."""
        self.worker.close()
        kill(self.web)
        self.worker = self.web = None
        self.start()

    def stop(self):
        if self.worker is not None:
            self.worker.close()
        if self.web is not None:
            self.web.terminate()
            self.web.wait(timeout=20)
        if self.prefect is not None:
            self.prefect.stop()
        self.worker = self.web = self.prefect = None

    # --- the disk

    def mount(self):
        """Give `var` a small file system of its own; tell whether this user may."""
        var = self.folder / "var"
        var.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(var)],
            capture_output=True, check=False,
        )  # fmt: skip
        return done.returncode == 0

    def unmount(self):
        subprocess.run(["umount", "-l", str(self.folder / "var")], capture_output=True, check=False)

    def fill_disk(self, leave=0):
        """Leave so many megabytes; with 0, not one free block."""
        block = bytes(1 << 20)
        with self._ballast.open("ab", buffering=0) as file:
            while block and shutil.disk_usage(self.folder / "var").free > leave << 20:
                try:
                    written = file.write(block)
                except OSError:
                    written = 0
                if written < len(block):
                    block = block[: len(block) // 2]

    def free_disk(self):
        self._ballast.unlink()

    def migrate(self):
        database = Database(self.office.record)
        database.migrate()
        database.close()
