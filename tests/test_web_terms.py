"""The public terms over real HTTP: open to everybody, nothing else of the disk, new at the switch without a restart."""

import re
import shutil
import socket
import threading
from dataclasses import replace

import httpx
import pytest

from madoguchi.adapters.terms_site import build_site
from madoguchi.store.database import Database
from madoguchi.web import MOST_BYTES, WEBHOOK_PATH, WebSecrets, running_web
from tests.terms_site_help import TEMPLATES, sample_content
from tests.webhook_help import SECRET, world_with_meeting
from tests.world import jst

OPEN = WebSecrets(SECRET, "password-of-the-tests")


@pytest.fixture
def http():
    with httpx.Client(trust_env=False, timeout=10) as client:
        yield client


@pytest.fixture
def place(sqlite_template, tmp_path):
    shutil.copy(sqlite_template, tmp_path / "record.db")
    database = Database(f"sqlite:///{tmp_path / 'record.db'}")
    world, _, _ = world_with_meeting(database, tmp_path)
    with running_web(world.services, OPEN, taking=False, site=tmp_path / "site") as url:
        yield url, tmp_path / "site"
    database.close()


@pytest.fixture
def built(place):
    build_site(place[1], sample_content(), TEMPLATES)
    return place


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", "text/html"),
        ("versions/", "text/html"),
        ("versions/2026-10-01/", "text/html"),
        ("amendments/2026-10-01/index.html", "text/html"),
        ("style.css", "text/css"),
        ("feed.atom", "application/atom+xml"),
    ],
)
def test_everybody_may_read_without_a_password_and_through_a_proxy(built, http, path, kind):
    url, site = built
    headers = {"Host": "counter.example.jp", "X-Forwarded-For": "203.0.113.9"}
    answer = http.get(f"{url}/terms/{path}", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    name = path + "index.html" if not path or path.endswith("/") else path
    assert answer.content == (site / "current" / name).read_bytes()
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.headers["last-modified"].endswith("GMT")
    assert http.head(f"{url}/terms/{path}").status_code == 200


def test_who_has_a_page_is_told_that_it_has_not_changed(built, http):
    url, _ = built
    tag = http.get(f"{url}/terms/").headers["etag"]
    for header in (tag, f'"x", W/{tag}', "*"):
        again = http.get(f"{url}/terms/", headers={"If-None-Match": header})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert http.get(f"{url}/terms/", headers={"If-None-Match": '"x"'}).status_code == 200


@pytest.mark.parametrize(
    ("path", "leads"),
    [("/terms", "/terms/"), ("/terms/versions", "/terms/versions/"), ("/terms/versions/2026-10-01", None)],
)
def test_an_address_without_its_slash_leads_on_from_wherever_a_proxy_shows_it(built, http, path, leads):
    answer = http.get(f"{built[0]}{path}")
    assert answer.status_code == 307
    assert not answer.headers["location"].startswith(("/", "http"))
    followed = http.get(f"{built[0]}{path}", follow_redirects=True)
    assert (followed.status_code, followed.url.path) == (200, leads or f"{path}/")


@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "versions/2099-01-01/",
        "a/b/c/d",
        "../.lock",
        "%2e%2e/.lock",
        "..%2f..%2frecord.db",
        "%2e%2e%2f%2e%2e%2frecord.db",
        "./../builds/",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "index.html/",
        "versions//",
        "index.html%00",
        ".hidden",
        "%ff",
        "secret.txt",
        "link.html",
        "x" * 300,
    ],
)
def test_anything_else_is_not_found_and_the_page_that_says_so_has_working_links(built, http, path):
    url, site = built
    root = (site / "current").resolve()
    (root / ".hidden").write_text("secret", encoding="utf-8")
    (root / "secret.txt").write_text("secret", encoding="utf-8")
    (root / "link.html").symlink_to(site / ".lock")
    answer = raw_get(url, f"/terms/{path}")
    assert answer.startswith("HTTP/1.1 404"), answer[:200]
    assert "secret" not in answer
    assert "root:" not in answer


def raw_get(url, target):
    """As it is written: a client would tidy the path."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as there:
        there.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        parts = []
        while part := there.recv(65536):
            parts.append(part)
    return b"".join(parts).decode()


@pytest.mark.parametrize("path", ["nothing", "versions/nothing/", "a/b/c"])
def test_the_links_of_the_page_for_what_is_not_there_work_at_any_depth(built, http, path):
    url, _ = built
    answer = http.get(f"{url}/terms/{path}")
    assert answer.status_code == 404
    assert answer.headers["cache-control"] == "no-store"
    links = [link for link in re.findall(r' href="([^"#]+)"', answer.text) if not link.startswith(("data:", "tel:"))]
    assert links
    for link in links:
        assert http.get(answer.url.join(link)).status_code == 200, link


def test_a_switch_is_seen_without_a_restart_and_no_answer_fails_meanwhile(built, http):
    url, site = built
    old, new = sample_content(), sample_content(as_of=jst("2026-10-01 00:00"))
    over = threading.Event()

    def build():
        for _ in range(6):
            build_site(site, new, TEMPLATES)
            build_site(site, old, TEMPLATES)
        build_site(site, new, TEMPLATES)
        over.set()

    builder = threading.Thread(target=build)
    builder.start()
    seen = set()
    while not over.is_set():
        answer = http.get(f"{url}/terms/")
        assert answer.status_code == 200
        seen.add("第５条の２" in answer.text)
    builder.join()
    assert "第５条の２" in http.get(f"{url}/terms/").text
    assert seen


def test_while_nothing_is_built_the_page_says_so_to_the_public_and_to_staff(place, http):
    url, site = place
    answer = http.get(f"{url}/terms/")
    assert answer.status_code == 503
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["retry-after"] == "60"
    assert "準備中" in answer.text
    assert "madoguchi terms build" in answer.text
    build_site(site, sample_content(), TEMPLATES)
    assert http.get(f"{url}/terms/").status_code == 200


def test_the_other_doors_stay_as_they_were(built, http):
    url, _ = built
    assert http.get(f"{url}/day").status_code == 401
    assert http.get(f"{url}/day", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 403
    assert http.post(f"{url}/terms/").status_code == 405


def test_what_is_public_holds_nobodys_data(built):
    site = built[1]
    everything = b"".join(path.read_bytes() for path in (site / "current").resolve().rglob("*") if path.is_file())
    for word in ("架空 七海", "nanami", "@example", "M-"):
        assert word.encode() not in everything


def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_read(place):
    host, port = place[0].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=3) as there:
        there.sendall(f"POST {WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {MOST_BYTES + 1}\r\n\r\n".encode())
        assert there.recv(4096).startswith(b"HTTP/1.1 413")


def test_connections_beyond_the_limit_are_told_to_come_later(place):
    host, port = place[0].removeprefix("http://").split(":")
    kept = []
    try:
        kept += [socket.create_connection((host, int(port)), timeout=5) for _ in range(205)]
        kept[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert kept[-1].recv(4096).startswith(b"HTTP/1.1 503")
    finally:
        for connection in kept:
            connection.close()


def test_two_contents_are_two_tags(built, http):
    url, site = built
    before = http.get(f"{url}/terms/").headers["etag"]
    build_site(site, replace(sample_content(), as_of=jst("2026-10-01 00:00")), TEMPLATES)
    answer = http.get(f"{url}/terms/", headers={"If-None-Match": before})
    assert (answer.status_code, answer.headers["etag"] != before) == (200, True)
