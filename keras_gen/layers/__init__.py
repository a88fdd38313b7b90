"""Layers with weights, masks or random state that models share."""

from keras_gen.layers.batch_normalization import BatchNormalization
from keras_gen.layers.diff_augment import DiffAugment
from keras_gen.layers.dropout import Dropout
from keras_gen.layers.lstm import LSTM
from keras_gen.layers.sampling import Sampling, child_seed, example_noise, replica_id, replica_seed

__all__ = [
    "LSTM",
    "BatchNormalization",
    "DiffAugment",
    "Dropout",
    "Sampling",
    "child_seed",
    "example_noise",
    "replica_id",
    "replica_seed",
]
