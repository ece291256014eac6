"""A backup while everything runs, and back: whole or not at all, never over something, never without a check."""

import io
import json
import os
import shutil
import stat
import tarfile
import threading
from datetime import UTC, datetime, timedelta

import pytest

from config.settings import SANDBOX_KEY, Settings
from madoguchi.commands.backup import backup, restore
from madoguchi.store.database import Database
from madoguchi.store.models import HostBudget
from tests.postgres import fresh_database


def settings_of(folder, **more):
    folder.mkdir(exist_ok=True)
    return Settings(_env_file=None, var_dir=folder, **more)


@pytest.fixture
def office(tmp_path):
    """A var directory with a record, a webhook that waits, an export."""
    settings = settings_of(tmp_path / "var")
    fill(settings.resolved_database_url, settings.office.code)
    for name, text in (("webhooks/1-a.event", "sealed"), ("inbox/google/form.csv", "a,b"), ("site/index.html", "x")):
        path = settings.var_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return settings


def fill(url, code):
    database = Database(url)
    database.migrate()
    with database.write() as session:
        session.add(HostBudget(office=code, host="host-1", utc_day=datetime(2026, 9, 24, tzinfo=UTC).date(), used=7))
    database.close()


def used(url):
    database = Database(url)
    with database.read() as session:
        found = [row.used for row in session.query(HostBudget)]
    database.close()
    return found


def test_everything_but_keys_site_and_history_goes_into_one_file_for_its_owner_and_back(office, tmp_path, capsys):
    target = tmp_path / "b.tar.gz"
    assert backup(office, target) == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with tarfile.open(target) as tar:
        assert set(tar.getnames()) == {"record.db", "webhooks/1-a.event", "inbox/google/form.csv", "manifest.json"}
        raw = b"".join(tar.extractfile(name).read() for name in tar.getnames())
    assert SANDBOX_KEY.encode() not in raw
    elsewhere = settings_of(tmp_path / "elsewhere")
    assert restore(elsewhere, target, None) == 0
    assert used(elsewhere.resolved_database_url) == [7]
    assert (elsewhere.var_dir / "webhooks" / "1-a.event").read_text(encoding="utf-8") == "sealed"
    assert "staff decide" in capsys.readouterr().out


def test_a_file_that_grows_or_goes_while_it_is_packed_spoils_no_backup(office, tmp_path):
    log, gone = office.var_dir / "inbox" / "grows.csv", office.var_dir / "webhooks" / "2-b.event"
    gone.write_text("sealed", encoding="utf-8")
    over = threading.Event()

    def write():
        with log.open("a", encoding="utf-8") as stream:
            while not over.is_set():
                stream.write("x" * 10_000)
                stream.flush()
                gone.unlink(missing_ok=True)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert backup(office, tmp_path / "b.tar.gz") == 0
    finally:
        over.set()
        writer.join()
    assert restore(settings_of(tmp_path / "elsewhere"), tmp_path / "b.tar.gz", None) == 0


def test_nothing_is_put_over_a_record_and_no_file_over_a_backup(office, tmp_path, capsys):
    target = tmp_path / "b.tar.gz"
    assert backup(office, target) == 0
    assert backup(office, target) == 1
    assert restore(office, target, None) == 1
    said = capsys.readouterr().err
    assert "there is a file already" in said
    assert "there is a record already" in said


def rewrite(target, change):
    members = {}
    with tarfile.open(target) as tar:
        for info in tar:
            members[info.name] = tar.extractfile(info).read()
    change(members)
    with tarfile.open(target, "w:gz") as tar:
        for name, raw in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))


def other_office(members):
    members["manifest.json"] = json.dumps(json.loads(members["manifest.json"]) | {"office": "elsewhere"}).encode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda members: members.update({"record.db": members["record.db"] + b"x"}), "record.db is damaged"),
        (lambda members: members.update({"more.txt": b"x"}), "other files than its manifest"),
        (lambda members: members.pop("record.db"), "other files than its manifest"),
        (lambda members: members.pop("manifest.json"), "no manifest.json"),
        (lambda members: members.update({"../outside": b"x"}), "damaged, or no backup"),
        (other_office, "is of office elsewhere"),
    ],
)
def test_a_backup_that_is_not_whole_or_not_ours_is_refused_and_nothing_is_changed(
    change, said, office, tmp_path, capsys
):
    target = tmp_path / "b.tar.gz"
    assert backup(office, target) == 0
    rewrite(target, change)
    elsewhere = settings_of(tmp_path / "elsewhere")
    assert restore(elsewhere, target, None) == 1
    assert said in capsys.readouterr().err
    assert list(elsewhere.var_dir.iterdir()) == []


def test_a_half_written_file_is_refused(office, tmp_path, capsys):
    target = tmp_path / "b.tar.gz"
    assert backup(office, target) == 0
    os.truncate(target, target.stat().st_size // 2)
    assert restore(settings_of(tmp_path / "elsewhere"), target, None) == 1
    assert "damaged" in capsys.readouterr().err


def test_a_loss_before_the_backup_is_a_mistake(office, tmp_path, capsys):
    target = tmp_path / "b.tar.gz"
    assert backup(office, target) == 0
    assert restore(settings_of(tmp_path / "elsewhere"), target, datetime.now(UTC) - timedelta(hours=1)) == 1
    assert "--lost-at lies before the backup" in capsys.readouterr().err


def test_an_empty_directory_has_nothing_to_back_up(tmp_path, capsys):
    assert backup(settings_of(tmp_path / "var"), tmp_path / "b.tar.gz") == 1
    assert "nothing to back up" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("pg_dump") is None, reason="PostgreSQL's client programs are not installed here")
def test_postgresql_goes_by_its_own_programs(postgres_template, tmp_path):
    server, template = postgres_template
    with fresh_database(server, template) as url, fresh_database(server, None) as empty:
        address = url.render_as_string(hide_password=False)
        office = settings_of(tmp_path / "var", database_url=address)
        fill(address, office.office.code)
        assert backup(office, tmp_path / "b.tar.gz") == 0
        elsewhere = settings_of(tmp_path / "elsewhere", database_url=empty.render_as_string(hide_password=False))
        assert restore(elsewhere, tmp_path / "b.tar.gz", None) == 0
        assert used(elsewhere.database_url) == [7]
