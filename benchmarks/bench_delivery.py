"""(c) Delivery of the outbox, against smtplib sending the same bytes, prebuilt, over one connection.

Both go to the same sink in the same run, in turns; the ratio is that of the medians. `python -m benchmarks.bench_delivery`.
"""

from __future__ import annotations

import argparse
import dataclasses
import secrets
import smtplib
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update

from benchmarks.sink import running_sink
from benchmarks.world import big_office
from madoguchi.adapters.smtp import Mailer
from madoguchi.domain.message import IncompleteContext, MailKind, MissingPart
from madoguchi.store.audit import Act
from madoguchi.store.models import OutboxMessage
from madoguchi.store.outbox import NewMessage, queue_messages
from tasks import delivery
from tasks.settling import pin_templates
from tasks.wiring import Run, Services

LIMIT = 0.7


def _queue(services: Services, count: int, now: datetime) -> None:
    act = Act(services.office.code, "benchmark", None, now, now)
    context = IncompleteContext(
        recipient_name="見本 花子", missing=(MissingPart.NUMBER, MissingPart.DATETIME), reference="R-7K2Q9F"
    )
    version = services.templates.version(MailKind.INCOMPLETE)
    messages = [
        NewMessage(
            MailKind.INCOMPLETE, f"R-{n:06}-{secrets.token_hex(3)}", 1, f"mihon{n}@example.jp", context.to_json(), version, now
        )
        for n in range(count)
    ]  # fmt: skip
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
    round_ = delivery._Round(services, run)  # noqa: SLF001 — the same builder, without its delivery
    batch = round_._claim()  # noqa: SLF001 — the same
    built = [(mail.recipient, mail.data) for mail in round_._built(batch)]  # noqa: SLF001 — the same
    with services.database.write() as session:
        session.execute(update(OutboxMessage).values(claim_owner=None, claim_until=None))
    return built


def main() -> int:
    """Print the figures; 0 if the ratio holds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    now = datetime.now(UTC)
    bare, ours = [], []
    with running_sink() as (port, taken), big_office(1, 1) as services:
        services = dataclasses.replace(services, make_mailer=lambda: Mailer("127.0.0.1", port, "", "", "none"))
        _queue(services, 200, now)
        sample = _prebuilt(services)
        _ours(services, now)
        expected = taken.value
        for _ in range(options.rounds):
            _queue(services, options.messages, now)
            prebuilt = (sample * (options.messages // len(sample) + 1))[: options.messages]
            bare.append(_bare(port, prebuilt))
            ours.append(_ours(services, now))
            expected += 2 * options.messages
        with services.database.read() as session:
            states = set(session.scalars(select(OutboxMessage.status).distinct()))
        if taken.value != expected or states != {"sent"}:
            raise SystemExit(f"the sink took {taken.value} mails instead of {expected}; states {states}")
    ratio = statistics.median(ours) / statistics.median(bare)
    size = statistics.mean(len(data) for _, data in sample)
    print(f"(c) delivery of {options.messages} messages of {size:.0f} bytes, one connection, SQLite")
    print(f"    smtplib, prebuilt bytes  {statistics.median(bare):8.0f} /s  ({min(bare):.0f}..{max(bare):.0f})")
    print(f"    outbox to sent           {statistics.median(ours):8.0f} /s  ({min(ours):.0f}..{max(ours):.0f})")
    print(f"    ratio {ratio:.2f}, at least {LIMIT}: {'OK' if ratio >= LIMIT else 'FAIL'}")
    return 0 if ratio >= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
