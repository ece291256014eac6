"""Can the relay's certificate be verified? Asked once when a live process starts, before any mail is due."""

from __future__ import annotations

import smtplib
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from madoguchi.adapters.smtp_errors import MailConfigError


def require_verified_relay(
    host: str, port: int, security: Literal["tls", "starttls"], ca_file: Path | None, *, timeout: float = 5.0
) -> None:
    """Shake hands with the relay and go, without logging in.

    Raises MailConfigError when it shows a certificate that does not verify, or no TLS where TLS is set. Returns also
    when the relay does not answer: that is no reason to refuse applications, mails are tried again later.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError:
        raise MailConfigError("SMTP_CA_FILE") from None
    try:
        if security == "tls":
            with smtplib.SMTP_SSL(host, port, timeout=timeout, context=context):
                return
        with smtplib.SMTP(host, port, timeout=timeout) as relay:
            relay.starttls(context=context)
    except ssl.SSLCertVerificationError:
        raise MailConfigError("SMTP_TLS_UNVERIFIED") from None
    except smtplib.SMTPNotSupportedError:
        raise MailConfigError("SMTP_NO_STARTTLS") from None
    except ssl.SSLError as error:
        if error.reason == "WRONG_VERSION_NUMBER":
            raise MailConfigError("SMTP_TLS_FAILED") from None
    except (OSError, smtplib.SMTPException, EOFError):
        return


def certificate_until(
    host: str, port: int, security: Literal["tls", "starttls"], ca_file: Path | None, *, timeout: float = 5.0
) -> datetime | None:
    """Return when the relay's certificate ends (aware, UTC); None when it cannot be asked or shows one that is bad.

    A bad certificate is said by every mail that cannot leave; here only its age is of interest.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        if security == "tls":
            with smtplib.SMTP_SSL(host, port, timeout=timeout, context=context) as relay:
                return _until(relay)
        with smtplib.SMTP(host, port, timeout=timeout) as relay:
            relay.starttls(context=context)
            return _until(relay)
    except (OSError, smtplib.SMTPException, EOFError):
        return None


def _until(relay: smtplib.SMTP) -> datetime | None:
    shown = relay.sock.getpeercert() if isinstance(relay.sock, ssl.SSLSocket) else None
    ends = (shown or {}).get("notAfter")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC) if isinstance(ends, str) else None
