"""A private folder for one rehearsal: copies and links that go when it ends; after a crash the next one sweeps them.

What lies in it was never moved from anywhere: the folders of the office are mirrored by links.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "rehearsal-"
_DOOR = ".door"
_ALIVE = "alive"


@contextmanager
def rehearsal_folder(parent: Path) -> Iterator[Path]:
    """Give a new folder that nobody else may read, and remove it with everything in it.

    Folders whose process has died are removed first: a living one holds a lock on its own. OSError when there is no
    place, or no right, to make one.
    """
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(parent / _DOOR):
        _sweep(parent)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        alive = os.open(folder / _ALIVE, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(alive, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(alive)


def sweep_rehearsals(parent: Path) -> None:
    """Remove what rehearsals left whose process died; nothing where there was never one."""
    if parent.is_dir():
        with suppress(OSError), _locked(parent / _DOOR):
            _sweep(parent)


def mirror_by_links(source: Path, target: Path) -> None:
    """Make `target` look like the tree of `source` by symbolic links to its files; empty when there is no `source`."""
    target.mkdir(mode=0o700)
    for path in source.rglob("*") if source.is_dir() else ():
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path.absolute())


def mirror_by_copies(source: Path, target: Path, folders: tuple[str, ...] = (".",)) -> None:
    """Make `target` hold the same regular files as these folders of `source`, under the same names and times.

    For readers that follow no links: hard links where both lie on one disk, else copies. Nothing when there is no
    `source`, because its absence is what a reader must find.
    """
    for name in folders if source.is_dir() else ():
        if (source / name).is_dir():
            (target / name).mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in sorted((source / name).iterdir()):
                if path.is_file() and not path.is_symlink():
                    # Somebody may move it just now: then it is not there to be read.
                    with suppress(FileNotFoundError):
                        _link_or_copy(path, target / name / path.name)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(FileNotFoundError):
            if _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    try:
        alive = os.open(folder / _ALIVE, os.O_RDWR)
    except FileNotFoundError:
        # Whoever was making it held the door, which is ours now.
        return True
    try:
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(alive)
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
