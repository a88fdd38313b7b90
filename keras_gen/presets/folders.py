"""Preset folders: those in the package, others by path, and others by URL, downloaded once."""

import hashlib
import http.client
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from keras_gen.files import written_whole

ASSETS = Path(__file__).parent / "assets"
FILES = ("model.keras", "samples.png", "samples.txt")
TIMEOUT = 30.0  # seconds without a byte, until a download is given up


def list_presets() -> dict[str, dict[str, Any]]:
    """The cards of the presets in the package, by name.

    Example:

    >>> list_presets()["vae_fashion_mnist"]["model"]
    'VAE'
    """
    return {path.parent.name: read_card(path.parent) for path in sorted(ASSETS.glob("*/card.json"))}


def read_card(folder: str | os.PathLike) -> dict[str, Any]:
    """A preset's card.

    Raises:
        ValueError: The card is missing or damaged.
    """
    try:
        return parse_card((Path(folder) / "card.json").read_bytes(), folder)
    except OSError as error:
        raise not_a_preset(folder, error) from None


def parse_card(content: bytes, source: Any) -> dict[str, Any]:
    """The card that a file or a download from `source` holds, or a ValueError."""
    try:
        card = json.loads(content)
        card["files"]["model.keras"]["sha256"]
        return card
    except (ValueError, KeyError, TypeError) as error:
        raise not_a_preset(source, error) from None


def not_a_preset(source: Any, error: Exception) -> ValueError:
    return ValueError(
        f"{source} is not a preset: expected a folder with model.keras and card.json, as "
        f"model.save_preset makes it ({type(error).__name__}: {error})."
    )


def find_preset(source: str | os.PathLike) -> Path | None:
    """The folder of a preset, or None where `source` is nothing of the kind.

    Args:
        source: The name of a preset in the package; the path of a preset's folder; or the URL of one,
            which is downloaded once, as `https://host/folder` or, to be sure of what comes,
            `https://host/folder#sha256=<SHA-256 of its card.json>`.

    Raises:
        ValueError: A file's checksum is not that of the card, or the card's not that of the URL.
        ConnectionError: The URL could not be read.
    """
    name = os.fspath(source)
    if re.match(r"https?://", name):
        return download(name)
    if (ASSETS / name / "card.json").exists() and name == Path(name).name:
        return ASSETS / name
    folder = Path(name)
    if not (folder / "card.json").exists():
        return None
    check_files(folder)
    return folder


def check_files(folder: Path) -> None:
    """Raises a ValueError where a file is not the one that the card tells of."""
    for name, expected in read_card(folder)["files"].items():
        path = folder / name
        if not path.exists():
            raise ValueError(f"{folder} is not complete: {name} is missing.")
        check_hash(path.read_bytes(), expected["sha256"], path)


def check_hash(content: bytes, expected: str, source: Any) -> None:
    """Raises a ValueError where a file's SHA-256 is not the one that the card tells of."""
    received = hashlib.sha256(content).hexdigest()
    if received != expected:
        raise ValueError(
            f"{source} is damaged or was changed: expected SHA-256 {expected}, as card.json says. "
            f"Received: {received}"
        )


def download(url: str) -> Path:
    """The folder that a URL's preset is kept in, made whole or not at all."""
    base, _, fragment = url.partition("#")
    expected = fragment.removeprefix("sha256=")
    if fragment and not re.fullmatch(r"sha256=[0-9a-f]{64}", fragment):
        raise ValueError(f"Expected #sha256= and 64 digits after the URL. Received: #{fragment}")
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    # A preset that changes on its host has another card, and so another hash, but the same URL.
    folder = home / "keras_gen" / "presets" / hashlib.sha256(url.encode()).hexdigest()[:16]
    if not folder.exists():
        card = read_url(f"{base.rstrip('/')}/card.json")
        received = hashlib.sha256(card).hexdigest()
        if expected and received != expected:
            raise ValueError(
                f"{base} is not the preset that was asked for: expected a card.json of SHA-256 "
                f"{expected}. Received: {received}"
            )
        files = parse_card(card, base)["files"]
        with written_whole(folder) as draft:
            draft.mkdir()
            (draft / "card.json").write_bytes(card)
            for name in [name for name in FILES if name in files]:
                content = read_url(f"{base.rstrip('/')}/{name}")
                check_hash(content, files[name]["sha256"], f"{base.rstrip('/')}/{name}")
                (draft / name).write_bytes(content)
    check_files(folder)
    return folder


def read_url(url: str) -> bytes:
    """What a URL gives, all of it.

    Raises:
        ConnectionError: It cannot be read.
    """
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            return response.read()
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise ConnectionError(
            f"{url} could not be downloaded ({type(error).__name__}: {error}). A preset's URL is that of "
            "its folder, which holds card.json and model.keras."
        ) from error
