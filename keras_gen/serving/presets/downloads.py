"""Downloads over HTTP with limits on size and time."""

import contextlib
import http.client
import queue
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

TIMEOUT = 30.0  # seconds without a byte, until a download is given up
SECONDS, BYTES_PER_SECOND = 60.0, 20_000  # or after that many seconds, and one more for that many bytes
PART = 2**16  # bytes


def check_url(url: str) -> None:
    """Raises a ValueError unless the URL is valid and uses HTTP or HTTPS."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"The URL of a preset is not valid ({error}). Received: {url!r}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"A preset's URL must be like https://host/folder. Received: {url!r}")
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            f"A preset's URL must not hold a name or a password. Received: one for {parts.hostname}"
        )
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(
            "A URL must not have spaces, control characters or letters beyond ASCII: write them as %20 and "
            f"the like. Received: {url!r}"
        )


def download_file(url: str, path: Path, most: int) -> None:
    """Downloads a file.

    Args:
        url: The URL.
        path: The file to write.
        most: Maximum number of bytes.

    Raises:
        ConnectionError: It cannot be read, is larger, takes too long (60 seconds, and one for each 20 kB
            that it may have) or comes compressed.
    """
    limit = SECONDS + most / BYTES_PER_SECOND
    try:
        within(limit, lambda is_over: write(parts(url, most), path, is_over))
    except (ConnectionError, TimeoutError) as error:
        cause = error.__cause__ or error
        reason = " ".join(str(error).split())
        raise ConnectionError(
            f"{url} could not be downloaded ({type(cause).__name__}: {reason}). A preset's URL is that of "
            "its folder, which holds card.json and model.keras."
        ) from error


def parts(url: str, most: int) -> Generator[bytes, None, None]:
    """Yields the parts of a server's response."""
    opener = urllib.request.build_opener(SafeRedirects)
    left = most
    try:
        with opener.open(url, timeout=TIMEOUT) as response:
            encoding = response.headers.get("Content-Encoding", "identity")
            if encoding != "identity":
                raise ConnectionError(f"expected the file as it is. Received: one compressed by {encoding}")
            while part := response.read1(PART):
                left -= len(part)
                if left < 0:
                    raise ConnectionError(f"expected at most {most:,} bytes. Received: more")
                yield part
            if response.length:  # of what the header promised
                raise http.client.IncompleteRead(b"", response.length)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # its connection
        raise ConnectionError(str(error)) from error


def write(content: Generator[bytes, None, None], path: Path, is_over: threading.Event) -> None:
    """Writes a file, until `is_over` is set."""
    with open(path, "wb") as file, contextlib.closing(content):
        for part in content:
            if is_over.is_set():
                break
            file.write(part)


def within(seconds: float, function: Callable[[threading.Event], None]) -> None:
    """Calls a function in a thread, for a limited time, whatever the server does.

    Args:
        seconds: Maximum duration.
        function: Called with an event that is set when the time is over.

    Raises:
        TimeoutError: It took longer.
    """
    results: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    is_over = threading.Event()

    def call() -> None:
        try:
            function(is_over)
            results.put(None)
        except BaseException as error:
            results.put(error)

    start = time.monotonic()
    threading.Thread(target=call, daemon=True).start()
    try:
        error = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"it was not there after {time.monotonic() - start:.0f} seconds") from None
    finally:
        is_over.set()
    if error is not None:
        try:
            raise error
        finally:
            del error  # which would keep this frame, and the connection, until they are collected


class SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not to other protocols than HTTP, nor from HTTPS to HTTP."""

    def redirect_request(  # type: ignore[override]
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type, scheme) == ("https", "http"):
            fp.close()
            raise urllib.error.URLError(f"a redirection to {newurl} is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
