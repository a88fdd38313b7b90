"""Guidance: each step moves away from what a weaker network, the guide, predicts [1].

    guided velocity = guide's velocity + guidance * (velocity - guide's velocity)

The guide is a network of half the width that is trained beside the model for its first steps, and sees no
labels. Both make similar errors, the guide larger ones, so that moving away from the guide also moves away
from the model's own errors. Without a guide, a conditional model that was trained with
hidden labels takes the guide's place itself, without the label: classifier-free guidance [2].

References:
    1. Karras et al. 2024, Guiding a Diffusion Model with a Bad Version of Itself, arXiv 2406.02507.
    2. Ho & Salimans 2022, Classifier-Free Diffusion Guidance, arXiv 2207.12598.
    3. Kynkaanniemi et al. 2024, Applying Guidance in a Limited Interval Improves Sample and Distribution
       Quality in Diffusion Models, arXiv 2404.07724.
"""

import keras
import tensorflow as tf

from keras_gen.losses import mean_over_batch
from keras_gen.models.diffusion.probability_flow import ProbabilityFlow
from keras_gen.models.diffusion.schedules import add_noise
from keras_gen.models.networks import sum_of_losses
from keras_gen.optimizers import Muon

GUIDED_BELOW = 5.7  # noise_rate / signal_rate
GUIDE_RATE = 0.02  # the learning rate at first; it falls to 0 at the last of `guide_steps`


class GuidedFlow(ProbabilityFlow):
    """Base of the models that have a guide.

    A subclass sets `schedule`, `guide_steps`, `class_dropout`, `steps_trained` and, where it has no guide,
    `guide_network`; calls `_set_guide` when its networks are made and `train_guide` in `train_step`; and
    writes `prediction_losses` and `velocity_from`.
    """

    guide_steps: int
    guide_has_label_input = True  # which is fed zeros
    class_dropout: float
    steps_trained: keras.Variable

    def _set_guide(self, network: keras.Model, has_label_input: bool) -> None:
        """Sets the guide's network, which computes in float32; `compile` makes an optimizer for it."""
        self.guide_network, self.guide_has_label_input = network, has_label_input
        self._num_guide_variables = -1  # that its optimizer has; there is none before `compile`

    def build_optimizers(self) -> None:
        super().build_optimizers()
        if not self.guide_steps:
            return
        variables = self.guide_network.trainable_variables
        if len(variables) != self._num_guide_variables:  # at first, and where layers were frozen
            self._make_guide_optimizer()
            self.guide_optimizer.build(variables)
            self._num_guide_variables = len(variables)

    def _make_guide_optimizer(self) -> None:
        decay = keras.optimizers.schedules.CosineDecay(GUIDE_RATE, self.guide_steps)

        def rate() -> tf.Tensor:  # by the model's count of steps: the optimizer's begins anew in a preset
            return decay(tf.convert_to_tensor(self.steps_trained))

        self.guide_optimizer = Muon(rate, global_clipnorm=1.0)

    def train_guide(
        self,
        images: tf.Tensor,
        noise: tf.Tensor,
        t: tf.Tensor,
        labels: tf.Tensor | None,
        sample_weight: tf.Tensor | None,
        count: tf.Tensor,
    ) -> None:
        """Updates the guide, up to `guide_steps`."""
        variables = self.guide_network.trainable_variables
        scale = self.scale_loss(tf.ones(()), count, self.guide_optimizer)

        def gradients() -> list[tf.Tensor]:
            x = add_noise(self.schedule, images, noise, t)
            inputs = self.guide_inputs(x, t, labels)
            with tf.GradientTape() as tape:
                output = self.guide_network(inputs, training=True)
                losses, _ = self.prediction_losses(output, images, noise, t)
                loss = mean_over_batch(losses, sample_weight) + sum_of_losses(self.guide_network)
                loss *= scale
            return tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        def zeros() -> list[tf.Tensor]:
            return [tf.zeros_like(variable) for variable in variables]

        def update() -> None:
            self.guide_optimizer.apply(gradients(), variables)

        is_trained = tf.convert_to_tensor(self.steps_trained) < self.guide_steps
        if self.distribute_strategy.num_replicas_in_sync == 1:
            tf.cond(is_trained, update, lambda: None)
        else:  # replicas cannot synchronize within a condition; afterwards, the learning rate is 0, too
            self.guide_optimizer.apply(tf.cond(is_trained, gradients, zeros), variables)

    def guided(
        self,
        velocity: tf.Tensor,
        x: tf.Tensor,
        t: tf.Tensor,
        labels: tf.Tensor | None,
        guidance: tf.Tensor,
    ) -> tf.Tensor:
        """The velocity (n, h, w, c), moved away from the guide's by a guidance (n,)."""
        # Not in the first steps, where it only makes images less varied [3].
        is_guided = t < self.schedule.time_of(tf.constant(GUIDED_BELOW))
        guidance = tf.where(is_guided, tf.reshape(guidance, (-1, 1, 1, 1)), 1.0)

        def moved() -> tf.Tensor:
            other = self.predicted_velocity(self.guide_network, self.guide_inputs(x, t, labels), x, t)
            return tf.where(guidance == 1.0, velocity, other + guidance * (velocity - other))

        return tf.cond(tf.reduce_any(guidance != 1.0), moved, lambda: velocity)

    def predicted_velocity(
        self, network: keras.Model, inputs: list[tf.Tensor], x: tf.Tensor, t: tf.Tensor
    ) -> tf.Tensor:
        """The velocity of x_t, float32, by a network."""
        return self.velocity_from(tf.cast(network(inputs, training=False), tf.float32), x, t)

    def guide_inputs(self, x: tf.Tensor, t: tf.Tensor, labels: tf.Tensor | None) -> list[tf.Tensor]:
        """As `network_inputs`: zeros for the labels, or nothing where the guide has no input for them."""
        is_input = self.guide_has_label_input and labels is not None
        return self.network_inputs(x, t, tf.zeros_like(labels) if is_input else None)

    def network_inputs(self, x: tf.Tensor, t: tf.Tensor, labels: tf.Tensor | None) -> list[tf.Tensor]:
        """x_t (n, h, w, c), times (n, 1, 1, 1) and labels (n, num_classes) as a network takes them."""
        return [x, t[:, :, 0, 0], *([] if labels is None else [labels])]

    def prediction_losses(
        self, output: tf.Tensor, images: tf.Tensor, noise: tf.Tensor, t: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The squared error of a prediction, (n,), and the same relative to that of predicting 0."""
        raise NotImplementedError

    def velocity_from(self, output: tf.Tensor, x: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
        """The velocity of x_t, by a network's prediction."""
        raise NotImplementedError

    @property
    def hides_labels(self) -> bool:
        """Whether the network has learned what it predicts without a label."""
        return self.conditional and self.class_dropout > 0

    @property
    def unused_options(self) -> dict[str, float]:
        return {} if self.guide_steps or self.hides_labels else {"guidance": 1.0}
