"""The JSON files of a run and of a preset, each with the types that it must have."""

import os
from typing import Annotated, Any, TypeVar

import pydantic
from annotated_types import Ge

from keras_gen.arguments import received
from keras_gen.files import printable, read_bytes

MOST_BYTES = 16 * 2**20  # far beyond what a record of ours has


class Record(pydantic.BaseModel):
    """Base of what a JSON file holds. What it does not name is kept, but not checked."""

    model_config = pydantic.ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class RunFacts(Record):
    """What `config.json` says about a run under `run`."""

    recipe: str
    own_networks: list[str] = []


class RunConfig(Record):
    """`config.json` of a run: options of training, of the data and of the model, and facts."""

    run: RunFacts


class PresetFile(Record):
    """What a card says about a file of its preset."""

    sha256: Annotated[str, pydantic.StringConstraints(pattern="^[0-9a-f]{64}$")]
    bytes: Annotated[int, Ge(0)]


class Card(Record):
    """`card.json` of a preset."""

    model: str
    files: dict[str, PresetFile]


class TrainingTime(Record):
    """`time.json` of a run."""

    training_seconds: Annotated[float, Ge(0)]


AnyRecord = TypeVar("AnyRecord", bound=Record)


def read_record(path: str | os.PathLike, kind: type[AnyRecord], remedy: str) -> AnyRecord:
    """A JSON file as a record.

    Args:
        path: The file.
        kind: What it must hold.
        remedy: What to do where it does not, as the last sentence of the error.

    Raises:
        ValueError: It is no JSON, or has other types than the record.
        OSError: It does not exist, or may not be read.
    """
    return parse_record(read_bytes(path, MOST_BYTES), kind, printable(path), remedy)


def parse_record(content: bytes, kind: type[AnyRecord], source: str, remedy: str) -> AnyRecord:
    """JSON from `source` as a record: see `read_record`."""
    try:
        return kind.model_validate_json(content)
    except pydantic.ValidationError as error:
        raise ValueError(f"{source}: {in_one_line(error)}. {remedy}") from None


def in_one_line(error: pydantic.ValidationError) -> str:
    """The first thing that is wrong."""
    first: Any = error.errors(include_url=False)[0]
    field = ".".join(map(str, first["loc"]))
    if first["type"] == "json_invalid":
        return f"expected JSON. Received: {first['ctx']['error']}"
    if first["type"] == "missing":
        return f"{field} is missing"
    expected = first["msg"].replace("Input should", "must", 1)
    return f"{field or 'the content'} {expected}. Received: {received(first['input'])}"
