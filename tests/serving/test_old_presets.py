"""The presets in the package were written by version 0.1: they compute what they did then."""

import json
from pathlib import Path

import numpy as np
import pytest

import keras_gen as kg
from keras_gen.serving.presets import list_presets

# Made by the code of version 0.1, from the inputs below.
EXPECTED = json.loads((Path(__file__).parent / "outputs_of_0_1.json").read_text())


def outputs_of_text(model) -> dict[str, np.ndarray]:
    texts = ["We hold these truths", "Mix the flour with eggs.\nBake."]
    likeliest = model.next_token_probabilities("The ", k=5)
    return {"score": model.score(texts), "next": np.array([probability for _, probability in likeliest])}


def outputs_of_images(model, random: np.random.Generator) -> dict[str, np.ndarray]:
    images = random.random((8, *model.image_shape)).astype("float32")
    labels = np.arange(8) % model.num_classes if model.conditional else None
    outputs = {}
    if hasattr(model, "decode"):
        z = random.normal(size=(8, model.latent_dim)).astype("float32")
        some = None if labels is None else labels[:2]
        outputs["decode"] = model.decode(z, labels)
        outputs["interpolate"] = model.interpolate(z[:2], z[2:4], some, 4)
    for verb in ("encode", "reconstruct", "log_prob"):
        if hasattr(model, verb):
            outputs[verb] = getattr(model, verb)(images, labels)
    for verb in ("classify", "features"):
        if hasattr(model, verb):
            outputs[verb] = getattr(model, verb)(images)
    return outputs


@pytest.mark.slow
def test_presets_of_0_1_compute_what_they_did_then():
    random = np.random.default_rng(0)  # one for all, in the order of their names
    found = {}
    for name, card in list_presets().items():
        if card["versions"]["keras_gen"] != "0.1.0":
            continue
        model = kg.from_preset(name)
        is_text = model.learns_from == "text"
        outputs = outputs_of_text(model) if is_text else outputs_of_images(model, random)
        found |= {f"{name}/{verb}": np.asarray(output) for verb, output in outputs.items()}
    assert set(found) == set(EXPECTED)
    for key, expected in EXPECTED.items():
        # Other processors sum in another order.
        values, scale = found[key].ravel(), max(1.0, abs(expected["mean"]))
        np.testing.assert_allclose(values[:6], expected["first"], rtol=1e-4, atol=1e-5, err_msg=key)
        np.testing.assert_allclose(values[-3:], expected["last"], rtol=1e-4, atol=1e-5, err_msg=key)
        assert abs(values.astype("float64").mean() - expected["mean"]) < 1e-5 * scale, key
