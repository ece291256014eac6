"""The overview in Chromium: no finding of axe on phone, desk, paper and in the dark; nothing sticks out."""

import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from madoguchi.store.database import Database
from madoguchi.web import WebSecrets, running_web
from tasks.usage_report import write_report
from tests.e2e.dashboard import chromium
from tests.e2e.test_terms_site import SMALL_TARGETS, STICKS_OUT, TAGS
from tests.overview_help import NOW, a_busy_morning, half_a_year
from tests.world import ROOT, Clock, World

PICTURES = ROOT / "var" / "screenshots" / "overview"
PASSWORD = "password-of-the-tests"
MODES = {
    "phone": {"width": 390, "scheme": "light", "media": "screen"},
    "narrow": {"width": 320, "scheme": "light", "media": "screen"},
    "desk": {"width": 1300, "scheme": "light", "media": "screen"},
    "dark": {"width": 1300, "scheme": "dark", "media": "screen"},
    "paper": {"width": 794, "scheme": "light", "media": "print"},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory, sqlite_template):
    folder = tmp_path_factory.mktemp("overview")
    shutil.copy(sqlite_template, folder / "record.db")
    database = Database(f"sqlite:///{folder / 'record.db'}")
    world = World(database, clock=Clock(NOW), spool=folder / "spool", reports_dir=folder / "reports")
    half_a_year(world)
    a_busy_morning(world)
    yield world
    database.close()


@pytest.fixture(scope="module")
def url(world):
    with running_web(world.services, WebSecrets("", PASSWORD), taking=False) as address:
        yield address


@pytest.fixture(scope="module")
def report(world):
    written = write_report(world.services, world.run(), "2026-08")
    return world.services.reports_dir / written.files[0]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_axe_finds_nothing_and_nothing_sticks_out(url, browser, mode):
    look = MODES[mode]
    context = browser.new_context(
        viewport={"width": look["width"], "height": 900}, color_scheme=look["scheme"], locale="ja-JP",
        http_credentials={"username": "staff", "password": PASSWORD}, java_script_enabled=True,
    )  # fmt: skip
    page = context.new_page()
    page.emulate_media(media=look["media"])
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{url}/overview")
    for closed in (True, False):
        if not closed:
            page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        found = Axe().run(page, options={"runOnly": TAGS})
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate(STICKS_OUT) <= 0
        assert page.evaluate(SMALL_TARGETS) == []
        page.screenshot(path=PICTURES / f"{mode}-{'closed' if closed else 'open'}.png", full_page=True)
    context.close()
    assert {each for each in asked if not each.startswith((url, "data:"))} == set()


@pytest.mark.slow
def test_it_works_without_javascript_and_leads_to_the_day_and_back(url, browser):
    context = browser.new_context(
        java_script_enabled=False, locale="ja-JP", http_credentials={"username": "staff", "password": PASSWORD}
    )
    page = context.new_page()
    page.goto(f"{url}/")
    assert page.url.endswith("/overview")
    page.get_by_text("数で見る（日ごとの申込み）").click()
    assert page.get_by_role("row", name="9月23日（水）").is_visible()
    page.get_by_role("link", name="今日の相談").click()
    page.get_by_role("link", name="窓口の様子").click()
    assert page.url.endswith("/overview")
    context.close()


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_the_report_of_a_month_is_a_page_that_everybody_can_read_without_anything_else(report, browser, mode):
    look = MODES[mode]
    page = browser.new_page(
        viewport={"width": look["width"], "height": 900}, color_scheme=look["scheme"], locale="ja-JP"
    )
    page.emulate_media(media=look["media"])
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    found = Axe().run(page, options={"runOnly": TAGS})
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate(STICKS_OUT) <= 0
    page.screenshot(path=PICTURES / f"report-{mode}.png", full_page=True)
    page.close()
    assert {each for each in asked if not each.startswith(("file:", "data:"))} == set()
