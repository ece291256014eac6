"""A backup as one file: a tar with a manifest of what lies in it. Written whole by one rename, for its owner only."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

MANIFEST: Final = "manifest.json"
PRODUCT: Final = "madoguchi-backup"
_LAYOUT = 1


class BackupError(Exception):
    """A backup cannot be written or used; the text names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds. `made_at`: the instant whose record it is, aware. `level`: of the database."""

    made_at: datetime
    office: str
    database: str
    level: str
    files: Mapping[str, str]


def write_backup(target: Path, members: Sequence[tuple[str, Path]], facts: Mapping[str, Any]) -> Manifest:
    """Write files under their names into a new backup; `facts`: made_at, office, database, level.

    BackupError when the target is there already or cannot be written; nothing is left of it then.
    """
    if target.exists():
        raise BackupError(f"{target}: there is a file already; name another one")
    hashes: dict[str, str] = {}
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=5) as tar:
                for name, path in members:
                    hashes[name] = _digest(path)
                    tar.add(path, arcname=name, recursive=False)
                manifest = {"product": PRODUCT, "layout": _LAYOUT, **facts, "files": hashes}
                raw = json.dumps(manifest, ensure_ascii=False, indent=1).encode()
                info = tarfile.TarInfo(MANIFEST)
                info.size, info.mode = len(raw), 0o600
                tar.addfile(info, io.BytesIO(raw))
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise BackupError(f"{target}: cannot be written: {error.strerror}") from None
    return _parsed(target, manifest)


def unpack_backup(source: Path, folder: Path) -> Manifest:
    """Unpack a backup into an empty folder and return its manifest.

    BackupError for what is no backup of ours, is damaged, or holds anything that its manifest does not name.
    """
    try:
        with tarfile.open(source, mode="r:gz") as tar:
            tar.extractall(folder, filter="data")
        manifest = _parsed(source, json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BackupError(f"{source}: no such file, or no backup: it has no {MANIFEST}") from None
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        raise BackupError(f"{source}: damaged, or no backup ({type(error).__name__}); take an older one") from None
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    if there != set(manifest.files):
        raise BackupError(f"{source}: holds other files than its manifest names; take an older one")
    for name, digest in manifest.files.items():
        if _digest(folder / name) != digest:
            raise BackupError(f"{source}: {name} is damaged; take an older one")
    return manifest


def _parsed(source: Path, raw: Mapping[str, Any]) -> Manifest:
    try:
        if raw["product"] != PRODUCT or raw["layout"] != _LAYOUT:
            raise BackupError(f"{source}: no backup of this release's kind")
        made_at = datetime.fromisoformat(raw["made_at"])
        return Manifest(made_at, str(raw["office"]), str(raw["database"]), str(raw["level"]), dict(raw["files"]))
    except (KeyError, TypeError, ValueError):
        raise BackupError(f"{source}: its {MANIFEST} cannot be read; take an older one") from None


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
