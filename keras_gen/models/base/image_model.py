"""Base of the models of images: pixels, labels, and the arguments that follow from data."""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import keras
import numpy as np
import tensorflow as tf
from annotated_types import Interval
from numpy.typing import ArrayLike

from keras_gen.models.base import validation
from keras_gen.models.base.base_model import BaseModel
from keras_gen.utils import arrays
from keras_gen.utils.arguments import LARGEST, ImageShape, Seed, checked, received

NumClasses = Annotated[int, Interval(ge=2, le=LARGEST)]

# In one call of a network, so that memory stays bounded whatever is asked for.
MOST_IMAGES = 256
MOST_PIXELS = MOST_IMAGES * 64 * 64
NUM_PROBED = 16


class ImageModel(BaseModel):
    """Base of the models that learn from images.

    A subclass makes its networks and trackers in `__init__`, and writes `train_step`, `test_step`, `call`
    and its verbs. Pixels are uint8 in [0, 255] or floating point in [0, 1], labels are integers or one-hot.

    Args:
        image_shape: (height, width, channels).
        num_classes: Number of classes, for a model that uses labels; None for one that ignores them.
        seed: Integer that determines the initial weights and all noise; random by default.
        class_names: Names of the classes, for pictures and for `--labels`; saved with the model.
        name: As for any Keras model.
        dtype: Precision to compute in, as for any Keras model; or `"auto"` for `"mixed_bfloat16"` on a
            device that multiplies in bfloat16, else `"float32"`. A saved model decides that again on the
            device that loads it.
        trainable: As for any Keras model.

    Raises:
        ValueError: An argument is out of its range.
    """

    from_data = ("image_shape", "class_names")

    @checked
    def __init__(
        self,
        image_shape: ImageShape,
        num_classes: NumClasses | None = None,
        seed: Seed | None = None,
        class_names: Sequence[str] | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ):
        validation.class_names(class_names, num_classes)
        validation.image_size(image_shape)
        super().__init__(name=name, dtype=validation.dtype_policy(dtype), trainable=trainable)
        self._is_auto_dtype = isinstance(dtype, str) and dtype == "auto"
        self.autocast = False  # the networks cast for themselves; losses need float32 pixels
        self.image_shape = image_shape
        self.num_classes: Any = num_classes  # an integer wherever labels are used
        self.class_names = None if class_names is None else tuple(class_names)
        self.seed = seed
        self._own_networks: dict[str, keras.Model | None] = {}  # what a subclass was given

    @property
    def conditional(self) -> bool:
        """Whether labels are an input of the networks."""
        return self.num_classes is not None

    def get_config(self) -> dict:
        own = {
            name: None if network is None else keras.saving.serialize_keras_object(network)
            for name, network in self._own_networks.items()
        }
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "num_classes": self.num_classes,
            "seed": self.seed,
            "class_names": self.class_names,
            **({"dtype": "auto"} if self._is_auto_dtype else {}),
            **own,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "ImageModel":
        # Networks of a user's own are the arguments that are stored as objects of Keras.
        def restored(value: Any) -> Any:
            is_object = isinstance(value, dict) and "class_name" in value and "module" in value
            return keras.saving.deserialize_keras_object(value, custom_objects) if is_object else value

        return cls(**{name: restored(value) for name, value in config.items()})

    @classmethod
    def arguments_from(cls, data: Any, uses_labels: bool = False, **arguments: Any) -> dict[str, Any]:
        """`image_shape` and, for a model that uses labels, `num_classes` and `class_names`.

        Args:
            data: An `ImageDataset`.
            uses_labels: Whether the model uses labels.
            **arguments: The constructor's other arguments.

        Raises:
            ValueError: The data has no labels, or another number of classes than `num_classes`.
        """
        if not uses_labels:
            return {"image_shape": data.image_shape}
        if data.num_classes is None:
            raise ValueError(f"{cls.__name__} needs labels here, and {data.name} has none.")
        asked = arguments.get("num_classes")
        if asked not in (None, data.num_classes):
            raise ValueError(
                f"num_classes must be {data.num_classes}, as {data.name} has them. Received: {asked}"
            )
        return {
            "image_shape": data.image_shape,
            "num_classes": data.num_classes,
            "class_names": data.class_names,
        }

    def check_examples(self, x: Any, y: Any, sample_weight: Any = None) -> None:
        validation.image_batch(x, y, self.image_shape, self.num_classes)
        if sample_weight is not None:
            validation.weights(sample_weight, self.weight_shapes(x))

    def is_valid(self, x: tf.Tensor, y: Any, sample_weight: Any = None) -> tf.Tensor:
        count = tf.shape(x)[0]
        valid = self.are_valid_images(x)
        if self.num_classes is not None:
            y = tf.cast(y, tf.int32) if y.dtype == tf.bool else y
            is_one_hot = tf.size(y) > count
            most = tf.where(is_one_hot, 1, self.num_classes - 1)
            valid &= tf.shape(y)[0] == count
            valid &= tf.reduce_all((y >= 0) & (y <= tf.cast(most, y.dtype)))
            valid &= tf.cond(is_one_hot, lambda: self._are_rows_one_hot(y), lambda: are_whole(y))
        return valid & super().is_valid(x, y, sample_weight)

    def are_valid_images(self, x: tf.Tensor) -> tf.Tensor:
        """Whether tensors are images of the model's shape, in the valid range."""
        valid = tf.reduce_all(tf.shape(x)[1:3] == self.image_shape[:2])
        valid &= tf.size(x) == tf.shape(x)[0] * math.prod(self.image_shape)
        if x.dtype == tf.uint8:
            return valid
        return valid & tf.reduce_all((x >= 0) & (x <= 1))  # which NaN is not

    def are_valid_inputs(self, x: tf.Tensor) -> tf.Tensor:
        return self.are_valid_images(x)

    def _are_rows_one_hot(self, y: tf.Tensor) -> tf.Tensor:
        sums = tf.reduce_sum(tf.cast(y, tf.float32), axis=-1)
        return (tf.shape(y)[-1] == self.num_classes) & tf.reduce_all(tf.abs(sums - 1) < 1e-5)

    def check_inputs(self, x: Any) -> None:
        images, labels = x if isinstance(x, (list, tuple)) and len(x) == 2 else (x, None)
        validation.images(images, self.image_shape)
        if self.conditional and labels is not None:
            validation.labels(labels, self.num_classes, len(images))

    # === Inside train_step and test_step ===

    def prepare(self, data: Any) -> tuple[tf.Tensor, Any, tf.Tensor | None, tf.Tensor]:
        """`unpack`, with images as float32 in [0, 1] (n, h, w, c), and one-hot labels."""
        x, y, sample_weight, count = self.unpack(data)
        weights = None if sample_weight is None else tf.reshape(sample_weight, (-1,))
        images, labels, weights = self.never_empty(self.to_images(x), self.to_one_hot(y), weights)
        return images, labels, weights, count

    def predict_step(self, data: Any) -> Any:
        return self(self.inputs_of(*keras.utils.unpack_x_y_sample_weight(data)))

    def inputs_of(self, x: Any, y: Any, sample_weight: Any) -> Any:
        return (x, y) if self.conditional and y is not None and not isinstance(x, (list, tuple)) else x

    def to_images(self, x: Any) -> tf.Tensor:
        """Pixels of any accepted type and shape -> float32 in [0, 1], (n, *image_shape)."""
        x = tf.convert_to_tensor(x)
        arrays.check_pixel_type("Images", x.dtype.as_numpy_dtype)
        # Keras traces one function for (n, h, w) and (n, h, w, 1), whose rank is then unknown.
        x = tf.reshape(x, (tf.shape(x)[0], *self.image_shape))
        return tf.image.convert_image_dtype(x, tf.float32)

    def to_one_hot(self, labels: Any) -> tf.Tensor | None:
        """Integer or one-hot labels -> float32 (n, num_classes); None if unconditional."""
        if self.num_classes is None:
            return None
        if labels is None:
            raise ValueError(
                f"{self.name} is conditional (num_classes={self.num_classes}) and needs labels: pass "
                "(images, labels), as one tf.data.Dataset or as a list. Received: no labels"
            )
        labels = tf.convert_to_tensor(labels)

        def from_integers() -> tf.Tensor:
            return tf.one_hot(tf.reshape(tf.cast(labels, tf.int32), (-1,)), self.num_classes)

        def from_one_hot() -> tf.Tensor:
            return tf.reshape(tf.cast(labels, tf.float32), (-1, self.num_classes))

        if labels.shape.rank is None:
            one_hot = tf.cond(tf.size(labels) > tf.shape(labels)[0], from_one_hot, from_integers)
            return tf.ensure_shape(one_hot, (None, self.num_classes))
        one_hot = labels.shape.rank == 2 and labels.shape[1] == self.num_classes
        return from_one_hot() if one_hot else from_integers()

    # === Computing on arrays ===

    @property
    def chunk_size(self) -> int:
        """Number of images in one call of a network."""
        return max(1, min(MOST_IMAGES, MOST_PIXELS // (self.image_shape[0] * self.image_shape[1])))

    def rows_per_call(self, verb: str, rows: dict[str, Any], options: dict[str, Any]) -> int:
        return self.chunk_size

    def checked_labels(self, labels: ArrayLike | None, num_images: int) -> np.ndarray | None:
        """A user's labels, one for each image -> one-hot; None if unconditional."""
        if not self.conditional:
            if labels is not None:
                raise ValueError(
                    f"{self.name} is unconditional (num_classes=None) and takes no labels. "
                    f"Received: labels={received(labels)}"
                )
            return None
        if labels is not None:
            labels = self.to_numbers(labels)
        return np.asarray(self.to_one_hot(validation.labels(labels, self.num_classes, num_images)))

    def to_numbers(self, labels: ArrayLike) -> np.ndarray:
        """A user's labels, which may be class names -> numbers."""
        labels = arrays.array("labels", labels)
        if labels.dtype.kind != "U":
            return labels
        names = list(self.class_names or ())
        for name in labels.ravel().tolist():
            if name not in names:
                known = f"one of {', '.join(names)}" if names else "numbers, since it has no class names"
                raise ValueError(f"Labels of this model must be {known}. Received: {received(name)}")
        return np.vectorize(names.index, otypes=[int])(labels)

    # === Presets and export ===

    def probe(self) -> list[np.ndarray]:
        noise = np.random.default_rng(0).uniform(size=(NUM_PROBED, *self.image_shape)).astype(np.float32)
        labels = np.arange(NUM_PROBED) % self.num_classes if self.conditional else None
        verbs: Any = self  # which of them there are depends on the model
        computed = []
        if hasattr(self, "generate"):
            computed.append(verbs.generate(NUM_PROBED, seed=0, labels=labels))
        if hasattr(self, "reconstruct"):
            computed.append(verbs.reconstruct(noise, labels))
        if hasattr(self, "classify"):
            computed.append(verbs.classify(noise))
        return computed

    def card_facts(self) -> dict[str, Any]:
        return {"image_shape": self.image_shape}


def are_whole(y: tf.Tensor) -> tf.Tensor:
    """Whether all values are integers."""
    return tf.reduce_all(y == tf.round(y)) if y.dtype.is_floating else tf.constant(True)
