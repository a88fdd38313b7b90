"""Losses and other maths without weights: tensors in, tensors out, in float32."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from keras_gen.utils.arguments import checked, received

LOG_2_PI = math.log(2 * math.pi)


# === Arguments ===


def floats(**values: Any) -> list[tf.Tensor]:
    """Arguments as tensors of one floating-point type; integers become float32.

    Raises:
        ValueError: One is not an array of real numbers.
    """
    tensors = []
    for name, value in values.items():
        try:
            tensor = tf.convert_to_tensor(value)
            if tensor.dtype.is_integer:
                tensor = tf.cast(tensor, tf.float32)
        except Exception:  # TensorFlow's own differ by what the value is
            tensor = None
        if tensor is None or not tensor.dtype.is_floating:
            raise ValueError(f"{name} must be an array of real numbers. Received: {received(value)}")
        tensors.append(tensor)
    dtypes = {tensor.dtype for tensor in tensors}
    if len(dtypes) == 1:
        return tensors
    return [tf.cast(tensor, tf.float64 if tf.float64 in dtypes else tf.float32) for tensor in tensors]


def check_alike(first: str, tensor: tf.Tensor, **others: tf.Tensor) -> None:
    """Raises a ValueError if shapes differ, since they might broadcast to an unintended shape."""
    for name, other in others.items():
        if not tensor.shape.is_compatible_with(other.shape):
            raise ValueError(
                f"{name} must have the shape of {first}, {tuple(tensor.shape)}. "
                f"Received: {tuple(other.shape)}"
            )


def check_broadcasts(first: str, tensor: tf.Tensor, **others: tf.Tensor) -> None:
    """Raises a ValueError if a shape does not broadcast to that of the first argument."""
    for name, other in others.items():
        try:
            fits = tf.broadcast_static_shape(tensor.shape, other.shape).is_compatible_with(tensor.shape)
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"{name} must broadcast to the shape of {first}, {tuple(tensor.shape)}. "
                f"Received: {tuple(other.shape)}"
            )


def check_rank(name: str, tensor: tf.Tensor, least: int, most: int | None = None) -> None:
    """Raises a ValueError if a tensor has the wrong number of axes."""
    rank = tensor.shape.rank
    if rank is not None and not least <= rank <= (most or rank):
        axes = {1: "(n, ...)", 2: "(n, latent_dim)", 4: "(n, height, width, channels)"}
        expected = "(n,)" if most == 1 else axes[least]
        raise ValueError(f"{name} must have shape {expected}. Received: {tuple(tensor.shape)}")


# === Likelihoods ===


@checked
def gaussian_kl(z_mean: Any, z_log_var: Any) -> tf.Tensor:
    """KL(N(z_mean, exp(z_log_var)) || N(0, 1)) of each latent dimension, in nats [1, appendix B].

    Args:
        z_mean: (n, latent_dim).
        z_log_var: (n, latent_dim), the logarithm of the variance.

    Returns:
        (n, latent_dim), 0 or more.

    References:
        1. Kingma & Welling 2013, Auto-Encoding Variational Bayes, arXiv 1312.6114.

    Example:

    >>> gaussian_kl(tf.constant([[0.0, 1.0]]), tf.constant([[0.0, 0.0]])).numpy().tolist()
    [[0.0, 0.5]]
    """
    z_mean, z_log_var = floats(z_mean=z_mean, z_log_var=z_log_var)
    check_alike("z_mean", z_mean, z_log_var=z_log_var)
    return 0.5 * (tf.exp(z_log_var) + tf.square(z_mean) - 1.0 - z_log_var)


@checked
def gaussian_log_prob(x: Any, mean: Any, log_var: Any) -> tf.Tensor:
    """Log-density of independent normal variables, in nats for each example.

    Args:
        x: (n, ...).
        mean: Broadcasts to the shape of `x`.
        log_var: Logarithm of the variance; broadcasts to the shape of `x`.

    Returns:
        (n,), summed over all axes but the first.

    Example:

    >>> round(float(gaussian_log_prob(tf.zeros((1, 2)), 0.0, 0.0)[0]), 4)
    -1.8379
    """
    x, mean, log_var = floats(x=x, mean=mean, log_var=log_var)
    check_broadcasts("x", x, mean=mean, log_var=log_var)
    log_probs = -0.5 * (LOG_2_PI + log_var + tf.square(x - mean) * tf.exp(-log_var))
    return sum_over_example(log_probs)


@checked
def bernoulli_log_prob(images: Any, logits: Any) -> tf.Tensor:
    """Log-probability of pixels under independent Bernoullis, in nats for each example.

    Args:
        images: (n, ...) in [0, 1]. Of intensities between 0 and 1, as is usual for grey images, this
            is the negative cross-entropy and not a likelihood.
        logits: (n, ...), before the sigmoid.

    Returns:
        (n,), summed over all axes but the first.

    Example:

    >>> round(float(bernoulli_log_prob(tf.ones((1, 2)), tf.zeros((1, 2)))[0]), 4)
    -1.3863
    """
    images, logits = floats(images=images, logits=logits)
    check_alike("images", images, logits=logits)
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=images, logits=logits)
    return -sum_over_example(cross_entropy)


@checked
def discretized_logistic_log_prob(images: Any, mean: Any, log_scale: Any) -> tf.Tensor:
    """Log-probability of 8-bit pixels under independent logistic variables, in nats for each example.

    A pixel's probability is what its logistic has between half a level below and half a level above; the
    first and the last level reach to infinity, so that the 256 probabilities sum to 1 [1, 2].

    Args:
        images: (n, ...) in [0, 1], rounded to the levels 0, 1/255, ..., 1.
        mean: Broadcasts to the shape of `images`.
        log_scale: Logarithm of the scale; broadcasts to the shape of `images`.

    Returns:
        (n,), summed over all axes but the first; 0 or less.

    References:
        1. Kingma et al. 2016, Improving Variational Inference with Inverse Autoregressive Flow,
           arXiv 1606.04934.
        2. Salimans et al. 2017, PixelCNN++, arXiv 1701.05517.

    Example:

    >>> levels = tf.reshape(tf.range(256.0) / 255.0, (256, 1))
    >>> log_probs = discretized_logistic_log_prob(levels, 0.3, -2.0)
    >>> round(float(tf.reduce_sum(tf.exp(log_probs))), 4)
    1.0
    """
    images, mean, log_scale = floats(images=images, mean=mean, log_scale=log_scale)
    check_broadcasts("images", images, mean=mean, log_scale=log_scale)
    levels = tf.round(images * 255.0)
    inverse_scale = tf.exp(-log_scale)
    below = (levels / 255.0 - 0.5 / 255.0 - mean) * inverse_scale
    above = (levels / 255.0 + 0.5 / 255.0 - mean) * inverse_scale
    # sigmoid(above) - sigmoid(below) = sigmoid(above) * sigmoid(-below) * (1 - exp(below - above)), each
    # factor of which has a logarithm that neither overflows nor cancels.
    up_to_above, from_below = tf.math.log_sigmoid(above), tf.math.log_sigmoid(-below)
    between = up_to_above + from_below + tf.math.log(-tf.math.expm1(-inverse_scale / 255.0))
    log_probs = tf.where(levels < 0.5, up_to_above, tf.where(levels > 254.5, from_below, between))
    return sum_over_example(log_probs)


@checked
def sum_over_example(values: Any) -> tf.Tensor:
    """Sums (n, ...) over all axes but the first, to (n,)."""
    (values,) = floats(values=values)
    check_rank("values", values, 1)
    return tf.reduce_sum(values, axis=list(range(1, values.shape.rank)))


@checked
def mean_over_batch(values: Any, sample_weight: Any = None) -> tf.Tensor:
    """The mean of (n, ...) over its first axis; 0 for an empty batch.

    Args:
        values: One for each example.
        sample_weight: Weight of each example, (n,).

    Returns:
        (...), the sum over the batch divided by n, as Keras averages weighted losses.

    Example:

    >>> float(mean_over_batch(tf.constant([1.0, 5.0]), tf.constant([1.0, 0.0])))
    0.5
    """
    if sample_weight is None:
        (values,) = floats(values=values)
        check_rank("values", values, 1)
    else:
        values, sample_weight = floats(values=values, sample_weight=sample_weight)
        check_rank("values", values, 1)
        check_rank("sample_weight", sample_weight, 1, 1)
        if not values.shape[:1].is_compatible_with(sample_weight.shape):
            raise ValueError(
                f"sample_weight must be one number for each of values, {tuple(values.shape)}. "
                f"Received: {tuple(sample_weight.shape)}"
            )
        shape = tf.concat([tf.shape(sample_weight), tf.ones(values.shape.rank - 1, tf.int32)], axis=0)
        values *= tf.reshape(sample_weight, shape)
    count = tf.cast(tf.shape(values)[0], values.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(values, axis=0), count)


@checked
def spherical_interpolation(start: Any, end: Any, fractions: Any) -> tf.Tensor:
    """Points on the great arc between two latent vectors, whose length changes evenly too [1].

    The straight line between two Gaussian samples passes through a region where the prior has
    hardly any mass; the arc does not.

    Args:
        start: (n, latent_dim).
        end: (n, latent_dim).
        fractions: (steps,), 0 gives `start` and 1 gives `end`.

    Returns:
        (n, steps, latent_dim).

    References:
        1. White 2016, Sampling Generative Networks, arXiv 1609.04468.

    Example:

    >>> arc = spherical_interpolation(tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 1.0]]), [0.5])
    >>> arc.numpy().round(4).tolist()
    [[[0.7070999741554260, 0.7070999741554260]]]
    """
    start, end, fractions = floats(start=start, end=end, fractions=fractions)
    check_rank("start", start, 2, 2)
    check_alike("start", start, end=end)
    check_rank("fractions", fractions, 1, 1)
    start, end = tf.expand_dims(start, 1), tf.expand_dims(end, 1)  # (n, 1, latent_dim)
    fractions = tf.reshape(fractions, (1, -1, 1))
    start_length = tf.norm(start, axis=-1, keepdims=True)
    end_length = tf.norm(end, axis=-1, keepdims=True)
    start_direction = tf.math.divide_no_nan(start, start_length)
    end_direction = tf.math.divide_no_nan(end, end_length)
    cosine = tf.reduce_sum(start_direction * end_direction, axis=-1, keepdims=True)
    angle = tf.acos(tf.clip_by_value(cosine, -1.0, 1.0))
    sine = tf.sin(angle)
    # Where the two directions (nearly) agree or oppose there is no one arc: take the line.
    on_line = sine < 1e-4
    safe_sine = tf.where(on_line, tf.ones_like(sine), sine)
    from_start = tf.where(on_line, 1.0 - fractions, tf.sin((1.0 - fractions) * angle) / safe_sine)
    from_end = tf.where(on_line, fractions + 0.0 * angle, tf.sin(fractions * angle) / safe_sine)
    length = (1.0 - fractions) * start_length + fractions * end_length
    return length * (from_start * start_direction + from_end * end_direction)


# === Adversarial losses ===


class AdversarialLosses(NamedTuple):
    """The losses of a discriminator's logits, each (n,).

    Args:
        real: The discriminator's loss for an image whose target is real.
        generated: The discriminator's loss for an image whose target is generated.
        generator: The generator's loss for an image that it made.
    """

    real: tf.Tensor
    generated: tf.Tensor
    generator: tf.Tensor

    @checked
    def discriminator(self, target: Any) -> tf.Tensor:
        """The discriminator's loss for targets from 0 (generated) to 1 (real)."""
        target, real, generated = floats(target=target, real=self.real, generated=self.generated)
        check_broadcasts("the losses", real, target=target)
        return target * real + (1.0 - target) * generated


@checked
def non_saturating(logits: Any) -> AdversarialLosses:
    """-log D(x), -log(1 - D(x)), and for the generator -log D(G(z)): arXiv 1406.2661, section 3.

    Args:
        logits: (n,), D before its sigmoid.

    Example:

    >>> [round(float(loss), 4) for loss in non_saturating(tf.constant(0.0))]
    [0.6931, 0.6931, 0.6931]
    """
    (logits,) = floats(logits=logits)
    return AdversarialLosses(tf.nn.softplus(-logits), tf.nn.softplus(logits), tf.nn.softplus(-logits))


@checked
def minimax(logits: Any) -> AdversarialLosses:
    """Like `non_saturating`, but the generator minimizes log(1 - D(G(z))): arXiv 1406.2661, equation 1.

    Its gradient vanishes when the discriminator is confident; it is included for comparison.

    Args:
        logits: (n,), D before its sigmoid.
    """
    (logits,) = floats(logits=logits)
    return AdversarialLosses(tf.nn.softplus(-logits), tf.nn.softplus(logits), -tf.nn.softplus(logits))


@checked
def least_squares(logits: Any) -> AdversarialLosses:
    """Half the squared distance to 1 (real) or 0 (generated): arXiv 1611.04076, equation 9.

    Args:
        logits: (n,).
    """
    (logits,) = floats(logits=logits)
    to_one, to_zero = 0.5 * tf.square(logits - 1.0), 0.5 * tf.square(logits)
    return AdversarialLosses(to_one, to_zero, to_one)


@checked
def hinge(logits: Any) -> AdversarialLosses:
    """Zero beyond a margin of 1: Lim & Ye 2017, Geometric GAN, arXiv 1705.02894.

    Args:
        logits: (n,).
    """
    (logits,) = floats(logits=logits)
    return AdversarialLosses(tf.nn.relu(1.0 - logits), tf.nn.relu(1.0 + logits), -logits)


@checked
def wasserstein(logits: Any) -> AdversarialLosses:
    """The critic's scores, whose mean difference is the Wasserstein distance: arXiv 1701.07875.

    Args:
        logits: (n,).
    """
    (logits,) = floats(logits=logits)
    return AdversarialLosses(-logits, logits, -logits)


ADVERSARIAL_LOSSES: dict[str, Callable[[tf.Tensor], AdversarialLosses]] = {
    "non_saturating": non_saturating,
    "minimax": minimax,
    "least_squares": least_squares,
    "hinge": hinge,
    "wasserstein": wasserstein,
}


@checked
def input_gradients(discriminator: Callable[[tf.Tensor], tf.Tensor], images: Any) -> tf.Tensor:
    """The slope of each image's logit in its pixels.

    Args:
        discriminator: Images (n, h, w, c) -> logits, each of which depends on its own image alone.
        images: (n, h, w, c).

    Returns:
        (n, h, w, c), float32.

    Example:

    >>> input_gradients(lambda x: 3.0 * sum_over_example(x), tf.zeros((1, 1, 1, 2))).numpy().tolist()
    [[[[3.0, 3.0]]]]
    """
    (images,) = floats(images=images)
    check_rank("images", images, 4, 4)
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = discriminator(images)
    slopes = tape.gradient(logits, images)
    if slopes is None:
        raise ValueError("discriminator must compute logits from the images. Received: one without a slope")
    return tf.cast(slopes, tf.float32)


@checked
def gradient_penalty(
    discriminator: Callable[[tf.Tensor], tf.Tensor],
    real_images: Any,
    generated_images: Any,
    fractions: Any,
) -> tf.Tensor:
    """(|slope| - 1)^2 on lines between real and generated images [1, algorithm 1].

    Args:
        discriminator: Images -> logits.
        real_images: (n, h, w, c).
        generated_images: (n, h, w, c).
        fractions: (n, 1, 1, 1), the position on each line: uniform in [0, 1].

    Returns:
        (n,), float32, 0 or more.

    References:
        1. Gulrajani et al. 2017, Improved Training of Wasserstein GANs, arXiv 1704.00028.

    Example:

    >>> x = tf.zeros((1, 1, 1, 1))
    >>> gradient_penalty(lambda x: 3.0 * sum_over_example(x), x, x, x).numpy().round(4).tolist()
    [4.0]
    """
    real_images, generated_images, fractions = floats(
        real_images=real_images, generated_images=generated_images, fractions=fractions
    )
    check_rank("real_images", real_images, 4, 4)
    check_alike("real_images", real_images, generated_images=generated_images)
    check_rank("fractions", fractions, 4, 4)  # (n,) would broadcast over the channels
    check_broadcasts("real_images", real_images, fractions=fractions)
    between = fractions * real_images + (1.0 - fractions) * generated_images
    slopes = input_gradients(discriminator, between)
    # The slope of the root at 0 is infinite, and times 0 it would be NaN.
    norms = tf.sqrt(sum_over_example(tf.square(slopes)) + 1e-12)
    return tf.square(norms - 1.0)


@checked
def r1_penalty(discriminator: Callable[[tf.Tensor], tf.Tensor], real_images: Any) -> tf.Tensor:
    """|slope|^2 / 2 at real images [1, equation 9].

    Args:
        discriminator: Images -> logits.
        real_images: (n, h, w, c).

    Returns:
        (n,), float32, 0 or more.

    References:
        1. Mescheder et al. 2018, Which Training Methods for GANs do actually Converge?, arXiv 1801.04406.

    Example:

    >>> r1_penalty(lambda x: 3.0 * sum_over_example(x), tf.zeros((1, 1, 1, 2))).numpy().tolist()
    [9.0]
    """
    return 0.5 * sum_over_example(tf.square(input_gradients(discriminator, real_images)))


@checked
def diversity(generated_images: Any, real_images: Any) -> tf.Tensor:
    """Mean distance between two generated images divided by that between two real ones, ().

    Each image is compared with the next one of its batch.

    Args:
        generated_images: (n, h, w, c).
        real_images: (n, h, w, c).

    Returns:
        A number: 1 is as varied, 0 is one image again and again.

    Example:

    >>> real_images = tf.reshape(tf.range(4.0), (4, 1, 1, 1))
    >>> float(diversity(0.5 * real_images, real_images))
    0.5
    """

    generated_images, real_images = floats(generated_images=generated_images, real_images=real_images)
    check_rank("real_images", real_images, 4, 4)
    check_rank("generated_images", generated_images, 4, 4)
    if not real_images.shape[1:].is_compatible_with(generated_images.shape[1:]):
        raise ValueError(
            f"generated_images must be as large as real_images, {tuple(real_images.shape)}. "
            f"Received: {tuple(generated_images.shape)}"
        )

    def mean_distance(images: tf.Tensor) -> tf.Tensor:
        images = tf.cast(images, tf.float32)
        differences = images - tf.roll(images, 1, axis=0)
        return mean_over_batch(tf.sqrt(sum_over_example(tf.square(differences))))

    return tf.math.divide_no_nan(mean_distance(generated_images), mean_distance(real_images))
