"""A broken step and a rerun, a few by hand in each way; every flow and step: `python -m tests.e2e.rerun_table`."""

import gc

import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from flows.deployments import list_deployments
from tests.e2e.rerun_scenes import SCENES
from tests.e2e.rerun_table import FIRST, LAST, STAFF, WAYS, bench
from tests.world import shipped_office

pytestmark = [
    # Prefect leaves the sockets of its own client to the garbage collector; our own are watched in the other rooms.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
QUICK = [
    ("process-requests", "create meetings", FIRST, "Retry"),
    ("cancel-booking", "cancel booking", LAST, "flow-run retry"),
    ("sweep-no-shows", "observe", FIRST, "new run"),
    ("record-notice", "record notice", LAST, "madoguchi run"),
]


@pytest.fixture(scope="module")
def played(prefect_url):
    with bench(prefect_url) as made:
        yield made


@pytest.fixture(autouse=True)
def _let_go():
    yield
    APILogWorker.drain_all(timeout=5)
    EventsWorker.drain_all(timeout=5)
    gc.collect()


@pytest.mark.prefect
@pytest.mark.slow
@pytest.mark.parametrize(("flow", "step", "fault", "way"), QUICK, ids=lambda value: str(value).replace(" ", "-"))
def test_a_rerun_does_what_is_left_and_nothing_twice(played, flow, step, fault, way):
    [case] = [case for case in played.cases(flow) if case[:2] == (step, fault)]
    assert played.play(flow, case, way) in ([], [STAFF])


@pytest.mark.prefect
@pytest.mark.chaos
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("flow", SCENES)
def test_every_step_of_every_flow_in_every_way(played, flow, way):
    wrong = {
        case[:2]: found for case in played.cases(flow) if (found := played.play(flow, case, way)) not in ([], [STAFF])
    }
    assert wrong == {}


OWN_TESTS = {"watch", "tell-alarms", "retain-records", "usage-report", "set-hold", "record-disclosure"}
"""They make no mail, meeting or verdict of a person's session; their own tests run them twice."""


def test_every_deployed_flow_has_its_scene():
    assert {entry.flow for entry in list_deployments(shipped_office())} <= {*SCENES, *OWN_TESTS}
