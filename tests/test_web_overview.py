"""The overview over real HTTP: behind the same door as the day list, with nobody's name, and with nothing kept."""

import shutil

import httpx
import pytest

from madoguchi.store.database import Database
from madoguchi.store.models import Audit
from madoguchi.web import WebSecrets, running_web
from tests.overview_help import NOW, a_busy_morning
from tests.world import Clock, World

PASSWORD = "password-of-the-tests"


@pytest.fixture
def world(sqlite_template, tmp_path):
    shutil.copy(sqlite_template, tmp_path / "record.db")
    database = Database(f"sqlite:///{tmp_path / 'record.db'}")
    yield World(database, clock=Clock(NOW), spool=tmp_path / "spool")
    database.close()


@pytest.fixture
def url(world):
    with running_web(world.services, WebSecrets("", PASSWORD), taking=False) as address:
        yield address


def get(url, path="/overview", password=PASSWORD, **headers):
    auth = ("staff-7", password) if password is not None else None
    return httpx.get(f"{url}{path}", auth=auth, headers=headers, trust_env=False, timeout=10)


def test_staff_see_what_waits_and_what_is_on_and_no_names(world, url):
    told = a_busy_morning(world)
    world.occupy("2026-09-24 13:00", counsellor="c-z")
    page = get(url)
    assert page.status_code == 200
    for words in (
        told["near"],
        told["review"],
        "13時00分",
        "予約確定",
        "今すぐ",
        "届いたか不明",
        "お知らせの送信",
        "次回",
    ):
        assert words in page.text
    for words in ("架空", "七海", "nanami", "licence"):
        assert words not in page.text
    assert [row for row in world.rows(Audit) if row.action == "shown"] == []


def test_an_office_where_nothing_waits_says_so(url):
    page = get(url).text
    assert "今、職員がすることはありません" in page
    assert "今日の予約はありません" in page


def test_nothing_of_the_page_is_kept_or_loaded_from_elsewhere(url):
    answer = get(url)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "unsafe" not in answer.headers["content-security-policy"]
    for words in ("http", "<script", " style=", "<style"):
        assert words not in answer.text
    for sheet in ("style", "charts"):
        assert get(url, f"/overview/{sheet}.css", password=None).headers["content-type"].startswith("text/css")


@pytest.mark.parametrize("password", [None, "", "wrong"])
def test_without_the_password_nobody_sees_anything(url, password):
    assert get(url, password=password).status_code == 401


def test_while_no_password_is_set_the_page_says_what_to_do(world):
    with running_web(world.services, WebSecrets("", ""), taking=False) as url:
        answer = get(url, password="")
    assert (answer.status_code, "MADOGUCHI_WEB__PASSWORD" in answer.text) == (503, True)


@pytest.mark.parametrize("path", ["/", "/overview", "/overview/style.css", "/overview/charts.css"])
@pytest.mark.parametrize("headers", [{"Host": "evil.example.com"}, {"X-Forwarded-For": "203.0.113.9"}])
def test_another_name_or_a_proxy_is_refused_even_with_the_password(url, path, headers):
    assert get(url, path, **headers).status_code == 403


def test_the_address_alone_leads_to_the_overview_and_pages_lead_to_each_other(url):
    answer = get(url, "/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/overview")
    assert 'href="/day"' in get(url).text
    assert 'href="/overview"' in get(url, "/day").text


def test_in_a_rehearsal_of_another_day_the_overview_is_of_that_day(world):
    world.occupy("2026-10-05 11:00")
    services = World(world.database, clock=Clock(NOW), spool=world.services.spool,
                     stage=lambda: NOW.replace(month=10, day=5)).services  # fmt: skip
    with running_web(services, WebSecrets("", PASSWORD), taking=False) as url:
        assert "令和8年（2026年）10月5日" in get(url).text
