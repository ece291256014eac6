"""`madoguchi terms check` and `diff`: texts in files and in the record, read, checked and compared."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from madoguchi.adapters.terms_comparison_page import ComparisonPageError, comparison_page
from madoguchi.adapters.terms_files import canonical_text
from madoguchi.adapters.terms_source import TermsSourceError, read_terms_source
from madoguchi.commands.terms_outline import outline, summary
from madoguchi.commands.terms_record import Record
from madoguchi.domain.terms_citations import (
    CitationProblem,
    check_citations,
    citation_notes,
    citations_left_behind,
    find_citations,
)
from madoguchi.domain.terms_comparison import Comparison, compare
from madoguchi.domain.terms_comparison_text import comparison_text
from madoguchi.domain.terms_reading import TermsTextError, parse_terms
from madoguchi.domain.terms_structure import Terms
from madoguchi.domain.terms_table import RowKind
from madoguchi.store.terms import find_version, governing, text_of

OK, INCOMPLETE, WRONG_USE = 0, 1, 2
_COUNTED = {
    RowKind.CHANGED: "changed",
    RowKind.ADDED: "added",
    RowKind.REMOVED: "removed",
    RowKind.MOVED: "moved",
    RowKind.RENUMBERED: "renumbered",
}


@dataclass(frozen=True, slots=True)
class Text:
    """Terms that somebody named. `name`: code or file name; `sha256`: of the canonical text."""

    name: str
    sha256: str
    terms: Terms


class UnusableError(Exception):
    """What somebody named gives no text; the sentence says why and what to do. `is_wrong_use`: nothing is there."""

    def __init__(self, sentence: str, *, is_wrong_use: bool = False) -> None:
        super().__init__(sentence)
        self.is_wrong_use = is_wrong_use


def check(record: Record, file: str, *, as_json: bool) -> int:
    """Print what a text is made of, what its citations say and what differs from the version in force.

    1 when something stands against announcing it: it cannot be read, or citations lead nowhere or astray. That nothing
    changed is told, and stands against nothing here.
    """
    try:
        new = _from_file(Path(file))
    except UnusableError as error:
        if as_json:
            print(json.dumps({"file": file, "blocks": True, "unreadable": str(error)}, ensure_ascii=False))
        print(f"madoguchi terms check: {error}", file=sys.stderr)
        return WRONG_USE if error.is_wrong_use else INCOMPLETE
    base = _in_force(record)
    comparison = compare(base.terms, new.terms) if base else None
    problems = [*check_citations(new.terms), *(citations_left_behind(base.terms, new.terms) if base else ())]
    notes = list(citation_notes(new.terms))
    if as_json:
        print(json.dumps(_checked(file, new, base, comparison, problems, notes), ensure_ascii=False))
    else:
        _print_check(file, new, base, comparison, problems, notes)
    return INCOMPLETE if problems else OK


def diff(
    record: Record, old: str, new: str, *, html: Path | None, new_first: bool, templates_dir: Path, as_json: bool
) -> int:
    """Print the comparison of two versions or files, `old` being the one before; with `html` write it as a page."""
    try:
        before, after = named(record, old), named(record, new)
    except UnusableError as error:
        print(f"madoguchi terms diff: {error}", file=sys.stderr)
        return WRONG_USE if error.is_wrong_use else INCOMPLETE
    comparison = compare(before.terms, after.terms)
    if html is not None:
        title = f"{after.terms.title or '利用規約'}　新旧対照表（{before.name} → {after.name}）"
        try:
            html.write_text(
                comparison_page(comparison, templates_dir, new_first=new_first, title=title), encoding="utf-8"
            )
        except (OSError, ComparisonPageError) as error:
            print(f"madoguchi terms diff: {html}: {error}", file=sys.stderr)
            return INCOMPLETE
    text = comparison_text(comparison, new_first=new_first)
    if as_json:
        print(json.dumps(_differing(before, after, comparison) | {"text": text}, ensure_ascii=False))
    elif html is not None:
        print(f"{html}: {_count_words(comparison)}")
    else:
        print(text or "no difference in words")
    return OK


def citations_of(terms: Terms) -> tuple[str, list[CitationProblem], list[CitationProblem]]:
    """Return a line about the citations, what is wrong with them, and what is worth knowing."""
    found, problems, notes = find_citations(terms), list(check_citations(terms)), list(citation_notes(terms))
    laws = sum(1 for one in found if one.law)
    line = f"{len(found) - laws} inside, {len(problems)} leading nowhere; {laws} of other laws, not looked up"
    return line, problems, notes


def _from_file(path: Path) -> Text:
    try:
        source = read_terms_source(path.expanduser())
    except TermsSourceError as error:
        raise UnusableError(str(error), is_wrong_use=error.code == "MISSING") from None
    return _text(path.name, canonical_text(source))


def _text(name: str, text: str) -> Text:
    try:
        return Text(name, hashlib.sha256(text.encode()).hexdigest(), parse_terms(text))
    except TermsTextError as error:
        raise UnusableError(f"{name}: {error}") from None


def named(record: Record, name: str) -> Text:
    """Return the version of that code, or else the file of that name."""
    with record.database.read() as session:
        version = find_version(session, record.office, name)
        words = text_of(session, version) if version else None
    if version is None:
        if not Path(name).expanduser().is_file():
            raise UnusableError(f"{name}: neither a version of the record nor a file", is_wrong_use=True)
        return _from_file(Path(name))
    if words is None:
        raise UnusableError(f"{name}: its words are not in the record")
    return _text(version.code, words)


def _in_force(record: Record) -> Text | None:
    with record.database.read() as session:
        version = governing(session, record.office, record.now)
        words = text_of(session, version) if version else None
    if version is None or words is None:
        return None
    try:
        return _text(version.code, words)
    except UnusableError:
        return None


def _checked(
    file: str,
    new: Text,
    base: Text | None,
    comparison: Comparison | None,
    problems: Sequence[CitationProblem],
    notes: Sequence[CitationProblem],
) -> dict[str, Any]:
    return {
        "file": file,
        "sha256": new.sha256,
        "blocks": bool(problems),
        "outline": outline(new.terms),
        "citations": len(find_citations(new.terms)),
        "problems": [_as_json(problem) for problem in problems],
        "notes": [_as_json(note) for note in notes],
        "compared": _differing(base, new, comparison) if base and comparison else None,
    }


def _as_json(problem: CitationProblem) -> dict[str, str]:
    return {"place": problem.place, "cited": problem.cited, "code": problem.code, "sentence": problem.sentence}


def _differing(old: Text, new: Text, comparison: Comparison) -> dict[str, Any]:
    counts = comparison.counts
    return {
        "old": old.name,
        "new": new.name,
        "unchanged": comparison.is_unchanged,
        "rows": {words: counts[kind] for kind, words in _COUNTED.items()},
        "changed_articles": ["".join(article.label.split()) for article in comparison.changed_articles],
    }


def _print_check(
    file: str,
    new: Text,
    base: Text | None,
    comparison: Comparison | None,
    problems: Sequence[CitationProblem],
    notes: Sequence[CitationProblem],
) -> None:
    terms = new.terms
    closed = f"{terms.closed_on or terms.closing or 'no date'}  {terms.signatory or 'no signatory'}"
    print(f"file       {file}")
    print(f"sha256     {new.sha256}")
    print(f"title      {terms.title or '-'}")
    print(f"structure  {summary(terms)}")
    print(f"closing    {closed}")
    print(f"citations  {citations_of(terms)[0]}")
    if base is None or comparison is None:
        print("compared   with nothing: no version with words is in force")
    elif comparison.is_unchanged:
        print(f"compared   with {base.name} (in force): the same words, nothing to announce")
    else:
        print(f"compared   with {base.name} (in force): {_count_words(comparison)}")
        print("".join(f"           {line}\n" for line in _labels(comparison)), end="")
    for problem in problems:
        print(f"FAIL  {problem.code}: {problem.sentence}")
    for note in notes:
        print(f"note  {note.sentence}")


def _count_words(comparison: Comparison) -> str:
    counts = comparison.counts
    named = [f"{counts[kind]} {words}" for kind, words in _COUNTED.items() if counts[kind]]
    return "rows: " + ", ".join(named) if named else "no difference in words"


def _labels(comparison: Comparison) -> list[str]:
    labels = ["".join(article.label.split()) for article in comparison.changed_articles]
    return [f"new words in {'、'.join(labels)}"] if labels else []
