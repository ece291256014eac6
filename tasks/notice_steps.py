"""The steps around notices, their proof and what comes back as Prefect tasks; thin shells like those of `steps`."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import bounces, notice_forms
from tasks.staff import Done, Refused
from tasks.staff_steps import answered
from tasks.steps import codes_only
from tasks.wiring import Run, services


@task(name="read bounces", task_run_name="戻ってきたメールを読む", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def read_bounces(run: Run) -> bounces.BounceReport:
    """Read what came back."""
    return bounces.read_bounces(services(), run)


@task(name="record notice", task_run_name="お知らせを記録する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def record_notice(run: Run, form: notice_forms.Told) -> Done | Refused:
    """Keep that somebody was told by other means."""
    return notice_forms.record_notice(services(), run, form)


@task(name="sign off notice", task_run_name="お知らせの合計を確認する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def sign_off_notice(run: Run, form: notice_forms.Signature) -> Done | Refused:
    """Freeze the totals of a notice."""
    return notice_forms.sign_off_notice(services(), run, form)


@task(name="settle bounce", task_run_name="戻ってきたメールに対応する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def settle_bounce(run: Run, form: notice_forms.Settled) -> Done | Refused:
    """Close what waits because a mail came back."""
    return notice_forms.settle_bounce(services(), run, form)
