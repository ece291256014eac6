"""The alarms of the fortnight against those that its troubles must raise: no other, none missing, each told once."""

import json
from collections import Counter
from datetime import timedelta

from sqlalchemy import select

from madoguchi.domain.office import JST
from madoguchi.store.models import Alarm
from tests.e2e.fortnight_record import reading

NOTICED = timedelta(minutes=75)
"""How long after a trouble's end the next look of a thinned schedule may still find it."""


def alarms_of(record):
    with reading(record) as session:
        return list(session.scalars(select(Alarm).order_by(Alarm.first_seen_at)))


def wrong_alarms(fortnight):
    """Return what is wrong."""
    alarms = alarms_of(fortnight.office.record)
    troubles = [each for each in fortnight.script.troubles if fortnight.can(each)]
    found = Counter()
    for alarm in alarms:
        cause = next((trouble for trouble in troubles if _is_of(trouble, alarm)), None)
        if cause is None:
            yield f"ALARM_UNEXPECTED {_name(alarm)}"
            continue
        found.update((cause.kind, each) for each in cause.alarms if _fits(each, alarm))
        over_by = (cause.until or cause.at) + timedelta(hours=cause.settled)
        if alarm.over_at is None or alarm.over_at > over_by:
            yield f"ALARM_STAYS {_name(alarm)}: over at {alarm.over_at and alarm.over_at.astimezone(JST)}"
    for trouble in troubles:
        for each in trouble.alarms:
            # Of each session that it touches, where it is about sessions.
            if not found[trouble.kind, each] or (found[trouble.kind, each] > 1 and not each.endswith("*")):
                yield f"ALARM_OF {trouble.kind}: {each} raised {found[trouble.kind, each]} times"
    yield from _told(fortnight, alarms)


def _is_of(trouble, alarm):
    begins, ends = trouble.at, (trouble.until or trouble.at) + NOTICED
    return begins <= alarm.first_seen_at <= ends and any(
        _fits(each, alarm) for each in trouble.alarms + trouble.perhaps
    )


def _fits(expected, alarm):
    code, subject = expected.split()
    return code == alarm.code and subject in {"*", alarm.subject}


def _name(alarm):
    return f"{alarm.code} {alarm.subject} at {alarm.first_seen_at.astimezone(JST):%d %H:%M}"


def _told(fortnight, alarms):
    """The webhook heard of each once, and once when it was over; so did the mail, in as many mails as there were."""
    heard = Counter((news["id"], news["event"]) for _, body in fortnight.heard for news in json.loads(body)["alarms"])
    for alarm in alarms:
        for event in ("raised", "over"):
            if heard[alarm.id, event] != 1:
                yield f"ALARM_TOLD {_name(alarm)}: {event} {heard[alarm.id, event]} times"
        if alarm.raised_told_at is None or alarm.over_told_at is None:
            yield f"ALARM_UNTOLD {_name(alarm)}"
    mails = Counter(letter.message_id for letter in fortnight.people.others)
    for message_id, number in mails.items():
        if number > 1:
            yield f"ALARM_MAIL {message_id} {number} times"
    if alarms and not mails:
        yield "ALARM_MAIL none came"


def timeline(fortnight):
    """A line for each alarm."""
    for alarm in alarms_of(fortnight.office.record):
        over = f"{alarm.over_at.astimezone(JST):%d %H:%M}" if alarm.over_at else "-"
        yield f"alarm        {alarm.first_seen_at.astimezone(JST):%a %d %H:%M} to {over}  {alarm.code} {alarm.subject}"
