"""Can the relay's certificate be verified? Asked once when a live process starts, before any mail is due."""

from __future__ import annotations

import smtplib
import ssl
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
