"""Parses command lines by types, and reports errors in one line."""

import argparse
import contextlib
import json
import re
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, NoReturn, Union

from keras_gen.utils.suggestions import did_you_mean

WORDS = {"true": True, "false": False, "null": None}


class Parser(argparse.ArgumentParser):
    """Accepts only full names of options, and reports errors in one line on stderr."""

    def __init__(self, **options: Any):
        super().__init__(**{"allow_abbrev": False, **options})

    commands: tuple[str, ...] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.commands:
            if not args:
                self.error(
                    f"a command is missing: expected one of {', '.join(self.commands)}. Received: nothing"
                )
            if args[0] not in (*self.commands, *self._option_string_actions):
                self.error(one_of("COMMAND", args[0], self.commands))
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            from keras_gen.utils.arguments import received

            known = did_you_mean(unknown[0].partition("=")[0], self._option_string_actions)
            self.error(f"no such option or argument. Received: {received(unknown[0])}{known}")
        return parsed, []

    def parse_some(self, args: Any) -> tuple[argparse.Namespace, list[str]]:
        """Parses the known options of a command line; returns the rest."""
        return super().parse_known_args(args)

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"^argument (\S+):(?= must)", r"\1", message).removeprefix("argument ")
        message = re.sub("^the following arguments are required: (.*)", r"\1 must be given", message)
        if message.endswith(": expected one argument"):
            name = message.partition(":")[0]
            message = f"{name} must have a value; one that begins with a dash is written {name}=VALUE"
        self.exit(2, f"keras-gen: {one_line(message)} (see {self.prog} --help)\n")


class Option:
    """Parses the text of an option: the `type` of an argument of a parser.

    Args:
        hint: A type such as `int | None`, or the name of one in `named`, which is imported only when the
            option is given.
        may_be_empty: Whether "" is valid, and not a sign of an unset shell variable.
    """

    def __init__(self, hint: Any, may_be_empty: bool = False):
        self.given = hint
        self.may_be_empty = may_be_empty

    @property
    def hint(self) -> Any:
        return named(self.given) if isinstance(self.given, str) else of_text(self.given)

    @property
    def expected(self) -> str:
        """A description of valid values."""
        from keras_gen.utils.arguments import describe_type

        words = describe_type(without_none(self.hint)).replace("True or False", "true or false")
        return re.sub("a list or tuple|a tuple", "a list", words)

    def __call__(self, text: str) -> Any:
        from keras_gen.utils.arguments import check, received

        if text == "" and not self.may_be_empty:
            raise argparse.ArgumentTypeError(
                f"must be {self.expected}, and not empty (is a shell variable unset?). Received: ''"
            )
        for value in readings(text):
            try:
                return check("", value, self.hint)
            except ValueError:
                continue
        names = typing.get_args(without_none(self.hint))
        known = did_you_mean(text, names) if typing.get_origin(without_none(self.hint)) is Literal else ""
        raise argparse.ArgumentTypeError(f"must be {self.expected}. Received: {received(text)}{known}")


def readings(text: str) -> Iterator[Any]:
    """The possible meanings of a text: null, true or false; a list in brackets; the text; a number; a list
    without brackets.
    """
    if text.lower() in WORDS:
        yield WORDS[text.lower()]
    if text.startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            yield json.loads(text)
    yield text
    for read in (int, float, json.loads, listed):
        try:
            yield read(text)
        except (ValueError, RecursionError):
            continue


def listed(text: str) -> list[Any]:
    """`4,8` or `(4,8)` -> [4, 8]"""
    return json.loads(f"[{text.removeprefix('(').removesuffix(')')}]")


# === Types ===


def named(name: str) -> Any:
    """Types of options by name, for declarations that must not import NumPy."""
    from annotated_types import Interval

    from keras_gen.utils import arguments

    more = {
        "bool": bool,
        "Channels": Literal[1, 3],
        "Format": Literal["tf_saved_model", "onnx", "litert", "openvino"],
        "Listed": Literal["models", "datasets", "presets"],
        "Part": Annotated[float, Interval(gt=0, lt=1)],
        "Size": tuple[arguments.Count, arguments.Count],
        "str": str,
    }
    return more[name] if name in more else getattr(arguments, name)


def of_text(hint: Any) -> Any:
    """The part of a type that can be given on a command line: no paths but strings, no objects."""
    if typing.get_origin(hint) not in (Union, types.UnionType):
        return hint
    parts = [part for part in typing.get_args(hint) if can_be_written(part)]
    return Union[tuple(parts)]  # noqa: UP007 (of a tuple)


def can_be_written(hint: Any) -> bool:
    plain = (int, float, bool, str, type(None))
    return hint in plain or typing.get_origin(hint) in (Literal, Annotated, tuple, list, Sequence, dict)


def without_none(hint: Any) -> Any:
    if typing.get_origin(hint) not in (Union, types.UnionType):
        return hint
    return Union[tuple(part for part in typing.get_args(hint) if part is not type(None))]  # noqa: UP007


# === Words ===


def one_of(what: str, text: str, names: Iterable[str]) -> str:
    """An error for a text that is not one of some names, with a suggestion."""
    from keras_gen.utils.arguments import received

    names = list(names)
    return (
        f"{what} must be one of {', '.join(names)}. Received: {received(text)}{did_you_mean(text, names)}"
    )


def one_line(text: str) -> str:
    """A message without its line breaks."""
    return " ".join(text.split())
