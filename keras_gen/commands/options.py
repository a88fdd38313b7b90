"""Options of a command line that are read from the signature of what takes them."""

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Sequence
from typing import Any, Literal

import docstring_parser

from keras_gen.commands.parsing import Option, Parser, without_none


@dataclasses.dataclass
class Options:
    """The options of one function or class.

    Args:
        title: What they are called together.
        defaults: The default of each.
        hints: The type of each, with its range.
        docs: What the docstring says of each.
    """

    title: str
    defaults: dict[str, Any]
    hints: dict[str, Any]
    docs: dict[str, str]


def described(title: str, owners: Sequence[Callable], defaults: dict[str, Any]) -> Options:
    """Options with the types and the words of what takes them."""
    hints: dict[str, Any] = {}
    docs: dict[str, str] = {}
    for owner in owners:
        function = vars(owner)["__init__"] if isinstance(owner, type) else owner
        hints |= typing.get_type_hints(inspect.unwrap(function), include_extras=True)
        docs |= documented(owner)
    return Options(title, defaults, {name: hints[name] for name in defaults}, docs)


def verb_options(verb: Any) -> Options:
    """The options of a model's verb: see `keras_gen.models.base.verbs`."""
    return Options(
        "model",
        {name: parameter.default for name, parameter in verb.options.items()},
        {name: parameter.annotation for name, parameter in verb.options.items()},
        documented(verb),
    )


def documented(owner: Any) -> dict[str, str]:
    """What a docstring says of each parameter."""
    parameters = docstring_parser.parse(inspect.getdoc(owner) or "").params
    return {each.arg_name: in_plain_text(each.description or "") for each in parameters}


def in_plain_text(description: str) -> str:
    """A description without the marks and the numbered references of a docstring."""
    without_references = re.sub(r" \[\d+(, (section [\d.]+|\d+))*\]", "", " ".join(description.split()))
    return re.sub(r'`"(\w+)"`', r"\1", without_references).replace("`", "")


def add_options(parser: Parser, options: Options, **more_of: dict[str, Any]) -> None:
    """Adds options to a parser, as a group.

    Args:
        parser: The parser.
        options: What to add; a parser that suppresses defaults leaves out what is not given.
        **more_of: Further arguments of `add_argument`, by the option's name.
    """
    added = parser.add_argument_group(options.title)
    for name, default in options.defaults.items():
        option = Option(options.hints[name], may_be_empty=default == "")
        details = f"({option.expected}; default: {as_text(default)})".replace("%", "%%")
        added.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            type=option,
            metavar=metavar(name, option.hint),
            **{
                "help": f"{options.docs.get(name, '')} ".replace("%", "%%") + details,
                **more_of.get(name, {}),
            },
        )


def metavar(name: str, hint: Any) -> str:
    """What stands for an option's value in help."""
    hint = without_none(hint)
    if hint is bool:
        return "{true,false}"
    if typing.get_origin(hint) is Literal:
        return "{" + ",".join(map(str, typing.get_args(hint))) + "}"
    return name.upper()


def as_text(value: Any) -> str:
    """A value as it is written in a command line."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "none"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) or "''"
