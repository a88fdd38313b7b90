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
from public_calls import UNKNOWN, distinct_recipes

OUTCOMES: list[Outcome] = []


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


FAST = [
    call.name for call in all_calls().values() if call.recipe is None or call.recipe in distinct_recipes()
]


@pytest.mark.parametrize("name", FAST)
def test_what_does_not_fit_is_refused(name):
    check(try_drawn(all_calls()[name], FEW, only_wrong=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", all_calls())
def test_bad_input_is_refused_or_gives_a_right_result(name):
    call = all_calls()[name]
    check([try_valid(call), *try_drawn(call, MANY)])


@pytest.mark.slow
@pytest.mark.parametrize("name", FAST)
def test_numbers_of_numpy_are_numbers(name):
    check(try_numpy(all_calls()[name]))
