"""(f) Notices to everybody, against smtplib sending the same bytes, prebuilt, over as many connections.

Both go to the same sink in the same run, in turns, without an effective rate limit; the ratio is the median of the
rounds'. `python -m benchmarks.bench_notices [--recipients 100000]`. Memory is judged in a process of its own that does
nothing but deliver: what queueing and the prebuilt bytes take is not what a run takes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import resource
import secrets
import smtplib
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update

from benchmarks.sink import Sink, place, running_sink
from benchmarks.world import big_office
from madoguchi.adapters.smtp import Mailer
from madoguchi.domain.amendment import AmendmentGround, AmendmentStatus, NoticeContent
from madoguchi.domain.message import MailKind
from madoguchi.domain.terms_comparison_text import wrap
from madoguchi.store.audit import Act
from madoguchi.store.database import Database
from madoguchi.store.models import Amendment, OutboxMessage, TermsVersion
from madoguchi.store.outbox import NewMessage, claim_due, queue_messages
from madoguchi.store.types import new_id
from madoguchi.store.vault import MasterKey, open_vault
from tasks.mail_building import Mail, MailBuilder
from tasks.notice_delivery import deliver_notices
from tasks.settling import pin_templates
from tasks.wiring import Run, Services
from tests.postgres import NoPostgres, fresh_database, postgres_server

LIMIT = 0.7
FLAT_MB = 300
_CHUNK = 1000
_SENTENCE = "原則として、前々日までに、申込みページか電話でお申し込みください。"
_ARTICLE = f"第６条（予約、変更及びキャンセル）\n(1) 相談は、１回につき４５分です。{_SENTENCE * 4}"


def add_amendment(services: Services, now: datetime) -> str:
    """Put an amendment into the record whose mail has the length of a real one; return its id."""
    office = services.office.code
    code = secrets.token_hex(4)
    changed = wrap("\n\n".join(f"● {_ARTICLE}" for _ in range(3)))
    content = NoticeContent(
        code=code,
        old_code="2025-04-01",
        ground=AmendmentGround.BENEFIT.value,
        summary="相談の時間を45分にします。",
        reason="時間が足りないという声を多くいただいたためです。",
        effective_at=now + timedelta(days=30),
        enacted_on=now.date(),
        full_text_url=f"https://example.jp/terms/versions/{code}/",
        comparison_url=f"https://example.jp/terms/amendments/{code}/",
        changed_text=changed,
        comparison_text=changed,
    )
    with services.database.write() as session:
        versions = [
            TermsVersion(
                id=new_id(), office=office, document="service", code=f"{code}-{n}", sha256=f"{code}{n}", url="",
                enacted_on=date(2026, 1, 1), effective_at=now, number=n, signatory=None, withdrawn_at=None,
            )
            for n in (1, 2)
        ]  # fmt: skip
        session.add_all(versions)
        session.flush()
        row = Amendment(
            office=office, code=code, old_id=versions[0].id, new_id=versions[1].id, ground="ART_13_1", summary="s",
            reason="r", effective_at=content.effective_at, short_notice_reason=None, digest="d",
            status=AmendmentStatus.ANNOUNCED.value, approved_by="staff:x", approved_at=now, published_at=now,
            announced_at=now, withdrawn_at=None, withdrawn_by=None, withdrawal_reason=None, content=content.to_json(),
            withdrawal_content={},
        )  # fmt: skip
        session.add(row)
        session.flush()
        return row.id


def queue(services: Services, count: int, now: datetime, amendment_id: str) -> float:
    """Queue a notice each in chunks, as the flow does; return how many a second."""
    act = Act(services.office.code, "benchmark", None, now, now)
    version = services.templates.version(MailKind.TERMS_AMENDED)
    mark = secrets.token_hex(3)
    began = time.perf_counter()
    for start in range(0, count, _CHUNK):
        messages = [
            NewMessage(
                MailKind.TERMS_AMENDED,
                f"{mark}-{n}",
                1,
                f"mihon{n}@example.jp",
                {"recipient_name": f"見本 花子{n}"},
                version,
                now,
                not_after=now + timedelta(days=30),
                lane="other",
                amendment_id=amendment_id,
            )
            for n in range(start, min(count, start + _CHUNK))
        ]
        with services.database.write() as session:
            pin_templates(services, session, {MailKind.TERMS_AMENDED})
            queue_messages(session, services.vault, messages, act, services.office.mail_domain)
    return count / (time.perf_counter() - began)


def _prebuilt(services: Services, now: datetime) -> list[tuple[str, bytes]]:
    """Build some of what waits, without sending it."""
    builder = MailBuilder(services, Run("x", now, now))
    with services.database.write() as session:
        batch = claim_due(
            session, services.office.code, "x", as_of=now, now=now, tried_before=now, limit=200, lane="other"
        )
        builder.learn(session, batch)
        session.execute(update(OutboxMessage).values(claim_owner=None, claim_until=None))
    return [(mail.recipient, mail.data) for mail in builder.build(batch) if isinstance(mail, Mail)]


def _bare(port: int, sample: Sequence[tuple[str, bytes]], count: int, connections: int) -> float:
    def send(share: int) -> None:
        with smtplib.SMTP("127.0.0.1", port) as smtp:
            for n in range(share):
                recipient, data = sample[n % len(sample)]
                smtp.sendmail("madoguchi@example.jp", [recipient], data)

    threads = [threading.Thread(target=send, args=(count // connections,)) for _ in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count // connections * connections / (time.perf_counter() - began)


def _ours(services: Services, now: datetime) -> float:
    run = Run("announce-amendment", now + timedelta(minutes=1), datetime.now(UTC))
    began = time.perf_counter()
    found = deliver_notices(services, run)
    seconds = time.perf_counter() - began
    if found.left or found.stopped or found.incomplete:
        raise SystemExit(f"not delivered: {found.left} left, {found.stopped}, {found.incomplete[:3]}")
    return found.counts["sent"] / seconds


def with_connections(services: Services, port: int, connections: int) -> Services:
    """Give the services with so many connections to the sink, and no effective limit."""
    terms = dataclasses.replace(services.office.terms, connections=connections, per_second={}, other_per_second=1e6)
    return dataclasses.replace(
        services,
        office=dataclasses.replace(services.office, terms=terms),
        make_mailer=lambda: Mailer("127.0.0.1", port, "", "", "none"),
    )


def _measure(services: Services, sink: Sink, count: int, rounds: int, connections: int) -> list[tuple[float, float]]:
    """Return mails a second, bare and ours, of each round."""
    now = datetime.now(UTC)
    services = with_connections(services, sink.port, connections)
    amendment_id = add_amendment(services, now)
    queue(services, 200, now, amendment_id)
    sample = _prebuilt(services, now)
    _ours(services, now)
    pairs = []
    for _ in range(rounds):
        queue(services, count, now, amendment_id)
        before = sink.taken
        pairs.append((_bare(sink.port, sample, count, connections), _ours(services, now)))
        if sink.taken - before != 2 * count // connections * connections:
            raise SystemExit(f"the sink took {sink.taken - before} mails instead of {2 * count}")
    return pairs


def _print(label: str, pairs: list[tuple[float, float]], verdict: str) -> float:
    ratio = statistics.median(ours / bare for bare, ours in pairs)
    bare, ours = (statistics.median(rates) for rates in zip(*pairs, strict=True))
    spread = " ".join(f"{ours / bare:.2f}" for bare, ours in pairs)
    print(f"    {label:24} smtplib {bare:6.0f} /s   queued to sent {ours:6.0f} /s   ratio {ratio:.2f} ({spread})")
    print(f"    {'':24} {verdict}", flush=True)
    return ratio


def _deliver_alone(port: int, count: int, pipe: Any) -> None:
    """Queue in one office and deliver, in this process; say how much memory each took at its peak."""
    with big_office(1, 1) as office:
        services = with_connections(office, port, 2)
        now = datetime.now(UTC)
        amendment_id = add_amendment(services, now)
        queueing = queue(services, count, now, amendment_id)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rate = _ours(services, now)
        with services.database.read() as session:
            rows = session.execute(select(OutboxMessage.status, func.count()).group_by(OutboxMessage.status))
            stands = dict(rows.tuples().all())
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pipe.send(json.dumps({"queueing": queueing, "rate": rate, "before": before, "after": after, "stands": stands}))


def _memory(sink: Sink, count: int) -> bool:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_deliver_alone, args=(sink.port, count, theirs))
    process.start()
    theirs.close()
    try:
        found = json.loads(ours.recv())
    except EOFError:
        raise SystemExit("the delivery in a process of its own broke off") from None
    finally:
        process.join()
    is_flat = found["after"] < FLAT_MB
    print(
        f"    {count} recipients, 2 connections: queued {found['queueing']:.0f} /s, sent {found['rate']:.0f} /s; "
        f"memory {found['before']:.0f} MB at the peak when queued, {found['after']:.0f} MB when sent"
    )
    print(f"    {'':24} under {FLAT_MB} MB: {'OK' if is_flat else 'FAIL'}", flush=True)
    return bool(is_flat and found["stands"] == {"sent": count})


@contextmanager
def _on_postgres(services: Services) -> Iterator[Services]:
    with postgres_server() as server, fresh_database(server) as url:
        database = Database(url.render_as_string(hide_password=False))
        database.migrate()
        with database.write() as session:
            vault = open_vault(session, (MasterKey(secrets.token_bytes(32)),), datetime.now(UTC))
        yield dataclasses.replace(services, database=database, vault=vault)
        database.close()


def main() -> int:
    """Print the figures; 0 if the limits hold."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipients", type=int, default=20000)
    parser.add_argument("--messages", type=int, default=4000, help="a round and number of connections")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with running_sink() as sink, big_office(1, 1) as office:
        print(
            f"(f) notices, {options.messages} a round, against smtplib sending them prebuilt over as many connections"
        )
        place(apart=True)
        holds = True
        for connections in (1, 2):
            pairs = _measure(office, sink, options.messages, options.rounds, connections)
            ratio = statistics.median(ours / bare for bare, ours in pairs)
            holds = holds and ratio >= LIMIT
            verdict = f"at least {LIMIT}: {'OK' if ratio >= LIMIT else 'FAIL'}"
            _print(f"SQLite, {connections} connection(s)", pairs, verdict)
        try:
            with _on_postgres(office) as moved:
                for connections in (1, 2):
                    pairs = _measure(moved, sink, options.messages // 4, 2, connections)
                    _print(f"PostgreSQL, {connections} connection(s)", pairs, "not judged")
        except NoPostgres as missing:
            print(f"    PostgreSQL: {missing}")
        is_flat = _memory(sink, options.recipients)
    return 0 if holds and is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
