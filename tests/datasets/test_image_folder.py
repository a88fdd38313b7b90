import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from keras_gen.datasets import load_dataset
from keras_gen.datasets.image_folder import fit_to_size


def images_of(dataset) -> np.ndarray:
    return np.concatenate([images.numpy() for images, _ in dataset])


def test_classes_counts_and_pixels(image_folder):
    data = load_dataset(image_folder, batch_size=2, test_fraction=0.25)
    assert data.class_names == ("bags", "boots") and data.image_shape == (28, 28, 1)
    assert (data.num_train, data.num_test) == (9, 3)
    on_disk = {
        np.asarray(PIL.Image.open(path)).tobytes(): path.parent.name
        for path in image_folder.glob("*/*.png")
    }
    seen = []
    for part in (data.train, data.test):
        for images, labels in part:
            for image, label in zip(images.numpy(), labels.numpy(), strict=True):
                assert on_disk[image.tobytes()] == data.class_names[label]
                seen.append(image.tobytes())
    assert len(set(seen)) == 8 + 3  # the last, partial batch of training is left out


def test_train_and_test_folders_are_the_two_parts(image_folder, tmp_path):
    root = tmp_path / "parts"
    root.mkdir()
    for part in ("train", "test"):
        (root / part).symlink_to(image_folder)
    data = load_dataset(root, batch_size=4)
    assert (data.num_train, data.num_test) == (12, 12)


def test_a_flat_folder_has_no_labels(image_folder):
    data = load_dataset(image_folder / "bags", batch_size=2)
    assert data.num_classes is None
    assert next(iter(data.train)).shape == (2, 28, 28, 1)


def test_order_depends_on_seed_and_epoch_alone(image_folder):
    first, second = (load_dataset(image_folder, batch_size=2, seed=4) for _ in range(2))
    one, two = images_of(first.train), images_of(first.train)
    second.train.set_epoch(1)
    np.testing.assert_array_equal(images_of(second.train), two)
    assert not np.array_equal(one, two)


def test_truncated_image_is_named_or_counted(image_folder):
    victim = image_folder / "boots" / "3.png"
    victim.write_bytes(victim.read_bytes()[:-40])
    with pytest.raises(ValueError, match="broken or truncated image.*skip_broken=True") as caught:
        load_dataset(image_folder, batch_size=2)
    assert str(victim) in str(caught.value)
    data = load_dataset(image_folder, batch_size=2, skip_broken=True)
    assert data.num_broken == 1 and data.num_train + data.num_test == 11


def test_truncated_jpeg_is_named(image_folder):
    victim = image_folder / "boots" / "wide.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    PIL.Image.fromarray(noise).save(victim)
    assert load_dataset(image_folder, batch_size=2).num_broken == 0
    victim.write_bytes(victim.read_bytes()[:-200])
    with pytest.raises(ValueError, match="wide.jpg is a broken or truncated image"):
        load_dataset(image_folder, batch_size=2)


def test_a_web_page_among_the_images_is_named(image_folder):
    (image_folder / "bags" / "9.png").write_text("<html>Not found</html>")
    with pytest.raises(ValueError, match="9.png is a broken or truncated image"):
        load_dataset(image_folder, batch_size=2)


def test_mixed_channels_and_sizes_are_named_with_the_remedy(image_folder):
    colour = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    PIL.Image.fromarray(colour).save(image_folder / "boots" / "9.png")
    with pytest.raises(ValueError, match="mixed channels.*9.png has 3. Choose with channels=1"):
        load_dataset(image_folder, batch_size=2)
    with pytest.raises(ValueError, match=r"several sizes.*9.png is \(40, 30\).*image_size="):
        load_dataset(image_folder, batch_size=2, channels=3)
    data = load_dataset(image_folder, batch_size=2, channels=3, image_size=(32, 20))
    assert images_of(data.train).shape[1:] == (32, 20, 3)


def test_empty_folder_and_images_beside_classes(tmp_path, image_folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has no images"):
        load_dataset(tmp_path / "empty")
    PIL.Image.new("L", (28, 28)).save(image_folder / "stray.png")
    with pytest.raises(ValueError, match="labels don't match"):
        load_dataset(image_folder)


def test_fewer_images_than_a_batch(image_folder):
    with pytest.raises(ValueError, match="fewer training images than one batch"):
        load_dataset(image_folder, batch_size=100)


def test_resizing_is_antialiased_and_keeps_the_aspect():
    """A checkerboard of single pixels becomes even grey, not a pattern; the middle is kept."""
    board = np.indices((64, 128)).sum(axis=0) % 2 * 255
    small = fit_to_size(tf.constant(board[..., None], tf.uint8), 16, 16).numpy()
    assert small.shape == (16, 16, 1)
    assert np.abs(small[2:-2, 2:-2].astype(int) - 128).max() < 16
    stripes = np.zeros((32, 96, 1), np.uint8)
    stripes[:, 32:64] = 200
    assert (fit_to_size(tf.constant(stripes), 32, 32).numpy() == 200).all()
