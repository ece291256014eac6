"""An amendment of the terms in the dashboard of a real `madoguchi up`: refused, shown, answered, proved."""

import json

import httpx
import pytest

from config.settings import ROOT
from madoguchi.domain.office import JST
from tests.e2e.dashboard import Dashboard, browser_page, chromium
from tests.e2e.running_office import days, running_office

pytestmark = [pytest.mark.prefect, pytest.mark.slow]

PRESENT = ROOT / "config" / "terms" / "service-2025-04-01.txt"
CHANGED = ROOT / "config" / "terms-samples" / "service-2026-12-20.txt"
REASON = "相談の時間を広げるため"


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    """Three people with sessions ahead: one reads mail, one's address does not exist, one has none."""
    chromium()
    with running_office(tmp_path_factory.mktemp("var"), tmp_path_factory.mktemp("files")) as running:
        now, _, _, ahead = days()
        running.intake(
            now,
            [
                (1, ahead, "11:00"),
                (2, ahead, "13:00", {"email": "bounce-hard@example.jp"}),
                (3, ahead, "14:00", {"email": ""}),
            ],
        )
        running.now = now
        yield running


@pytest.fixture
def dashboard(office):
    with browser_page() as page:
        yield Dashboard(page, office.up.dashboard_url, ROOT / "var" / "screenshots" / "terms-flow")


def fill_in(dashboard, *, file=CHANGED, reason=REASON, months=2, day=15):
    dashboard.open_form("announce-amendment")
    dashboard.write("file", str(file))
    dashboard.choose("ground", "13(1)")
    dashboard.write("reason", reason)
    dashboard.write("approver", "松戸")
    dashboard.pick_day("effective_date", months, day)


def answer(dashboard, word):
    """Resume, type the word, send."""
    page = dashboard.page
    page.get_by_role("button", name="Resume").click()
    window = page.locator(".p-modal__card")
    fields = window.locator("textarea")
    fields.nth(0).fill(word)
    fields.nth(1).fill("松戸")
    dashboard.picture(f"resume-{word}")
    window.get_by_role("button", name="Submit").click()


def code_of(now, months=2, day=15):
    """What the version is called: its day."""
    whole = now.year * 12 + now.month - 1 + months
    return f"{whole // 12}-{whole % 12 + 1:02d}-{day}"


def proof(office, code):
    return json.loads(office.madoguchi("terms", "proof", code, "--json", code=1))["totals"]


def codes(office):
    return [version["code"] for version in json.loads(office.madoguchi("terms", "list", "--json"))["versions"]]


def test_refusals_are_one_sentence_and_ask_nobody(office, dashboard, tmp_path):
    cites = tmp_path / "cites.txt"
    cites.write_text(CHANGED.read_text(encoding="utf-8").replace("第３条(1)", "第３条(9)"), encoding="utf-8")
    fill_in(dashboard, file=PRESENT)
    dashboard.submit("Failed", says="今の規約と同じです")
    dashboard.picture("refused-unchanged")
    fill_in(dashboard, file=cites)
    dashboard.submit("Failed", says="条項の引用に、直すところが")
    dashboard.picture("refused-citation")
    assert codes(office) == codes(office)[:2]


def test_an_amendment_is_shown_answered_told_and_proved(office, dashboard):
    page, code = dashboard.page, code_of(office.now.astimezone(JST))
    site = f"{office.up.web_url}/terms/amendments/{code}/"
    fill_in(dashboard)
    dashboard.picture("form")
    dashboard.send()
    page.get_by_role("button", name="Resume").wait_for()
    answer(dashboard, "いいえ")
    dashboard.ends("Failed", says="承認されませんでした")
    dashboard.picture("no")
    assert httpx.get(site).status_code in {404, 503}
    assert code not in codes(office)

    fill_in(dashboard)
    dashboard.send()
    page.get_by_role("button", name="Resume").wait_for()
    page.get_by_text("Artifacts", exact=True).first.click()
    page.locator("a", has_text="announce-amendment-preview").first.click()
    body = page.locator("body")
    for said in ("新旧対照表", "お名前 様", "お知らせする方", "送るのにかかる時間"):
        body.get_by_text(said).first.wait_for()
    page.screenshot(path=dashboard.pictures / "preview.png", full_page=True)
    page.go_back()
    answer(dashboard, "はい")
    dashboard.ends("Completed", says="3名のうち 2名にメールでお知らせしました")
    dashboard.picture("yes")
    page.get_by_text("Artifacts", exact=True).first.click()
    for key in ("announce-amendment-progress", "announce-amendment-proof"):
        page.locator("a", has_text=key).first.wait_for()
    page.locator("a", has_text="announce-amendment-proof").first.click()
    body.get_by_text("メールでお知らせ済み").first.wait_for()
    page.screenshot(path=dashboard.pictures / "proof.png", full_page=True)
    assert REASON in httpx.get(site).text
    assert (proof(office, code)["told"], proof(office, code)["no_address"]) == (2, 1)

    office.madoguchi("run", "read-bounces", "--json")
    assert (proof(office, code)["told"], proof(office, code)["bounced"]) == (1, 1)
    told = [m["kind"] for m in office.listed("messages") if m["status"] == "sent"]
    assert told.count("terms_amended") == 2

    fill_in(dashboard)
    dashboard.submit("Failed", says="お知らせも済んでいます")
    dashboard.picture("refused-again")
