"""A serving process that has ceased to ask for runs is seen from outside."""

import asyncio
import itertools
import os

from madoguchi.commands.sign_of_life import SignOfLife, sign_of_life


def looks(path, progress, times):
    """What the watcher sees, look after look."""
    path.write_text("{}")
    os.utime(path, (1, 1))
    watcher = SignOfLife(path)
    watcher.has_changed()

    async def both():
        found = []
        async with sign_of_life(path, progress, every=0.005):
            for _ in range(times):
                await asyncio.sleep(0.05)
                found.append(watcher.has_changed())
        return found

    return asyncio.run(both())


def test_as_long_as_it_asks_the_file_changes(tmp_path):
    assert looks(tmp_path / "serving.json", itertools.count(1).__next__, 3) == [True] * 3
    assert looks(tmp_path / "serving.json", object, 2) == [True] * 2


def test_a_loop_that_runs_without_asking_leaves_it_alone(tmp_path):
    assert looks(tmp_path / "serving.json", lambda: None, 2) == [False] * 2
    assert looks(tmp_path / "serving.json", lambda: "09:00:05", 3) == [True, False, False]


def test_a_file_that_is_gone_is_no_sign_and_ends_nobody(tmp_path):
    path = tmp_path / "serving.json"

    async def run():
        async with sign_of_life(path, object, every=0.005):
            await asyncio.sleep(0.03)

    asyncio.run(run())
    assert not SignOfLife(path).has_changed()


def test_a_clock_that_is_set_back_is_a_change_like_any_other(tmp_path):
    path = tmp_path / "serving.json"
    path.write_text("{}")
    watcher = SignOfLife(path)
    assert watcher.has_changed()
    os.utime(path, (5, 5))
    assert watcher.has_changed()
    assert not watcher.has_changed()
