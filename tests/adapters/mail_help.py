"""An office, contexts and rendered mails for the tests of mail."""

from datetime import date, datetime, time, timedelta
from pathlib import Path

from madoguchi.adapters.mail_templates import RenderedMail, TemplateStore
from madoguchi.domain.amendment import AmendedContext, AmendmentGround, NoticeContent, WithdrawnContext
from madoguchi.domain.message import (
    AlternativesContext,
    ConfirmedContext,
    IncompleteContext,
    MailKind,
    MissingPart,
    WhyNot,
)
from madoguchi.domain.office import JST, Office, OpeningHours
from madoguchi.domain.session_mails import (
    CancelledContext,
    ChangedContext,
    CorrectedContext,
    DeclinedContext,
    NoShowContext,
    OfficeFaultContext,
    ReminderContext,
)
from madoguchi.domain.terms_comparison_text import wrap

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "mail"
START = datetime(2026, 9, 24, 11, 0, tzinfo=JST)
STAMP = datetime(2026, 9, 14, 9, 0, 5, tzinfo=JST)
JOIN_URL = "https://us02web.zoom.us/j/81234567890?pwd=Ab1_cD2.1"
MESSAGE_ID = "<0123456789abcdef0123456789abcdef@madoguchi.example.jp>"


def office(**changes):
    values = {
        "code": "matsudo-mothers",
        "name": "ハローワーク松戸 マザーズコーナー",
        "telephone": "047-000-0000",
        "telephone_hours": "平日 8時30分から17時15分",
        "form_url": "https://example.jp/madoguchi/apply",
        "terms_url": "https://example.jp/madoguchi/terms",
        "mail_from": "madoguchi@example.jp",
        "mail_domain": "madoguchi.example.jp",
        "hours": {day: OpeningHours(time(11), time(15)) for day in range(5)},
        "reception": OpeningHours(time(8, 30), time(17, 15)),
        "grid_minutes": 30,
        "horizon_days": 120,
        "closures": frozenset(),
        "holidays_known_until": date(2027, 12, 31),
        "counsellors": (),
        "hosts": (),
    }
    return Office(**(values | changes))


SESSION = {"recipient_name": "山田 花子", "start": START, "reference": "M-7K2Q9F", "revision": 1}
MEETING = SESSION | {"meeting_id": "81234567890", "passcode": "k8Zq2Wp7", "join_url": JOIN_URL}


def confirmed(**changes):
    return ConfirmedContext(**(MEETING | changes))


def incomplete(**changes):
    values = {"recipient_name": "山田 花子", "missing": (MissingPart.NUMBER,), "reference": "R-7K2Q9F"}
    return IncompleteContext(**(values | changes))


def alternatives(**changes):
    values = {
        "recipient_name": "山田 花子",
        "wished": (START,),
        "why": WhyNot.TAKEN,
        "offers": (START + timedelta(days=1), START + timedelta(days=4, hours=1)),
        "answer_by": date(2026, 9, 23),
        "reference": "R-7K2Q9F",
    }
    return AlternativesContext(**(values | changes))


def reminder(**changes):
    return ReminderContext(**(MEETING | changes))


def changed(**changes):
    values = MEETING | {"revision": 2, "previous_start": START - timedelta(days=2, hours=-2)}
    return ChangedContext(**(values | changes))


def cancelled(**changes):
    received = datetime(2026, 9, 18, 10, 5, tzinfo=JST)
    return CancelledContext(**(SESSION | {"received_at": received, "revision": 3} | changes))


def no_show(**changes):
    return NoShowContext(**(SESSION | changes))


def corrected(**changes):
    return CorrectedContext(**(SESSION | {"verdict": "contacted"} | changes))


def office_fault(**changes):
    offers = (START + timedelta(days=1), START + timedelta(days=4, hours=1))
    return OfficeFaultContext(**(SESSION | {"offers": offers, "answer_by": date(2026, 9, 25)} | changes))


def declined(**changes):
    return DeclinedContext(**({"recipient_name": "山田 花子", "reference": "R-7K2Q9F"} | changes))


CHANGED_TEXT = wrap("""\
● 第６条（予約、変更及びキャンセル）
(1) 相談は、１回につき４５分です。原則として、前々日までに、申込みページか電話でお申し込みください。
① 氏名
② 求職番号
③ 電話番号

● 第７条（アンケート）
相談室は、相談のあとに、映像と音声の状態をお尋ねすることがあります。答えるかどうかは自由です。""")
COMPARISON_TEXT = wrap("""\
変わるところを［ ］で囲んでいます。
「（略）」は、変わらないところです。

● 第６条（予約、変更及びキャンセル）
【変更後】
(1) 相談は、１回につき［４５分］です。原則として、［前々日］までに、申込みページか電話でお申し込みください。
（略）
［③ 電話番号］
【変更前】
(1) 相談は、１回につき［３０分］です。原則として、［前日］までに、申込みページか電話でお申し込みください。
（略）

● 第７条（アンケート）（新設）
【変更後】
相談室は、相談のあとに、映像と音声の状態をお尋ねすることがあります。答えるかどうかは自由です。""")


def notice_content(**changes):
    values = {
        "code": "2026-12-01",
        "old_code": "2025-04-01",
        "ground": AmendmentGround.BENEFIT.value,
        "summary": "相談の時間を30分から45分にします。電話番号もうかがいます。",
        "reason": "時間が足りないという声を多くいただいたため、ゆっくりご相談いただけるようにします。",
        "effective_at": datetime(2026, 12, 1, tzinfo=JST),
        "enacted_on": date(2026, 10, 30),
        "full_text_url": "https://example.jp/madoguchi/terms/versions/2026-12-01/",
        "comparison_url": "https://example.jp/madoguchi/terms/amendments/2026-12-01/",
        "changed_text": CHANGED_TEXT,
        "comparison_text": COMPARISON_TEXT,
    }
    return NoticeContent(**(values | changes))


def amended(**changes):
    return AmendedContext(**({"recipient_name": "山田 花子", "content": notice_content()} | changes))


def withdrawn(**changes):
    content = notice_content(
        reason="対照表に誤りが見つかったため、内容を確かめてから、あらためてお知らせします。",
        changed_text="",
        comparison_text="",
        announced_at=datetime(2026, 11, 2, 9, 0, tzinfo=JST),
    )
    return WithdrawnContext(**({"recipient_name": "山田 花子", "content": content} | changes))


CONTEXTS = {
    MailKind.CONFIRMED: confirmed,
    MailKind.INCOMPLETE: incomplete,
    MailKind.ALTERNATIVES: alternatives,
    MailKind.REMINDER_DAY: reminder,
    MailKind.REMINDER_HOUR: reminder,
    MailKind.CHANGED: changed,
    MailKind.CANCELLED: cancelled,
    MailKind.NO_SHOW: no_show,
    MailKind.CORRECTED: corrected,
    MailKind.OFFICE_FAULT: office_fault,
    MailKind.DECLINED: declined,
    MailKind.TERMS_AMENDED: amended,
    MailKind.TERMS_WITHDRAWN: withdrawn,
}


def store(**changes):
    return TemplateStore(ROOT / "templates", **changes)


def rendered(subject="予約", text="本文です。\n", html="<p>本文です。</p>\n"):
    return RenderedMail(subject=subject, text=text, html=html, version="0" * 12)
