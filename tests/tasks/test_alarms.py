"""Alarms are told once when they begin and once when they are over, on each channel for itself."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import date, timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from madoguchi.adapters.alarm_channels import ChannelError, MailChannel, WebhookChannel, mail_channel_names
from madoguchi.adapters.smtp import Mailer
from madoguchi.domain.office import WatchPolicy
from madoguchi.domain.watching import Code, Finding
from madoguchi.sandbox.mailbox_server import running_mailbox
from madoguchi.store.models import Alarm, OutboxMessage
from tasks.alarms import open_alarms, tell_alarms
from tasks.watching import watch
from tests.world import ROOT, Clock, World, jst, office

NOW = jst("2026-09-16 12:30")
DISK, KEY = Finding(Code.DISK, "var"), Finding(Code.KEY_AGE, "data")


class Heard:
    """A channel that remembers, and fails when it is told to."""

    def __init__(self, name="mail"):
        self.name, self.news, self.fails, self.on_tell = name, [], False, lambda: None

    def tell(self, news, at):
        if self.fails:
            raise ChannelError("DOWN")
        self.news.append([(each.code, "over" if each.is_over else "raised") for each in news])
        self.on_tell()


@pytest.fixture
def world(database):
    policy = WatchPolicy(no_export=timedelta(hours=450))
    return World(
        database, office(holidays_known_until=date(2028, 12, 31), watch=policy), clock=Clock(NOW),
        alarm_channels=(Heard(), Heard("webhook")),
    )  # fmt: skip


def channels(world):
    return world.services.alarm_channels


def go(world, *findings, minutes=10):
    """A look that finds exactly these, and the telling after it."""
    world.clock.forward(minutes=minutes)
    watch(world.services, world.run(), (), more=findings)
    return tell_alarms(world.services, world.run())


def test_a_finding_is_told_once_as_long_as_it_lasts_once_when_it_is_over_and_anew_when_it_comes_back(world):
    for findings in ([DISK], [DISK], [DISK, KEY], [KEY], [KEY], [DISK]):
        go(world, *findings)
    expected = [
        [("DISK", "raised")], [("KEY_AGE", "raised")], [("DISK", "over")],
        [("KEY_AGE", "over"), ("DISK", "raised")],
    ]  # fmt: skip
    assert [channel.news for channel in channels(world)] == [expected, expected]
    with world.database.read() as session:
        assert [each.code for each in open_alarms(session, world.office.code)] == ["DISK"]


def test_a_channel_that_fails_is_tried_again_and_stops_no_other(world):
    mail, hook = channels(world)
    mail.fails = True
    report = go(world, DISK)
    assert (report.told, report.failed) == ({"webhook": 1}, [("mail", "DOWN")])
    assert world.rows(Alarm)[0].raised_told_at is None
    go(world, DISK)
    mail.fails = False
    go(world, DISK)
    assert (mail.news, hook.news) == ([[("DISK", "raised")]], [[("DISK", "raised")]])
    (row,) = world.rows(Alarm)
    assert row.raised_told_at == world.clock.now
    assert set(row.told) == {"mail:raised", "webhook:raised"}


def test_what_came_and_went_while_a_channel_was_down_is_told_there_as_over_only(world):
    mail, hook = channels(world)
    mail.fails = True
    go(world, DISK)
    go(world)
    mail.fails = False
    go(world)
    go(world)
    assert mail.news == [[("DISK", "over")]]
    assert hook.news == [[("DISK", "raised")], [("DISK", "over")]]
    (row,) = world.rows(Alarm)
    assert row.raised_told_at is not None
    assert row.over_told_at is not None


def test_a_crash_between_telling_and_noting_repeats_the_same_news(world):
    mail, hook = channels(world)

    def die():
        raise KeyboardInterrupt

    mail.on_tell = die
    with pytest.raises(KeyboardInterrupt):
        go(world, DISK)
    mail.on_tell = lambda: None
    go(world, DISK)
    assert mail.news == [[("DISK", "raised")]] * 2
    assert hook.news == [[("DISK", "raised")]]


def test_two_tellings_at_once_tell_once(world):
    watch(world.services, world.run(), (), more=[DISK])
    threads = [threading.Thread(target=tell_alarms, args=(world.services, world.run())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [channel.news for channel in channels(world)] == [[[("DISK", "raised")]]] * 2


def test_two_looks_at_once_open_one_alarm(world):
    threads = [
        threading.Thread(target=watch, args=(world.services, world.run(), ()), kwargs={"more": [DISK]})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert world.count(Alarm) == 1


def test_without_a_channel_the_dashboard_is_the_place_and_nothing_is_told_later(world):
    world.services = replace(world.services, alarm_channels=())
    go(world, DISK)
    later = Heard()
    world.services = replace(world.services, alarm_channels=(later,))
    go(world, DISK)
    assert later.news == []
    go(world)
    assert later.news == [[("DISK", "over")]]


def test_a_rehearsal_tells_nobody(world):
    watch(world.services, world.run(), (), more=[DISK])
    world.services = replace(world.services, is_rehearsal=True)
    tell_alarms(world.services, world.run())
    assert [channel.news for channel in channels(world)] == [[], []]


def test_a_server_that_is_down_says_nothing_of_its_certificate(world):
    ending = {"relay.example.jp": NOW + timedelta(days=3)}
    world.services = replace(world.services, certificates=lambda: ending)
    go(world)
    world.services = replace(world.services, certificates=dict)
    go(world)
    assert channels(world)[0].news == [[("CERTIFICATE", "raised")]]
    world.services = replace(world.services, certificates=lambda: {"relay.example.jp": NOW + timedelta(days=300)})
    go(world)
    assert channels(world)[0].news[-1] == [("CERTIFICATE", "over")]


# --- the channels themselves


@pytest.fixture
def mailbox(tmp_path):
    with running_mailbox(tmp_path / "mail") as running:
        yield running


@pytest.fixture
def hook():
    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            server.got.append(json.loads(body))
            self.send_response(server.answer)
            if server.answer == 302:
                self.send_header("location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    server.got, server.answer = [], 204
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


def by_mail(mailbox, recipient="staff@example.jp", name="mail"):
    def mailer():
        return Mailer(mailbox.host, mailbox.port, "", "", "none", timeout=2)

    return MailChannel(mailer, "madoguchi@example.jp", "madoguchi.example.jp", recipient, "架空の窓口",
                       ROOT / "templates" / "alarm", name=name)  # fmt: skip


def mails(mailbox):
    return [message_from_bytes(each.content, policy=policy.default) for each in mailbox.state.mails()]


def test_mail_and_webhook_carry_what_happened_whom_it_touches_and_what_to_press(world, mailbox, hook):
    address = f"http://127.0.0.1:{hook.server_port}/alarms"
    world.services = replace(
        world.services, alarm_channels=(by_mail(mailbox), WebhookChannel(address, world.office.code))
    )
    reference = world.occupy("2026-09-24 14:00")
    with world.database.write() as session:
        session.add(
            OutboxMessage(office=world.office.code, dedupe_key="x", kind="confirmed", revision=1, template_version="t",
                          sealed_context=b"", status="queued", due_at=NOW - timedelta(hours=1),
                          message_id="<x@example.jp>", queued_at=NOW, changed_at=NOW,
                          booking_id=world.bookings()[0].id)
        )  # fmt: skip
    go(world, DISK)
    (mail,) = mails(mailbox)
    text = mail.get_content()
    assert (mail["To"], mail["Auto-Submitted"]) == ("staff@example.jp", "auto-generated")
    assert mail["Message-ID"].endswith("@madoguchi.example.jp>")
    assert mail["Subject"] == "【急ぎ】オンライン職業相談の仕組み：2件"
    for said in (reference, "deliver-messages/by-hand", "DUE_UNSENT", "DISK", "9月16日 12時40分"):
        assert said in text
    (news,) = hook.got
    assert {each["code"]: (each["event"], each["references"]) for each in news["alarms"]} == {
        "DUE_UNSENT": ("raised", [reference]),
        "DISK": ("raised", []),
    }
    # What this world knows of a person.
    everything = text + str(mail["Subject"]) + json.dumps(hook.got, ensure_ascii=False)
    for planted in ("架空 七海", "99999-9200", "nanami"):
        assert planted not in everything


def test_the_same_news_twice_have_the_same_message_id_and_other_news_another(world, mailbox):
    world.services = replace(world.services, alarm_channels=(by_mail(mailbox),))
    go(world, DISK)
    with world.database.write() as session:
        for row in session.query(Alarm):
            row.told, row.raised_told_at = {}, None
    go(world, DISK)
    go(world)
    first, second, third = (mail["Message-ID"] for mail in mails(mailbox))
    assert first == second != third


@pytest.mark.parametrize(("answer", "code"), [(500, "HTTP_500"), (302, "HTTP_302"), (404, "HTTP_404")])
def test_a_webhook_that_does_not_say_yes_is_tried_again_and_never_followed(world, hook, answer, code):
    world.services = replace(
        world.services, alarm_channels=(WebhookChannel(f"http://127.0.0.1:{hook.server_port}/a", "office"),)
    )
    hook.answer = answer
    assert go(world, DISK).failed == [("webhook", code)]
    hook.answer = 200
    assert go(world, DISK).told == {"webhook": 1}
    first, second = hook.got
    assert first["alarms"][0]["id"] == second["alarms"][0]["id"]


def test_an_address_that_is_refused_keeps_neither_the_other_one_nor_the_webhook_from_hearing(world, mailbox, hook):
    names = mail_channel_names(["staff@example.jp", "gone@example.jp"])
    mailbox.state.faults.order([{"at": "RCPT", "kind": "5xx", "recipient_contains": "gone", "times": 9}])
    world.services = replace(
        world.services,
        alarm_channels=(*(by_mail(mailbox, to, name) for to, name in names.items()),
                        WebhookChannel(f"http://127.0.0.1:{hook.server_port}/a", "office")),
    )  # fmt: skip
    report = go(world, DISK)
    go(world, DISK)
    assert [name for name, _ in report.failed] == [names["gone@example.jp"]]
    assert [mail["To"] for mail in mails(mailbox)] == ["staff@example.jp"]
    assert len(hook.got) == 1


def test_no_address_stands_in_the_names_of_channels():
    assert mail_channel_names(["staff@example.jp"]) == {"staff@example.jp": "mail"}
    two = mail_channel_names(["staff@example.jp", "head@example.jp"]).values()
    assert len(set(two)) == 2
    assert all("@" not in name for name in two)
