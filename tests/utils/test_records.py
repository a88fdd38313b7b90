import json

import pytest

from keras_gen.utils.records import Card, TrainingTime, read_record

SHA = "0" * 64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected JSON. Received: EOF"),
        (b"\x89PNG", "expected JSON. Received: "),
        (b"[" * 100_000, "expected JSON. Received: recursion limit exceeded"),
        (b"[1]", "the content must be an object. Received: [1]"),
        (b"{}", "training_seconds is missing"),
        (b'{"training_seconds": "3"}', "training_seconds must be a valid number. Received: '3'"),
        (b'{"training_seconds": -1}', "training_seconds must be greater than or equal to 0. Received: -1"),
        (b'{"training_seconds": NaN}', "training_seconds must be a finite number. Received: nan"),
    ],
)
def test_a_record_that_is_none_is_named_with_the_remedy(tmp_path, content, message):
    path = tmp_path / "time.json"
    path.write_bytes(content)
    with pytest.raises(ValueError) as refusal:
        read_record(path, TrainingTime, "Delete it.")
    text = str(refusal.value)
    assert text.startswith(f"{path}: {message}") and text.endswith(" Delete it.") and "\n" not in text


def test_a_record_keeps_what_it_does_not_name(tmp_path):
    path = tmp_path / "card.json"
    card = {"model": "VAE", "files": {"model.keras": {"sha256": SHA, "bytes": 3}}, "epochs": 31.9}
    path.write_text(json.dumps(card))
    assert read_record(path, Card, "").model_dump() == card
