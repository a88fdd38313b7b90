"""Training on several GPUs or machines: which `tf.distribute` strategy, and who writes the run."""

import os

import tensorflow as tf


def make_strategy(name: str) -> tf.distribute.Strategy:
    """The `tf.distribute` strategy of that name.

    Raises:
        ValueError: `multi_worker` without TF_CONFIG or a Slurm job to tell it of the workers.
    """
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        gpus = tf.config.list_logical_devices("GPU")
        return tf.distribute.MirroredStrategy(
            [d.name for d in gpus or tf.config.list_logical_devices("CPU")]
        )
    if "TF_CONFIG" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if "SLURM_PROCID" in os.environ:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            jobs={"worker": int(os.environ["SLURM_NTASKS"])}
        )
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    raise ValueError(
        "strategy multi_worker needs to know the workers: start it with srun, or set TF_CONFIG "
        'to {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}.'
    )


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the run; of several workers the first one does."""
    resolver = strategy.cluster_resolver
    return resolver is None or resolver.task_id in (None, 0)
