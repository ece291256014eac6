from datetime import date

import pytest

from madoguchi.store.listing import KINDS, iso, listed, show
from madoguchi.store.models import Audit
from tasks.scheduling import schedule_requests
from tests.world import World, answer, jst


@pytest.fixture
def world(database, tmp_path):
    made = World(database)
    made.read(tmp_path, answer(1, "2026/09/24", "11:00"), answer(2, "2026/09/24", "11:00"), answer(3, "", ""))
    schedule_requests(made.services, made.run())
    return made


def rows(world, kind, **where):
    with world.database.read() as session:
        return list(listed(session, world.office.code, kind, **where))


def shown(world, reference):
    with world.database.write() as session:
        return show(session, world.services.vault, reference, world.run().act(world.services))


def test_lists_hold_no_personal_data(world):
    text = "".join(str(rows(world, kind)) for kind in KINDS)
    for secret in ("架空", "カクウ", "kakuu1", "99999-"):
        assert secret not in text


def test_requests_are_listed_row_by_row_with_their_booking(world):
    found = rows(world, "requests")
    assert [(r["row"], r["outcome"], r["status"]) for r in found] == [
        (found[0]["row"], "accept", "booked"),
        (found[0]["row"] + 1, "accept", "waiting"),
        (found[0]["row"] + 2, "reject", "rejected"),
    ]
    [booking] = rows(world, "bookings")
    assert (found[0]["booking"], found[1]["booking"]) == (booking["reference"], None)
    assert (booking["start"], booking["end"]) == ("2026-09-24T11:00:00+09:00", "2026-09-24T11:30:00+09:00")


@pytest.mark.parametrize(
    ("kind", "day", "status", "count"),
    [
        ("requests", date(2026, 9, 10), None, 3), ("requests", date(2026, 9, 11), None, 0),
        ("requests", None, "waiting", 1), ("bookings", date(2026, 9, 24), "held", 1),
        ("bookings", date(2026, 9, 23), None, 0), ("bookings", None, "confirmed", 0),
        ("meetings", None, None, 0), ("messages", date(2026, 9, 14), "queued", 2), ("messages", None, "sent", 0),
    ],
)  # fmt: skip
def test_lists_are_narrowed_by_day_in_japan_and_by_state(world, kind, day, status, count):
    assert len(rows(world, kind, day=day, status=status)) == count


def test_showing_opens_one_and_leaves_an_audit_row(world):
    reference = rows(world, "requests")[0]["reference"]
    found = shown(world, reference)
    assert found["application"]["name"] == "架空 七海"
    assert [(c["document"], c["version"]) for c in found["consents"]] == [
        ("service", "2025-04-01"),
        ("zoom", found["consents"][1]["version"]),
    ]
    assert [row.action for row in world.rows(Audit, subject=reference)][-1] == "shown"
    booking = shown(world, found["booking"])
    assert (booking["kind"], booking["request"], booking["access"]) == ("booking", reference, None)
    message = shown(world, rows(world, "messages")[0]["id"])
    assert message["to"].endswith("@example.jp")


def test_what_is_nobodys_is_not_recorded(world):
    count = world.count(Audit)
    assert shown(world, "R-NOBODY") is None
    assert world.count(Audit) == count


def test_times_are_written_with_japans_offset():
    assert iso(jst("2026-09-24 11:00")) == "2026-09-24T11:00:00+09:00"
    assert iso(None) is None
