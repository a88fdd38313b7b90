import pytest

from keras_gen import files
from keras_gen.files import written_whole


def test_nothing_is_left_of_a_failure_and_the_old_file_stays(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), written_whole(target) as path:
        path.write_text("ne")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_all_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(files, "sync", lambda path: done.append((path.name, target.exists())))
    target = tmp_path / "out"
    with written_whole(target) as path:
        (path / "inner").mkdir(parents=True)
        (path / "inner" / "a.txt").write_text("")
    assert sorted(done[:-1]) == sorted([(path.name, False), ("inner", False), ("a.txt", False)])
    assert done[-1] == (tmp_path.name, True)


def test_a_directory_does_not_replace_a_full_one(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "precious").write_text("")
    with pytest.raises(OSError), written_whole(target) as path:
        path.mkdir()
        (path / "new").write_text("")
    assert [p.name for p in target.iterdir()] == ["precious"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
