import pytest

from madoguchi.domain.bounce import (
    Action,
    BounceKind,
    Notified,
    kind_of,
    normalised_address,
    read_action,
    read_reply,
    read_status,
    speaks_of_sender,
)

TABLE = """
failed 5.1.0 -      hard
failed 5.1.1 550    hard
failed 5.1.2 -      hard
failed 5.1.3 -      hard
failed 5.1.6 -      hard
failed 5.1.7 -      policy
failed 5.1.8 550    policy
failed 5.1.9 -      policy
failed 5.1.10 550   hard
failed 5.2.0 -      soft
failed 5.2.1 550    hard
failed 5.2.2 552    soft
failed 5.2.3 -      soft
failed 5.3.0 554    soft
failed 5.3.4 552    policy
failed 5.4.1 550    soft
failed 5.4.4 -      hard
failed 5.4.6 -      soft
failed 5.4.7 -      soft
failed 5.4.310 550  hard
failed 5.5.0 -      policy
failed 5.6.0 -      policy
failed 5.7.0 -      policy
failed 5.7.1 550    policy
failed 5.7.26 550   policy
failed 4.2.2 452    soft
failed 4.4.1 -      soft
failed 4.4.7 -      soft
failed 4.7.1 -      soft
failed 5.0.0 550    hard
failed 5.0.0 551    hard
failed 5.0.0 552    soft
failed 5.0.0 553    hard
failed 5.0.0 554    policy
failed 5.0.0 -      unknown
failed 5.9.9 -      unknown
failed 5.9.9 550    hard
failed 4.0.0 -      soft
failed -     550    hard
failed -     552    soft
failed -     554    policy
failed -     503    soft
failed -     450    soft
failed -     421    soft
failed -     250    told
failed -     -      unknown
unknown -    -      unknown
unknown 5.1.1 550   hard
delayed 4.4.1 -     soft
delayed 5.1.1 550   soft
delayed -     -     soft
delivered 2.0.0 250 told
delivered -     -   told
relayed 2.0.0 -     told
expanded 2.1.5 -    told
"""


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_every_code_is_sorted_as_reviewed(line):
    action, status, reply, kind = (word.strip("-") for word in line.split())
    assert kind_of(Notified(Action(action), status, reply)) == BounceKind(kind)


@pytest.mark.parametrize(
    ("diagnostic", "status", "reply"),
    [
        ("smtp; 550 5.1.1 <hanako@example.jp>: unknown", "5.1.1", "550"),
        ("smtp;550-5.7.26 unauthenticated 550 5.7.26 see", "5.7.26", "550"),
        ("SMTP; 550 Unknown user hanako@example.jp", "", "550"),
        ("X-Postfix; connect to mx.example.jp[192.0.2.5]:25: timed out", "", ""),
        ("smtp; 452 4.2.2 over quota", "4.2.2", "452"),
        ("no code at 192.5.1.1 or port 5500", "", ""),
        ("", "", ""),
    ],
)
def test_codes_are_found_in_what_systems_write(diagnostic, status, reply):
    assert (read_status(diagnostic), read_reply(diagnostic)) == (status, reply)


@pytest.mark.parametrize(
    ("field", "action"),
    [("failed", "failed"), (" Delayed (will retry)", "delayed"), ("DELIVERED", "delivered"), ("gone", "unknown")],
)
def test_an_action_is_read_and_an_unknown_one_is_unknown(field, action):
    assert read_action(field) == Action(action)


@pytest.mark.parametrize("words", ["Your access is blocked", "rejected for policy reasons", "DMARC failure", "spam"])
def test_a_refusal_of_the_sender_is_not_taken_for_an_unknown_address(words):
    assert kind_of(Notified(Action.FAILED, "", "550", speaks_of_sender(words))) is BounceKind.POLICY


def test_an_unknown_user_is_not_taken_for_a_refusal_of_the_sender():
    assert not speaks_of_sender("550 Unknown user hanako@example.jp in virtual mailbox table")


@pytest.mark.parametrize(
    "spelling",
    [
        "hanako@example.jp",
        " Hanako@EXAMPLE.jp ",
        "<hanako@example.jp>",
        '"hanako"@example.jp',
        "ｈａｎａｋｏ@example.jp",
    ],
)
def test_spellings_of_one_mailbox_are_equal(spelling):
    assert normalised_address(spelling) == "hanako@example.jp"


@pytest.mark.parametrize("other", ["hanako@example.com", "hanako1@example.jp", "hanako+x@example.jp", "hanako"])
def test_another_mailbox_is_another_one(other):
    assert normalised_address(other) != "hanako@example.jp"
