"""Truth that comes after the verdict, on both databases: corrected for the client, told once, asked where in doubt."""

import itertools
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from madoguchi.adapters.event_spool import EventSpool
from madoguchi.domain.evidence import EvidenceKind as Kind
from madoguchi.domain.evidence import EvidenceSource as Source
from madoguchi.domain.lifecycle import ForbiddenTransition
from madoguchi.sandbox.mailbox_server import running_mailbox
from madoguchi.store.meeting_removal import unwanted_meetings
from madoguchi.store.models import Audit, Booking, BookingRequest, OutboxMessage, StaffTask
from tasks.bounces import read_piped
from tasks.delivery import deliver_messages
from tasks.settling import CALL_APPLICANT, OFFICE_FAULT
from tasks.verdict_effects import EVIDENCE_AFTER_VERDICT, SETTLE_ATTENDANCE, VERDICT_CHANGED
from tasks.wiring import Run
from tests.tasks.notice_world import sample
from tests.tasks.sweep_world import CALLED, CAME, NOBODY, NOTHING, SHUT, TENTH, SweepWorld, minute, put_evidence
from tests.webhook_help import event, minutes, put

SEEN = (Kind.CLIENT_SEEN, 4, Source.COUNSELLOR)
JOINED = (Kind.GUEST_JOINED, 3, Source.PAST)
RANG = (Kind.CONTACT, 10, Source.STAFF)


@pytest.fixture(scope="module")
def mailbox(tmp_path_factory):
    with running_mailbox(tmp_path_factory.mktemp("mailbox")) as running:
        yield running


@pytest.fixture
def world(database, mailbox, tmp_path):
    mailbox.state.clear()
    return SweepWorld(database, mailbox=mailbox, spool=tmp_path / "webhooks")


def deliver(world, at):
    # What was tried since a run began is left for the next one.
    world.clock.forward(seconds=1)
    return deliver_messages(world.services, world.run(at))


def letters(mailbox):
    return len(list(mailbox.state.mails()))


def mark(world, status, kind="no_show"):
    with world.database.write() as session:
        session.execute(update(OutboxMessage).where(OutboxMessage.kind == kind).values(status=status))


def test_the_end_of_its_meeting_asks_nothing_about_a_decision_that_the_record_alone_does_not_prove(world):
    reference = world.session(*NOBODY)
    world.sweep()
    world.settle(reference, "contacted", at=minute(60))
    world.learn(
        reference,
        (Kind.HOST_LEFT, 61, Source.WEBHOOK), (Kind.MEETING_ENDED, 61, Source.WEBHOOK),
        (Kind.MEETING_GONE, 61, Source.WEBHOOK),
    )  # fmt: skip
    world.reconsider(reference, at=minute(62))
    assert world.tasks_of(reference) == []
    world.learn(reference, JOINED)
    world.reconsider(reference, at=minute(63))
    assert world.tasks_of(reference) == [EVIDENCE_AFTER_VERDICT]


@pytest.mark.parametrize("late", [5, 25, 85])
@pytest.mark.parametrize("left", [True, False], ids=["mail sent", "mail waits"])
def test_a_webhook_that_comes_late_reverses_the_verdict_and_withdraws_or_corrects_the_mail(world, mailbox, late, left):
    reference = world.session(*NOBODY)
    world.sweep(TENTH)
    assert world.days(reference) != []
    if left:
        deliver(world, minute(11))
        assert letters(mailbox) == 1
    put(world, EventSpool(world.services.spool), event(meeting=world.meeting(reference).meeting_id, at=minutes(2)))
    report = world.whole_sweep(TENTH + timedelta(minutes=late))
    assert report.changed == [(reference, "no_show", "attended")]
    assert world.state(reference) == "attended"
    assert world.days(reference) == [], "the count is restored by the state itself"
    if left:
        assert world.mails(reference) == [("no_show", "sent", None), ("corrected", "queued", None)]
    else:
        assert world.mails(reference) == [("no_show", "suppressed", VERDICT_CHANGED)]
    deliver(world, TENTH + timedelta(minutes=late + 1))
    assert letters(mailbox) == (2 if left else 0)
    assert world.whole_sweep(TENTH + timedelta(minutes=late + 30)).changed == []
    assert deliver(world, TENTH + timedelta(minutes=late + 31)).counts.total() == 0


@pytest.mark.parametrize("late", [False, True], ids=["before the sweep", "after the no-show"])
def test_nobody_is_absent_whose_link_came_back(world, late):
    reference = world.session(*NOBODY)
    [link] = [message for message in world.rows(OutboxMessage) if message.kind == "confirmed"]
    if late:
        world.sweep()
        assert world.state(reference) == "no_show"
    run = Run("read-bounces", minute(30 if late else -5), world.services.clock(), actor="test")
    read_piped(world.services, run, sample("postfix_unknown_user.eml", link.id))
    world.sweep()
    assert world.state(reference) == "undetermined"
    assert "LINK_UNCERTAIN" in world.verdicts(reference)[-1].reasons


@pytest.mark.parametrize(
    ("status", "corrected", "after"),
    [
        ("queued", False, "suppressed"),
        ("retrying", False, "suppressed"),
        ("sending", True, "sending"),
        ("sent", True, "sent"),
        ("uncertain", True, "uncertain"),
        ("failed", False, "failed"),
        ("suppressed", False, "suppressed"),
    ],
)
def test_only_who_may_have_read_it_is_told_that_it_does_not_hold(world, status, corrected, after):
    reference = world.session(*NOBODY)
    world.sweep()
    mark(world, status)
    world.learn(reference, RANG, at=minute(180))
    assert world.reconsider(reference, at=minute(180)) == [(reference, "no_show", "contacted")]
    mails = world.mails(reference)
    assert mails[0][:2] == ("no_show", after)
    assert [kind for kind, _, _ in mails[1:]] == (["corrected"] if corrected else [])
    if corrected:
        assert world.context(world.messages("corrected")[0])["verdict"] == "contacted"
    assert world.tasks_of(reference) == [SETTLE_ATTENDANCE]


def test_a_call_noted_in_the_afternoon_counts_by_when_it_was_made(world):
    reference = world.session(*NOBODY)
    world.sweep()
    world.learn(reference, RANG, at=minute(240))
    assert world.reconsider(reference, at=minute(241)) == [(reference, "no_show", "contacted")]
    first, second = world.verdicts(reference)
    assert (first.verdict, second.verdict, second.number, second.judged_for) == ("no_show", "contacted", 2, TENTH)
    assert (second.happened_at, second.recorded_at) == (minute(241), world.clock.now)
    assert second.reasons == ["CONTACT_BEFORE_LIMIT"]
    assert set(first.evidence) < set(second.evidence)
    assert world.history(reference) == ["confirmed>no_show", "verified>unwanted", "no_show>contacted"]
    [audit] = world.rows(Audit, subject=reference, new="contacted")
    assert (audit.actor, audit.reason, audit.details["verdict"]) == ("test", "CONTACT_BEFORE_LIMIT", 2)


CHANGES = [
    # what stood, what came, what stands then, staff tasks
    pytest.param(NOTHING, (Kind.HOST_JOINED, -1, Source.PAST), JOINED, "attended", [], id="undetermined to attended"),
    pytest.param(CALLED, None, SEEN, "attended", [], id="contacted to attended"),
    pytest.param(SHUT, None, SEEN, "attended", [], id="office fault to attended"),
    pytest.param(NOBODY, None, (Kind.MEETING_GONE, 2, Source.STATUS), "office_fault", [OFFICE_FAULT], id="to fault"),
    pytest.param(CAME, None, (Kind.CLIENT_NOT_SEEN, 10, Source.COUNSELLOR), "attended", [EVIDENCE_AFTER_VERDICT],
                 id="doubt"),
    pytest.param(SHUT, (Kind.HOST_JOINED, -1, Source.PAST), (Kind.HOST_ALONE, 11, Source.PAST), "office_fault",
                 [EVIDENCE_AFTER_VERDICT, OFFICE_FAULT], id="apology stands"),
]  # fmt: skip


@pytest.mark.parametrize(("stood", "also", "came", "state", "tasks"), CHANGES)
def test_the_machine_corrects_for_the_client_and_asks_the_rest_once(world, stood, also, came, state, tasks):
    reference = world.session(*stood)
    world.sweep()
    world.learn(reference, came, *([also] if also else []), at=minute(60))
    for again in (60, 61, 62):
        world.reconsider(reference, at=minute(again))
    assert world.state(reference) == state
    assert world.tasks_of(reference) == sorted(tasks)


def test_an_apology_that_has_not_left_is_withdrawn_when_it_is_not_owed(world):
    reference = world.session(*SHUT)
    world.sweep()
    world.learn(reference, SEEN)
    world.reconsider(reference)
    assert world.mails(reference) == [("office_fault", "suppressed", VERDICT_CHANGED)]


def test_who_was_told_by_telephone_is_told_by_telephone_that_it_does_not_hold(world):
    told, waits = (world.session(*NOBODY) for _ in range(2))
    with world.database.write() as session:
        session.execute(update(BookingRequest).values(flags=["EMAIL_DOUBTFUL"]))
    world.sweep()
    assert world.tasks_of(told) == world.tasks_of(waits) == [CALL_APPLICANT]
    with world.database.write() as session:
        session.execute(update(StaffTask).where(StaffTask.subject == told).values(closed_at=minute(20)))
    for reference in (told, waits):
        world.learn(reference, SEEN)
    world.reconsider(told, waits, at=minute(60))
    assert [row for row in world.staff() if row[0] == CALL_APPLICANT] == [(CALL_APPLICANT, told, "CORRECTED")]


# --- people


@pytest.mark.parametrize("decided", ["attended", "contacted", "no_show", "office_fault", "undetermined"])
@pytest.mark.parametrize("came", [SEEN, RANG, (Kind.STILL_WAITING, 10, Source.STATUS)], ids=lambda piece: piece[0])
def test_what_a_person_decided_no_later_evidence_changes_by_itself(world, decided, came):
    reference = world.session()
    world.settle(reference, decided, at=minute(20))
    assert world.state(reference) == decided
    mails = world.mails(reference)
    assert world.tasks_of(reference) == []
    world.learn(reference, came, at=minute(90))
    assert world.reconsider(reference, at=minute(91)) == []
    assert (world.state(reference), world.mails(reference)) == (decided, mails)
    assert len(world.verdicts(reference)) == 1
    # It is asked, once, unless it says the same; and what was weighed is not asked again.
    asked = world.tasks_of(reference)
    assert asked in ([], [EVIDENCE_AFTER_VERDICT])
    if asked:
        world.settle(reference, "attended" if decided == "contacted" else "contacted", at=minute(95))
        assert world.tasks_of(reference) == []
        assert world.reconsider(reference, at=minute(100)) == []
        assert world.tasks_of(reference) == []


STATES = ("attended", "contacted", "no_show", "office_fault", "undetermined")


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(STATES, 2)))
def test_a_person_can_turn_every_verdict_into_every_other(world, first, second):
    pieces = {"attended": CAME, "contacted": CALLED, "no_show": NOBODY, "office_fault": SHUT, "undetermined": NOTHING}
    reference = world.session(*pieces[first])
    world.sweep()
    mark(world, "sent")
    mark(world, "sent", "office_fault")
    world.settle(reference, second, at=minute(60))
    assert world.state(reference) == second
    assert world.tasks_of(reference) == []
    told = [kind for kind, status, _ in world.mails(reference) if status == "queued"]
    expected = ["corrected"] if first == "no_show" else [second] if second in {"no_show", "office_fault"} else []
    assert told == expected, "one mail a change at most"
    last = world.verdicts(reference)[-1]
    assert (last.number, last.by_person, last.actor, last.reasons) == (2, True, "staff:松戸", ["TELEPHONE"])


def test_turned_there_and_back_each_change_is_told_by_a_mail_of_its_own(world, mailbox):
    reference = world.session(*NOBODY)
    world.sweep()
    for verdict, at in (("attended", 60), ("no_show", 61), ("attended", 62), ("no_show", 63)):
        deliver(world, minute(at - 0.5))
        world.settle(reference, verdict, at=minute(at))
    deliver(world, minute(64))
    assert [kind for kind, status, _ in world.mails(reference) if status == "sent"] == [
        "no_show", "corrected", "no_show", "corrected", "no_show"]  # fmt: skip
    assert letters(mailbox) == 5


@pytest.mark.parametrize("status", ["cancelled", "released", "held"])
def test_a_booking_that_has_no_session_takes_no_verdict(world, status):
    reference = world.session()
    with world.database.write() as session:
        session.execute(update(Booking).values(status=status))
    with pytest.raises(ForbiddenTransition):
        world.settle(reference, "attended", at=minute(60))
    assert world.reconsider(reference) == []
    assert world.verdicts(reference) == []


def test_a_no_show_that_nobody_proposed_cannot_be_confirmed_and_something_must_be_decided(world):
    reference = world.session()
    with pytest.raises(ForbiddenTransition):
        world.settle(reference, None, at=minute(60), confirm_no_show=True)
    with pytest.raises(ValueError, match="give a verdict"):
        world.settle(reference, None, at=minute(60))


# --- races


def test_many_who_learn_the_same_at_once_correct_it_once(world):
    references = [world.session(*NOBODY) for _ in range(8)]
    world.sweep()
    mark(world, "sent")
    for reference in references:
        world.learn(reference, SEEN)
    go, changes = threading.Barrier(4), []

    def learn():
        go.wait()
        changes.extend(world.reconsider(*references, at=minute(30)))

    threads = [threading.Thread(target=learn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(changes) == [(reference, "no_show", "attended") for reference in references]
    assert len(world.messages("corrected")) == 8
    assert [len(world.verdicts(reference)) for reference in references] == [2] * 8


class WaitingVault:
    """Waits at the first mail that is sealed, in the middle of a transaction, until it may go on."""

    def __init__(self, vault):
        self._vault, self.inside, self.go = vault, threading.Event(), threading.Event()

    def __getattr__(self, name):
        return getattr(self._vault, name)

    def seal_json(self, *arguments):
        self.inside.set()
        assert self.go.wait(20)
        return self._vault.seal_json(*arguments)


def test_truth_that_comes_while_the_verdict_is_being_committed_is_not_lost(world):
    reference = world.session(*NOBODY)
    vault = WaitingVault(world.services.vault)
    sweeping = threading.Thread(target=lambda: world.sweep(services=replace(world.services, vault=vault)))
    changes = []

    def learn():
        world.learn(reference, SEEN)
        changes.extend(world.reconsider(reference, at=minute(11)))

    learning = threading.Thread(target=learn)
    sweeping.start()
    assert vault.inside.wait(20)
    learning.start()
    learning.join(0.3)
    vault.go.set()
    for thread in (sweeping, learning):
        thread.join(20)
    assert changes == [(reference, "no_show", "attended")]
    assert world.mails(reference) == [("no_show", "suppressed", VERDICT_CHANGED)]


def test_a_session_that_cannot_be_judged_again_is_asked_of_staff_and_stops_no_other(world):
    references = [world.session(*NOBODY) for _ in range(3)]
    world.sweep()
    mark(world, "sent")
    for reference in references:
        world.learn(reference, SEEN)
    spoilt = world.booking(references[1]).request_id
    with world.database.write() as session:
        session.execute(update(BookingRequest).where(BookingRequest.id == spoilt).values(sealed_values=b"spoilt"))
    changed = world.reconsider(*references, at=minute(30))
    assert [reference for reference, _, _ in changed] == [references[0], references[2]]
    assert world.staff() == [(EVIDENCE_AFTER_VERDICT, references[1], "VaultError")]


def test_reconsidering_nothing_opens_nothing(world):
    services = replace(world.services, database=None)
    from tasks.verdicts import reconsider

    assert reconsider(services, world.run(), []) == []


def test_report_9_a_correction_that_has_not_left_is_said_anew_when_the_verdict_changes_again(world, mailbox):
    reference = world.session(*NOBODY)
    world.sweep(TENTH)
    mark(world, "sent")
    put_evidence(world.services, [reference], ((Kind.CONTACT, 5, Source.STAFF),), minute(30))
    world.reconsider(reference, at=minute(30))
    assert world.mails(reference)[1:] == [("corrected", "queued", None)]
    put_evidence(world.services, [reference], ((Kind.GUEST_JOINED, 6, Source.WEBHOOK),), minute(31))
    world.reconsider(reference, at=minute(31))
    assert world.state(reference) == "attended"
    assert world.mails(reference)[1:] == [("corrected", "suppressed", VERDICT_CHANGED), ("corrected", "queued", None)]


def test_a_meeting_in_which_the_client_turns_out_to_be_is_not_ended_before_its_time(world):
    reference = world.session(*NOBODY)
    world.sweep(TENTH)
    with world.database.read() as session:
        assert len(unwanted_meetings(session, world.office.code, minute(12))) == 1
    put_evidence(world.services, [reference], ((Kind.GUEST_JOINED, 2, Source.WEBHOOK),), minute(12))
    world.reconsider(reference, at=minute(12))
    with world.database.read() as session:
        assert unwanted_meetings(session, world.office.code, minute(12)) == []
        assert len(unwanted_meetings(session, world.office.code, minute(31))) == 1
