"""The proof of notice: everybody who has to be told, each in exactly one class; as totals, a table, a CSV for staff."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import IO, Any, Final

from sqlalchemy import Row
from sqlalchemy.orm import Session

from madoguchi.adapters.safe_csv import SafeCsv
from madoguchi.domain.amendment import NoticePurpose, NoticeRoute
from madoguchi.domain.notice_proof import (
    CLASS_JA,
    HOW_JA,
    MUST_BE_TOLD,
    PURPOSE_JA,
    ROUTE_JA,
    UNSETTLED,
    NoticeClass,
    people_left,
)
from madoguchi.domain.office import JST
from madoguchi.store import proof as store
from madoguchi.store.amendments import amendment_by_code
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.models import Amendment, NoticeSignOff
from madoguchi.store.runs import open_staff_task
from madoguchi.store.staff_bookings import close_tasks
from tasks.summary import counts_table
from tasks.wiring import Run, Services

TELL_OTHERWISE: Final = "tell-by-other-means"
TO_CALL: Final = MUST_BE_TOLD | {NoticeClass.UNCERTAIN}
"""Whose names and telephone numbers a person may need."""
_LISTED: Final = 100
_LIVING: Final = timedelta(days=92)
_NAMES_AT_ONCE: Final = 200
_BOUNCES_JA: Final = {
    "hard": "アドレスに届かない",
    "soft": "一時的",
    "policy": "受け取りを断られた",
    "unknown": "理由不明",
}
_COLUMNS: Final = (
    "受付番号", "お知らせ", "方法", "区分", "お知らせの番号", "送信日時", "戻ってきた日時", "戻ってきた理由",
    "伝えた方法", "伝えた職員", "伝えた日時",
)  # fmt: skip


class UnknownAmendmentError(LookupError):
    """There is no amendment of that code; the text names those that there are."""


@dataclass(frozen=True, slots=True)
class SignedOff:
    """A person vouched for totals. `still_holds`: the totals are the same today."""

    signed_by: str
    signed_at: datetime
    totals: dict[str, int]
    sha256: str
    still_holds: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """How everybody stands about one notice. `totals` name every class and add up to `audience`."""

    code: str
    purpose: NoticePurpose
    status: str
    audience: int
    totals: dict[NoticeClass, int]
    sign_offs: tuple[SignedOff, ...]

    @property
    def left(self) -> int:
        """How many must be told by other means."""
        return sum(self.totals[each] for each in MUST_BE_TOLD)

    @property
    def unsettled(self) -> int:
        """How many of whom nobody can say yet."""
        return sum(self.totals[each] for each in UNSETTLED)


@dataclass(frozen=True, slots=True)
class Table:
    """What a CSV held: rows, their totals, and the hash of its bytes."""

    rows: int
    totals: dict[str, int]
    sha256: str


def amendment_of(session: Session, office: str, code: str) -> Amendment:
    """Return the amendment of a code; UnknownAmendmentError names the codes that there are."""
    found = amendment_by_code(session, office, code.strip())
    if found is None:
        known = "、".join(store.amendment_codes(session, office)[:5]) or "ありません"
        raise UnknownAmendmentError(f"その番号の規約の改定は見つかりません（改定の番号: {known}）。")
    return found


def proof_of_notice(services: Services, code: str, purpose: NoticePurpose = NoticePurpose.ANNOUNCED) -> Proof:
    """Return the totals of a notice, and who signed them off; UnknownAmendmentError for another code.

    For the rows themselves, which may be a hundred thousand: `proof_rows` and `proof_csv`.
    """
    with services.database.read() as session:
        return _proof(session, amendment_of(session, services.office.code, code), purpose)


def _proof(session: Session, amendment: Amendment, purpose: NoticePurpose) -> Proof:
    totals = store.totals(session, amendment.office, amendment.id, purpose)
    # One statement counts everybody by class: what a second one counted a moment later could differ.
    everybody = sum(totals.values())
    plain = {each.value: count for each, count in totals.items()}
    signed = tuple(_signed(row, plain) for row in store.sign_offs(session, amendment.id, purpose))
    return Proof(amendment.code, purpose, amendment.status, everybody, totals, signed)


def _signed(row: NoticeSignOff, totals: dict[str, int]) -> SignedOff:
    name = row.signed_by.removeprefix("staff:")
    return SignedOff(name, row.signed_at, dict(row.totals), row.sha256, dict(row.totals) == totals)


def proof_rows(services: Services, code: str, purpose: NoticePurpose) -> Iterator[Row[Any]]:
    """Give everybody of a notice by reference, in flat memory; references and codes only."""
    with services.database.read() as session:
        amendment = amendment_of(session, services.office.code, code)
        yield from store.proof_rows(session, amendment.office, amendment.id, purpose)


def proof_csv(
    services: Services, code: str, purpose: NoticePurpose, stream: IO[bytes], *, names_for: Act | None = None
) -> Table:
    """Write the table of a notice as CSV for staff, safe for spreadsheets, in flat memory.

    By references, everybody in it. With `names_for`, the circumstances of a person's asking, only those who have to be
    called, with name and telephone; the record keeps that somebody looked before anything is written.
    """
    with services.database.read() as session:
        amendment = amendment_of(session, services.office.code, code)
        office, amendment_id = amendment.office, amendment.id
    if names_for is not None:
        details = {"purpose": purpose.value}
        with services.database.write() as session:
            write_audit(session, [audit_row(names_for, "amendment", code.strip(), "names_read", details=details)])
    out, counted = SafeCsv(stream), Counter[str]()
    out.row(_COLUMNS if names_for is None else (*_COLUMNS, "氏名", "電話番号"))
    with services.database.read() as session:
        wanted = frozenset(NoticeClass) if names_for is None else TO_CALL
        rows = store.proof_rows(session, office, amendment_id, purpose, wanted)
        while part := list(islice(rows, _NAMES_AT_ONCE)):
            known = {} if names_for is None else _names(services, [row.client_id for row in part])
            for row in part:
                counted[row.notice_class] += 1
                out.row((*_cells(row, purpose), *known.get(row.client_id, ())))
    return Table(counted.total(), {each.value: counted[each.value] for each in NoticeClass}, out.sha256)


def _names(services: Services, client_ids: list[str]) -> dict[str, tuple[str, str]]:
    # A session of its own: the other one has a cursor open.
    with services.database.read() as session:
        return store.names_and_telephones(session, services.vault, client_ids)


def _cells(row: Row[Any], purpose: NoticePurpose) -> tuple[str, ...]:
    told_by_message = row.notice_class == NoticeClass.TOLD_OTHERWISE and row.told_at is None
    return (
        row.reference,
        PURPOSE_JA[purpose],
        ROUTE_JA[NoticeRoute(row.route)],
        CLASS_JA[NoticeClass(row.notice_class)],
        row.message_id or "",
        _moment(row.sent_at),
        _moment(row.bounced_at),
        _BOUNCES_JA.get(row.bounce_kind or "", row.bounce_kind or ""),
        "電話" if told_by_message else HOW_JA.get(row.told_how or "", row.told_how or ""),
        (row.told_by or "").removeprefix("staff:"),
        _moment(row.changed_at if told_by_message else row.told_at),
    )


def _moment(moment: datetime | None) -> str:
    return moment.astimezone(JST).strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def proof_markdown(services: Services, code: str) -> str:
    """Return the proof for the dashboard: totals, sign-offs, who must be told by other means. References only."""
    parts = [f"# お知らせの証明（{code.strip()}）"]
    with services.database.read() as session:
        amendment = amendment_of(session, services.office.code, code)
        for purpose in NoticePurpose:
            proof = _proof(session, amendment, purpose)
            if proof.audience or purpose is NoticePurpose.ANNOUNCED:
                parts += _sections(session, amendment, proof)
    return "\n\n".join(part for part in parts if part)


def _sections(session: Session, amendment: Amendment, proof: Proof) -> list[str]:
    totals = [(CLASS_JA[each], count) for each, count in proof.totals.items()]
    table = counts_table([("お知らせする方", proof.audience), *((f"　{name}", count) for name, count in totals)])
    parts = [f"## {PURPOSE_JA[proof.purpose]}", _headline(proof), table]
    signed = [
        f"- {_moment(one.signed_at)} {one.signed_by}（表のSHA-256 `{one.sha256[:16]}…`）"
        + ("" if one.still_holds else " **この後に合計が変わりました。もう一度確認してください。**")
        for one in proof.sign_offs
    ]
    parts.append(
        "### 確認した職員\n\n" + "\n".join(signed) if signed else "確認（sign-off-notice）は、まだありません。"
    )
    if not proof.left:
        return parts
    rows = store.proof_rows(session, amendment.office, amendment.id, proof.purpose, MUST_BE_TOLD, _LISTED)
    lines = [f"| {row.reference} | {CLASS_JA[NoticeClass(row.notice_class)]} |" for row in rows]
    if proof.left > len(lines):
        lines.append(f"| … | ほか{proof.left - len(lines)}名 |")
    head = f"### ほかの方法でお知らせする方（{proof.left}名）"
    how = (
        f"お名前と電話番号の一覧は、`madoguchi terms proof {amendment.code} --names --csv ファイル` で作れます。"
        "お伝えしたら、record-notice に記録してください。"
    )
    return [*parts, "\n".join([head, "", how, "", "| 番号 | 区分 |", "|---|---|", *lines])]


def _headline(proof: Proof) -> str:
    if not proof.audience:
        return "お知らせする方は、まだ記録されていません。"
    told = proof.totals[NoticeClass.TOLD] + proof.totals[NoticeClass.TOLD_OTHERWISE]
    said = f"{proof.audience}名のうち{told}名にお知らせしました。"
    if proof.unsettled:
        said += f"送信待ち、または届いたか分からない方が{proof.unsettled}名います。"
    return said + (f"**ほかの方法でお知らせする方が{proof.left}名います。**" if proof.left else "")


def refresh_notice_tasks(services: Services, run: Run) -> None:
    """Bring the tasks of all amendments of the last three months up to date: mails fail, come back, are settled."""
    act = run.act(services)
    with services.database.read() as session:
        living = store.living_amendments(session, act.office, act.happened_at - _LIVING)
    for amendment_id in living:
        with services.database.write() as session:
            open_notice_task(session, act, amendment_id)


def open_notice_task(session: Session, act: Act, amendment_id: str) -> int:
    """Bring the one staff task of an amendment up to date and return how many must be told by other means.

    One task for all of them, with the number: five thousand would hide everything else. It closes when nobody is left
    and opens again when a mail comes back. The list itself is the proof.
    """
    amendment = session.get_one(Amendment, amendment_id)
    left = store.people_left(session, amendment)
    if left:
        open_staff_task(session, act, TELL_OTHERWISE, amendment.code, people_left(left))
    else:
        close_tasks(session, act, [TELL_OTHERWISE], [amendment.code])
    return left
