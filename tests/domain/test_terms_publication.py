"""States of versions, addresses, and what cannot be published."""

from dataclasses import replace
from datetime import datetime

import pytest

from madoguchi.domain.terms_publication import (
    SiteContentError,
    VersionState,
    amendment_url,
    day_of,
    feed_url,
    last_day_before,
    version_url,
)
from tests.terms_site_help import BASE, sample_content
from tests.world import jst


@pytest.fixture(scope="module")
def content():
    return sample_content()


@pytest.mark.parametrize(
    ("as_of", "states"),
    [
        ("2025-03-31 23:59", "future future withdrawn future"),
        ("2025-04-01 00:00", "in_force future withdrawn future"),
        ("2026-03-31 23:59", "in_force future withdrawn future"),
        ("2026-04-01 00:00", "past in_force withdrawn future"),
        ("2026-09-20 00:00", "past in_force withdrawn future"),
        ("2026-10-01 00:00", "past past withdrawn in_force"),
    ],
)
def test_a_version_is_in_force_from_its_instant_until_the_next_and_never_when_withdrawn(content, as_of, states):
    at = replace(content, as_of=jst(as_of))
    assert [at.state(version) for version in at.versions] == [VersionState(word) for word in states.split()]
    in_force = [version for version in at.versions if at.state(version) is VersionState.IN_FORCE]
    assert in_force == ([at.in_force()] if at.in_force() else [])


def test_a_version_ends_where_the_next_that_stands_begins(content):
    ends = [content.ends_at(version) for version in content.versions]
    assert ends == [jst("2026-04-01 00:00"), jst("2026-10-01 00:00"), jst("2026-10-01 00:00"), None]


def test_the_last_update_is_what_has_happened_and_not_what_will(content):
    assert content.updated_at() == jst("2026-09-01 10:00")
    assert replace(content, as_of=jst("2026-10-02 00:00")).updated_at() == jst("2026-10-01 00:00")
    assert replace(content, as_of=jst("2025-01-01 00:00")).updated_at() is None


@pytest.mark.parametrize("base", [BASE, f"{BASE}/"])
def test_addresses_are_made_of_the_base_and_the_code(base):
    assert version_url(base, "2026-10-01") == f"{BASE}/versions/2026-10-01/"
    assert amendment_url(base, "2026-10-01") == f"{BASE}/amendments/2026-10-01/"
    assert feed_url(base) == f"{BASE}/feed.atom"


ODD = ["", "..", "a/b", "a\\b", ".x", "a..b", "a.", "版", "a b", "a\n", "%2e", "x" * 65, "-a"]


@pytest.mark.parametrize("code", ODD)
def test_a_code_that_is_no_part_of_an_address_is_refused(content, code):
    with pytest.raises(SiteContentError, match="a code is part of an address"):
        version_url(BASE, code)
    with pytest.raises(SiteContentError, match="a code is part of an address"):
        replace(content, versions=(*content.versions, replace(content.versions[0], code=code)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: replace(c, base_url="javascript:alert(1)"), "base_url"),
        (lambda c: replace(c, base_url="https://example.jp/?x=1"), "base_url"),
        (lambda c: replace(c, as_of=datetime(2026, 1, 1)), "as_of: has no zone"),  # noqa: DTZ001 — that is the point
        (lambda c: replace(c, versions=c.versions[1:]), "version 2025-04-01 is not among the versions"),
        (lambda c: replace(c, versions=(*c.versions, c.versions[0])), "stands twice"),
        (lambda c: replace(c, amendments=c.amendments * 2), "stands twice"),
        (
            lambda c: replace(c, versions=(*c.versions, replace(c.versions[0], code="z", source_url="javascript:x"))),
            "version z: source_url",
        ),
        (
            lambda c: replace(c, amendments=(replace(c.amendments[2], withdrawn_at=c.as_of),)),
            "2026-10-01: it and its version must be withdrawn together",
        ),
    ],
)
def test_content_that_cannot_be_published_is_refused_with_the_place(content, change, says):
    with pytest.raises(SiteContentError, match=says):
        change(content)


def test_days_are_told_in_both_eras_with_a_time_only_where_there_is_one():
    assert day_of(jst("2026-10-01 00:00")) == "令和8年（2026年）10月1日（木曜日）"
    assert day_of(jst("2026-10-01 13:30")) == "令和8年（2026年）10月1日（木曜日）　午後1時30分"
    assert last_day_before(jst("2026-10-01 00:00")) == "令和8年（2026年）9月30日（水曜日）"
    assert last_day_before(jst("2026-10-01 12:00")).endswith("10月1日（木曜日）　午後0時00分（12時00分）")
