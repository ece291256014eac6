"""Who could make way for whom: the graph of possible moves between slots, kept up to date while places are given out.

Slots and applicants are numbers here. An arc a -> b stands for the applicants who hold a place in `a`, are not fixed
yet and also wished for `b`. Everything `matching` asks is one question, "is there a chain of moves from here to
there?", and every "no" is remembered as a cut of the slots into groups that no chain can ever cross again. Proof:
docs/scheduling.md.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from itertools import pairwise

NOWHERE = -1


class Exchange:
    """Places held and moves possible. `room` is taken over and kept: free places by slot."""

    __slots__ = ("_group", "_groups", "_into", "_open", "_open_group", "_out", "_wishes", "holds", "room")

    def __init__(self, wishes: Sequence[tuple[int, ...]], room: list[int]) -> None:
        self._wishes = wishes
        self.room = room
        self.holds = [NOWHERE] * len(wishes)
        self._open = {slot for slot, places in enumerate(room) if places > 0}
        self._out: list[dict[int, set[int]]] = [{} for _ in room]
        self._into: list[set[int]] = [set() for _ in room]
        self._group = [0] * len(room)
        self._groups = 1
        # The one group that may still reach a free place; slots with room are always in it.
        self._open_group = 0

    def place(self, who: int) -> bool:
        """Give `who` a place, moving others where that is the only way; False when nobody could make way.

        Whoever held a place still holds one afterwards, though perhaps another.
        """
        for slot in self._wishes[who]:
            if self.room[slot]:
                self._take(slot)
                self._enter(who, slot)
                return True
        doors = [slot for slot in self._wishes[who] if self._group[slot] == self._open_group]
        chain = self._chain(doors, NOWHERE) if doors else None
        if chain is None:
            return False
        self._shift(chain)
        self._take(chain[-1])
        self._enter(who, chain[0])
        return True

    def settle(self, who: int) -> int:
        """Give `who`, who holds a place, the best wish that leaves everybody a place, and fix it; return the slot."""
        home = self.holds[who]
        self._leave(who)
        for slot in self._wishes[who]:
            if slot == home:
                break
            if self._group[slot] != self._group[home]:
                continue
            chain = self._chain((slot,), home)
            if chain is not None:
                self._shift(chain)
                if chain[-1] != home:
                    self._take(chain[-1])
                    self.room[home] += 1
                    self._open.add(home)
                self.holds[who] = slot
                return slot
        return home

    def _take(self, slot: int) -> None:
        self.room[slot] -= 1
        if not self.room[slot]:
            self._open.discard(slot)

    def _enter(self, who: int, slot: int) -> None:
        self.holds[who] = slot
        ways, group = self._out[slot], self._group
        for other in self._wishes[who]:
            # Arcs between groups are on no chain: not kept, so that searches need not look at groups.
            if other == slot or group[other] != group[slot]:
                continue
            if other in ways:
                ways[other].add(who)
            else:
                ways[other] = {who}
                self._into[other].add(slot)

    def _leave(self, who: int) -> None:
        slot = self.holds[who]
        ways, group = self._out[slot], self._group
        for other in self._wishes[who]:
            if other == slot or group[other] != group[slot]:
                continue
            movers = ways[other]
            if len(movers) > 1:
                movers.remove(who)
            else:
                del ways[other]
                self._into[other].remove(slot)

    def _shift(self, chain: Sequence[int]) -> None:
        """Move one applicant along every arc of the chain: its first slot loses one, its last gains one."""
        for here, there in pairwise(chain):
            who = next(iter(self._out[here][there]))
            self._leave(who)
            self._enter(who, there)

    def _chain(self, doors: Sequence[int], home: int) -> list[int] | None:
        """Return a shortest chain of slots from a door to a free place or to `home`; None and a cut when there is none.

        Both ends search, always the one that has cost less so far: a failed search costs no more than twice the smaller
        of the two parts that it leaves, so that all failed searches together cost O(arcs x log slots).
        """
        ends = self._open if home == NOWHERE or self._group[home] == self._open_group else frozenset[int]()
        came = dict.fromkeys(doors, NOWHERE)
        goes = {} if home == NOWHERE else {home: NOWHERE}
        for door in doors:
            if door in ends or door in goes:
                return [door]
        out, into = self._out, self._into
        front, back = list(doors), list(goes)
        spent_front = sum(len(out[slot]) for slot in front)
        # Slots with room are ends too, but there may be thousands: listed only when that is the cheaper side.
        listed = not ends
        spent_back = len(ends) + sum(len(into[slot]) for slot in back)
        while front and (back or not listed):
            if spent_front <= spent_back:
                front, middle = _step(front, out, came, (goes, ends))
                spent_front += sum(len(out[slot]) for slot in front)
            elif listed:
                back, middle = _step(back, into, goes, (came,))
                spent_back += sum(len(into[slot]) for slot in back)
            else:
                listed, middle = True, NOWHERE
                fresh = [slot for slot in ends if slot not in goes]
                goes.update(dict.fromkeys(fresh, NOWHERE))
                back += fresh
                spent_back += sum(len(into[slot]) for slot in fresh)
            if middle != NOWHERE:
                return _joined(came, goes, middle)
        if front:
            self._cut_sources(set(goes), with_open=home == NOWHERE or bool(ends))
        else:
            self._cut_sinks(set(came))
        return None

    def _cut_sinks(self, part: set[int]) -> None:
        """Make a group of slots that nothing leads out of; forget what leads in."""
        self._mark(part)
        for slot in part:
            for other in self._into[slot] - part:
                del self._out[other][slot]
            self._into[slot] &= part

    def _cut_sources(self, part: set[int], *, with_open: bool) -> None:
        """Make a group of slots that nothing leads into; forget what leads out. `with_open`: free places are in it."""
        if with_open:
            self._open_group = self._groups
        self._mark(part)
        for slot in part:
            for other in [other for other in self._out[slot] if other not in part]:
                del self._out[slot][other]
                self._into[other].remove(slot)

    def _mark(self, part: Iterable[int]) -> None:
        for slot in part:
            self._group[slot] = self._groups
        self._groups += 1


def _step(
    edge: Iterable[int],
    ways: Sequence[Iterable[int]],
    seen: dict[int, int],
    goals: tuple[Container[int], ...],
) -> tuple[list[int], int]:
    """Go one arc further from every slot of `edge`; return the new slots and the first that is a goal, or NOWHERE."""
    grown: list[int] = []
    # No set difference with `seen`: Python builds it by walking all of `seen`.
    for slot in edge:
        for other in ways[slot]:
            if other in seen:
                continue
            seen[other] = slot
            grown.append(other)
            if any(other in goal for goal in goals):
                return grown, other
    return grown, NOWHERE


def _joined(came: dict[int, int], goes: dict[int, int], middle: int) -> list[int]:
    chain = [middle]
    while came[chain[-1]] != NOWHERE:
        chain.append(came[chain[-1]])
    chain.reverse()
    while goes.get(chain[-1], NOWHERE) != NOWHERE:
        chain.append(goes[chain[-1]])
    return chain
