"""(c) Delivery of the outbox, against smtplib sending the same bytes, prebuilt, over one connection.

Both go to the same sink in the same run, in turns; the ratio is the median of the rounds'.
`python -m benchmarks.bench_delivery`. The sink has a core of its own, as a relay has a machine of its own. Left to
itself the scheduler puts both on one core whenever the other is busy: a round trip then costs no more than switching
between two processes, a tenth, and the figures jump by a factor of eight from run to run.
"""

from __future__ import annotations

import argparse
import dataclasses
import secrets
import smtplib
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update

from benchmarks.sink import Sink, place, running_sink
from benchmarks.world import big_office
from madoguchi.adapters.smtp import Mailer
from madoguchi.domain.message import IncompleteContext, MailKind, MissingPart
from madoguchi.store.audit import Act
from madoguchi.store.database import Database
from madoguchi.store.models import OutboxMessage
from madoguchi.store.outbox import NewMessage, claim_due, queue_messages
from madoguchi.store.vault import MasterKey, open_vault
from tasks import delivery
from tasks.mail_building import Mail, MailBuilder
from tasks.settling import pin_templates
from tasks.wiring import Run, Services
from tests.postgres import NoPostgres, fresh_database, postgres_server

LIMIT = 0.7


def _queue(services: Services, count: int, now: datetime) -> None:
    act = Act(services.office.code, "benchmark", None, now, now)
    context = IncompleteContext(
        recipient_name="見本 花子", missing=(MissingPart.NUMBER, MissingPart.DATETIME), reference="R-7K2Q9F"
    )
    version = services.templates.version(MailKind.INCOMPLETE)
    messages = [
        NewMessage(
            MailKind.INCOMPLETE,
            f"R-{n:06}-{secrets.token_hex(3)}",
            1,
            f"mihon{n}@example.jp",
            context.to_json(),
            version,
            now,
        )
        for n in range(count)
    ]
    with services.database.write() as session:
        pin_templates(services, session, {MailKind.INCOMPLETE})
        queue_messages(session, services.vault, messages, act, services.office.mail_domain)


def _bare(port: int, prebuilt: list[tuple[str, bytes]]) -> float:
    began = time.perf_counter()
    with smtplib.SMTP("127.0.0.1", port) as smtp:
        for recipient, data in prebuilt:
            smtp.sendmail("madoguchi@example.jp", [recipient], data)
    return len(prebuilt) / (time.perf_counter() - began)


def _ours(services: Services, now: datetime) -> float:
    run = Run("deliver-messages", now + timedelta(minutes=1), datetime.now(UTC))
    began = time.perf_counter()
    report = delivery.deliver_messages(services, run)
    seconds = time.perf_counter() - began
    if report.incomplete:
        raise SystemExit(f"not delivered: {report.incomplete[:3]}")
    return report.counts["sent"] / seconds


def _prebuilt(services: Services) -> list[tuple[str, bytes]]:
    """Build what the outbox holds without sending it."""
    run = Run("deliver-messages", datetime.now(UTC) + timedelta(minutes=1), datetime.now(UTC))
    builder = MailBuilder(services, run)
    now = services.clock()
    with services.database.write() as session:
        batch = claim_due(
            session,
            services.office.code,
            services.owner,
            as_of=run.as_of,
            now=now,
            tried_before=now,
            limit=delivery.BATCH,
        )
        builder.learn(session, batch)
    built = [(mail.recipient, mail.data) for mail in builder.build(batch) if isinstance(mail, Mail)]
    with services.database.write() as session:
        session.execute(update(OutboxMessage).values(claim_owner=None, claim_until=None))
    return built


def _measure(services: Services, sink: Sink, count: int, rounds: int) -> list[tuple[float, float]]:
    """Return mails a second, bare and ours, of each round."""
    now = datetime.now(UTC)
    _queue(services, 200, now)
    sample = _prebuilt(services)
    _ours(services, now)
    prebuilt = (sample * (count // len(sample) + 1))[:count]
    pairs = []
    for _ in range(rounds):
        _queue(services, count, now)
        before = sink.taken
        pairs.append((_bare(sink.port, prebuilt), _ours(services, now)))
        if sink.taken - before != 2 * count:
            raise SystemExit(f"the sink took {sink.taken - before} mails instead of {2 * count}")
    with services.database.read() as session:
        states = set(session.scalars(select(OutboxMessage.status).distinct()))
    if states != {"sent"}:
        raise SystemExit(f"not everything was sent: {sorted(states)}")
    return pairs


def _ratio(pairs: list[tuple[float, float]]) -> float:
    return statistics.median(ours / bare for bare, ours in pairs)


def _print(label: str, pairs: list[tuple[float, float]], verdict: str) -> None:
    bare, ours = (statistics.median(rates) for rates in zip(*pairs, strict=True))
    spread = " ".join(f"{ours / bare:.2f}" for bare, ours in pairs)
    print(
        f"    {label:24} smtplib {bare:6.0f} /s   outbox to sent {ours:6.0f} /s   ratio {_ratio(pairs):.2f} ({spread})"
    )
    print(f"    {'':24} {verdict}")


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
    """Print the figures; 0 if the ratio holds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with running_sink() as sink, big_office(1, 1) as office:
        services = dataclasses.replace(office, make_mailer=lambda: Mailer("127.0.0.1", sink.port, "", "", "none"))
        print(f"(c) delivery of {options.messages} messages over one connection, against smtplib sending them prebuilt")
        is_apart = place(apart=True)
        pairs = _measure(services, sink, options.messages, options.rounds)
        holds = _ratio(pairs) >= LIMIT
        _print("SQLite", pairs, f"at least {LIMIT}: {'OK' if holds else 'FAIL'}")
        if is_apart:
            place(apart=False)
            _print(
                "SQLite, one core", _measure(services, sink, options.messages // 4, 2), "not judged, see docs/mail.md"
            )
            place(apart=True)
        try:
            with _on_postgres(services) as moved:
                _print("PostgreSQL, no fsync", _measure(moved, sink, options.messages // 4, 2), "not judged")
        except NoPostgres as missing:
            print(f"    PostgreSQL: {missing}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
