"""The `model.fit` of a run: its parts and its callbacks."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_gen.datasets.epochs import epoch_setters
from keras_gen.datasets.images.image_dataset import Share
from keras_gen.runs.building import Data
from keras_gen.runs.strategy import num_workers


def fit(
    model: keras.Model,
    data: Data,
    steps: int,
    callbacks: Sequence[keras.callbacks.Callback],
    epoch: int = 0,
    step: int = 0,
) -> None:
    """Trains a model up to a number of steps, like one `fit`, but can start in the middle of an epoch.

    Args:
        model: The compiled model.
        data: The data to train on, and to validate with after each epoch.
        steps: Training steps of the whole run. The last epoch is shorter if they do not fill it.
        callbacks: Callbacks, whose training begins and ends once.
        epoch: The epoch to start in, from 0.
        step: The number of completed steps of that epoch.
    """
    all_callbacks = Callbacks(callbacks, model, epochs=-(-steps // data.steps_per_epoch))
    with all_callbacks.training():
        strategy = model.distribute_strategy
        for part, first, last in parts(data, steps, epoch, step, strategy):
            model.fit(
                part,
                initial_epoch=first,
                epochs=last,
                validation_data=data.test,
                callbacks=all_callbacks,
                verbose=0,
            )
            if model.stop_training:
                break


def parts(
    data: Data, steps: int, epoch: int, step: int, strategy: tf.distribute.Strategy
) -> Iterator[tuple[Any, int, int]]:
    """The calls of `fit` that a run consists of: batches, first epoch, and the epoch to stop before.

    They are the rest of the epoch in which the run is resumed, the full epochs, and a shorter last epoch.
    """
    whole, left = divmod(steps, data.steps_per_epoch)
    if step:
        length = data.steps_per_epoch if epoch < whole else left
        yield batches(data, step, length - step, strategy), epoch, epoch + 1
        epoch += 1
    if epoch < whole:
        yield batches(data, 0, data.steps_per_epoch, strategy), epoch, whole
    if left and epoch <= whole:
        yield batches(data, 0, left, strategy), whole, whole + 1


def batches(data: Data, step: int, count: int, strategy: tf.distribute.Strategy) -> Any:
    """A number of training batches of an epoch, from a step on.

    With several workers that have one device each, each worker loads its own part of every batch. Workers
    with several devices load all of it, and TensorFlow distributes the parts.
    """
    if not 1 < num_workers(strategy) == strategy.num_replicas_in_sync:
        return (data.train_from(step) if step else data.train).take(count)
    setters: list[Any] = []

    def part(context: tf.distribute.InputContext) -> tf.data.Dataset:
        share = Share(context.input_pipeline_id, context.num_input_pipelines)
        dataset = data.train_from(step, share)
        setters.extend(epoch_setters(dataset))
        return dataset.take(count)

    dataset = strategy.distribute_datasets_from_function(part)
    dataset.set_epoch = lambda epoch: [set_epoch(epoch) for set_epoch in setters]
    return dataset


class Callbacks(keras.callbacks.CallbackList):
    """The callbacks of a run, for which several calls of `fit` are one training.

    Args:
        callbacks: The callbacks, in order.
        model: The model that is trained.
        epochs: Of the whole run.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback], model: keras.Model, epochs: int):
        self.epochs = epochs
        super().__init__(list(callbacks), model=model)

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params({**params, "epochs": self.epochs})

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Does nothing: `training` calls the callbacks' method once, not once per `fit`."""

    def on_train_end(self, logs: dict | None = None) -> None:
        """Does nothing, for the same reason."""

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Calls the callbacks at the beginning and at the end of training, also if it fails.

        The first error is raised, even if callbacks fail at the end, too.
        """
        try:
            super().on_train_begin()
            yield
        except BaseException:
            for callback in self.callbacks:  # writers and threads end with the run
                with contextlib.suppress(Exception):
                    callback.on_train_end(None)
            raise
        super().on_train_end()
