"""Bounces from the folder to the record, on both databases: what they block, whom they ask, what they never may do."""

import os
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from madoguchi.adapters import bounce_folder
from madoguchi.domain.notice_proof import bounce_reason_ja
from madoguchi.store.bounces import address_index, blocked
from madoguchi.store.models import Audit, BlockedAddress, Booking, Bounce, OutboxMessage, StaffTask
from tasks import bounces as tested
from tasks.bounces import CALL_BOUNCED, CALLS_FOR_NOTICES, read_bounces, read_piped
from tests.tasks.delivery_world import AS_OF
from tests.tasks.notice_world import NoticeWorld, everything, sample

STATE = (Bounce, BlockedAddress, StaffTask, Audit, OutboxMessage)


@pytest.fixture
def world(database, tmp_path):
    return NoticeWorld(database, tmp_path)


def is_blocked(world, address="mihon1@example.com"):
    with world.database.read() as session:
        standing = blocked(session, world.services.office.code)
    return address_index(world.services.vault, address) in standing


def test_a_hard_bounce_stops_mail_to_the_address_and_asks_for_a_call(world):
    message = world.sent()
    report = world.bounce(message)
    assert (report.counts["hard"], report.counts["blocked"], report.counts["calls"]) == (1, 1, 1)
    assert is_blocked(world)
    assert not is_blocked(world, "mihon2@example.com")
    assert is_blocked(world, " Mihon1@EXAMPLE.com"), "another spelling of it"
    [(kind, subject, reason)] = world.tasks()
    assert (kind, subject[:2], reason) == (CALL_BOUNCED, "R-", "BOUNCED_HARD")
    assert bounce_reason_ja(reason)
    assert world.world.stand(message)[0] == "sent", "it was handed over"
    assert world.files() == [name for name in world.files() if name.startswith("done/bounce-")]


@pytest.mark.parametrize(
    ("name", "kinds", "blocks", "reasons"),
    [
        ("postfix_headers_only.eml", ["hard"], 1, {"BOUNCED_HARD"}),
        ("exchange_unknown_user.eml", ["hard"], 1, {"BOUNCED_HARD"}),
        ("gmail_unknown_user.eml", ["hard"], 1, {"BOUNCED_HARD"}),
        ("carrier_unknown_user.eml", ["hard"], 1, {"BOUNCED_HARD"}),
        ("base64_fields.eml", ["hard"], 1, {"BOUNCED_HARD"}),
        ("postfix_two_recipients.eml", ["hard", "unknown"], 1, {"BOUNCED_HARD", "BOUNCED_UNKNOWN"}),
        ("postfix_delayed.eml", ["soft"], 0, set()),
        ("postfix_expired.eml", ["soft"], 0, {"BOUNCED_SOFT"}),
        ("postfix_mailbox_full.eml", ["soft"], 0, {"BOUNCED_SOFT"}),
        ("postfix_spam_refused.eml", ["policy"], 0, {"BOUNCED_POLICY", "REFUSED_5.7.1"}),
        ("carrier_blocked_sender.eml", ["policy"], 0, {"BOUNCED_POLICY", "REFUSED_5.0.0"}),
        ("postfix_delivered.eml", ["told"], 0, set()),
        ("text_only_return.eml", ["unknown"], 0, {"BOUNCED_UNKNOWN"}),
        ("report_without_fields.eml", ["unknown"], 0, {"BOUNCED_UNKNOWN"}),
        ("carrier_no_original.eml", ["hard"], 0, {"NOT_OURS"}),
        ("auto_reply.eml", [], 0, set()),
        ("ordinary_mail.eml", [], 0, set()),
        ("read_receipt.eml", [], 0, set()),
    ],
)
def test_each_shape_of_notification_has_its_consequence(world, name, kinds, blocks, reasons):
    world.bounce(world.sent(), name)
    assert [kind for kind, _, _ in world.bounces()] == kinds
    assert len(world.blocks()) == blocks
    # One telephone task for one reference: it keeps the newest reason.
    told = {reason for _, _, reason in world.tasks()}
    assert told <= reasons
    assert bool(told) == bool(reasons)


def test_a_mail_of_a_person_is_kept_aside_and_never_deleted(world):
    world.put(sample("ordinary_mail.eml", "x"))
    world.put(sample("auto_reply.eml", "x"))
    report = world.read()
    assert (report.counts["other"], report.counts["auto_reply"]) == (1, 1)
    assert [name.partition("/")[0] for name in world.files()] == ["other", "other"]


# --- distrust


def test_a_made_up_notification_about_somebody_elses_address_blocks_nobody(world):
    ours = world.sent(number=1)
    victim = "mihon2@example.com"
    for number, content in enumerate(
        [
            # A Message-ID that never was ours, and one of ours with another's address.
            sample("postfix_unknown_user.eml", "f" * 32, victim),
            sample("postfix_unknown_user.eml", ours, victim),
            sample("carrier_no_original.eml", ours, victim),
        ],
    ):
        world.put(content.replace(b"2026091400", f"20260914{number:02d}".encode()))
    report = world.read()
    assert report.counts["new"] == 3
    assert world.blocks() == []
    assert not is_blocked(world, victim)
    assert {reason for _, _, reason in world.tasks()} == {"NOT_OURS", "BOUNCED_UNKNOWN"}


@pytest.mark.parametrize("status", ["queued", "suppressed", "missed"])
def test_a_notification_about_a_mail_that_never_left_is_not_believed(world, status):
    message = world.sent(status=status, attempts=0, sent_at=None)
    world.bounce(message)
    assert world.blocks() == []
    assert [reason for _, _, reason in world.tasks()] == ["NOT_OURS"]


@pytest.mark.parametrize("status", ["sending", "uncertain", "failed"])
def test_a_notification_that_overtakes_our_own_mark_is_believed(world, status):
    world.bounce(world.sent(status=status))
    assert world.blocks() == ["BOUNCED_HARD"]


def test_a_forwarded_mail_that_came_back_is_known_by_the_address_we_wrote_to(world):
    world.bounce(world.sent(), "postfix_forwarded_elsewhere.eml")
    assert is_blocked(world)
    assert not is_blocked(world, "elsewhere@example.org")


def test_an_old_carrier_address_with_two_dots_is_recognised(world):
    world.put(sample("carrier_quoted_local.eml", world.sent(1, "mihon..1.@example.com")))
    world.read()
    assert is_blocked(world, "mihon..1.@example.com")


def test_a_message_whose_recipient_was_pseudonymised_blocks_nothing(world):
    message = world.sent()
    world.world.change(OutboxMessage, message, sealed_context=b"gone")
    world.bounce(message)
    assert world.blocks() == []
    assert [reason for _, _, reason in world.tasks()] == ["BOUNCED_UNKNOWN"]


# --- soft ones


def test_the_fifth_message_that_comes_back_softly_within_thirty_days_counts_as_hard(world):
    messages = [world.sent(number, "mihon1@example.com") for number in range(1, 6)]
    for message in messages[:4]:
        world.bounce(message, "postfix_mailbox_full.eml")
        world.bounce(message, "postfix_delayed.eml")
    assert world.blocks() == [], "eight notifications, but four messages"
    world.bounce(messages[4], "postfix_delayed.eml")
    assert world.blocks() == [], "the fifth may still arrive"
    world.bounce(messages[4], "postfix_mailbox_full.eml")
    assert world.blocks() == ["BOUNCED_SOFT_REPEATED"]


def test_delays_alone_block_nobody(world):
    for number in range(1, 8):
        world.bounce(world.sent(number, "mihon1@example.com"), "postfix_delayed.eml")
    assert (world.blocks(), world.tasks()) == ([], [])


def test_what_names_another_address_beside_our_message_never_counts_against_that_address(world):
    for number in range(1, 6):
        world.bounce(world.sent(number, "mihon1@example.com"), "postfix_mailbox_full.eml", address="mihon2@example.com")
    world.bounce(world.sent(6, "mihon2@example.com"), "postfix_mailbox_full.eml", address="mihon2@example.com")
    assert world.blocks() == []


def test_soft_ones_of_last_month_do_not_count(world):
    messages = [world.sent(number, "mihon1@example.com") for number in range(1, 6)]
    for message in messages[:4]:
        world.bounce(message, "postfix_mailbox_full.eml")
    later = sample("postfix_mailbox_full.eml", messages[4], number=99)
    world.put(later.replace(b"14 Sep 2026", b"20 Oct 2026"))
    world.read(days=40)
    assert world.blocks() == []


def test_a_refusal_of_our_mails_alarms_once_a_day_however_many_come(world):
    for number in range(1, 6):
        world.put(sample("postfix_spam_refused.eml", world.sent(number), f"mihon{number}@example.com", number))
    world.read()
    alarms = [row for row in world.tasks() if row[0] == tested.MAIL_REFUSED]
    assert alarms == [("mail-refused", "policy-20260914", "REFUSED_5.7.1")]
    assert world.blocks() == []


# --- once only


def test_reading_again_changes_nothing(world):
    message = world.sent()
    content = sample("postfix_unknown_user.eml", message)
    world.put(content)
    world.read()
    before = list(everything(world, *STATE))
    world.put(content, "again.eml")
    world.put(b"From MAILER-DAEMON Mon\n" + content, "again.mbox")
    report = world.read()
    assert (report.counts["known"], report.counts["new"]) == (2, 0)
    assert list(everything(world, *STATE)) == before


def test_any_order_leads_to_the_same(database, tmp_path):
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    world = NoticeWorld(database, tmp_path)
    messages = [world.sent(number) for number in (1, 2, 3)]
    names = ["postfix_delayed.eml", "postfix_unknown_user.eml", "postfix_delivered.eml", "postfix_mailbox_full.eml"]
    mails = [
        sample(name, message, f"mihon{number}@example.com", number)
        for number, message in enumerate(messages, start=1)
        for name in names
    ]
    chance.shuffle(mails)
    for content in mails + chance.choices(mails, k=5):
        world.put(content)
        if chance.random() < 0.5:
            world.read()
    world.read()
    assert sorted(world.bounces()) == sorted(
        [("soft", "delayed", "4.4.1"), ("hard", "failed", "5.1.1"), ("told", "delivered", "2.1.5"),
         ("soft", "failed", "5.2.2")] * 3
    ), f"seed {seed}"  # fmt: skip
    assert world.blocks() == ["BOUNCED_HARD"] * 3, f"seed {seed}"
    assert len(world.tasks()) == 3, f"seed {seed}"


def test_a_crash_after_the_commit_and_before_the_move_loses_and_doubles_nothing(world, monkeypatch):
    world.put(sample("postfix_unknown_user.eml", world.sent()))

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(tested, "keep", dies)
        with pytest.raises(KeyboardInterrupt):
            world.read()
    before = list(everything(world, *STATE))
    assert world.files() == ["0001.eml"]
    world.read()
    assert list(everything(world, *STATE)) == before
    assert world.files()[0].startswith("done/")


def test_a_crash_inside_the_transaction_leaves_the_file_and_no_trace(world, monkeypatch):
    world.put(sample("postfix_unknown_user.eml", world.sent()))
    before = list(everything(world, *STATE))

    def dies(*_):
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(tested, "open_staff_task", dies)
        with pytest.raises(RuntimeError):
            world.read()
    assert list(everything(world, *STATE)) == before
    world.read()
    assert world.blocks() == ["BOUNCED_HARD"]


def test_an_address_that_a_person_gave_back_is_not_blocked_by_an_older_notification(world):
    message = world.sent()
    world.bounce(message)
    [block] = world.rows(BlockedAddress)
    world.world.change(BlockedAddress, block.id, lifted_at=AS_OF + timedelta(hours=1), lifted_by="staff:x")
    world.bounce(message, hours=2)
    assert world.blocks() == []


# --- files


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"\x00\x01\x02" * 50, "NO_MAIL"), (b"From: a@example.jp\n\n" + b"x" * bounce_folder.MAX_BYTES, "TOO_BIG")],
)
def test_what_cannot_be_read_is_set_aside_named_neutrally_and_the_rest_is_read(world, content, code):
    world.put(content, "Undelivered mail to hanako.eml")
    world.put(sample("postfix_unknown_user.eml", world.sent()))
    report = world.read()
    [(name, reason)] = report.unreadable
    assert (name[:7], reason) == ("bounce-", code)
    assert f"unreadable/{name}.eml" in world.files()
    assert world.blocks() == ["BOUNCED_HARD"]
    assert ("unclear-bounces", "unclear-20260914", code) in world.tasks()
    assert world.read().unreadable == [], "named once; the file and the task stay"


def test_a_file_that_is_still_being_written_waits(world):
    path = world.put(sample("postfix_unknown_user.eml", world.sent())[:-300])
    now = datetime(2026, 9, 14, tzinfo=UTC).timestamp()
    os.utime(path, (now, now))
    assert world.read().counts["waiting"] == 1
    assert (world.files(), world.bounces()) == ([path.name], [])
    os.utime(path, (now - 120, now - 120))
    assert world.read().counts["hard"] == 1


def test_a_folder_that_is_not_there_is_named(world):
    services = replace(world.services, bounces=world.folder / "nowhere")
    assert read_bounces(services, world.run()).unreadable == [("bounces", "FOLDER_MISSING")]


def test_without_a_folder_nothing_is_read(world):
    services = replace(world.services, bounces=None)
    assert not read_bounces(services, world.run()).counts


def test_a_maildir_is_read_and_its_mails_stay_in_it(world):
    for part in ("new", "cur", "tmp"):
        (world.folder / part).mkdir()
    (world.folder / "new" / "1.host").write_bytes(sample("postfix_unknown_user.eml", world.sent()))
    (world.folder / "new" / "2.host").write_bytes(sample("ordinary_mail.eml", "x"))
    world.read()
    assert world.files() == ["cur/1.host:2,S", "cur/2.host:2,F"]
    assert world.blocks() == ["BOUNCED_HARD"]
    assert not world.read().counts


def test_a_piped_mbox_is_read_mail_by_mail(world):
    parts = [sample("postfix_unknown_user.eml", world.sent(n), f"mihon{n}@example.com", n) for n in (1, 2)]
    content = b"".join(b"From MAILER-DAEMON Mon\n" + part + b"\n" for part in [*parts, b"\x00"])
    report = read_piped(world.services, world.run(), content)
    assert (report.counts["hard"], report.unreadable) == (2, [("mail-3", "NO_MAIL")])


# --- notices to everybody


def test_a_notice_that_came_back_joins_the_list_of_its_amendment_and_asks_for_a_call(world):
    reference, message = world.person()
    world.bounce(message)
    assert world.tasks() == [
        (CALL_BOUNCED, reference, "BOUNCED_NOTICE"),
        ("tell-by-other-means", "2026-10-01", "PEOPLE_LEFT_1"),
    ]
    assert bounce_reason_ja("PEOPLE_LEFT_1") == "残り1名"


def test_somebody_with_a_session_ahead_is_called_under_that_session(world):
    _, message = world.person()
    booking_id, _ = world.world.booking("M-7K2Q9F")
    with world.database.read() as session:
        client = session.get_one(OutboxMessage, message).client_id
    world.world.change(Booking, booking_id, client_id=client)
    world.bounce(message)
    assert (CALL_BOUNCED, "M-7K2Q9F", "BOUNCED_NOTICE") in world.tasks()


def test_thousands_of_notices_that_came_back_do_not_bury_the_list_of_today(world):
    extra = 7
    for number in range(CALLS_FOR_NOTICES + extra):
        address = f"mihon{number}@example.com"
        _, message = world.person(address=address)
        world.put(sample("postfix_unknown_user.eml", message, address, number + 1))
    world.read()
    calls = [row for row in world.tasks() if row[0] == CALL_BOUNCED]
    assert len(calls) == CALLS_FOR_NOTICES
    assert len(world.blocks()) == CALLS_FOR_NOTICES + extra
    assert ("tell-by-other-means", "2026-10-01", f"PEOPLE_LEFT_{CALLS_FOR_NOTICES + extra}") in world.tasks()


def test_nothing_personal_stands_in_what_a_bounce_leaves(world):
    world.bounce(world.sent())
    text = repr(list(everything(world, Bounce, BlockedAddress, StaffTask, Audit)))
    assert "mihon" not in text
    assert "example.com" not in text
