"""Noise schedules: how much of an image is left at time t, from 0 (the image) to 1 (noise).

    x_t = signal_rate(t) * image + noise_rate(t) * noise,  noise ~ N(0, 1)

`velocity` is the direction in which x_t moves, scaled so that image and noise follow from x_t and velocity
without a division:

    dx_t / dt = speed(t) * velocity,  speed = signal_rate * noise_rate' - signal_rate' * noise_rate
    velocity  = image_coefficient(t) * image + noise_coefficient(t) * noise
    image     = noise_coefficient * x_t - noise_rate * velocity
    noise     = signal_rate * velocity - image_coefficient * x_t

References:
    1. Lipman et al. 2023, Flow Matching for Generative Modeling, arXiv 2210.02747.
    2. Liu et al. 2023, Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow,
       arXiv 2209.03003.
    3. Nichol & Dhariwal 2021, Improved Denoising Diffusion Probabilistic Models, arXiv 2102.09672.
    4. Salimans & Ho 2022, Progressive Distillation for Fast Sampling of Diffusion Models, arXiv 2202.00512.
    5. Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models,
       arXiv 2206.00364.
"""

import math
from typing import Any

from keras import ops

Tensor = Any  # of TensorFlow, or symbolic, of Keras


class Linear:
    """Straight lines between image and noise: flow matching [1], rectified flow [2]."""

    smallest, largest = 0.0, math.inf  # noise_rate / signal_rate at times 0 and 1
    spacing = 2.0  # the times of samplers are this power of equal steps: close together at little noise

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """signal_rate and noise_rate at times t, both of the shape of t."""
        return 1.0 - t, t

    def velocity_coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """How much of the image, and how much of the noise, the velocity is made of."""
        return -ops.ones_like(t), ops.ones_like(t)

    def speed(self, t: Tensor) -> Tensor:
        """What the velocity is multiplied by for dx_t / dt."""
        return ops.ones_like(t)

    def time_of(self, ratio: Tensor) -> Tensor:
        """The times at which noise_rate / signal_rate is `ratio`, 0 or more."""
        return ratio / (1.0 + ratio)


class Cosine:
    """Variance preserving: signal_rate**2 + noise_rate**2 = 1 [3], with the velocity of [4]."""

    smallest, largest = 0.0, math.inf
    spacing = 2.0

    def angle(self, t: Tensor) -> Tensor:
        return 0.5 * math.pi * t

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return ops.cos(self.angle(t)), ops.sin(self.angle(t))

    def velocity_coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        signal_rate, noise_rate = self.rates(t)
        return -noise_rate, signal_rate

    def speed(self, t: Tensor) -> Tensor:
        return 0.5 * math.pi * ops.ones_like(t)

    def time_of(self, ratio: Tensor) -> Tensor:
        return 2.0 / math.pi * ops.arctan(ratio)


class EDM(Cosine):
    """Variance preserving, at the noise levels of [5], whose seventh roots are linear in t.

    A step of `euler` is thus one of [5], and the velocity is minus what its preconditioned network
    predicts, for images with a standard deviation of 1. A little noise, 0.002 of it, is left at time 0.
    """

    power = 7.0
    smallest, largest = 0.002, 80.0
    spacing = 1.0

    def ratio(self, t: Tensor) -> Tensor:
        first, last = self.smallest ** (1 / self.power), self.largest ** (1 / self.power)
        return (first + t * (last - first)) ** self.power

    def angle(self, t: Tensor) -> Tensor:
        return ops.arctan(self.ratio(t))

    def speed(self, t: Tensor) -> Tensor:
        first, last = self.smallest ** (1 / self.power), self.largest ** (1 / self.power)
        slope = self.power * (last - first) * (first + t * (last - first)) ** (self.power - 1.0)
        return slope / (1.0 + self.ratio(t) ** 2)

    def time_of(self, ratio: Tensor) -> Tensor:
        first, last = self.smallest ** (1 / self.power), self.largest ** (1 / self.power)
        ratio = ops.clip(ratio, self.smallest, self.largest)
        return (ratio ** (1 / self.power) - first) / (last - first)


Schedule = Linear | Cosine
SCHEDULES: dict[str, Schedule] = {"linear": Linear(), "cosine": Cosine(), "edm": EDM()}


def add_noise(schedule: Schedule, images: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t of images and noise (n, ...), at times that broadcast with them."""
    signal_rate, noise_rate = schedule.rates(t)
    return signal_rate * images + noise_rate * noise


def velocity_of(schedule: Schedule, images: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """The velocity of x_t, given the image and the noise that it consists of."""
    image_coefficient, noise_coefficient = schedule.velocity_coefficients(t)
    return image_coefficient * images + noise_coefficient * noise


def image_and_noise(schedule: Schedule, x: Tensor, velocity: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The image and the noise that x_t consists of, given its velocity."""
    (signal_rate, noise_rate), (image_coefficient, noise_coefficient) = (
        schedule.rates(t),
        schedule.velocity_coefficients(t),
    )
    return noise_coefficient * x - noise_rate * velocity, signal_rate * velocity - image_coefficient * x
