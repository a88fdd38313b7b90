"""Nothing hostile or clumsy gets through: `bad_input.py` says what is tried, and how it is judged."""

import pytest
from bad_input import (
    FEW,
    MANY,
    Outcome,
    all_calls,
    describe,
    table,
    try_drawn,
    try_numpy,
    try_valid,
)
from hostile_values import value_of
from public_calls import UNKNOWN, Command, distinct_recipes

from keras_gen import models
from keras_gen.recipes import RECIPES

OUTCOMES: list[Outcome] = []


def family(recipe: str) -> str:
    """The folder of a recipe's model."""
    return getattr(models, RECIPES[recipe].model).__module__.split(".")[2]


@pytest.fixture(scope="module", autouse=True)
def report():
    """How many inputs there were, which `-s` shows."""
    yield
    print(f"\n{table(OUTCOMES)}")


def check(outcomes: list[Outcome]) -> None:
    OUTCOMES.extend(outcomes)
    complaints = describe(outcomes)
    assert not complaints, f"{complaints.count(chr(10)) // 2 + 1} of {len(outcomes)} inputs:\n{complaints}"


def test_every_expression_has_a_value():
    for call in all_calls().values():
        if call.recipe in (None, "cvae", "lstm"):
            for expression in {each for kind in call.kinds.values() for each in kind.expressions()}:
                value_of(expression, **call.names())


def test_every_public_argument_is_known():
    assert all_calls() and not UNKNOWN


# A recipe that differs from an earlier one in its sizes alone has nothing else to prove.
NAMES = [name for name, call in all_calls().items() if call.recipe in (None, *distinct_recipes())]
COMMANDS = [name for name, call in all_calls().items() if isinstance(call, Command)]


# One model of each family is in the fast suite: the last of the table.
LAST = {family(recipe): recipe for recipe in RECIPES if recipe in distinct_recipes()}
FAST = (None, *LAST.values())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if all_calls()[name].recipe in FAST else pytest.mark.slow)
        for name in NAMES
        if name not in COMMANDS
    ],
)
def test_what_does_not_fit_is_refused(name):
    check(try_drawn(all_calls()[name], FEW, only_wrong=True))


# Of numbers that are not finite, a loss is not finite, which is right; and rows of tokens may be ragged.
FREER = ("losses.", "tokenizer.decode")
# What these need beside their arguments: a model of the data's own classes, and files in this folder.
WITH_FILES = ("command evaluate", "callbacks.Evaluation", "load_dataset().test_images")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith((*FREER, *WITH_FILES[:1]))])
def test_bad_input_is_refused_or_gives_a_right_result(name):
    call = all_calls()[name]
    check([try_valid(call), *try_drawn(call, FEW if name in COMMANDS else MANY)])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in (*COMMANDS, *WITH_FILES)])
def test_numbers_of_numpy_are_numbers(name):
    check(try_numpy(all_calls()[name]))
