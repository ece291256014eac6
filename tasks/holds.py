"""Staff order that what is known of a person is kept beyond its time, or end that. Nobody is told by mail."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from madoguchi.domain.disclosure import HOLD_ACTIONS, HOLD_REASONS
from madoguchi.domain.staff import moment_ja
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.models import Client, RecordHold
from madoguchi.store.restrictions import lock_client
from tasks.restrictions import person_of
from tasks.staff import Done, Refused, act_of, staff_run
from tasks.wiring import Run, Services

_SAME = "同じ内容の指示です。何も繰り返していません。"


@dataclass(frozen=True, slots=True)
class Holding:
    """The form `set-hold` as it was filled in: phrases of `HOLD_ACTIONS` and `HOLD_REASONS`.

    `reference`: of any booking or application of the person. `paper`: the number of the paper that orders it.
    """

    reference: str
    action: str
    reason: str
    paper: str
    received_by: str


def set_hold(services: Services, run: Run, form: Holding) -> Done:
    """Set or lift a hold on one person under one paper. Raises Refused; nothing is changed then."""
    by, paper = staff_run(run, form.received_by), unicodedata.normalize("NFKC", form.paper)
    with services.database.write() as session:
        act = act_of(services, by)
        client, reference = person_of(session, act, form.reference)
        lock_client(session, client)
        require_known(session, client, reference)
        standing = standing_hold(session, act.office, client, paper)
        if HOLD_ACTIONS[form.action] == "lift":
            return _lift(session, act, reference, standing, paper)
        if standing is not None:
            said = f"{reference} の方には、{moment_ja(standing.set_at)}から保存の指示（{paper}）があります。"
            return Done(reference, said, (_SAME,), again=True)
        add_hold(session, act, client, reference, HOLD_REASONS[form.reason], paper)
    said = f"{reference} の方の記録を、保存期間が過ぎても残す指示（{paper}）を記録しました。"
    return Done(reference, said, ("解除するまで、この方の記録は消去されません。",))


def require_known(session: Session, client_id: str, reference: str) -> None:
    """Refuse when nothing personal of somebody is left: nothing could be kept, or given."""
    if erased_at := session.scalar(select(Client.erased_at).where(Client.id == client_id)):
        raise Refused(f"{reference} の方の記録は、保存期間が過ぎたため{moment_ja(erased_at)}に消去しました。")


def standing_hold(session: Session, office: str, client_id: str, paper: str) -> RecordHold | None:
    """Return the hold on a person under a paper that nobody has lifted."""
    return session.scalar(
        select(RecordHold).where(
            RecordHold.office == office,
            RecordHold.client_id == client_id,
            RecordHold.paper == paper,
            RecordHold.lifted_at.is_(None),
        )
    )


def add_hold(session: Session, act: Act, client_id: str, reference: str, reason: str, paper: str) -> None:
    """Record a hold, with its audit row."""
    session.add(
        RecordHold(
            office=act.office, client_id=client_id, reason=reason, paper=paper, set_by=act.actor, set_at=act.happened_at
        )
    )
    details = {"paper": paper}
    write_audit(session, [audit_row(act, "hold", reference, "held", new="held", reason=reason, details=details)])


def _lift(session: Session, act: Act, reference: str, standing: RecordHold | None, paper: str) -> Done:
    if standing is None:
        raise Refused(f"{reference} の方には、{paper} による保存の指示はありません。文書の番号を確かめてください。")
    standing.lifted_at, standing.lifted_by = act.happened_at, act.actor
    details = {"paper": paper}
    write_audit(session, [audit_row(act, "hold", reference, "released", old="held", details=details)])
    left = session.scalar(
        select(RecordHold.paper).where(
            RecordHold.office == act.office, RecordHold.client_id == standing.client_id, RecordHold.lifted_at.is_(None)
        )
    )
    note = (
        f"この方には、ほかの保存の指示（{left}）が残っています。"
        if left
        else "保存期間の過ぎた記録は、次の夜に消去されます。"
    )
    return Done(reference, f"{reference} の方の保存の指示（{paper}）を解除しました。", (note,))
