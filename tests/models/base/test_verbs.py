"""A verb is written once, on tensors: its NumPy method, options and SavedModel signature follow."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

from keras_gen.layers.keyed_noise import keyed_normal
from keras_gen.models import GAN, VAE, ImageGenerator
from keras_gen.models.base.verbs import Images, Keys, Labels, Static, keys_of, verb
from keras_gen.utils.arguments import Count, NonNegative, Share


class Toy(ImageGenerator):
    """Draws noise times `strength`, plus the label's number, `num_steps` times; all over 100."""

    def __init__(self, **kwargs):
        super().__init__((2, 3, 1), **kwargs)
        self.traced, self.built = 0, True

    @verb("images")
    def generate(
        self,
        keys: Keys,
        labels: Labels = None,
        strength: NonNegative = 1.0,
        share: Share = 1.0,
        num_steps: Static[Count] = 2,
        shape: str = "flat",
    ) -> tf.Tensor:
        """Draws noise.

        Args:
            strength: Of the noise.
        """
        self.traced += 1
        labels = self.labels_or_random(labels, keys)
        numbers = 0.0 if labels is None else tf.argmax(labels, axis=1, output_type=tf.int32)
        x = (share * strength)[:, None, None, None] * keyed_normal(keys, self.image_shape)
        for _ in range(num_steps):
            x += tf.reshape(tf.cast(numbers, tf.float32), (-1, 1, 1, 1))
        return tf.clip_by_value(tf.abs(x) / 100.0, 0.0, 1.0) + (0.5 if shape == "raised" else 0.0)

    @verb("total")
    def add_up(self, images: Images, keys: Keys = 0) -> dict[str, tf.Tensor]:
        """Images -> the sum of each one's pixels, and of noise."""
        noise = keyed_normal(keys, ())
        return {"total": tf.reduce_sum(images, axis=(1, 2, 3)) + noise, "noise": noise}


@pytest.fixture
def toy():
    return Toy(num_classes=3, class_names=("a", "b", "c"), seed=0)


def test_the_numpy_method_has_the_parameters_of_the_verb(toy):
    names = list(inspect.signature(toy.generate).parameters)
    assert names == ["num_samples", "labels", "strength", "share", "num_steps", "shape", "seed"]
    assert list(inspect.signature(Toy.generate).parameters) == ["self", *names]
    assert list(toy.generate.options) == ["strength", "share", "num_steps", "shape"]
    assert toy.generate.options["strength"].default == 1.0
    assert toy.generate.__doc__.startswith("Draws noise.")
    assert list(inspect.signature(toy.add_up).parameters) == ["images", "seed"]
    assert inspect.signature(toy.add_up).parameters["seed"].default == 0


def test_options_of_every_type_reach_the_function(toy):
    expected = np.abs(
        2.0 * keyed_normal(keys_of(5, 4), (2, 3, 1)) + 3 * np.array([0, 1, 0, 1])[:, None, None, None]
    )
    drawn = toy.generate(4, labels=["a", "b"], strength=2, num_steps=3, seed=5)
    np.testing.assert_allclose(drawn, expected / 100, rtol=1e-5)
    raised = toy.generate(4, labels=["a", "b"], strength=2.0, num_steps=3, shape="raised", seed=5)
    np.testing.assert_allclose(raised, drawn + 0.5, rtol=1e-5)


def test_a_number_is_an_input_and_a_static_value_has_a_graph_of_its_own(toy):
    for strength in (0.5, 1, 2.0):
        toy.generate(labels=[0, 1], strength=strength)
    assert toy.traced == 1
    toy.generate(labels=[0, 1], num_steps=5)
    assert toy.traced == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"strength": -1.0}, "strength must be a finite number, 0 or more. Received: -1.0"),
        ({"num_steps": 2.5}, "num_steps must be an integer from 1 .* Received: 2.5"),
        ({"shape": 3}, "shape must be a string. Received: 3"),
        ({"num_samples": 0}, "num_samples must be an integer from 1 .* Received: 0"),
        ({"seed": -1}, "seed must be an integer from 0 .* Received: -1"),
        ({"labels": ["d"]}, "must be one of a, b, c. Received: 'd'"),
    ),
)
def test_arguments_are_checked_by_their_annotations(toy, arguments, message):
    with pytest.raises(ValueError, match=message):
        toy.generate(**arguments)
    with pytest.raises(TypeError, match="Did you mean strength"):
        toy.generate(strenght=1.0)


def test_every_row_has_its_own_key_whatever_the_chunks(toy, monkeypatch):
    whole = toy.generate(10, labels=[0, 2], seed=3)
    monkeypatch.setattr(Toy, "rows_per_call", lambda self, *_: 3)
    np.testing.assert_array_equal(toy.generate(10, labels=[0, 2], seed=3), whole)
    random = toy.generate(10, seed=3)
    np.testing.assert_array_equal(toy.generate(4, seed=3), random[:4])
    images = np.zeros((7, 2, 3), "uint8")
    np.testing.assert_allclose(toy.add_up(images, seed=4), keyed_normal(keys_of(4, 7), ()), rtol=1e-6)


def test_random_labels_are_uniform(toy):
    labels = toy.labels_or_random(None, tf.constant(keys_of(0, 3000)))
    np.testing.assert_allclose(labels.numpy().mean(axis=0), 1 / 3, atol=0.03)


def test_the_signature_has_one_row_for_each_example_in_every_input(toy, tmp_path):
    toy.export(tmp_path / "1")
    served = tf.saved_model.load(tmp_path / "1").signatures
    inputs = served["serving_default"].structured_input_signature[1]
    assert {name: (spec.shape.rank, spec.dtype) for name, spec in inputs.items()} == {
        "seeds": (1, tf.int32),
        "labels": (1, tf.int32),
        "strength": (1, tf.float32),
        "share": (1, tf.float32),
    }
    right = {
        "seeds": tf.constant([8, 9]),
        "labels": tf.constant([0, 2]),
        "strength": tf.constant([1.0, 4.0]),
        "share": tf.constant([1.0, 1.0]),
    }
    images = served["serving_default"](**right)["images"]
    for i, label in enumerate((0, 2)):
        alone = toy.generate(seed=8 + i, labels=[label], strength=(1.0, 4.0)[i])
        np.testing.assert_allclose(images[i], alone[0], rtol=1e-5)
    for change, message in (
        ({"strength": tf.constant([1.0, -1.0])}, "strength must be a finite number, 0 or more"),
        ({"strength": tf.constant([1.0, np.nan])}, "strength must be a finite number, 0 or more"),
        ({"share": tf.constant([1.0, 1.5])}, "share must be a number, more than 0, at most 1"),
        ({"strength": tf.constant([1.0])}, "must have as many rows as"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            served["serving_default"](**{**right, **change})
    # A key with a default is no input.
    assert set(served["add_up"].structured_input_signature[1]) == {"images"}
    outputs = served["add_up"](images=tf.zeros((2, 2, 3, 1)))
    assert set(outputs) == {"total", "noise"} and outputs["noise"][0] == outputs["noise"][1]


def test_a_verb_is_overridden_by_a_verb_alone():
    with pytest.raises(TypeError, match="Brighter.decode overrides a verb: .*decorated with"):

        class Brighter(GAN):
            def decode(self, z, labels=None):
                return super().decode(z, labels) + 0.1

    class Darker(VAE):
        @verb("images")
        def decode(self, z: Images, labels: Labels = None) -> tf.Tensor:
            return 0.5 * super().decode.on_tensors(z, labels)

    assert Darker.decode.__doc__ == VAE.decode.__doc__


def test_a_diverged_model_says_so():
    model = VAE(image_shape=(8, 8, 1), latent_dim=2, widths=(4,), hidden_units=4)
    model.decoder.set_weights([np.full_like(weight, np.nan) for weight in model.decoder.get_weights()])
    with pytest.raises(ValueError, match="NaN or infinity: its weights, or the statistics"):
        model.generate(2, seed=0)
