"""`measure` on models whose numbers are known: one that copies, one that is real, one that is trained."""

import json

import numpy as np
import pytest

from keras_gen import metrics
from keras_gen.datasets import load_dataset
from keras_gen.metrics.likelihood import dequantized
from keras_gen.metrics.measurement import measure
from keras_gen.models import VAE, Autoencoder, CNNClassifier


@pytest.fixture(scope="module")
def data():
    return load_dataset("fashion_mnist_12k", batch_size=100)


class Stub:
    """Generates given images, in order."""

    image_shape = (28, 28, 1)
    num_classes = class_names = None
    conditional = False

    def __init__(self, images):
        self.images, self.start = images, 0

    def generate(self, num_samples, seed, labels=None):
        start, self.start = self.start, self.start + num_samples
        return self.images[start : start + num_samples].astype("float32") / 255


def training_images(data) -> np.ndarray:
    return np.concatenate([x for x, _ in data.training_chunks(1000)])


def test_a_model_that_copies_training_images_is_found_out(data):
    copies = training_images(data)[3000:3600]
    report = measure(Stub(copies), data, num=600)
    assert report["nearest_pixels"] == report["copying_pixels"] - 1 == 0
    assert report["copying_features"] > 0.95
    # To the other metrics they are as good as real: near what real images score.
    assert report["fd"] < 2 * report.results["fd"].floor
    assert abs(report["kid"]) < 3 * report.results["kid"].spread
    assert report["recall"] > 0.7
    # Each generated image over itself, twice.
    top, pixels, features = np.split(report.neighbours[2:, -(10 * 58 + 2) :], 3)
    np.testing.assert_array_equal(top, pixels)
    np.testing.assert_array_equal(top, features)


def test_the_first_training_images_score_their_own_floor(data):
    report = measure(Stub(training_images(data)[:300]), data, num=300)
    for name in ("fd", "kid", "precision", "recall", "density", "coverage", "prediction_entropy"):
        result = report.results[name]
        assert result.value == pytest.approx(result.floor, abs=1e-4), name


def test_each_result_carries_what_it_depends_on(data):
    report = measure(VAE(latent_dim=2, widths=(4,), hidden_units=8, seed=0), data, num=200)
    extractor = metrics.load_extractor("fashion_mnist")
    for name in ("fd", "kid", "precision", "recall", "density", "coverage", "nearest_features"):
        result = report.results[name]
        assert result.extractor_sha256 == extractor.sha256 and result.extractor == "fashion_mnist"
        assert (result.num_real, result.num_generated, result.split) == (200, 200, "test")
        assert result.floor is not None
    assert report.results["fd"].label == "FD-fashion_mnist"
    stored = json.loads(json.dumps(report.to_dict()))
    assert stored["results"]["fd"]["value"] == report["fd"] and stored["data"] == "fashion_mnist_12k"
    table = report.table()
    assert "200 generated images (seed 0) against 200 test images of fashion_mnist_12k" in table
    assert extractor.sha256 in table and max(map(len, table.splitlines())) < 100


def test_numbers_are_those_of_the_functions(data):
    model = VAE(latent_dim=2, widths=(4,), hidden_units=8, num_classes=10, seed=0)
    report = measure(model, data, num=300, seed=4)
    again = measure(model, data, num=300, seed=4)
    assert {name: r.value for name, r in report.results.items()} == {
        name: r.value for name, r in again.results.items()
    }
    x, y = data.test_images(300)
    extractor = metrics.load_extractor()
    generated = [model.generate(len(part), seed=4 * 100_003, labels=part) for part in (y,)]
    features, probabilities = extractor(np.concatenate(generated))
    real = extractor(x)[0]
    assert report["fd"] == pytest.approx(metrics.frechet_distance(real, features), rel=1e-5)
    assert (report["precision"], report["recall"]) == metrics.precision_recall(real, features)
    assert report["label_accuracy"] == metrics.label_accuracy(probabilities, y)
    # A Bernoulli of grey pixels is not a likelihood, and has no bits.
    assert report["cross_entropy_bound"] == pytest.approx(-model.log_prob(x, labels=y).mean())
    assert report["cross_entropy_elbo"] == pytest.approx(-model.elbo(x, labels=y).mean())
    assert report["cross_entropy_elbo"] > report["cross_entropy_bound"]
    assert not {"elbo", "log_prob", "bits_per_dim"} & set(report.results)
    error = metrics.reconstruction_error(x, model.reconstruct(x, y))
    assert report["reconstruction_error"] == pytest.approx(error)


def test_elbo_is_what_test_step_logs(data, garments):
    model = VAE(latent_dim=2, widths=(4,), hidden_units=8, seed=0)
    model.compile()
    logged = model.evaluate(garments[0], verbose=0, return_dict=True)["loss"]
    assert -model.elbo(garments[0]).mean() == pytest.approx(logged, rel=2e-3)


def test_bits_of_densities_are_those_of_dequantized_pixels(data):
    model = VAE(latent_dim=2, widths=(4,), hidden_units=8, likelihood="gaussian", seed=0)
    report = measure(model, data, num=200)
    x = dequantized(data.test_images(200)[0])
    assert report["log_prob"] == pytest.approx(model.log_prob(x).mean(), rel=1e-5)
    assert report["bits_per_dim"] == pytest.approx(-report["log_prob"] / 784 / np.log(2) + 8)


def test_bits_of_a_discretized_likelihood_are_its_own(data):
    model = VAE(latent_dim=2, widths=(4,), hidden_units=8, likelihood="discretized_logistic", seed=0)
    report = measure(model, data, num=200)
    x = data.test_images(200)[0]
    assert report["log_prob"] == pytest.approx(model.log_prob(x).mean(), rel=1e-5)
    assert report["bits_per_dim"] == pytest.approx(-report["log_prob"] / 784 / np.log(2))
    assert report["elbo"] <= report["log_prob"]


def test_an_autoencoder_has_no_likelihood_and_a_classifier_no_images(data):
    results = measure(Autoencoder(latent_dim=2, widths=(4,), hidden_units=8, seed=0), data, num=150).results
    assert "reconstruction_error" in results and not {"log_prob", "cross_entropy_bound", "accuracy"} & set(
        results
    )
    model = CNNClassifier(widths=(4,), hidden_units=8, seed=0)
    report = measure(model, data, num=500)
    x, y = data.test_images(500)
    assert report["accuracy"] == np.mean(model.classify(x).argmax(axis=1) == y)
    model.compile()
    logged = model.evaluate(x, y, verbose=0, return_dict=True)
    assert (report["loss"], report["accuracy"]) == pytest.approx(
        (logged["loss"], logged["accuracy"]), rel=1e-4
    )
    own = np.mean(model.classify(x[y == 3]).argmax(axis=1) == 3)
    assert report["accuracy_3"] == own and "fd" not in report.results
    assert report.table().startswith("500 test images of fashion_mnist_12k")


def test_says_how_far_it_is(data):
    seen = {}
    model = VAE(latent_dim=2, widths=(4,), hidden_units=8, seed=0)
    measure(model, data, num=600, progress=lambda stage, done, total: seen.update({stage: (done, total)}))
    assert seen == {
        "generating": (600, 600),
        "nearest training images": (10_000, 10_000),
        "distances": (2, 2),
        "likelihoods": (2, 2),
    }


@pytest.mark.parametrize(
    ("num", "message"),
    (
        (100, r"\(fashion_mnist\) needs 129 or more images of each kind \(num\). Received: 100"),
        (0, "num must be an integer from 1"),
        (2**31 - 1, r"Received: num=2,147,483,647, which takes 6,734.5 GB"),
    ),
)
def test_refuses_too_few_images_and_names_the_number_needed(data, num, message):
    with pytest.raises(ValueError, match=message):
        measure(VAE(latent_dim=2, widths=(4,), hidden_units=8), data, num=num)


def test_refuses_another_image_shape(data):
    message = r"must be those of fashion_mnist_12k, \(28, 28, 1\). Received: \(8, 8, 1\)"
    with pytest.raises(ValueError, match=message):
        measure(VAE(image_shape=(8, 8, 1), latent_dim=2, widths=(4,), hidden_units=8), data)


def test_refuses_other_classes(data):
    classifier = CNNClassifier(widths=(4,), hidden_units=8, num_classes=7)
    with pytest.raises(ValueError, match="must have the classes of fashion_mnist_12k, 10. Received: 7"):
        measure(classifier, data)


def test_refuses_what_no_model_or_data_is(data):
    with pytest.raises(ValueError, match=r"have one of generate, .*. Received: None$"):
        measure(None, data)
    with pytest.raises(ValueError, match="data must be an ImageDataset, or a TextDataset. Received: 'a'"):
        measure(Stub([]), "a")


def test_an_unknown_extractor_is_refused_before_anything_is_computed(data):
    with pytest.raises(ValueError, match="^extractor must be .*. Received: 'inception_v4'$"):
        measure(Stub(None), data, extractor="inception_v4")


def test_a_model_that_computes_nan_is_said_to(data):
    broken = Stub(np.full((200, 28, 28, 1), np.nan))
    broken.images[10:] = 0
    message = "What the model generates must be finite. Received: NaN or infinity for 10 of 200 images"
    with pytest.raises(ValueError, match=message):
        measure(broken, data, num=200)
    vae = VAE(latent_dim=2, widths=(4,), hidden_units=8, seed=0)
    vae.encoder.layers[-1].bias.assign([np.nan] * 2)
    with pytest.raises(ValueError, match="The model computes NaN or infinity"):
        measure(vae, data, num=200)


def test_too_few_training_images_give_no_floor(data, garments, tmp_path):
    np.savez(tmp_path / "few.npz", x_train=garments[0][:100], x_test=garments[0][100:300])
    few = load_dataset(tmp_path / "few.npz", batch_size=50)
    report = measure(VAE(latent_dim=2, widths=(4,), hidden_units=8, seed=0), few, extractor="fashion_mnist")
    assert report["fd"] > 0 and report.results["fd"].floor is None
    assert "label_accuracy" not in report.results  # there are no labels


def test_training_images_that_fill_no_batch_are_compared_too(garments, tmp_path):
    x = garments[0][:140]
    np.savez(tmp_path / "remainder.npz", x_train=x, x_test=garments[0][140:280])
    remainder = load_dataset(tmp_path / "remainder.npz", batch_size=100)
    report = measure(Stub(x[..., np.newaxis]), remainder, extractor="fashion_mnist")
    assert report["nearest_pixels"] == 0 and report["fd"] == pytest.approx(report.results["fd"].floor)


def test_refuses_metrics_that_the_extractor_cannot_tell(data):
    x, _ = data.test_images(200)
    with pytest.raises(ValueError, match="metrics must be among fd, kid.*Received: 'fid'"):
        metrics.SetMetrics("fashion_mnist", x, ("fid",))
