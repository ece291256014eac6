"""`madoguchi terms proof CODE`: who was told of an amendment, as totals or as a table for a spreadsheet."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from config.settings import Settings
from madoguchi.domain.amendment import NoticePurpose
from madoguchi.domain.notice_proof import CLASS_JA
from madoguchi.domain.office import JST
from madoguchi.store.audit import Act
from tasks.proof import Proof, UnknownAmendmentError, proof_csv, proof_of_notice
from tasks.wiring import Services, build_services


def run(
    settings: Settings, code: str, *, csv_path: Path | None, names: bool, purpose: NoticePurpose, as_json: bool
) -> int:
    """Print the totals; with `csv_path` write the table too; 0 everybody told, 1 somebody is not, 2 wrong use.

    `names`: only those who have to be called, with name and telephone. They go to a file of the owner's alone and leave
    an audit row; without a file that is wrong use, for a terminal keeps what scrolls by.
    """
    if names and csv_path is None:
        print("madoguchi terms proof: --names needs --csv FILE", file=sys.stderr)
        return 2
    services = build_services(settings)
    try:
        proof = proof_of_notice(services, code, purpose)
        if csv_path is not None:
            _write(services, proof, csv_path, names=names)
    except UnknownAmendmentError as error:
        print(f"madoguchi terms proof: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"madoguchi terms proof: the file cannot be written ({type(error).__name__})", file=sys.stderr)
        return 2
    _print(proof, as_json=as_json)
    return 1 if proof.left or proof.unsettled else 0


def _write(services: Services, proof: Proof, path: Path, *, names: bool) -> None:
    now = services.clock()
    act = Act(services.office.code, f"cli:{getpass.getuser()}", None, now, now) if names else None
    with _private_file(path) as stream:
        table = proof_csv(services, proof.code, proof.purpose, stream, names_for=act)
    print(f"{table.rows} rows, sha256 {table.sha256}", file=sys.stderr)


@contextmanager
def _private_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a file that only its owner can read; it appears under its name when it is whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            yield stream
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _print(proof: Proof, *, as_json: bool) -> None:
    if as_json:
        print(
            json.dumps(
                {
                    "code": proof.code,
                    "purpose": proof.purpose.value,
                    "status": proof.status,
                    "audience": proof.audience,
                    "totals": {each.value: count for each, count in proof.totals.items()},
                    "left": proof.left,
                    "sign_offs": [
                        {
                            "signed_by": one.signed_by,
                            "signed_at": one.signed_at.astimezone(JST).isoformat(),
                            "sha256": one.sha256,
                            "still_holds": one.still_holds,
                        }
                        for one in proof.sign_offs
                    ],
                },
                ensure_ascii=False,
            )
        )
        return
    print(f"{proof.code} ({proof.purpose.value}, {proof.status}): {proof.audience}")
    for each, count in proof.totals.items():
        print(f"  {each.value:<16} {count:>8}  {CLASS_JA[each]}")
    for one in proof.sign_offs:
        holds = "" if one.still_holds else "; the totals have changed since"
        print(f"  signed off by {one.signed_by} at {one.signed_at.astimezone(JST):%Y-%m-%d %H:%M}{holds}")
