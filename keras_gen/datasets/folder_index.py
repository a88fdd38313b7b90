"""The shapes of a folder's images, kept in the user's cache: a file is checked once, not at every start."""

import concurrent.futures
import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from keras_gen.datasets.image_files import inspect_image
from keras_gen.files import written_whole

INDEXES = Path(os.environ.get("KERAS_HOME", os.path.expanduser("~/.keras"))) / "keras_gen" / "folders"
VERSION = 1  # of what `inspect_image` gives


def inspect_images(folder: Path, files: list[Path]) -> list[tuple[int, int, int] | str]:
    """`inspect_image` of each file, from the folder's index where a file is as it was then.

    Broken files are not in the index: they are looked at each time.

    Args:
        folder: What the index is of.
        files: Some or all of the files in it.
    """
    index = index_of(folder)
    known = read_index(index)
    names = [os.path.relpath(file, folder) for file in files]
    stamps = [stamp_of(file) for file in files]
    found: dict[str, Any] = {
        name: tuple(known[name][2])
        for name, stamp in zip(names, stamps, strict=True)
        if name in known and known[name][:2] == stamp
    }
    unknown = {name: file for name, file in zip(names, files, strict=True) if name not in found}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found.update(zip(unknown, pool.map(inspect_image, unknown.values()), strict=True))
    good = {
        name: [*stamp, found[name]]
        for name, stamp in zip(names, stamps, strict=True)
        if not isinstance(found[name], str)
    }
    if unknown.keys() & good.keys():
        write_index(index, good)
    return [found[name] for name in names]


def stamp_of(file: Path) -> list[int]:
    """Size and time, by which a change is seen; nothing where there is no file, as behind a broken link."""
    try:
        stat = file.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


def index_of(folder: Path) -> Path:
    """The file that a folder's index is kept in."""
    key = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return INDEXES / f"{key}.json"


def read_index(path: Path) -> dict[str, list]:
    """Name -> size in bytes, time in ns, shape; nothing where there is no index, or a damaged one."""
    try:
        index = json.loads(path.read_text())
        entries = index["files"] if index["version"] == VERSION else {}
        return {
            name: [int(size), int(time), [int(n) for n in shape]]
            for name, (size, time, shape) in entries.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_index(path: Path, files: dict[str, list]) -> None:
    with contextlib.suppress(OSError), written_whole(path) as draft:  # a home may be read-only
        draft.write_text(json.dumps({"version": VERSION, "files": files}))
