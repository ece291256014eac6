"""How the forms of staff answer: one sentence as the run's state, an artifact that says what happens next."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from prefect.client.schemas import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from madoguchi.domain.reference import normalise_reference
from madoguchi.domain.staff import moment_ja
from madoguchi.store.runs import finish_run
from madoguchi.store.staff_bookings import sessions_of
from tasks.artifacts import publish
from tasks.day_reports import lacking_removals, section
from tasks.delivery import DeliveryReport
from tasks.meeting_removal import RemovalReport
from tasks.meetings import MeetingsReport
from tasks.reporting import lacking_meetings, lacking_messages, messages_report, run_name, untagged
from tasks.scheduling import ScheduleReport
from tasks.staff import Done, Refused
from tasks.steps import StepError
from tasks.summary import Shortfall, Summary
from tasks.wiring import Run, services

_LISTED = 20


@dataclass(frozen=True, slots=True)
class After:
    """What the steps after a form did."""

    removed: RemovalReport = field(default_factory=RemovalReport)
    scheduled: ScheduleReport = field(default_factory=ScheduleReport)
    made: MeetingsReport = field(default_factory=MeetingsReport)
    delivered: DeliveryReport = field(default_factory=DeliveryReport)


def form_name(flow: str) -> str:
    """Return `flow date time reference` as the name of a run; a typed text that is no reference is left out."""
    typed = (flow_run.parameters or {}).get("reference")
    name = run_name(flow)
    with suppress(ValueError):
        name = f"{name} {normalise_reference(str(typed))}"
    return name


def ask(summary: Summary, step: Callable[..., Done | Refused], *arguments: Any) -> Done | Refused | None:
    """Run the step that does what the form asks; its refusal is an answer, None means that it broke off."""
    try:
        with untagged():
            return step(*arguments)
    except StepError as error:
        summary.lacking(Shortfall(1, "step", "steps", "broke off", [(str(getattr(step, "name", step)), str(error))]))
        return None


async def refuse(run: Run, title: str, refused: Refused) -> State[Any]:
    """End a run whose form was refused: Failed with the sentence; the record keeps it too."""
    wired, sentence = services(), str(refused)
    with wired.database.write() as session:
        finish_run(
            session,
            run.record_id,
            state="failed",
            message=sentence,
            counts={},
            incomplete=[{"reference": run.flow, "reason": "REFUSED"}],
            now=wired.clock(),
        )
    page = f"# {title}\n\n**できませんでした。何も変わっていません。**\n\n{sentence}"
    await publish(run.flow, page, sentence)
    return Failed(message=sentence)


async def conclude(run: Run, title: str, summary: Summary, done: Done | None, after: After) -> State[Any]:
    """End the run of a form: what was done, who got a freed slot, what is still open, in Japanese."""
    summary.lacking(lacking_removals(after.removed))
    summary.lacking(lacking_meetings(after.made))
    summary.lacking(lacking_messages(after.delivered))
    wired = services()
    with wired.database.read() as session:
        got = sessions_of(session, wired.office.code, after.scheduled.held)
    summary.add(
        {
            "already_done": int(bool(done and done.again)),
            "meetings_removed": len(after.removed.deleted),
            "held": len(after.scheduled.held),
            "confirmed": len(after.made.confirmed),
        }
    )
    said = sentence(summary, done)
    parts = [f"# {title}", said]
    if done and done.notes:
        parts.append("\n".join(f"- {note}" for note in done.notes))
    parts.append(given(got, done))
    parts.append(section("確定した予約（Zoomの用意も済み）", [(name, "確定") for name in after.made.confirmed]))
    parts.append(section("まだ済んでいないもの", [(i["reference"], i["reason"]) for i in summary.incomplete]))
    parts.append(messages_report(summary, after.delivered, heading="## お知らせ"))
    with wired.database.write() as session:
        finish_run(
            session,
            run.record_id,
            state="completed" if summary.is_complete else "failed",
            message=said,
            counts=dict(summary.counts),
            incomplete=summary.incomplete,
            now=wired.clock(),
        )
    markdown = "\n\n".join(part for part in parts if part)
    await publish(run.flow, markdown, said)
    return Completed(message=said) if summary.is_complete else Failed(message=said)


def sentence(summary: Summary, done: Done | None) -> str:
    """Return what the state says: what was done and, when something is left, that the same form finishes it."""
    said = done.sentence if done else "処理が途中で止まり、何も変わっていないかもしれません。"
    if summary.is_complete:
        return " ".join([said, *(done.notes if done else ())])
    left = "、".join(f"{item['reference']}（{item['reason']}）" for item in summary.incomplete[:_LISTED])
    return (
        f"{said} ただし、まだ済んでいないことが{len(summary.incomplete)}件あります: {left}。"
        "同じ内容でもう一度実行すると、残りだけを行います。"
    )


def given(got: list[tuple[str, str, Any]], done: Done | None) -> str:
    """Say who got a slot in this run: references and starts."""
    if not got:
        return "空いた枠を待っている方は、今はいません。" if done and done.freed else ""
    lines = []
    for booking, request, start in got[:_LISTED]:
        freed = "（空いた枠）" if done and done.freed == start else ""
        lines.append(f"- {moment_ja(start)}{freed}: {request} → {booking}")
    return "## この実行で枠が決まった申込み\n\n" + "\n".join(lines)
