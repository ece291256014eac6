"""From the cells of one form row to an outcome. What rows mean to each other is `intake_resolution`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from madoguchi.domain.application import REASON_RANK, REASONS, Application, Flag, Outcome, Reason, RowResult
from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.form_values.choices import read_companion, read_consent, read_registration, read_topics
from madoguchi.domain.form_values.job_seeker_number import read_job_seeker_number
from madoguchi.domain.form_values.mail_address import read_mail_address
from madoguchi.domain.form_values.names import name_match_key, read_name
from madoguchi.domain.form_values.submission import read_submitted_at
from madoguchi.domain.form_values.telephone import read_telephone
from madoguchi.domain.form_values.text import (
    Cell,
    Reading,
    T,
    cell_text,
    is_blank,
    is_formula_start,
    katakana,
    one_line,
    without_invisible,
)
from madoguchi.domain.form_values.wishes import Wish, read_wishes
from madoguchi.domain.intake_mapping import FIELDS, WISHES, FormMapping
from madoguchi.domain.intake_resolution import Candidate, Earlier, Resolution, resolve
from madoguchi.domain.office import JST

__all__ = [
    "FIELDS",
    "Candidate",
    "Cell",
    "Earlier",
    "FormMapping",
    "Resolution",
    "name_match_key",
    "parse_row",
    "resolve",
]

_WISH_FIELDS: Final = tuple((f"wish{n}", f"wish{n}_date", f"wish{n}_time") for n in range(1, WISHES + 1))
_FREE_TEXT: Final = ("name", "kana", "companion", "note", "topics")


@dataclass(slots=True)
class _Findings:
    """What one row has shown so far."""

    reasons: list[Reason] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)

    def note(self, reading: Reading[T]) -> T | None:
        """Take over what a cell showed and return its value."""
        self.reasons.extend(reading.reasons)
        self.flags.update(reading.flags)
        return reading.value


def parse_row(
    cells: Mapping[str, Cell],
    *,
    mapping: FormMapping,
    calendar: OfficeCalendar,
    as_of: datetime,
    address_is_valid: Callable[[str], bool],
    extra_columns: bool = False,
) -> RowResult:
    """Judge one row alone, at `as_of` (aware).

    Makes every check but the four that compare rows: DUPLICATE, SUPERSEDED_BY_EDIT, NUMBER_NAME_MISMATCH and
    CHANGE_REQUEST, see `resolve`. `cells` maps fields to cells; absent fields count as blank. `extra_columns` says
    that the row does not have as many columns as the header. Never raises, whatever the cells hold.
    """
    if not extra_columns and all(cell is None or (isinstance(cell, str) and _empty(cell)) for cell in cells.values()):
        return RowResult(Outcome.SKIP, Reason.BLANK, (Reason.BLANK,), frozenset(), Application(), "")
    found = _Findings([Reason.COLUMN_COUNT] if extra_columns else [])
    text = {name: cell_text(cells.get(name)) for name in _FREE_TEXT}
    if any(is_formula_start(value) for value in text.values()):
        found.reasons.append(Reason.SUSPICIOUS_CELL)

    submitted = read_submitted_at(cells.get("submitted_at"), zone=mapping.zone, formats=mapping.submitted_formats)
    if submitted is None:
        found.reasons.append(Reason.NO_SUBMIT_TIME)
    elif submitted > as_of:
        found.flags.add(Flag.SUBMITTED_LATER)

    number = found.note(read_job_seeker_number(cells.get("job_seeker_number")))
    registration = _registration(cells, found)
    consent = found.note(read_consent(cell_text(cells.get("consent")))) or "deemed"
    if consent == "refused":
        found.reasons.append(Reason.CONSENT_REFUSED)
    name = found.note(read_name(text["name"]))
    wishes, chosen = _wishes(cells, found, calendar, as_of, submitted)
    email, phone = _contact(cells, found, calendar, address_is_valid)
    application = Application(
        name=name,
        kana=katakana(text["kana"]) if not is_blank(text["kana"]) else None,
        job_seeker_number=number,
        email=email,
        phone=phone,
        companion=found.note(read_companion(text["companion"])),
        registration=registration,
        topics=read_topics(text["topics"], mapping.separators),
        note=None if is_blank(text["note"]) else text["note"].strip(),
        wishes=wishes,
        chosen_preference=chosen,
        consent=consent,
        submitted_at=submitted,
    )
    findings = in_check_order(found.reasons)
    reason = findings[0] if findings else None
    outcome = REASONS[reason].outcome if reason else Outcome.ACCEPT
    return RowResult(outcome, reason, findings, frozenset(found.flags), application, _row_key(cells, application))


def in_check_order(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Return the reasons once each, in the order of the checks."""
    return tuple(sorted(set(reasons), key=REASON_RANK.__getitem__))


def _empty(text: str) -> bool:
    """Tell whether nothing at all is written; a lone dash is something here."""
    return not text or not without_invisible(text).strip()


def _registration(cells: Mapping[str, Cell], found: _Findings) -> str:
    """Read the declared registration; with a number beside it, "not registered" is for a person (Art. 2(1))."""
    registration = found.note(read_registration(cell_text(cells.get("registration")))) or ""
    if registration == "none":
        has_number = Reason.MISSING_NUMBER not in found.reasons
        found.reasons.append(Reason.REGISTRATION_CONFLICT if has_number else Reason.NOT_REGISTERED)
    return registration


def _contact(
    cells: Mapping[str, Cell], found: _Findings, calendar: OfficeCalendar, address_is_valid: Callable[[str], bool]
) -> tuple[str | None, str | None]:
    known = calendar.office.known_mail_domains
    reading = read_mail_address(cells.get("email"), known_domains=known, address_is_valid=address_is_valid)
    if reading.value is None and not reading.reasons:
        account = cell_text(cells.get("account_email"))
        if account.strip().lower() != "anonymous":
            reading = read_mail_address(account, known_domains=known, address_is_valid=address_is_valid)
            if reading.value is not None:
                found.flags.add(Flag.EMAIL_FROM_ACCOUNT)
    email = found.note(reading)
    phone = found.note(read_telephone(cells.get("phone")))
    if email is None and not reading.reasons:
        found.reasons.append(Reason.NO_EMAIL if phone else Reason.NO_CONTACT)
    return email, phone


def _wishes(
    cells: Mapping[str, Cell],
    found: _Findings,
    calendar: OfficeCalendar,
    as_of: datetime,
    submitted: datetime | None,
) -> tuple[tuple[datetime, ...], int]:
    """Choose among the wishes: the first that is not hopeless speaks for the row.

    A first choice on a closed day gives way to a second that the applicant wrote too; one that only a person can
    read does not. Later wishes count only when they are bookable.
    """
    reference = (submitted or as_of).astimezone(JST).date()
    wishes = read_wishes(_wish_cells(cells), reference=reference, year_guess_days=calendar.office.year_guess_days)
    if len(wishes) > WISHES:
        found.flags.add(Flag.WISHES_CUT)
    judged = [(wish, in_check_order(_faults(wish, calendar, as_of, reference))) for wish in wishes[:WISHES]]
    if not judged:
        found.reasons.append(Reason.MISSING_DATETIME)
        return (), 1
    chosen = next((i for i, (_, faults) in enumerate(judged) if not _hopeless(faults)), None)
    wish, faults = judged[chosen or 0]
    found.reasons.extend(faults)
    found.flags.update(wish.flags)
    if faults:
        readable = (wish.start for wish, _ in judged)
        if chosen:
            found.flags.add(Flag.FIRST_CHOICE_INVALID)
        return tuple(dict.fromkeys(start for start in readable if start)), 1
    if wish.preference > 1:
        found.flags.add(Flag.FIRST_CHOICE_INVALID)
    if any(faults for _, faults in judged[chosen or 0 :]):
        found.flags.add(Flag.ALTERNATIVE_UNUSABLE)
    bookable = (wish.start for wish, faults in judged if not faults)
    return tuple(dict.fromkeys(start for start in bookable if start)), wish.preference


def _wish_cells(cells: Mapping[str, Cell]) -> list[tuple[Cell, Cell]]:
    return [
        (cells.get(whole) if cells.get(day) in {None, ""} else cells[day], cells.get(clock))
        for whole, day, clock in _WISH_FIELDS
    ]


def _hopeless(faults: tuple[Reason, ...]) -> bool:
    return bool(faults) and REASONS[faults[0]].outcome is Outcome.REJECT


def _faults(wish: Wish, calendar: OfficeCalendar, as_of: datetime, reference: date) -> list[Reason]:
    faults = list(wish.reasons)
    if wish.day is None:
        return faults
    open_that_day = calendar.is_working_day(wish.day) if calendar.knows(wish.day) else wish.day.weekday() < 5
    if not open_that_day:
        faults.append(Reason.NON_WORKING_DAY)
    today = as_of.astimezone(JST).date()
    if wish.day < reference:
        faults.append(Reason.PAST_DATE)
    elif wish.day == reference:
        faults.append(Reason.SAME_DAY)  # Art. 6(1): as a rule by the day before
    elif wish.day <= today:
        faults.append(Reason.LATE_INGEST)
    if wish.day > calendar.last_bookable_day(as_of):
        faults.append(Reason.BEYOND_HORIZON)
    if wish.start is not None and open_that_day:
        if not calendar.is_inside_hours(wish.start):
            faults.append(Reason.OUT_OF_WINDOW)
        elif not calendar.is_on_grid(wish.start):
            faults.append(Reason.OFF_GRID)
    return faults


def _row_key(cells: Mapping[str, Cell], application: Application) -> str:
    """Return the source's row id, or a hash of submission time, number and address.

    Where those say too little to tell two people apart, the whole row goes into the hash: better one row too many
    before a person than one person taken for another.
    """
    row_id = one_line(cell_text(cells.get("row_id")))
    if row_id and not is_blank(row_id):
        return row_id
    submitted = application.submitted_at
    parts = [
        submitted.isoformat() if submitted else "",
        application.job_seeker_number or "",
        application.email or "",
    ]
    if submitted is None or not (application.job_seeker_number or application.email):
        parts.extend(f"{name}={cell_text(cells.get(name))}" for name in FIELDS)
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
