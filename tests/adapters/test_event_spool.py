"""What was answered to Zoom is on disk, in order, readable by nobody else, and never lost by being moved about."""

import os
import stat
import threading
import time

import pytest

from madoguchi.adapters.event_spool import EventSpool


@pytest.fixture
def spool(tmp_path):
    return EventSpool(tmp_path / "var" / "webhooks")


def put(spool, content=b"sealed"):
    name = spool.new_name()
    spool.put(name, content)
    return name


def test_a_folder_that_is_not_there_yet_is_empty(spool):
    assert spool.waiting(10) == []
    assert spool.count_aside() == 0


def test_files_come_back_in_the_order_of_arrival_and_no_more_than_asked_for(spool):
    names = [put(spool, b"%d" % n) for n in range(5)]
    assert spool.waiting(3) == names[:3]
    assert [spool.read(name) for name in names] == [b"0", b"1", b"2", b"3", b"4"]
    spool.remove(names[:2])
    assert spool.waiting(10) == names[2:]
    assert spool.read(names[0]) is None
    spool.remove(names)
    spool.remove(names)
    assert spool.waiting(10) == []


def test_only_the_owner_may_read(spool):
    name = put(spool)
    assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((spool.folder / name).stat().st_mode) == 0o600


def test_what_is_still_being_written_is_not_seen_and_goes_when_its_writer_is_long_dead(spool):
    put(spool)
    young, old = (spool.folder / f".draft-{spool.new_name()}" for _ in range(2))
    for path in (young, old):
        path.write_bytes(b"ha")
    os.utime(old, (time.time() - 7200,) * 2)
    assert len(spool.waiting(10)) == 1
    assert young.exists()
    assert not old.exists()


def test_what_cannot_be_kept_is_an_error_and_leaves_nothing(spool):
    name = put(spool)
    (spool.folder / f".draft-{name}").mkdir()
    with pytest.raises(OSError, match="exists"):
        spool.put(name, b"again")
    assert spool.read(name) == b"sealed"


def test_what_is_set_aside_is_kept_counted_and_can_come_back(spool):
    name = put(spool)
    spool.set_aside(name)
    spool.set_aside(name)
    assert spool.waiting(10) == []
    assert spool.count_aside() == 1
    (spool.folder / "aside" / name).rename(spool.folder / name)
    assert spool.waiting(10) == [name]


def test_many_writers_at_once_lose_nothing(spool):
    def write():
        for _ in range(25):
            put(spool)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(spool.waiting(1000))) == 200
