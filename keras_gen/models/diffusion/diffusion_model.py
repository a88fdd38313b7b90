"""Diffusion model: a network learns to tell image and noise apart, and so turns noise into images in steps.

    x_t = signal_rate(t) * image + noise_rate(t) * noise,  noise ~ N(0, 1),  t from 0 to 1
    loss = E || network(x_t, t) - velocity ||^2,  for a linear schedule velocity = noise - image

which is flow matching [1] with the straight paths of rectified flow [2], and with other schedules and
predictions the diffusion models before it [3, 4, 5]. Times are logit-normal [6]: intermediate times are the
hardest and are sampled most often; a tenth are at low noise, which barely affects samples but dominates the
likelihood. Differences from the papers: networks that are small enough for a CPU; an exponential moving
average of the weights generates the images; guidance moves away from a smaller network, the guide, that is
trained for a few steps, without a moving average, and sees no labels [7, 9].

References:
    1. Lipman et al. 2023, Flow Matching for Generative Modeling, arXiv 2210.02747.
    2. Liu et al. 2023, Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow,
       arXiv 2209.03003.
    3. Ho et al. 2020, Denoising Diffusion Probabilistic Models, arXiv 2006.11239.
    4. Salimans & Ho 2022, Progressive Distillation for Fast Sampling of Diffusion Models, arXiv 2202.00512.
    5. Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models,
       arXiv 2206.00364.
    6. Esser et al. 2024, Scaling Rectified Flow Transformers for High-Resolution Image Synthesis,
       arXiv 2403.03206.
    7. Ho & Salimans 2022, Classifier-Free Diffusion Guidance, arXiv 2207.12598.
    8. Li & He 2025, Back to Basics: Let Denoising Generative Models Denoise, arXiv 2511.13720.
    9. Karras et al. 2024, Guiding a Diffusion Model with a Bad Version of Itself, arXiv 2406.02507.
    10. Peebles & Xie 2023, Scalable Diffusion Models with Transformers, arXiv 2212.09748.
"""

import math
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf
from annotated_types import Interval
from numpy.typing import ArrayLike

from keras_gen.layers import child_seed, replica_id, replica_seed
from keras_gen.layers.keyed_noise import keyed_normal
from keras_gen.losses import mean_over_batch
from keras_gen.models.base import validation
from keras_gen.models.base.ema import update_ema
from keras_gen.models.base.image_model import NumClasses
from keras_gen.models.base.verbs import keys_of
from keras_gen.models.diffusion import likelihood, networks
from keras_gen.models.diffusion.guidance import GuidedFlow
from keras_gen.models.diffusion.schedules import SCHEDULES, add_noise, velocity_of
from keras_gen.models.networks import Builder, float32_copy, frozen_copy, plain_copy, sum_of_losses
from keras_gen.optimizers import Muon
from keras_gen.utils.arguments import (
    Count,
    Fraction,
    ImageShape,
    Natural,
    Probability,
    Seed,
    Widths,
    checked,
    received,
)

# None stands for what suits the architecture.
NETWORK_DEFAULTS = {"architecture": "unet", "widths": None, "num_blocks": None, "attention": False}
SMALLEST_RATE = 0.05  # that is divided by
# Mean and standard deviation of log(noise_rate / signal_rate) in training [6, 5].
LOG_RATIOS = {"linear": (0.0, 1.0), "cosine": (0.0, 1.0), "edm": (-0.5, 1.2)}
# The fraction of times at which this logarithm is uniform, from the one that likelihoods begin with to 0.
LOW_NOISE_SHARE, LOWEST_LOG_RATIO = 0.1, math.log(likelihood.FIRST_RATIO)
TIME_STREAM = 1  # of the noise that times are made of, in a test step
NumBlocks = Annotated[int, Interval(ge=1, le=64)]
LOGGED = ("loss", "relative_loss")
LOGGED_IN_TRAINING = ("gradient_norm",)


@keras.saving.register_keras_serializable("keras_gen")
class DiffusionModel(GuidedFlow):
    """Diffusion model, conditional with `num_classes`.

    It logs `loss`, the mean squared error of the prediction; `relative_loss`, the same divided by that of
    always predicting 0, so that 1 means nothing learned; and in training `gradient_norm`, on several
    replicas the mean over their parts of the batch. For
    `compile(metrics=...)`, `y_true` are the images and `y_pred` what the network makes of their noisy
    versions, both in [0, 1].

    Args:
        image_shape: (height, width, channels); any size.
        num_classes: Number of classes to condition the network on; None to ignore labels.
        schedule: `"linear"` [1, 2], `"cosine"` [4] or `"edm"` [5]: see
            `keras_gen.models.diffusion.schedules`.
        prediction: What the network predicts: `"velocity"` [4]; `"noise"` [3]; or `"image"`, whose error is
            measured as that of the velocity [8].
        times: Distribution of the times in training: `"logit_normal"`, where the logarithm of noise_rate /
            signal_rate is normal [5, 6], with a tenth of them at low noise, which the likelihood depends
            on; or `"uniform"`.
        architecture: `"unet"`, or `"dit"`, a Transformer over patches [10]: see
            `keras_gen.models.diffusion.networks`.
        widths: Filters of the U-Net at 1/2, 1/4, ... of the image's size, (64, 128) by default; or one
            number, the width of the Transformer, (128,) by default.
        num_blocks: Residual blocks at each size, down and up, 2 by default; or of the Transformer, 6 by
            default; at most 64.
        attention: Whether the U-Net has attention after each block at the smallest size.
        class_dropout: Fraction of the labels that are hidden in training, from 0 to 1. Only with
            `num_classes`. Without a guide, `guidance` moves away from what is predicted without a label
            [7], for which 0.1 is usual; with one, it does not depend on this.
        guide_steps: Training steps of the guide, a network of half the width that does not see labels and
            that `guidance` moves away from [9], 1,500 by default; 0 for none. It has an optimizer of its
            own, Muon with a learning rate that decays from 0.02 to 0.
        ema: Momentum of the moving average of the weights, from 0 to less than 1.
        network: Your own network in place of the default ones: images (height, width, channels), times
            (1,) and with `num_classes` one-hot labels (num_classes,), all zeros if hidden -> a prediction
            (height, width, channels). The guide begins as a copy of it.
        seed: Integer that determines the initial weights and all noise; random by default.

    Raises:
        ValueError: A number is out of range, or the shapes of your own network do not fit.

    Example:

    >>> import numpy as np
    >>> model = DiffusionModel(image_shape=(8, 8, 1), widths=(4,), num_blocks=1, seed=0)
    >>> model.compile()
    >>> history = model.fit(np.zeros((256, 8, 8), "uint8"), epochs=1, verbose=0)
    >>> sorted(history.history)
    ['gradient_norm', 'loss', 'relative_loss']
    >>> model.generate(2, num_steps=3, seed=0).shape
    (2, 8, 8, 1)
    """

    own_networks: ClassVar[tuple[str, ...]] = ("network",)
    fixed_arguments: ClassVar[tuple[str, ...]] = ("latent_dim",)
    logged_in_training: ClassVar[tuple[str, ...]] = LOGGED_IN_TRAINING
    default_learning_rate = 0.02
    num_time_normals = 2  # standard normal numbers for each example that its time is made of
    has_durations = False  # whether the network has another input

    @checked
    def __init__(
        self,
        image_shape: ImageShape = (28, 28, 1),
        num_classes: NumClasses | None = None,
        schedule: Literal["linear", "cosine", "edm"] = "linear",
        prediction: Literal["velocity", "noise", "image"] = "velocity",
        times: Literal["logit_normal", "uniform"] = "logit_normal",
        architecture: Literal["unet", "dit"] = "unet",
        widths: Widths | None = None,
        num_blocks: NumBlocks | None = None,
        attention: bool = False,
        class_dropout: Probability = 0.0,
        guide_steps: Natural = 1500,
        ema: Fraction = 0.999,
        network: keras.Model | None = None,
        seed: Seed | None = None,
        **kwargs: Any,
    ):
        self.refuse_fixed(kwargs, "its latent variables are noise of the images' shape")
        if num_classes is None and class_dropout:
            raise ValueError(
                f"class_dropout is for models with num_classes. Received: class_dropout={class_dropout:g} "
                "and no num_classes"
            )
        super().__init__(image_shape, None, num_classes, seed, **kwargs)
        self.schedule_name, self.schedule = schedule, SCHEDULES[schedule]
        self.prediction = prediction
        self.times = times
        self.architecture, self.attention = architecture, attention
        self.widths = None if widths is None else tuple(widths)
        self.num_blocks = num_blocks
        self.class_dropout = class_dropout
        self.guide_steps = guide_steps
        self.ema = ema
        self.noise_seed = keras.random.SeedGenerator(child_seed(seed, "noise"))  # all that training draws
        self._own_networks = {"network": network}
        self._make_networks(network)
        self.trackers = [keras.metrics.Mean(name=name) for name in (*LOGGED, *LOGGED_IN_TRAINING)]
        self.built = True

    def _make_networks(self, network: keras.Model | None) -> None:
        if network is None:
            network = self._default_network(Builder(self.seed, self.dtype_policy), self.num_classes)
        else:
            labels = [] if self.num_classes is None else [(self.num_classes,)]
            durations = [(1,)] if self.has_durations else []
            shapes = [self.image_shape, (1,), *labels, *durations]
            validation.network("network", network, shapes, [self.image_shape])
            for name, default in NETWORK_DEFAULTS.items():
                if getattr(self, name) != default:
                    value = received(getattr(self, name))
                    raise ValueError(
                        f"{name} is for the default networks. Received: {name}={value} and a network"
                    )
        self.network = network
        # Draws the images: the moving average of the weights, in float32.
        self.ema_network = network
        if self.ema:
            self.ema_network = frozen_copy(network)
        self.guide_network = self.ema_network
        if self.guide_steps:
            build = Builder(child_seed(self.seed, "guide"), "float32")
            is_default = self._own_networks["network"] is None
            if is_default:
                self._set_guide(self._default_network(build, None, divisor=2), has_label_input=False)
            else:
                self._set_guide(float32_copy(network), has_label_input=self.conditional)
        # The model's own count: that of an optimizer begins anew with each `compile`.
        self.steps_trained = self.add_weight(
            shape=(),
            initializer="zeros",
            dtype="int64",
            trainable=False,
            name="steps_trained",
            aggregation="only_first_replica",
        )

    def _default_network(self, build: Builder, num_classes: int | None, divisor: int = 1) -> keras.Model:
        """A network whose widths are divided by `divisor`."""
        shapes = (self.image_shape, num_classes, self.schedule)
        default_widths, default_blocks = {"unet": ((64, 128), 2), "dit": ((128,), 6)}[self.architecture]
        self.widths, self.num_blocks = self.widths or default_widths, self.num_blocks or default_blocks
        widths = [max(1, width // divisor) for width in self.widths]
        if self.architecture == "unet":
            return networks.build_unet(
                *shapes, widths, self.num_blocks, self.attention, build, self.has_durations
            )
        if len(self.widths) != 1:
            raise ValueError(
                f"widths of a Transformer must be one number, such as (128,). Received: {self.widths}"
            )
        if self.attention:
            raise ValueError("attention is for the U-Net: a Transformer always has it. Received: True")
        return networks.build_dit(*shapes, widths[0], self.num_blocks, build, self.has_durations)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "schedule": self.schedule_name,
            "prediction": self.prediction,
            "times": self.times,
            "architecture": self.architecture,
            "widths": self.widths,
            "num_blocks": self.num_blocks,
            "attention": self.attention,
            "class_dropout": self.class_dropout,
            "guide_steps": self.guide_steps,
            "ema": self.ema,
        }

    def count_params(self) -> int:
        """Number of weights of the network, without the moving average and the guide."""
        return self.network.count_params()

    # === Training ===

    def default_optimizer(self, learning_rate: Any = None) -> keras.optimizers.Optimizer:
        """Muon, with gradients clipped to a global norm of 1."""
        rate = self.default_learning_rate if learning_rate is None else learning_rate
        return Muon(rate, global_clipnorm=1.0)

    @property
    def optimized_variables(self) -> list[keras.Variable]:
        return self.network.trainable_variables

    def learning_rate_schedule(self, initial: float, num_updates: int) -> Any:
        """A warm-up over 100 updates, or a tenth of them, and a decay to 0."""
        warmup_steps = min(100, num_updates // 10)
        return keras.optimizers.schedules.CosineDecay(
            0.0 if warmup_steps else initial,
            num_updates - warmup_steps,
            warmup_target=initial if warmup_steps else None,
            warmup_steps=warmup_steps,
        )

    def train_step(self, data: Any) -> dict:
        images, labels, sample_weight, count = self.prepare(data)
        images = 2.0 * images - 1.0
        noise = tf.random.stateless_normal(tf.shape(images), replica_seed(self.noise_seed))
        t_normal = tf.random.stateless_normal(
            (tf.shape(images)[0], 1, 1, self.num_time_normals), replica_seed(self.noise_seed)
        )
        labels = self.hide_labels(labels)
        values, predicted = self.train_network(images, noise, t_normal, labels, sample_weight, count)
        if self.guide_steps:
            self.train_guide(images, noise, self.times_of(t_normal), labels, sample_weight, count)
        self.steps_trained.assign_add(1)
        if self.ema:
            update_ema(self.ema_network, self.network, self.ema, self.steps_trained)
        self.track(values, count)
        self.update_metrics(0.5 * images + 0.5, lambda: self.to_pixels(predicted()), count, sample_weight)
        return self.logs()

    def train_network(
        self,
        images: tf.Tensor,
        noise: tf.Tensor,
        t_normal: tf.Tensor,
        labels: tf.Tensor | None,
        sample_weight: tf.Tensor | None,
        count: tf.Tensor,
    ) -> tuple[dict[str, tf.Tensor], Callable[[], tf.Tensor]]:
        """Updates the network; returns its logged values, and what predicts the images."""
        values, gradients, predicted = self.losses_and_gradients(
            images, noise, t_normal, labels, sample_weight, count
        )
        return {**values, "gradient_norm": self.apply_to_network(gradients, count)}, predicted

    def apply_to_network(self, gradients: list[tf.Tensor], count: tf.Tensor) -> tf.Tensor:
        """Updates the network; returns the norm of the gradients."""
        norm = self.gradient_norm(gradients, count, self.optimizer)
        self.optimizer.apply(gradients, self.network.trainable_variables)
        return norm

    def losses_and_gradients(
        self,
        images: tf.Tensor,
        noise: tf.Tensor,
        t_normal: tf.Tensor,
        labels: tf.Tensor | None,
        sample_weight: tf.Tensor | None,
        count: tf.Tensor,
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor], Callable[[], tf.Tensor]]:
        """The logged losses of a batch, the gradients of the network, and what predicts the images."""
        with tf.GradientTape() as tape:
            losses, relative_losses, predicted = self.losses(images, noise, t_normal, labels, training=True)
            loss = mean_over_batch(losses, sample_weight) + sum_of_losses(self.network)
            scaled_loss = self.scale_loss(loss, count)
        gradients = tape.gradient(scaled_loss, self.network.trainable_variables)
        values = {"loss": loss, "relative_loss": mean_over_batch(relative_losses)}
        return values, gradients, predicted

    def test_step(self, data: Any) -> dict:
        images, labels, sample_weight, count = self.prepare(data)
        images = 2.0 * images - 1.0
        # It depends only on an example's position in the test set: evaluating twice gives one result.
        places = tf.cast(self.trackers[0].count, tf.int32) + tf.range(tf.shape(images)[0])
        keys = tf.stack([tf.fill(tf.shape(places), replica_id()), places], axis=1)
        t_normal = keyed_normal(keys, (1, 1, self.num_time_normals), TIME_STREAM)
        noise = keyed_normal(keys, self.image_shape)
        losses, relative_losses, predicted = self.losses(images, noise, t_normal, labels)
        loss = mean_over_batch(losses, sample_weight) + sum_of_losses(self.network)
        self.track({"loss": loss, "relative_loss": mean_over_batch(relative_losses)}, count)
        self.update_metrics(0.5 * images + 0.5, lambda: self.to_pixels(predicted()), count, sample_weight)
        logs = self.logs()
        return {name: logs[name] for name in logs if name not in self.logged_in_training}

    def losses(
        self,
        images: tf.Tensor,
        noise: tf.Tensor,
        t_normal: tf.Tensor,
        labels: tf.Tensor | None,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor, Callable[[], tf.Tensor]]:
        """The loss of each image, the same relative to that of predicting 0, and what predicts the images.

        Args:
            images: In [-1, 1], (n, h, w, c).
            noise: Standard normal, (n, h, w, c).
            t_normal: What `times_of` makes times of, (n, 1, 1, `num_time_normals`).
            labels: One-hot (n, num_classes), where the model is conditional.
            training: Whether the network is being trained.
        """
        return self.losses_at(images, noise, self.times_of(t_normal), labels, training)

    def losses_at(
        self,
        images: tf.Tensor,
        noise: tf.Tensor,
        t: tf.Tensor,
        labels: tf.Tensor | None,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor, Callable[[], tf.Tensor]]:
        """As `losses`, at times (n, 1, 1, 1)."""
        x = add_noise(self.schedule, images, noise, t)
        output = tf.cast(self.network(self.network_inputs(x, t, labels), training=training), tf.float32)

        def predicted() -> tf.Tensor:
            return self.image_and_noise(x, self.velocity_from(output, x, t), t)[0]

        return *self.prediction_losses(output, images, noise, t), predicted

    @checked
    def loss_by_time(
        self,
        images: ArrayLike,
        labels: ArrayLike | None = None,
        num_times: Count = 10,
        seed: Seed = 0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The relative loss of the network at each noise level.

        Args:
            images: (n, height, width, channels), uint8 or floating point in [0, 1].
            labels: One for each, as for `generate`, where the model is conditional.
            num_times: Number of times, in the middle of as many equal parts of [0, 1].
            seed: Integer that determines the noise.

        Returns:
            The times, and at each the mean of `relative_loss` over the images; both float32 (num_times,).

        Raises:
            ValueError: Images or labels do not fit.
        """
        images = validation.images(images, self.image_shape)
        one_hot = self.checked_labels(labels, len(images))
        times = (np.arange(num_times, dtype="float32") + 0.5) / num_times
        losses = np.zeros((num_times, len(images)), "float32")
        for start in range(0, len(images), self.chunk_size):
            chunk = slice(start, start + self.chunk_size)
            x = 2.0 * self.to_images(images[chunk]) - 1.0
            noise = keyed_normal(keys_of(seed, len(images))[chunk], self.image_shape)
            y = None if one_hot is None else tf.constant(one_hot[chunk])
            for losses_then, t in zip(losses, times, strict=True):
                t = tf.fill((len(x), 1, 1, 1), t)
                losses_then[chunk] = self._relative_losses(x, noise, t, y)
        return times, losses.mean(axis=1)

    @tf.function(reduce_retracing=True)
    def _relative_losses(
        self, images: tf.Tensor, noise: tf.Tensor, t: tf.Tensor, labels: tf.Tensor | None
    ) -> tf.Tensor:
        return self.losses_at(images, noise, t, labels)[1]

    def times_of(self, normal: tf.Tensor) -> tf.Tensor:
        """Standard normal numbers (n, 1, 1, 2) -> times (n, 1, 1, 1) of the distribution to train with."""
        uniform = 0.5 + 0.5 * tf.math.erf(normal[..., 1:] * 2**-0.5)
        if self.times == "uniform":
            return uniform
        mean, std = LOG_RATIOS[self.schedule_name]
        log_ratio = mean + std * normal[..., :1]
        low = LOWEST_LOG_RATIO * (1.0 - uniform / LOW_NOISE_SHARE)
        return self.schedule.time_of(tf.exp(tf.where(uniform < LOW_NOISE_SHARE, low, log_ratio)))

    def hide_labels(self, labels: tf.Tensor | None) -> tf.Tensor | None:
        """One-hot labels, a fraction `class_dropout` of which are zeros."""
        if not self.hides_labels:
            return labels
        uniform = tf.random.stateless_uniform((tf.shape(labels)[0], 1), replica_seed(self.noise_seed))
        return tf.where(uniform < self.class_dropout, 0.0, labels)

    def prediction_losses(
        self, output: tf.Tensor, images: tf.Tensor, noise: tf.Tensor, t: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        target = {"velocity": velocity_of(self.schedule, images, noise, t), "noise": noise, "image": images}
        wanted = target[self.prediction]

        def mean_square(values: tf.Tensor) -> tf.Tensor:
            if self.prediction == "image":  # as an error of the velocity
                values /= tf.maximum(self.schedule.rates(t)[1], SMALLEST_RATE)
            return tf.reduce_mean(tf.square(values), axis=(1, 2, 3))

        losses = mean_square(tf.cast(output, tf.float32) - wanted)
        return losses, tf.math.divide_no_nan(losses, mean_square(wanted))

    def velocity_from(self, output: tf.Tensor, x: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
        signal_rate, noise_rate = self.schedule.rates(t)
        if self.prediction == "velocity":
            return output
        if self.prediction == "noise":
            images = (x - noise_rate * output) / tf.maximum(signal_rate, SMALLEST_RATE)
            return velocity_of(self.schedule, images, output, t)
        noise = (x - signal_rate * output) / tf.maximum(noise_rate, SMALLEST_RATE)
        return velocity_of(self.schedule, output, noise, t)

    def image_and_noise(
        self, x: tf.Tensor, velocity: tf.Tensor, t: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if self.prediction != "image":
            return super().image_and_noise(x, velocity, t)
        # What the network predicted, also where `velocity_from` divides by more than the noise rate.
        (signal_rate, noise_rate), coefficients = (
            self.schedule.rates(t),
            self.schedule.velocity_coefficients(t),
        )
        divisor = tf.maximum(noise_rate, SMALLEST_RATE)
        image = coefficients[1] * x - divisor * velocity
        image /= coefficients[1] * signal_rate - coefficients[0] * divisor
        return image, (x - signal_rate * image) / divisor

    @property
    def noise_rates(self) -> tuple[float, float]:
        least, most = super().noise_rates
        if self.prediction == "noise":  # with more, an error of it is many times as large in the image
            most = min(most, (1.0 - SMALLEST_RATE) / SMALLEST_RATE)  # above it, no signal rate is smaller
        return least, most

    # === What the samplers follow ===

    def velocity(
        self,
        x: tf.Tensor,
        t: tf.Tensor,
        labels: tf.Tensor | None = None,
        guidance: tf.Tensor | None = None,
    ) -> tf.Tensor:
        velocity = self.predicted_velocity(self.ema_network, self.network_inputs(x, t, labels), x, t)
        if guidance is None or "guidance" in self.unused_options:
            return velocity
        return self.guided(velocity, x, t, labels, guidance)

    def preset_copy(self) -> "DiffusionModel":
        """The average stands for the trained weights, too, so that the file holds both once."""
        copy: Any = super().preset_copy()
        copy.network.set_weights(copy.ema_network.get_weights())
        return copy

    def portable_network(self) -> keras.Model:
        """Noisy images, times (and one-hot labels) -> the prediction, as one plain Keras network."""
        return plain_copy(self.ema_network)

    @property
    def missing_verbs(self) -> dict[str, str]:
        if self.prediction != "image":
            return {}
        reason = "a predicted image does not say what the noise within a level of 8-bit pixels is"
        return {"log_prob": f"{reason}. Use prediction='velocity' or 'noise'"}
