"""What can go wrong with a relay, sorted by what to do next. Never an address, never the relay's own words."""

from __future__ import annotations

_NOT_SET_UP = {
    "SMTP_TLS_UNVERIFIED": "the relay's certificate cannot be verified: set MADOGUCHI_SMTP__HOST to the name it is "
    "issued for, and MADOGUCHI_SMTP__CA_FILE if its authority is not the system's",
    "SMTP_NO_STARTTLS": "the relay offers no STARTTLS: set MADOGUCHI_SMTP__SECURITY to tls, or use another port",
    "SMTP_TLS_FAILED": "the relay does not speak TLS on this port: check MADOGUCHI_SMTP__PORT and "
    "MADOGUCHI_SMTP__SECURITY (465 goes with tls, 587 with starttls)",
    "SMTP_CA_FILE": "MADOGUCHI_SMTP__CA_FILE cannot be read as certificates in PEM",
    "SMTP_NO_AUTH": "the relay offers no login that this program knows: check MADOGUCHI_SMTP__PORT",
    "SMTP_NO_USER": "a relay on another machine needs a login: set MADOGUCHI_SMTP__USER and MADOGUCHI_SMTP__PASSWORD",
    "SMTP_NO_PASSWORD": "MADOGUCHI_SMTP__USER is set without MADOGUCHI_SMTP__PASSWORD",
    "SMTP_SENDER_REFUSED": "the relay refuses our sender: it must be allowed to send as mail_from of the office file",
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

    def __init__(self, code: str, *, smtp_code: int | None = None) -> None:
        super().__init__(code, smtp_code=smtp_code)
        self.remedy = _NOT_SET_UP[code]
