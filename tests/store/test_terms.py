from datetime import date, timedelta

import pytest

from madoguchi.store.models import TermsVersion
from madoguchi.store.terms import NoTermsInForce, TermsChanged, TermsFacts, register_terms, terms_in_force
from tests.world import jst


def facts(code, effective, sha="a" * 64, document="service"):
    return TermsFacts(document, code, sha, date(2025, 1, 1), jst(effective), "https://example.jp/terms")


VERSIONS = [
    facts("1", "2025-04-01 00:00"),
    facts("2", "2026-09-11 00:00"),
    facts("z", "2025-01-01 00:00", document="zoom"),
]


@pytest.fixture
def record(database):
    with database.write() as session:
        assert register_terms(session, "office", VERSIONS) == 3
        assert register_terms(session, "office", VERSIONS) == 0
    return database


@pytest.mark.parametrize(
    ("at", "code"),
    [
        ("2025-04-01 00:00", "1"), ("2026-09-10 23:59:59", "1"), ("2026-09-11 00:00", "2"), ("2030-01-01 00:00", "2"),
    ],
)  # fmt: skip
def test_the_version_in_force_is_the_newest_that_has_begun(record, at, code):
    with record.read() as session:
        assert terms_in_force(session, "office", "service", jst(at)).code == code


def test_before_the_first_version_and_for_another_office_there_is_none(record):
    with record.read() as session:
        for office, at in (
            ("office", jst("2025-04-01 00:00") - timedelta(seconds=1)),
            ("other", jst("2026-01-01 00:00")),
        ):
            with pytest.raises(NoTermsInForce, match="service"):
                terms_in_force(session, office, "service", at)


def test_a_known_version_with_other_words_is_refused(record):
    with pytest.raises(TermsChanged, match="service 2"), record.write() as session:
        register_terms(session, "office", [facts("2", "2026-09-11 00:00", sha="b" * 64)])
    with record.read() as session:
        assert session.query(TermsVersion).count() == 3
