"""What the metrics refuse, and the Keras metrics that accumulate."""

import keras
import numpy as np
import pytest

from keras_gen import metrics
from keras_gen.metrics.set_metrics import set_label


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(5, 2, size=(300, 6)).astype(np.float32)


@pytest.mark.parametrize("batch", (1, 7, 100, 300))
def test_accumulated_frechet_distance_is_that_of_the_whole(features, batch):
    other = np.abs(features[:200]) ** 1.1
    metric = metrics.FrechetDistance(num_features=6)
    for start in range(0, 300, batch):
        part = other[start : start + batch]
        metric.update_state(features[start : start + batch], part if len(part) else None)
    assert metric.result() == pytest.approx(metrics.frechet_distance(features, other), rel=1e-6)
    metric.reset_state()
    metric.update_state(features, features)
    assert metric.result() == pytest.approx(0, abs=1e-5)


def test_accumulated_entropies_are_those_of_the_whole():
    p = np.random.default_rng(1).dirichlet(np.ones(4), size=60)
    metric = metrics.ClassifierEntropy(num_classes=4)
    for part in np.split(p, 5):
        metric.update_state(part)
    found = {name: float(value) for name, value in metric.result().items()}
    expected = {
        "prediction_entropy": metrics.prediction_entropy(p),
        "class_entropy": metrics.class_entropy(p),
    }
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "metric", (metrics.FrechetDistance(num_features=3), metrics.ClassifierEntropy(num_classes=4))
)
def test_keras_metrics_are_made_again_from_their_config(metric):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert again.get_config() == metric.get_config()


def test_refuses_too_few_samples_and_says_how_many_are_needed(features):
    with pytest.raises(ValueError, match="of 6 features needs 7 or more generated samples. Received: 6"):
        metrics.frechet_distance(features, features[:6])
    with pytest.raises(ValueError, match="needs 4 or more real samples. Received: 3"):
        metrics.precision_recall(features[:3], features)
    with pytest.raises(ValueError, match="needs 4 or more generated samples. Received: 1"):
        metrics.kernel_distance(features, features[:1])
    metric = metrics.FrechetDistance(num_features=6)
    metric.update_state(features, features[:3])
    with pytest.raises(ValueError, match="needs 7 or more generated samples. Received: 3"):
        metric.result()


@pytest.mark.parametrize(
    ("bad", "message"),
    (
        (np.zeros((5, 4, 1)), r"must be numbers \(n, d\), n 1 or more. Received: shape \(5, 4, 1\)"),
        (np.zeros((0, 6)), r"Received: shape \(0, 6\)"),
        (np.full((9, 6), np.nan), "must be finite"),
        (np.zeros((9, 5)), r"as many features as each other. Received: .*\(300, 6\).*\(9, 5\)"),
    ),
)
def test_refuses_features_that_do_not_fit(features, bad, message):
    for function in (
        metrics.frechet_distance,
        metrics.kernel_distance,
        metrics.precision_recall,
        metrics.density_coverage,
    ):
        with pytest.raises(ValueError, match=message):
            function(features, bad)


def test_refuses_numbers_out_of_range(features):
    with pytest.raises(ValueError, match="k must be 1 or more"):
        metrics.precision_recall(features, features, k=0)
    with pytest.raises(ValueError, match="subset_size 2 or more"):
        metrics.kernel_distance(features, features, subset_size=1)
    with pytest.raises(ValueError, match="each row sum to 1"):
        metrics.prediction_entropy([[0.5, 0.6]])
    with pytest.raises(ValueError, match="Expected 1 labels"):
        metrics.label_accuracy([[0.5, 0.5]], [0, 1])
    with pytest.raises(ValueError, match=r"must be \(n, K\)"):
        metrics.importance_weighted_bound([1.0])
    with pytest.raises(ValueError, match="must have one shape"):
        metrics.reconstruction_error(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="at least one distance"):
        metrics.copying([], [1.0])


@pytest.mark.parametrize("extractor", ("inception_v3", "inception"))
def test_no_distance_is_called_fid(extractor):
    """FID is the distance with one network's weights, and Keras' InceptionV3 has others."""
    assert set_label("fd", extractor) == f"FD-{extractor}"
