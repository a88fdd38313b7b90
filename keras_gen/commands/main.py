"""The `keras-gen` command. TensorFlow is imported only by what computes."""

import sys

from keras_gen.commands import evaluate as evaluate_command
from keras_gen.commands import export, information, run_commands
from keras_gen.commands import sample as sample_command
from keras_gen.commands.errors import guarded
from keras_gen.commands.parsing import Parser
from keras_gen.utils.version import __version__


def main(argv: list[str] | None = None) -> int:
    """Runs one command; gives the exit status.

    0; 1 for an error; 2 for wrong usage (raised as SystemExit); 130 for Ctrl-C, 143 for SIGTERM; 141 where
    the reader of a pipe has gone.
    """
    argv = sys.argv[1:] if argv is None else argv
    return guarded(lambda: run(argv))


# These have options that depend on the model.
MODEL_COMMANDS = {
    "train": run_commands.train,
    "sample": sample_command.sample,
    "evaluate": evaluate_command.evaluate,
}


def run(argv: list[str]) -> int | None:
    """The command that is named first, with its arguments."""
    if argv[:1] and argv[0] in MODEL_COMMANDS:
        return MODEL_COMMANDS[argv[0]](argv[1:])
    arguments = build_parser().parse_args(argv)
    return arguments.command(arguments)


def build_parser() -> Parser:
    """Every command; those of `MODEL_COMMANDS` parse their own arguments."""
    parser = Parser(
        prog="keras-gen",
        description="Generative models for Keras 3: train, resume, sample, evaluate, export.",
    )
    parser.add_argument("--version", action="version", version=f"keras_gen {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        run_commands.add_train,
        run_commands.add_resume,
        sample_command.add_sample,
        evaluate_command.add_evaluate,
        export.add_export,
        information.add_list,
        information.add_hardware,
    ):
        add(commands)
    parser.commands = tuple(commands.choices)
    return parser
