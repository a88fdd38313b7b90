import dataclasses
import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import tensorflow as tf
from annotated_types import Ge

from keras_gen.utils.arguments import (
    Count,
    Fraction,
    ImageShape,
    NonNegative,
    Positive,
    Probability,
    Seed,
    Share,
    Widths,
    check,
    checked,
    received,
)

PATH = str | os.PathLike


@dataclasses.dataclass
class Pair:
    first: int


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (Count, np.uint8(3), 3),
        (Count, np.array(3), 3),
        (Count, tf.constant(3), 3),
        (Seed, 2**31 - 1, 2**31 - 1),
        (Seed | None, None, None),
        (Positive, 1, 1.0),
        (Positive, np.float32(0.5), 0.5),
        (Positive, tf.constant(0.5), 0.5),
        (bool, np.True_, True),
        (ImageShape, [8, 8, 1], (8, 8, 1)),
        (ImageShape, np.array([8, 8, 1]), (8, 8, 1)),
        (ImageShape, tf.TensorShape([8, 8, 1]), (8, 8, 1)),
        (bool | Literal["auto", 0, 1], np.int64(0), 0),
        (bool | Literal["auto", 0, 1], False, False),
        (Widths, (4, np.int64(2)), (4, 2)),
        (Sequence[str], ["a"], ["a"]),
        (Sequence[str] | str, "a", "a"),
        (Iterable[str], {"a"}, {"a"}),
        (Pair | None, Pair(1), Pair(1)),
        (PATH | Iterable[str], "a", "a"),
        (PATH, "\udce9", "\udce9"),
        (Literal["a", "b"], "b", "b"),
        (dict[str, Any], {"a": object}, {"a": object}),
    ],
)
def test_right_values_become_pythons_own(hint, value, expected):
    received = check("x", value, hint)
    assert received == expected and type(received) is type(expected)


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (
            ImageShape,
            {8, 9, 1},
            "(height, width, channels), three integers, each 1 or more. Received: {1, 8, 9}",
        ),
        (Count, 0, "an integer from 1 to 2**31 - 1. Received: 0"),
        (Count, 2.0, "an integer from 1 to 2**31 - 1. Received: 2.0"),
        (Count, "3", "an integer from 1 to 2**31 - 1. Received: '3'"),
        (Count, True, "an integer from 1 to 2**31 - 1. Received: True"),
        (Count, np.ones(2), "an integer from 1 to 2**31 - 1. Received: float64 of shape (2,)"),
        (Seed, 2**31, "an integer from 0 to 2**31 - 1. Received: 2147483648"),
        (Seed | None, -1, "an integer from 0 to 2**31 - 1, or None. Received: -1"),
        (Positive, float("inf"), "a finite number, more than 0. Received: inf"),
        (Positive, "1.5", "a finite number, more than 0. Received: '1.5'"),
        (NonNegative, float("nan"), "a finite number, 0 or more. Received: nan"),
        (NonNegative, 10**400, "a finite number, 0 or more. Received: 1000"),
        (NonNegative, 1e39, "a finite number, 0 or more. Received: 1e+39"),
        (float, 1j, "a finite number. Received: 1j"),
        (Fraction, 1, "a number from 0 to less than 1. Received: 1"),
        (Probability, 1.5, "a number from 0 to 1. Received: 1.5"),
        (Share, 0, "a number, more than 0, at most 1. Received: 0"),
        (
            ImageShape,
            (8.5, 8, 1),
            "(height, width, channels), three integers, each 1 or more. Received",
        ),
        (ImageShape, (8, 8), "(height, width, channels), three integers, each 1 or more. Received: (8, 8)"),
        (ImageShape, 8, "(height, width, channels), three integers, each 1 or more. Received: 8"),
        (Widths, [], "1 to 64 integers, each 1 or more. Received: []"),
        (Widths, "12", "1 to 64 integers, each 1 or more. Received: '12'"),
        (bool, 1, "True or False. Received: 1"),
        (str, b"a", "a string. Received: b'a'"),
        (PATH, None, "a string, or a PathLike. Received: None"),
        (Literal["a", "b"], "c", "one of 'a', 'b'. Received: 'c'"),
        (Sequence[str], "abc", "a list or tuple, each a string. Received: 'abc'"),
        (Iterable[str], "abc", "an iterable, each a string. Received: 'abc'"),
        (Pair, {"first": 1}, "a Pair. Received: {'first': 1}"),
        (Iterable[str], 5, "an iterable, each a string. Received: 5"),
        (Annotated[int, Ge(2)], 1, "an integer, 2 or more. Received: 1"),
        (Callable[[int], int], 3, "a function. Received: 3"),
        (tf.data.Dataset, [1], "a Dataset. Received: [1]"),
    ],
)
def test_others_are_refused(hint, value, message):
    with pytest.raises(ValueError) as refusal:
        check("x", value, hint)
    assert str(refusal.value).startswith(f"x must be {message}")


def test_a_checked_function_refuses_converts_and_shows_plain_types():
    @checked
    def draw(num_samples: Count, *, seed: Seed | None = None, z: Any = None, **more: Any):
        return num_samples, seed, z, more

    assert draw(np.int64(2), z="anything", other=1) == (2, None, "anything", {"other": 1})
    with pytest.raises(ValueError, match=r"^num_samples must be an integer from 1 .* Received: 1.5$"):
        draw(1.5)
    assert inspect.signature(draw).parameters["seed"].annotation == int | None
    with pytest.raises(TypeError, match="missing a required argument: 'num_samples'.*Received: seed=1"):
        draw(seed=1)


def test_an_unknown_argument_is_answered_with_those_of_the_class_and_its_bases():
    class Base:
        @checked
        def __init__(self, seed: int = 0):
            pass

    class Model(Base):
        @checked
        def __init__(self, latent_dim: int = 1, **kwargs: Any):
            super().__init__(**kwargs)

    with pytest.raises(TypeError) as refusal:
        Model(latent_dims=3)
    assert str(refusal.value) == (
        "Model: got an unexpected keyword argument 'latent_dims'. Did you mean latent_dim? "
        "Expected: latent_dim, seed. Received: latent_dims=3"
    )


def test_what_was_received_is_short_whatever_it_is():
    class Wild:
        shape = property(lambda self: 1 / 0)

        def __repr__(self):
            raise RuntimeError

    for value in (Wild(), 10**10_000, "x" * 10**6, list(range(10**6)), "a\nb", np.ma.masked, keras_input()):
        assert len(received(value)) <= 210 and "\n" not in received(value)


def keras_input():
    import keras

    return keras.Input((3,))
