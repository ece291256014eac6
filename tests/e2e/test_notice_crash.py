"""kill -9 in the middle of notices to everybody: whoever is told is told once, nobody is lost, few are in doubt."""

import json
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from benchmarks.bench_notices import add_amendment, queue
from benchmarks.sink import running_sink
from config.settings import ROOT
from madoguchi.sandbox.mailbox_server import running_mailbox
from madoguchi.store.models import Audit, OutboxMessage, StaffTask
from tasks.delivery import UNCERTAIN_MESSAGE
from tasks.notice_delivery import deliver_notices
from tasks.wiring import Run
from tests.e2e.notice_child import CONNECTIONS, notice_services
from tests.e2e.rehearsal import until

IN_DOUBT = 2 * CONNECTIONS


@pytest.fixture
def mailbox(tmp_path):
    with running_mailbox(tmp_path / "mailbox") as running:
        yield running


def start(record, host, port):
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.notice_child", record, host, str(port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout.readline() == b"ready\n", child.stderr.read().decode()[-3000:]
    return child


def finish(child):
    out, errors = child.communicate(timeout=900)
    assert child.returncode == 0, errors.decode()[-3000:]
    return json.loads(out)


def kill(child):
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL


def stands(services):
    with services.database.read() as session:
        rows = session.execute(select(OutboxMessage.message_id, OutboxMessage.status, OutboxMessage.id)).all()
    return {message_id: (status, row_id) for message_id, status, row_id in rows}


@pytest.mark.parametrize("after", [1, 120, 287])
def test_a_kill_in_the_middle_leaves_few_in_doubt_and_everybody_else_is_told_once(tmp_path, mailbox, after):
    record = f"sqlite:///{tmp_path / 'record.db'}"
    services = notice_services(record, mailbox.host, mailbox.port)
    now = datetime.now(UTC)
    queue(services, 300, now, add_amendment(services, now))
    mailbox.state.faults.order({"at": "dot", "kind": "latency", "seconds": 0.004, "times": None})
    child = start(record, mailbox.host, mailbox.port)
    until(lambda: len(mailbox.state.entries()) >= after, 60, "the moment did not come")
    kill(child)
    mailbox.state.faults.clear()
    time.sleep(0.1)  # what the relay has taken in by then is stored
    sending = [row_id for status, row_id in stands(services).values() if status == "sending"]
    assert len(sending) <= IN_DOUBT
    found = finish(start(record, mailbox.host, mailbox.port))
    check(services, mailbox, found, sending)
    again = deliver_notices(services, Run("announce-amendment", now, datetime.now(UTC)))
    assert (again.counts, again.left) == ({}, 0)
    services.database.close()


def check(services, mailbox, found, sending):
    """The books of record and mailbox add up."""
    copies = Counter(entry.message_id for entry in mailbox.state.entries())
    now = stands(services)
    assert set(copies.values()) == {1}
    assert {status for status, _ in now.values()} <= {"sent", "uncertain"}
    doubtful = {row_id: message_id for message_id, (status, row_id) in now.items() if status == "uncertain"}
    assert set(doubtful) == set(sending)
    assert found["left"] == 0
    assert [code for _, code in found["incomplete"]] == ["RUNNER_DIED"] * len(sending)
    assert {message_id for message_id, (status, _) in now.items() if status == "sent"} <= set(copies)
    assert set(copies) <= set(now)
    assert len(copies) + sum(message_id not in copies for message_id in doubtful.values()) == len(now)
    with services.database.read() as session:
        asked = session.scalars(select(StaffTask.subject).where(StaffTask.kind == UNCERTAIN_MESSAGE)).all()
    assert set(asked) == set(sending)


@pytest.mark.slow
@pytest.mark.chaos
def test_a_hundred_thousand_recipients_with_kills_in_the_middle_are_all_accounted_for(tmp_path):
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 — how to repeat it
    chance, count = random.Random(seed), 100_000
    record = f"sqlite:///{tmp_path / 'record.db'}"
    with running_sink() as sink:
        services = notice_services(record, "127.0.0.1", sink.port)
        now = datetime.now(UTC)
        queueing = queue(services, count, now, add_amendment(services, now))
        began = time.perf_counter()
        for _ in range(3):
            child = start(record, "127.0.0.1", sink.port)
            goal = sink.taken + chance.randint(5_000, 25_000)
            until(lambda goal=goal: sink.taken >= goal, 300, "the moment did not come")
            kill(child)
        found = finish(start(record, "127.0.0.1", sink.port))
        seconds = time.perf_counter() - began
        now_stands = Counter(status for status, _ in stands(services).values())
        assert found["left"] == 0
        assert now_stands["uncertain"] <= 3 * IN_DOUBT
        assert now_stands["sent"] + now_stands["uncertain"] == count
        # Every one that is sent was taken once; of those in doubt the sink knows each at most once.
        assert now_stands["sent"] <= sink.taken <= count
        assert sum(arrows(services).values()) == count
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(  # noqa: T201 — the figures of docs/performance.md
            f"{count} recipients queued at {queueing:.0f} /s, told in {seconds:.0f} s with three kills, "
            f"{now_stands['uncertain']} in doubt, {children:.0f} MB at most"
        )
        services.database.close()


def arrows(services):
    """How many messages the audit knows to be sent or in doubt, by how often: once each."""
    with services.database.read() as session:
        subjects = Counter(
            session.scalars(
                select(Audit.subject).where(Audit.action == "transition", Audit.new.in_(("sent", "uncertain")))
            )
        )
    assert set(subjects.values()) == {1}
    return subjects
