"""The tenth minute on both databases: every verdict with its effects, once, whoever sweeps and however late."""

import itertools
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from prefect._vendor.croniter import croniter
from sqlalchemy import func, select, update

from flows.deployment_crons import cron_tenth_minutes
from flows.deployments import list_deployments
from madoguchi.adapters.zoom_errors import ZoomAmbiguous, ZoomConfigError, ZoomRetryable
from madoguchi.domain.evidence import EvidenceKind as Kind
from madoguchi.domain.evidence import EvidenceSource as Source
from madoguchi.domain.lifecycle import ForbiddenTransition
from madoguchi.domain.office import JST, Host, NoShowPolicy, OpeningHours
from madoguchi.domain.participant import Participant, PastMeeting
from madoguchi.domain.standing import standing
from madoguchi.domain.verdict import RULES
from madoguchi.store.database import Database
from madoguchi.store.evidence import SESSION_START
from madoguchi.store.models import (
    Audit,
    Booking,
    BookingRequest,
    Evidence,
    Occupancy,
    OutboxMessage,
    StaffTask,
    VerdictRecord,
)
from madoguchi.store.verdicts import verdicts_of
from tasks.settling import CALL_APPLICANT, OFFICE_FAULT
from tasks.summary import Summary
from tasks.sweep_reports import lacking_verdicts
from tasks.verdict_effects import CONFIRM_NO_SHOW, SETTLE_ATTENDANCE
from tasks.verdicts import BATCH, judge_due
from tests.tasks.sweep_world import (
    CALLED,
    CAME,
    LONG_AGO,
    NOBODY,
    NOTHING,
    ONLY_EVENTS,
    SHUT,
    START,
    TENTH,
    SweepWorld,
    minute,
    put_evidence,
    put_sessions,
)
from tests.world import jst, office

EFFECTS = [
    # evidence, state, mails, staff tasks, meeting, still occupies counsellor and host
    pytest.param(CAME, "attended", [], [], "verified", True, id="attended"),
    pytest.param(CALLED, "contacted", [], [SETTLE_ATTENDANCE], "verified", True, id="contacted"),
    pytest.param(NOBODY, "no_show", ["no_show"], [], "unwanted", False, id="no_show"),
    pytest.param(SHUT, "office_fault", ["office_fault"], [OFFICE_FAULT], "verified", False, id="office_fault"),
    pytest.param(NOTHING, "undetermined", [], [SETTLE_ATTENDANCE], "verified", True, id="undetermined"),
]


@pytest.fixture
def world(database):
    return SweepWorld(database)


def with_office(world, **changes):
    """The same record under an office with other settings."""
    return replace(world.services, office=replace(world.office, **changes))


@pytest.mark.parametrize(("pieces", "state", "mails", "tasks", "meeting", "occupies"), EFFECTS)
def test_a_verdict_and_all_that_it_causes_stand_together(world, pieces, state, mails, tasks, meeting, occupies):
    reference = world.session(*pieces)
    report = world.sweep()
    assert report.settled == Counter({state: 1})
    assert [row[:2] for row in report.judged] == [(reference, state)]
    assert world.state(reference) == state
    assert world.mails(reference) == [(kind, "queued", None) for kind in mails]
    assert world.tasks_of(reference) == tasks
    assert world.meeting(reference).status == meeting
    assert bool(world.rows(Occupancy, booking_id=world.booking(reference).id)) == occupies
    [row] = world.verdicts(reference)
    assert (row.number, row.verdict, row.by_person, row.judged_for) == (1, state, False, TENTH)


@pytest.mark.parametrize(("pieces", "state", "mails", "tasks", "meeting", "occupies"), EFFECTS)
def test_a_second_sweep_changes_nothing(world, pieces, state, mails, tasks, meeting, occupies):
    del state, mails, tasks, meeting, occupies
    reference = world.session(*pieces)
    world.sweep()

    def everything():
        tables = (VerdictRecord, OutboxMessage, StaffTask, Audit, Evidence)
        return [world.count(table) for table in tables], world.history(reference)

    before = everything()
    again = world.sweep(minute(40))
    assert (again.settled, again.judged, again.incomplete) == (Counter(), [], [])
    assert world.reconsider(reference, at=minute(50)) == []
    assert everything() == before


@pytest.mark.parametrize(("after", "due"), [(9.99, 0), (10, 1), (60, 1)])
def test_nothing_is_judged_before_its_tenth_minute(world, after, due):
    world.session(*NOBODY)
    assert world.sweep(minute(after)).settled.total() == due


@pytest.mark.parametrize("late", [10, 60, 300])
def test_a_late_sweep_judges_the_tenth_minute_and_not_its_own(world, late):
    in_time = world.session((Kind.HOST_JOINED, -1, Source.WEBHOOK), (Kind.GUEST_JOINED, 9, Source.WEBHOOK),
                            (Kind.GUEST_LEFT, 9.5, Source.WEBHOOK), (Kind.HOST_LEFT, 9.8, Source.WEBHOOK))  # fmt: skip
    called_late = world.session(*NOBODY, (Kind.CONTACT, 10.1, Source.STAFF))
    world.sweep(minute(late))
    assert world.state(in_time) == "attended"
    assert world.state(called_late) == "no_show"
    assert {row.judged_for for row in world.rows(VerdictRecord)} == {TENTH}


def test_the_no_show_mail_is_of_use_on_the_day_of_the_session_only(world):
    reference = world.session(*NOBODY)
    world.sweep(minute(200))
    [mail] = world.messages("no_show")
    assert (mail.due_at, mail.not_after) == (minute(200), jst("2026-09-25 00:00"))
    said = world.context(mail)
    assert (said["start"], said["reference"]) == (START.isoformat(), reference)


def test_an_office_fault_says_sorry_and_offers_times_that_are_free(world):
    references = [world.session(*SHUT) for _ in range(2)]
    world.sweep()
    offers = [world.context(mail)["offers"] for mail in world.messages("office_fault")]
    assert len(references) == len(offers) == 2
    for starts in offers:
        assert len(starts) == 3
        assert all(world.services.calendar.is_on_grid(datetime.fromisoformat(start)) for start in starts)
        assert min(starts) > START.isoformat()
    # One counsellor: not everybody is offered the same places.
    assert offers[0] != offers[1]
    for mail in world.messages("office_fault"):
        assert date.fromisoformat(world.context(mail)["answer_by"]) < mail.not_after.astimezone(JST).date()


def test_who_cannot_be_written_to_is_called(world):
    reference = world.session(*NOBODY, (Kind.LINK_TOLD, -60, Source.STAFF), email=None, link="", reminder="")
    with world.database.write() as session:
        booking = world.booking(reference).id
        kept = {"status": "suppressed", "reason": "NO_USABLE_ADDRESS"}
        put = {"id": "r" * 32, "office": world.office.code, "dedupe_key": f"reminder_hour:{reference}:1",
               "kind": "reminder_hour", "booking_id": booking, "revision": 1, "template_version": "t1",
               "sealed_context": b"", "due_at": minute(-60), "message_id": "<r@example.jp>", "queued_at": minute(-60),
               "changed_at": minute(-60)}  # fmt: skip
        session.add(OutboxMessage(**put | kept))
    world.sweep()
    assert world.state(reference) == "no_show"
    assert world.mails(reference) == []
    assert (CALL_APPLICANT, reference, "NO_SHOW") in world.staff()


# --- what staff see first


def test_an_office_that_confirms_no_shows_itself_sends_and_counts_nothing(world):
    reference = world.session(*NOBODY)
    services = with_office(world, no_show=NoShowPolicy(confirm_by_person=True))
    world.sweep(services=services)
    assert world.state(reference) == "no_show_proposed"
    assert world.tasks_of(reference) == [CONFIRM_NO_SHOW]
    assert (world.mails(reference), world.meeting(reference).status) == ([], "verified")
    assert world.days(reference) == []
    world.settle(reference, None, confirm_no_show=True, at=minute(30))
    assert world.state(reference) == "no_show"
    assert world.mails(reference) == [("no_show", "queued", None)]
    assert (world.tasks_of(reference), world.meeting(reference).status) == ([], "unwanted")
    assert world.days(reference) == [START.date()]
    first, second = world.verdicts(reference)
    assert (first.verdict, first.by_person, second.verdict, second.by_person) == (
        "no_show_proposed", False, "no_show", True)  # fmt: skip


@pytest.mark.parametrize(
    ("at", "state"),
    [
        ("2026-09-24 23:59", "no_show"),
        ("2026-09-25 00:00", "no_show_proposed"),
        ("2026-09-26 11:00", "no_show_proposed"),
        ("2026-09-26 11:01", "undetermined"),
        ("2026-12-01 09:00", "undetermined"),
    ],
)
def test_a_no_show_of_an_earlier_day_goes_to_staff_first_and_history_is_theirs(world, at, state):
    reference = world.session(*NOBODY)
    world.sweep(jst(at))
    assert world.state(reference) == state
    assert bool(world.mails(reference)) == (state == "no_show")
    if state == "undetermined":
        assert world.verdicts(reference)[0].reasons == ["OUTSIDE_CATCH_UP", "NOBODY_CAME"]
        assert world.tasks_of(reference) == [SETTLE_ATTENDANCE]


# --- field.md (c)

LATE_REMINDERS = [
    # link, reminder: status and minutes of sending before the start; the verdict
    pytest.param({}, {}, "no_show", id="both in time"),
    pytest.param({}, {"sent_at": minute(-29)}, "undetermined", id="reminder at the last moment"),
    pytest.param({}, {"status": "retrying", "sent_at": None}, "undetermined", id="reminder never left"),
    pytest.param({}, {"status": "uncertain", "sent_at": None}, "undetermined", id="reminder perhaps"),
    pytest.param({"sent_at": minute(-20)}, {}, "undetermined", id="link late"),
    pytest.param({"status": "failed", "sent_at": None}, {}, "office_fault", id="link never left"),
]


@pytest.mark.parametrize(("link", "reminder", "state"), LATE_REMINDERS)
def test_report_11_nobody_is_absent_whom_the_office_did_not_tell_in_time(world, link, reminder, state):
    reference = world.session(*NOBODY)
    with world.database.write() as session:
        for kind, values in (("confirmed", link), ("reminder_hour", reminder)):
            if values:
                session.execute(update(OutboxMessage).where(OutboxMessage.kind == kind).values(**values))
    world.sweep()
    assert world.state(reference) == state
    assert bool(world.days(reference)) == (state == "no_show")


def test_report_11_a_booking_made_inside_the_reminders_window_owes_none(world):
    reference = world.session(*NOBODY, confirmed=minute(-50), reminder="")
    world.sweep()
    assert world.state(reference) == "no_show"
    assert world.verdicts(reference)[0].duties["reminder"] == {"duty": "not_owed"}


NOT_ABSENT = [
    pytest.param(((Kind.GUEST_WAITING, 1, Source.WEBHOOK), *SHUT), "office_fault", id="host not logged in"),
    pytest.param(((Kind.GUEST_JOINED, 1, Source.WEBHOOK), *SHUT), "contacted", id="inside, and Zoom says not started"),
    pytest.param(((Kind.GUEST_JOINED, 1, Source.WEBHOOK),), "contacted", id="a colleague stood in without the host"),
    pytest.param(((Kind.MEETING_STARTED, 9, Source.STATUS),), "undetermined", id="no webhook ever came"),
    pytest.param(NOTHING, "undetermined", id="nothing is known"),
]


@pytest.mark.parametrize(("pieces", "state"), NOT_ABSENT)
def test_report_20_what_is_not_known_is_never_an_absence(world, pieces, state):
    reference = world.session(*pieces)
    world.sweep()
    assert world.state(reference) == state
    assert not world.days(reference)


@pytest.mark.parametrize("status", ["cancelled", "held", "released"])
def test_report_20_a_cancelled_booking_is_never_judged(world, status):
    reference = world.session(*NOBODY)
    with world.database.write() as session:
        session.execute(update(Booking).values(status=status))
    assert world.sweep().settled.total() == 0
    assert world.state(reference) == status


def test_report_21_the_record_says_which_run_rule_and_evidence_made_a_no_show(world):
    reference = world.session(*NOBODY)
    run = replace(world.run(TENTH), actor="", flow="sweep-no-shows", prefect_run="run-7")
    judge_due(world.services, run)
    with world.database.read() as session:
        [row] = verdicts_of(session, world.booking(reference).id)
    assert (row.actor, row.run, row.rules, row.reasons) == ("flow:sweep-no-shows", "run-7", RULES, ["NOBODY_CAME"])
    assert (row.happened_at, row.recorded_at) == (TENTH, world.clock.now)
    assert set(row.evidence) == {piece.id for piece in world.rows(Evidence)}
    mails = {m.kind: m.id for m in world.messages()}
    assert row.duties["link"] == {
        "duty": "done", "message": mails["confirmed"], "kind": "confirmed", "status": "sent",
        "sent_at": LONG_AGO.astimezone(row.happened_at.tzinfo).isoformat(),
    }  # fmt: skip
    assert row.duties["reminder"]["message"] == mails["reminder_hour"]
    [audit] = world.rows(Audit, subject=reference, new="no_show")
    assert (audit.old, audit.reason, audit.actor, audit.run) == (
        "confirmed", "NOBODY_CAME", "flow:sweep-no-shows", "run-7")  # fmt: skip
    assert audit.details == {"verdict": 1, "rules": RULES, "reasons": ["NOBODY_CAME"]}


def test_report_22_only_past_sessions_that_stand_as_no_show_count_and_only_for_their_term(world):
    stands = world.session(*NOBODY)
    client = world.booking(stands).client_id
    corrected = world.session(*NOBODY, start=minute(30), client=client)
    put_sessions(world.services, 1, minute(60 * 24), client=client)
    world.sweep(minute(45))
    assert world.days(stands) == [START.date()] * 2
    world.learn(corrected, (Kind.CLIENT_SEEN, 4, Source.COUNSELLOR))
    assert world.reconsider(corrected, at=minute(50)) == [(corrected, "no_show", "attended")]
    counted = world.days(stands)
    assert counted == [START.date()]
    for later, count in ((365, 1), (366, 0)):
        as_of = START + timedelta(days=later)
        assert standing(counted, [], as_of=as_of, counts_for_days=365, review_after=2).no_shows == count


def test_report_22_a_no_show_before_its_tenth_minute_is_nobodys_to_record(world):
    reference = world.session()
    with pytest.raises(ForbiddenTransition):
        world.settle(reference, "no_show", at=minute(9))
    assert world.state(reference) == "confirmed"


ODD = {0: OpeningHours(jst("2026-01-01 09:15").time(), jst("2026-01-01 12:00").time()),
       3: OpeningHours(jst("2026-01-01 11:00").time(), jst("2026-01-01 15:00").time()),
       6: OpeningHours(jst("2026-01-01 23:00").time(), jst("2026-01-01 23:30").time())}  # fmt: skip


@pytest.mark.parametrize("hours", [None, ODD], ids=["as shipped", "odd hours"])
@pytest.mark.parametrize("grid", [30, 45, 60])
def test_report_23_a_sweep_is_scheduled_ten_minutes_after_every_start(hours, grid):
    settled = office(grid_minutes=grid, **({"hours": hours} if hours else {}))
    [entry] = [each for each in list_deployments(settled) if each.flow == "sweep-no-shows" and each.crons]
    assert (entry.name, entry.collision, entry.crons) == ("tenth-minute", "CANCEL_NEW", cron_tenth_minutes(settled))
    monday = date(2026, 11, 23)
    for day in (monday + timedelta(days=n) for n in range(7)):
        begun = datetime.combine(day, datetime.min.time(), JST)
        wanted = set()
        if day.weekday() in settled.hours:
            opening = settled.hours[day.weekday()]
            start, last = (datetime.combine(day, at, JST) for at in (opening.opens, opening.closes))
            while start + timedelta(minutes=30) <= last:
                wanted.add(start + timedelta(minutes=10))
                start += timedelta(minutes=grid)
            wanted.add(datetime.combine(day, settled.reception.closes, JST) - timedelta(minutes=10))
        fired = []
        for cron in entry.crons:
            ticks = croniter(cron, begun - timedelta(seconds=1))
            fired += itertools.takewhile(lambda at, end=begun + timedelta(days=1): at < end, ticks.all_next(datetime))
        assert sorted(fired) == sorted(wanted), f"{day}: each once"


# --- however many runners, whatever breaks


@pytest.mark.slow
def test_two_runners_sweeping_the_same_2000_sessions_settle_each_once(database, database_url, world):
    parts = {"no_show": (NOBODY, 400), "attended": (CAME, 1200), "office_fault": (SHUT, 100),
             "contacted": (CALLED, 100), "undetermined": (NOTHING, 200)}  # fmt: skip
    for pieces, count in parts.values():
        put_evidence(world.services, put_sessions(world.services, count), pieces, TENTH)
    go, reports = threading.Barrier(2), []
    others = [Database(database_url) for _ in range(2)]

    def runner(number):
        mine = replace(world.services, database=others[number], owner=f"runner-{number}")
        go.wait()
        reports.append(world.sweep(services=mine))

    threads = [threading.Thread(target=runner, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for other in others:
        other.close()
    assert len(reports) == 2
    assert [report.incomplete for report in reports] == [[], []]
    assert reports[0].settled + reports[1].settled == Counter({state: count for state, (_, count) in parts.items()})
    judged = [row[0] for report in reports for row in report.judged]
    assert len(judged) == len(set(judged)) == 2000
    with database.read() as session:
        kinds = dict(session.execute(select(OutboxMessage.kind, func.count()).group_by(OutboxMessage.kind)).all())
        tasks = dict(session.execute(select(StaffTask.kind, func.count()).group_by(StaffTask.kind)).all())
        moves = session.scalar(select(func.count()).where(Audit.action == "transition", Audit.old == "confirmed"))
    assert (kinds["no_show"], kinds["office_fault"]) == (400, 100)
    assert tasks == {SETTLE_ATTENDANCE: 300, OFFICE_FAULT: 100}
    assert world.count(VerdictRecord) == moves == 2000


class Crash(BaseException):
    """The process dies here."""


class DyingVault:
    """Dies when it is to seal one more mail than it may."""

    def __init__(self, vault, mails):
        self._vault, self._left = vault, mails

    def __getattr__(self, name):
        return getattr(self._vault, name)

    def seal_json(self, *arguments):
        self._left -= 1
        if self._left < 0:
            raise Crash
        return self._vault.seal_json(*arguments)


def test_a_crash_in_the_middle_leaves_the_rest_due_and_nothing_half_done(world):
    put_evidence(world.services, references := put_sessions(world.services, BATCH * 2 + 20), NOBODY, TENTH)
    with pytest.raises(Crash):
        world.sweep(services=replace(world.services, vault=DyingVault(world.services.vault, BATCH + 50)))
    assert world.count(VerdictRecord) == len(world.messages("no_show")) == BATCH
    assert sum(row.status == "confirmed" for row in world.bookings()) == BATCH + 20
    report = world.sweep(minute(15))
    assert report.settled == Counter(no_show=BATCH + 20)
    assert world.count(VerdictRecord) == len(world.messages("no_show")) == len(references)


@pytest.mark.parametrize("pieces", [NOBODY, SHUT])
def test_the_same_sweep_again_sends_what_a_slow_one_queued_before_it_died(world, pieces):
    world.session(*pieces)
    slow = world.run(TENTH)
    world.clock.forward(minutes=1)
    judge_due(world.services, slow)
    [message] = [m for m in world.rows(OutboxMessage) if m.kind in {"no_show", "office_fault"}]
    # Due any later, it would wait in a second run of the same business time, which would call itself complete.
    assert message.due_at == TENTH


def test_one_session_that_cannot_be_judged_stops_no_other_and_is_named(world):
    references = put_sessions(world.services, 5)
    put_evidence(world.services, references, NOBODY, TENTH)
    with world.database.write() as session:
        spoilt = session.scalar(select(Booking.request_id).where(Booking.reference == references[2]))
        session.execute(update(BookingRequest).where(BookingRequest.id == spoilt).values(sealed_values=b"spoilt"))
    report = world.sweep()
    assert report.settled == Counter(no_show=4)
    assert report.incomplete == [(references[2], "VaultError")]
    assert world.state(references[2]) == "confirmed"
    summary = Summary()
    summary.lacking(lacking_verdicts(report))
    assert summary.sentence() == f"1 of 5 sessions not judged: {references[2]}; run again"


# --- asking Zoom


class FakeZoom:
    """Says of every meeting what the test wants; `ask`: an exception is raised, anything else is the status."""

    def __init__(self, ask="waiting", live=None, people=None, pause=None, past=None):
        self.ask, self.live, self.people, self.pause, self.past = ask, live, people, pause, past
        self.calls, self.closed = Counter(), False

    def _say(self, name, answer):
        self.calls[name] += 1
        if self.pause:
            self.pause()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def live_meeting_ids(self, _user):
        return self._say("list", self.live or set())

    def meeting_status(self, _meeting):
        return self._say("status", self.ask)

    def past_meeting(self, _meeting):
        return self._say("past", self.past)

    def live_participants(self, _meeting):
        return self._say("people", self.people)

    def close(self):
        self.closed = True


def asking(world, zoom, **policy):
    hosts = tuple(Host(row.host, f"{row.host}@example.jp") for row in world.bookings())
    limits = replace(world.office.zoom, live_participants=zoom.people is not None)
    changed = with_office(world, hosts=hosts, zoom=limits, no_show=replace(world.office.no_show, **policy))
    return replace(changed, make_zoom=lambda: zoom)


DOWN, SILENT = ZoomAmbiguous("ZOOM_HTTP_503"), ZoomRetryable("ZOOM_UNREACHABLE")
ANSWERS = [
    pytest.param("waiting", "still_waiting", "office_fault", id="not started"),
    pytest.param("started", "meeting_started", "undetermined", id="runs, nobody knows since when"),
    pytest.param(None, "meeting_gone", "office_fault", id="gone"),
    pytest.param(DOWN, "zoom_down", "office_fault", id="out of order"),
    pytest.param(SILENT, "zoom_silent", "undetermined", id="no answer"),
    pytest.param(ZoomConfigError("ZOOM_SCOPE_MISSING"), "zoom_silent", "undetermined", id="badly set up"),
    pytest.param("odd", "zoom_silent", "undetermined", id="a status that nobody knows"),
]


@pytest.mark.parametrize(("ask", "kind", "state"), ANSWERS)
def test_what_zoom_answers_about_an_unclear_session_is_evidence(world, ask, kind, state):
    reference = world.session()
    zoom = FakeZoom(ask)
    report = world.whole_sweep(minute(11), services=asking(world, zoom))
    assert report.settled == Counter({state: 1})
    [piece] = world.rows(Evidence)
    assert (piece.kind, piece.source, piece.happened_at) == (kind, "status", minute(11))
    assert world.verdicts(reference)[0].evidence == [piece.id]
    assert zoom.closed


def stay(minutes, *, is_host, waiting=False, left=None):
    return Participant(is_host, minute(minutes), None if left is None else minute(left), waiting)


PEOPLE = [
    pytest.param([stay(-1, is_host=True)], "no_show", id="the host alone"),
    pytest.param([stay(-1, is_host=True), stay(3, is_host=False)], "attended", id="the client too"),
    pytest.param([stay(-1, is_host=True), stay(3, is_host=None)], "attended", id="somebody unknown"),
    pytest.param([stay(-1, is_host=True), stay(3, is_host=False, waiting=True)], "contacted", id="somebody waits"),
    pytest.param([stay(7, is_host=True)], "undetermined", id="a late host"),
    pytest.param([], "undetermined", id="an empty list"),
    pytest.param(ZoomConfigError("ZOOM_PLAN_OR_PERMISSION"), "undetermined", id="not in the plan"),
]


@pytest.mark.parametrize(("people", "state"), PEOPLE)
def test_where_the_plan_lists_who_is_there_the_list_decides(world, people, state):
    reference = world.session()
    zoom = FakeZoom("started", live={world.meeting(reference).meeting_id}, people=people)
    assert world.whole_sweep(minute(11), services=asking(world, zoom)).settled == Counter({state: 1})
    assert zoom.calls == Counter(list=1, people=1), "the list of the host says that it runs"


def test_nobody_is_absent_before_the_list_was_asked_where_there_is_one(world):
    reference = world.session(*NOBODY)
    people = [stay(-2, is_host=True), stay(4, is_host=False)]
    zoom = FakeZoom("started", live={world.meeting(reference).meeting_id}, people=people)
    world.whole_sweep(minute(10), services=asking(world, zoom))
    assert world.state(reference) == "attended"


def test_nobody_is_absent_on_the_word_of_events_that_zoom_itself_contradicts(world):
    reference = world.session(*NOBODY)
    world.whole_sweep(minute(10), services=asking(world, FakeZoom("waiting")))
    assert world.state(reference) == "undetermined"


@pytest.mark.parametrize(
    ("answer", "state", "reasons"),
    [
        pytest.param("started", "no_show", ["NOBODY_CAME"], id="Zoom agrees"),
        pytest.param(SILENT, "no_show_proposed", ["NOBODY_CAME", "NOT_ASKED_IN_TIME"], id="Zoom cannot be asked"),
    ],
)
def test_an_absence_needs_zooms_own_answer_beside_its_events(world, answer, state, reasons):
    reference = world.session(*ONLY_EVENTS)
    zoom = FakeZoom(answer)
    world.whole_sweep(minute(10), services=asking(world, zoom))
    assert (zoom.calls["status"], world.state(reference)) == (1, state)
    assert world.verdicts(reference)[-1].reasons == reasons


def test_an_absence_that_is_swept_too_late_to_ask_zoom_is_proposed_to_staff(world):
    reference = world.session(*ONLY_EVENTS)
    zoom = FakeZoom()
    world.whole_sweep(minute(45), services=asking(world, zoom))
    assert (zoom.calls["status"], world.state(reference), world.mails(reference)) == (0, "no_show_proposed", [])


def test_a_short_session_that_no_event_told_of_is_no_office_fault(world):
    reference = world.session()
    ran = PastMeeting("uuid", "host", minute(0), minute(8), 2)
    world.whole_sweep(minute(10), services=asking(world, FakeZoom("waiting", past=ran)))
    assert world.state(reference) == "undetermined"


def test_yesterdays_try_of_the_link_does_not_hide_that_nobody_opened_the_meeting(world):
    reference = world.session()
    ran = PastMeeting("uuid", "host", minute(-1500), minute(-1490), 1)
    world.whole_sweep(minute(10), services=asking(world, FakeZoom("waiting", past=ran)))
    assert world.state(reference) == "office_fault"


@pytest.mark.parametrize(("pieces", "after"), [(CAME, 11), (CALLED, 11), (NOTHING, 31)])
def test_zoom_is_not_asked_about_what_is_known_or_long_past(world, pieces, after):
    world.session(*pieces)
    zoom = FakeZoom()
    world.whole_sweep(minute(after), services=asking(world, zoom))
    assert zoom.calls == Counter()


def test_a_zoom_that_hangs_costs_the_sweep_its_seconds_and_no_more(world):
    put_sessions(world.services, 12)
    done = threading.Event()
    zoom = FakeZoom("waiting", pause=lambda: done.wait(20))
    began = time.monotonic()
    report = world.whole_sweep(minute(10), services=asking(world, zoom, look_seconds=1))
    assert time.monotonic() - began < 8
    done.set()
    assert report.settled == Counter(undetermined=12)
    assert {(row.kind, row.details["code"]) for row in world.rows(Evidence)} == {("zoom_silent", "LOOK_SECONDS_SPENT")}


@pytest.mark.parametrize(("moved", "state"), [(False, "contacted"), (True, "no_show")])
def test_a_call_before_the_link_was_replaced_still_counts_and_one_before_a_move_does_not(world, moved, state):
    reference = world.session(*NOBODY)
    later = world.booking(reference).revision + 1
    put_evidence(world.services, [reference], ((Kind.CONTACT, -30, Source.STAFF),), minute(-30))
    with world.database.write() as session:
        row = session.scalars(select(Booking).where(Booking.reference == reference)).one()
        # The link is replaced: Zoom speaks of the new meeting, the mails were sent again.
        zoom_said = select(Evidence).where(Evidence.booking_id == row.id, Evidence.source != Source.STAFF.value)
        for piece in (*session.scalars(zoom_said), *session.scalars(select(OutboxMessage))):
            piece.revision = later
        row.revision = later
        said = session.scalars(select(Evidence).where(Evidence.booking_id == row.id, Evidence.kind == "contact")).one()
        said.details = {SESSION_START: (row.start_at - timedelta(days=moved)).isoformat()}
    world.sweep()
    assert world.state(reference) == state
