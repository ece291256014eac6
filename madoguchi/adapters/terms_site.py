"""The public site of the terms as files: built beside, then switched to in one step; readers see the old or the new.

The folder holds `current`, a link to one folder below `builds/`; a web server serves `current`. A build is named by its
content, so the same content is never written twice.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from madoguchi.adapters.terms_site_pages import render_site
from madoguchi.domain.terms_publication import SiteContent

CURRENT: Final = "current"
_BUILDS: Final = "builds"
_LOCK: Final = ".lock"
_NEXT: Final = ".next"
_NEW: Final = ".new"
_OURS: Final = frozenset({CURRENT, _BUILDS, _LOCK, _NEXT})
_LOCK_SECONDS: Final = 30.0

Step = Callable[[str], None]


class SiteFolderError(Exception):
    """The folder cannot be used for the site; the text names it and the remedy."""


@dataclass(frozen=True, slots=True)
class SiteReport:
    """What a build came to. `current`: what a web server serves. `changed`: readers see something new."""

    current: Path
    files: int
    bytes: int
    changed: bool


def build_site(
    folder: Path, content: SiteContent, templates_dir: Path, *, before: Step = lambda _name: None
) -> SiteReport:
    """Bring the site in `folder` to `content`; all or nothing, and nothing where it says so already.

    `templates_dir`: the folder with `web/terms/` in it. The build before stays, older ones go. Builders at once wait
    for each other. `before` is called with the name of every step: tests break off there. Raises SiteTemplateError
    before anything is touched, SiteFolderError for a folder that is somebody else's or busy, OSError for a full disk.
    """
    files = render_site(content, templates_dir)
    report = SiteReport(folder / CURRENT, len(files), sum(map(len, files.values())), changed=False)
    _claim(folder)
    with _locked(folder):
        old = _target(folder)
        if old is not None and _holds(folder / _BUILDS / old, files):
            _sweep(folder, keep={old} | _newest_other(folder, old))
            return report
        name = _write(folder, files, before)
        _switch(folder, name, before)
        before("sweep")
        _sweep(folder, keep={name, *([old] if old else [])})
    return SiteReport(report.current, report.files, report.bytes, changed=True)


def _claim(folder: Path) -> None:
    """Make the folder, or make sure that it is ours."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strange = sorted({entry.name for entry in folder.iterdir()} - _OURS)
        if strange:
            raise SiteFolderError(f"{folder}: holds {strange[0]}, which is no part of the site; name an empty folder")
        current = folder / CURRENT
        if current.exists() and not current.is_symlink():
            raise SiteFolderError(f"{current}: is not the link it should be; remove it, or name an empty folder")
        (folder / _BUILDS).mkdir(exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise SiteFolderError(f"{folder}: a file stands where a folder is needed; name another folder") from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other builders out; the system lets go of the lock of a process that dies."""
    with (folder / _LOCK).open("w", encoding="utf-8") as lock:
        until = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise SiteFolderError(f"{folder}: another build has gone on for {_LOCK_SECONDS:.0f} s") from None
                time.sleep(0.02)
        yield


def _target(folder: Path) -> str | None:
    """Return the name of the build that readers see."""
    try:
        return Path(os.readlink(folder / CURRENT)).name  # noqa: PTH115 — the link's own text, not where it leads
    except FileNotFoundError:
        return None


def _holds(build: Path, files: Mapping[str, bytes]) -> bool:
    """Tell whether a build is whole and has these bytes: a disk may have lost what a name promises."""
    try:
        found = {str(path.relative_to(build)) for path in build.rglob("*") if not path.is_dir()}
        return found == set(files) and all((build / name).read_bytes() == data for name, data in files.items())
    except OSError:
        return False


def _write(folder: Path, files: Mapping[str, bytes], before: Step) -> str:
    """Write a build and return its name; one that is there and whole is taken as it is."""
    builds = folder / _BUILDS
    name = _name(files)
    if (builds / name).exists():
        if _holds(builds / name, files):
            return name
        name = _free_name(builds, name)
    new = builds / _NEW
    before("clear")
    shutil.rmtree(new, ignore_errors=True)
    for path, data in sorted(files.items()):
        before(f"write {path}")
        (new / path).parent.mkdir(parents=True, exist_ok=True)
        with (new / path).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    before("sync folders")
    for place in [new, *(path for path in new.rglob("*") if path.is_dir())]:
        _sync(place)
    before("name the build")
    new.rename(builds / name)
    _sync(builds)
    return name


def _switch(folder: Path, name: str, before: Step) -> None:
    """Let `current` lead to a build; renaming a link is one step for whoever reads."""
    following = folder / _NEXT
    before("make the link")
    following.unlink(missing_ok=True)
    following.symlink_to(Path(_BUILDS, name), target_is_directory=True)
    before("switch")
    following.replace(folder / CURRENT)
    _sync(folder)


def _sweep(folder: Path, keep: set[str]) -> None:
    """Remove old builds, and what a dead builder left."""
    (folder / _NEXT).unlink(missing_ok=True)
    for build in (folder / _BUILDS).iterdir():
        if build.name not in keep:
            shutil.rmtree(build, ignore_errors=True)


def _newest_other(folder: Path, current: str) -> set[str]:
    others = [path for path in (folder / _BUILDS).iterdir() if path.name not in {current, _NEW}]
    return {max(others, key=lambda path: (path.stat().st_mtime_ns, path.name)).name} if others else set()


def _name(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for path, data in sorted(files.items()):
        digest.update(f"{path}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:24]


def _free_name(builds: Path, name: str) -> str:
    number = 2
    while (builds / f"{name}-{number}").exists():
        number += 1
    return f"{name}-{number}"


def _sync(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
