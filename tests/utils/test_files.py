import os
import subprocess
import sys
import time

import pytest

from keras_gen.utils import files
from keras_gen.utils.files import atomic_write


def test_nothing_is_left_of_a_failure_and_the_old_file_stays(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(target) as path:
        path.write_text("ne")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_all_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(files, "sync", lambda path: done.append((path.name, target.exists())))
    target = tmp_path / "out"
    with atomic_write(target) as path:
        (path / "inner").mkdir(parents=True)
        (path / "inner" / "a.txt").write_text("")
    assert sorted(done[:-1]) == sorted([(path.name, False), ("inner", False), ("a.txt", False)])
    assert done[-1] == (tmp_path.name, True)


def test_a_directory_does_not_replace_a_full_one(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "precious").write_text("")
    with pytest.raises(OSError), atomic_write(target) as path:
        path.mkdir()
        (path / "new").write_text("")
    assert [p.name for p in target.iterdir()] == ["precious"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in (
        (tmp_path / "pipe", "a named pipe"),
        (tmp_path, "a directory"),
        ("/dev/zero", "a device"),
    ):
        with pytest.raises(ValueError, match=f"must be a file. Received: {kind}"):
            files.read_bytes(path)
        assert not files.is_file(path)
    with pytest.raises(FileNotFoundError):
        files.read_bytes(tmp_path / "missing")


def test_what_is_too_large_is_not_read(tmp_path):
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 2**40)
    with pytest.raises(ValueError, match=r"at most 1,000 bytes. Received: 1,099,511,627,776 bytes"):
        files.read_bytes(tmp_path / "sparse", most=1000)


def test_bytes_that_are_no_text_are_named(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.txt")
    path.write_bytes("café".encode("latin-1"))
    with pytest.raises(ValueError, match=r"caf\\xe9.txt must be utf-8 text. Received: 0xe9 at byte 3"):
        files.read_text(path)
    assert files.read_text(path, encoding="latin-1") == "café"


def test_drafts_of_a_killed_process_are_swept_and_those_of_a_living_one_stay(tmp_path, monkeypatch):
    target = tmp_path / "a.txt"
    living = files.draft_path(target)
    living.write_text("")
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    monkeypatch.setattr(os, "getpid", lambda: process.pid)
    dead, of_another = files.draft_path(target), files.draft_path(tmp_path / "b.txt")
    monkeypatch.undo()
    dead.mkdir()
    (dead / "inner").write_text("")
    of_another.write_text("")
    with atomic_write(target) as path:
        path.write_text("all")
    assert {p.name for p in tmp_path.iterdir()} == {"a.txt", living.name, of_another.name}
    files.remove_stale_drafts(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"a.txt", living.name}


def test_drafts_of_elsewhere_are_swept_when_they_are_a_day_old(tmp_path, monkeypatch):
    target = tmp_path / "a.txt"
    monkeypatch.setattr(files, "this_machine", lambda: "another1")
    old, young = files.draft_path(target), files.draft_path(target)
    monkeypatch.undo()
    for draft in (old, young):
        draft.touch()
    a_day_ago = time.time() - 90_000
    os.utime(old, (a_day_ago, a_day_ago))
    files.remove_stale_drafts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [young.name]


@pytest.mark.parametrize("name", ["x" * 300, "new/" + "x" * 300, "file/x", "file/x/y", "a\0b"])
def test_a_path_that_cannot_be_is_refused_and_nothing_is_made(tmp_path, name):
    (tmp_path / "file").touch()
    message = "Expected a path that can be written to. Received: "
    with pytest.raises(ValueError, match=message), atomic_write(tmp_path / name):
        raise AssertionError("not reached")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
