"""The diffusion model's part of `scripts/benchmark.py`."""

import keras_gen as kg
from keras_gen.utils.devices import resolve_dtype
from timing import matrix_product_rate, multiplications, seconds_of, take_turns

import keras
import numpy as np
import tensorflow as tf
from keras import layers

BATCH_SIZE = 32  # the recipe's
TUTORIAL_BATCH_SIZE = 64
NUM_IMAGES = 1920  # of an epoch, here
NUM_SAMPLES = 500  # that are timed
TUTORIAL_WIDTHS, TUTORIAL_DEPTH = (32, 64, 96, 128), 2


class PlainDiffusion(keras.Model):
    """The loop of keras.io's example of implicit diffusion, with its moving average, for any network."""

    def __init__(self, network: keras.Model, takes_variance: bool = False):
        super().__init__()
        self.network, self.takes_variance = network, takes_variance
        self.average = keras.models.clone_model(network)
        self.average.trainable = False
        self.normalizer = layers.Normalization()
        self.tracker = keras.metrics.Mean("noise_loss")

    @property
    def metrics(self) -> list:
        return [self.tracker]

    def train_step(self, images: tf.Tensor) -> dict:
        images = self.normalizer(images, training=True)
        noise = tf.random.normal(tf.shape(images))
        angles = tf.random.uniform((tf.shape(images)[0], 1, 1, 1), 0.02, 0.95) * np.pi / 2
        noisy = tf.cos(angles) * images + tf.sin(angles) * noise
        times = tf.sin(angles) ** 2 if self.takes_variance else angles[:, :, 0, 0]
        with tf.GradientTape() as tape:
            predicted = self.network([noisy, times], training=True)
            loss = keras.losses.MeanAbsoluteError()(noise, predicted)
        weights = self.network.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self.tracker.update_state(loss)
        for weight, average in zip(self.network.weights, self.average.weights, strict=True):
            average.assign(0.999 * average + 0.001 * weight)
        return {"noise_loss": self.tracker.result()}


def tutorial_network(image_shape: tuple[int, int, int]) -> keras.Model:
    """A U-Net with the sizes of keras.io's example: 4 of them, from that of the image on, 2 blocks each."""

    def block(x: keras.KerasTensor, width: int) -> keras.KerasTensor:
        residual = x if x.shape[-1] == width else layers.Conv2D(width, 1)(x)
        x = layers.BatchNormalization(center=False, scale=False)(x)
        x = layers.Conv2D(width, 3, padding="same", activation="swish")(x)
        x = layers.Conv2D(width, 3, padding="same")(x)
        return layers.Add()([x, residual])

    height, width, channels = image_shape
    padding = [(0, -size % 8) for size in (height, width)]
    images, variances = keras.Input(image_shape), keras.Input((1, 1, 1))
    padded = layers.ZeroPadding2D(padding)(images)
    frequencies = np.exp(np.linspace(0, np.log(1000.0), TUTORIAL_WIDTHS[0] // 2)).astype("float32")
    angles = 2 * np.pi * frequencies * variances
    embedding = layers.UpSampling2D(tuple(padded.shape[1:3]))(
        keras.ops.concatenate([keras.ops.sin(angles), keras.ops.cos(angles)], axis=3)
    )
    x = layers.Concatenate()([layers.Conv2D(TUTORIAL_WIDTHS[0], 1)(padded), embedding])
    skips = []
    for features in TUTORIAL_WIDTHS[:-1]:
        for _ in range(TUTORIAL_DEPTH):
            x = block(x, features)
            skips.append(x)
        x = layers.AveragePooling2D(2)(x)
    for _ in range(TUTORIAL_DEPTH):
        x = block(x, TUTORIAL_WIDTHS[-1])
    for features in reversed(TUTORIAL_WIDTHS[:-1]):
        x = layers.UpSampling2D(2, interpolation="bilinear")(x)
        for _ in range(TUTORIAL_DEPTH):
            x = block(layers.Concatenate()([x, skips.pop()]), features)
    x = layers.Conv2D(channels, 1, kernel_initializer="zeros", dtype="float32")(x)
    return keras.Model([images, variances], layers.Cropping2D(padding)(x))


def main(seconds: float, dtype_policy: str | None) -> None:
    policy = resolve_dtype(dtype_policy or "auto")
    data = kg.load_dataset(batch_size=BATCH_SIZE)
    images = data.test_images(NUM_IMAGES)[0].astype("float32") / 255
    model = kg.DiffusionModel(image_shape=data.image_shape, dtype=policy, seed=0)
    model.compile()

    def ours() -> None:
        model.fit(images, batch_size=BATCH_SIZE, verbose=0)

    same = PlainDiffusion(keras.models.clone_model(model.network))
    keras.config.set_dtype_policy(policy)
    tutorial = PlainDiffusion(tutorial_network(data.image_shape), takes_variance=True)
    keras.config.set_dtype_policy("float32")
    print(f"training, {policy}, images of {data.image_shape}, {model.count_params():,} weights")
    ours()  # which traces
    for name, plain, batch_size in (
        ("our network in a plain Keras loop", same, BATCH_SIZE),
        ("keras.io's network in its loop", tutorial, TUTORIAL_BATCH_SIZE),
    ):
        plain.normalizer.adapt(images)
        plain.compile(keras.optimizers.AdamW(1e-3, weight_decay=1e-4))

        def theirs(plain: keras.Model = plain, batch_size: int = batch_size) -> None:
            plain.fit(images, batch_size=batch_size, verbose=0)

        theirs()
        their_time, our_time, ratio = take_turns(theirs, ours, seconds)
        print(
            f"{name:<34}{NUM_IMAGES / their_time:7,.0f} images/s, ours {NUM_IMAGES / our_time:,.0f}", end=""
        )
        print(f", {ratio:.2f} times as fast")
    work, rate = 6 * multiplications(model.network), matrix_product_rate(model.compute_dtype)  # of a step
    print(f"a training step reaches {work * NUM_IMAGES / our_time / rate:.0%} of a large matrix product's")
    print(f"{rate / 1e9:,.0f} GFLOP/s ({work / 1e6:.0f} MFLOP/image)")
    for num_steps, guidance in ((10, 2.0), (20, 1.0)):
        options = {"num_steps": num_steps, "guidance": guidance, "seed": 0}
        model.generate(2, **options)
        taken = min(
            seconds_of(lambda options=options: model.generate(NUM_SAMPLES, **options)) for _ in range(3)
        )
        minutes = 10_000 * taken / NUM_SAMPLES / 60
        print(f"10,000 images, {num_steps} steps, guidance {guidance:g}: {minutes:.1f} minutes")
