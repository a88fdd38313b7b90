"""Hyperparameters and results of runs, side by side: TensorBoard's HParams tab and MLflow."""

import contextlib
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
from tensorboard.plugins.hparams import api as hparams

from keras_gen.utils import tensorboard
from keras_gen.utils.files import atomic_write, printable
from keras_gen.utils.records import MLflowFacts, read_record


@contextlib.contextmanager
def hparams_session(directory: Path, values: dict[str, Any]) -> Iterator[None]:
    """Shows a run in TensorBoard's HParams tab: `values`, and the metrics of validation and `keras-gen
    evaluate`.

    Args:
        directory: The run, whose `logs` hold the metrics.
        values: Hyperparameters by name.
    """
    writer = tensorboard.summary_writer(directory / "logs", tensorboard.VALIDATION)
    # The tab cuts long names off at their end.
    trial = f"{directory.name} ({directory.parent})"
    session = hparams.KerasCallback(writer, plain(values), trial_id=trial)
    session.on_train_begin()
    try:
        yield
    finally:
        session.on_train_end()
        writer.flush()


class MLflowRun:
    """An MLflow run for a run directory; a resumed run continues its MLflow run.

    Args:
        directory: The run directory.
        uri: The tracking server or store; if empty, MLflow's default (`MLFLOW_TRACKING_URI`, or a local
            store).

    Raises:
        ImportError: mlflow is not installed.
        ConnectionError: The store could not be opened.
    """

    def __init__(self, directory: Path, uri: str):
        if importlib.util.find_spec("mlflow") is None:
            raise ImportError(
                "--mlflow needs the package mlflow, which is not installed. "
                'Install it with: pip install "keras_gen[mlflow]"'
            )
        # MLflow's own seven retries would keep a mistyped address waiting for minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        import mlflow

        self.directory = directory
        if uri:
            mlflow.set_tracking_uri(uri)
        try:
            mlflow.search_experiments(max_results=1)
        except Exception as error:
            raise ConnectionError(
                f"MLflow's store {mlflow.get_tracking_uri()} could not be opened: expected a server's "
                f"URL, or sqlite:///FILE ({type(error).__name__}: {str(error).splitlines()[0]})"
            ) from error

    @contextlib.contextmanager
    def started(self, values: dict[str, Any]) -> Iterator[list[keras.callbacks.Callback]]:
        """Starts or continues the MLflow run, and yields the callbacks that log losses and metrics to it.

        At the end, sample pictures and the trained model, if there is one, are logged.
        """
        import mlflow
        import mlflow.keras

        known = self.directory / "mlflow.json"
        remedy = "Delete it, and MLflow gets a new run."
        run_id = read_record(known, MLflowFacts, remedy).run_id if os.path.lexists(known) else None
        try:
            run = mlflow.start_run(run_id=run_id, run_name=self.directory.name)
        except mlflow.MlflowException as error:
            raise ValueError(
                f"{printable(known)}: MLflow's store {mlflow.get_tracking_uri()} cannot continue this run "
                f"({str(error).splitlines()[0]}). {remedy}"
            ) from error
        with run:
            with atomic_write(known) as path:
                path.write_text(json.dumps({"run_id": run.info.run_id}) + "\n")
            mlflow.log_params(plain(values))
            try:
                yield [mlflow.keras.MlflowCallback()]
            finally:
                if (self.directory / "samples").exists():
                    mlflow.log_artifacts(str(self.directory / "samples"), "samples")
                if (self.directory / "model.keras").exists():
                    mlflow.log_artifact(str(self.directory / "model.keras"))
                    mlflow.log_artifact(str(self.directory / "config.json"))


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """The values by which runs differ, as MLflow and TensorBoard take them: without unset options and
    paths.
    """
    return {
        name: value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
        for name, value in values.items()
        if value is not None and name not in ("data_dir", "mlflow")
    }
