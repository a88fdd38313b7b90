"""What every image model of the zoo has in common: data, state, compiling, fitting, export."""

import os
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from keras_gen import exporting
from keras_gen.models import checks
from keras_gen.optimizers import Adam
from keras_gen.presets import saving

CHUNK = 256  # images in one call of a network, so that memory stays bounded whatever is asked for


class ImageModel(keras.Model):
    """Base of the models that learn from images.

    A subclass makes its networks and trackers in `__init__`, and writes `train_step`, `test_step`,
    `call` and `signatures`. It inherits the conventions: pixels are uint8 in [0, 255] or floating
    point in [0, 1], labels are integers or one-hot, and all of the state (weights, optimizer,
    random generators) is in `.keras` and `save_weights`.

    Args:
        image_shape: (height, width, channels).
        num_classes: Number of classes, for a model that uses labels; None for one that ignores them.
        seed: Integer that determines the initial weights and all noise; random by default.
        class_names: What the classes are called, for pictures and for `--labels`; kept in `.keras`.
        **kwargs: `name` and `dtype`, as for any Keras model.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int | None = None,
        seed: int | None = None,
        class_names: Sequence[str] | None = None,
        **kwargs: Any,
    ):
        checks.image_shape(image_shape)
        if num_classes is not None:
            checks.at_least("num_classes", num_classes, 2)
        if class_names is not None and len(class_names) != num_classes:
            raise ValueError(
                f"class_names must be num_classes={num_classes} names. Received: {class_names}"
            )
        super().__init__(**kwargs)
        self.autocast = False  # the networks cast for themselves; losses need float32 pixels
        height, width, channels = image_shape
        self.image_shape = (int(height), int(width), int(channels))
        self.num_classes: Any = num_classes  # an integer wherever labels are used
        self.class_names = None if class_names is None else tuple(class_names)
        self.seed = seed
        self._own_networks: dict[str, keras.Model | None] = {}  # what a subclass was given
        self._compiled = types.SimpleNamespace(functions={})  # of a type that Keras does not track

    @property
    def conditional(self) -> bool:
        """Whether labels are an input of the networks."""
        return self.num_classes is not None

    def get_config(self) -> dict:
        own = {
            name: None if network is None else keras.saving.serialize_keras_object(network)
            for name, network in self._own_networks.items()
        }
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "num_classes": self.num_classes,
            "seed": self.seed,
            "class_names": self.class_names,
            **own,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "ImageModel":
        # Networks of a user's own are the arguments that are stored as objects of Keras.
        def restored(value: Any) -> Any:
            is_object = isinstance(value, dict) and "class_name" in value and "module" in value
            return keras.saving.deserialize_keras_object(value, custom_objects) if is_object else value

        return cls(**{name: restored(value) for name, value in config.items()})

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
        jit_compile: bool = False,
        auto_scale_loss: bool = True,
    ) -> None:
        """Prepares the model for `fit`; the loss is the model's own.

        Args:
            optimizer: `default_optimizer()` where none is given.
            run_eagerly: Run step by step in Python, for debugging.
            steps_per_execution: Training steps in one call of the compiled function; callbacks
                that act on batches are called once for that many. 16 measured fastest. Always 1
                with several replicas, where TensorFlow fails with more.
            jit_compile: Compile with XLA. Off by default: slower for convolutions on CPU.
            auto_scale_loss: Scale the loss under `mixed_float16`.
        """
        if run_eagerly or self.distribute_strategy.num_replicas_in_sync > 1:
            steps_per_execution = 1
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
        """Trains the model: `keras.Model.fit`, after a look at the first batch.

        Args:
            x: Images (n, height, width, channels), or (n, height, width) with one channel; uint8
                in [0, 255] or floating point in [0, 1]; or a `tf.data.Dataset` of batches of
                images or of (images, labels).
            y: Labels where `x` is an array: integers (n,) or one-hot (n, num_classes). Ignored by
                unconditional models.
            **kwargs: As for `keras.Model.fit`: `epochs`, `validation_data`, `callbacks`, ...

        Returns:
            Keras' history.

        Raises:
            ValueError: Images have another shape or type, are not in [0, 1] or not finite; or
                labels are missing or out of range.
        """
        validation = kwargs.get("validation_data")
        validation = validation if isinstance(validation, tuple) else (validation,)
        for images, labels in ((x, y), (*validation, None)[:2]):
            if images is not None or images is x:
                checks.first_batch(images, labels, self.image_shape, self.num_classes)
        callbacks = keras.tree.flatten(kwargs.get("callbacks") or [])
        names = [metric.name for metric in self.metrics]
        if kwargs.get("validation_data") is not None or kwargs.get("validation_split"):
            names += [f"val_{name}" for name in names]
        checks.monitors(callbacks, names)
        if hasattr(x, "set_epoch"):
            # The order of the data belongs to the epoch's number, whoever runs it.
            set_epoch = keras.callbacks.LambdaCallback(on_epoch_begin=lambda k, _: x.set_epoch(k))
            callbacks.insert(0, set_epoch)
        kwargs["callbacks"] = callbacks
        if isinstance(x, tf.data.Dataset):
            kwargs.setdefault("shuffle", False)  # else Keras warns that it does not
        return super().fit(x, y, **kwargs)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Nothing: the networks are built already. Keras would average a batch over the workers."""

    # === Inside train_step and test_step ===

    def prepare(self, data: Any) -> tuple[tf.Tensor, Any]:
        """What `fit` hands to a step -> images float32 in [0, 1] (n, h, w, c), one-hot labels."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.to_images(x), self.to_one_hot(y)

    def to_images(self, x: Any) -> tf.Tensor:
        """Pixels of any accepted type and shape -> float32 in [0, 1], (n, *image_shape)."""
        x = tf.convert_to_tensor(x)
        checks.pixel_type(x.dtype)
        # Keras traces one function for (n, h, w) and (n, h, w, 1), whose rank is then unknown.
        x = tf.reshape(x, (tf.shape(x)[0], *self.image_shape))
        return tf.image.convert_image_dtype(x, tf.float32)

    def to_one_hot(self, labels: Any) -> tf.Tensor | None:
        """Integer or one-hot labels -> float32 (n, num_classes); None where unconditional."""
        if self.num_classes is None:
            return None
        if labels is None:
            raise ValueError(
                f"{self.name} has num_classes={self.num_classes} and needs labels. Received: None"
            )
        labels = tf.convert_to_tensor(labels)

        def from_integers() -> tf.Tensor:
            return tf.one_hot(tf.reshape(tf.cast(labels, tf.int32), (-1,)), self.num_classes)

        def from_one_hot() -> tf.Tensor:
            return tf.reshape(tf.cast(labels, tf.float32), (-1, self.num_classes))

        if labels.shape.rank is None:
            return tf.cond(tf.size(labels) > tf.shape(labels)[0], from_one_hot, from_integers)
        one_hot = labels.shape.rank == 2 and labels.shape[1] == self.num_classes
        return from_one_hot() if one_hot else from_integers()

    def scale_loss(self, loss: tf.Tensor, optimizer: keras.optimizers.Optimizer | None = None) -> tf.Tensor:
        """Divides by the number of replicas, whose gradients are summed, and scales for float16."""
        optimizer = optimizer or self.optimizer
        return optimizer.scale_loss(loss / self.distribute_strategy.num_replicas_in_sync)

    def track(self, values: dict[str, tf.Tensor], num_images: tf.Tensor) -> None:
        """Adds a batch's means to the trackers of the same names, each image counting once."""
        for tracker in self.metrics:
            if tracker.name in values:
                tracker.update_state(values[tracker.name], sample_weight=num_images)
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

    # === Computing on arrays ===

    def in_chunks(self, function: Callable, *inputs: Any, **options: Any) -> Any:
        """Applies a compiled `function` to CHUNK rows of the inputs at a time; NumPy arrays back.

        The function is compiled once for its name, so that what changes from call to call is an
        input (cut into rows, or None) or an option (an integer), and not captured.
        """
        there = [x is not None for x in inputs]
        rows = [tf.convert_to_tensor(x) for x in inputs if x is not None]
        scalars = [tf.constant(value, tf.int32) for value in options.values()]
        key = (function.__name__, *there, *[x.dtype for x in rows])

        def call(*tensors: tf.Tensor) -> Any:
            remaining = iter(tensors)
            arguments = [next(remaining) if present else None for present in there]
            return function(*arguments, **dict(zip(options, remaining, strict=True)))

        if key not in self._compiled.functions:
            specs = [tf.TensorSpec((None, *x.shape[1:]), x.dtype) for x in rows]
            specs += [tf.TensorSpec((), tf.int32)] * len(scalars)
            self._compiled.functions[key] = tf.function(call).get_concrete_function(*specs)
        compiled = self._compiled.functions[key]
        outputs = [
            compiled(*[x[start : start + CHUNK] for x in rows], *scalars)
            for start in range(0, len(rows[0]), CHUNK)
        ]
        return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *outputs)

    def of_pixels(self, function: Callable, images: Any, labels: Any = None, **options: Any) -> Any:
        """Applies `function(images, one_hot_labels)` to what a user passed, after checking it."""
        checks.images(images, self.image_shape)
        one_hot = None
        if self.conditional:
            checks.labels(labels, self.num_classes, len(images))
            one_hot = self.to_one_hot(labels)

        def from_pixels(x: tf.Tensor, labels: tf.Tensor | None, **options: Any) -> Any:
            return function(self.to_images(x), labels, **options)

        from_pixels.__name__ = f"{function.__name__}_of_pixels"
        return self.in_chunks(from_pixels, np.asarray(images), one_hot, **options)

    # === Export ===

    def signatures(self) -> dict[str, tuple[Callable, dict[str, tf.TensorSpec]]]:
        """What a SavedModel of this model offers: name -> (function, its inputs by name)."""
        raise NotImplementedError

    def portable_network(self) -> keras.Model:
        """What other runtimes than TensorFlow get of this model: one plain Keras network."""
        raise ValueError(f"{self.name} has no network that another runtime could use.")

    def image_spec(self) -> dict[str, tf.TensorSpec]:
        """The input of signatures that take images: float32 in [0, 1]."""
        return {"images": tf.TensorSpec((None, *self.image_shape), tf.float32, "images")}

    def label_spec(self) -> dict[str, tf.TensorSpec]:
        """The input that conditional signatures have besides."""
        if not self.conditional:
            return {}
        return {"labels": tf.TensorSpec((None,), tf.int32, "labels")}

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
            The folder: `model.keras` (without the optimizer's state), `card.json`, `samples.png`.

        Raises:
            ValueError: There is something at `directory`, or float16 would change the outputs.
        """
        return saving.save_preset(self, directory, card, picture, weights)
