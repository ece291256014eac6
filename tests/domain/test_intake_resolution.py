"""What a new row becomes when others of the same answer or the same person are there. The table of docs/intake.md."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madoguchi.domain.application import REASONS, Flag, Outcome, Reason
from madoguchi.domain.intake import Candidate, Earlier, name_match_key, resolve
from madoguchi.domain.office import JST

T0 = datetime(2026, 9, 10, 9, 0, tzinfo=JST)
A, B, C = (datetime(2026, 9, day, 11, 0, tzinfo=JST) for day in (24, 25, 28))


def new(position=0, **changes):
    base = Candidate(
        position=position,
        row_key=f"new-{position}",
        content_digest=b"content-%d" % position,
        submitted_at=T0 + timedelta(hours=1, minutes=position),
        number="number",
        name_key="name",
        starts=(A,),
        values_digest=b"values-%d" % position,
        outcome=Outcome.ACCEPT,
    )
    made = replace(base, **changes)
    return replace(made, outcome=REASONS[made.reason].outcome) if made.reason else made


def stored(status, **changes):
    base = Earlier(
        reference="R-1",
        status=status,
        row_key="stored",
        content_digest=b"content",
        submitted_at=T0,
        number="number",
        name_key="name",
        starts=(A,),
        values_digest=b"values",
    )
    return replace(base, **changes)


ACCEPTED = (Outcome.ACCEPT, None)
DUPLICATE = (Outcome.REJECT, Reason.DUPLICATE)
OLDER = (Outcome.REJECT, Reason.SUPERSEDED_BY_EDIT)
CHANGE = (Outcome.NEEDS_REVIEW, Reason.CHANGE_REQUEST)
MISMATCH = (Outcome.NEEDS_REVIEW, Reason.NUMBER_NAME_MISMATCH)

SAME_VALUES = {"values_digest": b"values"}
SAME_ROW = {"row_key": "stored"}
REJECTED = {"outcome": Outcome.REJECT, "reason": Reason.NOT_REGISTERED}
REPEAT = {"outcome": Outcome.REJECT, "reason": Reason.DUPLICATE}

# what stands in the record, the new row, its end, flags, relates to, supersedes
AGAINST_THE_RECORD = {
    "nothing": (None, {}, ACCEPTED, set(), None, ()),
    # another answer of the same person
    "live, same start": (stored("live"), {}, DUPLICATE, set(), "R-1", ()),
    "live, same values": (stored("live"), SAME_VALUES, DUPLICATE, set(), "R-1", ()),
    "live, other start": (stored("live"), {"starts": (B,)}, CHANGE, set(), "R-1", ()),
    "live, same start and one more wish": (stored("live"), {"starts": (A, B)}, CHANGE, set(), "R-1", ()),
    "live, fewer wishes": (stored("live", starts=(A, B)), {"starts": (A,)}, DUPLICATE, set(), "R-1", ()),
    "live, booked at its second wish": (stored("live", starts=(A, B), booked=B), {}, CHANGE, set(), "R-1", ()),
    "live, booked second, sent again": (
        stored("live", starts=(A, B), booked=B),
        SAME_VALUES,
        DUPLICATE,
        set(),
        "R-1",
        (),
    ),
    "live, booked start asked for": (
        stored("live", starts=(A, B), booked=B),
        {"starts": (B,)},
        DUPLICATE,
        set(),
        "R-1",
        (),
    ),
    "live, other address": (stored("live", contact="x"), {"contact": "y"}, CHANGE, {"CONTACT_CHANGED"}, "R-1", ()),
    "live, same address": (stored("live", contact="x"), {"contact": "x"}, DUPLICATE, set(), "R-1", ()),
    "live, other name": (stored("live"), {"name_key": "other"}, MISMATCH, set(), "R-1", ()),
    "live, other name and start": (stored("live"), {"name_key": "other", "starts": (B,)}, MISMATCH, set(), "R-1", ()),
    "in review, same values": (stored("in_review"), SAME_VALUES, DUPLICATE, set(), "R-1", ()),
    "in review, same start": (stored("in_review"), {}, ACCEPTED, {"RESUBMITTED"}, "R-1", ()),
    "in review, other start": (stored("in_review"), {"starts": (B,)}, CHANGE, set(), "R-1", ()),
    "in review without a start": (stored("in_review", starts=()), {}, ACCEPTED, {"RESUBMITTED"}, "R-1", ()),
    "in review, both without a start": (
        stored("in_review", starts=()),
        SAME_VALUES | {"starts": (), "reason": Reason.TIME_FREE_TEXT},
        (Outcome.NEEDS_REVIEW, Reason.TIME_FREE_TEXT),
        {"RESUBMITTED"},
        "R-1",
        (),
    ),
    "in review, other name": (stored("in_review"), {"name_key": "other"}, MISMATCH, set(), "R-1", ()),
    "waiting": (stored("waiting"), {"starts": (B,)}, ACCEPTED, {"REPLACES_WAITING"}, "R-1", ("R-1",)),
    "waiting, now in review": (
        stored("waiting"),
        {"reason": Reason.OFF_GRID},
        (Outcome.NEEDS_REVIEW, Reason.OFF_GRID),
        {"RELATED_WAITING"},
        "R-1",
        (),
    ),
    "waiting, again a closed day": (
        stored("waiting"),
        {"reason": Reason.NON_WORKING_DAY},
        (Outcome.REJECT, Reason.NON_WORKING_DAY),
        {"REPLACES_WAITING"},
        "R-1",
        ("R-1",),
    ),
    "waiting, now incomplete": (
        stored("waiting"),
        {"reason": Reason.MISSING_DATETIME},
        (Outcome.REJECT, Reason.MISSING_DATETIME),
        {"RELATED_WAITING"},
        "R-1",
        (),
    ),
    "waiting, other name": (stored("waiting"), {"name_key": "other"}, ACCEPTED, set(), None, ()),
    "closed, same start": (stored("closed"), {}, ACCEPTED, set(), None, ()),
    "closed, same values": (stored("closed"), SAME_VALUES, ACCEPTED, set(), None, ()),
    "closed, other name": (stored("closed"), {"name_key": "other"}, ACCEPTED, set(), None, ()),
    "other number": (stored("live"), {"number": "another"}, ACCEPTED, set(), None, ()),
    "no number": (
        stored("live"),
        {"number": None, "reason": Reason.NUMBER_INVALID},
        (Outcome.NEEDS_REVIEW, Reason.NUMBER_INVALID),
        set(),
        None,
        (),
    ),
    # another version of the same answer
    "same row, live": (stored("live"), SAME_ROW | {"starts": (B,)}, CHANGE, set(), "R-1", ()),
    "same row, live, same start": (stored("live"), SAME_ROW, CHANGE, set(), "R-1", ()),
    "same row, live, same values": (stored("live"), SAME_ROW | SAME_VALUES, DUPLICATE, set(), "R-1", ()),
    "same row, same cells": (stored("closed"), SAME_ROW | {"content_digest": b"content"}, DUPLICATE, set(), "R-1", ()),
    "same row, in review": (stored("in_review"), SAME_ROW | {"starts": (B,)}, ACCEPTED, set(), None, ("R-1",)),
    "same row, in review, other name": (
        stored("in_review"),
        SAME_ROW | {"name_key": "x"},
        ACCEPTED,
        set(),
        None,
        ("R-1",),
    ),
    "same row, in review, same values": (stored("in_review"), SAME_ROW | SAME_VALUES, DUPLICATE, set(), "R-1", ()),
    "same row, waiting": (
        stored("waiting"),
        SAME_ROW | {"starts": (B,)},
        ACCEPTED,
        {"REPLACES_WAITING"},
        "R-1",
        ("R-1",),
    ),
    "same row, closed": (stored("closed"), SAME_ROW | {"starts": (B,)}, ACCEPTED, set(), None, ()),
    "same row, cancelled, only the export changed": (
        stored("closed"),
        SAME_ROW | SAME_VALUES,
        DUPLICATE,
        set(),
        "R-1",
        (),
    ),
    "same row, rejected, mended outside the values": (
        stored("closed", **REJECTED),
        SAME_ROW | SAME_VALUES,
        ACCEPTED,
        set(),
        None,
        (),
    ),
    "same row, rejected, not mended": (
        stored("closed", **REJECTED),
        SAME_ROW | SAME_VALUES | {"reason": Reason.NOT_REGISTERED},
        DUPLICATE,
        set(),
        "R-1",
        (),
    ),
    "same row, once a repeat": (stored("closed", **REPEAT), SAME_ROW | SAME_VALUES, DUPLICATE, set(), "R-1", ()),
    "same row, but an older version": (
        stored("live", submitted_at=T0 + timedelta(days=1)),
        SAME_ROW | {"starts": (B,)},
        OLDER,
        set(),
        "R-1",
        (),
    ),
    "same row, suspicious, live": (
        stored("live"),
        SAME_ROW | {"reason": Reason.SUSPICIOUS_CELL},
        (Outcome.NEEDS_REVIEW, Reason.SUSPICIOUS_CELL),
        set(),
        "R-1",
        (),
    ),
}


@pytest.mark.parametrize("case", AGAINST_THE_RECORD)
def test_a_new_row_meets_what_the_office_already_holds(case):
    earlier, changes, (outcome, reason), flags, related, supersedes = AGAINST_THE_RECORD[case]
    (found,) = resolve([new(**changes)], [earlier] if earlier else [])
    assert (found.outcome, found.reason) == (outcome, reason)
    assert (found.flags, found.relates_to, found.supersedes) == (flags, related, supersedes)


# the first row, the second row, how each ends, what the second relates to
WITHIN_A_FILE = {
    "twice the same": (
        {"row_key": "k", "content_digest": b"c"},
        {"row_key": "k", "content_digest": b"c"},
        ACCEPTED,
        DUPLICATE,
    ),
    "sent again": ({}, {}, ACCEPTED, DUPLICATE),
    "another time": ({}, {"starts": (B,)}, ACCEPTED, CHANGE),
    "another name": ({}, {"name_key": "other"}, ACCEPTED, MISMATCH),
    "edited": ({"row_key": "k"}, {"row_key": "k", "starts": (B,)}, OLDER, ACCEPTED),
    "edited, both the same start": ({"row_key": "k"}, {"row_key": "k"}, OLDER, ACCEPTED),
    "first incomplete": ({"reason": Reason.MISSING_NAME}, {}, (Outcome.REJECT, Reason.MISSING_NAME), ACCEPTED),
    "first in review": ({"reason": Reason.EMAIL_INVALID}, {}, (Outcome.NEEDS_REVIEW, Reason.EMAIL_INVALID), ACCEPTED),
    "first on a closed day": (
        {"reason": Reason.NON_WORKING_DAY},
        {"starts": (B,)},
        (Outcome.REJECT, Reason.NON_WORKING_DAY),
        ACCEPTED,
    ),
}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("case", WITHIN_A_FILE)
def test_two_rows_of_one_file_meet(case, turned):
    first, second, end_of_first, end_of_second = WITHIN_A_FILE[case]
    rows = [new(1, **first), new(2, **second)]
    found = {r.position: (r.outcome, r.reason) for r in resolve(rows[::-1] if turned else rows, [])}
    assert found == {1: end_of_first, 2: end_of_second}


def test_the_answer_keeps_the_order_of_the_question():
    rows = [new(3, number="c"), new(1, number="a"), new(2, number="b")]
    assert [found.position for found in resolve(rows, [])] == [3, 1, 2]


def test_an_offer_of_other_times_ends_when_the_person_applies_again_in_the_same_file():
    _, second = resolve([new(1, reason=Reason.NON_WORKING_DAY), new(2, starts=(B,))], [])
    assert (second.supersedes, second.flags) == ((1,), {Flag.REPLACES_WAITING})


def test_a_version_that_stays_with_staff_is_named_as_superseded_by_the_newer_one():
    older, newer = resolve([new(1, row_key="k", reason=Reason.SUSPICIOUS_CELL), new(2, row_key="k")], [])
    assert (older.reason, older.relates_to) == (Reason.SUSPICIOUS_CELL, 2)
    assert (newer.outcome, newer.supersedes) == (Outcome.ACCEPT, (1,))


def test_an_edit_back_to_an_earlier_version_is_not_thrown_away_as_a_repeat():
    first = stored("closed", outcome=Outcome.REJECT, reason=Reason.SUPERSEDED_BY_EDIT)
    second = stored("live", reference="R-2", submitted_at=T0 + timedelta(minutes=1), starts=(B,), values_digest=b"b")
    (found,) = resolve([new(row_key="stored", values_digest=b"values")], [first, second])
    assert (found.outcome, found.reason, found.relates_to) == (*CHANGE, "R-2")


def test_a_superseded_request_in_review_no_longer_stands_in_the_way_of_later_rows():
    edit = new(1, row_key="stored", name_key="married", starts=(B,))
    later = new(2, row_key="other", starts=(A,))
    found = resolve([edit, later], [stored("in_review")])
    assert (found[0].outcome, found[0].supersedes) == (Outcome.ACCEPT, ("R-1",))
    assert (found[1].reason, found[1].relates_to) == (Reason.NUMBER_NAME_MISMATCH, 1)


def test_of_two_findings_the_first_in_the_order_of_checks_names_the_row():
    rows = [new(1), new(2, name_key="other"), new(3, values_digest=b"x")]
    found = resolve(rows, [])
    assert found[2].reason is Reason.DUPLICATE
    assert found[2].relates_to == 1
    (alone,) = resolve([new(reason=Reason.SAME_DAY, starts=(B,))], [stored("live")])
    assert (alone.reason, alone.relates_to) == (Reason.SAME_DAY, "R-1")


def test_blank_rows_pass_through():
    rows = [new(i, row_key="", number=None, outcome=Outcome.SKIP, reason=Reason.BLANK) for i in range(3)]
    assert {(found.outcome, found.reason) for found in resolve(rows, [])} == {(Outcome.SKIP, Reason.BLANK)}


def test_spellings_of_one_name_meet_and_different_names_do_not():
    assert name_match_key("架空　太郎") == name_match_key("架空 太郎") == name_match_key("架空太郎")
    assert name_match_key("Mary Anne") == name_match_key("ＭＡＲＹ anne")
    assert name_match_key("架空 太郎") != name_match_key("架空 次郎")
    assert name_match_key(None) == ""


CANDIDATES = st.lists(
    st.builds(
        lambda key, digest, minute, number, name, start, reason: {
            "row_key": key,
            "content_digest": digest,
            "number": number,
            "name_key": name,
            "values_digest": digest,
            "submitted_at": None if minute is None else T0 + timedelta(minutes=minute),
            "starts": () if start is None else (start,),
            "reason": reason,
        },
        st.sampled_from(["", "a", "b"]),
        st.sampled_from([b"1", b"2"]),
        st.sampled_from([None, 1, 2, 3]),
        st.sampled_from([None, "n", "m"]),
        st.sampled_from(["x", "y"]),
        st.sampled_from([None, A, B, C]),
        st.sampled_from([None, *Reason]),
    ),
    max_size=12,
)


@given(CANDIDATES)
def test_every_row_gets_one_resolution_and_no_two_accepted_rows_are_one_person_at_one_time(rows):
    asked = [new(position, **row) for position, row in enumerate(rows)]
    found = resolve(asked, [])
    assert [r.position for r in found] == [row.position for row in asked]
    accepted = [asked[r.position] for r in found if r.outcome is Outcome.ACCEPT and asked[r.position].number]
    taken = [(row.number, row.name_key, row.starts) for row in accepted if row.starts]
    assert len(taken) == len(set(taken))
    for r in found:
        own = asked[r.position]
        assert r.outcome == (REASONS[r.reason].outcome if r.reason else own.outcome)
        assert r.relates_to != r.position


def test_many_rows_of_one_person_cost_no_more_than_rows_of_many_people():
    """Compares two runs on the same machine: a quadratic step would make the first hundreds of times slower."""

    def seconds(rows):
        begun = time.perf_counter()
        resolve(rows, [])
        return time.perf_counter() - begun

    many = [new(i, number=f"n{i // 2}", starts=(A + timedelta(minutes=i),)) for i in range(10_000)]
    one = [new(i, starts=(A + timedelta(minutes=i),)) for i in range(10_000)]
    offered = [new(i, reason=Reason.NON_WORKING_DAY) for i in range(10_000)]
    assert max(seconds(one), seconds(offered)) < 8 * seconds(many) + 0.1
