from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madoguchi.domain.lifecycle import BookingStatus, MeetingStatus, RequestStatus
from madoguchi.domain.message import MessageStatus
from madoguchi.domain.office import JST
from madoguchi.domain.retention import Matter, may_be_over, over

END = datetime(2026, 9, 24, 23, 59, tzinfo=JST)
MOMENTS = st.integers(0, 15 * 366 * 24 * 60).map(
    lambda minutes: END - timedelta(days=2000) + timedelta(minutes=minutes)
)


@pytest.mark.parametrize(
    ("as_of", "due"),
    [
        (datetime(2027, 9, 24, 23, 59, tzinfo=JST), False),
        (datetime(2027, 9, 25, 0, 0, tzinfo=JST), True),
        (datetime(2027, 9, 25, 20, 30, tzinfo=JST), True),
    ],
)
def test_the_days_are_whole_days_in_japan_after_the_last_one(as_of, due):
    found = over([END - timedelta(days=30), END], 365, as_of)
    assert bool(found) == due
    if found:
        assert (found.days, found.due_on.isoformat()) == (365, "2027-09-25")


def test_without_a_line_in_the_table_or_without_a_moment_nothing_is_ever_over():
    assert over([END], None, END + timedelta(days=9999)) is None
    assert over([], 365, END) is None


@given(MOMENTS, st.integers(0, 3000), MOMENTS)
def test_what_is_asked_of_the_record_leaves_out_nothing_that_is_over(moment, days, as_of):
    assert bool(over([moment], days, as_of)) == (moment < may_be_over(days, as_of))


@given(st.lists(MOMENTS, min_size=1), MOMENTS, st.integers(0, 800), MOMENTS)
def test_another_moment_never_shortens_a_time(moments, another, days, as_of):
    if over([*moments, another], days, as_of):
        assert over(moments, days, as_of)


@pytest.mark.parametrize(
    ("matter", "is_open"),
    [
        ({}, False),
        ({"requests": [RequestStatus.BOOKED], "bookings": [BookingStatus.ATTENDED]}, False),
        ({"requests": [RequestStatus.LAPSED, RequestStatus.IN_REVIEW]}, True),
        ({"requests": [RequestStatus.TO_OFFER]}, True),
        ({"bookings": [BookingStatus.NO_SHOW, BookingStatus.CONFIRMED]}, True),
        ({"meetings": [MeetingStatus.DELETED]}, False),
        ({"meetings": [MeetingStatus.UNWANTED]}, True),
        ({"messages": [MessageStatus.SENT, MessageStatus.FAILED, MessageStatus.MISSED]}, False),
        ({"messages": [MessageStatus.UNCERTAIN]}, True),
        ({"has_open_task": True}, True),
    ],
)
def test_a_matter_is_open_while_anything_of_it_is(matter, is_open):
    assert Matter([END], **matter).is_open is is_open
