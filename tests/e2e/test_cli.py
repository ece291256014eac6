"""The command line as a contract: JSON on stdout and nothing else, exit codes, one line with the remedy."""

import json
import re
import shutil
import sqlite3
from contextlib import closing

import pytest

from tests.e2e.rehearsal import AS_OF, EXPECTED, GOOGLE, sqlite_rehearsal

pytestmark = [pytest.mark.prefect, pytest.mark.slow]

KEYS = {
    "requests": ["reference", "source", "file", "row", "outcome", "reason", "flags", "status", "booking"],
    "bookings": [
        "reference", "request", "start", "end", "status", "revision", "counsellor", "host", "meeting_id",
    ],
    "meetings": ["booking", "meeting_id", "host", "start", "status"],
    "messages": ["id", "kind", "booking", "revision", "status", "attempts", "due_at", "sent_at", "message_id"],
}  # fmt: skip
TIMES = {"start", "end", "due_at", "sent_at"}
JAPAN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+09:00")
PERSONAL = ("見本", "mihon", "99999-", "09000000001", "https://")


@pytest.fixture(scope="module")
def office(tmp_path_factory, sqlite_template, prefect_url):
    """An office that has read one export twice: `first` and `second` are the outcomes."""
    with sqlite_rehearsal(tmp_path_factory.mktemp("cli") / "office", sqlite_template, prefect_url) as made:
        made.first = made.process(GOOGLE, "google")
        made.lists_before = {kind: listed(made, kind) for kind in KEYS}
        made.second = made.process(GOOGLE, "google")
        yield made


def listed(office, *arguments):
    done = office.madoguchi("list", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_run_prints_one_object_and_logs_to_stderr(office):
    done = office.first
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    summary = json.loads(done.stdout)
    assert list(summary) == ["flow", "as_of", "state", "counts", "incomplete"]
    assert (summary["flow"], summary["as_of"], summary["state"]) == ("process-requests", AS_OF, "completed")
    counts = summary["counts"]
    rows = EXPECTED["google_forms.csv"]["rows"]
    assert counts["in"] == len(rows) == sum(counts[name] for name in ("accept", "needs_review", "reject", "skip"))
    assert summary["incomplete"] == []
    assert "Beginning flow run" in done.stderr


def test_the_same_file_again_is_complete_and_changes_nothing(office):
    summary = json.loads(office.second.stdout)
    assert (office.second.returncode, summary["state"]) == (0, "completed")
    assert summary["counts"]["new"] == summary["counts"]["confirmed"] == summary["counts"]["messages_sent"] == 0
    assert {kind: listed(office, kind) for kind in KEYS} == office.lists_before


@pytest.mark.parametrize("kind", KEYS)
def test_a_list_is_one_array_with_exactly_these_keys_in_this_order(office, kind):
    rows = office.lists_before[kind]
    assert len(rows) > 20
    for row in rows:
        assert list(row) == KEYS[kind]
        for name in TIMES & row.keys():
            assert JAPAN.fullmatch(row[name]), row[name]
    text = json.dumps(rows, ensure_ascii=False)
    assert not any(word in text for word in PERSONAL)


def test_requests_name_outcome_reason_and_flags_of_every_row(office):
    rows = office.lists_before["requests"]
    expected = EXPECTED["google_forms.csv"]["rows"]
    assert [(r["row"], r["outcome"], r["reason"]) for r in rows] == [
        (r["row"], r["outcome"], r["reason"]) for r in expected
    ]
    assert all(set(want["flags"]) <= set(row["flags"]) for row, want in zip(rows, expected, strict=True))
    assert {row["file"] for row in rows} == {"google_forms.csv"}
    assert {row["source"] for row in rows} == {"google"}


def test_references_of_the_lists_lead_to_each_other(office):
    lists = office.lists_before
    bookings = {row["reference"]: row for row in lists["bookings"]}
    assert {r["booking"] for r in lists["requests"] if r["booking"]} == set(bookings)
    assert {row["request"] for row in bookings.values()} <= {row["reference"] for row in lists["requests"]}
    assert {m["booking"]: m["meeting_id"] for m in lists["meetings"]} == {
        name: row["meeting_id"] for name, row in bookings.items()
    }
    assert {m["booking"] for m in lists["messages"] if m["kind"] == "confirmed"} == set(bookings)


def test_a_list_can_be_narrowed_by_day_and_status(office):
    bookings, messages = office.lists_before["bookings"], office.lists_before["messages"]
    day = bookings[0]["start"][:10]
    wanted = [row for row in bookings if row["start"].startswith(day)]
    assert 0 < len(wanted) < len(bookings)
    assert listed(office, "bookings", "--date", day) == wanted
    assert listed(office, "bookings", "--date", day, "--status", "released") == []
    assert listed(office, "messages", "--status", "sent") == messages
    in_review = [row for row in office.lists_before["requests"] if row["status"] == "in_review"]
    assert listed(office, "requests", "--status", "in_review") == in_review != []


def test_without_json_a_list_is_a_table(office):
    done = office.madoguchi("list", "bookings")
    lines = done.stdout.splitlines()
    assert lines[0].split() == KEYS["bookings"]
    assert len(lines) == len(office.lists_before["bookings"]) + 1
    assert office.madoguchi("list", "bookings", "--date", "2031-01-01").stdout == "none\n"


def looks(office, reference):
    with closing(sqlite3.connect(office.record.removeprefix("sqlite:///"))) as record:
        query = "SELECT subject_kind, actor FROM audit WHERE action = 'shown' AND subject = ?"
        return record.execute(query, (reference,)).fetchall()


def test_show_gives_personal_data_and_leaves_an_audit_row(office):
    request = office.lists_before["requests"][0]
    done = office.madoguchi("show", request["reference"], "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert found["application"]["name"] == "見本 花子"
    assert found["application"]["job_seeker_number"] == "99999-90000001"
    assert {each["document"] for each in found["consents"]} == {"service", "zoom"}
    [(kind, actor)] = looks(office, request["reference"])
    assert kind == "request"
    assert actor.startswith("cli:")
    # Typed as people type it.
    assert "見本 花子" in office.madoguchi("show", request["reference"].lower()).stdout
    assert len(looks(office, request["reference"])) == 2


def test_show_of_a_booking_and_of_a_message(office):
    booking = office.lists_before["requests"][0]["booking"]
    found = json.loads(office.madoguchi("show", booking, "--json").stdout)
    assert found["access"]["join_url"].startswith("https://")
    assert found["application"]["name"] == "見本 花子"
    message = json.loads(office.madoguchi("show", found["messages"][0]["id"], "--json").stdout)
    assert message["to"] == "mihon.hanako@example.jp"
    assert len(looks(office, booking)) == len(looks(office, message["id"])) == 1


def test_nobodys_reference_is_said_and_not_recorded(office):
    done = office.madoguchi("show", "M-234567", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no such" in done.stderr
    assert looks(office, "M-234567") == []


MISTAKES = [
    (["run", "process-request"], "process-requests"),
    (["run", "process-requests", "--set", "pathh=x"], "path"),
    (["run", "process-requests", "--set", "path"], "NAME=VALUE"),
    (["run", "process-requests", "--set", "path=tests/fixtures/nothing.csv"], "nothing.csv"),
    (["run", "process-requests", "--set", "path=tests/fixtures/google_forms.csv", "--set", "source=yahoo"], "google"),
    (["run", "process-requests", "--as-of", "tomorrow"], "2026-09-14T09:00:00+09:00"),
    (["run", "deliver-messages", "--set", "path=tests/fixtures/google_forms.csv"], "it has: rehearse"),
    (["list", "people"], "requests"),
    (["list", "bookings", "--date", "24.9.2026"], "2026-09-24"),
    (["show"], "reference"),
    (["keys", "lose"], "rotate"),
    ([], "COMMAND"),
]


@pytest.mark.parametrize(("arguments", "remedy"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_wrong_use_is_2_and_says_what_to_write(office, arguments, remedy):
    done = office.madoguchi(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    *_, last = done.stderr.strip().splitlines()
    assert remedy in last
    assert "Traceback" not in done.stderr


SETTINGS = [
    ({"MADOGUCHI_MODE": "rehearsal"}, "MADOGUCHI_MODE"),
    ({"MADOGUCHI_SMTP__PORT": "many"}, "MADOGUCHI_SMTP__PORT"),
    ({"MADOGUCHI_SMTP__PORT": "0"}, "MADOGUCHI_SMTP__PORT"),
    ({"MADOGUCHI_ZOOM__API_URL": ""}, "MADOGUCHI_ZOOM__API_URL"),
    ({"MADOGUCHI_ZOOM__API_URL": "http://zoom.example.jp/v2"}, "https"),
    ({"MADOGUCHI_OFFICE_FILE": "nowhere.toml"}, "MADOGUCHI_OFFICE_FILE"),
    ({"MADOGUCHI_ENCRYPTION_KEYS": "short"}, "madoguchi keys new"),
    ({"MADOGUCHI_TERMS_DIR": "nowhere"}, "terms"),
]


@pytest.mark.parametrize("command", [["list", "bookings"], ["run", "deliver-messages"]], ids=["list", "run"])
@pytest.mark.parametrize(("settings", "named"), SETTINGS, ids=[next(iter(given)) for given, _ in SETTINGS])
def test_settings_that_cannot_be_used_are_2_and_named(office, settings, named, command):
    done = office.madoguchi(*command, **settings)
    assert (done.returncode, done.stdout) == (2, "")
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert all(line.startswith("madoguchi: ") for line in done.stderr.strip().splitlines()), done.stderr


def test_live_mode_names_everything_that_is_missing(office):
    bare = dict.fromkeys(("MADOGUCHI_ZOOM__TOKEN_URL", "MADOGUCHI_ZOOM__API_URL", "MADOGUCHI_SMTP__HOST"), "")
    done = office.madoguchi("list", "bookings", **bare, MADOGUCHI_MODE="live")
    assert (done.returncode, done.stdout) == (2, "")
    for name in (
        "ENCRYPTION_KEYS", "ZOOM__ACCOUNT_ID", "ZOOM__CLIENT_ID", "ZOOM__CLIENT_SECRET", "SMTP__HOST", "SMTP__USER",
        "SMTP__PASSWORD",
    ):  # fmt: skip
        assert f"MADOGUCHI_{name}: " in done.stderr
    assert "telephone" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_does_not_answer_is_said_in_one_line(office):
    for command, code in ((["list", "bookings"], 2), (["run", "deliver-messages"], 2), (["check"], 1)):
        done = office.madoguchi(
            *command, MADOGUCHI_DATABASE_URL="postgresql+psycopg://clerk:hidden-word@127.0.0.1:1/nothing"
        )
        assert done.returncode == code, command
        assert "Traceback" not in done.stderr + done.stdout
        assert "hidden-word" not in done.stderr + done.stdout
        assert "MADOGUCHI_DATABASE_URL" in done.stderr + done.stdout


def test_an_unreadable_file_is_1_and_named_with_its_reason(office, tmp_path):
    wrong = tmp_path / "other-form.csv"
    wrong.write_text("a,b\n1,2\n", encoding="utf-8")
    done = office.process(wrong, "google")
    summary = json.loads(done.stdout)
    assert (done.returncode, summary["state"]) == (1, "failed")
    [item] = summary["incomplete"]
    assert list(item) == ["reference", "reason"]
    assert item["reference"] == "other-form.csv"
    assert wrong.exists(), "a file named by hand stays where it is"


def test_check_names_every_part_in_the_sandbox(office):
    done = office.madoguchi("check")
    lines = [line for line in done.stdout.splitlines() if not line.startswith("      ->")]
    assert done.returncode == 0, done.stdout
    assert {line[:4] for line in lines} <= {"ok  ", "note"}
    text = done.stdout.lower()
    for part in ("mode sandbox", "database", "level", "key", "terms", "inbox", "holiday", "zoom", "mail", "prefect"):
        assert part in text, part


def test_check_fails_with_a_remedy_when_the_relay_is_down(office):
    done = office.madoguchi("check", MADOGUCHI_SMTP__PORT="1")
    assert done.returncode == 1
    failed = done.stdout.split("FAIL", 1)[1]
    assert "mail" in failed.splitlines()[0]
    assert "->" in failed.splitlines()[1]


def test_a_key_is_made_and_comes_into_use(office, tmp_path):
    key = office.madoguchi("keys", "new").stdout.strip()
    assert len(key) == 44
    from config.settings import SANDBOX_KEY

    copy = tmp_path / "record.db"
    shutil.copy(office.record.removeprefix("sqlite:///"), copy)
    both = {"MADOGUCHI_DATABASE_URL": f"sqlite:///{copy}", "MADOGUCHI_ENCRYPTION_KEYS": f"{key},{SANDBOX_KEY}"}
    assert office.madoguchi("keys", "rotate", **both).returncode == 0
    reference = office.lists_before["requests"][0]["reference"]
    alone = {**both, "MADOGUCHI_ENCRYPTION_KEYS": key}
    assert "見本 花子" in office.madoguchi("show", reference, **alone).stdout
    old = office.madoguchi("show", reference, **{**both, "MADOGUCHI_ENCRYPTION_KEYS": SANDBOX_KEY})
    assert (old.returncode, old.stdout) == (2, "")
    assert "MADOGUCHI_ENCRYPTION_KEYS" in old.stderr
