"""What decodes, and how; each image by the same code when it is inspected and when it is read."""

import io
import os
import re
import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from keras_gen.datasets.images.image_files import decode_image, inspect_image

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
COLOUR = PIL.Image.fromarray(PIXELS)
GREY = COLOUR.convert("L")


def encoded(image: PIL.Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(
    width: int, height: int, depth: int = 8, colour: int = 2, rows: bytes = b"", **parts: bytes
) -> bytes:
    """A PNG with what its header claims, whatever is in it."""

    def part(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = part(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    others = b"".join(part(name.encode(), content) for name, content in parts.items())
    return b"\x89PNG\r\n\x1a\n" + header + others + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


@pytest.mark.parametrize(
    ("image", "kind", "channels"),
    [
        (GREY, "BMP", 1),
        (COLOUR.quantize(256), "BMP", 3),
        (GREY.convert("1"), "BMP", 1),
        (COLOUR.convert("RGBA"), "BMP", 3),
        (COLOUR, "TIFF", 3),
        (COLOUR, "PPM", 3),
        (COLOUR, "WEBP", 3),
        (GREY, "GIF", 3),  # its palette might have colours
        (GREY.convert("LA"), "PNG", 1),
    ],
    ids=lambda value: getattr(value, "mode", value),
)
def test_every_kind_is_read_by_any_name_and_in_colour_or_grey(tmp_path, image, kind, channels):
    path = tmp_path / "image.jpg"
    path.write_bytes(encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert inspect_image(path) == (6, 8, channels)
    as_colour, as_grey = decode_image(path, (6, 8, 3), "white"), decode_image(path, (6, 8, 1), "white")
    np.testing.assert_array_equal(as_colour, np.asarray(image.convert("RGB")))
    np.testing.assert_array_equal(as_grey[..., 0], np.asarray(image.convert("RGB").convert("L")))


def test_of_an_animation_the_first_picture_is_read(tmp_path):
    others = [PIL.Image.fromarray(255 - PIXELS)] * 2
    path = tmp_path / "moving.png"
    path.write_bytes(encoded(COLOUR, "WEBP", lossless=True, save_all=True, append_images=others))
    np.testing.assert_array_equal(decode_image(path, (6, 8, 3), "white"), PIXELS)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ("PNG", "TIFF"))
def test_images_stand_upright_as_the_camera_was_held(tmp_path, orientation, kind):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photograph.png"
    path.write_bytes(encoded(COLOUR, kind, exif=exif))
    turned = {
        1: PIXELS,
        2: PIXELS[:, ::-1],
        3: PIXELS[::-1, ::-1],
        4: PIXELS[::-1],
        5: PIXELS.swapaxes(0, 1),
        6: PIXELS[::-1].swapaxes(0, 1),
        7: PIXELS[::-1, ::-1].swapaxes(0, 1),
        8: PIXELS[:, ::-1].swapaxes(0, 1),
    }[orientation]
    assert inspect_image(path) == turned.shape
    np.testing.assert_array_equal(decode_image(path, turned.shape, "white"), turned)


def test_a_transparent_value_of_sixteen_bits_shows_the_background(tmp_path):
    rows = b"\0" + struct.pack(">2H", 0x1234, 0x5678)
    path = tmp_path / "deep.png"
    path.write_bytes(png(2, 1, 16, 0, rows, tRNS=struct.pack(">H", 0x1234)))
    assert decode_image(path, (1, 2, 1), "white").ravel().tolist() == [255, 0x56]


@pytest.mark.parametrize("shape", ((1, 100_000), (100_000, 1)))
def test_long_and_thin(tmp_path, shape):
    PIL.Image.new("L", shape, 7).save(tmp_path / "thin.png")
    assert inspect_image(tmp_path / "thin.png") == (shape[1], shape[0], 1)
    assert (decode_image(tmp_path / "thin.png", (8, 8, 1), "white") == 7).all()


FLOATS = PIL.Image.fromarray(np.ones((6, 8), np.float32))
INTEGERS = PIL.Image.fromarray(np.full((6, 8), 2**30, np.int32))
NOISE = encoded(COLOUR, "PNG")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "not an image of the formats BMP, GIF"),
        (b"<html>", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n", "not an image"),
        (NOISE[:-20], "checksum|Truncated"),
        (NOISE[:60] + bytes([NOISE[60] ^ 255]) + NOISE[61:], "checksum"),
        (encoded(COLOUR, "JPEG")[:-50], "truncated"),
        (encoded(COLOUR, "BMP")[:-50], "truncated"),
        (encoded(COLOUR, "TIFF")[:-5], "truncated"),
        (encoded(FLOATS, "TIFF"), "pixels of the type F, which are neither grey nor colours"),
        (encoded(INTEGERS, "TIFF"), "pixels of the type I,"),
        (png(0, 8), "not an image"),
        (png(60_000, 60_000), "exceeds limit"),
        (png(10_000, 10_000), "100,000,000 pixels, of 89,478,485 at most"),
    ],
    ids=range(13),
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_does_not_decode_says_why(tmp_path, content, what):
    path = tmp_path / "image.png"
    path.write_bytes(content)
    found = inspect_image(path)
    assert isinstance(found, str) and re.search(what, found), found
    assert "\n" not in found and str(path) not in found


def test_what_is_no_file_says_why(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "self.png").symlink_to("self.png")
    (tmp_path / "nowhere.png").symlink_to("missing")
    assert {path.name: inspect_image(path) for path in tmp_path.iterdir()} == {
        "pipe.png": "must be a file. Received: a named pipe",
        "device.png": "must be a file. Received: a device",
        "folder.png": "must be a file. Received: a directory",
        "self.png": "Too many levels of symbolic links",
        "nowhere.png": "No such file or directory",
    }
