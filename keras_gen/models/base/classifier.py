"""Base of the classifiers, which also measure the quality of generated images.

    loss = -log p(label | image),  p = softmax(logits),  logits = dense(features(image))

A classifier's features, the input of its last layer, are also used to compare images (see
`keras_gen.metrics`). Training images can be mirrored and shifted at random [1].

References:
    1. Shorten & Khoshgoftaar 2019, A survey on Image Data Augmentation for Deep Learning.
"""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from keras_gen.layers import Dropout, child_seed, replica_seed
from keras_gen.losses import mean_over_batch
from keras_gen.models.base import validation
from keras_gen.models.base.image_model import ImageModel, NumClasses
from keras_gen.models.base.verbs import Images, verb
from keras_gen.models.networks import Builder, plain_copy, sum_of_losses
from keras_gen.utils.arguments import Fraction, ImageShape, Natural, Seed, checked


class Classifier(ImageModel):
    """Base of the classifiers: a subclass builds the backbone, which computes features of images.

    It logs `loss` (cross-entropy in nats, plus the losses of layers of your own backbone) and `accuracy`.
    For `compile(metrics=...)`, `y_true` are one-hot labels and `y_pred` probabilities, (n, num_classes).

    Args:
        image_shape: (height, width, channels).
        num_classes: 2 or more.
        dropout: Fraction of the features that is dropped in training, from 0 to less than 1.
        flip: Mirror half of the training images, chosen at random. Not for digits and letters.
        shift: Maximum shift of training images in each direction, in pixels: from 0 to less than the
            image's height and width.
        label_smoothing: Probability that is spread evenly over all classes, from 0 to less than 1.
        backbone: Your own network in place of the default: images (height, width, channels) ->
            features (d,).
        seed: Integer that determines the initial weights and all noise; random by default.
        **kwargs: `class_names`, `name` and `dtype`.

    Raises:
        ValueError: A number is out of range, or the backbone's shapes do not fit.
    """

    own_networks = ("backbone",)
    default_verb = "classify"

    @checked
    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: NumClasses,
        dropout: Fraction,
        flip: bool,
        shift: Natural,
        label_smoothing: Fraction,
        backbone: keras.Model | None,
        seed: Seed | None,
        **kwargs: Any,
    ):
        if shift >= min(image_shape[:2]):
            raise ValueError(
                "shift must be less than the image's height and width. "
                f"Received: {shift} and {image_shape[:2]}"
            )
        super().__init__(image_shape, num_classes, seed, **kwargs)
        self.dropout = dropout
        self.flip = flip
        self.shift = shift
        self.label_smoothing = label_smoothing
        self._own_networks = {"backbone": backbone}
        self.augmentation_seed = keras.random.SeedGenerator(child_seed(seed, "augment"))
        build = Builder(seed, self.dtype_policy)
        if backbone is None:
            backbone = self.build_backbone(build)
        else:
            self._check_backbone(backbone)
        self.network = self._with_head(backbone, build)
        self.trackers = [keras.metrics.Mean(name=name) for name in ("loss", "accuracy")]
        self.built = True

    def build_backbone(self, build: Builder) -> keras.Model:
        """The default network: images -> features (n, d)."""
        raise NotImplementedError

    def _check_backbone(self, backbone: keras.Model) -> None:
        outputs = [tuple(tensor.shape[1:]) for tensor in getattr(backbone, "outputs", None) or []]
        validation.network("backbone", backbone, [self.image_shape], outputs)
        if len(outputs) != 1 or len(outputs[0]) != 1 or None in outputs[0]:
            raise ValueError(f"backbone must give features (n, d). Received: outputs of shapes {outputs}")
        taken = {"features", "logits"} & {layer.name for layer in backbone.layers}
        if taken:
            raise ValueError(
                "backbone must have no layers named features or logits, as the classifier's own are. "
                f"Received: {', '.join(sorted(taken))}"
            )

    def _with_head(self, backbone: keras.Model, build: Builder) -> keras.Model:
        """Images -> [features (n, d), logits (n, num_classes)], both float32."""
        (output,) = backbone.outputs  # a Sequential has no `output` before it is called
        features = layers.Activation("linear", dtype="float32", name="features")(output)
        x = Dropout(self.dropout, seed=build.seed(), dtype=build.dtype)(output)
        logits = build.dense(self.num_classes, dtype="float32", name="logits")(x)
        return keras.Model(backbone.inputs, [features, logits], name="network")

    @property
    def conditional(self) -> bool:
        return False  # labels are its output

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "dropout": self.dropout,
            "flip": self.flip,
            "shift": self.shift,
            "label_smoothing": self.label_smoothing,
        }

    # === Training ===

    def train_step(self, data: Any) -> dict:
        images, labels, sample_weight, count = self.prepare(data)
        images = self.augment(images)
        with tf.GradientTape() as tape:
            _, logits = self.network(images, training=True)
            smooth = labels * (1.0 - self.label_smoothing) + self.label_smoothing / self.num_classes
            nats = tf.nn.softmax_cross_entropy_with_logits(smooth, logits)
            objective = mean_over_batch(nats, sample_weight) + sum_of_losses(self.network)
            scaled_objective = self.scale_loss(objective, count)
        gradients = tape.gradient(scaled_objective, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self._report(labels, logits, sample_weight, count)

    def test_step(self, data: Any) -> dict:
        images, labels, sample_weight, count = self.prepare(data)
        return self._report(labels, self.network(images, training=False)[1], sample_weight, count)

    def _report(
        self, labels: tf.Tensor, logits: tf.Tensor, sample_weight: tf.Tensor | None, count: tf.Tensor
    ) -> dict:
        right = tf.argmax(logits, axis=1) == tf.argmax(labels, axis=1)
        nats = tf.nn.softmax_cross_entropy_with_logits(labels, logits)
        values = {
            "loss": mean_over_batch(nats, sample_weight) + sum_of_losses(self.network),
            "accuracy": mean_over_batch(tf.cast(right, tf.float32)),
        }
        self.track(values, count)
        self.update_metrics(labels, lambda: tf.nn.softmax(logits), count, sample_weight)
        return self.logs()

    def augment(self, images: tf.Tensor) -> tf.Tensor:
        """Float32 images (n, h, w, c), mirrored and shifted at random."""
        if not (self.flip or self.shift):
            return images
        n, height, width = tf.shape(images)[0], *self.image_shape[:2]
        seeds = tf.random.experimental.stateless_split(replica_seed(self.augmentation_seed), 2)
        shifts = tf.random.stateless_uniform((n, 2), seeds[0], -self.shift, self.shift + 1, tf.int32)
        # Edges are replicated.
        rows = tf.clip_by_value(tf.range(height) + shifts[:, :1], 0, height - 1)
        columns = tf.clip_by_value(tf.range(width) + shifts[:, 1:], 0, width - 1)
        if self.flip:
            flipped = tf.random.stateless_uniform((n, 1), seeds[1]) < 0.5
            columns = tf.where(flipped, width - 1 - columns, columns)
        images = tf.gather(images, rows, batch_dims=1)
        images = tf.transpose(images, (0, 2, 1, 3))
        images = tf.gather(images, columns, batch_dims=1)
        return tf.transpose(images, (0, 2, 1, 3))

    # === Verbs ===

    def call(self, inputs: Any) -> tf.Tensor:
        """Images -> probabilities (n, num_classes)."""
        return self.classify.on_tensors(self.to_images(inputs))

    @verb("probabilities")
    def classify(self, images: Images) -> tf.Tensor:
        """Images -> each class's probability.

        Args:
            images: (n, height, width, channels), uint8 or floating point in [0, 1].

        Returns:
            (n, num_classes), float32; rows sum to 1.

        Raises:
            ValueError: The images have another shape, type or range.
        """
        return tf.nn.softmax(self.network(images, training=False)[1])

    @verb("features")
    def features(self, images: Images) -> tf.Tensor:
        """Images -> the input of the last layer: (n, d), float32.

        Args:
            images: (n, height, width, channels), uint8 or floating point in [0, 1].

        Raises:
            ValueError: The images have another shape, type or range.
        """
        return self.network(images, training=False)[0]

    # === Export ===

    def portable_network(self) -> keras.Model:
        """Images -> probabilities, as one plain Keras network in float32."""
        network = plain_copy(self.network)
        probabilities = layers.Softmax(dtype="float32", name="probabilities")(network.outputs[1])
        return keras.Model(network.inputs, probabilities, name="classify")
