"""A clerk cancels, records a call and settles an attendance in the dashboard of a real `madoguchi up`."""

import csv
import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from config.settings import ROOT, PrefectSettings, SandboxSettings, Settings, WebSettings
from madoguchi.adapters.holidays import is_public_holiday
from madoguchi.adapters.prefect_server import free_port
from madoguchi.commands.up import settings_environment, start_in_background
from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.office import JST
from tests.e2e.dashboard import Dashboard, browser_page, chromium
from tests.world import HEADER, answer, shipped_office

pytestmark = [pytest.mark.prefect, pytest.mark.slow]


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    """A running office with a session that is over, and two that lie ahead."""
    chromium()
    settings = Settings(
        _env_file=None,
        mode="sandbox",
        var_dir=tmp_path_factory.mktemp("var"),
        prefect=PrefectSettings(port=free_port()),
        sandbox=SandboxSettings(zoom_port=0, smtp_port=0, mailbox_port=0),
        web=WebSettings(port=free_port()),
    )
    up = start_in_background(settings)
    try:
        yield SimpleNamespace(up=up, **_booked(settings, tmp_path_factory.mktemp("exports")))
    finally:
        up.stop()


def _booked(settings, folder):
    calendar = OfficeCalendar(shipped_office(), is_public_holiday)
    now = datetime.now(JST)
    past = calendar.previous_working_day(now.date())
    ahead = calendar.next_working_day(calendar.next_working_day(now.date()))
    earlier = datetime.combine(calendar.previous_working_day(past), datetime.min.time(), JST).replace(hour=9)
    _intake(settings, folder / "past.csv", earlier, [(1, past, "11:00")])
    _intake(settings, folder / "ahead.csv", now, [(2, ahead, "11:00"), (3, ahead, "13:00")])
    bookings = sorted(_listed(settings, "bookings"), key=lambda b: b["start"])
    assert [b["status"] for b in bookings] == ["confirmed"] * 3, bookings
    over, cancelled, called = (b["reference"] for b in bookings)

    def listed(kind):
        return _listed(settings, kind)

    return {"over": over, "cancelled": cancelled, "called": called, "listed": listed}


def _intake(settings, path: Path, as_of, wishes):
    sent = as_of - timedelta(days=1)
    rows = [
        answer(n, f"{day:%Y/%m/%d}", clock, stamp=f"{sent:%Y/%m/%d} 9:{n:02d}:00 午前 GMT+9")
        for n, day, clock in wishes
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([HEADER, *rows])
    _madoguchi(
        settings, "run", "process-requests", "--as-of", as_of.isoformat(), "--set", f"path={path}",
        "--set", "source=google", "--json",
    )  # fmt: skip


def _listed(settings, kind):
    return json.loads(_madoguchi(settings, "list", kind, "--json"))


def _madoguchi(settings, *arguments):
    import os

    done = subprocess.run(
        [sys.executable, "-m", "madoguchi.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, **settings_environment(settings)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def dashboard(office, tmp_path_factory):
    with browser_page() as page:
        yield Dashboard(page, office.up.dashboard_url, ROOT / "var" / "screenshots")


def status(office, reference):
    return next(b["status"] for b in office.listed("bookings") if b["reference"] == reference)


def kinds(office):
    return sorted(m["kind"] for m in office.listed("messages") if m["status"] == "sent")


def test_a_clerk_cancels_a_booking_and_is_refused_to_cancel_it_with_another_reason(office, dashboard):
    dashboard.open_form("cancel-booking")
    dashboard.write("reference", office.cancelled.lower())
    dashboard.write("received_by", "職員-7")
    dashboard.choose("reason", "ご本人の都合")
    dashboard.picture("cancel-booking-form")
    dashboard.submit("Completed", says=f"{office.cancelled}（")
    dashboard.picture("cancel-booking-done")
    assert status(office, office.cancelled) == "cancelled"
    assert kinds(office).count("cancelled") == 1

    dashboard.open_form("cancel-booking")
    dashboard.write("reference", "M-222222")
    dashboard.write("received_by", "職員-7")
    dashboard.choose("reason", "その他")
    dashboard.submit("Failed", says="番号を確かめてください")
    dashboard.picture("cancel-booking-refused")


def test_a_clerk_records_a_call(office, dashboard):
    dashboard.open_form("record-contact")
    dashboard.write("reference", office.called)
    dashboard.choose("channel", "電話")
    dashboard.choose("about", "遅れる")
    dashboard.write("received_by", "職員-7")
    dashboard.picture("record-contact-form")
    dashboard.submit("Completed", says=f"Completed('{office.called}")
    dashboard.picture("record-contact-done")
    assert [e["kind"] for e in office.listed("evidence") if e["booking"] == office.called] == ["contact"]


def test_a_clerk_settles_an_attendance(office, dashboard):
    dashboard.open_form("settle-attendance")
    dashboard.write("reference", office.over)
    dashboard.choose("verdict", "参加した")
    dashboard.choose("reason", "担当者が確かめた")
    dashboard.write("received_by", "職員-7")
    dashboard.picture("settle-attendance-form")
    dashboard.submit("Completed", says=f"Completed('{office.over}")
    dashboard.picture("settle-attendance-done")
    assert status(office, office.over) == "attended"
    assert [(v["verdict"], v["by_person"]) for v in office.listed("verdicts") if v["booking"] == office.over][-1] == (
        "attended",
        True,
    )
