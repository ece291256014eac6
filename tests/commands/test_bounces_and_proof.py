"""`madoguchi bounces` and what `madoguchi terms proof` runs, on SQLite."""

import io
import json
import stat
import sys
from types import SimpleNamespace

import pytest

from config.settings import Settings
from madoguchi.commands import bounces, proof
from madoguchi.domain.amendment import NoticePurpose
from madoguchi.store.database import Database
from tests.tasks.notice_world import ANNOUNCED, CODE, NoticeWorld, sample


@pytest.fixture
def world(tmp_path, sqlite_template, monkeypatch):
    path = tmp_path / "record.db"
    path.write_bytes(sqlite_template.read_bytes())
    made = NoticeWorld(Database(f"sqlite:///{path}"), tmp_path)
    for command in (bounces, proof):
        monkeypatch.setattr(command, "build_services", lambda _settings: made.services)
    return made


def prove(**changes):
    options = {"csv_path": None, "names": False, "purpose": ANNOUNCED, "as_json": False}
    return proof.run(Settings(_env_file=None), changes.pop("code", CODE), **options | changes)


def test_a_file_or_a_pipe_is_read_and_counted(world, tmp_path, capsys, monkeypatch):
    path = tmp_path / "one.eml"
    path.write_bytes(sample("postfix_unknown_user.eml", world.sent()))
    assert bounces.run(Settings(_env_file=None), str(path), as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["hard"] == 1
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"\0")))
    assert bounces.run(Settings(_env_file=None), "-", as_json=False) == 1
    assert "NO_MAIL" in capsys.readouterr().err
    assert bounces.run(Settings(_env_file=None), str(tmp_path / "none.eml"), as_json=False) == 2


def test_the_exit_code_says_whether_everybody_is_told(world, capsys):
    world.person("sent")
    assert prove(as_json=True) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["audience"], printed["totals"]["told"], printed["left"]) == (1, 1, 0)
    world.person("failed", reason="X")
    assert prove() == 1
    assert "not_sent" in capsys.readouterr().out
    assert prove(purpose=NoticePurpose.WITHDRAWN) == 0
    assert prove(code="2031-01-01") == 2
    assert CODE in capsys.readouterr().err


def test_names_go_only_to_a_file_of_its_owner_and_the_look_is_kept(world, tmp_path, capsys):
    world.person("failed", reason="X")
    assert prove(names=True) == 2
    path = tmp_path / "names.csv"
    path.write_text("old")
    path.chmod(0o644)
    assert prove(names=True, csv_path=path) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "架空 七海" in path.read_text(encoding="utf-8-sig")
    assert "架空" not in "".join(capsys.readouterr())
    assert len(world.audited("names_read")) == 1
    assert [found.name for found in tmp_path.glob(".names*")] == []
