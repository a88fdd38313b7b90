"""`keras.Model`'s methods `compile`, `fit`, `evaluate` and `predict`, with checks of all arguments."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import keras
import tensorflow as tf

from keras_gen.datasets.epochs import EpochSetter
from keras_gen.models.base import validation
from keras_gen.models.base.data_checks import (
    BatchChecker,
    as_arrays,
    first_batch,
    is_array,
    is_data,
    refuse_endless,
    with_targets,
)
from keras_gen.optimizers import Adam
from keras_gen.utils import devices
from keras_gen.utils.arguments import Count, Fraction, Natural, checked, received

Verbosity = bool | Literal["auto", 0, 1, 2]
EXPECTED_DATA = {
    "images": "images as one array (n, height, width, channels)",
    "text": "token ids as two arrays (n, t), inputs and targets, as load_text gives them",
}
STEPS_PER_EXECUTION = 16  # measured fastest
# Where callbacks live that know that they are called once for several steps.
KNOWN_CALLBACKS = ("keras.", "keras_gen.", "mlflow.")
BATCH_METHODS = [f"on_{what}batch_{when}" for what in ("", "train_", "test_") for when in ("begin", "end")]


class CheckedModel(keras.Model):
    """A `keras.Model` with its own losses, whose methods use or refuse each argument.

    A subclass writes `check_examples` and `is_valid`, which refuse data that it cannot learn from.
    """

    learns_from: ClassVar[Literal["images", "text"]] = "images"
    default_learning_rate: ClassVar[float] = 3e-3  # of recipes and of `compile()`
    uses_sample_weight: ClassVar[bool] = True
    trackers: Sequence[keras.metrics.Metric] = ()  # of what it logs
    _is_fitting = False

    # === Compiling ===

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
        self.build_optimizers()
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
        """The trackers of the model's own values, then the metrics passed to `compile`."""
        given = (getattr(self, name, ()) for name in ("_user_metrics", "_weighted_metrics"))
        return [*self.trackers, *(metric for some in given for metric in some)]

    def build_optimizers(self) -> None:
        """Makes the optimizers' variables: a checkpoint's state is loaded only into what exists."""
        self.optimizer.build(self.optimized_variables)

    @property
    def optimized_variables(self) -> list[keras.Variable]:
        """The variables that `optimizer` trains."""
        return self.trainable_variables

    def default_optimizer(self, learning_rate: Any = None) -> keras.optimizers.Optimizer:
        """The optimizer of recipes, and of `compile()` without an optimizer.

        Args:
            learning_rate: A number or a schedule; `default_learning_rate` by default.
        """
        return Adam(self.default_learning_rate if learning_rate is None else learning_rate)

    def optimizers(
        self, learning_rates: dict[str, float | None], decay_steps: int | None
    ) -> dict[str, keras.optimizers.Optimizer]:
        """The default optimizers, by the names of their arguments in `compile`.

        Args:
            learning_rates: Initial learning rates by the same names. One that is missing or None is that of
                `optimizer`, and if that is, too, `default_learning_rate`.
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
            given = (learning_rates.get(name), learning_rates.get("optimizer"), self.default_learning_rate)
            initial = next(rate for rate in given if rate is not None)
            schedule: Any = initial
            if decay_steps is not None:  # a schedule counts its own optimizer's updates
                schedule = self.learning_rate_schedule(initial, decay_steps * num_updates)
            found[name] = self.default_optimizer(schedule)
        return found

    def learning_rate_schedule(self, initial: float, num_updates: int) -> Any:
        """A decay to 0 over a number of updates; a model that needs warm-up overrides this."""
        return keras.optimizers.schedules.CosineDecay(initial, num_updates)

    def updates_per_step(self) -> dict[str, int]:
        """Number of updates of each optimizer in a training step, by the name of its argument in `compile`.

        A learning-rate schedule counts the updates of its own optimizer.
        """
        return {"optimizer": 1}

    def get_compile_config(self) -> dict:
        if not self.compiled:
            return {}
        metrics = {"metrics": self._user_metrics, "weighted_metrics": self._weighted_metrics}
        return {
            **{
                name: keras.saving.serialize_keras_object(getattr(self, name))
                for name in self.updates_per_step()
            },
            "run_eagerly": self.run_eagerly,
            **self._chosen,
            "auto_scale_loss": isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer),
            **{name: keras.saving.serialize_keras_object(some) for name, some in metrics.items()},
        }

    def compile_from_config(self, config: dict) -> None:
        if "metrics" not in config:  # an older file, which has what these came to, not what was asked for
            config = {**config, "jit_compile": None, "steps_per_execution": None}
        self.compile(**keras.saving.deserialize_keras_object(config))

    # === Fitting ===

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
        """Trains the model: `keras.Model.fit` with checks of the data and of the callbacks.

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
        x, y, sample_weight = as_arrays(x, y, sample_weight)
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
            given = as_arrays(*(*given, None, None)[:3])[: len(given)]
            self._check_data(*given)
            refuse_endless(given[0], "validation_steps", validation_steps)
            if is_array(given[0]):
                validation_data = with_targets(*given) if len(given) == 3 else given
        x, y, sample_weight = with_targets(x, y, sample_weight)
        names = [metric.name for metric in self.metrics]
        if validation_data is not None or validation_split:
            names += [f"val_{name}" for name in names if name not in self.logged_in_training]
        validation.monitors(callbacks, names)
        callbacks.insert(0, EpochSetter(x, validation_data))
        self._use_steps_per_execution(callbacks)
        checker = BatchChecker(self.check_examples, self.is_valid)
        self._is_fitting = True
        try:
            with checker.raising():
                return super().fit(
                    checker(x),
                    y,
                    batch_size=batch_size,
                    epochs=epochs,
                    verbose=verbose,
                    callbacks=callbacks,
                    validation_split=validation_split,
                    validation_data=checker(validation_data),
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
        """The means of the logged values over some data: `keras.Model.evaluate`.

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
        checker = BatchChecker(self.check_examples, self.is_valid)
        if "_use_cached_eval_dataset" not in kwargs:  # as `fit` calls it, which has checked the data
            if unknown := kwargs.keys() - {"_use_cached_eval_dataset"}:
                raise TypeError(
                    f"evaluate: got an unexpected keyword argument. Received: {sorted(unknown)}"
                )
            x, y, sample_weight = as_arrays(x, y, sample_weight)
            self._check_data(x, y, sample_weight)
            refuse_endless(x, "steps", steps)
            x, y, sample_weight = with_targets(x, y, sample_weight)
            x = checker(x)
        if not self._is_fitting:
            callbacks = validation.callbacks(callbacks)
            self._use_steps_per_execution(callbacks)
        with checker.raising():
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
        """The results of `call`, batch by batch: `keras.Model.predict`.

        Args:
            x: Inputs of `call`, as an array or a `tf.data.Dataset` of batches.
            batch_size: Examples in a batch where `x` is an array; 32 by default.
            verbose: 0, 1, 2 or `"auto"`.
            steps: Batches; by default until the data ends.
            callbacks: `keras.callbacks.Callback`s.

        Raises:
            ValueError: `x` is not what `call` takes.
        """
        if is_array(x) or isinstance(x, (list, tuple)):
            self.check_inputs(x)
        elif not is_data(x):
            raise ValueError(
                f"x must be what {type(self).__name__}.call takes, as an array or a tf.data.Dataset of "
                f"batches. Received: {received(x)}"
            )
        elif isinstance(x, (tf.data.Dataset, keras.utils.PyDataset)):
            batch = keras.utils.unpack_x_y_sample_weight(first_batch(x))
            self.check_inputs(self.inputs_of(*batch))
        refuse_endless(x, "steps", steps)
        callbacks = validation.callbacks(callbacks)
        checker = BatchChecker(
            lambda *batch: self.check_inputs(self.inputs_of(*batch)),
            lambda inputs, *_: self.are_valid_inputs(inputs),
        )
        with checker.raising():
            return super().predict(checker(x), batch_size, verbose, steps, callbacks)

    def _use_steps_per_execution(self, callbacks: Sequence[Any]) -> None:
        if not self.compiled:
            return  # Keras says so
        steps = self._resolve_steps_per_execution(callbacks, self.run_eagerly)
        if steps != self.steps_per_execution:
            self.steps_per_execution: Any = steps
            # They are compiled for so many steps.
            self.train_function = self.test_function = self.predict_function = None

    # === Checks of data ===

    def _check_data(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None
    ) -> None:
        """Checks arrays completely, and the first batch of a data set; a generator would lose its first
        batch.
        """
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
        elif not is_data(x):
            raise ValueError(
                f"Expected {EXPECTED_DATA[self.learns_from]}, or a tf.data.Dataset of batches. "
                f"Received: {received(x)}"
            )

    def weight_shapes(self, x: Any) -> list[tuple[int, ...]]:
        """The shapes that `sample_weight` may have for these examples."""
        return [(len(x),), (len(x), 1)]

    def check_examples(self, x: Any, y: Any, sample_weight: Any = None) -> None:
        """Raises a ValueError if the model cannot learn from these arrays."""
        raise NotImplementedError

    def is_valid(self, x: tf.Tensor, y: Any, sample_weight: Any = None) -> tf.Tensor:
        """Whether `check_examples` would accept these tensors, as computed quickly in a graph."""
        if sample_weight is None:
            return tf.constant(True)
        weight = tf.cast(sample_weight, tf.float32)
        return tf.reduce_all(tf.math.is_finite(weight) & (weight >= 0))

    def are_valid_inputs(self, x: tf.Tensor) -> tf.Tensor:
        """Whether `check_inputs` would accept these tensors, as computed quickly in a graph."""
        return tf.constant(True)

    def inputs_of(self, x: Any, y: Any, sample_weight: Any) -> Any:
        """The inputs of `call` in a batch of `predict`."""
        return x

    def check_inputs(self, x: Any) -> None:
        """Raises a ValueError if `call` cannot take these arrays."""
        self.check_examples(x, None)

    def refuse_weights(self) -> None:
        """Raises a ValueError if the model does not use weights of examples."""
        if not self.uses_sample_weight:
            raise ValueError(
                f"{type(self).__name__} takes no sample_weight or class_weight: its losses compare two "
                "distributions, not examples. Repeat or leave out examples instead. Received: weights"
            )


def acts_on_batches(callback: Any) -> bool:
    """Whether a user's callback must be called for every step."""
    if isinstance(callback, keras.callbacks.CallbackList):
        return any(map(acts_on_batches, callback.callbacks))
    for name in BATCH_METHODS:
        method = getattr(callback, name, None)
        module = getattr(method, "__module__", None) or ""
        if method is not None and not module.startswith(KNOWN_CALLBACKS):
            return True
    return False
