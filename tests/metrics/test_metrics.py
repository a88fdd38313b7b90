"""What the metrics refuse."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen import metrics
from keras_gen.metrics.set_metrics import set_label


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(5, 2, size=(300, 6)).astype(np.float32)


def test_refuses_too_few_samples_and_says_how_many_are_needed(features):
    with pytest.raises(ValueError, match="of 6 features needs 7 or more generated samples. Received: 6"):
        metrics.frechet_distance(features, features[:6])
    with pytest.raises(ValueError, match="needs 4 or more real samples. Received: 3"):
        metrics.precision_recall(features[:3], features)
    with pytest.raises(ValueError, match="needs 4 or more generated samples. Received: 1"):
        metrics.kernel_distance(features, features[:1])


NOT_FEATURES = (
    (np.zeros((5, 4, 1)), "numbers of shape (n, d). Received: float64 of shape (5, 4, 1)"),
    (np.zeros((0, 6)), "numbers of shape (n, d). Received: float64 of shape (0, 6)"),
    (np.full((9, 6), 1j), "numbers of shape (n, d). Received: complex128 of shape (9, 6)"),
    (np.full((9, 6), "1"), "numbers of shape (n, d). Received: str32 of shape (9, 6)"),
    (np.ma.masked_less(np.ones((9, 6)), 2), "numbers of shape (n, d). Received: float64 of shape (9, 6)"),
    ([[1.0], [1.0, 2.0]], "numbers of shape (n, d). Received: [[1.0], [1.0, 2.0]]"),
    (None, "numbers of shape (n, d). Received: None"),
    (True, "numbers of shape (n, d). Received: True"),
    (keras.Input((6,)), "numbers of shape (n, d). Received: float32 of shape (None, 6)"),
    (np.full((9, 6), np.nan), "finite. Received: NaN or infinity"),
)


@pytest.mark.parametrize(("bad", "message"), NOT_FEATURES)
def test_refuses_what_is_not_features(features, bad, message):
    for function in (
        metrics.frechet_distance,
        metrics.kernel_distance,
        metrics.precision_recall,
        metrics.density_coverage,
    ):
        with pytest.raises(ValueError) as refusal:
            function(features, bad)
        assert str(refusal.value) == f"generated_features must be {message}"


def test_takes_features_of_any_number_format(features):
    expected = metrics.precision_recall(features[:50], features[50:90])
    for convert in (tf.constant, np.ndarray.tolist, lambda x: x.astype("float64")):
        assert metrics.precision_recall(convert(features[:50]), convert(features[50:90])) == expected
    assert metrics.precision_recall(tf.cast(features, tf.bfloat16), tf.ones((9, 6), tf.int64))[1] == 0


def test_features_that_overflow_are_said_to(features):
    for function, name in (
        (metrics.frechet_distance, "Fréchet distance"),
        (metrics.kernel_distance, "kernel distance"),
    ):
        with pytest.raises(ValueError) as refusal:
            function(features.astype("float64") * 1e300, features)
        message = f"The {name} overflows: scale the features. Received: features of up to 1.1e+301"
        assert str(refusal.value) == message


HALVES, FEATURES = [[0.5, 0.5]], np.ones((9, 6))
EYE = np.eye(2)


@pytest.mark.parametrize(
    ("call", "message"),
    (
        (
            lambda: metrics.frechet_distance(FEATURES, np.zeros((9, 5))),
            "The sets must have as many features",
        ),
        (lambda: metrics.precision_recall(FEATURES, FEATURES, k=0), "k must be an integer from 1"),
        (lambda: metrics.precision_recall(FEATURES, FEATURES, k=1.5), "k must be an integer from 1"),
        (
            lambda: metrics.density_coverage(FEATURES, FEATURES, k=9),
            "A manifold of 9 neighbours needs 10 or more real samples. Received: 9",
        ),
        (
            lambda: metrics.kernel_distance(FEATURES, FEATURES, subset_size=10),
            "The kernel distance of subsets of 10 needs 10 or more real samples. Received: 9",
        ),
        (
            lambda: metrics.kernel_distance(FEATURES, FEATURES, subset_size=1),
            "subset_size must be an integer, 2 or more, or None. Received: 1",
        ),
        (
            lambda: metrics.kernel_distance(FEATURES, FEATURES, num_subsets=10**9),
            "num_subsets must be an integer from 1 to 10000. Received: 1000000000",
        ),
        (lambda: metrics.kernel_distance(FEATURES, FEATURES, seed=2**31), "seed must be an integer from 0"),
        (
            lambda: metrics.gaussian_frechet_distance([0, 0], EYE, [0, 0], [[1, 2], [0, 1]]),
            "other_covariance must be symmetric. Received: another matrix",
        ),
        (
            lambda: metrics.gaussian_frechet_distance([0, 0], -EYE, [0, 0], EYE),
            "covariance must have eigenvalues of 0 or more. Received: one of -1",
        ),
        (
            lambda: metrics.gaussian_frechet_distance([0, 0], EYE, [0], EYE),
            "other_mean must be numbers of shape (2,). Received: int64 of shape (1,)",
        ),
        (
            lambda: metrics.prediction_entropy([[0.5, 0.6]]),
            "probabilities must be 0 or more, and each row sum to 1. "
            "Received: from 0.5 to 0.6, and sums from 1.1 to 1.1",
        ),
        (
            lambda: metrics.class_entropy([[-1, 2]]),
            "probabilities must be 0 or more, and each row sum to 1. Received: from -1 to 2",
        ),
        (
            lambda: metrics.label_accuracy(HALVES, [0, 1]),
            "labels must be 1 integers from 0 to 1, one for each image. Received: int64 of shape (2,)",
        ),
        (
            lambda: metrics.label_accuracy(HALVES, [2]),
            "labels must be 1 integers from 0 to 1, one for each image. Received: from 2 to 2",
        ),
        (
            lambda: metrics.label_accuracy(HALVES, [0.5]),
            "labels must be 1 integers from 0 to 1, one for each image. Received: from 0.5 to 0.5",
        ),
        (lambda: metrics.bits_per_dim([np.nan], 4), "log_prob must be finite. Received: NaN or infinity"),
        (lambda: metrics.bits_per_dim([0.0], 0), "num_dims must be an integer from 1"),
        (
            lambda: metrics.reconstruction_error(np.zeros((2, 3)), np.zeros((2, 4))),
            "images and reconstructions must have one shape. Received: (2, 3) and (2, 4)",
        ),
        (
            lambda: metrics.reconstruction_error(np.zeros((2, 3)), np.full((2, 3), 255.0)),
            "reconstructions must be uint8, or floating point in [0, 1]. Received: from 255 to 255",
        ),
        (
            lambda: metrics.copying([], [1.0]),
            "generated_distances must be numbers of shape (n,). Received: float64 of shape (0,)",
        ),
        (
            lambda: metrics.NearestNeighbour(FEATURES).update(np.full((2, 6), 1e300)),
            "references as float32 must be finite. Received: NaN or infinity",
        ),
        (
            lambda: metrics.Result("fd", "FD", np.nan, "lower", "test", 9),
            "value must be a finite number. Received: nan",
        ),
        (
            lambda: metrics.Report({"fd": {}}, "data", 0, 1.0),
            "results must be a dictionary. Received: {'fd': {}}",
        ),
        (lambda: metrics.Report({}, "data", 0, 1.0), "results must be one or more. Received: none"),
    ),
)
def test_refuses_arguments_in_one_line(call, message):
    with pytest.raises((ValueError, TypeError)) as refusal:
        call()
    assert str(refusal.value).startswith(message) and "Received" in str(refusal.value)


def test_originality_refuses_images_and_features_that_do_not_fit():
    x, few = np.zeros((9, 4, 4, 1), "uint8"), FEATURES[:8]
    with pytest.raises(ValueError, match=r"test must be images of shape \(n, 4, 4, 1\). Received: float64"):
        metrics.Originality(x, FEATURES, np.zeros((9, 4, 4, 3)), FEATURES)
    with pytest.raises(ValueError, match="a row of features each. Received: 9 images and 8 rows"):
        metrics.Originality(x, few, x, FEATURES)
    originality = metrics.Originality(x, FEATURES, x, FEATURES)
    with pytest.raises(ValueError, match="needs training images: call update before. Received: none"):
        originality.results({})
    with pytest.raises(ValueError, match=r"train must be images of shape \(n, 4, 4, 1\). Received: None"):
        originality.update(None, FEATURES)


@pytest.mark.parametrize("extractor", ("inception_v3", "inception"))
def test_no_distance_is_called_fid(extractor):
    """FID is the distance with one network's weights, and Keras' InceptionV3 has others."""
    assert set_label("fd", extractor) == f"FD-{extractor}"
