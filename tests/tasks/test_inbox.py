import os
import time
from pathlib import Path

import pytest

from madoguchi.store.models import BookingRequest
from tasks.inbox import SETTLE_SECONDS, _set_aside, receive_exports
from tests.intake_help import FIXTURES
from tests.world import World, answer


@pytest.fixture
def world(database, tmp_path):
    return World(database, inbox=tmp_path / "inbox")


def put(world, name, content, age=60.0):
    path = world.services.inbox / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def receive(world, path=None, source=None):
    return receive_exports(world.services, world.run(), path, source)


GOOGLE, LOGO = (FIXTURES / "google_forms.csv").read_bytes(), (FIXTURES / "logo_form.csv").read_bytes()


def test_an_empty_inbox_is_made_and_is_no_work(world):
    done = receive(world)
    assert (done.files, done.waiting, done.unreadable, done.seen) == ([], [], [], 0)
    assert world.services.inbox.is_dir()


def test_files_are_read_by_their_headers_or_by_their_folder_the_oldest_first(world):
    put(world, "b.csv", GOOGLE, age=60)
    put(world, "logo/a.csv", LOGO, age=30)
    done = receive(world)
    assert [(f.name, f.source) for f in done.files] == [("b.csv", "google"), ("a.csv", "logo")]
    count = world.count(BookingRequest)
    again = receive(world)
    assert [f.new for f in again.files] == [0, 0]
    assert world.count(BookingRequest) == count


def test_a_file_that_is_still_being_written_waits(world):
    put(world, "fresh.csv", GOOGLE, age=SETTLE_SECONDS - 2)
    put(world, "half.csv.part", GOOGLE)
    put(world, ".hidden.csv", GOOGLE)
    done = receive(world)
    assert (done.waiting, done.seen) == (["half.csv.part", "fresh.csv"], 0)


def test_what_cannot_be_read_is_set_aside_whole_with_the_reason_and_stops_nothing_else(world):
    put(world, "odd.csv", b"\xff\xfe\x00broken", age=90)
    put(world, "picture.png", b"\x89PNG", age=80)
    put(world, "good.csv", GOOGLE)
    done = receive(world)
    assert [f.name for f in done.files] == ["good.csv"]
    assert [name for name, _ in done.unreadable] == ["odd.csv", "picture.png"]
    assert dict(done.unreadable)["picture.png"] == "NOT_A_TABLE"
    assert done.seen == 3
    aside = world.services.inbox / "unreadable"
    assert (aside / "odd.csv").read_bytes() == b"\xff\xfe\x00broken"
    assert "NOT_A_TABLE" in (aside / "picture.png.reason.txt").read_text(encoding="utf-8")
    assert receive(world).unreadable == []


def test_a_second_unreadable_file_of_the_same_name_does_not_replace_the_first(world):
    for content in (b"one", b"two"):
        put(world, "picture.png", content)
        receive(world)
    aside = world.services.inbox / "unreadable"
    assert {(aside / name).read_bytes() for name in ("picture.png", "picture-2.png")} == {b"one", b"two"}


def test_a_file_named_by_hand_stays_where_it_is(world, tmp_path):
    path = tmp_path / "by-hand.csv"
    path.write_bytes(GOOGLE)
    assert [f.name for f in receive(world, str(path)).files] == ["by-hand.csv"]
    path.write_bytes(b"\xff\xfe\x00broken")
    assert [name for name, _ in receive(world, str(path), "google").unreadable] == ["by-hand.csv"]
    assert path.exists()


@pytest.mark.parametrize("source", ["microsoft", "no-such-form"])
def test_a_file_of_another_form_than_named_is_refused(world, tmp_path, source):
    path = tmp_path / "by-hand.csv"
    path.write_bytes(GOOGLE)
    assert receive(world, str(path), source).unreadable == [("by-hand.csv", "WRONG_MAPPING")]
    assert world.count(BookingRequest) == 0


def test_a_file_that_another_run_has_just_set_aside_is_no_error(world):
    from madoguchi.adapters.form_export import ExportError

    world.services.inbox.mkdir()
    _set_aside(world.services.inbox, world.services.inbox / "gone.csv", ExportError("NOT_A_TABLE", ".csv"))
    assert not (world.services.inbox / "unreadable" / "gone.csv.reason.txt").exists()


def test_answers_written_by_hand_are_read(world, tmp_path):
    assert world.read(Path(tmp_path), answer(1, "2026/09/24", "11:00")).new == 1
