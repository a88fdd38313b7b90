"""Variational autoencoder: an autoencoder whose codes are pulled towards a normal distribution.

    loss = E[-log p(x | z)] + beta * KL(q(z | x) || N(0, 1)),  z ~ q(z | x) = N(z_mean, exp(z_log_var))

which for beta = 1 is the negative evidence lower bound (ELBO) in nats per image [1]. Differences
from the paper: convolutions; Adam; warm-up [3], free bits [4] and beta [2] as options. Pixels are
summed and the batch averaged: averaging over pixels would let the KL term win ("posterior collapse").

References:
    1. Kingma & Welling 2013, Auto-Encoding Variational Bayes, arXiv 1312.6114.
    2. Higgins et al. 2017, beta-VAE.
    3. Bowman et al. 2015, Generating Sentences from a Continuous Space, arXiv 1511.06349.
    4. Kingma et al. 2016, Improving Variational Inference with Inverse Autoregressive Flow,
       arXiv 1606.04934.
    5. Burda et al. 2015, Importance Weighted Autoencoders, arXiv 1509.00519.
"""

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from keras_gen.layers import Sampling
from keras_gen.losses import gaussian_kl, gaussian_log_prob
from keras_gen.models import checks
from keras_gen.models.autoencoder import Autoencoder
from keras_gen.models.generative_model import GenerativeModel
from keras_gen.models.networks import join


class ActiveUnits(keras.metrics.Metric):
    """Number of latent dimensions that carry information: Var[z_mean] > 0.01 over the data [5]."""

    def __init__(self, latent_dim: int, name: str = "active_units"):
        super().__init__(name=name, dtype="float32")
        self.count = self.add_variable((), "zeros", name="count")
        self.total = self.add_variable((latent_dim,), "zeros", name="total")
        self.squares = self.add_variable((latent_dim,), "zeros", name="squares")

    def update_state(self, z_mean: tf.Tensor) -> None:
        self.count.assign_add(tf.cast(tf.shape(z_mean)[0], tf.float32))
        self.total.assign_add(tf.reduce_sum(z_mean, axis=0))
        self.squares.assign_add(tf.reduce_sum(tf.square(z_mean), axis=0))

    def result(self) -> tf.Tensor:
        mean = tf.math.divide_no_nan(self.total, self.count)
        variance = tf.math.divide_no_nan(self.squares, self.count) - tf.square(mean)
        return tf.reduce_sum(tf.cast(variance > 0.01, tf.float32))


@keras.saving.register_keras_serializable("keras_gen")
class VAE(Autoencoder):
    """Variational autoencoder, conditional with `num_classes`.

    It logs `loss` (reconstruction_loss + beta * kl_loss, whatever warm-up and free bits do to the
    gradient, so that epochs compare), `reconstruction_loss` and `kl_loss` in nats per image, and
    `active_units`.

    Args:
        image_shape: (height, width, channels); any size.
        latent_dim: Length of the latent vector z.
        num_classes: Number of classes to condition both networks on; None to ignore labels.
        widths: Filters of the encoder's convolutions, each of which halves the image; the decoder
            mirrors them.
        hidden_units: Width of the dense layer between convolutions and latent vector.
        likelihood: `"bernoulli"`, from logits; or `"gaussian"`, with one learned variance.
        beta: Weight of the KL term, 0 or more; 1 gives the ELBO.
        kl_warmup_steps: Training steps over which the KL term's weight grows from 0 to `beta`.
        free_bits: Nats of KL for each latent dimension that cost nothing, against posterior
            collapse.
        encoder: Your own network in place of the default: images (height, width, channels), and
            with `num_classes` one-hot labels (num_classes,) -> [z_mean, z_log_var], each
            (latent_dim,).
        decoder: Your own network: z (latent_dim,), and with `num_classes` one-hot labels -> logits
            of the pixels (height, width, channels), or their means with `"gaussian"`.
        seed: Integer that determines the initial weights and all noise; random by default.

    Raises:
        ValueError: A number is out of range, or the shapes of your own networks do not fit.

    Example:

    >>> model = VAE(image_shape=(28, 28, 1), latent_dim=4, seed=0)
    >>> model.compile()
    >>> history = model.fit(np.zeros((256, 28, 28), "uint8"), epochs=1, verbose=0)
    >>> sorted(history.history)
    ['active_units', 'kl_loss', 'loss', 'reconstruction_loss']
    >>> model.generate(2, seed=0).shape
    (2, 28, 28, 1)
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (28, 28, 1),
        latent_dim: int = 16,
        num_classes: int | None = None,
        widths: Sequence[int] = (32, 64),
        hidden_units: int = 256,
        likelihood: Literal["bernoulli", "gaussian"] = "bernoulli",
        beta: float = 1.0,
        kl_warmup_steps: int = 0,
        free_bits: float = 0.0,
        encoder: keras.Model | None = None,
        decoder: keras.Model | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        for name, value in (
            ("beta", beta),
            ("kl_warmup_steps", kl_warmup_steps),
            ("free_bits", free_bits),
        ):
            checks.at_least(name, value, 0)
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
        self.beta = beta
        self.kl_warmup_steps = kl_warmup_steps
        self.free_bits = free_bits

    encoder_outputs = ("z_mean", "z_log_var")

    def _make_state(self) -> None:
        self.sampling = Sampling(self.seed, dtype="float32")
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.kl_tracker = keras.metrics.Mean(name="kl_loss")
        self.active_units = ActiveUnits(self.latent_dim)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "beta": self.beta,
            "kl_warmup_steps": self.kl_warmup_steps,
            "free_bits": self.free_bits,
        }

    # === Training ===

    @property
    def metrics(self) -> list:
        return [
            self.loss_tracker,
            self.reconstruction_tracker,
            self.kl_tracker,
            self.active_units,
        ]

    def train_step(self, data: Any) -> dict:
        images, labels = self.prepare(data)
        with tf.GradientTape() as tape:
            z_mean, z_log_var = self.posterior(images, labels, training=True)
            z = self.sampling(z_mean, z_log_var)
            decoded = self.decoder(join(z, labels), training=True)
            reconstruction_loss = -tf.reduce_mean(self.reconstruction_log_prob(images, decoded))
            kl = tf.reduce_mean(gaussian_kl(z_mean, z_log_var), axis=0)  # (latent_dim,)
            kl_term = tf.reduce_sum(tf.maximum(kl, self.free_bits))
            objective = reconstruction_loss + self.kl_weight() * kl_term
            scaled_objective = self.scale_loss(objective)
        gradients = tape.gradient(scaled_objective, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self._report(images, reconstruction_loss, tf.reduce_sum(kl), z_mean)

    def test_step(self, data: Any) -> dict:
        images, labels = self.prepare(data)
        z_mean, z_log_var = self.posterior(images, labels)
        # Noise that only the position in the test set determines: evaluating twice gives one result.
        position = tf.cast(self.loss_tracker.count, tf.int32)
        z = self.sampling(z_mean, z_log_var, seed=tf.stack([0, position]))
        decoded = self.decoder(join(z, labels))
        reconstruction_loss = -tf.reduce_mean(self.reconstruction_log_prob(images, decoded))
        kl_loss = tf.reduce_mean(tf.reduce_sum(gaussian_kl(z_mean, z_log_var), axis=1))
        return self._report(images, reconstruction_loss, kl_loss, z_mean)

    def _report(
        self,
        images: tf.Tensor,
        reconstruction_loss: tf.Tensor,
        kl_loss: tf.Tensor,
        z_mean: tf.Tensor,
    ) -> dict:
        values = {
            "loss": reconstruction_loss + self.beta * kl_loss,
            "reconstruction_loss": reconstruction_loss,
            "kl_loss": kl_loss,
        }
        self.track(values, tf.shape(images)[0])
        self.active_units.update_state(z_mean)
        return self.logs()

    def kl_weight(self) -> tf.Tensor | float:
        """The KL term's weight at this step: `beta`, reached along a straight line."""
        if self.kl_warmup_steps == 0:
            return self.beta
        step = tf.cast(self.optimizer.iterations, tf.float32)
        return self.beta * tf.minimum(1.0, step / self.kl_warmup_steps)

    # === Verbs ===

    def posterior(
        self, images: tf.Tensor, labels: tf.Tensor | None = None, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """q(z | x) of float32 images: z_mean and z_log_var, each float32 (n, latent_dim)."""
        z_mean, z_log_var = self.encoder(join(images, labels), training=training)
        # Bounds that no useful posterior reaches keep the exponential finite.
        z_log_var = tf.clip_by_value(tf.cast(z_log_var, tf.float32), -20.0, 10.0)
        return tf.cast(z_mean, tf.float32), z_log_var

    def codes(self, images: tf.Tensor, labels: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        return dict(zip(self.encoder_outputs, self.posterior(images, labels), strict=True))

    def latents(self, num_samples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return GenerativeModel.latents(self, num_samples, seed)

    def log_prob(self, images: Any, num_samples: int = 64, labels: Any = None, seed: int = 0) -> np.ndarray:
        """Importance-weighted lower bound of log p(x), in nats per image [5].

            log p(x) >= E log (1/K) sum_k p(x | z_k) p(z_k) / q(z_k | x),  z_k ~ q(z | x)

        K = 1 is the ELBO; the bound tightens with K.

        Args:
            images: (n, height, width, channels), uint8 or floating point in [0, 1].
            num_samples: K, 1 or more.
            labels: Integers (n,) or one-hot, where the model is conditional.
            seed: Integer that determines the samples.

        Returns:
            (n,), float32.

        Raises:
            ValueError: Images or labels do not fit, or `num_samples` is less than 1.
        """
        checks.at_least("num_samples", num_samples, 1)
        return self.of_pixels(
            self.importance_weighted_bound, images, labels, num_samples=num_samples, seed=seed
        )

    def elbo(self, images: Any, labels: Any = None, seed: int = 0) -> np.ndarray:
        """Evidence lower bound of log p(x), in nats per image: `log_prob` with one sample.

        Args:
            images: (n, height, width, channels), uint8 or floating point in [0, 1].
            labels: Integers (n,) or one-hot, where the model is conditional.
            seed: Integer that determines the samples.

        Returns:
            (n,), float32.
        """
        return self.log_prob(images, 1, labels, seed)

    def importance_weighted_bound(
        self,
        images: tf.Tensor,
        labels: tf.Tensor | None,
        num_samples: tf.Tensor,
        seed: tf.Tensor,
    ) -> tf.Tensor:
        """`log_prob` of float32 images, one sample of z for each image at a time."""
        z_mean, z_log_var = self.posterior(images, labels)
        log_sum = tf.fill((tf.shape(images)[0],), -np.inf)
        for k in tf.range(num_samples):
            z = self.sampling(z_mean, z_log_var, seed=tf.stack([seed, k]))
            decoded = self.decoder(join(z, labels))
            log_weight = (
                self.reconstruction_log_prob(images, decoded)
                + gaussian_log_prob(z, 0.0, 0.0)
                - gaussian_log_prob(z, z_mean, z_log_var)
            )
            log_sum = tf.reduce_logsumexp(tf.stack([log_sum, log_weight]), axis=0)
        return log_sum - tf.math.log(tf.cast(num_samples, tf.float32))
