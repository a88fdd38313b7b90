"""Verbs: what a model does is written once, on tensors, and the rest is derived from that.

    @verb("images")
    def decode(self, z: Latents, labels: Labels = None) -> tf.Tensor:
        return self.to_pixels(self.decoder(join(z, labels), training=False))

- `model.decode.on_tensors(z, labels)` is this function, for graphs and for other verbs.
- `model.decode(z, labels)` takes and returns NumPy arrays. It checks its arguments, and runs the function
  as one compiled graph, some rows at a time, so that memory stays bounded.
- `model.decode.signature(model)` is what a SavedModel offers, with the checks in the graph.
- `model.decode.options` are the parameters that a command can offer as options.

A parameter's annotation says what it is. `Images`, `Masks`, `Labels`, `Latents`, `Texts` and `Keys` have
one row for each example. A number, such as `temperature: NonNegative = 1.0`, is an option: the function
gets a vector with one number for each row, so that a server can batch requests. `Static[Count]`, strings
and booleans are Python values: each value has its own graph, and a SavedModel keeps the default.

`Keys` stand for all randomness. Image i of `generate(n, seed=s)` has the key (s, i), so that it depends on
nothing else; a server is sent seeds, and the image of seed s is that of `generate(1, seed=s)`.

The docstring is that of the NumPy method. The function gets float32 images (n, height, width, channels),
one-hot labels (n, num_classes) or None, bool masks (n, height, width), float32 latent variables, strings,
and keys, int32 (n, 2).
"""

import contextlib
import functools
import inspect
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, TypeVar

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_gen.models.base import validation
from keras_gen.serving import assertions
from keras_gen.utils.arguments import Count, Seed, checked, describe_type, without_ranges

STATIC = "static"
NUMBERS: dict[Any, Any] = {int: np.int32, float: np.float32}
# Checks in graphs include the bounds: float32 may round a value just inside of one to the bound itself.
BOUNDS = {"ge": operator.ge, "gt": operator.ge, "le": operator.le, "lt": operator.le}
DIVERGED = (
    "The model computes NaN or infinity: its weights, or the statistics of batch normalization, are "
    "damaged or have diverged"
)
REMEDY = "Train it again with a tenth of the learning rate, or load an earlier checkpoint"


class Rows:
    """A kind of input that has one row for each example."""

    annotation: Any = ArrayLike  # of the NumPy method's parameter

    def check(self, model: Any, name: str, value: Any, count: int | None) -> np.ndarray | None:
        """What a user passed, as an array of `count` rows, or of any number where that is None."""
        raise NotImplementedError

    def to_tensor(self, model: Any, rows: tf.Tensor) -> tf.Tensor:
        """Checked rows -> what the verb's function gets."""
        return rows

    def spec(self, model: Any, name: str) -> tf.TensorSpec | None:
        """The input of a SavedModel; None if this model has none."""
        raise NotImplementedError

    def served(self, model: Any, name: str, rows: tf.Tensor) -> tf.Tensor:
        """What a SavedModel is sent -> what the verb's function gets, checked in the graph."""
        return rows


class ImageRows(Rows):
    """Pixels, uint8 or floating point in [0, 1]."""

    def check(self, model: Any, name: str, value: Any, count: int | None) -> np.ndarray:
        return validation.images(value, model.image_shape)

    def to_tensor(self, model: Any, rows: tf.Tensor) -> tf.Tensor:
        return model.to_images(rows)

    def spec(self, model: Any, name: str) -> tf.TensorSpec:
        return tf.TensorSpec((None, *model.image_shape), tf.float32, name)

    def served(self, model: Any, name: str, rows: tf.Tensor) -> tf.Tensor:
        return model.to_images(assertions.images(rows))


class LabelRows(Rows):
    """Class numbers, names or one-hot rows of a conditional model."""

    annotation = ArrayLike | None

    def __init__(self, or_random: bool = False):
        self.or_random = or_random  # whether they may be left out

    def check(self, model: Any, name: str, value: Any, count: int | None) -> np.ndarray | None:
        return None if self.or_random and value is None else model.checked_labels(value, count)

    def spec(self, model: Any, name: str) -> tf.TensorSpec | None:
        return tf.TensorSpec((None,), tf.int32, name) if model.conditional else None

    def served(self, model: Any, name: str, rows: tf.Tensor) -> tf.Tensor:
        return model.to_one_hot(assertions.labels(rows, model.num_classes))


class LatentRows(Rows):
    """Latent vectors, or noise of the shape of images."""

    def check(self, model: Any, name: str, value: Any, count: int | None) -> np.ndarray:
        return validation.latents(name, value, model.latent_shape)

    def spec(self, model: Any, name: str) -> tf.TensorSpec:
        return tf.TensorSpec((None, *model.latent_shape), tf.float32, name)

    def served(self, model: Any, name: str, rows: tf.Tensor) -> tf.Tensor:
        return assertions.finite(name, rows)


class NoisyImageRows(Rows):
    """Images with noise added, which may exceed [0, 1]."""

    def check(self, model: Any, name: str, value: Any, count: int | None) -> np.ndarray:
        return validation.noisy_images(value, model.image_shape)

    def spec(self, model: Any, name: str) -> tf.TensorSpec:
        return tf.TensorSpec((None, *model.image_shape), tf.float32, name)

    def served(self, model: Any, name: str, rows: tf.Tensor) -> tf.Tensor:
        return assertions.finite(name, rows)


class MaskRows(Rows):
    """Which pixels of each image; one mask serves for all images, too."""

    def check(self, model: Any, name: str, value: Any, count: int | None) -> np.ndarray:
        return validation.masks(name, value, model.image_shape, count)

    def spec(self, model: Any, name: str) -> tf.TensorSpec:
        return tf.TensorSpec((None, *model.image_shape[:2]), tf.bool, name)


class TextRows(Rows):
    """Strings: one, or several."""

    annotation = str | Sequence[str]

    def check(self, model: Any, name: str, value: Any, count: int | None) -> np.ndarray:
        return np.array(model.checked_texts(name, value), object)

    def spec(self, model: Any, name: str) -> tf.TensorSpec:
        return tf.TensorSpec((None,), tf.string, name)


class KeyRows(Rows):
    """(seed, example) of each example, which determine its noise."""

    def spec(self, model: Any, name: str) -> tf.TensorSpec:
        return tf.TensorSpec((None,), tf.int32, name)

    def served(self, model: Any, name: str, rows: tf.Tensor) -> tf.Tensor:
        seeds = assertions.asserted(f"{name} must be 0 or more", tf.reduce_all(rows >= 0), rows)
        return tf.stack([seeds, tf.zeros_like(seeds)], axis=1)


Value = TypeVar("Value")
Static = Annotated[Value, STATIC]
Images = Annotated[Any, ImageRows()]
NoisyImages = Annotated[Any, NoisyImageRows()]
Labels = Annotated[Any, LabelRows()]
LabelsOrRandom = Annotated[Any, LabelRows(or_random=True)]
Latents = Annotated[Any, LatentRows()]
Masks = Annotated[Any, MaskRows()]
Texts = Annotated[Any, TextRows()]
Keys = Annotated[Any, KeyRows()]


def keys_of(seed: int, count: int) -> np.ndarray:
    """The keys of `count` examples, int32 (count, 2)."""
    return np.stack([np.full(count, seed, np.int32), np.arange(count, dtype=np.int32)], axis=1)


def verb(output: str, finish: Callable | None = None) -> Callable[[Callable], Any]:
    """Makes a verb of a method on tensors.

    Args:
        output: The name of its output in a SavedModel. A method that returns a dictionary names its
            outputs itself, and the NumPy method returns the one that is called this.
        finish: Changes the NumPy method's result: `finish(result, arguments, **options)`, with the method's
            arguments by name. Its keyword-only parameters are options of the NumPy method, too.
    """
    return lambda function: Verb(function, output, finish)


class Verb:
    """A method of a model that is written on tensors: see the top of this file."""

    def __init__(self, function: Callable, output: str, finish: Callable | None = None):
        self.function, self.output, self.finish = function, output, finish
        self.name = function.__name__
        # typing.get_type_hints makes an Optional of `labels: Labels = None` in Python 3.10.
        hints = inspect.get_annotations(function, eval_str=True)
        parameters = list(inspect.signature(function).parameters.values())[1:]
        self.parameters = {p.name: p.replace(annotation=hints[p.name]) for p in parameters}
        kinds = {name: rows_of(p.annotation) for name, p in self.parameters.items()}
        self.keys = next((name for name, kind in kinds.items() if isinstance(kind, KeyRows)), None)
        self.rows = {name: kind for name, kind in kinds.items() if kind and name != self.keys}
        # Only labels, or nothing, say how many examples: then num_samples does.
        self.draws = all(isinstance(kind, LabelRows) for kind in self.rows.values())
        options = {name: p for name, p in self.parameters.items() if not kinds[name]}
        self.statics = {name: p for name, p in options.items() if number_of(p.annotation) is None}
        self.numbers = {name: p for name, p in options.items() if name not in self.statics}
        self.options = {**options, **keyword_only(finish)}
        self.method = self._numpy_method()

    def __set_name__(self, owner: type, name: str) -> None:
        inherited = [vars(base)[name] for base in owner.__mro__[1:] if name in vars(base)]
        if self.function.__doc__ is None and inherited:
            self.method.__doc__ = inherited[0].method.__doc__
        self.method.__qualname__ = f"{owner.__name__}.{name}"

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        if model is None:
            return self.method
        if self.name in model.missing_verbs:
            raise AttributeError(
                f"This {type(model).__name__} has no {self.name}: {model.missing_verbs[self.name]}"
            )

        @functools.wraps(self.method)
        def bound(*args: Any, **kwargs: Any) -> Any:
            return self.method(model, *args, **kwargs)

        signature = inspect.signature(self.method)
        bound.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=list(signature.parameters.values())[1:]
        )
        bound.on_tensors = functools.partial(self.function, model)  # type: ignore[attr-defined]
        bound.options = {  # type: ignore[attr-defined]
            name: option for name, option in self.options.items() if name not in model.unused_options
        }
        return bound

    # === The NumPy method ===

    def _numpy_method(self) -> Any:
        signature = inspect.Signature(self._numpy_parameters())

        def method(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs)
            given.arguments["self"].refuse_unused(given.arguments)
            given.apply_defaults()
            arguments = dict(given.arguments)
            return self._compute(arguments.pop("self"), arguments)

        method.__signature__ = signature  # type: ignore[attr-defined]
        method.__annotations__ = {
            p.name: p.annotation for p in signature.parameters.values() if p.name != "self"
        }
        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            setattr(method, name, getattr(self.function, name))
        found = checked(method)
        found.options = self.options  # type: ignore[attr-defined]
        found.signature = self.signature  # type: ignore[attr-defined]
        return found

    def _numpy_parameters(self) -> list[inspect.Parameter]:
        """Rows, then options, then the seed; what comes after `num_samples` is given by its name."""
        kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD
        found = [inspect.Parameter("self", kind)]
        if self.draws:
            count = inspect.Parameter("num_samples", kind, default=None, annotation=Count | None)
            found.append(count)
            kind = inspect.Parameter.KEYWORD_ONLY
        for name, parameter in self.parameters.items():
            if name != self.keys:
                rows = self.rows.get(name)
                annotation = parameter.annotation if rows is None else rows.annotation
                found.append(parameter.replace(kind=kind, annotation=annotation))
        if self.keys is not None:
            default = self.parameters[self.keys].default
            default = None if default is inspect.Parameter.empty else default
            annotation = Seed | None if default is None else Seed
            found.append(inspect.Parameter("seed", kind, default=default, annotation=annotation))
        return [*found, *keyword_only(self.finish).values()]

    def _compute(self, model: Any, arguments: dict[str, Any]) -> Any:
        rows, count = self._checked_rows(model, arguments)
        numbers = {name: arguments[name] for name in self.numbers}
        statics = {name: arguments[name] for name in self.statics}
        at_once = model.rows_per_call(self.name, rows, {**numbers, **statics})
        if self.keys is not None:
            seed = arguments["seed"]
            rows[self.keys] = keys_of(model.next_seed() if seed is None else seed, count)
        for name, value in numbers.items():
            rows[name] = np.full(count, value, NUMBERS[number_of(self.numbers[name].annotation)])
        result = self._in_chunks(model, rows, statics, at_once)
        if self.finish is not None:
            further = {name: arguments[name] for name in keyword_only(self.finish)}
            result = self.finish(result, arguments, **further)
        texts = [arguments[name] for name, kind in self.rows.items() if isinstance(kind, TextRows)]
        if not any(isinstance(text, str) for text in texts):
            return result
        return (result.tolist() if isinstance(result, np.ndarray) else result)[0]

    def _checked_rows(
        self, model: Any, arguments: dict[str, Any]
    ) -> tuple[dict[str, np.ndarray | None], int]:
        """What the user passed as rows, as arrays by name; and how many rows there are."""
        values, count = arguments, None
        if self.draws:
            count, labels = model.rows_to_draw(arguments["num_samples"], arguments.get("labels"))
            values = {**arguments, "labels": labels}
        rows: dict[str, np.ndarray | None] = {}
        for name, kind in self.rows.items():
            is_drawn = self.draws and values[name] is None  # as random labels are
            rows[name] = None if is_drawn else kind.check(model, name, values[name], count)
            count = len(rows[name]) if count is None else count  # type: ignore[arg-type]
        assert count is not None
        return rows, count

    def _in_chunks(
        self, model: Any, rows: dict[str, np.ndarray | None], statics: dict[str, Any], at_once: int
    ) -> np.ndarray:
        """The output for all rows, of which only `at_once` are on the device at a time."""
        present = {name: array for name, array in rows.items() if array is not None}
        compiled = self._compiled(model, present, statics)
        count = len(next(iter(present.values())))
        result: Any = None
        for start in range(0, count, at_once):
            chunk = slice(start, start + at_once)
            with explain_divergence():
                output = compiled(*[tf.convert_to_tensor(x[chunk]) for x in present.values()]).numpy()
            refuse_nan(output)
            result = np.empty((count, *output.shape[1:]), output.dtype) if result is None else result
            result[chunk] = output
        return result

    def _compiled(self, model: Any, rows: dict[str, np.ndarray], statics: dict[str, Any]) -> Callable:
        """The function's graph for any number of such rows, traced once."""
        specs = {
            name: tf.TensorSpec(
                (None, *array.shape[1:]), tf.string if array.dtype == object else array.dtype
            )
            for name, array in rows.items()
        }
        key = (self.function, *specs.items(), *statics.items())
        if key not in model.compiled_verbs:

            def compute(*tensors: tf.Tensor) -> tf.Tensor:
                given = dict(zip(rows, tensors, strict=True))
                given |= {
                    name: kind.to_tensor(model, given[name])
                    for name, kind in self.rows.items()
                    if name in given
                }
                outputs = self.function(model, **given, **statics)
                return outputs[self.output] if isinstance(outputs, dict) else outputs

            model.compiled_verbs[key] = tf.function(compute).get_concrete_function(*specs.values())
        return model.compiled_verbs[key]

    # === The signature of a SavedModel ===

    def signature(self, model: Any) -> tuple[Callable, dict[str, tf.TensorSpec]]:
        """The function of a SavedModel's signature, and its inputs by name, each (n, ...)."""
        specs = {name: kind.spec(model, name) for name, kind in self.rows.items()}
        if self.keys is not None and not isinstance(self.parameters[self.keys].default, int):
            specs["seeds"] = KeyRows().spec(model, "seeds")
        for name, parameter in self.numbers.items():
            if name in model.unused_options:
                continue
            specs[name] = tf.TensorSpec((None,), NUMBERS[number_of(parameter.annotation)], name)
        specs = {name: spec for name, spec in specs.items() if spec is not None}

        def serve(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
            sent = assertions.equally_many(dict(zip(specs, tensors, strict=True)))
            outputs = self.function(model, **self._served(model, sent))
            return outputs if isinstance(outputs, dict) else {self.output: outputs}

        positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
        serve.__name__ = self.name
        serve.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(name, positional) for name in specs]
        )
        return serve, specs

    def _served(self, model: Any, sent: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What a SavedModel is sent -> what the function gets."""
        found = {
            name: kind.served(model, name, sent[name]) for name, kind in self.rows.items() if name in sent
        }
        if "seeds" in sent:
            found[self.keys] = KeyRows().served(model, "seeds", sent["seeds"])  # type: ignore[index]
        elif self.keys is not None:
            seeds = tf.fill((tf.shape(next(iter(sent.values())))[0],), self.parameters[self.keys].default)
            found[self.keys] = KeyRows().served(model, "seeds", seeds)
        for name, parameter in self.numbers.items():
            if name in sent:
                found[name] = asserted_range(name, parameter.annotation, sent[name])
            else:
                count = tf.shape(next(iter(sent.values())))[0]
                found[name] = tf.fill(
                    (count,), tf.constant(parameter.default, NUMBERS[number_of(parameter.annotation)])
                )
        return found


@contextlib.contextmanager
def explain_divergence() -> Iterator[None]:
    """Raises a ValueError if a graph found that the model computes NaN or infinity."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if DIVERGED not in str(error):
            raise
        raise ValueError(f"{DIVERGED}. {REMEDY}. Received: NaN or infinity") from None


def refuse_nan(output: np.ndarray) -> None:
    """Raises a ValueError if a model computed NaN."""
    if output.dtype.kind == "f" and np.isnan(output).any():
        raise ValueError(f"{DIVERGED}. {REMEDY}. Received: NaN")


def rows_of(annotation: Any) -> Rows | None:
    """What an annotation says of rows."""
    found = [item for item in getattr(annotation, "__metadata__", ()) if isinstance(item, Rows)]
    return found[0] if found else None


def number_of(annotation: Any) -> type | None:
    """int or float, where a parameter is a number for each row."""
    plain = without_ranges(annotation)
    return plain if plain in NUMBERS and STATIC not in getattr(annotation, "__metadata__", ()) else None


def keyword_only(function: Callable | None) -> dict[str, inspect.Parameter]:
    """The parameters of a function that must be given by name."""
    if function is None:
        return {}
    hints = inspect.get_annotations(function, eval_str=True)
    return {
        p.name: p.replace(annotation=hints[p.name])
        for p in inspect.signature(function).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }


def asserted_range(name: str, annotation: Any, values: tf.Tensor) -> tf.Tensor:
    """Numbers (n,), in a graph with an error if one is out of its range."""
    inside = tf.ones_like(values, tf.bool)
    if values.dtype.is_floating:
        inside &= tf.math.is_finite(values)
    for constraint in getattr(annotation, "__metadata__", ()):
        for name_of_bound, is_within in BOUNDS.items():
            bound = getattr(constraint, name_of_bound, None)
            inside &= True if bound is None else is_within(values, bound)
    return assertions.asserted(f"{name} must be {describe_type(annotation)}", tf.reduce_all(inside), values)


def verbs_of(model_class: type) -> dict[str, Verb]:
    """A class's verbs by name, in the order of their names."""
    found = {name: inspect.getattr_static(model_class, name) for name in dir(model_class)}
    return {name: value for name, value in found.items() if isinstance(value, Verb)}
