"""Where text comes from: files, folders, recipes, Python's reference; in pieces, as often as asked."""

import codecs
import contextlib
import io
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from keras_gen.datasets.names import DATASETS
from keras_gen.tokenizers.tokenizer import each_encodable, encodable
from keras_gen.utils.arguments import received
from keras_gen.utils.files import open_file, printable
from keras_gen.utils.memory import refuse_beyond_memory

BLOCK = 1 << 20  # bytes of a file that are read at once
LONGEST = 4 * BLOCK  # characters without a line's end, after which text is cut all the same
BYTES_PER_JSON = 8  # of memory, for each in a file
BYTES_PER_STRING = 64  # beside its characters
# What files of other encodings begin with; UTF-32's is longer, and begins as UTF-16's does.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
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
    decoder_of(encoding)  # refuses one that is unknown, where there is no file to read, too
    if isinstance(source, str) and source == "python_docs":
        return source, in_memory(python_docs()), 0
    if not isinstance(source, (str, os.PathLike)):
        return "texts", in_memory(strings(source)), 0
    path = Path(source)
    expected = "a .txt or .json file, a folder of .txt files, or 'python_docs'"
    if not os.fspath(source):  # which would be the current folder
        raise ValueError(f"Expected {expected}. Received: {source!r}")
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        what = "which is a data set of images" if source in DATASETS else "which does not exist"
        raise ValueError(f"Expected {expected}. Received: {printable(path)}, {what}") from None
    except (OSError, ValueError) as error:  # the latter of names that no file can have
        raise unreadable(path, error) from None
    if is_folder:
        paths = text_files(path)
        if not paths:
            raise ValueError(
                f"Expected a folder of .txt files. Received: {printable(path)}, which holds none"
            )
        return printable(path), in_files(paths, encoding), 0
    if path.suffix == ".json":
        texts, left_out = recipes(path, encoding)
        return printable(path), in_memory(texts), left_out
    return printable(path), in_files([path], encoding), 0


def unreadable(path: str | os.PathLike, error: Exception) -> ValueError:
    """What to raise where the system refuses to read a file or a folder."""
    reason = getattr(error, "strerror", None) or error
    return ValueError(f"{received(printable(path))} must be readable. Received: {reason}")


def text_files(folder: Path) -> list[Path]:
    """The .txt files in a folder and in those in it, in order."""

    def refuse(error: OSError) -> None:
        raise unreadable(error.filename, error)

    files = (Path(parent, name) for parent, _, names in os.walk(folder, onerror=refuse) for name in names)
    return sorted(path for path in files if path.name.endswith(".txt"))


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
    """Texts as a list; of what might never end, only as many as fit into memory."""
    if hasattr(texts, "__len__"):
        return list(encodable("texts", texts))
    found: list[str] = []
    num_bytes = 0
    for text in each_encodable("texts", texts):
        found.append(text)
        num_bytes += len(text) + BYTES_PER_STRING
        if len(found) % 2**16 == 0:
            refuse_beyond_memory(num_bytes, f"{len(found):,} texts or more", "Pass files, or fewer texts.")
    return found


def decoder_of(encoding: str) -> io.IncrementalNewlineDecoder:
    """What decodes an encoding block by block, with line ends as `\\n`."""
    try:
        with contextlib.suppress(UnicodeError):  # of an encoding whose characters are longer
            b"a".decode(encoding)  # refuses what is not of text, such as base64
        return io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    except (LookupError, ValueError):  # the latter of a name with a NUL
        raise ValueError(
            f"encoding must be one that Python knows, such as 'utf-8'. Received: {received(encoding)}"
        ) from None


def read_text(path: Path, encoding: str) -> Iterator[str]:
    """A file's text in pieces of about a megabyte, cut where a line ends.

    Raises:
        ValueError: It is not a file, may not be read, or its bytes are not text of that encoding (the
            message says where); or the encoding is unknown.
    """
    decoder = decoder_of(encoding)
    waiting = ""
    position = 0  # of the block in the file
    try:
        file = open_file(path)
    except OSError as error:
        raise unreadable(path, error) from None
    with file:
        while True:
            try:
                block = file.read(BLOCK)
            except OSError as error:
                raise unreadable(path, error) from None
            if not position:
                marked = (name for mark, name in MARKS.items() if block.startswith(mark))
                remedy = f"Pass the file's own encoding, such as encoding={next(marked, 'latin-1')!r}."
            undecoded = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeError as error:
                place = position - undecoded + getattr(error, "start", 0)
                raise ValueError(
                    f"{printable(path)} must be {encoding} text. "
                    f"Received: {getattr(error, 'reason', error)} at byte {place:,}. {remedy}"
                ) from None
            if "\0" in text:
                raise ValueError(
                    f"{printable(path)} must be {encoding} text. Received: NUL characters. "
                    "Pass the file's own encoding, such as encoding='utf-16', or a file of text."
                )
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
    name, size = printable(path), path.stat().st_size
    refuse_beyond_memory(BYTES_PER_JSON * size, f"{name} of {size:,} bytes", "Pass a part of it.")
    content = "".join(read_text(path, encoding))
    try:
        found = json.loads(content)
    except RecursionError:
        raise ValueError(f"{name}: expected {shape}. Received: JSON that is nested too deeply") from None
    except ValueError as error:  # also of a number with thousands of digits
        raise ValueError(f"{name} is not JSON: expected {shape}. Received: {error}") from None
    if not isinstance(found, list) or not all(isinstance(recipe, dict) for recipe in found):
        raise ValueError(f"{name}: expected {shape}. Received: {received(found)}")
    texts = [text for text in map(recipe_text, found) if text]
    if not texts:
        keys = sorted({key for recipe in found for key in recipe})
        raise ValueError(f"{name}: expected {shape}. Received: {len(found)} objects with {received(keys)}")
    return list(encodable(f"{name}: texts", texts)), len(found) - len(texts)


def recipe_text(recipe: dict[str, Any]) -> str:
    """Title and directions, a line each; nothing if one of them is missing or is not text."""
    title, directions = recipe.get("title"), recipe.get("directions")
    if not isinstance(title, str) or not isinstance(directions, list) or not directions:
        return ""
    are_text = all(isinstance(line, str) for line in directions)
    return "\n".join([title.strip(), *directions]) if title.strip() and are_text else ""


# === The end of a text is held out ===


def split_running_text(name: str, text: Text, test_fraction: float) -> tuple[Text, Text]:
    """A text's beginning and its end, cut where a line begins."""
    total = sum(len(piece) for _, piece in text())
    if not total:
        raise ValueError(f"{name} is empty: expected text to learn from. Received: no characters")
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
