"""Feature extractors: networks whose features are compared.

`fashion_mnist` is embedded: the penultimate layer of a `CNNClassifier` trained on full Fashion-MNIST;
`assets/fashion_mnist.json` has its hash, its accuracy and the script that made it. `inception_v3` is Keras'
InceptionV3 [1], which is not the network of FID: weights and distances differ. Any other Keras model can be
used; a classifier of the same kind of data is best.

References:
    1. Szegedy et al. 2015, Rethinking the Inception Architecture for Computer Vision, arXiv 1512.00567.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_gen.utils import arrays
from keras_gen.utils.arguments import checked, received
from keras_gen.utils.files import is_file, printable, read_bytes

ASSETS = Path(__file__).parent / "assets"
BATCH = 250
INCEPTION_SHAPE = (299, 299, 3)
EMBEDDED = "fashion_mnist"
INCEPTION = ("inception_v3", "inception")


class FeatureExtractor:
    """Computes features (n, d) of images with a network and, if it has logits, class probabilities.

    Images are resized with antialiasing to the network's input shape, and converted between grey and
    colour.

    Args:
        network: Images -> features, or -> [features, logits]. Feature maps (n, h, w, d) are averaged over
            the positions.
        name: Used in the names of results, such as `FD-name`; the network's name by default.
        pixel_range: The network's input values for black and white.

    Raises:
        ValueError: The network does not take one batch of images, or `pixel_range` is one number twice.

    Example:

    >>> extractor = FeatureExtractor(keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()]))
    >>> features, probabilities = extractor(np.zeros((2, 28, 28, 3), "uint8"))
    >>> features.shape, probabilities is None
    ((2, 64), True)
    """

    @checked
    def __init__(
        self,
        network: Any,
        name: str | None = None,
        pixel_range: tuple[float, float] = (0.0, 1.0),
    ):
        inputs = getattr(network, "inputs", None) or []
        is_model = isinstance(network, keras.Model)
        if not is_model or len(inputs) != 1 or len(inputs[0].shape) != 4 or None in inputs[0].shape[1:]:
            shapes = f" with inputs {[tuple(x.shape) for x in inputs]}" if is_model else ""
            raise ValueError(
                "The extractor must be a keras.Model with one input (height, width, channels). "
                f"Received: {received(network)}{shapes}"
            )
        if pixel_range[0] == pixel_range[1]:
            raise ValueError(f"pixel_range must be two different numbers. Received: {pixel_range}")
        self.network = network
        self.name = name or network.name
        self.image_shape = tuple(inputs[0].shape[1:])
        self.pixel_range = pixel_range
        outputs = [tuple(tensor.shape[1:]) for tensor in network.outputs]
        logits = outputs[1:]
        if (
            len(outputs[0]) not in (1, 3)
            or outputs[0][-1] is None
            or [len(x) for x in logits] not in ([], [1])
        ):
            raise ValueError(
                "The extractor must give features (n, d) or (n, h, w, d), and maybe logits "
                f"(n, num_classes). Received outputs: {outputs}"
            )
        self.num_features = outputs[0][-1]
        self.num_classes = outputs[1][0] if len(outputs) == 2 else None
        self.sha256 = network_hash(network)
        self._compiled: dict[tuple, Any] = {}  # by the images' shape

    @checked
    def __call__(self, images: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Features (n, num_features) and probabilities (n, num_classes), or None, both float32.

        Args:
            images: (n, height, width, channels), uint8 in [0, 255] or floating point in [0, 1].

        Raises:
            ValueError: The images have another shape or range, or the network gives NaN or infinity for
                them.
        """
        images = arrays.images("images", images)
        channels = self.image_shape[2]
        if images.shape[3] != channels and {images.shape[3], channels} != {1, 3}:
            raise ValueError(
                f"images must have {channels if channels not in (1, 3) else '1 or 3'} channels for the "
                f"extractor {self.name}. Received: {images.shape}"
            )
        parts = []
        for start in range(0, len(images), BATCH):
            x = tf.image.convert_image_dtype(images[start : start + BATCH], tf.float32)
            parts.append([part.numpy() for part in self._function(x)(x)])
        features, *probabilities = (np.concatenate(part) for part in zip(*parts, strict=True))
        if not all(np.isfinite(values).all() for values in (features, *probabilities)):
            raise ValueError(
                f"The extractor {self.name} must give finite numbers: check its weights and "
                "its pixel_range. Received: NaN or infinity"
            )
        return features, probabilities[0] if probabilities else None

    def _function(self, images: tf.Tensor) -> Any:
        shape = tuple(images.shape[1:])
        if shape not in self._compiled:
            spec = tf.TensorSpec((None, *shape), tf.float32)
            self._compiled[shape] = tf.function(self._compute).get_concrete_function(spec)
        return self._compiled[shape]

    def _compute(self, images: tf.Tensor) -> list[tf.Tensor]:
        low, high = self.pixel_range
        x = self.fitted(images) * (high - low) + low
        outputs = self.network(x, training=False)
        features, *logits = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        features = tf.cast(features, tf.float32)
        if features.shape.rank == 4:
            features = tf.reduce_mean(features, axis=(1, 2))
        return [features, *[tf.nn.softmax(tf.cast(x, tf.float32)) for x in logits]]

    def fitted(self, images: tf.Tensor) -> tf.Tensor:
        """Float32 images in [0, 1], resized to the network's input shape, (n, *image_shape)."""
        height, width, channels = self.image_shape
        if images.shape[3] == 1 and channels == 3:
            images = tf.image.grayscale_to_rgb(images)
        elif images.shape[3] == 3 and channels == 1:
            images = tf.image.rgb_to_grayscale(images)
        if tuple(images.shape[1:3]) != (height, width):
            images = tf.image.resize(images, (height, width), antialias=True)
            images = tf.clip_by_value(images, 0.0, 1.0)
        return images


@checked
def load_extractor(source: Any = EMBEDDED, name: str | None = None) -> FeatureExtractor:
    """Loads a feature extractor by name or from a file, or makes one of a Keras model.

    Args:
        source: `"fashion_mnist"` (embedded), `"inception_v3"` (downloaded at its first use; also by the
            name `"inception"`), the path of a `.keras` file, a Keras model, or a `FeatureExtractor`, which
            is returned as it is.
        name: Used in the names of results, for a model; its own name by default.

    Raises:
        ValueError: The name is unknown, the file is damaged, or the model does not fit.
        ConnectionError: InceptionV3 could not be downloaded.

    Example:

    >>> extractor = load_extractor("fashion_mnist")
    >>> extractor.image_shape, extractor.num_features, extractor.num_classes
    ((28, 28, 1), 128, 10)
    """
    check_extractor(source)
    if isinstance(source, FeatureExtractor):
        return source
    if isinstance(source, keras.Model):
        # A classifier of the zoo has its features and logits in one network.
        return FeatureExtractor(getattr(source, "network", source), name or source.name)
    if source == EMBEDDED:
        return FeatureExtractor(embedded(), EMBEDDED)
    if source in INCEPTION:
        return FeatureExtractor(inception_v3(), "inception_v3", pixel_range=(-1.0, 1.0))
    path = Path(os.fsdecode(source))
    model = load_network(path)
    return FeatureExtractor(getattr(model, "network", model), name or path.stem)


def check_extractor(source: Any) -> None:
    """Raises a ValueError if `load_extractor` does not know `source`, without loading or downloading."""
    if isinstance(source, (FeatureExtractor, keras.Model)):
        return
    is_path = isinstance(source, (str, os.PathLike))
    known = is_path and source in (EMBEDDED, *INCEPTION)
    if not known and not (is_path and Path(os.fsdecode(source)).suffix == ".keras" and is_file(source)):
        raise ValueError(
            "extractor must be fashion_mnist, inception_v3, an existing .keras file, or a keras.Model. "
            f"Received: {received(source)}"
        )


def embedded() -> keras.Model:
    """The network in the package, verified by the hash in its card."""
    path = ASSETS / f"{EMBEDDED}.keras"
    expected = json.loads((ASSETS / f"{EMBEDDED}.json").read_text())["sha256_of_file"]
    digest = hashlib.sha256(read_bytes(path)).hexdigest()
    if digest != expected:
        raise ValueError(
            f"The extractor {EMBEDDED} must have the SHA-256 {expected}: install keras_gen again. "
            f"Received: {digest}"
        )
    return load_network(path)


def load_network(path: Path) -> keras.Model:
    """The model in a `.keras` file."""
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:
        raise ValueError(
            "An extractor's file must be a .keras file that Keras can load. "
            f"Received: {printable(path)} ({in_short(error)})"
        ) from error


def in_short(error: Exception) -> str:
    """The beginning of an error, as part of a line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 200 else text[:200] + '...'}"


@checked
def default_extractor(data_name: str) -> str:
    """The default extractor for a data set: `fashion_mnist` for garments, otherwise `inception_v3`."""
    return "fashion_mnist" if data_name.startswith("fashion_mnist") else "inception_v3"


def inception_v3() -> keras.Model:
    """InceptionV3 up to its average pooling: (n, 299, 299, 3) in [-1, 1] -> (n, 2048)."""
    try:
        return keras.applications.InceptionV3(
            include_top=False, weights="imagenet", input_shape=INCEPTION_SHAPE, pooling="avg"
        )
    except Exception as error:
        raise ConnectionError(
            f"InceptionV3 could not be downloaded, or the file is damaged ({in_short(error)}). Choose "
            "another extractor: fashion_mnist, or a classifier that you train, which needs no network."
        ) from error


def network_hash(network: keras.Model) -> str:
    """SHA-256 of a network's layers and weights, independent of the file format."""
    digest = hashlib.sha256()
    for layer in network.layers:
        digest.update(type(layer).__name__.encode())
    for weight in network.get_weights():
        digest.update(str(weight.shape).encode() + np.ascontiguousarray(weight, "<f4").tobytes())
    return digest.hexdigest()
