import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import select

from madoguchi.adapters.smtp import Mailer
from madoguchi.domain.mail_lane import lane_of
from madoguchi.domain.message import MailKind
from madoguchi.domain.office import TermsPolicy
from madoguchi.sandbox.mailbox_server import running_mailbox
from madoguchi.store.bounces import address_index
from madoguchi.store.models import Amendment, BlockedAddress, OutboxMessage
from madoguchi.store.outbox import LEASE, NewMessage
from madoguchi.store.sending_marks import SendingMarks
from tasks import notice_delivery
from tasks.delivery import UNCERTAIN_MESSAGE, UNSENT_MESSAGE
from tasks.notice_delivery import Paces, deliver_notices
from tasks.proof import TELL_OTHERWISE
from tasks.wiring import Run
from tests.adapters.mail_help import notice_content
from tests.tasks.delivery_world import AS_OF
from tests.tasks.notice_world import CODE, NoticeWorld

FAST = TermsPolicy(other_per_second=1e6, connections=2)
DEAD, ALIVE = "here/boot/7/7#0", "here/boot/8/8#0"


@pytest.fixture(scope="module")
def mailbox(tmp_path_factory):
    with running_mailbox(tmp_path_factory.mktemp("mailbox")) as running:
        yield running


class Notices:
    """The world of delivery with an amendment, and people who are told of it."""

    def __init__(self, database, mailbox, folder):
        self.world = NoticeWorld(database, folder).world
        self.world.mailbox = mailbox
        self.world.services = replace(
            self.world.services,
            make_mailer=lambda: Mailer(mailbox.host, mailbox.port, "", "", "none", timeout=5),
        )
        self.policy(FAST)
        with database.write() as session:
            self.amendment = session.scalar(select(Amendment.id))
            row = session.get_one(Amendment, self.amendment)
            row.content = notice_content(code=CODE, effective_at=row.effective_at).to_json()
            row.withdrawal_content = notice_content(
                code=CODE, effective_at=row.effective_at, announced_at=AS_OF, changed_text="", comparison_text=""
            ).to_json()

    def policy(self, policy):
        services = self.world.services
        self.world.services = replace(services, office=replace(services.office, terms=policy))

    def queue(self, count, kind=MailKind.TERMS_AMENDED, domain="example.com", first=1, **changes):
        """Queue notices; ids in the order in which they were."""
        version = self.world.services.templates.version(kind)
        amendment_end = None if kind == MailKind.TERMS_WITHDRAWN else AS_OF + timedelta(days=17)
        messages = []
        for number in range(first, first + count):
            address = f"mihon{number}@{domain}"
            message = NewMessage(
                kind, f"{CODE}/{domain}/{number}", 1, address, {"recipient_name": f"見本 {number}"}, version,
                AS_OF - timedelta(hours=1) + timedelta(seconds=number), not_after=amendment_end,
                lane=lane_of(address, self.world.services.office.terms), amendment_id=self.amendment,
            )  # fmt: skip
            messages.append(replace(message, **changes))
        return self.world.queue(*messages)

    def deliver(self, services=None, *, as_of=AS_OF, **more):
        services = services or self.world.services
        return deliver_notices(services, Run("announce-amendment", as_of, self.world.clock()), **more)

    def withdraw(self):
        self.world.change(Amendment, self.amendment, status="withdrawn")

    def copies(self):
        return Counter(entry.message_id for entry in self.world.mailbox.state.entries())

    def stands(self, ids):
        return Counter(self.world.stand(row_id)[:2] for row_id in ids)


@pytest.fixture
def notices(database, mailbox, tmp_path, monkeypatch):
    # Small batches, so that a few messages keep every connection busy.
    monkeypatch.setattr(notice_delivery, "BATCH", 5)
    mailbox.state.clear()
    mailbox.state.faults.clear()
    yield Notices(database, mailbox, tmp_path)
    mailbox.state.faults.clear()


def test_every_notice_goes_out_once_over_all_connections_and_a_second_run_finds_nothing(notices):
    ids = notices.queue(45)
    told = []
    first = notices.deliver(progress=lambda settled, total: told.append((settled, total)))
    assert (first.counts, first.left, first.stopped, first.incomplete) == ({"sent": 45}, 0, None, [])
    assert told[-1] == (45, 45)
    assert told == sorted(told)
    assert notices.deliver().counts == {}
    assert notices.stands(ids) == {("sent", None): 45}
    assert set(notices.copies().values()) == {1}
    assert len(notices.copies()) == 45
    assert all(
        notices.world.arrows(row_id) == [("queued", "sending", None), ("sending", "sent", None)] for row_id in ids
    )
    assert notices.world.claims() == 0
    letter = notices.world.letters()[0]
    assert letter["Precedence"] == "bulk"
    assert "見本" in letter.get_body(("plain",)).get_content().splitlines()[0]
    assert "前々日までに" in letter.get_body(("plain",)).get_content()


def test_a_withdrawal_says_so_and_needs_no_amendment_that_stands(notices):
    notices.withdraw()
    notices.queue(3, MailKind.TERMS_WITHDRAWN)
    assert notices.deliver().counts == {"sent": 3}
    assert all("取りやめます" in letter["Subject"] for letter in notices.world.letters())


def test_delivery_of_messages_leaves_notices_alone_and_the_other_way_round(notices):
    ids = notices.queue(3)
    (session,) = notices.world.queue_many(1)
    report = notices.world.deliver()
    assert (report.counts, report.incomplete) == ({"sent": 1}, [])
    assert notices.world.stand(session)[0] == "sent"
    assert notices.stands(ids) == {("queued", None): 3}
    (later,) = notices.world.queue_many(2)[1:]
    assert notices.deliver().counts == {"sent": 3}
    assert notices.world.stand(later)[0] == "queued"


def test_only_the_amendment_asked_for_is_told(notices):
    ids = notices.queue(3)
    found = notices.deliver(amendment_id="another")
    assert (found.counts, found.left) == ({}, 0)
    assert notices.deliver(amendment_id=notices.amendment).counts == {"sent": 3}
    assert notices.stands(ids) == {("sent", None): 3}


# Read again at the moment of sending.


def test_a_withdrawn_amendment_is_told_to_nobody_any_more(notices):
    ids = notices.queue(5)
    notices.withdraw()
    found = notices.deliver()
    assert (found.counts, found.left) == ({"suppressed": 5}, 0)
    assert notices.stands(ids) == {("suppressed", "AMENDMENT_WITHDRAWN"): 5}
    assert not notices.copies()


class ChangeAt:
    """The office's clock; at one reading it lets something happen, as another process would between two steps."""

    def __init__(self, clock, change, at):
        self._clock, self._change, self._at, self._readings = clock, change, at, 0
        self._lock = threading.Lock()

    def __call__(self):
        with self._lock:
            self._readings += 1
            is_now = self._readings == self._at
        if is_now:
            self._change()
        return self._clock()


@pytest.mark.parametrize("at", [*range(3, 24, 2), 40])
def test_a_withdrawal_at_any_step_reaches_each_notice_wholly_or_not_at_all(notices, at):
    notices.policy(replace(FAST, connections=1))
    ids = notices.queue(12)
    found = notices.deliver(replace(notices.world.services, clock=ChangeAt(notices.world.clock, notices.withdraw, at)))
    stands = notices.stands(ids)
    assert set(stands) <= {("sent", None), ("suppressed", "AMENDMENT_WITHDRAWN")}
    assert found.left == 0
    assert found.counts["sent"] == stands[("sent", None)] == sum(notices.copies().values()) == len(notices.copies())
    assert notices.world.claims() == 0


def test_after_the_effect_nobody_is_told_any_more_and_the_proof_asks_for_other_means(notices):
    ids = notices.queue(4)
    found = notices.deliver(as_of=AS_OF + timedelta(days=17))
    assert found.counts == {"missed": 4}
    assert notices.stands(ids) == {("missed", "TOO_LATE"): 4}


@pytest.mark.parametrize("at", [6, 17, 19])
def test_the_effect_comes_while_notices_wait_for_their_turn(notices, at):
    notices.policy(replace(FAST, connections=1))
    ids = notices.queue(12)
    clock = ChangeAt(notices.world.clock, lambda: notices.world.clock.pass_by(timedelta(days=17)), at)
    notices.deliver(replace(notices.world.services, clock=clock))
    stands = notices.stands(ids)
    assert stands["missed", "TOO_LATE"] > 0
    assert set(stands) <= {("sent", None), ("missed", "TOO_LATE")}
    assert sum(notices.copies().values()) == stands[("sent", None)]


def test_an_address_that_came_back_since_gets_no_mail_of_any_kind(notices):
    world = notices.world
    first, second = notices.queue(2)
    (session,) = world.queue(world.incomplete(1))
    with world.services.database.write() as opened:
        index = address_index(world.services.vault, "Mihon1@example.com")
        office = world.services.office.code
        opened.add(BlockedAddress(office=office, address_index=index, reason="BOUNCED_HARD", since=AS_OF))
    assert notices.deliver().counts == {"suppressed": 1, "sent": 1}
    assert world.stand(first)[:2] == ("suppressed", "ADDRESS_BOUNCED")
    assert world.stand(second)[0] == "sent"
    assert world.deliver().counts == {"suppressed": 1}
    assert world.stand(session)[:2] == ("suppressed", "ADDRESS_BOUNCED")
    # Of the notice the proof says who has to be told otherwise; of the application somebody telephones.
    assert (UNSENT_MESSAGE, session, "ADDRESS_BOUNCED") in world.tasks()
    assert UNSENT_MESSAGE not in {kind for kind, subject, _ in world.tasks() if subject == first}


# Faults.

FAULTS = [
    ({"at": "RCPT", "kind": "5xx"}, "failed", "SMTP_550", 0),
    ({"at": "RCPT", "kind": "4xx"}, "retrying", "SMTP_450", 0),
    ({"at": "DATA", "kind": "5xx"}, "failed", "SMTP_554", 0),
    ({"at": "dot", "kind": "4xx"}, "retrying", "SMTP_451", 0),
    ({"at": "dot", "kind": "5xx"}, "failed", "SMTP_554", 0),
    ({"at": "dot", "kind": "drop_before_store"}, "uncertain", "SMTP_NO_ANSWER_AFTER_DOT", 0),
    ({"at": "dot", "kind": "drop_after_dot"}, "uncertain", "SMTP_NO_ANSWER_AFTER_DOT", 1),
]


@pytest.mark.parametrize("connections", [1, 2])
@pytest.mark.parametrize("after", [0, 3, 4])
@pytest.mark.parametrize(
    ("fault", "status", "reason", "copies"), FAULTS, ids=[f"{item[0]['kind']} at {item[0]['at']}" for item in FAULTS]
)
def test_a_fault_hits_one_notice_and_everybody_else_is_told_once(
    notices, fault, status, reason, copies, after, connections
):  # fmt: skip
    notices.policy(replace(FAST, connections=connections))
    ids = notices.queue(12)
    notices.world.order({**fault, "after": after})
    found = notices.deliver()
    stands = notices.stands(ids)
    struck = stands.pop((status, reason))
    # A connection that breaks takes with it the one that was marked together with the struck one: surely not given.
    beside = stands.pop(("retrying", "SMTP_DROPPED_BEFORE_DOT"), 0)
    assert struck == 1
    assert beside <= 1
    assert stands == {("sent", None): 11 - beside}
    assert found.left == beside + (status == "retrying")
    assert sum(notices.copies().values()) == 11 - beside + copies
    assert notices.world.claims() == 0
    again = notices.deliver()
    assert again.counts["sent"] == found.left
    assert set(notices.copies().values()) == {1}
    assert sum(notices.copies().values()) == 11 + (status == "retrying") + copies
    kinds = [kind for kind, _, _ in notices.world.tasks()]
    assert kinds.count(UNCERTAIN_MESSAGE) == (status == "uncertain")
    assert notices.world.claims() == 0


def test_a_relay_that_says_421_again_and_again_delays_and_loses_nothing(notices):
    ids = notices.queue(40)
    notices.world.order({"at": "MAIL", "kind": "421", "after": 5, "times": 3})
    runs = [notices.deliver() for _ in range(4)]
    assert notices.stands(ids) == {("sent", None): 40}
    assert set(notices.copies().values()) == {1}
    assert runs[-1].left == 0


def test_a_relay_that_goes_down_midway_is_named_and_the_next_run_finishes(notices):
    ids = notices.queue(40)
    notices.world.order({"at": "MAIL", "kind": "421", "after": 10, "times": None})
    found = notices.deliver()
    assert found.stopped in {"SMTP_UNUSABLE", "SMTP_421"}
    assert found.left == 40 - found.counts["sent"] > 0
    assert notices.world.claims() == 0
    assert set(notices.stands(ids)) <= {("sent", None), ("queued", None), ("retrying", "SMTP_421"),
                                        ("retrying", "SMTP_DROPPED_BEFORE_DOT")}  # fmt: skip
    notices.world.mailbox.state.faults.clear()
    assert notices.deliver().left == 0
    assert notices.stands(ids) == {("sent", None): 40}
    assert set(notices.copies().values()) == {1}


def test_a_refused_sender_stops_the_run_and_fails_nobody(notices):
    ids = notices.queue(12)
    notices.world.order({"at": "MAIL", "kind": "5xx", "times": None, "after": 4})
    found = notices.deliver()
    assert found.stopped == "SMTP_SENDER_REFUSED"
    assert {status for status, _ in notices.stands(ids)} <= {"sent", "queued", "retrying"}
    notices.world.mailbox.state.faults.clear()
    assert notices.deliver().left == 0
    assert set(notices.copies().values()) == {1}
    assert len(notices.copies()) == 12


def test_many_refused_notices_open_one_task_and_not_one_each(notices):
    notices.queue(12)
    notices.world.order({"at": "RCPT", "kind": "5xx", "times": 6})
    found = notices.deliver()
    assert found.counts == {"sent": 6, "failed": 6}
    assert len(found.incomplete) == 6
    assert {kind for kind, _, _ in notices.world.tasks()} <= {TELL_OTHERWISE}


# Rates and lanes.


class FakeTime:
    """Time that passes only when somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Watched(Paces):
    """Paces that keep when each turn was taken."""

    def __init__(self, rates, time):
        super().__init__(rates.__getitem__, monotonic=time.monotonic, sleep=time.sleep)
        self.turns = []

    def take(self, lane):
        taken = super().take(lane)
        if taken:
            self.turns.append((lane, self.monotonic()))
        return taken


def test_each_domain_has_its_rate_and_a_slow_one_holds_up_no_other(notices):
    rates = {"gmail.com": 10.0, "docomo.ne.jp": 1.0, "other": 5.0}
    notices.policy(TermsPolicy(per_second={"gmail.com": 10.0, "docomo.ne.jp": 1.0}, connections=1))
    for domain in ("gmail.com", "docomo.ne.jp", "example.com"):
        notices.queue(10, domain=domain)
    time = FakeTime()
    paces = Watched(rates, time)
    assert notices.deliver(paces=paces).counts == {"sent": 30}
    for lane, rate in rates.items():
        at = [when for each, when in paces.turns if each == lane]
        assert len(at) == 10
        gaps = [later - earlier for earlier, later in pairwise(at)]
        assert min(gaps) >= 1 / rate - 1e-9
        assert at[-1] <= 10 / rate + 1.0
    assert 9.0 <= time.now <= 10.0


def test_a_run_of_some_seconds_ends_then_and_leaves_the_rest_to_the_next(notices):
    notices.policy(replace(FAST, connections=1))
    ids = notices.queue(30)
    time = FakeTime()
    found = notices.deliver(paces=Watched({"other": 2.0}, time), seconds=5.0)
    assert found.counts["sent"] in {10, 11}
    assert found.left == 30 - found.counts["sent"]
    assert found.stopped is None
    assert notices.world.claims() == 0
    assert set(notices.stands(ids)) == {("sent", None), ("queued", None)}


def test_a_thread_that_wakes_late_catches_up_a_little_and_no_burst_is_saved_up():
    time = FakeTime()
    paces = Watched({"other": 100.0}, time)
    assert paces.take("other")
    assert not paces.take("other")
    time.now = 60.0
    taken = sum(paces.take("other") for _ in range(100))
    assert taken <= 6


# Other runners.


def fate(owner):
    return {DEAD: False, ALIVE: True}.get(owner)


def test_two_runners_at_once_tell_everybody_once_and_never_work_in_one_lane_together(notices):
    notices.policy(TermsPolicy(per_second={"gmail.com": 400.0, "docomo.ne.jp": 400.0}, other_per_second=400.0))
    ids = [*notices.queue(40, domain="gmail.com"), *notices.queue(40, domain="docomo.ne.jp"), *notices.queue(40)]
    seen, errors, reports = [], [], []
    services = notices.world.services

    def run(number):
        try:
            runner = notices.world.runner(f"here/boot/{number}/1", lambda _: True)
            reports.append(notices.deliver(runner))
        except BaseException as error:  # noqa: BLE001 — shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        with services.database.read() as session:
            held = session.execute(
                select(OutboxMessage.lane, OutboxMessage.claim_owner).where(OutboxMessage.claim_owner.is_not(None))
            ).all()
        seen.append({(lane, owner.partition("#")[0]) for lane, owner in held})
        threads[0].join(0.01)
    assert errors == []
    assert sum(report.counts["sent"] for report in reports) == 120
    assert notices.stands(ids) == {("sent", None): 120}
    assert set(notices.copies().values()) == {1}
    for moment in seen:
        assert len({lane for lane, _ in moment}) == len(moment), moment


def test_a_lane_that_another_runner_holds_is_left_alone_by_who_has_only_some_seconds(notices):
    held, *free = notices.queue(3)
    notices.world.change(OutboxMessage, held, claim_owner=ALIVE, claim_until=notices.world.clock() + LEASE)
    services = replace(notices.world.services, is_alive=fate)
    found = notices.deliver(services, seconds=60)
    assert (found.counts, found.left) == ({}, 3)
    assert notices.stands(free) == {("queued", None): 2}


def test_a_lane_is_waited_for_until_its_runner_is_done_or_dead(notices):
    notices.policy(replace(FAST, connections=1))
    held, *_ = notices.queue(3)
    notices.world.change(OutboxMessage, held, claim_owner=ALIVE, claim_until=notices.world.clock() + LEASE)
    time = FakeTime()

    def sleep(seconds):
        time.now += seconds
        if time.now >= 10:
            notices.world.clock.pass_by(LEASE + timedelta(minutes=1))

    paces = Paces(lambda _: 1e6, monotonic=time.monotonic, sleep=sleep)
    services = replace(notices.world.services, is_alive=fate)
    assert notices.deliver(services, paces=paces).counts == {"sent": 3}
    assert time.now >= 10


def test_what_a_dead_runner_left_in_doubt_is_never_repeated_and_the_rest_is_sent(notices):
    doubtful, claimed, free = notices.queue(3)
    until = notices.world.clock() + LEASE
    notices.world.change(OutboxMessage, doubtful, status="sending", claim_owner=DEAD, claim_until=until)
    notices.world.change(OutboxMessage, claimed, claim_owner=DEAD, claim_until=until)
    found = notices.deliver(replace(notices.world.services, is_alive=fate))
    assert found.counts == {"uncertain": 1, "sent": 2}
    assert found.incomplete == [(doubtful, "RUNNER_DIED")]
    assert (UNCERTAIN_MESSAGE, doubtful, "RUNNER_DIED") in notices.world.tasks()
    assert notices.stands([claimed, free]) == {("sent", None): 2}


def test_at_most_two_messages_a_connection_are_ever_being_sent(notices, monkeypatch):
    """What is `sending` when a process dies is in doubt: looked at after every mark."""
    notices.queue(60)
    services, seen, marks = notices.world.services, [], SendingMarks.mark

    def watched(self, act, **given):
        answer = marks(self, act, **given)
        with services.database.read() as session:
            owners = session.scalars(select(OutboxMessage.claim_owner).where(OutboxMessage.status == "sending")).all()
        seen.append(max(Counter(owners).values(), default=0))
        return answer

    monkeypatch.setattr(SendingMarks, "mark", watched)
    assert notices.deliver().counts == {"sent": 60}
    assert max(seen) == 2


@pytest.mark.parametrize("at", [4, 9, 15, 22])
def test_a_bug_in_a_connection_ends_the_run_with_nothing_claimed_and_no_answer_lost(notices, at):
    ids = notices.queue(40)

    def bug():
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        notices.deliver(replace(notices.world.services, clock=ChangeAt(notices.world.clock, bug, at)))
    assert notices.world.claims() == 0
    sent = notices.stands(ids)[("sent", None)]
    assert sum(notices.copies().values()) == sent
    assert notices.deliver().left == 0
    assert set(notices.copies().values()) == {1}


def test_no_address_and_no_name_stands_in_the_log(notices, caplog):
    notices.queue(6)
    notices.world.order({"at": "RCPT", "kind": "5xx"}, {"at": "dot", "kind": "4xx"})
    notices.deliver()
    assert caplog.messages
    assert not any("mihon" in text or "見本" in text or "@" in text for text in caplog.messages)


def test_a_message_of_an_amendment_without_content_fails_and_the_others_go_out(notices):
    (broken,) = notices.queue(1, amendment_id="gone")
    ids = notices.queue(3, first=2)
    found = notices.deliver()
    assert found.counts == {"sent": 3, "failed": 1}
    assert notices.world.stand(broken)[:2] == ("failed", "NOT_BUILT")
    assert notices.stands(ids) == {("sent", None): 3}
