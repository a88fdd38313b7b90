"""Preset folders: those in the package, others by path, and others by URL, downloaded once."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from keras_gen.serving.presets.downloads import check_url, download_file
from keras_gen.utils.arguments import checked, received
from keras_gen.utils.files import atomic_write, open_file, printable, read_bytes, remove
from keras_gen.utils.records import Card, PresetFile, parse_record

ASSETS = Path(__file__).parent / "assets"
MOST_CARD_BYTES = 2**20
MOST_FILE_BYTES = 4 * 2**30
REMEDY = "A preset is a folder with model.keras and card.json, as model.save_preset makes it."


def list_presets() -> dict[str, dict[str, Any]]:
    """The cards of the presets in the package, by name.

    Example:

    >>> list_presets()["vae_fashion_mnist"]["model"]
    'VAE'
    """
    return {path.parent.name: read_card(path.parent) for path in sorted(ASSETS.glob("*/card.json"))}


@checked
def read_card(folder: str | os.PathLike) -> dict[str, Any]:
    """A preset's card.

    Raises:
        ValueError: The card is missing or damaged.
    """
    if "\0" in os.fspath(folder) or not os.fspath(folder):
        raise ValueError(f"folder must be a preset's folder. Received: {received(folder)}")
    return parse_card(card_of(Path(folder)), Path(folder) / "card.json").model_dump()


def card_of(folder: Path) -> bytes:
    """The content of a folder's card."""
    try:
        return read_bytes(folder / "card.json", MOST_CARD_BYTES)
    except OSError as error:
        raise ValueError(
            f"{printable(folder)} is not a preset: card.json cannot be read ({error.strerror}). {REMEDY}"
        ) from None


def parse_card(content: bytes, source: str | os.PathLike) -> Card:
    """The card in a file or download from `source`."""
    card = parse_record(content, Card, printable(source), REMEDY)
    for name, file in card.files.items():
        if file.bytes > MOST_FILE_BYTES:
            raise ValueError(
                f"{printable(source)}: {name} may have at most {MOST_FILE_BYTES:,} bytes. Received: "
                f"{file.bytes:,} bytes"
            )
    return card


@checked
def find_preset(source: str | os.PathLike) -> Path | None:
    """The folder of a preset, or None if `source` is not a preset.

    Args:
        source: The name of a preset in the package; the path of a preset's folder; or the URL of one,
            which is downloaded once, as `https://host/folder` or, to be sure of what comes,
            `https://host/folder#sha256=<SHA-256 of its card.json>`.

    Raises:
        ValueError: A file's checksum is not that of the card, or the card's not that of the URL.
        ConnectionError: The URL could not be read.
    """
    name = os.fspath(source)
    if not name or "\0" in name:
        raise ValueError(f"Expected the name, path or URL of a model. Received: {received(source)}")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name):
        return download(name)
    if name == Path(name).name and os.path.exists(ASSETS / name / "card.json"):
        return ASSETS / name
    folder = Path(name)
    if not os.path.lexists(folder / "card.json"):
        return None
    check_files(folder)
    return folder


def check_files(folder: Path) -> None:
    """Raises a ValueError if a file does not match the card."""
    for name, expected in parse_card(card_of(folder), folder / "card.json").files.items():
        path = folder / name
        if not os.path.exists(path):
            raise ValueError(
                f"{printable(folder)} is not complete: {name} is missing. Get the preset again."
            )
        check_file(path, expected, path)


def check_file(path: Path, expected: PresetFile, source: str | os.PathLike) -> None:
    """Raises a ValueError if the size or SHA-256 of a file does not match the card."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256()
        if size == expected.bytes:
            while part := file.read(2**20):
                digest.update(part)
    if (size, digest.hexdigest()) != (expected.bytes, expected.sha256):
        found = f"SHA-256 {digest.hexdigest()}" if size == expected.bytes else f"{size:,} bytes"
        raise ValueError(
            f"{printable(source)} is damaged or was changed: expected {expected.bytes:,} bytes of SHA-256 "
            f"{expected.sha256}, as card.json says. Received: {found}"
        )


# === From a URL ===


def download(url: str) -> Path:
    """The local folder of a preset at a URL; a damaged one is downloaded again."""
    base, _, fragment = url.partition("#")
    base = base.rstrip("/")
    check_url(base)
    expected = fragment.removeprefix("sha256=")
    if fragment and not re.fullmatch(r"sha256=[0-9a-f]{64}", fragment):
        raise ValueError(f"Expected #sha256= and 64 digits after the URL. Received: #{fragment}")
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    # A preset that changes on its host has another card, and so another hash, but the same URL.
    folder = home / "keras_gen" / "presets" / hashlib.sha256(url.encode(errors="replace")).hexdigest()[:16]
    try:
        if not is_whole(folder, expected):
            fetch(base, expected, folder)
    except ConnectionError:
        raise
    except OSError as error:
        raise ValueError(
            f"KERAS_HOME must be a directory that presets can be kept in. Received: {printable(home)} "
            f"({error.strerror})"
        ) from None
    return folder


def is_whole(folder: Path, card_hash: str) -> bool:
    """Whether a download is complete and undamaged."""
    try:
        check_files(folder)
    except ValueError:
        return False
    return card_hash in ("", hashlib.sha256(card_of(folder)).hexdigest())


def fetch(base: str, card_hash: str, folder: Path) -> None:
    """Downloads a preset."""
    try:
        with atomic_write(folder) as draft:
            draft.mkdir()
            download_file(f"{base}/card.json", draft / "card.json", MOST_CARD_BYTES)
            content = card_of(draft)
            received_hash = hashlib.sha256(content).hexdigest()
            if card_hash and received_hash != card_hash:
                raise ValueError(
                    f"{base} is not the preset that was asked for: expected a card.json of SHA-256 "
                    f"{card_hash}. Received: {received_hash}"
                )
            for name, file in parse_card(content, f"{base}/card.json").files.items():
                download_file(f"{base}/{name}", draft / name, file.bytes)
                check_file(draft / name, file, f"{base}/{name}")
            if not is_whole(folder, card_hash):
                remove(folder)
    except OSError:
        if not is_whole(folder, card_hash):  # as it is where another process has just made it
            raise
