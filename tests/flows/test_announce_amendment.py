"""announce-amendment and withdraw-amendment with a real Prefect server: shown, asked, and every way it ends."""

import asyncio
import contextvars
import gc
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date, timedelta

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.events.worker import EventsWorker
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.callables import parameter_schema

from config.settings import ROOT
from flows.announce_amendment import announce_amendment
from flows.publish_terms import publish_terms
from flows.withdraw_amendment import withdraw_amendment
from madoguchi.sandbox.mailbox_server import running_mailbox
from madoguchi.store.database import Database
from madoguchi.store.models import Amendment, Notice, RunRecord
from tasks.wiring import use_services
from tests.e2e.conftest import prefect_url  # noqa: F401 — a fixture
from tests.e2e.test_flows import Api
from tests.tasks.amendment_world import CODE, SAMPLE, TermsWorld, amended

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.slow,
    # Prefect leaves the sockets of its own client to the garbage collector; our own are watched in the other rooms.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Office:
    """An office in this process whose flows run against a real Prefect server, and an approver at the dashboard."""

    def __init__(self, world, api, pool):
        self.world = world
        self.api = api
        self._pool = pool

    def start(self, flow=announce_amendment, **changes):
        """Run a flow beside; returns the future of its final state."""
        values = self.parameters(flow, changes)
        return self._pool.submit(contextvars.copy_context().run, lambda: asyncio.run(flow(**values, return_state=True)))

    def parameters(self, flow, changes):
        if flow is withdraw_amendment:
            values = {"code": CODE, "reason": "内容を見直すため", "approver": "松戸"}
        else:
            form = self.world.form(changes.pop("text", None))
            values = {name: getattr(form, name) for name in ("file", "ground", "reason", "effective_date", "approver")}
        return values | {"as_of": self.world.clock.now} | changes

    def paused(self, flow="announce-amendment"):
        """Wait until a run of the flow waits for its approver; returns the run."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            runs = self.api.ask(
                "/flow_runs/filter",
                {"flows": {"name": {"any_": [flow]}}, "flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}},
            )
            # The form is there a moment after the state.
            if runs and self.form_of(runs[0]):
                return runs[0]
            time.sleep(0.1)
        raise AssertionError("the run does not wait for anybody")

    def form_of(self, run):
        keys = run["state"]["state_details"]["run_input_keyset"]
        answer = self.api.http.get(f"/flow_runs/{run['id']}/input/{keys['schema']}")
        return answer.json() if answer.status_code == httpx.codes.OK else None

    def answer(self, run, **changes):
        """Fill in the form as the dashboard prefills it; returns what the server says."""
        digest = self.form_of(run)["properties"]["digest"]["default"]
        given = {"answer": "はい", "approver": "松戸", "digest": digest} | changes
        return self.api.http.post(f"/flow_runs/{run['id']}/resume", json={"run_input": given}).json()["status"]

    def artifact(self, run, key):
        found = [each for each in self.api.of_run("artifacts", run) if each["key"] == key]
        return max(found, key=lambda each: each["created"])["data"] if found else None

    def goes(self, flow=announce_amendment, **changes):
        """Run a flow to its end, the approver saying yes."""
        future = self.start(flow, **changes)
        assert self.answer(self.paused(flow.name)) == "ACCEPT"
        return future.result(timeout=60)

    def nothing_is_left(self):
        assert self.world.world.count(Amendment) == 0
        assert len(self.world.versions()) == 1
        assert self.world.world.count(Notice) == 0
        assert self.world.mails() == []
        assert self.world.page(f"versions/{CODE}") is None


@pytest.fixture
def office(tmp_path, sqlite_template, prefect_url):  # noqa: F811 — the fixture above
    path = tmp_path / "record.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{path}")
    api = Api(prefect_url)
    with (
        running_mailbox(tmp_path / "mailbox") as mailbox,
        temporary_settings({PREFECT_API_URL: prefect_url}),
        ThreadPoolExecutor(2) as pool,
    ):
        # A test that breaks off must not leave a run that waits for its answer for days: three minutes are enough.
        world = TermsWorld(database, tmp_path, mailbox=mailbox, other_per_second=500.0, approval_hours=0.15)
        use_services(world.services)
        try:
            made = Office(world, api, pool)
            made.mailbox = mailbox
            yield made
        finally:
            use_services(None)
            # What is still on its way to the server would be tried again for a minute after the server has gone.
            APILogWorker.drain_all(timeout=5)
            EventsWorker.drain_all(timeout=5)
    api.http.close()
    database.close()
    # Here, where it is allowed for: not in the next file that this worker runs.
    gc.collect()


@pytest.mark.parametrize("flow", [announce_amendment, withdraw_amendment], ids=lambda flow: flow.name)
def test_every_field_of_the_form_is_explained_in_japanese(flow):
    for name, field in parameter_schema(flow).model_dump()["properties"].items():
        assert sum("ぁ" <= char <= "ん" for char in field.get("description", "")) > 3, name


def test_shown_approved_published_told_and_proved(office):
    world = office.world
    mailed = [world.had("2026-09-24 11:00", "confirmed") for _ in range(3)]
    phone = world.waits(email=None)
    future = office.start()
    run = office.paused()

    assert run["name"].startswith("announce-amendment 2026-09-14 09:00")
    preview = office.artifact(run, "announce-amendment-preview")
    for said in ("お知らせする方 | 4名", "3名（other 3）", "メールアドレスがない 1", "一切", "お名前 様", "件名: "):
        assert said in preview
    assert "架空" not in json.dumps(office.api.of_run("artifacts", run), ensure_ascii=False)
    [record] = world.world.rows(RunRecord)
    assert (record.state, record.finished_at) == ("waiting", None)
    office.nothing_is_left()

    # A slip is no answer, and the run goes on waiting.
    assert office.answer(run, answer="OK") == "REJECT"
    assert office.answer(run) == "ACCEPT"
    state = future.result(timeout=60)
    assert state.type.value == "COMPLETED", state.message
    assert "4名のうち 3名にメールでお知らせしました。ほかの方法でお知らせする方は 1名です。" in state.message
    amendment = world.amendment()
    assert amendment.status == "announced"
    assert amendment.approved_at <= amendment.published_at <= amendment.announced_at < amendment.effective_at
    assert len(office.mailbox.state.entries()) == 3
    assert world.notices() == {r.replace("R", "M"): ("mail", None) for r in mailed} | {phone: ("other", "NO_ADDRESS")}
    assert "お知らせの証明" in office.artifact(run, "announce-amendment-proof")
    assert world.page(f"amendments/{CODE}")
    progress = [each for each in office.api.of_run("artifacts", run) if each["type"] == "progress"]
    assert progress[-1]["data"] == 100.0

    again = office.start().result(timeout=60)
    assert (again.type.value, "お知らせも済んでいます" in again.message) == ("FAILED", True)
    assert len(office.mailbox.state.entries()) == 3


NOT_APPROVED = {
    "a no": ({"answer": "いいえ"}, "承認されませんでした"),
    "somebody else": ({"approver": "柏"}, "approver（承認する職員）と違います"),
    "another number": ({"digest": "0" * 64}, "変わりました"),
}


@pytest.mark.parametrize("case", NOT_APPROVED)
def test_without_the_approvers_yes_nothing_is_left(office, case):
    answer, said = NOT_APPROVED[case]
    office.world.waits()
    future = office.start()
    assert office.answer(office.paused(), **answer) == "ACCEPT"
    state = future.result(timeout=60)
    assert (state.type.value, said in state.message) == ("FAILED", True), state.message
    office.nothing_is_left()


def test_what_changed_after_it_was_shown_is_not_what_was_approved(office):
    future = office.start()
    run = office.paused()
    office.world.form(amended(new="利用料は無料です。"))
    assert office.answer(run) == "ACCEPT"
    assert "変わりました" in future.result(timeout=60).message
    office.nothing_is_left()


def test_no_answer_in_time_leaves_nothing(office):
    terms = office.world.services.office.terms
    object.__setattr__(terms, "approval_hours", 0.001)
    state = office.start().result(timeout=60)
    assert state.type.value == "FAILED"
    office.nothing_is_left()
    [record] = office.world.world.rows(RunRecord)
    assert "承認の返事がありませんでした" in record.message


REFUSALS = {
    "past": ({"effective_date": date(2026, 9, 14)}, "もう始まっています"),
    "no reason": ({"reason": " "}, "reason（変更する理由）が空です"),
    "unchanged": ({"text": SAMPLE.replace("\n", " \n")}, "今の規約と同じです"),
    "a broken citation": ({"text": amended(new="利用料は第99条のとおりです。")}, "条項の引用に、直すところが"),
    "a known code": ({"code": "2025-04-01"}, "という版がすでにあります"),
    "short notice": ({"effective_date": date(2026, 9, 20)}, "6日しかありません"),
    "no file": ({"file": "nowhere.txt"}, "ファイルを読めません"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_the_state_of_the_run_and_nobody_is_asked(office, case):
    changes, said = REFUSALS[case]
    state = office.start(**changes).result(timeout=60)
    assert (state.type.value, said in state.message) == ("FAILED", True), state.message
    office.nothing_is_left()


def test_mails_that_cannot_leave_in_time_are_refused_before_anybody_is_asked(office):
    for _ in range(3):
        office.world.waits()
    object.__setattr__(office.world.services.office.terms, "other_per_second", 0.000001)
    state = office.start().result(timeout=60)
    assert "間に合いません" in state.message
    office.nothing_is_left()


def test_what_is_left_makes_the_run_fail_and_the_same_form_finishes_it_without_asking(office):
    for _ in range(3):
        office.world.waits()
    office.mailbox.state.faults.order({"at": "MAIL", "kind": "421", "times": None, "after": 1})
    state = office.goes()
    assert state.type.value == "FAILED"
    assert "2 of 3 notices not sent: 2 waiting: run again" in state.message
    office.mailbox.state.faults.clear()
    office.world.clock.forward(hours=1)
    again = office.start().result(timeout=60)
    assert again.type.value == "COMPLETED", again.message
    assert len({mail.message_id for mail in office.mailbox.state.entries()}) == 3


def test_a_retry_of_the_same_run_twice_tells_nobody_twice(office):
    for _ in range(2):
        office.world.waits()
    assert office.goes().type.value == "COMPLETED"
    for _ in range(2):
        assert office.start().result(timeout=60).type.value == "FAILED"
    assert len(office.mailbox.state.entries()) == 2
    assert office.world.world.count(Notice) == 2


def test_a_withdrawal_is_shown_approved_published_and_told(office):
    world = office.world
    for _ in range(2):
        world.waits()
    assert office.goes().type.value == "COMPLETED"
    world.clock.forward(days=1)
    future = office.start(withdraw_amendment)
    run = office.paused("withdraw-amendment")
    preview = office.artifact(run, "withdraw-amendment-preview")
    assert "お知らせする方 | 2名" in preview
    assert "内容を見直すため" in preview
    assert world.amendment().status == "announced"
    assert office.answer(run) == "ACCEPT"
    state = future.result(timeout=60)
    assert state.type.value == "COMPLETED", state.message
    assert world.amendment().status == "withdrawn"
    assert len(office.mailbox.state.entries()) == 4
    assert "取りやめ" in world.page(f"amendments/{CODE}")
    again = office.start(withdraw_amendment).result(timeout=60)
    assert again.type.value == "COMPLETED"
    assert len(office.mailbox.state.entries()) == 4
    other = office.start(withdraw_amendment, reason="ほかの理由").result(timeout=60)
    assert "すでに取り下げられています" in other.message


def test_a_no_to_a_withdrawal_changes_nothing(office):
    office.world.waits()
    assert office.goes().type.value == "COMPLETED"
    future = office.start(withdraw_amendment)
    assert office.answer(office.paused("withdraw-amendment"), answer="いいえ") == "ACCEPT"
    assert future.result(timeout=60).type.value == "FAILED"
    assert office.world.amendment().status == "announced"
    assert len(office.mailbox.state.entries()) == 1
    assert office.world.clock.now + timedelta(0) < office.world.amendment().effective_at


@pytest.mark.parametrize(("answer", "ends"), [("はい", "COMPLETED"), ("いいえ", "FAILED")])
def test_a_run_of_a_deployment_is_suspended_and_comes_back_from_its_top(office, answer, ends, monkeypatch):
    monkeypatch.chdir(ROOT)
    office.world.waits()
    entry = "flows/announce_amendment.py:announce_amendment"
    deployment = RunnerDeployment.from_entrypoint(entry, name=f"suspended-{answer}").apply()
    given = {
        name: value.isoformat() if isinstance(value, date) else value
        for name, value in office.parameters(announce_amendment, {}).items()
    }
    made = office.api.http.post(f"/deployments/{deployment}/create_flow_run", json={"parameters": given}).json()

    def process():
        """What a process of the runner does with the run."""
        with get_client(sync_client=True) as client:
            run = client.read_flow_run(made["id"])
        with suppress(Pause):
            asyncio.run(run_flow(announce_amendment, flow_run=run, return_type="state"))
        return office.api.http.get(f"/flow_runs/{made['id']}").json()

    run = process()
    assert (run["state"]["type"], run["state"]["name"]) == ("PAUSED", "Suspended")
    office.nothing_is_left()
    assert office.answer(run, answer=answer) == "ACCEPT"
    run = process()
    assert run["state"]["type"] == ends, run["state"]["message"]
    assert len(office.mailbox.state.entries()) == (ends == "COMPLETED")
    assert len([each for each in office.api.of_run("artifacts", run) if each["key"].endswith("-preview")]) == 1
    states = [row.state for row in sorted(office.world.world.rows(RunRecord), key=lambda row: row.state)]
    assert states == ["answered", ends.lower()]
    if ends == "FAILED":
        office.nothing_is_left()


def test_the_public_site_follows_midnight_and_says_when_it_cannot_be_built(office):
    world = office.world
    world.announce()
    asked = {"as_of": world.clock.now}

    def publish():
        return asyncio.run(publish_terms(**asked, return_state=True))

    before = world.page("")
    assert publish().type.value == "COMPLETED"
    assert world.page("") == before, "nothing has changed, nothing is written"
    asked["as_of"] = world.amendment().effective_at
    state = publish()
    assert (state.type.value, "site_changed 1" in state.message) == ("COMPLETED", True)
    assert "一切" not in before
    assert "一切" in world.page("")
    world.without_site()
    use_services(world.services)
    failed = publish()
    assert failed.type.value == "FAILED"
    said = office.artifact({"id": str(failed.state_details.flow_run_id)}, "publish-terms")
    assert "MADOGUCHI_SITE_DIR" in said
