"""CelebA: faces with 40 attributes, from a local folder or from Kaggle.

The folder holds the images (in it or in `img_align_celeba`, as archives unpack) and `list_attr_celeba.csv`
or `.txt`; and where it has `list_eval_partition.csv` or `.txt`, its own split.
"""

import csv
import importlib.util
import os
from pathlib import Path

from keras_gen.datasets.images.formats import in_one_line
from keras_gen.datasets.images.image_dataset import ImageDataset, refuse_test_fraction
from keras_gen.datasets.images.image_folder import build_from_files, hold_out, images_in
from keras_gen.datasets.names import keras_home
from keras_gen.utils.arguments import received
from keras_gen.utils.files import printable, read_text

KAGGLE_DATASET = "jessicali9530/celeba-dataset"
IMAGE_FOLDERS = ("", "img_align_celeba", "img_align_celeba/img_align_celeba")
ATTRIBUTES, PARTITION = "list_attr_celeba", "list_eval_partition"
TRAINING, TEST = 0, 2  # in the partition; 1 is for validation
PARTS = {"0": TRAINING, "1": 1, "2": TEST}
HAS_IT = {"1": 1, "-1": 0, "0": 0}
MOST_BYTES = 2**30  # 40 times the table of attributes


def load_celeba(
    data_dir: str | os.PathLike | None,
    *,
    label: str | None,
    batch_size: int,
    seed: int,
    image_size: tuple[int, int] | None,
    channels: int | None,
    test_fraction: float,
    skip_broken: bool,
    background: str,
) -> ImageDataset:
    """Builds the data set: see `load_dataset`."""
    folder = download() if data_dir is None else Path(data_dir)
    files = find_images(folder)
    labels = None if label is None else read_labels(folder, label, files)
    partition = find_table(folder, PARTITION)
    if partition is None:
        train_files, test_files = hold_out(files, test_fraction)
    else:
        refuse_test_fraction(printable(folder), test_fraction)
        parts = read_column(partition, "partition", PARTS)
        train_files = [file for file in files if parts.get(file.name) == TRAINING]
        test_files = [file for file in files if parts.get(file.name) == TEST]
        if not train_files or not test_files:
            part = f"testing ({TEST})" if train_files else f"training ({TRAINING})"
            place = printable(files[0].parent)
            raise ValueError(f"{printable(partition)} names none of the images in {place} for {part}.")
    return build_from_files(
        "celeba",
        folder,
        train_files,
        test_files,
        labels,
        None if label is None else (f"no {label}", label),
        batch_size=batch_size,
        seed=seed,
        image_size=image_size,
        channels=channels,
        test_fraction=test_fraction if partition is None else None,
        skip_broken=skip_broken,
        background=background,
    )


def find_images(folder: Path) -> list[Path]:
    """The images in the order of their names, wherever the archive put them."""
    for place in IMAGE_FOLDERS:
        if os.path.isdir(folder / place) and (found := images_in(folder / place)):
            return found
    raise ValueError(
        f"{printable(folder)} does not hold CelebA: expected .jpg images in it or in img_align_celeba, "
        f"beside {ATTRIBUTES}.csv."
    )


def find_table(folder: Path, name: str) -> Path | None:
    """The .csv (Kaggle's) or .txt (the authors') of that name."""
    return next((path for s in (".csv", ".txt") if os.path.exists(path := folder / f"{name}{s}")), None)


def read_labels(folder: Path, label: str, files: list[Path]) -> dict[Path, int]:
    """Whether each image has the attribute, by its file's name, whatever the order of the rows."""
    table = find_table(folder, ATTRIBUTES)
    if table is None:
        raise ValueError(
            f"{printable(folder)} has no {ATTRIBUTES}.csv (or .txt), where {received(label)} would be."
        )
    values = read_column(table, label, HAS_IT)
    missing = [file.name for file in files if file.name not in values]
    if missing:
        raise ValueError(
            f"{printable(table)} has no row for {len(missing)} of the images, for one "
            f"{printable(missing[0])}."
        )
    return {file: values[file.name] for file in files}


def read_column(table: Path, column: str, meanings: dict[str, int]) -> dict[str, int]:
    """File name -> what the value in that column means."""
    header, rows = read_table(table)
    names = [name.strip() for name in header[1:]]
    if column not in names:
        known = f"one of {printable(', '.join(names)[:1000])}" if names else "a table with a row of names"
        raise ValueError(f"{printable(table)} has no column {received(column)}: expected {known}.")
    if names.count(column) > 1:
        raise ValueError(f"{printable(table)} has several columns {received(column)}: expected one.")
    number = 1 + names.index(column)
    found: dict[str, int] = {}
    for row in rows:
        value = row[number].strip() if len(row) > number else ""
        if value not in meanings:
            raise ValueError(
                f"{printable(table)}: expected {column} to be one of {', '.join(meanings)}. "
                f"Received: {received(value)} for {received(row[0])}"
            )
        if found.setdefault(row[0], meanings[value]) != meanings[value]:
            raise ValueError(f"{printable(table)} has two rows that differ. Received: {received(row[0])}")
    return found


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a table, the first column of which has the names of files."""
    try:
        text = read_text(path, MOST_BYTES).removeprefix("\ufeff")  # which spreadsheets begin with
    except OSError as error:
        raise ValueError(
            f"{printable(path)} must be a file that can be read. Received: {error.strerror}"
        ) from None
    if path.suffix == ".csv":
        lines = text.splitlines()
        separator = ";" if lines and ";" in lines[0] and "," not in lines[0] else ","
        try:
            rows = [row for row in csv.reader(lines, delimiter=separator) if row]
        except csv.Error as error:
            raise ValueError(f"{printable(path)} is not a table of values: {error}.") from None
    else:
        rows = [line.split() for line in text.splitlines() if line.strip()]
        if rows and len(rows[0]) == 1:  # the number of images
            rows = rows[1:]
        # The authors' header does not name the column of files, and their partition has no header.
        has_header = len(rows) > 1 and len(rows[0]) < len(rows[1])
        if rows:
            rows.insert(0, ["image_id", *(rows.pop(0) if has_header else ["partition"])])
    return (rows[0], rows[1:]) if rows else ([], [])


def download() -> Path:
    """Kaggle's copy, through its own package, into Keras' folder of data sets; once."""
    folder = keras_home() / "datasets" / "celeba"
    if find_table(folder, ATTRIBUTES) is not None:
        return folder
    instead = "Or put the images and list_attr_celeba.csv into a folder, and pass data_dir=."
    if importlib.util.find_spec("kaggle") is None:
        raise ImportError(
            "celeba comes from Kaggle, which needs the package kaggle, which is not installed. "
            f'Install it with: pip install "keras_gen[kaggle]". {instead}'
        )
    try:
        from kaggle.api.kaggle_api_extended import KaggleApi

        api = KaggleApi()
        api.authenticate()
        api.dataset_download_files(KAGGLE_DATASET, path=str(folder), quiet=False, unzip=True)
    except (Exception, SystemExit) as error:  # without credentials, the package ends the process
        raise ConnectionError(
            f"celeba could not be downloaded from Kaggle ({type(error).__name__}: "
            f"{in_one_line(error)}). It needs your credentials, from kaggle.com/settings, in "
            f"~/.kaggle/kaggle.json. {instead}"
        ) from error
    return folder
