"""Layers with weights, masks or random state that models share."""

from keras_gen.layers.sampling import Sampling, replica_seed

__all__ = ["Sampling", "replica_seed"]
