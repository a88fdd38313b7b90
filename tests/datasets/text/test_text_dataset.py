"""Text of every source as rows of token ids."""

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest

import keras_gen as kg
from keras_gen.datasets.text import text_sources
from keras_gen.tokenizers import END, PADDING
from keras_gen.utils import memory

SENTENCE = "The quick brown fox jumps over the lazy dog, and nobody minds.\n"


@pytest.fixture(scope="module")
def docs() -> kg.TextDataset:
    return kg.load_text("python_docs", sequence_length=100, batch_size=32, seed=5)


def ids_of(dataset) -> tuple[np.ndarray, np.ndarray]:
    inputs, targets = zip(*dataset, strict=True)
    return np.concatenate(inputs), np.concatenate(targets)


def decoded(data: kg.TextDataset, token_ids) -> str:
    return data.tokenizer.decode(np.asarray(token_ids)[None]).numpy()[0].decode()


# === Windows of running text ===


def test_training_and_test_text_together_are_the_text(docs):
    whole = "".join(text_sources.python_docs())
    train, test = decoded(docs, docs.train_ids), decoded(docs, docs.test_ids)
    assert whole.startswith(train[:1000]) and whole.endswith(test[-1000:])
    held_out = whole[-len(test) :]
    unknown = sum(a != b for a, b in zip(test, held_out, strict=True))
    assert train + held_out == whole and unknown == (docs.test_ids == 1).sum()
    assert len(test) == pytest.approx(0.1 * len(whole), rel=0.02) and train.endswith("\n")


def test_the_target_of_a_token_is_the_next_one(docs):
    inputs, targets = ids_of(docs.train.take(3))
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
    text = np.asarray(docs.train_ids)
    row = np.append(inputs[0], targets[0, -1])
    places = np.flatnonzero(np.lib.stride_tricks.sliding_window_view(text, 101).__eq__(row).all(axis=1))
    assert len(places) >= 1


def test_windows_of_an_epoch_lie_side_by_side_and_those_of_the_next_elsewhere():
    data = kg.load_text([f"{number:05d}" for number in range(99)], sequence_length=10, batch_size=1)
    text = np.asarray(data.train_ids)
    seen = []
    for epoch in range(4):
        data.train.set_epoch(epoch)
        windows = {tuple(row) for row in ids_of(data.train)[0]}
        shift = next(s for s in range(10) if tuple(text[s : s + 10]) in windows)
        expected = {tuple(text[shift + 10 * k :][:10]) for k in range(data.num_train)}
        assert windows == expected
        seen.append(shift)
    assert len(set(seen)) > 1


def test_each_held_out_token_but_the_first_is_a_target_once(docs):
    inputs, targets = ids_of(docs.test)
    there = targets != PADDING
    np.testing.assert_array_equal(targets[there], docs.test_ids[1:])
    np.testing.assert_array_equal(inputs[there], docs.test_ids[:-1])
    assert len(inputs) == docs.num_test


def test_the_order_belongs_to_the_epoch(docs):
    def epoch(number, dataset=docs.train):
        dataset.set_epoch(number)
        return ids_of(dataset)[0]

    first, second = epoch(0), epoch(1)
    assert len(first) == docs.steps_per_epoch * 32
    assert (first != second).any()
    np.testing.assert_array_equal(epoch(0), first)
    np.testing.assert_array_equal(epoch(1, docs.train_from(7)), second[7 * 32 :])
    again = kg.load_text("python_docs", sequence_length=100, batch_size=32, seed=5)
    np.testing.assert_array_equal(epoch(1, again.train), second)
    other = kg.load_text("python_docs", sequence_length=100, batch_size=32, seed=6)
    assert (epoch(1, other.train) != second).any()


# === Documents ===


def test_a_row_is_a_document_and_a_long_one_goes_on_in_the_next():
    texts = ["abc", "abcabcab", "c", "", "ba"]
    data = kg.load_text(texts, per_document=True, sequence_length=4, batch_size=1, test_fraction=0.25)
    a, b, c = data.tokenizer.encode(["abc"]).to_list()[0]
    rows = {tuple(row) for row in ids_of(data.train)[0]}
    assert rows == {(END, a, b, c), (END, a, b, c), (a, b, c, a), (b, END, 0, 0), (END, c, END, 0)}
    assert data.num_train == 5 and data.num_test == 1
    inputs, targets = ids_of(data.test)
    assert inputs.tolist() == [[END, b, a, END]] and targets.tolist() == [[b, a, END, 0]]


# === Sources ===


def test_a_file_read_in_small_blocks_is_the_file(tmp_path, monkeypatch):
    lines = [f"Zeile {n}:  ätzend “schön” 漢字\r\n" for n in range(300)]
    (tmp_path / "text.txt").write_bytes("".join(lines).encode())
    whole = kg.load_text(tmp_path / "text.txt", tokenizer="word", sequence_length=8, batch_size=4)
    monkeypatch.setattr(text_sources, "BLOCK", 41)
    (tmp_path / "text.txt").write_bytes("\ufeff".encode() + "".join(lines).encode())
    blocks = kg.load_text(tmp_path / "text.txt", tokenizer="word", sequence_length=8, batch_size=4)
    assert blocks.tokenizer.vocabulary == whole.tokenizer.vocabulary
    np.testing.assert_array_equal(blocks.train_ids, whole.train_ids)
    assert "\r" not in decoded(whole, whole.train_ids)
    assert isinstance(whole.train_ids, np.memmap)


def test_one_long_line_is_read_in_pieces(tmp_path, monkeypatch):
    (tmp_path / "line.txt").write_text("abcdefg " * 500)
    monkeypatch.setattr(text_sources, "BLOCK", 100)
    monkeypatch.setattr(text_sources, "LONGEST", 400)
    pieces = list(text_sources.read_text(tmp_path / "line.txt", "utf-8"))
    assert "".join(pieces) == "abcdefg " * 500 and max(map(len, pieces)) == 500


def test_a_folder_has_a_document_for_each_file_in_order(tmp_path):
    for name, text in (("b/two.txt", "second " * 30), ("a.txt", "first " * 30), ("c.md", "no")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    data = kg.load_text(tmp_path, sequence_length=8, batch_size=4)
    text = np.concatenate([data.train_ids, data.test_ids])
    assert decoded(data, text) == "first " * 30 + "second " * 30
    assert np.flatnonzero(text == END).tolist() == [180]


def test_recipes_without_a_title_or_directions_are_counted(tmp_path):
    good = [{"title": " Soup ", "directions": ["Boil water.", "Serve."], "fat": 1} for n in range(8)]
    bad = [{"title": "Nothing"}, {"directions": ["Eat."]}, {"title": 5, "directions": ["Eat."]}, {}]
    (tmp_path / "recipes.json").write_text(json.dumps(good + bad))
    data = kg.load_text(
        tmp_path / "recipes.json", tokenizer="word", per_document=True, sequence_length=20, batch_size=2
    )
    assert data.num_incomplete == 4 and data.num_train + data.num_test == 8
    text = decoded(data, next(iter(data.train_from(0)))[0][0])
    assert text.startswith("Soup\n") and text.endswith("\nBoil water.\nServe.")


def test_a_tokenizer_that_there_is_already(docs):
    data = kg.load_text([SENTENCE * 40], tokenizer=docs.tokenizer, sequence_length=20, batch_size=4)
    assert data.tokenizer is docs.tokenizer
    assert decoded(data, data.train_ids).startswith(SENTENCE)


# === Refusals ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"source": ""}, "text.txt is empty: expected text to learn from. Received: no characters"),
        (
            {"source": "ab" * 40},
            "training text is shorter than one window.*sequence_length=128.*Received: 72",
        ),
        ({"source": "a" * 4000}, r"text.txt: A vocabulary must have 2 pieces.*Received: \['a'\]"),
        ({"source": SENTENCE * 40, "sequence_length": 0}, "sequence_length must be an integer .*: 0"),
        ({"source": SENTENCE * 40, "vocabulary_size": 4}, "vocabulary_size must be an integer from 5.*: 4"),
        (
            {"source": SENTENCE * 40, "test_fraction": 1.0},
            "test_fraction must be a number, more than 0, ",
        ),
        ({"source": SENTENCE * 40, "test_fraction": float("nan")}, "test_fraction must be .*Received: nan"),
        ({"source": SENTENCE * 40, "tokenizer": "bytes"}, "'char', 'word', 'subword', or a Tok.*: 'bytes'"),
        (
            {"source": SENTENCE * 40, "seed": -1},
            r"seed must be an integer from 0 to 2\*\*31 - 1. Received: -1",
        ),
        ({"source": SENTENCE * 40, "per_document": "no"}, "per_document must be True or False.*: 'no'"),
        (
            {"source": SENTENCE * 40, "sequence_length": 2**31 - 1, "batch_size": 2**20},
            "batch_size=1048576 and sequence_length=2147483647, which takes .* Choose smaller ones",
        ),
        ({"source": SENTENCE * 40, "per_document": True}, "2 documents or more.*Received: 1"),
        (
            {"source": SENTENCE * 40, "sequence_length": 16, "batch_size": 999},
            "at least batch_size=999 rows of 16 tokens. Received: 140",
        ),
    ),
)
def test_refuses_what_cannot_be_learned_from(tmp_path, arguments, message):
    (tmp_path / "text.txt").write_text(arguments.pop("source"))
    with pytest.raises(ValueError, match=message):
        kg.load_text(tmp_path / "text.txt", **arguments)


@pytest.mark.parametrize("block", (7, 1 << 20))
def test_says_where_a_file_is_not_in_its_encoding(tmp_path, monkeypatch, block):
    monkeypatch.setattr(text_sources, "BLOCK", block)
    path = tmp_path / "old.txt"
    path.write_bytes("füße ".encode() * 300 + "Straße".encode("latin-1") + b" und so weiter" * 100)
    place = 300 * 7 + 4
    with pytest.raises(ValueError, match=f"old.txt must be utf-8 text.* at byte {place:,}. .*encoding="):
        kg.load_text(path, sequence_length=16)
    assert kg.load_text(path, sequence_length=16, batch_size=4, encoding="latin-1").num_train > 100


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("{", "is not JSON: expected a list of recipes"),
        ('{"title": "x"}', "expected a list of recipes.*Received: {'title': 'x'}"),
        ("[" * 100_000, "Received: JSON that is nested too deeply"),
        ("[1" + "0" * 5000 + "]", "is not JSON: expected a list of recipes.*Received: .*digits"),
        (r'[{"title": "x", "directions": ["\ud800"]}]', "recipes.json: texts must be .*lone surrogate"),
        ('[{"title": "x", "directions": [5]}]', r"Received: 1 objects with \['directions', 'title'\]"),
        ('[{"name": "x"}]', r"Received: 1 objects with \['name'\]"),
        ("[]", r"Received: 0 objects with \[\]"),
    ),
)
def test_refuses_json_of_another_shape(tmp_path, text, message):
    (tmp_path / "recipes.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        kg.load_text(tmp_path / "recipes.json")


def test_refuses_what_is_no_source(tmp_path):
    with pytest.raises(ValueError, match="Expected a .txt.*Received: .*nowhere.txt, which does not exist"):
        kg.load_text(tmp_path / "nowhere.txt")
    (tmp_path / "a.md").write_text("words " * 100)
    with pytest.raises(ValueError, match="encoding must be one that Python knows.*'klingon'"):
        kg.load_text(tmp_path / "a.md", encoding="klingon")
    with pytest.raises(ValueError, match="Expected a folder of .txt files. Received: .*which holds none"):
        kg.load_text(tmp_path)
    with pytest.raises(ValueError, match="texts must be strings. Received: 1 at position 1"):
        kg.load_text(itertools.chain(["a"], [1]))
    with pytest.raises(ValueError, match="vocabulary_size is the tokenizer's own"):
        tokenizer = kg.tokenizers.CharacterTokenizer("ab")
        kg.load_text(["ab" * 99], tokenizer=tokenizer, vocabulary_size=9)
    for source, message in (
        ("", "Expected a .txt or .json file.*Received: ''"),
        ("a\0b", "must be readable. Received: embedded null byte"),
        ("x" * 999, "must be readable. Received: File name too long"),
        (b"bytes", "source must be a string, or a PathLike, or an iterable.*Received: b'bytes'"),
        (5, "source must be .*Received: 5"),
        ([b"a"], "texts must be strings. Received: b'a' at position 0"),
        (["a", "\ud800"], "UTF-8 can encode. Received: the lone surrogate .* at position 1"),
        ("/dev/zero", "/dev/zero must be a file. Received: a device"),
    ):
        with pytest.raises(ValueError, match=message):
            kg.load_text(source)
    with pytest.raises(ValueError, match="encoding must be one that Python knows.*'base64'"):
        kg.load_text(["ab" * 99], encoding="base64")


def test_a_folder_of_text_may_hold_other_things_but_nothing_that_cannot_be_read(tmp_path):
    (tmp_path / "x.txt").mkdir()
    (tmp_path / "x.txt" / "a.txt").write_text("first " * 30)
    (tmp_path / "b.txt").write_text("second " * 30)
    data = kg.load_text(tmp_path, sequence_length=8, batch_size=4)
    assert decoded(data, data.test_ids).endswith("first " * 3)  # b.txt comes before x.txt/a.txt
    (tmp_path / "c.txt").symlink_to("nowhere")
    with pytest.raises(ValueError, match="c.txt' must be readable. Received: No such file or directory"):
        kg.load_text(tmp_path)
    (tmp_path / "c.txt").unlink()
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(ValueError, match="pipe.txt must be a file. Received: a named pipe"):
        kg.load_text(tmp_path)
    (tmp_path / "pipe.txt").unlink()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")).write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"/.xff.txt must be utf-8 text. Received: invalid start byte at"):
        kg.load_text(tmp_path)


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match=f"{tmp_path.name}' must be readable. Received: Permission denied"):
        kg.load_text(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    (
        (SENTENCE.encode("utf-16"), "utf-8 text. Received: invalid start byte at byte 0. .*'utf-16'"),
        (SENTENCE.encode("utf-32"), "utf-8 text. Received: invalid start byte at byte 0. .*'utf-32'"),
        (SENTENCE.encode("utf-16-le"), "must be utf-8 text. Received: NUL characters. .*'utf-16'"),
        (b"\xef\xbb\xbf", "text.txt is empty"),
    ),
)
def test_files_that_are_not_utf_8_say_what_they_may_be(tmp_path, content, message):
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        kg.load_text(tmp_path / "text.txt")


def test_texts_that_never_end_are_refused(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**7)
    with pytest.raises(ValueError, match="texts or more, which takes .* Pass files, or fewer texts"):
        kg.load_text(itertools.repeat("a"))


def test_a_step_beyond_the_epoch_is_refused(docs):
    with pytest.raises(ValueError, match="step must be at most the .* of an epoch. Received: 1000000"):
        docs.train_from(10**6)
