"""The latent space in TensorBoard's projector: codes, labels and the images themselves."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_gen.callbacks.sample_callback import is_trained, require
from keras_gen.utils import arrays, pictures, tensorboard
from keras_gen.utils.arguments import checked, received
from keras_gen.utils.files import atomic_write, make_folder, writable_folder

SPRITE_TILE = 28  # pixels; TensorBoard reads sprites of up to 8192 x 8192
MOST_IMAGES = 10_000
NUM_PROJECTED = 1000  # test images of a run


class LatentProjector(keras.callbacks.Callback):
    """Writes the latent space for TensorBoard's projector at the end of training.

    It writes the projector's files itself (`projector_config.pbtxt`, embeddings and labels as TSV, a sprite
    of thumbnails), since those of `keras.callbacks.TensorBoard` do not show.

    Args:
        log_dir: TensorBoard's directory; the files are its run `projector`.
        x: Images to encode, (n, height, width, channels); at most 10,000.
        labels: Their labels, integers (n,).
        class_names: Names to show instead of label numbers.

    Raises:
        ValueError: There are too many images, or labels of another number; or as for `SampleCallback`.

    Example:

    >>> import tempfile
    >>> projector = LatentProjector(tempfile.mkdtemp(), np.zeros((20, 28, 28, 1), "uint8"))
    """

    @checked
    def __init__(
        self,
        log_dir: str | os.PathLike,
        x: ArrayLike,
        labels: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
    ):
        super().__init__()
        self.folder = writable_folder("log_dir", log_dir) / "projector"
        self.x = arrays.images("x", x, grey=True)
        if len(self.x) > MOST_IMAGES:
            raise ValueError(f"x must be {MOST_IMAGES:,} images at most. Received: {len(self.x):,}")
        self.labels = None if labels is None else arrays.labels("labels", labels, len(self.x))
        if self.labels is not None and class_names is not None and self.labels.max() >= len(class_names):
            raise ValueError(
                f"class_names must be {self.labels.max() + 1} or more, one for each label. "
                f"Received: {received(class_names)}"
            )
        self.class_names = class_names
        self._epoch: int | None = None

    @classmethod
    def for_run(cls, model: Any, data: Any, logs: Path, every: int) -> "LatentProjector | None":
        """The callback of a run directory; None if the model encodes no images as vectors."""
        if not (hasattr(model, "encode") and getattr(model, "latent_dim", None)):
            return None
        x, labels = data.test_images(NUM_PROJECTED)
        return cls(logs, x, labels, data.class_names)

    def on_train_begin(self, logs: dict | None = None) -> None:
        require(self, ("encode", "image_shape"), "models that encode images as latent vectors")
        arrays.images("LatentProjector's x", self.x, self.model.image_shape)
        if self.model.conditional:
            self.model.checked_labels(self.labels, len(self.x))
        make_folder("the projector's directory", self.folder)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = epoch

    def on_train_end(self, logs: dict | None = None) -> None:
        if is_trained(self, self._epoch):
            self.write()

    def write(self) -> None:
        """Writes the files for the current model."""
        codes = self.model.encode(self.x, self.labels if self.model.conditional else None)
        with atomic_write(self.folder / "embeddings.tsv") as path:
            np.savetxt(path, codes, fmt="%.6g", delimiter="\t")
        pictures.write_png(self.folder / "sprite.png", self._sprite())
        if self.labels is not None:
            names = self.class_names
            shown = [str(label) if names is None else names[label] for label in self.labels]
            with atomic_write(self.folder / "labels.tsv") as path:
                path.write_text(
                    "".join(f"{pictures.in_one_line(name)}\n" for name in shown), encoding="utf-8"
                )
        # After its files, so that TensorBoard never finds a configuration without them.
        with atomic_write(self.folder / "projector_config.pbtxt") as path:
            path.write_text(self._config())
        # TensorBoard looks into folders that hold an event file, be it an empty one, and only once:
        # while it is open, a configuration in a folder that it knows already would never show.
        tensorboard.summary_writer(self.folder, "").flush()

    def _sprite(self) -> np.ndarray:
        """A square of thumbnails, row by row."""
        step = max(1, -(-max(self.x.shape[1:3]) // SPRITE_TILE))
        thumbnails = pictures.in_colour(pictures.to_uint8(self.x))[:, ::step, ::step]
        _, height, width, _ = thumbnails.shape
        side = int(np.ceil(np.sqrt(len(thumbnails))))
        sprite = np.zeros((side * height, side * width, 3), np.uint8)
        for number, thumbnail in enumerate(thumbnails):
            top, left = number // side * height, number % side * width
            sprite[top : top + height, left : left + width] = thumbnail
        self._tile = (width, height)
        return sprite

    def _config(self) -> str:
        metadata = "" if self.labels is None else '  metadata_path: "labels.tsv"\n'
        width, height = self._tile
        return (
            "embeddings {\n"
            '  tensor_name: "latent space"\n'
            '  tensor_path: "embeddings.tsv"\n'
            f"{metadata}"
            "  sprite {\n"
            '    image_path: "sprite.png"\n'
            f"    single_image_dim: {width}\n"
            f"    single_image_dim: {height}\n"
            "  }\n"
            "}\n"
        )
