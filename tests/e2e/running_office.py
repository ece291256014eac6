"""A real `madoguchi up` with sessions in its record, for tests that use its dashboard as staff do."""

import csv
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from config.settings import ROOT, PrefectSettings, SandboxSettings, Settings, WebSettings
from madoguchi.adapters.holidays import is_public_holiday
from madoguchi.adapters.prefect_server import free_port
from madoguchi.commands.up import Background, settings_environment, start_in_background
from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.office import JST
from tests.world import HEADER, answer, shipped_office


@dataclass
class RunningOffice:
    """What runs, and its command line."""

    settings: Settings
    up: Background
    folder: Path

    def madoguchi(self, *arguments, code=0):
        """Run the command as people do; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "madoguchi.cli", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **settings_environment(self.settings)},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == code, done.stderr[-2000:]
        return done.stdout

    def listed(self, kind):
        """Everything of a kind in the record."""
        return json.loads(self.madoguchi("list", kind, "--json"))

    def intake(self, as_of, wishes, code=0):
        """Let applications be processed: number, day, clock and, where given, other answers. `code`: 1, incomplete."""
        sent = as_of - timedelta(days=1)
        rows = [
            answer(
                n,
                f"{day:%Y/%m/%d}",
                clock,
                stamp=f"{sent:%Y/%m/%d} 9:{n:02d}:00 午前 GMT+9",
                **(more[0] if more else {}),
            )
            for n, day, clock, *more in wishes
        ]
        path = self.folder / f"answers-{as_of:%Y%m%d%H%M}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows([HEADER, *rows])
        self.madoguchi(
            "run", "process-requests", "--as-of", as_of.isoformat(), "--set", f"path={path}", "--set", "source=google",
            "--json", code=code,
        )  # fmt: skip


@contextmanager
def running_office(var_dir, folder):
    """An office in the sandbox, on ports of its own."""
    settings = Settings(
        _env_file=None,
        mode="sandbox",
        var_dir=var_dir,
        prefect=PrefectSettings(port=free_port()),
        sandbox=SandboxSettings(zoom_port=0, smtp_port=0, mailbox_port=0),
        web=WebSettings(port=free_port()),
    )
    up = start_in_background(settings)
    try:
        yield RunningOffice(settings, up, folder)
    finally:
        up.stop()


def days():
    """Now, a working day that is over with the morning before it, and one that lies well ahead."""
    calendar = OfficeCalendar(shipped_office(), is_public_holiday)
    now = datetime.now(JST)
    past = calendar.previous_working_day(now.date())
    ahead = calendar.next_working_day(calendar.next_working_day(now.date()))
    earlier = datetime.combine(calendar.previous_working_day(past), datetime.min.time(), JST).replace(hour=9)
    return now, past, earlier, ahead
