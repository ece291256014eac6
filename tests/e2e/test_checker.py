"""The checker bites: each property, violated on purpose, is named."""

import shutil
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest

from madoguchi.sandbox.mailbox_store import MailboxState
from madoguchi.sandbox.zoom_state import ZoomState
from tests.e2e.checker import violations
from tests.e2e.moments import ROWS

pytestmark = [pytest.mark.prefect, pytest.mark.slow]


def sql(statement):
    return lambda _zoom, _mailbox, record: record.execute(statement)


def a_meeting_less(zoom, _mailbox, _record):
    zoom.set_deleted(first_meeting(zoom)[1]["id"], deleted=True)


def a_meeting_more(zoom, _mailbox, _record):
    host, doc = first_meeting(zoom)
    zoom.add(host, {**doc, "id": zoom.new_id()})


def another_start(zoom, _mailbox, _record):
    zoom.change({**first_meeting(zoom)[1], "start_time": "2026-10-30T02:00:00Z"})


def another_token(zoom, _mailbox, _record):
    zoom.change({**first_meeting(zoom)[1], "agenda": "ref:M-OTHER-0"})


def first_meeting(zoom):
    host, _, _, doc = next(iter(zoom.everything()))
    return host, doc


def a_mail_twice(_zoom, mailbox, _record):
    mail = next(mailbox.mails())
    mailbox.store(mail.sender, [mail.recipient], mail.content)


def an_unknown_mail(_zoom, mailbox, _record):
    mailbox.store("office@example.jp", ["nobody@example.com"], b"Message-ID: <1@example.jp>\r\n\r\nx\r\n")


def no_mails(_zoom, mailbox, _record):
    mailbox.clear()


BOOKED = "(SELECT min(id) FROM booking)"
REQUEST = "(SELECT id FROM booking_request WHERE row_number = 1)"
MAIL = "(SELECT min(id) FROM outbox_message)"
AUDIT = (
    "INSERT INTO audit (office, subject_kind, subject, action, old, new, actor, happened_at, recorded_at, details) "
    f"SELECT office, 'message', {MAIL}, 'transition', '%s', '%s', actor, happened_at, recorded_at, details "
    "FROM audit LIMIT 1"
)

SEEDS = [
    ("ROW", sql("DELETE FROM booking_request WHERE row_number = 1")),
    ("ROW", sql("UPDATE booking_request SET row_number = 1 WHERE row_number = 2")),
    ("ROW", sql("UPDATE booking_request SET row_number = 1000 WHERE row_number = 2")),
    ("OUTCOME", sql("UPDATE booking_request SET outcome = 'reject' WHERE row_number = 1")),
    ("STAGED", sql("UPDATE booking_request SET status = 'staged' WHERE row_number = 1")),
    ("FILE", sql("UPDATE export_file SET status = 'reading'")),
    ("BOOKING", sql(f"UPDATE booking SET status = 'released' WHERE id = {BOOKED}")),
    ("UNSERVED", sql("UPDATE booking_request SET status = 'received' WHERE row_number = 1")),
    ("HELD", sql(f"UPDATE booking SET status = 'held' WHERE id = {BOOKED}")),
    ("OVERLAP", sql("UPDATE booking SET end_at = '2027-01-01 00:00:00.000000'")),
    ("OCCUPANCY", sql(f"DELETE FROM occupancy WHERE booking_id = {BOOKED}")),
    ("MEETING", sql(f"DELETE FROM meeting WHERE booking_id = {BOOKED}")),
    ("MEETING_MISSING", a_meeting_less),
    ("MEETING_EXTRA", a_meeting_more),
    ("MEETING_WRONG", another_start),
    ("MEETING_WRONG", another_token),
    ("MEETING_OPEN", sql(f"UPDATE meeting SET claim_owner = 'somebody' WHERE booking_id = {BOOKED}")),
    ("UNSETTLED", sql(f"UPDATE outbox_message SET status = 'sending' WHERE id = {MAIL}")),
    ("UNSETTLED", sql(f"UPDATE outbox_message SET status = 'retrying' WHERE id = {MAIL}")),
    ("CLAIMED", sql(f"UPDATE outbox_message SET claim_owner = 'somebody' WHERE id = {MAIL}")),
    ("MAIL_TWICE", a_mail_twice),
    ("MAIL_LOST", no_mails),
    ("MAIL_SUPPRESSED", sql(f"UPDATE outbox_message SET status = 'suppressed' WHERE id = {MAIL}")),
    ("MAIL_UNKNOWN", an_unknown_mail),
    ("MAIL_TO_ANOTHER", sql(f"UPDATE outbox_message SET request_id = {REQUEST} WHERE id = {MAIL}")),
    ("UNTOLD", sql(f"UPDATE outbox_message SET status = 'uncertain' WHERE id = {MAIL}")),
    ("UNCERTAIN", sql(f"UPDATE outbox_message SET status = 'uncertain' WHERE id = {MAIL}")),
    ("UNCERTAIN_ARRIVED", sql(f"UPDATE outbox_message SET status = 'uncertain' WHERE id = {MAIL}")),
    ("CONFIRMATION", sql("DELETE FROM outbox_message WHERE kind = 'confirmed'")),
    ("ARROW", sql(AUDIT % ("sent", "queued"))),
    ("CHAIN", sql(AUDIT % ("queued", "sending"))),
]  # fmt: skip


@pytest.mark.parametrize(("name", "seed"), SEEDS, ids=[f"{at}-{name}" for at, (name, _) in enumerate(SEEDS)])
def test_it_names_what_is_violated(name, seed, tmp_path, undisturbed):
    folder = tmp_path / "office"
    shutil.copytree(undisturbed.folder, folder)
    zoom, mailbox = ZoomState(folder / "zoom.db"), MailboxState(folder / "mailbox")
    office = SimpleNamespace(
        record=f"sqlite:///{folder / 'record.db'}",
        zoom=SimpleNamespace(state=zoom),
        mailbox=SimpleNamespace(state=mailbox),
    )
    try:
        assert violations(office, ROWS) == []
        with closing(sqlite3.connect(folder / "record.db")) as record, record:
            seed(zoom, mailbox, record)
        assert name in {line.split()[0] for line in violations(office, ROWS)}
    finally:
        zoom.close()
        mailbox.close()
