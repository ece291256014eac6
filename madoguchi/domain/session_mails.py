"""What the mails around a session say: reminders, changes, cancellation, the tenth minute and what comes after.

Personal values stay out of `repr`, and so out of tracebacks. Times are aware; as JSON they are ISO 8601 in Asia/Tokyo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any, Self, TypeAlias

from madoguchi.domain.evidence import Verdict
from madoguchi.domain.office import JST, SESSION_MINUTES


class AsJson:
    """`to_json` and `from_json` for a dataclass of texts, numbers, aware datetimes, days and tuples of datetimes."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Return JSON values only."""
        return {item.name: _to_json(getattr(self, item.name)) for item in fields(self)}  # type: ignore[arg-type] # a dataclass by contract

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote; TypeError or ValueError for anything else."""
        kinds = {item.name: str(item.type) for item in fields(cls)}  # type: ignore[arg-type] # a dataclass by contract
        return cls(**{name: _from_json(kinds.get(name, ""), value) for name, value in values.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReminderContext(AsJson):
    """What a reminder says, a working day or an hour before.

    `telephone_opens`: when the telephone is answered again, if it is not on the day before the session; else None.
    """

    recipient_name: str = field(repr=False)
    start: datetime
    duration: int = SESSION_MINUTES
    meeting_id: str = field(repr=False)
    passcode: str = field(repr=False)
    join_url: str = field(repr=False)
    reference: str
    revision: int
    companion: bool = False
    telephone_opens: datetime | None = None

    def __post_init__(self) -> None:
        require_aware("start", self.start)
        if self.telephone_opens is not None:
            require_aware("telephone_opens", self.telephone_opens)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedContext(AsJson):
    """What a revision of a confirmation says: another time, or the same time with another link.

    `previous_start`: the time that no longer holds; None when only the link changed.
    """

    recipient_name: str = field(repr=False)
    start: datetime
    duration: int = SESSION_MINUTES
    meeting_id: str = field(repr=False)
    passcode: str = field(repr=False)
    join_url: str = field(repr=False)
    reference: str
    revision: int
    previous_start: datetime | None = None
    companion: bool = False

    def __post_init__(self) -> None:
        require_aware("start", self.start)
        if self.previous_start is not None:
            require_aware("previous_start", self.previous_start)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelledContext(AsJson):
    """What the receipt of a cancellation says (Art. 6(3)). `received_at`: when the client's call was taken.

    `by_office`: the office had to call the session off; then it says sorry and offers to book again.
    """

    recipient_name: str = field(repr=False)
    start: datetime
    received_at: datetime
    reference: str
    revision: int
    by_office: bool = False

    def __post_init__(self) -> None:
        require_aware("start", self.start)
        require_aware("received_at", self.received_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoShowContext(AsJson):
    """What the mail of Art. 6(3) says: nobody came and nobody called in ten minutes. Never says that use is refused."""

    recipient_name: str = field(repr=False)
    start: datetime
    reference: str
    revision: int

    def __post_init__(self) -> None:
        require_aware("start", self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectedContext(AsJson):
    """What the correction of a no-show mail says. `verdict`: what holds now; never `no_show`."""

    recipient_name: str = field(repr=False)
    start: datetime
    reference: str
    revision: int
    verdict: str

    def __post_init__(self) -> None:
        require_aware("start", self.start)
        if self.verdict != "cancelled" and Verdict(self.verdict) == Verdict.NO_SHOW:
            raise ValueError("verdict: a correction takes a no-show back")


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficeFaultContext(AsJson):
    """What the office says when it failed a client: sorry, and other times. `offers` may be empty; nothing is held."""

    recipient_name: str = field(repr=False)
    start: datetime
    offers: tuple[datetime, ...]
    answer_by: date | None
    reference: str
    revision: int

    def __post_init__(self) -> None:
        require_aware("start", self.start)
        for start in self.offers:
            require_aware("offers", start)
        if self.offers and self.answer_by is None:
            raise ValueError("answer_by: offers need the day until which they can be answered")
        object.__setattr__(self, "offers", tuple(self.offers))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclinedContext(AsJson):
    """What an applicant is told whose application staff could not accept: please call. Never why, never a refusal."""

    recipient_name: str = field(repr=False)
    reference: str
    revision: int = 1


SessionMail: TypeAlias = (
    ReminderContext
    | ChangedContext
    | CancelledContext
    | NoShowContext
    | CorrectedContext
    | OfficeFaultContext
    | DeclinedContext
)


def iso(moment: datetime) -> str:
    """Return an aware instant as ISO 8601 in Asia/Tokyo."""
    return moment.astimezone(JST).isoformat()


def require_aware(name: str, moment: datetime) -> None:
    """Raise ValueError that names the field unless `moment` has a zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{name}: needs an aware datetime")


def _to_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_to_json(part) for part in value]
    return value


def _from_json(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind.startswith("tuple"):
        return tuple(datetime.fromisoformat(part) for part in value)
    if kind.startswith("datetime"):
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if kind.startswith("date") else value
