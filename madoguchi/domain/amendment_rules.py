"""When an amendment of the terms may be announced or withdrawn, and what its approval is bound to. Pure.

A rule answers with one polite sentence for the clerk, or with None: it may. Nothing here reads a clock or a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from madoguchi.domain.amendment import AmendmentGround, AmendmentStatus
from madoguchi.domain.office import JST, TermsPolicy
from madoguchi.domain.terms_publication import SiteContentError, checked_code
from madoguchi.domain.terms_structure import Part, Terms
from madoguchi.domain.terms_table import Comparison, RowKind
from madoguchi.domain.wording import long_date, long_time, plain_line

REASON_LIMIT: Final = 1000
SUMMARY_LIMIT: Final = 500
CODE_LIMIT: Final = 40
CHANGED_SINCE: Final = (
    "確認画面を出した後に、ファイルか今の規約、または入力が変わりました。"
    "何も公表していません。もう一度実行してください。"
)
_NAMED: Final = 8
_BESIDE: Final = frozenset({"前文", "附則"})
_SLACK: Final = timedelta(minutes=1)
"""Publishing, queueing and the first connection take a while too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What somebody wants to announce. `reason`, `summary` and `short_notice_reason` are public words, one line each.

    `old_sha256`, `new_sha256`: of the canonical texts. `effective_at` is aware.
    """

    code: str
    old_code: str
    old_sha256: str
    new_sha256: str
    ground: AmendmentGround
    reason: str
    summary: str
    effective_at: datetime
    short_notice_reason: str | None = None

    def digest(self) -> str:
        """Return what an approval, and a later run that goes on with it, are bound to: every word that is announced."""
        values = {
            "code": self.code,
            "old": [self.old_code, self.old_sha256],
            "new": self.new_sha256,
            "ground": self.ground.value,
            "words": [self.reason, self.summary, self.short_notice_reason],
            "effective_at": self.effective_at.astimezone(JST).isoformat(),
        }
        return hashlib.sha256(json.dumps(values, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownVersion:
    """A version of the service's terms in the record, as far as the rules look at it."""

    code: str
    sha256: str
    effective_at: datetime
    withdrawn: bool = False


def effective_at_of(day: date) -> datetime:
    """Return the instant at which a version takes effect on `day`: 00:00 Asia/Tokyo."""
    return datetime.combine(day, time(), JST)


def public_words(text: str | None) -> str:
    """Return words for the public as one harmless line; empty for none."""
    return plain_line(" ".join((text or "").split()), limit=10_000)


def why_not_worded(reason: str, summary: str, short_notice_reason: str) -> str | None:
    """Return why the public words of an amendment or a withdrawal cannot be used. Takes what `public_words` returns."""
    if not reason:
        return "reason（変更する理由）が空です。どなたが読んでも分かる理由を書いてください。"
    for name, words, limit in (
        ("reason（変更する理由）", reason, REASON_LIMIT),
        ("summary（変更の要点）", summary, SUMMARY_LIMIT),
        ("short_notice_reason（周知の期間が短い理由）", short_notice_reason, SUMMARY_LIMIT),
    ):
        if len(words) > limit:
            return f"{name}が長すぎます（{len(words)}文字）。{limit}文字以内で書いてください。"
    return None


def why_not_coded(code: str) -> str | None:
    """Return why `code` cannot name a version: it becomes part of a public address."""
    remedy = f"英数字と「-」「_」だけの{CODE_LIMIT}文字以内（例: 2026-10-01）にしてください。"
    try:
        checked_code("version", code)
    except SiteContentError:
        return f"code（版の番号）に使えない文字があります。{remedy}"
    return f"code（版の番号）が長すぎます。{remedy}" if len(code) > CODE_LIMIT else None


def why_not_timed(effective_at: datetime, at: datetime) -> str | None:
    """Return why an amendment cannot take effect then; `at`: now, in business time (Art. 13, Civil Code 548-4(3))."""
    if effective_at > at:
        return None
    return (
        f"effective_date（{long_date(effective_at.astimezone(JST).date())}）は、もう始まっています。"
        "規約の変更は、効力が生じる前に公表しなければなりません。明日以降の日を入れてください。"
    )


def why_not_new(code: str, new_sha256: str, effective_at: datetime, known: Sequence[KnownVersion]) -> str | None:
    """Return why these words, or this code, cannot become a version beside those in the record."""
    for version in known:
        if version.code.casefold() == code.casefold():
            how = "取り下げた版" if version.withdrawn else "公表済みの版"
            return f"{version.code} という版がすでにあります（{how}）。code（版の番号）に別の番号を入れてください。"
    for version in known:
        if version.sha256 == new_sha256 and not version.withdrawn:
            return f"同じ文の版（{version.code}）が、すでに公表されています。ファイルを確かめてください。"
    for version in known:
        if version.effective_at >= effective_at and not version.withdrawn:
            return (
                f"{_day(version.effective_at)}から効力を生じる版（{version.code}）が、すでに公表されています。"
                "それより後の日を入れるか、先にその版を取り下げてください（withdraw-amendment）。"
            )
    return None


def why_not_after(unpublished: Sequence[str]) -> str | None:
    """Return why nothing can be announced yet: what it would change was approved, and may never hold.

    `unpublished`: codes of approved amendments that are not public.
    """
    if not unpublished:
        return None
    return (
        f"{'、'.join(unpublished)} の変更が、承認されたまま公表されていません。"
        "その変更を同じ内容でもう一度実行して公表するか、取り下げてから（withdraw-amendment）、行ってください。"
    )


def base_version(known: Sequence[KnownVersion], effective_at: datetime) -> KnownVersion | None:
    """Return the version that will be in force just before `effective_at`: announced ones count, withdrawn do not."""
    earlier = [version for version in known if not version.withdrawn and version.effective_at < effective_at]
    return max(earlier, key=lambda version: (version.effective_at, version.code), default=None)


def why_not_changed(old: Terms, new: Terms, comparison: Comparison) -> str | None:
    """Return why there is nothing to announce: the words are the same but for line breaks, blanks and the closing."""
    if _words(old) != _words(new) and not comparison.is_unchanged:
        return None
    return "新しい規約の文は、今の規約と同じです（改行や空白、日付だけの違いは変更になりません）。"


def why_not_cited(problems: Sequence[str]) -> str | None:
    """Return why a text with these problems of its citations cannot be announced; each is a sentence of ours."""
    if not problems:
        return None
    named = "　".join(f"({number}) {problem}" for number, problem in enumerate(problems[:_NAMED], start=1))
    more = f"　ほか{len(problems) - _NAMED}件" if len(problems) > _NAMED else ""
    return f"条項の引用に、直すところが{len(problems)}件あります。{named}{more}"


def is_short_notice(effective_at: datetime, at: datetime, policy: TermsPolicy) -> bool:
    """Tell whether fewer days lie between publishing at `at` and the effect than the office wants (Japan's days)."""
    return _days_between(at, effective_at) < policy.minimum_notice


def why_not_early_enough(
    effective_at: datetime, at: datetime, policy: TermsPolicy, short_notice_reason: str | None
) -> str | None:
    """Return why the notice is too short. A reason allows it, but never one after the effect."""
    if short_notice_reason or not is_short_notice(effective_at, at, policy):
        return None
    return (
        f"公表から効力発生まで{_days_between(at, effective_at)}日しかありません（この所の決まりは"
        f"{policy.minimum_notice}日以上）。effective_date を遅らせるか、short_notice_reason（周知の期間が短い理由）を"
        "書いてください。"
    )


def approve_by(effective_at: datetime, policy: TermsPolicy) -> date:
    """Return the last day (Japan) on which publishing still leaves the office's minimum notice."""
    return effective_at.astimezone(JST).date() - timedelta(days=policy.minimum_notice)


def mailing_time(by_lane: Mapping[str, int], policy: TermsPolicy) -> timedelta:
    """Return how long the mails take at the office's rates: lanes run beside each other, the slowest one counts."""
    seconds = max(
        (count / rate_of(lane, policy) for lane, count in by_lane.items() if count),
        default=0.0,
    )
    return timedelta(seconds=seconds)


def rate_of(lane: str, policy: TermsPolicy) -> float:
    """Return the mails a second that the office allows for a lane."""
    return policy.per_second.get(lane, policy.other_per_second)


def why_not_in_time(effective_at: datetime, at: datetime, mailing: timedelta) -> str | None:
    """Return why the notices cannot all leave before the effect."""
    if at + mailing + _SLACK <= effective_at:
        return None
    return (
        f"お知らせを全員に送るのに約{duration_ja(mailing)}かかり、{_day(effective_at)}の効力発生に間に合いません。"
        "effective_date を遅らせてください。"
    )


def warnings_about(old: Terms, new: Terms, effective_at: datetime) -> tuple[str, ...]:
    """Return what a person should look at before approving, about the closing. None of it forbids anything."""
    said = []
    if new.closed_on is None:
        said.append("新しい文の末尾の日付が読み取れません。")
    elif new.closed_on == old.closed_on:
        said.append(f"新しい文の末尾の日付が、前の版と同じ（{long_date(new.closed_on)}）です。")
    elif old.closed_on is not None and new.closed_on < old.closed_on:
        said.append(f"新しい文の末尾の日付（{long_date(new.closed_on)}）が、前の版より前です。")
    if new.closed_on is not None and new.closed_on > effective_at.astimezone(JST).date():
        said.append(f"新しい文の末尾の日付（{long_date(new.closed_on)}）が、効力が生じる日より後です。")
    if not new.signatory:
        said.append("新しい文の末尾に、定めた人の職名がありません。")
    elif new.signatory != old.signatory:
        said.append(f"末尾の職名が、前の版（{old.signatory or 'なし'}）から変わっています: {new.signatory}")
    return tuple(said)


def default_summary(changed: Sequence[str]) -> str:
    """Return what changes in one line, from the labels of changed articles: `第５条、第６条の変更`."""
    if not changed:
        return "利用規約の変更"
    named = "、".join(label.replace(" ", "").replace("　", "") for label in changed[:_NAMED])
    return f"{named}{'など' if len(changed) > _NAMED else ''}の変更"


def changed_labels(comparison: Comparison) -> tuple[str, ...]:
    """Return what differs in wording: labels of changed and new articles, then what is gone, and parts beside articles.

    What only moved, or got another number, is no change of wording and is left out.
    """
    changed = [article.label for article in comparison.changed_articles]
    gone = [
        group.name
        for group in comparison.groups
        if group.rows and all(row.kind is RowKind.REMOVED for row in group.rows)
    ]
    # The title and the closing change with every version; nobody's rights do.
    beside = [group.name for group in comparison.groups if not group.is_omitted and group.name in _BESIDE]
    return tuple(dict.fromkeys([*changed, *(f"{name}（削る）" for name in gone), *beside]))


def why_not_withdrawn(
    status: AmendmentStatus, effective_at: datetime, at: datetime, later: Sequence[str]
) -> str | None:
    """Return why an amendment cannot be taken back; `later`: codes of standing versions that build on it."""
    if status == AmendmentStatus.WITHDRAWN:
        return "この変更は、すでに取り下げられています。"
    if effective_at <= at:
        return (
            f"この変更は{_day(effective_at)}に効力を生じたため、取り下げられません。"
            "元に戻すときは、新しい変更として公表してください（announce-amendment）。"
        )
    if later:
        return f"この変更の後に公表した版（{'、'.join(later)}）があります。先にそちらを取り下げてください。"
    return None


def duration_ja(span: timedelta) -> str:
    """Return a duration in words, rounded up to minutes: `2時間5分`, `1分`."""
    minutes = max(1, -(-int(span.total_seconds()) // 60))
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}時間" if hours else "") + (f"{minutes}分" if minutes or not hours else "")


def _days_between(at: datetime, effective_at: datetime) -> int:
    return (effective_at.astimezone(JST).date() - at.astimezone(JST).date()).days


def _day(moment: datetime) -> str:
    local = moment.astimezone(JST)
    return long_date(local.date()) + ("" if local.time() == time() else long_time(local))


def _words(terms: Terms) -> tuple[object, ...]:
    return (
        _squeezed(terms.title),
        tuple(map(_squeezed, terms.preamble)),
        tuple((_squeezed(a.label), _squeezed(a.caption), tuple(map(_part, a.parts))) for a in terms.articles),
        tuple(map(_squeezed, terms.supplement)),
    )


def _part(part: Part) -> object:
    return (part.kind, _squeezed(part.label), _squeezed(part.text), tuple(map(_part, part.parts)))


def _squeezed(text: str) -> str:
    # Where a line was broken in the source, blanks may be there or not.
    return "".join(text.split())
