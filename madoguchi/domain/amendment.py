"""An amendment of the terms (Art. 13, Civil Code 548-4): its ground, its states, who has to be told of what.

Values and tables only; the checks stand in `amendment_rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, Self

from madoguchi.domain.session_mails import AsJson, require_aware


class AmendmentGround(StrEnum):
    """Why terms may be changed without everybody's consent; the values stand in the record."""

    BENEFIT = "ART_13_1"
    """Art. 13(1): it fits the general interest of the users."""
    REASONABLE = "ART_13_2"
    """Art. 13(2): not against the purpose, and reasonable. Without notice before its effect it has none (548-4(3))."""


GROUND_WORDS: Final[Mapping[AmendmentGround, str]] = {
    AmendmentGround.BENEFIT: "13(1)",
    AmendmentGround.REASONABLE: "13(2)",
}
"""What the parameter `ground` says: a contract."""


class AmendmentStatus(StrEnum):
    """Where an approved amendment stands. One that nobody approved is not in the record."""

    APPROVED = "approved"
    """A person typed yes; nothing is public yet."""
    PUBLISHED = "published"
    """The public site shows it; its messages are being queued."""
    ANNOUNCED = "announced"
    """Everybody who has to be told has a row in `notice`, and a message where there is an address."""
    WITHDRAWN = "withdrawn"
    """Taken back before its effect, with a notice of its own."""


AMENDMENT_ARROWS: Final[Mapping[AmendmentStatus, frozenset[AmendmentStatus]]] = {
    AmendmentStatus.APPROVED: frozenset({AmendmentStatus.PUBLISHED, AmendmentStatus.WITHDRAWN}),
    AmendmentStatus.PUBLISHED: frozenset({AmendmentStatus.ANNOUNCED, AmendmentStatus.WITHDRAWN}),
    AmendmentStatus.ANNOUNCED: frozenset({AmendmentStatus.WITHDRAWN}),
    AmendmentStatus.WITHDRAWN: frozenset(),
}


class NoticePurpose(StrEnum):
    """What a person is told about an amendment."""

    ANNOUNCED = "announced"
    WITHDRAWN = "withdrawn"


class NoticeRoute(StrEnum):
    """How a person can be told."""

    MAIL = "mail"
    OTHER = "other"
    """By telephone or letter: there is no address, or none that works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeContent(AsJson):
    """What every mail about one amendment has in common; kept once, with the amendment.

    `summary`: what changes, in the office's words. `changed_text`: the changed articles in full as they will read.
    `comparison_text`: old and new side by side as text. `announced_at`: when the amendment was made public, for a
    withdrawal. `reason`: why the terms change, or why the amendment is withdrawn. Instants are aware.
    """

    code: str
    old_code: str
    ground: str
    summary: str
    reason: str
    effective_at: datetime
    enacted_on: date | None
    full_text_url: str
    comparison_url: str
    changed_text: str = ""
    comparison_text: str = ""
    announced_at: datetime | None = None

    def __post_init__(self) -> None:
        require_aware("effective_at", self.effective_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendedContext:
    """What one person is told of an amendment. `to_json` keeps only what is this person's; the rest is kept once."""

    recipient_name: str = field(repr=False)
    content: NoticeContent
    reference: str | None = None
    revision: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return what the message's row keeps: not the content."""
        return {"recipient_name": self.recipient_name}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the context; `values` holds what `to_json` wrote, and the NoticeContent under `content`."""
        content = values["content"]
        if not isinstance(content, NoticeContent):
            raise TypeError("content: needs the NoticeContent of the amendment")
        return cls(recipient_name=str(values["recipient_name"]), content=content)


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawnContext(AmendedContext):
    """What one person is told of the withdrawal of an amendment."""
