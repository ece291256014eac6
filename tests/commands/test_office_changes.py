"""New hours become new schedules while the deployments are served; a file that cannot be used is said and noted."""

import asyncio
import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from madoguchi.commands import office_changes
from madoguchi.commands.office_changes import OfficeChanges, follow, refusal_note

OFFICE = Path(__file__).resolve().parents[2] / "config" / "office.toml"


@pytest.fixture
def file(tmp_path):
    return Path(shutil.copy(OFFICE, tmp_path / "office.toml"))


def edit(file, old, new):
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_change_is_seen_once_and_read(file, tmp_path):
    changes = OfficeChanges(file, tmp_path, sandbox=True)
    assert changes.look() is None
    edit(file, 'closes = "17:15"', 'closes = "18:00"')
    assert changes.look().reception.closes.hour == 18
    assert changes.look() is None


def test_a_file_that_cannot_be_used_is_noted_until_it_can(file, tmp_path, caplog):
    changes = OfficeChanges(file, tmp_path, sandbox=True)
    edit(file, "grid_minutes = 30", "grid_minutes = 7")
    assert changes.look() is None
    assert changes.look() is None
    assert caplog.text.count("cannot be used") == 1
    assert "grid_minutes" in json.loads(refusal_note(tmp_path).read_text(encoding="utf-8"))["problem"]
    edit(file, "grid_minutes = 7", "grid_minutes = 60")
    assert changes.look().grid_minutes == 60
    assert not refusal_note(tmp_path).exists()


def test_a_file_that_is_away_for_a_moment_changes_nothing(file, tmp_path):
    changes = OfficeChanges(file, tmp_path, sandbox=True)
    kept = file.read_bytes()
    file.unlink()
    assert changes.look() is None
    file.write_bytes(kept)
    assert changes.look() is not None


def test_a_new_start_forgets_the_note_of_an_old_one(file, tmp_path):
    refusal_note(tmp_path).write_text("{}", encoding="utf-8")
    OfficeChanges(file, tmp_path, sandbox=True)
    assert not refusal_note(tmp_path).exists()


def test_schedules_follow_even_if_the_server_is_away_at_first(file, tmp_path, monkeypatch):
    monkeypatch.setattr(office_changes, "LOOK_EVERY", 0.01)
    changes, tries, done = OfficeChanges(file, tmp_path, sandbox=True), [], asyncio.Event()

    async def redeploy(office):
        tries.append(office.reception.closes.hour)
        if len(tries) < 3:
            raise ConnectionError("away")
        done.set()

    async def play():
        task = asyncio.create_task(follow(changes, redeploy))
        edit(file, 'closes = "17:15"', 'closes = "18:00"')
        await done.wait()
        await asyncio.sleep(0.1)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(play(), 20))
    assert tries == [18, 18, 18]
