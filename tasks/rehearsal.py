"""A rehearsal: the same flow on a copy of the record, with a Zoom that changes nothing and a relay that sends nothing.

The code of the run is the code of life; only the services under it are others. What is different in the copy at the
end is what the real run would do. docs/rerun.md.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from inspect import signature
from pathlib import Path
from shutil import copytree
from typing import Any, Final, ParamSpec, get_type_hints

from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas import State
from prefect.runtime import flow_run
from prefect.states import Completed

from madoguchi.adapters.rehearsal_folder import mirror_by_copies, mirror_by_links, rehearsal_folder
from madoguchi.adapters.rehearsal_mailer import RehearsalMailer
from madoguchi.adapters.rehearsal_zoom import RehearsalZoom, ZoomNotes
from madoguchi.domain.meeting import ZOOM_JOIN_HOSTS
from madoguchi.domain.office import JST
from madoguchi.store import rehearsal as store
from tasks.artifacts import Page, PreviewShown, kept_artifacts
from tasks.rehearsal_report import Rehearsed, markdown, sentence
from tasks.steps import StepError
from tasks.wiring import Services, services, services_in_place

P = ParamSpec("P")

ARTIFACT: Final = "rehearsal"
_KEPT: Final = 10

log = logging.getLogger(__name__)


_rehearsed: dict[str, Rehearsed] = {}


def rehearsed(run: str) -> Rehearsed | None:
    """Return what the rehearsal of that Prefect run in this process showed, if it was one of the last few."""
    return _rehearsed.get(run)


def rehearsable(flow: Callable[P, Awaitable[State[Any]]]) -> Callable[P, Awaitable[State[Any]]]:
    """Give a flow that is called with `rehearse=True` services which change nothing, and let it end with its report.

    For every flow, directly under `@flow`. Without `rehearse` the flow is what it was.
    """

    @functools.wraps(flow)
    async def run(*args: P.args, **kwargs: P.kwargs) -> State[Any]:
        given = signature(flow).bind(*args, **kwargs)
        given.apply_defaults()
        if not given.arguments["rehearse"]:
            return await flow(*args, **kwargs)
        return await _rehearse(lambda: flow(*args, **kwargs))

    # Prefect looks names of types up where this function stands: they are resolved here, where the flow stands.
    resolved = signature(flow, eval_str=True)
    run.__signature__ = resolved  # type: ignore[attr-defined] # what `inspect` asks first
    run.__annotations__ = get_type_hints(flow, include_extras=True)
    return run


async def _rehearse(act: Callable[[], Awaitable[State[Any]]]) -> State[Any]:
    with stage(services()) as (stand_in, notes), kept_artifacts() as pages:
        waits = False
        with services_in_place(stand_in):
            try:
                await act()
            except PreviewShown:
                waits = True
        found = _report(stand_in, notes, pages, waits=waits)
    said = sentence(found)
    _keep(str(flow_run.id), found)
    await acreate_markdown_artifact(key=ARTIFACT, markdown=markdown(found), description=said[:200])
    return Completed(message=said)


def _keep(run: str, found: Rehearsed) -> None:
    _rehearsed[run] = found
    for old in list(_rehearsed)[:-_KEPT]:
        del _rehearsed[old]


@contextmanager
def stage(real: Services) -> Iterator[tuple[Services, ZoomNotes]]:
    """Give services that look like the real ones and change nothing, and what they would have changed at Zoom.

    They work on a copy of the record and on mirrors of the office's folders, all in a private folder that is gone at
    the end. StepError when there is no place for it, or the record cannot be copied.
    """
    if real.rehearsals is None:
        raise StepError("REHEARSAL_HAS_NO_PLACE")
    try:
        with rehearsal_folder(real.rehearsals) as folder:
            copy = store.copy_record(real.database, folder / "record.db")
            try:
                notes = ZoomNotes((*real.join_hosts, *ZOOM_JOIN_HOSTS)[0])
                yield _stand_in(real, folder, notes, database=copy), notes
            finally:
                copy.close()
    except store.NoCopy as error:
        log.error("%s", error)  # noqa: TRY400 — the text says all
        raise StepError(f"REHEARSAL_NOT_POSSIBLE: {error}") from None


def _stand_in(real: Services, folder: Path, notes: ZoomNotes, *, database: Any) -> Services:
    def mirrored(source: Path | None, name: str, *parts: str) -> Path | None:
        if source is None:
            return None
        mirror_by_copies(source, folder / name, parts or (".",))
        return folder / name

    mirror_by_links(real.inbox, folder / "inbox")
    if real.site_dir is not None and real.site_dir.is_dir():
        copytree(real.site_dir, folder / "site", symlinks=True)
    return replace(
        real,
        database=database,
        inbox=folder / "inbox",
        spool=mirrored(real.spool, "spool"),
        bounces=mirrored(real.bounces, "bounces", ".", "new", "cur"),
        site_dir=None if real.site_dir is None else folder / "site",
        make_zoom=lambda: RehearsalZoom(real.make_zoom(), notes),
        make_mailer=RehearsalMailer,
        set_stage=lambda _as_of: None,
        reports_dir=mirrored(real.reports_dir, "reports"),
        alarm_channels=(),
        # Theirs are asked for over a connection to the relay.
        certificates=dict,
        is_rehearsal=True,
    )


def _report(stand_in: Services, notes: ZoomNotes, pages: list[Page], *, waits: bool) -> Rehearsed:
    with stand_in.database.read() as session:
        found = store.differences(session)
        run = store.run_of_copy(session)
        if run is None:
            raise StepError("REHEARSAL_RECORDED_NO_RUN")
        meetings = [
            {
                "action": change.action,
                "reference": store.name_of_meeting(session, change.agenda, change.meeting_id),
                "when": _iso(change.start),
            }
            for change in notes.changes
        ]
    return Rehearsed(
        flow=run.flow,
        as_of=run.as_of.astimezone(JST).isoformat(),
        state="waiting" if waits else run.state,
        message=run.message,
        counts=run.counts,
        incomplete=run.incomplete,
        waits=waits,
        mails=[mail | {"when": _iso(mail["when"])} for mail in found.mails],
        meetings=meetings,
        verdicts=found.verdicts,
        changes=[each | ({"start": _iso(each["start"])} if "start" in each else {}) for each in found.changes],
        tasks=found.tasks,
        rows=found.rows,
        pages=pages,
    )


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(JST).isoformat(timespec="seconds")
