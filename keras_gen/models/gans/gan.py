"""Generative adversarial network: a generator learns to fool a discriminator.

    discriminator:  min over D of E[-log D(x)] + E[-log(1 - D(G(z)))],  z ~ N(0, 1)
    generator:      min over G of E[-log D(G(z))]

with the non-saturating loss [1, section 3]; others by name. Differences from the papers: the networks are
DCGAN's [2] in miniature; z also chooses one of several clusters [8], without which the generator draws
hybrids of different things; images are drawn by an exponential moving average of the generator's weights
[3]; and the remedies that practitioners use are options.

References:
    1. Goodfellow et al. 2014, Generative Adversarial Networks, arXiv 1406.2661.
    2. Radford et al. 2015, Unsupervised Representation Learning with DCGANs, arXiv 1511.06434.
    3. Yazici et al. 2018, The Unusual Effectiveness of Averaging in GAN Training, arXiv 1806.04498.
    4. Salimans et al. 2016, Improved Techniques for Training GANs, arXiv 1606.03498.
    5. Sonderby et al. 2016, Amortised MAP Inference for Image Super-resolution, arXiv 1610.04490.
    6. Mescheder et al. 2018, Which Training Methods for GANs do actually Converge?, arXiv 1801.04406.
    7. Miyato et al. 2018, Spectral Normalization for GANs, arXiv 1802.05957.
    8. Gurumurthy et al. 2017, DeLiGAN: GANs for Diverse and Limited Data, arXiv 1706.02071.
"""

from typing import Annotated, Any, Literal

import keras
import tensorflow as tf
from annotated_types import Interval
from keras import layers

from keras_gen.layers import DiffAugment, child_seed, example_noise, replica_id, replica_seed
from keras_gen.losses import diversity, mean_over_batch
from keras_gen.models.base import validation
from keras_gen.models.base.ema import update_ema
from keras_gen.models.base.image_model import NumClasses
from keras_gen.models.base.latent_generator import LatentGenerator
from keras_gen.models.base.verbs import Labels, Latents, verb
from keras_gen.models.gans.networks import (
    build_discriminator,
    build_generator,
    default_discriminator_widths,
    default_generator_widths,
)
from keras_gen.models.gans.objective import Objective, first_share, logits_of
from keras_gen.models.networks import Builder, frozen_copy, join, plain_copy, sum_of_losses
from keras_gen.optimizers import copy_of, has_schedule, scaled_like
from keras_gen.utils.arguments import (
    Count,
    Fraction,
    ImageShape,
    Natural,
    NonNegative,
    Probability,
    Seed,
    Share,
    Widths,
    checked,
)

NETWORKS = ("generator", "discriminator")
LOGGED = ("generator_loss", "discriminator_loss", "real_accuracy", "generated_accuracy", "diversity")
LOGGED_IN_TRAINING = (
    "penalty",
    *[f"{network}_gradient_norm" for network in NETWORKS],
    *[f"{network}_learning_rate" for network in NETWORKS],
)


@keras.saving.register_keras_serializable("keras_gen")
class GAN(LatentGenerator):
    """Generative adversarial network, with convolutional networks by default.

    It logs, as means over the epoch: `discriminator_loss` and `generator_loss`; `penalty`, where there is
    one; `real_accuracy` and `generated_accuracy`, the fractions of real and of generated images that the
    discriminator classifies correctly (0.5 is chance); `diversity`, the mean distance between two
    generated images over that between two real ones (1 is as varied, 0 is one image again and again); and
    in training, `discriminator_gradient_norm`, `generator_gradient_norm`, `discriminator_learning_rate` and
    `generator_learning_rate`; on several replicas, norms are means over their parts of the batch. Losses of
    layers of your own networks (`add_loss`, regularizers) are in the losses of both. For
    `compile(metrics=...)`, `y_true` are the batch's real images and `y_pred` an equal number of generated
    ones, both in [0, 1].

    Args:
        image_shape: (height, width, channels); any size.
        latent_dim: Length of the latent vector z.
        num_classes: Number of classes to condition both networks on; None to ignore labels. See `CGAN`.
        conditioning: How the discriminator gets the label: `"projection"`, as a direction in the space of
            its features, or `"concat"`, as more channels of the image, which learns more slowly. Only
            with `num_classes`.
        loss: `"non_saturating"`, `"minimax"`, `"least_squares"` or `"hinge"`: see `keras_gen.losses`.
        latent_clusters: Number of clusters of latent vectors [8], from which the default generator can
            draw quite different images without hybrids of them; 0 for none. By default 32, and with
            `num_classes` none, since the labels serve as such.
        generator_widths: Filters of the generator's feature maps, from the smallest map on, each twice the
            size of the one before; by default ..., 256, 128, 64, from a map of at most 8 pixels on.
        discriminator_widths: Filters of the discriminator's convolutions, each of which halves the image;
            by default 32, 64, 128, 256, 256, ... until the map is at most 4 pixels.
        discriminator_normalization: `"batch"`, `"spectral"` [7] or `"none"`.
        dropout: Fraction of the discriminator's features dropped in training, from 0 to less than 1.
        discriminator_steps: Discriminator updates for each generator update, 1 to 100; each sees the
            batch's real images and newly generated ones.
        label_smoothing: From 0 to less than 1. The target of real images is 1 - label_smoothing; that of
            generated images stays 0 ("one-sided" [4]).
        real_label_noise: Real images' targets are drawn from [1 - real_label_noise, 1], from 0 to 1.
        generated_label_noise: Generated images' targets are drawn from [0, generated_label_noise].
        real_label_flips: Fraction of the real images that are labelled generated, from 0 to 1.
        generated_label_flips: Fraction of the generated images that are labelled real.
        instance_noise: Standard deviation of the noise that is added to every image that the discriminator
            sees, for pixels in [0, 1] [5]; 0 or more.
        instance_noise_steps: Steps over which that noise falls to 0; 0 keeps it.
        augment: Changes to every image that the discriminator sees, for small data, such as
            `"color,translation,cutout"`: see `keras_gen.layers.DiffAugment`.
        r1_weight: Weight of the penalty on slopes at real images [6], 0 or more. Batch normalization mixes
            an image's slope with those of its batch; R1 helps all the same, as measured in `recipes.py`.
        penalty_share: Fraction of each batch that a penalty's mean is estimated from, in (0, 1]; less is
            faster.
        ema: Momentum of the moving average of the generator's weights, from 0 to less than 1; 0 draws
            with the generator as it is.
        generator: Your own network in place of the default: z (latent_dim,), and with `num_classes`
            one-hot labels (num_classes,) -> images (height, width, channels) in [-1, 1], as by a tanh.
        discriminator: Your own network: images (height, width, channels) in [-1, 1], and with
            `num_classes` one-hot labels -> logits (1,), without a sigmoid.
        seed: Integer that determines the initial weights and all noise; random by default.

    Raises:
        ValueError: An argument is out of range, or your own networks do not fit.

    Example:

    >>> import numpy as np
    >>> model = GAN(image_shape=(28, 28, 1), generator_widths=(8, 4), discriminator_widths=(4, 8), seed=0)
    >>> model.compile()
    >>> history = model.fit(np.zeros((256, 28, 28), "uint8"), epochs=1, verbose=0)
    >>> model.generate(2, seed=0).shape
    (2, 28, 28, 1)
    """

    uses_sample_weight = False
    own_networks = NETWORKS
    logged_in_training = LOGGED_IN_TRAINING
    default_learning_rate = 1.5e-3

    @checked
    def __init__(
        self,
        image_shape: ImageShape = (28, 28, 1),
        latent_dim: Count = 64,
        num_classes: NumClasses | None = None,
        conditioning: Literal["projection", "concat"] = "projection",
        loss: Literal["non_saturating", "minimax", "least_squares", "hinge"] = "non_saturating",
        latent_clusters: Natural | None = None,
        generator_widths: Widths | None = None,
        discriminator_widths: Widths | None = None,
        discriminator_normalization: Literal["batch", "spectral", "none"] = "batch",
        dropout: Fraction = 0.0,
        discriminator_steps: Annotated[int, Interval(ge=1, le=100)] = 1,
        label_smoothing: Fraction = 0.0,
        real_label_noise: Probability = 0.0,
        generated_label_noise: Probability = 0.0,
        real_label_flips: Probability = 0.0,
        generated_label_flips: Probability = 0.0,
        instance_noise: NonNegative = 0.0,
        instance_noise_steps: Natural = 0,
        augment: str = "",
        r1_weight: NonNegative = 0.0,
        penalty_share: Share = 1.0,
        ema: Fraction = 0.999,
        generator: keras.Model | None = None,
        discriminator: keras.Model | None = None,
        seed: Seed | None = None,
        **kwargs: Any,
    ):
        if latent_clusters is None:
            latent_clusters = 32 if num_classes is None else 0
        super().__init__(image_shape, latent_dim, num_classes, seed, **kwargs)
        self.conditioning = conditioning
        self.objective = Objective(loss, r1_weight)
        self.latent_clusters = latent_clusters
        self.discriminator_widths = tuple(
            discriminator_widths or default_discriminator_widths(self.image_shape)
        )
        self.generator_widths = tuple(generator_widths or default_generator_widths(self.image_shape))
        self.discriminator_normalization = discriminator_normalization
        self.dropout = dropout
        self.discriminator_steps = discriminator_steps
        self.label_smoothing = label_smoothing
        self.real_label_noise = real_label_noise
        self.generated_label_noise = generated_label_noise
        self.real_label_flips = real_label_flips
        self.generated_label_flips = generated_label_flips
        self.instance_noise = instance_noise
        self.instance_noise_steps = instance_noise_steps
        self.r1_weight = r1_weight
        self.penalty_share = penalty_share
        self.ema = ema
        self.augmentation = DiffAugment(augment, child_seed(seed, "augment"), dtype="float32")
        self.noise_seed = keras.random.SeedGenerator(child_seed(seed, "noise"))  # all that training draws
        self._own_networks = {"generator": generator, "discriminator": discriminator}
        self._make_networks(generator, discriminator)
        self._trackers = [keras.metrics.Mean(name=name) for name in (*LOGGED, *LOGGED_IN_TRAINING)]
        self.built = True

    def _make_networks(self, generator: keras.Model | None, discriminator: keras.Model | None) -> None:
        labels = [] if self.num_classes is None else [(self.num_classes,)]
        build = Builder(self.seed, self.dtype_policy)
        if generator is None:
            generator = build_generator(
                self.image_shape,
                self.latent_dim,
                self.num_classes,
                self.latent_clusters,
                self.generator_widths,
                build,
            )
        else:
            validation.network("generator", generator, [(self.latent_dim,), *labels], [self.image_shape])
            validation.gives_tanh("generator", generator)
        if discriminator is None:
            discriminator = build_discriminator(
                self.image_shape,
                self.num_classes,
                self.conditioning,
                self.discriminator_widths,
                self.discriminator_normalization,
                self.dropout,
                build,
            )
        else:
            validation.network("discriminator", discriminator, [self.image_shape, *labels], [(1,)])
            validation.gives_logits("discriminator", discriminator)
        self.generator, self.discriminator = generator, discriminator
        # Draws the images: the moving average of the generator's weights, always in float32.
        self.ema_generator = generator
        if self.ema:
            self.ema_generator = frozen_copy(generator)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "conditioning": self.conditioning,
            "loss": self.objective.loss_name,
            "latent_clusters": self.latent_clusters,
            "generator_widths": self.generator_widths,
            "discriminator_widths": self.discriminator_widths,
            "discriminator_normalization": self.discriminator_normalization,
            "dropout": self.dropout,
            "discriminator_steps": self.discriminator_steps,
            "label_smoothing": self.label_smoothing,
            "real_label_noise": self.real_label_noise,
            "generated_label_noise": self.generated_label_noise,
            "real_label_flips": self.real_label_flips,
            "generated_label_flips": self.generated_label_flips,
            "instance_noise": self.instance_noise,
            "instance_noise_steps": self.instance_noise_steps,
            "augment": self.augmentation.policy,
            "r1_weight": self.r1_weight,
            "penalty_share": self.penalty_share,
            "ema": self.ema,
        }

    def count_params(self) -> int:
        """Number of weights of both networks, without the moving average."""
        return self.generator.count_params() + self.discriminator.count_params()

    # === Training ===

    @checked
    def compile(  # type: ignore[override]
        self,
        optimizer: Any = None,
        discriminator_optimizer: Any = None,
        *,
        generator_optimizer: Any = None,
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: Count | None = None,
        jit_compile: bool | Literal["auto"] | None = None,
        auto_scale_loss: bool = True,
    ) -> None:
        """Prepares the model for `fit`.

        Args:
            optimizer: Of both networks, each of which gets its own copy; by default `default_optimizer()`.
            discriminator_optimizer: Of the discriminator, where it is not to be a copy of the generator's.
                A learning-rate schedule in it counts its own updates, of which there are
                `discriminator_steps` in each training step.
            generator_optimizer: Another name of `optimizer`.
            loss: Must be None, since the losses are the model's own: see the constructor's `loss`.
            loss_weights: Likewise.
            metrics: Keras metrics of real and generated images.
            weighted_metrics: The same: a GAN has no weights.
            run_eagerly: See `BaseModel.compile`, as for the rest.
            steps_per_execution: Training steps in one call of the compiled function.
            jit_compile: Compile with XLA.
            auto_scale_loss: Scale the losses under `mixed_float16`.

        Raises:
            ValueError: A loss was given, a metric is unknown or has a name that is taken, or the
                generator got two optimizers, or a schedule would end too soon for the discriminator.
        """
        if optimizer is not None and generator_optimizer is not None:
            raise ValueError("optimizer and generator_optimizer are the same argument: pass one of them.")
        optimizer = validation.optimizer("optimizer", optimizer)
        generator_optimizer = validation.optimizer("generator_optimizer", generator_optimizer)
        second = validation.optimizer("discriminator_optimizer", discriminator_optimizer)
        first = optimizer or generator_optimizer or self.default_optimizer()
        if second is None and self.discriminator_steps > 1 and has_schedule(first):
            raise ValueError(
                f"A learning-rate schedule counts updates, and the discriminator has "
                f"{self.discriminator_steps} in each training step: pass it a schedule as many times as "
                "long, in discriminator_optimizer. Received: one optimizer for both"
            )
        if second in (None, first):  # an optimizer belongs to one network's weights
            second = copy_of(first)
        super().compile(
            first,
            loss=loss,
            loss_weights=loss_weights,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
        )
        self.discriminator_optimizer: Any = scaled_like(second, self.optimizer, "discriminator_loss_scale")
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    @property
    def trackers(self) -> list[keras.metrics.Metric]:  # type: ignore[override]
        has_penalty = bool(self.objective.penalty_weight)
        return [tracker for tracker in self._trackers if has_penalty or tracker.name != "penalty"]

    def updates_per_step(self) -> dict[str, int]:
        return {"optimizer": 1, "discriminator_optimizer": self.discriminator_steps}

    def default_optimizer(self, learning_rate: Any = None) -> keras.optimizers.Optimizer:
        return self.objective.optimizer(
            self.default_learning_rate if learning_rate is None else learning_rate
        )

    @property
    def optimized_variables(self) -> list[keras.Variable]:
        return self.generator.trainable_variables

    def train_step(self, data: Any) -> dict:
        images, labels, _, count = self.prepare(data)
        real_images = 2.0 * images - 1.0
        for _ in range(self.discriminator_steps - 1):
            generated_images = self.generator(self.generator_inputs(labels, images), training=True)
            self.train_discriminator(real_images, generated_images, labels, count)
        with tf.GradientTape() as tape:
            generated_images = self.generator(self.generator_inputs(labels, images), training=True)
            own_losses = sum_of_losses(self.generator)
            with tape.stop_recording():
                values = self.train_discriminator(real_images, generated_images, labels, count)
            logits = self.logits(self.augment(generated_images), labels, training=True)
            loss = mean_over_batch(self.objective.losses(logits).generator) + own_losses
            scaled_loss = self.scale_loss(loss, count)
        norm = self.apply_gradients(tape, scaled_loss, self.generator, self.optimizer, count)
        if self.ema:
            update_ema(self.ema_generator, self.generator, self.ema, self.optimizer.iterations)
        values["generator_loss"], values["generator_gradient_norm"] = loss, norm
        values["generator_learning_rate"] = tf.convert_to_tensor(self.optimizer.learning_rate)
        second = self.discriminator_optimizer
        values["discriminator_learning_rate"] = tf.convert_to_tensor(second.learning_rate)
        self._report(values, images, generated_images, count)
        return self.logs()

    def train_discriminator(
        self,
        real_images: tf.Tensor,
        generated_images: tf.Tensor,
        labels: tf.Tensor | None,
        count: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Updates the discriminator once; returns its logged values for images in [-1, 1]."""
        augmented_real, augmented_generated = self.augment(real_images), self.augment(generated_images)
        targets = self.targets(tf.shape(real_images)[0])
        with tf.GradientTape() as tape:
            values, loss = self.objective.discriminator_loss(
                self.discriminator, augmented_real, augmented_generated, labels, True, targets
            )
            if self.objective.penalty_weight:
                penalized = self.penalized(augmented_real, augmented_generated, labels)
                values["penalty"] = self.penalty(*penalized)
                loss += self.objective.penalty_weight * values["penalty"]
            scaled_loss = self.scale_loss(loss, count, self.discriminator_optimizer)
        optimizer = self.discriminator_optimizer
        norm = self.apply_gradients(tape, scaled_loss, self.discriminator, optimizer, count)
        return {**values, "discriminator_gradient_norm": norm}

    def test_step(self, data: Any) -> dict:
        images, labels, _, count = self.prepare(data)
        real_images = 2.0 * images - 1.0
        # Noise that only the place in the test set determines: evaluating twice gives one result.
        places = tf.cast(self.trackers[0].count, tf.int32) + tf.range(tf.shape(images)[0])
        z = example_noise(replica_id(), places, (self.latent_dim,))
        generated_images = self.generator(join(z, labels), training=False)
        own_losses = sum_of_losses(self.generator)
        values, _ = self.objective.discriminator_loss(
            self.discriminator, real_images, generated_images, labels, training=False
        )
        logits = self.logits(generated_images, labels, training=False)
        values["generator_loss"] = mean_over_batch(self.objective.losses(logits).generator) + own_losses
        self._report(values, images, generated_images, count)
        logs = self.logs()
        return {name: logs[name] for name in logs if name not in LOGGED_IN_TRAINING}

    def _report(
        self,
        values: dict[str, tf.Tensor],
        images: tf.Tensor,
        generated_images: tf.Tensor,
        count: tf.Tensor,
    ) -> None:
        values["diversity"] = diversity(generated_images, 2.0 * images - 1.0)
        self.track(values, count)
        self.update_metrics(images, lambda: self.to_pixels(generated_images), count)

    def apply_gradients(
        self,
        tape: tf.GradientTape,
        scaled_loss: tf.Tensor,
        network: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        count: tf.Tensor,
    ) -> tf.Tensor:
        """Updates a network; returns the norm of its gradient."""
        gradients = tape.gradient(scaled_loss, network.trainable_variables)
        norm = self.gradient_norm(gradients, count, optimizer)
        optimizer.apply(gradients, network.trainable_variables)
        return norm

    # === The discriminator's inputs and targets ===

    def logits(self, images: tf.Tensor, labels: tf.Tensor | None, training: bool = False) -> tf.Tensor:
        """The discriminator's logits, float32 (n,), for images in [-1, 1]."""
        return logits_of(self.discriminator, images, labels, training)

    def augment(self, images: tf.Tensor) -> tf.Tensor:
        """The discriminator's view of images in [-1, 1]: augmented and with noise."""
        images = self.augmentation(tf.cast(images, tf.float32), training=True)
        if not self.instance_noise:
            return images
        noise = tf.random.stateless_normal(tf.shape(images), replica_seed(self.noise_seed))
        left = 1.0
        if self.instance_noise_steps:
            step = tf.cast(self.optimizer.iterations, tf.float32)
            left = tf.maximum(0.0, 1.0 - step / self.instance_noise_steps)
        return images + 2.0 * self.instance_noise * left * noise  # the range is 2, not 1

    def targets(self, n: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The targets of the real and of the generated images, each (n,) in [0, 1], where 1 is real."""
        real = self._flipped(tf.fill((n,), 1.0), -self.real_label_noise, self.real_label_flips)
        generated = self._flipped(tf.zeros((n,)), self.generated_label_noise, self.generated_label_flips)
        return real * (1.0 - self.label_smoothing), generated

    def _flipped(self, targets: tf.Tensor, noise: float, flips: float) -> tf.Tensor:
        if noise:
            seed = replica_seed(self.noise_seed)
            targets += noise * tf.random.stateless_uniform(tf.shape(targets), seed)
        if flips:
            seed = replica_seed(self.noise_seed)
            flipped = tf.random.stateless_uniform(tf.shape(targets), seed) < flips
            targets = tf.where(flipped, 1.0 - targets, targets)
        return targets

    # === The penalty ===

    def penalized(self, *batches: tf.Tensor | None) -> list[tf.Tensor | None]:
        """The first images of a batch, a fraction `penalty_share` of it, at least one."""
        return first_share(self.penalty_share, *batches)

    def penalty(
        self, real_images: tf.Tensor, generated_images: tf.Tensor, labels: tf.Tensor | None
    ) -> tf.Tensor:
        """The objective's penalty on slopes at these images."""

        def discriminator(images: tf.Tensor) -> tf.Tensor:
            return self.logits(images, labels, training=True)

        return self.objective.penalty(discriminator, real_images, generated_images, self.noise_seed)

    def are_valid_inputs(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_all(tf.math.is_finite(tf.cast(x, tf.float32)))

    def check_inputs(self, x: Any) -> None:
        z, labels = x if isinstance(x, (list, tuple)) and len(x) == 2 else (x, None)
        z = validation.latents("Latent vectors", z, self.latent_shape)
        if self.conditional:
            validation.labels(labels, self.num_classes, len(z), "as predict([z, labels])")

    # === Verbs ===

    @property
    def loss_name(self) -> str:
        """The name of the adversarial loss."""
        return self.objective.loss_name

    def generator_inputs(self, labels: tf.Tensor | None, images: tf.Tensor) -> Any:
        """New latent vectors, one for each image, with the labels."""
        shape = (tf.shape(images)[0], self.latent_dim)
        return join(tf.random.stateless_normal(shape, replica_seed(self.noise_seed)), labels)

    def call(self, inputs: Any) -> tf.Tensor:
        """Draws images from latent vectors, or from (latent vectors, labels) where conditional."""
        z, labels = inputs if isinstance(inputs, (list, tuple)) else (inputs, None)
        if z.shape.rank not in (None, 2) or z.shape[-1] != self.latent_dim:
            raise ValueError(
                f"A {type(self).__name__} draws images from latent vectors (n, {self.latent_dim}). "
                f"Received: shape {tuple(z.shape)}. Use generate for new images, evaluate for the losses."
            )
        return self.decode.on_tensors(z, self.to_one_hot(labels))

    @verb("images")
    def decode(self, z: Latents, labels: Labels = None) -> tf.Tensor:
        return self.to_pixels(self.ema_generator(join(z, labels), training=False))

    def to_pixels(self, generated_images: tf.Tensor) -> tf.Tensor:
        """Outputs of a generator, approximately in [-1, 1] -> float32 images in [0, 1]."""
        return tf.clip_by_value(0.5 * tf.cast(generated_images, tf.float32) + 0.5, 0.0, 1.0)

    def portable_network(self) -> keras.Model:
        """z (and one-hot labels) -> images in [0, 1], as one plain Keras network, for export."""
        generator = plain_copy(self.ema_generator)
        images = layers.Rescaling(0.5, 0.5, dtype="float32")(generator(generator.inputs))
        images = layers.ReLU(max_value=1.0, dtype="float32", name="images")(images)
        return keras.Model(generator.inputs, images, name="generate")
