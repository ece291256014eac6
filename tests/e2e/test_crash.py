"""kill -9 of a running `process-requests` at exact moments, then a rerun: nothing lost, nothing twice.

docs/chaos.md; all eighteen moments, on PostgreSQL too, and random ones: test_chaos.py.
"""

import pytest

from tests.e2e.moments import MOMENTS, QUICK, check_moment
from tests.e2e.rehearsal import sqlite_rehearsal

pytestmark = [pytest.mark.prefect, pytest.mark.slow]


@pytest.mark.parametrize("name", QUICK)
def test_a_rerun_finishes_what_a_kill_has_left(name, tmp_path, sqlite_template, prefect_url, undisturbed):
    with sqlite_rehearsal(tmp_path / "office", sqlite_template, prefect_url) as office:
        check_moment(office, MOMENTS[name], undisturbed)
