"""What `madoguchi up` decides about the web part before it starts: port, password, secret; what `check` says of it."""

import socket
import stat

import pytest

from config.settings import PrefectSettings, Settings, WebSettings, ZoomSettings
from madoguchi.adapters.event_spool import EventSpool
from madoguchi.adapters.prefect_server import free_port
from madoguchi.commands import check
from madoguchi.commands.web_part import WebPart, WebPartError


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(**changes):
        given = {"mode": "sandbox", "var_dir": tmp_path, "web": WebSettings(port=free_port())} | changes
        return Settings(_env_file=None, **given)

    return make


def part(settings):
    return WebPart(settings, settings.var_dir / "web.log")


def test_the_sandbox_draws_a_password_once_and_only_its_owner_may_read_it(settings, tmp_path):
    first, second = part(settings()), part(settings())
    password = (tmp_path / "web-password").read_text().strip()
    assert len(password) >= 16
    assert stat.S_IMODE((tmp_path / "web-password").stat().st_mode) == 0o600
    assert f"password {password}" in first.lines()[0]
    assert f"password {password}" in second.lines()[0]


def test_a_password_that_is_set_is_used_and_not_shown(settings, tmp_path):
    found = part(settings(web=WebSettings(port=free_port(), password="a-password-of-ours")))
    assert "a-password-of-ours" not in "".join(found.lines())
    assert not (tmp_path / "web-password").exists()


def test_live_mode_draws_nothing_and_says_what_is_shut(settings, tmp_path):
    day, terms, hooks = part(settings(mode="live")).lines()
    assert "/terms/" in terms
    assert "MADOGUCHI_WEB__PASSWORD" in day
    assert "MADOGUCHI_ZOOM__WEBHOOK_SECRET" in hooks
    assert not (tmp_path / "web-password").exists()


def test_a_taken_port_is_replaced_in_the_sandbox_and_named_in_live_mode(settings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        web = WebSettings(port=port)
        assert not part(settings(web=web)).url.endswith(f":{port}")
        with pytest.raises(WebPartError, match=f"port {port} .* MADOGUCHI_WEB__PORT"):
            part(settings(web=web, mode="live"))


@pytest.mark.parametrize(
    ("changes", "secret", "password"),
    [
        ({}, True, True),
        ({"mode": "live"}, None, None),
        ({"mode": "live", "zoom": ZoomSettings(webhook_secret="a-real-secret")}, True, None),
        ({"mode": "live", "web": WebSettings(password="a-real-password")}, None, True),
    ],
)
def test_the_check_says_which_door_is_shut_and_how_to_open_it(settings, changes, secret, password):
    hooks, day = check._web(settings(**changes))
    assert (hooks.ok, day.ok) == (secret, password)
    assert bool(hooks.remedy) is (secret is None)
    assert bool(day.remedy) is (password is None)
    assert "a-real" not in f"{hooks}{day}"


def test_the_check_counts_what_was_set_aside(settings, tmp_path):
    spool = EventSpool(tmp_path / "webhooks")
    name = spool.new_name()
    spool.put(name, b"torn")
    spool.set_aside(name)
    assert "webhooks set aside: 1" in [line.item for line in check._web(settings())]


@pytest.mark.parametrize(
    ("host", "given", "says", "ok"),
    [
        ("127.0.0.1", {}, "this machine only", True),
        ("127.0.0.1", {"PREFECT_SERVER_API_AUTH_STRING": "office:a-long-password"}, "with a password", True),
        ("0.0.0.0", {"PREFECT_SERVER_API_AUTH_STRING": "office:a-long-password"}, "reachable from elsewhere", None),
    ],
)
def test_the_check_says_who_reaches_the_dashboard(settings, host, given, says, ok):
    door, telemetry = check._dashboard(settings(prefect=PrefectSettings(host=host)), given)
    assert (door.ok, says in door.item) == (ok, True)
    assert "a-long-password" not in f"{door}"
    assert (telemetry.ok, telemetry.item) == (True, "Prefect's telemetry: off")


@pytest.mark.parametrize("given", [{"PREFECT_SERVER_ANALYTICS_ENABLED": "true"}, {"DO_NOT_TRACK": "0"}])
def test_the_check_forbids_to_report_about_the_office(settings, given):
    *_, telemetry = check._dashboard(settings(), given)
    assert telemetry.ok is False
    assert next(iter(given)) in telemetry.item
