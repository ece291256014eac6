"""The watchdog outside Prefect: silent while `watch` runs or nobody is there, and heard when the record is gone too."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy.exc import OperationalError

from config.settings import Settings
from madoguchi.commands import watchdog
from madoguchi.commands.watchdog import Watchdog, is_silent, start_watchdog
from madoguchi.domain.office import WatchPolicy
from madoguchi.store.runs import finish_run, start_run
from tasks.alarms import open_alarms, tell_alarms
from tasks.watching import watch
from tests.world import Clock, World, jst, office

MORNING = jst("2026-09-16 08:30")


class Heard:
    name = "mail"

    def __init__(self):
        self.news = []

    def tell(self, news, at):
        self.news += [(each.code, "over" if each.is_over else "raised") for each in news]


@pytest.fixture
def world(database):
    policy = WatchPolicy(no_export=timedelta(hours=450))
    return World(
        database, office(holidays_known_until=date(2028, 12, 31), watch=policy), clock=Clock(MORNING),
        alarm_channels=(Heard(),),
    )  # fmt: skip


def ran(world, at, *, ended=True, prefect_run="prefect"):
    with world.database.write() as session:
        run = start_run(session, world.office.code, "watch", prefect_run, at, at)
        if ended:
            finish_run(session, run, state="failed", message="", counts={}, incomplete=[],
                       now=at + timedelta(seconds=20))  # fmt: skip


def news(world):
    return world.services.alarm_channels[0].news


def at(world, moment):
    world.clock.now = moment


@pytest.mark.parametrize(
    ("since", "now", "expected"),
    [
        ("2026-09-16 08:30", "2026-09-16 08:55", False),
        ("2026-09-16 08:30", "2026-09-16 08:56", True),
        ("2026-09-18 17:10", "2026-09-24 08:50", False),
        ("2026-09-18 17:10", "2026-09-24 08:51", True),
        ("2026-09-16 08:30", "2026-09-16 17:16", False),
        ("2026-09-16 08:30", "2026-09-22 12:00", False),
    ],
    ids=["at the limit", "beyond it", "after holidays, at it", "after holidays, beyond", "closed", "a holiday"],
)
def test_silence_is_counted_in_open_time_and_spoken_of_only_then(database, since, now, expected):
    world = World(database)
    assert is_silent(world.services.calendar, jst(now), jst(since)) is expected


def test_it_speaks_once_when_watch_has_never_run_and_is_over_when_watch_runs_again(world):
    dog = Watchdog(world.services)
    at(world, jst("2026-09-16 08:55"))
    assert not dog.look()
    for minute in (56, 57, 58):
        at(world, jst(f"2026-09-16 08:{minute}"))
        assert dog.look()
    assert news(world) == [("PREFECT_SILENT", "raised")]
    # Prefect is back: its own run ends the alarm and tells so.
    at(world, jst("2026-09-16 09:10"))
    ran(world, world.clock.now - timedelta(seconds=30))
    watch(world.services, world.run(), ())
    tell_alarms(world.services, world.run())
    assert not dog.look()
    assert news(world) == [("PREFECT_SILENT", "raised"), ("PREFECT_SILENT", "over")]


def test_a_watch_that_finds_something_and_fails_is_a_sign_of_life_one_that_breaks_off_is_none(world):
    dog = Watchdog(world.services)
    at(world, jst("2026-09-16 10:00"))
    ran(world, jst("2026-09-16 09:50"))
    assert not dog.look()
    at(world, jst("2026-09-16 10:16"))
    ran(world, jst("2026-09-16 10:10"), ended=False)
    assert dog.look()


def test_what_else_is_wrong_meanwhile_is_told_too_but_not_each_flow_that_does_not_run(world):
    reference = world.occupy("2026-09-16 11:00")
    ran(world, jst("2026-09-16 08:30"))
    at(world, jst("2026-09-16 11:40"))
    assert Watchdog(world.services).look() is False, "it has only just begun to look"
    dog = Watchdog(world.services)
    at(world, jst("2026-09-16 12:30"))
    dog.look()
    assert sorted(news(world)) == [("PREFECT_SILENT", "raised"), ("UNSWEPT", "raised")]
    with world.database.read() as session:
        assert open_alarms(session, world.office.code)[-1].touched in {(), (reference,)}


class Gone:
    """A database that does not answer."""

    def read(self):
        raise OperationalError("SELECT", {}, Exception("connection to db.example.jp refused"))


def test_when_the_record_cannot_be_read_the_channels_are_told_directly_once_and_when_it_is_back(world):
    dog = Watchdog(world.services)
    dog.look()
    there = dog._services
    dog._services = replace(there, database=Gone())
    for minute in (50, 56, 57, 58):
        at(world, jst(f"2026-09-16 08:{minute}"))
        with pytest.raises(OperationalError):
            dog.look()
    assert news(world) == [("PREFECT_SILENT", "raised")]
    dog._services = there
    at(world, jst("2026-09-16 09:00"))
    ran(world, jst("2026-09-16 08:59"))
    dog.look()
    dog.look()
    assert news(world) == [("PREFECT_SILENT", "raised"), ("PREFECT_SILENT", "over")]


def test_the_thread_outlives_a_database_that_is_not_there_and_ends_when_it_is_told(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(watchdog, "_EVERY_SECONDS", 0.05)
    (tmp_path / "file").write_text("no directory", encoding="utf-8")
    settings = Settings(_env_file=None, var_dir=tmp_path / "file" / "var")
    stop = threading.Event()
    thread = start_watchdog(settings, stop)
    stop.wait(0.5)
    assert thread.is_alive()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert "watchdog: " in caplog.text
