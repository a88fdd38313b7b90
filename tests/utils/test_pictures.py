import numpy as np
import PIL.Image
import pytest

from keras_gen.utils import pictures


def test_grid_places_every_image():
    numbered = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1) * np.ones((1, 56, 60, 1), np.uint8)
    grid = pictures.grid(numbered, columns=4)
    assert grid.shape == (2 * 58 + 2, 4 * 62 + 2, 3)
    assert [int(grid[2 + 58 * (n // 4), 2 + 62 * (n % 4), 0]) for n in range(6)] == list(range(6))
    assert (grid[60:, 2 * 62 + 2 :] == 255).all()  # what is missing is white


def test_row_names_stand_at_the_left():
    plain = pictures.grid(np.zeros((4, 28, 28, 1)), columns=2)
    named = pictures.grid(np.zeros((4, 28, 28, 1)), columns=2, row_names=["one", "another"])
    margin = named.shape[1] - plain.shape[1]
    assert margin > 30
    np.testing.assert_array_equal(named[:, margin:], plain)
    assert (named[:58, :margin] < 128).any() and (named[58:, :margin] < 128).any()


def test_written_files_are_read_back(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    pictures.write_png(tmp_path / "deep" / "a.png", picture)
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(tmp_path / "deep" / "a.png")), picture)
    pictures.write_gif(tmp_path / "a.gif", [picture, 255 - picture, picture], 0.05)
    with PIL.Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 3 and gif.info["duration"] == 50 and gif.info["loop"] == 0


FOUR = np.zeros((4, 8, 8, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"images": FOUR[:0]}, r"images must be at least one, .* Received: shape \(0, 8, 8, 1\)"),
        (
            {"images": FOUR[0, 0]},
            r"images must be \(n, height, width, channels\).* float64 of shape \(8, 1\)",
        ),
        ({"images": FOUR + np.nan}, r"must be in \[0, 1\]. Received: from nan to nan"),
        ({"images": FOUR + 255}, r"must be in \[0, 1\]. Received: from 255.0 to 255.0"),
        ({"images": FOUR.astype(int)}, "must be uint8 .* or floating point .* Received: int64"),
        ({"images": [[1], [2, 3]]}, "images must be an array of numbers"),
        ({"images": FOUR, "columns": 0}, "columns must be an integer from 1"),
        ({"images": FOUR, "smallest_tile": 10**9}, "4 images enlarged by 125000000, which takes"),
        ({"images": FOUR, "row_names": "ab"}, "row_names must be a list or tuple, each a string"),
        ({"images": FOUR, "row_names": ["a"]}, r"row_names must be 2, one for each row. Received: \['a'\]"),
    ),
)
def test_grids_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        pictures.grid(**arguments)


def test_names_of_any_length_and_letters():
    names = ["a" * 10**6, "a\nb\udcff"]
    assert pictures.grid(FOUR, columns=2, row_names=names).shape[1] < 2000


PICTURE = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("picture", "message"),
    (
        (
            PICTURE / 255,
            r"must be uint8 of shape \(height, width, 3\). Received: float64 of shape \(8, 8, 3\)",
        ),
        (PICTURE[..., :2], r"Received: uint8 of shape \(8, 8, 2\)"),
        (PICTURE[:0], r"Received: uint8 of shape \(0, 8, 3\)"),
        (None, "Received: None"),
    ),
)
def test_pictures_that_cannot_be_written(tmp_path, picture, message):
    with pytest.raises(ValueError, match=message):
        pictures.write_png(tmp_path / "a.png", picture)
    with pytest.raises(ValueError, match="pictures must be"):
        pictures.write_gif(tmp_path / "a.gif", [picture], 0.1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("walk", "seconds", "message"),
    (
        ([], 0.1, "pictures must be one or more"),
        (None, 0.1, "pictures must be an array of numbers.* Received: None"),
        ([PICTURE, PICTURE[:4]], 0.1, "pictures must be an array of numbers"),
        ([PICTURE], float("nan"), "seconds must be a number from 0.01 to 655. Received: nan"),
        ([PICTURE], 10**9, "seconds must be a number from 0.01 to 655"),
    ),
)
def test_walks_that_cannot_be_written(tmp_path, walk, seconds, message):
    with pytest.raises(ValueError, match=message):
        pictures.write_gif(tmp_path / "a.gif", walk, seconds)


def test_a_directory_is_no_picture(tmp_path):
    for path in (tmp_path, str(tmp_path), ""):
        with pytest.raises(
            ValueError, match="path must be a file to write. Received: '.*', which is a directory"
        ):
            pictures.write_png(path, PICTURE)
    with pytest.raises(ValueError, match="which is no file's name"):
        pictures.write_png(tmp_path / "a\0.png", PICTURE)
