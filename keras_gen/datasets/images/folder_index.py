"""The shapes of a folder's images, kept in the user's cache: a file is checked once, not at every start."""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import PIL.Image
from annotated_types import Interval

from keras_gen.datasets.images.image_files import inspect_image
from keras_gen.datasets.names import keras_home
from keras_gen.utils.files import atomic_write, printable, read_bytes
from keras_gen.utils.records import Record, parse_record

INDEXES = keras_home() / "keras_gen" / "folders"
VERSION = 2  # of what `inspect_image` gives
MOST_BYTES = 2**30  # millions of files

Side = Annotated[int, Interval(ge=1, le=2**31 - 1)]


class FolderIndex(Record):
    """Name -> size in bytes, time in ns, (height, width, channels)."""

    version: Literal[2]
    files: dict[str, tuple[int, int, tuple[Side, Side, Literal[1, 3]]]]


def inspect_images(folder: Path, files: list[Path]) -> list[tuple[int, int, int] | str]:
    """`inspect_image` of each file, from the folder's index where a file is as it was then.

    Broken files are not in the index: they are looked at each time.

    Args:
        folder: What the index is of.
        files: Some or all of the files in it.
    """
    index = index_of(folder)
    known = read_index(index)
    names = [printable(os.path.relpath(file, folder)) for file in files]
    stamps = [stamp_of(file) for file in files]
    found: dict[str, Any] = {
        name: known[name][2]
        for name, stamp in zip(names, stamps, strict=True)
        if name in known and known[name][:2] == stamp
    }
    unknown = {name: file for name, file in zip(names, files, strict=True) if name not in found}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
        # An error says the same.
        warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
        found.update(zip(unknown, pool.map(inspect_image, unknown.values()), strict=True))
    good = {
        name: [*stamp, found[name]]
        for name, stamp in zip(names, stamps, strict=True)
        if not isinstance(found[name], str)
    }
    if unknown.keys() & good.keys():
        write_index(index, good)
    return [found[name] for name in names]


def stamp_of(file: Path) -> tuple[int, ...]:
    """Size and time, which show a change; nothing if there is no file, as behind a broken link."""
    try:
        stat = file.stat()
    except OSError:
        return ()
    return stat.st_size, stat.st_mtime_ns


def index_of(folder: Path) -> Path:
    """The file that a folder's index is kept in."""
    key = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return INDEXES / f"{key}.json"


def read_index(path: Path) -> Mapping[str, tuple[int, int, tuple[int, int, int]]]:
    """What is known of each file; nothing if there is no index, or a damaged one."""
    try:
        return parse_record(read_bytes(path, MOST_BYTES), FolderIndex, str(path), "").files
    except (OSError, ValueError):
        return {}


def write_index(path: Path, files: dict[str, list]) -> None:
    with contextlib.suppress(OSError), atomic_write(path) as draft:  # a home may be read-only
        draft.write_text(json.dumps({"version": VERSION, "files": files}))
