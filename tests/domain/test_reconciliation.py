"""Differences between our meetings and Zoom's: every combination that matters, and what may be done about it."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from madoguchi.domain.lifecycle import ACTIVE_BOOKINGS, SETTLED_BOOKINGS, BookingStatus, MeetingStatus
from madoguchi.domain.meeting import PRIVACY_SETTINGS, ZoomMeeting
from madoguchi.domain.reconciliation import MANY_MISSING, AtZoom, OurMeeting, compare, token_form

NOW = datetime(2026, 9, 14, 10, 30, tzinfo=UTC)
START = NOW + timedelta(days=3)
TOKEN, ID = "M-7K2Q9F-0123456789", "81000000001"
LINK, PASSCODE = "https://zoom.us/j/81000000001?pwd=Ab1", "abcd2345"
JOIN_HOSTS = ("zoom.us",)

OURS = OurMeeting(
    booking="M-7K2Q9F", booking_status=BookingStatus.CONFIRMED, start=START, host="host-1", token=TOKEN,
    meeting_id=ID, meeting_status=MeetingStatus.VERIFIED, told=(LINK, PASSCODE),
)  # fmt: skip
READ = ZoomMeeting(
    meeting_id=ID, host_id="h1", start=START, duration=30, join_url=LINK, passcode=PASSCODE, status="waiting",
    agenda=f"ref:{TOKEN}", settings=dict(PRIVACY_SETTINGS),
)  # fmt: skip


def listed(meeting=READ, **changes):
    """As a list shows it: no passcode, status, settings."""
    return replace(meeting, passcode="", status="", settings={}, **changes)


def found(ours=(OURS,), at=None, read=None, silent=(), now=NOW, **more):
    """Kind, action, why and subject of every finding."""
    zoom = AtZoom({"host-1": [listed()]} if at is None else at, {ID: READ} if read is None else read, frozenset(silent))
    findings = compare(ours, zoom, now=now, join_hosts=JOIN_HOSTS, **more)
    return [(str(f.kind), str(f.action), f.why, f.subject) for f in findings]


def ours(**changes):
    return (replace(OURS, **changes),)


def test_two_descriptions_of_the_same_meeting_give_no_finding():
    assert found() == []


# --- what is at Zoom and belongs to nobody

LIVE = ACTIVE_BOOKINGS | SETTLED_BOOKINGS


def own(booking_status, meeting_status):
    """What is said of a listed meeting whose id is on record, for a session that is over."""
    if meeting_status is MeetingStatus.DELETED:
        return [("orphan", "repair", "CAME_BACK", "M-7K2Q9F")]
    if meeting_status is MeetingStatus.UNWANTED or booking_status in LIVE:
        return []
    return [("orphan", "repair", "NO_LIVE_BOOKING", "M-7K2Q9F")]


@pytest.mark.parametrize("meeting_status", MeetingStatus)
@pytest.mark.parametrize("booking_status", BookingStatus)
def test_a_listed_meeting_of_ours_by_every_state(booking_status, meeting_status):
    row = ours(booking_status=booking_status, meeting_status=meeting_status, start=NOW - timedelta(days=1))
    assert found(row, read={}) == own(booking_status, meeting_status)


def namesake(booking_status, meeting_status, meeting_id):
    """What is said of another meeting with the token of one on record."""
    if meeting_status in {MeetingStatus.CLAIMED, MeetingStatus.CREATED}:
        return []
    if meeting_status is MeetingStatus.UNWANTED and meeting_id is None:
        return []
    if meeting_status is MeetingStatus.VERIFIED and booking_status in LIVE:
        return [("duplicate", "repair", "SECOND_WITH_TOKEN", "M-7K2Q9F")]
    return [("orphan", "repair", "NO_LIVE_BOOKING", "M-7K2Q9F")]


@pytest.mark.parametrize("meeting_id", [ID, None])
@pytest.mark.parametrize("meeting_status", MeetingStatus)
@pytest.mark.parametrize("booking_status", BookingStatus)
def test_a_second_meeting_with_our_token_by_every_state(booking_status, meeting_status, meeting_id):
    row = ours(
        booking_status=booking_status, meeting_status=meeting_status, meeting_id=meeting_id,
        start=NOW - timedelta(days=1),
    )  # fmt: skip
    at = {"host-1": [listed(meeting_id="81000000002")]}
    assert found(row, at, {}) == namesake(booking_status, meeting_status, meeting_id)


@pytest.mark.parametrize(
    ("agenda", "finding"),
    [
        ("", ("foreign", "none", "NOT_OURS", "host-1")),
        ("Quarterly talk", ("foreign", "none", "NOT_OURS", "host-1")),
        ("ref:other-system", ("foreign", "none", "NOT_OURS", "host-1")),
        ("ref:M-7K2Q9F", ("foreign", "none", "NOT_OURS", "host-1")),
        ("ref:M-7K2Q9F-01234567890", ("foreign", "none", "NOT_OURS", "host-1")),
        ("ref:XM-7K2Q9F-0123456789", ("foreign", "none", "NOT_OURS", "host-1")),
        ("ref:M-3TTTTT-0123456789", ("orphan", "report", "UNKNOWN_TOKEN", "M-3TTTTT")),
        ("M-3TTTTT-0123456789 and more", ("orphan", "report", "UNKNOWN_TOKEN", "M-3TTTTT")),
    ],
)
def test_a_meeting_that_is_not_on_record_is_never_deleted(agenda, finding):
    at = {"host-1": [listed(), listed(meeting_id="82", agenda=agenda)]}
    assert found(at=at) == [finding]


def test_a_token_is_found_as_a_whole_word_anywhere_in_an_agenda():
    assert token_form(f"moved, ref:{TOKEN}.") == TOKEN
    assert token_form(f"{TOKEN}-1") is None


# --- what is missing

GONE = {ID: None}


@pytest.mark.parametrize(
    ("before_start", "at", "silent", "expected"),
    [
        (timedelta(days=3), {"host-1": []}, (), ("repair", "GONE")),
        (timedelta(hours=1, seconds=1), {"host-1": []}, (), ("repair", "GONE")),
        (timedelta(hours=1), {"host-1": []}, (), ("repair", "GONE_SOON")),
        (timedelta(seconds=1), {"host-1": []}, (), ("repair", "GONE_SOON")),
        (timedelta(0), {"host-1": []}, (), None),
        (timedelta(days=-1), {"host-1": []}, (), None),
        # Its host could not be asked: nothing follows.
        (timedelta(days=3), {}, ("host-1",), None),
        (timedelta(days=3), {"host-2": []}, ("host-1",), None),
        # Its host is no longer the office's: nobody could be asked about it.
        (timedelta(days=3), {"host-2": []}, (), ("repair", "GONE")),
        (timedelta(days=3), {"host-1": [listed()]}, (), ("report", "LISTED_BUT_NOT_THERE")),
        (timedelta(days=3), {"host-2": [listed()]}, (), ("report", "LISTED_BUT_NOT_THERE")),
    ],
)
def test_a_meeting_that_is_gone(before_start, at, silent, expected):
    row = ours(start=NOW + before_start)
    wanted = [("missing", *expected, "M-7K2Q9F")] if expected else []
    assert [each for each in found(row, at, GONE, silent) if each[0] != "orphan"] == wanted


def test_what_could_not_be_read_is_not_gone():
    assert found(at={"host-1": []}, read={}) == []


@pytest.mark.parametrize("status", [s for s in BookingStatus if s is not BookingStatus.CONFIRMED])
def test_only_a_confirmed_session_misses_its_meeting(status):
    assert [each for each in found(ours(booking_status=status), {"host-1": []}, GONE) if each[0] == "missing"] == []


def test_a_confirmed_session_without_a_meeting_on_record_gets_one():
    row = ours(meeting_id=None, meeting_status=None, told=None, token="")
    assert found(row, {"host-1": []}, {}) == [("missing", "repair", "NOT_ON_RECORD", "M-7K2Q9F")]


@pytest.mark.parametrize(
    ("gone", "there", "action"),
    [
        (MANY_MISSING - 1, 0, "repair"),
        (MANY_MISSING, 0, "report"),
        (MANY_MISSING, MANY_MISSING - 1, "report"),
        (MANY_MISSING, MANY_MISSING, "repair"),
        (50, 49, "report"),
        (50, 50, "repair"),
    ],
)
def test_many_gone_at_once_wait_for_a_person_and_not_when_a_person_said_so(gone, there, action):
    rows = [replace(OURS, booking=f"M-{n}", token=f"T-{n}", meeting_id=f"8{n:010d}") for n in range(gone + there)]
    read = {
        row.meeting_id: None if n < gone else replace(READ, meeting_id=row.meeting_id, agenda=f"ref:{row.token}")
        for n, row in enumerate(rows)
    }
    assert {each[1] for each in found(rows, {"host-1": []}, read)} == {action}
    assert {each[1] for each in found(rows, {"host-1": []}, read, repair_many=True)} == {"repair"}


# --- what is there and differs

DRIFT = {**PRIVACY_SETTINGS, "auto_recording": "cloud"}


def expected_when_read(*, other_time, drifted, link, runs, soon, other_host):
    """The table in words: what runs is left alone, a time is left alone in the last hour, the rest is put right."""
    wanted = []
    if other_host:
        wanted.append(("wrong_host", "report", "AT_ANOTHER_HOST", "M-7K2Q9F"))
    if other_time:
        action, why = (
            ("report", "RUNNING") if runs else ("report", "TOO_CLOSE") if soon else ("repair", "OTHER_INSTANT")
        )
        wanted.append(("wrong_time", action, why, "M-7K2Q9F"))
    if drifted:
        action, why = ("report", "RUNNING") if runs else ("repair", "CHANGED")
        wanted.append(("settings_drifted", action, why, "M-7K2Q9F"))
    if link:
        wanted.append(("link_changed", "repair", "CHANGED", "M-7K2Q9F"))
    return wanted


FLAGS = ("other_time", "drifted", "link", "runs", "soon", "other_host")


@pytest.mark.parametrize("case", list(itertools.product((False, True), repeat=len(FLAGS))), ids=str)
def test_every_combination_of_differences(case):
    flags = dict(zip(FLAGS, case, strict=True))
    start = NOW + (timedelta(minutes=60) if flags["soon"] else timedelta(days=3))
    meeting = replace(
        READ,
        start=start + timedelta(hours=4) if flags["other_time"] else start,
        settings=DRIFT if flags["drifted"] else dict(PRIVACY_SETTINGS),
        join_url=LINK + "x" if flags["link"] else LINK,
        status="started" if flags["runs"] else "waiting",
    )
    at = {"host-1": [], "host-2": [listed()]} if flags["other_host"] else {"host-1": [listed()], "host-2": []}
    assert found(ours(start=start), at, {ID: meeting}) == expected_when_read(**flags)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        *[({"settings": {**PRIVACY_SETTINGS, name: "x"}}, (name,)) for name in PRIVACY_SETTINGS],
        *[
            ({"settings": {k: v for k, v in PRIVACY_SETTINGS.items() if k != name}}, (name,))
            for name in PRIVACY_SETTINGS
        ],
        ({"duration": 60}, ("duration",)),
        ({"duration": None}, ("duration",)),
        ({"agenda": ""}, ("agenda",)),
        ({"agenda": f"ref:{TOKEN}1"}, ("agenda",)),
        ({"passcode": ""}, ("passcode",)),
        ({"duration": 60, "agenda": "x"}, ("duration", "agenda")),
    ],
)
def test_what_drifted_is_named(changes, names):
    zoom = AtZoom({"host-1": [listed()]}, {ID: replace(READ, **changes)})
    [finding] = compare([OURS], zoom, now=NOW, join_hosts=JOIN_HOSTS)
    assert (str(finding.kind), str(finding.action), finding.names) == ("settings_drifted", "repair", names)


def test_a_setting_that_the_account_never_shows_has_not_drifted_but_a_wrong_one_has():
    name = "auto_start_meeting_summary"
    hidden = {k: v for k, v in PRIVACY_SETTINGS.items() if k != name}
    assert found(read={ID: replace(READ, settings=hidden)}, may_be_absent={name}) == []
    shown = replace(READ, settings={**hidden, name: True})
    assert [each[0] for each in found(read={ID: shown}, may_be_absent={name})] == ["settings_drifted"]


@pytest.mark.parametrize(
    ("changes", "action", "why"),
    [
        ({"passcode": "other234"}, "repair", "CHANGED"),
        ({"join_url": "https://us02web.zoom.us/j/1"}, "repair", "CHANGED"),
        ({"join_url": ""}, "report", "NO_JOIN_URL"),
        ({"join_url": "http://zoom.us/j/1"}, "report", "JOIN_URL_NOT_HTTPS_ZOOM"),
        ({"join_url": "https://zoom.us.example.net/j/1"}, "report", "JOIN_URL_NOT_HTTPS_ZOOM"),
    ],
)
def test_a_link_is_only_mailed_when_it_may_be(changes, action, why):
    assert found(read={ID: replace(READ, **changes)}) == [("link_changed", action, why, "M-7K2Q9F")]


@pytest.mark.parametrize(
    ("at", "host_id", "is_wrong"),
    [
        ({"host-1": []}, "h1", False),  # the list lags and nothing else is known of the host
        ({"host-1": [listed(meeting_id="82", agenda="")]}, "h1", False),
        ({"host-1": [listed(meeting_id="82", agenda="")]}, "h2", True),
        ({"host-1": [listed(meeting_id="82", agenda="")]}, "", False),
        ({"host-1": [listed()], "host-2": [listed()]}, "h2", False),  # contradictory: at its own too
        ({"host-2": [listed()]}, "h1", True),
        ({}, "h9", False),
    ],
)
def test_at_whose_host_a_meeting_is(at, host_id, is_wrong):
    kinds = [each[0] for each in found(at=at, read={ID: replace(READ, host_id=host_id)}) if each[0] != "foreign"]
    assert kinds == (["wrong_host"] if is_wrong else [])


def test_what_may_be_said_of_a_finding_holds_no_access():
    row = repr(ours(told=("https://zoom.us/secret", "geheim99"))[0])
    assert "secret" not in row
    assert "geheim99" not in row
