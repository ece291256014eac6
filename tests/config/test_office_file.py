from datetime import date, time

import pytest

from config.office_file import SANDBOX_TELEPHONE, OfficeFileError, read_office
from config.settings import ROOT

SHIPPED = (ROOT / "config" / "office.toml").read_text(encoding="utf-8")


def read(tmp_path, text, *, sandbox=True):
    path = tmp_path / "office.toml"
    path.write_text(text, encoding="utf-8")
    return read_office(path, sandbox=sandbox)


def changed(old, new):
    assert old in SHIPPED
    return SHIPPED.replace(old, new, 1)


def test_the_shipped_office_is_read_as_written():
    office = read_office(ROOT / "config" / "office.toml", sandbox=True)
    assert office.code == "matsudo-mothers"
    assert office.telephone == SANDBOX_TELEPHONE
    assert {day: (h.opens, h.closes) for day, h in office.hours.items()} == {
        day: (time(11), time(15)) for day in range(5)
    }
    assert [(c.code, sorted(c.weekdays)) for c in office.counsellors] == [
        ("counsellor-1", [0, 1, 2, 3, 4]),
        ("counsellor-2", [0, 2, 4]),
    ]
    assert [(h.code, h.user) for h in office.hosts] == [
        ("host-1", "host-1@example.jp"),
        ("host-2", "host-2@example.jp"),
    ]
    assert (office.grid_minutes, office.horizon_days, office.year_guess_days) == (30, 120, 92)
    assert office.holidays_known_until == date(2027, 12, 31)
    assert office.zoom.daily_changes_per_host == 100
    assert office.max_send_attempts == 96
    assert "gmail.com" in office.known_mail_domains


def test_a_number_that_nobody_has_is_for_rehearsals_only(tmp_path):
    assert read(tmp_path, SHIPPED, sandbox=False).telephone == ""
    given = changed('telephone = ""', 'telephone = " 047-111-2222 "')
    assert read(tmp_path, given, sandbox=True).telephone == "047-111-2222"


def test_absences_and_closures_are_days(tmp_path):
    text = changed("closures = []", "closures = [2026-11-02]")
    text = text.replace('days = ["mon", "wed", "fri"]', 'days = ["mon"]\nabsences = [2026-11-09]')
    office = read(tmp_path, text)
    assert office.closures == {date(2026, 11, 2)}
    assert office.counsellors[1].absences == {date(2026, 11, 9)}


def test_what_the_office_decided_about_amendments_is_read(tmp_path):
    terms = read(tmp_path, SHIPPED).terms
    assert (terms.minimum_notice, terms.audience_days, terms.approval_hours) == (14, 365, 72)
    assert (terms.connections, terms.other_per_second) == (2, 10)
    assert (terms.per_second["gmail.com"], terms.per_second["docomo.ne.jp"]) == (20, 5)
    assert read(tmp_path, changed('"gmail.com" = 20', '"GMAIL.com" = 0.5')).terms.per_second["gmail.com"] == 0.5


def test_an_office_file_without_amendments_in_it_still_opens(tmp_path):
    head, _, rest = SHIPPED.partition("[terms] ")
    terms = read(tmp_path, head + rest[rest.index("[retention_days]") :]).terms
    assert (terms.minimum_notice, dict(terms.per_second)) == (14, {})


HOST_2 = '[[hosts]]\ncode = "host-2"\nuser = "host-2@example.jp"\n'
MISTAKES = [
    # old, new, where the error points, a word of the remedy
    ("minimum_notice_days = 14", "minimum_notice_days = -1", "terms.minimum_notice_days", "greater than or equal to 0"),
    ("approval_hours = 72", "approval_hours = 0", "terms.approval_hours", "1"),
    ("connections = 2", "connections = 17", "terms.connections", "16"),
    ("audience_days = 365", 'audience_days = "all"', "terms.audience_days", "integer"),
    ("other_per_second = 10", "other_per_second = 0", "terms.other_per_second", "greater than 0"),
    ("minimum_notice_days", "minimum_notice", "terms.minimum_notice", ""),
    ('"gmail.com" = 20', '"gmail.com" = 0', "terms.per_second.gmail.com", "greater than 0"),
    ('"gmail.com" = 20', "gmail.com = 20", "terms.per_second", '"gmail.com" = 5'),
    ('"gmail.com" = 20', '"me@gmail.com" = 20', "terms.per_second", "behind the @"),
    ('"gmail.com" = 20', '"DOCOMO.ne.jp" = 20', "terms.per_second", "twice"),
    ('code = "matsudo-mothers"', 'code = "Matsudo Mothers"', "code", "pattern"),
    ('code = "matsudo-mothers"\n', "", "code", "required"),
    ('name = "ハローワーク松戸 マザーズコーナー"', 'name = ""', "name", "at least 1"),
    ("telephone_hours = ", "telephone_times = ", "telephone_", ""),
    ("https://example.jp/madoguchi/apply", "http://example.jp/apply", "form_url", "https"),
    ("https://example.jp/madoguchi/terms", "example.jp/terms", "terms_url", "https"),
    ('mail_from = "madoguchi@example.jp"', 'mail_from = "madoguchi"', "mail_from", "@"),
    ('mail_domain = "madoguchi.example.jp"', 'mail_domain = "localhost"', "mail_domain", "pattern"),
    ('mail_domain = "madoguchi.example.jp"', 'mail_domain = "a..jp"', "mail_domain", "pattern"),
    ("grid_minutes = 30", "grid_minutes = 15", "grid_minutes", "30"),
    ("grid_minutes = 30", "grid_minutes = 40", "grid_minutes", "multiple of 15"),
    ("grid_minutes = 30", 'grid_minutes = "half"', "grid_minutes", "integer"),
    ("horizon_days = 120", "horizon_days = 0", "horizon_days", "1"),
    ("year_guess_days = 92", "year_guess_days = 365", "year_guess_days", "364"),
    ("holidays_known_until = 2027-12-31", 'holidays_known_until = "soon"', "holidays_known_until", "date"),
    ("closures = []", 'closures = ["2. November"]', "closures.0", "date"),
    ('mon = "11:00-15:00"', 'mon = "11-15"', "hours", "11:00-15:00"),
    ('mon = "11:00-15:00"', 'mon = "15:00-11:00"', "hours", "opens at or after it closes"),
    ('mon = "11:00-15:00"', 'mon = "11:10-15:00"', "hours", "quarter"),
    ('mon = "11:00-15:00"', 'monday = "11:00-15:00"', "hours.monday", "'mon'"),
    ('opens = "08:30"', 'opens = "half past eight"', "reception", "11:00"),
    ('opens = "08:30"', 'opens = "18:30"', "reception", "opens at or after it closes"),
    ('days = ["mon", "wed", "fri"]', 'days = ["mo"]', "counsellors.1.days.0", "'mon'"),
    ('code = "counsellor-2"', 'code = "counsellor-1"', "the file", "share a code"),
    ('code = "host-2"', 'code = "host-1"', "the file", "share a code"),
    ('user = "host-2@example.jp"', 'user = "HOST-1@example.jp"', "the file", "share a code or user"),
    ('user = "host-2@example.jp"', 'user = ""', "hosts.1.user", "at least 1"),
    ("create_per_second = 20", "create_per_second = 0", "zoom.create_per_second", "greater than 0"),
    ("daily_changes_per_host = 100", "daily_changes_per_host = 0", "zoom.daily_changes_per_host", "greater than 0"),
    ("concurrency = 8", "concurrency = 65", "zoom.concurrency", "64"),
    ("max_attempts = 96", "max_attempts = 0", "messages.max_attempts", "1"),
    ("alternatives_offered = 3", "alternatives_offered = 10", "messages.alternatives_offered", "9"),
    ('day_before = "15:00"', 'day_before = "3 pm"', "reminders.day_before", "pattern"),
    ("hour_before_minutes = 60", "hour_before_minutes = 1", "reminders.hour_before_minutes", "5"),
    ("request = 400", 'request = "ever"', "retention_days.request", "integer"),
    ("request = 400", "request = 364", "retention_days.request", "greater than or equal to 365"),
    ("webhook = 400", "webhook = 29", "retention_days.webhook", "greater than or equal to 30"),
    ("bounce = 400", "audit = 1100", "retention_days", "take the line out"),
    ("audience_days = 365", "audience_days = 500", "retention_days.request", "terms.audience_days (500)"),
    ("counts_for_days = 365", "counts_for_days = 500", "retention_days.booking", "standing.counts_for_days (500)"),
    ("grid_minutes = 30", "grid_minutes = 30\nsurprise = 1", "surprise", "not permitted"),
    ("grid_minutes = 30", "grid_minutes = ", "not readable as TOML", "line"),
]


@pytest.mark.parametrize(("old", "new", "place", "remedy"), MISTAKES)
def test_every_mistake_is_named_with_file_key_and_remedy(tmp_path, old, new, place, remedy):
    with pytest.raises(OfficeFileError) as caught:
        read(tmp_path, changed(old, new))
    text = str(caught.value)
    assert "office.toml: " in text
    assert place in text
    assert remedy in text
    assert caught.value.__cause__ is None


def test_an_office_needs_somebody_and_a_licence(tmp_path):
    head = SHIPPED[: SHIPPED.index("[[counsellors]]")]
    with pytest.raises(OfficeFileError, match="counsellors"):
        read(tmp_path, head)
    with pytest.raises(OfficeFileError, match="hosts"):
        read(tmp_path, head + '[[counsellors]]\ncode = "c"\ndays = ["mon"]\n')


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path):
    with pytest.raises(OfficeFileError, match="MADOGUCHI_OFFICE_FILE"):
        read_office(tmp_path / "none.toml", sandbox=True)
    (tmp_path / "office.toml").write_bytes("name = 'ハロー'".encode("cp932"))
    with pytest.raises(OfficeFileError, match="not readable"):
        read_office(tmp_path / "office.toml", sandbox=True)
    with pytest.raises(OfficeFileError, match="cannot be read"):
        read_office(tmp_path, sandbox=True)
