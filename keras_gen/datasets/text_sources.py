"""Where text comes from: files, folders, recipes, Python's reference; in pieces, as often as asked."""

import codecs
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

BLOCK = 1 << 20  # bytes of a file that are read at once
LONGEST = 4 * BLOCK  # characters without a line's end, after which text is cut all the same
# Where a block of text may be cut, so that no word and no run of spaces is cut in two.
LINE_END = re.compile(r"\n(?=\S)")

# What gives the text, piece by piece, each with the number of its document; as often as it is called.
Text = Callable[[], Iterator[tuple[int, str]]]


def find_text(source: Any, encoding: str) -> tuple[str, Text, int]:
    """The name of a source of text, the text, and how many incomplete documents were left out.

    Args:
        source: `"python_docs"`, a .txt or .json file, a folder of .txt files, or an iterable of strings.
        encoding: Of the files.

    Raises:
        ValueError: There is no such source, it is empty, or of another format or encoding.
    """
    if isinstance(source, str) and source == "python_docs":
        return source, in_memory(python_docs()), 0
    if not isinstance(source, (str, os.PathLike)):
        return "texts", in_memory(strings(source)), 0
    path = Path(source)
    if path.is_dir():
        paths = sorted(path.rglob("*.txt"))
        if not paths:
            raise ValueError(f"{path} holds no .txt file.")
        return str(path), in_files(paths, encoding), 0
    if not path.exists():
        raise ValueError(
            f"{path} does not exist: expected a .txt or .json file, a folder of .txt files, or "
            "'python_docs'."
        )
    if path.suffix == ".json":
        texts, left_out = recipes(path, encoding)
        return str(path), in_memory(texts), left_out
    return str(path), in_files([path], encoding), 0


def in_memory(texts: list[str]) -> Text:
    return lambda: enumerate(filter(None, texts))


def in_files(paths: list[Path], encoding: str) -> Text:
    return lambda: (
        (number, piece) for number, path in enumerate(paths) for piece in read_text(path, encoding)
    )


def python_docs() -> list[str]:
    """The language reference that `help()` shows, about half a megabyte."""
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics)]


def strings(texts: Iterable[Any]) -> list[str]:
    texts = list(texts)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"Texts must be strings. Received: {type(text).__name__} at position {number}")
    return texts


def read_text(path: Path, encoding: str) -> Iterator[str]:
    """A file's text in pieces of about a megabyte, cut where a line ends.

    Raises:
        ValueError: The bytes are not text of that encoding (the message says where), or it is unknown.
    """
    try:
        decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    except LookupError:
        raise ValueError(
            f"encoding must be one that Python knows, such as 'utf-8'. Received: {encoding!r}"
        ) from None
    waiting = ""
    position = 0  # of the block in the file
    with path.open("rb") as file:
        while True:
            block = file.read(BLOCK)
            undecoded = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{path} is not {encoding} at byte {position - undecoded + error.start:,} "
                    f"({error.reason}). Pass the file's own encoding, such as encoding='latin-1'."
                ) from None
            waiting += text if position else text.removeprefix("\ufeff")  # some editors' first character
            position += len(block)
            if not block:
                break
            cut = max((end.end() for end in LINE_END.finditer(waiting)), default=0)
            if not cut and len(waiting) > LONGEST:
                cut = len(waiting)
            if cut:
                yield waiting[:cut]
                waiting = waiting[cut:]
    if waiting:
        yield waiting


def recipes(path: Path, encoding: str) -> tuple[list[str], int]:
    """The recipes of a .json in Epicurious' format, and how many had no title or no directions."""
    shape = "a list of recipes, each with a title and a list of directions"
    try:
        found = json.loads("".join(read_text(path, encoding)))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: expected {shape}. Received: {error}") from None
    if not isinstance(found, list) or not all(isinstance(recipe, dict) for recipe in found):
        raise ValueError(f"{path}: expected {shape}. Received: {type(found).__name__}")
    texts = []
    for recipe in found:
        title, directions = recipe.get("title"), recipe.get("directions")
        if isinstance(title, str) and title.strip() and isinstance(directions, list) and directions:
            texts.append("\n".join([title.strip(), *map(str, directions)]))
    if not texts:
        keys = sorted({key for recipe in found for key in recipe})
        raise ValueError(f"{path}: expected {shape}. Received: {len(found)} objects with {keys}")
    return texts, len(found) - len(texts)


# === The end of a text is held out ===


def split_running_text(name: str, text: Text, test_fraction: float) -> tuple[Text, Text]:
    """A text's beginning and its end, cut where a line begins."""
    total = sum(len(piece) for _, piece in text())
    if not total:
        raise ValueError(f"{name} is empty.")
    cut = line_start(text, round(total * (1 - test_fraction)), total)
    return between(text, 0, cut), between(text, cut, total)


def line_start(text: Text, place: int, total: int) -> int:
    """Where the next line begins, from `place` on; `place` itself if that is nowhere before the end."""
    position = 0
    for _, piece in text():
        line_end = piece.find("\n", max(0, place - 1 - position))
        if line_end >= 0:
            start = position + line_end + 1
            return start if start < total else place
        position += len(piece)
    return place


def between(text: Text, start: int, stop: int) -> Text:
    """The characters of a text from `start` to before `stop`."""

    def pieces() -> Iterator[tuple[int, str]]:
        position = 0
        for number, piece in text():
            part = piece[max(0, start - position) : max(0, stop - position)]
            position += len(piece)
            if part:
                yield number, part

    return pieces


def split_documents(name: str, text: Text, test_fraction: float) -> tuple[Text, Text]:
    """The first documents, and the last ones, one or more of each."""
    numbers = list(dict.fromkeys(number for number, _ in text()))
    if len(numbers) < 2:
        raise ValueError(
            f"{name}: expected 2 documents or more, of which the last are held out. "
            f"Received: {len(numbers)}"
        )
    first = numbers[-max(1, round(len(numbers) * test_fraction))]

    def chosen(is_chosen: Callable[[int], bool]) -> Text:
        return lambda: ((number, piece) for number, piece in text() if is_chosen(number))

    return chosen(lambda number: number < first), chosen(lambda number: number >= first)
