"""record-contact, check-in and settle-attendance on both databases; reports of field.md (c) by their number."""

import importlib
from dataclasses import replace
from datetime import timedelta

import pytest
from prefect.utilities.callables import parameter_schema
from sqlalchemy import update

from madoguchi.domain import staff
from madoguchi.domain.office import NoShowPolicy
from madoguchi.store.models import Audit, Booking, Evidence, OutboxMessage, StaffTask, VerdictRecord
from madoguchi.store.runs import open_staff_task
from madoguchi.store.verdicts import no_show_days
from tasks.settling import CALL_APPLICANT
from tasks.staff_attendance import CheckIn, Contact, Settlement, check_in, record_contact, settle_attendance
from tests.tasks.desk_world import Desk
from tests.tasks.staff_help import at_once, refusal
from tests.tasks.sweep_world import CALLED, CAME, NOBODY, NOTHING, TENTH, minute
from tests.world import Clock, jst, office

OF_THIS_TIME = {"session_start": "2026-09-24T02:00:00+00:00"}

AFTERNOON = jst("2026-09-24 15:30")


@pytest.fixture
def world(database):
    return Desk(database, clock=Clock(TENTH))


def call(world, reference, at="11:05", **changes):
    form = {"channel": "電話", "about": "遅れる", "received_by": "松戸"} | changes
    given = None if at is None else jst(f"2026-09-24 {at}") if isinstance(at, str) else at
    return record_contact(world.services, world.run(), Contact(reference, received_at=given, **form))


def see(world, reference, who="来談者が参加した", at=None, **changes):
    form = {"received_by": "松戸"} | changes
    given = jst(f"2026-09-24 {at}") if isinstance(at, str) else at
    return check_in(world.services, world.run(), CheckIn(reference, who, seen_at=given, **form))


def settle(world, reference, verdict="参加した", reason="担当者が確かめた", **changes):
    form = {"received_by": "松戸"} | changes
    return settle_attendance(world.services, world.run(), Settlement(reference, verdict, reason, **form))


def pieces(world, reference):
    found = world.rows(Evidence, booking_id=world.booking(reference).id)
    return [(p.kind, p.source, p.happened_at, p.recorded_at, p.details) for p in sorted(found, key=lambda p: p.id)]


def whole(world):
    return {
        table.__tablename__: sorted(
            tuple(str(getattr(row, column.name)) for column in table.__table__.columns) for row in world.rows(table)
        )
        for table in (Audit, Booking, Evidence, StaffTask, VerdictRecord)
    }


# --- a contact


def test_report_11_a_call_in_time_that_is_entered_in_the_afternoon_reverses_the_no_show_and_withdraws_the_mail(world):
    reference = world.session(*NOBODY)
    world.sweep()
    assert (world.state(reference), world.mails(reference)) == ("no_show", [("no_show", "queued", None)])
    world.clock.now = AFTERNOON
    done = call(world, reference)
    assert world.state(reference) == "contacted"
    assert world.mails(reference) == [("no_show", "suppressed", "VERDICT_CHANGED")]
    contact = pieces(world, reference)[-1]
    assert contact == (
        "contact", "staff", jst("2026-09-24 11:05"), AFTERNOON,
        {"channel": "telephone", "about": "late", **OF_THIS_TIME},
    )  # fmt: skip
    assert done.notes == ("出欠の記録を、「連絡なく不参加」から「連絡あり」に改めました。",)
    [row] = [row for row in world.rows(Audit, subject=reference) if row.action == "evidence" and row.new == "contact"]
    assert (row.actor, row.happened_at, row.recorded_at) == ("staff:松戸", jst("2026-09-24 11:05"), AFTERNOON)


def test_report_11_somebody_who_was_told_of_a_no_show_gets_the_correction(world):
    reference = world.session(*NOBODY)
    world.sweep()
    with world.database.write() as session:
        session.execute(update(OutboxMessage).where(OutboxMessage.kind == "no_show").values(status="sent"))
    world.clock.now = AFTERNOON
    call(world, reference)
    assert [(kind, status) for kind, status, _ in world.mails(reference)] == [
        ("no_show", "sent"), ("corrected", "queued"),
    ]  # fmt: skip


def test_a_call_after_the_tenth_minute_changes_no_verdict_by_itself(world):
    reference = world.session(*NOBODY)
    world.sweep()
    world.clock.now = AFTERNOON
    call(world, reference, "11:11")
    assert world.state(reference) == "no_show"


@pytest.mark.parametrize(("at", "state"), [("11:10", "contacted"), ("10:20", "contacted"), ("11:11", "no_show")])
def test_the_tenth_minute_itself_still_counts_for_the_client(world, at, state):
    reference = world.session(*NOBODY)
    world.clock.now = AFTERNOON
    call(world, reference, at)
    world.sweep(AFTERNOON)
    assert world.state(reference) == state


def test_the_same_note_twice_is_one_row_and_another_time_is_another(world):
    reference = world.session(*NOBODY)
    first, second = call(world, reference), call(world, reference, received_by="柏")
    assert (first.again, second.again, len(world.rows(Evidence, kind="contact"))) == (False, True, 1)
    assert "記録済みです" in second.sentence
    for other in ({"at": "11:06"}, {"channel": "メール"}, {"about": "その他"}):
        assert not call(world, reference, **other).again
    assert len(world.rows(Evidence, kind="contact")) == 4


def test_two_clerks_who_enter_the_same_call_at_once_make_one_note(world):
    reference = world.session(*NOBODY)
    results = at_once(lambda: call(world, reference), lambda: call(world, reference))
    assert sorted(done.again for done in results) == [False, True]
    assert len(world.rows(Evidence, kind="contact")) == 1


def test_a_wish_to_cancel_cancels_nothing_and_says_what_does(world):
    reference = world.session(*NOTHING)
    done = call(world, reference, about="取り消したい")
    assert "cancel-booking" in done.notes[0]
    assert world.state(reference) == "confirmed"


def test_a_note_without_a_time_is_of_now_and_warns_when_that_is_too_late_to_count(world):
    reference = world.session(*NOTHING)
    world.clock.now = minute(12)
    done = call(world, reference, at=None)
    assert "received_at" in done.notes[0]
    assert pieces(world, reference)[-1][2] == minute(12)
    assert call(world, reference, at=None).again, "the same click twice"


def test_a_time_without_zone_is_japans(world):
    reference = world.session(*NOTHING)
    call(world, reference, at=jst("2026-09-24 11:05").replace(tzinfo=None))
    assert pieces(world, reference)[-1][2] == jst("2026-09-24 11:05")


def test_the_link_told_by_telephone_is_the_offices_duty_done_and_closes_the_call_that_waited_for_it(world):
    reference = world.session(*NOBODY, email=None, link=None, reminder=None)
    with world.database.write() as session:
        open_staff_task(session, world.run(jst("2026-09-23 09:00")).act(world.services), CALL_APPLICANT, reference,
                        "CONFIRMED")  # fmt: skip
    call(world, reference, "10:00", about="参加方法を伝えた")
    assert pieces(world, reference)[-1][:2] == ("link_told", "staff")
    assert world.tasks_of(reference) == []


@pytest.mark.parametrize(
    ("about", "left"), [("参加方法を伝えた", [CALL_APPLICANT]), ("お知らせの内容を電話で伝えた", [])]
)
def test_a_call_about_another_matter_is_not_closed_by_telling_the_link(world, about, left):
    reference = world.session(*NOTHING)
    with world.database.write() as session:
        open_staff_task(session, world.run().act(world.services), CALL_APPLICANT, reference, "CANCELLED")
    call(world, reference, about=about)
    assert world.tasks_of(reference) == left


def test_having_told_by_telephone_closes_the_call_about_an_application_too_and_twice_is_once(world):
    reference = "R-7K2Q9F"
    world.ask("2026-09-24 13:00", status="in_review", reference=reference)
    with world.database.write() as session:
        open_staff_task(session, world.run().act(world.services), CALL_APPLICANT, reference, "DECLINED")
    assert not call(world, reference, about="お知らせの内容を電話で伝えた").again
    assert call(world, reference, about="お知らせの内容を電話で伝えた").again
    assert world.staff() == []
    assert world.rows(Evidence) == []
    [row] = world.rows(Audit, subject=reference, action="told")
    assert (row.actor, row.reason, row.happened_at) == ("staff:松戸", "DECLINED", jst("2026-09-24 11:05"))


def test_after_a_persons_decision_a_new_contact_asks_and_changes_nothing(world):
    reference = world.session(*NOBODY)
    settle(world, reference, "無断欠席（第6条(3)）")
    done = call(world, reference)
    assert world.state(reference) == "no_show"
    assert world.tasks_of(reference) == ["evidence-after-verdict"]
    assert "settle-attendance" in done.notes[-1]


# --- the counsellor's word


@pytest.mark.parametrize(
    ("who", "kind"), [("来談者が参加した", "client_seen"), ("来談者が来ていない", "client_not_seen")]
)
def test_what_the_counsellor_says_is_evidence_with_both_times(world, who, kind):
    reference = world.session(*NOTHING)
    see(world, reference, who, at="11:09")
    assert pieces(world, reference) == [(kind, "counsellor", jst("2026-09-24 11:09"), TENTH, OF_THIS_TIME)]


def test_report_20_the_counsellor_who_says_that_the_client_is_here_undoes_a_no_show_of_the_machine(world):
    reference = world.session(*NOBODY)
    world.sweep()
    world.clock.now = minute(20)
    see(world, reference, at="11:08")
    assert world.state(reference) == "attended"
    assert world.mails(reference) == [("no_show", "suppressed", "VERDICT_CHANGED")]


def test_report_23_a_late_check_in_goes_the_way_of_every_other_evidence(world):
    reference = world.session(*NOBODY)
    world.sweep()
    world.clock.now = minute(25)
    see(world, reference)
    assert world.state(reference) == "undetermined", "seen after the limit: a person settles"
    assert "settle-attendance" in world.tasks_of(reference)


def test_the_same_check_in_twice_is_one(world):
    reference = world.session(*NOTHING)
    assert [see(world, reference).again for _ in range(2)] == [False, True]
    assert [see(world, reference, at="11:02").again for _ in range(2)] == [False, True]
    assert not see(world, reference, "来談者が来ていない").again
    assert len(pieces(world, reference)) == 3


@pytest.mark.parametrize("now", ["2026-09-24 10:30", "2026-09-24 23:59"])
def test_check_in_is_open_from_half_an_hour_before_until_the_end_of_the_day(world, now):
    reference = world.session(*NOTHING)
    world.clock.now = jst(now)
    assert see(world, reference).reference == reference


def test_a_run_that_is_repeated_later_makes_no_second_note_though_no_time_was_given(world):
    reference = world.session(*NOTHING)
    run = replace(world.run(), prefect_run="run-1")
    forms = (
        (check_in, CheckIn(reference, "来談者が参加した", "松戸")),
        (record_contact, Contact(reference, "電話", "遅れる", "松戸")),
    )
    for number, (form, given) in enumerate(forms):
        mine = replace(run, prefect_run=f"run-{number}")
        first = form(world.services, mine, given)
        world.clock.forward(minutes=7)
        assert (first.again, form(world.services, mine, given).again) == (False, True)
    assert [(kind, happened) for kind, _, happened, *_ in pieces(world, reference)] == [
        ("client_seen", TENTH), ("contact", minute(17)),
    ]  # fmt: skip


# --- a person's decision


@pytest.mark.parametrize(
    ("verdict", "state", "mail"),
    [
        ("参加した", "attended", []),
        ("連絡があった", "contacted", []),
        ("無断欠席（第6条(3)）", "no_show", ["no_show"]),
        ("窓口側の事情", "office_fault", ["office_fault"]),
    ],
)
def test_a_person_settles_what_the_machine_could_not(world, verdict, state, mail):
    reference = world.session(*NOTHING)
    world.sweep()
    assert (world.state(reference), world.tasks_of(reference)) == ("undetermined", ["settle-attendance"])
    done = settle(world, reference, verdict, "その他")
    assert (world.state(reference), world.tasks_of(reference)) == (state, [])
    assert [kind for kind, _, _ in world.mails(reference)] == mail
    last = world.verdicts(reference)[-1]
    assert (last.by_person, last.actor, last.reasons, last.number) == (True, "staff:松戸", ["OTHER"], 2)
    assert f"「{verdict}」と決めました" in done.sentence


def test_that_nobody_can_say_is_a_decision_too_and_closes_the_question(world):
    reference = world.session(*NOTHING)
    world.sweep()
    settle(world, reference, "不明のまま", "確かめられなかった")
    assert (world.state(reference), world.tasks_of(reference)) == ("undetermined", [])
    assert [(v.verdict, v.by_person) for v in world.verdicts(reference)] == [
        ("undetermined", False), ("undetermined", True),
    ]  # fmt: skip
    world.learn(reference, *CAME, at=AFTERNOON)
    assert world.reconsider(reference) == [], "a person's decision stands"
    assert world.tasks_of(reference) == ["evidence-after-verdict"]


def test_report_20_a_proposed_no_show_is_nothing_until_a_person_confirms_it(database):
    world = Desk(database, replace(office(), no_show=NoShowPolicy(confirm_by_person=True)), clock=Clock(TENTH))
    reference = world.session(*NOBODY)
    world.sweep()
    assert (world.state(reference), world.mails(reference)) == ("no_show_proposed", [])
    settle(world, reference, "無断欠席（第6条(3)）", "連絡の記録を確かめた")
    assert (world.state(reference), world.mails(reference)) == ("no_show", [("no_show", "queued", None)])
    assert world.tasks_of(reference) == []


def test_report_22_a_no_show_can_be_corrected_by_a_person_and_is_not_counted_any_more(world):
    reference = world.session(*NOBODY)
    world.sweep()
    client = world.booking(reference).client_id
    with world.database.read() as session:
        assert len(no_show_days(session, world.office.code, client)) == 1
    settle(world, reference, "連絡があった", "ご本人に確かめた")
    with world.database.read() as session:
        assert no_show_days(session, world.office.code, client) == []


def test_report_21_who_decided_why_and_on_what_stands_in_the_history(world):
    reference = world.session(*CALLED)
    world.sweep()
    settle(world, reference, "参加した", "担当者が確かめた")
    first, second = world.verdicts(reference)
    assert (first.by_person, first.actor, second.actor, second.reasons) == (
        False, "test", "staff:松戸", ["ASKED_COUNSELLOR"],
    )  # fmt: skip
    assert first.evidence == second.evidence
    assert len(second.evidence) == 1


def test_the_same_decision_twice_is_one_and_a_colleagues_is_another(world):
    reference = world.session(*NOTHING)
    assert not settle(world, reference, "連絡があった").again
    assert settle(world, reference, "連絡があった").again
    assert len(world.verdicts(reference)) == 1
    assert not settle(world, reference, "連絡があった", received_by="柏").again
    assert len(world.verdicts(reference)) == 2


def test_a_no_show_that_the_record_does_not_prove_is_recorded_with_a_warning(world):
    reference = world.session(*CALLED)
    done = settle(world, reference, "無断欠席（第6条(3)）")
    assert world.state(reference) == "no_show"
    assert done.notes[0].startswith("ご注意: 記録だけからは無断欠席と言えません（開始10分後までに、ご本人から連絡")


def test_two_clerks_who_decide_at_once_make_one_decision_each_its_own_row(world):
    reference = world.session(*NOTHING)
    results = at_once(
        lambda: settle(world, reference, "連絡があった"), lambda: settle(world, reference, "連絡があった")
    )
    assert sorted(done.again for done in results) == [False, True]
    other = at_once(
        lambda: settle(world, reference, "参加した"), lambda: settle(world, reference, "窓口側の事情", received_by="柏")
    )
    assert len(other) == 2
    numbers = [row.number for row in world.verdicts(reference)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert world.verdicts(reference)[-1].verdict == world.state(reference)


def test_a_call_that_is_entered_while_the_sweep_judges_is_never_lost(world):
    references = [world.session(*NOBODY) for _ in range(6)]
    at_once(world.sweep, *(lambda r=reference: call(world, r) for reference in references))
    world.sweep()
    assert {world.state(reference) for reference in references} == {"contacted"}
    sent = [status for reference in references for _, status, _ in world.mails(reference)]
    assert "queued" not in sent


# --- refusals


REFUSALS = {
    "unknown": (call, {"reference": "M-222222"}, "M-222222 という予約は見つかりません。番号を確かめてください。"),
    "not a reference": (
        see,
        {"reference": "架空さん"},
        "予約番号の形になっていません。M-7K2Q9F のような番号を、一覧かメールから写してください。",
    ),
    "a telephone number for a name": (
        settle,
        {"received_by": "09000000000"},
        "「受けた職員」には、職員番号か名字だけを入れてください（電話番号などは入れないでください）。",
    ),
    "a call to come": (
        call,
        {"at": "11:30"},
        "受けた日時（2026年9月24日 11時30分）が、今（2026年9月24日 11時10分）より後です。日時を確かめてください。",
    ),
    "a call before the booking": (
        call,
        {"at": jst("2026-08-31 10:00")},
        ("受けた日時（2026年8月31日 10時00分）が、予約を取った日時（2026年9月1日 9時00分）より前です。"
        "日時を確かめてください。"),
    ),
    "nothing to be told": (
        call,
        {"about": "お知らせの内容を電話で伝えた"},
        "{reference} に、お電話を待っている用件はありません。番号を確かめてください。",
    ),
    "too early to check in": (
        see,
        {"now": jst("2026-09-24 10:29")},
        ("{reference} の開始は9月24日 11時00分です。来談の記録は、その30分前（9月24日 10時30分）からのことについて"
        "入れられます。"),
    ),
    "seen before that": (
        see,
        {"at": "10:29"},
        ("{reference} の開始は9月24日 11時00分です。来談の記録は、その30分前（9月24日 10時30分）からのことについて"
        "入れられます。"),
    ),
    "the day after": (
        see,
        {"now": jst("2026-09-25 00:00")},
        ("{reference} の当日（9月24日）を過ぎたため、来談を記録できません。settle-attendance（出欠を決める）で"
        "決めてください。"),
    ),
    "before the tenth minute": (
        settle,
        {"now": TENTH - timedelta(seconds=1)},
        ("{reference} は、開始から10分（9月24日 11時10分）がまだ過ぎていないため、出欠を決められません。"
        "来談は check-in（来談の記録）で、ご連絡は record-contact（連絡の記録）で入れてください。"),
    ),
    "an excuse is no reason for a no-show": (
        settle,
        {"verdict": "無断欠席（第6条(3)）", "reason": "Zoomや通信の障害"},
        ("「Zoomや通信の障害」は、「無断欠席（第6条(3)）」の理由になりません。無断欠席としては数えられませんので、"
        "ほかの結果を選んでください。"),
    ),
    "while they talk": (
        settle,
        {"evidence": CAME, "verdict": "窓口側の事情"},
        ("{reference} は、今、相談の途中と記録されているため、「来なかった」ことにはできません。"
        "相談の終わる時刻（9月24日 11時30分）の後に、もう一度実行してください。"),
    ),
    **{
        f"{form.__name__} when cancelled": (
            form,
            {"status": "cancelled"},
            "{reference} は取り消し済みのため、" + cannot + "。",
        )
        for form, cannot in (
            (call, "連絡を記録できません"), (see, "来談を記録できません"), (settle, "出欠を決められません"),
        )
    },
    "held": (
        call,
        {"status": "held"},
        "{reference} は確定の準備中のため、連絡を記録できません。数分後、確定してからもう一度実行してください。",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_is_refused_with_one_sentence_and_nothing_changes(world, case):
    form, given, sentence = REFUSALS[case]
    given = dict(given)
    made = world.session(*given.pop("evidence", NOBODY))
    if form is settle and given.get("verdict") == "窓口側の事情":
        world.sweep()
    if status := given.pop("status", None):
        with world.database.write() as session:
            # Held, and nobody told of any time yet.
            session.execute(update(Booking).values(status=status, **({"revision": 0} if status == "held" else {})))
    world.clock.now = given.pop("now", world.clock.now)
    reference = given.pop("reference", made)
    before = whole(world)
    assert refusal(form, world, reference, **given) == sentence.replace("{reference}", made)
    assert whole(world) == before


# --- the forms


FORMS = {
    "record_contact": (["reference", "channel", "about", "received_by"], {
        "channel": staff.CHANNELS, "about": staff.ABOUTS,
    }),
    "check_in": (["reference", "who", "received_by"], {"who": staff.SEEN}),
    "settle_attendance": (["reference", "verdict", "reason", "received_by"], {
        "verdict": staff.ATTENDANCES, "reason": staff.ATTENDANCE_REASONS,
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_the_form_asks_for_references_and_choices_only_and_explains_each_in_japanese(name):
    flow = getattr(importlib.import_module(f"flows.{name}"), name)
    required, choices = FORMS[name]
    schema = parameter_schema(flow).model_dump()
    assert schema["required"] == required
    given = {"reference": "M-7K2Q9F", "received_by": "松戸"} | {field: next(iter(c)) for field, c in choices.items()}
    for field, codes in choices.items():
        assert schema["properties"][field]["enum"] == list(codes)
        for phrase, code in codes.items():
            assert flow.validate_parameters({**given, field: code})[field] == phrase
    for field in schema["properties"].values():
        assert sum("ぁ" <= char <= "ん" for char in field["description"]) > 3
    assert flow.name == name.replace("_", "-")


@pytest.mark.parametrize("name", FORMS)
def test_report_19_nobody_is_recognised_by_a_name_no_form_has_a_field_for_one(name):
    flow = getattr(importlib.import_module(f"flows.{name}"), name)
    fields = set(parameter_schema(flow).model_dump()["properties"])
    assert fields <= {*FORMS[name][0], "received_at", "seen_at", "as_of", "rehearse"}


def test_an_excuse_is_never_the_reason_of_a_no_show_and_every_reason_fits_something():
    codes = staff.ATTENDANCE_REASONS.values()
    assert {code for code in codes if not staff.fits_attendance("no_show", code)} == {
        "OFFICE_TROUBLE", "TECHNICAL", "SPECIAL_CASE", "COULD_NOT_CHECK",
    }  # fmt: skip
    assert all(staff.fits_attendance(verdict, code) for verdict in ("attended", "undetermined") for code in codes)
