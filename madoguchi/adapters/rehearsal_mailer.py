"""A relay that is none: what a rehearsal would send is taken and dropped, no connection is ever opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from madoguchi.adapters.smtp import Mailer, MailSession, envelope

_ACCEPTED = "250"


class RehearsalMailer(Mailer):
    """Takes every mail that an envelope can carry. Keeps nothing: the rehearsal's record says what was sent."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1", 1, "", "", "none")

    @contextmanager
    def session(self) -> Iterator[MailSession]:
        """Give a session that is connected to nothing."""
        yield RehearsalSession(self)

    def connect(self) -> NoReturn:
        """Refuse: RuntimeError. Nothing in a rehearsal may reach a relay."""
        raise RuntimeError("a rehearsal connects to no relay")


class RehearsalSession(MailSession):
    """The words of a relay that accepts everything; addresses that no envelope can carry fail as they do in life."""

    def __init__(self, mailer: Mailer) -> None:
        super().__init__(mailer)
        self._next: tuple[str, str] | None = None

    @property
    def is_usable(self) -> bool:
        """True: there is nothing that could break."""
        return True

    def reconnect(self) -> None:
        """Do nothing."""

    def noop(self) -> None:
        """Do nothing."""

    def begin(self, sender: str, recipient: str) -> None:
        """Look at the envelope. ValueError as in life."""
        envelope(sender)
        envelope(recipient)

    def give(self, data: bytes, following: tuple[str, str] | None = None) -> None:
        """Drop the body, remember the next envelope."""
        del data
        if following is not None:
            envelope(following[0])
            envelope(following[1])
        self._next = following

    def answer_to_dot(self) -> str:
        """Accept."""
        return _ACCEPTED

    def begin_following(self) -> None:
        """Accept the envelope that was named."""
        self._next = None

    def abort(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
