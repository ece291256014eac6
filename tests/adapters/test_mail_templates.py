import re
import time
import unicodedata
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest

from madoguchi.adapters.mail_templates import MailTemplateError, TemplateStore, bundle_version
from madoguchi.adapters.mail_values import spaced_meeting_id
from madoguchi.domain.amendment import AmendmentGround, NoticeContent
from madoguchi.domain.evidence import Verdict
from madoguchi.domain.message import KINDS, MailKind, MissingPart, WhyNot
from tests.adapters.mail_help import (
    CONTEXTS,
    JOIN_URL,
    ROOT,
    START,
    alternatives,
    amended,
    cancelled,
    changed,
    confirmed,
    corrected,
    incomplete,
    notice_content,
    office,
    office_fault,
    reminder,
    store,
    withdrawn,
)

NOON = START + timedelta(days=91, hours=1, minutes=30)  # 24 December, 12:30
TAKES_BACK = [verdict for verdict in Verdict if verdict != Verdict.NO_SHOW]
CONTEXT_FIELDS = {kind: {field.name for field in fields(make())} for kind, make in CONTEXTS.items()}
HOSTILE = '<script>alert(1)</script>{{ 7*7 }}"><b>'
KINDS_AND_CONTEXTS = [
    *((kind, make()) for kind, make in CONTEXTS.items()),
    (MailKind.CONFIRMED, confirmed(revision=2, companion=True, online_registrant=True)),
    (MailKind.INCOMPLETE, incomplete(missing=tuple(MissingPart), reference=None)),
    (MailKind.ALTERNATIVES, alternatives(offers=(), answer_by=None, why=WhyNot.NON_WORKING_DAY)),
    *((MailKind.ALTERNATIVES, alternatives(why=why)) for why in WhyNot),
    *((MailKind.INCOMPLETE, incomplete(missing=(code,))) for code in MissingPart),
    (MailKind.REMINDER_DAY, reminder(companion=True, telephone_opens=START - timedelta(hours=2, minutes=30))),
    (MailKind.CHANGED, changed(previous_start=None, companion=True)),
    (MailKind.CANCELLED, cancelled(by_office=True)),
    *((MailKind.CORRECTED, corrected(verdict=verdict)) for verdict in (*TAKES_BACK, "cancelled")),
    (MailKind.OFFICE_FAULT, office_fault(offers=(), answer_by=None)),
    (MailKind.TERMS_AMENDED, amended(content=notice_content(ground=AmendmentGround.REASONABLE, enacted_on=None))),
    (MailKind.TERMS_AMENDED, amended(content=notice_content(effective_at=NOON, comparison_text=""))),
    (MailKind.TERMS_WITHDRAWN, withdrawn(content=notice_content(changed_text="", comparison_text=""))),
    # The noon hour is the longest time there is.
    *((kind, CONTEXTS[kind](start=NOON)) for kind in MailKind if "start" in CONTEXT_FIELDS[kind]),
]


class Outline(HTMLParser):
    """Tags in order, links and the text without tags; complains about tags left open."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, html):
        super().__init__()
        self.tags, self.links, self.open, self.words = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if href := dict(attrs).get("href"):
            self.links.append(href)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return "".join(self.words)


def squeezed(text):
    return re.sub(r"\s", "", text)


def width(line):
    """In full-width characters: two half-width ones take the room of one."""
    return sum(0.5 if unicodedata.east_asian_width(character) in {"Na", "H", "N"} else 1 for character in line)


def test_every_kind_has_its_folder_and_every_folder_its_kind():
    folders = {path.name for path in (ROOT / "templates" / "email").iterdir()}
    assert folders == {rule.template for rule in KINDS.values()}


@pytest.mark.parametrize(("kind", "context"), KINDS_AND_CONTEXTS)
def test_nothing_of_the_machinery_shows(kind, context):
    mail = store().render(kind, context, office())
    for part in (mail.subject, mail.text, mail.html.partition("</style>")[2]):
        assert not re.search(r"\{\{|\}\}|\{%|None|undefined|True|False|MISSING|TAKEN|&amp;lt;|\[\]", part)


@pytest.mark.parametrize(("kind", "context"), KINDS_AND_CONTEXTS)
def test_text_is_short_lines_without_tags_and_html_loads_nothing(kind, context):
    mail = store().render(kind, context, office())
    assert not re.search(r"</?[a-z]+[ >]", mail.text)
    assert not re.search(r"\n\n\n|[ \t]\n|\r", mail.text)
    for line in mail.text.splitlines():
        # Reason sentences come from a table and may be as long as a phone wraps them; links are links.
        assert width(line) <= 30 or line.startswith(("https://", "・")) or "最後の開始" in line, line
    outline = Outline(mail.html)
    assert not {"img", "link", "script", "iframe", "object"} & {tag for tag, _ in outline.tags}
    assert "url(" not in mail.html
    assert all(link.startswith(("https://", "tel:")) for link in outline.links)


@pytest.mark.parametrize(("kind", "context"), KINDS_AND_CONTEXTS)
def test_html_is_built_for_readers_of_every_kind(kind, context):
    outline = Outline(store().render(kind, context, office()).html)
    assert ("html", {"lang": "ja"}) in outline.tags
    headings = [tag for tag, _ in outline.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == "h1"
    assert set(headings[1:]) <= {"h2"}
    assert all("scope" in attributes for tag, attributes in outline.tags if tag == "th")
    assert any(attributes.get("name") == "viewport" for _, attributes in outline.tags)


SAID_WHEN_CONFIRMED = [
    ("6(2) date and time", "令和8年（2026年）9月24日（木曜日）"),
    ("6(2) time, with its zone", "日本時間"),
    ("6(2) time", "午前11時00分"),
    ("6(1) thirty minutes", "30分間"),
    ("6(2) meeting id", "812 3456 7890"),
    ("6(2) passcode", "k8Zq2Wp7"),
    ("4 one tool", "Zoomミーティング"),
    ("3 free of charge", "無料"),
    ("3 and 12(5) communication is at one's own cost", "通信料"),
    ("12(5) metered plans", "使った通信の量で料金が変わるご契約"),
    ("2(2) camera", "カメラ"),
    ("5(1) a safe device", "ウイルスなどの心配のない端末"),
    ("5(2) no unknown Wi-Fi", "無料のWi-Fi"),
    ("5(3) a supported system, up to date", "サポート期間中のものを最新の状態に"),
    ("5(4) firewall", "ファイアウォールは有効に"),
    ("5(5) no file sharing", "Winny"),
    ("5(5) nothing unneeded running", "使わないソフトを閉じて"),
    ("5(6) antivirus of paid grade", "有償版相当"),
    ("12(4) Zoom ready and line checked", "Zoomが使えること、通信が途切れないことの確認"),
    ("12(4) browser and software", "ブラウザやアプリも最新の状態に"),
    ("12(3) a private room", "個室"),
    ("12(3) companions told beforehand", "前もってお電話でお知らせください"),
    ("12(2) no recording", "録画と録音は禁止"),
    ("6(3) cancelling by telephone", "キャンセルのご連絡は、お電話で"),
    ("6(3) the number", "047-000-0000"),
    ("6(3) its hours", "平日 8時30分から17時15分"),
    ("6(3) ten minutes", "開始から10分（午前11時10分）"),
    ("6(3) counts as cancelled", "キャンセルとみなします"),
    ("6(3) refusal, as neutral as the terms", "お断りする場合があります"),
    ("preamble, 6 consent", "同意いただいたものとしています"),
    ("4 Zoom's own terms, on applying and using", "お申込みとご利用によって同意いただいたもの"),
    ("reference", "M-7K2Q9F"),
]  # fmt: skip


@pytest.mark.parametrize(("article", "words"), SAID_WHEN_CONFIRMED, ids=[item[0] for item in SAID_WHEN_CONFIRMED])
def test_the_confirmation_says_what_the_terms_ask_in_both_parts(article, words):
    mail = store().render(MailKind.CONFIRMED, confirmed(), office())
    assert squeezed(words) in squeezed(mail.text), article
    assert squeezed(words) in squeezed(Outline(mail.html).text), article


def test_the_confirmation_leads_to_the_meeting_and_to_both_terms():
    mail = store().render(MailKind.CONFIRMED, confirmed(), office())
    links = {JOIN_URL, "https://example.jp/madoguchi/terms", "https://www.zoom.com/ja/trust/terms/"}
    assert links <= set(mail.text.splitlines())
    assert links | {"tel:0470000000"} == set(Outline(mail.html).links)


@pytest.mark.parametrize(
    ("changes", "words", "is_said"),
    [
        ({"online_registrant": True}, "ハローワーク利用登録者", True),  # Art. 2(1)
        ({"online_registrant": False}, "ハローワーク利用登録者", False),
        ({"companion": True}, "お申込みでうかがっています", True),  # Art. 12(3)
        ({"companion": None}, "お申込みでうかがっています", False),
        ({"revision": 2}, "前にお送りした予約のお知らせに代わる", True),
        ({"revision": 1}, "前にお送りした予約のお知らせに代わる", False),
        ({"start": START + timedelta(hours=1, minutes=30)}, "午後0時40分（12時40分）", True),  # the ten-minute limit
    ],
)
def test_some_sentences_depend_on_the_booking(changes, words, is_said):
    mail = store().render(MailKind.CONFIRMED, confirmed(**changes), office())
    assert (words in squeezed(mail.text)) is is_said
    assert (words in squeezed(Outline(mail.html).text)) is is_said


def test_an_incomplete_application_is_told_everything_that_is_missing_and_no_more():
    said = {
        code: squeezed(store().render(MailKind.INCOMPLETE, incomplete(missing=(code,)), office()).text)
        for code in MissingPart
    }
    assert len(set(said.values())) == len(MissingPart)
    both = store().render(MailKind.INCOMPLETE, incomplete(missing=(MissingPart.NAME, MissingPart.DATETIME)), office())
    assert both.text.count("\n・") == 2
    assert "予約はまだ決まっていません" in both.text


def test_who_is_not_registered_is_asked_to_call_and_not_to_apply_again():
    mail = store().render(MailKind.INCOMPLETE, incomplete(missing=(MissingPart.NOT_REGISTERED,)), office())
    assert "https://example.jp/madoguchi/apply" not in mail.text + mail.html
    assert "047-000-0000" in mail.text


def test_other_times_are_offered_without_holding_them():
    mail = store().render(MailKind.ALTERNATIVES, alternatives(), office())
    text = squeezed(mail.text)
    assert "1．令和8年（2026年）9月25日（金曜日）午前11時00分" in text
    assert "2．令和8年（2026年）9月28日（月曜日）午後0時00分（12時00分）" in text
    assert "まだ予約ではなく、お取り置きもしていません" in text
    assert "令和8年（2026年）9月23日（水曜日）までに" in text
    assert "空きが出たときは" in text


def test_without_any_other_time_it_asks_for_a_call():
    mail = store().render(MailKind.ALTERNATIVES, alternatives(offers=(), answer_by=None), office())
    assert "お電話でご相談ください" in mail.text
    assert "お返事のしかた" not in mail.text


D, H, CH, CAN, NS = (
    MailKind.REMINDER_DAY,
    MailKind.REMINDER_HOUR,
    MailKind.CHANGED,
    MailKind.CANCELLED,
    MailKind.NO_SHOW,
)
SAID_AROUND_A_SESSION = [
    ("6(2) date", (D, H, CH, CAN, NS), "令和8年（2026年）9月24日（木曜日）"),
    ("6(2) time", (D, H, CH, CAN, NS), "午前11時00分"),
    ("6(2) its zone", (D, H, CH), "日本時間"),
    ("6(1) thirty minutes", (D, H, CH), "30分間"),
    ("6(2) meeting id", (D, H, CH), "812 3456 7890"),
    ("6(2) passcode", (D, H, CH), "k8Zq2Wp7"),
    ("4 one tool", (D, H, CH), "Zoomミーティング"),
    ("5(2) no unknown Wi-Fi", (D, CH), "無料のWi-Fi"),
    ("12(2) no recording", (D, H, CH), "録画と録音は禁止"),
    ("12(3) a private room", (D, CH), "個室"),
    ("12(3) nobody around", (H,), "周りにほかの方がいないこと"),
    ("12(3) companions told beforehand", (D, CH), "前もってお電話でお知らせください"),
    ("12(4) Zoom ready and line checked", (D, CH), "Zoomが使えること、通信が途切れないこと"),
    ("12(4) line checked, in short", (H,), "通信の状態"),
    ("6(3) cancelling by telephone", (D, CH), "キャンセルのご連絡は、お電話で"),
    ("6(3) telephone at once", (H,), "すぐにお電話ください"),
    ("6(3) the number", (D, H, CH, CAN, NS), "047-000-0000"),
    ("6(3) the limit as a time", (D, H, CH, NS), "午前11時10分"),
    ("6(3) counts as cancelled", (D, H, CH), "キャンセルとみなします"),
    ("6(3) was counted as cancelled", (NS,), "利用規約第6条(3)により、この予約はキャンセルとして扱いました"),
    ("6(3) refusal, as neutral as the terms", (NS,), "お断りする場合があるとしています"),
    ("6(3) no threat", (NS,), "このメールは、ご利用をお断りするものではありません"),
    ("6(3) reasons are heard", (NS,), "ご事情がありましたら、お電話でお聞かせください"),
    ("6(3) when the call was taken", (CAN,), "令和8年（2026年）9月18日（金曜日）午前10時05分"),
    ("6(3) not mine", (CAN,), "お心当たりのない場合"),
    ("the way in is closed", (CAN, CH), "リンクとミーティングIDは、もう使えません"),
    ("what no longer holds", (CH,), "9月22日（火曜日）午後1時00分からの予約は、なくなりました"),
    ("how to book again", (CAN, NS), "申込みページかお電話で、お申し込みください"),
    ("when sessions are held", (CAN, NS), "最後の開始は14時30分"),
    ("reference", (D, H, CH, CAN, NS), "M-7K2Q9F"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "words"),
    [(kind, words) for _, kinds, words in SAID_AROUND_A_SESSION for kind in kinds],
    ids=[f"{kind} {article}" for article, kinds, _ in SAID_AROUND_A_SESSION for kind in kinds],
)
def test_the_mails_around_a_session_say_what_the_terms_ask_in_both_parts(kind, words):
    mail = store().render(kind, CONTEXTS[kind](), office())
    assert squeezed(words) in squeezed(mail.text)
    assert squeezed(words) in squeezed(Outline(mail.html).text)


@pytest.mark.parametrize("kind", [D, H, CH])
def test_what_leads_into_a_session_holds_its_join_link_in_both_parts(kind):
    mail = store().render(kind, CONTEXTS[kind](), office())
    assert JOIN_URL in mail.text.splitlines()
    assert JOIN_URL in Outline(mail.html).links


def test_an_hour_before_the_join_link_comes_first_and_the_mail_is_short():
    mail = store().render(H, reminder(), office())
    assert [line for line in mail.text.splitlines() if line][:2] == ["山田 花子 様", JOIN_URL]
    assert Outline(mail.html).links[0] == JOIN_URL
    day = store().render(D, reminder(), office())
    assert len(mail.text.splitlines()) < 0.7 * len(day.text.splitlines())


@pytest.mark.parametrize(("kind", "context"), KINDS_AND_CONTEXTS)
def test_no_mail_says_tomorrow_or_today_since_nobody_knows_when_it_is_read(kind, context):
    mail = store().render(kind, context, office())
    assert not re.search("明日|本日|今日|昨日|翌日", mail.subject + mail.text + mail.html)


def test_before_closed_days_the_reminder_says_when_the_telephone_answers_again():
    opens = START.replace(day=28, hour=8, minute=30)
    told = store().render(D, reminder(start=START.replace(day=28), telephone_opens=opens), office())
    for part in (told.text, Outline(told.html).text):
        assert "9月28日（月曜日）午前8時30分からつながります" in squeezed(part)
    assert "つながる時間" not in store().render(D, reminder(), office()).text


@pytest.mark.parametrize("is_declared", [True, False])
@pytest.mark.parametrize("kind", [D, CH])
def test_a_declared_companion_is_not_asked_about_again(kind, is_declared):
    text = squeezed(store().render(kind, CONTEXTS[kind](companion=is_declared), office()).text)
    assert ("うかがっています" in text) is is_declared
    assert ("通訳や介助などの方が同席されるとき" in text) is not is_declared


def test_a_change_of_the_link_alone_says_that_the_time_stays():
    mail = store().render(CH, changed(previous_start=None), office())
    assert "入り方が変わりました" in mail.subject
    assert "日時は同じです" in mail.text
    assert "もう使えません" in mail.text
    assert "なくなりました" not in mail.text + mail.html
    assert "日時が変わりました" in store().render(CH, changed(), office()).subject


def test_a_session_called_off_by_the_office_is_apologised_for_and_no_call_is_thanked_for():
    mail = store().render(CAN, cancelled(by_office=True), office())
    assert "申し訳ございません" in mail.text
    assert "おわび" in mail.subject
    assert not re.search("ご連絡をいただき|ご連絡を受けた|お心当たり", mail.text + mail.html)
    assert "申し訳" not in store().render(CAN, cancelled(), office()).text


SAID_OF_AN_AMENDMENT = [
    ("13 that it changes", "オンライン職業相談の利用規約を変更します"),
    ("13 what changes", "相談の時間を30分から45分にします"),
    ("548-4 why", "時間が足りないという声を多くいただいたため"),
    ("13(1) the ground, in plain words", "利用規約第13条(1)です。利用される方の一般の利益に合う変更は"),
    ("13 the content after the change, in full", "第６条（予約、変更及びキャンセル）(1) 相談は、１回につき４５分です"),
    ("13 the content after the change, in full", "原則として、前々日までに、申込みページか電話でお申し込みください"),
    ("13 the content after the change, in full", "答えるかどうかは自由です"),
    ("the difference", "(1) 相談は、１回につき［３０分］です"),
    ("13 when it takes effect", "令和8年（2026年）12月1日（火曜日）から"),
    ("13 for sessions that are booked already", "すでにご予約の相談も同じです"),
    ("13 for sessions before", "それより前の相談には、今の規約が当てはまります"),
    ("the day of the amendment", "令和8年（2026年）10月30日（金曜日）"),
    ("nothing to do", "していただくことはありません"),
    ("no answer needed", "返信もいりません"),
    ("whom to ask", "お電話でお尋ねください"),
    ("6(3) cancelling stays possible, by telephone", "ご予約のキャンセルも、お電話で承ります"),
    ("the number", "047-000-0000"),
]
SAID_OF_A_WITHDRAWAL = [
    ("which announcement", "令和8年（2026年）11月2日（月曜日）にお知らせした"),
    ("that it will not be", "令和8年（2026年）12月1日（火曜日）になっても、利用規約は変わりません"),
    ("what holds", "今の規約が、そのまま続きます"),
    ("sorry", "申し訳ございません"),
    ("why", "対照表に誤りが見つかったため"),
    ("what would have changed", "相談の時間を30分から45分にします"),
    ("nothing to do", "していただくことはありません"),
    ("no answer needed", "返信もいりません"),
    ("the number", "047-000-0000"),
]


@pytest.mark.parametrize(
    ("kind", "point", "words"),
    [
        *((MailKind.TERMS_AMENDED, *said) for said in SAID_OF_AN_AMENDMENT),
        *((MailKind.TERMS_WITHDRAWN, *said) for said in SAID_OF_A_WITHDRAWAL),
    ],
)
def test_a_notice_says_what_the_law_and_the_terms_ask_in_both_parts(kind, point, words):
    mail = store().render(kind, CONTEXTS[kind](), office())
    assert squeezed(words) in squeezed(mail.text), point
    assert squeezed(words) in squeezed(Outline(mail.html).text), point


def test_a_notice_leads_to_the_full_text_and_the_comparison_and_its_withdrawal_to_what_holds():
    base = "https://example.jp/madoguchi/terms"
    pages = {f"{base}/versions/2026-12-01/", f"{base}/amendments/2026-12-01/", base}
    mail = store().render(MailKind.TERMS_AMENDED, amended(), office())
    assert pages <= set(mail.text.splitlines())
    assert pages | {"tel:0470000000"} == set(Outline(mail.html).links)
    gone = store().render(MailKind.TERMS_WITHDRAWN, withdrawn(), office())
    assert {f"{base}/amendments/2026-12-01/", base, "tel:0470000000"} == set(Outline(gone.html).links)


def test_a_notice_has_no_reference_and_says_on_which_ground_it_rests():
    told = {
        ground: store().render(MailKind.TERMS_AMENDED, amended(content=notice_content(ground=ground)), office()).text
        for ground in AmendmentGround
    }
    assert "第13条(2)" not in told[AmendmentGround.BENEFIT]
    assert "第13条(1)" not in told[AmendmentGround.REASONABLE]
    assert not any("受付番号" in text for text in told.values())


def test_what_changes_is_underlined_in_html_and_stands_in_paragraphs_not_in_the_lines_of_the_text():
    html = store().render(MailKind.TERMS_AMENDED, amended(), office()).html
    assert "<u>［４５分］</u>です。原則として、<u>［前々日］</u>までに" in html
    assert ">相談室は、相談のあとに、映像と音声の状態をお尋ねすることがあります。答えるかどうかは自由です。<" in html
    assert "<p>① 氏名</p>" in html


def test_an_effect_in_the_middle_of_a_day_is_told_with_its_time():
    content = notice_content(effective_at=NOON)
    text = store().render(MailKind.TERMS_AMENDED, amended(content=content), office()).text
    assert "12月24日（木曜日）\n午後0時30分（12時30分）から\n" in text


@pytest.mark.parametrize("kind", [NS, MailKind.DECLINED, MailKind.CORRECTED, MailKind.OFFICE_FAULT])
def test_no_mail_refuses_anybody(kind):
    """Art. 6(3), third sentence: only a person decides that; a mail may quote the terms and no more."""
    text = squeezed(store().render(kind, CONTEXTS[kind](), office()).text)
    text = text.replace("お断りする場合がある", "").replace("お断りするものではありません", "")
    assert not re.search("お断り|拒否|ご利用いただけません|ご利用できません|できなくなります", text)


def test_a_correction_says_what_holds_now_and_that_it_does_not_count():
    said = {v: store().render(MailKind.CORRECTED, corrected(verdict=v), office()) for v in (*TAKES_BACK, "cancelled")}
    assert len({mail.text for mail in said.values()}) == len(said)
    for mail in said.values():
        for part in (squeezed(mail.text), squeezed(Outline(mail.html).text)):
            assert "このお知らせを取り消します" in part
            assert "申し訳ございません" in part
            assert "ご連絡のないキャンセルには数えません" in part
    assert "もう一度予約する" not in said[Verdict.ATTENDED].text


def test_the_office_says_sorry_and_offers_other_times_by_telephone():
    mail = store().render(MailKind.OFFICE_FAULT, office_fault(), office())
    text = squeezed(mail.text)
    assert "申し訳ございません" in text
    assert "ご欠席やキャンセルとしては扱いません" in text
    assert "1．令和8年（2026年）9月25日（金曜日）午前11時00分" in text
    assert "まだ予約ではなく、お取り置きもしていません" in text
    none = store().render(MailKind.OFFICE_FAULT, office_fault(offers=(), answer_by=None), office())
    assert "お電話でご相談ください" in none.text
    assert "お返事のしかた" not in none.text + none.html


def test_a_declined_application_names_no_reason_and_asks_for_a_call():
    mail = store().render(MailKind.DECLINED, CONTEXTS[MailKind.DECLINED](), office())
    assert "お手数ですが、お電話ください" in mail.text
    assert not re.search("ため、|理由", mail.text)


@pytest.mark.parametrize("kind", list(MailKind))
def test_subjects_show_on_locked_screens_so_they_hold_no_name_and_no_number(kind):
    context = CONTEXTS[kind]()
    for named in (True, False):
        subject = store().render(kind, context, office(subject_names_purpose=named)).subject
        assert ("職業相談" in subject) is named
        assert "山田" not in subject
        assert "8123" not in subject
        assert "7K2Q9F" not in subject
        assert 0 < len(subject) <= 40


@pytest.mark.parametrize("kind", list(MailKind))
def test_hostile_names_neither_run_nor_break_out(kind):
    mail = store().render(kind, replace(CONTEXTS[kind](), recipient_name=HOSTILE), office())
    assert "<script" not in mail.html
    assert "<b>" not in mail.html
    assert "49" not in squeezed(mail.text)
    forged = replace(CONTEXTS[kind](), recipient_name="山田\n● キャンセル\r\nこちらへ")
    assert "山田 ● キャンセル こちらへ 様" in store().render(kind, forged, office()).text


def test_markup_in_what_zoom_or_the_office_said_is_escaped():
    mail = store().render(MailKind.CONFIRMED, confirmed(passcode="<i>&x</i>"), office(name="A&B <b>課</b>"))
    assert "&lt;i&gt;&amp;x&lt;/i&gt;" in mail.html
    assert "A&amp;B &lt;b&gt;課" in mail.html
    assert "<i>&x</i>" in mail.text


@pytest.mark.parametrize(
    "url",
    [
        "http://us02web.zoom.us/j/1",
        "https://zoom.us.evil.example/j/1",
        "https://evilzoom.us/j/1",
        "https://zoom.us@evil.example/j/1",
        "https://evil.example/?zoom.us",
        "javascript:alert(1)",
        "https://zoom.us/j/1\r\nBcc: x",
        'https://zoom.us/j/1"onclick="x',
        "https://zoom.us/j/１",
        "https://[zoom.us/j/1",
        "//zoom.us/j/1",
        "",
    ],
)
def test_a_join_link_that_leads_elsewhere_stops_the_mail_and_is_not_quoted(url):
    with pytest.raises(MailTemplateError, match="join_url") as caught:
        store().render(MailKind.CONFIRMED, confirmed(join_url=url), office())
    assert "evil" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("hosts", "url", "is_allowed"),
    [
        (("zoom.us",), "https://zoom.us/j/1", True),
        (("zoom.us",), "https://US02WEB.zoom.us/j/1", True),
        (("zoom.us", "127.0.0.1"), "http://127.0.0.1:8080/j/1", True),  # the stand-in
        (("zoom.us",), "http://127.0.0.1:8080/j/1", False),
        (("zoom.us", "10.0.0.1"), "http://10.0.0.1/j/1", False),
    ],
)
def test_plain_http_is_for_a_stand_in_on_this_machine_only(hosts, url, is_allowed):
    templates = store(join_hosts=hosts)
    if is_allowed:
        assert url in templates.render(MailKind.CONFIRMED, confirmed(join_url=url), office()).text
    else:
        with pytest.raises(MailTemplateError, match="join_url"):
            templates.render(MailKind.CONFIRMED, confirmed(join_url=url), office())


@pytest.mark.parametrize("changes", [{"terms_url": "http://example.jp/"}, {"terms_url": "example.jp"}])
def test_links_of_the_office_have_to_be_https(changes):
    with pytest.raises(MailTemplateError, match="link: "):
        store().render(MailKind.CONFIRMED, confirmed(), office(**changes))


@pytest.mark.parametrize("kind", list(MailKind))
def test_no_mail_goes_without_a_telephone_number(kind):
    with pytest.raises(MailTemplateError, match=r"office\.telephone"):
        store().render(kind, CONTEXTS[kind](), office(telephone=" "))


def test_a_context_of_another_kind_is_refused():
    with pytest.raises(MailTemplateError, match="IncompleteContext"):
        store().render(MailKind.CONFIRMED, incomplete(), office())


def test_a_pinned_bundle_says_what_it_said_when_it_was_pinned():
    templates = store()
    pinned = templates.bundle(MailKind.INCOMPLETE)
    name = "email/incomplete/subject.txt"
    older = pinned | {name: "前の件名\n"}
    version = bundle_version(older)
    assert version != templates.version(MailKind.INCOMPLETE) == bundle_version(pinned)
    mail = templates.render(MailKind.INCOMPLETE, incomplete(), office(), older, version=version)
    assert (mail.subject, mail.version) == ("前の件名", version)
    assert templates.render(MailKind.INCOMPLETE, incomplete(), office(), older).subject == "前の件名"
    assert templates.render(MailKind.INCOMPLETE, incomplete(), office()).subject != "前の件名"


def test_a_bundle_that_is_not_of_its_version_is_refused():
    templates = store()
    bundle = templates.bundle(MailKind.INCOMPLETE) | {"email/incomplete/subject.txt": "別の件名"}
    with pytest.raises(MailTemplateError, match="not those of version"):
        templates.render(MailKind.INCOMPLETE, incomplete(), office(), bundle, version="0123456789ab")


def test_the_version_changes_with_any_file_and_only_then():
    templates = store()
    for kind in MailKind:
        bundle = templates.bundle(kind)
        assert templates.version(kind) == bundle_version(dict(reversed(bundle.items())))
        for name in bundle:
            assert bundle_version(bundle | {name: bundle[name] + " "}) != templates.version(kind)
            assert bundle_version({k: v for k, v in bundle.items() if k != name}) != templates.version(kind)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("email/incomplete/body.txt", "{{ c.no_such_value }}", "no_such_value"),
        ("email/incomplete/body.txt", "{% if %}", "Expected"),
        ("email/incomplete/body.html", '{% extends "_base/gone.html" %}', "gone"),
        ("email/incomplete/subject.txt", "{{ ().__class__.__bases__ }}", "unsafe"),
        ("email/incomplete/subject.txt", "{% set _ = c.missing.append(1) %}", "append"),
    ],
)
def test_a_wrong_template_is_named_and_no_value_with_it(name, text, said):
    templates = store()
    with pytest.raises(MailTemplateError, match=said) as caught:
        templates.render(
            MailKind.INCOMPLETE, incomplete(), office(), templates.bundle(MailKind.INCOMPLETE) | {name: text}
        )
    assert "山田" not in str(caught.value)


def test_a_missing_file_is_named_at_the_start(tmp_path):
    with pytest.raises(MailTemplateError, match=r"email/confirmed/subject\.txt is missing"):
        TemplateStore(tmp_path)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("81234567890", "812 3456 7890"),
        ("8123456789", "812 345 6789"),
        ("812345678", "812 345 678"),
        ("812 3456 7890", "812 3456 7890"),
        ("not-a-number", "not-a-number"),
    ],
)
def test_meeting_ids_are_shown_in_groups(given, shown):
    assert spaced_meeting_id(given) == shown


@pytest.fixture
def go_abroad(monkeypatch):
    """Let the machine stand in New York from now on."""

    def go():
        monkeypatch.setenv("TZ", "America/New_York")
        time.tzset()

    yield go
    monkeypatch.undo()
    time.tzset()


def elsewhere(value, zone):
    """The same instants, as another zone writes them."""
    if isinstance(value, tuple):
        return tuple(elsewhere(each, zone) for each in value)
    if isinstance(value, NoticeContent):
        return replace(value, effective_at=elsewhere(value.effective_at, zone))
    return value.astimezone(zone) if isinstance(value, datetime) else value


@pytest.mark.parametrize("zone", [UTC, ZoneInfo("America/Los_Angeles"), ZoneInfo("Asia/Kathmandu")], ids=str)
@pytest.mark.parametrize(("kind", "context"), KINDS_AND_CONTEXTS)
def test_report_25_every_mail_says_japans_time_whatever_zone_its_times_and_the_machine_are_in(
    go_abroad, kind, context, zone
):
    at_home = store().render(kind, context, office())
    go_abroad()
    given = {field.name: elsewhere(getattr(context, field.name), zone) for field in fields(context)}
    assert store().render(kind, type(context)(**given), office()) == at_home
