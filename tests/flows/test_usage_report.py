"""The report of a month as an operator has it: by one command, with its files and its artifact; or with why not."""

import json

import pytest
from prefect.exceptions import ParameterTypeError

from flows.usage_report import usage_report
from tests.e2e.conftest import prefect_url  # noqa: F401 — a fixture
from tests.e2e.rehearsal import sqlite_rehearsal
from tests.e2e.test_flows import Api, run_record


@pytest.mark.parametrize("month", ["2026-9", "2026-13", "架空 七海", "09-2026", "2026-09-01"])
def test_what_is_no_month_never_gets_into_prefect(month):
    with pytest.raises(ParameterTypeError, match="month"):
        usage_report.validate_parameters({"month": month})


@pytest.mark.parametrize("month", ["", "2026-09", "2031-12"])
def test_a_month_or_nothing_is_taken(month):
    assert usage_report.validate_parameters({"month": month})["month"] == month


@pytest.mark.prefect
@pytest.mark.slow
def test_one_command_makes_the_report_and_one_for_a_month_that_goes_on_fails(tmp_path, sqlite_template, prefect_url):  # noqa: F811 — the fixture above
    api = Api(prefect_url)
    with sqlite_rehearsal(tmp_path / "office", sqlite_template, prefect_url) as office:
        ran = office.madoguchi("run", "usage-report", "--as-of", "2026-09-14T10:00:00+09:00", "--json")
        assert (ran.returncode, json.loads(ran.stdout)["counts"]) == (0, {"reports_written": 1}), ran.stderr
        files = sorted(path.name for path in (tmp_path / "office").rglob("usage-*"))
        assert files == ["usage-2026-08.csv", "usage-2026-08.html"]
        run, artifact, _ = run_record(api, "usage-report")
        assert run["state_type"] == "COMPLETED"
        assert "usage-2026-08.html" in artifact["data"]
        early = office.madoguchi(
            "run", "usage-report", "--set", "month=2026-09", "--as-of", "2026-09-14T10:00:00+09:00", "--json"
        )
        assert (early.returncode, json.loads(early.stdout)["incomplete"]) == (
            1,
            [{"reference": "2026-09", "reason": "MONTH_NOT_OVER"}],
        )
    api.http.close()
