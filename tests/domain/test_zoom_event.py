"""What an event of Zoom is taken to say, and what it never keeps."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madoguchi.domain.evidence import EvidenceKind
from madoguchi.domain.zoom_event import ZoomEvent, read_event

HOST_ID = "HOSTabc_123"
STAMP = 1_930_100_400_000
STAMPED_AT = datetime.fromtimestamp(STAMP / 1000, UTC)
NAME = "松戸 花子"
MAIL = "hanako@example.jp"


def event(name: str, person: dict[str, object] | None = None, **more: object) -> dict[str, object]:
    about: dict[str, object] = {"id": "81234567890", "uuid": "aB/cd==", "host_id": HOST_ID, "topic": "オンライン"}
    if person is not None:
        about["participant"] = {"user_name": NAME, "email": MAIL, **person}
    return {"event": name, "event_ts": STAMP, "payload": {"account_id": "a", "object": about | more}}


HOST = {"id": HOST_ID, "user_id": "16778240"}
GUEST = {"id": "", "user_id": "16779264"}


@pytest.mark.parametrize(
    ("name", "person", "kind"),
    [
        ("meeting.started", None, EvidenceKind.MEETING_STARTED),
        ("meeting.ended", None, EvidenceKind.MEETING_ENDED),
        ("meeting.deleted", None, EvidenceKind.MEETING_GONE),
        ("meeting.participant_joined", HOST, EvidenceKind.HOST_JOINED),
        ("meeting.participant_left", HOST, EvidenceKind.HOST_LEFT),
        ("meeting.participant_joined", {"participant_user_id": HOST_ID}, EvidenceKind.HOST_JOINED),
        ("meeting.participant_joined", GUEST, EvidenceKind.GUEST_JOINED),
        ("meeting.participant_left", GUEST, EvidenceKind.GUEST_LEFT),
        ("meeting.participant_joined", {"id": "somebody-signed-in"}, EvidenceKind.GUEST_JOINED),
        ("meeting.participant_joined", None, EvidenceKind.GUEST_JOINED),
        ("meeting.participant_joined_waiting_room", GUEST, EvidenceKind.GUEST_WAITING),
        ("meeting.participant_put_in_waiting_room", GUEST, EvidenceKind.GUEST_WAITING),
        ("meeting.participant_left_waiting_room", GUEST, EvidenceKind.GUEST_STOPPED_WAITING),
        ("meeting.participant_admitted", GUEST, EvidenceKind.GUEST_STOPPED_WAITING),
        ("meeting.participant_jbh_waiting", {"id": ""}, EvidenceKind.GUEST_WAITING),
        ("meeting.participant_jbh_waiting_left", {}, EvidenceKind.GUEST_STOPPED_WAITING),
        ("meeting.participant_jbh_joined", {}, EvidenceKind.GUEST_JOINED),
        ("meeting.participant_joined_waiting_room", HOST, None),
        ("meeting.created", None, None),
        ("meeting.updated", None, None),
        ("recording.started", None, None),
        ("meeting.participant_waiting_for_host", GUEST, None),
        ("endpoint.url_validation", None, None),
    ],
)
def test_each_event_proves_what_it_proves_and_every_other_one_nothing(name, person, kind):
    assert read_event(event(name, person)).kind is kind


def test_a_guest_without_ids_is_not_the_host_of_an_event_without_a_host_field_report_20():
    for host_id in ("", None):
        read = read_event(event("meeting.participant_joined", {"id": "", "participant_user_id": ""}, host_id=host_id))
        assert (read.kind, read.host_id) == (EvidenceKind.GUEST_JOINED, None)


def test_a_guest_who_bears_the_hosts_name_and_mail_is_still_a_guest_field_report_19():
    named = GUEST | {"user_name": "Host Sandbox", "email": "host-1@example.jp"}
    assert read_event(event("meeting.participant_joined", named)).kind is EvidenceKind.GUEST_JOINED


@pytest.mark.parametrize("field", ["join_time", "leave_time", "date_time"])
def test_the_participants_own_time_counts_before_the_events(field):
    read = read_event(event("meeting.participant_joined", {field: "2031-03-04T11:03:00+09:00"}))
    assert read.event_at == datetime(2031, 3, 4, 2, 3, tzinfo=UTC)


@pytest.mark.parametrize("odd", ["", "soon", "2031-03-04T02:03:00", 5, None, "0001-01-01T00:00:00+14:00"])
def test_an_odd_time_of_the_participant_leaves_the_events(odd):
    assert read_event(event("meeting.participant_joined", {"join_time": odd})).event_at == STAMPED_AT


def test_ids_are_text_whether_they_come_as_numbers_or_text():
    for number in (81234567890, "81234567890"):
        assert read_event(event("meeting.deleted", id=number)).meeting_id == "81234567890"
    assert read_event({"event": "app_deauthorized", "event_ts": STAMP, "payload": {}}).meeting_id is None


def test_an_event_without_any_time_takes_the_one_of_its_arrival_or_names_what_is_missing():
    arrived = datetime(2031, 3, 4, 2, 0, tzinfo=UTC)
    body = {"event": "meeting.deleted", "payload": {"object": {"id": 81234567890}}}
    assert read_event(body, received_at=arrived).event_at == arrived
    with pytest.raises(ValueError, match=r"^event_ts$"):
        read_event(body)


@pytest.mark.parametrize("body", [{}, {"event": None}, {"event": ""}, {"event": 5}, {"event": "x" * 101}, []])
def test_what_is_no_event_names_the_field_and_nothing_else(body):
    with pytest.raises(ValueError, match=r"^event$"):
        read_event(body)


def test_the_same_event_sent_again_has_the_same_key_and_another_event_another():
    first = event("meeting.participant_joined", GUEST)
    again = json.loads(json.dumps(first, ensure_ascii=True, indent=2))
    others = [
        event("meeting.participant_left", GUEST),
        first | {"event_ts": STAMP + 1},
        event("meeting.participant_joined", GUEST | {"user_id": "16779265"}),
        event("meeting.participant_joined", GUEST | {"participant_uuid": "7"}),
        event("meeting.participant_joined", GUEST, uuid="other=="),
        event("meeting.participant_joined", GUEST, uuid="", id="89999999999"),
    ]
    assert read_event(first).key == read_event(again).key
    keys = {read_event(body).key for body in [first, *others]}
    assert len(keys) == 1 + len(others)


def test_no_name_no_mail_and_no_number_of_a_guest_is_kept():
    person = GUEST | {"phone_number": "090-0000-0000", "registrant_id": "R-1", "customer_key": "K-1"}
    kept = repr(read_event(event("meeting.participant_joined", person)))
    for secret in (NAME, MAIL, "16779264", "090", "R-1", "K-1", "オンライン"):
        assert secret not in kept


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(stamp=_ANYTHING, payload=_ANYTHING, about=_ANYTHING, person=_ANYTHING)
def test_whatever_zoom_may_send_is_read_or_refused_by_the_name_of_a_field(stamp, payload, about, person):
    shapes = [payload, {"object": about}, {"object": {"id": about, "host_id": stamp, "participant": person}}]
    for shape in shapes:
        try:
            read = read_event({"event": "meeting.participant_joined", "event_ts": stamp, "payload": shape})
        except ValueError as wrong:
            assert str(wrong) == "event_ts"  # noqa: PT017 — only some of the bodies are refused
        else:
            assert isinstance(read, ZoomEvent)
            assert read.event_at.tzinfo is UTC
