"""`madoguchi check`: line by line what is configured, reachable and permitted, and what to do about what is not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import httpx

from config.settings import PREFECT_PASSWORD, Settings, SettingsError
from madoguchi.adapters.event_spool import EventSpool
from madoguchi.adapters.prefect_server import NEVER_TRACK, PrefectServerError, find_server
from madoguchi.adapters.smtp import MailConfigError, MailRejected, MailRetryable
from madoguchi.adapters.terms_files import TermsFileError, read_terms
from madoguchi.adapters.zoom_errors import ZoomError
from madoguchi.commands.terms import described, remarks
from madoguchi.commands.terms_record import Record
from madoguchi.commands.terms_texts import UnusableError, citations_of, named
from madoguchi.domain.office import JST
from madoguchi.domain.terms_publication import SiteContentError
from madoguchi.domain.terms_reading import TermsTextError
from madoguchi.domain.this_machine import is_loopback
from madoguchi.sandbox.endpoints import SandboxError
from madoguchi.store.database import Database, DatabaseUnreachable
from madoguchi.store.terms import SERVICE_TERMS
from madoguchi.store.vault import VaultError, open_vault, parse_master_keys
from tasks.publishing import site_content
from tasks.staff import Refused
from tasks.wiring import Services, build_services, real_clock

_SOON = timedelta(days=120)
_AS_GOOD_AS = {"false": ("false", "0", "no", "off"), "1": ("1", "true", "yes", "on")}


@dataclass(frozen=True, slots=True)
class Line:
    """One finding. `ok` None: worth knowing, forbids nothing."""

    ok: bool | None
    item: str
    remedy: str = ""


def run(settings: Settings) -> int:
    """Print every finding; 0 when nothing forbids operation, 1 otherwise."""
    failed = False
    for line in findings(settings):
        mark = {True: "ok  ", None: "note", False: "FAIL"}[line.ok]
        print(f"{mark}  {line.item}" + (f"\n      -> {line.remedy}" if line.remedy else ""))
        failed |= line.ok is False
    return 1 if failed else 0


def findings(settings: Settings) -> Iterator[Line]:
    """Yield one line a subject, from the mode, the office and the record to Zoom, mail and Prefect."""
    office = settings.office
    yield Line(True, f"mode {settings.mode}; office {office.code}, telephone {office.telephone}")
    yield from _record(settings)
    yield from _files(settings)
    yield from _holidays(office.holidays_known_until, real_clock().astimezone(JST).date(), office.horizon_days)
    yield from _web(settings)
    yield from _dashboard(settings, os.environ)
    if _is_behind(settings):
        # Looking must not change the record; a new one is made as every command would make it.
        return
    try:
        services = build_services(settings)
    except (SettingsError, DatabaseUnreachable) as error:
        yield Line(False, f"services cannot be built: {error}")
        return
    yield from _terms(settings, services)
    yield from _bounces(settings)
    yield from _zoom(services)
    yield from _mail(services)
    yield from _prefect(settings)


def _record(settings: Settings) -> Iterator[Line]:
    database = Database(settings.resolved_database_url)
    kind = database.url.get_backend_name()
    try:
        level, newest = database.levels()
    except DatabaseUnreachable as error:
        yield Line(False, f"database ({kind}): not reachable: {error}", "start it, or correct MADOGUCHI_DATABASE_URL")
        return
    yield Line(True, f"database ({kind}): reachable")
    if level == newest:
        yield Line(True, f"migration level {level}: newest")
    else:
        yield Line(
            None, f"migration level {level or 'none'}, newest is {newest}", "`madoguchi migrate` brings it there"
        )
        return
    try:
        masters = parse_master_keys(settings.keys_text)
        with database.write() as session:
            open_vault(session, masters, real_clock())
        yield Line(True, f"encryption keys: {len(masters)}, in use {masters[0].id}")
    except VaultError as error:
        yield Line(False, f"encryption keys: {error}")


def _is_behind(settings: Settings) -> bool:
    try:
        level, newest = Database(settings.resolved_database_url).levels()
    except DatabaseUnreachable:
        return True
    return level is not None and level != newest


def _files(settings: Settings) -> Iterator[Line]:
    try:
        versions = read_terms(settings.terms_dir)
        yield Line(True, "terms: " + ", ".join(f"{v.document} {v.code}" for v in versions))
    except TermsFileError as error:
        yield Line(False, f"terms: {error}")
    inbox = settings.resolved_inbox_dir
    try:
        inbox.mkdir(parents=True, exist_ok=True)
        yield Line(True, "inbox: there")
    except OSError as error:
        yield Line(False, f"inbox: {error.strerror}", "create it, or correct MADOGUCHI_INBOX_DIR")


def _holidays(known_until: date, today: date, horizon: int) -> Iterator[Line]:
    left = known_until - today
    if left.days <= 0:
        yield Line(False, f"holiday table ended on {known_until}", "set holidays_known_until in office.toml")
    elif left < max(_SOON, timedelta(days=horizon)):
        yield Line(
            None,
            f"holiday table ends on {known_until}: nothing is booked after it",
            "check the next year's holidays (official each February), then set holidays_known_until in office.toml",
        )
    else:
        yield Line(True, f"holiday table until {known_until}")


def _web(settings: Settings) -> Iterator[Line]:
    """What is shut forbids nothing: without webhooks the office asks Zoom and its counsellors, and knows less."""
    drawn = "drawn by `madoguchi up`" if settings.is_sandbox else ""
    secret = "set" if settings.zoom.webhook_secret.get_secret_value() else drawn
    yield Line(
        True if secret else None,
        f"webhook secret: {secret or 'not set, every webhook of Zoom is refused'}",
        "" if secret else "set MADOGUCHI_ZOOM__WEBHOOK_SECRET to the app's Secret Token (docs/webhooks.md)",
    )
    password = "set" if settings.web.password.get_secret_value() else drawn
    yield Line(
        True if password else None,
        f"web password: {password or 'not set, the day list stays shut'}",
        "" if password else "set MADOGUCHI_WEB__PASSWORD, at least 12 characters",
    )
    if aside := EventSpool(settings.var_dir / "webhooks").count_aside():
        yield Line(None, f"webhooks set aside: {aside}", "docs/webhooks.md says how to try them again")


def _terms(settings: Settings, services: Services) -> Iterator[Line]:
    record = Record(services.database, services.office.code, services.clock())
    rows = [row for row in described(record) if row["document"] == SERVICE_TERMS]
    now = next((row for row in rows if row["state"] == "in_force"), None)
    if now is None:
        yield Line(False, "terms in force: none", "the first version's effective_at lies ahead; docs/terms.md")
    else:
        yield Line(True, f"terms in force: {now['code']} since {now['effective_at'][:10]}, version {now['number']}")
        yield from _citations(record, now["code"])
    for row in rows:
        if row["state"] == "announced":
            yield Line(True, f"terms announced: {row['code']} from {row['effective_at'][:10]}")
        elif row["state"] == "not_public":
            yield Line(
                None,
                f"terms {row['code']}: approved, never made public, so never in force",
                "start announce-amendment again with the same parameters, or withdraw-amendment",
            )
    for note in remarks(record, settings.terms_dir):
        yield Line(None, f"terms: {note}")
    yield from _publishable(services, record)
    if (settings.resolved_site_dir / "current").exists():
        yield Line(True, f"public site of the terms: {settings.resolved_site_dir}")
    else:
        yield Line(
            None, "public site of the terms: not built", "`madoguchi terms build` builds it (docs/terms-site.md)"
        )


def _publishable(services: Services, record: Record) -> Iterator[Line]:
    """An amendment that the site cannot show must be known before somebody approves it: every version is shown."""
    try:
        with record.database.read() as session:
            site_content(services, session, record.now)
    except (Refused, SiteContentError, TermsTextError) as error:
        yield Line(None, f"public site of the terms cannot be built: {error}", "until then no change can become public")


def _citations(record: Record, code: str) -> Iterator[Line]:
    try:
        terms = named(record, code).terms
    except UnusableError as error:
        # Sessions go on; what cannot go on is announcing a change of such a text.
        yield Line(None, f"terms {code}: {error}", "nothing can be announced until its words can be read")
        return
    found, problems, notes = citations_of(terms)
    yield Line(None if problems else True, f"citations of {code}: {found}")
    for problem in (*problems, *notes):
        yield Line(None, problem.sentence)


def _bounces(settings: Settings) -> Iterator[Line]:
    folder = settings.resolved_bounces_dir
    if folder.is_dir():
        yield Line(True, "bounces folder: there")
    else:
        yield Line(
            False, "bounces folder: not there", "create it, or correct MADOGUCHI_BOUNCES_DIR (docs/proof-of-notice.md)"
        )


def _zoom(services: Services) -> Iterator[Line]:
    try:
        with services.make_zoom() as zoom:
            for item in zoom.check_access([host.user for host in services.office.hosts]):
                yield Line(item.ok, item.item, item.remedy if not item.ok else "")
    except (ZoomError, SandboxError) as error:
        yield Line(False, f"Zoom: {error}", "set MADOGUCHI_ZOOM__* (docs/settings.md)")


def _mail(services: Services) -> Iterator[Line]:
    try:
        services.make_mailer().probe()
    except MailConfigError as error:
        yield Line(False, f"mail: {error.code}", error.remedy)
    except (MailRetryable, MailRejected) as error:
        yield Line(False, f"mail: {error.code}", "is the relay running, and MADOGUCHI_SMTP__HOST and __PORT right?")
    except SandboxError as error:
        yield Line(False, f"mail: {error}")
    else:
        yield Line(True, "mail: connection, certificate and login accepted")


def _dashboard(settings: Settings, given: Mapping[str, str]) -> Iterator[Line]:
    """Who may reach the dashboard, and that Prefect tells nobody about us. What is refused never comes this far."""
    host = settings.prefect.host
    if is_loopback(host):
        door = "this machine only" + (", with a password" if given.get(PREFECT_PASSWORD) else "")
        yield Line(True, f"dashboard: {host}, {door}")
    else:
        yield Line(
            None,
            f"dashboard: {host}, reachable from elsewhere, with a password but without TLS",
            "let it listen on 127.0.0.1 behind a proxy with TLS (docs/install.md)",
        )
    for name, wanted in NEVER_TRACK.items():
        if given.get(name, wanted).strip().lower() not in _AS_GOOD_AS[wanted]:
            yield Line(
                False,
                f"{name} is set to something else: Prefect would report about this installation",
                f"unset it, or set it to {wanted}",
            )
            return
    yield Line(True, "Prefect's telemetry: off")


def _prefect(settings: Settings) -> Iterator[Line]:
    try:
        url = find_server(settings.var_dir)
    except PrefectServerError as error:
        yield Line(False, f"Prefect API: {error}")
        return
    if url is None:
        yield Line(None, "Prefect API: not running", "`madoguchi up` starts it; `madoguchi run` works without")
        return
    healthy = _answers(lambda: httpx.get(f"{url}/health", timeout=5, trust_env=False))
    yield Line(healthy, f"Prefect API: {url}", "" if healthy else "restart `madoguchi up`")


def _answers(ask: Callable[[], httpx.Response]) -> bool:
    try:
        return ask().status_code == 200
    except httpx.HTTPError:
        return False
