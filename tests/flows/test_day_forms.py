"""Contact, check-in, attendance, restriction and doubtful mail through `madoguchi run` with a real Prefect server."""

import json
from datetime import datetime, timedelta

import pytest

from tests.e2e.conftest import prefect_url  # noqa: F401 — a fixture
from tests.e2e.test_flows import run_record
from tests.flows.test_staff_forms import api, fill_in, office  # noqa: F401 — fixtures

BY = {"received_by": "松戸"}


def listed(office, kind):  # noqa: F811 — the fixture's value
    return json.loads(office.madoguchi("list", kind, "--json").stdout)


@pytest.mark.prefect
@pytest.mark.slow
def test_a_clerk_records_a_call_checks_in_settles_restricts_and_asks_about_a_mail_by_command_line(office, api):  # noqa: F811 — the fixtures above
    session = next(row for row in listed(office, "bookings") if row["status"] == "confirmed")
    reference, start = session["reference"], datetime.fromisoformat(session["start"])
    told = {"reference": reference, **BY}

    def at(minutes):
        return (start + timedelta(minutes=minutes)).isoformat()

    def run(flow, minutes, **fields):
        return fill_in(office, flow, "--json", as_of=at(minutes), **fields)

    early = run("settle-attendance", 5, **told, verdict="attended", reason="ASKED_COUNSELLOR")
    assert early.returncode == 1
    recorded, artifact, _ = run_record(api, "settle-attendance")
    assert recorded["state"]["message"].startswith(f"{reference} は、開始から10分")
    assert "何も変わっていません" in artifact["data"]

    call = {**told, "channel": "telephone", "about": "late", "received_at": at(3)}
    assert [run("record-contact", 8, **call).returncode for _ in range(2)] == [0, 0]
    recorded, artifact, tasks = run_record(api, "record-contact")
    assert (recorded["state_type"], len(tasks)) == ("COMPLETED", 3)
    assert "記録済みです" in recorded["state"]["message"]
    seen = run("check-in", 9, **told, who="client_seen")
    assert seen.returncode == 0, seen.stderr
    assert [(e["kind"], e["source"]) for e in listed(office, "evidence")] == [
        ("contact", "staff"), ("client_seen", "counsellor"),
    ]  # fmt: skip

    settled = run("settle-attendance", 40, **told, verdict="参加した", reason="担当者が確かめた")
    assert settled.returncode == 0, settled.stderr
    assert [(v["booking"], v["verdict"], v["by_person"]) for v in listed(office, "verdicts")] == [
        (reference, "attended", True)
    ]

    decided = {**told, "action": "restrict", "reason": "THREAT_OR_ABUSE", "ground": "ART_12_1", "until": "2027-03-31"}
    assert run("set-restriction", 60, **decided).returncode == 0
    recorded, _, _ = run_record(api, "set-restriction")
    assert "2027年3月31日まで" in recorded["state"]["message"]
    shown = json.loads(office.madoguchi("show", reference, "--json").stdout)
    assert (shown["person"]["reason"], shown["verdicts"][0]["actor"]) == ("RESTRICTED", "staff:松戸")

    sent = next(row for row in listed(office, "messages") if row["status"] == "sent")
    refused = run("settle-message", 61, message=sent["id"], outcome="send_again", **BY)
    assert refused.returncode == 1
    recorded, _, _ = run_record(api, "settle-message")
    assert "送信済みのため、記録を変えられません" in recorded["state"]["message"]
    assert "review-request" in office.madoguchi("list", "tasks", "--status", "open").stdout
