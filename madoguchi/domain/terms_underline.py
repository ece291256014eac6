"""Which characters of a sentence changed, at the width of words and whole numbers. Pure.

A difference by characters alone is exact and unreadable: `30` to `35` would underline one digit, `ます` to `ません` one
syllable. Here sentences fall into tokens first: whole numbers, Latin words, katakana words, frequent hiragana words and
single kanji; kanji edits are widened to words of two, and edits that a crumb of equal text divides become one.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

# Full-width ASCII, both wave dashes and both minus signs; half-width katakana is left alone, it has no business here.
_WIDTHS: Final = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x301C: ord("~"), 0x2212: ord("-")}
_SPACES: Final = re.compile(r"\s+")

_DIGITS: Final = "0-9０-９"
_LATIN: Final = "A-Za-zＡ-Ｚａ-ｚ"
# The longest first: the first that fits is taken.
HIRAGANA_WORDS: Final = (
    "ことができません|ことができます|ことがあります|ものとします|こととします|ことができる|いただきます|ものとする|こととする|ありません"
    "|できません|されません|みなします|いたします|ていません|いただく|ください|おります|あります|できます|できない|なります|しません|しました"
    "|されます|ています|において|における|について|に関する|できる|します|しない|される|された|みなす|ている|ません|ました|でした|により"
    "|による|として|までに|または|および|ただし|この|その|なる|する|した|して|ます|です|ない|まで|から|ため|とき|こと|もの|など|なお|ほか"
)
_TOKEN: Final = re.compile(
    rf"(?:[{_DIGITS}]+(?:[.,:．，：][{_DIGITS}]+)*"
    rf"|[{_LATIN}]+(?:['’._-][{_LATIN}]+)*"
    r"|[ァ-ヺー]+"
    rf"|{HIRAGANA_WORDS}"
    r"|\S)\s*|\s+"
)
_KANJI: Final = re.compile(r"[\u3400-\u9fff\uf900-\ufaff々〇]+")
# Together with the two kanji before it, such a one makes the word; such a beginning stands before the word.
_ENDINGS: Final = "者所的性等法書会権用料中後前内外化型式度率量額数名側間日"
_BEGINNINGS: Final = "本当各全同再未新旧毎約第満"
_CLOSERS: Final = "、。，．,.）)」』】"
_CRUMB: Final = 3
_TOO_LITTLE: Final = 0.3
_MOST_PAIRS: Final = 400_000
"""So many pairs of equal tokens: real sentences have some thousands; from here on difflib takes seconds or minutes."""


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of text that changed as a whole, or did not."""

    text: str
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class _Edit:
    """Tokens `[old_from, old_to)` became `[new_from, new_to)`."""

    old_from: int
    old_to: int
    new_from: int
    new_to: int


def folded(text: str) -> str:
    """Return what counts as the wording: without white space, full-width ASCII as ASCII.

    Two texts that fold to the same say the same: their difference is the width of a digit or where a line was broken.
    """
    return _SPACES.sub("", text).translate(_WIDTHS)


def whole(text: str, *, is_changed: bool) -> tuple[Run, ...]:
    """Return `text` as one run; none when it is empty."""
    return (Run(text, is_changed),) if text else ()


def underline(old: str, new: str) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """Return the runs of both texts; joined, they are the texts again, white space and widths as they were.

    Texts that differ only in white space or width have no changed run. Where hardly anything is left of the old
    sentence both are changed as a whole: a few equal syllables would only look like sense.
    """
    if folded(old) == folded(new):
        return whole(old, is_changed=False), whole(new, is_changed=False)
    olds, news = _TOKEN.findall(old), _TOKEN.findall(new)
    edits = _edits(olds, news)
    edits = _merged(_merged([_widened(_slid(edit, olds, news), olds, news) for edit in edits], olds, news), olds, news)
    if _share_left(edits, olds, news) < _TOO_LITTLE:
        edits = [_Edit(0, len(olds), 0, len(news))]
    return (
        _runs(olds, [(edit.old_from, edit.old_to) for edit in edits]),
        _runs(news, [(edit.new_from, edit.new_to) for edit in edits]),
    )


def _edits(olds: list[str], news: list[str]) -> list[_Edit]:
    before, after = list(map(folded, olds)), list(map(folded, news))
    counts = Counter(after)
    if sum(counts[token] * count for token, count in Counter(before).items()) > _MOST_PAIRS:
        return [_middle(before, after)]
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    return [_Edit(*span) for tag, *span in matcher.get_opcodes() if tag != "equal"]


def _middle(olds: list[str], news: list[str]) -> _Edit:
    """Return all that stands between the equal beginning and the equal end as one edit."""
    shorter = min(len(olds), len(news))
    start = next((at for at in range(shorter) if olds[at] != news[at]), shorter)
    end = next((at for at in range(shorter - start) if olds[-1 - at] != news[-1 - at]), shorter - start)
    return _Edit(start, len(olds) - end, start, len(news) - end)


def _slid(edit: _Edit, olds: list[str], news: list[str]) -> _Edit:
    """Return an insertion or deletion that says the same and ends, or begins, where a reader pauses.

    `A、B` to `A、C、B` is as well `、C` as `C、` put in: the second is what somebody wrote.
    """
    if edit.old_from != edit.old_to and edit.new_from != edit.new_to:
        return edit
    tokens, start, end = (
        (news, edit.new_from, edit.new_to) if edit.old_from == edit.old_to else (olds, edit.old_from, edit.old_to)
    )
    first, last = start, end
    while first and folded(tokens[first - 1]) == folded(tokens[last - 1]):
        first, last = first - 1, last - 1
    best, value = first, _pause(tokens, first, last)
    while last < len(tokens) and folded(tokens[first]) == folded(tokens[last]):
        first, last = first + 1, last + 1
        if (here := _pause(tokens, first, last)) > value:
            best, value = first, here
    shift = best - start
    return _Edit(edit.old_from + shift, edit.old_to + shift, edit.new_from + shift, edit.new_to + shift)


def _pause(tokens: list[str], start: int, end: int) -> int:
    begins = start == 0 or tokens[start - 1].strip() in _CLOSERS
    ends = end == len(tokens) or tokens[end - 1].strip() in _CLOSERS
    return 2 * begins + ends - (tokens[start].strip() in _CLOSERS)


def _widened(edit: _Edit, olds: list[str], news: list[str]) -> _Edit:
    """Return the edit with the rest of the kanji words that it cuts: `禁` to `停` before `止` is `禁止` to `停止`."""
    if edit.old_from == edit.old_to or edit.new_from == edit.new_to:
        return _split_word(edit, olds, news)
    before = min(_cut_before(olds, edit.old_from), _cut_before(news, edit.new_from))
    after = min(_cut_after(olds, edit.old_to), _cut_after(news, edit.new_to))
    return _Edit(edit.old_from - before, edit.old_to + after, edit.new_from - before, edit.new_to + after)


def _split_word(edit: _Edit, olds: list[str], news: list[str]) -> _Edit:
    """Return an insertion or deletion with the word that it breaks open: `前日` to `前々日`, not only `々`."""
    tokens, at = (olds, edit.old_from) if edit.old_from == edit.old_to else (news, edit.new_from)
    before, after = _cut_before(tokens, at), _cut_after(tokens, at)
    return _Edit(edit.old_from - before, edit.old_to + after, edit.new_from - before, edit.new_to + after)


def _cut_before(tokens: list[str], at: int) -> int:
    start, offset = _word_around(tokens, at)
    return at - start if offset else 0


def _cut_after(tokens: list[str], at: int) -> int:
    start, offset = _word_around(tokens, at)
    if not offset:
        return 0
    end = start + 1
    while end < len(tokens) and _word_around(tokens, end)[1]:
        end += 1
    return end - at


def _word_around(tokens: list[str], at: int) -> tuple[int, int]:
    """Return where the kanji word begins that goes through the place before token `at`, and how far in that place is.

    The second is 0 when a word begins there, or when no kanji stand on both sides.
    """
    if not 0 < at < len(tokens) or not (_is_kanji(tokens[at - 1]) and _is_kanji(tokens[at])):
        return at, 0
    first = at
    while first and _is_kanji(tokens[first - 1]):
        first -= 1
    last = at
    while last < len(tokens) and _is_kanji(tokens[last]):
        last += 1
    begin = first
    for length in _word_lengths("".join(tokens[first:last])):
        if begin + length > at:
            return begin, at - begin
        begin += length
    return at, 0


def _word_lengths(run: str) -> list[int]:
    """Return a guess at the words of a run of kanji: twos, with the usual endings and beginnings. No dictionary."""
    lengths, at = [], 0
    if len(run) % 2 and len(run) > 1 and run[0] in _BEGINNINGS:
        lengths, at = [1], 1
    while at < len(run):
        left = len(run) - at
        takes_ending = left >= 3 and run[at + 2] in _ENDINGS and left % 2
        size = 3 if left == 3 or takes_ending else min(2, left)
        lengths.append(size)
        at += size
    return lengths


def _is_kanji(token: str) -> bool:
    # A token with a space behind it ends its word.
    return _KANJI.fullmatch(token) is not None


def _merged(edits: list[_Edit], olds: list[str], news: list[str]) -> list[_Edit]:
    kept: list[_Edit] = []
    for edit in edits:
        if kept and (edit.new_from <= kept[-1].new_to or _is_crumb(kept[-1], edit, olds, news)):
            last = kept.pop()
            kept.append(
                _Edit(last.old_from, max(last.old_to, edit.old_to), last.new_from, max(last.new_to, edit.new_to))
            )
        else:
            kept.append(edit)
    return kept


def _is_crumb(left: _Edit, right: _Edit, olds: list[str], news: list[str]) -> bool:
    """Tell whether what stands equal between two edits is too little to be read by itself."""
    between = folded("".join(news[left.new_to : right.new_from]))
    if len(between) > _CRUMB or (_is_number(left, olds, news) and _is_number(right, olds, news)):
        return False
    return len(between) <= min(_size(left, olds, news), _size(right, olds, news))


def _is_number(edit: _Edit, olds: list[str], news: list[str]) -> bool:
    sides = olds[edit.old_from : edit.old_to], news[edit.new_from : edit.new_to]
    return all(len(side) == 1 and side[0][0].isdecimal() for side in sides)


def _size(edit: _Edit, olds: list[str], news: list[str]) -> int:
    return max(len("".join(olds[edit.old_from : edit.old_to])), len("".join(news[edit.new_from : edit.new_to])))


def _share_left(edits: list[_Edit], olds: list[str], news: list[str]) -> float:
    """Return which share of the longer text is still there; short texts are not asked: one word is half of them."""
    longer, spans = max(
        (olds, [(edit.old_from, edit.old_to) for edit in edits]),
        (news, [(edit.new_from, edit.new_to) for edit in edits]),
        key=lambda side: len("".join(side[0])),
    )
    length = len("".join(longer))
    if length < 12:
        return 1.0
    return 1 - sum(len("".join(longer[start:end])) for start, end in spans) / length


def _runs(tokens: list[str], spans: list[tuple[int, int]]) -> tuple[Run, ...]:
    runs: list[Run] = []
    at = 0
    for start, end in spans:
        runs += whole("".join(tokens[at:start]), is_changed=False)
        changed = "".join(tokens[start:end])
        # The space behind the last changed word is not underlined.
        runs += whole(changed.rstrip(), is_changed=True)
        at = end
        if gap := changed[len(changed.rstrip()) :]:
            runs.append(Run(gap))
    runs += whole("".join(tokens[at:]), is_changed=False)
    return _joined(runs)


def _joined(runs: list[Run]) -> tuple[Run, ...]:
    kept: list[Run] = []
    for run in runs:
        if kept and kept[-1].is_changed == run.is_changed:
            kept[-1] = Run(kept[-1].text + run.text, run.is_changed)
        else:
            kept.append(run)
    return tuple(kept)
