"""Base of all models: complete saving, helpers for training steps, export and presets."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_gen.models.base.checked_model import CheckedModel
from keras_gen.models.base.verbs import Verb, verbs_of
from keras_gen.serving import exporting
from keras_gen.serving.presets import loading, saving
from keras_gen.utils.arguments import checked, received
from keras_gen.utils.files import atomic_write

FURTHER_STATE = ("random_state_", "metric_")


class BaseModel(CheckedModel):
    """Base of the models of keras_gen.

    A subclass makes its networks and trackers in `__init__`, and writes `train_step`, `test_step`, `call`
    and its verbs (see `keras_gen.models.base.verbs`). It inherits saving of the complete state (weights,
    optimizer, random generators, metrics), losses that are means over the global batch for any number of
    replicas, export and presets.
    """

    loader: ClassVar[str] = "load_dataset"  # what in `keras_gen.datasets` loads its data
    from_data: ClassVar[tuple[str, ...]] = ()  # constructor arguments that `arguments_from` its data gives
    fixed_arguments: ClassVar[
        tuple[str, ...]
    ] = ()  # of its bases' constructors, which the class sets itself
    own_networks: ClassVar[tuple[str, ...]] = ()  # constructor arguments that take a user's own networks
    logged_in_training: ClassVar[tuple[str, ...]] = ()  # names that validation does not log
    default_verb: ClassVar[str] = "generate"  # which a SavedModel calls serving_default

    evaluation_batch_size: ClassVar[int] = 16  # small: data sets with fewer training images are refused

    @classmethod
    def refuse_fixed(cls, given: dict[str, Any], reason: str) -> None:
        """Raises a ValueError if `fixed_arguments` are among those that were given."""
        for name in cls.fixed_arguments:
            if name in given:
                raise ValueError(
                    f"{cls.__name__} takes no {name}: {reason}. Received: {name}={received(given[name])}"
                )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        bases = [base for base in cls.__mro__[1:] if issubclass(base, BaseModel)]
        for name, value in vars(cls).items():
            overrides = any(isinstance(vars(base).get(name), Verb) for base in bases)
            if overrides and not isinstance(value, Verb):
                raise TypeError(
                    f"{cls.__name__}.{name} overrides a verb: write it on tensors, decorated with "
                    "@keras_gen.models.base.verbs.verb. Received: a plain attribute"
                )

    @classmethod
    def arguments_from(cls, data: Any, uses_labels: bool = False, **arguments: Any) -> dict[str, Any]:
        """The constructor arguments that follow from the data: those in `from_data`.

        Args:
            data: An `ImageDataset` or `TextDataset`.
            uses_labels: Whether the model uses labels.
            **arguments: The constructor's other arguments.

        Raises:
            ValueError: The model cannot be trained on this data.
        """
        raise NotImplementedError

    def loader_arguments(self) -> dict[str, Any]:
        """Arguments of `loader` that make other data fit this model."""
        return {}

    # === State that Keras leaves out ===

    def _further_state(self) -> dict[str, list[keras.Variable]]:
        """All random generators (including those of the networks, such as Dropout's) and the metrics so
        far.
        """
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
                key = f"{name}_{number}"
                if name == "metric" and key not in saved:
                    continue  # one that `compile` was not given when the file was written
                variable.assign(saved[key])
        own = {key: value for key, value in saved.items() if not key.startswith(FURTHER_STATE)}
        super().load_own_variables(own)

    @checked
    def save(  # type: ignore[override]
        self, filepath: str | os.PathLike, overwrite: bool = True, zipped: bool | None = None
    ) -> None:
        """Saves the model with its complete state, atomically: see `keras.Model.save`.

        Args:
            filepath: A path that ends in `.keras`.
            overwrite: Whether to replace an existing file.
            zipped: Write one file (default), or a directory.

        Raises:
            ValueError: The path does not end in `.keras`, cannot be written to, or exists and `overwrite`
                is False.
        """
        path = Path(filepath)
        if path.suffix != ".keras":
            raise ValueError(
                "filepath must end in .keras, the format that holds all of a model; export writes others. "
                f"Received: {received(os.fspath(filepath))}"
            )
        if os.path.lexists(path) and not overwrite:
            raise ValueError(f"overwrite is False. Received: {received(str(path))}, which exists already")
        if "://" in os.fspath(filepath):  # of a file system that Keras knows
            super().save(filepath, overwrite=True, zipped=zipped)
            return
        with atomic_write(path) as draft:
            super().save(draft, zipped=zipped)

    # === Verbs on arrays: see keras_gen.models.base.verbs ===

    @property
    def unused_options(self) -> dict[str, Any]:
        """Options of the class's verbs that have no effect on this model, and the value that each has here:
        others are refused.
        """
        return {}

    def refuse_unused(self, given: dict[str, Any]) -> None:
        """Raises a ValueError if an option without effect on this model was given."""
        for name, value in self.unused_options.items():
            if given.get(name, value) != value:
                raise ValueError(
                    f"{name} has no effect on this {type(self).__name__}: leave it out. "
                    f"Received: {name}={received(given[name])}"
                )

    @property
    def missing_verbs(self) -> dict[str, str]:
        """Verbs of the class that this model lacks, with the reasons; `hasattr` is False for them."""
        return {}

    @property
    def compiled_verbs(self) -> dict[tuple, Callable]:
        """The graphs of verbs, one for each combination of input shapes."""
        return self.__dict__.setdefault("_compiled_verbs", {})  # where Keras does not track it

    def rows_per_call(self, verb: str, rows: dict[str, Any], options: dict[str, Any]) -> int:
        """Number of rows that a verb computes at a time.

        Args:
            verb: Name of the verb.
            rows: Its inputs, arrays with one row for each example.
            options: Its other arguments.

        Raises:
            ValueError: The result would not fit into memory.
        """
        raise NotImplementedError

    def next_seed(self) -> int:
        """A new integer from the model's `seed_generator`."""
        return int(tf.random.stateless_uniform((), self.seed_generator.next(), 0, 2**31 - 1, tf.int32))

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Does nothing, since the networks are built. Keras would average a batch over the workers."""

    # === Inside train_step and test_step ===

    def unpack(self, data: Any) -> tuple[Any, Any, tf.Tensor | None, tf.Tensor]:
        """The data of a step -> x, y, sample_weight or None, and the number of examples."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if sample_weight is not None:
            self.refuse_weights()
            sample_weight = tf.cast(sample_weight, tf.float32)
        return x, y, sample_weight, tf.shape(x)[0]

    def never_empty(self, *batches: tf.Tensor | None) -> list[Any]:
        """Tensors (n, ...); on a replica with an empty batch, one blank example of each.

        Convolutions have no gradient without an example. The blank example does not count in the loss or
        the logs; only batch normalization sees it.
        """
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return list(batches)
        return [
            None
            if rows is None
            else tf.pad(
                rows, [[0, tf.maximum(0, 1 - tf.shape(rows)[0])], *[[0, 0]] * (rows.shape.rank - 1)]
            )
            for rows in batches
        ]

    def scale_loss(
        self, loss: tf.Tensor, count: tf.Tensor, optimizer: keras.optimizers.Optimizer | None = None
    ) -> tf.Tensor:
        """The contribution of a replica to the loss of the global batch, scaled for float16.

        Args:
            loss: Mean over this replica's examples.
            count: Number of examples. Replicas may have batches of different sizes, or an empty one.
            optimizer: The optimizer whose loss scale is used; `optimizer` by default.
        """
        if self.distribute_strategy.num_replicas_in_sync > 1:
            count = tf.cast(count, tf.float32)
            total = tf.distribute.get_replica_context().all_reduce("sum", count)
            loss *= tf.math.divide_no_nan(count, total)  # Keras sums the gradients of replicas
        return (optimizer or self.optimizer).scale_loss(loss)

    def gradient_norm(
        self, gradients: list[tf.Tensor], count: tf.Tensor, optimizer: keras.optimizers.Optimizer
    ) -> tf.Tensor:
        """The norm of gradients of a loss that `scale_loss` scaled; on several replicas, that of this one's
        part of the batch.
        """
        scale = self.scale_loss(tf.ones(()), count, optimizer)
        return tf.math.divide_no_nan(tf.linalg.global_norm(gradients), scale)

    def track(self, values: dict[str, tf.Tensor], count: tf.Tensor) -> None:
        """Adds the means of a batch to the trackers of the same names; `count` is the number of images or
        tokens.
        """
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        for tracker in self.trackers:
            if tracker.name not in values:
                continue
            value, weight = values[tracker.name], tf.cast(count, tf.float32)
            if scaled and tracker.name.endswith("gradient_norm"):
                # Loss scaling grows until a gradient overflows, and then leaves out that update.
                finite = tf.math.is_finite(value)
                value, weight = tf.where(finite, value, 0.0), tf.where(finite, weight, 0.0)
                values = {**values, tracker.name: value}
            tracker.update_state(value, sample_weight=weight)
        finite = tf.stack([tf.math.is_finite(values.get(name, 0.0)) for name in self._loss_names])
        first = (self._non_finite_steps < 0) & ~finite
        step = tf.cast(self.optimizer.iterations, tf.int64)
        self._non_finite_steps.assign(tf.where(first, step, self._non_finite_steps))

    def update_metrics(
        self,
        y_true: tf.Tensor,
        y_pred: Callable[[], tf.Tensor],
        count: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
    ) -> None:
        """Updates the metrics passed to `compile` with the first `count` examples.

        `y_pred` is computed only if there are any.
        """
        if not (self._user_metrics or self._weighted_metrics):
            return
        y_true, predicted = y_true[:count], y_pred()[:count]
        weights = None if sample_weight is None else sample_weight[:count]
        for metric in self._user_metrics:
            metric.update_state(y_true, predicted)
        for metric in self._weighted_metrics:
            metric.update_state(y_true, predicted, sample_weight=weights)

    def logs(self) -> dict[str, tf.Tensor]:
        """The means of the trackers so far, and the metrics, by name."""
        results = {metric.name: metric.result() for metric in self.metrics}
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            # Keras reduces several workers' logs over axis 0, which a scalar does not have.
            results = {name: tf.reshape(value, (1,)) for name, value in results.items()}
        return results

    def non_finite_losses(self) -> dict[str, int]:
        """The losses that have been NaN or infinite, each with the first such step."""
        steps = self._non_finite_steps.numpy().tolist()
        return {name: step for name, step in zip(self._loss_names, steps, strict=True) if step >= 0}

    # === Export ===

    def signatures(self) -> dict[str, tuple[Callable, dict[str, tf.TensorSpec]]]:
        """The signatures of a SavedModel: name -> (function, inputs by name)."""
        found = {
            name: verb for name, verb in verbs_of(type(self)).items() if name not in self.missing_verbs
        }
        names = sorted(found, key=lambda name: name != self.default_verb)  # that one first
        return {
            "serving_default" if name == self.default_verb else name: found[name].signature(self)
            for name in names
        }

    def portable_network(self) -> keras.Model:
        """The network for other runtimes than TensorFlow: a plain Keras model."""
        raise ValueError(f"{self.name} has no network that another runtime could use.")

    @checked
    def export(  # type: ignore[override]
        self, filepath: str | os.PathLike, format: str = "tf_saved_model", verbose: bool = False
    ) -> None:
        """Writes the model for serving; it then runs without keras_gen.

        Args:
            filepath: The directory to make (a file for `"onnx"` and `"litert"`). It must not exist.
            format: `"tf_saved_model"` with a signature for each of the model's verbs, of which
                `serving_default` generates, or classifies; or `"onnx"`, `"litert"`, `"openvino"` for the
                network that decodes, or classifies.
            verbose: Print the signatures.

        Raises:
            ValueError: The format is unknown, or `filepath` exists already.
            ImportError: The package that writes the format is not installed.
        """
        exporting.export(self, filepath, format, verbose)

    # === Presets ===

    @classmethod
    @checked
    def from_preset(cls, source: str | os.PathLike) -> Any:
        """Loads a trained model of this class: see `keras_gen.from_preset`.

        Args:
            source: A preset: its name, its folder or its URL.

        Raises:
            ValueError: There is no such preset, a file's checksum is not that of its card, or the model is
                of another class.
            ConnectionError: The URL could not be read.
        """
        model = loading.load_keras_file(loading.find_preset_file(source))
        if not isinstance(model, cls):
            raise ValueError(
                f"Expected a preset of a {cls.__name__}. Received: {os.fspath(source)!r}, which holds a "
                f"{type(model).__name__}"
            )
        return model

    def probe(self) -> list[np.ndarray]:
        """Results of the verbs for fixed inputs."""
        raise NotImplementedError

    def card_facts(self) -> dict[str, Any]:
        """Fields of a preset's card for this kind of model."""
        raise NotImplementedError

    def preset_copy(self) -> "BaseModel":
        """What a preset holds: a copy with the weights alone, without the optimizer and the metrics."""
        copy = type(self).from_config(self.get_config())
        copy.set_weights(self.get_weights())
        return copy

    @checked
    def save_preset(
        self,
        directory: str | os.PathLike,
        card: dict[str, Any] | None = None,
        picture: ArrayLike | None = None,
        weights: Literal["auto", "float16", "float32"] = "auto",
    ) -> Path:
        """Writes a preset, which `keras_gen.from_preset` and all commands can load.

        Args:
            directory: The folder to create. It must not exist.
            card: Further fields of `card.json`, such as `data`, `metrics` and `licence`; anything that JSON
                can represent.
            picture: uint8 (height, width, 3) for `samples.png`; generated images by default.
            weights: `"float16"`, half the size, where small arrays stay as they are; `"float32"`; or
                `"auto"`, float16 where no output changes by more than 1e-2.

        Returns:
            The folder: `model.keras` (without the optimizer's state), `card.json`, and `samples.png` or
            `samples.txt`.

        Raises:
            ValueError: `directory` exists already, or float16 would change the outputs.
        """
        return saving.save_preset(self, directory, card, picture, weights)
