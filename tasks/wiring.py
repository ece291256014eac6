"""The services of a process, built once from the settings; tests put their own in place with `use_services`."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from sqlalchemy.exc import OperationalError

from config.settings import ROOT, Settings, load_settings
from config.settings import SettingsError as SettingsError  # noqa: PLC0414 — steps name it; only here are settings known
from madoguchi.adapters.alarm_channels import Channel, MailChannel, WebhookChannel, mail_channel_names
from madoguchi.adapters.form_export import MappingError, load_mapping
from madoguchi.adapters.holidays import is_public_holiday
from madoguchi.adapters.log_redaction import register_secret
from madoguchi.adapters.mail_templates import TemplateStore
from madoguchi.adapters.processes import is_alive, owner_token
from madoguchi.adapters.relay_certificate import certificate_until, require_verified_relay
from madoguchi.adapters.smtp import Mailer
from madoguchi.adapters.smtp_errors import MailConfigError
from madoguchi.adapters.terms_files import TermsFileError, read_terms
from madoguchi.adapters.zoom import ZoomClient
from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.intake import FormMapping
from madoguchi.domain.meeting import LOOPBACK_HOSTS, ZOOM_JOIN_HOSTS
from madoguchi.domain.office import Office
from madoguchi.domain.this_machine import is_loopback
from madoguchi.sandbox.endpoints import Endpoints, Ports, ensure_sandbox, running_sandbox
from madoguchi.store.audit import Act
from madoguchi.store.database import Database
from madoguchi.store.terms import (
    TermsChanged,
    TermsFacts,
    TermsUnannounced,
    TermsUnfit,
    register_terms,
    terms_since,
)
from madoguchi.store.vault import Keys, MasterKey, Vault, VaultError, open_vault, parse_master_keys, read_keys

SANDBOX_JOIN_HOSTS = ("zoom.example.jp", "example.com", *sorted(LOOPBACK_HOSTS))
"""Where the links of a stand-in Zoom may lead; none of them is a real meeting."""


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Services:
    """Everything that tasks work with. `clock` is the only clock; `zoom` and `mailer` are made on first use."""

    office: Office
    calendar: OfficeCalendar
    database: Database
    vault: Vault
    templates: TemplateStore
    mappings: Mapping[str, FormMapping]
    inbox: Path
    clock: Callable[[], datetime]
    owner: str
    make_zoom: Callable[[], ZoomClient]
    make_mailer: Callable[[], Mailer]
    join_hosts: tuple[str, ...]
    terms_since: datetime | None = None
    """The first instant at which a consent can name versions of both terms; None: not known, not judged."""
    set_stage: Callable[[datetime], None] = lambda _as_of: None
    """In the sandbox: let the stand-ins live at that business time. In life: nothing."""
    is_alive: Callable[[str], bool | None] = is_alive
    spool: Path | None = None
    """Where the web part keeps Zoom's webhooks until they stand in the record; None: nowhere, there is no web part."""
    bounces: Path | None = None
    """Where the mail system puts what comes back; None: nowhere, nothing is read."""
    site_dir: Path | None = None
    """Where the public site of the terms is built; None: nowhere, nothing can be announced."""
    reports_dir: Path | None = None
    """Where the reports of months are written; None: nowhere, none can be written."""
    templates_dir: Path = ROOT / "templates"
    alarm_channels: tuple[Channel, ...] = ()
    """Where alarms go besides the dashboard."""
    certificates: Callable[[], Mapping[str, datetime]] = dict
    """Asks the servers that are spoken to over TLS how long their certificates hold; who is silent is left out."""
    is_live: bool = False
    """Whether real people get what is done here; False in the sandbox and in tests."""
    is_rehearsal: bool = False
    """Whether these stand in for the real ones: a copy of the record, a Zoom and a relay that change nothing."""
    rehearsals: Path | None = None
    """Where a rehearsal keeps its copies while it goes on; None: nowhere, nothing can be rehearsed."""
    stage: Callable[[], datetime | None] = lambda: None
    """In the sandbox: the business time at which the stand-ins live. In life, and when nobody plays: None."""
    masters: Callable[[], tuple[MasterKey, ...]] = tuple
    """The master keys as the settings name them now; none: no data key is begun here."""

    def dead_among(self, owners: list[str]) -> list[str]:
        """Return the claim owners whose process is certainly gone."""
        return [owner for owner in owners if owner != self.owner and self.is_alive(owner) is False]


@dataclass(frozen=True)
class Run:
    """One run of a flow. Business time starts at `as_of` and goes on with the clock."""

    flow: str
    as_of: datetime
    started_at: datetime
    prefect_run: str | None = None
    record_id: str = ""
    actor: str = ""

    def at(self, now: datetime) -> datetime:
        """Return the business time of the clock's `now`."""
        return self.as_of + (now - self.started_at)

    def act(self, services: Services) -> Act:
        """Return the circumstances of a change made now."""
        now = services.clock()
        actor = self.actor or f"flow:{self.flow}"
        return Act(services.office.code, actor, self.prefect_run, self.at(now), now)


def real_clock() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


def build_services(settings: Settings) -> Services:
    """Build the services, bring the database to the newest level and record the terms.

    Raises SettingsError with the remedy when something in the settings cannot be used.
    """
    for secret in settings.secrets():
        register_secret(secret)
    office = settings.office
    _require_relay(settings)
    stand_ins = StandIns(settings)
    database = Database(settings.resolved_database_url)
    try:
        database.migrate()
        mappings = {path.stem: load_mapping(path) for path in sorted(settings.forms_dir.glob("*.toml"))}
        masters = parse_master_keys(settings.keys_text)
        # Two first starts at once would both make the data keys.
        with database.exclusive("start"), database.write() as session:
            present = _PresentMasters(masters)
            vault = open_vault(session, masters, real_clock(), reload=lambda: _read_keys(database, present))
            register_terms(
                session,
                office.code,
                [
                    # Field by field: what the store takes has the names of what the folder gives.
                    TermsFacts(**asdict(version))
                    for version in read_terms(settings.terms_dir)
                ],
                recorded_at=real_clock(),
            )
            since = terms_since(session, office.code)
    except (VaultError, TermsFileError, TermsChanged, TermsUnfit, TermsUnannounced, MappingError) as error:
        raise SettingsError([str(error)]) from None
    except OperationalError as error:
        # The driver's text names host and user.
        reason = type(error.orig).__name__
        raise SettingsError(
            [f"the database cannot be used ({reason}): start it, or correct MADOGUCHI_DATABASE_URL"]
        ) from None
    join_hosts = (*ZOOM_JOIN_HOSTS, *SANDBOX_JOIN_HOSTS) if settings.is_sandbox else ZOOM_JOIN_HOSTS
    return Services(
        office=office,
        calendar=OfficeCalendar(office, is_public_holiday),
        database=database,
        vault=vault,
        templates=TemplateStore(ROOT / "templates", join_hosts=join_hosts),
        mappings=mappings,
        inbox=settings.resolved_inbox_dir,
        clock=real_clock,
        owner=owner_token(),
        make_zoom=lambda: _zoom(settings, stand_ins),
        make_mailer=lambda: _mailer(settings, stand_ins),
        terms_since=since,
        set_stage=stand_ins.set_clock,
        spool=settings.var_dir / "webhooks",
        site_dir=settings.resolved_site_dir,
        reports_dir=settings.resolved_reports_dir,
        bounces=_bounces(settings),
        rehearsals=settings.var_dir / "rehearsal",
        alarm_channels=_alarm_channels(settings, stand_ins),
        certificates=lambda: _certificates(settings),
        is_live=not settings.is_sandbox,
        stage=stand_ins.clock,
        masters=present,
        join_hosts=join_hosts,
    )


class _PresentMasters:
    """The master keys, read from the settings again at every call: they may be rotated while this process runs."""

    def __init__(self, first: tuple[MasterKey, ...]) -> None:
        self._first = first

    def __call__(self) -> tuple[MasterKey, ...]:
        """Return the keys that the settings name now and, behind them, those of this process's start."""
        try:
            settings = load_settings()
            for secret in settings.secrets():
                register_secret(secret)
            now = parse_master_keys(settings.keys_text)
        except (SettingsError, VaultError) as error:
            log.warning("the settings could not be read anew: %s", type(error).__name__)
            now = self._first
        return (*now, *(key for key in self._first if key not in now))


def _read_keys(database: Database, masters: Callable[[], tuple[MasterKey, ...]]) -> Keys:
    with database.read() as session:
        return read_keys(session, masters())


def _bounces(settings: Settings) -> Path:
    """Return the folder of bounces. Our own is made; one that somebody names must be there, or reading it fails."""
    if settings.bounces_dir is None:
        settings.resolved_bounces_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return settings.resolved_bounces_dir


def _require_relay(settings: Settings) -> None:
    """Refuse to live with a relay whose certificate cannot be verified; one that is merely down stops nothing."""
    security = settings.smtp_security()
    if settings.is_sandbox or security == "none":
        return
    smtp = settings.smtp
    try:
        require_verified_relay(smtp.host, smtp.port, security, smtp.ca_file)
    except MailConfigError as error:
        raise SettingsError([error.remedy]) from None


class StandIns:
    """The sandbox's servers: found running, or started, when first needed; never in live mode."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()

    def endpoints(self) -> Endpoints:
        """Return where the stand-ins listen; SandboxError with the log's path when they do not start."""
        settings = self._settings
        ports = Ports(settings.sandbox.zoom_port, settings.sandbox.smtp_port, settings.sandbox.mailbox_port)
        with self._lock:
            return ensure_sandbox(
                settings.var_dir,
                ports,
                parent=os.getpid(),
                log_file=settings.var_dir / "log" / "sandbox.log",
                bounces=settings.resolved_bounces_dir,
            )

    def set_clock(self, as_of: datetime) -> None:
        """Let the stand-in Zoom live at `as_of`: it takes a start in the past for "now", as Zoom does.

        Runs of `madoguchi up` get its address by the environment, as somebody else's stand-in would give its own: that
        one may have no clock, and then goes on living in the present.
        """
        settings = self._settings
        if settings.uses_sandbox_zoom:
            self._post_clock(self.endpoints().zoom_url, as_of).raise_for_status()
        elif settings.is_sandbox and is_loopback(urlsplit(settings.zoom.api_url).hostname or ""):
            parts = urlsplit(settings.zoom.api_url)
            try:
                self._post_clock(f"{parts.scheme}://{parts.netloc}", as_of)
            except httpx.HTTPError as error:
                log.info("the stand-in Zoom did not take the time: %s", type(error).__name__)

    def clock(self) -> datetime | None:
        """Return the stand-in Zoom's now; None in life, and when it does not answer. Starts nothing."""
        settings = self._settings
        origin = ""
        if settings.uses_sandbox_zoom:
            found = running_sandbox(settings.var_dir)
            origin = found.zoom_url if found else ""
        elif settings.is_sandbox and is_loopback(urlsplit(settings.zoom.api_url).hostname or ""):
            parts = urlsplit(settings.zoom.api_url)
            origin = f"{parts.scheme}://{parts.netloc}"
        if not origin:
            return None
        try:
            answer = httpx.get(f"{origin}/sandbox/identity", timeout=3, trust_env=False)
            now = datetime.fromisoformat(answer.json()["now"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            # Somebody else's stand-in may have no clock.
            return None
        return now if now.tzinfo else None

    @staticmethod
    def _post_clock(origin: str, as_of: datetime) -> httpx.Response:
        return httpx.post(f"{origin}/sandbox/clock", json={"now": as_of.isoformat()}, timeout=10, trust_env=False)


def _zoom(settings: Settings, stand_ins: StandIns) -> ZoomClient:
    token_url, api_url, account_id, client_id, client_secret = settings.zoom_access()
    if settings.uses_sandbox_zoom:
        found = stand_ins.endpoints()
        token_url, api_url = found.token_url, found.api_url
    limits = settings.office.zoom
    return ZoomClient(
        token_url,
        api_url,
        account_id,
        client_id,
        client_secret,
        clock=real_clock,
        create_per_second=limits.create_per_second,
        read_per_second=limits.read_per_second,
        # Creations and readings run in a pool each.
        concurrency=2 * limits.concurrency,
    )


def _alarm_channels(settings: Settings, stand_ins: StandIns) -> tuple[Channel, ...]:
    office, alarm = settings.office, settings.alarm
    channels: list[Channel] = [
        MailChannel(
            lambda: _mailer(settings, stand_ins),
            office.mail_from,
            office.mail_domain,
            recipient,
            office.name,
            ROOT / "templates" / "alarm",
            name=name,
        )
        for recipient, name in mail_channel_names(alarm.recipients()).items()
    ]
    if url := alarm.webhook_url.get_secret_value().strip():
        channels.append(WebhookChannel(url, office.code))
    return tuple(channels)


def _certificates(settings: Settings) -> Mapping[str, datetime]:
    smtp, security = settings.smtp, settings.smtp_security()
    if security == "none" or settings.uses_sandbox_mailbox:
        return {}
    until = certificate_until(smtp.host, smtp.port, security, smtp.ca_file)
    return {smtp.host: until} if until else {}


def _mailer(settings: Settings, stand_ins: StandIns) -> Mailer:
    smtp = settings.smtp
    host, port = smtp.host, smtp.port
    if settings.uses_sandbox_mailbox:
        found = stand_ins.endpoints()
        host, port = found.smtp_host, found.smtp_port
    return Mailer(host, port, smtp.user, smtp.password.get_secret_value(), settings.smtp_security(), smtp.ca_file)


_lock = threading.Lock()
_services: Services | None = None
# Of one run only: another run in this process, and its threads, go on with the real ones.
_in_place: ContextVar[Services | None] = ContextVar("services_in_place", default=None)


def services() -> Services:
    """Return the services of this process, or those that `services_in_place` has put there for this run alone.

    Call it in the flow and in the shells of its steps only: a thread of a step's pool is no part of the run's context
    and would get the real services in the middle of a rehearsal.
    """
    in_place = _in_place.get()
    if in_place is not None:
        return in_place
    global _services  # noqa: PLW0603 — the one place where a process keeps its wiring
    with _lock:
        if _services is None:
            _services = build_services(load_settings())
        return _services


def use_services(new: Services | None) -> None:
    """Put other services in place; None makes the next call build them again."""
    global _services  # noqa: PLW0603 — see services()
    with _lock:
        _services = new


@contextmanager
def services_in_place(stand_in: Services) -> Iterator[None]:
    """Let `services` give these, for what runs inside the block and nothing beside it."""
    token = _in_place.set(stand_in)
    try:
        yield
    finally:
        _in_place.reset(token)
