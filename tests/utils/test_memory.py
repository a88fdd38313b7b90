import pytest

from keras_gen.utils import memory


def test_a_container_has_what_it_may_have(tmp_path, monkeypatch):
    (tmp_path / "max").write_text("5000\n")
    (tmp_path / "current").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 300\ninactive_file 500\nactive_file 7\n")
    files = (str(tmp_path / "max"), str(tmp_path / "current"), "inactive_file")
    monkeypatch.setattr(memory, "CONTAINERS", (files,))
    assert memory.available_bytes() == 4500
    memory.refuse_beyond_memory(4500, "n=4", "")
    with pytest.raises(ValueError, match=r"^Received: n=5, which takes .* Draw fewer.$"):
        memory.refuse_beyond_memory(4501, "n=5", "Draw fewer.")
    (tmp_path / "max").write_text("max\n")
    assert memory.available_bytes() > 4500
