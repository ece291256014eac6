"""Every refusal and failure, sorted; Zoom is a table here."""

import json
import pickle
import ssl
from datetime import UTC, datetime

import httpx
import pytest

from madoguchi.adapters.zoom import ZoomClient
from madoguchi.adapters.zoom_errors import (
    ZoomAmbiguous,
    ZoomBudgetSpent,
    ZoomConfigError,
    ZoomError,
    ZoomHostBudgetSpent,
    ZoomMeetingGone,
    ZoomRejected,
    ZoomRetryable,
    ZoomTokenRefused,
    ZoomTooFast,
)
from madoguchi.adapters.zoom_http import follow_api_url, require_safe_url
from tests.sandbox.zoom_help import NOW, Waits, plan

TOKEN = {"access_token": "secret-token", "token_type": "bearer", "expires_in": 3599, "scope": ""}
HOST = "host-1@example.jp"
HOST_DAY = "You have exceeded the daily rate limit (100) of Meeting Create/Update API requests permitted for this particular user. You may resume these requests at GMT 00:00:00."  # noqa: E501 — one message
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)


class FakeZoom:
    """Answers tokens, then one thing for ever; notes what was asked."""

    def __init__(self, answer: httpx.Response | httpx.HTTPError, *, token: httpx.Response | None = None) -> None:
        self.answer = answer
        self.token = token or httpx.Response(200, json=TOKEN)
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        is_token = request.url.path == "/oauth/token"
        self.asked.append("token" if is_token else request.method)
        if is_token:
            return _copy(self.token)
        if isinstance(self.answer, httpx.HTTPError):
            raise self.answer
        return _copy(self.answer)


def _copy(answer: httpx.Response) -> httpx.Response:
    return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)


def client_with(fake: FakeZoom, waits: Waits | None = None) -> ZoomClient:
    return ZoomClient(
        "https://zoom.us/oauth/token",
        "https://api.zoom.us/v2",
        "account",
        "client",
        "secret",
        http=httpx.Client(transport=httpx.MockTransport(fake)),
        clock=lambda: NOW,
        sleep=waits if waits is not None else Waits(),
        create_per_second=1e6,
        read_per_second=1e6,
    )


def refusal(status: int, code: int, message: str = "m", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "message": message}, headers=headers)


REFUSALS = [
    (refusal(400, 300), ZoomRejected, "ZOOM_VALIDATION"),
    (refusal(400, 200), ZoomConfigError, "ZOOM_PLAN_OR_PERMISSION"),
    (refusal(404, 1001), ZoomConfigError, "ZOOM_HOST_UNKNOWN"),
    (refusal(400, 1010), ZoomConfigError, "ZOOM_HOST_UNKNOWN"),
    (refusal(400, 1120), ZoomConfigError, "ZOOM_HOST_PENDING"),
    (refusal(403, 2306), ZoomConfigError, "ZOOM_LISTING_FORBIDDEN"),
    (refusal(400, 3000), ZoomRejected, "ZOOM_NO_ACCESS"),
    (refusal(404, 3001), ZoomMeetingGone, "ZOOM_MEETING_GONE"),
    (refusal(400, 3002), ZoomRejected, "ZOOM_MEETING_RUNNING"),
    (refusal(400, 3003), ZoomRejected, "ZOOM_NOT_THE_HOST"),
    (refusal(400, 3161), ZoomConfigError, "ZOOM_HOST_UNLICENSED"),
    (refusal(400, 4711), ZoomConfigError, "ZOOM_SCOPE_MISSING"),
    (refusal(401, 4700), ZoomConfigError, "ZOOM_SCOPE_MISSING"),
    (refusal(401, 124), ZoomTokenRefused, "ZOOM_TOKEN_REFUSED"),
    (httpx.Response(401), ZoomTokenRefused, "ZOOM_TOKEN_REFUSED"),
    (httpx.Response(404, text="<html>no such page</html>"), ZoomRejected, "ZOOM_HTTP_404"),
    (refusal(400, 3001), ZoomRejected, "ZOOM_HTTP_400"),
    (refusal(418, 9999), ZoomRejected, "ZOOM_HTTP_418"),
    (httpx.Response(400, json=["odd"]), ZoomRejected, "ZOOM_HTTP_400"),
    (httpx.Response(302, headers={"Location": "https://example.com/"}), ZoomConfigError, "ZOOM_REDIRECTED"),
    (httpx.Response(500), ZoomAmbiguous, "ZOOM_HTTP_500"),
    (httpx.Response(502, text="<html>"), ZoomAmbiguous, "ZOOM_HTTP_502"),
    (httpx.Response(503), ZoomAmbiguous, "ZOOM_HTTP_503"),
    (httpx.Response(408), ZoomAmbiguous, "ZOOM_HTTP_408"),
    (httpx.Response(201, text='{"id": 8'), ZoomAmbiguous, "ZOOM_UNREADABLE_ANSWER"),
    (httpx.Response(201, json={"topic": "no id"}), ZoomAmbiguous, "ZOOM_UNREADABLE_ANSWER"),
    (httpx.Response(201, json={"id": True}), ZoomAmbiguous, "ZOOM_UNREADABLE_ANSWER"),
    (httpx.Response(200, json=[]), ZoomAmbiguous, "ZOOM_UNREADABLE_ANSWER"),
    (refusal(429, 429, HOST_DAY), ZoomHostBudgetSpent, "ZOOM_HOST_BUDGET"),
    (refusal(429, 429, "maximum daily rate limit"), ZoomBudgetSpent, "ZOOM_DAILY_LIMIT"),
    (refusal(429, 429, "maximum per-second rate limit"), ZoomTooFast, "ZOOM_TOO_FAST"),
    (refusal(429, 4001, "maximum per-second rate limit"), ZoomTooFast, "ZOOM_TOO_FAST"),
    (httpx.Response(429, text="slow down"), ZoomTooFast, "ZOOM_TOO_FAST"),
]


@pytest.mark.parametrize(("answer", "kind", "code"), REFUSALS)
def test_what_a_refused_creation_means(answer, kind, code):
    with pytest.raises(ZoomError) as caught:
        client_with(FakeZoom(answer)).create_meeting(HOST, plan())
    assert type(caught.value) is kind
    assert caught.value.code == code


FAILURES = [
    (httpx.ConnectError("x"), ZoomRetryable, "ZOOM_UNREACHABLE"),
    (httpx.ConnectTimeout("x"), ZoomRetryable, "ZOOM_UNREACHABLE"),
    (httpx.PoolTimeout("x"), ZoomRetryable, "ZOOM_UNREACHABLE"),
    (httpx.ProxyError("x"), ZoomRetryable, "ZOOM_UNREACHABLE"),
    (httpx.UnsupportedProtocol("x"), ZoomConfigError, "ZOOM_ADDRESS"),
    (httpx.ReadTimeout("x"), ZoomAmbiguous, "ZOOM_TIMEOUT"),
    (httpx.WriteTimeout("x"), ZoomAmbiguous, "ZOOM_TIMEOUT"),
    (httpx.ReadError("x"), ZoomAmbiguous, "ZOOM_CONNECTION_LOST"),
    (httpx.WriteError("x"), ZoomAmbiguous, "ZOOM_CONNECTION_LOST"),
    (httpx.RemoteProtocolError("x"), ZoomAmbiguous, "ZOOM_CONNECTION_LOST"),
    (httpx.DecodingError("x"), ZoomAmbiguous, "ZOOM_CONNECTION_LOST"),
]


@pytest.mark.parametrize(("failure", "kind", "code"), FAILURES)
def test_what_a_failed_exchange_means_for_a_creation_and_that_it_is_tried_once(failure, kind, code):
    fake = FakeZoom(failure)
    with pytest.raises(ZoomError) as caught:
        client_with(fake).create_meeting(HOST, plan())
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert fake.asked.count("POST") == 1


@pytest.mark.parametrize(("failure", "kind", "code"), [row for row in FAILURES if row[1] is not ZoomConfigError])
def test_a_read_is_tried_three_times_and_never_ends_in_doubt(failure, kind, code):
    fake, waits = FakeZoom(failure), Waits()
    with pytest.raises(ZoomRetryable) as caught:
        client_with(fake, waits).get_meeting("81234567890")
    assert (type(caught.value), caught.value.code) == (ZoomRetryable, code)
    assert fake.asked.count("GET") == 3
    assert len(waits) == 2


def test_a_change_is_tried_once_because_it_costs_of_the_hosts_budget():
    fake = FakeZoom(httpx.Response(500))
    with pytest.raises(ZoomAmbiguous):
        client_with(fake).update_meeting("81234567890", plan())
    assert fake.asked.count("PATCH") == 1


def test_a_wrong_certificate_is_a_matter_for_a_person():
    failure = httpx.ConnectError("x")
    failure.__cause__ = ssl.SSLCertVerificationError("x")
    with pytest.raises(ZoomConfigError, match="ZOOM_CERTIFICATE"):
        client_with(FakeZoom(failure)).create_meeting(HOST, plan())


def test_per_second_limits_are_waited_out_four_times_with_one_to_two_seconds_between():
    fake, waits = FakeZoom(refusal(429, 429, "maximum per-second rate limit")), Waits()
    with pytest.raises(ZoomTooFast):
        client_with(fake, waits).create_meeting(HOST, plan())
    assert fake.asked.count("POST") == 4
    assert len(waits) == 3
    assert all(1.0 <= seconds <= 2.0 for seconds in waits)


@pytest.mark.parametrize(
    ("headers", "message", "until"),
    [
        ({}, HOST_DAY, MIDNIGHT),
        ({"Retry-After": "2026-11-24T00:00:00Z"}, "maximum daily rate limit", datetime(2026, 11, 24, tzinfo=UTC)),
        ({"Retry-After": "2026-11-24T00:00:00Z"}, "anything", datetime(2026, 11, 24, tzinfo=UTC)),
        ({"Retry-After": "Tue, 24 Nov 2026 00:00:00 GMT"}, "anything", datetime(2026, 11, 24, tzinfo=UTC)),
        ({"Retry-After": "3600"}, "anything", datetime(2026, 11, 22, 16, 30, tzinfo=UTC)),
        ({"X-RateLimit-Type": "Daily-limit"}, "anything", MIDNIGHT),
        ({"Retry-After": "soon"}, "maximum daily rate limit", MIDNIGHT),
    ],
)
def test_a_spent_budget_says_until_when(headers, message, until):
    answer = httpx.Response(429, json={"code": 429, "message": message}, headers=headers)
    with pytest.raises((ZoomHostBudgetSpent, ZoomBudgetSpent)) as caught:
        client_with(FakeZoom(answer)).create_meeting(HOST, plan())
    assert caught.value.until == until


def test_a_retry_after_of_a_few_seconds_is_waited_out():
    answer = httpx.Response(429, headers={"Retry-After": "2"})
    with pytest.raises(ZoomTooFast):
        client_with(FakeZoom(answer)).create_meeting(HOST, plan())


def test_a_refused_token_is_renewed_once_and_only_once():
    fake = FakeZoom(refusal(401, 124, "Access token is expired."))
    with pytest.raises(ZoomTokenRefused):
        client_with(fake).create_meeting(HOST, plan())
    assert fake.asked == ["token", "POST", "token", "POST"]


TOKEN_ANSWERS = [
    (httpx.Response(400, json={"reason": "Invalid client_id or client_secret", "error": "invalid_client"}),
     ZoomConfigError, "ZOOM_CREDENTIALS_REFUSED"),
    (httpx.Response(401, json={"reason": "x", "error": "invalid_client"}), ZoomConfigError, "ZOOM_CREDENTIALS_REFUSED"),
    (httpx.Response(400, json={"reason": "x", "error": "unsupported_grant_type"}), ZoomConfigError,
     "ZOOM_CREDENTIALS_REFUSED"),
    (httpx.Response(500), ZoomRetryable, "ZOOM_HTTP_500"),
    (httpx.Response(429), ZoomTooFast, "ZOOM_TOO_FAST"),
    (httpx.Response(200, text="<html>"), ZoomRetryable, "ZOOM_UNREADABLE_ANSWER"),
    (httpx.Response(200, json={"access_token": ""}), ZoomRetryable, "ZOOM_UNREADABLE_ANSWER"),
    (httpx.Response(200, json={"access_token": "a\nb"}), ZoomRetryable, "ZOOM_UNREADABLE_ANSWER"),
    (httpx.Response(200, json=[1]), ZoomRetryable, "ZOOM_UNREADABLE_ANSWER"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "kind", "code"), TOKEN_ANSWERS)
def test_no_token_means_that_nothing_was_asked(answer, kind, code):
    fake = FakeZoom(httpx.Response(201, json={"id": 1}), token=answer)
    with pytest.raises(ZoomError) as caught:
        client_with(fake).create_meeting(HOST, plan())
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert set(fake.asked) == {"token"}
    # The access check says the same in words instead of raising.
    (line,) = client_with(FakeZoom(httpx.Response(500), token=answer)).check_access([HOST])
    assert not line.ok
    assert code in line.remedy


def test_an_error_survives_the_way_between_processes():
    spent = ZoomHostBudgetSpent("ZOOM_HOST_BUDGET", until=MIDNIGHT, operation="create", tracking_id="v=2.0;rid=1")
    rejected = ZoomRejected("ZOOM_VALIDATION", operation="create", fields=("start_time",))
    for error in (spent, rejected):
        back = pickle.loads(pickle.dumps(error))
        assert (type(back), str(back), back.__dict__) == (type(error), str(error), error.__dict__)


def test_an_error_names_code_operation_and_tracking_id_and_nothing_that_was_sent():
    body = {
        "code": 300,
        "message": f"{HOST} abcd2345",
        "errors": [{"field": "settings.waiting_room", "message": HOST}, {"field": f"<{HOST}>", "message": "x"}],
    }
    answer = httpx.Response(400, content=json.dumps(body), headers={"x-zm-trackingid": "v=2.0;rid=WEB_1 \x01<b>"})
    with pytest.raises(ZoomRejected) as caught:
        client_with(FakeZoom(answer)).create_meeting(HOST, plan())
    error = caught.value
    assert str(error) == "ZOOM_VALIDATION create v=2.0;rid=WEB_1b"
    assert error.fields == ("settings.waiting_room",)
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__


def test_a_failed_exchange_does_not_drag_the_address_along():
    with pytest.raises(ZoomAmbiguous) as caught:
        client_with(FakeZoom(httpx.ReadTimeout("https://api.zoom.us/v2/users/host-1@example.jp"))).create_meeting(
            HOST, plan()
        )
    assert caught.value.__suppress_context__
    assert "host-1" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://api.zoom.us/v2", "http://10.0.0.1/v2", "ftp://localhost", "https://", "", "https://u:p@zoom.us", "http://[x"],
)  # fmt: skip
def test_an_address_without_tls_elsewhere_than_this_machine_is_refused(url):
    with pytest.raises(ZoomConfigError, match="ZOOM_ADDRESS"):
        require_safe_url(url, "api_url")


def test_missing_credentials_are_a_matter_for_a_person():
    with pytest.raises(ZoomConfigError, match="ZOOM_CREDENTIALS_MISSING"):
        ZoomClient("https://zoom.us/oauth/token", "https://api.zoom.us/v2", "a", "", "s", clock=lambda: NOW)


@pytest.mark.parametrize(
    ("configured", "offered", "used"),
    [
        ("https://api.zoom.us/v2", "https://api-eu.zoom.us", "https://api-eu.zoom.us/v2"),
        ("https://api.zoom.us/v2", "", "https://api.zoom.us/v2"),
        ("https://api.zoom.us/v2", "http://api-eu.zoom.us", "https://api.zoom.us/v2"),
        ("https://api.zoom.us/v2", "https://zoom.us.example.com", "https://api.zoom.us/v2"),
        ("https://api.zoom.us/v2", "https://zoom.us@example.com", "https://api.zoom.us/v2"),
        ("https://api.zoom.us/v2", "https://evilzoom.us", "https://api.zoom.us/v2"),
        ("https://api.zoom.us/v2", "https://[x", "https://api.zoom.us/v2"),
        ("http://127.0.0.1:8090/v2", "https://api.zoom.us", "http://127.0.0.1:8090/v2"),
        ("http://127.0.0.1:8090/v2", "http://127.0.0.1:8090", "http://127.0.0.1:8090/v2"),
        ("http://127.0.0.1:8090/v2", "http://127.0.0.1:9999", "http://127.0.0.1:8090/v2"),
    ],
)
def test_the_regional_address_is_followed_inside_zoom_only_and_never_out_of_a_rehearsal(configured, offered, used):
    assert follow_api_url(configured, offered) == used
