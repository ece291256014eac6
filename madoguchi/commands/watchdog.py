"""Who watches `watch`: a thread of `madoguchi up`, outside Prefect, that speaks when Prefect no longer runs it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from config.settings import Settings
from madoguchi.adapters.alarm_channels import ChannelError, News
from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.open_time import is_open_at, open_time_between
from madoguchi.domain.watching import Code, Finding
from madoguchi.store.types import new_id
from madoguchi.store.watching import last_end
from tasks.alarms import tell_alarms
from tasks.watching import watch
from tasks.wiring import Run, Services, build_services

log = logging.getLogger(__name__)

PATIENCE = timedelta(minutes=25)
"""Open time without a finished `watch` after which somebody is told; it is due every ten minutes."""
_EVERY_SECONDS = 60.0
_SUBJECT = "prefect"
# One sentence says that nothing runs: not one more for each flow.
_UNSEEN = frozenset({Code.SCHEDULE_SILENT, Code.RUN_FAILED})


def start_watchdog(settings: Settings, stop: threading.Event) -> threading.Thread:
    """Start the watchdog as a thread that ends soon after `stop` is set; returns at once and never raises later."""
    thread = threading.Thread(target=_go, args=(settings, stop), name="watchdog", daemon=True)
    thread.start()
    return thread


def _go(settings: Settings, stop: threading.Event) -> None:
    dog: Watchdog | None = None
    while not stop.is_set():
        try:
            dog = dog or Watchdog(build_services(settings))
            dog.look()
        except Exception as error:  # noqa: BLE001 — whatever is broken, this goes on; texts may name hosts and people
            log.warning("watchdog: %s", type(error).__name__)
        stop.wait(_EVERY_SECONDS)


def is_silent(calendar: OfficeCalendar, at: datetime, since: datetime) -> bool:
    """Tell whether the office is open at an aware instant and has been for more than `PATIENCE` since another."""
    return is_open_at(calendar, at) and open_time_between(calendar, since, at) > PATIENCE


class Watchdog:
    """Looks, each time it is asked, whether `watch` has finished lately. Goes by the clock. Used by one thread."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._began = services.clock()
        self._seen = self._began
        """When the record could last be read."""
        self._blind: News | None = None
        self._told_blind: set[str] = set()

    def look(self) -> bool:
        """Tell whether Prefect is silent, after everybody was told of it and of all else that is wrong meanwhile.

        It is over when `watch` runs again: that run ends the alarm. While the record itself cannot be read, so that no
        alarm can be kept, the channels are told directly, once each; that error is raised to the caller all the same.
        """
        services, now = self._services, self._services.clock()
        try:
            with services.database.read() as session:
                ended = last_end(session, services.office.code, "watch")
        except Exception:
            self._while_blind(now)
            raise
        self._can_see(now)
        silent = is_silent(services.calendar, now, max(ended, self._began) if ended else self._began)
        if silent:
            run = Run("watchdog", now, now, actor="watchdog")
            since = ended or self._began
            finding = Finding(Code.PREFECT_SILENT, _SUBJECT, (), {"since": since.isoformat()})
            report = watch(services, run, (), more=[finding], unknown=_UNSEEN)
            if report.raised:
                log.error("watchdog: no run of watch has finished since %s", since.isoformat())
            tell_alarms(services, run)
        return silent

    def _while_blind(self, now: datetime) -> None:
        if not is_silent(self._services.calendar, now, self._seen):
            return
        if self._blind is None:
            self._blind = News(new_id(), False, Code.PREFECT_SILENT.value, _SUBJECT, (), 0, self._seen, None)
        news = self._blind
        self._give(news, now, lambda name: name not in self._told_blind, self._told_blind.add)

    def _can_see(self, now: datetime) -> None:
        self._seen = now
        if self._blind is not None and self._told_blind:
            was = self._blind
            over = News(was.id, True, was.code, was.subject, (), 0, was.since, now)
            self._give(over, now, lambda name: name in self._told_blind, self._told_blind.discard)
        if not self._told_blind:
            self._blind = None

    def _give(self, news: News, now: datetime, wanted: Callable[[str], bool], note: Callable[[str], None]) -> None:
        for channel in self._services.alarm_channels:
            if not wanted(channel.name):
                continue
            try:
                channel.tell([news], now)
            except ChannelError as error:
                log.warning("watchdog: %s did not take the alarm: %s", channel.name, error)
            else:
                note(channel.name)
