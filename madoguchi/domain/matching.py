"""Who gets which start, counsellor and Zoom host, for one batch of requests.

The rule, in this order (docs/scheduling.md has the reasons and the proof):

1. Requests are served in the order of submission: nobody loses a place to somebody who applied later.
2. As many as possible are served (which 1 implies).
3. Among all ways to serve exactly these people, the first applicant gets the best wish possible, then the second the
   best that this leaves, and so on. That makes the answer unique.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from madoguchi.domain.matching_graph import Exchange


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request: its reference and the starts wished for, best first (aware; any number, repeats ignored)."""

    reference: str
    wishes: tuple[datetime, ...]


@dataclass(frozen=True, slots=True)
class Assignment:
    """A start with the counsellor and the Zoom host (codes of the office's settings) that hold the session."""

    start: datetime
    counsellor: str
    host: str


def assign(requests: Sequence[Wanted], capacity: Mapping[datetime, int]) -> dict[str, datetime]:
    """Return the start of everybody who is served, by reference, in the order of `requests`.

    `requests` come in the order of submission. `capacity` counts the free places of every start: the smaller of free
    counsellors and free hosts, confirmed bookings already taken off; a start that is absent or not positive has none.
    The answer is exact and unique: it depends on nothing but the order of the requests and the numbers.
    Does not look at dates, lead times or people: what may not be booked must not be in `capacity`.

    Raises ValueError for a reference that occurs twice and for a wish without a time zone (codes, no personal data).
    """
    starts = sorted(start for start, places in capacity.items() if places > 0)
    number = {start: index for index, start in enumerate(starts)}
    wishes = _numbered(requests, number)
    room = [capacity[start] for start in starts]
    given = _with_room_for_all(wishes, room)
    contested = [who for who, wished in enumerate(wishes) if wished and who not in given]
    exchange = Exchange([wishes[who] for who in contested], room)
    served = [index for index in range(len(contested)) if exchange.place(index)]
    for index in served:
        given[contested[index]] = exchange.settle(index)
    return {requests[who].reference: starts[given[who]] for who in sorted(given)}


def _numbered(requests: Sequence[Wanted], number: Mapping[datetime, int]) -> list[tuple[int, ...]]:
    """Return every request's wishes that have a place at all, as slot numbers, best first, each once."""
    seen: set[str] = set()
    found = []
    for request in requests:
        if request.reference in seen:
            raise ValueError(f"request {request.reference} is listed twice; list each request once")
        seen.add(request.reference)
        if any(wish.tzinfo is None for wish in request.wishes):
            raise ValueError(f"request {request.reference} has a wish without a time zone; use aware datetimes")
        found.append(tuple(dict.fromkeys(number[wish] for wish in request.wishes if wish in number)))
    return found


def _with_room_for_all(wishes: Sequence[tuple[int, ...]], room: Sequence[int]) -> dict[int, int]:
    """Return first wishes, by applicant, wherever a whole connected group of applicants and slots can have them.

    Connected: slots that share an applicant, however indirectly. Nobody outside the group can want a place in it, so
    giving everybody in it the first wish is the only best answer there.
    """
    leader = list(range(len(room)))

    def lead(slot: int) -> int:
        while leader[slot] != slot:
            leader[slot] = leader[leader[slot]]
            slot = leader[slot]
        return slot

    for wished in wishes:
        for other in wished[1:]:
            leader[lead(other)] = lead(wished[0])
    wanted = Counter(wished[0] for wished in wishes if wished)
    crowded = {lead(slot) for slot, people in wanted.items() if people > room[slot]}
    return {who: wished[0] for who, wished in enumerate(wishes) if wished and lead(wished[0]) not in crowded}


def assign_resources(
    starts_by_reference: Mapping[str, datetime],
    free_counsellors: Mapping[datetime, Sequence[str]],
    free_hosts: Mapping[datetime, Sequence[str]],
    host_budget: Mapping[str, int],
) -> dict[str, Assignment]:
    """Return a counsellor and a host for every assigned start; within a start each is used once.

    `host_budget`: meetings that each host may still create today (Zoom counts creations and changes a host and UTC
    day); an absent host has none left. The host with most left is taken; when all are spent one is still taken, evenly,
    and its meeting has to be created after the reset. Starts with the least choice of hosts choose first. Counsellors
    are taken by the fewest sessions in this batch. Equal in all this: by code. The order of the inputs changes nothing
    but the order of the answer and who within one start gets which of its pairs.
    Does not promise the smallest possible overdraft when hosts differ in their free times.

    Raises ValueError naming the start when it has more references than free counsellors or free hosts.
    """
    people: dict[datetime, list[str]] = {}
    for reference, start in starts_by_reference.items():
        people.setdefault(start, []).append(reference)
    for start, references in people.items():
        places = min(len(set(free_counsellors.get(start, ()))), len(set(free_hosts.get(start, ()))))
        if len(references) > places:
            raise ValueError(
                f"{start.isoformat()} has {len(references)} requests but {places} places; "
                "give assign() the smaller of free counsellors and free hosts as capacity"
            )
    left = dict(host_budget)
    load: Counter[str] = Counter()
    found: dict[str, Assignment] = {}
    for start in sorted(people, key=lambda at: (len(set(free_hosts[at])) - len(people[at]), at)):
        references = people[start]
        hosts = _first(free_hosts[start], {code: -left.get(code, 0) for code in free_hosts[start]}, len(references))
        counsellors = _first(free_counsellors[start], load, len(references))
        for reference, counsellor, host in zip(references, counsellors, hosts, strict=True):
            found[reference] = Assignment(start, counsellor, host)
            left[host] = left.get(host, 0) - 1
            load[counsellor] += 1
    return {reference: found[reference] for reference in starts_by_reference}


def _first(codes: Iterable[str], burden: Mapping[str, int], count: int) -> list[str]:
    return sorted(set(codes), key=lambda code: (burden.get(code, 0), code))[:count]
