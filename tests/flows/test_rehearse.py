"""A rehearsal of each flow, with a real Prefect server: it shows what the real run then does, and touches nothing."""

import gc
import inspect
import json
import re
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlalchemy import select

from config.settings import ROOT
from flows.deployments import list_deployments
from madoguchi.commands.run import flow_function
from madoguchi.sandbox.mailbox_server import running_mailbox
from madoguchi.sandbox.zoom_server import running_zoom
from madoguchi.store.database import Database
from madoguchi.store.models import Alarm, OutboxMessage, VerdictRecord
from tasks.rehearsal import rehearsed
from tasks.wiring import services, use_services
from tests.e2e.conftest import prefect_url  # noqa: F401 — a fixture
from tests.e2e.rerun_scenes import SCENES, scene
from tests.e2e.test_flows import Api
from tests.world import shipped_office

pytestmark = [
    # Prefect leaves the sockets of its own client to the garbage collector; our own are watched in the other rooms.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PERSONAL = re.compile("見本|架空|例示|mihon|kakuu|nanami|9999[09]|0900000|https://zoom|@example.(jp|com)")
DEPLOYED = sorted({entry.flow for entry in list_deployments(shipped_office())})


@pytest.mark.parametrize("flow", DEPLOYED)
def test_every_deployed_flow_can_be_rehearsed_and_says_so_on_its_form(flow):
    function = flow_function(flow)
    parameter = inspect.signature(function.fn).parameters["rehearse"]
    assert parameter.default is False
    assert "予行" in function.parameters.model_dump()["properties"]["rehearse"]["description"]
    source = inspect.getsource(inspect.getmodule(inspect.unwrap(function.fn)))
    assert "@rehearsable\nasync def" in source, "directly under @flow"
    assert "rehearse=rehearse" in source, "begin() refuses a rehearsal on the real services"


def test_no_page_of_a_run_goes_past_the_rehearsal():
    allowed = {"artifacts.py", "rehearsal.py"}
    found = [
        path.name
        for folder in ("tasks", "flows")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"create_(markdown|table|link|image)_artifact", path.read_text(encoding="utf-8"))
    ]
    assert set(found) <= allowed


def test_services_are_asked_for_in_the_shells_only_and_never_in_a_thread_of_a_step():
    shells = re.compile(r"steps|reporting|reports|wiring|rehearsal|leftovers|artifacts")
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tasks").glob("*.py")}
    found = [
        path.name
        for path, text in texts.items()
        if re.search(r"(?<!\w)services\(\)", text) and not shells.search(path.stem) and "@task(" not in text
    ]
    assert found == []


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stand-ins")
    with running_zoom(folder / "zoom.db") as zoom, running_mailbox(folder / "mailbox") as mailbox:
        yield zoom, mailbox


@pytest.fixture(scope="module")
def prefect(prefect_url):  # noqa: F811 — the fixture above
    api = Api(prefect_url)
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        yield api
    api.http.close()


@pytest.fixture
def make(tmp_path, stand_ins, sqlite_template, prefect):
    """Build a scene on SQLite and put its services in place."""
    opened = []

    def build(name, database=None):
        if database is None:
            (tmp_path / "record.db").write_bytes(sqlite_template.read_bytes())
            database = Database(f"sqlite:///{tmp_path / 'record.db'}")
            opened.append(database)
        with scene(name, database, tmp_path / "office", stand_ins) as made:
            use_services(made.services)
            return made

    yield build
    use_services(None)
    for database in opened:
        database.close()
    APILogWorker.drain_all(timeout=5)
    EventsWorker.drain_all(timeout=5)
    # Here, where it is allowed for: not in the next file that this worker runs.
    gc.collect()


async def play(made, **more):
    return await made.function(**made.form, **more, return_state=True)


def messages_of(made):
    with made.services.database.read() as session:
        return {row.id: (row.kind, row.status) for row in session.scalars(select(OutboxMessage))}


def verdicts_of(made):
    with made.services.database.read() as session:
        return {row.id: (row.verdict, row.number, tuple(row.reasons)) for row in session.scalars(select(VerdictRecord))}


def new(before, after):
    return Counter(value for key, value in after.items() if before.get(key) != value)


def check(made, run_of):
    """Rehearse, look that nothing has moved, run, and compare."""
    before = made.untouched()
    shown_state = run_of(made, rehearse=True)
    after = made.untouched()
    assert {name for name in before if before[name] != after[name]} == set()
    assert not any(path.name.startswith("rehearsal-") for path in (made.folder / "rehearsal").iterdir())
    assert services() is made.services, "a rehearsal is over when it is over"
    assert (shown_state.type.value, shown_state.message[:2]) == ("COMPLETED", "予行")
    shown = rehearsed(str(shown_state.state_details.flow_run_id))

    mails, verdicts = messages_of(made), verdicts_of(made)
    at_zoom = [gone for _, _, gone, _ in made.zoom.state.everything()]
    state = run_of(made)
    assert Counter((mail["kind"], mail["state"]) for mail in shown.mails) == new(mails, messages_of(made))
    assert Counter((v["verdict"], v["number"], tuple(v["reasons"])) for v in shown.verdicts) == new(
        verdicts, verdicts_of(made)
    )
    now = [gone for _, _, gone, _ in made.zoom.state.everything()]
    actions = Counter(change["action"] for change in shown.meetings)
    assert actions["create"] == len(now) - len(at_zoom)
    assert actions["delete"] == sum(now) - sum(at_zoom)
    assert shown.state == state.type.value.lower()
    [record] = [run for run in made.runs() if run.prefect_run == str(state.state_details.flow_run_id)]
    assert shown.counts == record.counts
    return shown_state, shown


def in_this_process(made, **more):
    import asyncio

    return asyncio.run(play(made, **more))


OFTEN = {
    "process-requests",
    "send-reminders",
    "sweep-no-shows",
    "reconcile-zoom",
    "cancel-booking",
    "announce-amendment",
}
"""In every run of the tests; the other flows with `make chaos`."""


@pytest.mark.prefect
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.chaos) for name in SCENES]
)
def test_what_a_rehearsal_shows_is_what_the_run_then_does_and_nothing_is_touched(name, make, prefect):
    made = make(name)
    state, shown = check(made, in_this_process)
    run = prefect.http.get(f"/flow_runs/{state.state_details.flow_run_id}").json()
    assert "予行" in run["name"]
    # The page follows the run within a moment.
    artifacts = prefect.of_run("artifacts", run)
    assert {each["key"] for each in artifacts} == {"rehearsal"}, "no false news under the flow's own name"
    assert not PERSONAL.search(json.dumps([run, artifacts, shown.to_json()], ensure_ascii=False))


@pytest.mark.prefect
@pytest.mark.slow
@pytest.mark.parametrize("flow", ["watch", "tell-alarms", "retain-records", "usage-report"])
def test_a_rehearsal_of_what_looks_tells_and_tidies_touches_nothing_either(flow, make, prefect):
    made = make("send-reminders")
    told = []
    channel = SimpleNamespace(name="test", tell=lambda news, at: told.append(news))
    made.services = replace(made.services, alarm_channels=(channel,), reports_dir=made.folder / "reports")
    use_services(made.services)
    with made.services.database.write() as session:
        session.add(
            Alarm(
                office=made.services.office.code, code="UNSENT", subject="a", severity="urgent", touched=[], details={},
                first_seen_at=made.clock.now, last_seen_at=made.clock.now, told={},
            )
        )  # fmt: skip
    made.flow, made.form = flow, {}
    before = made.untouched()
    state = in_this_process(made, rehearse=True)
    after = made.untouched()
    assert {name for name in before if before[name] != after[name]} == set()
    assert (state.type.value, state.message[:2], told) == ("COMPLETED", "予行", [])
