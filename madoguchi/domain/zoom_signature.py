"""How Zoom signs what it sends: one computation, used by who checks it and by the stand-in that plays Zoom. Pure.

Source of the scheme: Zoom's own webhook samples; what is refused and why is `adapters/zoom_webhook.py`'s matter.
"""

from __future__ import annotations

import hashlib
import hmac

SIGNATURE_HEADER = "x-zm-signature"
TIMESTAMP_HEADER = "x-zm-request-timestamp"
VALIDATION_EVENT = "endpoint.url_validation"

_VERSION = "v0"


def signature(secret: str, timestamp: str, raw: bytes) -> str:
    """Return the signature of a body as it came or will go over the wire. `timestamp`: the header's text, as it is.

    `raw` is never parsed and written again: Zoom writes compact JSON with Japanese left as it is, and any other
    spelling of the same object has another signature.
    """
    signed = f"{_VERSION}:{timestamp}:".encode() + raw
    return f"{_VERSION}={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def encrypted_token(secret: str, plain_token: str) -> str:
    """Return what proves to Zoom that the endpoint knows the secret (its address check, every 72 hours)."""
    return hmac.new(secret.encode(), plain_token.encode(), hashlib.sha256).hexdigest()
