"""Measures what keras_gen promises about speed, each figure against something in the same run.

    python scripts/benchmark.py [--model vae|gan|wgan_gp|diffusion|lstm] [--seconds 60]

Machines are noisy: what is compared takes turns, and ratios are medians over the turns. Give it a
machine that does nothing else.
"""

import argparse
import os
import resource
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import benchmark_diffusion
import benchmark_text
import keras_gen as kg
from keras_gen.models.networks import plain_copy
from keras_gen.recipes import RECIPES
from keras_gen.runs.config import Config, option_defaults
from keras_gen.runs.monitoring import NUM_SHOWN, run_callbacks
from keras_gen.runs.run import Run
from keras_gen.runs.training import train
from keras_gen.utils.devices import resolve_dtype
from timing import matrix_product_rate, multiplications, process_seconds, seconds_of, take_turns

import keras
import numpy as np
import tensorflow as tf

BATCH_SIZE = 128


# === What we compare with ===


class PlainVAE(keras.Model):
    """The VAE loop of the Keras tutorials, from logits, over the same two networks."""

    def __init__(self, encoder: keras.Model, decoder: keras.Model):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.trackers = [keras.metrics.Mean(name) for name in ("loss", "reconstruction_loss", "kl_loss")]

    @property
    def metrics(self) -> list:
        return self.trackers

    def train_step(self, data: tf.Tensor) -> dict:
        with tf.GradientTape() as tape:
            z_mean, z_log_var = self.encoder(data)
            z = z_mean + tf.exp(0.5 * z_log_var) * tf.random.normal(tf.shape(z_mean))
            logits = self.decoder(z)
            entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=data, logits=logits)
            reconstruction = tf.reduce_mean(tf.reduce_sum(entropy, axis=(1, 2, 3)))
            kl = -0.5 * (1 + z_log_var - tf.square(z_mean) - tf.exp(z_log_var))
            kl = tf.reduce_mean(tf.reduce_sum(kl, axis=1))
            loss = reconstruction + kl
        weights = self.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        for tracker, value in zip(self.trackers, (loss, reconstruction, kl), strict=True):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.trackers}


class PlainGAN(keras.Model):
    """The GAN loop of the Keras tutorials, from logits, over the same two networks."""

    def __init__(self, model: kg.GAN):
        super().__init__()
        self.generator, self.discriminator = plain_copy(model.generator), plain_copy(model.discriminator)
        self.latent_dim, self.steps = model.latent_dim, model.discriminator_steps
        self.trackers = [keras.metrics.Mean(name) for name in ("discriminator_loss", "generator_loss")]
        self.cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)

    @property
    def metrics(self) -> list:
        return self.trackers

    def compile(self, optimizers: list, **options: object) -> None:
        super().compile(**options)
        self.optimizers = optimizers

    def discriminator_loss(self, data: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        generated = self.generator(noise, training=True)
        logits = self.discriminator(tf.concat([data, generated], 0), training=True)
        targets = tf.concat([tf.ones((BATCH_SIZE, 1)), tf.zeros((BATCH_SIZE, 1))], 0)
        return self.cross_entropy(targets, logits)

    def generator_loss(self, noise: tf.Tensor) -> tf.Tensor:
        logits = self.discriminator(self.generator(noise, training=True), training=True)
        return self.cross_entropy(tf.ones_like(logits), logits)

    def train_step(self, data: tf.Tensor) -> dict:
        data.set_shape((BATCH_SIZE, *data.shape[1:]))
        losses = []
        updates = [(self.discriminator, 0)] * self.steps + [(self.generator, 1)]
        for network, number in updates:
            noise = tf.random.normal((BATCH_SIZE, self.latent_dim))
            with tf.GradientTape() as tape:
                loss = self.generator_loss(noise) if number else self.discriminator_loss(data, noise)
            weights = network.trainable_weights
            gradients = tape.gradient(loss, weights)
            self.optimizers[number].apply_gradients(zip(gradients, weights, strict=True))
            losses.append(loss)
        for tracker, value in zip(self.trackers, losses[-2:], strict=True):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.trackers}


class PlainWGANGP(PlainGAN):
    """The WGAN-GP loop of the Keras tutorials."""

    def discriminator_loss(self, data: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        generated = self.generator(noise, training=True)
        generated_scores = self.discriminator(generated, training=True)
        real_scores = self.discriminator(data, training=True)
        fractions = tf.random.uniform((BATCH_SIZE, 1, 1, 1))
        between = data + fractions * (generated - data)
        with tf.GradientTape() as tape:
            tape.watch(between)
            scores = self.discriminator(between, training=True)
        slopes = tape.gradient(scores, between)
        norms = tf.sqrt(tf.reduce_sum(tf.square(slopes), axis=(1, 2, 3)) + 1e-12)
        penalty = tf.reduce_mean(tf.square(norms - 1.0))
        return tf.reduce_mean(generated_scores) - tf.reduce_mean(real_scores) + 10.0 * penalty

    def generator_loss(self, noise: tf.Tensor) -> tf.Tensor:
        return -tf.reduce_mean(self.discriminator(self.generator(noise, training=True), training=True))


# The same work for both: recipes penalize a part of the batch, the loop of a GAN nothing, of a WGAN-GP all.
AS_THE_PLAIN_LOOP: dict[str, dict] = {"gan": {"r1_weight": 0.0}, "wgan_gp": {"penalty_share": 1.0}}


def plain_loop(model: kg.ImageModel, images: np.ndarray) -> Callable[[], object]:
    """One epoch of the plain loop, with networks of the same architecture."""
    x = images[..., np.newaxis].astype("float32") / 255
    plain: keras.Model
    if isinstance(model, kg.GAN):
        plain = PlainWGANGP(model) if isinstance(model, kg.WGANGP) else PlainGAN(model)
        plain.compile([keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2)])
        x = 2 * x[: len(x) // BATCH_SIZE * BATCH_SIZE] - 1
    else:
        plain = PlainVAE(keras.models.clone_model(model.encoder), keras.models.clone_model(model.decoder))
        plain.compile(keras.optimizers.Adam(1e-3))

    def epoch() -> None:
        plain.fit(x, epochs=1, batch_size=BATCH_SIZE, verbose=0)

    return epoch


# === How much work a step is ===


def multiplications_of_step(model: kg.ImageModel) -> float:
    """Multiply-adds that a training step needs for one image: forward, and twice as much backward."""
    if not isinstance(model, kg.GAN):
        return 3 * (multiplications(model.encoder) + multiplications(model.decoder))
    generator, discriminator = multiplications(model.generator), multiplications(model.discriminator)
    # Of the discriminator: two kinds of images forward and backward; and at the generator's turn once
    # forward and, since its weights stay, once backward.
    once = 6.0 * discriminator
    if model.objective.penalty_weight:  # forward, its slope, and both of them backward
        once += 6 * model.penalty_share * discriminator
    extra = generator * (model.discriminator_steps - 1)
    return model.discriminator_steps * once + 2 * discriminator + extra + 3 * generator


# === Figures ===


def start_up() -> None:
    print(f"keras-gen --help           {process_seconds(HELP):8.2f} s")
    print(f"import tensorflow          {process_seconds('import tensorflow'):8.2f} s")
    print(f"import keras_gen           {process_seconds('import keras_gen'):8.2f} s")
    print(f"start to first step, vae   {process_seconds(FIRST_STEP, 1):8.2f} s")


HELP = """
import sys
sys.argv[0] = "keras-gen"
from keras_gen.commands.main import build_parser
build_parser().format_help()
"""
FIRST_STEP = """
import keras_gen as kg
data = kg.load_dataset()
model = kg.VAE()
model.compile()
model.fit(data.train.take(1), verbose=0)
"""


def training_speed(model: kg.ImageModel, data: kg.ImageDataset, seconds: float) -> None:
    images = np.concatenate([x for x, _ in data.train])[..., 0]

    def epoch() -> None:
        model.fit(data.train, verbose=0)

    plain = plain_loop(model, images)
    epoch()  # both trace
    plain()
    theirs, ours, ratio = take_turns(plain, epoch, seconds)
    n = data.steps_per_epoch * data.batch_size
    print(f"training                   {n / ours:8,.0f} images/s")
    print(f"plain Keras loop           {len(images) / theirs:8,.0f} images/s")
    print(f"ratio to the plain loop    {ratio * n / len(images):8.2f} times as fast")
    work = 2 * multiplications_of_step(model)
    dtype = model.compute_dtype
    rate = matrix_product_rate(dtype)
    print(f"matrix product, {dtype:<11}{rate / 1e9:8,.0f} GFLOP/s")
    print(f"reached by a training step {work * n / ours / rate:8.0%} ({work / 1e6:.1f} MFLOP/image)")


def generation_speed(model: kg.ImageGenerator) -> None:
    model.generate(64, seed=0)
    n = 4096
    taken = statistics.median(seconds_of(lambda: model.generate(n, seed=0)) for _ in range(5))
    print(f"generate                   {n / taken:8,.0f} images/s")


def metrics_speed(model: kg.ImageGenerator) -> None:
    """10,000 generated against 10,000 real images, features included, against the prdc package."""
    data = kg.load_dataset(batch_size=100)
    real = np.concatenate([x for x, _ in data.training_chunks(2000)])
    generated = model.generate(len(real), seed=0)
    found = []
    ours = seconds_of(lambda: found.append(kg.metrics.SetMetrics("fashion_mnist", real)))
    measures = found[0]
    ours += seconds_of(lambda: measures.measure(generated))
    print(f"metrics, 10,000 images     {ours:8.1f} s (features, FD, KID, recall, coverage, entropies)")
    try:
        from prdc import compute_prdc
    except ImportError:
        return
    features, _ = measures.extractor(generated)
    both = measures.real_features, features
    theirs = seconds_of(lambda: compute_prdc(*both, nearest_k=5))
    same = seconds_of(
        lambda: (kg.metrics.precision_recall(*both, k=5), kg.metrics.density_coverage(*both, k=5))
    )
    print(f"prdc on the same features  {theirs:8.1f} s, {theirs / same:.1f} times ours")


def callback_cost(name: str, data: kg.ImageDataset) -> None:
    """The share of a run, as `keras-gen train` makes it, that its callbacks take.

    The time inside them is added up, which a noisy machine disturbs less than two runs compared.
    """
    recipe = RECIPES[name]
    epochs = recipe.epochs or round(recipe.images / data.num_train)
    options = {**option_defaults(train), "epochs": epochs, "dtype_policy": "float32", "learning_rate": 1e-3}
    spent, inside = 0.0, False

    def timed(hook: Callable) -> Callable:
        def run_hook(*arguments: object, **named: object) -> None:
            nonlocal spent, inside
            if inside:  # a hook that calls another is counted once
                return hook(*arguments, **named)
            inside = True
            spent += seconds_of(lambda: hook(*arguments, **named))
            inside = False
            return None

        return run_hook

    with tempfile.TemporaryDirectory() as folder:
        model = Run(Path(folder), Config(name, options, {}, {})).build(data)
        model.fit(data.train, verbose=0)
        all_callbacks = [*run_callbacks(Path(folder), model, data, epochs), kg.callbacks.FiniteGuard()]
        for watcher in all_callbacks:
            for hook in (h for h in dir(watcher) if h.startswith("on_")):
                setattr(watcher, hook, timed(getattr(watcher, hook)))
        total = seconds_of(
            lambda: model.fit(
                data.train,
                validation_data=data.test,
                epochs=epochs,
                verbose=0,
                callbacks=all_callbacks,
            )
        )
    share = spent / (total - spent)
    print(f"all callbacks add          {share:8.1%} to {epochs} epochs ({NUM_SHOWN} pictures)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="vae", choices=("vae", "gan", "wgan_gp", "diffusion", "lstm"))
    parser.add_argument("--dtype-policy", help="numbers to compute with (default: the recipe's)")
    parser.add_argument("--seconds", type=float, default=60, help="for each comparison")
    parser.add_argument("--callbacks", action="store_true", help="also what callbacks cost (slow)")
    arguments = parser.parse_args()
    if arguments.callbacks and arguments.model in ("diffusion", "lstm"):
        parser.error(f"--callbacks is for vae, gan and wgan_gp. Received: --model {arguments.model}")
    if arguments.model == "lstm":
        benchmark_text.main(arguments.seconds)
        return
    if arguments.model == "diffusion":
        benchmark_diffusion.main(arguments.seconds, arguments.dtype_policy)
        return
    start_up()
    data = kg.load_dataset(batch_size=BATCH_SIZE)
    recipe = RECIPES[arguments.model]
    model = getattr(kg.models, recipe.model)(
        image_shape=data.image_shape,
        dtype=resolve_dtype(arguments.dtype_policy or recipe.dtype_policy),
        seed=0,
        **{**recipe.hyperparameters, **AS_THE_PLAIN_LOOP.get(arguments.model, {})},
    )
    model.compile()
    training_speed(model, data, arguments.seconds)
    generation_speed(model)
    metrics_speed(model)
    if arguments.callbacks:
        callback_cost(arguments.model, data)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory                {peak:8.2f} GiB")


if __name__ == "__main__":
    main()
