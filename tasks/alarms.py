"""Telling people of alarms: once when they begin, once when they are over, on every channel that the office has."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from madoguchi.adapters.alarm_channels import Channel, ChannelError, News
from madoguchi.store.models import Alarm
from madoguchi.store.watching import open_alarm_rows, untold_alarm_rows
from tasks.wiring import Run, Services

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenAlarm:
    """An alarm that is not over: what `domain/watching.py: WORDS` explains."""

    id: str
    code: str
    subject: str
    severity: str
    touched: tuple[str, ...]
    details: dict[str, Any]
    first_seen_at: datetime


@dataclass(slots=True)
class TellingReport:
    """How many news went out, by channel, and the channels that did not take them, with a code."""

    told: dict[str, int] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)


def open_alarms(session: Session, office_code: str) -> list[OpenAlarm]:
    """Return every alarm that is not over, the oldest first."""
    return [
        OpenAlarm(row.id, row.code, row.subject, row.severity, tuple(row.touched), dict(row.details), row.first_seen_at)
        for row in open_alarm_rows(session, office_code)
    ]


def tell_alarms(services: Services, run: Run) -> TellingReport:
    """Tell what has not been told, on each channel for itself, one message a channel.

    At least once: a crash between a channel's yes and our note of it repeats the message, with the same ids. A channel
    that fails keeps no other from being told and is tried again by the next call. Where the office has no channel the
    dashboard is the only place, and the news count as told.
    """
    report = TellingReport()
    if services.is_rehearsal:
        return report
    at = run.at(services.clock())
    with services.database.exclusive("alarms"):
        for channel in services.alarm_channels:
            with services.database.read() as session:
                news = [
                    each for row in untold_alarm_rows(session, services.office.code) for each in _news(row, channel)
                ]
            if news:
                _tell(services, channel, news, at, report)
        _settle(services, at)
    return report


def _tell(services: Services, channel: Channel, news: Sequence[News], at: datetime, report: TellingReport) -> None:
    try:
        channel.tell(news, at)
    except ChannelError as error:
        log.warning("alarms: %s did not take them: %s", channel.name, error)
        report.failed.append((channel.name, str(error)))
        return
    report.told[channel.name] = len(news)
    with services.database.write() as session:
        for each in news:
            row = session.get_one(Alarm, each.id)
            # A new object: a changed one would not be seen as changed.
            row.told = {**row.told, _mark(channel, is_over=each.is_over): at.isoformat()}


def _settle(services: Services, at: datetime) -> None:
    """Note what every channel has taken."""
    with services.database.write() as session:
        for row in untold_alarm_rows(session, services.office.code):
            marks = {
                is_over: all(_mark(channel, is_over=is_over) in row.told for channel in services.alarm_channels)
                for is_over in (False, True)
            }
            if row.raised_told_at is None and (marks[False] or (row.over_at is not None and marks[True])):
                row.raised_told_at = at
            if row.over_at is not None and row.over_told_at is None and marks[True]:
                row.over_told_at = at


def _news(row: Alarm, channel: Channel) -> list[News]:
    """Return what a channel has not been told of an alarm; one that came and went unnoticed is told as over only."""
    if row.over_at is not None:
        return [] if _mark(channel, is_over=True) in row.told else [_one(row, is_over=True)]
    return [] if _mark(channel, is_over=False) in row.told else [_one(row, is_over=False)]


def _one(row: Alarm, *, is_over: bool) -> News:
    count = row.details.get("count", len(row.touched))
    return News(
        row.id,
        is_over,
        row.code,
        row.subject,
        tuple(map(str, row.touched)),
        int(count),
        row.first_seen_at,
        row.over_at if is_over else None,
    )


def _mark(channel: Channel, *, is_over: bool) -> str:
    return f"{channel.name}:{'over' if is_over else 'raised'}"
