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

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_gen.layers import Sampling, child_seed, example_noise, replica_id
from keras_gen.layers.keyed_noise import keyed_normal
from keras_gen.losses import gaussian_kl, gaussian_log_prob, mean_over_batch
from keras_gen.models.autoencoders.base_autoencoder import BaseAutoencoder, Likelihood
from keras_gen.models.base.image_model import NumClasses
from keras_gen.models.base.verbs import Images, Keys, Labels, Static, verb
from keras_gen.models.networks import join
from keras_gen.utils.arguments import Count, ImageShape, Natural, NonNegative, Seed, Widths, checked
from keras_gen.utils.memory import refuse_beyond_memory

MOST_NOISE = 2**26  # numbers that `log_prob` draws at a time
LOG_PROB_OF = {
    "bernoulli": "cross-entropy",
    "gaussian": "density",
    "discretized_logistic": "probability",
}


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
class VAE(BaseAutoencoder):
    """Variational autoencoder, conditional with `num_classes`.

    It logs `loss` (reconstruction_loss + beta * kl_loss, whatever warm-up and free bits do to the
    gradient, so that epochs are comparable), `reconstruction_loss` and `kl_loss` in nats per image, and
    `active_units`. For `compile(metrics=...)`, `y_true` are the images and `y_pred` their reconstructions,
    both in [0, 1].

    A variant with another objective, such as beta-TCVAE, overrides `latent_loss` alone. Decorate it with
    `keras.saving.register_keras_serializable`, so that its files load.

    Args:
        image_shape: (height, width, channels); any size.
        latent_dim: Length of the latent vector z.
        num_classes: Number of classes to condition both networks on; None to ignore labels.
        widths: Filters of the encoder's convolutions, each of which halves the image; the decoder
            mirrors them.
        hidden_units: Width of the dense layer between convolutions and latent vector.
        likelihood: `"bernoulli"`, from logits, a cross-entropy where pixels are grey; `"gaussian"`, a
            density with one learned variance; or `"discretized_logistic"`, a probability of 8-bit pixels
            with a learned scale for each.
        beta: Weight of the KL term, 0 or more; 1 gives the ELBO.
        kl_warmup_steps: Training steps over which the KL term's weight grows from 0 to `beta`.
        free_bits: Nats of KL for each latent dimension that cost nothing, against posterior
            collapse.
        encoder: Your own network in place of the default: images (height, width, channels), and
            with `num_classes` one-hot labels (num_classes,) -> [z_mean, z_log_var], each
            (latent_dim,).
        decoder: Your own network: z (latent_dim,), and with `num_classes` one-hot labels -> the pixels'
            logits (height, width, channels); their means with `"gaussian"`; [means, log-scales] with
            `"discretized_logistic"`.
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

    @checked
    def __init__(
        self,
        image_shape: ImageShape = (28, 28, 1),
        latent_dim: Count = 16,
        num_classes: NumClasses | None = None,
        widths: Widths = (32, 64),
        hidden_units: Count = 256,
        likelihood: Likelihood = "bernoulli",
        beta: NonNegative = 1.0,
        kl_warmup_steps: Natural = 0,
        free_bits: NonNegative = 0.0,
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
        self.beta = beta
        self.kl_warmup_steps = kl_warmup_steps
        self.free_bits = free_bits
        self.sampling = Sampling(child_seed(seed, "posterior"), dtype="float32")
        names = ("loss", "reconstruction_loss", "kl_loss")
        self.active_units = ActiveUnits(self.latent_dim)
        self.trackers = [*(keras.metrics.Mean(name=name) for name in names), self.active_units]

    encoder_outputs = ("z_mean", "z_log_var")

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "beta": self.beta,
            "kl_warmup_steps": self.kl_warmup_steps,
            "free_bits": self.free_bits,
        }

    # === Training ===

    def train_step(self, data: Any) -> dict:
        images, labels, sample_weight, count = self.prepare(data)
        with tf.GradientTape() as tape:
            z_mean, z_log_var = self.posterior(images, labels, training=True)
            z = self.sampling(z_mean, z_log_var)
            decoded = self.decoder(join(z, labels), training=True)
            reconstruction_loss = self.reconstruction_loss(images, decoded, sample_weight)
            latent_loss = self.latent_loss(z, z_mean, z_log_var, sample_weight, training=True)
            objective = reconstruction_loss + latent_loss + self.losses_of_networks()
            scaled_objective = self.scale_loss(objective, count)
        gradients = tape.gradient(scaled_objective, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self._report(
            images, reconstruction_loss, z, z_mean, z_log_var, decoded, sample_weight, count
        )

    def test_step(self, data: Any) -> dict:
        images, labels, sample_weight, count = self.prepare(data)
        z_mean, z_log_var = self.posterior(images, labels)
        # Noise that only the place in the test set determines: evaluating twice gives one result.
        places = tf.cast(self.trackers[0].count, tf.int32) + tf.range(tf.shape(z_mean)[0])
        noise = example_noise(replica_id(), places, (self.latent_dim,))
        z = self.sampling(z_mean, z_log_var, noise)
        decoded = self.decoder(join(z, labels))
        reconstruction_loss = self.reconstruction_loss(images, decoded, sample_weight)
        return self._report(
            images, reconstruction_loss, z, z_mean, z_log_var, decoded, sample_weight, count
        )

    def _report(
        self,
        images: tf.Tensor,
        reconstruction_loss: tf.Tensor,
        z: tf.Tensor,
        z_mean: tf.Tensor,
        z_log_var: tf.Tensor,
        decoded: Any,
        sample_weight: tf.Tensor | None,
        count: tf.Tensor,
    ) -> dict:
        latent_loss = self.latent_loss(z, z_mean, z_log_var, sample_weight)
        values = {
            "loss": reconstruction_loss + latent_loss + self.losses_of_networks(),
            "reconstruction_loss": reconstruction_loss,
            "kl_loss": tf.reduce_sum(mean_over_batch(gaussian_kl(z_mean, z_log_var), sample_weight)),
        }
        self.track(values, count)
        self.active_units.update_state(z_mean[:count])
        self.update_metrics(images, lambda: self.to_pixels(decoded), count, sample_weight)
        return self.logs()

    def latent_loss(
        self,
        z: tf.Tensor,
        z_mean: tf.Tensor,
        z_log_var: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """What the objective adds to the reconstruction loss: beta * KL(q(z | x) || N(0, 1)).

        Args:
            z: Samples of q(z | x), (n, latent_dim).
            z_mean: (n, latent_dim).
            z_log_var: (n, latent_dim).
            sample_weight: (n,), or None.
            training: Whether gradients are taken of it, with warm-up and free bits; otherwise it is logged.

        Returns:
            Nats, a mean over the batch.
        """
        kl = mean_over_batch(gaussian_kl(z_mean, z_log_var), sample_weight)  # (latent_dim,)
        if not training:
            return self.beta * tf.reduce_sum(kl)
        return self.kl_weight() * tf.reduce_sum(tf.maximum(kl, self.free_bits))

    def kl_weight(self) -> tf.Tensor | float:
        """The KL term's weight at this step: `beta`, reached linearly."""
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

    @verb("z_mean")
    def encode(self, images: Images, labels: Labels = None) -> dict[str, tf.Tensor]:
        """Images -> the means of their codes, z_mean (n, latent_dim), float32.

        Args:
            images: (n, height, width, channels), uint8 or floating point in [0, 1].
            labels: Integers (n,), class names or one-hot rows, where the model is conditional.

        Raises:
            ValueError: Images or labels do not fit.
        """
        return dict(zip(self.encoder_outputs, self.posterior(images, labels), strict=True))

    @verb("log_prob")
    def log_prob(
        self, images: Images, labels: Labels = None, num_samples: Static[Count] = 64, keys: Keys = 0
    ) -> tf.Tensor:
        """Importance-weighted lower bound of log p(x), in nats per image [5].

            log p(x) >= E log (1/K) sum_k p(x | z_k) p(z_k) / q(z_k | x),  z_k ~ q(z | x)

        K = 1 is the ELBO; the bound tightens with K. It is a probability of 8-bit pixels with
        `likelihood="discretized_logistic"`, a density with `"gaussian"`, and with `"bernoulli"` a
        probability of black and white pixels: where they are grey, a cross-entropy and not a likelihood.

        Args:
            images: (n, height, width, channels), uint8 or floating point in [0, 1].
            labels: One for each, as for `generate`, where the model is conditional.
            num_samples: K, 1 or more.
            seed: Integer that determines the samples: those of an image by its place among the images. A
                SavedModel gives each image those of the first place, whatever it is batched with.

        Returns:
            (n,), float32.

        Raises:
            ValueError: Images or labels do not fit, or `num_samples` is less than 1.
        """
        z_mean, z_log_var = self.posterior(images, labels)
        noise = keyed_normal(keys, (num_samples, self.latent_dim))  # (n, K, latent_dim)
        log_sum = tf.fill((tf.shape(images)[0],), -np.inf)
        for k in tf.range(num_samples):
            z = self.sampling(z_mean, z_log_var, noise[:, k])
            decoded = self.decoder(join(z, labels))
            log_weight = (
                self.reconstruction_log_prob(images, decoded)
                + gaussian_log_prob(z, 0.0, 0.0)
                - gaussian_log_prob(z, z_mean, z_log_var)
            )
            log_sum = tf.reduce_logsumexp(tf.stack([log_sum, log_weight]), axis=0)
        return log_sum - math.log(num_samples)

    @checked
    def elbo(self, images: ArrayLike, labels: ArrayLike | None = None, seed: Seed = 0) -> np.ndarray:
        """Evidence lower bound of log p(x), in nats per image: `log_prob` with one sample.

        Args:
            images: (n, height, width, channels), uint8 or floating point in [0, 1].
            labels: One for each, as for `generate`, where the model is conditional.
            seed: Integer that determines the samples.

        Returns:
            (n,), float32.
        """
        return self.log_prob(images, labels, num_samples=1, seed=seed)

    def rows_per_call(self, verb: str, rows: dict[str, Any], options: dict[str, Any]) -> int:
        most = super().rows_per_call(verb, rows, options)
        if verb != "log_prob":
            return most
        noise = options["num_samples"] * self.latent_dim  # numbers, for one image
        refuse_beyond_memory(
            4 * noise, f"num_samples={options['num_samples']:,}", "Draw fewer, with several seeds."
        )
        return max(1, min(most, MOST_NOISE // noise))

    @property
    def log_prob_of(self) -> str:
        """What `log_prob` is: a `"probability"` of 8-bit pixels, a `"density"`, or a `"cross-entropy"`."""
        return LOG_PROB_OF[self.likelihood]
