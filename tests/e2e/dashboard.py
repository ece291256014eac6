"""Prefect's dashboard in the machine's own Chromium, used as a clerk uses it: by what stands on the screen."""

import os
import re
import shutil
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE = 60_000
_BUSY = 503
# Chromium draws these pages without the help of a graphics process, which eats a core where there is none.
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-3d-apis"]


def chromium():
    """The browser's path. Without one the tests are skipped, loudly; in CI they fail."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium on this machine, and CI must not pass without it: install the package chromium")
        warnings.warn("NOT TESTED IN A BROWSER: no Chromium on this machine", UserWarning, stacklevel=1)
        pytest.skip("no Chromium on this machine")
    return found


@contextmanager
def browser_page(width=1300, height=1500):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=_ARGUMENTS)
        page = browser.new_page(viewport={"width": width, "height": height}, locale="ja-JP", timezone_id="Asia/Tokyo")
        page.set_default_timeout(_PATIENCE)
        try:
            yield page
        finally:
            browser.close()


class Dashboard:
    """What a clerk does there. `pictures`: where screenshots go."""

    def __init__(self, page, url, pictures: Path):
        self.page, self.url, self.pictures = page, url.rstrip("/"), pictures
        pictures.mkdir(parents=True, exist_ok=True)

    def open_form(self, flow):
        """Deployments, the form's line, Run, Custom run."""
        page = self.page
        page.goto(f"{self.url}/deployments")
        # Ten stand on a page. The name of a flow may be the beginning of another one's.
        page.get_by_placeholder("Search deployments").fill(flow)
        line = page.locator("tr").filter(has=page.get_by_text(flow, exact=True)).filter(has_text="by-hand").first
        link = line.get_by_role("link", name="by-hand")
        # The list draws itself anew while it is searched; a click in that moment goes to nobody.
        page.goto(self.url + link.get_attribute("href"))
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text("Custom run", exact=True).click()

    def field(self, name):
        label = self.page.locator(".schema-form-property__label", has_text=re.compile(rf"^{name}( |$)"))
        return self.page.locator(".schema-form-property").filter(has=label)

    def write(self, name, text):
        self.field(name).locator("textarea").fill(text)

    def choose(self, name, phrase):
        self.field(name).locator(".p-select-button__control").focus()
        self.page.keyboard.press("Space")
        self.page.get_by_text(phrase, exact=True).last.click()
        expect(self.field(name)).to_contain_text(phrase)

    def pick_day(self, name, months, day):
        """Choose a day so many months ahead in the calendar of a field."""
        self.field(name).locator("button").last.click()
        for _ in range(months):
            self.page.locator(".p-calendar-header__after button").click()
        dates = self.page.locator(".p-calendar-date-picker__date--in-month")
        dates.filter(has_text=re.compile(rf"^{day}$")).first.click()
        self.page.get_by_role("button", name="Apply").click()

    def submit(self, wanted, says):
        """Send the form, go to its run, and wait for its end and for what it says."""
        self.send()
        self.ends(wanted, says)

    def send(self):
        """Send the form and go to its run."""
        page = self.page
        for _ in range(3):
            # The note that offers the way there slides through the window and is soon gone; the answer names the run.
            with page.expect_response(lambda given: given.url.endswith("/create_flow_run")) as made:
                page.get_by_role("button", name="Submit").click()
            # Prefect's own SQLite, busy: whoever sits there presses again.
            if made.value.status != _BUSY:
                break
        assert made.value.ok, made.value.text()
        page.goto(f"{self.url}/runs/flow-run/{made.value.json()['id']}")

    def ends(self, wanted, says):
        """Wait for the end of the run that is shown, and for what it says."""
        page = self.page
        badge = page.locator("[class*=state-badge]").filter(has_text=re.compile("Completed|Failed|Crashed")).first
        badge.wait_for()
        expect(badge).to_have_text(wanted)
        try:
            expect(page.locator("body")).to_contain_text(says, timeout=8_000)
        except AssertionError:
            # The page stops asking for the log when the run has ended, now and then before its last line is there.
            page.reload()
            expect(page.locator("body")).to_contain_text(says, timeout=_PATIENCE)

    def picture(self, name):
        self.page.screenshot(path=self.pictures / f"{name}.png")
