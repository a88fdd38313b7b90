"""Mean flow: a network learns the mean velocity over intervals of time, and generates in one to four steps.

A diffusion model's velocity v(x_t, t) is that of an instant, so that noise becomes an image in many small
steps. The mean velocity over the time from t back to r, `duration` = t - r, is

    u(x_t, t, duration) = (integral from r to t of v(x_s, s) ds) / duration,   x_r = x_t - duration * u

and one step of duration 1 turns noise into an image. Differentiating by t gives the identity that it is
trained by [1], where the derivative is that along the flow, with the end r fixed:

    u = v - duration * du / dt,   loss = || network(x_t, t, duration) - stop_gradient(u) ||^2

Without a flow to learn from, v = noise - image, as for a diffusion model. Differences from [1]: it starts
from a trained diffusion model, if there is one, and learns from its guided velocity, which does not vary
with the noise that was drawn; no labels are hidden in training.

References:
    1. Geng et al. 2025, Mean Flows for One-step Generative Modeling, arXiv 2505.13447.
"""

import dataclasses
from collections.abc import Callable
from statistics import NormalDist
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import ArrayLike

from keras_gen.models.base.image_model import NumClasses
from keras_gen.models.base.verbs import Keys, Labels, Latents, verb
from keras_gen.models.diffusion.diffusion_model import NETWORK_DEFAULTS, DiffusionModel, NumBlocks
from keras_gen.models.diffusion.networks import DURATION_LAYER
from keras_gen.models.diffusion.probability_flow import GUIDANCE, Guidance, NumSteps
from keras_gen.models.diffusion.samplers import Path
from keras_gen.models.diffusion.schedules import add_noise, velocity_of
from keras_gen.models.networks import plain_copy
from keras_gen.utils.arguments import Count, ImageShape, Seed, Widths, checked, received

# The fraction of examples with a duration; the others learn the velocity itself.
INTERVALS = 0.25
NUM_STEPS = 4  # by default
STABILIZER = 1e-3  # of the weight of each example, 1 / its squared error


@keras.saving.register_keras_serializable("keras_gen")
class MeanFlow(DiffusionModel):
    """Diffusion model that generates images in one to four steps.

    It has no `denoise` and no `log_prob`: its velocity may be a guided one. `encode` follows that velocity
    in many steps, `decode` takes few, so that `decode(encode(images))` is `images` only approximately.

    It logs `loss`, the mean squared error of the mean velocity; `relative_loss`, the same divided by that
    of always predicting 0; and in training `gradient_norm`. The gradient is that of each example's error
    divided by its own size [1].

    Args:
        image_shape: (height, width, channels); any size.
        num_classes: Number of classes to condition the network on; those of the flow if there is one;
            otherwise None, to ignore labels.
        flow: A trained `DiffusionModel` with the schedule `"linear"`, for the same images and classes,
            whose velocity the network learns. It computes in its own precision. A default network begins
            with the flow's weights. Without it, the network learns from the data alone.
        guidance: Guidance of the flow's velocity, from 0 to 100, 1.5 by default: see
            `DiffusionModel.generate`. Only with `flow`.
        architecture: `"unet"`, the default, or `"dit"`, a Transformer over patches. This and the next three
            are those of the flow if there is one: see `DiffusionModel`.
        widths: Filters of the U-Net at 1/2, 1/4, ... of the image's size; or one number, the width of the
            Transformer.
        num_blocks: Residual blocks at each size, down and up; or of the Transformer.
        attention: Whether the U-Net has attention after each block at the smallest size.
        **kwargs: `network`, with an input of durations (1,) after the others; `ema`, `seed`, `class_names`,
            `name` and `dtype`; as for `DiffusionModel`.

    Raises:
        ValueError: A number is out of range, the shapes of your own network do not fit, or the flow is of
            other images, or has another network.

    Example:

    >>> import numpy as np
    >>> images = np.zeros((256, 8, 8), "uint8")
    >>> flow = DiffusionModel(image_shape=(8, 8, 1), widths=(4,), num_blocks=1, seed=0)
    >>> flow.compile()
    >>> history = flow.fit(images, verbose=0)
    >>> model = MeanFlow(image_shape=(8, 8, 1), flow=flow, seed=0)
    >>> model.compile()
    >>> history = model.fit(images, verbose=0)
    >>> model.generate(2, num_steps=1, seed=0).shape
    (2, 8, 8, 1)
    """

    own_networks: ClassVar[tuple[str, ...]] = ("network", "flow")
    fixed_arguments: ClassVar[tuple[str, ...]] = (
        *DiffusionModel.fixed_arguments,
        "schedule",
        "prediction",
        "times",
        "class_dropout",
        "guide_steps",
    )
    num_time_normals = 4
    has_durations = True

    @checked
    def __init__(
        self,
        image_shape: ImageShape = (28, 28, 1),
        num_classes: NumClasses | None = None,
        flow: DiffusionModel | None = None,
        guidance: Guidance | None = None,
        architecture: Literal["unet", "dit"] | None = None,
        widths: Widths | None = None,
        num_blocks: NumBlocks | None = None,
        attention: bool | None = None,
        **kwargs: Any,
    ):
        if guidance is not None and (flow is None or "guidance" in flow.unused_options):
            what = "no flow" if flow is None else "a flow that has no guidance"
            raise ValueError(f"guidance is that of a flow. Received: guidance={guidance:g} and {what}")
        self.refuse_fixed(kwargs, "mean velocities are of straight paths, and their guidance is the flow's")
        if flow is not None:
            num_classes = flow.num_classes if num_classes is None else num_classes
            if num_classes == flow.num_classes:
                kwargs.setdefault("class_names", flow.class_names)
        given = (architecture, widths, num_blocks, attention)
        kwargs |= network_options(None if kwargs.get("network") else flow, *given)
        super().__init__(image_shape, num_classes, class_dropout=0.0, guide_steps=0, **kwargs)
        self.guidance = guidance
        self.flow = None
        if flow is not None:
            self._check_flow(flow)
            self.flow = copy_of(flow)
            if self._own_networks["network"] is None:
                self._start_from(flow)
        self._own_networks["flow"] = self.flow

    @classmethod
    def arguments_from(cls, data: Any, uses_labels: bool = False, **arguments: Any) -> dict[str, Any]:
        """As for other image models; the classes are used if the flow uses them."""
        flow = arguments.get("flow")
        uses_labels |= isinstance(flow, DiffusionModel) and flow.conditional
        return super().arguments_from(data, uses_labels, **arguments)

    @property
    def missing_verbs(self) -> dict[str, str]:
        reason = "its velocity may be a guided one. Use the diffusion model that it was trained from"
        return {"denoise": reason, "log_prob": reason}

    def _check_flow(self, flow: DiffusionModel) -> None:
        if flow.has_durations:
            raise ValueError(f"flow must be a DiffusionModel. Received: a {type(flow).__name__}")
        for name, wanted in (
            ("image_shape", self.image_shape),
            ("num_classes", self.num_classes),
            ("schedule_name", "linear"),
        ):
            if getattr(flow, name) != wanted:
                raise ValueError(
                    f"flow must have {name.removesuffix('_name')}={wanted!r}. "
                    f"Received: {received(getattr(flow, name))}"
                )

    def _start_from(self, flow: DiffusionModel) -> None:
        """Sets all weights but those that durations are multiplied by, which are 0, to the flow's."""
        for network in dict.fromkeys((self.network, self.ema_network)):
            kept = [layer for layer in network.layers if layer.name != DURATION_LAYER]
            weights = [weight for layer in kept for weight in layer.weights]
            found = flow.ema_network.weights
            if [weight.shape for weight in weights] != [weight.shape for weight in found]:
                raise ValueError(
                    "flow must have a default network, or network be your own. "
                    "Received: a flow with a network of its own, and no network"
                )
            for weight, value in zip(weights, found, strict=True):
                weight.assign(value)

    def get_config(self) -> dict:
        config = super().get_config()
        for name in set(self.fixed_arguments) & config.keys():
            del config[name]
        return {**config, "guidance": self.guidance}

    # === Training ===

    def losses(
        self,
        images: tf.Tensor,
        noise: tf.Tensor,
        t_normal: tf.Tensor,
        labels: tf.Tensor | None,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor, Callable[[], tf.Tensor]]:
        n, interval_noise = tf.shape(images)[0], t_normal[:, 0, 0, 3]
        if training:  # exactly a quarter of the batch, so that its derivative is computed for no others
            order = tf.argsort(interval_noise)
            num_intervals = tf.cast(tf.math.ceil(INTERVALS * tf.cast(n, tf.float32)), tf.int32)
            rows, is_interval = order[:num_intervals], tf.argsort(order) < num_intervals
        else:  # by each example's own number, whatever else is in the batch
            is_interval = interval_noise < NormalDist().inv_cdf(INTERVALS)
            rows = tf.range(n)
            if not self.jit_compile:  # XLA needs to know how many; a network needs one at least
                rows = tf.cast(tf.where(is_interval | (rows == 0))[:, 0], tf.int32)
        t, duration = self.times_and_durations(t_normal, tf.reshape(is_interval, (-1, 1, 1, 1)))
        return self.losses_at(images, noise, t, labels, training, duration, rows)

    def times_and_durations(self, normal: tf.Tensor, is_interval: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Standard normal numbers (n, 1, 1, 3 or more) -> times and durations, each (n, 1, 1, 1).

        An interval lies between two logit-normal times; other examples have a time and no duration.
        """
        ends = tf.sigmoid(tf.gather(normal, [0, 2], axis=-1))
        last = tf.reduce_max(ends, axis=-1, keepdims=True)
        length = last - tf.reduce_min(ends, axis=-1, keepdims=True)
        t = tf.where(is_interval, last, self.times_of(normal[..., :2]))
        return t, tf.where(is_interval, length, 0.0)

    def losses_at(
        self,
        images: tf.Tensor,
        noise: tf.Tensor,
        t: tf.Tensor,
        labels: tf.Tensor | None,
        training: bool = False,
        duration: tf.Tensor | None = None,
        rows: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor, Callable[[], tf.Tensor]]:
        """As `losses`, at times and durations (n, 1, 1, 1), of which only those of `rows` are not 0."""
        x = add_noise(self.schedule, images, noise, t)
        velocity = velocity_of(self.schedule, images, noise, t)
        if self.flow is not None:
            guidance = tf.fill((tf.shape(x)[0],), GUIDANCE if self.guidance is None else self.guidance)
            velocity = self.flow.velocity(x, t, labels, guidance)
        target = velocity
        if duration is None:
            duration = tf.zeros_like(t)
        else:
            target -= duration * self._derivative(x, t, labels, duration, velocity, rows)
        target = tf.stop_gradient(target)
        u = self._predicted(self.network, x, t, labels, duration, training)

        def mean_square(values: tf.Tensor) -> tf.Tensor:
            return tf.reduce_mean(tf.square(values), axis=(1, 2, 3))

        errors = mean_square(u - target)
        relative = tf.math.divide_no_nan(errors, mean_square(target))
        if training:  # the value is the error's, the gradient that of the weighted error
            weighted = errors / tf.stop_gradient(errors + STABILIZER)
            errors = weighted + tf.stop_gradient(errors - weighted)

        def predicted() -> tf.Tensor:
            return x - t * self._predicted(self.network, x, t, labels, tf.zeros_like(t))

        return errors, relative, predicted

    def _predicted(
        self,
        network: keras.Model,
        x: tf.Tensor,
        t: tf.Tensor,
        labels: tf.Tensor | None,
        duration: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """The mean velocity, float32, by a network."""
        inputs = [*self.network_inputs(x, t, labels), duration[:, :, 0, 0]]
        return tf.cast(network(inputs, training=training), tf.float32)

    def _derivative(
        self,
        x: tf.Tensor,
        t: tf.Tensor,
        labels: tf.Tensor | None,
        duration: tf.Tensor,
        velocity: tf.Tensor,
        rows: tf.Tensor,
    ) -> tf.Tensor:
        """How the mean velocity changes with t along the flow, its end fixed, in some rows; else 0."""
        shape = tf.shape(x)
        x, t, duration, velocity = (tf.gather(tensor, rows) for tensor in (x, t, duration, velocity))
        labels = None if labels is None else tf.gather(labels, rows)
        directions = [velocity, tf.ones_like(t), tf.ones_like(duration)]
        with tf.autodiff.ForwardAccumulator([x, t, duration], directions) as accumulator:
            u = self._predicted(self.network, x, t, labels, duration)
        derivative = accumulator.jvp(u, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return tf.scatter_nd(rows[:, tf.newaxis], derivative, shape)

    # === Generation ===

    @verb("images")
    def generate(self, keys: Keys, labels: Labels = None, num_steps: NumSteps = NUM_STEPS) -> tf.Tensor:
        """Generates images, from noise at time 1 to time 0.

        Args:
            num_samples: How many, 1 or more; by default the number of labels, or 1 where there are none.
            labels: For a conditional model: integers from 0 to num_classes - 1, class names, or one-hot
                rows. `num_samples` must be a multiple of their number: they are repeated in order. Random
                labels where none are given.
            num_steps: Steps from noise to image, each of which calls the network once; from 1 to 1,000.
            seed: Integer. Image i depends on the weights, the seed and i alone; without a seed, each call
                gives different images.

        Returns:
            float32 in [0, 1], (num_samples, height, width, channels).

        Raises:
            ValueError: A number is out of range or beyond memory, `num_samples` is not a multiple of the
                number of labels; labels are out of range, or given to an unconditional model.
        """
        return self.decode.on_tensors(self.latents(keys), self.labels_or_random(labels, keys), num_steps)

    @verb("images")
    def decode(self, z: Latents, labels: Labels = None, num_steps: NumSteps = NUM_STEPS) -> tf.Tensor:
        """Decodes noise to images, float32 in [0, 1].

        Args:
            z: Noise (n, height, width, channels), as `encode` returns it.
            labels: One for each, as for `generate`, where the model is conditional.
            num_steps: As for `generate`.

        Raises:
            ValueError: `z` is of another shape, the labels do not fit, or a number is out of range.
        """
        return self.to_pixels(self._integrate(self._equal_steps(labels, num_steps), z, labels))

    def _equal_steps(self, labels: tf.Tensor | None, num_steps: tf.Tensor | int) -> Path:
        return self.path(labels, num_steps, 1.0, 1.0, 0.0, spacing=1.0)

    def _integrate(self, path: Path, z: tf.Tensor, labels: tf.Tensor | None) -> tf.Tensor:
        def step(i: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, ...]:
            t = tf.broadcast_to(path.time_at(i), (tf.shape(x)[0], 1, 1, 1))
            duration = t - path.time_at(i + 1)
            return (x - duration * self._predicted(self.ema_network, x, t, labels, duration),)

        return path.follow(step, z)

    @checked
    def generation_steps(  # type: ignore[override]
        self,
        num_samples: Count | None = None,
        *,
        labels: ArrayLike | None = None,
        num_steps: NumSteps = NUM_STEPS,
        seed: Seed | None = None,
    ) -> np.ndarray:
        """The images between noise and what `generate` draws: see `DiffusionModel.generation_steps`."""

        def follow(keys: tf.Tensor, labels: tf.Tensor | None, z: tf.Tensor, observe: Callable) -> None:
            path = dataclasses.replace(self._equal_steps(labels, num_steps), observe=observe)
            self._integrate(path, z, labels)

        return self._observed(num_samples, labels, num_steps, seed, follow)

    def velocity(
        self,
        x: tf.Tensor,
        t: tf.Tensor,
        labels: tf.Tensor | None = None,
        guidance: tf.Tensor | None = None,
    ) -> tf.Tensor:
        return self._predicted(self.ema_network, x, t, labels, tf.zeros_like(t))

    def preset_copy(self) -> "MeanFlow":
        """Without the flow: what is trained further learns from data alone."""
        config = {**self.get_config(), "flow": None, "guidance": None}
        copy = type(self).from_config(config)
        for network in dict.fromkeys((copy.network, copy.ema_network)):
            network.set_weights(self.ema_network.get_weights())
        copy.steps_trained.assign(self.steps_trained)
        return copy

    def portable_network(self) -> keras.Model:
        """Noise (and one-hot labels) -> images in [0, 1] in one step, as one plain Keras network."""
        z = keras.Input(self.image_shape, name="z")
        labels = [keras.Input((self.num_classes,), name="labels")] if self.conditional else []
        ones = ops.ones_like(z[:, 0, 0, :1])
        mean_velocity = plain_copy(self.ema_network)([z, ones, *labels, ones])
        return keras.Model([z, *labels], ops.clip(0.5 * (z - mean_velocity) + 0.5, 0.0, 1.0))


def network_options(flow: DiffusionModel | None, *given: Any) -> dict[str, Any]:
    """The options of the network; a ValueError if one is given that is not the flow's."""
    options: dict[str, Any] = dict(NETWORK_DEFAULTS)
    if flow is not None:
        options = {name: getattr(flow, name) for name in NETWORK_DEFAULTS}
    for name, value in zip(NETWORK_DEFAULTS, given, strict=True):
        if value is None:
            continue
        value = tuple(value) if name == "widths" else value
        if flow is not None and value != options[name]:
            raise ValueError(
                f"{name} must match the flow's, {received(options[name])}, or be omitted. "
                f"Received: {received(value)}"
            )
        options[name] = value
    return options


def copy_of(flow: DiffusionModel) -> DiffusionModel:
    """A copy that is not trained, and does not change when the original is."""
    # With ema=0, `network` itself generates, in the flow's own precision, which may be faster.
    # Keras leaves the networks of a model that is made as not trainable as they are.
    copy = type(flow).from_config({**flow.get_config(), "ema": 0.0, "trainable": True})
    copy.network.set_weights(flow.ema_network.get_weights())
    if flow.guide_steps:
        copy.guide_network.set_weights(flow.guide_network.get_weights())
    copy.trainable = False
    return copy
