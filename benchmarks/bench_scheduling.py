"""How long assign() takes in every shape of batch: `python -m benchmarks.bench_scheduling [--rows N]`.

The bare limit, measured in the same run over the same data, is plain first come, first served: everybody in order
takes the first wish that still has a place. It is not right (it leaves people out who could be served), only fast.
Exits 1 when a shape takes longer than 3 s for 10,000 requests (in proportion for other numbers).
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from madoguchi.domain.matching import Wanted, assign
from madoguchi.domain.office import JST

FIRST = datetime(2026, 10, 1, tzinfo=JST)
SECONDS_FOR_10_000 = 3.0
RUNS = 3

Batch = tuple[Sequence[Sequence[int]], int, int]
"""Wishes by request as numbers of starts; how many starts; places of each."""


def plenty(rows: int, rng: random.Random) -> Batch:
    starts = 640
    return [rng.sample(range(starts), 3) for _ in range(rows)], starts, max(1, rows * 3 // starts)


def tight(rows: int, rng: random.Random) -> Batch:
    """As many places as requests in 640 starts, and everybody can be served."""
    starts, places = 640, -(-rows // 640)
    return _around(_homes(rows, starts, places, rng), rng, lambda _: rng.randrange(starts)), starts, places


def tight_single(rows: int, rng: random.Random) -> Batch:
    return _around(_homes(rows, rows, 1, rng), rng, lambda _: rng.randrange(rows)), rows, 1


def not_quite_enough(rows: int, rng: random.Random) -> Batch:
    """One place a start, wishes anywhere: some five in a hundred cannot be served, and each has to be proved."""
    return [rng.sample(range(rows), 3) for _ in range(rows)], rows, 1


def ten_times_over(rows: int, rng: random.Random) -> Batch:
    starts = max(3, rows // 20)
    return [rng.sample(range(starts), 3) for _ in range(rows)], starts, 2


def same_three(rows: int, rng: random.Random) -> Batch:
    return [rng.sample(range(3), 3) for _ in range(rows)], 640, max(1, rows // 640)


def popular(rows: int, rng: random.Random) -> Batch:
    starts = 640
    wishes = [[min(int(rng.paretovariate(0.5)) - 1, starts - 1) for _ in range(3)] for _ in range(rows)]
    return wishes, starts, max(1, rows // starts)


def near_times(rows: int, rng: random.Random) -> Batch:
    """Everybody wants times close together and all places are needed: long ways round."""
    homes = _homes(rows, rows, 1, rng)
    return _around(homes, rng, lambda home: (home + rng.randint(-50, 50)) % rows), rows, 1


def pushed_chains(rows: int, rng: random.Random) -> Batch:
    """Nine in ten hold the first wish until somebody with a single wish pushes a whole chain of a thousand along."""
    length = max(2, min(1000, rows // 2))
    wishes, pushers = [], []
    for first in range(0, rows - length, length + 1):
        wishes += [[first + k, first + k + 1, max(0, first + k - 1)] for k in range(length)]
        pushers.append([first])
    rng.shuffle(wishes)
    return wishes + pushers, rows + 1, 1


def one_long_chain(rows: int, _: random.Random) -> Batch:
    return [*([k, k + 1] for k in range(rows - 1)), [0]], rows, 1


def torus(rows: int, rng: random.Random) -> Batch:
    """A wide field where everybody prefers to move right or down: many long ways, all to be searched."""
    side = max(2, int(rows**0.5))
    wishes = []
    for place in range(side * side):
        row, column = divmod(place, side)
        moves = [row * side + (column + 1) % side, (row + 1) % side * side + column]
        rng.shuffle(moves)
        wishes.append([*moves, place])
    return wishes, side * side, 1


SHAPES: Sequence[tuple[str, Callable[[int, random.Random], Batch]]] = (
    ("plenty of room", plenty),
    ("exactly tight, 640 starts", tight),
    ("exactly tight, 1 place each", tight_single),
    ("not quite enough", not_quite_enough),
    ("ten times over", ten_times_over),
    ("everybody the same three", same_three),
    ("popular times", popular),
    ("near times, tight", near_times),
    ("chains pushed along", pushed_chains),
    ("one long chain", one_long_chain),
    ("torus", torus),
)


def _homes(rows: int, starts: int, places: int, rng: random.Random) -> list[int]:
    homes = [start for start in range(starts) for _ in range(places)]
    rng.shuffle(homes)
    return homes[:rows]


def _around(homes: Sequence[int], rng: random.Random, other: Callable[[int], int]) -> list[list[int]]:
    wishes = [[home, other(home), other(home)] for home in homes]
    for wished in wishes:
        rng.shuffle(wished)
    return wishes


def first_come(requests: Sequence[Wanted], capacity: Mapping[datetime, int]) -> dict[str, datetime]:
    left = dict(capacity)
    given = {}
    for request in requests:
        for wish in request.wishes:
            if left.get(wish, 0) > 0:
                left[wish] -= 1
                given[request.reference] = wish
                break
    return given


def measure(work: Callable[[], Mapping[str, datetime]]) -> tuple[float, int]:
    """Return the median seconds of a few runs and how many were served."""
    times, served = [], 0
    for _ in range(RUNS):
        begun = time.perf_counter()
        served = len(work())
        times.append(time.perf_counter() - begun)
    return statistics.median(times), served


def main() -> int:
    parser = argparse.ArgumentParser(description="Time assign() in every shape of batch.")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    limit = SECONDS_FOR_10_000 * given.rows / 10_000
    failed = False
    print(f"{given.rows} requests x 3 wishes, seed {given.seed}, median of {RUNS}, limit {limit:.2f} s")
    for name, shape in SHAPES:
        wishes, starts, places = shape(given.rows, random.Random(given.seed))
        at = [FIRST + timedelta(minutes=30 * number) for number in range(starts)]
        requests = [Wanted(f"R-{i}", tuple(at[k] for k in wished)) for i, wished in enumerate(wishes)]
        capacity = dict.fromkeys(at, places)
        seconds, served = measure(lambda: assign(requests, capacity))  # noqa: B023 — run before the next shape
        bare, bare_served = measure(lambda: first_come(requests, capacity))  # noqa: B023 — run before the next shape
        verdict = "OK" if seconds <= limit else "FAIL"
        failed |= verdict == "FAIL"
        print(
            f"{verdict:4} {name:28} {seconds:7.3f} s  served {served:6}   "
            f"first come {bare:6.3f} s  served {bare_served:6}   ratio {seconds / bare:6.1f}"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
