from datetime import UTC, datetime

import pytest

from config.settings import SettingsError
from madoguchi.adapters.zoom_errors import ZoomConfigError
from tasks import steps
from tasks.steps import StepError, codes_only, new_run
from tasks.wiring import use_services
from tests.world import AS_OF, World, jst


@codes_only
def broken(error):
    raise error


def test_an_unexpected_error_leaves_with_type_and_place_and_without_its_text(caplog):
    with pytest.raises(StepError) as caught:
        broken(KeyError("架空 七海 nanami@example.jp"))
    assert "KeyError at test_steps.py:" in str(caught.value)
    assert "nanami" not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "error", [SettingsError(["MADOGUCHI_MODE: unknown; set it"]), ZoomConfigError("ZOOM_SCOPE_MISSING")]
)
def test_an_error_that_says_what_to_do_keeps_its_words(error):
    with pytest.raises(StepError, match=str(error)):
        broken(error)


def test_a_step_error_is_not_wrapped_again():
    with pytest.raises(StepError, match=r"^once$"):
        broken(StepError("once"))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, AS_OF),
        (datetime(2026, 9, 15, 9, 0), jst("2026-09-15 09:00")),  # noqa: DTZ001 — the dashboard's form has no zone
        (datetime(2026, 9, 15, tzinfo=UTC), jst("2026-09-15 09:00")),
    ],
)
def test_business_time_is_now_or_as_given_and_naive_means_japan(database, given, meant):
    use_services(World(database).services)
    try:
        run = new_run("process-requests", given, "run-id")
    finally:
        use_services(None)
    assert (run.as_of, run.started_at, run.prefect_run) == (meant, AS_OF, "run-id")


def test_no_step_keeps_a_result_or_a_cache():
    names = ("receive_exports", "release_expired_holds", "schedule_requests", "create_meetings", "deliver_messages")
    for name in names:
        step = getattr(steps, name)
        assert step.persist_result is False
        assert type(step.cache_policy).__name__ == "_None"
