"""Quality metrics: of sets of real and generated images, and of test images."""

from keras_gen.metrics.classification import (
    class_entropy,
    label_accuracy,
    prediction_entropy,
)
from keras_gen.metrics.extractors import FeatureExtractor, default_extractor, load_extractor
from keras_gen.metrics.frechet_distance import (
    frechet_distance,
    gaussian_frechet_distance,
)
from keras_gen.metrics.kernel_distance import kernel_distance
from keras_gen.metrics.likelihood import bits_per_dim, reconstruction_error
from keras_gen.metrics.measurement import measure
from keras_gen.metrics.ngram import NGramModel
from keras_gen.metrics.originality import NearestNeighbour, Originality, copying
from keras_gen.metrics.precision_recall import density_coverage, precision_recall
from keras_gen.metrics.report import Report, Result
from keras_gen.metrics.set_metrics import SetMetrics

__all__ = [
    "FeatureExtractor",
    "NGramModel",
    "NearestNeighbour",
    "Originality",
    "Report",
    "Result",
    "SetMetrics",
    "bits_per_dim",
    "class_entropy",
    "copying",
    "default_extractor",
    "density_coverage",
    "frechet_distance",
    "gaussian_frechet_distance",
    "kernel_distance",
    "label_accuracy",
    "load_extractor",
    "measure",
    "precision_recall",
    "prediction_entropy",
    "reconstruction_error",
]
