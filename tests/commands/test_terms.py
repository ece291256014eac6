"""`madoguchi terms`, the lines of `check` about the terms, and what a session shows of them."""

import json
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import update

from config.settings import Settings
from madoguchi import cli
from madoguchi.commands import check, proof, terms
from madoguchi.commands.columns import columns, width
from madoguchi.commands.terms_record import Record
from madoguchi.store.audit import Act
from madoguchi.store.listing import show
from madoguchi.store.models import Consent, Notice, OutboxMessage, TermsVersion
from madoguchi.store.terms import TermsFacts, TermsUnannounced, register_terms
from tasks.day_list import day_list, day_list_markdown
from tests.adapters.test_terms_files import real_terms
from tests.commands.test_commands import KEYS
from tests.tasks.amendment_world import CODE, SAMPLE, TermsWorld, amended
from tests.world import AS_OF, ROOT, jst

FIRST = "2025-04-01"
SAMPLES = ROOT / "config" / "terms-samples"
AMENDED = SAMPLES / "service-2026-12-20.txt"


@pytest.fixture
def world(database, tmp_path):
    return TermsWorld(database, tmp_path)


@pytest.fixture
def ask(world, monkeypatch, capsys):
    """Run a command as the shell would, and return its exit code, its output and its errors."""
    for command in (terms, proof):
        monkeypatch.setattr(command, "build_services", lambda _: world.services)
    monkeypatch.setattr(terms, "open_record", lambda _, now: Record(world.database, world.services.office.code, now))
    monkeypatch.setattr(cli, "load_settings", lambda: Settings(_env_file=None))

    def run(*arguments, as_of=AS_OF):
        dated = () if arguments[0] == "proof" else ("--as-of", as_of.isoformat())
        code = cli.main(["terms", *map(str, arguments), *dated])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def listed(ask, **more):
    return json.loads(ask("list", "--json", **more)[1])


def states(ask, **more):
    return {row["code"]: row["state"] for row in listed(ask, **more)["versions"] if row["document"] == "service"}


# --- list


def test_the_list_tells_how_every_version_stands_at_an_instant(ask, world):
    world.announce()
    assert states(ask) == {FIRST: "in_force", CODE: "announced"}
    assert states(ask, as_of=jst("2026-10-01 00:00")) == {FIRST: "past", CODE: "in_force"}
    world.take_back()
    assert states(ask, as_of=jst("2026-10-01 00:00")) == {FIRST: "in_force", CODE: "withdrawn"}


def test_what_is_approved_but_not_public_is_told_so_even_after_its_day(ask, world):
    world.approve()
    assert states(ask, as_of=jst("2027-10-01 00:00")) == {FIRST: "in_force", CODE: "not_public"}


def test_a_version_names_its_dates_its_number_and_whether_it_was_announced(ask, world):
    world.announce()
    first, second, _ = listed(ask)["versions"]
    assert (first["number"], first["announced_at"], first["never_announced"]) == (1, None, False)
    assert (second["number"], second["announced_at"][:10]) == (2, AS_OF.date().isoformat())
    assert (second["enacted_on"], second["effective_at"]) == ("2026-09-01", "2026-10-01T00:00:00+09:00")
    assert second["signatory"] == "見本の窓口 所長"


def test_a_version_that_only_the_folder_brought_is_never_announced(ask, world):
    session_on(world, "2026-09-30 11:00")
    facts = TermsFacts("service", "quiet", "b" * 64, date(2026, 1, 1), jst("2026-08-01 00:00"), "https://example.jp/t")
    with world.database.write() as session, pytest.raises(TermsUnannounced, match="announce-amendment"):
        register_terms(session, world.services.office.code, [facts])
    with world.database.write() as session:
        register_terms(session, world.services.office.code, [replace(facts, announced_elsewhere=True)])
    code, out, _ = ask("list")
    assert code == 0
    assert "never" in next(line for line in out.splitlines() if line.startswith("quiet"))
    assert "note: quiet was never announced" in out


def test_a_folder_that_tells_other_dates_than_the_record_is_named(ask, world):
    with world.database.write() as session:
        moved = jst("2025-04-02 00:00")
        session.execute(update(TermsVersion).where(TermsVersion.document == "service").values(effective_at=moved))
    [note] = listed(ask)["notes"]
    assert "effective_at is 2025-04-01 in the folder and 2025-04-02 in the record" in note


def test_tables_fit_a_terminal_and_stand_in_columns(ask, world):
    world.announce()
    for arguments in (("list",), ("show",), ("show", CODE)):
        _, out, _ = ask(*arguments)
        assert max(map(width, out.splitlines())) <= 80


def test_wide_characters_take_two_places():
    assert columns([("条", "1"), ("a", "22")], right=frozenset({1})) == ["条   1", "a   22"]
    assert columns([]) == []


# --- show


def test_the_version_in_force_is_shown_unless_another_is_named(ask, world):
    world.announce()
    assert json.loads(ask("show", "--json")[1])["code"] == FIRST
    assert json.loads(ask("show", CODE, "--json")[1])["state"] == "announced"
    assert ask("show")[1].startswith(f"{FIRST}: version 1, in force\n")


def test_the_outline_counts_what_the_articles_are_made_of(ask):
    outline = json.loads(ask("show", "--json")[1])["outline"]
    first, third = outline["articles"][0], outline["articles"][2]
    assert (first["label"], first["caption"], first["paragraphs"], first["items"]) == ("第１条", "利用できる方", 1, 2)
    assert (third["paragraphs"], third["items"], outline["closed_on"]) == (3, 0, "2025-03-14")


def test_as_data_a_version_is_shown_with_everything_that_it_is_made_of(ask):
    found = json.loads(ask("show", "--json")[1])["structure"]
    first = found["articles"][0]
    [paragraph] = first["parts"]
    assert (first["label"], first["number"], first["caption"]) == ("第１条", [1], "利用できる方")
    assert [(part["kind"], part["label"], part["text"]) for part in paragraph["parts"]] == [
        ("item", "(1)", "求職登録がお済みの方"),
        ("item", "(2)", "カメラの付いた端末と、Zoomを使える環境を用意できる方"),
    ]
    assert (found["closed_on"], found["signatory"]) == ("2025-03-14", "見本の窓口 所長")


def test_the_words_alone_are_printed_to_be_kept(ask):
    assert ask("show", "--text")[:2] == (0, SAMPLE)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("show", "2031-01-01"), 2, f"no version 2031-01-01; there are: {FIRST}"),
        (("check", "nowhere.txt"), 2, "nowhere.txt"),
        (("diff", FIRST, "nowhere"), 2, "nowhere: neither a version of the record nor a file"),
        (("proof", "2031-01-01"), 2, "madoguchi terms proof"),
    ],
)
def test_wrong_use_is_one_line_and_code_two(ask, arguments, code, says):
    done, out, err = ask(*arguments)
    assert (done, out) == (code, "")
    assert says in err
    assert err.count("\n") == 1


def test_before_the_first_version_there_is_none_to_show(ask):
    done, _, err = ask("show", as_of=jst("2020-01-01 00:00"))
    assert (done, "no version is in force" in err) == (1, True)


# --- check


def test_the_sample_amendment_stands_ready_to_be_announced(ask):
    done, out, _ = ask("check", AMENDED)
    assert done == 0
    assert "7 articles" in out
    assert "rows: 3 changed, 1 added, 1 renumbered" in out
    assert "2 inside, 0 leading nowhere" in out


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("第３条(1)の", "第９条の", "NO_SUCH_ARTICLE"),
        ("第３条(1)の", "第３条(9)の", "NO_SUCH_PART"),
    ],
)
def test_a_citation_of_what_does_not_exist_blocks(ask, tmp_path, old, new, code):
    text = AMENDED.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "broken.txt"
    path.write_text(text.replace(old, new), encoding="utf-8")
    done, out, _ = ask("check", path)
    assert (done, f"FAIL  {code}" in out) == (1, True)
    done, out, _ = ask("check", path, "--json")
    found = json.loads(out)
    assert (done, found["blocks"], [problem["code"] for problem in found["problems"]]) == (1, True, [code])


def test_a_text_that_is_no_terms_blocks(ask, tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("こんにちは\n", encoding="utf-8")
    assert ask("check", path)[0] == 1
    assert json.loads(ask("check", path, "--json")[1])["blocks"] is True


def test_the_present_words_are_told_as_unchanged_and_nothing_blocks(ask):
    done, out, _ = ask("check", ROOT / "config" / "terms" / "service-2025-04-01.txt")
    assert (done, "nothing to announce" in out) == (0, True)


def test_the_offices_real_terms_are_checked_where_they_lie(ask):
    done, out, _ = ask("check", real_terms())
    assert done == 0
    assert "14 articles, 24 paragraphs, 11 items, 3 sub-items, 3 bullets" in out
    assert "0 leading nowhere" in out
    assert "note  第８条(1)の「職業安定法第５条の４」" in out


# --- diff


def test_versions_and_files_are_compared_in_either_order(ask, world, tmp_path):
    world.announce()
    done, out, _ = ask("diff", FIRST, CODE)
    assert done == 0
    assert out.index("変更後") < out.index("変更前")
    _, turned, _ = ask("diff", FIRST, CODE, "--old-first")
    assert turned.index("変更前") < turned.index("変更後")
    path = tmp_path / "same.txt"
    path.write_text(amended(), encoding="utf-8")
    assert ask("diff", FIRST, path)[1] == out
    assert ask("diff", CODE, path)[1] == "no difference in words\n"


def test_the_comparison_is_written_as_a_page(ask, tmp_path):
    page = tmp_path / "page.html"
    done, out, _ = ask("diff", FIRST, AMENDED, "--html", page)
    assert (done, "3 changed" in out) == (0, True)
    assert "新旧対照表" in page.read_text(encoding="utf-8")
    done, _, err = ask("diff", FIRST, AMENDED, "--html", tmp_path / "no" / "page.html")
    assert (done, "page.html" in err) == (1, True)


def test_a_comparison_as_data_counts_what_changed(ask):
    found = json.loads(ask("diff", FIRST, AMENDED, "--json")[1])
    assert (found["unchanged"], found["rows"]["added"]) == (False, 1)
    assert found["changed_articles"] == ["第２条", "第３条", "第５条"]


# --- build, proof


def test_the_site_is_built_where_the_settings_or_the_command_say(ask, world, tmp_path):
    assert ask("build")[:2][0] == 0
    assert "say" in ask("build")[1]
    assert (tmp_path / "site" / "current" / "index.html").is_file()
    done, out, _ = ask("build", tmp_path / "elsewhere", "--json")
    assert (done, json.loads(out)["changed"]) == (0, True)
    assert (tmp_path / "elsewhere" / "current" / "index.html").is_file()


def test_a_folder_that_holds_something_else_is_refused(ask, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep")
    done, _, err = ask("build", tmp_path / "mine")
    assert (done, "letter.txt" in err) == (1, True)


# --- a folder that changed its words


def test_recorded_words_are_printed_even_when_the_folder_was_spoilt(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "terms"
    folder.mkdir()
    for file in (ROOT / "config" / "terms").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    settings = Settings(_env_file=None, var_dir=tmp_path / "var", encryption_keys=KEYS[0], terms_dir=folder)
    monkeypatch.setattr(cli, "load_settings", lambda: settings)
    assert cli.main(["terms", "list"]) == 0
    (folder / "service-2025-04-01.txt").write_text(amended(), encoding="utf-8")
    capsys.readouterr()
    assert cli.main(["terms", "show", "--text"]) == 1
    printed = capsys.readouterr()
    assert printed.out == SAMPLE
    assert "announce new words under a code of their own" in printed.err


# --- madoguchi check


def findings(world, tmp_path, **changes):
    settings = Settings(_env_file=None, var_dir=tmp_path / "var", site_dir=tmp_path / "site", **changes)
    return [*check._terms(settings, world.services), *check._bounces(settings)]


def test_check_names_the_terms_in_force_the_announced_ones_and_the_site(world, tmp_path):
    before = {line.item: line for line in findings(world, tmp_path)}
    assert before["public site of the terms: not built"].remedy.startswith("`madoguchi terms build`")
    assert before["bounces folder: not there"].ok is False
    world.announce()
    (tmp_path / "var" / "bounces").mkdir(parents=True)
    items = [line.item for line in findings(world, tmp_path) if line.ok]
    assert f"terms in force: {FIRST} since {FIRST}, version 1" in items
    assert f"terms announced: {CODE} from 2026-10-01" in items
    assert f"public site of the terms: {tmp_path / 'site'}" in items
    assert "bounces folder: there" in items


def test_check_names_an_approval_that_never_became_public(world, tmp_path):
    world.approve()
    [line] = [line for line in findings(world, tmp_path) if "never made public" in line.item]
    assert (line.ok, "announce-amendment again" in line.remedy) == (None, True)


@pytest.mark.parametrize(
    ("spoilt", "says"),
    [
        ({"code": "令和7年版"}, "a code is part of an address"),
        ({"url": "terms.pdf"}, "no http or https address"),
        ({"sha256": "0" * 64}, "の版の文が記録にありません"),
    ],
)
def test_a_record_that_the_site_cannot_show_is_named_before_a_change_is_approved(ask, world, tmp_path, spoilt, says):
    with world.database.write() as session:
        session.execute(update(TermsVersion).where(TermsVersion.document == "service").values(**spoilt))
    [line] = [line for line in findings(world, tmp_path) if "cannot be built" in line.item]
    assert (line.ok, says in line.item) == (None, True)
    done, _, err = ask("build")
    assert (done, says in err) == (1, True)


def test_recorded_words_that_are_no_terms_stop_the_site_in_one_line(ask, world, tmp_path):
    old = TermsFacts(
        "service", "old", "c" * 64, date(2020, 1, 1), jst("2020-01-01 00:00"), "https://example.jp/t", "こんにちは\n"
    )
    with world.database.write() as session:
        register_terms(session, world.services.office.code, [old])
    assert any("cannot be built" in line.item for line in findings(world, tmp_path))
    done, _, err = ask("build")
    assert (done, err.count("\n")) == (1, 1)


# --- a session and its terms


def session_on(world, start):
    """A session with consent to the first version; returns its reference."""
    asked = world.had(start, status="confirmed")
    with world.database.write() as session:
        version = session.query(TermsVersion).filter_by(document="service", code=FIRST).one()
        request = world.world.request(asked)
        session.add(
            Consent(
                office=world.world.office.code, request_id=request.id, document="service", terms_id=version.id,
                basis="b", channel="form", consented_at=AS_OF, recorded_at=AS_OF,
            )
        )  # fmt: skip
    return asked.replace("R", "M")


def shown(world, reference):
    act = Act(world.services.office.code, "cli:x", None, AS_OF, AS_OF)
    with world.database.write() as session:
        found = show(session, world.services.vault, reference, act)
    return {name: found[name] for name in ("consented_terms", "governing_terms", "terms_differ", "told_of_terms")}


def test_a_session_names_the_version_of_its_consent_and_the_one_of_its_day(world):
    before, after = session_on(world, "2026-09-30 11:00"), session_on(world, "2026-10-01 11:00")
    assert shown(world, after) == {
        "consented_terms": FIRST, "governing_terms": FIRST, "terms_differ": False, "told_of_terms": None,
    }  # fmt: skip
    world.announce()
    assert shown(world, before)["terms_differ"] is False
    assert shown(world, after) == {
        "consented_terms": FIRST, "governing_terms": CODE, "terms_differ": True,
        "told_of_terms": {"state": "not_yet", "at": None},
    }  # fmt: skip
    world.take_back()
    assert shown(world, after)["governing_terms"] == FIRST


def test_a_session_tells_since_when_its_client_knows(world):
    reference = session_on(world, "2026-10-01 11:00")
    world.announce()
    world.settle_mails(status="sent", sent_at=AS_OF)
    assert shown(world, reference)["told_of_terms"] == {"state": "told", "at": AS_OF.isoformat()}
    called = AS_OF + timedelta(days=1)
    with world.database.write() as session:
        session.execute(update(Notice).values(told_at=called, told_by="staff:7", told_how="telephone"))
    assert shown(world, reference)["told_of_terms"] == {"state": "told_by_other_means", "at": called.isoformat()}
    with world.database.write() as session:
        session.execute(update(Notice).values(told_at=None))
        session.execute(update(OutboxMessage).values(status="failed", sent_at=None))
    assert shown(world, reference)["told_of_terms"] == {"state": "not_yet", "at": None}


def test_the_day_list_marks_sessions_that_other_terms_govern(world):
    session_on(world, "2026-10-01 11:00")
    session_on(world, "2026-09-30 11:00")
    world.announce()
    day = jst("2026-10-01 09:00")
    [line] = day_list(world.services, day).lines
    assert (f"規約改定後 {CODE}", False) in line.marks
    assert f"規約改定後 {CODE}" in day_list_markdown(world.services, day)
    assert "規約改定後" not in day_list_markdown(world.services, jst("2026-09-30 09:00"))
