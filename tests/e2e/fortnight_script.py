"""Fourteen days as they are to be: who applies and what they do then, what goes wrong and when. All of it from a seed.

Monday 14 September 2026; 21 to 23 are public holidays, and the 18th becomes a closed day in the middle. People are
fictional. Nothing here knows what the product does.
"""

import random
import unicodedata
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta

from madoguchi.domain.office import JST
from tests.world import HEADER

MONDAY = date(2026, 9, 14)
CLOSED_LATER = date(2026, 9, 18)
"""Closed by the office on Wednesday, with sessions on it."""
CHANGED_ON = date(2026, 9, 16)
HOLIDAYS = {date(2026, 9, 21), date(2026, 9, 22), date(2026, 9, 23)}
GRID = [time(hour, minute) for hour in range(11, 15) for minute in (0, 30)]
EXPORTS = (time(9, 2), time(11, 42), time(14, 47))
"""When the form's export arrives on a working day; on other days once, at noon."""

_SURNAMES = [("架空", "カクウ"), ("見本", "ミホン"), ("仮名", "カメイ"), ("例示", "レイジ"), ("試筆", "シヒツ"),
             ("雛形", "ヒナガタ"), ("虚構", "キョコウ")]  # fmt: skip
_GIVEN = [("七海", "ナナミ"), ("花子", "ハナコ"), ("太郎", "タロウ"), ("桜", "サクラ"), ("次郎", "ジロウ"),
          ("美咲", "ミサキ"), ("健太", "ケンタ"), ("由紀", "ユキ"), ("直樹", "ナオキ"), ("真央", "マオ"),
          ("大輔", "ダイスケ"), ("里奈", "リナ"), ("和也", "カズヤ"), ("恵", "メグミ")]  # fmt: skip

COMES, AWAY, WAITS, HOST_LATE, HOST_NEVER = "comes", "away", "waits", "host late", "host never"
CALLS, CALLS_NOTED_LATE, CANCELS, MOVES, BOUNCES = "calls", "calls, noted late", "cancels", "moves", "bounces"
CONDUCTS = {
    COMES: 30, AWAY: 7, WAITS: 3, HOST_LATE: 2, HOST_NEVER: 2, CALLS: 4, CALLS_NOTED_LATE: 3, CANCELS: 5, MOVES: 4,
    BOUNCES: 2,
}  # fmt: skip
"""What people do who get a session, and how many of them there are."""


@dataclass(frozen=True)
class Person:
    """One row of the export. `expected`: outcome and reason of the row; `conduct`: what they do with a session."""

    row: int
    applied: datetime
    cells: tuple[str, ...]
    email: str
    conduct: str = COMES
    expected: tuple[str, str | None] = ("accept", None)
    early: int = -3
    """Minutes after the start at which they come or call."""


@dataclass(frozen=True)
class Trouble:
    """Something goes wrong. `until`: when it is over, for kinds that last.

    `alarms`: which must be raised by it, each once, as "CODE subject"; `perhaps`: which may be, for that hangs on who
    happens to have a session then. `*` is any subject. `settled`: hours after its end in which all of them are over.
    """

    kind: str
    at: datetime
    until: datetime | None = None
    alarms: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()
    settled: int = 3


@dataclass(frozen=True)
class Script:
    """`exports`: when which rows (so many from the top) have been exported."""

    seed: int
    starts: datetime
    ends: datetime
    people: tuple[Person, ...]
    exports: tuple[tuple[datetime, int], ...]
    troubles: tuple[Trouble, ...]
    step: int = 60
    """Minutes between two ticks of the frequent flows where nothing happens."""
    closures: frozenset[date] = field(default_factory=frozenset)
    is_short: bool = False
    """Leave out of the schedule even what may be due and is done an hour later as well."""


def at(day, clock):
    return datetime.combine(day, clock if isinstance(clock, time) else time.fromisoformat(clock), JST)


def is_open(day, closures=frozenset()):
    return day.weekday() < 5 and day not in HOLIDAYS and day not in closures


DIRTY = [
    ({"name": "", "kana": ""}, ("reject", "MISSING_NAME")),
    ({"number": ""}, ("reject", "MISSING_NUMBER")),
    ({"clock": "", "second": "", "third": ""}, ("reject", "MISSING_DATETIME")),
    ({"day": "2026/11/31", "second": "", "third": ""}, ("reject", "INVALID_DATE")),
    ({"day": "2026/10/03", "second": "", "third": ""}, ("reject", "NON_WORKING_DAY")),
    ({"day": "2026/10/12", "second": "", "third": ""}, ("reject", "NON_WORKING_DAY")),
    ({"clock": "15:30", "second": "", "third": ""}, ("reject", "OUT_OF_WINDOW")),
    ({"clock": "午後2時頃"}, ("needs_review", "TIME_FREE_TEXT")),
    ({"number": "9.9999E+12"}, ("needs_review", "NUMBER_PRECISION_LOST")),
    ({"consent": "同意しません"}, ("needs_review", "CONSENT_REFUSED")),
]
"""Rows that cannot be booked as they stand, and what has to come of them."""
MESSY = [
    lambda cells: {"number": _wide(cells["number"])},
    lambda cells: {"clock": cells["clock"].replace(":", "時") + "分"},
    lambda cells: {"email": " " + cells["email"]},
    lambda cells: {"day": _wide(cells["day"])},
]
"""Rows written otherwise, and good all the same."""


def _wide(text):
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def _stamp(moment):
    half = "午前" if moment.hour < 12 else "午後"
    return f"{moment:%Y/%m/%d} {moment.hour % 12 or 12}:{moment:%M:%S} {half} GMT+9"


def _cells(row, moment, wishes):
    surname, given = _SURNAMES[row % len(_SURNAMES)], _GIVEN[row // len(_SURNAMES) % len(_GIVEN)]
    shown = [f"{day:%Y/%m/%d} {clock:%H:%M}" for day, clock in wishes]
    return {
        "stamp": _stamp(moment), "email": f"kakuu{row}@example.jp", "name": f"{surname[0]} {given[0]}",
        "kana": f"{surname[1]} {given[1]}", "number": f"99999-9100{row:04d}", "registration": "ハローワーク利用登録者",
        "day": shown[0].split()[0], "clock": shown[0].split()[1], "second": shown[1] if len(shown) > 1 else "",
        "third": shown[2] if len(shown) > 2 else "", "companion": "なし", "consent": "確認し、同意します",
    }  # fmt: skip


def _wishes(chance, applied, last):
    """Up to three starts from the day after on, the nearer the likelier."""
    days = [applied.date() + timedelta(days=n) for n in range(1, 20)]
    # From Wednesday on the form says that Friday is closed.
    closed = {CLOSED_LATER} if applied.date() >= CHANGED_ON else set()
    days = [day for day in days if is_open(day, closed) and day <= last]
    found = []
    for _ in range(chance.choice((1, 2, 3, 3))):
        wish = (days[min(int(chance.expovariate(0.7)), len(days) - 1)], chance.choice(GRID))
        if wish not in found:
            found.append(wish)
    return found


def _slots(start, days):
    """When exports arrive: three times a working day, once on any other."""
    for n in range(days):
        day = start + timedelta(days=n)
        for clock in EXPORTS if is_open(day) else (time(12, 0),):
            yield at(day, clock)


def make_people(chance, start, days, conducts, dirty, wanted=None, *more):
    """Everybody, in the order in which they apply, with the exports that bring them.

    `wanted`: exports that must bring so many bookable applications at least, because a trouble is to strike them.
    `more`: further ones, each with its export.
    """
    good = [(conduct, None) for conduct, number in conducts.items() for _ in range(number)]
    chance.shuffle(good)
    fixed = [(slot, good.pop()) for slot, number in (wanted or {}).items() for _ in range(number)] + list(more)
    kinds = good + [(COMES, each) for each in dirty]
    chance.shuffle(kinds)
    slots = sorted({*list(_slots(start, days))[:-2], *(wanted or {})})
    # The first export brings more: the form was open over the weekend.
    when = [slots[0]] * (len(kinds) // 6) + chance.choices(slots, k=len(kinds) - len(kinds) // 6)
    brought = [*zip(when, kinds, strict=True), *fixed]
    before = chance.sample(range(240, 1800), len(brought))
    applied = sorted(
        (slot - timedelta(seconds=seconds), slot, kind) for (slot, kind), seconds in zip(brought, before, strict=True)
    )
    last = start + timedelta(days=days + 3)
    people = [
        _too_late_if_read_on(_person(chance, row, moment, *kind, last), _next_open(slot))
        for row, (moment, slot, kind) in enumerate(applied, 1)
    ]
    return tuple(people), tuple((slot, sum(1 for each, _ in brought if each <= slot)) for slot in slots)


def _next_open(slot):
    """The day on which an export is read: files wait over closed days."""
    day = slot.date()
    while not is_open(day, {CLOSED_LATER}):
        day += timedelta(days=1)
    return day


def _too_late_if_read_on(person, day):
    """Who wishes for the very day on which the file is read goes to a person, however early they applied."""
    if person.expected[0] != "accept":
        return person
    wished = date(*map(int, _narrow(person.cells[6]).split("/")))
    return replace(person, expected=("needs_review", "LATE_INGEST")) if wished <= day else person


def _narrow(text):
    return unicodedata.normalize("NFKC", text)


def _person(chance, row, applied, conduct, dirt, last):
    cells = _cells(row, applied, _wishes(chance, applied, last))
    if conduct == BOUNCES:
        cells["email"] = f"bounce-hard-{row}@example.jp"
    email, expected = cells["email"], ("accept", None)
    if dirt:
        cells, expected = cells | dirt[0], dirt[1]
    elif chance.random() < 0.2:
        cells |= chance.choice(MESSY)(cells)
    early = chance.randint(2, 7) if conduct in {CALLS, CALLS_NOTED_LATE} else chance.randint(-6, 4)
    return Person(row, applied, tuple(cells.values()), email, conduct, expected, early)


def fortnight(seed):
    """The whole of it."""
    day = [MONDAY + timedelta(days=n) for n in range(14)]
    chance = random.Random(seed)
    wanted = {at(day[1], "11:42"): 2, at(day[1], "16:42"): 2, at(day[2], "11:07"): 3, at(day[10], "14:47"): 2}
    # No day without an export that brings somebody.
    wanted |= {at(each, EXPORTS[0]): 1 for each in day if is_open(each)}
    to_review = (at(day[2], EXPORTS[0]), (COMES, DIRTY[-1]))
    people, exports = make_people(chance, MONDAY, 14, CONDUCTS, DIRTY[:-1], wanted, to_review)
    return Script(
        seed, at(MONDAY, "00:00"), at(day[13], "23:00"), people, exports, _troubles(day), closures={CLOSED_LATER}
    )


def _troubles(day):
    failing = tuple(f"RUN_FAILED {flow}" for flow in ("process-requests", "deliver-messages", "send-reminders"))
    return (
        Trouble(
            "zoom down", at(day[1], "11:25"), at(day[1], "12:25"),
            alarms=("RUN_FAILED process-requests",), perhaps=("RUN_FAILED sweep-no-shows", "CONFIRMATION_MISSING *"),
        ),
        Trouble(
            "mail down", at(day[1], "16:40"), at(day[2], "09:20"), alarms=("DUE_UNSENT messages", *failing),
            perhaps=("RUN_FAILED sweep-no-shows", "RUN_FAILED reconcile-zoom", "CONFIRMATION_MISSING *"), settled=30,
        ),
        Trouble("office changed", at(day[2], "10:20")),
        Trouble("power cut", at(day[2], "11:09"), at(day[2], "11:40")),
        Trouble("clerks away", at(day[2], "15:00"), at(day[3], "16:00"), alarms=("REVIEW_OLD tasks",)),
        Trouble("export again", at(day[3], "09:31")),
        Trouble("disk low", at(day[3], "12:20"), at(day[3], "13:05"), alarms=("DISK var",)),
        Trouble(
            "disk full", at(day[3], "13:05"), at(day[3], "13:45"),
            alarms=("SCHEDULE_SILENT sweep-no-shows",), perhaps=("UNSWEPT sessions",),
        ),
        Trouble("clock back", at(day[10], "10:20"), at(day[10], "11:15")),
        Trouble("worker killed", at(day[10], "14:50")),
        Trouble("webhooks lost", at(day[11], "10:30"), at(day[11], "12:50")),
        Trouble("database locked", at(day[11], "14:05")),
    )  # fmt: skip


def small(seed):
    """An afternoon, a day and four troubles: for `make test`."""
    chance = random.Random(seed)
    conducts = {COMES: 3, AWAY: 2, HOST_NEVER: 1, CALLS: 1, CANCELS: 1, WAITS: 1}
    people, _ = make_people(chance, MONDAY, 2, conducts, DIRTY[:3])
    tuesday = MONDAY + timedelta(days=1)
    people = tuple(_on_the_second_day(person, tuesday) for person in people)
    troubles = (
        Trouble("mail down", at(MONDAY, "14:46"), at(MONDAY, "15:20"), alarms=("CONFIRMATION_MISSING *",)),
        Trouble("power cut", at(tuesday, "11:09"), at(tuesday, "11:40")),
        Trouble("zoom down", at(tuesday, "12:55"), at(tuesday, "13:20")),
        Trouble("database locked", at(tuesday, "14:45")),
    )
    exports = ((at(MONDAY, "14:47"), len(people)),)
    return Script(seed, at(MONDAY, "14:40"), at(tuesday, "19:50"), people, exports, troubles, step=240, is_short=True)


def _on_the_second_day(person, day):
    """The same person, who applies on Monday after noon and wants Tuesday: that is when something happens."""
    applied = at(MONDAY, "14:30") + timedelta(seconds=person.row)
    cells = [_stamp(applied), *person.cells[1:]]
    if person.expected[0] == "accept":
        first, second = (GRID[(person.row + n) % len(GRID)] for n in (0, 3))
        cells[6:10] = [f"{day:%Y/%m/%d}", f"{first:%H:%M}", f"{day:%Y/%m/%d} {second:%H:%M}", ""]
    return replace(person, applied=applied, cells=tuple(cells))


def header():
    return HEADER
