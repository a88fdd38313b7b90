"""The extent of the changes, as in the paper's own code."""

import numpy as np
import pytest

from keras_gen.layers import DiffAugment


def test_color_changes_as_much_as_the_papers_code():
    """Brightness by -0.5 to 0.5 in [-1, 1], saturation 0 to 2 times, contrast 0.5 to 1.5 times."""
    grey = np.array([-0.25, 0.25])[:, np.newaxis]  # two pixels
    tint = np.array([0.1, -0.1, 0.0])  # three channels
    images = np.tile(grey + tint, (4000, 1, 1, 1)).astype("float32")
    changed = DiffAugment("color", seed=0)(images, training=True).numpy()[:, 0]
    brightness = changed.mean(axis=(1, 2))
    contrast = (changed[:, 1] - changed[:, 0]).mean(axis=1) / 0.5
    saturation = (changed[:, 0, 0] - changed[:, 0, 1]) / 0.2 / contrast
    for amounts, low, high in ((brightness, -0.5, 0.5), (saturation, 0, 2), (contrast, 0.5, 1.5)):
        assert (amounts.min(), amounts.max()) == pytest.approx((low, high), abs=2e-3)
        assert amounts.mean() == pytest.approx((low + high) / 2, abs=0.03)
