"""Public holidays of Japan, from jpholiday."""

from __future__ import annotations

from datetime import date

import jpholiday


def is_public_holiday(day: date) -> bool:
    """Tell whether `day` is a holiday of the Act on National Holidays, substitute and sandwiched days included.

    Does not know 29 December to 3 January (another Act) nor the office's closures: see `OfficeCalendar`.
    """
    return bool(jpholiday.is_holiday(day))
