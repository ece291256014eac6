"""An office for end-to-end tests: its own record and folder, real stand-ins, and `madoguchi` as real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from config.settings import ROOT
from madoguchi.sandbox.mailbox_server import RunningMailbox, running_mailbox
from madoguchi.sandbox.zoom_server import RunningZoom, running_zoom

AS_OF = "2026-09-14T09:00:00+09:00"
FIXTURES = ROOT / "tests" / "fixtures"
GOOGLE = FIXTURES / "google_forms.csv"
LOGO = FIXTURES / "logo_form.csv"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text(encoding="utf-8"))["files"]


@dataclass
class Rehearsal:
    """One office. `record`: the address of its database."""

    folder: Path
    record: str
    prefect_url: str
    zoom: RunningZoom
    mailbox: RunningMailbox

    def environment(self, **more):
        """The whole environment of a child: nothing of the surroundings leads elsewhere."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MADOGUCHI_", "PREFECT_"))}
        return kept | {
            "MADOGUCHI_MODE": "sandbox",
            "MADOGUCHI_VAR_DIR": str(self.folder / "var"),
            "MADOGUCHI_DATABASE_URL": self.record,
            "MADOGUCHI_ZOOM__TOKEN_URL": self.zoom.token_url,
            "MADOGUCHI_ZOOM__API_URL": self.zoom.api_url,
            "MADOGUCHI_SMTP__HOST": self.mailbox.host,
            "MADOGUCHI_SMTP__PORT": str(self.mailbox.port),
            "PREFECT_API_URL": self.prefect_url,
            **more,
        }

    def start(self, *, path=GOOGLE, source="google", **more):
        """Start `madoguchi run process-requests`, the leader of its own process group."""
        arguments = [
            "run", "process-requests", "--as-of", AS_OF, "--set", f"path={path}", "--set", f"source={source}", "--json",
        ]  # fmt: skip
        with (self.folder / "stderr").open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.child", *arguments],
                cwd=ROOT,
                env=self.environment(**more),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )

    def run(self, **more):
        """Run to the end; exit code and summary."""
        with self.runs(**more) as again:
            return again()

    @contextmanager
    def runs(self, **more):
        """Give a function that runs to the end, each time in the same process (which is quicker)."""
        with self.start(**more) as child:

            def again():
                if started:
                    child.stdin.write(b"\n")
                    child.stdin.flush()
                started.append(True)
                lines = [child.stdout.readline() for _ in range(2)]
                assert lines[1], (self.folder / "stderr").read_text()[-3000:]
                return json.loads(lines[1])["code"], json.loads(lines[0])

            started = []
            yield again
            child.stdin.close()

    def madoguchi(self, *arguments, **more):
        """Run the command as people run it, to its end; with code, stdout and stderr."""
        return subprocess.run(
            [sys.executable, "-m", "madoguchi.cli", *map(str, arguments)],
            cwd=ROOT,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def process(self, path, source, *, as_of=AS_OF, **more):
        """Run process-requests on one file; the whole outcome."""
        return self.madoguchi(
            "run", "process-requests", "--as-of", as_of, "--set", f"path={path}", "--set", f"source={source}", "--json",
            **more,
        )  # fmt: skip

    def heal(self):
        """Forget every ordered fault."""
        self.zoom.state.faults.clear()
        self.mailbox.state.faults.clear()


def kill(child):
    """SIGKILL for the process and whatever it started in its group."""
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


def until(condition, seconds, what):
    """Poll every two milliseconds."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.002)
    return value


@contextmanager
def rehearsal(folder, record, prefect_url):
    """An office whose stand-ins live at AS_OF."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        running_zoom(folder / "zoom.db") as zoom,
        running_mailbox(folder / "mailbox", bounces=folder / "var" / "bounces") as mailbox,
    ):
        zoom.state.set_now(datetime.fromisoformat(AS_OF))
        yield Rehearsal(folder, record, prefect_url, zoom, mailbox)


@contextmanager
def sqlite_rehearsal(folder, template, prefect_url):
    """The same, with a fresh copy of the migrated, empty SQLite file."""
    folder.mkdir(parents=True)
    shutil.copy(template, folder / "record.db")
    with rehearsal(folder, f"sqlite:///{folder / 'record.db'}", prefect_url) as made:
        yield made
