"""Files that appear whole or not at all: written beside their place, then renamed into it."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a path to write to; what is there at the end of the block becomes `path` in one rename.

    When the block raises, nothing is left behind and an older `path` stays as it was. A directory
    never replaces one that has anything in it. What was written is on the disk before it gets its name, so
    that this holds when the machine stops, too.

    Args:
        path: The file or directory to make. Its parents are made too.

    Example:

    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "notes" / "a.txt"
    >>> with written_whole(target) as path:
    ...     _ = path.write_text("all of it")
    >>> target.read_text()
    'all of it'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Keras and Pillow read the format from the suffix, so it stays at the end.
    draft = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield draft
        for written in [draft, *draft.rglob("*")]:
            sync(written)
        draft.replace(path)
        sync(path.parent)
    except BaseException:
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Waits until a file, or a directory's list of files, is on the disk."""
    if not path.is_dir():
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
    elif os.name != "nt":  # Windows has no such call for directories
        number = os.open(path, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # nor have some network file systems
                os.fsync(number)
        finally:
            os.close(number)
