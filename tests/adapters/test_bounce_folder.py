import os
import random
from pathlib import Path

import pytest

from madoguchi.adapters.bounce_folder import FolderMissingError, Kept, keep, split_mbox, waiting_files
from madoguchi.adapters.delivery_status import MAX_BYTES

MAIL = b"From: mailer-daemon@example.jp\r\nSubject: x\r\n\r\nbody\r\n"


def maildir(folder: Path) -> Path:
    for part in ("new", "cur", "tmp"):
        (folder / part).mkdir()
    return folder


def names(folder: Path) -> list[str]:
    return [file.path.name for file in waiting_files(folder)]


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_plain_folder_gives_its_mails_and_passes_over_the_rest(tmp_path):
    for name in ("b.eml", "a.eml", "c.EML", "note.txt", ".hidden.eml", "half.eml.part"):
        (tmp_path / name).write_bytes(MAIL)
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "old.eml").write_bytes(MAIL)
    (tmp_path / "link.eml").symlink_to("/etc/hostname")
    assert names(tmp_path) == ["a.eml", "b.eml", "c.EML"]


def test_a_maildir_gives_what_is_neither_seen_nor_flagged(tmp_path):
    maildir(tmp_path)
    for name in ("new/1.host", "cur/2.host:2,", "cur/3.host:2,S", "cur/4.host:2,F", "cur/5.host:2,RS", "tmp/6.host"):
        (tmp_path / name).write_bytes(MAIL)
    assert names(tmp_path) == ["1.host", "2.host:2,"]


def test_what_was_read_in_a_maildir_becomes_seen_and_a_persons_mail_stays_unread(tmp_path):
    maildir(tmp_path)
    (tmp_path / "new" / "1.host").write_bytes(MAIL)
    (tmp_path / "cur" / "2.host:2,R").write_bytes(MAIL)
    for file, kept in zip(list(waiting_files(tmp_path)), (Kept.DONE, Kept.OTHER), strict=True):
        keep(file, tmp_path, kept)
    assert everything(tmp_path) == {"cur/1.host:2,S", "cur/2.host:2,FR"}
    assert names(tmp_path) == []


def test_a_file_is_kept_under_a_neutral_name(tmp_path):
    (tmp_path / "Undelivered mail to hanako@example.jp.eml").write_bytes(MAIL)
    [file] = waiting_files(tmp_path)
    keep(file, tmp_path, Kept.UNREADABLE)
    assert "hanako" not in file.name
    assert everything(tmp_path) == {f"unreadable/{file.name}.eml"}


def test_two_files_with_one_content_and_two_with_one_name_lose_nothing(tmp_path):
    for name in ("a.eml", "b.eml"):
        (tmp_path / name).write_bytes(MAIL)
    for file in list(waiting_files(tmp_path)):
        keep(file, tmp_path, Kept.DONE)
    [kept] = everything(tmp_path)
    (tmp_path / kept).write_bytes(b"something else under this name")
    (tmp_path / "c.eml").write_bytes(MAIL)
    [file] = waiting_files(tmp_path)
    keep(file, tmp_path, Kept.DONE)
    assert len(everything(tmp_path)) == 2


def test_a_file_that_somebody_else_moved_is_no_error(tmp_path):
    (tmp_path / "a.eml").write_bytes(MAIL)
    [file] = waiting_files(tmp_path)
    keep(file, tmp_path, Kept.DONE)
    keep(file, tmp_path, Kept.DONE)


def test_an_mbox_is_many_mails_and_a_quoted_from_line_is_none(tmp_path):
    second = MAIL + b">From here on\r\n\r\nFrom a sentence without an empty line before? no:\r\n"
    content = (
        b"From MAILER-DAEMON Mon Sep 14\n" + MAIL + b"\r\nFrom x Mon Sep 14\r\n" + MAIL + b"\n>From us\nFrom them\n"
    )
    (tmp_path / "all.mbox").write_bytes(content)
    [file] = waiting_files(tmp_path)
    first, last = file.mails()
    assert first == MAIL + b"\r\n"
    assert last == MAIL + b"\nFrom us\nFrom them\n"
    assert split_mbox(second) == [second]


def test_a_file_too_big_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "big.eml").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    [file] = waiting_files(tmp_path)
    with pytest.raises(ValueError, match="TOO_BIG"):
        file.mails()


def test_a_link_put_in_place_of_a_file_is_not_followed(tmp_path):
    path = tmp_path / "a.eml"
    path.write_bytes(MAIL)
    [file] = waiting_files(tmp_path)
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(OSError, match="symbolic"):
        file.mails()


def test_a_missing_folder_says_what_to_do(tmp_path):
    with pytest.raises(FolderMissingError, match="MADOGUCHI_BOUNCES_DIR"):
        names(tmp_path / "nowhere")


def test_any_bytes_split_into_mails_that_hold_all_of_them():
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    for _ in range(200):
        parts = chance.choices([b"From a\n", b"\n", b"\r\n", b"text\n", b">From b\n", os.urandom(5)], k=20)
        content = b"".join(parts)
        mails = split_mbox(content)
        lost = len(content) - sum(map(len, mails))
        assert 0 <= lost <= 7 * content.count(b"From "), f"seed {seed}"
