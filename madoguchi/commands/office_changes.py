"""Following the office's file while the deployments are served: new hours become new schedules without a restart."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from config.office_file import OfficeFileError, read_office
from madoguchi.domain.office import Office

log = logging.getLogger(__name__)

LOOK_EVERY = 10.0


def refusal_note(var_dir: Path) -> Path:
    """Return the file that says that the office's file cannot be used; `watch` looks for it."""
    return var_dir / "office-refused.json"


class OfficeChanges:
    """What the office's file held when it was last looked at. `look` is called again and again, by one task."""

    def __init__(self, file: Path, var_dir: Path, *, sandbox: bool) -> None:
        self._file, self._note, self._sandbox = file, refusal_note(var_dir), sandbox
        self._seen = self._digest()
        # A process that starts has read the file.
        self._note.unlink(missing_ok=True)

    def look(self) -> Office | None:
        """Return the office when its file has changed and can be used, else None.

        A file that cannot be used is said in the log and noted, once a change; what is served stays as it is.
        """
        now = self._digest()
        if now == self._seen:
            return None
        self._seen = now
        try:
            office = read_office(self._file, sandbox=self._sandbox)
        except OfficeFileError as error:
            log.error("the office's file was changed and cannot be used; schedules stay as they are: %s", error)  # noqa: TRY400 — the text says all
            self._write(str(error))
            return None
        self._note.unlink(missing_ok=True)
        return office

    def _digest(self) -> str:
        try:
            return hashlib.sha256(self._file.read_bytes()).hexdigest()
        except OSError as error:
            # Editors replace a file: for a moment there is none.
            return f"unreadable {type(error).__name__}"

    def _write(self, problem: str) -> None:
        draft = self._note.with_suffix(".draft")
        draft.write_text(json.dumps({"at": datetime.now(UTC).isoformat(), "problem": problem}), encoding="utf-8")
        draft.replace(self._note)


async def follow(changes: OfficeChanges, redeploy: Callable[[Office], Awaitable[None]]) -> None:
    """Look every ten seconds and deploy anew after a change, until cancelled; a failure is tried again."""
    wanted: Office | None = None
    while True:
        await asyncio.sleep(LOOK_EVERY)
        wanted = await asyncio.to_thread(changes.look) or wanted
        if wanted is None:
            continue
        try:
            await redeploy(wanted)
        except Exception as error:  # noqa: BLE001 — the server may be away; schedules must follow once it is back
            log.warning("schedules could not be brought to the changed office's file (%s); again", type(error).__name__)
        else:
            log.info("the office's file was changed; schedules follow it")
            wanted = None
