"""What autoencoders have in common: an encoder, a decoder, and the likelihood of pixels.

p(x | z) is, for each pixel, Bernoulli (from logits), normal with one learned variance [1], or a logistic
over the 256 levels of 8-bit pixels [2]; only the likelihood of the last is comparable across models.

References:
    1. Rybkin et al. 2021, Simple and Effective VAE Training with Calibrated Decoders,
       arXiv 2006.13202.
    2. Kingma et al. 2016, Improving Variational Inference with Inverse Autoregressive Flow,
       arXiv 1606.04934.
"""

from typing import Any, Literal

import keras
import tensorflow as tf
from keras import layers

from keras_gen.losses import (
    bernoulli_log_prob,
    discretized_logistic_log_prob,
    gaussian_log_prob,
    mean_over_batch,
)
from keras_gen.models.autoencoders.networks import build_decoder, build_encoder
from keras_gen.models.base import validation
from keras_gen.models.base.image_model import NumClasses
from keras_gen.models.base.latent_generator import LatentGenerator
from keras_gen.models.base.verbs import Images, Labels, Latents, verb
from keras_gen.models.networks import Builder, join, plain_copy, sum_of_losses
from keras_gen.utils.arguments import Count, ImageShape, Seed, Widths, checked

Likelihood = Literal["bernoulli", "gaussian", "discretized_logistic"]
# What a decoder computes of each pixel, and where it begins.
DECODER_OUTPUTS = {
    "bernoulli": {"logits": 0.0},
    "gaussian": {"mean": 0.0},
    "discretized_logistic": {"mean": 0.0, "log_scale": -3.0},
}


class BaseAutoencoder(LatentGenerator):
    """Base of the autoencoders.

    A subclass says what its encoder computes, and writes `train_step`, `test_step`, `encode`, and
    `latents` where its prior is not a standard normal distribution.

    Args:
        image_shape: (height, width, channels); any size.
        latent_dim: Length of the code z.
        num_classes: Number of classes to condition both networks on; None to ignore labels.
        widths: Filters of the encoder's convolutions, each of which halves the image; the decoder
            mirrors them.
        hidden_units: Width of the dense layer between convolutions and code.
        likelihood: `"bernoulli"`, `"gaussian"` or `"discretized_logistic"`.
        encoder: Your own network in place of the default.
        decoder: Likewise.
        seed: Integer that determines the initial weights and all noise; random by default.
        **kwargs: `class_names`, `name` and `dtype`.

    Raises:
        ValueError: A number is out of range, or the shapes of your own networks do not fit.
    """

    own_networks = ("encoder", "decoder")
    default_learning_rate = 4e-3
    encoder_outputs: tuple[str, ...]  # what the encoder computes, each (latent_dim,)

    @checked
    def __init__(
        self,
        image_shape: ImageShape,
        latent_dim: Count,
        num_classes: NumClasses | None,
        widths: Widths,
        hidden_units: Count,
        likelihood: Likelihood,
        encoder: keras.Model | None,
        decoder: keras.Model | None,
        seed: Seed | None,
        **kwargs: Any,
    ):
        super().__init__(image_shape, latent_dim, num_classes, seed, **kwargs)
        self.widths = tuple(widths)
        self.hidden_units = hidden_units
        self.likelihood = likelihood
        self._own_networks = {"encoder": encoder, "decoder": decoder}
        self._make_networks(encoder, decoder)
        self.built = True

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

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "widths": self.widths,
            "hidden_units": self.hidden_units,
            "likelihood": self.likelihood,
        }

    # === Inside train_step and test_step ===

    def losses_of_networks(self) -> tf.Tensor | float:
        """What layers of your own networks add to the loss: regularizers and `add_loss`."""
        return sum_of_losses(self.encoder) + sum_of_losses(self.decoder)

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
        return self.reconstruct.on_tensors(images, labels)

    @verb("images")
    def decode(self, z: Latents, labels: Labels = None) -> tf.Tensor:
        return self.to_pixels(self.decoder(join(z, labels), training=False))

    @verb("images")
    def reconstruct(self, images: Images, labels: Labels = None) -> tf.Tensor:
        """Images -> the images that decoding their codes gives, float32 in [0, 1], same shape.

        Args:
            images: (n, height, width, channels), uint8 or floating point in [0, 1].
            labels: Integers (n,), class names or one-hot rows, where the model is conditional.

        Raises:
            ValueError: Images or labels do not fit.
        """
        code = self.encode.on_tensors(images, labels)[self.encoder_outputs[0]]
        return self.decode.on_tensors(code, labels)

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
