"""The public site as files: what it says, that words stay words, and that nobody ever sees half of it."""

import itertools
import os
import re
import threading
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urljoin

import html5lib
import pytest

from madoguchi.adapters.terms_site import SiteFolderError, build_site
from madoguchi.adapters.terms_site_pages import SiteTemplateError, render_site
from madoguchi.adapters.terms_site_text import full_text
from madoguchi.domain.terms_reading import parse_terms
from tests.terms_site_help import (
    AS_OF,
    BASE,
    TEMPLATES,
    sample_content,
    site_files,
    templates_with,
    with_hostile_words,
)
from tests.world import jst

ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture(scope="module")
def content():
    return sample_content()


@pytest.fixture(scope="module")
def later(content):
    """The day on which the coming version takes effect."""
    return replace(content, as_of=jst("2026-10-01 00:00"))


@pytest.fixture(scope="module")
def pages(content):
    return {name: data.decode() for name, data in render_site(content, TEMPLATES).items()}


def html(pages):
    return {name: text for name, text in pages.items() if name.endswith(".html")}


def words(text):
    """What a page says, without its marks."""
    return re.sub(r"\s+", "", re.sub(r"<[^>]+>", "", text))


# --- what it says


def test_the_first_page_has_the_terms_in_force_and_what_is_coming(pages):
    text = words(pages["index.html"])
    assert "オンライン職業相談利用規約" in text
    assert "現在の規約第2版令和8年（2026年）4月1日（水曜日）から令和8年（2026年）9月30日（水曜日）まで" in text
    assert "令和8年（2026年）10月1日（木曜日）から規約が変わります" in text
    assert "令和8年（2026年）9月20日（日曜日）からの変更は取りやめました" in text
    assert "１回３０分です" in text


def test_on_the_day_the_new_version_is_the_one_in_force(later):
    pages = {name: data.decode() for name, data in render_site(later, TEMPLATES).items()}
    assert "現在の規約第4版" in words(pages["index.html"])
    assert "第５条の２" in pages["index.html"]
    assert "規約が変わります" not in pages["index.html"]
    assert "効力は、令和8年（2026年）9月30日（水曜日）で終わりました" in words(pages["versions/2026-04-01/index.html"])
    assert "すでに現在の規約に入っています" in words(pages["amendments/2026-10-01/index.html"])


def test_an_amendment_says_what_why_on_what_ground_from_when_and_whom_to_ask(pages):
    text = words(pages["amendments/2026-10-01/index.html"])
    for phrase in (
        "予約した日時を、１回に限り、電話で変えられるようにします",
        "いったんキャンセルして申し込み直す必要がありました",
        "一般の利益に適合するため（利用規約第13条(1)）",
        "令和8年（2026年）10月1日（木曜日）から",
        "お知らせした日令和8年（2026年）9月1日（火曜日）",
        "047-000-0000",
        "平日8時30分から17時15分まで",
    ):
        assert phrase in text
    assert 'href="../../versions/2026-10-01/"' in pages["amendments/2026-10-01/index.html"]


def test_a_withdrawn_amendment_keeps_its_page_and_says_so_with_the_reason(pages):
    for page in ("amendments/2026-09-20/index.html", "versions/2026-09-20/index.html", "versions/index.html"):
        assert "取りやめ" in pages[page]
    text = words(pages["amendments/2026-09-20/index.html"])
    assert "令和8年（2026年）8月28日（金曜日）に取りやめました" in text
    assert "２０分では十分に相談できない" in text
    assert "３０分から２０分に改めます" in text


def test_a_short_notice_is_explained(content):
    hurried = tuple(replace(one, short_notice_reason="法令の施行に合わせるため") for one in content.amendments)
    pages = render_site(replace(content, amendments=hurried), TEMPLATES)
    assert "法令の施行に合わせるため" in pages["amendments/2026-10-01/index.html"].decode()


def test_everything_that_can_be_cited_has_an_anchor(pages):
    for anchor in ("a1", "a2p1i2", "a4p2", "a5p1s3", "a5_2p1", "a6p2", "a8p1i1"):
        assert f'id="{anchor}"' in pages["versions/2026-10-01/index.html"]


def test_before_the_first_version_the_site_says_that_there_is_none(content):
    pages = render_site(replace(content, as_of=jst("2025-01-01 00:00")), TEMPLATES)
    assert "いま効力のある規約は、まだありません" in pages["index.html"].decode()
    empty = render_site(replace(content, versions=(), amendments=()), TEMPLATES)
    assert "お知らせは、まだありません" in empty["amendments/index.html"].decode()
    assert words(empty["versions/index.html"].decode()).count("まだありません") == 1


# --- its form


def test_every_page_is_strictly_html(pages):
    for name, text in html(pages).items():
        html5lib.HTMLParser(strict=True).parse(text)
        assert text.count("<h1") == 1, name
        ids = re.findall(r' id="([^"]+)"', text)
        assert len(ids) == len(set(ids)), name


def test_headings_leave_no_level_out(pages):
    for name, text in html(pages).items():
        levels = [int(level) for level in re.findall(r"<h([1-6])", text)]
        assert levels[0] == 1, name
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), name


def test_links_and_anchors_inside_the_site_lead_somewhere(pages):
    for name, text in html(pages).items():
        for link in re.findall(r' href="([^"]+)"', text):
            if link.startswith(("data:", "tel:")):
                continue
            target, _, anchor = urljoin(f"{BASE}/{name}", link).partition("#")
            assert target.startswith(f"{BASE}/"), (name, link)
            path = target.removeprefix(f"{BASE}/")
            path += "index.html" if not path or path.endswith("/") else ""
            assert path in pages, (name, link)
            assert not anchor or f'id="{anchor}"' in pages[path], (name, link)


def test_nothing_is_loaded_from_elsewhere_and_nothing_runs(pages):
    for name, text in html(pages).items():
        assert not re.search(r"<script|<iframe|<img|<style| style=| on\w+=|@import", text), name
    assert not re.search(r"url\(|@import|http", pages["style.css"])


def test_the_feed_is_atom_with_an_entry_for_each_amendment_and_withdrawal(pages):
    feed = ET.fromstring(pages["feed.atom"])
    assert feed.tag == f"{ATOM}feed"
    assert feed.findtext(f"{ATOM}id") == f"{BASE}/"
    assert feed.findtext(f"{ATOM}updated") == "2026-09-01T10:00:00+09:00"
    assert feed.find(f"{ATOM}author/{ATOM}name").text == "見本の窓口 オンライン相談コーナー"
    assert feed.find(f"{ATOM}link[@rel='self']").get("href") == f"{BASE}/feed.atom"
    entries = [
        tuple(entry.findtext(f"{ATOM}{tag}").removeprefix(BASE) for tag in ("id", "updated"))
        for entry in feed.findall(f"{ATOM}entry")
    ]
    assert entries == [
        ("/amendments/2026-10-01/", "2026-09-01T10:00:00+09:00"),
        ("/amendments/2026-09-20/#withdrawn", "2026-08-28T16:00:00+09:00"),
        ("/amendments/2026-09-20/", "2026-08-28T16:00:00+09:00"),
        ("/amendments/2026-04-01/", "2026-03-02T10:00:00+09:00"),
    ]
    for entry in feed.findall(f"{ATOM}entry"):
        for tag in ("title", "summary", "published"):
            assert entry.findtext(f"{ATOM}{tag}")


def test_words_stay_words_whatever_they_hold(content):
    pages = {name: data.decode() for name, data in render_site(with_hostile_words(content), TEMPLATES).items()}
    for name, text in html(pages).items():
        assert "<script" not in text, name
        assert not re.search(r'(href|src)="\s*javascript:', text), name
        assert not re.search("[\u202a-\u202e\x00\x0b\ufffe]", text), name
        html5lib.HTMLParser(strict=True).parse(text)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {{ 7*7 }}" in pages["amendments/2026-10-01/index.html"]
    feed = ET.fromstring(pages["feed.atom"])
    assert "<script>alert(1)</script>" in feed.find(f"{ATOM}entry/{ATOM}summary").text


def test_a_missing_or_broken_template_is_named_and_nothing_is_touched(content, tmp_path):
    templates = templates_with(tmp_path / "t", "index.html", "{{ nothing_of_that_name }}")
    with pytest.raises(SiteTemplateError, match=r"index\.html: UndefinedError"):
        build_site(tmp_path / "site", content, templates)
    with pytest.raises(SiteTemplateError, match="styles"):
        build_site(tmp_path / "site", content, tmp_path / "nowhere")
    assert not (tmp_path / "site").exists()


# --- the switch


def test_the_same_content_is_the_same_site_and_is_not_written_again(content, tmp_path):
    first = build_site(tmp_path / "site", content, TEMPLATES)
    stamp = first.current.resolve().stat().st_mtime_ns
    again = build_site(tmp_path / "site", replace(content, as_of=AS_OF + timedelta(days=3)), TEMPLATES)
    assert (first.changed, again.changed) == (True, False)
    assert (again.files, again.bytes) == (first.files, first.bytes)
    assert again.current.resolve().stat().st_mtime_ns == stamp
    elsewhere = build_site(tmp_path / "other", content, TEMPLATES)
    assert site_files(tmp_path / "other") == site_files(tmp_path / "site")
    assert elsewhere.current.resolve().name == first.current.resolve().name


def test_the_build_before_stays_and_older_ones_go(content, later, tmp_path):
    site = tmp_path / "site"
    states = (content, later, replace(content, as_of=jst("2026-01-01 00:00")))
    names = []
    for state in states:
        build_site(site, state, TEMPLATES)
        names.append((site / "current").resolve().name)
    assert sorted(path.name for path in (site / "builds").iterdir()) == sorted(names[1:])
    build_site(site, states[-1], TEMPLATES)
    assert sorted(path.name for path in (site / "builds").iterdir()) == sorted(names[1:])


def test_what_a_disk_lost_is_written_again(content, tmp_path):
    site = tmp_path / "site"
    build_site(site, content, TEMPLATES)
    whole = site_files(site)
    (site / "current" / "index.html").write_bytes(b"")
    assert build_site(site, content, TEMPLATES).changed
    assert site_files(site) == whole


def steps_of(site, content):
    seen = []
    build_site(site, content, TEMPLATES, before=seen.append)
    return seen


class BrokenOffError(Exception):
    pass


def breaking_at(number):
    steps = iter(range(10_000))

    def before(_name):
        if next(steps) == number:
            raise BrokenOffError

    return before


def dying_at(number):
    steps = iter(range(10_000))

    def before(_name):
        if next(steps) == number:
            os._exit(9)

    return before


@pytest.mark.parametrize("how", ["raised", "killed"])
def test_a_build_that_breaks_off_anywhere_leaves_the_old_site_or_the_new_one(content, later, tmp_path, how):
    count = len(steps_of(tmp_path / "count", later))
    old, new = site_after(tmp_path / "old", content), site_after(tmp_path / "new", later)
    assert old != new
    seen = set()
    for number in range(count):
        site = tmp_path / f"site-{number}"
        build_site(site, content, TEMPLATES)
        if how == "raised":
            with pytest.raises(BrokenOffError):
                build_site(site, later, TEMPLATES, before=breaking_at(number))
        else:
            run_in_child(lambda site=site, number=number: build_site(site, later, TEMPLATES, before=dying_at(number)))
        found = site_files(site)
        assert found in (old, new)
        seen.add("new" if found == new else "old")
        build_site(site, later, TEMPLATES)
        assert site_files(site) == new
        assert len(list((site / "builds").iterdir())) == 2
        assert not (site / ".next").is_symlink()
    assert seen == {"old", "new"}


def site_after(folder, content):
    build_site(folder, content, TEMPLATES)
    return site_files(folder)


def run_in_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_two_builders_at_once_harm_nobody_and_a_reader_always_finds_a_whole_site(content, later, tmp_path):
    site = tmp_path / "site"
    whole = [site_after(tmp_path / "a", content), site_after(tmp_path / "b", later)]
    build_site(site, content, TEMPLATES)
    errors, over = [], threading.Event()

    def build(state):
        try:
            for _ in range(8):
                build_site(site, state, TEMPLATES)
        except Exception as error:  # noqa: BLE001 — whatever it is, the test shows it
            errors.append(error)

    builders = [threading.Thread(target=build, args=(state,)) for state in (content, later)]
    reads = 0
    for builder in builders:
        builder.start()
    while not over.is_set():
        root = (site / "current").resolve(strict=True)
        # Two builds later it may be gone: then a reader looks again.
        try:
            text = (root / "index.html").read_bytes()
        except FileNotFoundError:
            continue
        assert text in [files["index.html"] for files in whole]
        reads += 1
        if not any(builder.is_alive() for builder in builders):
            over.set()
    assert errors == []
    assert reads
    assert site_files(site) in whole


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (lambda site: (site.mkdir(), (site / "letter.txt").write_text("mine")), r"holds letter\.txt"),
        (lambda site: site.write_text("a file"), "a file stands"),
        (lambda site: (site / "current").mkdir(parents=True), "is not the link"),
    ],
)
def test_a_folder_that_is_somebody_elses_is_left_alone(content, tmp_path, prepare, says):
    site = tmp_path / "site"
    prepare(site)
    with pytest.raises(SiteFolderError, match=says):
        build_site(site, content, TEMPLATES)
    assert not (site / "builds").exists() if site.is_dir() else site.read_text() == "a file"


def test_citations_are_links_to_what_they_mean_and_other_laws_are_not():
    terms = parse_terms(
        "見本の規約\n\n申込みは第２条によります。\n\n第１条 見本法第２条の３によるほか、第２条(1)によります。\n"
        "第２条\n(1) 受付をします。\n(2) 前項のほか、第１条によります。\n"
    )
    shown = full_text(terms)
    assert [(s.text, s.target) for s in shown.preamble[0]] == [("申込みは", ""), ("第２条", "a2"), ("によります。", "")]
    first, second = shown.articles
    [paragraph] = first.groups[0].blocks
    assert [(s.text, s.target) for s in paragraph.segments] == [
        ("見本法第２条の３によるほか、", ""), ("第２条(1)", "a2p1"), ("によります。", ""),
    ]  # fmt: skip
    assert [s.target for s in second.groups[0].blocks[1].segments if s.target] == ["a2p1", "a1"]
