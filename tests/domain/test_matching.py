"""assign() against brute force, against a slow but obvious oracle, and against its own promises."""

import itertools
import random
import secrets
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madoguchi.domain.matching import Wanted, assign
from madoguchi.domain.office import JST

FIRST = datetime(2026, 10, 1, 11, tzinfo=JST)
property_test = settings(max_examples=200, deadline=None, database=None, print_blob=True)


def start(number):
    return FIRST + timedelta(minutes=30 * number)


def requests_of(*wishes):
    return [Wanted(f"M-{i}", tuple(map(start, wished))) for i, wished in enumerate(wishes)]


def places(**by_number):
    return {start(int(key[1:])): count for key, count in by_number.items()}


def numbers(answer):
    return {reference: round((at - FIRST) / timedelta(minutes=30)) for reference, at in answer.items()}


@st.composite
def batches(draw, people=6, starts=5):
    wishes = draw(st.lists(st.lists(st.integers(0, starts - 1), max_size=3), max_size=people))
    counts = draw(st.lists(st.integers(0, 2), min_size=starts, max_size=starts))
    return requests_of(*wishes), {start(i): count for i, count in enumerate(counts)}


def every_way(requests, capacity):
    """Yield every allowed choice: for each request the number of its wish, or None."""
    for choice in itertools.product(*([*range(len(request.wishes)), None] for request in requests)):
        used = Counter(r.wishes[wish] for r, wish in zip(requests, choice, strict=True) if wish is not None)
        if all(count <= capacity.get(at, 0) for at, count in used.items()):
            yield choice


def starts_of(requests, choice):
    return {r.reference: r.wishes[wish] for r, wish in zip(requests, choice, strict=True) if wish is not None}


CASES = [
    # what it shows, wishes in order of submission, free places, answer
    ("nobody applies", [], {"s0": 1}, {}),
    ("everybody gets the first wish", [[0], [1]], {"s0": 1, "s1": 1}, {0: 0, 1: 1}),
    ("one place goes to the earlier", [[0], [0]], {"s0": 1}, {0: 0}),
    ("two places serve two", [[0], [0], [0]], {"s0": 2}, {0: 0, 1: 0}),
    ("the earlier makes way so that the later is served too", [[0, 1], [0]], {"s0": 1, "s1": 1}, {0: 1, 1: 0}),
    ("but never loses the place altogether", [[0, 1], [0], [1]], {"s0": 1, "s1": 1}, {0: 1, 1: 0}),
    ("a chain of two moves", [[0, 1], [1, 2], [0]], {"s0": 1, "s1": 1, "s2": 1}, {0: 1, 1: 2, 2: 0}),
    ("the earlier has the better wish", [[0, 1], [0, 1]], {"s0": 1, "s1": 1}, {0: 0, 1: 1}),
    ("wishes of the later weigh nothing", [[0, 1, 2], [0, 2], [0, 1]], {"s0": 1, "s1": 1, "s2": 1}, {0: 0, 1: 2, 2: 1}),
    (
        "a place given up for a better one goes to the next who wants it, once",
        [[1, 0], [3, 4], [1, 3], [0, 5], [0, 6]],
        {f"s{number}": 1 for number in range(7)},
        {0: 1, 1: 4, 2: 3, 3: 0, 4: 6},
    ),
    ("a wish without places counts for nothing", [[3, 0]], {"s0": 1, "s3": 0}, {0: 0}),
    ("a wish nobody offers counts for nothing", [[7, 0]], {"s0": 1}, {0: 0}),
    ("negative places are none", [[0]], {"s0": -2}, {}),
    ("a repeated wish is one wish", [[0, 0, 1], [0, 0]], {"s0": 1, "s1": 1}, {0: 1, 1: 0}),
    ("no wish, no place", [[], [0]], {"s0": 1}, {1: 0}),
]


@pytest.mark.parametrize(("wishes", "free", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_rule_by_example(wishes, free, expected):
    answer = assign(requests_of(*wishes), places(**free))

    assert numbers(answer) == {f"M-{who}": at for who, at in expected.items()}


@given(batches())
@property_test
def test_no_choice_serves_earlier_people_in_preference_or_more_people_or_gives_earlier_people_better_wishes(batch):
    requests, capacity = batch
    ways = list(every_way(requests, capacity))

    def unserved(choice):
        return tuple(wish is None for wish in choice)

    first = min(map(unserved, ways))
    most = max(len(requests) - sum(unserved(choice)) for choice in ways)
    best = min((choice for choice in ways if unserved(choice) == first), key=lambda c: [w or 0 for w in c])
    answer = assign(requests, capacity)

    assert [r.reference not in answer for r in requests] == list(first)
    assert len(answer) == most
    assert answer == starts_of(requests, best)


@given(batches(people=12, starts=6), st.lists(st.integers(0, 5), max_size=3))
@property_test
def test_a_later_applicant_never_changes_who_is_served_among_the_earlier(batch, wishes):
    requests, capacity = batch
    before = assign(requests, capacity)

    after = assign([*requests, Wanted("M-late", tuple(map(start, wishes)))], capacity)

    assert after.keys() - {"M-late"} == before.keys()


@given(batches(people=20, starts=6))
@property_test
def test_no_start_is_given_more_often_than_it_has_places_and_only_to_those_who_wished_for_it(batch):
    requests, capacity = batch
    answer = assign(requests, capacity)

    assert all(count <= capacity[at] for at, count in Counter(answer.values()).items())
    assert all(answer[r.reference] in r.wishes for r in requests if r.reference in answer)


@given(batches(people=10, starts=6), st.randoms(use_true_random=False))
@property_test
def test_the_answer_depends_on_nothing_but_the_order_of_requests(batch, shuffler):
    requests, capacity = batch
    shuffled = list(capacity.items())
    shuffler.shuffle(shuffled)
    in_utc = [Wanted(r.reference, tuple(wish.astimezone(UTC) for wish in r.wishes * 2)) for r in requests]

    assert assign(in_utc, dict(shuffled)) == assign(requests, capacity)
    assert list(assign(requests, capacity)) == [
        r.reference for r in requests if r.reference in assign(requests, capacity)
    ]


@given(batches(people=10, starts=6))
@property_test
def test_one_more_place_never_costs_anybody_the_place(batch):
    requests, capacity = batch
    more = {at: count + 1 for at, count in capacity.items()}

    assert assign(requests, capacity).keys() <= assign(requests, more).keys()


def can_all_have_one(wishes, capacity):
    """Tell whether every list of wishes can be met at once (augmenting paths from scratch, the obvious way)."""
    held = {at: [] for at in capacity}

    def find(who, tried):
        for at in wishes[who]:
            if at in tried or not capacity.get(at, 0):
                continue
            tried.add(at)
            if len(held[at]) < capacity[at]:
                held[at].append(who)
                return True
            for index, other in enumerate(held[at]):
                if find(other, tried):
                    held[at][index] = who
                    return True
        return False

    return all(find(who, set()) for who in range(len(wishes)))


def slowly(requests, capacity):
    """The rule word for word: try every applicant, then every wish in order, each time asking from scratch."""
    served = []
    for request in requests:
        if can_all_have_one([r.wishes for r in [*served, request]], capacity):
            served.append(request)
    allowed = [r.wishes for r in served]
    for index, request in enumerate(served):
        allowed[index] = next(
            (at,)
            for at in request.wishes
            if can_all_have_one([*allowed[:index], (at,), *allowed[index + 1 :]], capacity)
        )
    return {r.reference: at for r, (at,) in zip(served, allowed, strict=True)}


SHAPES = [
    # how wishes come about from (a number of one's own, how many starts, randomness), most places a start
    ("anything", lambda _own, starts, rng: [rng.randrange(starts) for _ in range(rng.randint(1, 3))], 2),
    ("near", lambda own, starts, rng: [(own + rng.randint(-2, 2)) % starts for _ in range(3)], 2),
    ("all are needed", lambda own, starts, rng: rng.sample([own % starts, *rng.choices(range(starts), k=2)], 3), 1),
    ("few starts", lambda _own, _starts, rng: [rng.randrange(6) for _ in range(3)], 6),
    ("popular", lambda _own, starts, rng: [min(int(rng.paretovariate(1)) - 1, starts - 1) for _ in range(3)], 2),
    ("room beside the crowd", lambda own, _starts, rng: sorted({own // 2 + rng.randint(0, 5) for _ in range(3)}), 1),
]


@pytest.mark.parametrize(("wish", "most"), [shape[1:] for shape in SHAPES], ids=[shape[0] for shape in SHAPES])
def test_larger_batches_agree_with_asking_every_question_from_scratch(wish, most):
    seed = secrets.randbelow(2**32)
    print(f"seed {seed}")  # noqa: T201 — shown by pytest when the test fails
    rng = random.Random(seed)
    for _ in range(6):
        count = rng.randint(15, 35)
        starts = count + rng.randint(0, 3)
        capacity = {start(number): rng.randint(1, most) for number in range(starts)}
        requests = requests_of(*(wish(own, starts, rng) for own in rng.sample(range(count), count)))

        assert assign(requests, capacity) == slowly(requests, capacity)


def test_the_longest_chain_moves_everybody_and_needs_no_recursion():
    count = 3000
    requests = requests_of(*([k, k + 1] for k in range(count - 1)), [0])

    answer = assign(requests, {start(k): 1 for k in range(count)})

    assert numbers(answer) == {f"M-{k}": k + 1 for k in range(count - 1)} | {f"M-{count - 1}": 0}


def test_a_reference_listed_twice_is_named():
    with pytest.raises(ValueError, match="M-1 is listed twice"):
        assign([Wanted("M-1", ()), Wanted("M-1", ())], {})


def test_a_wish_without_a_time_zone_is_refused():
    with pytest.raises(ValueError, match="M-1 has a wish without a time zone"):
        assign([Wanted("M-1", (datetime(2026, 10, 1, 11),))], {FIRST: 1})  # noqa: DTZ001 — that is the case
