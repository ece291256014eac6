"""What every form of staff shares: who recorded it, when it happened, and how it is refused.

Parameters hold references and codes only. `Refused` carries one sentence for the clerk; nothing was changed then.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from sqlalchemy.orm import Session

from madoguchi.domain.office import JST
from madoguchi.domain.reference import normalise_reference
from madoguchi.domain.staff import dated_ja
from madoguchi.store import staff_bookings as store
from madoguchi.store.audit import Act
from madoguchi.store.models import Booking, BookingRequest
from tasks.wiring import Run, Services

ReceivedBy = Annotated[
    str, Field(min_length=1, max_length=40, pattern=r"^[0-9A-Za-z０-９Ａ-Ｚａ-ｚぁ-ゖァ-ヺー々一-鿿_\-]+$")
]
"""Who took the call: staff number or family name. The pattern is in the form's schema, so the form says it itself."""

_TYPED = r"[ 　]*[A-Za-zＡ-Ｚａ-ｚ][ 　\-‐‑‒–—―−─ーｰ－]*([0-9A-Za-z０-９Ａ-Ｚａ-ｚ][ 　]*){6}"
Reference = Annotated[str, Field(max_length=20, pattern=rf"^{_TYPED}$")]
"""A reference however it is typed. The pattern keeps what is no reference at all out of Prefect: names, numbers."""
Matter = Annotated[str, Field(max_length=20, pattern=rf"^({_TYPED}|(policy|unclear)-[0-9]{{8}})$")]
"""A reference, or what a day's questions to staff are called in the list of what waits."""

CALL_THEM = "メールを送れない方です。お電話でお知らせください（職員の確認待ちの一覧に入れました）。"
_TELEPHONE_LIKE = re.compile(r"(?:\d-?){9,}")


class Refused(Exception):  # noqa: N818 — named by what happened
    """A form that cannot be done; the text is one polite sentence for the clerk. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a form did. `again`: the same form had done it before, nothing was repeated.

    `sentence` and `notes` are for the clerk: references and times, nothing about a person. `freed`: the start of a
    slot that somebody else may have now.
    """

    reference: str
    sentence: str
    notes: tuple[str, ...] = ()
    again: bool = False
    freed: datetime | None = None


def by_code(codes: Mapping[str, str]) -> BeforeValidator:
    """Return a validator that takes the code as well as the phrase of a dropdown; the form shows the phrases.

    For `Annotated[SomeLiteral, by_code(SOME_REASONS)]`: `codes` maps each phrase to its code.
    """
    phrases = {code: phrase for phrase, code in codes.items()}

    def phrase_of(value: Any) -> Any:
        return phrases.get(value, value) if isinstance(value, str) else value

    return BeforeValidator(phrase_of)


def staff_run(run: Run, received_by: str) -> Run:
    """Return the run with the clerk as actor of its audit rows (`staff:…`); Refused when nobody is named.

    Steps that follow from the form go by the plain run: they are the system's acts.
    """
    name = unicodedata.normalize("NFKC", received_by).strip()
    if not name or _TELEPHONE_LIKE.search(name):
        raise Refused("「受けた職員」には、職員番号か名字だけを入れてください（電話番号などは入れないでください）。")
    return replace(run, actor=f"staff:{name}"[:80])


def act_of(services: Services, run: Run, received_at: datetime | None = None) -> Act:
    """Return the circumstances of a form: the matter happened at `received_at`, it is recorded by the clock now.

    A naive `received_at` is Asia/Tokyo wall time; None: now in business time. Refused when it lies in the future.
    """
    act = run.act(services)
    if received_at is None:
        return act
    happened = aware(received_at)
    if happened > act.happened_at:
        raise Refused(
            f"受けた日時（{dated_ja(happened)}）が、今（{dated_ja(act.happened_at)}）より後です。日時を確かめてください。"
        )
    return replace(act, happened_at=happened)


def aware(moment: datetime) -> datetime:
    """Return a time of a form as an aware one; naive means Asia/Tokyo."""
    return moment if moment.tzinfo else moment.replace(tzinfo=JST)


def booking_of(session: Session, office: str, reference: str) -> Booking:
    """Return the booking of a reference that somebody typed, locked until the transaction ends; Refused if none."""
    normal = _normal(reference, "予約番号", "M-7K2Q9F")
    found = store.booking_by_reference(session, office, normal)
    if found is not None:
        return found
    if store.request_by_reference(session, office, normal) is not None:
        raise Refused(f"{normal} は申込みの番号です。予約の番号（M- で始まるもの）を入れてください。")
    raise Refused(f"{normal} という予約は見つかりません。番号を確かめてください。")


def request_of(session: Session, office: str, reference: str) -> BookingRequest:
    """Return the application of a reference that somebody typed, locked until the transaction ends; Refused if none."""
    normal = _normal(reference, "申込みの番号", "R-7K2Q9F")
    found = store.request_by_reference(session, office, normal)
    if found is not None:
        return found
    if store.booking_by_reference(session, office, normal) is not None:
        raise Refused(f"{normal} は予約の番号です。申込みの番号（R- で始まるもの）を入れてください。")
    raise Refused(f"{normal} という申込みは見つかりません。番号を確かめてください。")


def names_request(session: Session, office: str, reference: str) -> bool:
    """Tell whether what was typed is the reference of an application; anything else is to be looked up as a booking."""
    try:
        normal = normalise_reference(reference)
    except ValueError:
        return False
    return store.request_by_reference(session, office, normal) is not None


def _normal(reference: str, called: str, example: str) -> str:
    # What was typed is not repeated: it may be anything, a name too.
    try:
        return normalise_reference(reference)
    except ValueError:
        raise Refused(
            f"{called}の形になっていません。{example} のような番号を、一覧かメールから写してください。"
        ) from None
