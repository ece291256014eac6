"""A sweep world whose references can be typed into forms."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from madoguchi.domain.reference import ALPHABET, LENGTH
from madoguchi.store.models import Booking, BookingRequest
from tests.tasks.sweep_world import SweepWorld


def typed(reference: str) -> str:
    """A real reference in place of one of a sweep world: `M-S000012` becomes `M-222232`."""
    number, signs = int(reference[3:]), ""
    for _ in range(LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        signs = ALPHABET[digit] + signs
    return f"{reference[:2]}{signs}"


class Desk(SweepWorld):
    """A world with short words for what staff do at the tenth minute and after it."""

    def session(self, *pieces: Any, **how: Any) -> str:
        made = super().session(*pieces, **how)
        with self.database.write() as session:
            session.execute(update(Booking).where(Booking.reference == made).values(reference=typed(made)))
            request = made.replace("M", "R")
            session.execute(
                update(BookingRequest).where(BookingRequest.reference == request).values(reference=typed(request))
            )
        return typed(made)
