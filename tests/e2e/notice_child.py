"""`python -m tests.e2e.notice_child RECORD HOST PORT`: deliver the notices of a record; a process to be killed.

Prints `ready` when it begins and what it did at the end. The office has two connections and no effective rate limit.
"""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime

from config.office_file import read_office
from madoguchi.adapters.holidays import is_public_holiday
from madoguchi.adapters.mail_templates import TemplateStore
from madoguchi.adapters.processes import owner_token
from madoguchi.adapters.smtp import Mailer
from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.office import TermsPolicy
from madoguchi.store.database import Database
from madoguchi.store.vault import MasterKey, open_vault
from tasks.notice_delivery import deliver_notices
from tasks.wiring import Run, Services
from tests.intake_help import ROOT

CONNECTIONS = 2


def notice_services(record, host, port):
    """Services on a record, with a relay and nothing else."""
    office = read_office(ROOT / "config" / "office.toml", sandbox=True)
    office = replace(office, terms=TermsPolicy(connections=CONNECTIONS, other_per_second=1e6))
    database = Database(record)
    database.migrate()
    with database.write() as session:
        vault = open_vault(session, (MasterKey(b"k" * 32),), datetime.now(UTC))
    return Services(
        office=office,
        calendar=OfficeCalendar(office, is_public_holiday),
        database=database,
        vault=vault,
        templates=TemplateStore(ROOT / "templates"),
        mappings={},
        inbox=ROOT,
        clock=lambda: datetime.now(UTC),
        owner=owner_token(),
        make_zoom=None,
        make_mailer=lambda: Mailer(host, port, "", "", "none", timeout=20),
        join_hosts=(),
    )


def main(record, host, port):
    services = notice_services(record, host, int(port))
    print("ready", flush=True)  # noqa: T201 — the parent waits for it
    now = datetime.now(UTC)
    found = deliver_notices(services, Run("announce-amendment", now, now))
    said = {"counts": found.counts, "left": found.left, "stopped": found.stopped, "incomplete": found.incomplete}
    print(json.dumps(said), flush=True)  # noqa: T201 — the parent reads it


if __name__ == "__main__":
    main(*sys.argv[1:])
