"""`madoguchi disclose`: the extract of a disclosure that a person granted (Art. 7(2) proviso)."""

from __future__ import annotations

import getpass
import os
import sys
from contextlib import suppress
from pathlib import Path

from config.settings import Settings
from madoguchi.domain.reference import normalise_reference
from madoguchi.store.audit import Act
from tasks.disclosure import NotDisclosed, extract, note_given
from tasks.wiring import build_services, real_clock


def run(settings: Settings, reference: str, out: Path) -> int:
    """Write the extract to `out` (JSON) and beside it as text (`.txt`), readable by their owner only.

    The register and the audit know of it before the files have their names. 1 when nothing may be given out, 2 when
    the files cannot be written; an existing file is never replaced.
    """
    text = out.with_suffix(".txt")
    taken = [path for path in (out, text) if path.exists()]
    if taken or text == out:
        problem = f"{taken[0]} exists already" if taken else "its name must not end in .txt"
        print(f"madoguchi disclose: --out: {problem}; name another file", file=sys.stderr)
        return 2
    services = build_services(settings)
    now = real_clock()
    act = Act(services.office.code, f"cli:{getpass.getuser()}", None, now, now)
    drafts = {path: path.with_name(f".{path.name}.{os.getpid()}") for path in (out, text)}
    try:
        given = extract(services, act, _reference(reference))
        for path, content in ((out, given.data), (text, given.text)):
            _write(drafts[path], content)
        before = note_given(services, act, given)
        for path, draft in drafts.items():
            draft.rename(path)
    except NotDisclosed as refused:
        print(f"madoguchi disclose: {refused}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"madoguchi disclose: the file cannot be written ({type(error).__name__})", file=sys.stderr)
        return 2
    finally:
        for draft in drafts.values():
            with suppress(OSError):
                draft.unlink(missing_ok=True)
    again = f"; extracted {before} times before" if before else ""
    print(f"{given.reference}: sha256 {given.sha256}{again}")
    return 0


def _reference(text: str) -> str:
    try:
        return normalise_reference(text)
    except ValueError:
        raise NotDisclosed("that is no reference of a disclosure; it looks like D-7K2Q9F") from None


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
