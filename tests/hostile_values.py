"""What hostile and clumsy callers pass: for each kind of argument, values that it does not expect.

A value is written as a Python expression, so that a report can be pasted into an interpreter:

    from hostile_values import *
    from public_calls import build, sample
    sample("vae").generate(seed=2**31)

A `Kind` has the expressions that always count (`extremes`), a strategy of hypothesis that draws others, and
`fits`: whether a value is what the signature and the docstring ask for. What does not fit must be refused.
What fits may still be refused (2**70 is an integer, but not a batch size), or must give a right result.
"""

import dataclasses
import datetime  # noqa: F401 (for expressions)
import decimal  # noqa: F401 (for expressions)
import fractions  # noqa: F401 (for expressions)
import io  # noqa: F401 (for expressions)
import math
import numbers
import os
import pathlib  # noqa: F401 (for expressions)
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from hypothesis import strategies as st

import keras_gen as kg

# === What the models of these tests learn from ===

N, SHAPE, NUM_CLASSES = 4, (8, 8, 1), 10
images = np.random.default_rng(0).integers(0, 256, (N, *SHAPE), dtype=np.uint8)
labels = np.array([0, 1, 2, 9])
class_names = list("abcdefghij")
SENTENCE = "The quick brown fox jumps over the lazy dog, and nobody minds.\n"
tokenizer = kg.tokenizers.CharacterTokenizer.adapted([SENTENCE])
rows = tokenizer.encode([SENTENCE * 2] * N).to_tensor().numpy()[:, :25]
tokens, next_tokens = rows[:, :-1], rows[:, 1:]
features = np.random.default_rng(1).normal(size=(32, 3))
probabilities = np.full((N, NUM_CLASSES), 0.1)

nan, inf = math.nan, math.inf
nanj, infj = complex(0, nan), complex(0, inf)  # as Python writes them


class Raises:
    """Looks like an array, a number and a sequence, until one looks closer."""

    shape, dtype, ndim = (N, *SHAPE), np.dtype("float32"), 4

    def _raise(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("no such thing")

    __array__ = __index__ = __float__ = __len__ = __iter__ = __repr__ = __bool__ = __fspath__ = _raise


class EmptyPyDataset(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 0

    def __getitem__(self, index: int) -> Any:
        raise IndexError(index)


class Batches(keras.utils.PyDataset):
    """A `PyDataset` of some batches."""

    def __init__(self, batches: Sequence[Any]):
        super().__init__()
        self.batches = list(batches)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Any:
        return self.batches[index]


def last(array: Any, value: Any) -> np.ndarray:
    """A copy whose last number is `value`."""
    array = np.array(array)
    array.flat[-1] = value
    return array


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def dataset(batches: Sequence[Any]) -> tf.data.Dataset:
    """A `tf.data.Dataset` of batches that may be of several sizes."""
    spec = tf.nest.map_structure(
        lambda part: tf.TensorSpec((None, *np.shape(part)[1:]), np.asarray(part).dtype), batches[0]
    )
    return tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec)


def third(x: Any, y: Any, bad_x: Any = None, bad_y: Any = None) -> list[Any]:
    """Four batches, of which the third has something bad in it."""
    bad = (x if bad_x is None else bad_x, y if bad_y is None else bad_y)
    return [(x, y), (x, y), bad, (x, y)]


def failing(*parts: Any) -> Any:
    """A generator with a mistake of the user's own."""
    yield parts
    raise ZeroDivisionError("a mistake of the caller's own")


def network(inputs: tuple[int, ...], outputs: int) -> keras.Model:
    """Somebody's own network, whose shapes fit no model."""
    return keras.Sequential([keras.Input(inputs), keras.layers.Flatten(), keras.layers.Dense(outputs)])


NAMESPACE = {**globals()}


def value_of(expression: str, **names: Any) -> Any:
    """A new value each time, since generators are used up and arrays may be changed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, of casts
        return eval(expression, {**NAMESPACE, **names})


# === Kinds of arguments ===

Fits = Callable[[Any, Any], bool]  # a value, and the model (or None) whose method gets it


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of argument: see the module's docstring."""

    name: str
    fits: Fits
    extremes: tuple[str, ...] = ()
    drawn: Any = None

    def optional(self) -> "Kind":
        """The same, where None is allowed, too. Of labels, it is the model that says whether it is."""
        if self.name.startswith("labels"):
            return self
        return dataclasses.replace(self, fits=lambda value, model: value is None or self.fits(value, model))

    def union(self, other: "Kind") -> "Kind":
        """What is of this kind, or of the other."""
        if self.name == other.name:
            return self
        return Kind(
            f"{self.name} or {other.name}",
            lambda value, model: self.fits(value, model) or other.fits(value, model),
            (*self.extremes, *other.extremes),
            self.drawn | other.drawn,
        )

    def expressions(self) -> tuple[str, ...]:
        if self.name == "option":  # which is text, as a shell hands it over
            return self.extremes
        return tuple(dict.fromkeys((*ANYTHING, *self.extremes)))


# Wrong for nearly every argument.
ANYTHING = (
    "None",
    "''",
    "'3'",
    "b''",
    "b'3'",
    "1.5",
    "3",
    "True",
    "[]",
    "()",
    "{}",
    "set()",
    "{1: 2}",
    "['a', 1]",
    "[[]]",
    "object()",
    "lambda: 1",
    "3j",
    "datetime.date(2026, 1, 1)",
    "decimal.Decimal('1.5')",
    "fractions.Fraction(1, 2)",
    "int",
    "math",
    "...",
    "NotImplemented",
    "range(3)",
    "slice(3)",
    "iter([1])",
    "(i for i in [1])",
    "memoryview(b'ab')",
    "bytearray(b'ab')",
    "types.SimpleNamespace()",
    "io.StringIO('a')",
    "ValueError('a')",
    "Raises()",
    "np.array([1, 2])",
    "np.zeros(0)",
    "np.array(None)",
    "np.array('a')",
    "np.datetime64('2026')",
    "np.float32",
    "tf.constant(1.5)",
    "tf.constant([1, 2])",
    "tf.constant('a')",
    "tf.Variable([1.0])",
    "tf.ragged.constant([[1], [1, 2]])",
    "tf.sparse.from_dense([[1.0]])",
    "tf.data.Dataset.range(3)",
    "tf.TensorSpec((2,))",
    "keras.Input((2,))",
    "keras.layers.Dense(1)",
    "keras.Sequential()",
    "keras.optimizers.Adam",
    "keras.optimizers.Adam()",
    "keras.metrics.Mean()",
    "keras.callbacks.History()",
    "kg.VAE",
    "kg.load_dataset",
)
NUMBERS = (
    "0",
    "-1",
    "1",
    "2**31 - 1",
    "2**31",
    "2**32",
    "2**63",
    "2**70",
    "-2**63",
    "10**400",
    "-10**400",
    "10**5000",
    "nan",
    "inf",
    "-inf",
    "0.5",
    "-0.0",
    "1e-45",
    "5e-324",
    "1e38",
    "1e308",
    "-1e308",
    "2.0",
    "np.nan",
    "np.float32('inf')",
    "np.float16(70000)",
    "np.int64(-1)",
    "np.int8(-128)",
    "np.uint64(2**64 - 1)",
    "np.bool_(True)",
    "np.array(1.5)",
    "np.array([[3]])",
    "'nan'",
    "'1e3'",
)
TEXTS = (
    "'\\0'",
    "'a\\0b'",
    "'\\ud800'",
    "'a' * 100_000",
    "'\\N{GRINNING FACE}'",
    "'../x'",
    "'/dev/null'",
    "' '",
    "'\\n'",
    "'a\\nb'",
    "'%s %d {} {0}'",
    "'None'",
    "'-'",
    "np.str_('a')",
)
PATHS = (
    "'.'",
    "'..'",
    "'../x'",
    "'afile'",
    "'afile/x'",
    "'/dev/null'",
    "'/dev/zero'",
    "'/proc/self/nothing'",
    "'x' * 300",
    "'x/' * 3000",
    "'~'",
    "'nowhere.keras'",
    "'nowhere.npz'",
    "pathlib.Path('')",
    "pathlib.Path('nowhere')",
    "'file:///nowhere'",
    "'\\0'",
    "'a\\0b'",
    "'\\ud800'",
    "' '",
    "'\\n'",
)


# Which `bad_input.py` puts into the working folder.
FILES = (
    "'pipe'",
    "'pipe.npz'",
    "'pipe.keras'",
    "'pipe.txt'",
    "'empty'",
    "'empty.npz'",
    "'empty.keras'",
    "'empty.txt'",
    "'torn.keras'",
    "'latin.txt'",
    "'strings.npz'",
    "'scalar.npz'",
    "'short.npz'",
    "'nan.npz'",
    "'claims.npz'",
    "'run'",
    "'pictures'",
    "'model.keras'",
    "'text.txt'",
)


def is_integer(value: Any, model: Any = None) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_))


def is_number(value: Any, model: Any = None) -> bool:
    """A finite one, of Python's or NumPy's; an integer or fraction that no float holds is none."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_text(value: Any, model: Any = None) -> bool:
    return isinstance(value, str)


def is_path(value: Any, model: Any = None) -> bool:
    return isinstance(value, (str, os.PathLike)) and not isinstance(value, Raises) and str(value) != ""


def is_flag(value: Any, model: Any = None) -> bool:
    return isinstance(value, (bool, np.bool_)) or (is_integer(value) and value in (0, 1))


def sequence_of(fits: Fits) -> Fits:
    """Lists, tuples, ranges and arrays; neither strings, nor sets and mappings, which have no order."""

    def is_sequence(value: Any, model: Any = None) -> bool:
        if isinstance(value, np.ndarray):
            value = value.tolist() if value.ndim == 1 else 0
        if isinstance(value, (str, bytes)) or not isinstance(value, (list, tuple, range)):
            return False
        return all(fits(each, model) for each in value)

    return is_sequence


def as_array(value: Any) -> np.ndarray | None:
    """What NumPy makes of a value that is an array, or a list of numbers; None where that is nothing."""
    if isinstance(value, (Raises, np.ma.MaskedArray, str, bytes, bytearray, memoryview, set, Mapping)):
        return None
    try:
        return np.asarray(value)
    except Exception:
        return None


def are_images(value: Any, model: Any = None) -> bool:
    array = as_array(value)
    if array is None or not array.size or array.shape[1:] not in (SHAPE, SHAPE[:2]):
        return False
    if array.dtype == np.uint8:
        return True
    is_real = np.issubdtype(array.dtype, np.floating)
    return bool(is_real and np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1)


def are_labels(value: Any, model: Any = None, num_classes: int = NUM_CLASSES) -> bool:
    """Numbers or names of classes, or one-hot rows; booleans and whole floating-point numbers may pass."""
    array = as_array(value)
    if array is None or not array.size or array.ndim > 2:
        return False
    if array.dtype.kind in "US":
        names = getattr(model, "class_names", None) or ()
        return set(array.ravel().tolist()) <= set(names)
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all() or (array != np.floor(array)).any():
        return False
    if array.ndim == 2 and array.shape[1] == num_classes:
        return bool((array.min() >= 0) and (array.sum(axis=1) == 1).all())
    return bool(array.min() >= 0 and array.max() < num_classes and (array.ndim < 2 or array.shape[1] == 1))


def are_labels_of_images(value: Any, model: Any) -> bool:
    """One for each image where the model is conditional; else none."""
    if model is None or not getattr(model, "conditional", False):
        return value is None
    return are_labels(value, model) and np.shape(value)[:1] == (N,)


def are_labels_to_generate(value: Any, model: Any) -> bool:
    if value is None or not model.conditional:
        return value is None
    return are_labels(value, model)


def are_latents(value: Any, model: Any) -> bool:
    array = as_array(value)
    if array is None or not array.ndim or not len(array) or array.shape[1:] != model.latent_shape:
        return False
    if array.dtype.kind not in "iuf":
        return False
    with np.errstate(over="ignore"):
        return bool(np.isfinite(array.astype(np.float32)).all())


def are_flags(value: Any, shape: tuple[int, ...]) -> bool:
    array = as_array(value)
    return array is not None and array.dtype == bool and array.shape == shape


def is_mask(value: Any, model: Any = None) -> bool:
    """0 and 1 for each pixel, of one mask or of N."""
    array = as_array(value)
    if array is None or array.dtype.kind not in "biuf" or array.shape not in (SHAPE[:2], (N, *SHAPE[:2])):
        return False
    return bool(np.isin(array, (0, 1)).all())


def are_token_rows(value: Any, model: Any = None) -> bool:
    array = as_array(value)
    if array is None or array.ndim != 2 or not array.size or array.dtype.kind not in "iu":
        return False
    return bool(array.min() >= 0 and array.max() < tokenizer.vocabulary_size)


def are_texts(value: Any, model: Any = None) -> bool:
    """A string, or one or more in a list, a tuple or an array, which Unicode can encode."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return all(isinstance(text, str) and not any("\ud800" <= c <= "\udfff" for c in text) for text in value)


def is_one_text(value: Any, model: Any = None) -> bool:
    return isinstance(value, str) and are_texts(value)


def numbers_of_shape(
    *shape: int | None, least: float = -inf, most: float = inf, optional_rows: bool = False
) -> Fits:
    """Arrays of finite numbers; None in the shape for 1 or more."""

    def fits(value: Any, model: Any = None) -> bool:
        array = as_array(value)
        if array is None or array.dtype.kind not in "iuf" or array.ndim != len(shape) or not array.size:
            return False
        if any(wanted not in (None, size) for wanted, size in zip(shape, array.shape, strict=True)):
            return False
        return bool(np.isfinite(array).all() and array.min() >= least and array.max() <= most)

    return fits


def are_probabilities(value: Any, model: Any = None) -> bool:
    if not numbers_of_shape(None, None, least=0, most=1.001)(value):
        return False
    return bool(np.allclose(np.asarray(value).sum(axis=1), 1, atol=1e-3))


def is_a(*types: type) -> Fits:
    return lambda value, model: isinstance(value, types)


# Small, or so large that it cannot be meant: between the two, a number may be right and slow.
integers = st.integers(-70, 70) | st.integers(min_value=2**33) | st.integers(max_value=-(2**33))
drawn_scalars = st.one_of(
    integers,
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=8),
    st.complex_numbers(),
    st.dates(),
    st.lists(integers | st.floats() | st.text(max_size=3), max_size=5),
    st.dictionaries(st.text(max_size=3), integers, max_size=3),
    st.tuples(st.floats(), st.text(max_size=3)),
).map(repr)
DTYPES = "uint8 int8 uint16 int32 int64 uint64 float16 float32 float64 >f4 >i8 bool complex64 U3 S3 O M8[s]"


def drawn_arrays(*shapes: tuple[int, ...]) -> Any:
    """Arrays of the right and of other shapes, of any type, filled with one number."""
    numbers = ("0", "1", "-1", "2", "0.5", "255", "256", "1e30")
    parts = (
        st.one_of(
            st.sampled_from(shapes),
            st.lists(st.integers(0, 9), max_size=5).map(tuple),
        ),
        st.sampled_from(numbers),
        st.sampled_from(DTYPES.split()),
    )
    return st.builds("np.full({!r}, {}).astype({!r})".format, *parts)


IMAGES = (
    "images",
    "images[..., 0]",
    "images[:0]",
    "images[0]",
    "images[0, ..., 0]",
    "images.reshape(4, 64)",
    "images[:, :, :7]",
    "images.transpose(0, 3, 1, 2)",
    "np.repeat(images, 3, axis=3)",
    "images[None]",
    "images.astype('int64')",
    "images.astype('>u2')",
    "images.astype('int8')",
    "images > 3",
    "images.astype(complex)",
    "images.astype(str)",
    "images.astype(object)",
    "images.astype('float32')",
    "images / 127.5 - 1",
    "last(images / 255, nan)",
    "last(images / 255, inf)",
    "last(images / 255, 1.0001)",
    "last(images / 255, -1e-3)",
    "last(images / 255, 1e308)",
    "(images / 255).astype('float16')",
    "(images / 255).astype('>f8')",
    "(images / 255).astype('longdouble')",
    "images[::-1, ::-1]",
    "np.asfortranarray(images)",
    "read_only(images)",
    "np.ma.masked_array(images, images > 3)",
    "tf.constant(images)",
    "tf.constant(images / 255)",
    "tf.constant(images, tf.int64)",
    "tf.ragged.constant([[1.0], [0.5, 0.5]])",
    "tf.sparse.from_dense(images[..., 0] / 255)",
    "keras.Input(SHAPE)",
    "images.tolist()",
    "(images / 255).tolist()",
    "[images, images]",
    "[images[0], images[0, :7]]",
    "np.zeros((4, 8, 8, 1), 'M8[s]')",
    "np.zeros(4, [('a', 'u1', SHAPE)])",
    "iter([images])",
    "np.float32(0.5)",
    "(images, labels)",
    "{'images': images}",
)
LABELS = (
    "labels",
    "labels.astype('uint8')",
    "labels.astype(float)",
    "labels + 0.7",
    "last(labels, -1)",
    "last(labels, 10)",
    "last(labels, 2**40)",
    "[0, 1, 2, 2**70]",
    "[0.0, 1.0, 2.0, nan]",
    "[0.0, 1.0, 2.0, inf]",
    "[1e30] * 4",
    "labels[:3]",
    "labels[:0]",
    "labels[:, None]",
    "labels[:, None, None]",
    "np.eye(10)[labels]",
    "np.eye(10)[labels] * 2",
    "np.eye(10)[labels] * nan",
    "last(np.eye(10)[labels], 0)",
    "[[2, -1] + [0] * 8] * 4",
    "np.zeros((4, 10))",
    "np.ones((4, 10))",
    "np.eye(11)[labels]",
    "np.eye(9)[[0, 1, 2, 3]]",
    "labels.astype(str)",
    "['no', 'such', 'class', 'name']",
    "['a', 'b', 'c', 3]",
    "['a', 'b', 'c', None]",
    "[None] * 4",
    "[[0], [1, 2], [3], [4]]",
    "labels.astype(complex)",
    "labels.astype(object)",
    "labels.astype('M8[s]')",
    "labels.astype('S1')",
    "np.ma.masked_array(labels, labels > 1)",
    "tf.constant(labels)",
    "tf.constant(['a', 'b', 'c', 'd'])",
    "{0, 1, 2, 9}",
    "{0: 1}",
    "'a'",
    "5",
    "-1",
    "10",
)
FEATURES = (
    "features",
    "features[:1]",
    "features[:0]",
    "features[:, :0]",
    "features[0]",
    "features[:, :2]",
    "features * nan",
    "last(features, nan)",
    "last(features, inf)",
    "features * 1e300",
    "features * 1e30",
    "features * 0",
    "features.astype(complex)",
    "features.astype(str)",
    "features.astype(object)",
    "features.astype('float16')",
    "features > 0",
    "features.tolist()",
    "[[1.0], [1.0, 2.0]]",
    "tf.constant(features)",
    "np.ma.masked_array(features, features > 0)",
)
# Each stands for x of a data set's batches and y for its targets, of whichever model.
DATASETS = (
    "dataset(third(x, y))",
    "dataset(third(x, y)).take(0)",
    "dataset(third(x, y)).repeat()",
    "tf.data.Dataset.from_tensor_slices((x, y))",
    "tf.data.Dataset.from_tensor_slices((x, y)).batch(2).batch(2)",
    "dataset([{'images': x, 'labels': y}])",
    "dataset([(x, y, y, y)])",
    "dataset([(x,)])",
    "dataset([((x, y),)])",
    "dataset([(x, y), (x[:0], y[:0]), (x, y)])",
    "dataset([(x, y), (x[:1], y[:1])])",
    "dataset([(x.astype(str), y)])",
    "dataset([(x.astype(complex), y)])",
    "dataset([(x.astype(bool), y)])",
    "dataset(third(x, y, bad_y=y[:1]))",
    "dataset(third(x.astype('float64') / x.max(), y, last(x / x.max(), nan)))",
    "dataset(third(x.astype('float64') / x.max(), y, last(x / x.max(), 7.0)))",
    "dataset(third(x.astype('float64') / x.max(), y, last(x / x.max(), -7.0)))",
    "dataset(third(x, y, bad_y=last(y, -1)))",
    "dataset(third(x, y, bad_y=last(y, 2**30)))",
    "tf.data.Dataset.from_generator(lambda: failing(x, y), output_types=(x.dtype, y.dtype))",
    "tf.data.Dataset.from_tensors(5)",
    "tf.data.Dataset.from_tensors('a')",
    "EmptyPyDataset()",
    "Batches(third(x, y))",
    "Batches(third(x, y, last(x.astype('float64'), nan)))",
    "Batches([5])",
    "Batches([None, None])",
    "failing(x, y)",
    "iter([])",
    "iter([(x, y)])",
    "iter(third(x, y, last(x.astype('float64'), nan)))",
    "iter([5, 6])",
    "iter([(x, y), None])",
    "[x, x]",
    "{'x': x}",
    "(x, y)",
)

KINDS = {
    kind.name: kind
    for kind in (
        Kind("integer", is_integer, (*NUMBERS, *TEXTS), drawn_scalars),
        Kind("number", is_number, (*NUMBERS, *TEXTS), drawn_scalars),
        Kind("text", is_text, (*TEXTS, *NUMBERS[:4]), drawn_scalars),
        Kind("path", is_path, PATHS, drawn_scalars.filter(lambda text: not text.startswith("'"))),
        Kind("flag", is_flag, ("0", "1", "2", "'no'", "'False'", "np.bool_(True)", "nan"), drawn_scalars),
        Kind(
            "integers",
            sequence_of(is_integer),
            tuple(
                f"({number},)"
                for number in (*NUMBERS, "None", "True", "'4'", "[4]", "4, 4.5", "4, 0", "8, 8, 1", "8, 8")
            )
            + (
                "'44'",
                "np.array([4, 8])",
                "{4: 8}",
                "{4, 8}",
                "iter([4])",
                "np.array([[4]])",
                "(4,) * 100",
            ),
            drawn_scalars,
        ),
        Kind(
            "texts",
            sequence_of(is_text),
            (
                "'ab'",
                "('a', 'a')",
                "('a', 1)",
                "('a', '')",
                "('a', None)",
                "[['a', 'b']]",
                "('a', '\\ud800')",
                "{'a', 'b'}",
                "['a'] * 10",
                "[*'abcdefghi', '']",
                "[*'abcdefghi', None]",
                "[['a']] * 10",
                "range(10)",
                "np.array(class_names)",
                "np.array([class_names])",
            ),
            drawn_scalars,
        ),
        Kind("images", are_images, IMAGES, drawn_arrays((N, *SHAPE), SHAPE, (1, *SHAPE))),
        Kind("labels", are_labels_of_images, LABELS, drawn_arrays((N,), (N, NUM_CLASSES))),
        Kind("labels to generate", are_labels_to_generate, LABELS, drawn_arrays((N,), (N, NUM_CLASSES))),
        Kind(
            "mask",
            is_mask,
            (
                "np.eye(*SHAPE[:2], dtype=bool)",
                "np.eye(*SHAPE[:2])[:-1]",
                "np.eye(*SHAPE[:2])[None]",
                "np.ones(images.shape[:3])",
                "np.ones(images.shape)",
                "0.5 * np.eye(*SHAPE[:2])",
                "255 * np.eye(*SHAPE[:2])",
                "np.full(SHAPE[:2], nan)",
                "np.full(SHAPE[:2], 'x')",
                "True",
                "None",
                "[]",
            ),
            drawn_arrays(SHAPE[:2], (N, *SHAPE[:2])),
        ),
        Kind(
            "latents",
            are_latents,
            (
                "z",
                "z[:0]",
                "z[0]",
                "z[:, :-1]",
                "z[None]",
                "z * nan",
                "last(z, nan)",
                "last(z, inf)",
                "z * 1e30",
                "z.astype('float64') * 1e300",
                "z.astype(complex)",
                "z.astype(str)",
                "z.astype(object)",
                "z.astype('float16')",
                "z.astype('>f4')",
                "z.astype('int64')",
                "z > 0",
                "z.tolist()",
                "z[:, ::-1]",
                "tf.constant(z)",
                "[[1.0], [1.0, 2.0]]",
                "np.ma.masked_array(z, z > 0)",
            ),
            drawn_arrays((N, 3), (N, 5)),
        ),
        Kind(
            "prompts",
            are_texts,
            (
                *TEXTS,
                "'The'",
                "'The' * 5_000",
                "['The', 5]",
                "['The', None]",
                "['The', b'The']",
                "[['The']]",
                "('The', '')",
                "{'The'}",
                "{'The': 1}",
                "b'The'",
                "np.array(['The', 'fox'])",
                "np.array([b'The'])",
                "np.array(['The', 5], object)",
                "tf.constant(['The'])",
                "iter(['The'])",
                "['The', '\\ud800']",
            ),
            drawn_scalars,
        ),
        Kind(
            "prompt",
            is_one_text,
            (*TEXTS, "['The']", "('The',)", "b'The'", "tf.constant('The')"),
            drawn_scalars,
        ),
        Kind(
            "token ids",
            are_token_rows,
            (
                "tokens",
                "tokens[0]",
                "tokens[:0]",
                "tokens[:, :0]",
                "tokens[None]",
                "-tokens",
                "tokens + 10**6",
                "tokens.astype(int) + 2**40",
                "last(tokens, -1)",
                "last(tokens, tokenizer.vocabulary_size)",
                "tokens.astype(float)",
                "tokens + 0.5",
                "tokens.astype(str)",
                "tokens.astype(object)",
                "tokens > 3",
                "tokens.astype('uint64')",
                "tokens.astype('>i4')",
                "tokens.tolist()",
                "[[3], [3, 4]]",
                "tf.constant(tokens)",
                "np.ma.masked_array(tokens, tokens > 5)",
            ),
            drawn_arrays((N, 24), (1, 1)),
        ),
        Kind(
            "sample weight",
            lambda value, model: any(
                numbers_of_shape(*shape, least=0)(value) or are_flags(value, shape)
                for shape in ((N,), (N, 1))
            ),
            (
                "np.ones(4)",
                "[1.0] * 4",
                "np.zeros(4)",
                "np.ones(3)",
                "np.ones((4, 1))",
                "-np.ones(4)",
                "last(np.ones(4), nan)",
                "last(np.ones(4), inf)",
                "np.full(4, 1e308)",
                "np.ones(4, complex)",
                "np.ones(4, str)",
                "np.ones(4, object)",
                "np.ones((4, 9))",
                "{0: 1.0}",
            ),
            drawn_arrays((N,), (N, 1)),
        ),
        Kind(
            "class weight",
            lambda value, model: (
                isinstance(value, Mapping)
                and all(is_integer(key) and 0 <= key < NUM_CLASSES for key in value)
                and all(is_number(weight) and weight >= 0 for weight in value.values())
            ),
            (
                "{0: 2.0}",
                "{0: -1.0}",
                "{0: nan}",
                "{0: inf}",
                "{'a': 1.0}",
                "{99: 1.0}",
                "{-1: 1.0}",
                "{2**40: 1.0}",
                "{0.5: 1.0}",
                "{0: '1'}",
                "{0: None}",
                "{None: 1.0}",
                "[1.0] * 10",
                "np.ones(10)",
            ),
            drawn_scalars,
        ),
        Kind(
            "training images",
            lambda value, model: are_images(value) or kind_of_data(value) is not None,
            (*IMAGES, *DATASETS),
            drawn_arrays((N, *SHAPE), SHAPE, (1, *SHAPE)),
        ),
        Kind(
            "training tokens",
            lambda value, model: are_token_rows(value) or kind_of_data(value) is not None,
            (*DATASETS, "tokens", "last(tokens, -1)", "last(tokens, 10**6)", "tokens / 2", "tokens[0]"),
            drawn_arrays((N, 24)),
        ),
        Kind(
            "validation data",
            lambda value, model: True,
            ("(x,)", "(x, y)", "(x, y, y, y)", *DATASETS),
            drawn_scalars,
        ),
        Kind(
            "optimizer",
            is_a(str, keras.optimizers.Optimizer),
            (
                "'adam'",
                "'adamm'",
                "keras.optimizers.Adam(-1.0)",
                "keras.optimizers.Adam(nan)",
                "keras.optimizers.Adam(inf)",
                "keras.optimizers.Adam(1e308)",
                "keras.optimizers.SGD(0.0)",
                "keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(-1.0, 10))",
                "keras.optimizers.SGD(lambda: 'a')",
                "{'class_name': 'Adam'}",
                "{'class_name': 'Adam', 'config': {}}",
                "kg.optimizers.Adam",
                "tf.optimizers.Adam",
                "'/dev/null'",
            ),
            drawn_scalars,
        ),
        Kind(
            "metrics",
            is_a(list, tuple),
            (
                "'accuracy'",
                "['accuracy']",
                "['nope']",
                "[5]",
                "[None]",
                "[[]]",
                "[keras.metrics.Mean]",
                "['mse']",
                "['mse', 'mse']",
                "[keras.losses.mean_squared_error]",
                "{'a': 'mse'}",
                "[['mse']]",
                "[object()]",
                "[keras.metrics.Mean(name='loss')]",
                "[keras.optimizers.Adam()]",
            ),
            drawn_scalars,
        ),
        Kind(
            "callbacks",
            lambda value, model: all(
                isinstance(each, keras.callbacks.Callback) for each in keras.tree.flatten(value or [])
            ),
            (
                "[5]",
                "[None]",
                "[object()]",
                "['tensorboard']",
                "keras.callbacks.History",
                "[keras.callbacks.History]",
                "[lambda: 1]",
                "{'a': keras.callbacks.History()}",
                "[keras.callbacks.EarlyStopping(monitor='nope')]",
                "[keras.callbacks.ModelCheckpoint('x.keras', save_best_only=True)]",
            ),
            drawn_scalars,
        ),
        Kind(
            "network",
            lambda value, model: False,
            (
                "keras.Model()",
                "keras.Sequential([keras.layers.Dense(1)])",
                "network(SHAPE, 1)",
                "network((3,), 64)",
                "network((7,), 7)",
                "network",
                "kg.from_preset",
            ),
            drawn_scalars,
        ),
        Kind("features", numbers_of_shape(None, None), FEATURES, drawn_arrays((32, 3), (4, 3))),
        Kind(
            "probabilities",
            are_probabilities,
            (
                "probabilities",
                "probabilities * 2",
                "probabilities - 1",
                "last(probabilities, nan)",
                "probabilities[0]",
                "probabilities[:0]",
                "probabilities[:, :0]",
                "probabilities.astype(str)",
                "probabilities.astype(complex)",
                "probabilities.astype(object)",
                "probabilities.tolist()",
                "[[0.5, 0.5], [1.0]]",
                "[[2.0, -1.0]] * 4",
                "tf.constant(probabilities)",
            ),
            drawn_arrays((N, NUM_CLASSES), (N, 2)),
        ),
        Kind(
            "numbers",
            numbers_of_shape(None),
            (
                "[]",
                "[1.0, nan]",
                "[1.0, inf]",
                "[['a']]",
                "['1']",
                "[1e308] * 9",
                "[1.0, None]",
                "[-1.0, 2.0]",
                "np.zeros((2, 2))",
            ),
            drawn_arrays((4,), (32,)),
        ),
        Kind(
            "function",
            lambda value, model: callable(value),
            ("'print'", "5", "print('', end='')"),
            drawn_scalars,
        ),
        Kind(
            "image data",
            is_a(kg.ImageDataset),
            (
                "'fashion_mnist_12k'",
                "images",
                "(images, labels)",
                "dataset([(images, labels)])",
                "kg.ImageDataset",
            ),
            drawn_scalars,
        ),
        Kind(
            "dictionary",
            is_a(dict),
            ("{1: 2}", "{'a': object()}", "{'a': nan}", "{(1, 2): 3}", "[('a', 1)]", "{'data': {}}"),
            drawn_scalars,
        ),
        Kind(
            "picture",
            lambda value, model: (
                isinstance(value, np.ndarray)
                and value.dtype == np.uint8
                and value.ndim == 3
                and value.shape[2] == 3
                and value.size > 0
            ),
            (
                "np.zeros((4, 4, 3), 'uint8')",
                "np.zeros((4, 4, 3))",
                "np.zeros((4, 4), 'uint8')",
                "np.zeros((4, 4, 1), 'uint8')",
                "np.zeros((4, 4, 4), 'uint8')",
                "np.zeros((0, 4, 3), 'uint8')",
                "np.zeros((4, 4, 3), 'int64') - 1",
                "np.zeros((4, 4, 3), object)",
            ),
            drawn_arrays((4, 4, 3)),
        ),
        Kind(
            "dtype",
            lambda value, model: value is None or isinstance(value, (str, keras.DTypePolicy)),
            (
                "'float32'",
                "'float99'",
                "'mixed_float16'",
                "'int8'",
                "'complex64'",
                "'string'",
                "np.float32",
                "tf.float16",
            ),
            drawn_scalars,
        ),
        Kind(
            "vocabulary",
            lambda value, model: (
                sequence_of(is_one_text)(list(value) if is_text(value) else value) and len(value) > 1
            ),
            (
                "'ab'",
                "['a', 'a']",
                "['a']",
                "['a', 1]",
                "['a', '']",
                "['a', None]",
                "['a', '\\ud800']",
                "['a', 'b' * 100_000]",
                "{'a', 'b'}",
                "[['a'], ['b']]",
                "np.array(['a', 'b'])",
                "['\\0', 'a']",
            ),
            drawn_scalars,
        ),
    )
}


def kind_of_data(value: Any) -> str | None:
    """Whether a value is something that `fit` iterates over, which its batches alone show to be wrong."""
    if isinstance(value, (tf.data.Dataset, keras.utils.PyDataset, types.GeneratorType)):
        return type(value).__name__
    return "iterator" if hasattr(value, "__next__") else None


def choice(allowed: Sequence[Any]) -> Kind:
    """One of some values."""
    extremes = (
        *TEXTS,
        *(repr(str(value).upper()) for value in allowed),
        f"{list(allowed)!r}",
        repr(f"{allowed[0]} "),
    )

    def fits(value: Any, model: Any = None) -> bool:
        return isinstance(value, (str, bool, int, float, type(None))) and value in allowed

    return Kind("choice", fits, extremes, drawn_scalars)


# Of a command's options, which are text.
OPTIONS = (
    "",
    " ",
    "abc",
    "-1",
    "0",
    "1.5",
    "1e400",
    "1e308",
    "1e-320",
    "nan",
    "inf",
    "-inf",
    "null",
    "None",
    "true",
    "[]",
    "{}",
    "[1, 2",
    "[-1]",
    "[[1]]",
    "[1.5, a]",
    '{"a": 1}',
    "1,2",
    "0,0",
    "[64,48]",
    "!!python/object:os.system",
    "&a [*a]",
    "--seed",
    "-",
    "2147483647",
    "2147483648",
    "9" * 30,
    "9" * 5000,
    "\udcff",
    "\N{GRINNING FACE}",
    "..",
    "../x",
    "/dev/null",
    "/dev/zero",
    "afile",
    "afile/x",
    ".",
    "pictures",
    "nowhere",
    "nowhere.png",
    "afile/x.png",
    "pictures.png",
    "a\nb",
    "%s{}",
    "x" * 300,
    "x" * 300 + ".png",
    "http://127.0.0.1:9/x",
    "a,b",
    "A",
    "a,,b",
    "0,1",
    "2",
    "-1,0",
)
KINDS["tokenizer"] = Kind(
    "tokenizer",
    is_a(kg.tokenizers.Tokenizer),
    ("'char'", "tokenizer", "kg.tokenizers.Tokenizer"),
    KINDS["integer"].drawn,
)
KINDS["verbosity"] = choice((0, 1, 2, "auto"))
KINDS["nothing"] = Kind(
    "nothing", lambda value, model: value is None, ("'mse'", "[1.0]"), KINDS["integer"].drawn
)
KINDS["anything"] = Kind(
    "anything", lambda value, model: True, KINDS["labels"].extremes, KINDS["labels"].drawn
)
KINDS["stop"] = Kind(
    "stop",
    lambda value, model: (
        isinstance(value, str) or sequence_of(lambda each, model: isinstance(each, str))(value)
    ),
    ("'o'", "['o', 3]", "[None]", "['']", "b'o'", "[b'o']", "{'o'}", "['\\ud800']", "iter(['o'])"),
    KINDS["text"].drawn,
)
KINDS["any labels"] = Kind(
    "any labels",
    lambda value, model: are_labels(value) and np.shape(value)[:1] == (N,),
    KINDS["labels"].extremes,
    KINDS["labels"].drawn,
)
KINDS["distances"] = dataclasses.replace(KINDS["numbers"], name="distances")
KINDS["source"] = Kind(
    "source",
    is_path,
    (
        "'vae_fashion_mnist'",
        "'fashion_mnist_12k'",
        "'http://'",
        "'https://[::1'",
        "'https:///x'",
        "'file:///etc/passwd'",
        "'ftp://127.0.0.1/x'",
        "'http://127.0.0.1:9/x'",
        *FILES,
        *KINDS["path"].extremes,
    ),
    KINDS["path"].drawn,
)
KINDS["extractor"] = Kind(
    "extractor",
    is_a(str, os.PathLike, keras.Model, kg.metrics.FeatureExtractor, kg.Classifier),
    (
        "'nope'",
        "'nowhere.keras'",
        "network(SHAPE, 3)",
        "network((28, 28, 1), 3)",
        "build('vae')",
        "build('mlp_classifier')",
        "'afile'",
    ),
    KINDS["path"].drawn,
)
KINDS["set metrics"] = Kind(
    "set metrics",
    sequence_of(lambda value, model: isinstance(value, str)),
    ("['nope']", "'fd'", "['fd', 'fd']", "[5]", "['fd', None]", "{'fd'}", "('FD',)"),
    KINDS["text"].drawn,
)
KINDS["running text"] = Kind(
    "running text",
    lambda value, model: (
        isinstance(value, (list, np.ndarray)) and np.ndim(value) == 1 and are_token_rows([value])
    ),
    KINDS["token ids"].extremes,
    KINDS["token ids"].drawn,
)
KINDS["schedule"] = Kind(
    "schedule",
    lambda value, model: True,
    ("keras.optimizers.schedules.CosineDecay(1.0, 10)", *KINDS["number"].extremes),
    KINDS["number"].drawn,
)
KINDS["many texts"] = Kind(
    "many texts",
    lambda value, model: isinstance(value, (str, os.PathLike)) or hasattr(value, "__iter__"),
    (
        "['a']",
        "['']",
        "[5]",
        "[None]",
        "['ab' * 300, b'x']",
        "['\\ud800' * 300]",
        "['a'] * 3",
        "{'ab' * 300}",
        "iter(['ab' * 300])",
        *FILES,
        *KINDS["path"].extremes,
    ),
    KINDS["text"].drawn,
)
KINDS["kind of tokenizer"] = Kind(
    "kind of tokenizer",
    is_a(str, kg.tokenizers.Tokenizer),
    ("'chars'", "tokenizer", "kg.tokenizers.CharacterTokenizer"),
    KINDS["text"].drawn,
)
KINDS["sequence of numbers"] = dataclasses.replace(
    KINDS["integers"], name="sequence of numbers", fits=sequence_of(is_number)
)
KINDS["model"] = Kind(
    "model",
    is_a(kg.BaseModel),
    ("build('lstm')", "build('vae')", "'vae_fashion_mnist'"),
    KINDS["text"].drawn,
)
KINDS["inputs and labels"] = Kind(
    "inputs and labels",
    lambda value, model: (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and (are_images if hasattr(model, "reconstruct") else are_latents)(value[0], model)
        and are_labels(value[1])
        and len(value[0]) == len(value[1])
    ),
    (
        "[x, labels]",
        "[z, labels]",
        "[x]",
        "x",
        "z",
        "[z]",
        "[labels, x]",
        "[x, labels[:3]]",
        "[z, labels[:3]]",
        "[x, labels + 20]",
        "[z, labels + 20]",
        "[x, labels - 1]",
        "[z, labels - 1]",
        "[z * nan, labels]",
        "[x, None]",
        "[x, labels, labels]",
        "{'x': x, 'y': labels}",
        "dataset([(x.astype('int64'), labels)])",
    ),
    drawn_scalars,
)
KINDS["tensor"] = Kind(
    "tensor",
    lambda value, model: (array := as_array(value)) is not None and array.dtype.kind in "iuf",
    FEATURES,
    drawn_arrays((32, 3)),
)
KINDS["ids to decode"] = dataclasses.replace(  # of any rank
    KINDS["token ids"],
    name="ids to decode",
    fits=lambda value, model: are_token_rows(np.asarray(value).reshape(1, -1)),
)
KINDS["strings"] = dataclasses.replace(  # in TensorFlow's graph, too
    KINDS["prompts"],
    name="strings",
    fits=lambda value, model: are_texts(value) or np.asarray(value).dtype.kind in "OS" or not len(value),
)
KINDS["option"] = Kind(
    "option",
    lambda value, model: True,
    (*map(repr, OPTIONS), *FILES),
    (
        integers.map(str)
        | st.floats().map(str)
        | st.text(st.characters(exclude_characters="\0", codec="utf-8"))
    ).map(repr),
)

__all__ = [name for name in NAMESPACE if not name.startswith("_")]
