"""What a run of a flow is known by afterwards: counts, what is incomplete, the sentence of its state, its artifact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from madoguchi.store.runs import finish_run, start_run
from tasks.wiring import Run, Services

_NAMED = 12


@dataclass(slots=True)
class Shortfall:
    """Work of one kind that is not done: of how many, what it is called, and each reference with its reason code."""

    of: int
    singular: str
    plural: str
    what: str
    items: list[tuple[str, str]]
    words: str = ""
    """What the state says in the place of numbers and references, where there is something better to say."""


@dataclass(slots=True)
class Summary:
    """Counts and shortfalls of one run. References and codes only."""

    counts: dict[str, int] = field(default_factory=dict)
    shortfalls: list[Shortfall] = field(default_factory=list)

    @property
    def incomplete(self) -> list[dict[str, str]]:
        """Every reference that is not done, with its reason code."""
        return [{"reference": ref, "reason": code} for short in self.shortfalls for ref, code in short.items]

    @property
    def is_complete(self) -> bool:
        """Tell whether everything that was due is done."""
        return not self.incomplete

    def add(self, counts: dict[str, int]) -> None:
        """Take counts in."""
        self.counts |= counts

    def lacking(self, shortfall: Shortfall) -> None:
        """Take in work that is not done, if there is any."""
        if shortfall.items:
            self.shortfalls.append(shortfall)

    def sentence(self) -> str:
        """Return the state message: how many of what are not done, which ones, and what to do."""
        if self.is_complete:
            return "Complete"
        parts = []
        for short in self.shortfalls:
            if short.words:
                parts.append(short.words)
                continue
            named = ", ".join(ref for ref, _ in short.items[:_NAMED])
            more = f" and {len(short.items) - _NAMED} more" if len(short.items) > _NAMED else ""
            noun = short.singular if short.of == 1 else short.plural
            parts.append(f"{len(short.items)} of {short.of} {noun} {short.what}: {named}{more}")
        again = "" if all(short.words for short in self.shortfalls) else "; run again"
        return "; ".join(parts) + again


def begin(services: Services, run: Run) -> Run:
    """Record that a run has begun."""
    with services.database.write() as session:
        record = start_run(session, services.office.code, run.flow, run.prefect_run, run.as_of, run.started_at)
    return Run(run.flow, run.as_of, run.started_at, run.prefect_run, record, run.actor)


def conclude(services: Services, run: Run, summary: Summary) -> None:
    """Record how a run ended."""
    with services.database.write() as session:
        finish_run(
            session,
            run.record_id,
            state="completed" if summary.is_complete else "failed",
            message=summary.sentence(),
            counts=dict(summary.counts),
            incomplete=summary.incomplete,
            now=services.clock(),
        )


def counts_table(rows: Sequence[tuple[str, int]]) -> str:
    """Return a two-column markdown table."""
    return "\n".join(["| 項目 | 件数 |", "|---|---:|", *(f"| {name} | {count} |" for name, count in rows)])


def reasons_table(rows: Iterable[tuple[str, int, str, str]], limit: int = 200) -> str:
    """Return a markdown table of file, row number, outcome and reason; at most `limit` rows."""
    lines = ["| ファイル | 行 | 結果 | 理由 |", "|---|---:|---|---|"]
    listed = list(rows)
    lines += [f"| {name} | {number} | {outcome} | {reason} |" for name, number, outcome, reason in listed[:limit]]
    if len(listed) > limit:
        lines.append(f"| … | | | ほか {len(listed) - limit} 行 |")
    return "\n".join(lines)


def tally(counter: Counter[str], prefix: str) -> dict[str, int]:
    """Return a counter as counts with a prefix."""
    return {f"{prefix}_{name}": count for name, count in sorted(counter.items())}
