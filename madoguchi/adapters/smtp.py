"""Mail out: yagmail holds the connection and the login; everything else it does is switched off.

A mail goes out in two visible halves, `begin` (envelope, up to the relay's 354) and `finish` (body and final dot), so
that the caller can commit "may have been given" in between. Nothing is ever sent twice from here.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NoReturn

import yagmail

Security = Literal["tls", "starttls", "none"]

_LINE_DOT = re.compile(rb"^\.", re.MULTILINE)
_CONNECTION_ERRORS = (OSError, smtplib.SMTPServerDisconnected, EOFError)
_NOT_SET_UP = {
    "SMTP_TLS_UNVERIFIED": "the relay's certificate cannot be verified: set MADOGUCHI_SMTP__HOST to the name it is "
    "issued for, and MADOGUCHI_SMTP__CA_FILE if its authority is not the system's",
    "SMTP_NO_STARTTLS": "the relay offers no STARTTLS: set MADOGUCHI_SMTP__SECURITY to tls, or use another port",
    "SMTP_AUTH": "the relay refused the login: check MADOGUCHI_SMTP__USER and MADOGUCHI_SMTP__PASSWORD",
    "SMTP_UNPROTECTED": "an unprotected connection is allowed only towards this machine: use tls or starttls",
    "SMTP_NO_HOST": "no relay is set: MADOGUCHI_SMTP__HOST and MADOGUCHI_SMTP__PORT",
}


class MailError(Exception):
    """Base. `code` is a reason word; `smtp_code` the relay's number, if it gave one. Never an address or its text."""

    def __init__(self, code: str, *, smtp_code: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.smtp_code = smtp_code


class MailRetryable(MailError):  # noqa: N818 — named by what to do next
    """Surely not delivered; try again later."""


class MailRejected(MailError):  # noqa: N818 — named by what to do next
    """The relay will never take this mail: tell the person otherwise."""


class MailUncertain(MailError):  # noqa: N818 — named by what to do next
    """The final dot was given and no answer came: it may have arrived. Never repeat it by itself."""


class MailConfigError(MailError):
    """Ask a person: address, certificate or login of the relay are not in order. `remedy` says what to do."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.remedy = _NOT_SET_UP[code]


class _Connection(yagmail.SMTP):  # type: ignore[misc]  # yagmail ships no types
    """yagmail as a connection with a login. Its own sending is refused: it repeats mails and makes up headers."""

    def send(self, *_arguments: Any, **_more: Any) -> NoReturn:
        """Refuse: messages leave through MailSession only."""
        raise NotImplementedError("use MailSession")

    def __del__(self) -> None:
        # yagmail says QUIT when it is collected, which can block for minutes; MailSession closes.
        return


class Mailer:
    """A relay. Knows how to connect; `session()` gives one connection."""

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
        if security == "none" and not _is_loopback(host):
            raise MailConfigError("SMTP_UNPROTECTED")
        self._host, self._port = host, port
        self._user, self._password = user, password
        self._security, self._ca_file = security, ca_file
        self._timeout = timeout

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
        except ssl.SSLCertVerificationError:
            raise self._failed(holder, MailConfigError("SMTP_TLS_UNVERIFIED")) from None
        except smtplib.SMTPNotSupportedError:
            raise self._failed(holder, MailConfigError("SMTP_NO_STARTTLS")) from None
        except smtplib.SMTPAuthenticationError as error:
            busy = MailRetryable("SMTP_AUTH_BUSY", smtp_code=error.smtp_code)
            raise self._failed(holder, MailConfigError("SMTP_AUTH") if error.smtp_code >= 500 else busy) from None
        except smtplib.SMTPResponseException as error:
            refused = MailRetryable(f"SMTP_{error.smtp_code}", smtp_code=error.smtp_code)
            raise self._failed(holder, refused) from None
        except (*_CONNECTION_ERRORS, smtplib.SMTPException):
            raise self._failed(holder, MailRetryable("SMTP_CONNECT")) from None
        smtp: smtplib.SMTP = holder.smtp
        smtp.ehlo_or_helo_if_needed()
        return smtp

    def _holder(self) -> _Connection:
        context = ssl.create_default_context(cafile=str(self._ca_file) if self._ca_file else None)
        more = {"context": context} if self._security == "tls" else {}
        holder = _Connection(
            # Never None: yagmail would look for a file in the home directory, a keyring, then ask the terminal.
            user=self._user or "nobody",
            password=self._password or "-",
            host=self._host,
            port=self._port,
            smtp_ssl=self._security == "tls",
            # A dictionary, or yagmail verifies nothing.
            smtp_starttls={"context": context} if self._security == "starttls" else False,
            smtp_skip_login=not self._user,
            soft_email_validation=False,
            timeout=self._timeout,
            **more,
        )
        # yagmail turns a user without @ into one of gmail.com.
        holder.user = self._user
        return holder

    @staticmethod
    def _failed(holder: _Connection, error: MailError) -> MailError:
        if holder.smtp is not None:
            holder.smtp.close()
        return error


class MailSession:
    """One connection to the relay, used for one mail after another."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer
        self._smtp: smtplib.SMTP | None = None
        self._pipelining = False
        self._following: list[bytes] | None = None
        self._is_ahead = False

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
        except (*_CONNECTION_ERRORS, smtplib.SMTPException):
            self._drop()
            raise MailRetryable("SMTP_CONNECT") from None

    def begin(self, sender: str, recipient: str) -> None:
        """Hand over an envelope, up to the relay's 354.

        Raises MailRetryable or MailRejected; the connection then stays usable unless the relay closed it.
        """
        commands = _envelope_commands(sender, recipient)
        if self._pipelining:
            self._write(self._open(), b"".join(commands))
        self._read_envelope(commands)

    def finish(self, data: bytes, following: tuple[str, str] | None = None) -> str:
        """Give the body and the final dot and return the relay's answer.

        `following` (sender, recipient): where the relay allows pipelining, the next envelope leaves in the same write,
        and `begin_following` takes its answers; otherwise that one hands it over by itself.
        MailUncertain: no answer came after the dot. MailRetryable or MailRejected: it said no.
        """
        smtp = self._open()
        self._following = _envelope_commands(*following) if following else None
        self._is_ahead = bool(self._following and self._pipelining)
        ahead = b"".join(self._following) if self._is_ahead and self._following else b""
        try:
            smtp.sock.sendall(_stuffed(data) + ahead)  # type: ignore[union-attr]  # connected, or _open had raised
        except _CONNECTION_ERRORS:
            self._drop()
            # The kernel may have handed over the dot before it failed.
            raise MailUncertain("SMTP_DROPPED_AT_DOT") from None
        code = self._answer(smtp, "SMTP_NO_ANSWER_AFTER_DOT", MailUncertain)
        if code == 421:
            self._drop()
            raise MailRetryable("SMTP_421", smtp_code=421)
        if code != 250:
            raise _refusal(code)
        return str(code)

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
                first = first or _refusal(code)
                if not self._pipelining:
                    break
            elif command == b"DATA\r\n" and first is not None:
                # The relay wants a body although it refused the recipient: an empty one ends this mail.
                self._write(smtp, b".\r\n")
                self._answer(smtp, "SMTP_DROPPED_BEFORE_DOT", MailRetryable)
        if first is not None:
            self._reset(smtp)
            raise first

    def abort(self) -> None:
        """Leave a mail that was begun: only dropping the connection keeps the relay from taking it."""
        self._drop()

    def close(self) -> None:
        """Say goodbye and close."""
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            with contextlib.suppress(*_CONNECTION_ERRORS, smtplib.SMTPException):
                smtp.quit()
            smtp.close()

    def _open(self) -> smtplib.SMTP:
        if self._smtp is None:
            raise MailRetryable("SMTP_NOT_CONNECTED")
        return self._smtp

    def _drop(self) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            smtp.close()

    def _write(self, smtp: smtplib.SMTP, data: bytes) -> None:
        try:
            smtp.sock.sendall(data)  # type: ignore[union-attr]  # connected, or _open had raised
        except _CONNECTION_ERRORS:
            self._drop()
            raise MailRetryable("SMTP_DROPPED_BEFORE_DOT") from None

    def _answer(self, smtp: smtplib.SMTP, lost: str, kind: type[MailError]) -> int:
        try:
            code, _text = smtp.getreply()
        except (*_CONNECTION_ERRORS, smtplib.SMTPException):
            self._drop()
            raise kind(lost) from None
        if code == -1:
            self._drop()
            raise kind(lost)
        return code

    def _reset(self, smtp: smtplib.SMTP) -> None:
        self._write(smtp, b"RSET\r\n")
        self._answer(smtp, "SMTP_DROPPED_BEFORE_DOT", MailRetryable)


def _envelope_commands(sender: str, recipient: str) -> list[bytes]:
    mail, rcpt = f"MAIL FROM:<{envelope(sender)}>\r\n", f"RCPT TO:<{envelope(recipient)}>\r\n"
    return [mail.encode("ascii"), rcpt.encode("ascii"), b"DATA\r\n"]


def _refusal(code: int) -> MailError:
    return (MailRejected if 500 <= code < 600 else MailRetryable)(f"SMTP_{code}", smtp_code=code)


def _stuffed(data: bytes) -> bytes:
    """Return a body as SMTP carries it: dots at line beginnings doubled, the final dot after it."""
    if data.startswith(b".") or b"\n." in data:
        data = _LINE_DOT.sub(b"..", data)
    return data + (b".\r\n" if data.endswith(b"\r\n") else b"\r\n.\r\n")


def envelope(address: str) -> str:
    """Return an address as the envelope needs it: the local part quoted where it breaks the rules.

    ValueError for control characters, blanks, angle brackets, or anything but ASCII: never a second command.
    """
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain or not address.isascii() or any(c <= " " or c in '<>"\\\x7f' for c in address):
        raise ValueError("an address that no envelope can carry")
    plain = ".." not in local and not local.startswith(".") and not local.endswith(".") and "@" not in local
    return address if plain else f'"{local}"@{domain}'


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
