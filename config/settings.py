"""Every setting from the environment and `.env`. Only the wiring and the commands read this module."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.office_file import OfficeFileError, read_office
from madoguchi.domain.office import Office
from madoguchi.domain.this_machine import is_loopback

ROOT = Path(__file__).resolve().parent.parent
SANDBOX_KEY = "c2FuZGJveC1rZXktb25seS1mb3ItcmVoZWFyc2Fscy4="
"""The sandbox's encryption key: public, therefore refused in live mode."""
_DATABASES = ("sqlite:///", "postgresql://", "postgresql+psycopg://")
_PREFECT_DATABASES = ("postgresql://", "postgresql+asyncpg://")
_REDIS = ("redis://", "rediss://")
_SANDBOX_ACCOUNT, _SANDBOX_CLIENT = "sandbox-account", "sandbox-client"
_SANDBOX_SECRET = "sandbox-secret"  # noqa: S105 — opens nothing but the stand-ins on loopback
_DEFAULTS = frozenset(
    {_SANDBOX_ACCOUNT, _SANDBOX_CLIENT, _SANDBOX_SECRET, "sandbox", "changeme", "change-me", "password", "secret"}
)


PREFECT_PASSWORD = "PREFECT_SERVER_API_AUTH_STRING"  # noqa: S105 — the name of Prefect's own variable
_LEAST_PASSWORD = 12


class SettingsError(Exception):
    """Settings cannot be used. `problems` holds one line for each, naming the variable and the remedy, no values."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class ZoomSettings(BaseModel):
    """Access to Zoom (Server-to-Server OAuth). Empty URLs: the stand-in in sandbox mode, Zoom itself in live mode."""

    token_url: str = ""
    api_url: str = ""
    account_id: str = ""
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    webhook_secret: SecretStr = SecretStr("")


class SmtpSettings(BaseModel):
    """The mail relay. An empty host means the stand-in mailbox in sandbox mode."""

    host: str = ""
    port: int = Field(0, ge=0, le=65535)
    user: str = ""
    password: SecretStr = SecretStr("")
    security: Literal["tls", "starttls", "none"] | None = None
    ca_file: Path | None = None


class SandboxSettings(BaseModel):
    """Preferred ports of the stand-ins; a port that is taken is replaced by a free one."""

    zoom_port: int = Field(4281, ge=0, le=65535)
    smtp_port: int = Field(4282, ge=0, le=65535)
    mailbox_port: int = Field(4283, ge=0, le=65535)


class WebSettings(BaseModel):
    """The web part: Zoom's webhooks, and the day list for staff, which needs the password."""

    host: str = "127.0.0.1"
    port: int = Field(4284, ge=1, le=65535)
    password: SecretStr = SecretStr("")


class AlarmSettings(BaseModel):
    """Where alarms go besides the dashboard: addresses with commas between them, and a webhook that takes JSON."""

    mail_to: str = ""
    webhook_url: SecretStr = SecretStr("")

    def recipients(self) -> tuple[str, ...]:
        """Return the addresses of staff, one after the other."""
        return tuple(filter(None, (part.strip() for part in self.mail_to.split(","))))


class PrefectSettings(BaseModel):
    """Where `madoguchi up` serves Prefect; and, for several machines, its database, its Redis and its work pool."""

    host: str = "127.0.0.1"
    port: int = Field(4200, ge=1, le=65535)
    database_url: SecretStr = SecretStr("")
    redis_url: SecretStr = SecretStr("")
    work_pool: str = Field("", max_length=80, pattern=r"^[^/%\s]*$")


class Settings(BaseSettings):
    """All settings. What each means: docs/settings.md and `.env.example`."""

    model_config = SettingsConfigDict(
        env_prefix="MADOGUCHI_",
        env_nested_delimiter="__",
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        hide_input_in_errors=True,
    )

    mode: Literal["sandbox", "live"] = "sandbox"
    var_dir: Path = ROOT / "var"
    database_url: str = ""
    office_file: Path = ROOT / "config" / "office.toml"
    forms_dir: Path = ROOT / "config" / "forms"
    terms_dir: Path = ROOT / "config" / "terms"
    inbox_dir: Path | None = None
    bounces_dir: Path | None = None
    site_dir: Path | None = None
    reports_dir: Path | None = None
    encryption_keys: SecretStr = SecretStr("")
    zoom: ZoomSettings = ZoomSettings()
    smtp: SmtpSettings = SmtpSettings()
    sandbox: SandboxSettings = SandboxSettings()
    prefect: PrefectSettings = PrefectSettings()
    web: WebSettings = WebSettings()
    alarm: AlarmSettings = AlarmSettings()

    @property
    def is_sandbox(self) -> bool:
        """Tell whether stand-ins are allowed."""
        return self.mode == "sandbox"

    @property
    def resolved_database_url(self) -> str:
        """The database; SQLite under `var/` unless set."""
        return self.database_url or f"sqlite:///{self.var_dir / 'madoguchi.db'}"

    @property
    def resolved_inbox_dir(self) -> Path:
        """Where exports are put; `var/inbox` unless set."""
        return self.inbox_dir or self.var_dir / "inbox"

    @property
    def resolved_site_dir(self) -> Path:
        """Where the public site of the terms is built, and served from; `var/site` unless set."""
        return self.site_dir or self.var_dir / "site"

    @property
    def resolved_bounces_dir(self) -> Path:
        """Where the mail system puts what comes back; `var/bounces` unless set."""
        return self.bounces_dir or self.var_dir / "bounces"

    @property
    def resolved_reports_dir(self) -> Path:
        """Where monthly reports are written; `var/reports` unless set."""
        return self.reports_dir or self.var_dir / "reports"

    @property
    def keys_text(self) -> str:
        """The encryption keys; in the sandbox a public one stands in."""
        return self.encryption_keys.get_secret_value() or (SANDBOX_KEY if self.is_sandbox else "")

    @property
    def uses_sandbox_zoom(self) -> bool:
        """Tell whether the program must start the stand-in Zoom itself."""
        return self.is_sandbox and not self.zoom.api_url

    @property
    def uses_sandbox_mailbox(self) -> bool:
        """Tell whether the program must start the stand-in mailbox itself."""
        return self.is_sandbox and not self.smtp.host

    @cached_property
    def office(self) -> Office:
        """The office; SettingsError if its file cannot be used."""
        try:
            return read_office(self.office_file, sandbox=self.is_sandbox)
        except OfficeFileError as error:
            raise SettingsError([str(error)]) from None

    def zoom_access(self) -> tuple[str, str, str, str, str]:
        """Return token URL, API URL, account id, client id and client secret, defaults filled in by mode."""
        zoom = self.zoom
        if self.is_sandbox:
            return (
                zoom.token_url,
                zoom.api_url,
                zoom.account_id or _SANDBOX_ACCOUNT,
                zoom.client_id or _SANDBOX_CLIENT,
                zoom.client_secret.get_secret_value() or _SANDBOX_SECRET,
            )
        return (
            zoom.token_url or "https://zoom.us/oauth/token",
            zoom.api_url or "https://api.zoom.us/v2",
            zoom.account_id,
            zoom.client_id,
            zoom.client_secret.get_secret_value(),
        )

    def secrets(self) -> list[str]:
        """Return what must never stand in a log line; empty and public values left out."""
        given = (
            self.zoom.client_secret.get_secret_value(),
            self.zoom.webhook_secret.get_secret_value(),
            self.web.password.get_secret_value(),
            self.smtp.password.get_secret_value(),
            self.alarm.webhook_url.get_secret_value(),
            *filter(None, (_password_in(self.prefect.database_url), _password_in(self.prefect.redis_url))),
            *self.encryption_keys.get_secret_value().split(","),
            *(os.environ.get(name, "").partition(":")[2] for name in (PREFECT_PASSWORD, "PREFECT_API_AUTH_STRING")),
        )
        return [secret.strip() for secret in given if len(secret.strip()) >= 6]

    def smtp_security(self) -> Literal["tls", "starttls", "none"]:
        """Return the transport security: as set, else none towards loopback in the sandbox, STARTTLS elsewhere."""
        if self.smtp.security:
            return self.smtp.security
        return "none" if self.is_sandbox and (not self.smtp.host or is_loopback(self.smtp.host)) else "starttls"

    def problems(self) -> list[str]:
        """Return what forbids starting, one line each; empty when the settings can be used."""
        found = self._transport_problems()
        if not self.is_sandbox:
            found += self._live_problems()
        return found

    def _transport_problems(self) -> list[str]:
        found = []
        for name, url in (("TOKEN_URL", self.zoom.token_url), ("API_URL", self.zoom.api_url)):
            if url and not _is_web_address(url):
                found.append(f"MADOGUCHI_ZOOM__{name}: not an http(s) address; write it as https://HOST/PATH")
            elif url.lower().startswith("http:") and not is_loopback(urlsplit(url).hostname or ""):
                found.append(f"MADOGUCHI_ZOOM__{name}: http is allowed only towards this machine; use https")
        if bool(self.zoom.token_url) != bool(self.zoom.api_url):
            found.append("MADOGUCHI_ZOOM__TOKEN_URL and MADOGUCHI_ZOOM__API_URL: set both or neither")
        if self.smtp.security == "none" and self.smtp.host and not is_loopback(self.smtp.host):
            found.append("MADOGUCHI_SMTP__SECURITY=none is allowed only towards this machine; use tls or starttls")
        if self.smtp.host and not self.smtp.port:
            found.append("MADOGUCHI_SMTP__PORT: not set; 587 goes with starttls, 465 with tls")
        if self.smtp.ca_file and not self.smtp.ca_file.is_file():
            found.append("MADOGUCHI_SMTP__CA_FILE: no such file; name one with the authority's certificate in PEM")
        if not is_loopback(self.web.host):
            found.append(
                "MADOGUCHI_WEB__HOST: must be an address of this machine; let a reverse proxy with TLS pass on "
                "/zoom/webhook and /terms/, and nothing else (docs/webhooks.md)"
            )
        found += self._alarm_problems()
        found += self._dashboard_problems()
        if self.database_url and not self.database_url.startswith(_DATABASES):
            found.append("MADOGUCHI_DATABASE_URL: must begin with sqlite:/// or postgresql+psycopg://")
        return [*found, *self._scale_problems()]

    def _scale_problems(self) -> list[str]:
        found = []
        for name, url, schemes in (
            ("DATABASE_URL", self.prefect.database_url, _PREFECT_DATABASES),
            ("REDIS_URL", self.prefect.redis_url, _REDIS),
        ):
            given = url.get_secret_value()
            if given and not given.startswith(schemes):
                found.append(f"MADOGUCHI_PREFECT__{name}: must begin with {' or '.join(schemes)}")
        if self.prefect.redis_url.get_secret_value() and not self.prefect.database_url.get_secret_value():
            found.append("MADOGUCHI_PREFECT__REDIS_URL: is of use only with MADOGUCHI_PREFECT__DATABASE_URL; set both")
        return found

    def _dashboard_problems(self) -> list[str]:
        """Whoever reaches Prefect's API may run anything: from elsewhere only with its password."""
        password = os.environ.get(PREFECT_PASSWORD)
        found = []
        if not is_loopback(self.prefect.host) and not password:
            found.append(
                f"MADOGUCHI_PREFECT__HOST: anybody who reaches {self.prefect.host} could steer everything; keep "
                f"127.0.0.1 behind a proxy or a tunnel, or set {PREFECT_PASSWORD}=NAME:PASSWORD in the environment "
                "(docs/install.md)"
            )
        if password is not None:
            name, colon, secret = password.partition(":")
            if not (name and colon) or len(secret.strip()) < _LEAST_PASSWORD or secret.strip().lower() in _DEFAULTS:
                found.append(
                    f"{PREFECT_PASSWORD}: must be NAME:PASSWORD, the password at least {_LEAST_PASSWORD} characters"
                )
        return found

    def _alarm_problems(self) -> list[str]:
        found = []
        for position, address in enumerate(self.alarm.recipients(), start=1):
            if address.count("@") != 1 or any(char.isspace() for char in address):
                found.append(
                    f"MADOGUCHI_ALARM__MAIL_TO: address {position} is none; write NAME@DOMAIN, with commas between"
                )
        hook = self.alarm.webhook_url.get_secret_value().strip()
        if hook and not _is_web_address(hook):
            found.append("MADOGUCHI_ALARM__WEBHOOK_URL: not an http(s) address; write it as https://HOST/PATH")
        elif hook.lower().startswith("http:") and not is_loopback(urlsplit(hook).hostname or ""):
            found.append("MADOGUCHI_ALARM__WEBHOOK_URL: http is allowed only towards this machine; use https")
        return found

    def _web_problems(self) -> list[str]:
        """Both may be empty: then that door stays shut, which `madoguchi check` says. A weak one is worse than none."""
        found = []
        for name, value, least in (
            ("ZOOM__WEBHOOK_SECRET", self.zoom.webhook_secret.get_secret_value(), 10),
            ("WEB__PASSWORD", self.web.password.get_secret_value(), _LEAST_PASSWORD),
        ):
            if value.strip().lower() in _DEFAULTS:
                found.append(f"MADOGUCHI_{name}: still a default; set the real one")
            elif value and len(value.strip()) < least:
                found.append(f"MADOGUCHI_{name}: shorter than {least} characters; set a longer one, or none")
        return found

    def _live_problems(self) -> list[str]:
        found = []
        if not self.keys_text or SANDBOX_KEY in self.keys_text:
            found.append(
                "MADOGUCHI_ENCRYPTION_KEYS: missing, or the sandbox's public key; `madoguchi keys new` makes one"
            )
        # A relay on this very machine may take mail without a login; every other one must ask for it.
        needs_login = self.smtp.security != "none"
        for name, value in (
            ("ZOOM__ACCOUNT_ID", self.zoom.account_id),
            ("ZOOM__CLIENT_ID", self.zoom.client_id),
            ("ZOOM__CLIENT_SECRET", self.zoom.client_secret.get_secret_value()),
            ("SMTP__HOST", self.smtp.host),
            ("SMTP__USER", self.smtp.user),
            ("SMTP__PASSWORD", self.smtp.password.get_secret_value()),
        ):
            if not value.strip() and (needs_login or not name.startswith("SMTP__") or name == "SMTP__HOST"):
                found.append(f"MADOGUCHI_{name}: missing; live mode needs it")
            elif value.strip().lower() in _DEFAULTS:
                found.append(f"MADOGUCHI_{name}: still a default; set the real one")
        found += self._web_problems()
        if not self.office.telephone:
            found.append(
                f"{self.office_file.name}: telephone is empty; cancelling is by telephone only (Art. 6(3)), "
                "so no mail may leave without a number"
            )
        return found


def _password_in(url: SecretStr) -> str:
    try:
        return unquote(urlsplit(url.get_secret_value()).password or "")
    except ValueError:
        return ""


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def load_settings() -> Settings:
    """Read the settings and refuse what cannot be used: SettingsError with one line a problem."""
    try:
        settings = Settings()
    except ValidationError as error:
        raise SettingsError(
            [
                f"MADOGUCHI_{'__'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
                for item in error.errors(include_input=False, include_context=False)
            ]
        ) from None
    problems = settings.problems()
    if problems:
        raise SettingsError(problems)
    return settings
