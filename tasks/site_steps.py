"""The steps and the report of `publish-terms`: what was approved goes on, the public site follows the record."""

from __future__ import annotations

from dataclasses import dataclass, field

from prefect import task
from prefect.cache_policies import NO_CACHE

from madoguchi.adapters.terms_site_pages import SiteTemplateError
from madoguchi.domain.amendment import AmendmentStatus, NoticePurpose
from madoguchi.domain.terms_publication import SiteContentError
from madoguchi.store import amendments as store
from tasks.announcing import queue_notices
from tasks.publishing import NOT_PUBLISHED_IN_TIME, PublishedTooLate, publish_amendment, publish_site
from tasks.staff import Refused
from tasks.steps import codes_only
from tasks.summary import Shortfall, Summary, counts_table
from tasks.wiring import Run, Services, services


@dataclass(frozen=True, slots=True)
class SiteBuilt:
    """What a build came to. `problem`: one sentence for staff; the site is then as it was before."""

    files: int = 0
    changed: bool = False
    problem: str = ""


@dataclass(slots=True)
class CarriedOn:
    """What was left of amendments ahead. `queued`: notices to people who came since; `late`: codes taken back."""

    queued: int = 0
    late: list[str] = field(default_factory=list)


@task(name="carry on amendments", task_run_name="公表した変更の続きを行う", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def carry_on(run: Run) -> CarriedOn:
    """Publish what was approved and is not public yet, and give a notice to whoever has come since.

    A run that died is so finished without a person, and who books after the announcement is told before the effect.
    """
    return carry_on_amendments(services(), run)


def carry_on_amendments(services: Services, run: Run) -> CarriedOn:
    """See `carry_on`. Sends nothing: `deliver-messages` does. Nothing for what has taken effect or was withdrawn."""
    done, now = CarriedOn(), run.at(services.clock())
    with services.database.read() as session:
        rows = [
            (row.code, AmendmentStatus(row.status), row.effective_at)
            for row in store.amendments_of(session, services.office.code)
        ]
    for code, status, effective_at in rows:
        if status == AmendmentStatus.APPROVED:
            try:
                publish_amendment(services, run, code)
            except PublishedTooLate:
                done.late.append(code)
                continue
        if status != AmendmentStatus.WITHDRAWN and now < effective_at:
            queued = queue_notices(services, run, code, NoticePurpose.ANNOUNCED)
            done.queued += queued.mails + queued.others
    return done


@task(name="rebuild site", task_run_name="公開サイトを作り直す", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def rebuild_site(run: Run) -> SiteBuilt:
    """Bring the public site to what the record says now."""
    try:
        report = publish_site(services(), run)
    except (Refused, SiteContentError, SiteTemplateError) as error:
        return SiteBuilt(problem=str(error))
    return SiteBuilt(report.files, report.changed)


def lacking_amendments(carried: CarriedOn) -> Shortfall:
    """Return the amendments that were not public before their effect and so do not hold."""
    late = [(code, NOT_PUBLISHED_IN_TIME) for code in carried.late]
    return Shortfall(len(late), "amendment", "amendments", "not published in time and taken back", late)


def lacking_site(built: SiteBuilt) -> Shortfall:
    """Return the site when it could not be built."""
    return Shortfall(1, "site", "sites", "not built", [("terms-site", built.problem)] if built.problem else [])


def site_report(summary: Summary, built: SiteBuilt, carried: CarriedOn) -> str:
    """Put the counts into the summary and return the artifact."""
    summary.add({"site_files": built.files, "site_changed": int(built.changed), "notices_queued": carried.queued})
    if built.problem:
        said = f"**作れませんでした。公開されているものは前のままです。**\n\n{built.problem}"
    elif built.changed:
        said = "作り直しました。"
    else:
        said = "変わったことはありませんでした。"
    table = counts_table([("ファイル", built.files), ("新しく用意したお知らせ", carried.queued)])
    parts = [f"# 利用規約の公開サイト\n\n{said}", table]
    if carried.late:
        codes = "、".join(carried.late)
        parts.append(f"**{codes} の変更は、効力が生じる日時までに公表できなかったため、取り下げました。**")
    return "\n\n".join(parts)
