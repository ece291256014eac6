"""kill -9 on the day of the sessions (reminders, sweep, cancellation, move, night), then the same command again.

docs/chaos.md; every moment on both databases and random ones: test_chaos.py. The webhooks that the sweep takes in were
answered by a web part that was killed before it could bring them into the record (`day_rehearsal.play_the_morning`).
"""

import pytest

from tests.e2e.day_rehearsal import Day
from tests.e2e.moments import DAY_MOMENTS, check_day_moment

pytestmark = [pytest.mark.prefect, pytest.mark.slow]


@pytest.fixture(scope="module")
def day(tmp_path_factory, sqlite_template, prefect_url):
    with Day(tmp_path_factory.mktemp("day"), prefect_url, template=sqlite_template).prepared() as made:
        yield made


@pytest.mark.parametrize("name", [name for name, moment in DAY_MOMENTS.items() if moment.quick])
def test_the_same_command_again_finishes_what_a_kill_has_left(name, day, tmp_path):
    check_day_moment(day, DAY_MOMENTS[name], tmp_path / "office")
