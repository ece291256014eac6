from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import update

from madoguchi.store.models import Amendment, Consent, TermsText, TermsVersion
from madoguchi.store.terms import (
    NoTermsInForce,
    TermsChanged,
    TermsFacts,
    TermsUnfit,
    find_version,
    governing,
    never_announced,
    register_terms,
    terms_in_force,
    terms_since,
    text_of,
    versions_of,
)
from tests.world import AS_OF, World, jst


def facts(code, effective, sha="a" * 64, document="service", **more):
    return TermsFacts(document, code, sha, date(2025, 1, 1), jst(effective), "https://example.jp/terms", **more)


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
    with pytest.raises(TermsChanged, match=r"terms show 2 --text.*announce-amendment"), record.write() as session:
        register_terms(session, "office", [facts("2", "2026-09-11 00:00", sha="b" * 64)])


def version(record, code, office="office"):
    with record.read() as session:
        return find_version(session, office, code)


def amend(record, code, *, office="office", first="1", **values):
    """Let version `code` be one that an amendment brought."""
    new, old = version(record, code, office), version(record, first, office)
    with record.write() as session:
        row = {
            "office": office, "code": code, "old_id": old.id, "new_id": new.id, "ground": "ART_13_1", "summary": "s",
            "reason": "r", "effective_at": new.effective_at, "short_notice_reason": None, "digest": "d",
            "status": "approved", "approved_by": "staff:x", "approved_at": AS_OF, "published_at": None,
            "announced_at": None, "withdrawn_at": None, "withdrawn_by": None, "withdrawal_reason": None, "content": {},
            "withdrawal_content": {},
        }  # fmt: skip
        session.add(Amendment(**row | values))


def withdraw(record, code):
    with record.write() as session:
        session.execute(update(TermsVersion).where(TermsVersion.code == code).values(withdrawn_at=AS_OF))


LATE = jst("2027-01-01 00:00")


def test_what_was_withdrawn_is_never_in_force_and_the_one_before_goes_on(record):
    withdraw(record, "2")
    with record.read() as session:
        assert terms_in_force(session, "office", "service", LATE).code == "1"
        assert governing(session, "office", LATE).code == "1"
        assert [each.code for each in versions_of(session, "office", "service")] == ["1"]
        assert find_version(session, "office", "2").withdrawn_at is not None


def test_a_first_version_that_was_withdrawn_says_nothing_about_since_when_there_are_terms(record):
    with record.read() as session:
        assert terms_since(session, "office") == jst("2025-04-01 00:00")
    withdraw(record, "1")
    with record.read() as session:
        assert terms_since(session, "office") == jst("2026-09-11 00:00")
        assert governing(session, "office", jst("2026-01-01 00:00")) is None


def test_what_was_approved_but_never_made_public_never_comes_into_force(record):
    amend(record, "2")
    with record.read() as session:
        assert governing(session, "office", LATE).code == "1"
    with record.write() as session:
        session.execute(update(Amendment).values(published_at=AS_OF))
    with record.read() as session:
        assert governing(session, "office", LATE).code == "2"


def test_a_session_is_governed_by_the_version_of_its_own_day(record):
    with record.read() as session:
        starts = ("2026-09-10 23:59", "2026-09-11 00:00", "2024-01-01 00:00")
        found = [governing(session, "office", jst(start)) for start in starts]
    assert [each.code if each else None for each in found] == ["1", "2", None]


def test_versions_are_numbered_in_the_order_in_which_they_take_effect(database):
    with database.write() as session:
        register_terms(session, "office", [facts("c", "2026-05-01 00:00"), facts("a", "2025-05-01 00:00")])
        register_terms(session, "office", [facts("b", "2025-08-01 00:00"), facts("z", "2025-05-01 00:00", "f", "zoom")])
    numbers = {code: version(database, code).number for code in ("a", "c", "b")}
    # A number that was given stays, whatever comes between later.
    assert numbers == {"a": 1, "c": 2, "b": 3}
    with database.read() as session:
        assert find_version(session, "office", "z", "zoom").number == 1


def test_words_are_kept_once_and_found_again(database):
    words = {"text": "第１条\n", "signatory": "所長"}
    with database.write() as session:
        register_terms(session, "office", [facts("1", "2025-04-01 00:00", **words)], recorded_at=AS_OF)
        register_terms(session, "other", [facts("9", "2025-04-01 00:00", **words)])
        register_terms(session, "office", [facts("z", "2025-04-01 00:00", sha="f" * 64, document="zoom")])
        assert session.query(TermsText).count() == 1
    with database.read() as session:
        found = find_version(session, "office", "1")
        assert (text_of(session, found), found.signatory) == ("第１条\n", "所長")
        assert text_of(session, find_version(session, "office", "z", "zoom")) is None


def test_a_record_from_before_the_words_is_filled_in_at_the_next_start(record):
    with record.write() as session:
        session.execute(update(TermsVersion).values(number=None))
        whole = [facts("1", "2025-04-01 00:00", text="一\n"), VERSIONS[1], VERSIONS[2]]
        assert register_terms(session, "office", whole) == 0
    assert [version(record, code).number for code in ("1", "2")] == [1, 2]
    with record.read() as session:
        assert text_of(session, find_version(session, "office", "1")) == "一\n"


def test_a_file_that_is_known_by_its_former_hash_is_the_same_file(record):
    with record.write() as session:
        marked = facts("2", "2026-09-11 00:00", sha="b" * 64, former_sha256="a" * 64, text="二\n")
        assert register_terms(session, "office", [marked]) == 0
    with record.read() as session:
        found = find_version(session, "office", "2")
        assert (found.sha256, text_of(session, found)) == ("a" * 64, "二\n")


def test_an_announced_version_may_lie_in_the_folder_too_but_only_with_the_same_words(record):
    amend(record, "2", published_at=AS_OF, status="announced")
    with record.write() as session:
        assert register_terms(session, "office", VERSIONS) == 0
    with pytest.raises(TermsChanged, match="service 2"), record.write() as session:
        register_terms(session, "office", [facts("2", "2026-09-11 00:00", sha="c" * 64)])


def agree(database, code):
    """Somebody applies under a version of the shipped office's service terms."""
    world = World(database)
    office = world.office.code
    facts_ = [facts("2", "2026-09-11 00:00"), facts("3", "2027-04-01 00:00", sha="b" * 64)]
    request = world.request(world.ask("2026-09-24 11:00"))
    with database.write() as session:
        register_terms(session, office, facts_)
        terms_id = find_version(session, office, code).id
        session.add(
            Consent(
                office=office, request_id=request.id, document="service", terms_id=terms_id, basis="b", channel="form",
                consented_at=AS_OF, recorded_at=AS_OF,
            )
        )  # fmt: skip
    return office


def test_what_a_first_installation_brings_of_earlier_years_needed_no_announcement_here(record):
    with record.read() as session:
        assert never_announced(session, "office") == []


@pytest.mark.parametrize(("agreed", "named"), [("2025-04-01", ["2", "3"]), ("2", ["3"]), ("3", [])])
def test_versions_that_nobody_announced_are_named_once_somebody_agreed_to_an_earlier_one(database, agreed, named):
    office = agree(database, agreed)
    with database.read() as session:
        assert [each.code for each in never_announced(session, office)] == named
        assert never_announced(session, "another") == []


def test_a_version_that_was_announced_or_withdrawn_is_not_named(database):
    office = agree(database, "2025-04-01")
    withdraw(database, "3")
    amend(database, "2", office=office, first="2025-04-01", published_at=AS_OF)
    with database.read() as session:
        assert never_announced(session, office) == []


@pytest.mark.parametrize("code", ["令和7年版", "a/b", "..", "", "x" * 65])
def test_a_new_code_that_cannot_be_part_of_an_address_is_refused_before_anybody_agrees_to_it(database, code):
    with pytest.raises(TermsUnfit, match="code is part of an address"), database.write() as session:
        register_terms(session, "office", [facts(code, "2025-04-01 00:00")])


@pytest.mark.parametrize("url", ["terms.pdf", "ftp://example.jp/t", "https://", "https://example.jp/規約"])
def test_a_new_version_whose_document_has_no_web_address_is_refused(database, url):
    with (
        pytest.raises(TermsUnfit, match=r"service 1: url .* such as https://example.jp/terms/1"),
        database.write() as session,
    ):
        register_terms(session, "office", [replace(facts("1", "2025-04-01 00:00"), url=url)])


def test_an_address_that_was_recorded_wrong_is_corrected_by_the_folder(record):
    with record.write() as session:
        session.execute(update(TermsVersion).where(TermsVersion.code == "2").values(url="terms.pdf"))
        register_terms(session, "office", [replace(VERSIONS[0], url="https://example.jp/other"), VERSIONS[1]])
    assert version(record, "2").url == version(record, "1").url == "https://example.jp/terms"


def test_an_unfit_version_that_is_recorded_already_still_lets_everything_start(record):
    with record.write() as session:
        session.execute(update(TermsVersion).where(TermsVersion.code == "2").values(code="第2版"))
        assert register_terms(session, "office", [facts("第2版", "2026-09-11 00:00")]) == 0
