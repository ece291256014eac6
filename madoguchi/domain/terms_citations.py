"""Citations inside the terms: found, followed to what they mean, and checked before anybody publishes. Pure.

`check_citations` and `citations_left_behind` are reasons not to publish; `citation_notes` only advises.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from types import MappingProxyType
from typing import Final

from madoguchi.domain.terms_addresses import Address, TermsMap
from madoguchi.domain.terms_citation_finding import Cited, Step, cited_in
from madoguchi.domain.terms_following import Followed, follow
from madoguchi.domain.terms_identity import Identity
from madoguchi.domain.terms_structure import Terms

_SHOWN: Final = 24

_DRIFTED: Final[Mapping[tuple[str, tuple[int, ...]], str]] = MappingProxyType(
    {
        # Since 2022-10-01 Art. 5-4 is about how vacancies are shown; personal data moved one article on.
        ("職業安定法", (5, 4)): "令和４年１０月１日の改正で、個人情報の取扱いは職業安定法第５条の５に移りました。",
    }
)


@dataclass(frozen=True, slots=True)
class Citation:
    """A citation where it stands. `place` and `targets` as clerks say them (`第８条(2)`); `law`: of another text.

    `addresses` are the targets for programs. `trouble`: the code of what is wrong with it, empty when it is resolved;
    a citation of another law is never resolved and never wrong.
    """

    place: str
    cited: str
    law: str
    targets: tuple[str, ...]
    trouble: str = ""
    stands_at: Address = ()
    addresses: tuple[Address, ...] = ()
    is_group: bool = False


@dataclass(frozen=True, slots=True)
class CitationProblem:
    """Something about a citation that a person has to see. `severity`: "error" stops publishing, "note" does not."""

    place: str
    cited: str
    code: str
    sentence: str
    severity: str = "error"


def find_citations(terms: Terms) -> tuple[Citation, ...]:
    """Return every citation inside the sentences of the terms, from top to bottom, followed to what it means."""
    return tuple(_citations(TermsMap(terms)))


def check_citations(terms: Terms) -> tuple[CitationProblem, ...]:
    """Return the citations that lead nowhere: NO_SUCH_ARTICLE, NO_SUCH_PART, DELETED_ARTICLE, NO_ANTECEDENT.

    Laws that the terms cite are not looked up.
    """
    return tuple(
        CitationProblem(one.place, one.cited, one.trouble, f"{one.place}の「{one.cited}」{_TROUBLES[one.trouble]}")
        for one in find_citations(terms)
        if one.trouble
    )


def citation_notes(terms: Terms) -> tuple[CitationProblem, ...]:
    """Return advice about citations of laws that have moved since (LAW_RENUMBERED): candidates for an amendment.

    The terms say what they say; nothing is corrected and nothing is stopped by it.
    """
    notes = []
    for where in TermsMap(terms).texts():
        for cited in cited_in(where.text):
            for step, number, _ in cited.steps[:1]:
                said = _DRIFTED.get((cited.law, number)) if step is Step.ARTICLE else None
                if said:
                    words = f"{cited.law}{cited.words}"
                    sentence = (
                        f"{where.place}の「{words}」: {said}次の改定で直すかどうかを、法令の担当に確かめてください。"
                    )
                    notes.append(CitationProblem(where.place, words, "LAW_RENUMBERED", sentence, "note"))
    return tuple(notes)


def citations_left_behind(old: Terms, new: Terms) -> tuple[CitationProblem, ...]:
    """Return citations that kept their wording while what they meant moved or went away (POINTS_ELSEWHERE).

    A citation counts as kept when the sentence it stands in comes from one of the old text with the same citation. One
    that leads nowhere now is left to `check_citations`; one in a sentence that is new has no past.
    """
    before, after = TermsMap(old), TermsMap(new)
    identity = Identity(before, after)
    former, current = _by_sentence(before), _by_sentence(after)
    problems = []
    for (stands_at, outside), mine in current.items():
        origins = identity.origins(stands_at) if stands_at else ((),)
        theirs = [one for address in origins for one in former.get((address, outside), ())]
        for was, now in _same_wording(theirs, mine):
            if sentence := _left_behind(was, now, before, after, identity):
                problems.append(CitationProblem(now.place, now.cited, "POINTS_ELSEWHERE", sentence))
    return tuple(problems)


_TROUBLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "NO_SUCH_ARTICLE": "に当たる条がありません。引用の番号を直してください。",
        "NO_SUCH_PART": "に当たる項や号がありません。引用の番号を直してください。",
        "DELETED_ARTICLE": "は、削除された条を指しています。引用を直すか、除いてください。",
        "NO_ANTECEDENT": "が、どれを指すのか分かりません。番号で書いてください。",
    }
)


def _citations(terms: TermsMap) -> Iterator[Citation]:
    for where in terms.texts():
        last: Followed | None = None
        for cited in cited_in(where.text):
            if cited.law:
                last = None
                yield Citation(where.place, cited.words, cited.law, (), "", where.address)
                continue
            last = follow(terms, cited, where.address, last)
            targets = tuple(map(terms.place, last.addresses))
            yield Citation(
                where.place, cited.words, "", targets, last.trouble, where.address, last.addresses, _is_group(cited)
            )


def _by_sentence(terms: TermsMap) -> dict[tuple[Address, str], list[Citation]]:
    """Return citations by the part they stand in; outside the articles by what is there (前文, 附則)."""
    found: dict[tuple[Address, str], list[Citation]] = {}
    for citation in _citations(terms):
        found.setdefault((citation.stands_at, "" if citation.stands_at else citation.place), []).append(citation)
    return found


def _is_group(cited: Cited) -> bool:
    return bool(cited.until) or cited.steps[-1][0] in {Step.EACH, Step.EACH_BEFORE}


def _same_wording(olds: list[Citation], news: list[Citation]) -> Iterator[tuple[Citation, Citation]]:
    if len(olds) == len(news):
        # What was renumbered on purpose stays beside what it was.
        yield from ((was, now) for was, now in zip(olds, news, strict=True) if _wording(was) == _wording(now))
        return
    old_words, new_words = ([_wording(one) for one in row] for row in (olds, news))
    for i, j, size in SequenceMatcher(None, old_words, new_words, autojunk=False).get_matching_blocks():
        yield from zip(olds[i : i + size], news[j : j + size], strict=True)


def _wording(citation: Citation) -> str:
    return "".join(citation.cited.split())


def _left_behind(was: Citation, now: Citation, before: TermsMap, after: TermsMap, identity: Identity) -> str:
    """Return what to tell a clerk when a citation no longer means what it meant; empty when it does."""
    if was.law or was.trouble or now.trouble:
        return ""
    for address in was.addresses:
        heirs = identity.heirs(address)
        # Of several that are meant together, one may go away; it must not stand outside of what is meant now.
        if set(heirs) & set(now.addresses) or (was.is_group and not heirs):
            continue
        meant = f"「{before.beginning(address, _SHOWN)}」（改正前の{before.place(address)}）"
        means = f"「{after.beginning(now.addresses[0], _SHOWN)}」（{after.place(now.addresses[0])}）"
        stands = f"{'、'.join(map(after.place, heirs))}に移っています" if heirs else "改正後の規約にありません"
        now_means = "" if was.is_group else f"このままでは{means}を指します。"
        return (
            f"{now.place}の「{now.cited}」は、これまで{meant}を指していました。その内容は{stands}。{now_means}"
            "引用を直してください。"
        )
    return ""
