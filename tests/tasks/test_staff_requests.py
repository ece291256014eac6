"""decide-request and book-in-session on both databases; reports of field.md (c) by their number."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from madoguchi.domain.application import Application, Flag
from madoguchi.domain.lifecycle import BookingStatus
from madoguchi.sandbox.mailbox_server import running_mailbox
from madoguchi.sandbox.zoom_server import running_zoom
from madoguchi.store.models import (
    Audit,
    Booking,
    BookingRequest,
    Consent,
    ExportFile,
    Restriction,
    TermsVersion,
)
from madoguchi.store.runs import open_staff_task
from tasks.scheduling import application_of, release_expired_holds, schedule_requests
from tasks.settling import CALL_APPLICANT, REVIEW_REQUEST, SWITCH_REGISTRATION
from tasks.staff import Refused
from tasks.staff_requests import Ruling, decide_request
from tasks.staff_session import NextBooking, book_in_session
from tests.sandbox.zoom_help import order
from tests.tasks.staff_help import (
    FRI,
    THU,
    after,
    at_once,
    booking,
    cancel,
    confirmed,
    everything,
    live_at_zoom,
    mails,
    refusal,
    stands,
)
from tests.world import AS_OF, World, jst, office

R = "R-7K2Q9F"
TODAY = "2026-09-14"


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stand-ins")
    with running_zoom(folder / "zoom.db") as zoom, running_mailbox(folder / "mailbox") as mailbox:
        yield zoom, mailbox


@pytest.fixture
def world(database, stand_ins):
    zoom, mailbox = stand_ins
    mailbox.state.clear()
    mailbox.state.faults.clear()
    zoom.state.faults.clear()
    yield World(database, office(), zoom=zoom, mailbox=mailbox)
    zoom.state.faults.clear()


def review(world, *wishes, told=None, **changes):
    """Put an application into the record that waits for a person; `told`: what it says otherwise than usual."""
    row = {"reference": R, "status": "in_review", "outcome": "needs_review", "reason": "OFF_GRID"} | changes
    world.ask(*(wishes or (f"{THU} 11:00",)), **row)
    with world.database.write() as session:
        open_staff_task(session, world.run().act(world.services), REVIEW_REQUEST, row["reference"], row["reason"])
        if told is not None:
            request = session.query(BookingRequest).filter_by(reference=row["reference"]).one()
            said = replace(application_of(world.services, request), **told)
            request.sealed_values = world.services.vault.seal_json(
                {"application": said.to_json(), "findings": []}, f"booking_request.sealed_values.{request.id}"
            )
    return row["reference"]


def decide(world, decision="承認する", reference=R, **changes):
    reason = "電話で内容を確かめた" if decision == "承認する" else "連絡が取れない"
    form = {"received_by": "松戸", "reason": reason} | changes
    return decide_request(world.services, world.run(), Ruling(reference, decision, **form))


def decline(world, **changes):
    return decide(world, "お断りする", **changes)


def next_booking(world, reference, start, **changes):
    form = {"received_by": "松戸"} | changes
    return book_in_session(world.services, world.run(), NextBooking(reference, start, **form))


# --- deciding


def test_an_approved_application_takes_its_turn_in_order_of_submission(world):
    world.ask(f"{THU} 11:00", submitted_at=AS_OF - timedelta(days=1))
    review(world, f"{THU} 11:00", submitted_at=AS_OF - timedelta(days=2))
    done = decide(world)
    assert done.sentence == f"{R} を承認しました。申込みの順に枠を決めます。"
    assert world.staff() == []
    after(world)
    assert (world.status(R), world.start(R)) == ("booked", f"{THU} 11:00")
    assert world.history(R) == ["in_review>received", "received>booked"]


@pytest.mark.parametrize("start", [f"{TODAY} 13:10", f"{THU} 11:00", f"{FRI} 14:30"])
def test_with_a_start_the_slot_is_held_at_once_same_day_and_off_the_grid_too(world, start):
    review(world, f"{TODAY} 13:00", reason="SAME_DAY")
    done = decide(world, start=jst(start), reason="当日だが対応できる")
    assert "枠を取りました" in done.sentence
    report = after(world)
    assert (world.start(R), report.made.confirmed) == (start, [world.active(R).reference])
    assert [message.status for message in world.messages("confirmed")] == ["sent"]


def test_somebody_waiting_gets_the_start_that_was_agreed_by_telephone(world):
    [taken] = confirmed(world, f"{THU} 11:00")
    world.ask(f"{THU} 11:00", reference=R)
    after(world)
    assert world.status(R) == "waiting"
    decide(world, start=jst(f"{FRI} 11:00"))
    after(world)
    assert (world.start(R), booking(world, taken).status) == (f"{FRI} 11:00", "confirmed")


def test_both_consents_name_what_was_in_force_when_the_application_was_sent(world):
    review(world)
    decide(world)
    consents = world.rows(Consent)
    assert sorted((c.document, c.basis, c.channel) for c in consents) == [
        ("service", "preamble, Art. 6", "form:google"),
        ("zoom", "Art. 4, by applying and using", "form:google"),
    ]
    assert {c.consented_at for c in consents} == {world.request(R).submitted_at}


@pytest.mark.parametrize("case", ["refused", "no time"])
def test_a_consent_asked_by_telephone_is_recorded_as_that_when_the_form_held_none(world, case):
    told, row = ({"consent": "refused"}, {}) if case == "refused" else (None, {"submitted_at": None})
    review(world, told=told, **row)
    assert "同意を確かめたうえで" in refusal(decide, world)
    decide(world, reason="電話で規約への同意を確かめた")
    assert {(c.channel, c.consented_at) for c in world.rows(Consent)} == {("telephone", AS_OF)}
    after(world)
    assert world.status(R) == "booked"


def test_an_online_registrant_is_switched_as_after_an_ordinary_acceptance(world):
    review(world, flags=[Flag.ONLINE_REGISTRANT.value])
    decide(world)
    assert world.staff() == [(SWITCH_REGISTRATION, R, None)]


def test_a_decline_is_told_without_its_reason_and_closes_the_case(world):
    review(world)
    decline(world, reason="今後の利用をお断りしている")
    assert (world.status(R), world.staff()) == ("rejected", [])
    [message] = world.messages("declined")
    assert set(world.context(message)) == {"recipient_name", "reference", "revision"}
    assert after(world).delivered.counts == {"sent": 1}


def test_a_decline_told_by_telephone_sends_no_mail_and_an_unusable_address_asks_for_a_call(world):
    review(world)
    decline(world, tell="電話で知らせた")
    assert (mails(world, "declined"), world.staff()) == ([], [])
    review(world, reference="R-7K2Q9H", flags=[Flag.EMAIL_DOUBTFUL.value])
    done = decline(world, reference="R-7K2Q9H")
    assert "お電話でお知らせください" in done.notes[0]
    assert world.staff() == [(CALL_APPLICANT, "R-7K2Q9H", "DECLINED")]


def test_report_9_somebody_waiting_who_is_declined_lapses_and_hears_no_other_times_any_more(world):
    confirmed(world, f"{THU} 11:00")
    world.ask(f"{THU} 11:00", reference=R)
    schedule_requests(world.services, world.run())
    decline(world, reason="ご本人が取り下げた")
    assert (world.status(R), mails(world, "alternatives")) == ("lapsed", [("suppressed", "REQUEST_DECLINED")])


@pytest.mark.parametrize(("until", "word"), [(None, "期限なし"), ("2027-03-31 17:15", "2027年3月31日まで")])
def test_a_restricted_person_is_shown_and_the_person_at_the_desk_decides(world, until, word):
    review(world)
    restrict(world, world.request(R).client_id, until)
    done = decide(world)
    assert word in done.notes[0]
    after(world)
    assert world.status(R) == "booked"


def restrict(world, client, until):
    with world.database.write() as session:
        session.add(
            Restriction(
                reference="N-7K2Q9F", office=world.office.code, client_id=client, ground="6(3)", reason="REPEATED",
                document=None, starts_at=AS_OF - timedelta(days=9), until=jst(until) if until else None,
                decided_by="staff:test", recorded_at=AS_OF, lifted_at=None, lifted_by=None, lift_reason=None,
            )
        )  # fmt: skip


def test_repeated_absences_are_shown_too(world):
    first, second = confirmed(world, f"{THU} 11:00", f"{THU} 11:30")
    client = booking(world, first).client_id
    with world.database.write() as session:
        session.execute(update(Booking).values(client_id=client))
        session.execute(update(Booking).values(status="no_show", start_at=jst("2026-09-10 11:00")))
    assert first != second
    review(world, f"{FRI} 11:00", client_id=client)
    assert "2回" in decide(world).notes[0]


DECIDE_REFUSALS = [
    ({"reference": "R-7K2Q9H"}, {}, "R-7K2Q9H という申込みは見つかりません。番号を確かめてください。"),
    ({"reference": "架空 七海"}, {},
        "申込みの番号の形になっていません。R-7K2Q9F のような番号を、一覧かメールから写してください。"),
    ({"reason": "ご本人が取り下げた"}, {},
        "「承認する」の理由に「ご本人が取り下げた」は使えません。選び直してください。"),
    ({"decision": "お断りする", "reason": "事情を認めた"}, {},
        "「お断りする」の理由に「事情を認めた」は使えません。選び直してください。"),
    ({"decision": "お断りする", "start": jst(f"{FRI} 11:00")}, {},
        "「お断りする」のときは、start（開始日時）を空にしてください。"),
    ({}, {"told": {"name": None}},
        ("R-7K2Q9F はお名前が読み取れないため、承認できません。ご本人に、"
        "フォームからもう一度申し込んでいただいてください。")),
    ({}, {"told": {"name": None, "job_seeker_number": None}},
        ("R-7K2Q9F はお名前と求職番号が読み取れないため、承認できません。ご本人に、"
        "フォームからもう一度申し込んでいただいてください。")),
    ({}, {"wishes": (f"{TODAY} 13:00", f"{THU} 11:10", "2026-09-22 11:00")},
        ("R-7K2Q9F の希望には、自動で予約できる日時がありません（明日以降の開庁日で、開始の刻みに合うもの）。"
        "ご本人と決めた日時を start（開始日時）に入れて承認してください。")),
    ({"start": jst("2026-09-22 11:00")}, {}, "9月22日は閉庁日のため、予約できません。"),
    ({"start": jst(f"{TODAY} 08:59")}, {}, "9月14日 8時59分は、もう過ぎています。これからの日時を入れてください。"),
    ({"start": jst(f"{THU} 12:00")}, {},
        ("9月24日 12時00分からは、担当者が空いていません。その日に空いている開始: 11時00分、11時30分、"
        "12時30分、13時00分、13時30分、14時00分、14時30分。")),
    ({}, {"status": "rejected"}, "R-7K2Q9F は受付できないと案内済みのため、承認できません。"),
    ({"decision": "お断りする"}, {"status": "booked"}, "R-7K2Q9F は予約済みのため、お断りできません。"),
    ({}, {"status": "waiting"},
        ("R-7K2Q9F は受付済みで、空きを待っています。日時を決めて承認するときは、start（"
        "開始日時）を入れてください。")),
]  # fmt: skip


@pytest.mark.parametrize(("form", "row", "sentence"), DECIDE_REFUSALS)
def test_a_decision_that_cannot_be_is_refused_with_one_sentence_and_changes_nothing(world, form, row, sentence):
    confirmed(world, f"{THU} 12:00")
    wishes = row.get("wishes", (f"{THU} 11:00",))
    review(world, *wishes, **{name: value for name, value in row.items() if name != "wishes"})
    before, status = everything(world), world.status(R)
    assert refusal(decide, world, **form) == sentence
    assert (everything(world), world.status(R)) == (before, status)


def test_a_booking_reference_in_the_form_for_applications_is_named_as_what_it_is(world):
    [reference] = confirmed(world, f"{THU} 11:00")
    assert refusal(decide, world, reference=reference).startswith(f"{reference} は予約の番号です。")


@pytest.mark.parametrize("start", [None, jst(f"{FRI} 11:00")])
def test_the_same_decision_again_finishes_what_zoom_left_and_repeats_nothing(world, start):
    review(world)
    order(world.zoom, "create", "503", times=None)
    decide(world, start=start)
    assert after(world).made.incomplete != []
    world.zoom.state.faults.clear()
    done = decide(world, start=start)
    assert (done.again, done.sentence) == (True, f"{R} は9月14日 9時00分に承認済みです。")
    assert len(after(world).made.confirmed) == 1
    assert (len(world.bookings()), len(world.rows(Consent)), len(live_at_zoom(world))) == (1, 2, 1)


def test_a_decision_by_somebody_else_after_the_first_is_refused_and_names_the_state(world):
    review(world)
    decide(world)
    after(world)
    said = refusal(decide, world, received_by="柏")
    assert said == f"{R} は9月14日 9時00分に予約済みのため、承認できません。"


def test_an_application_that_comes_back_to_staff_is_decided_anew_by_the_same_form(world):
    review(world, f"{THU} 11:00", f"{FRI} 11:00")
    order(world.zoom, "create", "503", times=None)
    decide(world)
    after(world)
    world.zoom.state.faults.clear()
    world.clock.now = jst(f"{THU} 11:01")
    assert release_expired_holds(world.services, world.run()) != []
    assert world.status(R) == "in_review"
    assert decide(world, start=jst(f"{THU} 14:00")).again is False
    after(world)
    assert (world.start(R), len(world.rows(Consent))) == (f"{THU} 14:00", 2)


def test_two_clerks_deciding_opposite_ways_at_once_end_in_one_decision(world):
    review(world)
    results = at_once(lambda: decide(world), lambda: decline(world, received_by="柏"))
    assert [isinstance(result, Refused) for result in results].count(True) == 1
    assert [row.new for row in world.rows(Audit, action="decided")] in (["approve"], ["decline"])


# --- the next session


@pytest.fixture
def here(world):
    """A session that is being held."""
    [reference] = confirmed(world, f"{THU} 11:00")
    world.clock.now = jst(f"{THU} 11:20")
    return reference


def test_the_next_session_is_an_application_of_its_own_with_two_consents_given_in_session(world, here):
    done = next_booking(world, here, jst(f"{FRI} 11:00"))
    [made] = [found for found in world.bookings() if found.reference != here]
    assert done.sentence.startswith(f"{here} の方の次回の予約 {made.reference} を、9月25日 11時00分から取りました")
    request = world.rows(BookingRequest, id=made.request_id)[0]
    assert (request.source, request.form, request.outcome, request.status) == (
        "staff",
        "in-session",
        "accept",
        "booked",
    )
    assert made.client_id == booking(world, here).client_id
    assert {(c.channel, c.consented_at) for c in world.rows(Consent, request_id=request.id)} == {
        ("in_session", jst(f"{THU} 11:20"))
    }
    earlier = world.rows(BookingRequest, id=booking(world, here).request_id)[0]
    told, before = (application_of(world.services, each) for each in (request, earlier))
    assert told == replace(before, wishes=(jst(f"{FRI} 11:00"),), consent="given", submitted_at=jst(f"{THU} 11:20"))
    assert after(world).made.confirmed == [made.reference]
    assert [message.status for message in world.messages("confirmed")] == ["sent", "sent"]


def test_terms_that_changed_since_the_last_consent_are_said(world, here):
    first = next_booking(world, here, jst(f"{FRI} 11:00"))
    assert first.notes == ()
    [next_] = [found.reference for found in world.bookings() if found.reference != here]
    with world.database.write() as session:
        session.add(
            TermsVersion(office=world.office.code, document="service", code="2026-09-24", sha256="1" * 64,
                         enacted_on=jst(THU).date(), effective_at=jst(f"{THU} 11:21"), url="https://example.jp/terms")
        )  # fmt: skip
    after(world)
    world.clock.now = jst(f"{FRI} 11:20")
    second = next_booking(world, next_, jst("2026-09-28 11:00"))
    assert "規約が変わっています" in second.notes[0]


def test_an_attended_session_of_last_week_will_do_and_companion_and_doubt_about_the_address_are_kept(world, here):
    stands(world, here, BookingStatus.ATTENDED)
    with world.database.write() as session:
        session.execute(update(BookingRequest).values(flags=["COMPANION_DECLARED", "EMAIL_DOUBTFUL", "RESUBMITTED"]))
    world.clock.now = jst("2026-09-30 10:00")
    next_booking(world, here, jst("2026-10-01 11:00"))
    [request] = world.rows(BookingRequest, source="staff")
    assert request.flags == ["COMPANION_DECLARED", "EMAIL_DOUBTFUL"]


def test_all_of_staffs_own_applications_stand_under_one_file_row(world, here):
    for start in (f"{FRI} 11:00", f"{FRI} 12:00"):
        next_booking(world, here, jst(start))
    assert len(world.rows(ExportFile, source="staff")) == 1


def test_same_day_only_when_the_clerk_says_so(world, here):
    said = refusal(next_booking, world, here, jst(f"{THU} 14:00"))
    assert said.startswith("9月24日 14時00分は当日です（原則は前日まで、規約第6条(1)）。")
    next_booking(world, here, jst(f"{THU} 14:00"), allow_same_day=True)
    assert len(after(world).made.confirmed) == 1


NEXT_REFUSALS = [
    ("cancelled", f"{FRI} 11:00", {}, "{here} は9月24日 11時20分に取り消し済みのため、次回の予約の元にできません。"),
    ("no_show", f"{FRI} 11:00", {},
        "{here} は9月24日 11時20分に「連絡なく不参加」と記録済みのため、次回の予約の元にできません。"),
    ("ahead", f"{FRI} 11:00", {},
        ("{here} の相談（9月24日 11時00分から）は、まだ始まっていません。次回の予約をこの画面で取れるのは、"
        "相談の中か、その後です（規約第6条(1)ただし書）。")),
    ("here", "2026-09-26 11:00", {}, "9月26日は閉庁日のため、予約できません。"),
    ("here", f"{FRI} 11:00", {"counsellor": "midori"},
        "その担当は登録されていません。counsellor-1 のどれかを入れてください。"),
    ("nobody", f"{FRI} 11:00", {}, "M-7K2Q9F という予約は見つかりません。番号を確かめてください。"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "start", "form", "sentence"), NEXT_REFUSALS)
def test_a_next_session_that_cannot_be_is_refused_with_one_sentence_and_changes_nothing(
    world, here, case, start, form, sentence
):
    if case == "cancelled":
        cancel(world, here, received_at=jst(f"{THU} 10:59"))
        sentence = sentence.replace("11時20分", "10時59分")
    if case == "no_show":
        stands(world, here, BookingStatus.NO_SHOW)
    if case == "ahead":
        world.clock.now = AS_OF
    before = everything(world)
    typed = "M-7K2Q9F" if case == "nobody" else here
    assert refusal(next_booking, world, typed, jst(start), **form) == sentence.format(here=here)
    assert everything(world) == before


def test_the_same_next_session_again_finishes_what_zoom_left_and_repeats_nothing(world, here):
    order(world.zoom, "create", "503", times=None)
    next_booking(world, here, jst(f"{FRI} 11:00"))
    after(world)
    world.zoom.state.faults.clear()
    done = next_booking(world, here, jst(f"{FRI} 11:00"))
    assert done.again
    assert len(after(world).made.confirmed) == 1
    assert (len(world.bookings()), len(world.rows(Consent))) == (2, 2)


def test_a_next_session_that_was_cancelled_can_be_booked_again_at_the_same_time(world, here):
    next_booking(world, here, jst(f"{FRI} 11:00"))
    [made] = [found.reference for found in world.bookings() if found.reference != here]
    cancel(world, made)
    assert next_booking(world, here, jst(f"{FRI} 11:00")).again is False
    assert sorted(row.occurrence for row in world.rows(BookingRequest, source="staff")) == [1, 2]


def test_report_14_the_same_form_sent_twice_at_once_books_once(world, here):
    start = jst(f"{FRI} 11:00")
    results = at_once(lambda: next_booking(world, here, start), lambda: next_booking(world, here, start))
    assert sorted(result.again for result in results) == [False, True]
    assert len(world.bookings()) == 2


def test_report_13_two_people_booked_into_one_place_at_once_by_two_counsellors(world):
    one, two = confirmed(world, f"{THU} 11:00", f"{THU} 11:30")
    world.clock.now = jst(f"{THU} 11:45")
    start = jst(f"{FRI} 11:00")
    results = at_once(lambda: next_booking(world, one, start), lambda: next_booking(world, two, start))
    assert [isinstance(result, Refused) for result in results].count(True) == 1
    assert len(world.bookings()) == 3


def test_the_sealed_values_of_the_next_session_open_under_their_own_row_only(world, here):
    next_booking(world, here, jst(f"{FRI} 11:00"))
    [request] = world.rows(BookingRequest, source="staff")
    assert isinstance(application_of(world.services, request), Application)
    assert world.services.vault.open_json(request.sealed_raw, f"booking_request.sealed_raw.{request.id}") == []
