"""The steps of `retain-records`, and the forms about holds and disclosures, as Prefect tasks: thin shells."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import disclosure, holds, retention
from tasks.retention import AS_OF_AHEAD, AheadOfTime, RetentionReport
from tasks.staff import Done, Refused
from tasks.staff_steps import answered
from tasks.steps import codes_only
from tasks.wiring import Run, services


@task(name="erase records", task_run_name="保存期間の過ぎた記録を消去する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def erase_records(run: Run) -> RetentionReport:
    """Erase what is over."""
    try:
        return retention.erase_what_is_over(services(), run)
    except AheadOfTime:
        return RetentionReport(incomplete=[("as_of", AS_OF_AHEAD)])


@task(name="pseudonymise people", task_run_name="氏名と求職番号を消去する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def pseudonymise_people(run: Run) -> RetentionReport:
    """Take name and number of people away of whom nothing is left."""
    try:
        return retention.pseudonymise_people(services(), run)
    except AheadOfTime:
        # The step before has said so.
        return RetentionReport()


@task(name="turn keys", task_run_name="暗号の鍵を新しくする", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def turn_keys(run: Run) -> RetentionReport:
    """Begin and destroy data keys."""
    return retention.turn_keys(services(), run)


@task(name="clean files", task_run_name="消去をファイルに反映する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
def clean_files(run: Run) -> RetentionReport:
    """Let what was erased leave the database's files."""
    return retention.clean_files(services(), run)


@task(name="set hold", task_run_name="保存の指示を記録する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def set_hold(run: Run, form: holds.Holding) -> Done | Refused:
    """Keep a person's records beyond their time, or end that."""
    return holds.set_hold(services(), run, form)


@task(name="record disclosure", task_run_name="開示の決定を記録する", cache_policy=NO_CACHE, persist_result=False)
@codes_only
@answered
def record_disclosure(run: Run, form: disclosure.Decided) -> Done | Refused:
    """Keep what was decided about a request under law (Art. 7(2))."""
    return disclosure.record_disclosure(services(), run, form)
