import os
import re

import pytest

from config.settings import ROOT, SANDBOX_KEY, Settings, SettingsError, load_settings
from madoguchi.domain.this_machine import is_loopback

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
LIVE = {
    "MODE": "live",
    "ENCRYPTION_KEYS": KEY,
    "ZOOM__ACCOUNT_ID": "account-of-an-office",
    "ZOOM__CLIENT_ID": "client-of-an-office",
    "ZOOM__CLIENT_SECRET": "a-real-secret",
    "SMTP__HOST": "relay.example.jp",
    "SMTP__PORT": "587",
    "SMTP__USER": "madoguchi",
    "SMTP__PASSWORD": "another-real-secret",
}

# name in the environment, a value, how the settings show it
NAMES = [
    ("MODE", "sandbox", lambda s: s.mode),
    ("VAR_DIR", "elsewhere", lambda s: str(s.var_dir)),
    ("DATABASE_URL", "sqlite:///other.db", lambda s: s.database_url),
    ("OFFICE_FILE", "office.toml", lambda s: str(s.office_file)),
    ("FORMS_DIR", "forms", lambda s: str(s.forms_dir)),
    ("TERMS_DIR", "terms", lambda s: str(s.terms_dir)),
    ("INBOX_DIR", "in", lambda s: str(s.inbox_dir)),
    ("SITE_DIR", "site", lambda s: str(s.site_dir)),
    ("ENCRYPTION_KEYS", KEY, lambda s: s.encryption_keys.get_secret_value()),
    ("ZOOM__TOKEN_URL", "https://zoom.example.jp/oauth/token", lambda s: s.zoom.token_url),
    ("ZOOM__API_URL", "https://zoom.example.jp/v2", lambda s: s.zoom.api_url),
    ("ZOOM__ACCOUNT_ID", "a", lambda s: s.zoom.account_id),
    ("ZOOM__CLIENT_ID", "c", lambda s: s.zoom.client_id),
    ("ZOOM__CLIENT_SECRET", "s", lambda s: s.zoom.client_secret.get_secret_value()),
    ("ZOOM__WEBHOOK_SECRET", "w", lambda s: s.zoom.webhook_secret.get_secret_value()),
    ("SMTP__HOST", "relay.example.jp", lambda s: s.smtp.host),
    ("SMTP__PORT", "465", lambda s: str(s.smtp.port)),
    ("SMTP__USER", "u", lambda s: s.smtp.user),
    ("SMTP__PASSWORD", "p", lambda s: s.smtp.password.get_secret_value()),
    ("SMTP__SECURITY", "tls", lambda s: s.smtp.security),
    ("SMTP__CA_FILE", "ca.pem", lambda s: str(s.smtp.ca_file)),
    ("SANDBOX__ZOOM_PORT", "5001", lambda s: str(s.sandbox.zoom_port)),
    ("SANDBOX__SMTP_PORT", "5002", lambda s: str(s.sandbox.smtp_port)),
    ("SANDBOX__MAILBOX_PORT", "5003", lambda s: str(s.sandbox.mailbox_port)),
    ("PREFECT__HOST", "0.0.0.0", lambda s: s.prefect.host),
    ("PREFECT__PORT", "4300", lambda s: str(s.prefect.port)),
    ("WEB__HOST", "127.0.0.2", lambda s: s.web.host),
    ("WEB__PORT", "4301", lambda s: str(s.web.port)),
    ("WEB__PASSWORD", "p", lambda s: s.web.password.get_secret_value()),
]


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    """No setting of this machine, and an empty folder, where a test may put its .env."""
    for name in list(os.environ):
        if name.upper().startswith(("MADOGUCHI_", "PREFECT_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def give(monkeypatch):
    def give(**values):
        for name, value in values.items():
            monkeypatch.setenv(f"MADOGUCHI_{name}", value)

    return give


@pytest.fixture
def live(give, tmp_path):
    """Everything that live mode wants."""
    text = (ROOT / "config" / "office.toml").read_text(encoding="utf-8")
    office = tmp_path / "office.toml"
    office.write_text(text.replace('telephone = ""', 'telephone = "047-111-2222"'), encoding="utf-8")
    give(**LIVE, OFFICE_FILE=str(office))


def problems():
    try:
        load_settings()
    except SettingsError as error:
        return error.problems
    return []


@pytest.mark.parametrize(("name", "value", "shown"), NAMES, ids=[row[0] for row in NAMES])
def test_each_setting_is_read_from_the_environment(give, name, value, shown):
    give(**{name: value})
    assert shown(Settings()) == value


def test_each_setting_is_read_from_the_env_file_and_the_environment_wins(give, tmp_path):
    lines = [f"MADOGUCHI_{name}={value}" for name, value, _ in NAMES]
    (tmp_path / ".env").write_text("\n".join([*lines, "OTHER=1"]), encoding="utf-8")
    settings = Settings()
    assert [shown(settings) for _, _, shown in NAMES] == [value for _, value, _ in NAMES]
    give(SMTP__HOST="another.example.jp")
    assert Settings().smtp.host == "another.example.jp"


def test_nothing_at_all_is_the_sandbox():
    settings = load_settings()
    assert settings.is_sandbox
    assert settings.uses_sandbox_zoom
    assert settings.uses_sandbox_mailbox
    assert settings.keys_text == SANDBOX_KEY
    assert settings.resolved_database_url == f"sqlite:///{ROOT / 'var' / 'madoguchi.db'}"
    assert settings.resolved_inbox_dir == ROOT / "var" / "inbox"
    assert settings.smtp_security() == "none"
    assert settings.office.telephone
    assert settings.secrets() == []


def test_empty_lines_of_the_example_file_are_as_good_as_none(tmp_path):
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    given = re.sub(r"(?m)^# (MADOGUCHI_ZOOM|MADOGUCHI_SMTP__(HOST|USER|PASSWORD)|MADOGUCHI_ENC)", r"\1", text)
    (tmp_path / ".env").write_text(given, encoding="utf-8")
    assert load_settings().uses_sandbox_zoom


def test_with_addresses_set_the_sandbox_uses_them_and_its_own_credentials(give):
    give(ZOOM__TOKEN_URL="http://127.0.0.1:9/oauth/token", ZOOM__API_URL="http://127.0.0.1:9/v2")
    give(SMTP__HOST="localhost", SMTP__PORT="2525")
    settings = load_settings()
    assert not settings.uses_sandbox_zoom
    assert not settings.uses_sandbox_mailbox
    assert settings.zoom_access()[2:] == ("sandbox-account", "sandbox-client", "sandbox-secret")
    assert settings.smtp_security() == "none"


def test_live_mode_starts_when_everything_is_there(live):
    settings = load_settings()
    assert not settings.uses_sandbox_zoom
    assert not settings.uses_sandbox_mailbox
    assert settings.zoom_access()[:2] == ("https://zoom.us/oauth/token", "https://api.zoom.us/v2")
    assert settings.smtp_security() == "starttls"
    assert sorted(settings.secrets()) == sorted(["a-real-secret", "another-real-secret", KEY])


@pytest.mark.parametrize(
    "name",
    [
        "ENCRYPTION_KEYS", "ZOOM__ACCOUNT_ID", "ZOOM__CLIENT_ID", "ZOOM__CLIENT_SECRET", "SMTP__HOST", "SMTP__PORT",
        "SMTP__USER", "SMTP__PASSWORD",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", ["", None])
def test_live_mode_refuses_what_is_missing_in_one_line_with_its_name(live, give, monkeypatch, name, value):
    if value is None:
        monkeypatch.delenv(f"MADOGUCHI_{name}")
    elif name == "SMTP__PORT":
        give(SMTP__PORT="0")
    else:
        give(**{name: " " * 3 if name != "ENCRYPTION_KEYS" else ""})
    [line] = problems()
    assert line.startswith(f"MADOGUCHI_{name}: ")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENCRYPTION_KEYS", SANDBOX_KEY), ("ENCRYPTION_KEYS", f"{KEY},{SANDBOX_KEY}"),
        ("ZOOM__ACCOUNT_ID", "sandbox-account"), ("ZOOM__CLIENT_ID", "sandbox-client"),
        ("ZOOM__CLIENT_SECRET", "sandbox-secret"), ("ZOOM__CLIENT_SECRET", "changeme"), ("SMTP__PASSWORD", "Password"),
        ("WEB__PASSWORD", "Change-Me"), ("WEB__PASSWORD", "eleven-char"), ("ZOOM__WEBHOOK_SECRET", "secret"),
        ("ZOOM__WEBHOOK_SECRET", "nine-char"),
    ],
)  # fmt: skip
def test_live_mode_refuses_what_everybody_knows_and_does_not_repeat_it(live, give, name, value):
    give(**{name: value})
    [line] = problems()
    assert line.startswith(f"MADOGUCHI_{name}: ")
    assert value not in line


def test_live_mode_starts_without_webhooks_and_without_the_day_list(live, give):
    give(ZOOM__WEBHOOK_SECRET="", WEB__PASSWORD="")
    assert problems() == []
    give(ZOOM__WEBHOOK_SECRET="a-real-webhook-secret", WEB__PASSWORD="a-real-password")
    settings = load_settings()
    assert {"a-real-webhook-secret", "a-real-password"} <= set(settings.secrets())


def test_live_mode_refuses_an_office_without_a_telephone_number(live, give):
    give(OFFICE_FILE=str(ROOT / "config" / "office.toml"))
    [line] = problems()
    assert "telephone is empty" in line
    assert "6(3)" in line


def test_live_mode_names_everything_at_once(give):
    give(MODE="live")
    assert len(problems()) >= 7


def test_a_relay_on_this_machine_needs_no_login(live, give, monkeypatch):
    give(SMTP__HOST="127.0.0.1", SMTP__PORT="25", SMTP__SECURITY="none")
    monkeypatch.delenv("MADOGUCHI_SMTP__USER")
    monkeypatch.delenv("MADOGUCHI_SMTP__PASSWORD")
    assert problems() == []


@pytest.mark.parametrize(
    ("values", "name", "remedy"),
    [
        ({"ZOOM__API_URL": "http://zoom.example.jp/v2"}, "MADOGUCHI_ZOOM__API_URL", "https"),
        ({"ZOOM__TOKEN_URL": "HTTP://zoom.example.jp/v2"}, "MADOGUCHI_ZOOM__TOKEN_URL", "https"),
        ({"ZOOM__API_URL": "http://127.0.0.1.example.jp/v2"}, "MADOGUCHI_ZOOM__API_URL", "https"),
        ({"ZOOM__API_URL": "ftp://zoom.example.jp"}, "MADOGUCHI_ZOOM__API_URL", "https://HOST"),
        ({"ZOOM__API_URL": "zoom.example.jp/v2"}, "MADOGUCHI_ZOOM__API_URL", "https://HOST"),
        ({"ZOOM__API_URL": "https://"}, "MADOGUCHI_ZOOM__API_URL", "https://HOST"),
        ({"ZOOM__API_URL": "https://[::1"}, "MADOGUCHI_ZOOM__API_URL", "https://HOST"),
        ({"ZOOM__API_URL": "https://zoom.example.jp:99999/v2"}, "MADOGUCHI_ZOOM__API_URL", "https://HOST"),
        ({"SMTP__SECURITY": "none", "SMTP__HOST": "relay.example.jp"}, "MADOGUCHI_SMTP__SECURITY", "starttls"),
        ({"SMTP__HOST": "localhost", "SMTP__PORT": "0"}, "MADOGUCHI_SMTP__PORT", "587"),
        ({"SMTP__CA_FILE": "nowhere.pem"}, "MADOGUCHI_SMTP__CA_FILE", "PEM"),
        ({"DATABASE_URL": "mysql://host/db"}, "MADOGUCHI_DATABASE_URL", "postgresql+psycopg://"),
        ({"DATABASE_URL": "madoguchi.db"}, "MADOGUCHI_DATABASE_URL", "sqlite:///"),
        ({"MODE": "production"}, "MADOGUCHI_MODE", "'sandbox' or 'live'"),
        ({"SMTP__PORT": "smtp"}, "MADOGUCHI_SMTP__PORT", "integer"),
        ({"SMTP__PORT": "70000"}, "MADOGUCHI_SMTP__PORT", "65535"),
        ({"SMTP__SECURITY": "ssl"}, "MADOGUCHI_SMTP__SECURITY", "'starttls'"),
        ({"PREFECT__PORT": "0"}, "MADOGUCHI_PREFECT__PORT", "1"),
        ({"SANDBOX__ZOOM_PORT": "-1"}, "MADOGUCHI_SANDBOX__ZOOM_PORT", "0"),
        ({"WEB__HOST": "0.0.0.0"}, "MADOGUCHI_WEB__HOST", "reverse proxy"),
        ({"WEB__HOST": "madoguchi.example.jp"}, "MADOGUCHI_WEB__HOST", "reverse proxy"),
        ({"WEB__PORT": "0"}, "MADOGUCHI_WEB__PORT", "1"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_any_mode_with_a_remedy(give, values, name, remedy):
    give(**({"SMTP__PORT": "587"} if "SMTP__HOST" in values and "SMTP__PORT" not in values else {}), **values)
    url = "MADOGUCHI_ZOOM__TOKEN_URL and MADOGUCHI_ZOOM__API_URL"
    [line] = [line for line in problems() if not line.startswith(url)]
    assert line.startswith(name)
    assert remedy in line


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "madoguchi.example.jp"])
def test_the_dashboard_is_for_this_machine_unless_it_has_a_password(give, monkeypatch, host):
    give(PREFECT__HOST=host)
    [line] = problems()
    assert line.startswith("MADOGUCHI_PREFECT__HOST: ")
    assert "PREFECT_SERVER_API_AUTH_STRING=NAME:PASSWORD" in line
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "office:a-long-password")
    assert problems() == []
    assert "a-long-password" in load_settings().secrets()


@pytest.mark.parametrize("weak", ["", "office", ":a-long-password", "office:", "office:short", "a-long-password"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_weak_password_of_the_dashboard_is_refused_and_not_repeated(give, monkeypatch, weak, host):
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", weak)
    give(PREFECT__HOST=host)
    found = problems()
    assert any(line.startswith("PREFECT_SERVER_API_AUTH_STRING: ") for line in found)
    assert not any(weak in line for line in found if len(weak) > 6)


def test_the_two_zoom_addresses_come_together(give):
    give(ZOOM__API_URL="https://zoom.example.jp/v2")
    assert problems() == ["MADOGUCHI_ZOOM__TOKEN_URL and MADOGUCHI_ZOOM__API_URL: set both or neither"]


def test_no_refusal_repeats_a_secret(give):
    give(MODE="live", ZOOM__CLIENT_SECRET="very-secret-1", SMTP__PASSWORD="very-secret-2", SMTP__PORT="very-secret-3",
         ENCRYPTION_KEYS="very-secret-4", DATABASE_URL="mysql://u:very-secret-5@h/d")  # fmt: skip
    assert problems()
    assert "very-secret" not in " ".join(problems())
    give(SMTP__PORT="587")
    assert problems()
    assert "very-secret" not in " ".join(problems())


@pytest.mark.parametrize(
    ("host", "is_this_machine"),
    [
        ("localhost", True), ("LOCALHOST", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True),
        ("0.0.0.0", False), ("localhost.example.jp", False), ("127.0.0.1.example.jp", False), ("", False),
    ],
)  # fmt: skip
def test_loopback_is_known_without_asking_a_name_server(host, is_this_machine):
    assert is_loopback(host) is is_this_machine
