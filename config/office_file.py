"""Reading `office.toml` into an `Office`, with errors that name the key and the remedy."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from madoguchi.domain.calendar import parse_clock
from madoguchi.domain.meeting import PRIVACY_SETTINGS
from madoguchi.domain.office import (
    SESSION_MINUTES,
    Counsellor,
    Host,
    NoShowPolicy,
    Office,
    OpeningHours,
    ReminderTimes,
    StandingPolicy,
    TermsPolicy,
    WatchPolicy,
    ZoomLimits,
)

SANDBOX_TELEPHONE = "047-000-0000"
"""A number that nobody has, for rehearsals."""

QUARTER = 15
"""Sessions occupy whole quarters of an hour (see docs/architecture.md)."""

YEAR = 365
"""No record of what the office did goes earlier (標準文書保存期間基準: less than a year is for copies and the like)."""

_DOMAIN = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class OfficeFileError(Exception):
    """office.toml cannot be used; the text names the file, the key and what to write there."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Span(_Part):
    opens: str
    closes: str

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> _Span:
        _opening("reception", f"{self.opens}-{self.closes}")
        return self

    def value(self) -> OpeningHours:
        return OpeningHours(parse_clock(self.opens), parse_clock(self.closes))


class _Counsellor(_Part):
    code: Annotated[str, Field(min_length=1, max_length=40)]
    days: list[_Day]
    absences: list[date] = []


class _Host(_Part):
    code: Annotated[str, Field(min_length=1, max_length=40)]
    user: Annotated[str, Field(min_length=1)]


class _Zoom(_Part):
    create_per_second: Annotated[float, Field(gt=0)] = 20
    read_per_second: Annotated[float, Field(gt=0)] = 30
    daily_changes_per_host: Annotated[int, Field(gt=0)] = 100
    concurrency: Annotated[int, Field(ge=1, le=64)] = 8
    live_participants: bool = False
    hidden_settings: frozenset[str] = frozenset()

    @field_validator("hidden_settings")
    @classmethod
    def _are_settings_of_ours(cls, value: frozenset[str]) -> frozenset[str]:
        unknown = sorted(value - PRIVACY_SETTINGS.keys())
        if unknown:
            raise ValueError(f"{unknown[0]}: no setting that is checked; they are {', '.join(PRIVACY_SETTINGS)}")
        return value


class _Messages(_Part):
    max_attempts: Annotated[int, Field(ge=1)] = 48
    alternatives_offered: Annotated[int, Field(ge=0, le=9)] = 3
    known_mail_domains: list[str] = []


class _Reminders(_Part):
    day_before: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "15:00"
    hour_before_minutes: Annotated[int, Field(ge=5, le=240)] = 60


class _NoShow(_Part):
    confirm_by_person: bool = False
    catch_up_hours: Annotated[int, Field(ge=1, le=240)] = 48
    look_seconds: Annotated[int, Field(ge=0, le=300)] = 30


class _Standing(_Part):
    counts_for_days: Annotated[int, Field(ge=1, le=3660)] = 365
    review_after: Annotated[int, Field(ge=1, le=99)] = 2


class _Terms(_Part):
    minimum_notice_days: Annotated[int, Field(ge=0, le=366)] = 14
    audience_days: Annotated[int, Field(ge=1, le=3660)] = 365
    approval_hours: Annotated[int, Field(ge=1, le=720)] = 72
    connections: Annotated[int, Field(ge=1, le=16)] = 2
    other_per_second: Annotated[float, Field(gt=0, le=100_000)] = 10
    per_second: dict[str, Annotated[float, Field(gt=0, le=100_000)]] = {}

    @field_validator("per_second", mode="before")
    @classmethod
    def _are_quoted(cls, value: Any) -> Any:
        for name, inner in value.items() if isinstance(value, dict) else ():
            if isinstance(inner, dict):
                # To TOML a bare name with a dot is a table in a table.
                raise ValueError(  # noqa: TRY004 — only this becomes an error with a place
                    f'{name}: write the whole domain in quotes, such as "{name}.{next(iter(inner))}" = 5'
                )
        return value

    @field_validator("per_second")
    @classmethod
    def _are_domains(cls, value: dict[str, float]) -> dict[str, float]:
        lowered: dict[str, float] = {}
        for domain, rate in value.items():
            if not re.fullmatch(_DOMAIN, domain.lower()):
                raise ValueError(f"{domain!r}: no mail domain; write what stands behind the @, such as gmail.com")
            if domain.lower() in lowered:
                raise ValueError(f"{domain}: stands there twice; keep one")
            lowered[domain.lower()] = rate
        return lowered

    def policy(self) -> TermsPolicy:
        return TermsPolicy(
            minimum_notice=self.minimum_notice_days,
            audience_days=self.audience_days,
            approval_hours=self.approval_hours,
            per_second=dict(self.per_second),
            other_per_second=self.other_per_second,
            connections=self.connections,
        )


class _Watch(_Part):
    """When `watch` speaks; what each value means is in docs/watch.md."""

    unsent_minutes: Annotated[int, Field(ge=5, le=480)] = 20
    unswept_minutes: Annotated[int, Field(ge=1, le=480)] = 15
    before_session_hours: Annotated[int, Field(ge=1, le=168)] = 24
    silent_minutes: Annotated[int, Field(ge=10, le=1440)] = 30
    failing_minutes: Annotated[int, Field(ge=0, le=1440)] = 10
    no_export_hours: Annotated[float, Field(gt=0, le=500)] | None = None
    budget_percent: Annotated[int, Field(ge=1, le=100)] = 80
    holidays_days: Annotated[int, Field(ge=1, le=366)] = 60
    free_megabytes: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    certificate_days: Annotated[int, Field(ge=1, le=366)] = 14
    key_days: Annotated[int, Field(ge=1, le=3660)] = 400
    spool_minutes: Annotated[int, Field(ge=1, le=1440)] = 15

    def policy(self) -> WatchPolicy:
        return WatchPolicy(
            unsent=timedelta(minutes=self.unsent_minutes),
            unswept=timedelta(minutes=self.unswept_minutes),
            before_session=timedelta(hours=self.before_session_hours),
            silent=timedelta(minutes=self.silent_minutes),
            failing=timedelta(minutes=self.failing_minutes),
            no_export=None if self.no_export_hours is None else timedelta(hours=self.no_export_hours),
            budget_share=self.budget_percent / 100,
            holidays=timedelta(days=self.holidays_days),
            free_bytes=self.free_megabytes * 1_000_000,
            certificate=timedelta(days=self.certificate_days),
            key=timedelta(days=self.key_days),
            spool=timedelta(minutes=self.spool_minutes),
        )


class _Retention(_Part):
    """Days a record is kept after the end of its matter. A year at least for what documents what the office did."""

    request: Annotated[int, Field(ge=YEAR)] = 400
    booking: Annotated[int, Field(ge=YEAR)] = 400
    message: Annotated[int, Field(ge=YEAR)] = 400
    evidence: Annotated[int, Field(ge=YEAR)] = 400
    notice: Annotated[int, Field(ge=YEAR)] = 400
    restriction: Annotated[int, Field(ge=YEAR)] = 1100
    disclosure: Annotated[int, Field(ge=YEAR)] = 1100
    # What a device sent (Art. 7) and what a mail system answered documents nothing that the office did.
    webhook: Annotated[int, Field(ge=30)] = 400
    bounce: Annotated[int, Field(ge=30)] = 400

    @model_validator(mode="before")
    @classmethod
    def _audit_is_kept(cls, value: Any) -> Any:
        if isinstance(value, dict) and "audit" in value:
            raise ValueError("audit: take the line out; the audit only grows and holds references, no personal data")
        return value


class _OfficeFile(_Part):
    code: Annotated[str, Field(pattern=r"^[a-z0-9-]{2,40}$")]
    name: Annotated[str, Field(min_length=1)]
    telephone: str
    telephone_hours: Annotated[str, Field(min_length=1)]
    form_url: Annotated[str, Field(pattern=r"^https://")]
    terms_url: Annotated[str, Field(pattern=r"^https://")]
    mail_from: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
    mail_domain: Annotated[str, Field(pattern=_DOMAIN)]
    # Starts that overlap, or share a quarter of an hour, could not both be kept free of each other in one round.
    grid_minutes: Annotated[int, Field(ge=SESSION_MINUTES, le=120, multiple_of=QUARTER)]
    horizon_days: Annotated[int, Field(ge=1, le=366)]
    year_guess_days: Annotated[int, Field(ge=1, le=364)] = 92
    holidays_known_until: date
    closures: list[date] = []
    hours: dict[_Day, str]
    reception: _Span
    counsellors: Annotated[list[_Counsellor], Field(min_length=1)]
    hosts: Annotated[list[_Host], Field(min_length=1)]
    zoom: _Zoom = _Zoom()
    messages: _Messages = _Messages()
    reminders: _Reminders = _Reminders()
    no_show: _NoShow = _NoShow()
    standing: _Standing = _Standing()
    terms: _Terms = _Terms()
    watch: _Watch = _Watch()
    retention_days: _Retention = _Retention()

    @field_validator("hours")
    @classmethod
    def _spans(cls, value: dict[str, str]) -> dict[str, str]:
        for day, span in value.items():
            if _opening(f"hours.{day}", span).opens.minute % QUARTER:
                raise ValueError(f"hours.{day}: must open at a whole quarter of an hour, such as 11:00 or 11:15")
        return value

    @model_validator(mode="after")
    def _nothing_goes_while_it_is_needed(self) -> _OfficeFile:
        days = self.retention_days
        for name, kept, needed, why in (
            ("request", days.request, self.terms.audience_days, "terms.audience_days"),
            ("booking", days.booking, self.standing.counts_for_days, "standing.counts_for_days"),
        ):
            if kept < needed:
                raise ValueError(
                    f"retention_days.{name}: {kept} is less than {why} ({needed}), which needs it; raise it"
                )
        return self

    @model_validator(mode="after")
    def _codes_are_distinct(self) -> _OfficeFile:
        for name, codes in (
            ("counsellors", [c.code for c in self.counsellors]),
            ("hosts", [h.code for h in self.hosts]),
            ("hosts' users", [h.user.lower() for h in self.hosts]),
        ):
            if len(set(codes)) != len(codes):
                raise ValueError(f"two {name} share a code or user; each needs its own")
        return self


def _opening(place: str, span: str) -> OpeningHours:
    try:
        opens, closes = (parse_clock(part.strip()) for part in span.split("-"))
    except ValueError:
        raise ValueError(f"{place}: write times such as 11:00 and 15:00, a span as 11:00-15:00") from None
    if opens >= closes:
        raise ValueError(f"{place}: opens at or after it closes")
    return OpeningHours(opens, closes)


def read_office(path: Path, *, sandbox: bool) -> Office:
    """Return the office that `path` describes.

    In the sandbox an empty telephone number is replaced by one that nobody has. OfficeFileError names what is wrong.
    """
    try:
        raw: Mapping[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OfficeFileError(f"{path}: no such file; set MADOGUCHI_OFFICE_FILE or copy config/office.toml") from None
    except OSError as error:
        raise OfficeFileError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OfficeFileError(f"{path}: not readable as TOML: {error}") from None
    try:
        parsed = _OfficeFile.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise OfficeFileError(f"{path}: {place}: {first['msg']}") from None
    return _office(parsed, sandbox=sandbox)


def _office(parsed: _OfficeFile, *, sandbox: bool) -> Office:
    return Office(
        code=parsed.code,
        name=parsed.name,
        telephone=parsed.telephone.strip() or (SANDBOX_TELEPHONE if sandbox else ""),
        telephone_hours=parsed.telephone_hours,
        form_url=parsed.form_url,
        terms_url=parsed.terms_url,
        mail_from=parsed.mail_from,
        mail_domain=parsed.mail_domain,
        hours={_DAYS.index(day): _opening(f"hours.{day}", span) for day, span in parsed.hours.items()},
        reception=parsed.reception.value(),
        grid_minutes=parsed.grid_minutes,
        horizon_days=parsed.horizon_days,
        closures=frozenset(parsed.closures),
        holidays_known_until=parsed.holidays_known_until,
        counsellors=tuple(
            Counsellor(c.code, frozenset(_DAYS.index(day) for day in c.days), frozenset(c.absences))
            for c in parsed.counsellors
        ),
        hosts=tuple(Host(h.code, h.user) for h in parsed.hosts),
        year_guess_days=parsed.year_guess_days,
        known_mail_domains=frozenset(domain.lower() for domain in parsed.messages.known_mail_domains),
        alternatives_offered=parsed.messages.alternatives_offered,
        max_send_attempts=parsed.messages.max_attempts,
        reminders=ReminderTimes(
            day_before=parse_clock(parsed.reminders.day_before),
            hour_before=timedelta(minutes=parsed.reminders.hour_before_minutes),
        ),
        no_show=NoShowPolicy(
            confirm_by_person=parsed.no_show.confirm_by_person,
            catch_up=timedelta(hours=parsed.no_show.catch_up_hours),
            look_seconds=parsed.no_show.look_seconds,
        ),
        standing=StandingPolicy(**parsed.standing.model_dump()),
        terms=parsed.terms.policy(),
        watch=parsed.watch.policy(),
        retention_days=parsed.retention_days.model_dump(),
        zoom=ZoomLimits(**parsed.zoom.model_dump()),
    )
