"""Dates, times and names as they stand in mails. Pure; every time is Asia/Tokyo, whatever zone it comes in.

One formatter for all mails: bookings told in another zone, or in one template only, are how people miss them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import date, datetime, timedelta

from madoguchi.domain.office import JST, SESSION_MINUTES, OpeningHours

_WEEKDAYS = "月火水木金土日"
_ERAS = ((date(2019, 5, 1), "令和"), (date(1989, 1, 8), "平成"))
_NAME_LIMIT = 50
_PLAIN_GREETING = "お申込みの方へ"
# A name is the one text of an applicant that stands in a mail, and the address beside it may be somebody else's:
# a "name" that mail programs would turn into a link is not repeated under the office's letterhead.
_LINK_LIKE = re.compile(r"[:/\\@＠：／]|www|[A-Za-z0-9\-][.．。][A-Za-z]{2,}", re.IGNORECASE)


def era_year(day: date) -> str:
    """Return the year of the Japanese era, `令和8年`; the first is `元年`. ValueError before Heisei (1989-01-08)."""
    for begins, name in _ERAS:
        if day >= begins:
            number = day.year - begins.year + 1
            return f"{name}{'元' if number == 1 else number}年"
    raise ValueError("era_year: days before 1989-01-08 are not needed here")


def long_date(day: date) -> str:
    """Return `令和8年（2026年）9月24日（木曜日）`."""
    return f"{era_year(day)}（{day.year}年）{day.month}月{day.day}日（{_WEEKDAYS[day.weekday()]}曜日）"


def short_date(day: date) -> str:
    """Return `9月24日（木）`."""
    return f"{day.month}月{day.day}日（{_WEEKDAYS[day.weekday()]}）"


def long_time(moment: datetime) -> str:
    """Return the time in Japan as `午前11時00分`.

    The noon hour is `午後0時30分（12時30分）`: 午後12時 is read both ways.
    """
    local = _local(moment)
    minutes = f"{local.minute:02d}分"
    if local.hour < 12:
        return f"午前{local.hour}時{minutes}"
    if local.hour == 12:
        return f"午後0時{minutes}（12時{minutes}）"
    return f"午後{local.hour - 12}時{minutes}"


def short_time(moment: datetime) -> str:
    """Return the time in Japan on the 24-hour clock, `14時30分`."""
    local = _local(moment)
    return f"{local.hour}時{local.minute:02d}分"


def long_start(start: datetime) -> str:
    """Return `令和8年（2026年）9月24日（木曜日）午前11時00分`; the zone is said by the template, once."""
    return long_date(_local(start).date()) + long_time(start)


def short_start(start: datetime) -> str:
    """Return `9月24日（木）11時00分`, the form of subject lines and lists."""
    return short_date(_local(start).date()) + short_time(start)


def session_hours(hours: Mapping[int, OpeningHours]) -> str:
    """Return `平日 11時00分から15時00分まで（最後の開始は14時30分）`; several, joined by `、`, when days differ.

    `hours`: by weekday, Monday 0 (Art. 6(1) item 3 for this office). Holidays are not its business.
    """
    groups: dict[OpeningHours, list[int]] = {}
    for weekday in sorted(hours):
        groups.setdefault(hours[weekday], []).append(weekday)
    parts = []
    for span, weekdays in groups.items():
        days = "平日" if weekdays == [0, 1, 2, 3, 4] else "・".join(_WEEKDAYS[day] for day in weekdays) + "曜日"
        last = datetime.combine(date.min, span.closes) - timedelta(minutes=SESSION_MINUTES)
        parts.append(
            f"{days} {span.opens.hour}時{span.opens.minute:02d}分から{span.closes.hour}時{span.closes.minute:02d}分まで"
            f"（最後の開始は{last.hour}時{last.minute:02d}分）"
        )
    return "、".join(parts)


def plain_line(text: str, limit: int = 200) -> str:
    """Return `text` as one harmless line of at most `limit` characters.

    Control, format and line-separating characters become one space or vanish: they break header blocks, and the
    bidirectional ones let a line read differently from what it says. Nothing else changes; kanji stay as they were.
    """
    if not text.isprintable():
        text = "".join(_harmless(character) for character in text)
    if "  " in text or text[:1].isspace() or text[-1:].isspace():
        text = re.sub(r" {2,}", " ", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def addressee(name: str) -> str:
    """Return the salutation, `山田 花子 様`; a plain one when the "name" is empty, overlong or looks like a link."""
    name = plain_line(name, limit=_NAME_LIMIT + 1)
    if not name or len(name) > _NAME_LIMIT or _LINK_LIKE.search(name):
        return _PLAIN_GREETING
    return f"{name} 様"


def _harmless(character: str) -> str:
    category = unicodedata.category(character)
    if category in {"Cc", "Zl", "Zp"}:
        return " "
    # Cf holds the zero-width and bidirectional marks; Co, the private use area, holds 外字 that a form let through.
    return "" if category in {"Cf", "Cs"} else character


def _local(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time without a zone cannot be told to anybody: pass an aware datetime")
    return moment.astimezone(JST)
