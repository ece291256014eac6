"""The comparison of two texts of the terms (新旧対照表): rows of old and new side by side. Pure.

What is a change: the wording. White space, line breaks and the width of digits, Latin letters and their punctuation
(`(4）` and `(4)`, `３０分` and `30分`) are none: nobody's rights change by them, and whoever types the next version may
well type them otherwise. They are counted (`respelled`), and each side shows its own spelling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from madoguchi.domain.terms_alignment import WIDE, Level, Match, Node, align, is_deleted, likeness, nodes_of
from madoguchi.domain.terms_structure import Terms
from madoguchi.domain.terms_table import (
    ADDED_WORDS,
    OMITTED_WORDS,
    REMOVED_WORDS,
    Cell,
    Comparison,
    Group,
    Line,
    Row,
    RowKind,
)
from madoguchi.domain.terms_underline import Run, folded, underline, whole

__all__ = ["Cell", "Comparison", "Group", "Line", "Row", "RowKind", "Run", "compare"]

_MOVED_LIKENESS: Final = 0.8
_MOVED_LENGTH: Final = 10


def compare(old: Terms, new: Terms) -> Comparison:
    """Return the comparison: articles, paragraphs, items aligned by content and number, changed words underlined.

    Deterministic. Every line of both texts stands in exactly one row. A part that went to another article stands in two
    rows, each of which says where the other is. It looks for no sense: a sentence that was rewritten is a change, also
    when it means the same.
    """
    matches = _Matches(align(nodes_of(old), nodes_of(new)))
    articles = tuple(
        node.article for match in matches.top if matches.has_new_wording(match) for node in match.news if node.article
    )
    return Comparison(tuple(matches.groups()), articles, sum(map(_respelled, matches.all())))


class _Matches:
    """The matches of all levels, and what moved from one article to another."""

    def __init__(self, top: tuple[Match, ...]) -> None:
        self.top = top
        self._below: dict[int, tuple[Match, ...]] = {}
        for match in top:
            self._descend(match)
        self._partners = dict(self._moves())

    def _descend(self, match: Match) -> None:
        if match.olds and match.news:
            olds = [child for node in match.olds for child in node.children]
            news = [child for node in match.news for child in node.children]
            below = self._below[id(match)] = align(olds, news)
            for child in below:
                self._descend(child)

    def below(self, match: Match) -> tuple[Match, ...]:
        return self._below.get(id(match), ())

    def all(self) -> Iterator[Match]:
        waiting = list(self.top)
        while waiting:
            match = waiting.pop()
            yield match
            waiting += self.below(match)

    def _moves(self) -> Iterator[tuple[Node, Node]]:
        """Give, both ways, the parts that left one place and came to another under another parent."""
        gone = [match.olds[0] for match in self.all() if not match.news]
        come = [match.news[0] for match in self.all() if not match.olds]
        candidates = sorted(
            (
                (-score, old.position + new.position, abs(old.position - new.position), old.position, old, new)
                for old in gone
                for new in come
                if min(len(old.key), len(new.key)) >= _MOVED_LENGTH and _is_part(old) and _is_part(new)
                if (score := likeness(old, new)) >= _MOVED_LIKENESS
            ),
            key=lambda candidate: candidate[:4],
        )
        taken: set[Node] = set()
        for *_, old, new in candidates:
            if not taken & {old, new}:
                taken |= {old, new}
                yield old, new
                yield new, old

    def has_new_wording(self, match: Match) -> bool:
        """Tell whether the new side says anything that the old one did not, or no longer says something."""
        if not match.olds:
            return True
        if [node.own for node in match.olds] != [node.own for node in match.news]:
            return True
        return any(self.has_new_wording(child) or child.is_moved or _has_new_mark(child) for child in self.below(match))

    def groups(self) -> Iterator[Group]:
        for chunk in self._chunks(self.top):
            nodes = [(match.news or match.olds)[0] for match in chunk]
            name = _span_name(nodes) if len(nodes) > 1 else _group_name(nodes[0])
            yield Group(name, tuple(self._chunk_rows(chunk)))

    def _chunks(self, matches: tuple[Match, ...]) -> Iterator[list[Match]]:
        """Cut siblings where something is to be shown.

        Unchanged neighbours stay together, and so do those whose numbers rose or fell by as much.
        """
        chunk: list[Match] = []
        for match in matches:
            if chunk and not (
                self._is_quiet(match) and self._is_quiet(chunk[-1]) and _are_neighbours(chunk[-1], match)
            ):
                yield chunk
                chunk = []
            chunk.append(match)
        if chunk:
            yield chunk

    def _is_quiet(self, match: Match) -> bool:
        """Tell whether nothing but the number may have changed."""
        is_pair = len(match.olds) == len(match.news) == 1
        return is_pair and not match.is_moved and not self.has_new_wording(match)

    def _chunk_rows(self, chunk: list[Match]) -> Iterator[Row]:
        match = chunk[0]
        if self._is_quiet(match):
            yield _quiet_row(chunk, self._remark(match))
        elif not match.olds:
            yield self._one_sided(match.news[0], is_new=True)
        elif not match.news:
            yield self._one_sided(match.olds[0], is_new=False)
        elif len(match.olds) == len(match.news) == 1 and not self.has_new_wording(match):
            yield _moved_row(match, self._remark(match))
        else:
            yield self._own_row(match)
            for below in self._chunks(self.below(match)):
                yield from self._chunk_rows(below)

    def _own_row(self, match: Match) -> Row:
        """The row of the line itself, or lines; what is set under it follows in rows of its own."""
        old_lines, new_lines = _lines_of(match)
        is_heading = match.news[0].level is Level.ARTICLE
        remark = self._remark(match)
        wording = [node.own for node in match.olds] != [node.own for node in match.news]
        if wording or len(match.olds) != len(match.news):
            kind = RowKind.CHANGED
        elif match.is_moved:
            kind = RowKind.MOVED
        elif _has_new_mark(match):
            kind = RowKind.RENUMBERED
        else:
            kind = RowKind.HEADING if is_heading else RowKind.OMITTED
        if kind is RowKind.CHANGED or is_heading:
            return Row(kind, _cell(match.news, new_lines), _cell(match.olds, old_lines), remark, is_heading=is_heading)
        return Row(
            kind,
            _cell(match.news, new_lines, _abridged(match.news[0], new_lines[0].mark)),
            _cell(match.olds, old_lines, _abridged(match.olds[0], old_lines[0].mark)),
            remark,
        )

    def _one_sided(self, node: Node, *, is_new: bool) -> Row:
        partner = self._partners.get(node)
        if partner is None:
            lines = tuple(_line(line, is_changed=True) for line in node.lines())
            words, kind, remark = (ADDED_WORDS if is_new else REMOVED_WORDS), None, ""
        else:
            lines = _moved_lines(node, partner, is_new=is_new)
            remark = f"{partner.place}から移動" if is_new else f"{partner.place}へ移動"
            words, kind = f"（{remark}）", RowKind.MOVED
        cell = _cell((node,), lines)
        missing = Cell("", (), (Line(node.level, 0, (), (), words),))
        if is_new:
            return Row(kind or RowKind.ADDED, cell, missing, remark)
        return Row(kind or RowKind.REMOVED, missing, cell, remark)

    def _remark(self, match: Match) -> str:
        old, new = match.olds[0], match.news[0]
        if len(match.news) > 1:
            return f"{_spoken(old)}を{str(len(match.news)).translate(WIDE)}つに分割"
        if len(match.olds) > 1:
            return f"{'と'.join(map(_spoken, match.olds))}を統合"
        if is_deleted(new) and not is_deleted(old):
            return "条番号を残して削除"
        if match.is_moved:
            return self._moved_remark(old, new)
        if not _has_new_mark(match) or not old.number or not new.number or old.number == new.number:
            return ""
        return f"{old.name}から{'繰下げ' if new.number > old.number else '繰上げ'}"

    def _moved_remark(self, old: Node, new: Node) -> str:
        if old.number == new.number or not old.name:
            return "順番を変更"
        return f"{old.name}から移動"


def _is_part(node: Node) -> bool:
    return node.level in {Level.PARAGRAPH, Level.ITEM, Level.SUBITEM, Level.BULLET}


def _has_new_mark(match: Match) -> bool:
    """Tell whether number or mark changed. Unnumbered paragraphs have none, whatever place they count to."""
    return [folded(node.mark) for node in match.olds] != [folded(node.mark) for node in match.news]


def _respelled(match: Match) -> bool:
    if len(match.olds) != 1 or len(match.news) != 1:
        return False
    old, new = match.olds[0], match.news[0]
    same = folded(old.mark) == folded(new.mark) and old.own == new.own
    return same and (old.mark, old.text) != (new.mark, new.text)


def _group_name(node: Node) -> str:
    return f"{node.name}（{node.text}）" if node.level is Level.ARTICLE and node.text else node.name


def _caption(node: Node) -> str:
    return f"（{node.text}）" if node.level is Level.ARTICLE and node.text else node.text


def _line(node: Node, *, is_changed: bool) -> Line:
    return Line(
        node.level,
        node.depth,
        whole(node.mark, is_changed=is_changed),
        whole(_caption(node), is_changed=is_changed),
        position=node.position,
    )


def _lines_of(match: Match) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """Return old and new lines of a match, without what is set under them, with what changed underlined."""
    old_texts, new_texts = [_caption(node) for node in match.olds], [_caption(node) for node in match.news]
    old_runs, new_runs = underline("".join(old_texts), "".join(new_texts))
    old_mark, new_mark = underline(match.olds[0].mark, match.news[0].mark)
    return (
        tuple(_cut_lines(match.olds, old_texts, old_runs, old_mark)),
        tuple(_cut_lines(match.news, new_texts, new_runs, new_mark)),
    )


def _cut_lines(
    nodes: tuple[Node, ...], texts: list[str], runs: tuple[Run, ...], first_mark: tuple[Run, ...]
) -> Iterator[Line]:
    """Cut the runs of several lines in a row at the ends of the lines. Marks after the first one are changes."""
    waiting = list(runs)
    for node, text in zip(nodes, texts, strict=True):
        mine: list[Run] = []
        room = len(text)
        while room:
            run = waiting.pop(0)
            mine.append(replace(run, text=run.text[:room]))
            if len(run.text) > room:
                waiting.insert(0, replace(run, text=run.text[room:]))
            room -= len(mine[-1].text)
        mark = first_mark if node is nodes[0] else whole(node.mark, is_changed=True)
        yield Line(node.level, node.depth, mark, tuple(mine), position=node.position)


def _moved_lines(node: Node, partner: Node, *, is_new: bool) -> tuple[Line, ...]:
    mine, others = list(node.lines()), list(partner.lines())
    if [line.own for line in mine] == [line.own for line in others] or len(mine) != len(others):
        changed = len(mine) != len(others)
        return tuple(_line(line, is_changed=changed) for line in mine)
    pairs = zip(others, mine, strict=True) if is_new else zip(mine, others, strict=True)
    return tuple(_lines_of(Match((old,), (new,)))[is_new][0] for old, new in pairs)


def _cell(nodes: tuple[Node, ...], lines: tuple[Line, ...], shown: tuple[Line, ...] | None = None) -> Cell:
    place = nodes[0].place if len(nodes) == 1 else f"{nodes[0].place}から{nodes[-1].name or nodes[-1].place}まで"
    return Cell(place, lines, lines if shown is None else shown)


def _abridged(node: Node, mark: tuple[Run, ...]) -> tuple[Line, ...]:
    return (Line(node.level, node.depth, mark or whole(node.name, is_changed=False), (), OMITTED_WORDS),)


def _quiet_row(chunk: list[Match], remark: str) -> Row:
    """The row of neighbours whose wording is as it was; all of them may have got other numbers."""
    olds, news = [match.olds[0] for match in chunk], [match.news[0] for match in chunk]
    old_lines, new_lines = zip(*map(_whole_lines, chunk), strict=True)
    renumbered = _has_new_mark(chunk[0])
    old_mark, new_mark = _span_marks(olds, news, renumbered=renumbered)
    is_heading = renumbered and news[0].level is Level.ARTICLE
    with_caption = is_heading and len(chunk) == 1
    if len(chunk) > 1 and remark:
        remark = f"番号を{remark[-3:]}"
    return Row(
        RowKind.RENUMBERED if renumbered else RowKind.OMITTED,
        _cell(tuple(news), sum(new_lines, ()), _omitted(news, new_mark, with_caption=with_caption)),
        _cell(tuple(olds), sum(old_lines, ()), _omitted(olds, old_mark, with_caption=with_caption)),
        remark,
        is_heading=is_heading,
    )


def _omitted(nodes: list[Node], mark: tuple[Run, ...], *, with_caption: bool) -> tuple[Line, ...]:
    node = nodes[0]
    if not with_caption:
        return (Line(node.level, node.depth, mark, (), OMITTED_WORDS),)
    return (
        Line(node.level, node.depth, mark, whole(_caption(node), is_changed=False)),
        Line(Level.PARAGRAPH, 0, (), (), OMITTED_WORDS),
    )


def _moved_row(match: Match, remark: str) -> Row:
    """The row of something that only stands elsewhere: an article by its name, anything shorter in full."""
    old, new = match.olds[0], match.news[0]
    old_lines, new_lines = _whole_lines(match)
    if new.level is not Level.ARTICLE:
        return Row(RowKind.MOVED, _cell((new,), new_lines), _cell((old,), old_lines), remark)
    below = Line(Level.PARAGRAPH, 0, (), (), OMITTED_WORDS)
    return Row(
        RowKind.MOVED,
        _cell((new,), new_lines, (new_lines[0], below)),
        _cell((old,), old_lines, (old_lines[0], below)),
        remark,
        is_heading=True,
    )


def _whole_lines(match: Match) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """Return all lines of an unchanged pair; only the first mark may be underlined."""
    old_first, new_first = _lines_of(match)
    old_rest, new_rest = (
        tuple(_line(line, is_changed=False) for line in list(node.lines())[1:])
        for node in (match.olds[0], match.news[0])
    )
    return old_first + old_rest, new_first + new_rest


def _span_name(nodes: list[Node]) -> str:
    """Return what a row calls neighbours that it leaves out: `(2)`, `(2)・(3)`, `(2)～(6)`, `第２条から第５条まで`."""
    return "".join(_span(nodes))


def _span(nodes: list[Node]) -> list[str]:
    """Return first name, what stands between, last name, what follows."""
    names = list(dict.fromkeys(node.name for node in nodes if node.name))
    if len(names) < 2:
        return names
    between, after = ("・", "") if len(names) == 2 else ("～", "") if _is_part(nodes[0]) else ("から", "まで")
    return [names[0], between, names[-1], after]


def _span_marks(olds: list[Node], news: list[Node], *, renumbered: bool) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    old_span, new_span = _span(olds), _span(news)
    if not renumbered:
        return whole("".join(old_span), is_changed=False), whole("".join(new_span), is_changed=False)
    if len(old_span) != len(new_span):
        return underline("".join(old_span), "".join(new_span))
    # Name by name: between `(2)・(3)` and `(3)・(4)` a difference would find the 3 in common.
    pairs = [underline(old, new) for old, new in zip(old_span, new_span, strict=True)]
    return tuple(run for left, _ in pairs for run in left), tuple(run for _, right in pairs for run in right)


def _spoken(node: Node) -> str:
    return node.name if node.number and node.name else "１つの項目" if _is_part(node) else node.name


def _are_neighbours(before: Match, after: Match) -> bool:
    """Tell whether two matches follow each other in both texts, and their numbers moved by as much."""
    for first, second in ((before.olds[0], after.olds[0]), (before.news[0], after.news[0])):
        if second.position != list(first.lines())[-1].position + 1:
            return False
    return _shift(before) == _shift(after)


def _shift(match: Match) -> tuple[int, ...]:
    if not _has_new_mark(match):
        return ()
    old, new = match.olds[0].number, match.news[0].number
    if old is None or new is None or len(old) != 1 or len(new) != 1:
        # Shifts of numbers such as 第５条の２, or of bullets, are told one by one.
        return (0, match.news[0].position)
    return (new[0] - old[0],)
