import itertools
import json
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from madoguchi.domain.office import JST
from madoguchi.sandbox.mailbox_server import running_mailbox
from madoguchi.sandbox.mailbox_store import MailboxState, recipient_hash
from tests.sandbox.mailbox_help import JIRO, MIKA, SENDER, Client, envelope, mail

NOON = datetime(2026, 9, 14, 12, tzinfo=JST)


@pytest.fixture
def opened(tmp_path):
    states = []

    def again():
        while states:
            states.pop().close()
        states.append(MailboxState(tmp_path, clock=lambda: NOON))
        return states[-1]

    yield again
    while states:
        states.pop().close()


def everything(state):
    return [(m.entry, m.sender, m.recipient, m.content) for m in state.mails()]


def test_a_restart_finds_every_mail_and_goes_on_counting(opened):
    state = opened()
    state.store(SENDER, [MIKA, JIRO], mail(1))
    state.store("", [MIKA], mail(2))
    before = everything(state)
    state = opened()
    assert everything(state) == before
    assert [(m[1], m[2], m[3]) for m in before] == [
        (SENDER, MIKA, mail(1)),
        (SENDER, JIRO, mail(1)),
        ("", MIKA, mail(2)),
    ]
    assert state.store(SENDER, [MIKA], mail(3))[0].file == "20260914T120000-00000004.eml"


def test_names_and_index_hold_no_personal_data(opened, tmp_path):
    opened().store(SENDER, [MIKA], mail())
    line = (tmp_path / "index.jsonl").read_text()
    assert set(json.loads(line)) == {"file", "message_id", "recipient", "sha256", "received_at"}
    assert "mika" not in line + "".join(str(path) for path in tmp_path.rglob("*")).removeprefix(str(tmp_path))
    assert json.loads(line)["recipient"] == recipient_hash("MIKA@EXAMPLE.COM")
    assert json.loads(line)["received_at"] == "2026-09-14T12:00:00+09:00"


def test_only_the_owner_may_read(opened, tmp_path):
    opened().store(SENDER, [MIKA], mail())
    for path in (tmp_path / "mails", *tmp_path.rglob("*.*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path.name


@pytest.mark.parametrize("index", ["", "{", '{"file": "x"}\n', None])
def test_mails_whose_index_line_is_lost_are_indexed_anew(opened, tmp_path, index):
    state = opened()
    state.store(SENDER, [MIKA], mail(1))
    state.store(SENDER, [JIRO], mail(2))
    before = everything(state)
    path = tmp_path / "index.jsonl"
    kept = path.read_text().splitlines(keepends=True)[0]
    path.unlink() if index is None else path.write_text(kept + index)
    after = everything(opened())
    # When it came is then known from the file only.
    assert [(m[0].file, m[0].message_id, m[0].recipient, m[0].sha256, m[1:]) for m in after] == [
        (m[0].file, m[0].message_id, m[0].recipient, m[0].sha256, m[1:]) for m in before
    ]
    assert len(path.read_text().splitlines()) == 2
    assert everything(opened()) == after


def test_half_written_mails_and_lines_without_a_file_are_dropped(opened, tmp_path):
    state = opened()
    first, second = (state.store(SENDER, [MIKA], mail(number))[0] for number in (1, 2))
    (tmp_path / "mails" / first.file).unlink()
    (tmp_path / "mails" / "20260914T120000-00000003.eml.part").write_bytes(b"half")
    state = opened()
    assert state.entries() == [second]
    assert [path.name for path in (tmp_path / "mails").iterdir()] == [second.file]


def test_order_is_that_of_arrival_even_when_the_clock_goes_back(tmp_path):
    moments = iter([NOON, NOON - timedelta(hours=1)])
    state = MailboxState(tmp_path, clock=lambda: next(moments))
    files = [state.store(SENDER, [MIKA], mail(number))[0].file for number in (1, 2)]
    state.close()
    again = MailboxState(tmp_path)
    assert [entry.file for entry in again.entries()] == files
    again.close()


def test_deleting_leaves_nothing_behind(opened, tmp_path):
    state = opened()
    state.store(SENDER, [MIKA], mail(1))
    gone = state.entries()[0]
    assert state.clear() == 1
    assert (everything(state), state.read(gone), list((tmp_path / "mails").iterdir())) == ([], None, [])
    state.store(SENDER, [MIKA], mail(2))
    assert [entry.message_id for entry in opened().entries()] == ["<2@example.jp>"]


@pytest.mark.parametrize(
    ("content", "message_id"),
    [
        (b"Subject: a\r\nMESSAGE-ID: <a@b>\r\n\r\n", "<a@b>"),
        (b"Message-ID:\r\n <long@example.jp>\r\n\r\n", "<long@example.jp>"),
        (b"Subject: a\r\n\r\nMessage-ID: <body@example.jp>\r\n", ""),
        (b"X-Message-ID: <x@example.jp>\r\n\r\n", ""),
        (b"", ""),
        (b"\xff\xfe", ""),
    ],
)
def test_the_message_id_is_that_of_the_headers(opened, content, message_id):
    assert opened().store(SENDER, [MIKA], content)[0].message_id == message_id


def test_the_same_mail_to_the_same_person_twice_is_seen(opened):
    state = opened()
    state.store(SENDER, [MIKA, JIRO], mail(1))
    state.store(SENDER, [MIKA.upper()], mail(1))
    assert sorted(state.repeats().values()) == [1, 2]


_SERVE = """
import sys, time
from pathlib import Path
from madoguchi.sandbox.mailbox_server import running_mailbox
with running_mailbox(Path(sys.argv[1])) as mailbox:
    print(mailbox.port, flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_what_was_answered_with_250_survives_kill_9_in_the_middle(tmp_path):
    server = subprocess.Popen([sys.executable, "-c", _SERVE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    answered = 0
    try:
        place = SimpleNamespace(host="127.0.0.1", port=int(server.stdout.readline()))
        killer = threading.Timer(0.4, server.kill)
        killer.start()
        with Client(place) as client, suppress(ConnectionError):
            for number in itertools.count():
                client.send(envelope() + mail(number) + b".\r\n")
                if client.codes(4)[-1] != 250:
                    break
                answered += 1
        killer.join()
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    assert answered > 10
    with running_mailbox(tmp_path) as again:
        kept = [(m.entry.message_id, m.content) for m in again.state.mails()]
    assert kept[:answered] == [(f"<{n}@example.jp>", mail(n)) for n in range(answered)]
    assert len(kept) - answered in {0, 1}, "at most the one that was being answered"
