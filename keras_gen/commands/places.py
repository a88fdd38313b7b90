"""Checks of paths on command lines, before anything is computed."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from keras_gen.commands.parsing import Option, Parser
from keras_gen.utils.suggestions import did_you_mean

SOURCE = "run directory, .keras file, or preset: its name, folder or URL"


def source_and_options(argv: Sequence[str], general: Parser) -> tuple[str | None, list[str]]:
    """SOURCE, which comes first, and the rest of a command line, whose options depend on the model.

    Where help is asked for in place of SOURCE, it prints that of `general`, and gives None for SOURCE.
    """
    if not argv:
        general.error("SOURCE must be given")
    if argv[0] in ("-h", "--help"):
        general.print_help()
        return None, []
    source, *options = argv
    if source.startswith("-"):
        general.error(f"SOURCE must come first, and options after it. Received: {source}")
    try:
        Option("str")(source)
    except argparse.ArgumentTypeError as error:
        general.error(f"SOURCE {error}")
    return source, options


def check_source(source: str) -> None:
    """Raises a ValueError if a SOURCE is nothing that can be loaded."""
    from keras_gen.serving.presets import list_presets
    from keras_gen.utils.files import is_file

    path = Path(source)
    if source.partition("://")[0] in ("http", "https") or path.is_dir() or is_file(path):
        return
    presets = list_presets()
    if source in presets:
        return
    found = "is not a regular file" if path.exists() else "does not exist"
    raise ValueError(
        f"{source} {found}: expected a run directory, a .keras file or a preset"
        f"{did_you_mean(source, presets) or '.'}"
    )


def check_place(what: str, path: Path) -> None:
    """Raises a ValueError if a file cannot be written."""
    if path.is_dir():
        raise ValueError(f"{what} must be a file. Received: {path}, which is a directory")
    check_folder(what, path.parent)


def check_folder(what: str, folder: Path) -> None:
    """Raises a ValueError if nothing can be written into a folder, which may not exist yet."""
    places = (folder.absolute(), *folder.absolute().parents)
    existing = next(place for place in places if place.exists())
    if not existing.is_dir():
        where = "must be a directory" if what == "DIR" else "must be in a directory"
        raise ValueError(f"{what} {where}. Received: {folder}, where {existing} is a file")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(
            f"{what} must be where you may write. Received: {folder}, where {existing} is read-only"
        )
