"""reconcile-zoom as the Prefect server sees it: what somebody did in Zoom's pages is put right, told and shown."""

import json

import pytest

from madoguchi.sandbox.zoom_remote import ZoomRemote
from tests.e2e.rehearsal import GOOGLE, sqlite_rehearsal
from tests.e2e.test_flows import Api, counts_of, run_record

pytestmark = [pytest.mark.prefect, pytest.mark.slow]

NIGHT = "2026-09-14T19:30:00+09:00"


@pytest.fixture(scope="module")
def api(prefect_url):
    client = Api(prefect_url)
    yield client
    client.http.close()


@pytest.fixture
def office(tmp_path, sqlite_template, prefect_url):
    with sqlite_rehearsal(tmp_path / "office", sqlite_template, prefect_url) as made:
        yield made


def night(office, *more):
    return office.madoguchi("run", "reconcile-zoom", "--as-of", NIGHT, "--json", *more)


def test_a_night_after_somebody_worked_in_zooms_pages(office, api):
    assert office.process(GOOGLE, "google").returncode in {0, 1}
    with ZoomRemote(office.zoom.url) as remote:
        gone, drifted, *_ = [meeting for meeting in remote.meetings() if not meeting["deleted"]]
        remote.vanish(str(gone["id"]))
        remote.drift(str(drifted["id"]), {"auto_recording": "cloud"})
        before = len(office.mailbox.state.entries())

        done = night(office)
        assert done.returncode == 0, done.stderr
        run, artifact, tasks = run_record(api, "reconcile-zoom")
        assert (run["state_type"], len(tasks)) == ("COMPLETED", 6)
        counts = counts_of(artifact["data"])
        assert (counts["照らし合わせた予約"], counts["違いがあったもの"], counts["直した"]) == (21, 2, 2)
        assert (counts["作り直したミーティング"], counts["送信した"]) == (1, 1)
        assert "ミーティングがZoomから消えていた" in artifact["data"]
        assert "設定（録画・待機室など）が変わっていた（auto_recording）" in artifact["data"]
        assert len(office.mailbox.state.entries()) == before + 1

        again = json.loads(night(office).stdout)
        assert (again["counts"]["differences"], again["counts"]["messages_sent"]) == (0, 0)
        assert len(office.mailbox.state.entries()) == before + 1

        remote.drift(str(drifted["id"]), {"auto_recording": "cloud"})
        remote.lock(["auto_recording"])
        assert night(office).returncode == 1
        run, artifact, _ = run_record(api, "reconcile-zoom")
        assert run["state_type"] == "FAILED"
        hosts = len({meeting["host"] for meeting in remote.meetings()})
        assert f"1 of {21 + hosts} meetings and hosts not kept true: M-" in run["state"]["message"]
        assert "職員" in artifact["data"] or "済んでいません" in artifact["data"]
