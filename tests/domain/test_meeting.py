from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madoguchi.domain.meeting import (
    PRIVACY_SETTINGS,
    MeetingPlan,
    ZoomMeeting,
    carries_token,
    check_meeting,
    draw_passcode,
    is_join_link,
)
from madoguchi.domain.office import JST

START = datetime(2026, 12, 1, 11, 0, tzinfo=JST)
PLAN = MeetingPlan(token="M-7K2Q9F", start=START, passcode="abcd2345")
GOOD = ZoomMeeting(
    meeting_id="81234567890",
    host_id="host",
    start=datetime(2026, 12, 1, 2, 0, tzinfo=UTC),
    duration=30,
    join_url="https://us06web.zoom.us/j/81234567890?pwd=abc",
    passcode="abcd2345",
    agenda="ref:M-7K2Q9F",
    settings=dict(PRIVACY_SETTINGS),
)


def test_a_meeting_that_is_as_planned_has_no_discrepancy():
    assert check_meeting(PLAN, GOOD) == ()


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ({"start": datetime(2026, 12, 1, 11, 0, tzinfo=UTC)}, ("WRONG_START",)),
        ({"start": START + timedelta(minutes=1)}, ("WRONG_START",)),
        ({"start": None}, ("WRONG_START",)),
        ({"duration": 60}, ("WRONG_DURATION",)),
        ({"duration": None}, ("WRONG_DURATION",)),
        ({"join_url": ""}, ("NO_JOIN_URL",)),
        ({"join_url": "http://zoom.us/j/1"}, ("JOIN_URL_NOT_HTTPS_ZOOM",)),
        ({"passcode": ""}, ("NO_PASSCODE",)),
        ({"passcode": "another9"}, ()),
        ({"agenda": "ref:M-7K2Q9G"}, ("WRONG_TOKEN",)),
        ({"agenda": ""}, ("WRONG_TOKEN",)),
        ({"start": None, "duration": 1}, ("WRONG_START", "WRONG_DURATION")),
    ],
)
def test_each_discrepancy_has_its_code(change, codes):
    assert check_meeting(PLAN, replace(GOOD, **change)) == codes


@pytest.mark.parametrize("name", PRIVACY_SETTINGS)
def test_every_privacy_setting_is_noticed_when_changed_or_missing(name):
    wrong = {True: False, False: True, "none": "cloud", 2: 0}[PRIVACY_SETTINGS[name]]
    missing = {key: value for key, value in PRIVACY_SETTINGS.items() if key != name}
    assert check_meeting(PLAN, replace(GOOD, settings={**PRIVACY_SETTINGS, name: wrong})) == (f"SETTING_DRIFT:{name}",)
    assert check_meeting(PLAN, replace(GOOD, settings=missing)) == (f"SETTING_DRIFT:{name}",)
    assert check_meeting(PLAN, replace(GOOD, settings=missing), may_be_absent={name}) == ()


def test_a_setting_that_may_be_absent_may_still_not_be_wrong():
    settings = {**PRIVACY_SETTINGS, "auto_start_meeting_summary": True}
    found = check_meeting(PLAN, replace(GOOD, settings=settings), may_be_absent={"auto_start_meeting_summary"})
    assert found == ("SETTING_DRIFT:auto_start_meeting_summary",)


def test_one_is_not_true():
    assert check_meeting(PLAN, replace(GOOD, settings={**PRIVACY_SETTINGS, "waiting_room": 1})) == (
        "SETTING_DRIFT:waiting_room",
    )


@pytest.mark.parametrize(
    ("link", "hosts", "passes"),
    [
        ("https://zoom.us/j/1", ("zoom.us",), True),
        ("https://us06web.zoom.us/j/1?pwd=x", ("zoom.us",), True),
        ("https://US06WEB.ZOOM.US:443/j/1", ("zoom.us",), True),
        ("https://zoom.us:8443/j/1", ("zoom.us",), False),
        ("https://evilzoom.us/j/1", ("zoom.us",), False),
        ("https://zoom.us.example.com/j/1", ("zoom.us",), False),
        ("https://zoom.us@example.com/j/1", ("zoom.us",), False),
        ("https://example.com\\@zoom.us/j/1", ("zoom.us",), False),
        ("https://example.com/zoom.us", ("zoom.us",), False),
        ("https://zoom.us/j/1\nX: y", ("zoom.us",), False),
        ("javascript:alert(1)//zoom.us", ("zoom.us",), False),
        ("http://zoom.us/j/1", ("zoom.us",), False),
        ("https://[::1", ("zoom.us",), False),
        ("https://zoom.us:port/j/1", ("zoom.us",), False),
        ("http://127.0.0.1:8080/j/1", ("zoom.us",), False),
        ("http://127.0.0.1:8080/j/1", ("127.0.0.1",), True),
        ("https://zoom.example.jp/j/1", ("zoom.us",), False),
        ("https://zoom.example.jp/j/1", ("zoom.example.jp",), True),
        ("http://zoom.example.jp/j/1", ("zoom.example.jp",), False),
        ("", ("zoom.us",), False),
    ],
)
def test_only_an_https_link_of_an_allowed_host_may_go_into_a_mail(link, hosts, passes):
    assert is_join_link(link, hosts) is passes


@given(st.text(max_size=60))
def test_no_text_makes_the_link_check_fail_otherwise_than_by_saying_no(text):
    assert is_join_link(text, ("zoom.us",)) in {True, False}


@pytest.mark.parametrize(
    ("agenda", "found"),
    [
        ("ref:M-7K2Q9F", True),
        ("M-7K2Q9F", True),
        ("Session. ref:M-7K2Q9F, thank you", True),
        ("ref:M-7K2Q9F2", False),
        ("ref:M-7K2Q9F-2", False),
        ("ref:XM-7K2Q9F", False),
        ("ref:m-7k2q9f", False),
        ("ref:M-7K2Q9", False),
        ("", False),
    ],
)
def test_a_token_is_found_as_a_whole_word_only(agenda, found):
    assert carries_token(agenda, "M-7K2Q9F") is found


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"token": "a b"}, "token"),
        ({"token": "x"}, "token"),
        ({"token": "山田"}, "token"),
        ({"start": datetime(2026, 12, 1, 11, 0)}, "start"),  # noqa: DTZ001 — the point of the row
        ({"start": START.replace(microsecond=1)}, "start"),
        ({"passcode": "short"}, "passcode"),
        ({"passcode": "elevenchars"}, "passcode"),
        ({"passcode": "abc 2345"}, "passcode"),
        ({"duration_minutes": 0}, "duration_minutes"),
        ({"topic": "x" * 201}, "topic"),
    ],
)
def test_a_plan_that_zoom_would_refuse_or_misread_is_refused_by_name(change, field):
    with pytest.raises(ValueError, match=f"^{field}:"):
        replace(PLAN, **change)


def test_nothing_secret_shows_when_a_plan_or_meeting_is_printed():
    shown = f"{PLAN!r} {GOOD!r}"
    assert "abcd2345" not in shown
    assert "pwd=" not in shown


def test_the_agenda_holds_the_token_early_enough_for_lists():
    plan = replace(PLAN, token="T" * 64, start=START.astimezone(timezone(timedelta(hours=-5))))
    assert len(plan.agenda) < 250
    assert carries_token(plan.agenda, plan.token)


def test_a_drawn_passcode_is_one_that_a_plan_accepts_and_has_no_look_alikes():
    passcode = draw_passcode(lambda letters: letters[-1])
    assert replace(PLAN, passcode=passcode).passcode == "zzzzzzzz"
    assert not set("0o1li") & {draw_passcode(lambda letters, i=i: letters[i])[0] for i in range(30)}
