"""What every model of the zoo has in common: state, compiling, fitting, export."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from keras_gen import exporting
from keras_gen.datasets.epochs import EpochSetter
from keras_gen.models import checks
from keras_gen.optimizers import Adam
from keras_gen.presets import saving


class BaseModel(keras.Model):
    """Base of the zoo's models.

    A subclass makes its networks and trackers in `__init__`, and writes `train_step`, `test_step`, `call`
    and `signatures`. It inherits that all of the state (weights, optimizer, random generators, metrics) is
    in `.keras` and `save_weights`, that losses are means over replicas, and the verbs of serving.
    """

    loader = "load_dataset"  # what in `keras_gen.datasets` loads its data
    faster_with_xla = False  # convolutions are slower with it on CPU

    # === State that Keras leaves out ===

    def _further_state(self) -> dict[str, list[keras.Variable]]:
        """Every random generator (the networks' own, as Dropout's, included) and the metrics so far."""
        weights = {id(weight) for weight in self.weights}
        random = [variable for variable in self.variables if id(variable) not in weights]
        return {"random_state": random, "metric": self.metrics_variables}

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        for name, variables in self._further_state().items():
            for number, variable in enumerate(variables):
                store[f"{name}_{number}"] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        saved = {key: store[key] for key in store.keys()}  # noqa: SIM118 (an h5py group)
        for name, variables in self._further_state().items():
            for number, variable in enumerate(variables):
                variable.assign(saved.pop(f"{name}_{number}"))
        super().load_own_variables(saved)

    # === Compiling and fitting ===

    def compile(  # type: ignore[override]
        self,
        optimizer: str | keras.optimizers.Optimizer | None = None,
        *,
        run_eagerly: bool = False,
        steps_per_execution: int = 16,
        jit_compile: bool | None = None,
        auto_scale_loss: bool = True,
    ) -> None:
        """Prepares the model for `fit`; the loss is the model's own.

        Args:
            optimizer: `default_optimizer()` where none is given.
            run_eagerly: Run step by step in Python, for debugging.
            steps_per_execution: Training steps in one call of the compiled function; callbacks
                that act on batches are called once for that many. 16 measured fastest. Always 1
                with several replicas, where TensorFlow fails with more.
            jit_compile: Compile with XLA; by default where it is faster: not for convolutions, nor on
                several replicas, where TensorFlow fails with it.
            auto_scale_loss: Scale the loss under `mixed_float16`.
        """
        replicas = self.distribute_strategy.num_replicas_in_sync
        if run_eagerly or replicas > 1:
            steps_per_execution = 1
        if jit_compile is None:
            jit_compile = self.faster_with_xla and not run_eagerly and replicas == 1
        super().compile(
            optimizer=optimizer or self.default_optimizer(),
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
        )
        # A checkpoint's optimizer state is loaded only into variables that exist.
        self.optimizer.build(self.optimized_variables)
        self._loss_names = [tracker.name for tracker in self.metrics]
        self._non_finite_steps = tf.Variable(
            [-1] * len(self._loss_names),
            dtype=tf.int64,
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    @property
    def optimized_variables(self) -> list[keras.Variable]:
        """What `optimizer` trains."""
        return self.trainable_variables

    def default_optimizer(self, learning_rate: Any = 3e-3) -> keras.optimizers.Optimizer:
        """The optimizer that recipes use, and `compile()` where none is given."""
        return Adam(learning_rate)

    def get_compile_config(self) -> dict:
        if not self.compiled:
            return {}
        return {
            "optimizer": keras.saving.serialize_keras_object(self.optimizer),
            "run_eagerly": self.run_eagerly,
            "steps_per_execution": self.steps_per_execution,
            "jit_compile": self.jit_compile,
            "auto_scale_loss": isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer),
        }

    def compile_from_config(self, config: dict) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(self, x: Any = None, y: Any = None, **kwargs: Any) -> keras.callbacks.History:  # type: ignore[override]
        """Trains the model: `keras.Model.fit`, after a look at the first batches and the callbacks."""
        validation = kwargs.get("validation_data")
        validation = validation if isinstance(validation, tuple) else (validation,)
        for inputs, targets in ((x, y), (*validation, None)[:2]):
            if inputs is not None or inputs is x:
                self.check_first_batch(inputs, targets)
        callbacks = keras.tree.flatten(kwargs.get("callbacks") or [])
        names = [metric.name for metric in self.metrics]
        if kwargs.get("validation_data") is not None or kwargs.get("validation_split"):
            names += [f"val_{name}" for name in names]
        checks.monitors(callbacks, names)
        kwargs["callbacks"] = [EpochSetter(x, kwargs.get("validation_data")), *callbacks]
        if isinstance(x, tf.data.Dataset):
            kwargs.setdefault("shuffle", False)  # else Keras warns that it does not
        return super().fit(x, y, **kwargs)

    def check_first_batch(self, x: Any, y: Any) -> None:
        """Raises a ValueError where `fit` was given what the model cannot learn from."""
        raise NotImplementedError

    def drawn_seed(self) -> int:
        """Another integer at each call, from the model's `seed_generator`."""
        return int(tf.random.stateless_uniform((), self.seed_generator.next(), 0, 2**31 - 1, tf.int32))

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Nothing: the networks are built already. Keras would average a batch over the workers."""

    # === Inside train_step and test_step ===

    def scale_loss(self, loss: tf.Tensor, optimizer: keras.optimizers.Optimizer | None = None) -> tf.Tensor:
        """Divides by the number of replicas, whose gradients are summed, and scales for float16."""
        optimizer = optimizer or self.optimizer
        return optimizer.scale_loss(loss / self.distribute_strategy.num_replicas_in_sync)

    def track(self, values: dict[str, tf.Tensor], count: tf.Tensor) -> None:
        """Adds a batch's means to the trackers of the same names; they are of so many images, or tokens."""
        for tracker in self.metrics:
            if tracker.name in values:
                tracker.update_state(values[tracker.name], sample_weight=count)
        finite = [tf.math.is_finite(values.get(name, 0.0)) for name in self._loss_names]
        first = (self._non_finite_steps < 0) & ~tf.stack(finite)
        step = tf.cast(self.optimizer.iterations, tf.int64)
        self._non_finite_steps.assign(tf.where(first, step, self._non_finite_steps))

    def logs(self) -> dict[str, tf.Tensor]:
        """The trackers' means so far, under their names."""
        results = {tracker.name: tracker.result() for tracker in self.metrics}
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            # Keras reduces several workers' logs over axis 0, which a scalar does not have.
            results = {name: tf.reshape(value, (1,)) for name, value in results.items()}
        return results

    def non_finite_losses(self) -> dict[str, int]:
        """The losses that have been NaN or infinite, each with the first step where it was so."""
        steps = self._non_finite_steps.numpy().tolist()
        return {name: step for name, step in zip(self._loss_names, steps, strict=True) if step >= 0}

    # === Export ===

    def signatures(self) -> dict[str, tuple[Callable, dict[str, tf.TensorSpec]]]:
        """What a SavedModel of this model offers: name -> (function, its inputs by name)."""
        raise NotImplementedError

    def portable_network(self) -> keras.Model:
        """What other runtimes than TensorFlow get of this model: one plain Keras network."""
        raise ValueError(f"{self.name} has no network that another runtime could use.")

    def export(  # type: ignore[override]
        self, filepath: str | os.PathLike, format: str = "tf_saved_model", verbose: bool = False
    ) -> None:
        """Writes the model for serving; what is written needs no keras_gen to run.

        Args:
            filepath: The directory to make (a file for `"onnx"` and `"litert"`). It must not exist.
            format: `"tf_saved_model"` with all of the model's signatures: `serving_default` (which
                generates, or classifies) and, as the model has them, `decode`, `encode`,
                `reconstruct`, `features`; or `"onnx"`, `"litert"`, `"openvino"` for the network
                that decodes, or classifies.
            verbose: Print the signatures.

        Raises:
            ValueError: The format is unknown, or something is at `filepath` already.
            ImportError: The package that writes the format is not installed.
        """
        exporting.export(self, filepath, format, verbose)

    # === Presets ===

    def probe(self) -> list[np.ndarray]:
        """What the model computes from inputs that are always the same."""
        raise NotImplementedError

    def card_facts(self) -> dict[str, Any]:
        """What a preset's card says of this kind of model."""
        raise NotImplementedError

    def save_preset(
        self,
        directory: str | os.PathLike,
        card: dict[str, Any] | None = None,
        picture: np.ndarray | None = None,
        weights: Literal["auto", "float16", "float32"] = "auto",
    ) -> Path:
        """Writes a preset, which `keras_gen.from_preset` and every command load.

        Args:
            directory: The folder to make. It must not exist.
            card: What `card.json` says beyond what the model tells of itself: `data`, `metrics`,
                `licence`, ...; anything that JSON has.
            picture: uint8 (height, width, 3) for `samples.png`; generated images by default.
            weights: `"float16"`, half the size, where small arrays stay as they are; `"float32"`; or
                `"auto"`, float16 where no output changes by more than 1e-2.

        Returns:
            The folder: `model.keras` (without the optimizer's state), `card.json`, and `samples.png` or
            `samples.txt`.

        Raises:
            ValueError: There is something at `directory`, or float16 would change the outputs.
        """
        return saving.save_preset(self, directory, card, picture, weights)
