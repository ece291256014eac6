"""What `keys`, `disclose`, `accesses` and `show` print about personal data and keys, and what they leave behind."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from madoguchi import cli
from madoguchi.commands import accesses, disclose, keys, lists
from madoguchi.domain.retention import ERASED_JA
from madoguchi.store.database import Database
from madoguchi.store.models import Audit, BookingRequest, DataKey
from madoguchi.store.vault import parse_master_keys, read_keys
from tasks import wiring
from tests.tasks.test_disclosure import MINE, granted
from tests.tasks.test_retention import held_session, retain
from tests.world import AS_OF, World

FIRST, SECOND = (base64.b64encode(letter * 32).decode() for letter in (b"k", b"n"))
"""The first one is the key of every `World`."""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return Settings(var_dir=tmp_path / "var", encryption_keys=FIRST)


@pytest.fixture
def world(settings: Settings) -> World:
    services = wiring.build_services(settings)
    return World(services.database, vault=services.vault, office=services.office)


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_keys_are_listed_with_age_and_use_and_without_secrets(
    settings: Settings, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = [bytes(row.wrapped) for row in world.rows(DataKey)]
    assert keys.run(settings, "rotate", data=True, as_json=False) == 0
    assert "data key 3 is in use" in capsys.readouterr().out
    assert keys.run(settings, "list", data=False, as_json=True) == 0
    listed = printed(capsys)
    assert [(row["purpose"], row["generation"], row["in_use"]) for row in listed] == [
        ("data", 1, False), ("index", 1, True), ("data", 2, True),
    ]  # fmt: skip
    assert {row["days"] for row in listed} == {0}
    assert keys.run(settings, "list", data=False, as_json=False) == 0
    text = capsys.readouterr().out
    assert "opens only" in text
    assert not any(secret.hex() in text for secret in secrets)


def test_data_belongs_to_rotate_only(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys.run(settings, "new", data=True, as_json=False) == 2
    assert "--data" in capsys.readouterr().err


def test_a_running_process_follows_keys_that_were_rotated_in_its_env_file(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MADOGUCHI_ENCRYPTION_KEYS", raising=False)
    running = wiring.build_services(settings)
    sealed = running.vault.seal(b"x", "t.c.1")
    Path(".env").write_text(f"MADOGUCHI_ENCRYPTION_KEYS={SECOND},{FIRST}\n", encoding="utf-8")
    rotated = Settings(var_dir=tmp_path / "var")
    assert keys.run(rotated, "rotate", data=False, as_json=False) == 0
    Path(".env").write_text(f"MADOGUCHI_ENCRYPTION_KEYS={SECOND}\n", encoding="utf-8")
    assert keys.run(Settings(var_dir=tmp_path / "var"), "rotate", data=True, as_json=False) == 0
    with running.database.read() as session:
        fresh = read_keys(session, parse_master_keys(SECOND))
    from madoguchi.store.vault import Vault

    other = Vault(fresh.data, fresh.current, fresh.index)
    assert running.vault.open(other.seal(b"y", "t.c.1"), "t.c.1") == b"y"
    assert other.open(sealed, "t.c.1") == b"x"
    running.database.close()


def test_an_extract_is_written_for_its_owner_only_and_registered(
    settings: Settings, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held_session(world, reference=MINE)
    row = granted(world, MINE)
    out = tmp_path / "extract.json"
    assert disclose.run(settings, row.reference.lower().replace("-", ""), out) == 0
    said = capsys.readouterr().out
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    assert digest in said
    assert "架空" not in said
    for path in (out, out.with_suffix(".txt")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.glob("*extract*")) == ["extract.json", "extract.txt"]
    assert [one.details["sha256"] for one in world.rows(Audit, action="disclosed")] == [digest]
    assert disclose.run(settings, row.reference, out) == 2
    assert "exists already" in capsys.readouterr().err
    assert disclose.run(settings, row.reference, tmp_path / "second.json") == 0
    assert "extracted 1 times before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("reference", "out", "code", "says"),
    [
        ("D-7K2Q9F", "x.json", 1, "no such disclosure"),
        ("架空 七海", "x.json", 1, "no reference"),
        ("D-7K2Q9F", "x.txt", 2, "must not end in .txt"),
        ("D-7K2Q9F", "nowhere/x.json", 1, "no such disclosure"),
    ],
)
def test_what_cannot_be_disclosed_is_said_without_repeating_it(
    settings: Settings, capsys: pytest.CaptureFixture[str], reference: str, out: str, code: int, says: str
) -> None:
    assert disclose.run(settings, reference, Path(out)) == code
    error = capsys.readouterr().err
    assert says in error
    assert "架空" not in error
    assert not list(Path().glob("*.json"))


def test_a_file_that_cannot_be_written_registers_nothing(
    settings: Settings, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    held_session(world, reference=MINE)
    row = granted(world, MINE)
    assert disclose.run(settings, row.reference, Path("nowhere/x.json")) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert world.rows(Audit, action="disclosed") == []


def test_every_look_is_listed_with_who_when_and_at_what(
    settings: Settings, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    held_session(world, reference=MINE)
    assert lists.show(settings, MINE, as_json=True) == 0
    capsys.readouterr()
    today = wiring.real_clock().date()
    assert accesses.run(settings, today - timedelta(days=1), as_json=True) == 0
    [look] = printed(capsys)
    assert (look["did"], look["kind"], look["reference"]) == ("shown", "booking", MINE)
    assert look["who"].startswith("cli:")
    assert accesses.run(settings, today + timedelta(days=2), as_json=False) == 0
    assert capsys.readouterr().out == "none\n"


def test_show_says_of_what_was_erased_that_it_was_erased(
    settings: Settings, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    held_session(world, reference=MINE)
    retain(world)
    [request] = world.rows(BookingRequest)
    message = world.messages()[0].id
    for reference in (MINE, message):
        assert lists.show(settings, reference, as_json=False) == 0
        assert "保存期間が過ぎたため消去しました" in capsys.readouterr().out
    assert request.erased_at is not None


def test_the_day_list_of_a_day_long_gone_still_opens(world: World) -> None:
    from tasks.day_list import day_list

    held_session(world, reference=MINE)
    retain(world)
    found = day_list(world.services, AS_OF, date(2026, 9, 24), act=world.run().act(world.services))
    [line] = found.lines
    assert line.personal is not None
    assert (line.session.reference, line.personal.name) == (MINE, ERASED_JA)


@pytest.mark.parametrize(
    "arguments", [["keys", "list", "--json"], ["accesses", "--since", "2026-09-14"], ["keys", "rotate", "--data"]]
)
def test_the_command_line_knows_them(arguments: list[str]) -> None:
    cli._parser().parse_args(arguments)


def test_a_record_without_keys_has_none_to_rotate(settings: Settings) -> None:
    from config.settings import SettingsError

    Database(settings.resolved_database_url).migrate()
    with pytest.raises(SettingsError, match="no keys yet"):
        keys.run(settings, "rotate", data=True, as_json=False)
