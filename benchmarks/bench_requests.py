"""(b) 1,000 applications to confirmed mails, against a bare script that only posts the meetings and sends the bytes.

The stand-in Zoom answers after 200 ms, in a process of its own; both sides use the same concurrency for creations. Also
what Prefect adds to a booking: the same work through the flow against the same work without it.
`python -m benchmarks.bench_requests [--rows N]`.
"""

from __future__ import annotations

import argparse
import json
import os
import smtplib
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from datetime import time as wall
from pathlib import Path
from typing import Any

import httpx

from benchmarks.fictional_exports import write_google_export
from benchmarks.sink import running_sink
from madoguchi.adapters.zoom_read import write_plan
from madoguchi.domain.meeting import MeetingPlan
from madoguchi.domain.office import JST

LIMIT = 1.5
PREFECT_LIMIT_MS = 1.0
LATENCY = 0.2
CONCURRENCY = 16
HOSTS = 24
COUNSELLORS = 4


def _office_file(folder: Path) -> Path:
    """Write an office with room for a thousand sessions and limits that nobody reaches."""
    from config.settings import ROOT

    text = (ROOT / "config" / "office.toml").read_text(encoding="utf-8")
    head = text[: text.index("[[counsellors]]")]
    days = '["mon", "tue", "wed", "thu", "fri"]'
    parts = [head]
    parts += [f'[[counsellors]]\ncode = "counsellor-{n}"\ndays = {days}\n' for n in range(COUNSELLORS)]
    parts += [f'[[hosts]]\ncode = "host-{n}"\nuser = "host-{n}@example.jp"\n' for n in range(HOSTS)]
    parts.append(
        f"[zoom]\ncreate_per_second = 100000\nread_per_second = 100000\n"
        f"daily_changes_per_host = 100000\nconcurrency = {CONCURRENCY}\n"
    )
    path = folder / "office.toml"
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


def _start_zoom(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    code = (
        "import sys; from pathlib import Path; from madoguchi.sandbox.zoom_server import running_zoom;"
        "from madoguchi.sandbox.zoom_state import SandboxZoom; import time\n"
        "with running_zoom(Path(sys.argv[1]), SandboxZoom(daily_changes_per_host=10**6)) as z:\n"
        "    print(z.url, flush=True)\n"
        "    time.sleep(3600)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(folder / "zoom.db")], stdout=subprocess.PIPE)
    assert child.stdout is not None
    url = child.stdout.readline().decode().strip()
    httpx.post(f"{url}/sandbox/latency", json={"seconds": LATENCY}).raise_for_status()
    return child, url


def _bare(url: str, port: int, plans: list[tuple[str, MeetingPlan]], mails: list[tuple[str, bytes]]) -> float:
    """Post the meetings with the same concurrency, then send the bytes: nothing is kept, checked or recorded."""
    began = time.perf_counter()
    grant = {"grant_type": "account_credentials", "account_id": "sandbox-account"}
    with httpx.Client(timeout=30, limits=httpx.Limits(max_connections=CONCURRENCY)) as http:
        answer = http.post(f"{url}/oauth/token", data=grant, auth=("sandbox-client", "sandbox-secret"))
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

        def post(item: tuple[str, MeetingPlan]) -> None:
            host, plan = item
            http.post(f"{url}/v2/users/{host}/meetings", json=write_plan(plan), headers=headers).raise_for_status()

        with ThreadPoolExecutor(CONCURRENCY) as pool:
            list(pool.map(post, plans))
    with smtplib.SMTP("127.0.0.1", port) as smtp:
        for recipient, data in mails:
            smtp.sendmail("madoguchi@example.jp", [recipient], data)
    return time.perf_counter() - began


def _ours(export: Path, as_of: datetime, *, through_prefect: bool) -> tuple[float, dict[str, int]]:
    """Run the steps, by the flow or without it, from the file to the last mail; return seconds and counts."""
    from tasks import day_steps, steps
    from tasks.reporting import lacking_meetings, lacking_messages, requests_report
    from tasks.summary import Summary, begin, conclude
    from tasks.wiring import services

    wired = services()
    began = time.perf_counter()
    if through_prefect:
        import asyncio

        from flows.process_requests import process_requests

        state = asyncio.run(process_requests(path=str(export), source="google", as_of=as_of, return_state=True))
        seconds = time.perf_counter() - began
        if not state.is_completed():
            raise SystemExit(f"the flow ended as {state.message}")
        return seconds, {}
    run = begin(wired, steps.new_run("process-requests", as_of, None))
    summary = Summary()
    received = steps.receive_exports.fn(run, str(export), "google")
    released = steps.release_expired_holds.fn(run)
    scheduled = steps.schedule_requests.fn(run)
    made = steps.create_meetings.fn(run)
    removed = day_steps.remove_meetings.fn(run)
    delivered = steps.deliver_messages.fn(run)
    summary.lacking(lacking_meetings(made))
    summary.lacking(lacking_messages(delivered))
    requests_report(summary, received, released, scheduled, made, delivered, removed=removed)
    conclude(wired, run, summary)
    seconds = time.perf_counter() - began
    if not summary.is_complete:
        raise SystemExit(summary.sentence())
    return seconds, dict(summary.counts)


def _overhead(export: Path, as_of: datetime) -> float:
    """Return what Prefect itself takes for a run: the flow against its steps where nothing is left to do.

    Task runs are per batch, so it does not grow with the bookings; measured apart because the run with bookings varies
    by more than this.
    """
    differences = []
    for _ in range(7):
        with_prefect, _counts = _ours(export, as_of, through_prefect=True)
        without, _counts = _ours(export, as_of, through_prefect=False)
        differences.append(with_prefect - without)
    return statistics.median(differences)


def _settings(folder: Path, url: str, port: int, name: str) -> None:
    os.environ |= {
        "MADOGUCHI_MODE": "sandbox",
        "MADOGUCHI_VAR_DIR": str(folder / name),
        "MADOGUCHI_OFFICE_FILE": str(_office_file(folder)),
        "MADOGUCHI_ZOOM__TOKEN_URL": f"{url}/oauth/token",
        "MADOGUCHI_ZOOM__API_URL": f"{url}/v2",
        "MADOGUCHI_SMTP__HOST": "127.0.0.1",
        "MADOGUCHI_SMTP__PORT": str(port),
    }
    os.environ.pop("MADOGUCHI_DATABASE_URL", None)
    from tasks.wiring import use_services

    use_services(None)


def _plans_and_mails(count: int, as_of: datetime) -> tuple[list[tuple[str, MeetingPlan]], list[tuple[str, bytes]]]:
    """Return what the bare script posts and sends: as many meetings, and the mails that were really sent."""
    start = datetime.combine(as_of.date() + timedelta(days=3), wall(11), JST)
    plans = [
        (f"host-{n % HOSTS}@example.jp", MeetingPlan(token=f"B-{n:05}", start=start, passcode="abcd2345"))
        for n in range(count)
    ]
    body = b"Content-Type: text/plain\r\n\r\n" + b"x" * 70 + b"\r\n"
    filler = (b"x" * 76 + b"\r\n") * 190
    return plans, [(f"mihon{n}@example.jp", body + filler) for n in range(count)]


def main() -> int:
    """Print the figures; 0 if both limits hold."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--child", choices=("steps", "flow", "overhead"))
    parser.add_argument("--folder")
    options = parser.parse_args()
    as_of = datetime.combine(datetime.now(JST).date() + timedelta(days=1), wall(9), JST)
    if options.child:
        folder = Path(options.folder)
        if options.child != "steps":
            from config.settings import ROOT, load_settings
            from madoguchi.adapters.prefect_server import connect

            settings = load_settings()
            connect(settings.var_dir, "127.0.0.1", 0, ROOT / "config" / "prefect_logging.yml").wait_until_ready()
        if options.child == "overhead":
            print(json.dumps({"seconds": _overhead(folder / "export.csv", as_of)}))
            return 0
        seconds, counts = _ours(folder / "export.csv", as_of, through_prefect=options.child == "flow")
        print(json.dumps({"seconds": seconds, "counts": counts}))
        return 0
    return _compare(options.rows, as_of)


def _child(folder: Path, kind: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bench_requests", "--child", kind, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _compare(rows: int, as_of: datetime) -> int:
    with tempfile.TemporaryDirectory(prefix="madoguchi-bench-") as name, running_sink() as (port, taken):
        folder = Path(name)
        zoom, url = _start_zoom(folder)
        try:
            httpx.post(f"{url}/sandbox/clock", json={"now": as_of.isoformat()}).raise_for_status()
            from config.office_file import read_office

            write_google_export(
                folder / "export.csv",
                rows,
                start_day=as_of.date() - timedelta(days=1),
                days=90,
                per_slot=3,
                office=read_office(_office_file(folder), sandbox=True),
            )
            _settings(folder, url, port, "steps")
            steps = _child(folder, "steps")
            confirmed = steps["counts"]["confirmed"]
            bare = _bare(url, port, *_plans_and_mails(confirmed, as_of))
            _settings(folder, url, port, "flow")
            flow = _child(folder, "flow")
            overhead = _child(folder, "overhead")
        finally:
            zoom.terminate()
            zoom.wait()
    seconds = {"steps": steps["seconds"], "flow": flow["seconds"], "bare": bare, "prefect": overhead["seconds"]}
    return _print(rows, confirmed, seconds, taken.value)


def _print(rows: int, confirmed: int, seconds: dict[str, float], mails: int) -> int:
    ratio = seconds["flow"] / seconds["bare"]
    prefect_ms = max(0.0, seconds["prefect"]) / confirmed * 1000
    print(f"(b) {rows} applications, {confirmed} sessions confirmed, stand-in Zoom at {LATENCY * 1000:.0f} ms")
    print(f"    bare posts and sends       {seconds['bare']:7.2f} s   {CONCURRENCY} creations at once, as below")
    print(f"    file to confirmed mails    {seconds['flow']:7.2f} s   ({seconds['steps']:.2f} s without Prefect)")
    print(f"    ratio {ratio:.2f}, at most {LIMIT}: {'OK' if ratio <= LIMIT else 'FAIL'}; {mails} mails taken in all")
    verdict = "OK" if prefect_ms < PREFECT_LIMIT_MS else "FAIL"
    print(f"    Prefect a booking {prefect_ms:.2f} ms, under {PREFECT_LIMIT_MS:.0f}: {verdict}")
    return 0 if ratio <= LIMIT and prefect_ms < PREFECT_LIMIT_MS and confirmed >= 0.95 * rows else 1


if __name__ == "__main__":
    sys.exit(main())
