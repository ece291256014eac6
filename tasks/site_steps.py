"""The step and the report of `publish-terms`: the public site is rebuilt from the record."""

from __future__ import annotations

from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE

from madoguchi.adapters.terms_site_pages import SiteTemplateError
from madoguchi.domain.terms_publication import SiteContentError
from tasks.publishing import publish_site
from tasks.staff import Refused
from tasks.steps import codes_only
from tasks.summary import Shortfall, Summary, counts_table
from tasks.wiring import Run, services


@dataclass(frozen=True, slots=True)
class SiteBuilt:
    """What a build came to. `problem`: one sentence for staff; the site is then as it was before."""

    files: int = 0
    changed: bool = False
    problem: str = ""


@task(name="rebuild site", task_run_name="公開サイトを作り直す", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def rebuild_site(run: Run) -> SiteBuilt:
    """Bring the public site to what the record says now."""
    try:
        report = publish_site(services(), run)
    except (Refused, SiteContentError, SiteTemplateError) as error:
        return SiteBuilt(problem=str(error))
    return SiteBuilt(report.files, report.changed)


def lacking_site(built: SiteBuilt) -> Shortfall:
    """Return the site when it could not be built."""
    return Shortfall(1, "site", "sites", "not built", [("terms-site", built.problem)] if built.problem else [])


def site_report(summary: Summary, built: SiteBuilt) -> str:
    """Put the counts into the summary and return the artifact."""
    summary.add({"site_files": built.files, "site_changed": int(built.changed)})
    if built.problem:
        said = f"**作れませんでした。公開されているものは前のままです。**\n\n{built.problem}"
    elif built.changed:
        said = "作り直しました。"
    else:
        said = "変わったことはありませんでした。"
    return f"# 利用規約の公開サイト\n\n{said}\n\n{counts_table([('ファイル', built.files)])}"
