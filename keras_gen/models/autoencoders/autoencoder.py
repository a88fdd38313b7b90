"""Autoencoder: an encoder squeezes an image into a short vector, a decoder draws it again.

    loss = E[-log p(x | z)],  z = encoder(x)

p(x | z) is, for each pixel, Bernoulli (from logits), normal with one learned variance [3], or a logistic
over the 256 levels of 8-bit pixels [4]; only the likelihood of the last is comparable across models. New
images come from a normal distribution that is fitted to the training images' codes, "ex-post
density estimation" [2]; unlike in the paper, it is kept up to date while the model trains, so that samples
can be looked at after every epoch.

References:
    1. Hinton & Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks.
    2. Ghosh et al. 2020, From Variational to Deterministic Autoencoders, arXiv 1903.12436.
    3. Rybkin et al. 2021, Simple and Effective VAE Training with Calibrated Decoders,
       arXiv 2006.13202.
    4. Kingma et al. 2016, Improving Variational Inference with Inverse Autoregressive Flow,
       arXiv 1606.04934.
"""

from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import ArrayLike

from keras_gen.losses import (
    bernoulli_log_prob,
    discretized_logistic_log_prob,
    gaussian_log_prob,
    mean_over_batch,
)
from keras_gen.models.base import validation
from keras_gen.models.base.base_model import sum_of_losses
from keras_gen.models.base.generative_model import GenerativeModel
from keras_gen.models.base.image_model import NumClasses
from keras_gen.models.networks import Builder, build_decoder, build_encoder, join, plain_copy
from keras_gen.utils.arguments import Count, ImageShape, Seed, Widths, checked
from keras_gen.utils.memory import refuse_beyond_memory

Likelihood = Literal["bernoulli", "gaussian", "discretized_logistic"]
# What a decoder computes of each pixel, and where it begins.
DECODER_OUTPUTS = {
    "bernoulli": {"logits": 0.0},
    "gaussian": {"mean": 0.0},
    "discretized_logistic": {"mean": 0.0, "log_scale": -3.0},
}


@keras.saving.register_keras_serializable("keras_gen")
class Autoencoder(GenerativeModel):
    """Autoencoder whose codes get a normal distribution to sample from.

    It logs `loss` and `reconstruction_loss`, in nats per image, which differ by the losses of layers of
    your own networks. For `compile(metrics=...)`, `y_true` are the images and `y_pred` their
    reconstructions, both in [0, 1].

    Args:
        image_shape: (height, width, channels); any size.
        latent_dim: Length of the code z.
        num_classes: Number of classes to condition both networks on; None to ignore labels.
        widths: Filters of the encoder's convolutions, each of which halves the image; the decoder
            mirrors them.
        hidden_units: Width of the dense layer between convolutions and code.
        likelihood: `"bernoulli"`, from logits, a cross-entropy where pixels are grey; `"gaussian"`, a
            density with one learned variance; or `"discretized_logistic"`, a probability of 8-bit pixels
            with a learned scale for each.
        encoder: Your own network in place of the default: images (height, width, channels), and
            with `num_classes` one-hot labels (num_classes,) -> z (latent_dim,).
        decoder: Your own network: z (latent_dim,), and with `num_classes` one-hot labels -> the pixels'
            logits (height, width, channels); their means with `"gaussian"`; [means, log-scales] with
            `"discretized_logistic"`.
        seed: Integer that determines the initial weights and all noise; random by default.

    Raises:
        ValueError: A number is out of range, or the shapes of your own networks do not fit.

    Example:

    >>> model = Autoencoder(image_shape=(28, 28, 1), latent_dim=4, seed=0)
    >>> model.compile()
    >>> _ = model.fit(np.zeros((256, 28, 28), "uint8"), epochs=1, verbose=0)
    >>> model.encode(np.zeros((3, 28, 28), "uint8")).shape
    (3, 4)
    >>> model.generate(2, seed=0).shape
    (2, 28, 28, 1)
    """

    @checked
    def __init__(
        self,
        image_shape: ImageShape = (28, 28, 1),
        latent_dim: Count = 16,
        num_classes: NumClasses | None = None,
        widths: Widths = (32, 64),
        hidden_units: Count = 256,
        likelihood: Likelihood = "bernoulli",
        encoder: keras.Model | None = None,
        decoder: keras.Model | None = None,
        seed: Seed | None = None,
        **kwargs: Any,
    ):
        super().__init__(image_shape, latent_dim, num_classes, seed, **kwargs)
        self.widths = tuple(widths)
        self.hidden_units = hidden_units
        self.likelihood = likelihood
        self._own_networks = {"encoder": encoder, "decoder": decoder}
        self._make_networks(encoder, decoder)
        self._make_state()
        self.built = True

    own_networks = ("encoder", "decoder")
    default_learning_rate = 4e-3
    encoder_outputs: tuple[str, ...] = ("z",)  # what the encoder computes, each (latent_dim,)

    def _make_networks(self, encoder: keras.Model | None, decoder: keras.Model | None) -> None:
        label_shape = [] if self.num_classes is None else [(self.num_classes,)]
        code = [(self.latent_dim,)]
        sizes = (self.num_classes, self.widths, self.hidden_units)
        decoder_outputs = DECODER_OUTPUTS[self.likelihood]
        build = Builder(self.seed, self.dtype_policy)
        if encoder is None:
            outputs = dict.fromkeys(self.encoder_outputs, self.latent_dim)
            encoder = build_encoder(self.image_shape, outputs, *sizes, build)
        else:
            inputs = [self.image_shape, *label_shape]
            validation.network("encoder", encoder, inputs, code * len(self.encoder_outputs))
        if decoder is None:
            decoder = build_decoder(self.image_shape, self.latent_dim, *sizes, decoder_outputs, build)
        else:
            maps = [self.image_shape] * len(decoder_outputs)
            validation.network("decoder", decoder, [*code, *label_shape], maps)
            if self.likelihood == "bernoulli":
                validation.gives_logits("decoder", decoder)
        self.encoder, self.decoder = encoder, decoder
        if self.likelihood == "gaussian":
            self.pixel_log_var = self.add_weight(
                name="pixel_log_var", initializer=keras.initializers.Constant(-3.0), dtype="float32"
            )

    def _make_state(self) -> None:
        """Trackers, and the running mean and covariance of the codes."""
        d = self.latent_dim
        refuse_beyond_memory(16 * d * d, f"latent_dim={d}", "Choose a smaller one.")
        shared = {"trainable": False, "dtype": "float32", "aggregation": "mean"}
        self.code_mean = self.add_weight((d,), "zeros", name="code_mean", **shared)
        self.code_covariance = self.add_weight(
            (d, d), lambda shape, dtype: tf.eye(d), name="code_covariance", **shared
        )
        self.trackers = [keras.metrics.Mean(name=name) for name in ("loss", "reconstruction_loss")]

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "widths": self.widths,
            "hidden_units": self.hidden_units,
            "likelihood": self.likelihood,
        }

    # === Training ===

    def train_step(self, data: Any) -> dict:
        images, labels, sample_weight, count = self.prepare(data)
        with tf.GradientTape() as tape:
            z = self.encoder(join(images, labels), training=True)
            decoded = self.decoder(join(z, labels), training=True)
            reconstruction_loss = self.reconstruction_loss(images, decoded, sample_weight)
            loss = reconstruction_loss + self.losses_of_networks()
            scaled_loss = self.scale_loss(loss, count)
        gradients = tape.gradient(scaled_loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self._follow_codes(tf.cast(z, tf.float32)[:count])
        self.track({"loss": loss, "reconstruction_loss": reconstruction_loss}, count)
        self.update_metrics(images, lambda: self.to_pixels(decoded), count, sample_weight)
        return self.logs()

    def test_step(self, data: Any) -> dict:
        images, labels, sample_weight, count = self.prepare(data)
        decoded = self.decoder(join(self.encoder(join(images, labels)), labels))
        reconstruction_loss = self.reconstruction_loss(images, decoded, sample_weight)
        loss = reconstruction_loss + self.losses_of_networks()
        self.track({"loss": loss, "reconstruction_loss": reconstruction_loss}, count)
        self.update_metrics(images, lambda: self.to_pixels(decoded), count, sample_weight)
        return self.logs()

    def losses_of_networks(self) -> tf.Tensor | float:
        """What layers of your own networks add to the loss: regularizers and `add_loss`."""
        return sum_of_losses(self.encoder) + sum_of_losses(self.decoder)

    def _follow_codes(self, z: tf.Tensor, momentum: float = 0.99) -> None:
        """Moves the codes' running mean and covariance towards this batch's, unless it is empty."""
        mean = mean_over_batch(z)
        centred = z - mean
        n = tf.cast(tf.shape(z)[0], tf.float32)
        covariance = tf.math.divide_no_nan(tf.matmul(centred, centred, transpose_a=True), n)
        momentum = tf.where(n > 0, momentum, 1.0)
        for variable, value in ((self.code_mean, mean), (self.code_covariance, covariance)):
            variable.assign(momentum * variable + (1.0 - momentum) * value)

    def reconstruction_loss(
        self, images: tf.Tensor, decoded: Any, sample_weight: tf.Tensor | None = None
    ) -> tf.Tensor:
        """-log p(x | z) in nats, a mean over float32 images (n, h, w, c)."""
        return mean_over_batch(-self.reconstruction_log_prob(images, decoded), sample_weight)

    def reconstruction_log_prob(self, images: tf.Tensor, decoded: Any) -> tf.Tensor:
        """log p(x | z), nats for each image (n,), of float32 images (n, h, w, c)."""
        if self.likelihood == "discretized_logistic":
            mean, log_scale = (tf.cast(part, tf.float32) for part in decoded)
            # A scale of a tenth of a level puts all on one level; less would only overflow.
            return discretized_logistic_log_prob(images, mean, tf.clip_by_value(log_scale, -8.0, 3.0))
        decoded = tf.cast(decoded, tf.float32)
        if self.likelihood == "bernoulli":
            return bernoulli_log_prob(images, decoded)
        return gaussian_log_prob(images, decoded, tf.convert_to_tensor(self.pixel_log_var))

    def to_pixels(self, decoded: Any) -> tf.Tensor:
        """What the decoder computes -> float32 images in [0, 1]."""
        if self.likelihood == "bernoulli":
            return tf.sigmoid(tf.cast(decoded, tf.float32))
        mean = decoded[0] if self.likelihood == "discretized_logistic" else decoded
        return tf.clip_by_value(tf.cast(mean, tf.float32), 0.0, 1.0)

    # === Verbs ===

    def check_inputs(self, x: Any) -> None:
        super().check_inputs(x)
        if self.conditional and not (isinstance(x, (list, tuple)) and len(x) == 2):
            validation.labels(None, self.num_classes, len(x), "as predict([images, labels])")

    def call(self, inputs: Any) -> tf.Tensor:
        """Reconstructs images, or (images, labels) where conditional."""
        images, labels = inputs if isinstance(inputs, (list, tuple)) else (inputs, None)
        images, labels = self.to_images(images), self.to_one_hot(labels)
        return self.reconstructions(images, labels)

    def codes(self, images: tf.Tensor, labels: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """The encoder's outputs by name, each float32 (n, latent_dim)."""
        outputs = self.encoder(join(images, labels), training=False)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return dict(zip(self.encoder_outputs, [tf.cast(o, tf.float32) for o in outputs], strict=True))

    def images_from_latents(self, z: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        return self.to_pixels(self.decoder(join(z, labels), training=False))

    def reconstructions(self, images: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        code = self.codes(images, labels)[self.encoder_outputs[0]]
        return self.images_from_latents(code, labels)

    def latents(self, num_samples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        noise = super().latents(num_samples, seed)
        # The diagonal keeps the factor defined where codes fill fewer than latent_dim dimensions.
        covariance = tf.convert_to_tensor(self.code_covariance) + 1e-6 * tf.eye(self.latent_dim)
        factor = tf.linalg.cholesky(covariance)
        return self.code_mean + tf.matmul(noise, factor, transpose_b=True)

    def encode(self, images: ArrayLike, labels: ArrayLike | None = None) -> np.ndarray:
        """Images -> codes (n, latent_dim), float32; the mean where the encoder is a distribution.

        Args:
            images: (n, height, width, channels), uint8 or floating point in [0, 1].
            labels: Integers (n,) or one-hot, where the model is conditional.
        """
        return self.of_pixels(self.codes, images, labels)[self.encoder_outputs[0]]

    def reconstruct(self, images: ArrayLike, labels: ArrayLike | None = None) -> np.ndarray:
        """Images -> the images that decoding their codes gives, float32 in [0, 1], same shape."""
        return self.of_pixels(self.reconstructions, images, labels)

    def portable_network(self) -> keras.Model:
        """z (and one-hot labels) -> images in [0, 1], as one plain Keras network, for export.

        In float32 whatever the model trained in, since other runtimes know no mixed precision.
        """
        decoder = plain_copy(self.decoder)
        decoded = decoder(decoder.inputs)
        if self.likelihood == "bernoulli":
            images = layers.Activation("sigmoid", dtype="float32", name="images")(decoded)
        else:
            mean = decoded[0] if self.likelihood == "discretized_logistic" else decoded
            images = layers.ReLU(max_value=1.0, dtype="float32", name="images")(mean)
        return keras.Model(decoder.inputs, images, name="decode")

    def signatures(self) -> dict:
        def of_images(function: Callable, name: str | None = None) -> Callable:
            def signature(images, labels=None):  # type: ignore[no-untyped-def]
                result = function(self.served_images(images), self.served_labels(labels, images))
                return result if name is None else {name: result}

            return signature

        return {
            **super().signatures(),
            "encode": (of_images(self.codes), {**self.image_spec(), **self.label_spec()}),
            "reconstruct": (
                of_images(self.reconstructions, "images"),
                {**self.image_spec(), **self.label_spec()},
            ),
        }
