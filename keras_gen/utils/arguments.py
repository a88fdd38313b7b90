"""Checks arguments against the annotations of a signature, ranges included."""

import dataclasses
import functools
import inspect
import operator
import reprlib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, Union

import annotated_types
import numpy as np
import pydantic
from annotated_types import Ge, Gt, Interval, MaxLen, MinLen
from numpy.typing import ArrayLike

from keras_gen.utils.suggestions import did_you_mean

LARGEST = 2**31 - 1  # of TensorFlow's int32, which sizes and seeds become

# Types with ranges, for signatures.
Count = Annotated[int, Interval(ge=1, le=LARGEST)]
Natural = Annotated[int, Interval(ge=0, le=LARGEST)]
Seed = Annotated[int, Interval(ge=0, le=LARGEST)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Fraction = Annotated[float, Interval(ge=0, lt=1)]
Probability = Annotated[float, Interval(ge=0, le=1)]
Share = Annotated[float, Interval(gt=0, le=1)]
ImageShape = Annotated[
    tuple[Count, Count, Count],
    annotated_types.doc("(height, width, channels), three integers, each 1 or more"),
]
Widths = Annotated[
    Sequence[Count], MinLen(1), MaxLen(64), annotated_types.doc("1 to 64 integers, each 1 or more")
]


def in_utf8(text: str) -> str:
    text.encode()
    return text


# Of what TensorFlow keeps by its name.
Name = Annotated[str, pydantic.AfterValidator(in_utf8), annotated_types.doc("a string that UTF-8 can hold")]

Function = TypeVar("Function", bound=Callable)


def checked(function: Function) -> Function:
    """Checks the arguments of a function or method against its annotations, at each call.

    NumPy numbers are converted to Python numbers. Strings, `True`, NaN and infinity are not numbers.
    Parameters without an annotation, or annotated as `Any` or `ArrayLike`, are not checked.
    `inspect.signature` shows the types without ranges.

    Raises:
        ValueError: At a call: an argument is not of its type, or is out of its range.
        TypeError: At a call: an argument is missing or unknown.

    Example:

    >>> @checked
    ... def draw(num_samples: Count, seed: Seed | None = None):
    ...     return num_samples
    >>> draw(np.int64(2))
    2
    >>> draw(2.5)
    Traceback (most recent call last):
    ValueError: num_samples must be an integer from 1 to 2**31 - 1. Received: 2.5
    """
    signature = inspect.signature(function)
    named = named_parameters(function)

    @functools.cache
    def checks() -> dict[str, Check]:  # at the first call, when all the types are there
        hints = typing.get_type_hints(function, include_extras=True)
        return {name: Check(hints[name]) for name in named if name in hints and is_checked(hints[name])}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise call_error(function, args, kwargs, error) from None
        for name, check in checks().items():
            if name in given.arguments:
                given.arguments[name] = check(name, given.arguments[name])
        return function(*given.args, **given.kwargs)

    plain = {name: without_ranges(hint) for name, hint in function.__annotations__.items()}
    call.__annotations__ = plain
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[
            parameter.replace(annotation=plain.get(name, parameter.annotation))
            for name, parameter in signature.parameters.items()
        ]
    )
    return typing.cast(Function, call)


def call_error(function: Callable, args: tuple, kwargs: dict[str, Any], error: TypeError) -> TypeError:
    """The error for a call with a missing or an unknown argument."""
    name, of_object = (
        function.__qualname__,
        1 if named_parameters(function)[:1] in (["self"], ["cls"]) else 0,
    )
    known = named_parameters(function)[of_object:]
    if named_parameters(function)[:1] == ["self"] and args:  # which may be of a subclass
        name = f"{type(args[0]).__name__}.{function.__name__}".removesuffix(".__init__")
        known = constructor_parameters(type(args[0])) if function.__name__ == "__init__" else known
    left = [name for name in known if name not in kwargs]
    hint = next((did_you_mean(given, left) for given in kwargs if given not in known), "")
    values = ", ".join(
        [*map(received, args[of_object:]), *(f"{k}={received(v)}" for k, v in kwargs.items())]
    )
    return TypeError(
        f"{name}: {error}{hint or '.'} Expected: {', '.join(known)}. Received: {values or 'nothing'}"
    )


def named_parameters(function: Callable) -> list[str]:
    """The names of a function's parameters, without `*args` and `**kwargs`."""
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind not in several]


def constructor_parameters(cls: type) -> list[str]:
    """The names of a constructor's parameters, including those of base classes that get its `**kwargs`."""
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base):
            names.update(dict.fromkeys(named_parameters(vars(base)["__init__"])[1:]))
            parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
                break
    return list(names)


def check(name: str, value: Any, hint: Any) -> Any:
    """Checks a value against a type, and converts it.

    Args:
        name: The name of the value in errors.
        value: Anything.
        hint: A type, such as `Count` or `Literal["a", "b"]`.

    Raises:
        ValueError: The value is not of that type.

    Example:

    >>> check("k", 0, Count)
    Traceback (most recent call last):
    ValueError: k must be an integer from 1 to 2**31 - 1. Received: 0
    """
    return Check(hint)(name, value)


class Check:
    """Checks values against a type, and converts them."""

    def __init__(self, hint: Any):
        self.expected = describe_type(hint)
        self.adapter = pydantic.TypeAdapter(strict_type(hint), config={"arbitrary_types_allowed": True})

    def __call__(self, name: str, value: Any) -> Any:
        try:
            return self.adapter.validate_python(value)
        except pydantic.ValidationError:
            raise ValueError(f"{name} must be {self.expected}. Received: {received(value)}") from None


# === What a type takes ===


def as_integer(value: Any) -> int:
    return number_of(value, "iu", operator.index)


def as_float(value: Any) -> float:
    number = number_of(value, "iuf", float)
    if not abs(number) <= float(np.finfo(np.float32).max):  # what layers and optimizers compute in
        raise ValueError("not finite")
    return number


def number_of(value: Any, kinds: str, convert: Callable) -> Any:
    """A Python number from a number, or from a zero-dimensional array of one of NumPy's kinds of type."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return convert(value)
        array = np.asarray(value)
        if array.shape == () and array.dtype.kind in kinds:
            return convert(array.item())
    except Exception:  # whatever the value's own methods raise
        raise ValueError("not a number") from None
    raise ValueError("not a number")


def as_bool(value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError("neither True nor False")
    return bool(value)


def as_string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not a string")
    return str(value)


def as_instance(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise ValueError("not an instance")
    return value


def as_one_of(choices: tuple[Any, ...], value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    for choice in choices:  # 0, and neither 0.0 nor False
        if isinstance(value, type(choice)) and not isinstance(value, bool) and value == choice:
            return choice
    if isinstance(value, bool) and any(value is choice for choice in choices):
        return value
    raise ValueError("none of the choices")


def as_iterable(value: Any) -> Any:
    if isinstance(value, (str, bytes, Mapping)):
        raise ValueError("one thing, or pairs of two")
    try:
        iter(value)
    except Exception:  # whatever the value's own method raises
        raise ValueError("not iterable") from None
    return value


def as_list(value: Any) -> Any:
    value = value.tolist() if isinstance(value, np.ndarray) else value
    value = value.as_list() if hasattr(value, "as_list") else value  # a tf.TensorShape
    if not isinstance(value, Sequence):  # as a set, which has no order, and an iterator, which ends
        raise ValueError("not a list")
    return value


LEAVES = {int: as_integer, float: as_float, bool: as_bool, str: as_string}


def is_checked(hint: Any) -> bool:
    """Whether a type is more specific than `ArrayLike` or `Any`."""
    parts = typing.get_args(hint)  # a list among them, of a function's arguments
    return hint is not Any and not all(part in parts for part in typing.get_args(ArrayLike))


def strict_type(hint: Any) -> Any:
    """A type for pydantic, which by itself would accept "3", 3.0 and True as integers."""
    if hint in LEAVES:
        return Annotated[hint, pydantic.PlainValidator(LEAVES[hint])]
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return Annotated[(strict_type(parts[0]), *hint.__metadata__)]  # type: ignore[return-value]
    if origin is Literal:
        return Annotated[Any, pydantic.PlainValidator(functools.partial(as_one_of, parts))]
    if origin in (Union, types.UnionType):
        return Union[tuple(map(strict_type, parts))]  # noqa: UP007 (of a tuple)
    if origin is Iterable:  # what is in it is only known when it is used up
        return Annotated[Any, pydantic.PlainValidator(as_iterable)]
    if origin in (tuple, list, dict, Sequence):
        of_parts = origin[tuple(part if part is Ellipsis else strict_type(part) for part in parts)]
        return of_parts if origin is dict else Annotated[of_parts, pydantic.BeforeValidator(as_list)]
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):  # pydantic would make one of a dict
        return Annotated[Any, pydantic.PlainValidator(functools.partial(as_instance, hint))]
    return hint


def without_ranges(hint: Any) -> Any:
    """A type without the metadata of `Annotated`."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return without_ranges(parts[0])
    if origin in (Union, types.UnionType):
        return functools.reduce(operator.or_, map(without_ranges, parts))
    if origin in (tuple, list, dict, Iterable, Sequence):
        return origin[tuple(map(without_ranges, parts))]
    return hint


# === In words ===

WORDS = {
    int: "an integer",
    float: "a finite number",
    bool: "True or False",
    str: "a string",
    type(None): "None",
}


def describe_type(hint: Any) -> str:
    """A description of the values of a type, for errors."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return describe_range(describe_type(parts[0]), hint.__metadata__)
    if origin in (Union, types.UnionType):
        return ", or ".join(dict.fromkeys(map(describe_type, parts)))
    if origin is Literal:
        return ", ".join(map(repr, parts)) if len(parts) == 1 else "one of " + ", ".join(map(repr, parts))
    if origin in (list, Sequence):
        return f"a list or tuple, each {describe_type(parts[0])}"
    if origin is Iterable:
        return f"an iterable, each {describe_type(parts[0])}"
    if origin is tuple:
        each = list(dict.fromkeys(describe_type(part) for part in parts if part is not Ellipsis))
        number = "a tuple" if Ellipsis in parts else f"a tuple of {len(parts)}"
        return f"{number}, each {each[0]}" if len(each) == 1 else f"a tuple ({', '.join(each)})"
    if origin is dict or hint is dict:
        return "a dictionary"
    if origin is Callable or hint is Callable:
        return "a function"
    if hint in WORDS:
        return WORDS[hint]
    name = getattr(origin or hint, "__name__", str(hint)).removesuffix("V2")  # of some of TensorFlow's
    if getattr(hint, "__module__", "").startswith("keras."):
        name = f"keras.{name}"
    return f"an {name}" if name[0] in "AEIOU" else f"a {name}"


BOUNDS = {"ge": "{} or more", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}


def describe_range(words: str, metadata: Sequence[Any]) -> str:
    """A description of a type, with the bounds of `Annotated`."""
    bounds: dict[str, Any] = {}
    for item in metadata:
        if isinstance(item, annotated_types.DocInfo):
            return item.documentation
        for name in BOUNDS:
            if getattr(item, name, None) is not None:
                bound = getattr(item, name)
                bounds[name] = "2**31 - 1" if bound == LARGEST else bound
    words = words if len(bounds) < 2 else words.replace("finite ", "")
    if bounds.keys() == {"ge", "le"}:
        return f"{words} from {bounds['ge']} to {bounds['le']}"
    if bounds.keys() == {"ge", "lt"}:
        return f"{words} from {bounds['ge']} to less than {bounds['lt']}"
    return ", ".join(
        [words, *(text.format(bounds[name]) for name, text in BOUNDS.items() if name in bounds)]
    )


MOST_CHARACTERS = 100
_short = reprlib.Repr()
_short.maxstring = _short.maxother = MOST_CHARACTERS


def received(value: Any) -> str:
    """A short description of any value, for errors.

    Example:

    >>> received(np.zeros((3, 4))), received("x"), received(np.float32(0.5))
    ('float64 of shape (3, 4)', "'x'", '0.5')
    """
    try:
        if isinstance(value, np.generic):
            value = value.item()
        shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
        if dtype is not None and shape is not None and not isinstance(value, type) and shape != ():
            return f"{getattr(dtype, 'name', dtype)} of shape {tuple(shape)}"
        text = " ".join(_short.repr(value).split())
        return text if len(text) <= 2 * MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."
    except Exception:
        return f"a {type(value).__name__}"
