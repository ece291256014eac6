"""A bad morning: the relay was down overnight. An operator sees it in the dashboard, understands it, and repairs it."""

import json
import re
from collections import Counter
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import expect

from config.settings import ROOT
from tests.e2e.dashboard import Dashboard, browser_page, chromium
from tests.e2e.running_office import days, running_office

# An `up` of its own beside other tests is more than some machines do in a minute: with make chaos.
pytestmark = [pytest.mark.prefect, pytest.mark.slow, pytest.mark.chaos]

APPLICANTS = 3


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    """Three confirmed sessions, whose mails the relay refused, all night."""
    chromium()
    with running_office(tmp_path_factory.mktemp("var"), tmp_path_factory.mktemp("files")) as running:
        mailbox(running, "POST", json={"at": "MAIL", "kind": "4xx", "times": None})
        _, _, earlier, ahead = days()
        running.intake(earlier, [(n, ahead, f"{10 + n}:00") for n in range(1, APPLICANTS + 1)], code=1)
        yield running


@pytest.fixture
def dashboard(office):
    with browser_page() as page:
        yield Dashboard(page, office.up.dashboard_url, ROOT / "var" / "screenshots" / "bad-morning")


def mailbox(office, method, **more):
    """The stand-in relay's own side: a fault is ordered, or all are taken away."""
    httpx.request(method, f"{office.up.mailbox_url}/sandbox/faults", trust_env=False, **more).raise_for_status()


def arrived(office):
    """How many mails lie in the mailbox, by address and subject."""
    mails = httpx.get(f"{office.up.mailbox_url}/sandbox/messages", trust_env=False).json()
    return Counter(json.dumps([mail["to"], mail["subject"]], ensure_ascii=False) for mail in mails)


def on_schedule(office, flow, name):
    """What the night's schedule does, without waiting for its minute."""
    with httpx.Client(base_url=f"{office.up.dashboard_url}api", trust_env=False, timeout=30) as http:
        client = str(uuid4())
        token = http.get("/csrf-token", params={"client": client}).json()["token"]
        http.headers.update({"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": client})
        deployment = http.get(f"/deployments/name/{flow}/{name}").raise_for_status().json()["id"]
        http.post(f"/deployments/{deployment}/create_flow_run", json={}).raise_for_status()


def open_failed_run(dashboard, flow):
    """Runs, the red one of this flow, its page."""
    page = dashboard.page
    page.goto(f"{dashboard.url}/runs")
    card = page.locator(".flow-run-list-item, .state-list-item").filter(has_text=flow).filter(has_text="Failed").first
    card.wait_for()
    dashboard.picture("runs")
    card.get_by_role("link").filter(has_text=re.compile(rf"^{flow}")).last.click()


def read_artifact(dashboard, name):
    """What the run that is shown has written: the tab Artifacts, the one of this name, its page."""
    page = dashboard.page
    page.get_by_text("Artifacts", exact=True).last.click()
    link = page.locator("a[href*='/artifacts/artifact/']").filter(has_text=name).last
    link.wait_for()
    dashboard.picture("alarm-artifacts")
    page.goto(dashboard.url + link.get_attribute("href"))


def retry(dashboard):
    """The button, and the window that asks whether that is meant."""
    page = dashboard.page
    page.get_by_role("button", name="Retry", exact=True).first.click()
    dashboard.picture("retry-asked")
    page.locator(".p-modal__card").get_by_role("button", name="Retry").click()


def test_the_mails_of_a_night_without_a_relay_are_sent_by_one_press_of_retry(office, dashboard):
    page = dashboard.page
    on_schedule(office, "deliver-messages", "reception-hours")
    on_schedule(office, "watch", "reception-hours")
    assert arrived(office) == {}

    # The alarm says in Japanese what happened, whom it touches, and what to press.
    open_failed_run(dashboard, "watch")
    dashboard.ends("Failed", says="お知らせが送れていません")
    dashboard.picture("alarm")
    read_artifact(dashboard, "watch")
    expect(page.locator("body")).to_contain_text("送る時刻を過ぎても、お知らせが送れていません。")
    expect(page.locator("body")).to_contain_text("deliver-messages/by-hand を実行してください")
    dashboard.picture("alarm-artifact")

    open_failed_run(dashboard, "deliver-messages")
    dashboard.ends("Failed", says=f"{APPLICANTS} of {APPLICANTS} messages not delivered")
    expect(page.locator("body")).to_contain_text("run again")
    dashboard.picture("failed")

    mailbox(office, "DELETE")
    badge = page.locator("[class*=state-badge]").first
    for _ in range(3):
        retry(dashboard)
        # The schedule's own turn, just then under way, leaves no room for it: whoever sits there presses again.
        expect(badge).to_have_text(re.compile("Completed|Cancelled"), timeout=60_000)
        if badge.inner_text().strip() == "Completed":
            break
    expect(badge).to_have_text("Completed")
    dashboard.picture("completed")

    assert sorted(arrived(office).values()) == [1] * APPLICANTS
    assert {message["status"] for message in office.listed("messages") if message["kind"] == "confirmed"} == {"sent"}
