"""The combinations of evidence from which the table of verdicts is checked, and evidence in one short call."""

import csv
import itertools
from datetime import datetime, timedelta
from pathlib import Path

from madoguchi.domain.evidence import Duties, Duty, Evidence
from madoguchi.domain.evidence import EvidenceKind as Kind
from madoguchi.domain.evidence import EvidenceSource as Source
from madoguchi.domain.office import JST

START = datetime(2026, 12, 1, 11, 0, tzinfo=JST)
ALL_DONE = Duties(Duty.DONE, Duty.DONE)


def at(minutes):
    return START + timedelta(minutes=minutes)


def seen(kind, minutes, source=Source.WEBHOOK, recorded=None):
    """Evidence of something that happened so many minutes after the start, known at once unless `recorded` says."""
    return Evidence(kind, source, at(minutes), at(minutes if recorded is None else recorded))


def by_webhook(*moves):
    return [seen(kind, minutes) for kind, minutes in moves]


GUEST = {
    "none": [],
    "joined": by_webhook((Kind.GUEST_JOINED, 2)),
    "joined_left": by_webhook((Kind.GUEST_JOINED, 2), (Kind.GUEST_LEFT, 6)),
    "waits": by_webhook((Kind.GUEST_WAITING, 2)),
    "waits_left": by_webhook((Kind.GUEST_WAITING, 2), (Kind.GUEST_STOPPED_WAITING, 6)),
    "waits_joined_late": by_webhook((Kind.GUEST_WAITING, 8), (Kind.GUEST_STOPPED_WAITING, 12), (Kind.GUEST_JOINED, 12)),
    "left_before": by_webhook((Kind.GUEST_WAITING, -6), (Kind.GUEST_STOPPED_WAITING, -3)),
    "joined_late": by_webhook((Kind.GUEST_JOINED, 12)),
}
CONTACT = {
    "none": [],
    "before": [seen(Kind.CONTACT, 8, Source.STAFF, recorded=200)],
    "after": [seen(Kind.CONTACT, 11, Source.STAFF, recorded=200)],
}
COUNSELLOR = {
    "silent": [],
    "seen": [seen(Kind.CLIENT_SEEN, 3, Source.COUNSELLOR)],
    "not_seen": [seen(Kind.CLIENT_NOT_SEEN, 10, Source.COUNSELLOR)],
    "seen_late": [seen(Kind.CLIENT_SEEN, 12, Source.COUNSELLOR)],
}
ONLY_SAID = {
    "unknown": [],
    "silent": [seen(Kind.ZOOM_SILENT, 10.3, Source.STATUS)],
    "shut": [seen(Kind.STILL_WAITING, 10.3, Source.STATUS)],
    "zoom_down": [seen(Kind.ZOOM_DOWN, 10.3, Source.STATUS)],
    "gone": [seen(Kind.MEETING_GONE, 4, Source.STATUS)],
}
CAME = {"on_time": 1, "late": 7, "left_early": 1, "after_limit": 12, "there_zoom_down": 1}
"""When the host came, in minutes after the start."""
LINK = {
    "done": Duty.DONE,
    "late": Duty.LATE,
    "uncertain": Duty.UNCERTAIN,
    "not_done": Duty.NOT_DONE,
    "not_owed": Duty.NOT_OWED,
    "told": Duty.NOT_OWED,
}
REMINDER = {duty.value: duty for duty in Duty}
HEARING = ("webhook", "status", "list")
"""How the office learns of the host: Zoom's webhooks, its status, or the list of participants read afterwards."""

FACETS = {
    "guest": tuple(GUEST),
    "host": (*ONLY_SAID, *CAME),
    "contact": tuple(CONTACT),
    "counsellor": tuple(COUNSELLOR),
    "link": tuple(LINK),
    "reminder": tuple(REMINDER),
    "hearing": HEARING,
}


def host_evidence(host, hearing):
    after = [seen(Kind.HOST_ALONE, 45, Source.PAST)] if hearing == "list" else []
    if host in ONLY_SAID:
        return ONLY_SAID[host] + after
    came = CAME[host]
    if hearing == "webhook":
        found = by_webhook((Kind.MEETING_STARTED, came), (Kind.HOST_JOINED, came))
    elif hearing == "status":
        found = [seen(Kind.MEETING_STARTED, came, Source.STATUS)]
    else:
        found = [seen(Kind.HOST_JOINED, came, Source.PAST, recorded=45)]
    if host == "left_early":
        # The status knows no leaving: it only says that the meeting does not run any more.
        found.append(
            seen(Kind.STILL_WAITING, 8, Source.STATUS) if hearing == "status" else seen(Kind.HOST_LEFT, 8, Source.PAST)
        )
    if host == "there_zoom_down":
        found += ONLY_SAID["zoom_down"]
    return found + after


HOSTS = {pair: host_evidence(*pair) for pair in itertools.product(FACETS["host"], HEARING)}
TOLD = [seen(Kind.LINK_TOLD, -60, Source.STAFF)]
DUTIES = {pair: Duties(LINK[pair[0]], REMINDER[pair[1]]) for pair in itertools.product(LINK, REMINDER)}


def combinations():
    """Yield every combination of the facets, in the order of FACETS."""
    return itertools.product(*FACETS.values())


def situation(combination):
    """Return evidence and duties of a combination."""
    guest, host, contact, counsellor, link, reminder, hearing = combination
    evidence = GUEST[guest] + HOSTS[host, hearing] + CONTACT[contact] + COUNSELLOR[counsellor]
    return evidence + TOLD if link == "told" else evidence, DUTIES[link, reminder]


def read_table():
    """Return the reviewed rows; every cell of a facet is a set of its values."""
    path = Path(__file__).with_name("verdict_table.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for facet, values in FACETS.items():
            cell = set(values) if row[facet] == "*" else set(row[facet].split("|"))
            assert cell <= set(values), f"{path.name}: {row['why']}: unknown {facet} {cell - set(values)}"
            row[facet] = cell
    return rows
