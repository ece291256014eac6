"""The deployments that a person starts: typed forms in the dashboard. Runs of one form wait for each other: ENQUEUE."""

from __future__ import annotations

from flows.deployment_entry import DeploymentEntry


def list_by_hand() -> tuple[DeploymentEntry, ...]:
    """Return the deployments that staff start by hand."""
    return (
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
        DeploymentEntry(
            flow="usage-report",
            name="by-hand",
            entrypoint="flows/usage_report.py:usage_report",
            description=(
                "一か月の利用状況を、外に出せる報告（HTMLとCSV）にまとめたいときに使います。"
                "少ない数は伏せます。月を指定しないときは先月です。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="set-hold",
            name="by-hand",
            entrypoint="flows/set_hold.py:set_hold",
            description=(
                "争いや監査などのため、ある方の記録を保存期間が過ぎても消去しないようにするとき、"
                "その指示を解除するときに使います。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="record-disclosure",
            name="by-hand",
            entrypoint="flows/record_disclosure.py:record_disclosure",
            description=(
                "官公庁・捜査機関などから法令に基づいて開示を求められたとき、所の決定を記録します（規約第7条(2)）。"
                "電話や口頭での依頼には開示できません。この画面は何も渡しません。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="retain-records",
            name="by-hand",
            entrypoint="flows/retain_records.py:retain_records",
            description=(
                "保存期間の過ぎた記録の消去を、夜を待たずに行うときに使います。消去は取り消せません。"
                "予行のしるしを付けると、消去されるものの数だけを見られます。"
            ),
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="deliver-messages",
            name="by-hand",
            entrypoint="flows/deliver_messages.py:deliver_messages",
            description="送れていないお知らせを、すぐにもう一度送りたいときに使います。手で始めた実行どうしは、順番に動きます。",
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="send-reminders",
            name="by-hand",
            entrypoint="flows/send_reminders.py:send_reminders",
            description="リマインダーがまだ出ていないときに使います。一度出たものは、もう一度は出ません。",
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="sweep-no-shows",
            name="by-hand",
            entrypoint="flows/sweep_no_shows.py:sweep_no_shows",
            description="開始から10分を過ぎても出欠が決まっていないときに使います。10分の時点のこととして決めます。",
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="watch",
            name="by-hand",
            entrypoint="flows/watch.py:watch",
            description="足りないものがないか、すぐに確かめたいときに使います。直したあとに動かすと、片づいたものが消えます。",
            tags=("office", "by-hand"),
            collision="ENQUEUE",
        ),
        DeploymentEntry(
            flow="tell-alarms",
            name="on-event",
            entrypoint="flows/tell_alarms.py:tell_alarms",
            description="警報が出たとき、片づいたときに自動で動き、まだ知らせていないものをメールとWebhookで知らせます。",
            tags=("office", "on-event"),
            collision="ENQUEUE",
        ),
    )
