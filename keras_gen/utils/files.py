"""Reading regular files, and writing files and directories atomically."""

import contextlib
import errno
import functools
import glob
import os
import shutil
import socket
import stat
import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import psutil

MOST_SHOWN = 200  # characters of a path, in errors
SECONDS_OF_A_DAY = 86_400
STEM = 40  # characters of a file's name in its draft's, since names have at most 255 bytes

# === Reading ===


def open_file(path: str | os.PathLike, most: int | None = None) -> BinaryIO:
    """Opens a regular file for reading bytes.

    Args:
        path: The file.
        most: Maximum number of bytes; unlimited by default.

    Raises:
        ValueError: It is a directory, a pipe or a device, which might never end; or it is too large.
        OSError: It does not exist, or may not be read.
    """
    # Without waiting for the writer of a pipe.
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{printable(path)} must be a file. Received: {kind_of(status.st_mode)}")
        if most is not None and status.st_size > most:
            raise ValueError(
                f"{printable(path)} must have at most {most:,} bytes. Received: {status.st_size:,} bytes"
            )
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def read_bytes(path: str | os.PathLike, most: int | None = None) -> bytes:
    """The content of a file: see `open_file`."""
    with open_file(path, most) as file:
        return file.read()


def read_text(path: str | os.PathLike, most: int | None = None, encoding: str = "utf-8") -> str:
    """The text of a file: see `open_file`.

    Raises:
        ValueError: Also where it is not text of that encoding.
    """
    try:
        return read_bytes(path, most).decode(encoding)
    except UnicodeDecodeError as error:
        byte = f"{error.object[error.start]:#04x} at byte {error.start:,}"
        raise ValueError(f"{printable(path)} must be {encoding} text. Received: {byte}") from None


def is_file(path: str | os.PathLike) -> bool:
    """Whether `open_file` can open it: a readable regular file."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.R_OK)
    except (OSError, ValueError):  # the latter of a name with a NUL
        return False


def kind_of(mode: int) -> str:
    """A description of something that is not a regular file."""
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def writable_folder(name: str, path: str | os.PathLike) -> Path:
    """Checks that a directory can be written to, or created.

    Args:
        name: The name of the argument in errors.
        path: The directory.

    Raises:
        ValueError: It is a file or below one, or may not be written to.
    """
    folder, text = Path(path), os.fspath(path)
    try:
        text.encode()  # TensorFlow and TensorBoard read no others
        places = [folder.absolute(), *folder.absolute().parents]
        existing = next(place for place in places if place.exists())
        usable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    except (OSError, UnicodeEncodeError):  # the former of a name that is too long
        usable = False
    if not (text and "\0" not in text and usable):
        raise ValueError(
            f"{name} must be a directory that can be written to, or made. "
            f"Received: {printable(path)[:MOST_SHOWN]!r}"
        )
    return folder


def make_folder(name: str, path: Path) -> None:
    """Creates a directory if it does not exist: see `writable_folder`."""
    try:
        writable_folder(name, path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"{name} must be a directory that can be written to. "
            f"Received: {printable(path)[:MOST_SHOWN]!r} ({error.strerror})"
        ) from None


def printable(path: str | os.PathLike) -> str:
    """A path as one line of text, even if it is not UTF-8 or has control characters.

    Example:

    >>> printable("a\\nb")
    'a\\\\nb'
    """
    return "".join(letter if letter.isprintable() else escaped(letter) for letter in os.fsdecode(path))


def escaped(letter: str) -> str:
    code = ord(letter)
    is_byte = 0xDC80 <= code <= 0xDCFF  # which Python puts for one that is not UTF-8
    return f"\\x{code - 0xDC00:02x}" if is_byte else letter.encode("unicode_escape").decode()


# === Writing ===


class UnusablePathError(OSError, ValueError):
    """A path cannot be written to.

    Args:
        path: The path.
        reason: The system's error.
    """

    def __init__(self, path: str | os.PathLike, reason: str):
        shown = printable(path)[:MOST_SHOWN]
        super().__init__(f"Expected a path that can be written to. Received: {shown!r} ({reason})")
        self.strerror = reason


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a draft path to write to, and renames it to `path` at the end of the block.

    If the block raises, nothing is left behind and an existing `path` is unchanged. A directory never
    replaces a directory that is not empty. The content is synced to disk before the rename, so that this
    also holds after a power failure. Drafts of `path` that a killed process left behind are removed.

    Args:
        path: The file or directory to create, with its parent directories.

    Raises:
        UnusablePathError: Nothing can be written there.

    Example:

    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "notes" / "a.txt"
    >>> with atomic_write(target) as path:
    ...     _ = path.write_text("all of it")
    >>> target.read_text()
    'all of it'
    """
    path = Path(path)
    draft = draft_path(path)
    made: list[Path] = []
    try:
        made += [parent for parent in path.parents if not parent.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.lstat(path)  # which a name that is too long fails
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except (OSError, ValueError) as error:  # the latter of a name with a NUL
        remove_empty(made)
        raise UnusablePathError(path, getattr(error, "strerror", None) or str(error)) from None
    remove_stale_drafts(path.parent, path)
    try:
        yield draft
        for written in [draft, *draft.rglob("*")]:
            sync(written)
        draft.replace(path)
        sync(path.parent)
    except BaseException:
        remove(draft)
        remove_empty(made)
        raise


def remove_empty(folders: Sequence[Path]) -> None:
    """Removes empty directories, innermost first."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def draft_path(path: Path) -> Path:
    """The path of a draft, which names the process that writes it."""
    unique = f"{this_machine()}-{os.getpid()}-{started(os.getpid())}-{uuid.uuid4().hex[:8]}"
    # Keras and Pillow read the format from the suffix, so it stays at the end.
    return path.with_name(f".{path.stem[:STEM]}.draft-{unique}{path.suffix[:STEM]}")


def remove_stale_drafts(folder: Path, path: Path | None = None) -> None:
    """Removes drafts of processes that no longer run.

    Processes on other machines cannot be seen: their drafts are removed after a day.

    Args:
        folder: The folder to clean, without its sub-folders.
        path: The path whose drafts to remove; all drafts by default.
    """
    stem, suffix = (
        ("*", "*") if path is None else (glob.escape(path.stem[:STEM]), glob.escape(path.suffix[:STEM]))
    )
    for draft in folder.glob(f".{stem}.draft-*-*-*-????????{suffix}"):
        machine, process, start = draft.name.rpartition(".draft-")[2].split("-")[:3]
        if machine == this_machine():
            is_over = process.isdecimal() and (started(int(process)) or None) != start
        else:
            is_over = age_of(draft) > SECONDS_OF_A_DAY
        if is_over:
            remove(draft)


def age_of(path: Path) -> float:
    """Seconds since a file was changed; 0 if it no longer exists."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def started(process: int) -> str:
    """When a process started, in seconds, since process numbers are reused; "" if it has ended."""
    try:
        return str(round(psutil.Process(process).create_time()))
    except psutil.Error:
        return ""


@functools.cache
def this_machine() -> str:
    """Eight digits that identify this boot of this machine or container, as process numbers do not."""
    parts = [socket.gethostname()]
    for place, read in (
        ("/proc/sys/kernel/random/boot_id", lambda path: Path(path).read_text()),
        ("/proc/self/ns/pid", os.readlink),
    ):
        with contextlib.suppress(OSError):  # neither is on every system
            parts.append(read(place))
    return f"{zlib.crc32(' '.join(parts).encode()):08x}"


def remove(path: Path) -> None:
    """Removes a file or a directory, if there is one."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Waits until a file, or a directory's list of files, is on disk."""
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
