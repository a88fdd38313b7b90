"""A run's `model.fit`: its callbacks, and the parts that it is made of."""

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
    """Trains a model up to a number of steps, as one `fit` does, but can start in the middle of an epoch.

    Args:
        model: The model, compiled.
        data: What it is trained on, and validated with after each epoch.
        steps: Training steps of the whole run. Where they do not fill the last epoch, it is shorter.
        callbacks: Their training begins and ends once.
        epoch: The epoch to start in, from 0.
        step: The steps of that epoch that are done.
    """
    everyone = Callbacks(callbacks, model, epochs=-(-steps // data.steps_per_epoch))
    with everyone.training():
        strategy = model.distribute_strategy
        for part, first, last in parts(data, steps, epoch, step, strategy):
            model.fit(
                part,
                initial_epoch=first,
                epochs=last,
                validation_data=data.test,
                callbacks=everyone,
                verbose=0,
            )
            if model.stop_training:
                break


def parts(
    data: Data, steps: int, epoch: int, step: int, strategy: tf.distribute.Strategy
) -> Iterator[tuple[Any, int, int]]:
    """Batches, the first epoch that they are for and the one before which they end.

    They are the rest of the epoch that a run is resumed in, the whole epochs, and the last epoch where it
    is shorter.
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
    """So many training batches of an epoch, from a step on.

    Each of several workers that have one device each loads its own part of every batch. Workers of several
    devices load all of it, and TensorFlow hands out the parts.
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
        model: What is trained.
        epochs: Of the whole run.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback], model: keras.Model, epochs: int):
        self.epochs = epochs
        super().__init__(list(callbacks), model=model)

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params({**params, "epochs": self.epochs})

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Nothing: that is for `training` to say, and not for a `fit`."""

    def on_train_end(self, logs: dict | None = None) -> None:
        """Nothing, as above."""

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Tells the callbacks of the beginning and the end of training, however it ends.

        The first error is the one that is raised, whatever the callbacks meet with at their end.
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
