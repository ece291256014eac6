"""`madoguchi terms`: versions in the record, texts before they are announced, comparisons, the public site, proof."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from config.settings import ROOT, Settings
from madoguchi.adapters.terms_files import TermsFile, TermsFileError, read_terms
from madoguchi.adapters.terms_site_pages import SiteTemplateError
from madoguchi.commands import proof, terms_texts
from madoguchi.commands.columns import columns
from madoguchi.commands.terms_outline import outline, outline_lines, structure
from madoguchi.commands.terms_record import Record, open_record
from madoguchi.domain.amendment import NoticePurpose
from madoguchi.domain.office import JST
from madoguchi.domain.terms_publication import SiteContentError
from madoguchi.domain.terms_reading import TermsTextError, parse_terms
from madoguchi.domain.terms_structure import Terms
from madoguchi.store.models import Amendment, TermsVersion
from madoguchi.store.terms import (
    SERVICE_TERMS,
    all_versions,
    amendments_to,
    find_version,
    governing,
    never_announced,
    text_of,
    versions_of,
)
from tasks.publishing import publish_site
from tasks.staff import Refused
from tasks.wiring import Run, build_services, real_clock

OK, INCOMPLETE, WRONG_USE = 0, 1, 2
_HEAD = ("code", "no", "terms", "enacted", "effective", "state", "announced", "sha256")
_STATES = {
    "in_force": "in force",
    "past": "past",
    "announced": "announced",
    "future": "future",
    "not_public": "unpublished",
    "withdrawn": "withdrawn",
}


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Run one of the sub-commands; 0 done, 1 something stands against it or is incomplete, 2 wrong use."""
    action = options.action
    if action == "build":
        return build(settings, options.folder, options.as_of, as_json=options.json)
    if action == "proof":
        return proof.run(
            settings,
            options.code,
            csv_path=options.csv,
            names=options.names,
            purpose=NoticePurpose(options.purpose),
            as_json=options.json,
        )
    record = open_record(settings, options.as_of or real_clock())
    for problem in record.problems:
        print(f"madoguchi terms: {problem}", file=sys.stderr)
    done = {
        "list": lambda: list_versions(record, settings.terms_dir, as_json=options.json),
        "show": lambda: show(record, options.code, as_text=options.text, as_json=options.json),
        "check": lambda: terms_texts.check(record, options.file, as_json=options.json),
        "diff": lambda: terms_texts.diff(
            record,
            options.old,
            options.new,
            html=options.html,
            new_first=not options.old_first,
            templates_dir=ROOT / "templates",
            as_json=options.json,
        ),
    }[action]()
    return done or (INCOMPLETE if record.problems else OK)


def list_versions(record: Record, folder: Path, *, as_json: bool) -> int:
    """Print every version of both documents, then what a person should look at."""
    rows, notes = described(record), remarks(record, folder)
    if as_json:
        print(json.dumps({"versions": rows, "notes": notes}, ensure_ascii=False))
        return OK
    for line in columns([_HEAD, *(_cells(row) for row in rows)], right=frozenset({1})):
        print(line)
    for note in notes:
        print(f"note: {note}")
    return OK


def described(record: Record) -> list[dict[str, Any]]:
    """Return what is known of every version, the service's first, the oldest first."""
    with record.database.read() as session:
        versions = all_versions(session, record.office)
        amendments = amendments_to(session, versions)
        counting = {document: versions_of(session, record.office, document) for document in ("service", "zoom")}
        unannounced = {version.id for version in never_announced(session, record.office)}
        return [
            _described(
                version,
                amendments.get(version.id),
                state_of(version, counting.get(version.document, []), amendments, record.now),
                is_unannounced=version.id in unannounced,
            )
            | {"has_text": text_of(session, version) is not None}
            for version in versions
        ]


def state_of(
    version: TermsVersion, counting: Sequence[TermsVersion], amendments: Mapping[str, Amendment], now: datetime
) -> str:
    """Return how a version stands at `now`: in_force, past, announced, future, not_public or withdrawn."""
    if version.withdrawn_at is not None:
        return "withdrawn"
    amendment = amendments.get(version.id)
    if amendment is not None and amendment.published_at is None:
        return "not_public"
    if version.effective_at > now:
        return "announced" if amendment is not None else "future"
    current = next(each for each in counting if each.effective_at <= now)
    return "in_force" if current.id == version.id else "past"


def remarks(record: Record, folder: Path) -> list[str]:
    """Return what a person should look at: versions that nobody announced, and where folder and record differ."""
    with record.database.read() as session:
        notes = [
            f"{version.code} was never announced: it came from the terms folder alone, so the record cannot say who "
            "was told; announce changes by `madoguchi run announce-amendment`"
            for version in never_announced(session, record.office)
        ]
        try:
            files = read_terms(folder)
        except TermsFileError as error:
            return [*notes, f"the terms folder cannot be read: {error}"]
        for file in files:
            row = find_version(session, record.office, file.code, file.document)
            notes += _differences(file, row) if row is not None else []
    return notes


def _differences(file: TermsFile, row: TermsVersion) -> list[str]:
    found = []
    for name, told, kept in (
        ("effective_at", file.effective_at, row.effective_at),
        ("enacted_on", file.enacted_on, row.enacted_on),
    ):
        if told != kept:
            found.append(
                f"{file.document} {file.code}: {name} is {_when(told)} in the folder and {_when(kept)} in the record, "
                "which holds; correct the folder"
            )
    return found


def _described(
    version: TermsVersion, amendment: Amendment | None, state: str, *, is_unannounced: bool
) -> dict[str, Any]:
    published = amendment.published_at if amendment else None
    return {
        "code": version.code,
        "number": version.number,
        "document": version.document,
        "enacted_on": version.enacted_on.isoformat(),
        "effective_at": version.effective_at.astimezone(JST).isoformat(),
        "state": state,
        "announced_at": published.astimezone(JST).isoformat() if published else None,
        "never_announced": is_unannounced,
        "signatory": version.signatory,
        "sha256": version.sha256,
        "url": version.url,
    }


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    announced = row["announced_at"][:10] if row["announced_at"] else "never" if row["never_announced"] else "-"
    return (
        row["code"],
        str(row["number"] or "-"),
        row["document"],
        row["enacted_on"],
        _when(datetime.fromisoformat(row["effective_at"])),
        _STATES[row["state"]],
        announced,
        row["sha256"][:8],
    )


def _when(moment: Any) -> str:
    """Return a day, with the time in Japan where it is not midnight."""
    if not isinstance(moment, datetime):
        return str(moment)
    local = moment.astimezone(JST)
    return f"{local:%Y-%m-%d}" if (local.hour, local.minute) == (0, 0) else f"{local:%Y-%m-%d %H:%M}"


def show(record: Record, code: str | None, *, as_text: bool, as_json: bool) -> int:
    """Print a version (default: the one in force): dates and outline, or with `as_text` its words and nothing else.

    As JSON with every article, paragraph and item.
    """
    with record.database.read() as session:
        version = find_version(session, record.office, code) if code else governing(session, record.office, record.now)
        text = text_of(session, version) if version else None
        known = [each.code for each in all_versions(session, record.office) if each.document == SERVICE_TERMS]
    if version is None:
        wanted = f"no version {code}" if code else "no version is in force"
        print(f"madoguchi terms show: {wanted}; there are: {', '.join(known) or 'none'}", file=sys.stderr)
        return WRONG_USE if code else INCOMPLETE
    if text is None:
        print(f"madoguchi terms show: the words of {version.code} are not in the record", file=sys.stderr)
        return INCOMPLETE
    if as_text:
        print(text, end="")
        return OK
    try:
        terms = parse_terms(text)
    except TermsTextError as error:
        print(f"madoguchi terms show: {version.code}: {error}", file=sys.stderr)
        return INCOMPLETE
    facts = next(row for row in described(record) if (row["document"], row["code"]) == (SERVICE_TERMS, version.code))
    if as_json:
        print(json.dumps(facts | {"outline": outline(terms), "structure": structure(terms)}, ensure_ascii=False))
    else:
        _print_version(facts, terms)
    return OK


def _print_version(facts: Mapping[str, Any], terms: Terms) -> None:
    code, number, _, enacted, effective, state, announced, _ = _cells(facts)
    print(f"{code}: version {number}, {state}")
    for name, value in (
        ("enacted", enacted),
        ("effective", effective),
        ("announced", announced),
        ("signatory", facts["signatory"] or terms.signatory or "-"),
        ("sha256", facts["sha256"]),
        ("url", facts["url"]),
    ):
        print(f"  {name:<10} {value}")
    print()
    print("\n".join(outline_lines(terms)))


def build(settings: Settings, folder: Path | None, as_of: datetime | None, *, as_json: bool) -> int:
    """Bring the public site to what the record says; without `folder` where MADOGUCHI_SITE_DIR says."""
    services = build_services(settings)
    if folder is not None:
        services = replace(services, site_dir=folder.absolute())
    now = services.clock()
    try:
        report = publish_site(services, Run("terms-build", as_of or now, now))
    except (Refused, SiteContentError, SiteTemplateError, TermsTextError) as error:
        print(f"madoguchi terms build: {error}", file=sys.stderr)
        return INCOMPLETE
    except OSError as error:
        print(f"madoguchi terms build: the site cannot be written ({error.strerror or error})", file=sys.stderr)
        return INCOMPLETE
    if as_json:
        print(
            json.dumps(
                {
                    "folder": str(report.current),
                    "files": report.files,
                    "bytes": report.bytes,
                    "changed": report.changed,
                }
            )
        )
        return OK
    said = "built" if report.changed else "says so already"
    print(f"site: {said}: {report.files} files, {report.bytes:,} bytes; serve {report.current}")
    return OK
