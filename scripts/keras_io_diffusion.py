"""The diffusion model of the Keras examples, for as many minutes as ours, measured as ours.

    python scripts/keras_io_diffusion.py [--minutes 10] [--data-dir FOLDER] [--seed 0]

Sizes, schedule, loss, optimizer and batch size are those of keras.io's example "Denoising Diffusion
Implicit Models", which trains on 64 x 64 flowers; here on full Fashion-MNIST, with images padded to 32 x 32
inside the network, since it halves their size three times.
"""

import keras_gen as kg
import keras_io_gan

import keras
import numpy as np
import tensorflow as tf
from keras import layers

IMAGE_SHAPE = (28, 28, 1)
WIDTHS, BLOCKS = (32, 64, 96, 128), 2
BATCH_SIZE = 64
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-4
EMA = 0.999
SIGNAL_RATES = 0.95, 0.02  # the largest and the smallest
NUM_STEPS = 20
AT_ONCE = 500  # images that are drawn together


class TutorialDiffusion(keras.Model):
    """The example's training step, for any network: it learns to predict the noise."""

    image_shape, num_classes, conditional = IMAGE_SHAPE, None, False

    def __init__(self, network: keras.Model, takes_variances: bool = True):
        super().__init__()
        self.network, self.takes_variances = network, takes_variances
        self.average = keras.models.clone_model(network)
        self.average.set_weights(network.get_weights())
        self.tracker = keras.metrics.Mean("noise_loss")
        self.mean, self.std = 0.0, 1.0  # of the pixels
        self.built = True

    @property
    def metrics(self) -> list:
        return [self.tracker]

    def measure_pixels(self, images: np.ndarray) -> None:
        self.mean, self.std = float(images.mean()), float(images.std())

    def rates(self, t: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Of the signal and of the noise, at times from 0 to 1."""
        start, end = np.arccos(SIGNAL_RATES)
        angles = start + t * (end - start)
        return tf.cos(angles), tf.sin(angles)

    def predicted(
        self, network: keras.Model, noisy: tf.Tensor, noise_rates: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """The noise."""
        condition = noise_rates**2 if self.takes_variances else noise_rates[:, :, 0, 0]
        return tf.cast(network([noisy, condition], training=training), tf.float32)

    def train_step(self, images: tf.Tensor) -> dict:
        images = (images - self.mean) / self.std
        noise = tf.random.normal(tf.shape(images))
        signal_rates, noise_rates = self.rates(tf.random.uniform((tf.shape(images)[0], 1, 1, 1)))
        noisy = signal_rates * images + noise_rates * noise
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.abs(noise - self.predicted(self.network, noisy, noise_rates, True)))
        keras_io_gan.apply_gradients(tape, loss, self.network, self.optimizer)
        self.tracker.update_state(loss)
        for weight, average in zip(self.network.weights, self.average.weights, strict=True):
            average.assign(EMA * average + (1 - EMA) * weight)
        return {"noise_loss": self.tracker.result()}

    @tf.function
    def draw(self, x: tf.Tensor) -> tf.Tensor:
        images = x
        for step in range(NUM_STEPS):
            t = tf.fill((tf.shape(x)[0], 1, 1, 1), 1.0 - step / NUM_STEPS)
            signal_rates, noise_rates = self.rates(t)
            noise = self.predicted(self.average, x, noise_rates, False)
            images = (x - noise_rates * noise) / signal_rates
            next_signal_rates, next_noise_rates = self.rates(t - 1.0 / NUM_STEPS)
            x = next_signal_rates * images + next_noise_rates * noise
        return tf.clip_by_value(self.mean + self.std * images, 0.0, 1.0)

    def generate(self, num_samples: int, seed: int, labels: None = None) -> np.ndarray:
        """Images (num_samples, 28, 28, 1) in [0, 1]."""
        noise = tf.random.stateless_normal((num_samples, *IMAGE_SHAPE), (seed, 0))
        parts = [self.draw(noise[start : start + AT_ONCE]) for start in range(0, num_samples, AT_ONCE)]
        return np.concatenate(parts)


def build_network(image_shape: tuple[int, int, int]) -> keras.Model:
    """A U-Net with blocks at four sizes, from that of the image on, with skips from each block."""

    def block(x: keras.KerasTensor, width: int) -> keras.KerasTensor:
        residual = x if x.shape[-1] == width else layers.Conv2D(width, 1)(x)
        x = layers.BatchNormalization(center=False, scale=False)(x)
        x = layers.Conv2D(width, 3, padding="same", activation="swish")(x)
        x = layers.Conv2D(width, 3, padding="same")(x)
        return layers.Add()([x, residual])

    padding = [(0, -size % 8) for size in image_shape[:2]]
    images, variances = keras.Input(image_shape), keras.Input((1, 1, 1))
    padded = layers.ZeroPadding2D(padding)(images)
    frequencies = np.exp(np.linspace(0, np.log(1000.0), WIDTHS[0] // 2)).astype("float32")
    angles = variances * (2 * np.pi * frequencies)
    sines = keras.ops.concatenate([keras.ops.sin(angles), keras.ops.cos(angles)], axis=3)
    embedding = layers.UpSampling2D(tuple(padded.shape[1:3]))(sines)
    x = layers.Concatenate()([layers.Conv2D(WIDTHS[0], 1)(padded), embedding])
    skips = []
    for width in WIDTHS[:-1]:
        for _ in range(BLOCKS):
            x = block(x, width)
            skips.append(x)
        x = layers.AveragePooling2D(2)(x)
    for _ in range(BLOCKS):
        x = block(x, WIDTHS[-1])
    for width in reversed(WIDTHS[:-1]):
        x = layers.UpSampling2D(2, interpolation="bilinear")(x)
        for _ in range(BLOCKS):
            x = block(layers.Concatenate()([x, skips.pop()]), width)
    x = layers.Conv2D(image_shape[2], 1, kernel_initializer="zeros", dtype="float32")(x)
    return keras.Model([images, variances], layers.Cropping2D(padding, dtype="float32")(x))


def compiled() -> TutorialDiffusion:
    model = TutorialDiffusion(build_network(IMAGE_SHAPE))
    model.measure_pixels(next(kg.load_dataset().training_chunks(10_000))[0] / np.float32(255))
    model.compile(keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY))
    return model


if __name__ == "__main__":
    keras_io_gan.main(__doc__.splitlines()[0], "keras_io_diffusion", compiled)
