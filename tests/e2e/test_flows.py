"""Both flows as the Prefect server sees them: names, states, messages, artifacts, task runs; twice changes nothing."""

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from uuid import uuid4

import httpx
import pytest

from config.settings import ROOT
from madoguchi.adapters.prefect_server import environment
from madoguchi.domain.office import JST
from tests.e2e.checker import everything
from tests.e2e.rehearsal import AS_OF, EXPECTED, GOOGLE, sqlite_rehearsal

pytestmark = [pytest.mark.prefect, pytest.mark.slow]

PERSONAL = re.compile("見本|架空|例示|mihon|9999[09]|0900000|https://zoom|@example.(jp|com)")


class Api:
    """Prefect's API, read only."""

    def __init__(self, url):
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=30)
        client = str(uuid4())
        token = self.http.get("/csrf-token", params={"client": client}).json()["token"]
        self.http.headers.update({"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": client})

    def ask(self, path, body):
        return self.http.post(path, json=body).raise_for_status().json()

    def newest_run(self, flow):
        return self.ask(
            "/flow_runs/filter",
            {"flows": {"name": {"any_": [flow]}}, "sort": "EXPECTED_START_TIME_DESC", "limit": 1},
        )[0]

    def of_run(self, kind, run):
        return self.ask(f"/{kind}/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})


@pytest.fixture(scope="module")
def api(prefect_url):
    client = Api(prefect_url)
    yield client
    client.http.close()


@pytest.fixture
def office(tmp_path, sqlite_template, prefect_url):
    with sqlite_rehearsal(tmp_path / "office", sqlite_template, prefect_url) as made:
        yield made


def deliver(office):
    return office.madoguchi("run", "deliver-messages", "--as-of", AS_OF, "--json")


def run_record(api, flow):
    """Return the newest run with its own artifact and its task runs; nothing personal in any of them."""
    run = api.newest_run(flow)
    # Flows of the day publish the day list beside their own.
    artifacts = api.of_run("artifacts", run)
    [artifact] = [each for each in artifacts if each["key"] == flow]
    tasks = api.of_run("task_runs", run)
    logs = api.ask("/logs/filter", {"logs": {"flow_run_id": {"any_": [run["id"]]}}})
    assert not PERSONAL.search(json.dumps([run, artifacts, tasks, logs], ensure_ascii=False))
    return run, artifact, tasks


def counts_of(markdown):
    """Return the two-column tables of an artifact."""
    return {
        name.strip("　 "): int(number)
        for name, number in re.findall(r"^\| ([^|]+) \| (\d+) \|$", markdown, re.MULTILINE)
    }


def test_a_finished_run_in_the_dashboard(office, api):
    summary = json.loads(office.process(GOOGLE, "google").stdout)
    run, artifact, tasks = run_record(api, "process-requests")
    assert run["name"] == "process-requests 2026-09-14 09:00 google"
    assert {"by-hand", "sandbox", "google"} <= set(run["tags"])
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Completed")
    assert "confirmed 21" in run["state"]["message"]
    assert run["parameters"] == {
        "path": str(GOOGLE), "source": "google", "as_of": run["parameters"]["as_of"], "rehearse": False,
    }  # fmt: skip
    assert 5 <= len(tasks) <= 6
    assert {task["state_name"] for task in tasks} == {"Completed"}
    counts = counts_of(artifact["data"])
    assert counts["読み込んだ行"] == 52 == summary["counts"]["in"]
    outcomes = [counts[name] for name in ("受付", "職員が確認", "このままでは受付できない", "空行")]
    assert outcomes == [summary["counts"][name] for name in ("accept", "needs_review", "reject", "skip")]
    assert sum(outcomes) == 52
    assert (counts["予約が確定した"], counts["送信した"]) == (21, 33)
    rows = re.findall(
        r"^\| google_forms.csv \| (\d+) \| [^|]+ \| [^|]*（([A-Z_]+)） \|$", artifact["data"], re.MULTILINE
    )
    wanted = EXPECTED["google_forms.csv"]["rows"]
    assert [(int(row), reason) for row, reason in rows] == [
        (row["row"], row["reason"]) for row in wanted if row["outcome"] in {"needs_review", "reject"}
    ]


def test_a_failed_run_names_how_many_of_what_are_undone_and_the_next_one_finishes(office, api):
    office.zoom.state.faults.order({"op": "create", "kind": "drop_before", "times": None, "after": 19})
    summary = json.loads(office.process(GOOGLE, "google").stdout)
    office.heal()
    run, artifact, _ = run_record(api, "process-requests")
    message = run["state"]["message"]
    assert (run["state_type"], run["state_name"]) == ("FAILED", "Failed")
    found = re.fullmatch(r"2 of 21 sessions have no meeting: (M-\w+), (M-\w+); run again", message)
    assert found, message
    assert [item["reference"] for item in summary["incomplete"]] == list(found.groups())
    assert all(item["reason"].startswith("ZOOM_") for item in summary["incomplete"])
    assert "2 件が済んでいません" in artifact["data"]
    assert all(f"`{name}`" in artifact["data"] for name in found.groups())
    assert json.loads(office.process(GOOGLE, "google").stdout)["counts"]["confirmed"] == 2
    assert run_record(api, "process-requests")[0]["state_type"] == "COMPLETED"


def test_messages_that_are_not_delivered_fail_the_run_and_deliver_messages_finishes(office, api):
    office.mailbox.state.faults.order({"at": "MAIL", "kind": "421", "times": None, "after": 30})
    office.process(GOOGLE, "google")
    run, _, _ = run_record(api, "process-requests")
    assert re.match(r"3 of 33 messages not delivered: (\w{32}(, )?){3}; run again$", run["state"]["message"])
    assert deliver(office).returncode == 1
    assert run_record(api, "deliver-messages")[0]["state_type"] == "FAILED"
    office.heal()
    summary = json.loads(deliver(office).stdout)
    run, artifact, tasks = run_record(api, "deliver-messages")
    assert run["name"] == "deliver-messages 2026-09-14 09:00"
    assert (run["state_type"], len(tasks)) == ("COMPLETED", 2)
    assert summary["counts"]["messages_sent"] == counts_of(artifact["data"])["送信した"] == 3
    assert len({mail.message_id for mail in office.mailbox.state.entries()}) == 33


def test_an_empty_run_says_so(office, api):
    assert json.loads(deliver(office).stdout)["state"] == "completed"
    assert run_record(api, "deliver-messages")[0]["state"]["message"] == "nothing was due"


TWICE = """
import asyncio, json, sys, time
from datetime import datetime
from config.settings import ROOT, load_settings
from madoguchi.adapters.prefect_server import connect
settings = load_settings()
connect(settings.var_dir, "127.0.0.1", 4200, ROOT / "config" / "prefect_logging.yml").wait_until_ready()
from flows.deliver_messages import deliver_messages
from flows.process_requests import process_requests
as_of = datetime.fromisoformat(sys.argv[1])
async def go():
    for number in range(3):
        for flow, more in ((process_requests, {"path": sys.argv[2], "source": "google"}), (deliver_messages, {})):
            begun = time.perf_counter()
            state = await flow.with_options(retries=1)(as_of=as_of, **more, return_state=True)
            print(json.dumps([flow.name, state.type.value, time.perf_counter() - begun]), flush=True)
        sys.stdin.readline()
asyncio.run(go())
"""


def test_every_flow_may_be_called_again_in_the_same_process_and_costs_little_with_nothing_to_do(office):
    with subprocess.Popen(
        [sys.executable, "-c", TWICE, AS_OF, str(GOOGLE)],
        cwd=ROOT,
        env=office.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        states, seconds = [], []
        for number in range(3):
            for _ in range(2):
                _, state, took = json.loads(child.stdout.readline())
                states.append(state)
                seconds.append(took)
            if number == 0:
                before = everything(office)
            assert everything(office) == before
            child.stdin.write("\n")
            child.stdin.flush()
    assert set(states) == {"COMPLETED"}
    # Five steps with nothing to do: what remains is Prefect's own cost. A loaded machine gets five times the usual.
    assert min(seconds[2], seconds[4]) < 5.0
    print(f"with nothing to do: {min(seconds[2], seconds[4]):.2f} s, {min(seconds[3], seconds[5]):.2f} s")  # noqa: T201 — docs/chaos.md


ON_A_HOLIDAY = """
import asyncio, json, sys
from datetime import datetime
from prefect import tags
from flows.process_requests import process_requests
for given in (("auto-scheduled",), ()):
    with tags(*given):
        state = asyncio.run(process_requests(
            path=sys.argv[1], source="google", as_of=datetime.fromisoformat("2026-09-22T09:00:00+09:00"),
            return_state=True))
    print(json.dumps([state.type.value, state.message]), flush=True)
"""


def test_on_a_holiday_the_schedule_takes_nothing_in_and_a_person_may(office):
    done = subprocess.run(
        [sys.executable, "-c", ON_A_HOLIDAY, str(GOOGLE)],
        cwd=ROOT, env=office.environment(), capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    (by_schedule, said), (by_hand, did) = map(json.loads, done.stdout.splitlines())
    assert (by_schedule, said) == ("COMPLETED", "閉庁日（祝日・休日）のため、9月24日に行います")
    assert by_hand == "COMPLETED"
    assert "new 52" in did


REGISTER = """
import sys
from dataclasses import replace
from datetime import time
from config.office_file import read_office
from config.settings import ROOT
from flows.deployments import list_deployments, runner_deployments
from madoguchi.adapters.prefect_schedules import drop_surplus_schedules
from madoguchi.domain.office import OpeningHours
office = read_office(ROOT / "config" / "office.toml", sandbox=True)
hours = OpeningHours(time(13), time(14)) if sys.argv[1] == "changed" else None
if hours:
    office = replace(office, hours={0: hours}, reception=hours)
for deployment in runner_deployments([e for e in list_deployments(office) if e.flow in sys.argv[2:]]):
    drop_surplus_schedules(deployment.apply(), {schedule.slug for schedule in deployment.schedules or ()})
"""


def test_report_10_changed_hours_replace_every_schedule_and_every_run_that_was_planned_by_the_old_one(
    api, prefect_url, tmp_path
):
    """Elsewhere the old schedule went on beside the new one, and reminders left seven hours early."""
    flows = ["send-reminders", "sweep-no-shows"]
    logging = ROOT / "config" / "prefect_logging.yml"
    variables = os.environ | environment(tmp_path, "127.0.0.1", 1, logging, given={"PREFECT_API_URL": prefect_url})

    def register(office):
        """Register the schedules and let the server plan; return cron lines and the hours of the planned runs."""
        command = [sys.executable, "-c", REGISTER, office, *flows]
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = {}
        for entry in scheduled():
            api.http.post(f"/deployments/{entry['id']}/schedule", json={}).raise_for_status()
            only = {"deployments": {"id": {"any_": [entry["id"]]}}}
            runs = api.ask("/flow_runs/filter", only | {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}})
            starts = [datetime.fromisoformat(run["expected_start_time"]).astimezone(JST) for run in runs]
            lines = {(each["schedule"]["cron"], each["schedule"]["timezone"]) for each in entry["schedules"]}
            found[entry["name"]] = lines, {start.hour for start in starts}
        return found

    def scheduled():
        found = api.ask("/deployments/filter", {"flows": {"name": {"any_": flows}}})
        return [entry for entry in found if entry["schedules"]]

    before, after = register("as shipped"), register("changed")
    for entry in scheduled():
        api.http.delete(f"/deployments/{entry['id']}").raise_for_status()
    assert before.keys() == after.keys()
    assert len(after) == 2
    for name, (lines, hours) in after.items():
        assert not lines & before[name][0]
        assert {zone for _, zone in lines} == {"Asia/Tokyo"}
        assert hours
        assert hours <= {13, 14}
        assert before[name][1] - {13, 14}, "the old plan had other hours"
