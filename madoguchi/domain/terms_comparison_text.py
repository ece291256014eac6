"""The comparison as text for a mail: article by article, what changed in brackets. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

from madoguchi.domain.terms_alignment import Level
from madoguchi.domain.terms_structure import Article, Part
from madoguchi.domain.terms_table import ADDED_WORDS, REMOVED_WORDS, Cell, Comparison, Group, Line, Row, RowKind
from madoguchi.domain.terms_underline import HIRAGANA_WORDS, Run

LINE_WIDTH: Final = 30
"""Full-width characters in a line: what a telephone shows of a mail without breaking it again."""

_SIGNS: Final = (("［", "］"), ("《", "》"), ("｟", "｠"))
_NEVER_FIRST: Final = frozenset(
    "、。，．,.・：；:;！？!?）)］]」』】〕｝}》〉｠ー～〜ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ々％%"
)
# お and ご belong to the word behind them.
_NEVER_LAST: Final = frozenset("（([［「『【〔｛{《〈｟おご")
_COUNTERS: Final = frozenset("条項号年月日時分回つ人円")
_COMMAS: Final = frozenset("、。，．")
_CLOSERS: Final = frozenset("）」』】")
_SIGN_ENDS: Final = frozenset(end for _, end in _SIGNS)
_ATOM: Final = re.compile(
    r"https?://\S+|[0-9０-９]+(?:[.,:．，：][0-9０-９]+)*"
    r"|[A-Za-zＡ-Ｚａ-ｚ0-9]+(?:['’._@-][A-Za-zＡ-Ｚａ-ｚ0-9]+)*"
    rf"|[ァ-ヺー]{{1,8}}|{HIRAGANA_WORDS}|."
)
_NARROW: Final = frozenset({"Na", "H", "N"})


def comparison_text(comparison: Comparison, *, new_first: bool = True) -> str:
    """Return the comparison in lines of at most LINE_WIDTH full-width characters, without a last line break.

    What changed stands in ［ ］ (other brackets where the terms use these themselves), which the first lines explain.
    Articles in which nothing changed are left out: the mail links to the table. Empty when nothing changed at all.
    """
    if comparison.is_unchanged:
        return ""
    begin, end = _free_signs(comparison)
    head = [f"変わるところを{begin} {end}で囲んでいます。", "「（略）」は、変わらないところです。"]
    blocks = ["\n".join(head)]
    blocks += [
        "\n".join(_group_lines(group, (begin, end), new_first=new_first))
        for group in comparison.groups
        if not group.is_omitted
    ]
    return wrap("\n\n".join(blocks))


def changed_articles_text(comparison: Comparison) -> str:
    """Return everything that reads differently after the change, in full as it will read, and what is gone by name.

    Art. 13 asks for the content after the change, not for the difference. Articles that only get another number or
    place are named in one line each. Empty when nothing changed. Lines as in `comparison_text`.
    """
    changed = {article.label: article for article in comparison.changed_articles}
    blocks = ["\n".join(_full_lines(group, changed)) for group in comparison.groups if not group.is_omitted]
    return wrap("\n\n".join(blocks))


def wrap(text: str, width: int = LINE_WIDTH) -> str:
    """Return `text` with lines of at most `width` full-width characters; line breaks that are there stay.

    Lines end after punctuation or before a new phrase where they can. None begins with a closing mark, a small kana or
    ー, none ends with an opening bracket. Numbers, Latin words, addresses and short katakana words stay whole; one that
    alone is wider than the line is the line. Two half-width characters count as one full-width.
    """
    return "\n".join(piece for line in text.split("\n") for piece in _wrapped(line, 2 * width))


def _wrapped(line: str, room: int) -> Iterator[str]:
    atoms = _ATOM.findall(line)
    start = 0
    while start < len(atoms):
        end, used = start, 0
        while end < len(atoms) and used + _width(atoms[end]) <= room:
            used += _width(atoms[end])
            end += 1
        if end < len(atoms):
            end = _best_end(atoms, start, max(end, start + 1))
        piece = "".join(atoms[start:end])
        yield piece if start == 0 else piece.lstrip(" ")
        start = end
    if not atoms:
        yield ""


def _best_end(atoms: list[str], start: int, limit: int) -> int:
    """Return where the line ends: near its limit, and rather where one pauses."""
    if limit == len(atoms):  # a single one, wider than the line
        return limit
    allowed = [end for end in range(limit, start, -1) if _may_break(atoms, end)]
    if not allowed:
        return next((end for end in range(limit + 1, len(atoms)) if _may_break(atoms, end)), len(atoms))
    used = limit - start
    for is_good, share in ((_is_pause, 0.6), (_is_phrase, 0.6)):
        for end in allowed:
            if end - start >= used * share and is_good(atoms, end):
                return end
    return allowed[0]


def _may_break(atoms: list[str], at: int) -> bool:
    before = atoms[at - 1][-1]
    # Blanks at the beginning of a line go: what stands behind them would be the first.
    after = next((atom.lstrip(" ")[0] for atom in atoms[at:] if atom.strip(" ")), " ")
    if after in _NEVER_FIRST or before in _NEVER_LAST:
        return False
    return not (after in _COUNTERS and (before.isdecimal() or before in _SIGN_ENDS))


def _is_pause(atoms: list[str], at: int) -> bool:
    mark = atoms[at - 1][-1]
    # What follows a closing bracket is mostly its particle.
    return mark in _COMMAS or (mark in _CLOSERS and not _is_hiragana(atoms[at][0]))


def _is_phrase(atoms: list[str], at: int) -> bool:
    """Tell whether a new phrase begins: hiragana, mostly a particle, before anything else."""
    return _is_hiragana(atoms[at - 1][-1]) and not _is_hiragana(atoms[at][0])


def _is_hiragana(character: str) -> bool:
    return "ぁ" <= character <= "ゖ"


def _width(text: str) -> int:
    return sum(1 if unicodedata.east_asian_width(character) in _NARROW else 2 for character in text)


def _free_signs(comparison: Comparison) -> tuple[str, str]:
    text = "".join(line.text for row in comparison.rows for cell in (row.new, row.old) for line in cell.lines)
    return next((pair for pair in _SIGNS if not set(pair) & set(text)), _SIGNS[0])


def _group_lines(group: Group, signs: tuple[str, str], *, new_first: bool) -> Iterator[str]:
    yield f"● {_title(group)}"
    rows = [row for row in group.rows if row.kind is not RowKind.HEADING]
    yield from (_remark(row, group) for row in group.rows if row.remark)
    sides = [("【変更後】", [row.new for row in rows]), ("【変更前】", [row.old for row in rows])]
    for name, cells in sides if new_first else reversed(sides):
        yield name
        yield from _cell_lines(cells, None if _is_one_sided(group) else signs)


def _remark(row: Row, group: Group) -> str:
    if row.is_heading:
        return f"※ {row.remark}"
    first = group.rows[0]
    # Within its article a part is cited without the article.
    side, above = (row.old, first.old) if row.new.is_missing else (row.new, first.new)
    place = side.place.removeprefix(above.place) if first.is_heading else side.place
    is_whole = len(side.lines) > 1 and row.kind is RowKind.CHANGED  # split or joined: the remark names the parts
    return f"※ {place}：{row.remark}" if place and not is_whole else f"※ {row.remark}"


def _is_one_sided(group: Group) -> bool:
    """Tell whether the whole group is new or gone: its title says so, and nothing in it needs marking."""
    return len(group.rows) == 1 and group.rows[0].kind in {RowKind.ADDED, RowKind.REMOVED}


def _title(group: Group) -> str:
    if not _is_one_sided(group):
        return group.name
    return f"{group.name}{ADDED_WORDS if group.rows[0].kind is RowKind.ADDED else REMOVED_WORDS}"


def _cell_lines(cells: Iterable[Cell], signs: tuple[str, str] | None) -> Iterator[str]:
    last = ""
    for cell in cells:
        for line in cell.shown:
            if signs is None and line.level is Level.ARTICLE and not line.note:
                continue
            text = _marked(line, signs or ("", ""))
            # Several parts in a row that this side lacks, or leaves out, are said once.
            if text != last or not line.note:
                yield text
            last = text


def _marked(line: Line, signs: tuple[str, str]) -> str:
    if line.level is Level.ARTICLE and line.is_all_changed:
        return _in_signs([Run(line.text, is_changed=True)], signs)
    mark = _in_signs(line.mark, signs)
    gap = " " if line.mark and (line.runs or line.note) and line.level is not Level.ARTICLE else ""
    if line.mark and line.is_all_changed:
        return _in_signs([Run(f"{_plain(line.mark)}{gap}{_plain(line.runs)}", is_changed=True)], signs)
    return f"{mark}{gap}{_in_signs(line.runs, signs)}{line.note}"


def _plain(runs: Iterable[Run]) -> str:
    return "".join(run.text for run in runs)


def _in_signs(runs: Iterable[Run], signs: tuple[str, str]) -> str:
    begin, end = signs
    return "".join(f"{begin}{run.text}{end}" if run.is_changed else run.text for run in runs)


def _full_lines(group: Group, changed: dict[str, Article]) -> Iterator[str]:
    row = group.rows[0]
    if len(group.rows) == 1 and row.new.is_missing:
        yield f"● {group.name}"
        yield "この条は、なくなります。" if _is_article(row.old) else "この部分は、なくなります。"
        return
    article = changed.get(_label(row.new))
    if article is not None:
        yield f"● {''.join(article.label.split())}{f'（{article.caption}）' if article.caption else ''}"
        for part in article.parts:
            yield from _part_lines(part)
    elif _is_article(row.new):
        yield f"● {group.name}"
        yield f"番号か順番だけが変わります（変更前は{row.old.place}）。"
    else:
        yield f"● {group.name}"
        yield from (line.text for row in group.rows for line in row.new.lines)


def _is_article(cell: Cell) -> bool:
    return bool(cell.lines) and cell.lines[0].level is Level.ARTICLE


def _label(cell: Cell) -> str:
    return _plain(cell.lines[0].mark) if _is_article(cell) else ""


def _part_lines(part: Part) -> Iterator[str]:
    yield f"{part.label} {part.text}" if part.label else part.text
    for below in part.parts:
        yield from _part_lines(below)
