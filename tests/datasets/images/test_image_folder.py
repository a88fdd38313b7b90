import json
import os

import numpy as np
import PIL.Image
import pytest

from keras_gen.datasets import load_dataset
from keras_gen.datasets.images import folder_index, image_files
from keras_gen.datasets.images.image_files import decode_image
from keras_gen.models import MLPClassifier

LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue


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


def test_mixed_sizes_are_named_with_the_remedy(image_folder):
    tall = np.random.default_rng(0).integers(0, 256, (40, 30), dtype=np.uint8)
    PIL.Image.fromarray(tall).save(image_folder / "boots" / "9.png")
    with pytest.raises(ValueError, match=r"several sizes.*9.png is \(40, 30\).*image_size="):
        load_dataset(image_folder, batch_size=2)
    data = load_dataset(image_folder, batch_size=2, channels=3, image_size=(32, 20))
    assert images_of(data.train).shape[1:] == (32, 20, 3)


def test_most_images_decide_on_channels(image_folder):
    PIL.Image.new("RGB", (28, 28), "red").save(image_folder / "boots" / "9.png")
    with pytest.warns(UserWarning, match="1 of 13 images are in colour and the others grey, so all.*grey"):
        data = load_dataset(image_folder, batch_size=2)
    assert data.image_shape == (28, 28, 1)
    assert load_dataset(image_folder, batch_size=2, channels=3).image_shape == (28, 28, 3)


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


def test_resizing_is_antialiased_and_keeps_the_aspect(tmp_path):
    """A checkerboard of single pixels becomes even grey, not a pattern; the middle is kept."""
    board = np.indices((64, 128)).sum(axis=0) % 2 * 255
    stripes = np.zeros((32, 96), np.uint8)
    stripes[:, 32:64] = 200
    for name, pixels in (("board", board.astype(np.uint8)), ("stripes", stripes)):
        PIL.Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    small = decode_image(tmp_path / "board.png", (16, 16, 1), "white")
    assert np.abs(small[2:-2, 2:-2].astype(int) - 128).max() < 16
    assert (decode_image(tmp_path / "stripes.png", (32, 32, 1), "white") == 200).all()


def save_half_transparent(path, mode: str) -> None:
    """A pixel (grey 60 or red 60, 0, 0) that is opaque and one of another colour that is transparent."""
    if mode == "P":
        image = PIL.Image.new("P", (2, 1))
        image.putpalette([60, 0, 0, 0, 200, 0])
        image.putdata([0, 1])
        image.save(path, transparency=1)
    elif mode == "L":
        image = PIL.Image.new("L", (2, 1))
        image.putdata([60, 200])
        image.save(path, transparency=200)
    else:
        image = PIL.Image.new(mode, (2, 1))
        image.putdata({"RGBA": [(60, 0, 0, 255), (0, 200, 0, 0)], "LA": [(60, 255), (200, 0)]}[mode])
        image.save(path)


@pytest.mark.parametrize(
    ("mode", "suffix"), (("RGBA", "png"), ("LA", "png"), ("P", "png"), ("P", "gif"), ("L", "png"))
)
def test_what_is_transparent_shows_the_background(tmp_path, mode, suffix):
    for number in range(3):
        save_half_transparent(tmp_path / f"{number}.{suffix}", mode)
    grey = mode in ("L", "LA")
    for background, hidden in (("white", [255, 255, 255]), ("#102030", [16, 32, 48])):
        data = load_dataset(tmp_path, batch_size=2, background=background)
        opaque, hidden = ([60], [round(np.dot(hidden, LUMA))]) if grey else ([60, 0, 0], hidden)
        assert data.test_images()[0].tolist() == [[[opaque, hidden]]]
        assert next(iter(data.train))[1].numpy().tolist() == [[opaque, hidden]]


def test_sixteen_bits_keep_the_upper_eight(tmp_path):
    PIL.Image.fromarray(np.array([[0, 300, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert decode_image(tmp_path / "deep.png", (1, 3, 1), "white").ravel().tolist() == [0, 1, 255]


# === The index ===


def test_a_second_start_decodes_only_what_changed(image_folder, monkeypatch):
    looked_at = []

    def inspect_image(path):
        looked_at.append(path.name)
        return image_files.inspect_image(path)

    def load(**options):
        looked_at.clear()
        return load_dataset(image_folder, batch_size=2, **options)

    monkeypatch.setattr(folder_index, "inspect_image", inspect_image)
    first = load()
    assert len(looked_at) == 12
    again = load()
    assert looked_at == [] and again.image_shape == first.image_shape
    np.testing.assert_array_equal(again.test_images()[0], first.test_images()[0])
    victim = image_folder / "boots" / "3.png"
    victim.write_bytes(victim.read_bytes()[:-40])
    for _ in range(2):  # a broken one is named each time
        with pytest.raises(ValueError, match="3.png is a broken or truncated image"):
            load()
        assert looked_at == ["3.png"]
    assert load(skip_broken=True).num_broken == 1
    folder_index.index_of(image_folder).write_text('{"version": 1, "files": {"boots/1.png": [3]}}')
    assert load(skip_broken=True).num_broken == 1 and len(looked_at) == 12


def test_an_index_that_cannot_be_written_is_done_without(image_folder, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(folder_index, "INDEXES", tmp_path / "file" / "indexes")
    assert load_dataset(image_folder, batch_size=2).num_train == 11


def test_a_damaged_or_hostile_index_is_done_without(image_folder):
    load_dataset(image_folder, batch_size=2)
    index = folder_index.index_of(image_folder)
    whole = json.loads(index.read_text())
    contents = ["", "[]", "null", "[" * 100_000, '{"version": 2, "files": []}', "\0" * 9, "\udcff"]
    for shape in ([10**12, 28, 1], [28, 28], [0, 28, 1], [28, 28, 2], ["28", 28, 1], [28.5, 28, 1], "281"):
        entries = {name: [*entry[:2], shape] for name, entry in whole["files"].items()}
        contents.append(json.dumps({**whole, "files": entries}))
    for content in contents:
        index.write_text(content, errors="surrogateescape")
        assert load_dataset(image_folder, batch_size=2).image_shape == (28, 28, 1)
    index.unlink()
    os.mkfifo(index)
    assert load_dataset(image_folder, batch_size=2).image_shape == (28, 28, 1)


# === What is no sound image ===


def test_what_is_no_file_is_named_or_skipped(image_folder):
    place = image_folder / "boots"
    os.mkfifo(place / "pipe.png")
    with pytest.raises(
        ValueError, match=r"pipe.png is a broken .* \(must be a file. Received: a named pipe\)"
    ):
        load_dataset(image_folder, batch_size=2)
    (place / "device.png").symlink_to("/dev/zero")
    (place / "self.png").symlink_to("self.png")
    (place / "folder.png").mkdir()
    (image_folder / "loop").symlink_to(".")
    with pytest.warns(UserWarning, match="sub-folders without images are not classes: loop"):
        data = load_dataset(image_folder, batch_size=2, skip_broken=True)
    assert (data.num_broken, data.num_train + data.num_test) == (3, 12)


def test_names_that_are_not_utf8_are_read_and_printed(image_folder):
    place = image_folder / os.fsdecode(b"\xff\n")
    (image_folder / "boots").rename(place)
    assert load_dataset(image_folder, batch_size=2).class_names == ("bags", r"\xff\n")
    (place / "3.png").write_bytes(b"")
    with pytest.raises(ValueError) as caught:
        load_dataset(image_folder, batch_size=2)
    assert r"\xff\n/3.png is a broken" in str(caught.value) and str(caught.value).isprintable()


def test_too_few_sound_images(image_folder):
    for number in range(1, 6):
        (image_folder / "boots" / f"{number}.png").write_bytes(b"")
    with pytest.raises(ValueError, match="at least 2 that decode.* Received: 1 that decodes, of 6"):
        load_dataset(image_folder / "boots", batch_size=1, skip_broken=True)
    (image_folder / "boots" / "0.png").write_bytes(b"")
    with pytest.raises(ValueError, match="Received: 0 that decode, of 6"):
        load_dataset(image_folder / "boots", batch_size=1, skip_broken=True)


def test_a_part_whose_images_are_all_broken_gets_others(image_folder):
    (image_folder / "bags" / "0.png").write_bytes(b"")  # the only one that was held out
    data = load_dataset(image_folder / "bags", batch_size=1, skip_broken=True)
    assert (data.num_train, data.num_test, data.num_broken) == (4, 1, 1)


def test_an_image_that_breaks_in_training_is_named(image_folder):
    data = load_dataset(image_folder, batch_size=11)
    model = MLPClassifier(image_shape=(28, 28, 1), num_classes=2, widths=(2,))
    model.compile()
    (image_folder / "boots" / "3.png").unlink()
    message = r"^\S*/boots/3.png has changed since .* \(No such file or directory\). .* skip_broken=True.$"
    for use in (
        lambda: model.fit(data.train, verbose=0),
        lambda: model.evaluate(data.train, verbose=0),
        lambda: list(data.training_chunks(100)),
    ):
        with pytest.raises(ValueError, match=message):
            use()


def test_another_image_stands_in_for_one_that_breaks_in_training(image_folder):
    data = load_dataset(image_folder, batch_size=11, skip_broken=True)
    victim = image_folder / "boots" / "3.png"
    lost = np.asarray(PIL.Image.open(victim)).tobytes()
    of_class = {
        np.asarray(PIL.Image.open(path)).tobytes(): path.parent.name
        for path in image_folder.glob("*/*.png")
    }
    victim.unlink()
    os.mkfifo(victim)
    with pytest.warns(UserWarning, match="3.png has changed since .*: another image stands in for it"):
        images, labels = next(iter(data.train))
    assert len(images) == 11 and lost not in [image.tobytes() for image in images.numpy()]
    for image, label in zip(images.numpy(), labels.numpy(), strict=True):
        assert of_class[image.tobytes()] == data.class_names[label]


def test_nothing_decodes_any_more(image_folder):
    data = load_dataset(image_folder, batch_size=2, skip_broken=True)
    image_folder.rename(image_folder.with_name("moved"))
    with (
        pytest.warns(UserWarning, match="another image stands in"),
        pytest.raises(ValueError, match="^None of the images decodes any more: were they moved or deleted"),
    ):
        data.test_images()


def test_batches_beyond_memory_are_refused(image_folder):
    with pytest.raises(ValueError, match="batches of 2 images of 1000000000 x 1000000000 x 1, which takes"):
        load_dataset(image_folder, batch_size=2, image_size=(10**9, 10**9))
