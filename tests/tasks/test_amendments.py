"""Proposing, approving, publishing and taking back an amendment, on both databases."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import update

from madoguchi.domain.amendment import AmendmentStatus, NoticeContent
from madoguchi.store.amendments import amendment_by_code, move_amendment
from madoguchi.store.models import Amendment, Audit, TermsText, TermsVersion
from tasks import amendments, publishing
from tasks.amendment_reports import announcement_preview
from tasks.amendments import TakingBack
from tasks.publishing import PublishedTooLate, publish_amendment, site_content
from tasks.staff import Refused
from tasks.wiring import Run
from tests.tasks.amendment_world import CODE, SAMPLE, TermsWorld, amended
from tests.world import AS_OF, jst

EFFECT = jst("2026-10-01 00:00")


@pytest.fixture
def world(database, tmp_path):
    return TermsWorld(database, tmp_path)


def tables(world):
    """How much of anything that an amendment leaves stands in the record."""
    return {table.__name__: world.world.count(table) for table in (Amendment, TermsVersion, TermsText)} | {
        "audit": len([row for row in world.world.rows(Audit) if row.subject_kind == "amendment"]),
        "notices": len(world.notices()),
    }


# --- refusals


REFUSALS = {
    "no file": ({"file": "/nowhere/terms.txt"}, "ファイルを読めません"),
    "no reason": ({"reason": "　"}, "reason（変更する理由）が空です"),
    "a reason too long": ({"reason": "あ" * 1001}, "長すぎます"),
    "a summary too long": ({"summary": "あ" * 501}, "summary（変更の要点）が長すぎます"),
    "no code": ({"code": "第二版"}, "code（版の番号）に使えない文字"),
    "past": ({"effective_date": date(2026, 9, 13)}, "もう始まっています"),
    "today": ({"effective_date": date(2026, 9, 14)}, "もう始まっています"),
    "short notice": ({"effective_date": date(2026, 9, 27)}, "13日しかありません"),
    "short notice of 13(2)": ({"ground": "13(2)", "effective_date": date(2026, 9, 27)}, "13日しかありません"),
    "a telephone number as the approver": ({"approver": "090-1234-5678"}, "電話番号などは入れないで"),
    "a known code": ({"code": "2025-04-01"}, "2025-04-01 という版がすでにあります"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_may_not_be_announced_is_refused_in_one_sentence_and_nothing_is_changed(world, case):
    changes, said = REFUSALS[case]
    before = tables(world)
    assert said in world.refusal(world.form(**changes))
    assert tables(world) == before
    assert world.page("amendments") is None


@pytest.mark.parametrize(
    "text",
    [
        SAMPLE,
        SAMPLE.replace("\n", " \n"),
        SAMPLE.replace("ただし、", "ただし、\n") + "\n\n",
        SAMPLE.replace("２０２５年３月１４日", "２０２６年９月１日"),
    ],
)
def test_the_same_words_are_no_amendment_however_they_are_wrapped(world, text):
    assert "今の規約と同じです" in world.refusal(world.form(text))


def test_a_text_without_articles_is_refused(world):
    assert "読み取れません" in world.refusal(world.form("これは規約ではありません。\n"))


def test_a_citation_of_what_does_not_exist_is_refused_with_its_place(world):
    said = world.refusal(world.form(amended("利用料はかかりません。", "利用料は第99条のとおりです。")))
    assert "条項の引用に、直すところが1件あります" in said
    assert "第２条" in said


def test_old_words_that_are_not_in_the_record_are_refused_with_the_remedy(world):
    with world.database.write() as session:
        for row in session.query(TermsText):
            session.delete(row)
    assert "MADOGUCHI_TERMS_DIR" in world.refusal(world.form())


def test_without_a_folder_for_the_site_nothing_can_be_announced(world):
    world.without_site()
    assert "MADOGUCHI_SITE_DIR" in world.refusal(world.form())


def test_a_record_that_no_site_can_show_is_refused_before_anybody_approves(world):
    with world.database.write() as session:
        session.execute(update(TermsVersion).values(code="no/path"))
    assert "公開サイトを作れない" in world.refusal(world.form())


def test_short_notice_with_a_reason_is_allowed_shown_and_kept(world):
    form = world.form(effective_date=date(2026, 9, 20), short_notice_reason="法令が変わったため")
    world.approve(form)
    amendment = world.amendment("2026-09-20")
    assert amendment.short_notice_reason == "法令が変わったため"
    [audit] = [row for row in world.world.rows(Audit) if row.action == "approved"]
    assert audit.details["short_notice"] == "yes"


# --- proposing and approving


@pytest.mark.parametrize("days", [-90, 90])
def test_in_life_an_amendment_is_announced_and_taken_back_at_its_real_time_only(world, days):
    world.publish(world.approve())
    world.world.services = replace(world.services, is_live=True)
    run = Run("announce-amendment", AS_OF + timedelta(days=days), AS_OF)
    form = world.form(amended(new="利用料は、一切かかりません。"), effective_date=date(2027, 3, 1))
    with pytest.raises(Refused, match="as_of"):
        amendments.propose(world.services, run, form)
    with pytest.raises(Refused, match="as_of"):
        amendments.propose_withdrawal(world.services, run, TakingBack(CODE, "見直すため", "松戸"))
    assert world.propose(form).code == "2027-03-01"
    assert world.take_back() == CODE


def test_nothing_in_the_preview_is_markup_but_our_own(world):
    form = world.form(reason="<img src=//x.example> ![x](//x.example) & 理由 | なし")
    shown = announcement_preview(world.services, world.run(), world.propose(form))
    for text in (shown.page, shown.markdown.partition("## 新旧対照表")[0]):
        assert "&lt;img src=//x.example> !&#91;x](//x.example) &amp; 理由 ｜ なし" in text
        assert "<img" not in text


def test_a_proposal_leaves_nothing_in_the_record(world):
    before = tables(world)
    proposed = world.propose(world.form())
    assert tables(world) == before
    assert (proposed.code, proposed.resumes, proposed.content.old_code) == (CODE, False, "2025-04-01")
    assert proposed.proposal.summary == "第２条の変更"
    assert "一切" in proposed.content.changed_text
    assert proposed.content.full_text_url.endswith(f"/versions/{CODE}/")
    assert proposed.content.comparison_url.endswith(f"/amendments/{CODE}/")


def test_an_approval_records_version_words_and_amendment_in_one(world):
    proposed = world.propose(world.form(summary="費用の説明を直します"))
    world.approve(world.form(summary="費用の説明を直します"))
    [old, new] = world.versions()
    amendment = world.amendment()
    assert (new.code, new.effective_at, new.enacted_on) == (CODE, EFFECT, date(2026, 9, 1))
    assert new.number == (old.number or 0) + 1
    assert new.signatory == proposed.new.signatory != ""
    assert (amendment.old_id, amendment.new_id, amendment.status) == (old.id, new.id, "approved")
    assert (amendment.ground, amendment.approved_by) == ("ART_13_1", "staff:松戸")
    assert (amendment.published_at, amendment.summary) == (None, "費用の説明を直します")
    assert NoticeContent.from_json(amendment.content) == proposed.content
    [words] = world.world.rows(TermsText, sha256=new.sha256)
    assert "一切かかりません" in words.text
    [audit] = [row for row in world.world.rows(Audit) if row.subject_kind == "amendment"]
    assert (audit.subject, audit.action, audit.actor, audit.new) == (CODE, "approved", "staff:松戸", "approved")


def test_a_second_amendment_changes_the_one_that_is_announced_already(world):
    world.announce()
    second = world.form(
        amended("利用料はかかりません。", "利用料は今後もかかりません。"), effective_date=date(2026, 11, 1)
    )
    proposed = world.propose(second)
    assert proposed.content.old_code == CODE
    world.announce(second)
    assert [v.code for v in world.versions()] == ["2025-04-01", CODE, "2026-11-01"]


def test_nothing_is_announced_while_what_it_would_change_may_never_hold(world):
    second = world.form(amended(new="利用料は、一切かかりません。"), effective_date=date(2026, 11, 1))
    ahead = world.propose(second)
    world.approve()
    assert f"{CODE} の変更が、承認されたまま公表されていません" in world.refusal(
        world.form(amended(new="利用料は、一切かかりません。"), effective_date=date(2026, 11, 1))
    )
    with pytest.raises(Refused):
        amendments.approve(world.services, world.run(), second, ahead)
    assert len(world.versions()) == 2
    world.publish()
    world.approve(world.form(amended(new="利用料は、一切かかりません。"), effective_date=date(2026, 11, 1)))


def test_nothing_is_announced_before_what_was_announced_already(world):
    world.announce()
    form = world.form(amended(new="利用料は無料です。"), effective_date=date(2026, 9, 29))
    assert "すでに公表されています" in world.refusal(form)


def test_of_two_approvals_at_once_one_stands(world):
    forms = [world.form(code="a"), world.form(code="b")]
    proposals = [world.propose(form) for form in forms]

    def attempt(pair):
        try:
            return amendments.approve(world.services, world.run(), *pair)
        except Refused as refused:
            return str(refused)

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(attempt, zip(forms, proposals, strict=True)), key=len)
    assert said[0] in {"a", "b"}
    assert "すでに公表されています" in said[1]
    assert len(world.versions()) == 2


def test_an_approval_for_a_base_that_changed_meanwhile_is_refused(world):
    early = world.form(amended(new="利用料は無料です。"), effective_date=date(2026, 9, 29))
    late = world.form(code="late", effective_date=date(2026, 11, 1))
    proposed = world.propose(late)
    world.publish(world.approve(world.form(amended(new="利用料は無料です。"), effective_date=date(2026, 9, 29))))
    with pytest.raises(Refused, match="変わりました"):
        amendments.approve(world.services, world.run(), late, proposed)
    assert early.effective_date == date(2026, 9, 29)
    assert [v.code for v in world.versions()] == ["2025-04-01", "2026-09-29"]


# --- going on with it


def test_the_same_form_goes_on_with_what_is_approved_and_is_refused_when_all_is_done(world):
    world.waits()
    world.approve()
    assert world.propose(world.form()).resumes
    world.publish()
    assert world.propose(world.form(approver="柏")).resumes
    world.queue()
    assert world.propose(world.form()).resumes
    world.settle_mails(status="sent")
    assert "すでに公表し、お知らせも済んでいます（対象 1名）" in world.refusal(world.form())


@pytest.mark.parametrize(
    "changes",
    [{"reason": "ほかの理由"}, {"summary": "ほかの要点"}, {"ground": "13(2)"}, {"short_notice_reason": "急ぐため"}],
)
def test_other_words_under_the_same_code_are_not_the_same_amendment(world, changes):
    world.approve()
    assert "承認済みですが、今回の内容" in world.refusal(world.form(**changes))


def test_another_text_under_the_same_code_is_not_the_same_amendment(world):
    world.approve()
    assert "承認済みですが、今回の内容" in world.refusal(world.form(amended(new="利用料は無料です。")))


def test_the_rest_of_an_amendment_may_be_done_after_its_effect(world):
    world.waits()
    world.approve()
    world.publish()
    world.forward_to(EFFECT + timedelta(hours=1))
    assert world.propose(world.form()).resumes


# --- publishing


def test_published_means_on_the_site_and_the_record_names_the_instant(world):
    world.approve()
    assert world.page(f"amendments/{CODE}") is None
    published = world.publish()
    assert published.published_at == AS_OF
    assert world.amendment().status == "published"
    assert "分かりやすくするため" in world.page(f"amendments/{CODE}")
    assert "一切かかりません" in world.page(f"versions/{CODE}")
    world.clock.forward(hours=1)
    assert world.publish().published_at == AS_OF
    assert world.publish().again


def test_a_build_never_brings_back_what_the_record_said_before_another(world):
    code = world.approve()
    with ThreadPoolExecutor(1) as threads:
        with world.database.exclusive("site"):
            midnight = threads.submit(publishing.publish_site, world.services, world.run())
            # Whoever reads now reads what is about to change.
            time.sleep(0.3)
            with world.database.write() as session:
                amendment = amendment_by_code(session, world.world.office.code, code)
                move_amendment(session, world.run().act(world.services), amendment, AmendmentStatus.PUBLISHED)
        midnight.result(timeout=30)
    assert world.page(f"amendments/{code}") is not None


def test_what_is_only_approved_is_on_no_page(world):
    world.approve()
    with world.database.read() as session:
        content = site_content(world.services, session, AS_OF)
    assert [v.code for v in content.versions] == ["2025-04-01"]
    assert content.amendments == ()


@pytest.mark.parametrize("later", [timedelta(0), timedelta(days=3)])
def test_an_amendment_that_is_not_public_before_its_effect_does_not_hold(world, later):
    world.waits()
    world.approve()
    world.forward_to(EFFECT + later)
    with pytest.raises(PublishedTooLate):
        world.publish()
    assert world.amendment().status == "withdrawn"
    assert world.versions()[-1].withdrawn_at == EFFECT + later
    assert world.page(f"versions/{CODE}") is None
    assert world.queue().mails == 0
    assert "取り下げた版" in world.refusal(world.form(effective_date=date(2026, 12, 1), code=CODE))


def test_a_build_that_ends_after_the_effect_is_taken_back(world, monkeypatch):
    world.approve()
    world.forward_to(EFFECT - timedelta(seconds=1))
    build = publishing.build_site

    def slow(*arguments, **more):
        report = build(*arguments, **more)
        world.clock.forward(seconds=2)
        return report

    monkeypatch.setattr(publishing, "build_site", slow)
    with pytest.raises(PublishedTooLate):
        publish_amendment(world.services, world.run(), CODE)
    assert world.page(f"amendments/{CODE}") is None
    assert world.amendment().status == "withdrawn"


def test_a_site_that_cannot_be_built_publishes_nothing_and_the_next_run_goes_on(world):
    world.approve()
    site = world.folder / "site"
    site.write_text("in the way")
    with pytest.raises(Refused, match="公開サイト"):
        world.publish()
    assert world.amendment().status == "approved"
    site.unlink()
    world.publish()
    assert world.amendment().status == "published"


# --- taking back


def test_a_withdrawal_takes_the_version_out_of_force_and_says_so_in_public(world):
    world.announce()
    world.clock.forward(days=1)
    world.take_back()
    amendment, version = world.amendment(), world.versions()[-1]
    assert (amendment.status, amendment.withdrawn_by) == ("withdrawn", "staff:松戸")
    assert amendment.withdrawn_at == version.withdrawn_at == AS_OF + timedelta(days=1)
    content = NoticeContent.from_json(amendment.withdrawal_content)
    assert (content.reason, content.announced_at) == ("内容を見直すため", AS_OF)
    assert "取りやめ" in world.page(f"amendments/{CODE}")
    assert "内容を見直すため" in world.page(f"amendments/{CODE}")


@pytest.mark.parametrize(
    ("code", "reason", "when", "said"),
    [
        ("nothing", "見直すため", AS_OF, "記録にありません"),
        (CODE, " ", AS_OF, "理由）が空です"),
        (CODE, "見直すため", EFFECT, "効力を生じたため、取り下げられません"),
    ],
)
def test_what_cannot_be_taken_back_is_refused(world, code, reason, when, said):
    world.announce()
    world.forward_to(when)
    with pytest.raises(Refused, match=said):
        world.take_back(code, reason)
    assert world.amendment().status == "announced"


def test_the_same_withdrawal_goes_on_and_another_one_is_refused(world):
    world.announce()
    world.take_back()
    world.take_back()
    with pytest.raises(Refused, match="すでに取り下げられています"):
        world.take_back(reason="ほかの理由")


def test_the_last_amendment_is_taken_back_first(world):
    world.announce()
    world.announce(world.form(amended(new="利用料は無料です。"), effective_date=date(2026, 11, 1)))
    with pytest.raises(Refused, match="2026-11-01"):
        world.take_back(CODE)
    world.take_back("2026-11-01")
    world.take_back(CODE)


def test_after_a_withdrawal_the_same_words_are_announced_anew_under_another_code(world):
    world.waits()
    world.announce()
    world.take_back()
    assert "取り下げた版" in world.refusal(world.form())
    queued = world.announce(world.form(code="2026-10-01b"))
    assert queued.mails == 1
    assert world.amendment("2026-10-01b").status == "announced"
    assert world.world.count(TermsText) == 2


# --- privacy


def test_no_audit_row_and_no_content_names_a_person(world):
    world.waits()
    world.announce()
    world.take_back()
    said = json.dumps(
        [[row.subject, row.reason, row.details] for row in world.world.rows(Audit)]
        + [world.amendment().content, world.amendment().withdrawal_content],
        ensure_ascii=False,
    )
    assert "架空" not in said
    assert "@example.jp" not in said


def test_words_for_the_public_lose_what_hides_in_them(world):
    world.approve(replace(world.form(), reason="安全の\u202eため\n直します"))
    assert world.amendment().reason == "安全のため 直します"
