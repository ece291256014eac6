"""What a person's past no-shows and restrictions mean for the next application: who decides, never what.

Pure. Art. 6(3), third sentence: the office may decline future use. That is a person's decision, so nothing here
refuses anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from madoguchi.domain.office import JST

RESTRICTED: Final = "RESTRICTED"
REPEATED_NO_SHOW: Final = "REPEATED_NO_SHOW"


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody stands at one moment.

    `no_shows`: those that still count. `restricted_until`: the day in Asia/Tokyo on which the last restriction in force
    ends; None without one, and for one without an end. `needs_person`: the next application goes to staff, for
    `reason` (RESTRICTED before REPEATED_NO_SHOW); otherwise None.
    """

    no_shows: int
    restricted_until: date | None
    needs_person: bool
    reason: str | None


def standing(
    no_show_days: Sequence[date],
    restrictions: Sequence[tuple[datetime, datetime | None]],
    *,
    as_of: datetime,
    counts_for_days: int,
    review_after: int,
) -> Standing:
    """Return how somebody stands at `as_of`, from what is in the record now.

    `no_show_days`: the session days, in Asia/Tokyo, of bookings that stand as no_show; corrected ones are not given.
    A day counts from itself until `counts_for_days` days later, the last one included, and never before it has come.
    A restriction is in force from its first moment until just before its second; one without an end until it is lifted.
    It does not refuse, and has no threshold that refuses: from `review_after` no-shows on, a person looks (Art. 6(3)).
    ValueError for settings below 0 and 1, and for times without a zone.
    """
    if counts_for_days < 0 or review_after < 1:
        raise ValueError(
            f"counts_for_days={counts_for_days}, review_after={review_after}: give at least 0 days and 1 no-show"
        )
    moments = [as_of, *(moment for pair in restrictions for moment in pair if moment is not None)]
    if any(moment.tzinfo is None for moment in moments):
        raise ValueError("as_of, restrictions: a time has no time zone; give aware datetimes")
    today = as_of.astimezone(JST).date()
    count = sum(1 for day in no_show_days if 0 <= (today - day).days <= counts_for_days)
    in_force = [until for since, until in restrictions if since <= as_of and (until is None or as_of < until)]
    reason = RESTRICTED if in_force else REPEATED_NO_SHOW if count >= review_after else None
    return Standing(
        no_shows=count,
        restricted_until=_last_day(in_force),
        needs_person=reason is not None,
        reason=reason,
    )


def _last_day(ends: Sequence[datetime | None]) -> date | None:
    known = [end for end in ends if end is not None]
    if not known or len(known) < len(ends):
        return None
    return max(known).astimezone(JST).date()
