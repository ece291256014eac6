"""The public terms in Chromium: no finding of axe on phone, desktop, paper and in the dark; nothing sticks out."""

import functools
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from madoguchi.adapters.terms_site import build_site
from tests.e2e.dashboard import chromium
from tests.terms_site_help import TEMPLATES, sample_content
from tests.world import ROOT

PICTURES = ROOT / "var" / "screenshots" / "site"
PAGES = {
    "index": "",
    "amendments": "amendments/",
    "amendment": "amendments/2026-10-01/",
    "withdrawn": "amendments/2026-09-20/",
    "versions": "versions/",
    "version": "versions/2026-10-01/",
    "missing": "404.html",
}
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
MODES = {
    "phone": {"width": 390, "scheme": "light", "media": "screen", "pages": PAGES},
    "desktop": {"width": 1200, "scheme": "light", "media": "screen", "pages": ("index", "amendment", "version")},
    "dark": {"width": 1200, "scheme": "dark", "media": "screen", "pages": ("index", "withdrawn")},
    "paper": {"width": 660, "scheme": "light", "media": "print", "pages": ("index", "amendment")},
}
STICKS_OUT = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SMALL_TARGETS = """() => [...document.querySelectorAll("a[href], summary")].filter(element => {
    const box = element.getBoundingClientRect();
    return box.width && box.height < 24 && getComputedStyle(element).display !== "inline";
}).map(element => element.textContent.trim())"""


@contextmanager
def plain_server(folder):
    """Any web server: the site needs none of ours. Its 404 page is written for where the public finds it."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def translate_path(self, path):
            return super().translate_path(path.removeprefix("/madoguchi/terms"))

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/madoguchi/terms/"
        server.shutdown()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("public") / "site"
    build_site(folder, sample_content(), TEMPLATES)
    with plain_server(folder / "current") as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("mode", MODES)
def test_axe_finds_nothing_and_nothing_sticks_out(site, browser, mode):
    look = MODES[mode]
    page = browser.new_page(
        viewport={"width": look["width"], "height": 900}, color_scheme=look["scheme"], locale="ja-JP"
    )
    page.emulate_media(media=look["media"])
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for name in look["pages"]:
        page.goto(f"{site}{PAGES[name]}")
        found = Axe().run(page, options={"runOnly": TAGS})
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate(STICKS_OUT) <= 0, name
        assert page.evaluate(SMALL_TARGETS) == [], name
        page.screenshot(path=PICTURES / f"{mode}-{name}.png", full_page=True)
    page.close()
    assert {url for url in asked if not url.startswith((site, "data:"))} == set()


def test_the_narrowest_screen_and_the_largest_letters_need_no_scrolling_sideways(site, browser):
    page = browser.new_page(viewport={"width": 320, "height": 640}, locale="ja-JP")
    for name, path in PAGES.items():
        page.goto(f"{site}{path}")
        assert page.evaluate(STICKS_OUT) <= 0, name
    page.close()


def test_a_reader_comes_to_everything_by_keyboard_alone(site, browser):
    page = browser.new_page(viewport={"width": 390, "height": 900}, locale="ja-JP")
    page.goto(site)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "本文へ進む"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    page.keyboard.press("Enter")
    page.set_default_timeout(5_000)
    page.get_by_role("link", name="申込み").and_(page.locator(".toc.top a")).press("Enter")
    assert page.url.endswith("#a5")
    page.close()


def test_it_prints_on_a4_with_its_address(site, browser):
    page = browser.new_page(locale="ja-JP")
    page.goto(f"{site}amendments/2026-10-01/")
    page.emulate_media(media="print")
    assert page.get_by_text("https://counter.example.jp/madoguchi/terms/amendments/2026-10-01/").is_visible()
    assert not page.get_by_role("navigation", name="サイト内").is_visible()
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    page.close()
