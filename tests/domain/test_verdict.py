import itertools
import random
from collections import Counter
from dataclasses import replace

import pytest

from madoguchi.domain.evidence import Duties, Duty, Verdict
from madoguchi.domain.evidence import EvidenceKind as Kind
from madoguchi.domain.evidence import EvidenceSource as Source
from madoguchi.domain.verdict import REASONS_JA, Change, Judgement, VerdictReason, deadline, judge, revise
from tests.domain.verdict_help import ALL_DONE, FACETS, START, at, by_webhook, combinations, read_table, seen, situation

NOBODY = by_webhook((Kind.MEETING_STARTED, -1), (Kind.HOST_JOINED, -1))
"""A meeting that the host opened in time and of which Zoom reports: nobody came."""
OF_THE_CLIENT = (
    Kind.GUEST_JOINED,
    Kind.GUEST_LEFT,
    Kind.GUEST_WAITING,
    Kind.GUEST_STOPPED_WAITING,
    Kind.CLIENT_SEEN,
    Kind.CONTACT,
)


@pytest.fixture(scope="module")
def judged():
    """Every combination with its judgement."""
    return {combination: judge(START, *situation(combination)) for combination in combinations()}


def verdict_of(*evidence, duties=ALL_DONE):
    return judge(START, evidence, duties).verdict


# The table.


def test_every_combination_of_evidence_is_judged_as_the_reviewed_table_says(judged):
    open_ones, wrong, used = list(judged), [], Counter()
    for number, row in enumerate(read_table(), start=2):
        cells = [row[facet] for facet in FACETS]
        rest = []
        for combination in open_ones:
            if not all(value in cell for value, cell in zip(combination, cells, strict=True)):
                rest.append(combination)
                continue
            used[number] += 1
            found = judged[combination]
            if (found.verdict, found.reasons[0]) != (row["verdict"], row["reason"]):
                wrong.append(f"line {number}: {combination}: {found}")
        open_ones = rest
        assert used[number], f"line {number} is never reached: {row['why']}"
    print(f"{len(judged)} combinations, {len(used)} rows, {Counter(str(found.verdict) for found in judged.values())}")  # noqa: T201 — shown by pytest when the test fails
    assert open_ones == [], "no row says what holds"
    assert wrong == [], f"{len(wrong)} disagree; the first: {wrong[:5]}"


def test_every_reason_can_come_about_and_has_its_words(judged):
    reached = {reason for found in judged.values() for reason in found.reasons}
    not_a_facet = {VerdictReason.NOT_ASKED_IN_TIME, VerdictReason.HOST_LEFT_BEFORE_START}  # cases further down
    assert reached == set(VerdictReason) - not_a_facet
    assert set(REASONS_JA) == set(VerdictReason)
    assert len(set(REASONS_JA.values())) == len(VerdictReason)


# What holds for all of them.


def test_no_show_means_that_the_office_did_its_part_and_nobody_came_or_called(judged):
    absent = [combination for combination, found in judged.items() if found.verdict is Verdict.NO_SHOW]
    assert absent
    for guest, host, contact, counsellor, link, reminder, hearing in absent:
        assert (guest, host) == ("none", "on_time")
        assert contact != "before"
        assert counsellor in {"silent", "not_seen"}
        assert link in {"done", "told"}
        assert reminder in {"done", "not_owed"}
        assert hearing != "status" or counsellor == "not_seen", "somebody has to be able to notice an arrival"


def sample(judged, size):
    """Every no-show, and so many others by chance."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 — shown by pytest when the test fails
    chance = random.Random(seed)
    absent = [combination for combination, found in judged.items() if found.verdict is Verdict.NO_SHOW]
    return chance, absent + chance.sample(list(judged), size)


def test_anything_of_the_client_in_time_makes_a_no_show_impossible(judged):
    _, some = sample(judged, 1_000)
    for combination in some:
        evidence, duties = situation(combination)
        for kind, minutes in itertools.product(OF_THE_CLIENT, (-3, 0, 4, 10)):
            found = judge(START, [*evidence, seen(kind, minutes, Source.LIVE)], duties)
            assert found.verdict is not Verdict.NO_SHOW, f"{combination} and {kind} at {minutes}"


def test_a_contact_in_time_is_always_attended_or_contacted(judged):
    _, some = sample(judged, 3_000)
    for combination in some:
        evidence, duties = situation(combination)
        for minutes in (-3 * 24 * 60, 10):
            found = judge(START, [*evidence, seen(Kind.CONTACT, minutes, Source.STAFF)], duties)
            assert found.verdict in {Verdict.ATTENDED, Verdict.CONTACTED}, combination


def test_order_duplicates_and_the_time_of_recording_change_nothing(judged):
    chance, some = sample(judged, 6_000)
    for combination in some:
        evidence, duties = situation(combination)
        again = [replace(piece, id="again", recorded_at=at(85)) for piece in evidence]
        late = [replace(piece, recorded_at=at(4 * 24 * 60)) for piece in evidence]
        for other in (evidence + again, late):
            chance.shuffle(other)
            assert judge(START, other, duties) == judged[combination], combination


def test_the_office_failing_more_never_makes_a_no_show(judged):
    _, some = sample(judged, 1_000)
    worse = (
        seen(Kind.MEETING_GONE, 5, Source.STATUS),
        seen(Kind.ZOOM_DOWN, 10.2, Source.STATUS),
        seen(Kind.HOST_LEFT, 7),
        seen(Kind.MEETING_ENDED, 7),
        seen(Kind.STILL_WAITING, 10.2, Source.STATUS),
    )
    for combination in some:
        evidence, duties = situation(combination)
        for piece in worse:
            assert judge(START, [*evidence, piece], duties).verdict is not Verdict.NO_SHOW, f"{combination}, {piece}"


def test_evidence_that_nobody_arranged_is_judged_too_and_never_against_the_client():
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 — shown by pytest when the test fails
    chance = random.Random(seed)
    for _ in range(4_000):
        evidence = [
            seen(chance.choice(list(Kind)), chance.choice((-30, -5, -1, 0, 1, 5, 9, 9.5, 10, 10.2, 12, 29, 31, 600)))
            for _ in range(chance.randrange(9))
        ]
        evidence = [replace(piece, source=chance.choice(list(Source))) for piece in evidence]
        duties = Duties(chance.choice(list(Duty)), chance.choice(list(Duty)))
        found = judge(START, evidence, duties)
        assert found.reasons
        assert judge(START, evidence[::-1] * 2, duties) == found
        if any(piece.kind in OF_THE_CLIENT and piece.happened_at <= deadline(START) for piece in evidence):
            assert found.verdict is not Verdict.NO_SHOW, evidence
        if found.verdict is Verdict.NO_SHOW:
            assert {piece.kind for piece in evidence} & {Kind.HOST_JOINED, Kind.MEETING_STARTED}
            assert duties.reminder in {Duty.DONE, Duty.NOT_OWED}


# Edges.

SECOND = 1 / 60
EDGES = [
    # To the second: the limit belongs to the client.
    ([(Kind.GUEST_JOINED, 10)], Verdict.ATTENDED, "GUEST_JOINED"),
    ([(Kind.GUEST_JOINED, 10 + SECOND)], Verdict.UNDETERMINED, "CAME_AFTER_LIMIT"),
    ([(Kind.GUEST_WAITING, 10)], Verdict.CONTACTED, "GUEST_WAITS"),
    ([(Kind.GUEST_WAITING, 10 + SECOND)], Verdict.UNDETERMINED, "CAME_AFTER_LIMIT"),
    ([(Kind.CONTACT, 10)], Verdict.CONTACTED, "CONTACT_BEFORE_LIMIT"),
    ([(Kind.CONTACT, 10 + SECOND)], Verdict.NO_SHOW, "NOBODY_CAME"),
    ([(Kind.CLIENT_SEEN, 10)], Verdict.ATTENDED, "CLIENT_SEEN"),
    ([(Kind.CLIENT_SEEN, 10 + SECOND)], Verdict.UNDETERMINED, "CLIENT_SEEN_LATE"),
    # Early presence that lasts is presence; a reconnection in one second is no absence of the client.
    ([(Kind.GUEST_JOINED, -9)], Verdict.ATTENDED, "GUEST_JOINED"),
    ([(Kind.GUEST_JOINED, -9), (Kind.GUEST_LEFT, -1)], Verdict.UNDETERMINED, "GUEST_LEFT_BEFORE_START"),
    ([(Kind.GUEST_JOINED, -9), (Kind.GUEST_LEFT, 0)], Verdict.ATTENDED, "GUEST_JOINED"),
    (
        [(Kind.GUEST_JOINED, -9), (Kind.GUEST_LEFT, -1), (Kind.GUEST_JOINED, -1)],
        Verdict.ATTENDED,
        "GUEST_JOINED",
    ),
    ([(Kind.GUEST_WAITING, -9), (Kind.GUEST_STOPPED_WAITING, -1)], Verdict.UNDETERMINED, "GUEST_LEFT_BEFORE_START"),
    # Going proves having been there, when the webhook of the coming is lost.
    ([(Kind.GUEST_LEFT, 4)], Verdict.ATTENDED, "GUEST_JOINED"),
    ([(Kind.GUEST_STOPPED_WAITING, 4)], Verdict.CONTACTED, "GUEST_WAITS"),
    ([(Kind.GUEST_LEFT, 14)], Verdict.UNDETERMINED, "CAME_AFTER_LIMIT"),
    # The counsellor's "nobody" against what comes after it, and before.
    ([(Kind.CLIENT_NOT_SEEN, 2), (Kind.GUEST_JOINED, 5)], Verdict.ATTENDED, "GUEST_JOINED"),
    ([(Kind.CLIENT_NOT_SEEN, 2), (Kind.CLIENT_SEEN, 5)], Verdict.ATTENDED, "CLIENT_SEEN"),
    ([(Kind.CLIENT_SEEN, 5), (Kind.CLIENT_NOT_SEEN, 9)], Verdict.UNDETERMINED, "CONTRADICTION"),
    ([(Kind.CLIENT_SEEN, 5), (Kind.CLIENT_NOT_SEEN, 5)], Verdict.UNDETERMINED, "CONTRADICTION"),
    ([(Kind.GUEST_JOINED, -9), (Kind.CLIENT_NOT_SEEN, -1)], Verdict.ATTENDED, "GUEST_JOINED"),
    ([(Kind.GUEST_WAITING, 5), (Kind.CLIENT_NOT_SEEN, 20)], Verdict.CONTACTED, "GUEST_WAITS"),
    ([(Kind.CLIENT_SEEN, 12), (Kind.CLIENT_NOT_SEEN, 15)], Verdict.UNDETERMINED, "CLIENT_SEEN_LATE"),
    ([(Kind.CONTACT, 3), (Kind.GUEST_JOINED, 12), (Kind.CLIENT_NOT_SEEN, 15)], Verdict.CONTACTED, "CONTACT"),
    # Zoom out of order counts while the session lasts, whatever a nightly question says.
    ([(Kind.ZOOM_DOWN, 30)], Verdict.UNDETERMINED, "ZOOM_DOWN"),
    ([(Kind.ZOOM_DOWN, 700)], Verdict.NO_SHOW, "NOBODY_CAME"),
    ([(Kind.ZOOM_DOWN, -1)], Verdict.NO_SHOW, "NOBODY_CAME"),
    # The office deletes the meeting after a no-show, and may have repaired it before the start.
    ([(Kind.MEETING_GONE, 10)], Verdict.OFFICE_FAULT, "MEETING_GONE"),
    ([(Kind.MEETING_GONE, 11)], Verdict.NO_SHOW, "NOBODY_CAME"),
    ([(Kind.MEETING_GONE, 700)], Verdict.NO_SHOW, "NOBODY_CAME"),
    ([(Kind.MEETING_GONE, -700)], Verdict.NO_SHOW, "NOBODY_CAME"),
    # Zoom's status against its own webhooks.
    ([(Kind.STILL_WAITING, 10.3)], Verdict.UNDETERMINED, "CONTRADICTION"),
    ([(Kind.MEETING_ENDED, 15), (Kind.STILL_WAITING, 16)], Verdict.NO_SHOW, "NOBODY_CAME"),
    ([(Kind.MEETING_ENDED, 15), (Kind.STILL_WAITING, 15)], Verdict.NO_SHOW, "NOBODY_CAME"),
    ([(Kind.STILL_WAITING, -2)], Verdict.NO_SHOW, "NOBODY_CAME"),
    # The host has to stay to the limit; a lost line is no absence.
    ([(Kind.HOST_LEFT, 10)], Verdict.NO_SHOW, "NOBODY_CAME"),
    ([(Kind.HOST_LEFT, 9.9)], Verdict.UNDETERMINED, "HOST_LEFT_EARLY"),
    ([(Kind.MEETING_ENDED, 9.9)], Verdict.UNDETERMINED, "HOST_LEFT_EARLY"),
    ([(Kind.HOST_LEFT, 6), (Kind.HOST_JOINED, 7)], Verdict.NO_SHOW, "NOBODY_CAME"),
    ([(Kind.HOST_LEFT, 4.8), (Kind.HOST_JOINED, 5.2)], Verdict.NO_SHOW, "NOBODY_CAME"),
    ([(Kind.HOST_LEFT, 7), (Kind.HOST_JOINED, 7)], Verdict.UNDETERMINED, "HOST_LEFT_EARLY"),
    ([(Kind.HOST_LEFT, 6), (Kind.HOST_JOINED, 7.1)], Verdict.UNDETERMINED, "HOST_LEFT_EARLY"),
]


@pytest.mark.parametrize(("moves", "verdict", "reason"), EDGES, ids=lambda value: str(value)[:60])
def test_on_top_of_a_meeting_where_nobody_came(moves, verdict, reason):
    found = judge(START, NOBODY + by_webhook(*moves), ALL_DONE)
    assert (found.verdict, found.reasons[0].startswith(reason)) == (verdict, True), found


HOSTS = [
    ([(Kind.HOST_JOINED, 5)], Verdict.NO_SHOW, "NOBODY_CAME"),
    ([(Kind.HOST_JOINED, 5 + SECOND)], Verdict.UNDETERMINED, "HOST_LATE"),
    ([(Kind.HOST_JOINED, -20)], Verdict.NO_SHOW, "NOBODY_CAME"),
    # Tried out and left: that is not being there for the session, and does not excuse a meeting that does not run.
    ([(Kind.HOST_JOINED, -20), (Kind.HOST_LEFT, -10)], Verdict.UNDETERMINED, "HOST_LEFT_BEFORE_START"),
    (
        [(Kind.HOST_JOINED, -20), (Kind.HOST_LEFT, -10), (Kind.STILL_WAITING, 10.3)],
        Verdict.OFFICE_FAULT,
        "HOST_NEVER_STARTED",
    ),
    # Only the end is known: the beginning was lost.
    ([(Kind.MEETING_ENDED, 29)], Verdict.UNDETERMINED, "HOST_SINCE_UNKNOWN"),
    ([(Kind.HOST_LEFT, 8)], Verdict.UNDETERMINED, "HOST_LEFT_EARLY"),
    # A meeting that is over stands as "waiting" too: asked after the session, the status proves nothing.
    ([(Kind.STILL_WAITING, 10)], Verdict.OFFICE_FAULT, "HOST_NEVER_STARTED"),
    # Asked late it may be over already: whoever was in it must not be told that the office did not come.
    ([(Kind.STILL_WAITING, 12)], Verdict.OFFICE_FAULT, "HOST_NEVER_STARTED"),
    ([(Kind.STILL_WAITING, 12 + SECOND)], Verdict.UNDETERMINED, "NOT_ASKED_IN_TIME"),
    ([(Kind.STILL_WAITING, 26)], Verdict.UNDETERMINED, "NOT_ASKED_IN_TIME"),
    ([(Kind.STILL_WAITING, 26), (Kind.GUEST_WAITING, 2)], Verdict.CONTACTED, "GUEST_CAME_HOST_UNKNOWN"),
    ([(Kind.STILL_WAITING, 9)], Verdict.UNDETERMINED, "NOT_ASKED_IN_TIME"),
    ([(Kind.STILL_WAITING, 10.3), (Kind.HOST_JOINED, 12)], Verdict.OFFICE_FAULT, "HOST_NEVER_STARTED"),
    ([(Kind.MEETING_STARTED, 12)], Verdict.UNDETERMINED, "HOST_LATE"),
    ([(Kind.HOST_JOINED, 11.99), (Kind.MEETING_STARTED, 12)], Verdict.UNDETERMINED, "HOST_LATE"),
    # Only a second device, or a reconnection, may be all that we hear of.
    ([(Kind.HOST_JOINED, 12)], Verdict.UNDETERMINED, "HOST_SINCE_UNKNOWN"),
    # Seen gone when asked at the tenth minute, and nobody was there.
    ([(Kind.MEETING_GONE, 10.3)], Verdict.OFFICE_FAULT, "MEETING_GONE"),
    ([(Kind.MEETING_GONE, 12)], Verdict.OFFICE_FAULT, "MEETING_GONE"),
    ([(Kind.MEETING_GONE, 12 + SECOND)], Verdict.UNDETERMINED, "NO_DATA"),
    ([(Kind.MEETING_GONE, -700)], Verdict.OFFICE_FAULT, "MEETING_GONE"),
    ([(Kind.ZOOM_DOWN, 12)], Verdict.OFFICE_FAULT, "ZOOM_DOWN"),
    ([(Kind.ZOOM_DOWN, 12 + SECOND)], Verdict.UNDETERMINED, "ZOOM_DOWN"),
    ([(Kind.ZOOM_DOWN, 31)], Verdict.UNDETERMINED, "NO_DATA"),
]


@pytest.mark.parametrize(("moves", "verdict", "reason"), HOSTS, ids=lambda value: str(value)[:60])
def test_of_the_host_alone(moves, verdict, reason):
    found = judge(START, by_webhook(*moves), ALL_DONE)
    assert (found.verdict, found.reasons[0].startswith(reason)) == (verdict, True), found


def test_a_meeting_without_its_host_running_on_does_not_bring_the_host_back():
    running = seen(Kind.MEETING_STARTED, 4, Source.STATUS)
    assert judge(START, [*NOBODY, seen(Kind.HOST_LEFT, 0.5), running], ALL_DONE).reasons[0] == "HOST_LEFT_EARLY"


def test_a_meeting_that_runs_when_asked_may_have_run_all_the_time():
    running = [seen(Kind.MEETING_STARTED, 10.1, Source.STATUS), seen(Kind.HOST_JOINED, 12)]
    assert judge(START, running, ALL_DONE).reasons == ("HOST_SINCE_UNKNOWN",)
    assert verdict_of(*running, seen(Kind.GUEST_JOINED, 2)) is Verdict.ATTENDED


def test_a_counsellor_who_speaks_before_the_start_was_not_there_for_the_session():
    early = seen(Kind.CLIENT_NOT_SEEN, -1, Source.COUNSELLOR)
    assert judge(START, [early], ALL_DONE).reasons == ("NO_DATA",)


GOT_IN = [
    ([(Kind.GUEST_JOINED, 2), (Kind.STILL_WAITING, 10.3)], Verdict.CONTACTED, "CONTRADICTION"),
    ([(Kind.GUEST_JOINED, 2), (Kind.MEETING_STARTED, 12)], Verdict.CONTACTED, "CONTRADICTION"),
    ([(Kind.GUEST_JOINED, 2), (Kind.MEETING_GONE, 10.3)], Verdict.CONTACTED, "MEETING_GONE"),
    ([(Kind.GUEST_JOINED, 2), (Kind.ZOOM_DOWN, 10.3)], Verdict.CONTACTED, "ZOOM_DOWN"),
    ([(Kind.GUEST_WAITING, 2), (Kind.ZOOM_DOWN, 10.3)], Verdict.CONTACTED, "ZOOM_DOWN"),
    ([(Kind.GUEST_JOINED, 12), (Kind.STILL_WAITING, 10.3)], Verdict.UNDETERMINED, "HOST_NEVER_STARTED"),
    ([(Kind.GUEST_JOINED, 12), (Kind.ZOOM_DOWN, 10.3)], Verdict.UNDETERMINED, "ZOOM_DOWN"),
    ([(Kind.GUEST_LEFT, -1), (Kind.STILL_WAITING, 10.3)], Verdict.UNDETERMINED, "HOST_NEVER_STARTED"),
    # At the door only, and nobody opened: that is certain.
    ([(Kind.GUEST_WAITING, 2), (Kind.STILL_WAITING, 10.3)], Verdict.OFFICE_FAULT, "GUEST_CAME_HOST_DID_NOT"),
    (
        [(Kind.GUEST_WAITING, 2), (Kind.GUEST_STOPPED_WAITING, 11.9), (Kind.MEETING_STARTED, 12)],
        Verdict.OFFICE_FAULT,
        "GUEST_CAME_HOST_DID_NOT",
    ),
    # Still at the door when somebody opened at last: perhaps let in, and their session runs.
    ([(Kind.GUEST_WAITING, 2), (Kind.MEETING_STARTED, 12)], Verdict.CONTACTED, "HOST_LATE"),
    ([(Kind.GUEST_WAITING, 2), (Kind.STILL_WAITING, 10.3), (Kind.HOST_JOINED, 12)], Verdict.CONTACTED, "HOST_NEVER"),
    (
        [(Kind.GUEST_WAITING, 2), (Kind.GUEST_STOPPED_WAITING, 12.2), (Kind.MEETING_STARTED, 12)],
        Verdict.CONTACTED,
        "HOST_LATE",
    ),
    ([(Kind.GUEST_WAITING, 12), (Kind.STILL_WAITING, 10.3)], Verdict.OFFICE_FAULT, "HOST_NEVER_STARTED"),
    # Yesterday's try is another visit.
    ([(Kind.GUEST_LEFT, -1_000), (Kind.STILL_WAITING, 10.3)], Verdict.OFFICE_FAULT, "GUEST_CAME_HOST_DID_NOT"),
]


@pytest.mark.parametrize(("moves", "verdict", "reason"), GOT_IN, ids=lambda value: str(value)[:60])
def test_whoever_got_in_is_not_told_by_machine_that_the_office_failed(moves, verdict, reason):
    # With the waiting room nobody gets in unless somebody of the office is there: the other news must be wrong or late.
    found = judge(START, by_webhook(*moves), ALL_DONE)
    assert found.verdict is verdict
    assert any(each.startswith(reason) for each in found.reasons), found
    assert judge(START, by_webhook(*moves), Duties(Duty.NOT_DONE, Duty.DONE)).verdict is verdict


def test_evidence_that_nobody_arranged_sends_no_apology_to_somebody_who_was_in_the_meeting():
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 — shown by pytest when the test fails
    chance = random.Random(seed)
    inside = (Kind.GUEST_JOINED, Kind.CLIENT_SEEN)
    for _ in range(4_000):
        evidence = [
            replace(
                seen(chance.choice(list(Kind)), chance.choice((-30, -1, 0, 5, 9, 10, 10.2, 12, 20, 29, 31, 600))),
                source=chance.choice(list(Source)),
            )
            for _ in range(chance.randrange(8))
        ]
        evidence.append(seen(chance.choice(inside), chance.choice((-10, 0, 3, 10, 12, 20))))
        found = judge(START, evidence, Duties(chance.choice(list(Duty)), chance.choice(list(Duty))))
        assert found.verdict not in {Verdict.OFFICE_FAULT, Verdict.NO_SHOW}, evidence


def test_telling_the_link_counts_up_to_the_start():
    never = Duties(Duty.NOT_DONE, Duty.DONE)
    told = [*NOBODY, seen(Kind.LINK_TOLD, 0, Source.STAFF)]
    assert judge(START, told, never).verdict is Verdict.NO_SHOW
    told = [*NOBODY, seen(Kind.LINK_TOLD, 10 + SECOND, Source.STAFF)]
    assert judge(START, told, never) == Judgement(Verdict.OFFICE_FAULT, (VerdictReason.LINK_NOT_SENT,))


@pytest.mark.parametrize("minutes", [SECOND, 10])
def test_whoever_is_told_the_link_after_the_start_is_on_the_telephone_with_the_office(minutes):
    told = [*NOBODY, seen(Kind.LINK_TOLD, minutes, Source.STAFF)]
    found = judge(START, told, Duties(Duty.NOT_DONE, Duty.DONE))
    assert found == Judgement(Verdict.CONTACTED, (VerdictReason.CONTACT_BEFORE_LIMIT, VerdictReason.LINK_NOT_SENT))


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        (seen(Kind.CLIENT_NOT_SEEN, 10, Source.COUNSELLOR), Verdict.NO_SHOW),
        # The last seconds are the client's too.
        (seen(Kind.CLIENT_NOT_SEEN, 10 - SECOND, Source.COUNSELLOR), Verdict.UNDETERMINED),
        (seen(Kind.CLIENT_NOT_SEEN, 28, Source.COUNSELLOR), Verdict.NO_SHOW),
        (seen(Kind.HOST_ALONE, 10, Source.LIVE), Verdict.NO_SHOW),
        (seen(Kind.HOST_ALONE, 9.9, Source.LIVE), Verdict.UNDETERMINED),
        (seen(Kind.HOST_JOINED, -1), Verdict.NO_SHOW),
        (seen(Kind.HOST_JOINED, -24 * 60), Verdict.UNDETERMINED),  # yesterday's try does not show that webhooks come
    ],
)
def test_an_arrival_has_to_be_noticeable_before_its_absence_says_anything(evidence, verdict):
    found = judge(START, [seen(Kind.HOST_JOINED, 1, Source.LIVE), evidence], ALL_DONE)
    assert found.verdict is verdict
    if verdict is Verdict.UNDETERMINED:
        assert found.reasons == (VerdictReason.WEBHOOKS_SILENT,)


@pytest.mark.parametrize(
    "looked", [seen(Kind.CLIENT_NOT_SEEN, 10, Source.COUNSELLOR), seen(Kind.HOST_ALONE, 10, Source.LIVE)]
)
def test_a_host_who_came_after_the_start_has_not_seen_who_had_gone_by_then(looked):
    came = seen(Kind.HOST_JOINED, 1, Source.LIVE)
    assert verdict_of(came, looked) is Verdict.NO_SHOW
    came = seen(Kind.HOST_JOINED, 1 + SECOND, Source.LIVE)
    assert judge(START, [came, looked], ALL_DONE) == Judgement(Verdict.UNDETERMINED, (VerdictReason.WEBHOOKS_SILENT,))


def test_all_reasons_are_given_the_most_important_first():
    found = judge(START, by_webhook((Kind.HOST_JOINED, 7), (Kind.CONTACT, 15)), Duties(Duty.LATE, Duty.NOT_DONE))
    assert found.reasons == ("LINK_LATE", "HOST_LATE", "REMINDER_NOT_SENT", "CONTACT_AFTER_LIMIT")
    denied = by_webhook((Kind.CONTACT, 3), (Kind.GUEST_JOINED, 4), (Kind.CLIENT_NOT_SEEN, 9))
    assert judge(START, NOBODY + denied, ALL_DONE).reasons == ("CONTACT_BEFORE_LIMIT", "CONTRADICTION")
    called = by_webhook((Kind.CONTACT, 3), (Kind.STILL_WAITING, 10.2))
    assert judge(START, called, ALL_DONE).reasons == ("CONTACT_BEFORE_LIMIT", "HOST_NEVER_STARTED")


def test_times_without_a_zone_are_refused_and_the_place_is_named():
    with pytest.raises(ValueError, match="start: has no time zone"):
        deadline(START.replace(tzinfo=None))
    naive = replace(NOBODY[0], happened_at=START.replace(tzinfo=None), id="E-17")
    with pytest.raises(ValueError, match="evidence E-17: happened_at has no time zone"):
        judge(START, [naive], ALL_DONE)


# Reports of what broke elsewhere (docs/verdict.md).


@pytest.mark.parametrize("reminder", [Duty.LATE, Duty.UNCERTAIN, Duty.NOT_DONE])
def test_report_11_nobody_is_counted_absent_whose_reminder_came_late_or_never(reminder):
    assert verdict_of(*NOBODY, duties=Duties(Duty.DONE, reminder)) is Verdict.UNDETERMINED


@pytest.mark.parametrize("link", [Duty.LATE, Duty.UNCERTAIN, Duty.NOT_DONE, Duty.NOT_OWED])
def test_report_11_nobody_is_counted_absent_who_may_not_have_had_the_link(link):
    assert verdict_of(*NOBODY, duties=Duties(link, Duty.DONE)) in {Verdict.UNDETERMINED, Verdict.OFFICE_FAULT}


def test_report_19_attendance_is_never_read_from_a_name():
    fields = set(NOBODY[0].__dataclass_fields__)
    assert fields == {"kind", "source", "happened_at", "recorded_at", "id"}, "evidence has no place for a name"
    assert verdict_of(*NOBODY, seen(Kind.GUEST_JOINED, 2)) is Verdict.ATTENDED


def test_report_20_a_host_that_was_not_logged_in_makes_no_no_show():
    alone = seen(Kind.STILL_WAITING, 10.2, Source.STATUS)
    assert verdict_of(alone) is Verdict.OFFICE_FAULT
    assert verdict_of(alone, seen(Kind.CLIENT_NOT_SEEN, 10, Source.COUNSELLOR)) is Verdict.OFFICE_FAULT


def test_report_20_a_colleague_without_the_host_account_looks_like_a_guest_and_nobody_is_blamed():
    assert verdict_of(*NOBODY, seen(Kind.GUEST_JOINED, 1)) is Verdict.ATTENDED
    denied = seen(Kind.CLIENT_NOT_SEEN, 10, Source.COUNSELLOR)
    assert verdict_of(*NOBODY, seen(Kind.GUEST_JOINED, 1), denied) is Verdict.UNDETERMINED


def test_report_20_without_webhooks_the_counsellor_is_asked_instead_of_assuming_absence():
    running = seen(Kind.MEETING_STARTED, 0, Source.STATUS)
    assert judge(START, [running], ALL_DONE) == Judgement(Verdict.UNDETERMINED, (VerdictReason.WEBHOOKS_SILENT,))
    assert judge(START, [], ALL_DONE) == Judgement(Verdict.UNDETERMINED, (VerdictReason.NO_DATA,))


def test_report_21_a_verdict_always_says_why(judged):
    assert all(found.reasons and len(set(found.reasons)) == len(found.reasons) for found in judged.values())


def test_report_22_a_no_show_is_corrected_by_whatever_comes_to_light_in_favour_of_the_client():
    assert verdict_of(*NOBODY) is Verdict.NO_SHOW
    call = seen(Kind.CONTACT, 4, Source.STAFF, recorded=300)
    corrected = judge(START, [*NOBODY, call], ALL_DONE)
    assert revise(Verdict.NO_SHOW, False, corrected) is Change.APPLY


def test_report_23_a_sweep_that_runs_late_judges_the_tenth_minute_and_a_later_check_in_stays_possible():
    late = [replace(piece, recorded_at=at(300)) for piece in NOBODY]
    assert verdict_of(*late) is Verdict.NO_SHOW
    held = judge(START, [*late, seen(Kind.CLIENT_SEEN, 13, Source.COUNSELLOR)], ALL_DONE)
    assert held == Judgement(Verdict.UNDETERMINED, (VerdictReason.CLIENT_SEEN_LATE,))
    assert revise(Verdict.NO_SHOW, False, held) is Change.APPLY


@pytest.mark.parametrize("minutes", [5, 25, 85])
def test_a_webhook_that_zoom_delivers_late_reverses_the_verdict(minutes):
    late = seen(Kind.GUEST_JOINED, 2, recorded=2 + minutes)
    assert verdict_of(*NOBODY, late) is Verdict.ATTENDED


# Late truth: rows are the verdict that stands, columns the new one, both in the order of the enumeration.

NONE, APPLY, ASK = Change.NONE, Change.APPLY, Change.ASK
ORDER = (Verdict.ATTENDED, Verdict.CONTACTED, Verdict.NO_SHOW, Verdict.OFFICE_FAULT, Verdict.UNDETERMINED)
REVISIONS = {
    Verdict.ATTENDED: (NONE, ASK, ASK, ASK, ASK),
    Verdict.CONTACTED: (APPLY, NONE, ASK, ASK, ASK),
    Verdict.NO_SHOW: (APPLY, APPLY, NONE, APPLY, APPLY),
    Verdict.OFFICE_FAULT: (APPLY, APPLY, ASK, NONE, ASK),
    Verdict.UNDETERMINED: (APPLY, APPLY, ASK, APPLY, NONE),
}


def test_the_machine_corrects_only_in_favour_of_the_client_and_never_a_person():
    assert set(ORDER) == set(Verdict)
    for current, changes in REVISIONS.items():
        for new, change in zip(ORDER, changes, strict=True):
            judgement = Judgement(new, (VerdictReason.NO_DATA,))
            assert revise(current, False, judgement) is change, f"{current} -> {new}"
            assert revise(current, True, judgement) is (NONE if change is NONE else ASK), f"{current} -> {new}"
