import socket
import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import icalendar
import pytest

from madoguchi.adapters.mail_templates import TemplateStore
from madoguchi.adapters.smtp import Mailer
from madoguchi.domain.message import KINDS, MailKind
from madoguchi.sandbox.mailbox_server import running_mailbox
from madoguchi.store.models import Booking, BookingRequest, MailTemplate, OutboxMessage
from madoguchi.store.outbox import LEASE, NewMessage
from madoguchi.store.sending_marks import SENDING_LEASE, SendingMarks
from tasks.delivery import FAILED_MESSAGE, UNCERTAIN_MESSAGE, UNSENT_MESSAGE
from tests.adapters.mail_help import CONTEXTS
from tests.intake_help import ROOT
from tests.tasks.delivery_world import AS_OF, START, build_world

BEFORE, AFTER, NO_ANSWER = "SMTP_DROPPED_BEFORE_DOT", "SMTP_NO_ANSWER_AFTER_DOT", "SMTP_UNUSABLE"


@pytest.fixture(scope="module")
def mailbox(tmp_path_factory):
    with running_mailbox(tmp_path_factory.mktemp("mailbox")) as running:
        yield running


@pytest.fixture
def world(database, mailbox, tmp_path):
    mailbox.state.clear()
    mailbox.state.faults.clear()
    yield build_world(database, mailbox, tmp_path)
    mailbox.state.faults.clear()


def test_a_due_message_goes_out_once_and_a_second_run_finds_nothing_to_do(world):
    ids = world.queue_many(3)
    first, second = world.deliver(), world.deliver()
    assert first.counts == {"sent": 3}
    assert second.counts == {}
    assert first.incomplete == second.incomplete == []
    for row_id in ids:
        assert world.stand(row_id) == ("sent", None, 1)
        assert world.copies(row_id) == 1
        assert world.arrows(row_id) == [("queued", "sending", None), ("sending", "sent", None)]
    assert world.claims() == 0
    assert world.tasks() == []


def test_a_sent_message_keeps_when_it_was_sent_in_business_time(world):
    (row_id,) = world.queue_many(1)
    world.deliver(as_of=AS_OF + timedelta(days=1))
    sent_at = world.message(row_id).sent_at
    assert timedelta(0) < sent_at - (AS_OF + timedelta(days=1)) < timedelta(seconds=5)


def test_a_message_goes_out_when_it_is_due_and_not_before(world):
    (row_id,) = world.queue(world.incomplete(due_at=AS_OF + timedelta(hours=1)))
    assert world.deliver().counts == {}
    assert world.stand(row_id) == ("queued", None, 0)
    assert world.deliver(as_of=AS_OF + timedelta(hours=1)).counts == {"sent": 1}


def test_each_mail_names_its_one_recipient_and_its_own_message_id(world):
    ids = world.queue_many(3)
    world.deliver()
    letters = world.letters()
    assert [letter["To"] for letter in letters] == [f"mihon{n}@example.com" for n in (1, 2, 3)]
    assert [letter["Message-ID"] for letter in letters] == [world.message(row_id).message_id for row_id in ids]
    assert not any(letter["Cc"] or letter["Bcc"] for letter in letters)


def test_an_address_with_dots_as_only_docomo_had_them_arrives(world):
    (row_id,) = world.queue(world.incomplete(recipient="mihon..hanako.@docomo.example.jp"))
    assert world.deliver().counts == {"sent": 1}
    assert world.copies(row_id) == 1
    assert [mail.recipient for mail in world.mailbox.state.mails()] == ['"mihon..hanako."@docomo.example.jp']


# What a fault at the second of three mails leads to: its status, its reason, the staff task, and the copies of it in
# the mailbox after this run and after the next one.
FAULTS = [
    ({"at": "MAIL", "kind": "4xx"}, "retrying", "SMTP_451", None, 0, 1),
    ({"at": "RCPT", "kind": "4xx"}, "retrying", "SMTP_450", None, 0, 1),
    ({"at": "RCPT", "kind": "5xx"}, "failed", "SMTP_550", FAILED_MESSAGE, 0, 0),
    ({"at": "DATA", "kind": "4xx"}, "retrying", "SMTP_451", None, 0, 1),
    ({"at": "DATA", "kind": "5xx"}, "failed", "SMTP_554", FAILED_MESSAGE, 0, 0),
    ({"at": "dot", "kind": "4xx"}, "retrying", "SMTP_451", None, 0, 1),
    ({"at": "dot", "kind": "5xx"}, "failed", "SMTP_554", FAILED_MESSAGE, 0, 0),
    ({"at": "dot", "kind": "5xx", "code": 552}, "failed", "SMTP_552", FAILED_MESSAGE, 0, 0),
    ({"at": "MAIL", "kind": "421"}, "retrying", "SMTP_421", None, 0, 1),
    ({"at": "RCPT", "kind": "421"}, "retrying", "SMTP_421", None, 0, 1),
    ({"at": "DATA", "kind": "421"}, "retrying", "SMTP_421", None, 0, 1),
    ({"at": "dot", "kind": "421"}, "retrying", "SMTP_421", None, 0, 1),
    ({"at": "MAIL", "kind": "drop_before_dot"}, "retrying", BEFORE, None, 0, 1),
    ({"at": "RCPT", "kind": "drop_before_dot"}, "retrying", BEFORE, None, 0, 1),
    # The relay cuts while the body arrives. All of it had been handed over, so nobody on this side can know.
    ({"at": "dot", "kind": "drop_before_dot"}, "uncertain", AFTER, UNCERTAIN_MESSAGE, 0, 0),
    ({"at": "dot", "kind": "drop_before_store"}, "uncertain", AFTER, UNCERTAIN_MESSAGE, 0, 0),
    ({"at": "dot", "kind": "drop_after_dot"}, "uncertain", AFTER, UNCERTAIN_MESSAGE, 1, 1),
    ({"at": "dot", "kind": "hang", "seconds": 0.05}, "uncertain", AFTER, UNCERTAIN_MESSAGE, 0, 0),
    ({"at": "RCPT", "kind": "hang", "seconds": 0.05}, "retrying", BEFORE, None, 0, 1),
]


@pytest.mark.parametrize(
    ("fault", "status", "reason", "task", "copies", "copies_later"),
    FAULTS,
    ids=[f"{item[0]['kind']} at {item[0]['at']}" for item in FAULTS],
)
def test_a_fault_hits_one_mail_and_its_neighbours_go_out(
    world, fault, status, reason, task, copies, copies_later
):  # fmt: skip
    first, struck, last = world.queue_many(3)
    world.order({**fault, "after": 1})
    report = world.deliver()
    assert report.counts == {"sent": 2, status: 1}
    assert report.incomplete == [(struck, reason)]
    assert world.stand(struck) == (status, reason, 1)
    assert world.stand(first) == world.stand(last) == ("sent", None, 1)
    assert world.tasks() == ([(task, struck, reason)] if task else [])
    assert [world.copies(row_id) for row_id in (first, struck, last)] == [1, copies, 1]
    assert world.claims() == 0
    again = world.deliver()
    assert again.counts == ({"sent": 1} if status == "retrying" else {})
    assert [world.copies(row_id) for row_id in (first, struck, last)] == [1, copies_later, 1]


def test_a_refused_sender_fails_nobody_and_stops_the_run(world):
    """It is the office's own address that the relay does not take: every applicant would count as unreachable."""
    ids = world.queue_many(3)
    world.order({"at": "MAIL", "kind": "5xx", "after": 1})
    report = world.deliver()
    assert report.counts == {"sent": 1}
    assert report.incomplete == [(row_id, "SMTP_SENDER_REFUSED") for row_id in ids[1:]]
    assert [world.stand(row_id) for row_id in ids[1:]] == [("queued", None, 0)] * 2
    assert world.deliver().counts == {"sent": 2}


def test_a_slow_relay_changes_nothing(world):
    world.queue_many(3)
    world.order(*({"at": at, "kind": "latency", "seconds": 0.05, "times": 2} for at in ("MAIL", "RCPT", "DATA", "dot")))
    assert world.deliver().counts == {"sent": 3}


def test_what_was_tried_in_a_run_waits_for_the_next_one(world):
    ids = world.queue_many(5)
    world.order({"at": "RCPT", "kind": "4xx", "times": 5})
    report = world.deliver()
    assert report.counts == {"retrying": 5}
    assert {world.stand(row_id) for row_id in ids} == {("retrying", "SMTP_450", 1)}
    assert world.deliver().counts == {"sent": 5}
    assert world.arrows(ids[0]) == [
        ("queued", "retrying", "SMTP_450"), ("retrying", "sending", None), ("sending", "sent", None),
    ]  # fmt: skip


def test_a_relay_that_is_down_loses_nothing_and_holds_nothing_up(world):
    ids = world.queue_many(3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    down = replace(world.services, make_mailer=lambda: Mailer("127.0.0.1", port, "", "", "none"))
    report = world.deliver(down)
    assert report.counts == {}
    assert report.incomplete == [(row_id, "SMTP_CONNECT") for row_id in ids]
    assert {world.stand(row_id) for row_id in ids} == {("queued", None, 0)}
    assert world.claims() == 0
    assert world.deliver().counts == {"sent": 3}


def test_a_relay_that_breaks_every_connection_ends_the_run(world):
    ids = world.queue_many(8)
    world.order({"at": "MAIL", "kind": "drop_before_dot", "times": None})
    report = world.deliver()
    assert report.counts == {"retrying": 3}
    assert report.incomplete == [(row_id, NO_ANSWER) for row_id in ids]
    assert world.claims() == 0
    world.mailbox.state.faults.clear()
    assert world.deliver().counts == {"sent": 8}


def test_the_last_attempt_fails_and_staff_are_asked(world):
    (row_id,) = world.queue_many(1)
    world.order({"at": "dot", "kind": "4xx", "times": None})
    few = replace(world.services, office=replace(world.services.office, max_send_attempts=3))
    assert [world.deliver(few).counts for _ in range(4)] == [{"retrying": 1}, {"retrying": 1}, {"failed": 1}, {}]
    assert world.stand(row_id) == ("failed", "SMTP_451", 3)
    assert world.tasks() == [(FAILED_MESSAGE, row_id, "SMTP_451")]


# Business state, read again at the moment of sending.


def test_a_confirmed_booking_is_told_with_its_calendar(world):
    _, row_id = world.booking()
    assert world.deliver().counts == {"sent": 1}
    (letter,) = world.letters()
    assert "text/calendar" in {part.get_content_type() for part in letter.walk()}
    assert world.stand(row_id) == ("sent", None, 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "released"}, "BOOKING_RELEASED"),
        ({"status": "held"}, "BOOKING_HELD"),
        ({"revision": 2}, "BOOKING_CHANGED"),
    ],
)
def test_a_booking_that_changed_since_is_not_told_the_old_way(world, changes, reason):
    booking_id, row_id = world.booking()
    world.change(Booking, booking_id, **changes)
    report = world.deliver()
    assert report.counts == {"suppressed": 1}
    assert report.incomplete == []
    assert world.stand(row_id) == ("suppressed", reason, 0)
    assert world.arrows(row_id) == [("queued", "suppressed", reason)]
    assert world.copies(row_id) == 0
    assert world.tasks() == []


@pytest.mark.parametrize(("as_of", "is_sent"), [(START - timedelta(seconds=1), True), (START, False)])
def test_after_the_start_nobody_is_told_of_it_by_mail_but_staff_are(world, as_of, is_sent):
    _, row_id = world.booking()
    report = world.deliver(as_of=as_of)
    assert report.counts == ({"sent": 1} if is_sent else {"suppressed": 1})
    assert world.tasks() == ([] if is_sent else [(UNSENT_MESSAGE, row_id, "START_PASSED")])


def test_a_confirmation_without_a_link_is_never_sent(world):
    _, row_id = world.booking(join_url="")
    assert world.deliver().counts == {"suppressed": 1}
    assert world.stand(row_id) == ("suppressed", "NO_JOIN_URL", 0)
    assert world.tasks() == [(UNSENT_MESSAGE, row_id, "NO_JOIN_URL")]


@pytest.mark.parametrize(
    ("status", "reason"),
    [("waiting", None), ("booked", "REQUEST_BOOKED"), ("replaced", "REQUEST_REPLACED")],
)
def test_other_times_are_offered_only_to_who_still_waits(world, status, reason):
    request_id = world.request(status="waiting")
    row_id = world.alternatives(request_id)
    world.change(BookingRequest, request_id, status=status)
    report = world.deliver()
    assert report.counts == ({"suppressed": 1} if reason else {"sent": 1})
    assert world.stand(row_id)[:2] == (("suppressed", reason) if reason else ("sent", None))


def test_a_mail_about_a_request_that_was_replaced_is_suppressed(world):
    (row_id,) = world.queue(world.incomplete(request_id=world.request(status="replaced")))
    assert world.deliver().counts == {"suppressed": 1}
    assert world.stand(row_id) == ("suppressed", "REQUEST_REPLACED", 0)


# The mails around a session.


def queue_about(world, booking_id, kind, *, revision=1, not_after=None, due_at=AS_OF, **context):
    """Queue a mail of any kind about a booking, as its confirmation is; returns its row id."""
    told = CONTEXTS[kind](reference="M-7K2Q9F", revision=revision, **context)
    version = world.services.templates.version(kind)
    message = NewMessage(kind, "M-7K2Q9F", revision, "mihon@example.com", told.to_json(), version, due_at)
    return world.queue(replace(message, not_after=not_after, booking_id=booking_id))[0]


SAID_IN = [
    (MailKind.REMINDER_DAY, "confirmed"),
    (MailKind.REMINDER_HOUR, "confirmed"),
    (MailKind.CHANGED, "confirmed"),
    (MailKind.CANCELLED, "cancelled"),
    (MailKind.NO_SHOW, "no_show"),
    (MailKind.CORRECTED, "attended"),
    (MailKind.OFFICE_FAULT, "office_fault"),
]


def booking_without_mail(world, status="confirmed"):
    """A booking whose confirmation lies in the past."""
    booking_id, confirmation = world.booking()
    world.change(OutboxMessage, confirmation, status="sent")
    world.change(Booking, booking_id, status=status)
    return booking_id


@pytest.mark.parametrize(("kind", "status"), SAID_IN)
def test_each_mail_goes_out_while_its_booking_stands_where_it_says(world, kind, status):
    row_id = queue_about(world, booking_without_mail(world, status=status), kind)
    assert world.deliver().counts == {"sent": 1}
    assert world.stand(row_id) == ("sent", None, 1)


UNTRUE = [
    (kind, status)
    for kind, _ in SAID_IN
    for status in ("held", "cancelled", "undetermined", "no_show", "no_show_proposed")
    if status not in KINDS[kind].needs_booking_status
]


@pytest.mark.parametrize(("kind", "elsewhere"), UNTRUE)
def test_no_mail_says_what_is_not_true_of_its_booking(world, kind, elsewhere):
    row_id = queue_about(world, booking_without_mail(world, status=elsewhere), kind)
    assert world.deliver().counts == {"suppressed": 1}
    assert world.stand(row_id)[:2] == ("suppressed", f"BOOKING_{elsewhere.upper()}")
    assert world.tasks() == []


@pytest.mark.parametrize("kind", [MailKind.REMINDER_DAY, MailKind.REMINDER_HOUR])
def test_no_reminder_is_sent_after_a_cancellation(world, kind):
    """field.md (c) 1: the booking is cancelled after its reminder was queued."""
    booking_id = booking_without_mail(world)
    row_id = queue_about(world, booking_id, kind)
    world.change(Booking, booking_id, status="cancelled")
    assert world.deliver().counts == {"suppressed": 1}
    assert world.stand(row_id) == ("suppressed", "BOOKING_CANCELLED", 0)
    assert world.copies(row_id) == 0


@pytest.mark.parametrize("kind", [MailKind.REMINDER_DAY, MailKind.REMINDER_HOUR])
def test_no_reminder_is_sent_for_the_old_time_after_a_move(world, kind):
    """field.md (c) 3: the new revision voids what was queued for the old one, and has a reminder of its own."""
    booking_id = booking_without_mail(world)
    old = queue_about(world, booking_id, kind)
    world.change(Booking, booking_id, revision=2, start_at=START + timedelta(days=1))
    new = queue_about(world, booking_id, kind, revision=2)
    assert world.deliver().counts == {"suppressed": 1, "sent": 1}
    assert world.stand(old)[:2] == ("suppressed", "BOOKING_CHANGED")
    assert world.stand(new)[0] == "sent"


@pytest.mark.parametrize("at", range(2, 9))
@pytest.mark.parametrize(
    ("change", "reason"), [({"status": "cancelled"}, "BOOKING_CANCELLED"), ({"revision": 2}, "BOOKING_CHANGED")]
)
def test_a_booking_cancelled_or_moved_at_any_step_gets_its_reminder_wholly_or_not_at_all(world, at, change, reason):
    booking_id = booking_without_mail(world)
    row_id = queue_about(world, booking_id, MailKind.REMINDER_HOUR, due_at=AS_OF - timedelta(days=1))
    world.queue_many(2)
    world.deliver(
        replace(world.services, clock=ChangeAtMark(world, lambda: world.change(Booking, booking_id, **change), at))
    )
    assert (*world.stand(row_id), world.copies(row_id)) in {("suppressed", reason, 0, 0), ("sent", None, 1, 1)}


@pytest.mark.parametrize("kind", [MailKind.REMINDER_DAY, MailKind.REMINDER_HOUR])
@pytest.mark.parametrize(
    ("change", "reason"), [({"status": "cancelled"}, "BOOKING_CANCELLED"), ({"revision": 2}, "BOOKING_CHANGED")]
)
def test_reports_1_and_3_a_reminder_that_is_claimed_and_built_is_still_stopped_before_it_is_given(
    world, kind, change, reason
):
    booking_id = booking_without_mail(world)
    row_id = queue_about(world, booking_id, kind)
    # The third reading is that of the mark: after the claim and the look at the state, before the relay.
    clock = ChangeAtMark(world, lambda: world.change(Booking, booking_id, **change), 3)
    assert world.deliver(replace(world.services, clock=clock)).counts == {"suppressed": 1}
    assert (*world.stand(row_id), world.copies(row_id)) == ("suppressed", reason, 0, 0)


LATE = [
    (MailKind.CHANGED, "confirmed", "suppressed", "START_PASSED"),
    (MailKind.REMINDER_DAY, "confirmed", "missed", "TOO_LATE"),
    (MailKind.REMINDER_HOUR, "confirmed", "missed", "TOO_LATE"),
    (MailKind.CANCELLED, "cancelled", "suppressed", "TOO_LATE"),
    (MailKind.NO_SHOW, "no_show", "suppressed", "TOO_LATE"),
    (MailKind.CORRECTED, "attended", "suppressed", "TOO_LATE"),
    (MailKind.OFFICE_FAULT, "office_fault", "suppressed", "TOO_LATE"),
]


@pytest.mark.parametrize(("kind", "status", "becomes", "reason"), LATE)
def test_whose_time_is_over_is_missed_or_told_by_staff(world, kind, status, becomes, reason):
    not_after = AS_OF + timedelta(hours=1)
    row_id = queue_about(world, booking_without_mail(world, status=status), kind, not_after=not_after)
    report = world.deliver(as_of=not_after)
    assert report.counts == {becomes: 1}
    assert report.incomplete == []
    assert world.stand(row_id) == (becomes, reason, 0)
    assert world.tasks() == ([(UNSENT_MESSAGE, row_id, reason)] if becomes == "suppressed" else [])
    assert world.deliver(as_of=not_after).counts == {}
    assert world.copies(row_id) == 0


def test_a_run_that_lasts_beyond_the_time_of_a_reminder_does_not_send_it(world):
    not_after = AS_OF + timedelta(minutes=10)
    row_id = queue_about(world, booking_without_mail(world), MailKind.REMINDER_HOUR, not_after=not_after)
    # The first reading starts the run, the second is that of the claim.
    slow = ChangeAtMark(world, lambda: world.clock.pass_by(timedelta(minutes=11)), 2)
    assert world.deliver(replace(world.services, clock=slow)).counts == {"missed": 1}
    assert world.stand(row_id) == ("missed", "TOO_LATE", 0)


@pytest.mark.parametrize("kind", [MailKind.REMINDER_DAY, MailKind.REMINDER_HOUR, MailKind.CHANGED])
def test_what_leads_into_a_session_never_goes_without_a_link(world, kind):
    row_id = queue_about(world, booking_without_mail(world), kind, join_url="")
    assert world.deliver().counts == {"suppressed": 1}
    assert world.tasks() == [(UNSENT_MESSAGE, row_id, "NO_JOIN_URL")]


def invitation(letter):
    (part,) = (part for part in letter.walk() if part.get_content_type() == "text/calendar")
    calendar = icalendar.Calendar.from_ical(part.get_content())
    (event,) = calendar.walk("VEVENT")
    assert part.get_param("method") == calendar["METHOD"]
    return str(calendar["METHOD"]), event


def test_a_calendar_follows_its_booking_from_the_confirmation_through_a_move_to_the_cancellation(world):
    booking_id, _ = world.booking()
    world.deliver()
    world.change(Booking, booking_id, revision=2)
    queue_about(world, booking_id, MailKind.CHANGED, revision=2, start=START + timedelta(days=1))
    world.deliver()
    world.change(Booking, booking_id, status="cancelled")
    queue_about(world, booking_id, MailKind.CANCELLED, revision=2, start=START + timedelta(days=1))
    world.deliver()
    told = [invitation(letter) for letter in world.letters()]
    assert [method for method, _ in told] == ["PUBLISH", "PUBLISH", "CANCEL"]
    assert [event["SEQUENCE"] for _, event in told] == [0, 1, 2]
    assert {event["UID"] for _, event in told} == {f"M-7K2Q9F@{world.services.office.mail_domain}"}
    assert [event.start for _, event in told] == [START, START + timedelta(days=1), START + timedelta(days=1)]
    assert [event["STATUS"] for _, event in told] == ["CONFIRMED", "CONFIRMED", "CANCELLED"]
    assert "URL" not in told[-1][1]
    assert [event.end - event.start for _, event in told] == [timedelta(minutes=30)] * 3


def test_a_booking_that_never_changed_is_cancelled_above_its_only_entry(world):
    booking_id, _ = world.booking()
    world.deliver()
    world.change(Booking, booking_id, status="cancelled")
    queue_about(world, booking_id, MailKind.CANCELLED)
    world.deliver()
    assert [invitation(letter)[1]["SEQUENCE"] for letter in world.letters()] == [0, 1]


@pytest.mark.parametrize(("status", "reason"), [("rejected", None), ("replaced", "REQUEST_REPLACED")])
def test_a_declined_application_is_told_unless_another_took_its_place(world, status, reason):
    told = CONTEXTS[MailKind.DECLINED]().to_json()
    version = world.services.templates.version(MailKind.DECLINED)
    message = NewMessage(MailKind.DECLINED, "R-7K2Q9F", 1, "mihon@example.com", told, version, AS_OF)
    (row_id,) = world.queue(replace(message, request_id=world.request(status=status)))
    assert world.deliver().counts == ({"suppressed": 1} if reason else {"sent": 1})
    assert world.stand(row_id)[1] == reason


class ChangeAtMark:
    """The office's clock; at one reading it lets something happen, as another process would between two steps."""

    def __init__(self, world, change, at):
        self._world, self._change, self._at, self._readings = world, change, at, 0

    def __call__(self):
        self._readings += 1
        if self._readings == self._at:
            self._change()
        return self._world.clock()


@pytest.mark.parametrize("at", range(2, 9))
def test_a_booking_cancelled_at_any_step_is_told_wholly_or_not_at_all(world, at):
    booking_id, row_id = world.booking()
    (other,) = world.queue_many(1)
    world.queue(world.incomplete(2))
    world.change(OutboxMessage, row_id, due_at=AS_OF - timedelta(days=1))

    def cancel():
        world.change(Booking, booking_id, status="released")

    services = replace(world.services, clock=ChangeAtMark(world, cancel, at))
    world.deliver(services)
    status, reason, attempts = world.stand(row_id)
    assert (status, reason, attempts, world.copies(row_id)) in {
        ("suppressed", "BOOKING_RELEASED", 0, 0),
        ("sent", None, 1, 1),
    }
    assert world.stand(other) == ("sent", None, 1)
    assert world.copies(other) == 1


def test_many_bookings_cancelled_in_the_middle_do_not_count_as_broken_connections(world):
    booked = [world.booking(f"M-AAAA{n}A") for n in range(6)]
    after = world.queue_many(2)
    for booking_id, row_id in booked:
        world.change(OutboxMessage, row_id, due_at=AS_OF - timedelta(days=1))
        assert booking_id

    def cancel():
        for booking_id, _ in booked:
            world.change(Booking, booking_id, status="released")

    # After the claim, before the first mark.
    services = replace(world.services, clock=ChangeAtMark(world, cancel, 3))
    report = world.deliver(services)
    assert report.incomplete == []
    assert {world.stand(row_id)[:2] for _, row_id in booked} == {("suppressed", "BOOKING_RELEASED")}
    assert {world.stand(row_id)[0] for row_id in after} == {"sent"}


# What others left behind, or hold.

DEAD, ALIVE, FAR = "here/boot/7/7", "here/boot/8/8", "elsewhere/boot/9/9"


def fate(owner):
    return {DEAD: False, ALIVE: True}.get(owner)


def test_claims_of_a_dead_runner_are_taken_over_at_once(world):
    ids = world.queue_many(3)
    for row_id in ids:
        world.change(OutboxMessage, row_id, claim_owner=DEAD, claim_until=world.clock() + LEASE)
    assert world.deliver(replace(world.services, is_alive=fate)).counts == {"sent": 3}


def test_what_a_dead_runner_was_sending_may_have_arrived_and_is_never_repeated(world):
    doubtful, merely_claimed = world.queue_many(2)
    world.change(
        OutboxMessage, doubtful, status="sending", attempts=1, claim_owner=DEAD, claim_until=world.clock() + LEASE
    )
    world.change(OutboxMessage, merely_claimed, claim_owner=DEAD, claim_until=world.clock() + LEASE)
    report = world.deliver(replace(world.services, is_alive=fate))
    assert report.counts == {"uncertain": 1, "sent": 1}
    assert report.incomplete == [(doubtful, "RUNNER_DIED")]
    assert world.stand(doubtful) == ("uncertain", "RUNNER_DIED", 1)
    assert world.tasks() == [(UNCERTAIN_MESSAGE, doubtful, "RUNNER_DIED")]
    assert world.deliver().counts == {}
    assert world.copies(doubtful) == 0


@pytest.mark.parametrize("owner", [ALIVE, FAR])
def test_claims_of_a_runner_that_may_live_are_left_alone_while_they_last(world, owner):
    ids = world.queue_many(3)
    for row_id in ids[:2]:
        world.change(OutboxMessage, row_id, claim_owner=owner, claim_until=world.clock() + LEASE)
    world.change(OutboxMessage, ids[1], status="sending")
    services = replace(world.services, is_alive=fate)
    report = world.deliver(services)
    assert report.counts == {"sent": 1}
    # A runner that certainly lives reports what it holds itself.
    assert report.incomplete == ([(row_id, "CLAIMED_ELSEWHERE") for row_id in ids[:2]] if owner == FAR else [])
    assert world.message(ids[0]).claim_owner == owner
    world.clock.pass_by(LEASE + timedelta(minutes=1))
    late = world.deliver(services)
    assert late.counts == {"sent": 1, "uncertain": 1}
    assert world.stand(ids[0])[0] == "sent"
    assert world.stand(ids[1])[:2] == ("uncertain", "RUNNER_DIED")


@pytest.mark.parametrize("repetition", range(2))
def test_two_runners_at_once_send_each_message_once(world, repetition):
    ids = world.queue_many(300)
    runners = [world.runner(f"here/boot/{n}/{repetition}", lambda _: True) for n in (1, 2)]
    gate = threading.Barrier(2)
    reports, errors = [], []

    def run(services):
        try:
            gate.wait(10)
            reports.append(world.deliver(services))
        except BaseException as error:  # noqa: BLE001 — shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(services,)) for services in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert sum(report.counts["sent"] for report in reports) == 300
    assert world.stands() == {"sent"}
    found = Counter(entry.message_id for entry in world.mailbox.state.entries())
    assert found == {world.message(row_id).message_id: 1 for row_id in ids}


def test_what_another_runner_has_judged_meanwhile_stays_as_it_was_judged(world):
    (row_id,) = world.queue_many(1)
    owner = world.services.owner
    world.change(OutboxMessage, row_id, claim_owner=owner, claim_until=world.clock() + LEASE)
    with SendingMarks(world.services.database, owner) as marks:
        act = world.act()
        assert marks.mark(act, sent=[], sending=[(row_id, MailKind.INCOMPLETE, "queued")])
        # Long enough for the slowest relay: nobody judges it while its answer may still come.
        assert world.message(row_id).claim_until == act.recorded_at + SENDING_LEASE
        world.change(OutboxMessage, row_id, status="uncertain", claim_owner=None)
        marks.mark(world.act(), sent=[row_id], sending=[])
    assert world.stand(row_id)[0] == "uncertain"
    assert world.arrows(row_id) == [("queued", "sending", None)]


@pytest.mark.parametrize("owner", [ALIVE, None])
def test_a_message_that_is_no_longer_ours_is_not_begun(world, owner):
    (row_id,) = world.queue_many(1)
    world.change(OutboxMessage, row_id, claim_owner=owner)
    with SendingMarks(world.services.database, world.services.owner) as marks:
        assert not marks.mark(world.act(), sent=[], sending=[(row_id, MailKind.INCOMPLETE, "queued")])
    assert world.stand(row_id) == ("queued", None, 0)


def test_a_mark_that_fails_changes_nothing_and_leaves_the_next_one_able(world):
    first, second = world.queue_many(2)
    owner = world.services.owner
    for row_id in (first, second):
        world.change(OutboxMessage, row_id, claim_owner=owner)
    with SendingMarks(world.services.database, owner) as marks:
        wrong = replace(world.act(), actor=None)
        with pytest.raises(Exception, match=r"(?i)null"):
            marks.mark(wrong, sent=[], sending=[(first, MailKind.INCOMPLETE, "queued")])
        assert world.stand(first) == ("queued", None, 0)
        assert marks.mark(world.act(), sent=[], sending=[(second, MailKind.INCOMPLETE, "queued")])


class BrokenFrom:
    """Templates that fail unexpectedly from the n-th mail on."""

    def __init__(self, templates, number):
        self._templates, self._left = templates, number

    def render(self, *given, **more):
        self._left -= 1
        if self._left <= 0:
            raise RuntimeError("a bug")
        return self._templates.render(*given, **more)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_bug_in_the_middle_loses_no_answer_and_holds_no_claim(world, number):
    ids = world.queue_many(5)
    broken = replace(world.services, templates=BrokenFrom(world.services.templates, number))
    with pytest.raises(RuntimeError, match="a bug"):
        world.deliver(broken)
    states = [world.stand(row_id)[0] for row_id in ids]
    assert set(states) <= {"sent", "queued"}
    assert [world.copies(row_id) for row_id in ids] == [int(state == "sent") for state in states]
    assert world.claims() == 0
    world.deliver()
    assert [world.copies(row_id) for row_id in ids] == [1] * 5


# Templates.


def test_a_message_that_cannot_be_written_does_not_stop_the_others(world):
    first, broken, last = world.queue_many(3)
    version = "0123456789ab"
    with world.services.database.write() as session:
        session.add(
            MailTemplate(
                kind="incomplete",
                version=version,
                recorded_at=AS_OF,
                bundle=world.services.templates.bundle(MailKind.INCOMPLETE),
            )
        )
    world.change(OutboxMessage, broken, template_version=version)
    report = world.deliver()
    assert report.counts == {"sent": 2, "failed": 1}
    assert report.incomplete == [(broken, "NOT_BUILT")]
    assert world.tasks() == [(FAILED_MESSAGE, broken, "NOT_BUILT")]
    assert [world.copies(row_id) for row_id in (first, broken, last)] == [1, 0, 1]


@pytest.mark.parametrize(
    "recipient", ["two@example.com,three@example.com", "a@example.com\r\nRCPT TO:<b@example.com>", ""]
)
def test_anything_but_one_address_is_never_given_to_the_relay(world, recipient):
    broken, fine = world.queue(world.incomplete(1, recipient=recipient), world.incomplete(2))
    report = world.deliver()
    assert report.counts == {"sent": 1, "failed": 1}
    assert world.stand(broken)[:2] == ("failed", "NOT_BUILT")
    assert world.stand(fine)[0] == "sent"


def test_a_message_says_what_was_approved_when_it_was_queued(world, tmp_path):
    (row_id,) = world.queue_many(1)
    changed = tmp_path / "templates"
    for path in (ROOT / "templates").rglob("*.*"):
        if path.suffix in {".txt", ".html"}:
            target = changed / path.relative_to(ROOT / "templates")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path.read_text(encoding="utf-8").replace("確認のお願い", "新しい言葉"), encoding="utf-8")
    later = replace(world.services, templates=TemplateStore(changed))
    assert world.deliver(later).counts == {"sent": 1}
    (letter,) = world.letters()
    assert "確認のお願い" in letter["Subject"]
    assert "新しい言葉" not in letter.get_body(("html",)).get_content()
    assert world.copies(row_id) == 1


def test_no_address_and_no_name_stands_in_the_log(world, caplog):
    world.queue_many(3)
    world.order({"at": "RCPT", "kind": "5xx"}, {"at": "dot", "kind": "4xx"}, {"at": "dot", "kind": "drop_after_dot"})
    world.deliver()
    assert len(caplog.messages) == 3
    assert not any("mihon" in text or "見本" in text or "@" in text for text in caplog.messages)
