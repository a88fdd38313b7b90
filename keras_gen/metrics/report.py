"""The results of an evaluation, each with everything it depends on."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from keras_gen.utils.arguments import Natural, NonNegative, checked, received

Better = Literal["lower", "higher", ""]


@dataclasses.dataclass(frozen=True)
class Result:
    """A number with everything it depends on.

    Args:
        name: The key, such as `fd`.
        label: Its name in tables, such as `FD-fashion_mnist`.
        value: The number, finite.
        better: `"lower"`, `"higher"`, or `""` if neither is better.
        split: The split of the data that the real images are from.
        num_real: Number of real images, or tokens.
        num_generated: Number of generated images, if any.
        floor: The same number for training images in place of generated ones.
        spread: Its standard deviation over subsets, for KID.
        extractor: Name of the feature extractor, if one was used.
        extractor_sha256: The extractor's hash.
        baselines: The same number for simpler models on the same data, by name.

    Raises:
        ValueError: A number is not finite, or an argument is of another type.
    """

    name: str
    label: str
    value: float
    better: Better
    split: str
    num_real: Natural
    num_generated: Natural | None = None
    floor: float | None = None
    spread: float | None = None
    extractor: str | None = None
    extractor_sha256: str | None = None
    baselines: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Report:
    """The report of an evaluation.

    Args:
        results: The results by name.
        data: Name of the data.
        seed: The seed of the generated images.
        seconds: How long it took.
        neighbours: Generated images above their nearest training images, uint8 (height, width, 3), or None.
        unit: `"images"` or `"tokens"`.
        options: What the images were generated with, by the names of the arguments of `generate`.

    Raises:
        ValueError: An argument is of another type, or there are no results.
    """

    results: dict[str, Result]
    data: str
    seed: Natural
    seconds: NonNegative
    neighbours: np.ndarray | None = dataclasses.field(default=None, repr=False)
    unit: str = "images"
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.results:
            raise ValueError("results must be one or more. Received: none")

    def __getitem__(self, name: str) -> float:
        if name not in self.results:
            known = ", ".join(self.results)
            raise KeyError(f"A result must be one of {known}. Received: {received(name)}")
        return self.results[name].value

    def to_dict(self) -> dict[str, Any]:
        """Everything except the picture, for JSON."""
        results = {name: dataclasses.asdict(result) for name, result in self.results.items()}
        return {
            "data": self.data,
            "seed": self.seed,
            "options": self.options,
            "seconds": round(self.seconds, 1),
            "results": results,
        }

    def table(self) -> str:
        """The results as a table of text."""
        results = self.results.values()
        others = list(dict.fromkeys(name for result in results for name in result.baselines))
        floors = ["real images"] if any(result.floor is not None for result in results) else []
        rows = [["metric", "value", *others, *floors, "better"]]
        for result in results:
            spread = "" if result.spread is None else f" ± {shown(result.spread)}"
            row = [result.label, shown(result.value) + spread]
            row += [shown(result.baselines[name]) if name in result.baselines else "" for name in others]
            row += ["" if result.floor is None else shown(result.floor) for _ in floors]
            rows.append([*row, result.better])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                [
                    label.ljust(widths[0]),
                    *[cell.rjust(width) for cell, width in zip(numbers, widths[1:-1], strict=True)],
                    better,
                ]
            ).rstrip()
            for label, *numbers, better in rows
        ]
        return "\n".join([*self._heading(), "", *lines])

    def _heading(self) -> Iterator[str]:
        settings = {"seed": self.seed, **self.options}
        shown_settings = ", ".join(f"{name} {value}" for name, value in settings.items())
        for result in self.results.values():
            if result.extractor is not None:
                yield (
                    f"{result.num_generated:,} generated images ({shown_settings}) against "
                    f"{result.num_real:,} {result.split} images of {self.data}"
                )
                yield f"extractor {result.extractor}, SHA-256 {result.extractor_sha256}"
                yield "real images: the score of as many training images in their place"
                yield "(for the nearest training image: the score of test images)"
                return
        yield f"{next(iter(self.results.values())).num_real:,} test {self.unit} of {self.data}"


for record in (Result, Report):
    record.__init__ = checked(record.__init__)  # type: ignore[method-assign]


def shown(value: float) -> str:
    """About four significant digits, never an exponent."""
    digits = 2 if abs(value) >= 100 else 3 if abs(value) >= 10 else 4
    return f"{value:,.{digits}f}"
