"""What the approver sees before an amendment, and what operators see after it. No personal data: counts and codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, ParamSpec, TypeVar

from prefect.client.schemas import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from madoguchi.domain import amendment_rules as rules
from madoguchi.domain.amendment import AmendedContext, AmendmentStatus, NoticeContent, NoticePurpose, WithdrawnContext
from madoguchi.domain.message import MailKind, MessageStatus
from madoguchi.domain.office import JST
from madoguchi.domain.terms_publication import GROUND_SENTENCES
from madoguchi.domain.wording import long_date, long_time
from madoguchi.store import amendments as store
from madoguchi.store.runs import finish_run
from tasks.amendments import Proposed, ProposedWithdrawal
from tasks.announcing import (
    ADDRESS_BOUNCED,
    ADDRESS_UNUSABLE,
    NO_ADDRESS,
    UNREADABLE,
    Queued,
    Reach,
    reach_of_announcement,
    reach_of_withdrawal,
)
from tasks.artifacts import PreviewShown, are_kept, publish
from tasks.reporting import run_name, untagged
from tasks.staff import Refused
from tasks.steps import StepError
from tasks.summary import Shortfall, Summary, counts_table
from tasks.wiring import Run, Services, services

P = ParamSpec("P")
T = TypeVar("T")

_SAMPLE_NAME: Final = "お名前"
"""In the place of a recipient's name: the preview is in Prefect, where no name of anybody belongs."""
_REASONS_JA: Final[Mapping[str, str]] = {
    NO_ADDRESS: "メールアドレスがない",
    ADDRESS_UNUSABLE: "メールアドレスが確かでない",
    ADDRESS_BOUNCED: "前にメールが戻ってきた",
    UNREADABLE: "申込みの記録が壊れている",
}
_WAITING: Final = "waiting"
_LISTED_LANES: Final = 10


class BrokeOff(Exception):  # noqa: N818 — named by what happened
    """A step broke off that the rest of the run stands on; the summary names it."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What the approver is shown. `page`: above the form; `markdown`: the whole, as an artifact."""

    digest: str
    page: str
    markdown: str
    mails: int
    others: int


def amendment_name(flow: str) -> str:
    """Return `flow date time code` as the name of a run."""
    parameters = flow_run.parameters or {}
    code = str(parameters.get("code") or parameters.get("effective_date") or "")
    name = run_name(flow)
    return f"{name} {code}" if code and rules.why_not_coded(code) is None else name


def ask(summary: Summary, step: Callable[..., T], *arguments: Any) -> T | None:
    """Run a step; None means that it broke off, and the summary names it."""
    try:
        with untagged():
            return step(*arguments)
    except StepError as error:
        summary.lacking(Shortfall(1, "step", "steps", "broke off", [(str(getattr(step, "name", step)), str(error))]))
        return None


def noted(summary: Summary, step: Callable[..., T | Refused], *arguments: Any) -> T | None:
    """Run a step without which the rest still has its use; a refusal is named in the summary like a step broken off."""
    outcome = ask(summary, step, *arguments)
    if isinstance(outcome, Refused):
        summary.lacking(Shortfall(1, "step", "steps", "refused", [(str(getattr(step, "name", step)), str(outcome))]))
        return None
    return outcome


def required(summary: Summary, step: Callable[..., T | Refused], *arguments: Any) -> T:
    """Run a step that the rest of the run stands on; raises its Refused, or BrokeOff."""
    outcome = ask(summary, step, *arguments)
    if isinstance(outcome, Refused):
        raise outcome
    if outcome is None:
        raise BrokeOff
    return outcome


# --- before


def announcement_preview(services: Services, run: Run, proposed: Proposed) -> Preview:
    """Return what the approver of an amendment decides on. Refused when the mails cannot leave before the effect."""
    reach = reach_of_announcement(services, run)
    policy, proposal = services.office.terms, proposed.proposal
    mailing = rules.mailing_time(reach.by_lane, policy)
    late = rules.why_not_in_time(proposal.effective_at, run.at(services.clock()), mailing)
    if late:
        raise Refused(late)
    context = AmendedContext(recipient_name=_SAMPLE_NAME, content=proposed.content)
    facts = [
        ("版の番号", f"{proposal.code}（今の規約は {proposal.old_code}）"),
        ("効力が生じる日時", _moment(proposal.effective_at)),
        ("根拠", GROUND_SENTENCES[proposal.ground]),
        ("変更の要点", proposal.summary),
        ("変更する理由", proposal.reason),
        *([("周知の期間が短い理由", proposal.short_notice_reason)] if proposal.short_notice_reason else []),
        ("公表するページ", proposed.content.comparison_url),
        *_reach_facts(reach),
        ("送るのにかかる時間（見込み）", rules.duration_ja(mailing)),
    ]
    warnings = list(proposed.warnings)
    short = rules.is_short_notice(proposal.effective_at, run.at(services.clock()), policy)
    if short:
        warnings.insert(0, f"周知の期間が、この所の決まり（{policy.minimum_notice}日以上）より短くなります。")
    else:
        last = rules.approve_by(proposal.effective_at, policy)
        facts.append(("承認の期限", f"{long_date(last)}まで（周知の期間 {policy.minimum_notice}日以上）"))
    parts = [
        f"# 利用規約の変更の確認（{proposal.code}）",
        "**まだ何も公表していません。**内容を確かめ、この実行の Resume から承認してください。",
        _facts(facts),
        _warnings(warnings),
        "## 新旧対照表\n\n" + _fenced(proposed.content.comparison_text),
        "## 送るメール\n\n" + _mail(services, MailKind.TERMS_AMENDED, context),
        f"確認した内容の番号: `{proposed.digest}`",
    ]
    page = (
        f"# 利用規約の変更を公表しますか（{proposal.code}）\n\n"
        f"{_fact_lines(facts)}\n\n{_warnings(warnings)}\n\n"
        "新旧対照表とメールの文は、この実行の Artifacts の announce-amendment-preview にあります。"
    )
    return Preview(proposed.digest, page, "\n\n".join(filter(None, parts)), reach.mails, reach.others)


def withdrawal_preview(services: Services, run: Run, proposed: ProposedWithdrawal) -> Preview:
    """Return what the approver of a withdrawal decides on."""
    reach = reach_of_withdrawal(services, proposed.code)
    content = proposed.content
    context = WithdrawnContext(recipient_name=_SAMPLE_NAME, content=_public(content, run.at(services.clock())))
    mailing = rules.mailing_time(reach.by_lane, services.office.terms)
    facts = [
        ("取り下げる版", f"{proposed.code}（今の規約は {content.old_code} のままになります）"),
        ("効力が生じる予定だった日時", _moment(content.effective_at)),
        ("取り下げる理由", proposed.reason),
        *_reach_facts(reach),
        ("送るのにかかる時間（見込み）", rules.duration_ja(mailing)),
    ]
    note = "お知らせを受け取った方（受け取ったかもしれない方）だけに送ります。まだ送っていないお知らせは送りません。"
    parts = [
        f"# 利用規約の変更の取下げの確認（{proposed.code}）",
        "**まだ何も変えていません。**内容を確かめ、この実行の Resume から承認してください。",
        _facts(facts),
        note,
        "## 送るメール\n\n" + _mail(services, MailKind.TERMS_WITHDRAWN, context),
        f"確認した内容の番号: `{proposed.digest}`",
    ]
    page = (
        f"# 利用規約の変更を取り下げますか（{proposed.code}）\n\n{_fact_lines(facts)}\n\n{note}\n\n"
        "メールの文は、この実行の Artifacts の withdraw-amendment-preview にあります。"
    )
    return Preview(proposed.digest, page, "\n\n".join(parts), reach.mails, reach.others)


async def show_preview(run: Run, preview: Preview) -> None:
    """Publish the preview as an artifact and note in the record that the run waits for a person.

    PreviewShown in a rehearsal: there is nobody to wait for.
    """
    await publish(f"{run.flow}-preview", preview.markdown, "承認する前の確認")
    wired = services()
    with wired.database.write() as session:
        store.mark_run(session, run.record_id, _WAITING, "承認を待っています。")
    if are_kept():
        raise PreviewShown


def goes_on(run: Run) -> None:
    """Note in the record that the run was answered and waits no more."""
    wired = services()
    with wired.database.write() as session:
        store.mark_run(session, run.record_id, "running", "")
        store.end_waiting(session, run.prefect_run, _WAITING, "answered", wired.clock())


def _public(content: NoticeContent, at: datetime) -> NoticeContent:
    # Announced and never public: its withdrawal tells nobody, and the sample still needs a day.
    return (
        content
        if content.announced_at is not None
        else NoticeContent.from_json(content.to_json() | {"announced_at": at.isoformat()})
    )


def _reach_facts(reach: Reach) -> list[tuple[str, str]]:
    lanes = reach.by_lane.most_common()
    named = "、".join(f"{lane} {count}" for lane, count in lanes[:_LISTED_LANES])
    reasons = "、".join(f"{_REASONS_JA.get(code, code)} {count}" for code, count in sorted(reach.by_reason.items()))
    return [
        ("お知らせする方", f"{reach.mails + reach.others}名"),
        ("　メールで", f"{reach.mails}名" + (f"（{named}）" if named else "")),
        ("　ほかの方法で（職員が伝えます）", f"{reach.others}名" + (f"（{reasons}）" if reasons else "")),
    ]


def _facts(rows: list[tuple[str, str]]) -> str:
    lines = [f"| {name} | {_cell(said)} |" for name, said in rows]
    return "\n".join(["| 項目 | 内容 |", "|---|---|", *lines])


def _fact_lines(rows: list[tuple[str, str]]) -> str:
    """Return what stands above the approver's form: the window is narrow, and a table would be cut off there."""
    return "\n".join(f"- **{name}**: {_cell(said)}" for name, said in rows)


def _cell(text: str) -> str:
    # Words of a file or a form: no markup of theirs may load anything into the approver's browser.
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace("[", "&#91;")
    return plain.replace("|", "｜").replace("\n", " ")


def _warnings(warnings: list[str]) -> str:
    return "## 確かめてください\n\n" + "\n".join(f"- ⚠ {_cell(said)}" for said in warnings) if warnings else ""


def _mail(services: Services, kind: MailKind, context: AmendedContext) -> str:
    rendered = services.templates.render(kind, context, services.office)
    return _fenced(f"件名: {rendered.subject}\n\n{rendered.text}")


def _fenced(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text.rstrip()}\n{fence}"


def _moment(moment: datetime) -> str:
    local = moment.astimezone(JST)
    return f"{long_date(local.date())}{long_time(local)}"


# --- after


async def refuse(run: Run, title: str, refused: Refused) -> State[Any]:
    """End a run that may not go on: Failed with the sentence; the record keeps it too."""
    sentence = str(refused)
    _record_end(run, "failed", sentence, {}, [{"reference": run.flow, "reason": "REFUSED"}])
    page = f"# {title}\n\n**できませんでした。**\n\n{sentence}"
    await publish(run.flow, page, sentence[:200])
    return Failed(message=sentence)


async def conclude(  # noqa: PLR0917 — all that a run came to
    run: Run, title: str, summary: Summary, code: str, purpose: NoticePurpose, queued: Queued | None, proof: str | None
) -> State[Any]:
    """End a run whose amendment is in the record: who is told, who is not yet, the proof; Failed while mail is left."""
    wired = services()
    with wired.database.read() as session:
        amendment = store.amendment_by_code(session, wired.office.code, code)
        if amendment is None:
            raise StepError("AMENDMENT_GONE")
        totals = store.notice_totals(session, amendment.id, purpose)
    counts = _counts(totals, queued or Queued())
    summary.add(counts)
    left = _left(totals)
    said = _sentence(summary, code, totals, left)
    overtaken = purpose == NoticePurpose.ANNOUNCED and amendment.status == AmendmentStatus.WITHDRAWN
    if overtaken:
        said = f"{code}: 途中で取り下げられました。{totals.sent}名に送り、残りは送りませんでした。"
    complete = summary.is_complete and not left and not overtaken
    table = counts_table([(_COUNTS_JA[name], count) for name, count in counts.items()])
    parts = [f"# {title}（{code}）", said, table]
    if not summary.is_complete:
        parts.append("\n".join(f"- `{item['reference']}`: {item['reason']}" for item in summary.incomplete))
    incomplete = summary.incomplete + ([{"reference": code, "reason": "NOTICES_LEFT"}] if left else [])
    incomplete += [{"reference": code, "reason": "WITHDRAWN_MEANWHILE"}] if overtaken else []
    _record_end(run, "completed" if complete else "failed", said, dict(summary.counts), incomplete)
    await publish(run.flow, "\n\n".join(parts), said[:200])
    if proof:
        await publish(f"{run.flow}-proof", proof, f"お知らせの証明 {code}")
    return Completed(message=said) if complete else Failed(message=said)


async def broke_off(run: Run, title: str, summary: Summary) -> State[Any]:
    """End a run of which a step broke off before anything was announced."""
    said = f"処理が途中で止まりました。{summary.sentence()}"
    _record_end(run, "failed", said, dict(summary.counts), summary.incomplete)
    await publish(run.flow, f"# {title}\n\n{said}", said[:200])
    return Failed(message=said)


_COUNTS_JA: Final[Mapping[str, str]] = {
    "persons": "お知らせする方",
    "sent": "　メールを送った",
    "unsent": "　メールをこれから送る",
    "uncertain": "　メールが届いたか分からない（確認が必要）",
    "failed": "　メールを送れない（ほかの方法で）",
    "missed": "　効力が生じるまでに送れなかった（ほかの方法で）",
    "suppressed": "　メールを送らないことにした",
    "other": "　ほかの方法で伝える",
    "queued_now": "この実行で用意した",
}


def _counts(totals: store.NoticeTotals, queued: Queued) -> dict[str, int]:
    return {
        "persons": totals.persons,
        "sent": totals.sent,
        "unsent": totals.unsent,
        "uncertain": totals.of(MessageStatus.UNCERTAIN),
        "failed": totals.of(MessageStatus.FAILED),
        "missed": totals.of(MessageStatus.MISSED),
        "suppressed": totals.of(MessageStatus.SUPPRESSED),
        "other": totals.other,
        "queued_now": queued.mails + queued.others,
    }


def _left(totals: store.NoticeTotals) -> int:
    """Return how many mails are not sent though they should have been: the run fails for them, loudly."""
    return totals.unsent + totals.of(MessageStatus.UNCERTAIN, MessageStatus.MISSED)


def _sentence(summary: Summary, code: str, totals: store.NoticeTotals, left: int) -> str:
    by_other_means = totals.other + totals.of(MessageStatus.FAILED, MessageStatus.MISSED)
    if summary.is_complete and not left:
        return (
            f"{code}: {totals.persons}名のうち {totals.sent}名にメールでお知らせしました。"
            f"ほかの方法でお知らせする方は {by_other_means}名です。"
        )
    broken = "" if summary.is_complete else f"; {summary.sentence()}"
    if not left:
        return f"{code}: stopped before the end{broken}"
    uncertain, missed = totals.of(MessageStatus.UNCERTAIN), totals.of(MessageStatus.MISSED)
    parts = [(totals.unsent, "waiting: run again"), (uncertain, "uncertain: settle-message"), (missed, "too late")]
    why = ", ".join(f"{count} {what}" for count, what in parts if count)
    return f"{left} of {totals.persons} notices not sent: {why}{broken}"


def _record_end(run: Run, state: str, said: str, counts: dict[str, int], incomplete: list[dict[str, str]]) -> None:
    wired = services()
    with wired.database.write() as session:
        finish_run(
            session, run.record_id, state=state, message=said, counts=counts, incomplete=incomplete, now=wired.clock()
        )
