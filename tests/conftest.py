"""What all tests share: two CPU devices, small real images, and a folder of PNGs."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as keras_gen does, which comes later here

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

# Two replicas on one machine; this must come before the first operation.
CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 2)

from keras_gen.datasets.images import folder_index
from keras_gen.datasets.images.formats import read_npz
from keras_gen.datasets.load import ASSETS


@pytest.fixture(scope="session")
def garments() -> tuple[np.ndarray, np.ndarray]:
    """512 real images, uint8 (512, 28, 28), and their labels."""
    arrays = read_npz(ASSETS / "fashion_mnist_12k.npz")
    return arrays["x_train"][:512], arrays["y_train"][:512].astype(np.int32)


@pytest.fixture(scope="session", autouse=True)
def folder_indexes(tmp_path_factory):
    """No test leaves the index of a folder in the home of whoever runs it."""
    place = tmp_path_factory.mktemp("indexes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_index, "INDEXES", place)
        yield place


@pytest.fixture
def image_folder(tmp_path, garments):
    """Twelve PNGs in two classes."""
    images, labels = garments
    for name, label in (("bags", 8), ("boots", 9)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number, image in enumerate(images[labels == label][:6]):
            PIL.Image.fromarray(image).save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture(scope="session")
def two_replicas() -> tf.distribute.Strategy:
    """One for all tests: collectives of a second strategy in the same process meet those of the first."""
    reduction = tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=reduction)
