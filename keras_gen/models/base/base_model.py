"""What every model of the zoo has in common: state, compiling, fitting, export."""

import os
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_gen.datasets.epochs import EpochSetter
from keras_gen.models.base import validation
from keras_gen.models.base.screening import Screen, data_errors_named
from keras_gen.models.base.verbs import Verb, verbs_of
from keras_gen.optimizers import Adam
from keras_gen.serving import exporting
from keras_gen.serving.presets import loading, saving
from keras_gen.utils import arrays, devices
from keras_gen.utils.arguments import Count, Fraction, Natural, checked, received
from keras_gen.utils.files import atomic_write

Verbosity = bool | Literal["auto", 0, 1, 2]
EXPECTED_DATA = {
    "images": "images as one array (n, height, width, channels)",
    "text": "token ids as two arrays (n, t), inputs and targets, as load_text gives them",
}
FURTHER_STATE = ("random_state_", "metric_")
STEPS_PER_EXECUTION = 16  # measured fastest
# Where callbacks live that know that they are called once for several steps.
KNOWN_CALLBACKS = ("keras.", "keras_gen.", "mlflow.")
BATCH_METHODS = [f"on_{what}batch_{when}" for what in ("", "train_", "test_") for when in ("begin", "end")]


class BaseModel(keras.Model):
    """Base of the zoo's models.

    A subclass makes its networks and trackers in `__init__`, and writes `train_step`, `test_step`, `call`
    and its verbs (see `keras_gen.models.base.verbs`). From here come saving with all of the state (weights,
    optimizer, random generators, metrics), losses that are means over the global batch, whatever the number
    of replicas, export and presets.
    """

    loader: ClassVar[str] = "load_dataset"  # what in `keras_gen.datasets` loads its data
    learns_from: ClassVar[Literal["images", "text"]] = "images"
    from_data: ClassVar[tuple[str, ...]] = ()  # constructor arguments that `arguments_from` its data gives
    fixed_arguments: ClassVar[
        tuple[str, ...]
    ] = ()  # of its bases' constructors, which the class sets itself
    own_networks: ClassVar[tuple[str, ...]] = ()  # constructor arguments that take a user's own networks
    default_learning_rate: ClassVar[float] = 3e-3  # of recipes and of `compile()`
    default_verb: ClassVar[str] = "generate"  # which a SavedModel calls serving_default
    uses_sample_weight: ClassVar[bool] = True
    trackers: Sequence[keras.metrics.Metric] = ()  # of what it logs
    _is_fitting = False

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
        """The constructor arguments that follow from the data: those that `from_data` names.

        Args:
            data: What `keras_gen.datasets` loaded.
            uses_labels: Whether the model is to use labels.
            **arguments: The constructor's other arguments.

        Raises:
            ValueError: The model cannot be trained on this data.
        """
        raise NotImplementedError

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
        """Writes the model with all of its state: `keras.Model.save`, but whole or not at all.

        Args:
            filepath: A path that ends in `.keras`.
            overwrite: Whether a file that is there is replaced.
            zipped: Write one file, as by default, or a directory.

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

    # === Compiling and fitting ===

    @checked
    def compile(  # type: ignore[override]
        self,
        optimizer: Any = None,
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: Count | None = None,
        jit_compile: bool | Literal["auto"] | None = None,
        auto_scale_loss: bool = True,
    ) -> None:
        """Prepares the model for `fit`.

        Args:
            optimizer: By default `default_optimizer()`, with the recipe's settings.
            loss: Must be None: the loss is the model's own.
            loss_weights: Likewise.
            metrics: Keras metrics to log beside the model's own, each updated with what the model's
                docstring calls `y_true` and `y_pred`.
            weighted_metrics: The same, weighted by `sample_weight`.
            run_eagerly: Run step by step in Python, for debugging.
            steps_per_execution: Training steps in one call of the compiled function. Keras calls
                `on_train_batch_end` once for that many, with the number of the last one. By default 16,
                which measured fastest; but 1 where `fit` gets a callback of your own that acts on
                batches, and on several replicas, where TensorFlow fails with more.
            jit_compile: Compile with XLA. By default where it is faster: see `keras_gen.utils.devices`.
            auto_scale_loss: Scale the loss under `mixed_float16`.

        Raises:
            ValueError: A loss was given, a metric is unknown, or one has a name that is already taken.
        """
        if loss is not None or loss_weights is not None:
            raise ValueError(
                f"{type(self).__name__} trains with its own loss, which its constructor's arguments set: "
                "leave out loss and loss_weights. Further terms come from add_loss and from regularizers "
                f"of your own networks. Received: loss={received(loss)}, "
                f"loss_weights={received(loss_weights)}"
            )
        self._chosen = {
            "steps_per_execution": steps_per_execution,
            "jit_compile": None if jit_compile == "auto" else jit_compile,
        }
        replicas = self.distribute_strategy.num_replicas_in_sync
        if jit_compile in (None, "auto"):
            jit_compile = not run_eagerly and devices.uses_xla(self.learns_from, num_replicas=replicas)
        self._set_metrics(metrics, weighted_metrics)
        super().compile(
            optimizer=validation.optimizer("optimizer", optimizer) or self.default_optimizer(),
            run_eagerly=run_eagerly,
            steps_per_execution=self._resolve_steps_per_execution([], run_eagerly),
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
        )
        # A checkpoint's optimizer state is loaded only into variables that exist.
        self.optimizer.build(self.optimized_variables)
        self._loss_names = [tracker.name for tracker in self.trackers]
        self._non_finite_steps = tf.Variable(
            [-1] * len(self._loss_names),
            dtype=tf.int64,
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def _set_metrics(self, metrics: Sequence[Any] | None, weighted_metrics: Sequence[Any] | None) -> None:
        for name, some in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if some is not None and not isinstance(some, (list, tuple)):
                raise ValueError(f"{name} must be a list of metrics. Received: {received(some)}")
        taken = {tracker.name for tracker in self.trackers}
        self._user_metrics, self._weighted_metrics = (
            [validation.metric(metric, taken) for metric in some or ()]
            for some in (metrics, weighted_metrics)
        )

    def _resolve_steps_per_execution(self, callbacks: Sequence[Any], run_eagerly: bool) -> int:
        if run_eagerly or self.distribute_strategy.num_replicas_in_sync > 1:
            return 1
        if self._chosen["steps_per_execution"] is not None:
            return self._chosen["steps_per_execution"]
        return 1 if any(map(acts_on_batches, callbacks)) else STEPS_PER_EXECUTION

    @property
    def metrics(self) -> list:
        """The trackers of what the model logs, then the metrics that `compile` was given."""
        of_user = (getattr(self, name, ()) for name in ("_user_metrics", "_weighted_metrics"))
        return [*self.trackers, *(metric for some in of_user for metric in some)]

    @property
    def optimized_variables(self) -> list[keras.Variable]:
        """What `optimizer` trains."""
        return self.trainable_variables

    def default_optimizer(self, learning_rate: Any = None) -> keras.optimizers.Optimizer:
        """The optimizer that recipes use, and `compile()` where none is given.

        Args:
            learning_rate: A number or a schedule; `default_learning_rate` by default.
        """
        return Adam(self.default_learning_rate if learning_rate is None else learning_rate)

    def optimizers(
        self, learning_rates: dict[str, float | None], decay_steps: int | None
    ) -> dict[str, keras.optimizers.Optimizer]:
        """The default optimizers, by their arguments' names in `compile`.

        Args:
            learning_rates: The initial learning rate of each, by the same names; that of `optimizer` where
                one is missing or None.
            decay_steps: Training steps over which the learning rates decay to 0 along half a cosine; None
                to keep them constant.

        Raises:
            ValueError: A learning rate is for an optimizer that the model does not have.
        """
        updates = self.updates_per_step()
        for name, rate in learning_rates.items():
            if rate is not None and name not in updates:
                raise ValueError(
                    f"{type(self).__name__} has no {name} (it has {' and '.join(updates)}): leave out its "
                    f"learning rate. Received: {received(rate)}"
                )
        found = {}
        for name, num_updates in updates.items():
            initial = learning_rates.get(name) or learning_rates["optimizer"]
            schedule: Any = initial
            if decay_steps is not None:  # a schedule counts its own optimizer's updates
                schedule = keras.optimizers.schedules.CosineDecay(initial, decay_steps * num_updates)
            found[name] = self.default_optimizer(schedule)
        return found

    def updates_per_step(self) -> dict[str, int]:
        """How often a training step updates with each optimizer, by its argument's name in `compile`.

        A learning-rate schedule counts its own optimizer's updates.
        """
        return {"optimizer": 1}

    def get_compile_config(self) -> dict:
        if not self.compiled:
            return {}
        metrics = {"metrics": self._user_metrics, "weighted_metrics": self._weighted_metrics}
        return {
            "optimizer": keras.saving.serialize_keras_object(self.optimizer),
            "run_eagerly": self.run_eagerly,
            **self._chosen,
            "auto_scale_loss": isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer),
            **{name: keras.saving.serialize_keras_object(some) for name, some in metrics.items()},
        }

    def compile_from_config(self, config: dict) -> None:
        if "metrics" not in config:  # an older file, which has what these came to, not what was asked for
            config = {**config, "jit_compile": None, "steps_per_execution": None}
        self.compile(**keras.saving.deserialize_keras_object(config))

    @checked
    def fit(  # type: ignore[override]
        self,
        x: Any = None,
        y: Any = None,
        batch_size: Count | None = None,
        epochs: Natural = 1,
        verbose: Verbosity = "auto",
        callbacks: Any = None,
        validation_split: Fraction = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict | None = None,
        sample_weight: Any = None,
        initial_epoch: Natural = 0,
        steps_per_epoch: Count | None = None,
        validation_steps: Count | None = None,
        validation_batch_size: Count | None = None,
        validation_freq: Count | Sequence[Count] = 1,
    ) -> keras.callbacks.History:
        """Trains the model: `keras.Model.fit`, after a check of the data and of the callbacks.

        Args:
            x: For a model of images: (n, height, width, channels), or (n, height, width) with one channel,
                uint8 in [0, 255] or floating point in [0, 1]. For a model of text: token ids, integers
                (n, t), padded with 0. Or a `tf.data.Dataset` of batches, as `load_dataset` and `load_text`
                make it.
            y: Where `x` is an array, labels: integers (n,) or one-hot (n, num_classes), which
                unconditional models ignore. For a model of text the token after each, integers (n, t).
            batch_size: Examples in a batch where `x` is an array; 32 by default.
            epochs: The epoch to train up to.
            verbose: 0, 1, 2 or `"auto"`.
            callbacks: `keras.callbacks.Callback`s.
            validation_split: Fraction of the arrays, from the end, to validate with.
            validation_data: `(x, y)`, `(x, y, sample_weight)` or a `tf.data.Dataset`.
            shuffle: Whether arrays are shuffled before each epoch.
            class_weight: Weight of each class's images, where there are labels.
            sample_weight: Weight of each example in the loss, (n,), 0 or more.
            initial_epoch: The epoch to begin at, where training is resumed. Data of `load_dataset` and
                `load_text` then comes in the order of that epoch.
            steps_per_epoch: Batches in an epoch; by default until the data ends.
            validation_steps: Likewise.
            validation_batch_size: `batch_size` by default.
            validation_freq: Epochs from one validation to the next.

        Returns:
            Keras' history.

        Raises:
            ValueError: The data has another shape or type, is out of range or not finite; labels are
                missing or out of range; a weight is negative, or the model does not use weights; or a
                callback monitors what is not logged.
        """
        callbacks = validation.callbacks(callbacks)
        validation.class_weight(class_weight)
        x, y, sample_weight = in_arrays(x, y, sample_weight)
        self._check_data(x, y, sample_weight, class_weight)
        refuse_endless(x, "steps_per_epoch", steps_per_epoch)
        # With validation_data as a tuple, Keras takes its parts for x, y and sample_weight.
        given = tuple(validation_data) if isinstance(validation_data, (tuple, list)) else (validation_data,)
        if validation_data is not None:
            if not 1 <= len(given) <= 3:
                raise ValueError(
                    "validation_data must be (x, y), (x, y, sample_weight) or a tf.data.Dataset. "
                    f"Received: {len(given)} parts"
                )
            given = in_arrays(*(*given, None, None)[:3])[: len(given)]
            self._check_data(*given)
            refuse_endless(given[0], "validation_steps", validation_steps)
            if is_array(given[0]):
                validation_data = with_targets(*given) if len(given) == 3 else given
        x, y, sample_weight = with_targets(x, y, sample_weight)
        names = [metric.name for metric in self.metrics]
        if validation_data is not None or validation_split:
            names += [f"val_{name}" for name in names]
        validation.monitors(callbacks, names)
        callbacks.insert(0, EpochSetter(x, validation_data))
        self._use_steps_per_execution(callbacks)
        screen = Screen(self.check_examples, self.is_valid)
        self._is_fitting = True
        try:
            with screen.raising():
                return super().fit(
                    screen(x),
                    y,
                    batch_size=batch_size,
                    epochs=epochs,
                    verbose=verbose,
                    callbacks=callbacks,
                    validation_split=validation_split,
                    validation_data=screen(validation_data),
                    # Of others Keras would warn that it does not shuffle them.
                    shuffle=shuffle and (is_array(x) or isinstance(x, keras.utils.PyDataset)),
                    class_weight=class_weight,
                    sample_weight=sample_weight,
                    initial_epoch=initial_epoch,
                    steps_per_epoch=steps_per_epoch,
                    validation_steps=validation_steps,
                    validation_batch_size=validation_batch_size,
                    validation_freq=validation_freq,
                )
        finally:
            self._is_fitting = False

    @checked
    def evaluate(  # type: ignore[override]
        self,
        x: Any = None,
        y: Any = None,
        batch_size: Count | None = None,
        verbose: Verbosity = "auto",
        sample_weight: Any = None,
        steps: Count | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The means of what the model logs, over some data: `keras.Model.evaluate`.

        Args:
            x: As for `fit`.
            y: As for `fit`.
            batch_size: Examples in a batch where `x` is an array; 32 by default.
            verbose: 0, 1, 2 or `"auto"`.
            sample_weight: As for `fit`.
            steps: Batches; by default until the data ends.
            callbacks: `keras.callbacks.Callback`s.
            return_dict: Return the values by name.
            **kwargs: Keras' own.

        Returns:
            A list of values in the order of `metrics_names`, or a dictionary.

        Raises:
            ValueError: As for `fit`.
        """
        screen = Screen(self.check_examples, self.is_valid)
        if "_use_cached_eval_dataset" not in kwargs:  # as `fit` calls it, which has checked the data
            if unknown := kwargs.keys() - {"_use_cached_eval_dataset"}:
                raise TypeError(
                    f"evaluate: got an unexpected keyword argument. Received: {sorted(unknown)}"
                )
            x, y, sample_weight = in_arrays(x, y, sample_weight)
            self._check_data(x, y, sample_weight)
            refuse_endless(x, "steps", steps)
            x, y, sample_weight = with_targets(x, y, sample_weight)
            x = screen(x)
        if not self._is_fitting:
            callbacks = validation.callbacks(callbacks)
            self._use_steps_per_execution(callbacks)
        with screen.raising():
            return super().evaluate(
                x,
                y,
                batch_size=batch_size,
                verbose=verbose,
                sample_weight=sample_weight,
                steps=steps,
                callbacks=callbacks,
                return_dict=return_dict,
                **kwargs,
            )

    @checked
    def predict(  # type: ignore[override]
        self,
        x: Any,
        batch_size: Count | None = None,
        verbose: Verbosity = "auto",
        steps: Count | None = None,
        callbacks: Any = None,
    ) -> Any:
        """What `call` gives, batch by batch: `keras.Model.predict`.

        Args:
            x: What `call` takes, as an array or a `tf.data.Dataset` of batches.
            batch_size: Examples in a batch where `x` is an array; 32 by default.
            verbose: 0, 1, 2 or `"auto"`.
            steps: Batches; by default until the data ends.
            callbacks: `keras.callbacks.Callback`s.

        Raises:
            ValueError: `x` is not what `call` takes.
        """
        if is_array(x) or isinstance(x, (list, tuple)):
            self.check_inputs(x)
        elif is_no_data(x):
            raise ValueError(
                f"x must be what {type(self).__name__}.call takes, as an array or a tf.data.Dataset of "
                f"batches. Received: {received(x)}"
            )
        elif isinstance(x, (tf.data.Dataset, keras.utils.PyDataset)):
            batch = keras.utils.unpack_x_y_sample_weight(first_batch(x))
            self.check_inputs(self.inputs_of(*batch))
        refuse_endless(x, "steps", steps)
        callbacks = validation.callbacks(callbacks)
        screen = Screen(
            lambda *batch: self.check_inputs(self.inputs_of(*batch)),
            lambda inputs, *_: self.are_valid_inputs(inputs),
        )
        with screen.raising():
            return super().predict(screen(x), batch_size, verbose, steps, callbacks)

    def _use_steps_per_execution(self, callbacks: Sequence[Any]) -> None:
        if not self.compiled:
            return  # Keras says so
        steps = self._resolve_steps_per_execution(callbacks, self.run_eagerly)
        if steps != self.steps_per_execution:
            self.steps_per_execution: Any = steps
            self.train_function = self.test_function = None  # they are compiled for so many steps

    def _check_data(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None
    ) -> None:
        """Checks arrays to the end, and of a data set the first batch: of a generator it would be lost."""
        if sample_weight is not None or class_weight is not None:
            self.refuse_weights()
        unlabelled = isinstance(x, tf.data.Dataset) and not isinstance(x.element_spec, tuple)
        if class_weight is not None and (unlabelled or (y is None and is_array(x))):
            raise ValueError("class_weight needs labels: pass fit(images, labels). Received: images alone")
        if isinstance(x, (tf.data.Dataset, keras.utils.PyDataset)):
            self.check_examples(*keras.utils.unpack_x_y_sample_weight(first_batch(x)))
        elif is_array(x):
            self.check_examples(x, y)
            if sample_weight is not None:
                validation.weights(sample_weight, self.weight_shapes(x))
        elif is_no_data(x):
            raise ValueError(
                f"Expected {EXPECTED_DATA[self.learns_from]}, or a tf.data.Dataset of batches. "
                f"Received: {received(x)}"
            )

    def weight_shapes(self, x: Any) -> list[tuple[int, ...]]:
        """The shapes that `sample_weight` may have for these examples."""
        return [(len(x),), (len(x), 1)]

    def check_examples(self, x: Any, y: Any, sample_weight: Any = None) -> None:
        """Raises a ValueError where the model cannot learn from these arrays."""
        raise NotImplementedError

    def is_valid(self, x: tf.Tensor, y: Any, sample_weight: Any = None) -> tf.Tensor:
        """Whether `check_examples` would let these tensors through, as a graph can tell quickly."""
        if sample_weight is None:
            return tf.constant(True)
        weight = tf.cast(sample_weight, tf.float32)
        return tf.reduce_all(tf.math.is_finite(weight) & (weight >= 0))

    def are_valid_inputs(self, x: tf.Tensor) -> tf.Tensor:
        """Whether `check_inputs` would let these tensors through, as a graph can tell quickly."""
        return tf.constant(True)

    def inputs_of(self, x: Any, y: Any, sample_weight: Any) -> Any:
        """What `predict` passes to `call` of a batch."""
        return x

    def check_inputs(self, x: Any) -> None:
        """Raises a ValueError where `call` cannot take these arrays."""
        self.check_examples(x, None)

    def refuse_weights(self) -> None:
        """Raises a ValueError where the model does not use weights of examples."""
        if not self.uses_sample_weight:
            raise ValueError(
                f"{type(self).__name__} takes no sample_weight or class_weight: its losses compare two "
                "distributions, not examples. Repeat or leave out examples instead. Received: weights"
            )

    # === Verbs on arrays: see keras_gen.models.base.verbs ===

    @property
    def compiled_verbs(self) -> dict[tuple, Callable]:
        """The graphs of verbs, each for one shape of its inputs."""
        return self.__dict__.setdefault("_compiled_verbs", {})  # where Keras does not track it

    def rows_per_call(self, verb: str, rows: dict[str, Any], options: dict[str, Any]) -> int:
        """How many rows a verb computes at a time.

        Args:
            verb: Its name.
            rows: Its inputs, arrays of as many rows as there are examples.
            options: Its other arguments.

        Raises:
            ValueError: The result would not fit into memory.
        """
        raise NotImplementedError

    def drawn_seed(self) -> int:
        """A new integer at each call, from the model's `seed_generator`."""
        return int(tf.random.stateless_uniform((), self.seed_generator.next(), 0, 2**31 - 1, tf.int32))

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Nothing: the networks are built already. Keras would average a batch over the workers."""

    # === Inside train_step and test_step ===

    def unpack(self, data: Any) -> tuple[Any, Any, tf.Tensor | None, tf.Tensor]:
        """What `fit` hands to a step -> x, y, sample_weight or None, and how many examples there are."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if sample_weight is not None:
            self.refuse_weights()
            sample_weight = tf.cast(sample_weight, tf.float32)
        return x, y, sample_weight, tf.shape(x)[0]

    def never_empty(self, *batches: tf.Tensor | None) -> list[Any]:
        """Tensors (n, ...) as they are; but on a replica whose batch is empty, one blank example of each.

        Convolutions have no gradient without an example. The blank one does not count in the loss and in
        what is logged; batch normalization alone sees it in that step.
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
        """A replica's part of the loss of the global batch, scaled for float16.

        Args:
            loss: Mean over this replica's examples.
            count: How many examples. Replicas may have batches of different sizes, and even an empty one.
            optimizer: Whose loss scale is used; `optimizer` by default.
        """
        if self.distribute_strategy.num_replicas_in_sync > 1:
            count = tf.cast(count, tf.float32)
            total = tf.distribute.get_replica_context().all_reduce("sum", count)
            loss *= tf.math.divide_no_nan(count, total)  # Keras sums the gradients of replicas
        return (optimizer or self.optimizer).scale_loss(loss)

    def track(self, values: dict[str, tf.Tensor], count: tf.Tensor) -> None:
        """Adds a batch's means to the trackers of the same names; `count` is of images, or tokens."""
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        for tracker in self.trackers:
            if tracker.name not in values:
                continue
            value, weight = values[tracker.name], tf.cast(count, tf.float32)
            if scaled and tracker.name.endswith("_gradient_norm"):
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
        """Updates the metrics that `compile` was given with the first `count` examples.

        `y_pred` is computed where there are any.
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
        """The trackers' means so far, and the metrics, under their names."""
        results = {metric.name: metric.result() for metric in self.metrics}
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
        found = verbs_of(type(self))
        names = sorted(found, key=lambda name: name != self.default_verb)  # that one first
        return {
            "serving_default" if name == self.default_verb else name: found[name].signature(self)
            for name in names
        }

    def portable_network(self) -> keras.Model:
        """What runtimes other than TensorFlow get of this model: one plain Keras network."""
        raise ValueError(f"{self.name} has no network that another runtime could use.")

    @checked
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
        """What the model computes from inputs that are always the same."""
        raise NotImplementedError

    def card_facts(self) -> dict[str, Any]:
        """What a preset's card says about this kind of model."""
        raise NotImplementedError

    @checked
    def save_preset(
        self,
        directory: str | os.PathLike,
        card: dict[str, Any] | None = None,
        picture: ArrayLike | None = None,
        weights: Literal["auto", "float16", "float32"] = "auto",
    ) -> Path:
        """Writes a preset, which `keras_gen.from_preset` and every command load.

        Args:
            directory: The folder to make. It must not exist.
            card: What `card.json` says beyond what the model says about itself: `data`, `metrics`,
                `licence`, ...; anything that JSON can hold.
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


def acts_on_batches(callback: Any) -> bool:
    """Whether a user's own callback needs to be called for every step."""
    if isinstance(callback, keras.callbacks.CallbackList):
        return any(map(acts_on_batches, callback.callbacks))
    for name in BATCH_METHODS:
        method = getattr(callback, name, None)
        module = getattr(method, "__module__", None) or ""
        if method is not None and not module.startswith(KNOWN_CALLBACKS):
            return True
    return False


def first_batch(x: tf.data.Dataset | keras.utils.PyDataset) -> Any:
    """The first batch of data that has one."""
    with data_errors_named():
        if isinstance(x, tf.data.Dataset):
            batch = next(iter(x.take(1)), None)
        else:
            batch = x[0] if x.num_batches != 0 else None
    if batch is None:
        raise ValueError(f"Expected at least one batch. Received: {received(x)}")
    return batch


def is_no_data(x: Any) -> bool:
    """Whether something is neither an array, nor one of the sources of batches that Keras knows."""
    known = (
        tf.data.Dataset,
        tf.distribute.DistributedDataset,
        keras.utils.PyDataset,
        types.GeneratorType,
    )
    loaders = ("torch.", "grain.")  # data loaders, of packages that are not needed otherwise
    is_loader = any(cls.__module__.startswith(loaders) for cls in type(x).__mro__)
    return not (is_array(x) or isinstance(x, known) or is_loader)


def in_arrays(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """What was given beside an array, as arrays too, where it is a list; types that TensorFlow knows."""
    if not is_array(x):
        return x, y, sample_weight

    def in_array(value: Any) -> Any:
        found = arrays.as_array(value) if isinstance(value, (list, tuple, np.ndarray)) else None
        return value if found is None else found

    return in_array(x), in_array(y), in_array(sample_weight)


def is_array(x: Any) -> bool:
    """Whether something is one array, of NumPy, TensorFlow or pandas."""
    return hasattr(x, "shape") and not isinstance(x, type)


def refuse_endless(x: Any, name: str, steps: int | None) -> None:
    """Raises a ValueError where an epoch would never end."""
    endless = isinstance(x, tf.data.Dataset) and bool(x.cardinality() == tf.data.INFINITE_CARDINALITY)
    endless |= isinstance(x, keras.utils.PyDataset) and x.num_batches is None
    if steps is None and endless:
        raise ValueError(f"An infinite data set needs {name}. Received: {name}=None")


def with_targets(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """x, y and sample_weight, with y as zeros where only it is missing: Keras would drop the weights."""
    if y is None and sample_weight is not None and hasattr(x, "shape"):
        y = np.zeros(len(x), np.int32)
    return x, y, sample_weight


def sum_of_losses(network: keras.Model) -> tf.Tensor | float:
    """The losses of a network's own layers in its last call: `add_loss` and regularizers."""
    losses = [tf.reduce_sum(tf.cast(loss, tf.float32)) for loss in network.losses]
    return tf.add_n(losses) if losses else 0.0
