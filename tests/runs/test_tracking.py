"""Runs where they are compared: TensorBoard's HParams tab, and MLflow."""

import importlib.util
import json

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from keras_gen.runs.run import StoppedEarly
from keras_gen.runs.training import resume, train

SIZES = {"latent_dim": 3, "widths": [4, 8], "hidden_units": 8}


@pytest.fixture
def options(garments, tmp_path) -> dict:
    images, labels = garments
    path = tmp_path / "small.npz"
    np.savez(path, x_train=images[:128], y_train=labels[:128], x_test=images[:64], y_test=labels[:64])
    return {"data": str(path), "batch_size": 32, "epochs": 3, "hyperparameters": SIZES}


def test_hyperparameters_are_in_tensorboard(options, tmp_path):
    run = train("vae", **options, out=str(tmp_path / "run"), seed=4)
    summaries = EventAccumulator(str(run / "logs" / "validation")).Reload().summary_metadata
    (start,) = (s for tag, s in summaries.items() if tag == metadata.SESSION_START_INFO_TAG)
    info = metadata.parse_session_start_info_plugin_data(start.plugin_data.content)
    assert info.hparams["model"].string_value == "vae" and info.hparams["seed"].number_value == 4
    assert info.hparams["widths"].string_value == "[4, 8]"
    assert info.hparams["learning_rate_decay"].bool_value is True
    assert not {"data_dir", "image_size", "mlflow"} & set(info.hparams)  # unset, or of this machine
    assert metadata.SESSION_END_INFO_TAG in summaries


mlflow_installed = importlib.util.find_spec("mlflow") is not None


@pytest.mark.slow
@pytest.mark.skipif(not mlflow_installed, reason="the extra mlflow is not installed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_mlflow_has_the_run_and_goes_on_with_it(options, tmp_path, monkeypatch):
    import mlflow

    monkeypatch.chdir(tmp_path)  # where MLflow puts artifacts
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with pytest.raises(StoppedEarly):
        train("vae", **options, out=str(tmp_path / "run"), mlflow=store, max_minutes=1e-6)
    kept = tmp_path / "run" / "mlflow.json"
    right = kept.read_text()
    for content, message in (
        ("{}", "mlflow.json: run_id is missing. Delete it, and MLflow gets a new run"),
        ('{"run_id": "' + 32 * "0" + '"}', "mlflow.json: MLflow's store .* cannot continue this run"),
    ):
        kept.write_text(content)
        with pytest.raises(ValueError, match=message):
            resume(tmp_path / "run")
    kept.write_text(right)
    run = resume(tmp_path / "run")
    run_id = json.loads((run / "mlflow.json").read_text())["run_id"]
    client = mlflow.MlflowClient(store)
    assert [r.info.run_id for r in client.search_runs(["0"])] == [run_id]  # one, though it was resumed
    found = client.get_run(run_id)
    assert found.info.status == "FINISHED" and found.info.run_name == "run"
    assert found.data.params["latent_dim"] == "3" and found.data.params["model"] == "vae"
    rows = (run / "metrics.csv").read_text().splitlines()
    names, last = rows[0].split(","), rows[-1].split(",")
    expected = float(last[names.index("val_loss")])
    history = client.get_metric_history(run_id, "val_loss")
    assert {m.step for m in history} == {0, 1, 2}
    assert found.data.metrics["val_loss"] == pytest.approx(expected)
    artifacts = {artifact.path for artifact in client.list_artifacts(run_id)}
    assert {"samples", "model.keras", "config.json"} <= artifacts
    pictures = {artifact.path for artifact in client.list_artifacts(run_id, "samples")}
    assert "samples/final.png" in pictures


@pytest.mark.slow
@pytest.mark.skipif(not mlflow_installed, reason="the extra mlflow is not installed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("uri", ("http://127.0.0.1:9", "gopher://nowhere"))
def test_a_store_that_cannot_be_opened_is_named_before_training(options, tmp_path, uri):
    with pytest.raises(ConnectionError, match=f"store {uri}.* could not be opened: expected a server's"):
        train("vae", **options, out=str(tmp_path / "run"), mlflow=uri)
    assert not (tmp_path / "run").exists()


def test_without_mlflow_the_error_says_what_to_install(options, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "keras_gen\[mlflow\]"'):
        train("vae", **options, out=str(tmp_path / "run"), mlflow="")
    assert not (tmp_path / "run").exists()
