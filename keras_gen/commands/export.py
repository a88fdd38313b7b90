"""`keras-gen export SOURCE DIR`."""

import argparse
from pathlib import Path
from typing import Any

from keras_gen.commands import tensorflow_import
from keras_gen.commands.parsing import Option
from keras_gen.commands.places import SOURCE, check_folder, check_source


def add_export(commands: Any) -> None:
    summary = "add a version to a directory that TensorFlow Serving reads"
    added = commands.add_parser("export", help=summary, description=summary)
    added.set_defaults(command=export)
    added.add_argument("source", type=Option("str"), metavar="SOURCE", help=SOURCE)
    added.add_argument(
        "directory", type=Option("str"), metavar="DIR", help="where the numbered versions are"
    )
    added.add_argument(
        "--format",
        default="tf_saved_model",
        type=Option("Format"),
        metavar="{tf_saved_model,onnx,litert,openvino}",
        help="a SavedModel with all signatures (default), or one network in another format",
    )


def export(arguments: argparse.Namespace) -> None:
    """keras-gen export SOURCE DIR"""
    check_folder("DIR", Path(arguments.directory))
    check_source(arguments.source)
    tensorflow_import.import_tensorflow()
    from keras_gen.runs import loading
    from keras_gen.serving import exporting

    model = loading.load_model(arguments.source)
    print(exporting.export_next_version(model, arguments.directory, arguments.format))
