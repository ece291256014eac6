from datetime import UTC
from typing import get_args

import pytest

from madoguchi.domain import staff
from madoguchi.domain.lifecycle import BookingStatus, RequestStatus
from tests.world import jst

DROPDOWNS = [
    (staff.CancelReason, staff.CANCEL_REASONS),
    (staff.MoveReason, staff.MOVE_REASONS),
    (staff.Decision, staff.DECISIONS),
    (staff.DecideReason, staff.DECIDE_REASONS),
    (staff.Tell, staff.TELLS),
]


@pytest.mark.parametrize(("offered", "codes"), DROPDOWNS)
def test_what_a_form_offers_is_what_has_a_code_and_no_code_is_used_twice(offered, codes):
    assert get_args(offered) == tuple(codes)
    assert len(set(codes.values())) == len(codes)
    assert all(code.isascii() and len(code) <= 60 for code in codes.values()), "a code fits the audit's column"


def test_every_state_has_a_word_because_any_of_them_may_be_why_something_is_refused():
    assert set(staff.BOOKING_WORDS) == set(BookingStatus)
    assert set(staff.REQUEST_WORDS) == set(RequestStatus)


def test_every_reason_fits_one_decision_and_other_fits_both():
    fitting = {
        code: [d for d in ("approve", "decline") if staff.fits(d, code)] for code in staff.DECIDE_REASONS.values()
    }
    assert fitting.pop("OTHER") == ["approve", "decline"]
    assert all(len(decisions) == 1 for decisions in fitting.values())
    assert [code for code, found in fitting.items() if found == ["approve"]][:2] == [
        "CHECKED_BY_TELEPHONE",
        "CHECKED_IN_RECORDS",
    ]


def test_a_refusal_says_what_when_and_what_cannot_be_in_one_sentence():
    said = staff.not_in_this_state("M-7K2Q9F", "取り消し済み", jst("2026-09-24 10:12"), "取り消せません")
    assert said == "M-7K2Q9F は9月24日 10時12分に取り消し済みのため、取り消せません。"
    assert staff.not_in_this_state("R-7K2Q9F", "空き待ち", None, "お断りできません").startswith("R-7K2Q9F は空き待ち")


def test_times_are_said_as_in_japan_whatever_zone_they_come_in():
    moment = jst("2026-01-01 08:05").astimezone(UTC)
    assert (staff.moment_ja(moment), staff.dated_ja(moment)) == ("1月1日 8時05分", "2026年1月1日 8時05分")
