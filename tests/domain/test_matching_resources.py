"""assign_resources(): distinct pairs within a start, budgets first, loads even."""

from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madoguchi.domain.matching import Assignment, assign_resources
from madoguchi.domain.office import JST

ELEVEN = datetime(2026, 10, 1, 11, tzinfo=JST)
NOON = datetime(2026, 10, 1, 12, tzinfo=JST)
property_test = settings(max_examples=100, deadline=None, database=None, print_blob=True)


def test_two_at_one_start_get_different_counsellors_and_hosts():
    answer = assign_resources({"M-1": ELEVEN, "M-2": ELEVEN}, {ELEVEN: ["c1", "c2"]}, {ELEVEN: ["h1", "h2"]}, {})

    assert answer == {"M-1": Assignment(ELEVEN, "c1", "h1"), "M-2": Assignment(ELEVEN, "c2", "h2")}


def test_the_host_with_most_budget_left_is_taken_first():
    answer = assign_resources({"M-1": ELEVEN}, {ELEVEN: ["c1"]}, {ELEVEN: ["h1", "h2", "h3"]}, {"h1": 3, "h2": 40})

    assert answer["M-1"].host == "h2"


def test_a_start_with_one_host_is_not_left_with_a_spent_one():
    # At noon only h1 is free, and h1 may create one more meeting; eleven o'clock, though earlier, must use h2.
    answer = assign_resources(
        {"M-1": ELEVEN, "M-2": NOON},
        {ELEVEN: ["c1"], NOON: ["c1"]},
        {ELEVEN: ["h1", "h2"], NOON: ["h1"]},
        {"h1": 1, "h2": 1},
    )

    assert {reference: found.host for reference, found in answer.items()} == {"M-1": "h2", "M-2": "h1"}


def test_spent_hosts_are_still_used_and_evenly():
    starts = {f"M-{k}": ELEVEN + timedelta(days=k) for k in range(10)}
    both = dict.fromkeys(
        starts.values(),
        (
            "h1",
            "h2",
        ),
    )

    answer = assign_resources(starts, dict.fromkeys(starts.values(), ("c1",)), both, {"h1": 0, "h2": 0})

    assert Counter(found.host for found in answer.values()) == {"h1": 5, "h2": 5}


@pytest.mark.parametrize(("counsellors", "hosts"), [(["c1"], ["h1", "h2"]), (["c1", "c2"], ["h1", "h1"]), ([], [])])
def test_a_start_with_too_few_people_or_hosts_is_named(counsellors, hosts):
    with pytest.raises(ValueError, match=r"2026-10-01T11:00:00\+09:00 has 2 requests"):
        assign_resources({"M-1": ELEVEN, "M-2": ELEVEN}, {ELEVEN: counsellors}, {ELEVEN: hosts}, {})


@st.composite
def days(draw):
    """A few starts, each with some counsellors and hosts free and at most as many people as places."""
    starts, counsellors, hosts = {}, {}, {}
    for number in range(draw(st.integers(1, 6))):
        at = ELEVEN + timedelta(minutes=30 * number)
        counsellors[at] = draw(st.lists(st.sampled_from(["c1", "c2", "c3", "c4"]), unique=True))
        hosts[at] = draw(st.lists(st.sampled_from(["h1", "h2", "h3"]), unique=True))
        for person in range(draw(st.integers(0, min(len(counsellors[at]), len(hosts[at]))))):
            starts[f"M-{number}{person}"] = at
    return starts, counsellors, hosts, draw(st.dictionaries(st.sampled_from(["h1", "h2", "h3"]), st.integers(0, 4)))


@given(days())
@property_test
def test_nobody_is_in_two_sessions_at_once_and_everybody_given_is_free(day):
    starts, counsellors, hosts, _ = day
    answer = assign_resources(*day)

    assert {reference: found.start for reference, found in answer.items()} == starts
    assert len({(found.start, found.counsellor) for found in answer.values()}) == len(answer)
    assert len({(found.start, found.host) for found in answer.values()}) == len(answer)
    assert all(f.counsellor in counsellors[f.start] and f.host in hosts[f.start] for f in answer.values())


@given(days(), st.randoms(use_true_random=False))
@property_test
def test_the_order_in_which_people_and_hosts_are_listed_changes_nothing(day, shuffler):
    starts, counsellors, hosts, budget = day

    def mixed(lists):
        return {at: shuffler.sample(codes, len(codes)) for at, codes in lists.items()}

    assert assign_resources(starts, mixed(counsellors), mixed(hosts), budget) == assign_resources(*day)


@given(st.integers(1, 40))
@property_test
def test_when_all_are_free_counsellors_and_hosts_differ_by_one_session_at_most(count):
    starts = {f"M-{k}": ELEVEN + timedelta(days=k) for k in range(count)}
    answer = assign_resources(
        starts,
        dict.fromkeys(
            starts.values(),
            (
                "c1",
                "c2",
                "c3",
            ),
        ),
        dict.fromkeys(
            starts.values(),
            (
                "h1",
                "h2",
            ),
        ),
        {"h1": 100, "h2": 100},
    )
    for load, size in (
        (Counter(f.counsellor for f in answer.values()), 3),
        (Counter(f.host for f in answer.values()), 2),
    ):
        assert max(load.values()) - (min(load.values()) if len(load) == size else 0) <= 1
