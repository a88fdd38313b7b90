"""Training on several GPUs or machines: the `tf.distribute` strategy, and which process writes the run."""

import collections
import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_gen.utils.records import TFConfig, parse_record

EXAMPLE = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
PORTS = range(16384, 32768)  # below those that systems give to clients


def make_strategy(name: str) -> tf.distribute.Strategy:
    """The `tf.distribute` strategy by its name.

    Raises:
        ValueError: `multi_worker` without TF_CONFIG or a Slurm job to tell it of the workers, or with a
            TF_CONFIG that does not describe them.
    """
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        gpus = tf.config.list_logical_devices("GPU")
        return tf.distribute.MirroredStrategy(
            [d.name for d in gpus or tf.config.list_logical_devices("CPU")]
        )
    if "TF_CONFIG" in os.environ:
        check_tf_config(os.environ["TF_CONFIG"])
        return tf.distribute.MultiWorkerMirroredStrategy()
    if "SLURM_PROCID" in os.environ:
        workers, index = slurm_workers()
        tf.config.set_visible_devices(
            slurm_gpus(tf.config.list_physical_devices("GPU"), workers, index), "GPU"
        )
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": workers}),
            task_type="worker",
            task_id=index,
            rpc_layer="grpc",
        )
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    raise ValueError(
        "strategy multi_worker needs to know the workers: start it with srun, or set TF_CONFIG "
        f"to {EXAMPLE}."
    )


def check_tf_config(text: str) -> None:
    """Raises a ValueError if TF_CONFIG does not name the workers and which of them this process is."""
    remedy = f"It must be like {EXAMPLE}."
    config = parse_record(text.encode(errors="replace"), TFConfig, "TF_CONFIG", remedy)
    addresses = collections.Counter(address for each in config.cluster.values() for address in each)
    for address, times in addresses.most_common(1):
        if times > 1:
            raise ValueError(
                f"TF_CONFIG: each task must have an address of its own. Received: {address} {times} times"
            )
    kind, index = config.task.type, config.task.index
    number = len(config.cluster.get(kind, ()))
    if index >= number:
        raise ValueError(
            f"TF_CONFIG: task {kind} {index} is not in the cluster. "
            f"Received: {number} addresses of type {kind}"
        )


def slurm_workers() -> tuple[list[str], int]:
    """host:port of each task of this Slurm step, in the order of their ranks, and this task's rank.

    TensorFlow's own resolver needs nvidia-smi, and divides the GPUs of a node among its tasks even if Slurm
    has already done so.
    """
    from tensorflow.python.distribute.cluster_resolver import slurm_cluster_resolver as slurm

    try:
        hosts = slurm.expand_hostlist(os.environ["SLURM_STEP_NODELIST"])
        tasks = slurm.expand_tasks_per_node(os.environ["SLURM_STEP_TASKS_PER_NODE"])
        first_port = 16 * int(os.environ["SLURM_JOB_ID"])
        index = int(os.environ["SLURM_PROCID"])
        workers = [
            f"{host}:{PORTS[(first_port + number) % len(PORTS)]}"
            for host, count in zip(hosts, tasks, strict=True)
            for number in range(count)
        ]
        if not 0 <= index < len(workers):
            raise ValueError(f"SLURM_PROCID is {index}, of {len(workers)} tasks")
    except (KeyError, ValueError) as error:
        raise ValueError(
            "strategy multi_worker cannot read the workers from Slurm's variables "
            f"({type(error).__name__}: {error}). Start it with srun, or set TF_CONFIG to {EXAMPLE}."
        ) from None
    return workers, index


def slurm_gpus(gpus: list[Any], workers: list[str], index: int) -> list[Any]:
    """The GPUs of this task: an equal part of the visible ones, unless Slurm has already divided them."""
    if "SLURM_GPUS_PER_TASK" in os.environ or "SLURM_TRES_PER_TASK" in os.environ:
        return gpus
    host = workers[index].rpartition(":")[0]
    neighbours = [number for number, worker in enumerate(workers) if worker.rpartition(":")[0] == host]
    share, place = len(gpus) // len(neighbours), neighbours.index(index)
    return gpus[place * share : (place + 1) * share] if share else gpus


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the run: `chief` 0 or, without a chief, `worker` 0."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_id in (None, ""):
        return True
    chief = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return resolver.task_type in (None, "", chief) and resolver.task_id == 0


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """Number of processes that train together."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    return sum(len(tasks) for tasks in strategy.cluster_resolver.cluster_spec().as_dict().values())


def check_batch_size(strategy: tf.distribute.Strategy, batch_size: int) -> None:
    """Raises a ValueError if a batch cannot be divided equally, so that its mean would be wrong."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(
            f"batch_size must be a multiple of the {replicas} replicas, over which it is divided. "
            f"Received: {batch_size}"
        )


@contextlib.contextmanager
def explain_lost_workers(directory: Path) -> Iterator[None]:
    """Turns TensorFlow's error into one that names the lost worker and the remedy.

    Raises:
        ConnectionError: Another worker died, or cannot be reached.
    """
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        raise ConnectionError(
            f"{lost_worker(error)} does not answer: it has died, or cannot be reached. Start all workers "
            f"again with: keras-gen resume {directory}"
        ) from error


def lost_worker(error: Any) -> str:
    """The task that an error of TensorFlow is about."""
    found = re.search(r"/job:(\w+)/replica:\d+/task:(\d+)", str(error))
    return f"{found[1]} {found[2]}" if found else "Another worker"
