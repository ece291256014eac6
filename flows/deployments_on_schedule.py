"""The deployments that start by themselves. What is due is done by the run under way or by the next: CANCEL_NEW."""

from __future__ import annotations

from flows.deployment_crons import cron_every, cron_tenth_minutes
from flows.deployment_entry import DeploymentEntry
from madoguchi.domain.office import Office


def list_on_schedule(office: Office) -> tuple[DeploymentEntry, ...]:
    """Return the scheduled deployments of an office; their schedules follow its reception hours, Monday to Friday.

    Public holidays and closures are in the crons: a run that starts on one takes nothing new in
    (`tasks.reporting.is_resting`), and what is due, a retry or a verdict, is done on any day.
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
            flow="usage-report",
            name="monthly",
            entrypoint="flows/usage_report.py:usage_report",
            description=(
                "毎月、最初の開庁日の朝に自動で動き、先月の利用状況をまとめます。動けなかったときは、12日までの間に"
                "取り返します。すでに作ってあるときは何もしません。"
            ),
            # No cron line knows the first open day: it looks every morning, and does what is due and not done.
            crons=("40 8 1-12 * *",),
            parameters={"redo": False},
            tags=("office", "scheduled"),
        ),
        DeploymentEntry(
            flow="retain-records",
            name="nightly",
            entrypoint="flows/retain_records.py:retain_records",
            description=(
                "毎晩20時30分に自動で動きます。保存期間の過ぎた記録から、個人に関する内容を消去します。統計の数は残ります。"
                "暗号の鍵も、月ごとに新しくします。"
            ),
            crons=("30 20 * * *",),
            tags=("office", "scheduled"),
        ),
        DeploymentEntry(
            flow="watch",
            name="reception-hours",
            entrypoint="flows/watch.py:watch",
            description=(
                "受付時間中、10分ごとに自動で動きます。あるべき姿と実際を比べ、足りないものを、することと一緒に知らせます。"
                "お急ぎのものがある間、赤（Failed）になります。"
            ),
            crons=cron_every(10, office.reception),
            tags=("office", "scheduled"),
        ),
    )
