"""The register of disclosures under law (Art. 7(2) proviso) and the extract for one person. A person decides."""

from __future__ import annotations

import hashlib
import json
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field
from sqlalchemy.orm import Session

from madoguchi.domain.disclosure import ASKED, BASES, DECISIONS, SCOPES, why_not_granted
from madoguchi.domain.office import JST
from madoguchi.domain.reference import new_reference
from madoguchi.domain.staff import moment_ja
from madoguchi.store import disclosure as store
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.models import Client, Disclosure
from madoguchi.store.restrictions import lock_client
from tasks.holds import add_hold, require_known, standing_hold
from tasks.restrictions import person_of
from tasks.staff import Done, Refused, act_of, staff_run
from tasks.wiring import Run, Services

PREFIX: Final = "D"
Authority: TypeAlias = Annotated[
    str,
    Field(
        max_length=40,
        pattern=(
            r"^[一-鿿ァ-ヺーヶ0-9０-９]{0,30}(警察署|警察本部|警視庁|検察庁|裁判所|税務署|国税局|労働局|労働基準監督署"
            r"|公共職業安定所|海上保安部|出入国在留管理局|委員会|市役所|区役所|町役場|村役場|県庁|都庁|府庁|道庁|省|庁)$"
        ),
    ),
]
"""The name of a public body; the pattern leaves no room for who works there."""
_SAME = "同じ内容の記録です。何も繰り返していません。"


@dataclass(frozen=True, slots=True)
class Decided:
    """The form `record-disclosure` as it was filled in: phrases of `ASKED`, `BASES`, `SCOPES` and `DECISIONS`."""

    reference: str
    authority: str
    asked: str
    basis: str
    decision: str
    approver: str
    received_by: str
    paper: str | None = None
    scope: Sequence[str] = ()


def record_disclosure(services: Services, run: Run, form: Decided) -> Done:
    """Enter a decision into the register; a granted one holds the person's records. Gives nothing out.

    Raises Refused, with nothing changed, when what was asked for may not be granted, or clerk and approver are one.
    """
    by, approver = staff_run(run, form.received_by), staff_run(run, form.approver).actor
    if approver == by.actor:
        raise Refused("approver（承認した職員）には、受けた職員とは別の方を入れてください。")
    paper = unicodedata.normalize("NFKC", form.paper or "")
    decision, scope = DECISIONS[form.decision], [SCOPES[each] for each in dict.fromkeys(form.scope)]
    why = why_not_granted(asked=ASKED[form.asked], basis=BASES[form.basis], paper=paper, scope=scope)
    if decision == "granted" and why:
        raise Refused(why)
    with services.database.write() as session:
        act = act_of(services, by)
        client, reference = person_of(session, act, form.reference)
        lock_client(session, client)
        require_known(session, client, reference)
        row = Disclosure(
            office=act.office, reference="", client_id=client, authority=unicodedata.normalize("NFKC", form.authority),
            legal_basis=BASES[form.basis], paper=paper, scope=scope if decision == "granted" else [],
            decision=decision, approver=approver, decided_at=act.happened_at, given_at=None, given_by=None,
            sha256=None, note=ASKED[form.asked],
        )  # fmt: skip
        if (known := store.same_decision(session, row)) is not None:
            said = f"{reference} の方の開示の記録（{known.reference}）は、{moment_ja(known.decided_at)}にあります。"
            return Done(reference, said, (_SAME,), again=True)
        return _enter(session, act, row, reference)


def _enter(session: Session, act: Act, row: Disclosure, reference: str) -> Done:
    while not row.reference or store.disclosure_by_reference(session, act.office, row.reference):
        row.reference = new_reference(PREFIX, secrets.randbelow)
    session.add(row)
    details = {"about": reference, "authority": row.authority, "paper": row.paper, "scope": row.scope}
    entry = audit_row(
        act, "disclosure", row.reference, "decided", new=row.decision, reason=row.legal_basis, details=details
    )
    write_audit(session, [entry])
    if row.decision == "refused":
        said = f"{reference} の方について、開示しない決定（{row.reference}）を記録しました。"
        note = "あらためて求められる見込みがあるときは、set-hold（保存の指示）で記録を残せます。"
        return Done(reference, said, (note,))
    if row.client_id and standing_hold(session, act.office, row.client_id, row.paper) is None:
        add_hold(session, act, row.client_id, reference, "disclosure", row.paper)
    said = f"{reference} の方について、開示する決定（{row.reference}）を記録しました。"
    return Done(
        reference,
        said,
        (
            f"抜き出すには、この機械で madoguchi disclose {row.reference} --out ファイル名 を実行します。",
            "この方の記録には保存の指示を付けました。済んだら set-hold で解除してください。",
        ),
    )


class NotDisclosed(Exception):  # noqa: N818 — named by what happened
    """No extract: the text says why, with references only."""


@dataclass(frozen=True, slots=True)
class Extract:
    """An extract as it is handed over. `sha256`: of `data`, which names the hash of `text`."""

    reference: str
    data: bytes = field(repr=False)
    text: bytes = field(repr=False)
    sha256: str


def extract(services: Services, act: Act, reference: str) -> Extract:
    """Return what is to be handed over for a granted disclosure. Records nothing; raises NotDisclosed."""
    with services.database.read() as session:
        row = _granted(session, act, reference)
        client = session.get_one(Client, row.client_id)
        if client.erased_at:
            raise NotDisclosed(f"{reference}: nothing is left of this person, the time of the records is over")
        found = store.gather(session, services.vault, client, row.scope)
        head = {
            "disclosure": row.reference,
            "office": services.office.name,
            "authority": row.authority,
            "legal_basis": row.legal_basis,
            "paper": row.paper,
            "decided_at": row.decided_at.astimezone(JST).isoformat(),
            "extracted_at": act.happened_at.astimezone(JST).isoformat(),
            "scope": row.scope,
        }
    text = "\n".join(_lines({**head, **found})).encode() + b"\n"
    values = {**head, "text_sha256": hashlib.sha256(text).hexdigest(), "found": found}
    data = json.dumps(values, ensure_ascii=False, indent=2).encode() + b"\n"
    return Extract(reference, data, text, hashlib.sha256(data).hexdigest())


def note_given(services: Services, act: Act, given: Extract) -> int:
    """Record that an extract is handed over now; returns how often that was before. Call before the file gets its name.

    The register keeps the first time and hash; every further one stands in its note and in the audit.
    """
    with services.database.write() as session:
        row = _granted(session, act, given.reference, lock=True)
        before = 0
        if row.given_at is None:
            row.given_at, row.given_by, row.sha256 = act.happened_at, act.actor, given.sha256
        else:
            before = 1 + row.note.count("\n")
            row.note += f"\nagain {act.happened_at.astimezone(JST).isoformat()} {act.actor} {given.sha256}"
        details = {"sha256": given.sha256, "before": before}
        write_audit(session, [audit_row(act, "disclosure", row.reference, "disclosed", details=details)])
    return before


def _granted(session: Session, act: Act, reference: str, *, lock: bool = False) -> Disclosure:
    row = store.disclosure_by_reference(session, act.office, reference, lock=lock)
    if row is None:
        raise NotDisclosed(f"{reference}: no such disclosure; record the decision with the flow record-disclosure")
    if row.decision != "granted" or row.client_id is None:
        raise NotDisclosed(f"{reference}: the decision was not to disclose")
    return row


_LABELS: Final[Mapping[str, str]] = {
    "disclosure": "開示の番号", "office": "所", "authority": "求めた官公庁等", "legal_basis": "法令の根拠",
    "paper": "書面の番号", "decided_at": "決定した日時", "extracted_at": "抜き出した日時", "scope": "範囲",
    "identity": "氏名・求職番号", "applications": "申込みの内容", "sessions": "予約と出欠",
    "messages": "送ったお知らせ", "device": "接続の記録", "decisions": "お断りと制限の決定",
    "not_attributed": "同じ求職番号の、ご本人と決まっていない申込みの数（内容は含みません）",
    "reference": "番号", "name": "氏名", "kana": "カナ", "job_seeker_number": "求職番号", "email": "メール",
    "phone": "電話", "submitted_at": "申込み日時", "recorded_at": "記録した日時", "status": "状態", "reason": "理由",
    "content": "内容", "start": "開始", "end": "終了", "counsellor": "担当", "verdicts": "出欠の判断",
    "evidence": "来談・連絡の記録", "kind": "種類", "queued_at": "用意した日時", "sent_at": "送った日時",
    "booking": "予約", "event": "できごと", "happened_at": "日時", "body": "Zoomからの通知", "ground": "条項",
    "document": "文書", "starts_at": "始まり", "until": "終わり", "lifted_at": "解除", "to": "宛先",
    "wishes": "希望日時", "companion": "同席者", "registration": "登録の状況", "context": "内容",
}  # fmt: skip


def _lines(value: Any, indent: str = "") -> list[str]:
    if isinstance(value, Mapping):
        listed: list[str] = []
        for name, item in value.items():
            label = _LABELS.get(name, name)
            if isinstance(item, Mapping | list) and item:
                listed += [f"{indent}{label}:", *_lines(item, indent + "　")]
            else:
                listed.append(f"{indent}{label}: {_word(item)}")
        return listed
    if isinstance(value, list):
        listed = []
        for number, item in enumerate(value, start=1):
            if isinstance(item, Mapping | list):
                listed += [f"{indent}（{number}）", *_lines(item, indent + "　")]
            else:
                listed.append(f"{indent}・{_word(item)}")
        return listed
    return [f"{indent}{_word(value)}"]


def _word(item: Any) -> str:
    return "なし" if item is None or item in ([], {}) else str(item)
