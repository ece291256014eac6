"""What reading a big export costs, and reading it again: `python -m benchmarks.bench_intake [--rows N] [--postgres]`.

The bare limit is the csv module alone over the same file in the same run: its bytes hashed, its records parsed,
nothing kept. Measured, each in a process of its own, so that memory is the process's and nothing is warm:

- the first reading: rows a second and peak memory (no limit on time: it is done once);
- the same file with 50 new rows behind it, three times on, each against the bare limit of that file: at most 2 times;
- the same file with one answer edited in the middle, three times, where every row must be compared: at most 4 times;
- peak memory of each under 400 MB.

Exits 1 when one is missed.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.fictional_exports import SUBMITTED_ON, write_google_export
from config.settings import load_settings
from madoguchi.domain.office import JST
from tasks.intake import receive_export
from tasks.wiring import Run, build_services, real_clock
from tests.postgres import fresh_database, postgres_server

NEW_ROWS = 50
RUNS = 3
MOST_AGAIN = 2.0
MOST_EDITED = 4.0
MOST_MEGABYTES = 400
AS_OF = datetime.combine(SUBMITTED_ON, datetime.min.time(), JST) + timedelta(days=1, hours=9)
_REMARKS_COLUMN = 13


def read_file(path: Path) -> dict[str, Any]:
    """Read one export into the record of this process's settings."""
    services = build_services(load_settings())
    begun = time.perf_counter()
    report = receive_export(services, Run("bench", AS_OF, real_clock()), path, services.mappings["google"])
    return {"seconds": time.perf_counter() - begun, "rows": report.rows, "new": report.new}


def read_bare(path: Path) -> dict[str, Any]:
    """Hash a file and parse it with the csv module, no more."""
    begun = time.perf_counter()
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256").hexdigest()
    with path.open(encoding="utf-8", newline="") as text:
        rows = sum(1 for _ in csv.reader(text)) - 1
    return {"seconds": time.perf_counter() - begun, "rows": rows, "new": 0}


def in_a_child(what: str, path: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Do one reading in a fresh process; its peak memory comes with its figures."""
    # This very module: memory is to be measured apart.
    command = [sys.executable, "-m", "benchmarks.bench_intake", "--child", what, "--file", str(path)]
    done = subprocess.run(command, env=os.environ | environment, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def child(what: str, path: Path) -> None:
    """Print the figures of one reading."""
    found = read_bare(path) if what == "bare" else read_file(path)
    # Linux counts in kilobytes.
    print(json.dumps(found | {"megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def write_versions(folder: Path, rows: int) -> tuple[Path, list[Path], list[Path]]:
    """Write the export, its longer versions, and versions of the longest with one more answer edited in each."""
    whole = folder / "whole.csv"
    write_google_export(whole, rows + RUNS * NEW_ROWS)
    lengths = [rows + number * NEW_ROWS for number in range(RUNS + 1)]
    longer = [_version(whole, folder / f"{length}.csv", length, set()) for length in lengths]
    places = [rows // 2 + number for number in range(RUNS)]
    edited = [
        _version(whole, folder / f"edited-{number}.csv", lengths[-1], set(places[: number + 1]))
        for number in range(RUNS)
    ]
    return longer[0], longer[1:], edited


def _version(whole: Path, path: Path, length: int, edited: set[int]) -> Path:
    with whole.open(encoding="utf-8", newline="") as source, path.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for number, cells in enumerate(islice(csv.reader(source), length + 1)):
            if number in edited:
                cells[_REMARKS_COLUMN] = "資料は画面で見せてください。"
            writer.writerow(cells)
    return path


@contextmanager
def environment(folder: Path, *, postgres: bool) -> Iterator[dict[str, str]]:
    """Give the settings of an empty record."""
    settings = {"MADOGUCHI_MODE": "sandbox", "MADOGUCHI_VAR_DIR": str(folder / "var")}
    if not postgres:
        yield settings | {"MADOGUCHI_DATABASE_URL": ""}
        return
    with postgres_server() as server, fresh_database(server) as url:
        yield settings | {"MADOGUCHI_DATABASE_URL": url.render_as_string(hide_password=False)}


def main() -> int:
    """Measure and judge; 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description="Time a first reading of an export and readings of it again.")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL instead of SQLite")
    parser.add_argument("--child", choices=("bare", "read"), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.file)
        return 0
    with (
        tempfile.TemporaryDirectory(prefix="madoguchi-bench-") as name,
        environment(Path(name), postgres=given.postgres) as settings,
    ):
        return measure(Path(name), given.rows, settings, "PostgreSQL" if given.postgres else "SQLite")


def measure(folder: Path, rows: int, settings: dict[str, str], kind: str) -> int:
    """Read every version in turn; print a line for each kind of reading."""
    export, longer, edited = write_versions(folder, rows)
    print(f"{rows} rows, {export.stat().st_size / 1e6:.1f} MB, {kind}")
    first = in_a_child("read", export, settings)
    passed = _judge(
        first["new"] == rows and first["megabytes"] < MOST_MEGABYTES,
        f"first reading      {first['seconds']:7.2f} s  {rows / first['seconds']:8.0f} rows/s  "
        f"peak {first['megabytes']:4.0f} MB (limit {MOST_MEGABYTES})",
    )
    for text, files, most, new in (
        (f"{NEW_ROWS} rows more", longer, MOST_AGAIN, NEW_ROWS),
        ("an answer edited", edited, MOST_EDITED, 1),
    ):
        passed &= _again(text, files, most, new, settings)
    return 0 if passed else 1


def _again(text: str, files: list[Path], most: float, new: int, settings: dict[str, str]) -> bool:
    ratios, seconds, peaks, right = [], [], [], True
    for file in files:
        bare = in_a_child("bare", file, settings)
        again = in_a_child("read", file, settings)
        ratios.append(again["seconds"] / bare["seconds"])
        seconds.append(again["seconds"])
        peaks.append(again["megabytes"])
        right &= again["new"] == new and again["rows"] == bare["rows"]
    ratio, peak = statistics.median(ratios), max(peaks)
    return _judge(
        right and ratio <= most and peak < MOST_MEGABYTES,
        f"{text:18} {statistics.median(seconds):7.2f} s  {ratio:5.2f} x csv and hash alone (limit {most})  "
        f"peak {peak:4.0f} MB",
    )


def _judge(passed: bool, line: str) -> bool:
    print(f"{'OK' if passed else 'FAIL':4} {line}", flush=True)
    return passed


if __name__ == "__main__":
    sys.exit(main())
