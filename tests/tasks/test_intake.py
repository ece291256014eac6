"""Intake against the record, on both databases: what stands in it after files were read, again, broken off, at once."""

from __future__ import annotations

import csv
import hashlib
import random
import re
import threading
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from madoguchi.adapters.form_export import ExportError, KnownStart, open_export
from madoguchi.domain.application import REASONS, Application, Reason
from madoguchi.domain.intake import FormMapping
from madoguchi.store.database import Database
from madoguchi.store.models import (
    Booking,
    BookingRequest,
    Client,
    Consent,
    ExportFile,
    OutboxMessage,
    StaffTask,
    TermsVersion,
)
from tasks import intake
from tests.intake_help import AS_OF, EXPECTED, FIXTURES
from tests.tasks.intake_world import (
    FIXTURE_ROWS,
    NOW,
    SOURCES,
    Crash,
    answer,
    build_world,
    crashing_clock,
    dump,
    meaning,
    receive,
    requests,
    write_rows,
)


def opened(services, row):
    values = services.vault.open_json(row.sealed_values, f"booking_request.sealed_values.{row.id}")
    return Application.from_json(values["application"])


def expected_normalised(made):
    start, *others = made.wishes
    return {
        "name": made.name,
        "kana": made.kana,
        "job_seeker_number": made.job_seeker_number,
        "start": start.isoformat(),
        "end": (start + timedelta(minutes=30)).isoformat(),
        "email": made.email,
        "phone": made.phone,
        "alternatives": [other.isoformat() for other in others],
        "companion": made.companion,
    } | ({"chosen_preference": made.chosen_preference} if made.chosen_preference > 1 else {})


@pytest.mark.parametrize("name", SOURCES)
def test_every_row_of_the_fixtures_stands_in_the_record_as_expected(database, name):
    services = build_world(database)
    report = receive(services, FIXTURES / name)
    rows = {row.row_number: row for row in requests(database)}
    expected = EXPECTED["files"][name]["rows"]
    assert len(rows) == len(expected) == report.rows == report.new
    assert +report.outcomes == Counter(row["outcome"] for row in expected)
    number = {row["key"]: row["row"] for row in expected}
    for wanted in expected:
        row = rows[wanted["row"]]
        assert (row.outcome, row.reason) == (wanted["outcome"], wanted["reason"]), wanted["key"]
        assert set(wanted["flags"]) <= set(row.flags), wanted["key"]
        if wanted["normalized"]:
            assert expected_normalised(opened(services, row)) == wanted["normalized"], wanted["key"]
        related = wanted.get("duplicate_of") or wanted.get("superseded_by")
        if related:
            assert row.relates_to == rows[number[related]].reference, wanted["key"]


def test_the_sealed_raw_row_opens_to_what_the_file_held(database):
    services = build_world(database)
    receive(services, FIXTURES / "google_forms.csv")
    for row in requests(database):
        raw = services.vault.open_json(row.sealed_raw, f"booking_request.sealed_raw.{row.id}")
        assert raw == FIXTURE_ROWS[row.row_number - 1]


@pytest.mark.parametrize("name", SOURCES)
def test_reading_a_file_again_changes_nothing(database, name, tmp_path):
    services = build_world(database)
    first = receive(services, FIXTURES / name)
    before = dump(database)
    again = receive(services, FIXTURES / name)
    assert dump(database) == before
    assert (again.rows, again.new, +again.outcomes) == (first.rows, 0, +first.outcomes)


def test_the_rows_of_a_known_file_in_other_bytes_are_known(database, tmp_path):
    services = build_world(database)
    first = receive(services, FIXTURES / "google_forms.csv")
    before = dump(database)
    again = receive(services, write_rows(tmp_path / "saved again.csv", FIXTURE_ROWS, line_end="\r\n"))
    after = dump(database)
    assert (again.rows, again.new, +again.outcomes) == (first.rows, 0, +first.outcomes)
    assert {name for name in after if after[name] != before[name]} == {"export_file"}


def cut_anywhere(seed, rows):
    rng = random.Random(seed)
    return sorted(rng.sample(range(len(rows) + 1), 3))


@pytest.mark.parametrize("seed", range(4))
def test_a_growing_export_leaves_the_same_rows_known_by_either_way(database, seed, tmp_path):
    """What the short way counts and numbers is what reading the whole file gives; told by a file in other bytes."""
    services = build_world(database)
    rows = [*FIXTURE_ROWS, *(answer(number, clock="13:00") for number in range(20))]
    for length in cut_anywhere(seed, rows):
        grown = receive(services, write_rows(tmp_path / f"{length}.csv", rows[:length]))
        whole = receive(services, write_rows(tmp_path / f"{length}-crlf.csv", rows[:length], line_end="\r\n"))
        assert (grown.rows, whole.rows, whole.new) == (length, length, 0), f"seed {seed}"
        assert grown.outcomes == whole.outcomes, f"seed {seed}"
    stored = requests(database)
    cells = [
        services.vault.open_json(row.sealed_raw, f"booking_request.sealed_raw.{row.id}")
        for row in sorted(stored, key=lambda row: row.row_number)
    ]
    assert cells == rows[: len(stored)]


def test_a_longer_export_adds_only_its_new_rows(database, tmp_path):
    services = build_world(database)
    rows = [answer(number, clock="11:30") for number in range(6)]
    receive(services, write_rows(tmp_path / "1.csv", rows[:4]))
    before = {row.id: row for row in requests(database)}
    report = receive(services, write_rows(tmp_path / "2.csv", rows))
    assert (report.rows, report.new, report.outcomes["accept"]) == (6, 2, 6)
    added = [row for row in requests(database) if row.id not in before]
    assert [row.row_number for row in added] == [5, 6]


def test_a_row_repeated_behind_a_known_file_is_a_duplicate(database, tmp_path):
    services = build_world(database)
    rows = [answer(1), answer(2), answer(1)]
    receive(services, write_rows(tmp_path / "1.csv", rows[:2]))
    report = receive(services, write_rows(tmp_path / "2.csv", rows))
    assert (report.rows, report.new) == (3, 1)
    assert sorted((row.outcome, row.occurrence) for row in requests(database)) == [
        ("accept", 1), ("accept", 1), ("reject", 2),
    ]  # fmt: skip


@pytest.mark.parametrize("last_line_ends", [True, False])
def test_a_file_without_a_last_line_break_may_grow(database, last_line_ends, tmp_path):
    services = build_world(database)
    short = write_rows(tmp_path / "1.csv", [answer(1), answer(2)])
    if not last_line_ends:
        short.write_bytes(short.read_bytes().removesuffix(b"\n"))
    receive(services, short)
    report = receive(services, write_rows(tmp_path / "2.csv", [answer(1), answer(2), answer(3)]))
    assert (report.rows, report.new, report.outcomes["accept"]) == (3, 1, 3)


def test_a_last_cell_that_grows_is_another_row_not_a_new_one(database, tmp_path):
    services = build_world(database)
    short = write_rows(tmp_path / "1.csv", [answer(1), answer(2)])
    whole = short.read_bytes().removesuffix(b'""\n') + "近くで".encode()
    short.write_bytes(whole)
    receive(services, short)
    longer = tmp_path / "2.csv"
    longer.write_bytes(whole + "聞きたい\n".encode())
    report = receive(services, longer)
    assert (report.rows, report.new) == (2, 1)
    assert sorted(row.reason or "" for row in requests(database)) == ["", "", "DUPLICATE"]


def test_a_known_start_that_would_now_be_read_in_another_encoding_is_not_passed_over(tmp_path):
    """ASCII passes for UTF-8; with CP932 behind it, its cells might have been others: the whole file is read."""
    columns = tuple((field, re.compile(field)) for field in ("name", "submitted_at"))
    mapping = FormMapping("google", "plain", columns, frozenset({"name"}))
    start = b"name,submitted_at\nA,2026\n"
    known = KnownStart(hashlib.sha256(start).hexdigest(), len(start), 1)
    path = tmp_path / "export.csv"
    for encoding, rest in (("utf-8", ["架空"]), ("cp932", None)):
        path.write_bytes(start + "架空,2026\n".encode(encoding))
        with open_export(path, mapping, known=[known]) as export:
            found = export.continuation()
            assert (found and [row.cells[0] for row in found.rows]) == rest
            assert [row.number for row in export] == [1, 2]


def test_an_answer_edited_before_it_is_booked_becomes_a_request_for_staff(database, tmp_path):
    services = build_world(database)
    receive(services, write_rows(tmp_path / "1.csv", [answer(1), answer(2, clock="13:00")]))
    edited = answer(1, clock="13:30", submitted="2026/09/11 10:00:00 午前 GMT+9")
    report = receive(services, write_rows(tmp_path / "2.csv", [edited, answer(2, clock="13:00")]))
    assert (report.rows, report.new) == (2, 1)
    old, new = (row for row in sorted(requests(database), key=lambda row: row.id) if row.row_number == 1)
    assert (old.status, new.status, new.reason) == ("received", "in_review", "CHANGE_REQUEST")
    assert new.relates_to == old.reference


def test_an_edited_answer_never_moves_a_booked_session(database, tmp_path):
    services = build_world(database)
    receive(services, write_rows(tmp_path / "1.csv", [answer(1)]))
    (row,) = requests(database)
    start = datetime.fromisoformat(row.wishes[0])
    with database.write() as session:
        session.get_one(BookingRequest, row.id).status = "booked"
        session.add(
            Booking(
                reference="M-2CFHJK", office=row.office, request_id=row.id, client_id=row.client_id, start_at=start,
                end_at=start + timedelta(minutes=30), counsellor="c", host="h", status="confirmed", revision=1,
                held_at=NOW, confirmed_at=NOW,
            )
        )  # fmt: skip
    receive(services, write_rows(tmp_path / "2.csv", [answer(1, clock="13:30")]))
    old, new = sorted(requests(database), key=lambda row: row.id)
    assert (old.status, new.status, new.reason, new.relates_to) == (
        "booked", "in_review", "CHANGE_REQUEST", old.reference,
    )  # fmt: skip


def test_a_later_version_takes_the_place_of_one_that_lies_with_staff(database, tmp_path):
    services = build_world(database)
    unclear = answer(1, clock="午後のどこか")
    receive(services, write_rows(tmp_path / "1.csv", [unclear]))
    clear = answer(1, submitted=unclear[0], clock="13:30")
    receive(services, write_rows(tmp_path / "2.csv", [clear]))
    old, new = sorted(requests(database), key=lambda row: row.id)
    assert (old.status, new.status) == ("replaced", "received")
    with database.read() as session:
        (task,) = session.scalars(select(StaffTask))
    assert task.closed_at is not None


def test_files_of_several_forms_read_in_turn_do_not_disturb_each_other(database, tmp_path):
    services = build_world(database)
    half = write_rows(tmp_path / "half.csv", FIXTURE_ROWS[:25])
    for path in (half, FIXTURES / "logo_form.csv", FIXTURES / "google_forms.csv", half, FIXTURES / "logo_form.csv"):
        report = receive(services, path)
        assert sum(report.outcomes.values()) == report.rows
    assert len(requests(database)) == sum(len(table["rows"]) for table in EXPECTED["files"].values())
    assert all(row.status != "staged" for row in requests(database))


def test_a_half_written_file_leaves_nothing_and_the_whole_one_is_read_as_if_alone(database, tmp_path):
    services = build_world(database)
    before = dump(database)
    whole = write_rows(tmp_path / "whole.csv", [answer(number, remarks="長い\n話") for number in range(30)])
    half = tmp_path / "half.csv"
    data = whole.read_bytes()
    half.write_bytes(data[: data.rindex("話".encode())])
    with pytest.raises(ExportError, match="FILE_TRUNCATED"):
        receive(services, half)
    assert dump(database) == before
    assert receive(services, whole).new == 30


@pytest.mark.parametrize(
    ("case", "code"),
    [("wrong mapping", "WRONG_MAPPING"), ("no header", "WRONG_MAPPING"), ("other encoding", "ENCODING_UNREADABLE")],
)
def test_an_unreadable_file_leaves_nothing_behind(database, case, code, tmp_path):
    services = build_world(database)
    before = dump(database)
    path = write_rows(tmp_path / "export.csv", [answer(1)])
    source = "logo" if case == "wrong mapping" else "google"
    if case == "no header":
        path.write_bytes(b"\n".join(path.read_bytes().splitlines()[2:]))
    elif case == "other encoding":
        path.write_bytes(path.read_bytes() + b"\xff\xff\xff")
    with pytest.raises(ExportError, match=code):
        receive(services, path, source)
    assert dump(database) == before


def test_unknown_columns_are_named_and_change_nothing(database, tmp_path):
    services = build_world(database)
    path = write_rows(tmp_path / "export.csv", [answer(1)])
    with path.open(encoding="utf-8", newline="") as file:
        header, row = csv.reader(file)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([[*header, "窓口メモ"], [*row, "x"]])
    report = receive(services, path)
    assert (report.unknown_columns, report.outcomes["accept"]) == (("窓口メモ",), 1)


@pytest.mark.parametrize("calls", [2, 4, 6, 7, 9, 12, 17, 23])
def test_a_reading_that_died_is_finished_by_the_next_as_if_it_had_not(database, calls, tmp_path, monkeypatch):
    """Small pieces, and death at one of the moments when the clock is read: between transactions and inside them."""
    monkeypatch.setattr(intake, "STAGE_CHUNK", 20)
    monkeypatch.setattr(intake, "FINISH_CHUNK", 7)
    services = build_world(database)
    twin = Database(f"sqlite:///{tmp_path / 'twin.db'}")
    twin.migrate()
    tangle = [
        answer(90, submitted="2026/09/12 9:00:00 午前 GMT+9"),
        *FIXTURE_ROWS,
        answer(90, submitted="2026/09/10 9:00:00 午前 GMT+9"),
        answer(90, submitted="2026/09/11 9:00:00 午前 GMT+9", day="2026/09/26"),
        *FIXTURE_ROWS[:9],
    ]
    path = write_rows(tmp_path / "export.csv", tangle)
    with pytest.raises(Crash):
        receive(replace(services, clock=crashing_clock(calls)), path)
    report = receive(services, path)
    alone = build_world(twin)
    # The same key, so that digests compare.
    undisturbed = receive(replace(alone, vault=services.vault), path)
    assert meaning(database) == meaning(twin)
    assert report.outcomes == undisturbed.outcomes
    assert sum(report.outcomes.values()) == report.rows
    twin.close()


def test_a_longer_file_finishes_what_a_shorter_one_left(database, tmp_path, monkeypatch):
    monkeypatch.setattr(intake, "STAGE_CHUNK", 20)
    services = build_world(database)
    rows = [answer(number) for number in range(60)]
    with pytest.raises(Crash):
        receive(replace(services, clock=crashing_clock(4)), write_rows(tmp_path / "1.csv", rows[:50]))
    assert {row.status for row in requests(database)} == {"staged"}
    report = receive(services, write_rows(tmp_path / "2.csv", rows))
    assert (report.rows, report.outcomes["accept"], len(requests(database))) == (60, 60, 60)
    assert {row.status for row in requests(database)} == {"received"}
    again = receive(services, tmp_path / "1.csv")
    assert (again.rows, again.new, again.outcomes["accept"]) == (50, 0, 50)
    with database.read() as session:
        assert set(session.scalars(select(ExportFile.status))) == {"read"}


def test_two_readers_of_one_file_take_every_row_once(database, database_url, tmp_path):
    build_world(database)
    path = write_rows(tmp_path / "export.csv", [answer(number) for number in range(200)])
    reports, failures = [], []

    def read():
        own = Database(database_url)
        try:
            reports.append(receive(build_world(own), path))
        except Exception as error:  # noqa: BLE001 — a thread's error would be lost
            failures.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(report.new for report in reports) == [0, 0, 200]
    assert {report.outcomes["accept"] for report in reports} == {200}
    assert len(requests(database)) == 200


@pytest.fixture
def both_read(database):
    services = build_world(database)
    for name in SOURCES:
        receive(services, FIXTURES / name)
    return services


def test_an_accepted_request_has_a_person_and_two_consents_to_what_was_in_force(database, both_read):
    accepted = {row.id: row for row in requests(database) if row.outcome == "accept"}
    with database.read() as session:
        consents = session.execute(
            select(Consent, TermsVersion).join(TermsVersion, TermsVersion.id == Consent.terms_id)
        ).all()
        later = session.scalars(select(TermsVersion)).all()
        clients = dict(session.execute(select(Client.id, Client.number_index)).all())
    assert Counter(consent.request_id for consent, _ in consents) == dict.fromkeys(accepted, 2)
    for consent, version in consents:
        row = accepted[consent.request_id]
        assert consent.consented_at == row.submitted_at
        assert consent.document == version.document
        in_force = [v for v in later if v.document == version.document and v.effective_at <= row.submitted_at]
        assert version.id == max(in_force, key=lambda v: v.effective_at).id
    assert all(clients[row.client_id] == row.number_index for row in accepted.values())
    assert len(clients) == len(set(clients.values()))


def test_what_staff_and_applicants_are_asked_follows_from_the_reason(database, both_read):
    with database.read() as session:
        tasks = {(task.kind, task.subject) for task in session.scalars(select(StaffTask))}
        mails = Counter(session.scalars(select(OutboxMessage.request_id).where(OutboxMessage.kind == "incomplete")))
        other_kinds = session.scalar(select(func.count()).where(OutboxMessage.kind != "incomplete"))
    assert other_kinds == 0
    for row in requests(database):
        step = REASONS[Reason(row.reason)].next_step if row.reason else "none"
        mailable = opened(both_read, row).email and "EMAIL_DOUBTFUL" not in row.flags
        told = row.outcome == "reject" and step != "none"
        assert (("review-request", row.reference) in tasks) == (row.outcome == "needs_review")
        assert (("call-applicant", row.reference) in tasks) == bool(told and not mailable)
        assert mails[row.id] == (1 if told and mailable and step == "incomplete_mail" else 0)
        assert (row.status == "to_offer") == (step == "alternatives_mail")


def personal_strings(services, rows):
    for row in rows:
        made = opened(services, row)
        yield from (made.name, made.kana, made.job_seeker_number, made.email, made.phone, made.note, made.companion)
        raw = services.vault.open_json(row.sealed_raw, f"booking_request.sealed_raw.{row.id}")
        yield from (cell for cell in raw if "@" in cell or "99999" in cell)


def test_no_plain_column_holds_anything_about_a_person(database, both_read):
    with database.read() as session:
        plain = [
            repr(tuple(session.execute(select(*columns)).all()))
            for table in Client.metadata.sorted_tables
            if (columns := [column for column in table.columns if not column.name.startswith("sealed_")])
            # Templates are the office's words, and read the same for everybody.
            and table.name != "mail_template"
        ]
        sealed = [row.sealed_raw + row.sealed_values for row in session.scalars(select(BookingRequest))]
    personal = {text for text in personal_strings(both_read, requests(database)) if text and len(text) > 2}
    assert len(personal) > 200
    haystack = "\n".join(plain)
    found = {text for text in personal if text in haystack or text.encode("unicode_escape").decode() in haystack}
    assert not found
    assert not [text for text in personal for cipher in sealed if len(text) > 5 and text.encode() in cipher]


def test_equal_rows_have_other_digests_under_another_key(database, tmp_path):
    services = build_world(database)
    path = write_rows(tmp_path / "export.csv", [answer(1)])
    receive(services, path)
    twin = Database(f"sqlite:///{tmp_path / 'twin.db'}")
    twin.migrate()
    receive(build_world(twin), path)
    assert requests(database)[0].digest != requests(twin)[0].digest
    twin.close()


def test_business_time_decides_not_the_clock(database, tmp_path):
    services = build_world(database)
    path = write_rows(tmp_path / "export.csv", [answer(1)])
    report = receive(services, path, as_of=AS_OF + timedelta(days=30))
    assert report.outcomes["needs_review"] == 1
    assert requests(database)[0].reason == "LATE_INGEST"
