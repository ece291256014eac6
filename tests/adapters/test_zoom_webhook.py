"""Who is let in at the webhook's door."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from madoguchi.adapters.zoom_webhook import WebhookRefused, sign, validation_answer, verify
from madoguchi.domain.zoom_signature import SIGNATURE_HEADER, TIMESTAMP_HEADER

SECRET = "webhook-secret-of-the-tests"
NOW = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)
BODY = {"event": "meeting.started", "payload": {"object": {"topic": "オンライン就職相談 𠮷"}}}
RAW = json.dumps(BODY, ensure_ascii=False, separators=(",", ":")).encode()


def refused(secret: str = SECRET, raw: bytes = RAW, now: datetime = NOW, **headers: str | None) -> str:
    good = sign(SECRET, RAW, NOW)
    named = {SIGNATURE_HEADER: headers.get("signature", good[SIGNATURE_HEADER]),
             TIMESTAMP_HEADER: headers.get("timestamp", good[TIMESTAMP_HEADER])}  # fmt: skip
    with pytest.raises(WebhookRefused) as caught:
        verify(secret, raw, {name: value for name, value in named.items() if value is not None}, now)
    return caught.value.code


def test_a_signature_over_the_raw_bytes_of_a_japanese_topic_is_accepted():
    verify(SECRET, RAW, sign(SECRET, RAW, NOW), NOW)


def test_headers_are_found_whatever_their_case():
    verify(SECRET, RAW, {name.title(): value for name, value in sign(SECRET, RAW, NOW).items()}, NOW)


def test_the_scheme_is_the_published_one():
    # Computed once by hand with openssl: printf 'v0:1700000000:{"a":1}' | openssl dgst -sha256 -hmac s
    headers = sign("s", b'{"a":1}', datetime.fromtimestamp(1_700_000_000, UTC))
    assert headers == {TIMESTAMP_HEADER: "1700000000", SIGNATURE_HEADER: "v0=" + EXPECTED}


EXPECTED = "2c2f1768697f34e61ddb48ad54466b045878021f87317bd8925086df2f67b996"


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ({"secret": ""}, "NO_SECRET"),
        ({"secret": "  "}, "NO_SECRET"),
        ({"signature": None}, "NO_SIGNATURE"),
        ({"signature": ""}, "NO_SIGNATURE"),
        ({"timestamp": None}, "BAD_TIMESTAMP"),
        ({"timestamp": ""}, "BAD_TIMESTAMP"),
        ({"timestamp": "-5"}, "BAD_TIMESTAMP"),
        ({"timestamp": "１７０００００００００"}, "BAD_TIMESTAMP"),
        ({"timestamp": "1e9"}, "BAD_TIMESTAMP"),
        ({"timestamp": "9" * 30}, "BAD_TIMESTAMP"),
        ({"timestamp": "9" * 11}, "TOO_OLD"),
        ({"now": NOW + timedelta(minutes=5, seconds=1)}, "TOO_OLD"),
        ({"now": NOW - timedelta(minutes=5, seconds=1)}, "TOO_OLD"),
        ({"secret": "another"}, "BAD_SIGNATURE"),
        ({"raw": RAW + b" "}, "BAD_SIGNATURE"),
        ({"raw": json.dumps(BODY).encode()}, "BAD_SIGNATURE"),
        ({"raw": b"\xff\xfe"}, "BAD_SIGNATURE"),
        ({"signature": "v0=署名"}, "BAD_SIGNATURE"),
        ({"signature": "v0=\udc80"}, "BAD_SIGNATURE"),
        ({"timestamp": str(int(NOW.timestamp()) + 1)}, "BAD_SIGNATURE"),
    ],
)
def test_everything_else_is_refused_by_a_code(case, code):
    assert refused(**case) == code


@pytest.mark.parametrize("seconds", [-300, -1, 0, 299, 300])
def test_the_window_is_five_minutes_either_way(seconds):
    verify(SECRET, RAW, sign(SECRET, RAW, NOW), NOW + timedelta(seconds=seconds))


def test_a_refusal_tells_nothing_of_the_request_or_the_secret():
    with pytest.raises(WebhookRefused) as caught:
        verify(SECRET, RAW, sign("another", RAW, NOW), NOW)
    assert str(caught.value) == "BAD_SIGNATURE"


def test_the_address_check_is_answered_with_the_encrypted_token_and_not_without_a_secret():
    answer = validation_answer("s", "plain")
    assert set(answer) == {"plainToken", "encryptedToken"}
    assert answer["plainToken"] == "plain"
    assert len(bytes.fromhex(answer["encryptedToken"])) == 32
    with pytest.raises(WebhookRefused, match="NO_SECRET"):
        validation_answer("", "plain")
