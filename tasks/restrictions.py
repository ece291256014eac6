"""Staff refuse future use to somebody, or take that back (Art. 6(3), Art. 12(1)): a person decides, never a machine.

Nobody is told by mail: the office tells the person itself. What it changes is that the next applications go to staff.
"""

from __future__ import annotations

import secrets
import unicodedata
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from typing import Annotated, Final, TypeAlias

from pydantic import Field
from sqlalchemy.orm import Session

from madoguchi.domain.office import JST
from madoguchi.domain.reference import new_reference
from madoguchi.domain.staff import GROUNDS, RESTRICTING, RESTRICTION_REASONS, fits_restriction, moment_ja
from madoguchi.store import restrictions as store
from madoguchi.store.audit import Act
from madoguchi.store.models import Restriction
from tasks.staff import Done, Refused, act_of, booking_of, names_request, request_of, staff_run
from tasks.wiring import Run, Services

PREFIX: Final = "S"
Document: TypeAlias = Annotated[
    str,
    Field(
        max_length=30,
        pattern=r"^([一-鿿]{1,6}[0-9０-９]{0,8}第[0-9０-９]{1,6}号|[A-Za-z]{1,6}-?[0-9]{1,8}(-[0-9]{1,6})?)$",
    ),
]
"""The number of the paper in which it was decided; the pattern leaves no room for a name or a job-seeker number."""
_SAME = "同じ内容の決定です。何も繰り返していません。"


@dataclass(frozen=True, slots=True)
class Decided:
    """The form `set-restriction` as it was filled in: phrases of `RESTRICTING`, `RESTRICTION_REASONS` and `GROUNDS`.

    `reference`: of any booking or application of the person. `until`: the last day (Asia/Tokyo); None: no end.
    """

    reference: str
    action: str
    reason: str
    received_by: str
    ground: str | None = None
    until: date | None = None
    document: str | None = None


def set_restriction(services: Services, run: Run, form: Decided) -> Done:
    """Restrict a person's future use, or lift that; at most one restriction a person is in force.

    Cancels nothing and refuses nothing that is there: bookings and applications of the person are named, staff decide
    about them. Raises Refused; nothing is changed then.
    """
    by, action = staff_run(run, form.received_by), RESTRICTING[form.action]
    code = RESTRICTION_REASONS[form.reason]
    if not fits_restriction(action, code):
        raise Refused(f"「{form.action}」の理由に「{form.reason}」は使えません。選び直してください。")
    with services.database.write() as session:
        act = act_of(services, by)
        client, reference = person_of(session, act, form.reference)
        store.lock_client(session, client)
        standing = store.restriction_in_force(session, act.office, client, act.happened_at)
        deciding = _Deciding(session, act, client, reference, standing, code)
        return deciding.lift(form) if action == "lift" else deciding.restrict(form)


def person_of(session: Session, act: Act, typed: str) -> tuple[str, str]:
    """Return the client's id and the reference as it is written; Refused when what was typed is nobody's."""
    if not names_request(session, act.office, typed):
        booking = booking_of(session, act.office, typed)
        return booking.client_id, booking.reference
    request = request_of(session, act.office, typed)
    if request.client_id is None:
        raise Refused(
            f"{request.reference} は、どなたの申込みか決まっていません（受け付けられなかった申込みです）。"
            "同じ方の、受け付けた申込みか予約の番号を入れてください。"
        )
    return request.client_id, request.reference


@dataclass(slots=True)
class _Deciding:
    """One decision about one person inside one transaction. `standing`: the restriction in force."""

    session: Session
    act: Act
    client: str
    reference: str
    standing: Restriction | None
    code: str

    def restrict(self, form: Decided) -> Done:
        act, standing = self.act, self.standing
        if form.ground is None:
            raise Refused("「制限する」のときは、ground（根拠の条項）を選んでください。")
        if form.until is not None and form.until < act.happened_at.astimezone(JST).date():
            raise Refused(
                f"until（いつまで）の{_day(form.until)}は、もう過ぎています。これからの日を入れるか、空にしてください。"
            )
        # The last day is a whole one, and reading it back says that day.
        until = datetime.combine(form.until, time.max, JST) if form.until else None
        document = unicodedata.normalize("NFKC", form.document) if form.document else None
        name = standing.reference if standing else ""
        new = store.NewRestriction(name, self.client, GROUNDS[form.ground], self.code, until, document)
        if standing is not None:
            return self._again(standing, new)
        name = store.fresh_reference(self.session, act.office, lambda: new_reference(PREFIX, secrets.randbelow))
        store.restrict(self.session, act, replace(new, reference=name))
        said = f"{self.reference} の方の利用の制限を記録しました（決定の番号 {name}、{form.ground}、{_term(until)}）。"
        note = "この方の次の申込みは、職員が判断します。ご本人へのお知らせは送りません。"
        return Done(self.reference, said, (note, *self._still_open()))

    def _again(self, standing: Restriction, new: store.NewRestriction) -> Done:
        known = (standing.ground, standing.reason, standing.until, standing.document, standing.decided_by)
        if known == (new.ground, new.reason, new.until, new.document, self.act.actor):
            at = moment_ja(standing.starts_at)
            said = f"{self.reference} の方の利用の制限（{standing.reference}）は、{at}に決定済みです。"
            return Done(self.reference, said, (_SAME,), again=True)
        raise Refused(
            f"{self.reference} の方には、すでに利用の制限（{standing.reference}、{_term(standing.until)}）があります。"
            "変えるときは、先に「解除する」で解除してください。"
        )

    def _still_open(self) -> list[str]:
        bookings, requests = store.open_matters(self.session, self.act.office, self.client)
        notes = []
        if bookings:
            notes.append(
                f"これからの予約はそのままです: {'、'.join(bookings)}。"
                "取り消すときは cancel-booking（予約の取消し）を使ってください。"
            )
        if requests:
            notes.append(
                f"まだ枠の決まっていない申込みもそのままです: {'、'.join(requests)}。"
                "お断りするときは decide-request（申込みの判断）を使ってください。"
            )
        return notes

    def lift(self, form: Decided) -> Done:
        if form.ground or form.until or form.document:
            raise Refused("「解除する」のときは、ground・until・document を空にしてください。")
        if self.standing is not None:
            store.lift(self.session, self.act, self.standing, self.code)
            said = f"{self.reference} の方の利用の制限（{self.standing.reference}）を解除しました。"
            return Done(self.reference, said, ("不参加の記録は残ります。次の申込みの扱いは、その回数によります。",))
        last = store.last_lifted(self.session, self.act.office, self.client)
        if last is not None and last.lifted_at and (last.lifted_by, last.lift_reason) == (self.act.actor, self.code):
            said = (
                f"{self.reference} の方の利用の制限（{last.reference}）は、{moment_ja(last.lifted_at)}に解除済みです。"
            )
            return Done(self.reference, said, (_SAME,), again=True)
        raise Refused(f"{self.reference} の方には、解除する利用の制限がありません。")


def _term(until: datetime | None) -> str:
    return f"{_day(until.astimezone(JST).date())}まで" if until else "期限なし"


def _day(day: date) -> str:
    return f"{day.year}年{day.month}月{day.day}日"
