import itertools

import pytest

from madoguchi.domain.lifecycle import (
    ACTIVE_BOOKINGS,
    BOOKING_ARROWS,
    LIVE_MEETINGS,
    MEETING_ARROWS,
    REQUEST_ARROWS,
    BookingStatus,
    ForbiddenTransition,
    MeetingStatus,
    RequestStatus,
    require_arrow,
)

TABLES = [(RequestStatus, REQUEST_ARROWS), (BookingStatus, BOOKING_ARROWS), (MeetingStatus, MEETING_ARROWS)]
PAIRS = [(arrows, old, new) for states, arrows in TABLES for old, new in itertools.product(states, states)]


@pytest.mark.parametrize(("states", "arrows"), TABLES)
def test_every_state_has_its_entry_and_leads_to_states_of_its_own(states, arrows):
    assert set(arrows) == set(states)
    assert all(isinstance(new, states) for targets in arrows.values() for new in targets)
    assert all(old not in targets for old, targets in arrows.items()), "staying is no move"


@pytest.mark.parametrize(("arrows", "old", "new"), PAIRS)
def test_an_arrow_is_listed_or_refused_with_reference_and_both_states(arrows, old, new):
    if new in arrows[old]:
        require_arrow("R-TEST", arrows, old, new)
    else:
        with pytest.raises(ForbiddenTransition, match=f"R-TEST: {old} -> {new}"):
            require_arrow("R-TEST", arrows, old, new)


@pytest.mark.parametrize(
    ("first", "arrows"),
    [
        (RequestStatus.STAGED, REQUEST_ARROWS),
        (BookingStatus.HELD, BOOKING_ARROWS),
        (MeetingStatus.CLAIMED, MEETING_ARROWS),
    ],
)
def test_every_state_can_be_reached(first, arrows):
    reached, todo = {first}, [first]
    while todo:
        for new in arrows[todo.pop()] - reached:
            reached.add(new)
            todo.append(new)
    assert reached == set(arrows)


def test_what_was_told_to_an_applicant_is_never_taken_back_by_the_machine():
    assert BookingStatus.RELEASED not in BOOKING_ARROWS[BookingStatus.CONFIRMED]
    assert BOOKING_ARROWS[BookingStatus.CANCELLED] == frozenset()
    for closed in (RequestStatus.SKIPPED, RequestStatus.REPLACED, RequestStatus.LAPSED, RequestStatus.CANCELLED):
        assert REQUEST_ARROWS[closed] == frozenset()


def test_nobody_is_told_before_the_meeting_was_read_back():
    assert [old for old, new in MEETING_ARROWS.items() if MeetingStatus.VERIFIED in new] == [MeetingStatus.CREATED]


def test_active_and_live_states_are_those_of_the_unique_indexes():
    assert {BookingStatus.HELD, BookingStatus.CONFIRMED} == ACTIVE_BOOKINGS
    assert {MeetingStatus.CLAIMED, MeetingStatus.CREATED, MeetingStatus.VERIFIED} == LIVE_MEETINGS
