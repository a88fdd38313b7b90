"""What every model with a probability flow can do: generate, encode, decode, inpaint, denoise, log_prob.

A probability flow is a velocity at each point and time, along which noise becomes images and images noise,
with the density of the data at time 0 and of a standard normal distribution at time 1 [1].

References:
    1. Song et al. 2021, Score-Based Generative Modeling through Stochastic Differential Equations,
       arXiv 2011.13456.
    2. Song et al. 2021, Denoising Diffusion Implicit Models, arXiv 2010.02502.
    3. Ho & Salimans 2022, Classifier-Free Diffusion Guidance, arXiv 2207.12598.
    4. Karras et al. 2024, Guiding a Diffusion Model with a Bad Version of Itself, arXiv 2406.02507.
"""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
import tensorflow as tf
from annotated_types import Interval
from numpy.typing import ArrayLike

from keras_gen.layers.keyed_noise import keyed_normal, keyed_uniform
from keras_gen.models.base import validation
from keras_gen.models.base.latent_generator import LatentGenerator
from keras_gen.models.base.verbs import (
    Images,
    Keys,
    Labels,
    LabelsOrRandom,
    Latents,
    Masks,
    NoisyImages,
    Static,
    keys_of,
    refuse_nan,
    verb,
)
from keras_gen.models.diffusion import likelihood
from keras_gen.models.diffusion.samplers import SAMPLERS, Path, heun
from keras_gen.models.diffusion.schedules import Schedule, add_noise, image_and_noise
from keras_gen.serving.assertions import asserted
from keras_gen.utils.arguments import Count, Seed, checked

GUIDANCE = 1.5  # by default
NUM_STEPS = 20  # of `generate` and `inpaint`, by default
ODE_STEPS = 50  # of `encode` and `decode`
MAX_DEVIATIONS = 10  # of normal noise, beyond which no sample lies
PIXELS_WITH_NOISE = "Images must be in [0, 1], plus noise of noise_rate"
NoiseRate = Annotated[float, Interval(gt=0, le=100)]
NumSteps = Annotated[int, Interval(ge=1, le=1000)]
Guidance = Annotated[float, Interval(ge=0, le=100)]
LikelihoodSteps = Annotated[int, Interval(ge=32, le=1000)]
Sampler = Literal["euler", "heun", "dpm_solver_2m", "sde"]


class ProbabilityFlow(LatentGenerator):
    """Base of the models that have a probability flow.

    A subclass sets `schedule`, and writes `velocity`, `train_step` and `test_step`.
    """

    schedule: Schedule
    log_prob_of = "probability"
    num_likelihoods = 500  # test images that `log_prob` is measured on, since it is slow

    def velocity(
        self,
        x: tf.Tensor,
        t: tf.Tensor,
        labels: tf.Tensor | None = None,
        guidance: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The direction in which x_t moves with time, float32 (n, h, w, c), for images in [-1, 1].

        Args:
            x: (n, h, w, c).
            t: Times (n, 1, 1, 1).
            labels: One-hot (n, num_classes), where the model is conditional.
            guidance: See `generate`; float32 (n,), or None for none.
        """
        raise NotImplementedError

    def image_and_noise(
        self, x: tf.Tensor, velocity: tf.Tensor, t: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The image and the noise that x_t consists of, given its velocity."""
        return image_and_noise(self.schedule, x, velocity, t)

    @property
    def noise_rates(self) -> tuple[float, float]:
        """The least and the largest noise_rate / signal_rate that `denoise` is for."""
        return self.schedule.smallest, self.schedule.largest

    @verb("images")
    def generate(
        self,
        keys: Keys,
        labels: Labels = None,
        num_steps: NumSteps = NUM_STEPS,
        sampler: Sampler = "dpm_solver_2m",
        guidance: Guidance = GUIDANCE,
    ) -> tf.Tensor:
        """Generates images, from noise at time 1 to time 0.

        Args:
            num_samples: How many, 1 or more; by default the number of labels, or 1 where there are none.
            labels: For a conditional model: integers from 0 to num_classes - 1, class names, or one-hot
                rows. `num_samples` must be a multiple of their number: they are repeated in order. Random
                labels where none are given.
            num_steps: Steps from noise to image, from 1 to 1,000. `"heun"` calls the network twice in each
                but the last, the others once.
            sampler: `"euler"`, `"heun"`, `"dpm_solver_2m"`, or `"sde"`, which adds new noise in each step:
                see `keras_gen.models.diffusion.samplers`.
            guidance: Guidance scale, from 0 to 100: how far each step moves away from what a weaker network
                predicts without a label [3, 4]. 1 turns guidance off; higher values improve quality at the
                cost of variety, and take longer.
            seed: Integer. Image i depends on the weights, the seed and i alone; without a seed, each call
                gives different images.

        Returns:
            float32 in [0, 1], (num_samples, height, width, channels).

        Raises:
            ValueError: A number is out of range or beyond memory, `num_samples` is not a multiple of the
                number of labels; labels are out of range, or given to an unconditional model; or `guidance`
                is given to a model without a guide and without `class_dropout`.
        """
        labels = self.labels_or_random(labels, keys)
        path = self.path(labels, num_steps, guidance, 1.0, 0.0, keys)
        return self.to_pixels(SAMPLERS[sampler](path, self.latents(keys)))

    def path(
        self,
        labels: tf.Tensor | None,
        num_steps: tf.Tensor,
        guidance: tf.Tensor,
        start: float,
        end: float,
        keys: tf.Tensor | None = None,
        spacing: float | None = None,
    ) -> Path:
        """What a sampler steps through from one time to another.

        Args:
            labels: One-hot (n, num_classes), where the model is conditional.
            num_steps: (n,), or a number.
            guidance: (n,), or a number.
            start: The first time, 0 or 1.
            end: The last time.
            keys: (n, 2), for a sampler that draws noise.
            spacing: The power of equal steps that the times are; that of the schedule by default.
        """
        spacing = self.schedule.spacing if spacing is None else spacing
        steps = tf.cast(tf.reshape(num_steps, (-1, 1, 1, 1)), tf.float32)

        def denoise(x: tf.Tensor, t: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            t = tf.broadcast_to(t, (tf.shape(x)[0], 1, 1, 1))
            return self.image_and_noise(x, self.velocity(x, t, labels, guidance), t)

        return Path(
            self.schedule,
            denoise,
            lambda i: (start + (end - start) * tf.minimum(tf.cast(i, tf.float32) / steps, 1.0)) ** spacing,
            tf.reduce_max(num_steps),
            lambda i: keyed_normal(keys, self.image_shape, 1 + i),
        )

    @checked
    def generation_steps(
        self,
        num_samples: Count | None = None,
        *,
        labels: ArrayLike | None = None,
        num_steps: NumSteps = NUM_STEPS,
        sampler: Sampler = "dpm_solver_2m",
        guidance: Guidance | None = None,
        seed: Seed | None = None,
    ) -> np.ndarray:
        """The images between noise and what `generate` draws with the same arguments.

        Args:
            num_samples: As for `generate`.
            labels: As for `generate`.
            num_steps: As for `generate`.
            sampler: As for `generate`.
            guidance: As for `generate`; None for its default.
            seed: As for `generate`.

        Returns:
            float32 in [0, 1], (num_samples, num_steps + 1, height, width, channels), from noise on.

        Raises:
            ValueError: As for `generate`.
        """
        if guidance is not None:
            self.refuse_unused({"guidance": guidance})
        scale = GUIDANCE if guidance is None else guidance

        def follow(keys: tf.Tensor, labels: tf.Tensor | None, z: tf.Tensor, observe: Callable) -> None:
            path = self.path(labels, num_steps, tf.fill((len(keys),), scale), 1.0, 0.0, keys)
            SAMPLERS[sampler](dataclasses.replace(path, observe=observe), z)

        return self._observed(num_samples, labels, num_steps, seed, follow)

    def _observed(
        self,
        num_samples: int | None,
        labels: ArrayLike | None,
        num_steps: int,
        seed: int | None,
        follow: Callable[[tf.Tensor, tf.Tensor | None, tf.Tensor, Callable], None],
    ) -> np.ndarray:
        """The images at all times of a path.

        Args:
            num_samples: As for `generate`.
            labels: As for `generate`.
            num_steps: Number of steps.
            seed: As for `generate`.
            follow: Takes keys, one-hot labels, noise and a function, which it calls with each x_t.
        """
        count, rows = self.rows_to_draw(num_samples, labels)
        self.refuse_beyond_memory(count * (num_steps + 1), f"num_samples={count}, num_steps={num_steps}")
        one_hot = None if rows is None else self.checked_labels(rows, count)
        keys = keys_of(self.next_seed() if seed is None else seed, count)
        images = np.empty((count, num_steps + 1, *self.image_shape), np.float32)
        for start in range(0, count, self.chunk_size):
            chunk = slice(start, start + self.chunk_size)
            own_keys = tf.constant(keys[chunk])
            own_labels = None if one_hot is None else tf.constant(one_hot[chunk])
            seen = [self.latents(own_keys)]
            follow(own_keys, self.labels_or_random(own_labels, own_keys), seen[0], seen.append)
            images[chunk] = np.stack([self.to_pixels(x) for x in seen], axis=1)
            refuse_nan(images[chunk])
        return images

    @verb("images")
    def decode(
        self,
        z: Latents,
        labels: Labels = None,
        num_steps: NumSteps = ODE_STEPS,
        guidance: Guidance = 1.0,
    ) -> tf.Tensor:
        """Decodes noise to images, float32 in [0, 1], by the sampler `"heun"`.

        Args:
            z: Noise (n, height, width, channels), as `encode` returns it.
            labels: One for each, as for `generate`, where the model is conditional.
            num_steps: As for `generate`.
            guidance: As for `generate`.

        Raises:
            ValueError: `z` is of another shape, the labels do not fit, or a number is out of range.
        """
        return self.to_pixels(heun(self.path(labels, num_steps, guidance, 1.0, 0.0), z))

    @verb("z")
    def encode(
        self,
        images: Images,
        labels: Labels = None,
        num_steps: NumSteps = ODE_STEPS,
        guidance: Guidance = 1.0,
    ) -> tf.Tensor:
        """Images -> the noise that decodes to them, (n, height, width, channels), float32 [2].

        It follows the same path as `decode`, from time 0 to time 1: with many steps,
        `decode(encode(images))` is `images`.

        Args:
            images: (n, height, width, channels), uint8 or floating point in [0, 1].
            labels: One for each, as for `generate`, where the model is conditional.
            num_steps: As for `generate`.
            guidance: As for `generate`.

        Raises:
            ValueError: Images or labels do not fit, or a number is out of range.
        """
        return heun(self.path(labels, num_steps, guidance, 0.0, 1.0), 2.0 * images - 1.0)

    @verb("images")
    def inpaint(
        self,
        images: Images,
        mask: Masks,
        keys: Keys,
        labels: LabelsOrRandom = None,
        num_steps: NumSteps = NUM_STEPS,
        sampler: Sampler = "dpm_solver_2m",
        guidance: Guidance = GUIDANCE,
    ) -> tf.Tensor:
        """Fills in a part of images, float32 in [0, 1]; the rest stays as it is [1].

        At each step, the known pixels are replaced by a noisy version of the originals.

        Args:
            images: (n, height, width, channels), uint8 or floating point in [0, 1]. What is under the mask
                makes no difference.
            mask: True or 1 where pixels are to be filled in, (n, height, width); or (height, width) for
                all.
            labels: One for each, as for `generate`; random where none are given.
            num_steps: As for `generate`.
            sampler: As for `generate`.
            guidance: As for `generate`.
            seed: Integer that determines what is filled in; without a seed, each call is different.

        Raises:
            ValueError: Images, mask or labels do not fit, or a number is out of range.
        """
        labels = self.labels_or_random(labels, keys)
        path = self.path(labels, num_steps, guidance, 1.0, 0.0, keys)
        known_images, known_noise = 2.0 * images - 1.0, self.latents(keys)
        unknown, denoise = mask[..., tf.newaxis], path.denoise

        def denoise_unknown(x: tf.Tensor, t: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            x = tf.where(unknown, x, add_noise(self.schedule, known_images, known_noise, t))
            image, noise = denoise(x, t)
            return tf.where(unknown, image, known_images), tf.where(unknown, noise, known_noise)

        path = dataclasses.replace(path, denoise=denoise_unknown)
        filled = self.to_pixels(SAMPLERS[sampler](path, known_noise))
        return tf.where(unknown, filled, images)

    @verb("images")
    def denoise(self, images: NoisyImages, noise_rate: NoiseRate, labels: Labels = None) -> tf.Tensor:
        """Noisy images -> the posterior mean of the clean images, float32 in [0, 1].

        Args:
            images: Images with normal noise added, (n, height, width, channels), uint8 or floating point:
                [0, 1], which the noise may exceed.
            noise_rate: Standard deviation of the noise, for pixels in [0, 1]; more than 0.
            labels: One for each, as for `generate`, where the model is conditional.

        Raises:
            ValueError: Images or labels do not fit; `noise_rate` is out of range, or out of the range of
                the model's schedule or, at much noise, of its prediction; or too small for pixels as far
                from [0, 1] as these.
        """
        least, most = self.noise_rates
        in_range = (2.0 * noise_rate >= least) & (2.0 * noise_rate <= most)
        noise_rate = asserted(self._range_of_noise_rates, tf.reduce_all(in_range), noise_rate)
        beyond = MAX_DEVIATIONS * tf.reshape(noise_rate, (-1, 1, 1, 1))
        is_near = (images >= -beyond) & (images <= 1.0 + beyond)
        images = asserted(PIXELS_WITH_NOISE, tf.reduce_all(is_near), images)
        t = self.schedule.time_of(tf.reshape(2.0 * noise_rate, (-1, 1, 1, 1)))
        x = self.schedule.rates(t)[0] * (2.0 * images - 1.0)
        return self.to_pixels(self.image_and_noise(x, self.velocity(x, t, labels), t)[0])

    @property
    def _range_of_noise_rates(self) -> str:
        least, most = (0.5 * rate for rate in self.noise_rates)
        return f"noise_rate must be from {least:.4g} to {most:.4g} for this model's schedule and prediction"

    @verb("log_prob")
    def log_prob(
        self,
        images: Images,
        labels: Labels = None,
        num_steps: Static[LikelihoodSteps] = 64,
        divergence: Literal["hutchinson", "exact"] = "hutchinson",
        keys: Keys = 0,
    ) -> tf.Tensor:
        """Lower bound of the log-probability of 8-bit pixels, nats per image.

        It follows the path from image to noise, and adds up how much the path contracts: see
        `keras_gen.models.diffusion.likelihood`. Without guidance.

        Args:
            images: (n, height, width, channels), uint8 or floating point in [0, 1].
            labels: One for each, as for `generate`, where the model is conditional.
            num_steps: Steps of the integration, from 32 to 1,000: with fewer, its error exceeds the
                differences between models.
            divergence: `"hutchinson"`, an unbiased estimate; or `"exact"`, which is slower by a factor of
                height * width * channels.
            seed: Integer that determines the noise within half a level of each pixel, and of the estimate.

        Returns:
            (n,), float32.

        Raises:
            ValueError: Images or labels do not fit, or `num_steps` is out of range.
        """

        def slope(x: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
            t = tf.fill((tf.shape(x)[0], 1, 1, 1), t)
            return self.schedule.speed(t) * self.velocity(x, t, labels)

        uniform = keyed_uniform(keys, self.image_shape)
        probe = None if divergence == "exact" else likelihood.signs(keys, self.image_shape, 1)
        return likelihood.log_prob(slope, self.schedule, 2.0 * images - 1.0, uniform, probe, num_steps)

    def rows_per_call(self, verb: str, rows: dict[str, Any], options: dict[str, Any]) -> int:
        if verb == "denoise":
            least, most = self.noise_rates
            if not least <= 2.0 * options["noise_rate"] <= most:
                raise ValueError(f"{self._range_of_noise_rates}. Received: {options['noise_rate']:g}")
            beyond = MAX_DEVIATIONS * options["noise_rate"]
            low, high = rows["images"].min(), rows["images"].max()
            if low < -beyond or high > 1.0 + beyond:
                raise ValueError(
                    f"{PIXELS_WITH_NOISE}. Received: from {low:g} to {high:g}, and "
                    f"noise_rate={options['noise_rate']:g}. Pixels from 0 to 255 must be divided by 255."
                )
        return super().rows_per_call(verb, rows, options)

    def call(self, inputs: Any) -> tf.Tensor:
        """Decodes noise (n, height, width, channels), or (noise, labels) where conditional."""
        z, labels = inputs if isinstance(inputs, (list, tuple)) else (inputs, None)
        return self.decode.on_tensors(tf.cast(z, tf.float32), self.to_one_hot(labels))

    def check_inputs(self, x: Any) -> None:
        z, labels = x if isinstance(x, (list, tuple)) and len(x) == 2 else (x, None)
        if labels is not None and not self.conditional:
            raise ValueError("labels are for models with num_classes. Received: predict([noise, labels])")
        z = validation.latents("Noise", z, self.latent_shape)
        if self.conditional:
            validation.labels(labels, self.num_classes, len(z), "as predict([noise, labels])")

    def are_valid_inputs(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_all(tf.math.is_finite(tf.cast(x, tf.float32)))

    def to_pixels(self, images: tf.Tensor) -> tf.Tensor:
        """Images in [-1, 1] -> float32 in [0, 1]."""
        return tf.clip_by_value(0.5 * tf.cast(images, tf.float32) + 0.5, 0.0, 1.0)
