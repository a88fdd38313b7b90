"""Files that version 0.1 wrote still load: a run directory, and a `.keras` file."""

import shutil
from pathlib import Path

import keras
import numpy as np

from keras_gen.models import VAE
from keras_gen.runs.loading import load_model
from keras_gen.runs.training import resume

OLD = Path(__file__).parent / "run_of_0_1"


def test_a_run_directory_resumes_to_what_that_version_ended_with(tmp_path, monkeypatch):
    """The run stopped in its second epoch; `trained.keras` is the same run without the stop."""
    shutil.copytree(OLD, tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")  # config.json names images.npz
    trained = load_model(resume(tmp_path / "run"))
    expected = keras.saving.load_model(OLD / "trained.keras")
    assert len(trained.weights) == len(expected.weights) > 0
    for weight, other in zip(trained.weights, expected.weights, strict=True):
        # Another processor sums in another order.
        np.testing.assert_allclose(weight.numpy(), other.numpy(), rtol=1e-3, atol=1e-4)
    assert int(trained.optimizer.iterations) == int(expected.optimizer.iterations) == 12


def test_a_keras_file_loads_compiled_as_it_was():
    model = load_model(OLD / "trained.keras")
    assert type(model) is VAE and model.image_shape == (8, 8, 1) and model.widths == (2,)
    assert model.optimizer.get_config()["learning_rate"]["config"]["decay_steps"] == 12
    images = model.generate(2, seed=0)
    assert images.shape == (2, 8, 8, 1) and np.isfinite(images).all()
