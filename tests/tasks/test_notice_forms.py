"""The forms of staff about notices, on both databases: what they record, refuse, and never do twice."""

from datetime import timedelta

import pytest

from madoguchi.domain.amendment import NoticeRoute
from madoguchi.domain.notice_proof import NoticeClass
from madoguchi.store.models import Notice, NoticeSignOff
from madoguchi.store.runs import open_staff_task
from tasks.bounces import CALL_BOUNCED, MAIL_REFUSED
from tasks.delivery import FAILED_MESSAGE
from tasks.notice_forms import Settled, Signature, Told, record_notice, settle_bounce, sign_off_notice
from tasks.proof import TELL_OTHERWISE, proof_csv, proof_markdown, proof_of_notice
from tasks.staff import Refused
from tests.tasks.delivery_world import AS_OF
from tests.tasks.notice_world import ANNOUNCED, CODE, NoticeWorld, everything, sample


@pytest.fixture
def world(database, tmp_path):
    return NoticeWorld(database, tmp_path)


def told(world, reference, **changes):
    form = {"code": CODE, "how": "電話", "received_by": "松戸"} | changes
    return record_notice(world.services, world.run(), Told(reference, **form))


def sign(world, **changes):
    return sign_off_notice(world.services, world.run(), Signature(**({"code": CODE, "signed_by": "松戸"} | changes)))


def handle(world, reference, outcome="ご本人に伝えた"):
    return settle_bounce(world.services, world.run(), Settled(reference, outcome, "松戸"))


def refusal(function, *arguments, **changes):
    with pytest.raises(Refused) as refused:
        function(*arguments, **changes)
    return str(refused.value)


def stands(world):
    return {each: count for each, count in proof_of_notice(world.services, CODE).totals.items() if count}


# --- record-notice


def test_somebody_told_by_telephone_is_recorded_with_who_how_and_when(world):
    reference, _ = world.person(None, route=NoticeRoute.OTHER)
    done = told(world, reference.lower(), happened_at=AS_OF - timedelta(hours=2), how="郵便")
    assert (done.reference, done.again) == (reference, False)
    [notice] = world.rows(Notice)
    assert (notice.told_how, notice.told_by, notice.told_at) == ("letter", "staff:松戸", AS_OF - timedelta(hours=2))
    assert stands(world) == {NoticeClass.TOLD_OTHERWISE: 1}
    [row] = world.audited("told")
    assert (row.subject, row.old, row.reason) == (notice.id, "no_address", "letter")


def test_the_same_form_again_is_already_done(world):
    reference, _ = world.person("failed", reason="SMTP_550")
    told(world, reference)
    before = list(everything(world, Notice))
    assert told(world, reference, how="窓口").again
    assert list(everything(world, Notice)) == before


def test_a_call_after_a_bounce_closes_what_waited_for_it(world):
    reference, message = world.person("sent")
    other, _ = world.person(None, route=NoticeRoute.OTHER)
    world.bounce(message)
    assert [kind for kind, _, _ in world.tasks()] == [CALL_BOUNCED, TELL_OTHERWISE]
    told(world, reference)
    assert world.tasks() == [(TELL_OTHERWISE, CODE, "PEOPLE_LEFT_1")]
    told(world, other)
    assert world.tasks() == []


def test_a_call_about_the_terms_does_not_close_what_waits_about_a_session(world):
    reference, message = world.person("sent")
    with world.database.write() as session:
        act = world.run().act(world.services)
        open_staff_task(session, act, CALL_BOUNCED, reference, "BOUNCED_HARD")
        open_staff_task(session, act, FAILED_MESSAGE, message, "SMTP_550")
    world.bounce(message)
    told(world, reference)
    assert world.tasks() == [(CALL_BOUNCED, reference, "BOUNCED_HARD")]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("sent", "メールでお知らせ済み"),
        ("queued", "これからメールで"),
        ("uncertain", "settle-message"),
    ],
)
def test_people_who_need_not_be_told_are_refused_with_what_to_do(world, status, words):
    reference, _ = world.person(status)
    before = list(everything(world, Notice))
    assert words in refusal(told, world, reference)
    assert list(everything(world, Notice)) == before


def test_unknown_codes_references_and_people_are_refused(world):
    reference, _ = world.person("failed", reason="X")
    outsider = world.world.request("R-XXXXXX")
    assert outsider
    assert CODE in refusal(told, world, reference, code="2031-01-01")
    assert "見つかりません" in refusal(told, world, "R-WWWWWW")
    assert "形になっていません" in refusal(told, world, "架空 七海")
    assert "対象ではありません" in refusal(told, world, "R-XXXXXX")
    assert "対象ではありません" in refusal(told, world, reference, purpose="取りやめのお知らせ")
    assert "後です" in refusal(told, world, reference, happened_at=AS_OF + timedelta(days=1))
    assert "承認" in refusal(told, world, reference, happened_at=AS_OF - timedelta(days=9))
    assert "職員番号" in refusal(told, world, reference, received_by="0470000001")


# --- sign-off-notice


@pytest.mark.parametrize(
    ("status", "words"), [("queued", "deliver-messages"), ("sending", "送信待ちが1件"), ("uncertain", "settle-message")]
)
def test_nobody_signs_while_a_mail_waits_or_is_in_doubt(world, status, words):
    world.person("sent")
    world.person(status)
    assert words in refusal(sign, world)
    assert world.rows(NoticeSignOff) == []


def test_nobody_signs_for_an_empty_list(world):
    assert "まだ記録されていません" in refusal(sign, world)


def test_totals_and_the_hash_of_the_table_are_frozen_under_a_name(world, tmp_path):
    for _ in range(3):
        world.person("sent")
    world.person(None, route=NoticeRoute.OTHER)
    sign(world)
    with (tmp_path / "proof.csv").open("wb") as stream:
        made = proof_csv(world.services, CODE, ANNOUNCED, stream)
    [row] = world.rows(NoticeSignOff)
    assert (row.signed_by, row.sha256, row.totals["told"], row.totals["no_address"]) == (
        "staff:松戸",
        made.sha256,
        3,
        1,
    )
    assert sign(world).again
    assert len(world.rows(NoticeSignOff)) == 1
    [signed] = proof_of_notice(world.services, CODE).sign_offs
    assert (signed.signed_by, signed.still_holds) == ("松戸", True)
    assert "松戸" in proof_markdown(world.services, CODE)


def test_a_late_bounce_is_told_and_signed_again_and_both_signatures_stay(world):
    messages = [world.person("sent")[1] for _ in range(2)]
    sign(world)
    world.bounce(messages[0])
    [signed] = proof_of_notice(world.services, CODE).sign_offs
    assert not signed.still_holds
    assert "合計が変わりました" in proof_markdown(world.services, CODE)
    done = sign(world)
    assert "変わっています" in done.notes[0]
    assert [one.still_holds for one in proof_of_notice(world.services, CODE).sign_offs] == [False, True]


# --- settle-bounce


def test_a_call_is_closed_and_the_address_stays_blocked(world):
    message = world.sent()
    world.bounce(message)
    [(_, reference, _)] = world.tasks()
    assert not handle(world, reference).again
    assert (world.tasks(), world.blocks()) == ([], ["BOUNCED_HARD"])
    assert handle(world, reference).again


def test_an_address_that_works_is_given_back(world):
    message = world.sent()
    world.bounce(message)
    [(_, reference, _)] = world.tasks()
    done = handle(world, reference, "アドレスは使える")
    assert "また送ります" in done.notes[0]
    assert (world.tasks(), world.blocks()) == ([], [])
    [lifted] = world.audited("lifted")
    assert lifted.actor == "staff:松戸"


def test_a_person_whose_notice_came_back_is_found_by_any_reference(world):
    reference, message = world.person("sent")
    world.bounce(message)
    handle(world, reference, "アドレスは使える")
    assert world.blocks() == []


def test_an_alarm_is_closed_by_its_number(world):
    world.put(sample("postfix_spam_refused.eml", world.sent()))
    world.read()
    assert handle(world, " POLICY-20260914 ", "確かめた").reference == "policy-20260914"
    assert MAIL_REFUSED not in {kind for kind, _, _ in world.tasks()}
    assert handle(world, "policy-20260914", "確かめた").again
    assert "policy-20260914" in refusal(handle, world, "policy-20990101", "確かめた")


def test_a_reference_without_a_bounce_is_refused(world):
    world.person("sent")
    [notice] = world.rows(Notice)
    assert "待つものはありません" in refusal(handle, world, notice.reference)
