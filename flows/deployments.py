"""Every deployment, its schedule and its limits: one typed list, served by `madoguchi up` or put on a work pool."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from typing import Any, Literal

from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron

from madoguchi.domain.office import SESSION_MINUTES, Office, OpeningHours

TIME_ZONE = "Asia/Tokyo"
_WEEKDAYS = "1-5"


@dataclass(frozen=True, slots=True)
class DeploymentEntry:
    """One deployment. `crons`: in Asia/Tokyo, none for a flow started by hand. `description`: for the dashboard.

    `collision`: what happens to a run that starts while another runs: CANCEL_NEW for schedules, because everything
    due is done by the run that is under way or by the next one; ENQUEUE for runs that a person asked for.
    """

    flow: str
    name: str
    entrypoint: str
    description: str
    crons: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    collision: Literal["CANCEL_NEW", "ENQUEUE"] = "CANCEL_NEW"

    @property
    def full_name(self) -> str:
        """What `prefect deployment run` wants."""
        return f"{self.flow}/{self.name}"


def list_deployments(office: Office) -> tuple[DeploymentEntry, ...]:
    """Return the deployments of an office; their schedules follow its reception hours, Monday to Friday.

    Public holidays are not left out: a run with nothing to do costs seconds, a missed one costs an applicant.
    """
    every_five = cron_every(5, office.reception)
    return (
        DeploymentEntry(
            flow="process-requests",
            name="reception-hours",
            entrypoint="flows/process_requests.py:process_requests",
            description=(
                "受付時間中、5分ごとに自動で動きます。受信フォルダーの新しい申込みを読み込み、枠を決め、"
                "Zoomミーティングを作り、お知らせを送ります。前の実行が終わっていないときは、その回を見送ります。"
            ),
            crons=every_five,
            tags=("office", "scheduled"),
        ),
        DeploymentEntry(
            flow="process-requests",
            name="by-hand",
            entrypoint="flows/process_requests.py:process_requests",
            description=(
                "職員が手で動かします。ファイルを指定しないときは、受信フォルダーをすべて読みます。"
                "手で始めた実行どうしは、順番に動きます。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="deliver-messages",
            name="reception-hours",
            entrypoint="flows/deliver_messages.py:deliver_messages",
            description=(
                "受付時間中、5分ごとに自動で動きます。送る時刻になったお知らせを送り、"
                "送れなかったものをもう一度送ります。前の実行が終わっていないときは、その回を見送ります。"
            ),
            crons=every_five,
            tags=("office", "scheduled"),
        ),
        DeploymentEntry(
            flow="send-reminders",
            name="reception-hours",
            entrypoint="flows/send_reminders.py:send_reminders",
            description=(
                "受付時間中、10分ごとに自動で動きます。前の開庁日と直前のリマインダーを、"
                "時刻になった予約に送ります。前の実行が終わっていないときは、その回を見送ります。"
            ),
            crons=cron_every(10, office.reception),
            tags=("office", "scheduled"),
        ),
        DeploymentEntry(
            flow="sweep-no-shows",
            name="tenth-minute",
            entrypoint="flows/sweep_no_shows.py:sweep_no_shows",
            description=(
                "相談の開始から10分後に自動で動きます。来談・連絡・連絡なしの不参加などを記録から決め、"
                "必要なお知らせを送ります。受付終了の少し前にも、残りがないかもう一度動きます。"
            ),
            crons=cron_tenth_minutes(office),
            tags=("office", "scheduled"),
        ),
        DeploymentEntry(
            flow="reconcile-zoom",
            name="nightly",
            entrypoint="flows/reconcile_zoom.py:reconcile_zoom",
            description=(
                "毎晩19時30分に自動で動きます。予約とZoomのミーティングを照らし合わせ、安全に直せる違いは直し、"
                "ほかは職員に知らせます。終わった面談の参加の記録を読み、要らなくなったミーティングを消します。"
            ),
            crons=("30 19 * * *",),
            tags=("office", "scheduled"),
        ),
        DeploymentEntry(
            flow="reconcile-zoom",
            name="by-hand",
            entrypoint="flows/reconcile_zoom.py:reconcile_zoom",
            description=(
                "予約とZoomのミーティングが合っているか、すぐに確かめたいときに使います。"
                "Zoomの画面でミーティングを変えてしまったときにも使います。手で始めた実行どうしは、順番に動きます。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="publish-terms",
            name="hourly",
            entrypoint="flows/publish_terms.py:publish_terms",
            description=(
                "毎日0時1分と、受付時間中の毎時に自動で動きます。その日から効力が生じる規約があれば、公開サイトの"
                "「今の規約」を改めます。公表のあとに申し込まれた方には、これからの変更のお知らせを用意します。"
            ),
            crons=("1 0 * * *", *cron_every(60, office.reception)),
            tags=("office", "scheduled"),
        ),
        DeploymentEntry(
            flow="publish-terms",
            name="by-hand",
            entrypoint="flows/publish_terms.py:publish_terms",
            description="利用規約の公開サイトを、すぐに作り直したいときに使います。",
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="cancel-booking",
            name="by-hand",
            entrypoint="flows/cancel_booking.py:cancel_booking",
            description=(
                "お客さまからお電話で取消しを受けたときに使います。予約を取り消し、ミーティングを消し、"
                "取消しのお知らせを送り、空いた枠を待っている方に回します。所の都合で取り消すときにも使います。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="move-booking",
            name="by-hand",
            entrypoint="flows/move_booking.py:move_booking",
            description=(
                "予約の日時を変えるときに使います。当日や、刻みに合わない時刻も選べます。"
                "新しいミーティングを作って変更をお知らせし、元の枠を待っている方に回します。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="decide-request",
            name="by-hand",
            entrypoint="flows/decide_request.py:decide_request",
            description=(
                "職員の確認を待っている申込みを、承認するかお断りするときに使います。"
                "当日の申込みや、空きを待っている方に日時を決めて枠を取るときにも使います。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="book-in-session",
            name="by-hand",
            entrypoint="flows/book_in_session.py:book_in_session",
            description=(
                "相談の中で、同じ方の次回の予約を取るときに使います。初めての予約には使えません。"
                "今の規約への同意を口頭で確かめてから実行してください。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="record-contact",
            name="by-hand",
            entrypoint="flows/record_contact.py:record_contact",
            description=(
                "お電話・留守番電話・メールなどでご連絡を受けたとき、お電話でお伝えしたときに使います。"
                "受けた時刻を入れます。後から入れても、開始から10分までのご連絡なら出欠に反映します。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="check-in",
            name="by-hand",
            entrypoint="flows/check_in.py:check_in",
            description=(
                "面談の担当者が、来談された方がいるかどうかを記録するときに使います。"
                "開始の30分前から、その日のうちに使えます。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="settle-attendance",
            name="by-hand",
            entrypoint="flows/settle_attendance.py:settle_attendance",
            description=(
                "出欠が自動で決まらなかったとき、「連絡なく不参加」を職員が確かめたとき、"
                "決まった出欠を直すときに使います。開始から10分を過ぎてから使えます。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="set-restriction",
            name="by-hand",
            entrypoint="flows/set_restriction.py:set_restriction",
            description=(
                "今後の利用をお断りする決定と、その解除を記録するときに使います。"
                "この方の次の申込みは職員の確認待ちになります。ご本人へのお知らせは送りません。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="settle-message",
            name="by-hand",
            entrypoint="flows/settle_message.py:settle_message",
            description=(
                "届いたか分からないお知らせや、送れなかったお知らせについて、"
                "届いていた・もう一度送る・電話で伝えた、のどれかを決めるときに使います。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="settle-bounce",
            name="by-hand",
            entrypoint="flows/settle_bounce.py:settle_bounce",
            description=(
                "メールが戻ってきた方に、お電話で用件を伝えたときに使います。"
                "アドレスが使えると分かったときは、メールの停止をやめられます。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="read-bounces",
            name="reception-hours",
            entrypoint="flows/read_bounces.py:read_bounces",
            description=(
                "受付時間中、10分ごとに自動で動きます。戻ってきたメールを読み、届かないアドレスへのメールを止め、"
                "お電話が要る方を一覧に入れます。前の実行が終わっていないときは、その回を見送ります。"
            ),
            crons=cron_every(10, office.reception),
            tags=("office", "scheduled"),
        ),
        DeploymentEntry(
            flow="read-bounces",
            name="by-hand",
            entrypoint="flows/read_bounces.py:read_bounces",
            description="戻ってきたメールを、すぐに読みたいときに使います。手で始めた実行どうしは、順番に動きます。",
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="announce-amendment",
            name="by-hand",
            entrypoint="flows/announce_amendment.py:announce_amendment",
            description=(
                "利用規約を変えるときに使います。新旧対照表と送るメールを確認画面に出し、承認の返事を待ってから、"
                "サイトに公表し、対象の方全員にお知らせします。途中で止まったときは、同じ内容でもう一度実行してください。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="withdraw-amendment",
            name="by-hand",
            entrypoint="flows/withdraw_amendment.py:withdraw_amendment",
            description=(
                "公表した規約の変更を、効力が生じる前に取り下げるときに使います。承認の返事を待ってから、"
                "お知らせを受け取った方に取下げをお知らせします。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="record-notice",
            name="by-hand",
            entrypoint="flows/record_notice.py:record_notice",
            description=(
                "規約の改定を、電話や郵便などメール以外の方法でお知らせしたときに使います。"
                "お知らせする方の一覧は、お知らせの証明にあります。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="sign-off-notice",
            name="by-hand",
            entrypoint="flows/sign_off_notice.py:sign_off_notice",
            description=(
                "規約の改定のお知らせについて、だれにお知らせしたかの合計を確認するときに使います。"
                "送信待ちや、届いたか分からないものがあるうちは使えません。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
    )


def cron_every(minutes: int, hours: OpeningHours) -> tuple[str, ...]:
    """Return cron lines (Asia/Tokyo, Monday to Friday) for every so many minutes, opening and closing included.

    Several lines, since one cannot say "from 8:30 to 17:15". Hours with the same minutes share a line. `minutes` must
    divide 60 (ValueError).
    """
    if minutes < 1 or 60 % minutes:
        raise ValueError(f"every {minutes} minutes: cron can only do divisors of 60")
    by_minutes: dict[str, list[int]] = {}
    for hour in range(hours.opens.hour, hours.closes.hour + 1):
        inside = [
            minute for minute in range(0, 60, minutes) if hours.opens <= time(hour, minute) <= hours.closes
        ]  # fmt: skip
        if inside:
            by_minutes.setdefault(_minutes(inside, minutes), []).append(hour)
    return tuple(f"{at} {_range(inside)} * * {_WEEKDAYS}" for at, inside in by_minutes.items())


def cron_tenth_minutes(office: Office) -> tuple[str, ...]:
    """Return cron lines (Asia/Tokyo) for ten minutes after every start of the office's grid, weekday by weekday.

    And once more just before reception closes, for what the day's runs have left: sessions off the grid, and sweeps
    that did not run. A verdict of the same day can still be told the same day.
    """
    ticks: dict[frozenset[time], list[int]] = {}
    for weekday, hours in sorted(office.hours.items()):
        first, last = _minute_of_day(hours.opens), _minute_of_day(hours.closes) - SESSION_MINUTES
        minutes = {start + 10 for start in range(first, last + 1, office.grid_minutes)}
        minutes.add(max(0, _minute_of_day(office.reception.closes) - 10))
        # Cron counts Sunday as 0.
        ticks.setdefault(frozenset(time(*divmod(minute, 60)) for minute in minutes), []).append((weekday + 1) % 7)
    return tuple(line for times, days in ticks.items() for line in _cron_lines(times, sorted(days)))


def _cron_lines(times: frozenset[time], days: list[int]) -> list[str]:
    by_minute: dict[int, list[int]] = {}
    for at in sorted(times):
        by_minute.setdefault(at.minute, []).append(at.hour)
    by_hours: dict[tuple[int, ...], list[int]] = {}
    for minute, inside in sorted(by_minute.items()):
        by_hours.setdefault(tuple(inside), []).append(minute)
    return [
        f"{','.join(map(str, minutes))} {_range(list(inside))} * * {_range(days)}"
        for inside, minutes in by_hours.items()
    ]


def _minute_of_day(at: time) -> int:
    return at.hour * 60 + at.minute


def _minutes(inside: list[int], step: int) -> str:
    if len(inside) == 1:
        return str(inside[0])
    return f"*/{step}" if len(inside) == 60 // step else f"{inside[0]}-{inside[-1]}/{step}"


def _range(hours: list[int]) -> str:
    whole = hours == list(range(hours[0], hours[-1] + 1))
    return f"{hours[0]}-{hours[-1]}" if whole and len(hours) > 1 else ",".join(map(str, hours))


def runner_deployments(entries: tuple[DeploymentEntry, ...], *, work_pool: str | None = None) -> list[RunnerDeployment]:
    """Return the list as Prefect wants it: for `serve`, or with `work_pool` for `RunnerDeployment.apply`.

    Imports every flow, so that a broken one is an error here; the working directory must be the project's root, which
    the entrypoints are relative to.
    """
    for entry in entries:
        # from_entrypoint falls back to reading the source when an import fails, and every run would fail instead.
        module, function = entry.entrypoint.split(":")
        getattr(importlib.import_module(module.removesuffix(".py").replace("/", ".")), function)
    return [
        RunnerDeployment.from_entrypoint(
            entry.entrypoint,
            name=entry.name,
            schedules=[
                Cron(cron, timezone=TIME_ZONE, slug=f"{entry.name}-{number}") for number, cron in enumerate(entry.crons)
            ],
            parameters=dict(entry.parameters),
            description=entry.description,
            tags=list(entry.tags),
            concurrency_limit=ConcurrencyLimitConfig(
                limit=1, collision_strategy=ConcurrencyLimitStrategy(entry.collision)
            ),
            work_pool_name=work_pool,
        )
        for entry in entries
    ]
