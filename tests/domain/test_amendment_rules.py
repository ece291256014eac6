"""When an amendment may be announced or withdrawn: every rule, at its edge."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from madoguchi.domain import amendment_rules as rules
from madoguchi.domain.amendment import GROUND_WORDS, AmendmentGround, AmendmentStatus
from madoguchi.domain.amendment_rules import KnownVersion, Proposal
from madoguchi.domain.office import TermsPolicy
from madoguchi.domain.terms_comparison import compare
from madoguchi.domain.terms_structure import Article, Part, PartKind, Terms

JST = ZoneInfo("Asia/Tokyo")
UTC = ZoneInfo("UTC")
POLICY = TermsPolicy(minimum_notice=14, per_second={"gmail.com": 5.0}, other_per_second=10.0)


def jst(text):
    return datetime.fromisoformat(text).replace(tzinfo=JST)


def article(number, *sentences, caption="見出し"):
    parts = tuple(Part(PartKind.PARAGRAPH, "", n, text) for n, text in enumerate(sentences, start=1))
    return Article(f"第{number}条", (number,), caption, parts)


OLD = Terms(
    title="利用規約",
    preamble=("この規約は、利用の約束を定めます。",),
    articles=(article(1, "窓口を利用できます。"), article(2, "費用はかかりません。"), article(3, "30分とします。")),
    closing="２０２５年３月１４日\n窓口 所長",
    closed_on=date(2025, 3, 14),
    signatory="窓口 所長",
)
PROPOSAL = Proposal(
    code="2026-10-01",
    old_code="2025-04-01",
    old_sha256="a" * 64,
    new_sha256="b" * 64,
    ground=AmendmentGround.BENEFIT,
    reason="受付を広げるため",
    summary="第３条の変更",
    effective_at=jst("2026-10-01T00:00"),
)
KNOWN = [KnownVersion(code="2025-04-01", sha256="a" * 64, effective_at=jst("2025-04-01T00:00"))]


def changed(**changes):
    return replace(OLD, **changes)


def with_article(number, *sentences):
    return changed(articles=tuple(article(number, *sentences) if a.number == (number,) else a for a in OLD.articles))


# --- time


def test_a_day_means_midnight_in_japan():
    assert rules.effective_at_of(date(2026, 10, 1)) == jst("2026-10-01T00:00")
    assert rules.effective_at_of(date(2026, 10, 1)).astimezone(UTC).hour == 15


@pytest.mark.parametrize(
    ("at", "may"),
    [("2026-09-30T23:59:59", True), ("2026-10-01T00:00:00", False), ("2026-10-02T00:00:00", False)],
)
def test_an_amendment_takes_effect_in_the_future_or_not_at_all(at, may):
    said = rules.why_not_timed(PROPOSAL.effective_at, jst(at))
    assert (said is None) == may
    assert may or "2026年）10月1日" in said


@pytest.mark.parametrize(
    ("at", "reason", "may"),
    [
        ("2026-09-17T00:00", None, True),
        ("2026-09-17T23:59", None, True),
        ("2026-09-18T00:00", None, False),
        ("2026-09-18T00:00", "法令が変わったため", True),
        ("2026-09-30T23:00", "法令が変わったため", True),
    ],
)
def test_less_notice_than_the_office_wants_needs_a_reason(at, reason, may):
    said = rules.why_not_early_enough(PROPOSAL.effective_at, jst(at), POLICY, reason)
    assert (said is None) == may
    assert may or "13日しかありません" in said
    assert rules.approve_by(PROPOSAL.effective_at, POLICY) == date(2026, 9, 17)


def test_the_days_of_notice_are_those_of_japan_whatever_zone_the_instant_comes_in():
    at = jst("2026-09-17T08:00").astimezone(UTC)
    assert at.date() == date(2026, 9, 16)
    assert not rules.is_short_notice(PROPOSAL.effective_at.astimezone(UTC), at, POLICY)
    assert rules.is_short_notice(PROPOSAL.effective_at, at + timedelta(days=1), POLICY)


@pytest.mark.parametrize(
    ("by_lane", "seconds"),
    [
        ({}, 0),
        ({"gmail.com": 100}, 20),
        ({"other": 100}, 10),
        ({"gmail.com": 100, "other": 1000}, 100),
        ({"gmail.com": 0, "other": 0}, 0),
    ],
)
def test_lanes_run_beside_each_other_and_the_slowest_counts(by_lane, seconds):
    assert rules.mailing_time(by_lane, POLICY) == timedelta(seconds=seconds)


def test_mails_that_cannot_all_leave_before_the_effect_are_not_begun():
    effective = PROPOSAL.effective_at
    assert rules.why_not_in_time(effective, effective - timedelta(hours=3), timedelta(hours=2)) is None
    said = rules.why_not_in_time(effective, effective - timedelta(hours=2), timedelta(hours=2))
    assert "約2時間かかり" in said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "1分"), (59, "1分"), (61, "2分"), (3600, "1時間"), (7500, "2時間5分")]
)
def test_durations_are_rounded_up_to_minutes(seconds, said):
    assert rules.duration_ja(timedelta(seconds=seconds)) == said


# --- words


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("", "", ""), "reason"),
        (("　 \n", "", ""), "reason"),
        (("あ" * 1001, "", ""), "reason"),
        (("よい", "あ" * 501, ""), "summary"),
        (("よい", "", "あ" * 501), "short_notice_reason"),
        (("あ" * 1000, "あ" * 500, "あ" * 500), None),
    ],
)
def test_public_words_are_there_and_not_too_long(words, named):
    said = rules.why_not_worded(*map(rules.public_words, words))
    assert (said is None) if named is None else said.startswith(named)


def test_public_words_are_one_harmless_line():
    assert rules.public_words(" 法令の\n改正\u202eに  よる ") == "法令の 改正に よる"
    assert rules.public_words(None) == ""


@pytest.mark.parametrize("code", ["2026-10-01", "v2", "2026-10-01_b"])
def test_a_code_can_be_part_of_an_address(code):
    assert rules.why_not_coded(code) is None


@pytest.mark.parametrize("code", ["", "../x", "a/b", "第二版", "a b", "a:b", "x" * 41, "a..b", "Index.html"])
def test_anything_else_is_no_code(code):
    assert "code" in rules.why_not_coded(code)


def test_the_words_of_the_parameter_name_both_grounds():
    assert set(GROUND_WORDS.values()) == {"13(1)", "13(2)"}


# --- versions


@pytest.mark.parametrize(
    ("code", "sha", "others", "said"),
    [
        ("2026-10-01", "b", [], None),
        ("2025-04-01", "b", [], "公表済みの版"),
        ("2025-04-01", "b", [("2026-10-01", "c", "2026-10-01", True)], "公表済みの版"),
        ("2026-10-01", "b", [("2026-10-01", "c", "2026-10-01", True)], "取り下げた版"),
        ("2026-10-01", "a", [], "同じ文の版"),
        ("again", "c", [("2026-10-01", "c", "2026-10-01", True)], None),
        ("2026-10-01", "b", [("later", "c", "2026-11-01", False)], "それより後の日"),
        ("2026-10-01", "b", [("same-day", "c", "2026-10-01", False)], "それより後の日"),
        ("2026-10-01", "b", [("later", "c", "2026-11-01", True)], None),
        ("2026-10-01", "b", [("sooner", "c", "2026-09-25", False)], None),
    ],
)
def test_a_version_is_new_by_code_by_words_and_by_its_day(code, sha, others, said):
    known = KNOWN + [
        KnownVersion(code=c, sha256=s * 64, effective_at=jst(f"{day}T00:00"), withdrawn=gone)
        for c, s, day, gone in others
    ]
    found = rules.why_not_new(code, sha * 64, PROPOSAL.effective_at, known)
    assert (found is None) if said is None else said in found


def test_the_base_is_the_version_in_force_just_before_the_effect():
    known = [
        *KNOWN,
        KnownVersion(code="sooner", sha256="c" * 64, effective_at=jst("2026-09-25T00:00")),
        KnownVersion(code="gone", sha256="d" * 64, effective_at=jst("2026-09-28T00:00"), withdrawn=True),
        KnownVersion(code="same", sha256="e" * 64, effective_at=PROPOSAL.effective_at),
    ]
    assert rules.base_version(known, PROPOSAL.effective_at).code == "sooner"
    assert rules.base_version(known, jst("2025-04-01T00:00")) is None


@pytest.mark.parametrize(
    ("new", "same"),
    [
        (OLD, True),
        (with_article(2, "費用は かかり\nません。"), True),
        (changed(closed_on=date(2026, 9, 1), closing="２０２６年９月１日"), True),
        (with_article(2, "費用はかかります。"), False),
        (with_article(2, "費用はかかりません。", "通信費は別です。"), False),
        (changed(preamble=("この規約は、利用の決まりを定めます。",)), False),
        (changed(articles=OLD.articles[:2]), False),
        (changed(supplement=("この規約は10月から適用します。",)), False),
    ],
)
def test_only_other_words_are_a_change(new, same):
    said = rules.why_not_changed(OLD, new, compare(OLD, new))
    assert (said is not None) == same


def test_broken_citations_are_listed_with_their_places():
    assert rules.why_not_cited([]) is None
    said = rules.why_not_cited([f"第{n}条の引用先がありません。" for n in range(1, 11)])
    assert "10件" in said
    assert "(1) 第1条" in said
    assert "ほか2件" in said


# --- what is said of it


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ((), "利用規約の変更"),
        (("第５条",), "第５条の変更"),
        (("第５条", "第10 条"), "第５条、第10条の変更"),
        (tuple(f"第{n}条" for n in range(1, 11)), "第1条、第2条、第3条、第4条、第5条、第6条、第7条、第8条などの変更"),
    ],
)
def test_the_default_summary_names_what_changes(labels, said):
    assert rules.default_summary(labels) == said


def test_what_only_moved_is_not_named_as_changed():
    moved = replace(OLD.articles[2], label="第4条", number=(4,))
    new = changed(articles=(*OLD.articles[:2], article(3, "録画はできません。", caption="録画"), moved))
    labels = rules.changed_labels(compare(OLD, new))
    assert "第3条" in labels
    assert "第4条" not in labels


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (changed(closed_on=date(2026, 9, 1)), []),
        (OLD, ["前の版と同じ"]),
        (changed(closed_on=None), ["読み取れません"]),
        (changed(closed_on=date(2025, 3, 1)), ["前の版より前"]),
        (changed(closed_on=date(2026, 10, 2)), ["効力が生じる日より後"]),
        (changed(closed_on=date(2026, 9, 1), signatory="新しい所長"), ["変わっています"]),
        (changed(closed_on=date(2026, 9, 1), signatory=""), ["職名がありません"]),
    ],
)
def test_an_odd_closing_is_shown_to_the_approver(new, said):
    found = rules.warnings_about(OLD, new, PROPOSAL.effective_at)
    assert len(found) == len(said)
    assert all(part in one for part, one in zip(said, found, strict=True))


# --- what the approval is bound to


@pytest.mark.parametrize(
    "changes",
    [
        {"code": "b"},
        {"old_code": "b"},
        {"old_sha256": "c" * 64},
        {"new_sha256": "c" * 64},
        {"ground": AmendmentGround.REASONABLE},
        {"reason": "ほかの理由"},
        {"summary": "ほかの要点"},
        {"effective_at": jst("2026-10-02T00:00")},
        {"short_notice_reason": "急ぐため"},
    ],
)
def test_every_word_of_a_proposal_is_in_its_digest(changes):
    assert replace(PROPOSAL, **changes).digest() != PROPOSAL.digest()


def test_the_digest_is_that_of_the_same_instant_in_any_zone():
    assert replace(PROPOSAL, effective_at=PROPOSAL.effective_at.astimezone(UTC)).digest() == PROPOSAL.digest()


# --- withdrawing


@pytest.mark.parametrize(
    ("status", "at", "later", "said"),
    [
        (AmendmentStatus.ANNOUNCED, "2026-09-30T23:59", (), None),
        (AmendmentStatus.APPROVED, "2026-09-30T23:59", (), None),
        (AmendmentStatus.ANNOUNCED, "2026-10-01T00:00", (), "効力を生じた"),
        (AmendmentStatus.WITHDRAWN, "2026-09-20T00:00", (), "すでに取り下げられ"),
        (AmendmentStatus.ANNOUNCED, "2026-09-20T00:00", ("2026-11-01",), "2026-11-01"),
    ],
)
def test_an_amendment_is_taken_back_before_its_effect_once_and_the_last_one_first(status, at, later, said):
    found = rules.why_not_withdrawn(status, PROPOSAL.effective_at, jst(at), later)
    assert (found is None) if said is None else said in found
