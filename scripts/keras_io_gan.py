"""The GAN of the Keras guides, for as many minutes as ours, measured as ours.

    python scripts/keras_io_gan.py [--minutes 10] [--data-dir FOLDER] [--seed 0]

Networks, losses, rates and batch size are those of keras.io's guide "Customizing what happens in fit()
with TensorFlow", which trains on 28 x 28 digits; here on full Fashion-MNIST.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import keras_gen as kg
from keras_gen.utils.pictures import grid, write_png

import keras
import numpy as np
import tensorflow as tf
from keras import layers

IMAGE_SHAPE = (28, 28, 1)
LATENT_DIM = 128
BATCH_SIZE = 64
LEARNING_RATE = 3e-4
LABEL_NOISE = 0.05


class KerasGuideGAN(keras.Model):
    """The guide's two networks and its training step, with the verb that `measure` needs."""

    image_shape, num_classes, conditional = IMAGE_SHAPE, None, False

    def __init__(self) -> None:
        super().__init__()
        self.discriminator = keras.Sequential(
            [
                keras.Input(IMAGE_SHAPE),
                layers.Conv2D(64, 3, strides=2, padding="same"),
                layers.LeakyReLU(0.2),
                layers.Conv2D(128, 3, strides=2, padding="same"),
                layers.LeakyReLU(0.2),
                layers.GlobalMaxPooling2D(),
                layers.Dense(1),
            ]
        )
        self.generator = keras.Sequential(
            [
                keras.Input((LATENT_DIM,)),
                layers.Dense(7 * 7 * 128),
                layers.LeakyReLU(0.2),
                layers.Reshape((7, 7, 128)),
                layers.Conv2DTranspose(128, 4, strides=2, padding="same"),
                layers.LeakyReLU(0.2),
                layers.Conv2DTranspose(128, 4, strides=2, padding="same"),
                layers.LeakyReLU(0.2),
                layers.Conv2D(1, 7, padding="same", activation="sigmoid"),
            ]
        )
        self.generator_optimizer = keras.optimizers.Adam(LEARNING_RATE)
        self.discriminator_optimizer = keras.optimizers.Adam(LEARNING_RATE)
        self.cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
        self.built = True

    def train_step(self, real_images: tf.Tensor) -> dict[str, tf.Tensor]:
        images = tf.concat([self.draw(), real_images], 0)
        # The guide's targets: 1 for generated images, and noise that leaves [0, 1].
        targets = tf.concat([tf.ones((BATCH_SIZE, 1)), tf.zeros((BATCH_SIZE, 1))], 0)
        targets += LABEL_NOISE * tf.random.uniform(tf.shape(targets))
        with tf.GradientTape() as tape:
            discriminator_loss = self.cross_entropy(targets, self.discriminator(images))
        apply_gradients(tape, discriminator_loss, self.discriminator, self.discriminator_optimizer)
        with tf.GradientTape() as tape:
            logits = self.discriminator(self.draw())
            generator_loss = self.cross_entropy(tf.zeros_like(logits), logits)
        apply_gradients(tape, generator_loss, self.generator, self.generator_optimizer)
        return {"discriminator_loss": discriminator_loss, "generator_loss": generator_loss}

    def draw(self) -> tf.Tensor:
        return self.generator(tf.random.normal((BATCH_SIZE, LATENT_DIM)))

    def generate(self, num_samples: int, seed: int, labels: None = None) -> np.ndarray:
        """Images (num_samples, 28, 28, 1) in [0, 1]."""
        z = tf.random.stateless_normal((num_samples, LATENT_DIM), (seed, 0))
        return self.generator(z).numpy()


def apply_gradients(
    tape: tf.GradientTape, loss: tf.Tensor, network: keras.Model, optimizer: keras.optimizers.Optimizer
) -> None:
    weights = network.trainable_weights
    optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))


def compiled() -> KerasGuideGAN:
    model = KerasGuideGAN()
    model.compile()
    return model


class StopAfter(keras.callbacks.Callback):
    """Ends training when the minutes are over, in the middle of an epoch too."""

    def __init__(self, minutes: float):
        super().__init__()
        self.end = time.monotonic() + 60 * minutes
        self.steps = 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.steps += 1
        if time.monotonic() > self.end:
            self.model.stop_training = True


def main(description: str, name: str, make_model: Callable[[], keras.Model]) -> None:
    """Trains a model of keras.io's on full Fashion-MNIST, and measures it."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--minutes", type=float, default=10.0, help="of training (default: 10)")
    parser.add_argument("--data-dir", help="folder with Fashion-MNIST's own files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs") / name, help="where samples.png goes")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)
    data = kg.load_dataset("fashion_mnist", data_dir=arguments.data_dir)
    images = np.concatenate([x for x, _ in data.training_chunks(2000)]).astype("float32")
    images /= np.float32(255 if images.max() > 1 else 1)
    batches = tf.data.Dataset.from_tensor_slices(images).shuffle(1024, seed=arguments.seed)
    model = make_model()
    stop = StopAfter(arguments.minutes)
    model.fit(
        batches.repeat().batch(BATCH_SIZE, drop_remainder=True).prefetch(2),
        epochs=10**6,
        steps_per_epoch=len(images) // BATCH_SIZE,
        shuffle=False,  # Keras' own; the batches are shuffled
        callbacks=[stop],
        verbose=0,
    )
    print(f"{stop.steps} steps of {BATCH_SIZE} images in {arguments.minutes:g} minutes")
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_png(arguments.out / "samples.png", grid(model.generate(64, seed=0)))
    print(kg.metrics.measure(model, data).table())


if __name__ == "__main__":
    main(__doc__.splitlines()[0], "keras_io_gan", compiled)
