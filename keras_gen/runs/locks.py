"""A run directory is used by one process at a time."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import filelock

from keras_gen.utils.files import printable, remove_stale_drafts

LOCK = ".lock"
SECONDS = 1.0  # for which a process that ends at this moment is waited for


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keeps other processes out of a run until the block, or the process, ends.

    Incomplete files of killed processes are removed first. The directory is created if it does not exist,
    and removed at the end if it is still empty.

    Raises:
        ValueError: Another process has the run, or the directory cannot be made or written to.
    """
    made = [folder for folder in (directory, *directory.parents) if not os.path.exists(folder)]
    lock = filelock.FileLock(directory / LOCK, timeout=SECONDS)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise ValueError(
            f"{printable(directory)} is in use: another process is training this run. Wait until it ends, "
            f"stop it, or choose another directory. If there is none, delete {printable(directory / LOCK)}."
        ) from None
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP):
            raise ValueError(
                f"{printable(directory)} is on a file system without locks ({error.strerror}), where two "
                "processes could overwrite one run: choose a directory on another disk."
            ) from None
        raise ValueError(
            f"A run needs a directory that can be made and written to. Received: {printable(directory)} "
            f"({error.strerror or error})"
        ) from None
    try:
        for place, _, _ in os.walk(directory):
            remove_stale_drafts(Path(place))
        yield
    finally:
        # Before the release, so that no other process's lock is deleted: filelock does not accept a lock on
        # a file that is gone. Windows removes it when it is released.
        with contextlib.suppress(OSError):
            os.unlink(directory / LOCK)
        lock.release()
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def check_is_new(directory: Path, is_locked: bool = False) -> None:
    """Raises a ValueError if the directory of a new run is not empty.

    Args:
        directory: The run directory.
        is_locked: Whether this process has locked it. Until then, a directory with a lock is left to
            `locked`.
    """
    try:
        names = set(os.listdir(directory)) if os.path.lexists(directory) else set()
    except OSError as error:
        raise ValueError(
            f"Expected a new directory for the run. Received: {printable(directory)} ({error.strerror})"
        ) from None
    if names - {LOCK} and (is_locked or LOCK not in names):
        raise ValueError(
            f"{printable(directory)} is not empty: expected a new directory, so that no run is "
            f"overwritten. Choose another, delete it, or continue the run with: keras-gen resume "
            f"{printable(directory)}"
        )
