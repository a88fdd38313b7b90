"""Samplers: from noise at time 1 to images at time 0, step by step.

A sampler gets a denoiser, which says what image and what noise x_t consists of, and the times to step
through. Each example has times of its own; where the time no longer changes, it stays as it is.

| sampler | network calls | order | paper |
|---|---|---|---|
| euler | num_steps | 1 | DDIM [1]; with the straight lines of a linear schedule, Euler's method |
| heun | 2 num_steps - 1 | 2 | [2] |
| dpm_solver_2m | num_steps | 2 | DPM-Solver++(2M) [3] |
| sde | num_steps | | ancestral sampling of DDPM [4]: each step adds new noise |

References:
    1. Song et al. 2021, Denoising Diffusion Implicit Models, arXiv 2010.02502.
    2. Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models,
       arXiv 2206.00364.
    3. Lu et al. 2022, DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models,
       arXiv 2211.01095.
    4. Ho et al. 2020, Denoising Diffusion Probabilistic Models, arXiv 2006.11239.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_gen.models.diffusion.schedules import Schedule, velocity_of

SMALLEST_RATE_IN_LOG = 1e-4  # rates are clipped to this before taking logarithms


@dataclasses.dataclass
class Path:
    """What a sampler steps through.

    Args:
        schedule: The noise schedule.
        denoise: x_t (n, ...) and times -> the image and the noise in it, each (n, ...).
        time_at: Step index -> times that broadcast with x. The last are repeated.
        num_steps: Number of steps, a scalar.
        draw_noise: Step index -> standard normal noise (n, ...); only `sde` uses it.
        observe: Called with x after each step, if given; eager mode only.
    """

    schedule: Schedule
    denoise: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    time_at: Callable[[tf.Tensor], tf.Tensor]
    num_steps: tf.Tensor
    draw_noise: Callable[[tf.Tensor], tf.Tensor]
    observe: Callable[[tf.Tensor], Any] | None = None

    def follow(self, step: Callable, x: tf.Tensor, *carried: tf.Tensor) -> tf.Tensor:
        """Repeats `step(i, x, *carried)`, which returns x at the next time and what it carries along."""

        def body(i: tf.Tensor, x: tf.Tensor, *carried: tf.Tensor) -> tuple:
            moved, *carried = step(i, x, *carried)
            is_finished = self.time_at(i + 1) == self.time_at(i)
            return i + 1, tf.where(is_finished, x, moved), *carried

        def condition(i: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
            return i < self.num_steps

        if self.observe is not None:
            for i in range(int(self.num_steps)):
                _, x, *rest = body(tf.constant(i), x, *carried)
                carried = tuple(rest)
                self.observe(x)
            return x
        shapes = (tf.TensorShape([]), *(tensor.shape for tensor in (x, *carried)))
        return tf.while_loop(condition, body, (0, x, *carried), shape_invariants=shapes)[1]


def euler(path: Path, x: tf.Tensor) -> tf.Tensor:
    """Takes x from the first time to the last, along the image and the noise that the denoiser finds."""

    def step(i: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, ...]:
        image, noise = path.denoise(x, path.time_at(i))
        signal_rate, noise_rate = path.schedule.rates(path.time_at(i + 1))
        return (signal_rate * image + noise_rate * noise,)

    return path.follow(step, x)


def heun(path: Path, x: tf.Tensor) -> tf.Tensor:
    """Takes the mean of the slopes at both ends of each step; the last is one of `euler`."""

    def slope(x: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
        return path.schedule.speed(t) * velocity_of(path.schedule, *path.denoise(x, t), t)

    def step(i: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, ...]:
        t, next_t = path.time_at(i), path.time_at(i + 1)
        image, noise = path.denoise(x, t)
        signal_rate, noise_rate = path.schedule.rates(next_t)
        last = signal_rate * image + noise_rate * noise
        first_slope = path.schedule.speed(t) * velocity_of(path.schedule, image, noise, t)

        def with_both_ends() -> tf.Tensor:
            second_slope = slope(x + (next_t - t) * first_slope, next_t)
            both = x + 0.5 * (next_t - t) * (first_slope + second_slope)
            return tf.where(path.time_at(i + 2) == next_t, last, both)

        return (tf.cond(i + 1 < path.num_steps, with_both_ends, lambda: last),)

    return path.follow(step, x)


def dpm_solver_2m(path: Path, x: tf.Tensor) -> tf.Tensor:
    """Extrapolates the image linearly in log(signal_rate / noise_rate), from the last two steps."""

    def log_ratio(t: tf.Tensor) -> tf.Tensor:
        rates = [tf.maximum(rate, SMALLEST_RATE_IN_LOG) for rate in path.schedule.rates(t)]
        return tf.math.log(rates[0] / rates[1])

    def step(i: tf.Tensor, x: tf.Tensor, previous_image: tf.Tensor) -> tuple[tf.Tensor, ...]:
        t, next_t = path.time_at(i), path.time_at(i + 1)
        image, _ = path.denoise(x, t)
        # The first step has none before it, and the last only removes the noise that is left.
        is_inner = (i > 0) & (path.time_at(i + 2) != next_t)
        earlier = log_ratio(path.time_at(tf.maximum(i - 1, 0))) - tf.cast(i == 0, x.dtype)
        # Beyond the smallest rate no ratio differs: a step is then of first order.
        share = tf.math.divide_no_nan(0.5 * (log_ratio(next_t) - log_ratio(t)), log_ratio(t) - earlier)
        extrapolated = image + tf.where(is_inner, share, 0.0) * (image - previous_image)
        (signal_rate, noise_rate), (next_signal, next_noise) = map(path.schedule.rates, (t, next_t))
        kept = next_noise / noise_rate  # of x
        return kept * x + (next_signal - kept * signal_rate) * extrapolated, image

    return path.follow(step, x, tf.zeros_like(x))


def sde(path: Path, x: tf.Tensor) -> tf.Tensor:
    """Removes more noise than `euler` in each step, and adds as much that is new."""

    def step(i: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, ...]:
        t, next_t = path.time_at(i), path.time_at(i + 1)
        image, noise = path.denoise(x, t)
        (signal_rate, noise_rate), (next_signal, next_noise) = map(path.schedule.rates, (t, next_t))
        kept = next_noise * signal_rate / (next_signal * noise_rate)  # of the noise that was found
        new_noise = tf.sqrt(1.0 - kept**2) * path.draw_noise(i)
        return (next_signal * image + next_noise * (kept * noise + new_noise),)

    return path.follow(step, x)


SAMPLERS = {"euler": euler, "heun": heun, "dpm_solver_2m": dpm_solver_2m, "sde": sde}
