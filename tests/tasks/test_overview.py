"""The overview says what waits and how urgently, what runs and what will, and nothing of anybody; on both databases."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from madoguchi.domain.message import MessageStatus
from madoguchi.store.models import StaffTask
from tasks.overview import Scheduled, overview, overview_markdown
from tasks.urgency import MOST, Urgency
from tasks.wiring import Run
from tests.overview_help import NOW, a_busy_morning, half_a_year
from tests.world import Clock, World, jst

SCHEDULE = (
    Scheduled("process-requests", ("30-55/5 8 * * 1-5", "*/5 9-16 * * 1-5")),
    Scheduled("sweep-no-shows", ("10,40 11-14 * * 1-5",)),
)


@pytest.fixture
def world(database):
    return World(database, clock=Clock(NOW))


def test_what_waits_is_sorted_by_how_soon_somebody_has_to_act(world):
    told = a_busy_morning(world)
    found = overview(world.services, NOW)
    assert [(item.urgency.name, item.code, item.reference) for item in found.waiting.items] == [
        ("NOW", "call-applicant", told["near"]),
        ("NOW", "switch-registration", told["near"].replace("M", "R")),
        ("TODAY", "NO_EXPORT", "google"),
        ("TODAY", "review-request", told["review"]),
        ("TODAY", "confirm-no-show", told["proposed"]),
        ("SOON", "review-request", told["fresh"]),
    ]
    assert [found.waiting.number(urgency) for urgency in Urgency] == [2, 3, 1]
    alarm = found.waiting.items[2]
    assert (alarm.is_alarm, alarm.reason) == (True, "R-1、R-2、R-3、R-4、R-5、R-6、R-7、R-8 ほか4件")
    assert "process-requests/by-hand" in alarm.what
    assert found.waiting.items[0].when(NOW) == "9月25日（金）11時00分の相談。1時間前から"
    assert found.queues.in_review.count == 2
    assert found.queues.proposed.count == 1


def test_flows_say_when_they_were_last_complete_and_when_they_start_next(world):
    a_busy_morning(world)
    lines = {line.flow: line for line in overview(world.services, NOW, SCHEDULE).flows}
    assert set(lines) == {"process-requests", "sweep-no-shows", "deliver-messages", "reconcile-zoom"}
    requests, sweep, mails = lines["process-requests"], lines["sweep-no-shows"], lines["deliver-messages"]
    assert (requests.state, requests.is_well, requests.next_at) == ("済み", True, jst("2026-09-24 10:45"))
    assert (sweep.state, sweep.succeeded_at, sweep.next_at) == ("", None, jst("2026-09-24 11:10"))
    assert (mails.state, mails.is_well, mails.next_at) == ("残りあり", False, None)
    assert mails.succeeded_at == NOW - timedelta(minutes=35) + timedelta(seconds=20)


def test_over_a_holiday_the_next_run_is_the_next_that_takes_something_in(world):
    # Monday 21 to Wednesday 23 September 2026 are holidays; the sweep goes on, since what is due is due.
    world.clock.now = jst("2026-09-18 17:30")
    lines = {line.flow: line for line in overview(world.services, world.clock.now, SCHEDULE).flows}
    assert lines["process-requests"].next_at == jst("2026-09-24 08:30")
    assert lines["sweep-no-shows"].next_at == jst("2026-09-21 11:10")


def test_the_week_is_exact_and_the_charts_are_not(world):
    for number, status in enumerate(("attended", "attended", "no_show", "confirmed", "cancelled", "undetermined")):
        world.occupy("2026-09-22 11:00", counsellor=f"c-{number}", host=f"h-{number}", status=status)
        world.occupy("2026-08-20 11:00", counsellor=f"c-{number}", host=f"h-{number}", status=status)
    found = overview(world.services, NOW)
    assert (found.week.sessions, found.week.ahead, found.week.applied) == (6, 1, 0)
    assert {code: count for code, count in found.week.by_class.items() if count} == {
        "attended": 2, "no_show": 1, "cancelled": 1, "open": 1,
    }  # fmt: skip
    august = found.charts.months[-1]
    assert (august.month, august.held.total.count) == ("2026-08", 6)
    assert not any(cell.count for cell in august.held.cells)
    assert len(found.charts.days) == 28
    assert found.charts.days[-1].day.isoformat() == "2026-09-23", "a day that goes on is not told"
    assert found.charts.weeks[-1].first.isoformat() == "2026-09-14"


def test_a_small_day_stands_hidden_in_the_chart_a_large_one_and_an_empty_one_do_not(world):
    for day, count in (("2026-09-10", 7), ("2026-09-11", 3), ("2026-09-14", 2)):
        for _ in range(count):
            world.ask("2026-10-20 11:00", submitted_at=jst(f"{day} 12:00"))
    days = {
        each.day.day: each.applied.text for each in overview(world.services, NOW).charts.days if each.day.month == 9
    }
    assert (days[10], days[11], days[14], days[15]) == ("7", "5未満", "5未満", "0")


def test_the_artifact_has_all_of_it_and_nobody_in_it(world):
    half_a_year(world, first=date(2026, 8, 20))
    told = a_busy_morning(world)
    text = overview_markdown(world.services, Run("watch", NOW, NOW), SCHEDULE)
    for words in ("人を待っているもの（6件）", told["near"], "今すぐ", "届いたか不明 | 1", "申込みの受付",
                  "月ごとの相談の結果", "2026-08", "9月24日（木）10時45分", "5未満", "規約第7条(2)", "decide-request",
                  "新しい申込みのファイルが届いていません"):  # fmt: skip
        assert words in text
    for words in ("架空", "七海", "nanami", "example.jp", "licence", "99999"):
        assert words not in text
    assert "相談した" in text
    assert "今週" in text


def test_an_empty_office_has_an_overview_too(world):
    found = overview(world.services, NOW, SCHEDULE)
    assert (found.live, found.waiting.items) == (0, ())
    text = overview_markdown(world.services, Run("watch", NOW, NOW))
    assert "今、職員がすることはありません" in text
    assert "今日の予約はありません" in text


def test_what_cannot_be_drawn_stops_nobody_and_says_no_text_of_an_error(world, caplog):
    def broken():
        raise ValueError("架空 七海")

    text = overview_markdown(replace(world.services, clock=broken), Run("watch", NOW, NOW))
    assert "ValueError" in text
    assert "七海" not in text + caplog.text


def test_a_thousand_matters_are_counted_and_the_oldest_put_in_order(world):
    with world.database.write() as session:
        session.add_all(
            StaffTask(office=world.office.code, kind="review-request", subject=f"R-{number}", reason=None,
                      opened_at=NOW - timedelta(minutes=number))
            for number in range(MOST + 50)
        )  # fmt: skip
    found = overview(world.services, NOW).waiting
    assert (found.count, len(found.items)) == (MOST + 50, MOST)


def test_mails_that_need_a_person_come_first(world):
    a_busy_morning(world)
    mails = overview(world.services, NOW).mails
    assert [mail.state for mail in mails][:2] == ["届いたか不明", "送れない（電話が必要）"]
    assert (mails[0].queue.count, mails[0].is_alert, mails[1].is_alert) == (1, True, False)
    assert len(mails) == len(MessageStatus)
