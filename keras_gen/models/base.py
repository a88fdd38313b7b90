"""What every image model of the zoo has in common: data in, images out, state, compiling, export."""

import os
import types
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_gen import exporting
from keras_gen.models import checks
from keras_gen.optimizers import Adam

CHUNK = 256  # images in one call of a network, so that memory stays bounded whatever is asked for


class GenerativeModel(keras.Model):
    """Base of the image models.

    A subclass makes its networks and trackers in `__init__`, and writes `train_step`, `test_step`,
    `call` and `images_from_latents`. It inherits the conventions: pixels are uint8 in [0, 255] or
    floating point in [0, 1], labels are integers or one-hot, `generate` gives float32 in [0, 1],
    and all of the state (weights, optimizer, random generators) is in `.keras` and `save_weights`.

    Args:
        image_shape: (height, width, channels).
        latent_dim: Length of the latent vector.
        num_classes: Number of classes for a conditional model; None for an unconditional one,
            which ignores labels.
        seed: Integer that determines the initial weights and all noise; random by default.
        class_names: What the classes are called, for pictures and for `--labels`; kept in `.keras`.
        **kwargs: `name` and `dtype`, as for any Keras model.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int,
        num_classes: int | None = None,
        seed: int | None = None,
        class_names: Sequence[str] | None = None,
        **kwargs: Any,
    ):
        checks.image_shape(image_shape)
        checks.at_least("latent_dim", latent_dim, 1)
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
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.class_names = None if class_names is None else tuple(class_names)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)  # for `generate` without a seed
        self._compiled = types.SimpleNamespace(functions={})  # of a type that Keras does not track

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "latent_dim": self.latent_dim,
            "num_classes": self.num_classes,
            "seed": self.seed,
            "class_names": self.class_names,
        }

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
        self.optimizer.build(self.trainable_variables)
        self._loss_names = [tracker.name for tracker in self.metrics]
        self._non_finite_steps = tf.Variable(
            [-1] * len(self._loss_names),
            dtype=tf.int64,
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def default_optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer that `compile()` uses where none is given."""
        return Adam(3e-3)

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
        if hasattr(x, "set_epoch"):
            # The order of the data belongs to the epoch's number, whoever runs it.
            set_epoch = keras.callbacks.LambdaCallback(on_epoch_begin=lambda k, _: x.set_epoch(k))
            callbacks = kwargs.get("callbacks") or []
            kwargs["callbacks"] = [set_epoch, *keras.tree.flatten(callbacks)]
        if isinstance(x, tf.data.Dataset):
            kwargs.setdefault("shuffle", False)  # else Keras warns that it does not
        return super().fit(x, y, **kwargs)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Nothing: the networks are built already. Keras would average a batch over the workers."""

    # === Inside train_step and test_step ===

    def prepare(self, data: Any) -> tuple[tf.Tensor, tf.Tensor | None]:
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

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """Divides by the number of replicas, whose gradients are summed, and scales for float16."""
        return self.optimizer.scale_loss(loss / self.distribute_strategy.num_replicas_in_sync)

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

    # === Generating ===

    def images_from_latents(self, z: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """Latent vectors (n, latent_dim), one-hot labels -> float32 images in [0, 1] (n, h, w, c)."""
        raise NotImplementedError

    def latents(self, num_samples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Latent vectors (num_samples, latent_dim) of the prior, from an integer seed."""
        return tf.random.stateless_normal((num_samples, self.latent_dim), seed=(seed, 0))

    def generate(self, num_samples: int = 1, seed: int | None = None, labels: Any = None) -> np.ndarray:
        """Draws new images.

        Args:
            num_samples: How many, 1 or more.
            seed: Integer. The same weights and seed give the same images; without one, each call
                gives others.
            labels: For a conditional model: integers from 0 to num_classes - 1, or one-hot rows;
                repeated in order up to `num_samples`. Random labels where none are given.

        Returns:
            float32 in [0, 1], (num_samples, height, width, channels).

        Raises:
            ValueError: `num_samples` is less than 1; labels are out of range, or given to an
                unconditional model.
        """
        checks.at_least("num_samples", num_samples, 1)
        if seed is None:
            seed = int(tf.random.stateless_uniform((), self.seed_generator.next(), 0, 2**31 - 1, tf.int32))
        z = self.latents(num_samples, seed)
        return self.in_chunks(
            self.images_from_latents, z, self.generation_labels(num_samples, seed, labels)
        )

    def generation_labels(self, num_samples: int, seed: int, labels: Any) -> tf.Tensor | None:
        """One-hot labels (num_samples, num_classes) for `generate`; None where unconditional."""
        if self.num_classes is None:
            if labels is not None:
                raise ValueError(
                    f"{self.name} is unconditional (num_classes=None) and takes no labels. "
                    f"Received: labels={labels!r}"
                )
            return None
        if labels is None:
            labels = tf.random.stateless_uniform((num_samples,), (seed, 1), 0, self.num_classes, tf.int32)
        else:
            labels = np.atleast_1d(np.asarray(labels))
            checks.labels(labels, self.num_classes, len(labels))
            labels = labels[np.arange(num_samples) % len(labels)]
        return self.to_one_hot(labels)

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

    # === Export ===

    def signatures(self) -> dict[str, tuple[Callable, dict[str, tf.TensorSpec]]]:
        """What a SavedModel of this model offers: name -> (function, its inputs by name)."""

        def generate(seed, num_samples, labels=None):  # type: ignore[no-untyped-def]
            one_hot = None
            if labels is not None:
                repeated = tf.gather(labels, tf.range(num_samples) % tf.shape(labels)[0])
                one_hot = self.to_one_hot(repeated)
            return {"images": self.images_from_latents(self.latents(num_samples, seed), one_hot)}

        inputs = {
            "seed": tf.TensorSpec((), tf.int32, "seed"),
            "num_samples": tf.TensorSpec((), tf.int32, "num_samples"),
        }
        return {"serving_default": (generate, {**inputs, **self.label_spec()})}

    def decoding_network(self) -> keras.Model:
        """Latent vectors (and one-hot labels) -> images in [0, 1], as one plain Keras network."""
        raise ValueError(f"{self.name} has no decoder that another runtime could use.")

    def label_spec(self) -> dict[str, tf.TensorSpec]:
        """The input that conditional signatures have besides."""
        if self.num_classes is None:
            return {}
        return {"labels": tf.TensorSpec((None,), tf.int32, "labels")}

    def export(  # type: ignore[override]
        self, filepath: str | os.PathLike, format: str = "tf_saved_model", verbose: bool = False
    ) -> None:
        """Writes the model for serving; what is written needs no keras_gen to run.

        Args:
            filepath: The directory to make (a file for `"onnx"` and `"litert"`). It must not exist.
            format: `"tf_saved_model"` with the signatures `serving_default` (which generates),
                and as the model has them, `decode`, `encode` and `reconstruct`; or `"onnx"`,
                `"litert"`, `"openvino"` for `decode`.
            verbose: Print the signatures.

        Raises:
            ValueError: The format is unknown, or something is at `filepath` already.
            ImportError: The package that writes the format is not installed.
        """
        exporting.export(self, filepath, format, verbose)
