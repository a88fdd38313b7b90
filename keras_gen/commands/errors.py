"""How a command ends: errors that a user can fix are one line on stderr, bugs have a traceback."""

import contextlib
import dis
import errno
import os
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from keras_gen.commands.parsing import one_line

# What the system says of an error, and what helps.
REMEDIES = {
    errno.EACCES: "choose a place that you may write to, or a file that you may read",
    errno.EPERM: "choose a place that you may write to, or a file that you may read",
    errno.EROFS: "choose a place that can be written to",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a part of the path is a file: choose another",
    errno.EISDIR: "it is a directory: name a file",
    errno.EEXIST: "choose another path",
    errno.ENOTEMPTY: "choose another path",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "a link leads back to itself",
    errno.ENOSPC: "free some space, or choose another disk",
    errno.EDQUOT: "free some space, or choose another disk",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), or write less",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "close other programs",
    errno.ENOMEM: "ask for less at once, or close other programs",
    errno.EIO: "the disk has failed to read or write",
    errno.ESTALE: "the network disk has gone: try again",
}

LESS_MEMORY = "ask for less at once (a smaller --num, --batch-size or model)"

# Types of error that Python raises in a pipeline where a file is not what it was.
MOST_SHOWN = 200  # characters of a path

UNREADABLE = (
    "FileNotFoundError",
    "IsADirectoryError",
    "OSError",
    "PIL.UnidentifiedImageError",
    "PermissionError",
)
PACKAGE = Path(__file__).parents[1]

# Kinds of TensorFlow's errors that come from the machine; the others are bugs.
MACHINE_ERRORS = (
    "AbortedError",
    "AlreadyExistsError",
    "CancelledError",
    "DataLossError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "NotFoundError",
    "PermissionDeniedError",
    "UnavailableError",
    "UnknownError",
)


class Stopped(BaseException):
    """A signal ended the command. Incomplete files are removed on the way out.

    Args:
        number: The signal's.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


def guarded(command: Callable[[], int | None]) -> int:
    """Runs a command and returns its exit status; errors that a user can fix become one line on stderr."""
    with replace_closed_streams(), raise_signals(), short_warnings():
        try:
            if sys.stdout is None:
                raise ValueError("standard output is closed: expected a terminal, a file or a pipe.")
            status = command()
            sys.stdout.flush()
            return status or 0
        except BrokenPipeError:  # the reader, `head` for one, has seen enough
            drop_output()
            return 141
        except KeyboardInterrupt:
            print_error("interrupted")
            return 130
        except Stopped as stopped:
            print_error(f"stopped by {stopped}")
            return 128 + stopped.number  # as shells have it
        except Exception as error:
            if os.environ.get("KERAS_GEN_DEBUG"):
                raise
            message = explanation(error)
            if message is None:
                traceback.print_exc()
                message = "this is probably a bug in keras_gen: please report it with the lines above."
            print_error(message)
            drop_unwritten()
            return 1
        except SystemExit:
            drop_unwritten()
            raise


def print_error(message: str) -> None:
    """Prints one line on stderr."""
    text = one_line(message).encode("utf-8", "backslashreplace").decode()
    with contextlib.suppress(OSError):
        sys.stderr.write(f"keras-gen: {text}\n")
        sys.stderr.flush()


def drop_unwritten() -> None:
    """Discards output that stdout cannot take, as on a full disk."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        drop_output()


def drop_output() -> None:
    """Discards output that nobody reads, so that Python does not try to write it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# === Errors ===


def explanation(error: BaseException) -> str | None:
    """The message of an error that a user can fix; None for a bug.

    Errors raised by a `raise` statement in keras_gen have their own message. The system, memory and
    TensorFlow have theirs. The same types raised by the interpreter, or in another library, are bugs.
    """
    if is_refusal(error):
        return str(error)
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {LESS_MEMORY}. Received: {error or 'MemoryError'}"
    if isinstance(error, UnicodeEncodeError) and error.encoding == getattr(sys.stdout, "encoding", None):
        return (
            f"standard output is {error.encoding}, which has no {error.object[error.start]!r}: set "
            "PYTHONIOENCODING=utf-8."
        )
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return system_message(error)
    if type(error).__module__.startswith("tensorflow."):
        return tensorflow_message(error)
    return None


def tensorflow_message(error: BaseException) -> str | None:
    """The message of a TensorFlow error that is due to the machine, or to reading data in a pipeline."""
    said = str(error)
    if "Traceback (most recent call last)" in said:
        return pipeline_message(said)
    first, *_ = re.sub(r"^{{.*?}} ", "", said.strip()).splitlines() or [""]
    for number, remedy in REMEDIES.items():
        if os.strerror(number) in said:
            return f"TensorFlow: {os.strerror(number)}: {remedy}. Received: {first}"
    if type(error).__name__ == "ResourceExhaustedError":
        return f"TensorFlow has too little memory: {LESS_MEMORY}. Received: {first}"
    if type(error).__name__ not in MACHINE_ERRORS:
        return None
    return f"TensorFlow could not go on: check the files, the disk and the devices. Received: {first}"


def pipeline_message(said: str) -> str | None:
    """The message of a Python error within a TensorFlow error: see `explanation`."""
    *_, (file, code) = [("", ""), *re.findall(r'File "(.+)", line \d+, in .*\n +(.+)', said)]
    *_, (kind, message) = [("", ""), *re.findall(r"^([\w.]+): (.*)$", said, re.MULTILINE)]
    if Path(file).is_relative_to(PACKAGE) and code.startswith("raise "):
        return message
    if kind in UNREADABLE:
        return f"a file of the data cannot be read: was it changed or deleted? Received: {message}"
    return None


def system_message(error: OSError) -> str:
    """The message of a system error, with the file and the remedy."""
    names = [
        os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)
    ]
    name = names[-1] if names else ""
    if ".draft-" in name:  # of a file that was to be written there
        name = os.path.dirname(name)
    name = name if len(name) <= MOST_SHOWN else f"{name[:MOST_SHOWN]}..."
    where = f"{name}: " if name else ""
    assert error.errno is not None
    return f"{where}{error.strerror or os.strerror(error.errno)}: {REMEDIES[error.errno]}."


def is_refusal(error: BaseException) -> bool:
    """Whether a `raise` statement in keras_gen raised an error of a type that refuses a user's input."""
    if not isinstance(
        error, (ValueError, TypeError, ImportError, FloatingPointError, MemoryError, OSError)
    ):
        return False
    origin = error.__traceback__
    while origin is not None and origin.tb_next is not None:
        origin = origin.tb_next
    if origin is None:
        return False
    instruction = origin.tb_frame.f_code.co_code[origin.tb_lasti]
    module = origin.tb_frame.f_globals.get("__name__", "")
    return module.startswith("keras_gen") and instruction == dis.opmap["RAISE_VARARGS"]


# === The process ===


@contextlib.contextmanager
def replace_closed_streams() -> Iterator[None]:
    """Replaces a closed stderr, and prints names that are not UTF-8 unchanged."""
    before = sys.stderr
    with contextlib.ExitStack() as stack:
        if before is None:
            sys.stderr = stack.enter_context(open(os.devnull, "w"))
        reconfigure = getattr(sys.stdout, "reconfigure", None)
        if reconfigure is not None and getattr(sys.stdout, "encoding", "").lower() == "utf-8":
            reconfigure(errors="surrogateescape")
        try:
            yield
        finally:
            sys.stderr = before


@contextlib.contextmanager
def raise_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind the command, so that no draft is left behind."""
    before: dict[int, Any] = {}

    def stop(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one would interrupt the cleanup
        raise Stopped(number)

    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has one of them
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def short_warnings() -> Iterator[None]:
    """Prints warnings as one line, without the place in the code."""
    formatted = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"keras-gen: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = formatted
