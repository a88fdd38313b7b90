"""Schemas of the JSON files of runs and presets."""

import os
import re
from typing import Annotated, Any, Literal, TypeVar

import pydantic
import pydantic_core
from annotated_types import Ge, MaxLen, MinLen

from keras_gen.utils.arguments import received
from keras_gen.utils.files import printable, read_bytes

MOST_BYTES = 16 * 2**20  # far more than any record needs


class Record(pydantic.BaseModel):
    """Base of the schemas. Fields that it does not name are kept without a check."""

    model_config = pydantic.ConfigDict(
        strict=True, extra="allow", allow_inf_nan=False, protected_namespaces=()
    )


class RunFacts(Record):
    """The group `run` of `config.json`; `id` is missing in runs of older versions."""

    recipe: str
    model: str | None = None
    own_networks: list[str] = []
    id: str | None = None
    keras_gen: str | None = None
    num_train: int | None = None


CONFIG_GROUPS = ("train", "data", "model")


class RunConfig(Record):
    """`config.json` of a run: options of training, of the data and of the model, and facts."""

    run: RunFacts

    @property
    def is_flat(self) -> bool:
        """Whether an older version wrote it, without groups."""
        extra = self.model_extra or {}
        return not any(isinstance(extra.get(group), dict) for group in CONFIG_GROUPS)

    @property
    def options(self) -> dict[str, Any]:
        """All options by name."""
        return options_in(self.model_extra or {})


def options_in(config: dict[str, Any]) -> dict[str, Any]:
    """The options in a `config.json`, without its groups. Older files have no groups."""
    options = dict(config)
    for group in CONFIG_GROUPS:
        if isinstance(options.get(group), dict):
            options.update(options.pop(group))
    return options


class CheckpointNote(Record):
    """The note in a checkpoint, stored as the archive's comment.

    Args:
        run: The `id` of the run.
        epoch: The epoch it is in, from 0.
        step: Number of completed steps of that epoch.
        columns: The columns of `metrics.csv`; empty before the end of the first epoch.
        callbacks: The states of callbacks, by the names of their classes.
    """

    run: str | None
    epoch: int
    step: int
    columns: list[str]
    callbacks: dict[str, dict[str, Any]] = {}


class TrainingTime(Record):
    """`time.json` of a run."""

    training_seconds: Annotated[float, Ge(0)]


class MLflowFacts(Record):
    """`mlflow.json` of a run."""

    run_id: Annotated[str, pydantic.StringConstraints(pattern="^[0-9a-zA-Z_-]{1,64}$")]


class PresetFile(Record):
    """A file of a preset, as its card describes it."""

    sha256: Annotated[str, pydantic.StringConstraints(pattern="^[0-9a-f]{64}$")]
    bytes: Annotated[int, Ge(0)]


class Card(Record):
    """`card.json` of a preset."""

    model: str
    files: dict[Literal["model.keras", "samples.png", "samples.txt"], PresetFile]

    @pydantic.field_validator("files")
    @classmethod
    def has_a_model(cls, files: dict[str, PresetFile]) -> dict[str, PresetFile]:
        if "model.keras" not in files:
            raise pydantic_core.PydanticCustomError("no_model", "must name model.keras")
        return files


Address = Annotated[str, pydantic.StringConstraints(pattern=r"^\S+:[0-9]{1,5}$")]


class Task(Record):
    """The task of this process in a cluster."""

    type: Literal["chief", "worker"]
    index: Annotated[int, Ge(0)]

    @pydantic.field_validator("index", mode="before")
    @classmethod
    def as_number(cls, index: Any) -> Any:
        return int(index) if isinstance(index, str) and index.isdecimal() else index


class TFConfig(Record):
    """The environment variable TF_CONFIG."""

    cluster: dict[Literal["chief", "worker"], Annotated[list[Address], MinLen(1), MaxLen(100_000)]]
    task: Task


AnyRecord = TypeVar("AnyRecord", bound=Record)


def read_record(path: str | os.PathLike, kind: type[AnyRecord], remedy: str) -> AnyRecord:
    """Reads a JSON file and checks it against a schema.

    Args:
        path: The file.
        kind: The schema.
        remedy: What to do if the file is invalid, as the last sentence of the error.

    Raises:
        ValueError: It is not JSON, or its values have other types than the record's.
        OSError: It does not exist, or may not be read.
    """
    return parse_record(read_bytes(path, MOST_BYTES), kind, printable(path), remedy)


def parse_record(content: bytes, kind: type[AnyRecord], source: str, remedy: str) -> AnyRecord:
    """Checks JSON from `source` against a schema: see `read_record`."""
    try:
        return kind.model_validate_json(content)
    except pydantic.ValidationError as error:
        raise ValueError(f"{source}: {in_one_line(error)}. {remedy}") from None


def in_one_line(error: pydantic.ValidationError) -> str:
    """The first problem of an invalid record."""
    first: Any = error.errors(include_url=False)[0]
    *places, last = map(str, first["loc"] or ("the content",))
    field = f"a name in {'.'.join(places[:-1])}" if last == "[key]" else ".".join([*places, last])
    if first["type"] == "json_invalid":
        return f"expected JSON. Received: {first['ctx']['error']}"
    if first["type"] == "missing":
        return f"{field} is missing"
    expected = re.sub("^(Input|String) should", "must", first["msg"])
    return f"{field} {expected}. Received: {received(first['input'])}"
