"""What the small commands print and how they end; `run`, `up` and the demonstration have tests of their own."""

import base64
import json
import subprocess
import sys
from datetime import date

import pytest

from config.settings import ROOT, Settings, SettingsError, SmtpSettings
from madoguchi.adapters.prefect_server import PrefectServerError
from madoguchi.commands import check, keys, lists
from madoguchi.commands.run import WrongUse, checked_paths, flow_function, parameters_of
from madoguchi.store.database import Database
from madoguchi.store.models import Audit
from tasks import wiring
from tests.world import World, jst

KEYS = [base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2)]


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(**changes):
        return Settings(**({"var_dir": tmp_path / "var", "encryption_keys": KEYS[0]} | changes))

    return make


# --- keys, migrate


def test_a_new_key_has_32_bytes_and_is_another_one_each_time(capsys):
    keys.new()
    keys.new()
    first, second = capsys.readouterr().out.split()
    assert first != second
    assert [len(base64.urlsafe_b64decode(key)) for key in (first, second)] == [32, 32]


def test_migrating_twice_says_from_where_to_where(settings, capsys):
    assert keys.migrate(settings()) == 0
    assert keys.migrate(settings()) == 0
    first, second = capsys.readouterr().out.splitlines()
    level = first.rsplit(" ", 1)[1]
    assert first == f"database: empty -> {level}"
    assert second == f"database: {level} -> {level}"


def test_rotating_brings_the_first_key_into_use_and_the_old_one_may_go(settings, capsys):
    wiring.build_services(settings()).database.close()
    assert keys.rotate(settings(encryption_keys=f"{KEYS[1]},{KEYS[0]}")) == 0
    assert "2 data keys" in capsys.readouterr().out
    wiring.build_services(settings(encryption_keys=KEYS[1])).database.close()


def test_rotating_without_the_old_key_is_refused_with_the_remedy(settings):
    wiring.build_services(settings()).database.close()
    with pytest.raises(SettingsError, match="add that key to the list again"):
        keys.rotate(settings(encryption_keys=KEYS[1]))


@pytest.mark.parametrize("command", [keys.migrate, keys.rotate])
def test_a_database_that_does_not_answer_is_one_line(settings, command):
    with pytest.raises(SettingsError, match="MADOGUCHI_DATABASE_URL") as caught:
        command(settings(database_url="postgresql://u:a-password@127.0.0.1:9/m"))
    assert "a-password" not in str(caught.value)


# --- list, show


@pytest.fixture
def filled(settings, database_url, monkeypatch):
    """A record with one waiting request, and settings that lead to it."""
    database = Database(database_url)
    world = World(database)
    reference = world.ask("2026-09-24 11:00", status="waiting")
    monkeypatch.setattr(lists, "build_services", lambda _: world.services)
    yield world, reference, settings()
    database.close()


def test_a_list_is_one_json_array_or_aligned_columns(filled, capsys):
    _, reference, settings = filled
    assert lists.list_rows(settings, "requests", None, None, as_json=True) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["reference"], row["status"], row["booking"]) == (reference, "waiting", None)
    lists.list_rows(settings, "requests", None, "waiting", as_json=False)
    head, line = capsys.readouterr().out.splitlines()
    assert head.index("status") == line.index("waiting")
    lists.list_rows(settings, "requests", date(2020, 1, 1), None, as_json=False)
    assert capsys.readouterr().out == "none\n"
    lists.list_rows(settings, "meetings", None, None, as_json=True)
    assert json.loads(capsys.readouterr().out) == []


def test_showing_prints_one_and_says_who_looked(filled, capsys):
    world, reference, settings = filled
    assert lists.show(settings, reference, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["application"]["name"] == "架空 七海"
    assert lists.show(settings, f" {reference} ", as_json=False) == 0
    assert "name: 架空 七海" in capsys.readouterr().out
    looks = world.rows(Audit, action="shown")
    assert len(looks) == 2
    assert all(row.actor.startswith("cli:") for row in looks)


def test_showing_nobodys_reference_fails(filled, capsys):
    assert lists.show(filled[2], "M-234679", as_json=True) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "no such" in said.err


def test_who_stops_reading_early_gets_no_traceback():
    child = subprocess.Popen(
        [sys.executable, "-m", "madoguchi.cli", "keys", "new"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait(30) == 1


# --- run: wrong use


@pytest.mark.parametrize(
    ("flow", "pairs", "says"),
    [
        ("deliver-messages", [("path", "x")], "not a parameter"),
        ("process-requests", [("colour", "red")], "path, rehearse, source"),
        ("process-requests", [("source", "paper")], "google, logo, microsoft"),
        ("process-requests", [("path", "/no/such/file.csv")], "no file file.csv"),
    ],
)
def test_wrong_parameters_say_what_to_write(flow, pairs, says):
    with pytest.raises(WrongUse, match=says):
        parameters_of(flow_function(flow), checked_paths(flow, pairs))


def test_parameters_are_handed_on(tmp_path):
    (tmp_path / "a.csv").touch()
    path = str(tmp_path / "a.csv")
    given = checked_paths("process-requests", [("path", path), ("source", "google")])
    found = parameters_of(flow_function("process-requests"), given)
    assert (found["path"], found["source"]) == (path, "google")


# --- check


@pytest.fixture
def offline(monkeypatch):
    """No stand-ins and no Prefect server: those lines have tests of their own."""
    monkeypatch.setattr(check, "_zoom", lambda _: iter(()))
    monkeypatch.setattr(check, "_mail", lambda _: iter(()))

    def nothing(_):
        raise PrefectServerError("not usable")

    monkeypatch.setattr(check, "find_server", nothing)


def lines(settings):
    return {line.item.split(":")[0].split(" ")[0]: line for line in check.findings(settings)}


def test_a_new_installation_is_told_to_migrate_and_then_all_is_well(settings, offline):
    first = lines(settings())
    assert (first["migration"].ok, "madoguchi migrate" in first["migration"].remedy) == (None, True)
    second = lines(settings())
    assert all(second[item].ok for item in ("mode", "database", "migration", "encryption", "terms", "inbox"))


@pytest.mark.parametrize(
    ("changes", "item"),
    [
        ({"database_url": "postgresql://u:a-password@127.0.0.1:9/m"}, "database"),
        ({"terms_dir": ROOT / "tests"}, "terms"),
        ({"inbox_dir": ROOT / "README.md" / "inbox"}, "inbox"),
    ],
)
def test_what_is_not_in_order_is_named_with_a_remedy_and_fails_the_check(settings, offline, capsys, changes, item):
    keys.migrate(settings())
    capsys.readouterr()
    assert lines(settings(**changes))[item].ok is False
    assert check.run(settings(**changes)) == 1
    said = capsys.readouterr().out
    assert "FAIL" in said
    assert "a-password" not in said
    assert "Traceback" not in said


def test_a_key_that_does_not_fit_is_named(settings, offline):
    wiring.build_services(settings()).database.close()
    assert lines(settings(encryption_keys=KEYS[1]))["encryption"].ok is False


def test_a_relay_that_is_down_is_named_by_the_check(settings, monkeypatch):
    monkeypatch.setattr(check, "_zoom", lambda _: iter(()))
    keys.migrate(settings())
    down = settings(smtp=SmtpSettings(host="127.0.0.1", port=9))
    found = {line.item: line for line in check.findings(down)}
    assert found["mail: SMTP_CONNECT"].ok is False
    assert "MADOGUCHI_SMTP__HOST" in found["mail: SMTP_CONNECT"].remedy


@pytest.mark.parametrize(
    ("today", "ok"), [("2027-01-01", True), ("2027-10-01", None), ("2027-12-31", False), ("2028-02-01", False)]
)
def test_the_end_of_the_holiday_table_is_announced_in_time(today, ok):
    [line] = check._holidays(date(2027, 12, 31), jst(today).date(), 120)
    assert line.ok is ok
    assert ok or "holidays_known_until" in line.remedy
