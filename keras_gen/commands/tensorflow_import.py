"""TensorFlow, which takes seconds to import: only the commands that compute import it."""

import os
import sys
import tempfile

import keras_gen


def import_tensorflow() -> None:
    """Imports TensorFlow without its startup messages, and lets GPUs share their memory."""
    # 3, since TensorFlow calls it an error where it leaves out an optimization of a graph.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keras_gen.refuse_other_backends()
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow as tf

            gpus = tf.config.list_physical_devices("GPU")
        except Exception:
            os.dup2(stderr, 2)
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
