"""Which files to read: one named by hand, or what lies in the inbox; unreadable ones are set aside with the reason."""

from __future__ import annotations

import logging
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from madoguchi.adapters.form_export import ExportError, guess_mapping, is_settled
from madoguchi.domain.intake import FormMapping
from tasks.intake import FileReport, receive_export
from tasks.wiring import Run, Services

SETTLE_SECONDS = 5.0
"""A file that changed less than this ago is still being written."""
SET_ASIDE = "unreadable"
_SUFFIXES = {".csv", ".tsv", ".txt", ".xlsx"}

log = logging.getLogger(__name__)


@dataclass(slots=True)
class InboxReport:
    """What was read, what waits, and what cannot be read (file name and reason code)."""

    files: list[FileReport] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)

    @property
    def seen(self) -> int:
        """Return how many files there were, those still being written left out."""
        return len(self.files) + len(self.unreadable)


def receive_exports(services: Services, run: Run, path: str | None, source: str | None) -> InboxReport:
    """Read the named file, or every settled file of the inbox, into the record.

    A file that cannot be read does not stop the others: it is named in the report and, in the inbox, set aside whole
    with a note of the reason. A file named by hand stays where it is.
    """
    report = InboxReport()
    if path is not None:
        _receive(services, run, Path(path), source, report)
        return report
    services.inbox.mkdir(parents=True, exist_ok=True)
    now = time.time()
    for file in _inbox_files(services.inbox):
        if not is_settled(file, now, SETTLE_SECONDS):
            report.waiting.append(file.name)
            continue
        folder = file.parent.name
        error = _receive(services, run, file, folder if folder in services.mappings else source, report)
        if error is not None:
            _set_aside(services.inbox, file, error)
    return report


def _inbox_files(inbox: Path) -> list[Path]:
    found = []
    for file in inbox.rglob("*"):
        if file.is_file() and SET_ASIDE not in file.relative_to(inbox).parts and not file.name.startswith("."):
            # Another run may set it aside just now.
            with suppress(FileNotFoundError):
                found.append((file.stat().st_mtime, file.name, file))
    return [file for *_, file in sorted(found)]


def _receive(services: Services, run: Run, file: Path, source: str | None, report: InboxReport) -> ExportError | None:
    try:
        report.files.append(receive_export(services, run, file, _mapping(services, file, source)))
    except ExportError as error:
        log.error("%s: %s: %s", file.name, error.code, error.remedy)  # noqa: TRY400 — a traceback would tell nothing more
        report.unreadable.append((file.name, error.code))
        return error
    return None


def _mapping(services: Services, file: Path, source: str | None) -> FormMapping:
    if source is not None:
        if source not in services.mappings:
            raise ExportError("WRONG_MAPPING", source)
        return services.mappings[source]
    if file.suffix.lower() not in _SUFFIXES:
        raise ExportError("NOT_A_TABLE", file.suffix or "no suffix")
    return guess_mapping(file, list(services.mappings.values()))


def _set_aside(inbox: Path, file: Path, error: ExportError) -> None:
    folder = inbox / SET_ASIDE
    folder.mkdir(exist_ok=True)
    target = folder / file.name
    number = 1
    while target.exists():
        number += 1
        target = folder / f"{file.stem}-{number}{file.suffix}"
    try:
        shutil.move(file, target)
    except FileNotFoundError:
        # Another run has set it aside.
        return
    note = f"{file.name}\n理由コード: {error.code}\n場所: {error.place}\n対処: {error.remedy}\n"
    target.with_name(target.name + ".reason.txt").write_text(note, encoding="utf-8")
