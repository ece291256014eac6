"""Mail out: yagmail holds the connection and the login; everything else it does is switched off.

A mail goes out in two visible halves, `begin` (envelope, up to the relay's 354) and `finish` (body and final dot), so
that the caller can commit "may have been given" in between. Nothing is ever sent twice from here.
"""

from __future__ import annotations

import contextlib
import logging
import re
import select
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NoReturn

import yagmail

from madoguchi.adapters.smtp_errors import MailConfigError, MailError, MailRejected, MailRetryable, MailUncertain
from madoguchi.domain.this_machine import is_loopback

__all__ = ["MailConfigError", "MailError", "MailRejected", "MailRetryable", "MailSession", "MailUncertain", "Mailer"]

Security = Literal["tls", "starttls", "none"]

_WRONG_LOGIN = frozenset({530, 534, 535, 538})
_DOT_PATIENCE = 10
_LONGEST_ANSWER = 8192
_LINE_FEED = 0x0A
_NOT_IN_ENVELOPES = re.compile(r'[\x00-\x20<>"\\\x7f]')
_LINE_DOT = re.compile(rb"^\.", re.MULTILINE)
# All of smtplib's errors are OSErrors too.
_CONNECTION_ERRORS = (OSError, EOFError)


_SILENT = logging.getLogger("madoguchi.adapters.smtp.yagmail")
_SILENT.setLevel(logging.CRITICAL + 1)


class _Connection(yagmail.SMTP):  # type: ignore[misc]  # yagmail ships no types
    """yagmail as a connection with a login. Its own sending is refused: it repeats mails and makes up headers."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # yagmail puts a handler of its own on its logger and tells it users and recipients.
        self.log = _SILENT

    def send(self, *_arguments: Any, **_more: Any) -> NoReturn:
        """Refuse: messages leave through MailSession only."""
        raise NotImplementedError("use MailSession")

    prepare_send = _attempt_send = send_unsent = feedback = send

    @staticmethod
    def handle_password(user: str, password: str | None) -> str:
        """Return the password given; yagmail would ask a keyring, and then the terminal, for a missing one."""
        del user
        if not password:
            raise MailConfigError("SMTP_NO_PASSWORD")
        return password

    def __del__(self) -> None:
        # yagmail says QUIT when it is collected, which can block for minutes; MailSession closes.
        return


class Mailer:
    """A relay. Knows how to connect; `session()` gives one connection.

    `security` none only towards this machine. `timeout`: seconds for every answer; the one to the final dot may take
    ten times that (RFC 5321, 4.5.3.2.6), for whoever gives up there does not know whether the mail went out.
    Raises MailConfigError at once where the settings cannot be meant.
    """

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        password: str,
        security: Security,
        ca_file: Path | None = None,
        *,
        timeout: float = 30.0,
    ) -> None:
        if not host or not port:
            raise MailConfigError("SMTP_NO_HOST")
        if security == "none" and not is_loopback(host):
            raise MailConfigError("SMTP_UNPROTECTED")
        if user and not password:
            raise MailConfigError("SMTP_NO_PASSWORD")
        if not user and not is_loopback(host):
            raise MailConfigError("SMTP_NO_USER")
        self._host, self._port = host, port
        self._user, self._password = user, password
        self._security, self._ca_file = security, ca_file
        self.timeout = timeout

    @contextmanager
    def session(self) -> Iterator[MailSession]:
        """Give one connection, logged in; closed at the end. MailConfigError or MailRetryable if there is none."""
        opened = MailSession(self)
        opened.reconnect()
        try:
            yield opened
        finally:
            opened.close()

    def probe(self) -> None:
        """Connect, verify, log in, say NOOP and go: for `madoguchi check`."""
        with self.session() as relay:
            relay.noop()

    def connect(self) -> smtplib.SMTP:
        """Return a connection that is verified and logged in."""
        holder = self._holder()
        try:
            holder.login()
            smtp: smtplib.SMTP = holder.smtp
            smtp.ehlo_or_helo_if_needed()
            # Two small writes in a row would wait for the relay's delayed acknowledgement.
            smtp.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # type: ignore[union-attr]  # connected
        except _CONNECTION_ERRORS as error:
            lacks_tls = self._security == "starttls" and not isinstance(
                getattr(holder.smtp, "sock", None), ssl.SSLSocket
            )
            if holder.smtp is not None:
                holder.smtp.close()
            raise _connecting_failed(error, lacks_tls=lacks_tls) from None
        return smtp

    def _holder(self) -> _Connection:
        context = self._verifying() if self._security != "none" else None
        more = {"context": context} if self._security == "tls" else {}
        holder = _Connection(
            # Never None: yagmail would take the user from a file in the home directory.
            user=self._user or "nobody",
            password=self._password,
            host=self._host,
            port=self._port,
            smtp_ssl=self._security == "tls",
            # A dictionary, or yagmail verifies nothing.
            smtp_starttls={"context": context} if self._security == "starttls" else False,
            smtp_skip_login=not self._user,
            soft_email_validation=False,
            timeout=self.timeout,
            **more,
        )
        # yagmail turns a user without @ into one of gmail.com.
        holder.user = self._user
        return holder

    def _verifying(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=str(self._ca_file) if self._ca_file else None)
        except OSError:
            raise MailConfigError("SMTP_CA_FILE") from None


class MailSession:
    """One connection to the relay, used for one mail after another."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer
        self._smtp: smtplib.SMTP | None = None
        self._pipelining = False
        self._following: list[bytes] | None = None
        self._is_ahead = False
        self._is_begun = False

    @property
    def is_usable(self) -> bool:
        """Tell whether the connection is believed to be alive."""
        return self._smtp is not None

    def reconnect(self) -> None:
        """Open a new connection; MailConfigError or MailRetryable when there is none to be had."""
        self.close()
        self._smtp = self._mailer.connect()
        self._pipelining = self._smtp.has_extn("pipelining")

    def noop(self) -> None:
        """Ask whether the relay is there."""
        try:
            self._open().noop()
        except _CONNECTION_ERRORS:
            self._drop()
            raise MailRetryable("SMTP_CONNECT") from None

    def begin(self, sender: str, recipient: str) -> None:
        """Hand over an envelope, up to the relay's 354.

        Raises MailRetryable or MailRejected, or MailConfigError when it is our sender that is refused; the connection
        then stays usable unless the relay closed it.
        """
        commands = _envelope_commands(sender, recipient)
        if self._pipelining:
            self._write(self._open(), b"".join(commands))
        self._read_envelope(commands)

    def finish(self, data: bytes, following: tuple[str, str] | None = None) -> str:
        """Give the body and the final dot and return the relay's answer: `give` and `answer_to_dot` in one."""
        self.give(data, following)
        return self.answer_to_dot()

    def give(self, data: bytes, following: tuple[str, str] | None = None) -> None:
        """Hand over the body and the final dot without waiting for the answer, which `answer_to_dot` takes.

        `following` (sender, recipient): where the relay allows pipelining, the next envelope leaves in the same write,
        and `begin_following` takes its answers; otherwise that one hands it over by itself.
        MailRetryable: the dot stayed here. MailUncertain: perhaps it did not.
        """
        smtp = self._open()
        self._is_begun = False
        self._following = _envelope_commands(*following) if following else None
        self._is_ahead = bool(self._following and self._pipelining)
        ahead = b"".join(self._following) if self._is_ahead and self._following else b""
        self._give(smtp.sock, _stuffed(data), ahead)

    def answer_to_dot(self) -> str:
        """Return the relay's answer to the body that was given.

        MailUncertain: none came, or one that says nothing. MailRetryable or MailRejected: it said no.
        """
        smtp = self._open()
        smtp.sock.settimeout(self._mailer.timeout * _DOT_PATIENCE)  # type: ignore[union-attr]  # connected
        code = self._answer(smtp, "SMTP_NO_ANSWER_AFTER_DOT", MailUncertain)
        smtp.sock.settimeout(self._mailer.timeout)  # type: ignore[union-attr]  # connected
        if 200 <= code < 300:
            return str(code)
        if code == 421 or not 400 <= code < 600:
            self._drop()
        if 400 <= code < 600:
            raise _refusal(code)
        raise MailUncertain("SMTP_ODD_ANSWER_AFTER_DOT", smtp_code=code)

    def _give(self, connection: Any, body: bytes, ahead: bytes) -> None:
        """Hand the body to the kernel and know, should that fail, whether the final dot was part of what it took."""
        if _has_news(connection):
            # Closed, or about to be: found out before the body, that is a certain failure and not an uncertain mail.
            self._drop()
            raise MailRetryable("SMTP_DROPPED_BEFORE_DOT")
        # A record of TLS is taken or not as a whole and says less than a count of bytes: the dot gets its own.
        pieces = [body[:-3], body[-3:] + ahead] if isinstance(connection, ssl.SSLSocket) else [body + ahead]
        given = 0
        try:
            for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    is_last = given + len(rest) >= len(body)
                    taken = connection.send(rest)
                    given, rest = given + taken, rest[taken:]
        except _CONNECTION_ERRORS:
            self._drop()
            if given >= len(body) or (is_last and isinstance(connection, ssl.SSLSocket)):
                raise MailUncertain("SMTP_DROPPED_AT_DOT") from None
            raise MailRetryable("SMTP_DROPPED_BEFORE_DOT") from None

    def begin_following(self) -> None:
        """Bring the envelope that `finish` was given up to the relay's 354, as `begin` does."""
        commands, self._following = self._following or [], None
        if not self._is_ahead and self._pipelining:
            self._write(self._open(), b"".join(commands))
        self._read_envelope(commands)

    def _read_envelope(self, commands: list[bytes]) -> None:
        smtp = self._open()
        first: MailError | None = None
        for command in commands:
            if not self._pipelining:
                self._write(smtp, command)
            code = self._answer(smtp, "SMTP_DROPPED_BEFORE_DOT", MailRetryable)
            if code == 421:
                self._drop()
                raise MailRetryable("SMTP_421", smtp_code=421)
            if code not in ({354} if command == b"DATA\r\n" else {250, 251}):
                first = first or _envelope_refusal(command, code)
                if not self._pipelining:
                    break
            elif command == b"DATA\r\n" and first is not None:
                # The relay wants a body although it refused the recipient: an empty one ends this mail.
                self._write(smtp, b".\r\n")
                self._answer(smtp, "SMTP_DROPPED_BEFORE_DOT", MailRetryable)
        if first is not None:
            self._reset(smtp)
            raise first
        self._is_begun = True

    def abort(self) -> None:
        """Leave a mail that was begun: only dropping the connection keeps the relay from taking it."""
        self._drop()

    def close(self) -> None:
        """Say goodbye and close; a mail that was begun is left, and a relay that waits for its body is told nothing."""
        waits_for_body = self._is_begun or (self._is_ahead and self._following is not None)
        smtp, self._smtp = self._smtp, None
        self._is_begun, self._following = False, None
        if smtp is not None and waits_for_body:
            smtp.close()
        elif smtp is not None:
            with contextlib.suppress(*_CONNECTION_ERRORS):
                smtp.quit()
            smtp.close()

    def _open(self) -> smtplib.SMTP:
        if self._smtp is None:
            raise MailRetryable("SMTP_NOT_CONNECTED")
        return self._smtp

    def _drop(self) -> None:
        smtp, self._smtp = self._smtp, None
        self._is_begun, self._following = False, None
        if smtp is not None:
            smtp.close()

    def _write(self, smtp: smtplib.SMTP, data: bytes) -> None:
        try:
            smtp.sock.sendall(data)  # type: ignore[union-attr]  # connected, or _open had raised
        except _CONNECTION_ERRORS:
            self._drop()
            raise MailRetryable("SMTP_DROPPED_BEFORE_DOT") from None

    def _answer(self, smtp: smtplib.SMTP, lost: str, kind: type[MailError]) -> int:
        # smtplib's own reading takes four times as long, and keeps the relay's words, which name people.
        try:
            answers = smtp.file = smtp.file or smtp.sock.makefile("rb")  # type: ignore[union-attr]  # connected
            while (line := answers.readline(_LONGEST_ANSWER))[3:4] == b"-":
                pass
            if line.endswith(b"\n") and line[:3].isdigit():
                return int(line[:3])
        except _CONNECTION_ERRORS:
            pass
        self._drop()
        raise kind(lost)

    def _reset(self, smtp: smtplib.SMTP) -> None:
        self._write(smtp, b"RSET\r\n")
        if self._answer(smtp, "SMTP_DROPPED_BEFORE_DOT", MailRetryable) != 250:
            self._drop()


def _envelope_commands(sender: str, recipient: str) -> list[bytes]:
    mail, rcpt = f"MAIL FROM:<{envelope(sender)}>\r\n", f"RCPT TO:<{envelope(recipient)}>\r\n"
    return [mail.encode("ascii"), rcpt.encode("ascii"), b"DATA\r\n"]


def _connecting_failed(error: Exception, *, lacks_tls: bool) -> MailError:
    match error:
        case ssl.SSLCertVerificationError():
            return MailConfigError("SMTP_TLS_UNVERIFIED")
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER"):
            return MailConfigError("SMTP_TLS_FAILED")
        case smtplib.SMTPNotSupportedError():
            return MailConfigError("SMTP_NO_STARTTLS" if lacks_tls else "SMTP_NO_AUTH")
        case smtplib.SMTPAuthenticationError(smtp_code=code):
            is_busy = code < 500
            kind, word = (MailRetryable, "SMTP_AUTH_BUSY") if is_busy else (MailConfigError, "SMTP_AUTH")
            return kind(word, smtp_code=code)
        case smtplib.SMTPResponseException(smtp_code=code):
            return MailRetryable(f"SMTP_{code}", smtp_code=code)
    # smtplib's own words for a relay none of whose ways to log in it knows have no class of their own.
    return MailConfigError("SMTP_NO_AUTH") if type(error) is smtplib.SMTPException else MailRetryable("SMTP_CONNECT")


def _refusal(code: int) -> MailError:
    return (MailRejected if 500 <= code < 600 else MailRetryable)(f"SMTP_{code}", smtp_code=code)


def _envelope_refusal(command: bytes, code: int) -> MailError:
    # A refused sender says nothing about the recipient: all that waits would fail by it.
    if code in _WRONG_LOGIN or (code >= 500 and command.startswith(b"MAIL ")):
        return MailConfigError("SMTP_SENDER_REFUSED", smtp_code=code)
    return _refusal(code)


def _has_news(connection: Any) -> bool:
    """Tell whether the relay closed or said something unasked; a TLS record that holds no data is neither."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    if not poll.poll(0):
        return False
    if not isinstance(connection, ssl.SSLSocket):
        return True
    patience = connection.gettimeout()
    connection.settimeout(0)
    try:
        connection.recv(1)
    except ssl.SSLWantReadError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(patience)
    return True


def _stuffed(data: bytes) -> bytes:
    """Return a body as SMTP carries it: dots at line beginnings doubled, the final dot after it."""
    if _has_line_dot(data):
        data = _LINE_DOT.sub(b"..", data)
    return data + (b".\r\n" if data.endswith(b"\r\n") else b"\r\n.\r\n")


def _has_line_dot(data: bytes) -> bool:
    """Tell whether a line begins with a dot. Base64 has many lines and no dots: seven times faster than by lines."""
    at = data.find(b".")
    while at > 0 and data[at - 1] != _LINE_FEED:
        at = data.find(b".", at + 1)
    return at >= 0


def envelope(address: str) -> str:
    """Return an address as the envelope needs it: the local part quoted where it breaks the rules.

    ValueError for control characters, blanks, angle brackets, or anything but ASCII: never a second command.
    """
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain or not address.isascii() or _NOT_IN_ENVELOPES.search(address):
        raise ValueError("an address that no envelope can carry")
    plain = ".." not in local and not local.startswith(".") and not local.endswith(".") and "@" not in local
    return address if plain else f'"{local}"@{domain}'
