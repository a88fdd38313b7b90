"""Autoencoder: an encoder squeezes an image into a short vector, a decoder draws it again.

    loss = E[-log p(x | z)],  z = encoder(x)

p(x | z) is one of three likelihoods: see `base_autoencoder.py`. New images come from a normal distribution
that is fitted to the training images' codes, "ex-post density estimation" [2]; unlike in the paper, it is
updated while the model trains, so that there are samples after every epoch.

References:
    1. Hinton & Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks.
    2. Ghosh et al. 2020, From Variational to Deterministic Autoencoders, arXiv 1903.12436.
"""

from typing import Any

import keras
import tensorflow as tf

from keras_gen.losses import mean_over_batch
from keras_gen.models.autoencoders.base_autoencoder import BaseAutoencoder, Likelihood
from keras_gen.models.base.image_model import NumClasses
from keras_gen.models.base.verbs import Images, Labels, verb
from keras_gen.models.networks import join
from keras_gen.utils.arguments import Count, ImageShape, Seed, Widths, checked
from keras_gen.utils.memory import refuse_beyond_memory


@keras.saving.register_keras_serializable("keras_gen")
class Autoencoder(BaseAutoencoder):
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

    >>> import numpy as np
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
        super().__init__(
            image_shape,
            latent_dim,
            num_classes,
            widths,
            hidden_units,
            likelihood,
            encoder,
            decoder,
            seed,
            **kwargs,
        )
        self._make_prior()
        self.trackers = [keras.metrics.Mean(name=name) for name in ("loss", "reconstruction_loss")]

    encoder_outputs = ("z",)

    def _make_prior(self) -> None:
        """The running mean and covariance of the codes."""
        d = self.latent_dim
        refuse_beyond_memory(16 * d * d, f"latent_dim={d}", "Choose a smaller one.")
        shared = {"trainable": False, "dtype": "float32", "aggregation": "mean"}
        self.code_mean = self.add_weight((d,), "zeros", name="code_mean", **shared)
        self.code_covariance = self.add_weight(
            (d, d), lambda shape, dtype: tf.eye(d), name="code_covariance", **shared
        )

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
        self._update_prior(tf.cast(z, tf.float32)[:count])
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

    def _update_prior(self, z: tf.Tensor, momentum: float = 0.99) -> None:
        """Moves the codes' running mean and covariance towards this batch's, unless it is empty."""
        mean = mean_over_batch(z)
        centred = z - mean
        n = tf.cast(tf.shape(z)[0], tf.float32)
        covariance = tf.math.divide_no_nan(tf.matmul(centred, centred, transpose_a=True), n)
        momentum = tf.where(n > 0, momentum, 1.0)
        for variable, value in ((self.code_mean, mean), (self.code_covariance, covariance)):
            variable.assign(momentum * variable + (1.0 - momentum) * value)

    # === Verbs ===

    @verb("z")
    def encode(self, images: Images, labels: Labels = None) -> dict[str, tf.Tensor]:
        """Images -> codes (n, latent_dim), float32.

        Args:
            images: (n, height, width, channels), uint8 or floating point in [0, 1].
            labels: Integers (n,), class names or one-hot rows, where the model is conditional.

        Raises:
            ValueError: Images or labels do not fit.
        """
        return {"z": tf.cast(self.encoder(join(images, labels), training=False), tf.float32)}

    def latents(self, keys: tf.Tensor) -> tf.Tensor:
        noise = super().latents(keys)
        # The diagonal keeps the factor defined where codes fill fewer than latent_dim dimensions.
        covariance = tf.convert_to_tensor(self.code_covariance) + 1e-6 * tf.eye(self.latent_dim)
        factor = tf.linalg.cholesky(covariance)
        return self.code_mean + tf.matmul(noise, factor, transpose_b=True)
