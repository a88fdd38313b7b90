import numpy as np
import PIL.Image

from keras_gen import images


def test_grid_places_every_image():
    numbered = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1) * np.ones((1, 56, 60, 1), np.uint8)
    grid = images.grid(numbered, columns=4)
    assert grid.shape == (2 * 58 + 2, 4 * 62 + 2, 3)
    assert [int(grid[2 + 58 * (n // 4), 2 + 62 * (n % 4), 0]) for n in range(6)] == list(range(6))
    assert (grid[60:, 2 * 62 + 2 :] == 255).all()  # what is missing is white


def test_row_names_stand_at_the_left():
    plain = images.grid(np.zeros((4, 28, 28, 1)), columns=2)
    named = images.grid(np.zeros((4, 28, 28, 1)), columns=2, row_names=["one", "another"])
    margin = named.shape[1] - plain.shape[1]
    assert margin > 30
    np.testing.assert_array_equal(named[:, margin:], plain)
    assert (named[:58, :margin] < 128).any() and (named[58:, :margin] < 128).any()


def test_written_files_are_read_back(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    images.write_png(tmp_path / "deep" / "a.png", picture)
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(tmp_path / "deep" / "a.png")), picture)
    images.write_gif(tmp_path / "a.gif", [picture, 255 - picture, picture], 0.05)
    with PIL.Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 3 and gif.info["duration"] == 50 and gif.info["loop"] == 0
