"""The charts of the overview and of the monthly report, made of numbers that may be published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from madoguchi.adapters.charts import UNKNOWN, Chart, Column, Piece, chart
from madoguchi.domain.statistics import SMALLEST, Cell, Mark, Quantiles, Table, duration_ja
from madoguchi.domain.wording import short_date

_HIDDEN = (UNKNOWN, "伏せた数（5未満など）")
_HOUR = 3600.0
_DRAWN = 4
"""So many states have a colour of their own; the others share the last."""


def days_chart(days: Sequence[tuple[date, Cell]]) -> Chart:
    """Return the applications of each day; a label stands below each Monday."""
    columns = [
        Column(f"{day.month}/{day.day}" if day.weekday() == 0 else "", _piece(cell, "first", short_date(day)))
        for day, cell in days
    ]
    shown = [(cell.count, day) for day, cell in days if cell.count]
    said = "伏せていない日はありません。"
    if shown:
        most, day = max(shown, key=lambda one: (one[0], one[1]))
        said = f"最も多い日は{short_date(day)}の{most}件です。"
    return chart("days", "日ごとの申込み", said, columns, legend=(("first", "申込み（件）"), _HIDDEN))


def hours_chart(key: str, title: str, hours: Sequence[tuple[int, Cell]]) -> Chart:
    """Return counts by the hour of the day."""
    columns = [Column(f"{hour}時" if place % 4 == 0 else "", _piece(cell, "first", f"{hour}時台"))
               for place, (hour, cell) in enumerate(hours)]  # fmt: skip
    shown = [(cell.count, -hour) for hour, cell in hours if cell.count]
    said = f"最も多いのは{-max(shown)[1]}時台です。" if shown else "伏せていない時間はありません。"
    return chart(key, title, said, columns, legend=(("first", "件数"), _HIDDEN))


def times_chart(weeks: Sequence[tuple[date, Quantiles]]) -> Chart:
    """Return how long it took to a confirmation, in hours: half of the people, and nine of ten."""
    columns = []
    for monday, took in weeks:
        label = f"{monday.month}/{monday.day}"
        pieces = tuple(
            Piece(value / _HOUR, look, f"{label}の週 {words} {duration_ja(value)}")
            for value, look, words in ((took.median, "first", "半数"), (took.ninetieth, "second", "9割"))
            if value is not None
        )
        columns.append(Column(label, pieces))
    last = next((took.median for _, took in reversed(weeks) if took.median is not None), None)
    said = (
        f"最近の週は、半数の方に{duration_ja(last)}以内に届きました。" if last is not None else "示せる週はありません。"
    )
    legend = (("first", "半数の方まで（時間）"), ("second", "9割の方まで（時間）"))
    return chart("times", "申込みから確定のお知らせまで", said, columns, legend=legend, side_by_side=True)


def months_chart(months: Sequence[tuple[str, Table]], names: Mapping[str, str]) -> Chart:
    """Return what became of the sessions of each month. `names`: the states in their order, with their words."""
    looks = dict(zip(names, ("first", "alert", "second", *("third",) * len(names)), strict=False))
    columns = []
    for month, table in months:
        label = f"{int(month[5:])}月"
        pieces: list[Piece] = []
        for cell in table.cells:
            if cell.count:
                pieces += _piece(cell, looks[cell.key], f"{label} {names[cell.key]}")
        hidden = (table.total.count or 0) - sum(cell.count or 0 for cell in table.cells)
        if hidden:
            pieces.append(Piece(hidden, UNKNOWN, f"{label} 伏せた数の合計 {hidden}件"))
        elif table.total.mark is Mark.SMALL:
            pieces += _piece(table.total, "first", label)
        columns.append(Column(label, tuple(pieces)))
    codes = list(names)
    legend = [(looks[code], names[code]) for code in codes[: _DRAWN - 1]]
    legend += [("third", "・".join(names[code] for code in codes[_DRAWN - 1 :])), _HIDDEN]
    said = "示せる月はありません。"
    if months:
        month, table = months[-1]
        said = f"{int(month[5:])}月の相談は{table.total.text}{'件' if table.total.count is not None else ''}です。"
    return chart("months", "月ごとの相談の結果", said, columns, legend=legend)


def _piece(cell: Cell, look: str, words: str) -> tuple[Piece, ...]:
    if cell.mark is Mark.SHOWN:
        return (Piece(float(cell.count or 0), look, f"{words} {cell.text}件"),)
    # A small one is drawn at the height of the most that it may be.
    return (Piece(float(SMALLEST - 1) if cell.mark is Mark.SMALL else 0.0, UNKNOWN, f"{words} {cell.text}"),)
