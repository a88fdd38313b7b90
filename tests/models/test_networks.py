import pytest

from keras_gen.models.networks import feature_sizes


@pytest.mark.parametrize(
    ("shape", "sizes"),
    (((28, 28, 1), [(28, 28), (14, 14), (7, 7)]), ((5, 1, 3), [(5, 1), (3, 1), (2, 1)])),
)
def test_feature_sizes(shape, sizes):
    assert feature_sizes(shape, 2) == sizes
