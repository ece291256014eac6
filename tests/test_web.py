"""The web part over real HTTP: who is believed, what is answered and how fast, what staff see and nobody else."""

import json
import shutil
import sqlite3
import threading
import time
from datetime import timedelta

import httpx
import pytest

from madoguchi.adapters.zoom_webhook import sign
from madoguchi.domain.zoom_signature import VALIDATION_EVENT, encrypted_token
from madoguchi.sandbox.zoom_remote import ZoomRemote
from madoguchi.sandbox.zoom_server import running_zoom
from madoguchi.store.database import Database
from madoguchi.store.models import Audit, Booking, BookingRequest, Evidence, ZoomEventRecord
from madoguchi.web import MOST_BYTES, WEBHOOK_PATH, WebSecrets, running_web
from tasks.wiring import real_clock
from tests.webhook_help import SECRET, add_meeting, event, put, world_with_meeting
from tests.world import AS_OF, World

PASSWORD = "password-of-the-tests"
OPEN = WebSecrets(SECRET, PASSWORD)
ATTACK = "<script>alert(1)</script>{{ 7*7 }}"


@pytest.fixture
def http():
    with httpx.Client(trust_env=False, timeout=10) as client:
        yield client


@pytest.fixture
def place(sqlite_template, tmp_path):
    """A world on SQLite with one booking and its meeting, and the spool."""
    shutil.copy(sqlite_template, tmp_path / "record.db")
    database = Database(f"sqlite:///{tmp_path / 'record.db'}")
    yield world_with_meeting(database, tmp_path)
    database.close()


def post(http, url, raw, *, secret=SECRET, at=AS_OF, **headers):
    return http.post(f"{url}{WEBHOOK_PATH}", content=raw, headers=sign(secret, raw, at) | headers)


def until(condition, seconds=8.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not come about"
        time.sleep(0.02)


def rename(world, reference, name):
    with world.database.write() as session:
        booking = session.query(Booking).filter_by(reference=reference).one()
        request = session.get_one(BookingRequest, booking.request_id)
        place = f"booking_request.sealed_values.{request.id}"
        values = world.services.vault.open_json(request.sealed_values, place)
        values["application"]["name"] = name
        request.sealed_values = world.services.vault.seal_json(values, place)


# --- webhooks


def test_an_event_with_a_japanese_topic_is_believed_kept_and_judged_again(place, http):
    world, reference, spool = place
    judged = []
    with running_web(world.services, OPEN, lambda _services, run, names: judged.append((run, names))) as url:
        answer = post(http, url, event(topic="架空 七海 様とのオンライン相談"))
        assert (answer.status_code, answer.content) == (204, b"")
        until(lambda: judged and not spool.waiting(1))
    [piece] = world.rows(Evidence)
    assert (piece.kind, piece.actor) == ("guest_joined", "web:webhook")
    [(run, names)] = judged
    assert (names, run.flow, run.as_of) == ([reference], "web", AS_OF)


def test_business_time_is_that_of_the_stand_ins_when_a_day_is_played(place, http):
    world, _, spool = place
    played, judged = AS_OF + timedelta(days=10), []
    services = World(world.database, spool=spool.folder, stage=lambda: played).services
    with running_web(services, OPEN, lambda _services, run, _names: judged.append(run.as_of)) as url:
        post(http, url, event())
        until(lambda: judged)
    assert judged == [played]


FORGED = {"x-zm-signature": "v0=" + "0" * 64}


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"secret": "another-secret"}, 401, "BAD_SIGNATURE"),
        (FORGED, 401, "BAD_SIGNATURE"),
        ({"x-zm-signature": ""}, 401, "NO_SIGNATURE"),
        ({"at": AS_OF - timedelta(minutes=6)}, 403, "TOO_OLD"),
        ({"at": AS_OF + timedelta(minutes=6)}, 403, "TOO_OLD"),
        ({"x-zm-request-timestamp": "soon"}, 403, "BAD_TIMESTAMP"),
    ],
)
def test_what_is_not_from_zoom_or_not_fresh_is_refused_and_nothing_is_kept(place, http, caplog, change, status, code):
    world, _, spool = place
    with running_web(world.services, OPEN, taking=False) as url:
        answer = post(http, url, event(), **change)
        assert (answer.status_code, answer.json()) == (status, {"error": code})
        assert post(http, url, event(), **change).status_code == status
    assert spool.waiting(10) == []
    assert [r.getMessage() for r in caplog.records if r.name == "madoguchi.web"] == [f"webhooks refused: {code}, 1"]


@pytest.mark.parametrize("secret", ["", "  "])
def test_without_a_secret_everything_is_refused_the_address_check_too(place, http, secret):
    world, _, spool = place
    check = json.dumps({"event": VALIDATION_EVENT, "payload": {"plainToken": "abc"}}).encode()
    with running_web(world.services, WebSecrets(secret, PASSWORD), taking=False) as url:
        for raw in (event(), check):
            answer = post(http, url, raw, secret=secret)
            assert (answer.status_code, answer.json()) == (503, {"error": "NO_SECRET"})
    assert spool.waiting(10) == []


def test_zooms_address_check_is_answered_when_it_is_signed(place, http):
    world, _, spool = place
    raw = json.dumps({"event": VALIDATION_EVENT, "event_ts": 1, "payload": {"plainToken": "abc"}}).encode()
    with running_web(world.services, OPEN, taking=False) as url:
        answer = post(http, url, raw)
        assert answer.status_code == 200
        assert answer.json() == {"plainToken": "abc", "encryptedToken": encrypted_token(SECRET, "abc")}
        assert post(http, url, raw, secret="another").status_code == 401
    assert spool.waiting(10) == []


@pytest.mark.parametrize(
    "raw",
    [
        b"not json " + VALIDATION_EVENT.encode(),
        b'["endpoint.url_validation"]',
        b'{"event":"endpoint.url_validation","payload":7}',
        b'{"event":"endpoint.url_validation","payload":{"plainToken":"\\ud800"}}',
        b"",
    ],
)
def test_anything_else_that_is_signed_is_kept_however_odd(place, http, raw):
    world, _, spool = place
    with running_web(world.services, OPEN) as url:
        assert post(http, url, raw).status_code == 204
        until(lambda: world.count(ZoomEventRecord) == 1 and not spool.waiting(1))
    assert spool.count_aside() == 0


def test_a_body_without_end_is_refused(place, http):
    world, _, spool = place
    with running_web(world.services, OPEN, taking=False) as url:
        answer = post(http, url, b"x" * (MOST_BYTES + 1))
        assert (answer.status_code, answer.json()) == (413, {"error": "TOO_LARGE"})
        assert http.get(f"{url}{WEBHOOK_PATH}").status_code == 405
    assert spool.waiting(10) == []


def test_a_full_disk_is_told_to_zoom_which_sends_again(place, http, tmp_path):
    world, _, spool = place
    spool.folder.write_text("a file stands where the folder should be")
    with running_web(world.services, OPEN, taking=False) as url:
        answer = post(http, url, event())
        assert (answer.status_code, answer.json()) == (503, {"error": "CANNOT_KEEP"})


def test_zoom_has_its_answer_within_a_second_while_another_program_holds_the_record_for_three(place, http):
    world, _, spool = place
    path = world.database.url.database
    begun, times = threading.Event(), []

    def hold():
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            begun.set()
            time.sleep(3)
            other.execute("ROLLBACK")
        other.close()

    holder = threading.Thread(target=hold)
    with running_web(world.services, OPEN) as url:
        holder.start()
        begun.wait()
        for number in range(20):
            before = time.monotonic()
            assert post(http, url, event(guest=str(number))).status_code == 204
            times.append(time.monotonic() - before)
        assert world.count(Evidence) == 0
        holder.join()
        until(lambda: world.count(Evidence) == 20)
        until(lambda: not spool.waiting(1))
    print(f"slowest answer {max(times):.3f} s")  # noqa: T201 — the figure is what the issue asks for
    assert max(times) < 1


def test_what_an_earlier_process_left_in_the_spool_is_taken_in_at_the_start(place):
    world, _, spool = place
    put(world, spool, event())
    with running_web(world.services, OPEN):
        until(lambda: world.count(Evidence) == 1)


def test_a_judgement_that_breaks_off_is_tried_again_and_the_thread_goes_on(place, http, caplog):
    world, reference, spool = place
    tries = []

    def judge(_services, _run, names):
        tries.append(list(names))
        if len(tries) == 1:
            raise RuntimeError("架空 七海")

    with running_web(world.services, OPEN, judge) as url:
        post(http, url, event())
        until(lambda: len(tries) == 2 and not spool.waiting(1))
    assert tries == [[reference], [reference]]
    assert "RuntimeError" in caplog.text
    assert "架空" not in caplog.text


def test_the_stand_in_zoom_is_satisfied_with_it(place, tmp_path):
    world, _, spool = place
    services = World(world.database, spool=spool.folder, clock=real_clock).services
    with running_zoom(tmp_path / "zoom") as zoom, running_web(services, OPEN) as url, ZoomRemote(zoom.url) as remote:
        remote.webhooks(url=f"{url}{WEBHOOK_PATH}", secret=SECRET, mode="on")
        found = httpx.post(f"{zoom.url}/sandbox/webhooks/validate", json={}, trust_env=False).json()
    assert found["ok"], found


# --- the day list


@pytest.fixture
def day(place):
    world, reference, _ = place
    world.clock.now = AS_OF + timedelta(days=10)
    with running_web(world.services, OPEN, taking=False) as url:
        yield world, reference, url


def look(http, url, path="/day", password=PASSWORD, user="staff-7", **headers):
    return http.get(f"{url}{path}", auth=(user, password) if password is not None else None, headers=headers)


def test_staff_see_the_day_with_names_and_that_they_looked_is_in_the_audit(day, http):
    world, reference, url = day
    answer = look(http, url)
    assert answer.status_code == 200
    for text in ("架空 七海", reference, "11時00分", "予約確定", "counsellor-1", "host-1", "初めて"):
        assert text in answer.text
    [row] = [row for row in world.rows(Audit) if row.action == "shown"]
    assert (row.subject_kind, row.subject, row.actor) == ("day_list", "2026-09-24", "staff:staff-7")
    assert row.details == {"bookings": [reference]}


def test_nothing_of_the_page_is_kept_or_loaded_from_elsewhere(day, http):
    _, _, url = day
    answer = look(http, url)
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "http" not in answer.text.replace(" http-equiv", "")
    assert "<script" not in answer.text
    assert " style=" not in answer.text
    assert look(http, url, "/day/style.css", password=None).headers["content-type"].startswith("text/css")


@pytest.mark.parametrize("password", [None, "", "wrong", PASSWORD + " ", "パスワード"])
def test_without_the_password_nobody_sees_anything(day, http, password):
    world, reference, url = day
    header = {} if password is None else {"Authorization": httpx.BasicAuth("a", password)._auth_header}
    answer = http.get(f"{url}/day", headers=header)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert reference not in answer.text
    assert [row for row in world.rows(Audit) if row.action == "shown"] == []


@pytest.mark.parametrize("header", ["Basic", "Basic ###", "Basic " + "/w==", "Bearer x", "Basic bm9jb2xvbg=="])
def test_a_garbled_login_is_no_login(day, http, header):
    assert http.get(f"{day[2]}/day", headers={"Authorization": header}).status_code == 401


def test_while_no_password_is_set_the_page_says_what_to_do(place, http):
    world, reference, _ = place
    with running_web(world.services, WebSecrets(SECRET, ""), taking=False) as url:
        answer = look(http, url, password="")
    assert answer.status_code == 503
    assert "MADOGUCHI_WEB__PASSWORD" in answer.text
    assert reference not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example.com"},
        {"Host": "127.0.0.1.example.com"},
        {"Host": "[::1"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
    ],
)
@pytest.mark.parametrize("path", ["/day", "/", "/day/style.css"])
def test_another_name_or_a_proxy_is_refused_even_with_the_password(day, http, headers, path):
    answer = look(http, day[2], path, **headers)
    assert answer.status_code in {400, 403}
    assert day[1] not in answer.text


def test_a_webhook_may_come_through_a_proxy_under_any_name(day, http):
    answer = post(http, day[2], event(), at=AS_OF + timedelta(days=10), Host="zoom.example.jp", Via="1.1 proxy")
    assert answer.status_code == 204


def test_another_day_is_a_link_away_and_an_odd_one_is_said(day, http):
    _, reference, url = day
    other = look(http, url, "/day?date=2026-09-25")
    assert "この日の予約はありません" in other.text
    assert "/day?date=2026-09-24" in other.text
    assert reference not in other.text
    for odd in ("tomorrow", "2026-02-30", "0001-01-01", "9999-12-31", "<script>"):
        answer = look(http, url, f"/day?date={odd}")
        assert (answer.status_code, "<script>" in answer.text) == (400, False)


def test_a_name_is_text_whatever_it_holds(place, http):
    world, reference, _ = place
    rename(world, reference, ATTACK + "\u202egnp.exe")
    world.clock.now = AS_OF + timedelta(days=10)
    with running_web(world.services, OPEN, taking=False) as url:
        text = look(http, url).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{ 7*7 }}gnp.exe" in text
    assert "<script>" not in text
    assert "\u202e" not in text


def test_the_way_in_is_shown_as_the_client_has_it_and_never_as_the_host(place, http):
    world, _, _ = place
    access = {"passcode": "abcd2345", "join_url": "https://zoom.example.jp/j/85000000009?pwd=x", "start_url": "s"}
    reference = world.occupy("2026-09-24 13:00")
    add_meeting(world, reference, "85000000009", access=access)
    world.clock.now = AS_OF + timedelta(days=10)
    with running_web(world.services, OPEN, taking=False) as url:
        text = look(http, url).text
    assert access["join_url"] in text
    assert "abcd2345" in text
    assert "start_url" not in text
    assert 'href="https' not in text


def test_who_types_something_odd_as_a_name_does_not_bring_it_into_the_audit(day, http):
    world, _, url = day
    for user in ("090-1234-5678", "", "a b<c>:d"):
        look(http, url, user=user.replace(":", ""))
    actors = [row.actor for row in world.rows(Audit) if row.action == "shown"]
    assert actors == ["web:staff", "web:staff", "staff:abcd"]


def test_health_is_told_to_whoever_asks_and_says_nothing_else(day, http):
    answer = http.get(f"{day[2]}/healthz")
    assert set(answer.json()) == {"product", "pid"}
