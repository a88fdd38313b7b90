"""CelebA: faces with 40 attributes, from a local folder or from Kaggle.

The folder holds the images (in it or in `img_align_celeba`, as archives unpack) and `list_attr_celeba.csv`
or `.txt`; and where it has `list_eval_partition.csv` or `.txt`, its own split.
"""

import csv
import importlib.util
import os
from pathlib import Path

from keras_gen.datasets.image_dataset import ImageDataset
from keras_gen.datasets.image_folder import build_from_files, hold_out, images_in

KAGGLE_DATASET = "jessicali9530/celeba-dataset"
IMAGE_FOLDERS = ("", "img_align_celeba", "img_align_celeba/img_align_celeba")
ATTRIBUTES, PARTITION = "list_attr_celeba", "list_eval_partition"
TRAINING, TEST = 0, 2  # in the partition; 1 is for validation


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
) -> ImageDataset:
    """Builds the data set: see `load_dataset`."""
    folder = download() if data_dir is None else Path(data_dir)
    files = find_images(folder)
    labels = None if label is None else read_labels(folder, label, files)
    partition = find_table(folder, PARTITION)
    if partition is None:
        train_files, test_files = hold_out(files, test_fraction)
    else:
        parts = read_column(partition, "partition")
        train_files = [file for file in files if parts.get(file.name) == TRAINING]
        test_files = [file for file in files if parts.get(file.name) == TEST]
        if not train_files or not test_files:
            raise ValueError(
                f"{partition} names none of the images in {files[0].parent} for "
                f"{'testing' if train_files else 'training'} ({TEST if train_files else TRAINING})."
            )
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
        skip_broken=skip_broken,
    )


def find_images(folder: Path) -> list[Path]:
    """The images in the order of their names, wherever the archive put them."""
    for place in IMAGE_FOLDERS:
        if (folder / place).is_dir() and (found := images_in(folder / place)):
            return found
    raise ValueError(
        f"{folder} does not hold CelebA: expected .jpg images in it or in img_align_celeba, beside "
        f"{ATTRIBUTES}.csv."
    )


def find_table(folder: Path, name: str) -> Path | None:
    """The .csv (Kaggle's) or .txt (the authors') of that name."""
    return next((path for s in (".csv", ".txt") if (path := folder / f"{name}{s}").is_file()), None)


def read_labels(folder: Path, label: str, files: list[Path]) -> dict[Path, int]:
    """Whether each image has the attribute, by its file's name, whatever the order of the rows."""
    table = find_table(folder, ATTRIBUTES)
    if table is None:
        raise ValueError(f"{folder} has no {ATTRIBUTES}.csv (or .txt), where {label!r} would be.")
    values = read_column(table, label)
    missing = [file.name for file in files if file.name not in values]
    if missing:
        raise ValueError(f"{table} has no row for {len(missing)} of the images, for one {missing[0]}.")
    wrong = next((name for name, value in values.items() if value not in (-1, 0, 1)), None)
    if wrong is not None:
        raise ValueError(f"{table}: expected {label} to be 1 or -1. Received: {values[wrong]} for {wrong}")
    return {file: int(values[file.name] == 1) for file in files}


def read_column(table: Path, column: str) -> dict[str, int]:
    """File name -> the number in that column."""
    with open(table, newline="", encoding="utf-8") as file:
        if table.suffix == ".csv":
            rows = [row for row in csv.reader(file) if row]
        else:
            rows = [line.split() for line in file if line.strip()]
            if len(rows[0]) == 1:  # the number of images
                rows = rows[1:]
            # The authors' header does not name the column of files, and their partition has no header.
            has_header = len(rows) > 1 and len(rows[0]) < len(rows[1])
            rows.insert(0, ["image_id", *(rows.pop(0) if has_header else ["partition"])])
    header = rows[0] if rows else []
    if column not in header[1:]:
        raise ValueError(
            f"{table} has no column {column!r}: expected one of {', '.join(header[1:]) or 'some'}."
        )
    number = header.index(column)
    try:
        return {row[0]: int(row[number]) for row in rows[1:]}
    except (IndexError, ValueError):
        bad = next(r for r in rows[1:] if len(r) <= number or not r[number].lstrip("-").isdigit())
        raise ValueError(
            f"{table}: expected a whole number for {column}. Received the row: {bad}"
        ) from None


def download() -> Path:
    """Kaggle's copy, through its own package, into Keras' folder of data sets; once."""
    home = os.environ.get("KERAS_HOME", Path.home() / ".keras")
    folder = Path(home) / "datasets" / "celeba"
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
            f"celeba could not be downloaded from Kaggle ({type(error).__name__}: {error}). It needs your "
            f"credentials, from kaggle.com/settings, in ~/.kaggle/kaggle.json. {instead}"
        ) from error
    return folder
