"""Lanes of mail to everybody: one for each mail domain that the office limits by name, one for all others."""

from __future__ import annotations

from typing import Final

from madoguchi.domain.office import TermsPolicy

OTHER: Final = "other"


def lane_of(address: str, policy: TermsPolicy) -> str:
    """Return the lane of an address: the listed domain that it belongs to, subdomains included, or `other`.

    Of two listed domains that fit, the longer one decides. Capitals make no difference. Never empty: that lane is for
    mail about a session, which waits for no notice.
    """
    domain = address.rpartition("@")[2].lower().rstrip(".")
    while domain:
        if domain in policy.per_second:
            return domain
        domain = domain.partition(".")[2]
    return OTHER
