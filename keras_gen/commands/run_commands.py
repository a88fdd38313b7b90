"""`keras-gen train` and `keras-gen resume`."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_gen.commands import tensorflow_import
from keras_gen.commands.parsing import Option, Parser, one_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras

    from keras_gen.runs.building import Data


def add_train(commands: Any) -> None:
    summary = "train a model: keras-gen train MODEL --help lists its options"
    commands.add_parser("train", help=summary, description=summary)


def train(argv: list[str]) -> int:
    """keras-gen train MODEL [OPTIONS]"""
    from keras_gen.recipes import RECIPES

    started = time.monotonic()
    names = ", ".join(RECIPES)
    if argv and argv[0] in ("-h", "--help"):
        print(f"usage: keras-gen train MODEL [OPTIONS]\n\nMODEL is one of: {names}\n")
        print("keras-gen train MODEL --help lists the options of that model.")
        return 0
    parser = Parser(prog="keras-gen train")
    if not argv:
        parser.error(f"train needs a model: expected one of {names}. Received: nothing")
    recipe, argv = argv[0], argv[1:]
    if recipe not in RECIPES:
        parser.error(one_of("MODEL", recipe, RECIPES))
    tensorflow_import.import_tensorflow()
    from keras_gen.commands import train_options
    from keras_gen.runs import training

    options, data_options, hyperparameters = train_options.parse(recipe, argv)
    return ended(
        lambda: training.train(
            recipe,
            **options,
            data_options=data_options,
            hyperparameters=hyperparameters,
            progress=progress,
            started=started,
        )
    )


def add_resume(commands: Any) -> None:
    summary = "continue a run that was stopped or killed"
    added = commands.add_parser("resume", help=summary, description=summary)
    added.set_defaults(command=resume)
    added.add_argument("run", type=Option("str"), metavar="RUN", help="run directory")
    added.add_argument("--max-minutes", type=Option("Positive"), help="stop after this many minutes")


def resume(arguments: argparse.Namespace) -> int:
    """keras-gen resume RUN"""
    tensorflow_import.import_tensorflow()
    from keras_gen.runs import training

    def run_to_its_end() -> Path:
        was_finished = (Path(arguments.run) / "model.keras").exists()
        run = training.resume(arguments.run, arguments.max_minutes, progress)
        if was_finished:
            print("This run is finished.", file=sys.stderr)
        return run

    return ended(run_to_its_end)


def ended(run_to_its_end: "Callable[[], Path]") -> int:
    """Prints the results of a run: the file to open, or how to continue; and the directory."""
    from keras_gen.runs.run import StoppedEarly

    try:
        run = run_to_its_end()
    except StoppedEarly as stopped:
        print(f"Stopped: {stopped}. Continue with: keras-gen resume {stopped.directory}", file=sys.stderr)
        print(stopped.directory)
        return 0 if stopped.signal is None else 128 + stopped.signal  # as shells have it
    remedy = f"missing; draw some with: keras-gen sample {run} --out FILE"
    print(f"Samples:     {next((run / 'samples').glob('final.*'), remedy)}")
    print(f"TensorBoard: tensorboard --logdir {run / 'logs'}")
    print(run)
    return 0


def progress(data: "Data", steps: int, epoch: int, step: int) -> "keras.callbacks.Callback":
    """The progress bar of a run."""
    from keras_gen.callbacks import ProgressBar

    return ProgressBar(steps, data.steps_per_epoch, data.units_per_step, epoch, step, data.unit, say)


def say(line: str) -> None:
    """Prints without buffering, also into a pipe."""
    print(line, flush=True)
